//! The rest of a drop: bytes behind the array that no description declares, such as a torn record.
//!
//! Salvage in place cuts them off, and removing a source deletes them. npyd therefore saves them
//! first, as `NAME.rest` in the directory for rejects, or else beside the array. Only written bytes
//! count, not holes and unwritten extents.

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::config::{Disposition, DropDir};
use crate::decide::change::Change;
use crate::decide::evidence::Evidence;
use crate::decide::reason::Reason;
use crate::events::progress::Phase;
use crate::finalize::locations::{Locations, mirrored};
use crate::finalize::source_checks::{lost, sync_source};
use crate::finalize::{Interruption, Job, transfer};
use crate::fs::{self, DataFile, Dir, TempFile};
use crate::model::{FileName, NUMBER_MAX, Stat, parent_of};
use crate::probe::input::InputFile;
use crate::throttle::meter::Meter;

/// The extended attribute of a rest that stores from which file and offset it was cut:
/// `inode:birth:offset`.
const REST_ATTR: &str = "user.npyd.rest";

/// The suffix of a rest's name.
const REST_SUFFIX: &str = ".rest";

/// The bytes behind the array in one data file.
struct Surplus<'a> {
    file: &'a DataFile,
    name: &'a FileName,
    range: Range<u64>,
}

/// Saves the rest of a data file that will become the array, cuts it off, and returns the file's
/// metadata afterwards.
///
/// Order: data durable, rest durable, cut durable. A crash before the cut leaves the whole file,
/// and the next run finds the saved rest. A crash after it leaves the complete records under their
/// pending header.
pub(crate) fn cut(
    job: &Job,
    at: &Locations,
    progress: &mut Meter,
) -> Result<(Stat, Option<String>), Interruption> {
    let input = job.only_file()?;
    let end = job.dump.end_of(&job.source_header);
    let earlier = check_earlier(job, at)?;
    if input.stat.size <= end {
        return Ok((input.stat, earlier));
    }
    sync_source(job, &input.stat, progress)?;
    let surplus = surplus_behind(input, end)?;
    let remark = save(job, at, &surplus, progress)?;
    match at.source.cut_if_unchanged(input.name.as_ref(), &input.file, &input.stat, end) {
        Ok(Some(after)) => {
            at.source.sync()?; // F2
            Ok((after, remark))
        }
        Ok(None) => Err(Interruption::changed(Change::BeforeCut)),
        Err(error) => Err(lost(error)),
    }
}

/// Saves the bytes behind the array before the source is removed or gives its name away.
pub(crate) fn save_ahead(
    job: &Job,
    at: &Locations,
    progress: &mut Meter,
) -> Result<Vec<String>, Interruption> {
    check_earlier(job, at)?;
    let goes = job.drop_dir.source == Disposition::Remove || job.keeps_its_name(at);
    let is_partial = job.evidence.is_partial();
    let mut remarks = Vec::new();
    for segment in job.segments() {
        let mut surplus = surplus_behind(segment.input, segment.end())?;
        // The declared bytes alone are no rest. Where there are others, too, nothing tells which of
        // them are the declared ones.
        if surplus.range.end - surplus.range.start <= job.dump.trailing {
            surplus.range.end = surplus.range.start;
        }
        if goes {
            remarks.extend(save(job, at, &surplus, progress)?);
        } else if !surplus.range.is_empty() && is_partial && remarks.is_empty() {
            remarks.push("those bytes stay in the source".to_owned());
        }
    }
    Ok(remarks)
}

fn surplus_behind(input: &InputFile, end: u64) -> fs::Result<Surplus<'_>> {
    let InputFile { name, file, .. } = input;
    Ok(Surplus { file, name, range: end..file.written_end(end)? })
}

/// Saves a rest and returns the remark for the receipt, or `None` if there is no rest.
fn save(
    job: &Job,
    at: &Locations,
    surplus: &Surplus<'_>,
    progress: &mut Meter,
) -> Result<Option<String>, Interruption> {
    if surplus.range.is_empty() {
        return Ok(None);
    }
    let dir = open_dir(job, at)?;
    let name = match find_equal(&dir, surplus)? {
        Some(name) => name,
        None => write(&dir, surplus, progress)?,
    };
    let bytes = surplus.range.end - surplus.range.start;
    let path = dir.path().join(name);
    Ok(Some(format!("the {bytes} bytes behind the array were saved as `{}`", path.display())))
}

/// Returns the remark on the rest that an earlier run saved before it was interrupted.
///
/// Fails if the file was written to since: what its producer appended belongs behind the rest, and
/// without it would be cut into records at wrong places.
fn check_earlier(job: &Job, at: &Locations) -> Result<Option<String>, Interruption> {
    let dir = match &job.drop_dir.rejects {
        _ if job.evidence != Evidence::Salvaged => return Ok(None),
        Some(rejects) if !rejects.exists() => return Ok(None),
        _ => open_dir(job, at)?,
    };
    let InputFile { name, file, stat, .. } = job.only_file()?;
    let mut earlier = None;
    for name in names(name) {
        let Some(rest) = dir.open_file(name.as_ref())? else { break };
        let Some(cut_at) = cut_offset(&rest, stat)? else { continue };
        let path = dir.path().join(name);
        if stat.size > cut_at && !stands_at(&rest, file, cut_at)? {
            return Err(Interruption::Rejected(Reason::WrittenAfterCut { cut_at, rest: path }));
        }
        earlier = Some(format!("what was behind the array was saved as `{}`", path.display()));
    }
    Ok(earlier)
}

