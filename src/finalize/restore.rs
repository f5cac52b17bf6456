//! Restores a rejected drop from the directory `rejects` for a retry.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::config::DropDir;
use crate::decide::request_problem::RequestProblem;
use crate::decide::source_identity::SourceIdentity;
use crate::events::parts::Parts;
use crate::finalize::disposition::{Conditions, move_away};
use crate::finalize::named_parts::has_part;
use crate::finalize::reject_note::{Belongs, belongs, note_name, remove_note};
use crate::finalize::writer_proof::unproven_writers;
use crate::fs::{self, Dir, EntryKind, OpenWriters};
use crate::model::{FileName, parent_of};
use crate::probe::{description_names, manifest_names, parts_of, sidecars_by_name};

/// A rejected drop, as its receipt describes it.
pub struct RejectedDrop {
    /// Path of the data file before it was rejected.
    pub source: PathBuf,
    /// Identity of its files, if the ledger has it.
    pub identity: Option<SourceIdentity>,
    /// Its data files, if it has several.
    pub parts: Option<Parts>,
}

/// The result of a restoration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restored {
    /// Its files are in the drop directory again.
    Done,
    /// None of its files is in `rejects`.
    Nothing,
    /// Other files of it are in `rejects`, but this data file is neither there nor in the drop
    /// directory.
    DataGone(FileName),
    /// Several files in `rejects` may be its data.
    Ambiguous(Vec<FileName>),
    /// Another file has the name of its data file now.
    Occupied,
}

impl Restored {
    /// Returns why nothing was restored, and what to do.
    #[must_use]
    pub fn refusal(&self, drop_dir: &DropDir) -> Option<RequestProblem> {
        let rejects = drop_dir.rejects.clone();
        match self {
            Restored::Done => None,
            Restored::Nothing => Some(RequestProblem::NotInQuarantine { rejects }),
            Restored::DataGone(name) => {
                let (rejects, name) = (rejects.unwrap_or_default(), name.clone());
                Some(RequestProblem::DataNotInQuarantine { rejects, name })
            }
            Restored::Ambiguous(files) => {
                let (rejects, files) = (rejects.unwrap_or_default(), files.clone());
                Some(RequestProblem::Ambiguous { rejects, files })
            }
            Restored::Occupied => Some(RequestProblem::Occupied(drop_dir.path.clone())),
        }
    }
}

/// Opens the quarantine of the drops that were in `below`, a directory below the drop directory.
/// Returns `None` if there is no such directory.
pub(super) fn open_rejects(drop_dir: &DropDir, below: &Path) -> fs::Result<Option<Dir>> {
    let Some(rejects) = &drop_dir.rejects else { return Ok(None) };
    let opened = Dir::open_trusted(rejects, drop_dir.untrusted_root());
    match opened.and_then(|dir| dir.into_subdir(below)) {
        Err(error) if error.is_missing() => Ok(None),
        opened => opened.map(Some),
    }
}

/// Returns the paths in the quarantine that the data file of a rejected drop may have; of a series,
/// the file that describes it, or the data files if that is gone.
///
/// # Errors
/// A directory can't be read.
pub fn rejected_paths(drop_dir: &DropDir, rejected: &RejectedDrop) -> fs::Result<Vec<PathBuf>> {
    let rel = rejected.source.strip_prefix(&drop_dir.path).unwrap_or(&rejected.source);
    let Some(from) = open_rejects(drop_dir, parent_of(rel))? else { return Ok(Vec::new()) };
    let Some(name) = FileName::of_path(rel) else { return Ok(Vec::new()) };
    let mut paths = Vec::new();
    for number in numbers_of(&from, &name, rejected)? {
        let there = name.alternative(number);
        if from.stat(there.as_ref())?.is_some() {
            paths.push(from.path().join(there));
        } else if number == 0 {
            paths.extend(parts_left(&from, rejected)?.iter().map(|part| from.path().join(part)));
        }
    }
    Ok(paths)
}

