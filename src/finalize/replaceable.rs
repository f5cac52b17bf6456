//! The files that an array may replace.

use crate::config::OnConflict;
use crate::decide::origin::Origin;
use crate::decide::reason_text::array_of;
use crate::finalize::array_trust::is_trusted;
use crate::finalize::locations::Locations;
use crate::finalize::marks::read_origin;
use crate::finalize::output_name::is_of_this_file;
use crate::finalize::{Interruption, Job};
use crate::fs::{self, DataFile, TempFile};
use crate::model::FileName;
use crate::npy::MAGIC;

/// A file that an array may replace.
pub(crate) struct Replaceable {
    /// The file; open without access to its content if npyd may not read it.
    file: DataFile,
    /// Whether it is an array that was made of a file with the path of this source.
    is_own_array: bool,
    /// What is replaced, for the receipt.
    pub(crate) remark: String,
}

impl Replaceable {
    /// Returns the array that was made of a file with the path of this source. The caller must
    /// compare the array and back it up before it replaces the array.
    pub(crate) fn into_own_array(self) -> Option<DataFile> {
        self.is_own_array.then_some(self.file)
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
/// user who dropped the data.
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
    if there.is_dir() || at.beside && !is_trusted(&there, job) {
        return Ok(None);
    }
    let file = match at.output.open_file(name.as_ref()) {
        Err(error) if error.is_denied() && replaces_any => None,
        Err(error) if error.is_denied() => return Ok(None),
        opened => opened?,
    };
    let file = match file {
        Some(file) if there.is_file() && file.stat()?.is_same_file(&there) => Some(file),
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
    let what = match () {
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
    Ok(Some(Replaceable { file, is_own_array: is_array && is_own, remark }))
}

/// Gives a new file its name. Returns `false` if another file took the name meanwhile, or if an
/// array has the name and must be backed up first.
pub(crate) fn publish(
    output: &mut TempFile,
    name: &FileName,
    replaced: Option<&Replaceable>,
) -> fs::Result<bool> {
    match replaced {
        Some(Replaceable { is_own_array: true, .. }) => Ok(false),
        Some(Replaceable { file: old, .. }) => output.replace_file(name.as_ref(), old),
        None => output.name(name.as_ref(), false),
    }
}
