//! Files that an array may replace, as configured.

use crate::config::OnConflict;
use crate::decide::origin::Origin;
use crate::decide::reason_text::array_of;
use crate::finalize::array_trust::is_trusted;
use crate::finalize::locations::Locations;
use crate::finalize::marks::read_origin;
use crate::finalize::output_name::is_of_this_file;
use crate::finalize::remake::OldArray;
use crate::finalize::{Interruption, Job};
use crate::fs::{self, DataFile, TempFile};
use crate::model::FileName;
use crate::npy::MAGIC;

/// A file that an array may replace.
pub(crate) struct Replaceable {
    /// The file; open without access to its content if npyd may not read it.
    file: DataFile,
    /// What it is.
    kind: ReplaceableKind,
    /// What is replaced, for the receipt.
    pub(crate) remark: String,
}

/// What an array may replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReplaceableKind {
    /// An array that was made of a file with the path of this source. It is compared with the new
    /// one, and stays as a backup if it has other bytes.
    Own,
    /// An array of another source, which the settings give up.
    Foreign,
    /// A file that is not an array. It stays as a backup.
    NotArray,
}

impl Replaceable {
    /// Returns the file if it stays as a backup. The caller must compare it and back it up before
    /// the array replaces it.
    pub(crate) fn into_backed_up(self) -> Result<Option<OldArray>, Interruption> {
        Ok(match self.kind {
            ReplaceableKind::Own => Some(OldArray::read(self.file)?),
            ReplaceableKind::NotArray => Some(OldArray::not_array(self.file)?),
            ReplaceableKind::Foreign => None,
        })
    }
}

/// Returns the file of that name if the array may replace it. Returns `None` if the array may not,
/// or if no file has the name.
/// Call it right before the rename, because another file may have taken the name since it was
/// chosen.
///
/// The data of an array whose source was removed exist nowhere else, so `replace` spares an array
/// unless it was made of a file with the path of this source. The drop directory contains drops and
/// arrays of all users. There npyd replaces only arrays, and only arrays of its own user or of the
/// user who dropped the data. npyd never replaces a directory, a link, a pipe, a socket or a
/// device.
pub(crate) fn replaceable(
    job: &Job,
    at: &Locations,
    name: &FileName,
) -> Result<Option<Replaceable>, Interruption> {
    match job.drop_dir.on_conflict {
        OnConflict::Replace => replaceable_by(job, at, name, false),
        OnConflict::ReplaceAny => replaceable_by(job, at, name, true),
        OnConflict::Reject | OnConflict::Number => Ok(None),
    }
}

pub(crate) fn replaceable_by(
    job: &Job,
    at: &Locations,
    name: &FileName,
    replaces_any: bool,
) -> Result<Option<Replaceable>, Interruption> {
    let Some(pinned) = at.output.pin(name.as_ref())? else { return Ok(None) };
    let there = pinned.stat()?;
    if !there.is_file() || at.beside && !is_trusted(&there, job) {
        return Ok(None);
    }
    let file = match at.output.open_file(name.as_ref()) {
        Err(error) if error.is_denied() && replaces_any => None,
        Err(error) if error.is_denied() => return Ok(None),
        opened => opened?,
    };
    let file = match file {
        Some(file) if file.stat()?.is_same_file(&there) => Some(file),
        _ => None,
    };
    let is_array = match &file {
        Some(file) => file.read_at_most(0, 6)?.starts_with(&MAGIC),
        None => false,
    };
    if at.beside && !is_array {
        return Ok(None);
    }
    let origin = file.as_ref().map(read_origin).transpose()?.flatten();
    let is_own = origin.as_ref() == Some(&Origin::of(&job.path(), &job.candidate.input.name));
    let kind = match (is_array, is_own) {
        (false, _) => ReplaceableKind::NotArray,
        (true, true) => ReplaceableKind::Own,
        (true, false) => ReplaceableKind::Foreign,
    };
    let what = match () {
        () if file.is_none() => "a file that npyd may not read".to_owned(),
        () if !is_array => "a file that is not an array".to_owned(),
        () if is_own => match &file {
            Some(file) if is_of_this_file(job, file)? => "an earlier array of this file",
            _ => "the array of an earlier file of this name",
        }
        .to_owned(),
        () if replaces_any => array_of(origin.as_ref().map(|origin| origin.name.as_ref())),
        () => return Ok(None),
    };
    let remark = format!("it replaces `{name}`, {what}");
    let file = file.unwrap_or(pinned);
    Ok(Some(Replaceable { file, kind, remark }))
}

/// Gives a new file its name. Returns `false` if another file took the name meanwhile, or if a file
/// has the name that must be backed up first.
pub(crate) fn publish(
    output: &mut TempFile,
    name: &FileName,
    replaced: Option<&Replaceable>,
) -> fs::Result<bool> {
    match replaced {
        Some(Replaceable { kind: ReplaceableKind::Foreign, file: old, .. }) => {
            output.replace_file(name.as_ref(), old)
        }
        Some(_) => Ok(false),
        None => output.name(name.as_ref(), false),
    }
}