/// Returns whether the file still has the rest at `offset`. A crash during the cut may have left
/// zeros in place of the rest, at the old length.
fn stands_at(rest: &DataFile, file: &DataFile, offset: u64) -> fs::Result<bool> {
    let len = rest.stat()?.size;
    let may_be_zero = file.stat()?.size == offset + len;
    rest.each_piece(0..len, |at, saved| {
        let bytes = file.read_at_most(offset + at, saved.len())?;
        let is_saved = |(byte, saved): (&u8, &u8)| byte == saved || *byte == 0 && may_be_zero;
        Ok(bytes.len() == saved.len() && bytes.iter().zip(saved).all(is_saved))
    })
}

fn open_dir(job: &Job, at: &Locations) -> Result<Dir, Interruption> {
    match &job.drop_dir.rejects {
        Some(rejects) => Ok(mirrored(&job.drop_dir, rejects, job.parent())?),
        None => Ok(at.output.clone()),
    }
}

/// Returns the path at which the rest of a data file would be saved, for `explain`.
#[must_use]
pub fn rest_path(drop_dir: &DropDir, rel: &Path, name: &FileName) -> PathBuf {
    let base = drop_dir.rejects.as_ref().or(drop_dir.output.as_ref()).unwrap_or(&drop_dir.path);
    base.join(parent_of(rel)).join(name.with_suffix(REST_SUFFIX))
}

/// Returns the name of the data file that a rest of this name is from.
#[must_use]
pub fn rest_of(rest: &str) -> Option<&str> {
    let name = crate::model::split_backup(rest).map_or(rest, |(name, _)| name);
    name.strip_suffix(REST_SUFFIX).filter(|name| !name.is_empty())
}

/// Returns `NAME.rest`, `NAME.rest.~1~`, `NAME.rest.~2~`, …
fn names(name: &FileName) -> impl Iterator<Item = FileName> {
    let suffix = |number| format!("{REST_SUFFIX}.~{number}~");
    let numbered = (1..=NUMBER_MAX).map(move |number| name.with_suffix(&suffix(number)));
    std::iter::once(name.with_suffix(REST_SUFFIX)).chain(numbered)
}

/// Syncs a rest that an interrupted run saved, and returns its name. If the sync fails, the rest
/// does not count (F1), and the caller writes another one.
fn find_equal(dir: &Dir, surplus: &Surplus<'_>) -> Result<Option<FileName>, Interruption> {
    let Surplus { file, name, range } = surplus;
    let stat = file.stat()?;
    for name in names(name) {
        let Some(there) = dir.open_file(name.as_ref())? else { return Ok(None) };
        let found = there.stat()?;
        let is_as_long = found.size == range.end - range.start;
        let is_equal =
            |at: u64, bytes: &[u8]| Ok(there.read_at_most(at - range.start, bytes.len())? == bytes);
        let is_it = may_be_rest(&found, &stat)
            && is_as_long
            && (file.each_piece(range.clone(), is_equal)?
                || cut_offset(&there, &stat)? == Some(range.start)
                    && stands_at(&there, file, range.start)?);
        if is_it && there.sync_all().is_ok() {
            dir.sync()?;
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Writes a rest under the first free name, and syncs it. Holes stay holes.
fn write(dir: &Dir, surplus: &Surplus<'_>, progress: &mut Meter) -> Result<FileName, Interruption> {
    let Surplus { file, range, .. } = surplus;
    let stat = file.stat()?;
    // A length here would preallocate the holes. The mode keeps other users out until the rest has
    // its permissions.
    let mut output = TempFile::create_with(dir, 0o600, 0)?;
    output.set_len(range.end - range.start)?;
    progress.begin(Phase::SaveRest, range.end - range.start);
    let is_unbroken = file.each_piece(range.clone(), |at, bytes| {
        output.file().write_all_at(bytes, at - range.start)?;
        Ok(progress.advance(at - range.start + bytes.len() as u64))
    })?;
    if !is_unbroken {
        return Err(Interruption::Cancelled);
    }
    transfer::carry(file, &file.attributes()?, output.file())?;
    let mark = format!("{}{}", origin(&stat), range.start);
    output.file().set_attr(REST_ATTR, mark.as_bytes())?;
    for name in names(surplus.name) {
        #[cfg(feature = "sabotage")]
        if fs::skips("rest-sync") {
            output.name(name.as_ref(), false)?;
            dir.sync()?;
            return Ok(name);
        }
        if output.publish(name.as_ref(), false)? {
            dir.check_path()?; // the rest is cut off next
            return Ok(name);
        }
    }
    Err(dir.names_exhausted(surplus.name.as_ref()).into())
}

/// Returns `inode:birth:`, which do not change when the file is cut or renamed.
fn origin(stat: &Stat) -> String {
    format!("{}:{}:", stat.ino, stat.born_ns)
}

/// Returns whether a file may be a rest that npyd saved: npyd or the owner of its source owns it.
fn may_be_rest(file: &Stat, source: &Stat) -> bool {
    file.is_file() && [fs::own_uid(), source.uid].contains(&file.uid)
}

/// Returns the offset at which a rest was cut off, or `None` if it is not from this file, or the
/// file system has no birth times, so that a reused inode number would look like the file.
fn cut_offset(rest: &DataFile, source: &Stat) -> fs::Result<Option<u64>> {
    let stat = rest.stat()?;
    if !may_be_rest(&stat, source) || source.born_ns == 0 {
        return Ok(None);
    }
    let mark = rest.attr(REST_ATTR)?.and_then(|mark| String::from_utf8(mark).ok());
    Ok(mark.and_then(|mark| mark.strip_prefix(&origin(source))?.parse().ok()))
}