/// Restores a rejected drop from quarantine with all its data files, its descriptions first, and
/// removes the note with the reason. A description whose name is taken in the drop directory stays
/// in the quarantine: the new one counts.
pub fn restore_rejected(drop_dir: &DropDir, rejected: &RejectedDrop) -> fs::Result<Restored> {
    let rel = rejected.source.strip_prefix(&drop_dir.path).unwrap_or(&rejected.source);
    let parent = parent_of(rel);
    let Some(from) = open_rejects(drop_dir, parent)? else { return Ok(Restored::Nothing) };
    let to = Dir::open_below(&drop_dir.path, parent)?;
    // Restore the name of a file that an interrupted retry was moving.
    fs::recover_dir(&from, std::slice::from_ref(&to))?;
    let Some(data) = FileName::of_path(rel) else { return Ok(Restored::Nothing) };
    let number = match &numbers_of(&from, &data, rejected)?[..] {
        [] => return Ok(Restored::Nothing),
        [number] => *number,
        several => {
            let names = several.iter().map(|number| data.alternative(*number)).collect();
            return Ok(Restored::Ambiguous(names));
        }
    };
    let names = names_to_restore(drop_dir, &from, (&data, number), rejected)?;
    // A copy that an interrupted retry made does not count.
    let is_taken = |name: &FileName| -> fs::Result<bool> {
        let there = from.stat(name.alternative(number).as_ref())?;
        let taken = to.stat(name.as_ref())?;
        Ok(there.zip(taken).is_some_and(|(there, taken)| !taken.may_be_copy_of(&there)))
    };
    if is_taken(&data)? {
        return Ok(Restored::Occupied);
    }
    if let Some(gone) = data_gone((&from, &to), (&data, number), (&names, rejected))? {
        return Ok(Restored::DataGone(gone));
    }
    // npyd may reject the drop again, with a new note, as soon as it is back.
    let note_name = note_name(&data).alternative(number);
    let note = from.open_file(note_name.as_ref())?;
    let mut is_restored = false;
    for name in names {
        let there = name.alternative(number);
        let Some(file) = from.open_file(there.as_ref())? else { continue };
        if is_taken(&name)? {
            continue;
        }
        if let Some(_claim) = file.claim()? {
            let copy = unproven_writers(drop_dir);
            let conditions = Conditions { before: None, rename: OpenWriters::Trusted, copy };
            is_restored |= move_away(&from, &there, &file, (&to, &name), conditions)?.is_ok();
        }
    }
    to.sync()?;
    if let Some(note) = note.filter(|_| is_restored) {
        remove_note(&from, &note_name, &note)?;
    }
    from.sync()?;
    Ok(if is_restored { Restored::Done } else { Restored::Nothing })
}

/// Returns the first data file of a rejected drop that is not there to be restored, if there is
/// one. An interrupted retry has moved some of them already. Of a series whose description is gone,
/// one data file is enough: what is left of the series is restored.
fn data_gone(
    (from, to): (&Dir, &Dir),
    (data, number): (&FileName, u32),
    (names, rejected): (&[FileName], &RejectedDrop),
) -> fs::Result<Option<FileName>> {
    let is_there = |name: &FileName| -> fs::Result<bool> {
        Ok(from.stat(name.alternative(number).as_ref())?.is_some()
            || to.stat(name.as_ref())?.is_some())
    };
    let Some(parts) = &rejected.parts else {
        return Ok((!is_there(data)?).then(|| data.clone()));
    };
    let dir = parent_of(Path::new(&parts.first));
    let is_part = |name: &&FileName| dir.join(name).to_str().is_some_and(|it| has_part(parts, it));
    for part in names.iter().filter(is_part) {
        if is_there(part)? {
            return Ok(None);
        }
    }
    let first = FileName::of_path(Path::new(&parts.first));
    first.map_or(Ok(None), |first| Ok((!is_there(&first)?).then_some(first)))
}

/// Returns the number that the files of a rejected drop have in the quarantine: that of the data
/// file which looks as the ledger says. If none does, because somebody corrected it there, returns
/// all that may be it.
fn numbers_of(from: &Dir, data: &FileName, rejected: &RejectedDrop) -> fs::Result<Vec<u32>> {
    let mut possible = Vec::new();
    for number in numbers_there(from, data)? {
        let stat = from.stat(data.alternative(number).as_ref())?;
        let note = note_name(data).alternative(number);
        let is_noted = belongs(from, &note, &rejected.source)?;
        let is_it = |identity: &SourceIdentity| {
            stat.as_ref().is_some_and(|stat| identity.has_size_and_mtime(stat))
        };
        match (is_noted, &rejected.identity) {
            (Belongs::No, _) => {}
            (_, Some(identity)) if is_it(identity) => return Ok(vec![number]),
            _ if stat.is_some() || is_noted == Belongs::Yes => {
                possible.push((number, stat.is_some()));
            }
            _ => {}
        }
    }
    // A note alone is what an interrupted retry leaves.
    let has_data = |(_, has_data): &(u32, bool)| *has_data;
    if possible.iter().any(has_data) {
        possible.retain(has_data);
    }
    if possible.is_empty() && has_first_part(from, rejected)? {
        return Ok(vec![0]);
    }
    Ok(possible.into_iter().map(|(number, _)| number).collect())
}

