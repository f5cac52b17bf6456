//! What is known of an array besides its values, as JSON beside it: `x.npy.json`.

use serde::Serialize;

use super::{Halt, Settled, Site};
use crate::config::KeepMetadata;
use crate::disk::{self, Output};
use crate::look::SOURCE_ATTR;
use crate::receipt::{Event, Receipt};
use crate::recognize::sidecar::Axis;
use crate::recognize::{FileName, Metadata};

/// The content of the file.
#[derive(Serialize)]
struct Content<'a> {
    /// The array's file.
    array: &'a str,
    /// Who described the data.
    described_by: String,
    /// The file that did.
    sidecar: Option<&'a str>,
    /// What the axes are, in the array's order.
    axes: &'a [Axis],
    /// Factors and offsets that were not applied to the values.
    unapplied: &'a Metadata,
    /// What the description says, as its format names it.
    fields: &'a Metadata,
    /// How the array was made.
    receipt: &'a Receipt,
}

/// Writes the metadata beside the array where the settings want that, durable before the source is
/// touched. Another's file of that name stays; npyd's own is replaced with its array.
pub(super) fn write(
    settled: &Settled,
    site: &Site,
    output: &FileName,
    receipt: &Receipt,
) -> Result<Option<String>, Halt> {
    if settled.inbox.metadata == KeepMetadata::None {
        return Ok(None);
    }
    let name = match FileName::try_from(format!("{output}.json")) {
        Ok(name) => name,
        Err(error) => return Ok(Some(format!("its metadata were not written: {error}"))),
    };
    if let Some(there) = site.output.open_file(name.as_ref())? {
        let is_ours = there.stat()?.uid == disk::own_uid() && there.attr(SOURCE_ATTR)?.is_some();
        if is_ours && receipt.event == Event::Found {
            return Ok(None);
        }
        if !is_ours {
            return Ok(Some(format!("`{name}` is there already: its metadata were not written")));
        }
    }
    let sidecar = settled.candidate.sidecar.as_ref();
    let content = Content {
        array: output.as_str(),
        described_by: settled.dump.kind.to_string(),
        sidecar: sidecar.map(|sidecar| sidecar.name.as_str()),
        axes: &settled.dump.told.axes,
        unapplied: &settled.dump.told.unapplied,
        fields: &settled.dump.metadata,
        receipt,
    };
    let mut text = match serde_json::to_vec_pretty(&content) {
        Ok(text) => text,
        Err(error) => return Ok(Some(format!("its metadata were not written: {error}"))),
    };
    text.push(b'\n');
    let mut file = Output::create(&site.output, text.len() as u64)?;
    file.file().write_all_at(&text, 0)?;
    file.file().set_attr(SOURCE_ATTR, settled.mark().as_bytes())?;
    file.publish(name.as_ref(), true)?;
    Ok(None)
}
