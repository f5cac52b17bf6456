//! What is known of an array besides its values, as JSON beside it: `x.npy.json`.

use serde::Serialize;

use crate::config::MetadataOutput;
use crate::decide::identity::SourceIdentity;
use crate::describe::Metadata;
use crate::describe::sidecar::Axis;
use crate::events::receipt::{Event, Receipt};
use crate::finalize::locations::Locations;
use crate::finalize::{Interruption, Job, output_name};
use crate::fs::{self, TempFile};
use crate::model::FileName;
use crate::probe::SOURCE_ATTR;

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

/// What stands where the metadata go.
enum There {
    Nothing,
    /// Metadata of npyd's: of this very array, or of another.
    Ours {
        of_this: bool,
    },
    Anothers,
}

/// Writes the metadata beside the array where the settings want that, durable before the source is
/// touched; or checks those that were written ahead. Another's file of that name stays; npyd's own
/// is replaced with its array.
pub(crate) fn write(
    job: &Job,
    at: &Locations,
    output: &FileName,
    receipt: &Receipt,
    was_ahead: bool,
) -> Result<Option<String>, Interruption> {
    let name = match wanted(job, output) {
        Ok(Some(name)) => name,
        Ok(None) => return Ok(None),
        Err(error) => return Ok(Some(format!("its metadata were not written: {error}"))),
    };
    match there(job, at, &name)? {
        There::Ours { of_this: true } if was_ahead || receipt.event == Event::Found => Ok(None),
        // Not every file system can tell whose they are.
        There::Anothers if was_ahead => Ok(None),
        There::Anothers => {
            Ok(Some(format!("`{name}` is there already: its metadata were not written")))
        }
        There::Nothing | There::Ours { .. } => put(job, at, output, &name, receipt),
    }
}

/// Writes the metadata of a data file that becomes the array itself, before it is that: once it is,
/// a crash leaves no source to begin from again. `false`: they were not.
pub(crate) fn write_ahead(
    job: &Job,
    at: &Locations,
    output: &FileName,
    receipt: &Receipt,
) -> Result<bool, Interruption> {
    let Ok(Some(name)) = wanted(job, output) else { return Ok(false) };
    let may_be_there = job.keeps_its_name(at) || output_name::replaces(job, at, output)?;
    if !may_be_there && at.output.stat(output.as_ref())?.is_some() {
        return Err(Interruption::Retry(format!("`{output}` appeared meanwhile")));
    }
    match there(job, at, &name)? {
        There::Anothers => Ok(false),
        _ => Ok(put(job, at, output, &name, receipt)?.is_none()),
    }
}

/// The name of the metadata, where the settings want them.
fn wanted(job: &Job, output: &FileName) -> Result<Option<FileName>, String> {
    match job.drop_dir.metadata {
        MetadataOutput::None => Ok(None),
        MetadataOutput::Json => FileName::try_from(format!("{output}.json")).map(Some),
    }
}

fn there(job: &Job, at: &Locations, name: &FileName) -> Result<There, Interruption> {
    let Some(there) = at.output.open_file(name.as_ref())? else { return Ok(There::Nothing) };
    let mark = match there.attr(SOURCE_ATTR)? {
        Some(mark) if there.stat()?.uid == fs::own_uid() => mark,
        _ => return Ok(There::Anothers),
    };
    let mark = SourceIdentity::parse(&String::from_utf8_lossy(&mark));
    Ok(There::Ours { of_this: mark.is_of_files(&job.candidate.snapshot().identity()) })
}

fn put(
    job: &Job,
    at: &Locations,
    output: &FileName,
    name: &FileName,
    receipt: &Receipt,
) -> Result<Option<String>, Interruption> {
    let sidecar = job.candidate.sidecar.as_ref();
    let content = Content {
        array: output.as_str(),
        described_by: job.dump.kind.to_string(),
        sidecar: sidecar.map(|sidecar| sidecar.name.as_str()),
        axes: &job.dump.facts.axes,
        unapplied: &job.dump.facts.unapplied,
        fields: &job.dump.metadata,
        receipt,
    };
    let mut text = match serde_json::to_vec_pretty(&content) {
        Ok(text) => text,
        Err(error) => return Ok(Some(format!("its metadata were not written: {error}"))),
    };
    text.push(b'\n');
    let mut file = TempFile::create(&at.output, text.len() as u64)?;
    file.file().write_all_at(&text, 0)?;
    file.file().set_attr(SOURCE_ATTR, job.mark().as_bytes())?;
    file.publish(name.as_ref(), true)?;
    Ok(None)
}
