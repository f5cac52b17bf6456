//! Metadata of an array as JSON beside it: `x.npy.json`.

use serde::Serialize;
use serde_json::Value;

use crate::config::{Disposition, MetadataOutput};
use crate::decide::reason::Reason;
use crate::decide::source_identity::SourceIdentity;
use crate::describe::Metadata;
use crate::describe::described::Axis;
use crate::events::receipt::Receipt;
use crate::events::receipt_event::ReceiptEvent;
use crate::finalize::locations::Locations;
use crate::finalize::transfer::carry_but_times;
use crate::finalize::{Interruption, Job};
use crate::fs::{self, DataFile, Dir, TempFile};
use crate::model::FileName;
use crate::probe::SOURCE_ATTR;

/// The content of the JSON file.
#[derive(Serialize)]
struct Content<'a> {
    /// The array's file.
    array: &'a str,
    /// The kind of description.
    described_by: String,
    /// The file that describes the data.
    sidecar: Option<&'a str>,
    /// The axes, in the array's order.
    axes: &'a [Axis],
    /// Factors and offsets that were not applied to the values.
    unapplied: &'a Metadata,
    /// The fields of the description, named as in its format.
    fields: &'a Metadata,
    /// How the array was made.
    receipt: &'a Receipt,
}

/// The file that has the metadata's name now.
enum There {
    Nothing,
    /// Metadata that npyd wrote, for this array or for another.
    Ours {
        file: DataFile,
        of_this: bool,
    },
    /// Metadata that npyd wrote, and that were edited since.
    Edited {
        of_this: bool,
    },
    /// Another program's file, a symlink or a directory.
    Foreign,
}

/// Writes the metadata beside the array if configured, durably before the source is touched, or
/// checks those that were written ahead. Another program's file of that name stays, like one that
/// was edited; npyd's own is replaced.
pub(crate) fn write(
    job: &Job,
    at: &Locations,
    output: &FileName,
    receipt: &Receipt,
    was_ahead: bool,
) -> Result<Option<String>, Interruption> {
    let Some(name) = wanted(job, output) else { return Ok(None) };
    match there(job, at, &name)? {
        There::Ours { of_this: true, .. } | There::Edited { of_this: true }
            if was_ahead || receipt.event == ReceiptEvent::Found =>
        {
            Ok(None)
        }
        // Without extended attributes, npyd can't recognize its own file.
        There::Foreign if was_ahead => Ok(None),
        There::Foreign => Ok(Some(exists(&name))),
        // `npyd redo` needs the source.
        There::Edited { .. } if job.drop_dir.source != Disposition::Keep => {
            let description = job.candidate.input.description.as_ref();
            let where_else = description.map(|it| format!("; they are in `{}`", it.name));
            Ok(Some(edited(&name) + &where_else.unwrap_or_default()))
        }
        There::Edited { .. } => Ok(Some(format!(
            "{}; to get them, move that file away and run `npyd redo`",
            edited(&name)
        ))),
        There::Nothing => put(job, at, (output, &name, None), receipt),
        There::Ours { file, .. } => put(job, at, (output, &name, Some(&file)), receipt),
    }
}

/// Writes the metadata of a data file that becomes the array itself, before it does: afterwards a
/// crash leaves no source to begin from. Returns `false` if they were not written.
pub(crate) fn write_ahead(
    job: &Job,
    at: &Locations,
    output: &FileName,
    receipt: &Receipt,
) -> Result<bool, Interruption> {
    let Some(name) = wanted(job, output) else { return Ok(false) };
    if !job.keeps_its_name(at) && at.output.stat(output.as_ref())?.is_some() {
        return Err(Interruption::Retry(Reason::Appeared(output.clone())));
    }
    match there(job, at, &name)? {
        There::Foreign | There::Edited { .. } => Ok(false),
        There::Nothing => Ok(put(job, at, (output, &name, None), receipt)?.is_none()),
        There::Ours { file, .. } => {
            Ok(put(job, at, (output, &name, Some(&file)), receipt)?.is_none())
        }
    }
}