/// Returns whether the first data file of a drop that has several is still in the quarantine as the
/// ledger says, also if neither its description nor its note is.
fn has_first_part(from: &Dir, rejected: &RejectedDrop) -> fs::Result<bool> {
    let (Some(parts), Some(identity)) = (&rejected.parts, &rejected.identity) else {
        return Ok(false);
    };
    let Some(first) = FileName::of_path(Path::new(&parts.first)) else { return Ok(false) };
    let stat = from.stat(first.as_ref())?;
    Ok(stat.is_some_and(|stat| identity.has_size_and_mtime(&stat)))
}

/// Returns the data files in the quarantine of a drop that has several, by the names in its
/// receipt. One that has a note of its own is another drop.
fn parts_left(from: &Dir, rejected: &RejectedDrop) -> fs::Result<Vec<FileName>> {
    let Some(parts) = &rejected.parts else { return Ok(Vec::new()) };
    let dir = parent_of(Path::new(&parts.first));
    let mut left = Vec::new();
    for (name, kind) in from.entries()? {
        let Some(name) = FileName::of_path(name.as_ref()) else { continue };
        let is_part = dir.join(&name).to_str().is_some_and(|rel| has_part(parts, rel));
        if kind == EntryKind::File && is_part && from.stat(note_name(&name).as_ref())?.is_none() {
            left.push(name);
        }
    }
    left.sort_unstable();
    Ok(left)
}

/// Returns the numbers of the data files and notes of that name, in ascending order.
fn numbers_there(from: &Dir, data: &FileName) -> fs::Result<BTreeSet<u32>> {
    let note = note_name(data);
    let mut numbers = BTreeSet::new();
    for (name, _) in from.entries()? {
        let Some(name) = FileName::of_path(name.as_ref()) else { continue };
        let (_, number) = name.without_number();
        for number in [0, number] {
            if data.alternative(number) == name || note.alternative(number) == name {
                numbers.insert(number);
            }
        }
    }
    Ok(numbers)
}

/// Returns the names of the files of a rejected drop, its descriptions before its data.
fn names_to_restore(
    drop_dir: &DropDir,
    from: &Dir,
    (data, number): (&FileName, u32),
    rejected: &RejectedDrop,
) -> fs::Result<Vec<FileName>> {
    let sidecar = rejected.identity.as_ref().and_then(|identity| identity.sidecar.as_ref());
    let sidecar = sidecar.and_then(|(name, _)| FileName::try_from(name.clone()).ok());
    let mut names: Vec<FileName> = sidecar.into_iter().chain([data.clone()]).collect();
    if number > 0 {
        // All files of this number are those of one drop.
        let mut all = description_names(data);
        all.retain(|name| !names.contains(name));
        all.append(&mut names);
        return Ok(all);
    }
    if let Some(sidecar) = names.first() {
        let parts = match from.stat(sidecar.as_ref())? {
            Some(_) => parts_of(drop_dir, from, sidecar)?,
            None => parts_left(from, rejected)?,
        };
        for part in parts {
            // A glob may match another drop, which was rejected by itself.
            if !names.contains(&part) && from.stat(note_name(&part).as_ref())?.is_none() {
                names.push(part);
            }
        }
    }
    // Its manifest, or what somebody put beside it to correct it; and the sidecars that it
    // overrides.
    let manifests = manifest_names(data);
    for sidecar in sidecars_by_name(drop_dir, from, data)?.into_iter().chain(manifests) {
        // One that has its own note was rejected by itself.
        if !names.contains(&sidecar) && from.stat(note_name(&sidecar).as_ref())?.is_none() {
            names.insert(0, sidecar);
        }
    }
    Ok(names)
}