/// Replaces the receipt in the metadata beside an array that was made again from itself: nothing
/// else of them changes. Leaves alone what no user of npyd wrote, and what was edited; the remark
/// says the latter.
pub(crate) fn renew(
    dir: &Dir,
    output: &FileName,
    receipt: &Receipt,
    is_user_of_npyd: impl Fn(u32) -> bool,
) -> fs::Result<Option<String>> {
    let name = output.with_suffix(".json");
    let Some(there) = dir.open_file(name.as_ref())? else { return Ok(None) };
    let stat = there.stat()?;
    let Some(mark) = there.attr(SOURCE_ATTR)?.filter(|_| is_user_of_npyd(stat.uid)) else {
        return Ok(None);
    };
    let Some(text) = there.marked_content()? else { return Ok(Some(edited(&name))) };
    let Ok(Value::Object(mut content)) = serde_json::from_slice(&text) else { return Ok(None) };
    content.insert("receipt".to_owned(), serde_json::to_value(receipt).unwrap_or_default());
    let mut text = serde_json::to_vec_pretty(&content).unwrap_or_default();
    text.push(b'\n');
    let mut file = unsynced(dir, &text, &mark)?;
    carry_but_times(&there, file.file())?;
    file.sync()?;
    if let Some(remark) = replace(&mut file, &name, &there)? {
        return Ok(Some(remark));
    }
    dir.sync()?;
    Ok(None)
}

/// Returns the name of the metadata file, if configured.
fn wanted(job: &Job, output: &FileName) -> Option<FileName> {
    match job.drop_dir.metadata {
        MetadataOutput::None => None,
        MetadataOutput::Json => Some(output.with_suffix(".json")),
    }
}

fn there(job: &Job, at: &Locations, name: &FileName) -> Result<There, Interruption> {
    let Some(there) = at.output.open_file(name.as_ref())? else {
        let is_taken = at.output.stat(name.as_ref())?.is_some();
        return Ok(if is_taken { There::Foreign } else { There::Nothing });
    };
    let mark = match there.attr(SOURCE_ATTR)? {
        Some(mark) if job.is_user_of_npyd(there.stat()?.uid) => mark,
        _ => return Ok(There::Foreign),
    };
    let mark = SourceIdentity::parse(&String::from_utf8_lossy(&mark));
    let of_this = mark.is_of_files(&job.candidate.snapshot().identity());
    if there.marked_content()?.is_none() {
        return Ok(There::Edited { of_this });
    }
    Ok(There::Ours { file: there, of_this })
}

/// Replaces metadata that npyd wrote by the new ones. If the old ones were edited or replaced since
/// npyd read them, leaves them alone, and returns a remark.
fn replace(new: &mut TempFile, name: &FileName, old: &DataFile) -> fs::Result<Option<String>> {
    if new.replace_file_if(name.as_ref(), old, || Ok(!old.is_edited()?))? {
        return Ok(None);
    }
    Ok(Some(if old.is_edited()? { edited(name) } else { exists(name) }))
}

/// Creates a synced file with metadata and their attributes; it has no name yet.
fn create(dir: &Dir, text: &[u8], mark: &[u8]) -> fs::Result<TempFile> {
    let mut file = unsynced(dir, text, mark)?;
    file.sync()?;
    Ok(file)
}

fn unsynced(dir: &Dir, text: &[u8], mark: &[u8]) -> fs::Result<TempFile> {
    let file = TempFile::create(dir, text.len() as u64)?;
    file.file().write_marked(text)?;
    file.file().set_attr(SOURCE_ATTR, mark)?;
    Ok(file)
}

fn exists(name: &FileName) -> String {
    format!("`{name}` already exists: its metadata were not written")
}

fn edited(name: &FileName) -> String {
    format!("`{name}` was edited and stays: its new metadata were not written")
}

/// Writes the metadata of the array `output` to the file `name`. Replaces only the file `old`.
fn put(
    job: &Job,
    at: &Locations,
    (output, name, old): (&FileName, &FileName, Option<&DataFile>),
    receipt: &Receipt,
) -> Result<Option<String>, Interruption> {
    let sidecar = job.candidate.input.description.as_ref();
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
    let mut file = create(&at.output, &text, job.mark().as_bytes())?;
    let remark = match old {
        Some(old) => replace(&mut file, name, old)?,
        None => (!file.name(name.as_ref(), false)?).then(|| exists(name)),
    };
    if remark.is_some() {
        return Ok(remark);
    }
    at.output.sync()?;
    Ok(None)
}
