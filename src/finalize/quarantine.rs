//! Quarantine: moves rejected drops to the directory `rejects`, and restores them for a retry.

use std::path::{Path, PathBuf};

use crate::config::DropDir;
use crate::finalize::disposition::{Conditions, move_away};
use crate::finalize::locations::mirrored;
use crate::finalize::transfer::{Copied, copied};
use crate::finalize::writer_proof::unproven_writers;
use crate::fs::{self, DataFile, Dir, OpenWriters, TempFile};
use crate::model::FileName;
use crate::probe::candidate::Candidate;
use crate::probe::unproven::Unproven;
use crate::probe::{parts_of, sidecars_by_name};

/// Where a rejected drop is.
pub enum Aside {
    /// It stays: no directory is configured, or it has hard links.
    InPlace,
    /// It stays, because npyd can't prove that it has no writer, or may not move it.
    Unproven(Unproven),
    /// It stays, because it can't be moved, and a retry can't succeed either.
    Immovable(fs::FsError),
    /// It moved to the configured directory.
    Moved,
}

/// Moves a rejected drop to the configured directory, if there is one, with a text file that gives
/// the reason. A drop that already has an array stays. A process that has it open loses nothing by
/// a rename; before a copy to another file system, npyd must prove that there is no such process.
pub fn quarantine(drop_dir: &DropDir, candidate: &Candidate, reason: &str) -> fs::Result<Aside> {
    match try_quarantine(drop_dir, candidate, reason) {
        Err(error) if error.is_name_too_long() => Ok(Aside::Immovable(error)),
        other => other,
    }
}

fn try_quarantine(drop_dir: &DropDir, candidate: &Candidate, reason: &str) -> fs::Result<Aside> {
    let Some(rejects) = &drop_dir.rejects else { return Ok(Aside::InPlace) };
    // A file with other names may belong to someone else.
    let has_links = candidate.input.files.iter().any(|input| input.stat.nlink > 1);
    if candidate.has_array || has_links {
        return Ok(Aside::InPlace);
    }
    let parent = candidate.input.rel.parent().unwrap_or(Path::new(""));
    let source = Dir::open_below(&drop_dir.path, parent)?;
    let rejects = mirrored(drop_dir, rejects, parent)?;
    if let Some(why) = candidate.input.protection_in(&source)? {
        return Ok(Aside::Unproven(why));
    }
    let writers = unproven_writers(drop_dir);
    let is_copied = !rejects.is_on_mount_of(&source)?;
    if is_copied
        && writers == OpenWriters::ProvedAbsent
        && let Err(why) = candidate.input.leases()?
    {
        return Ok(Aside::Unproven(why));
    }
    // Write the reason first: a crash then leaves a text without a file, never a file without a
    // reason.
    explain(&rejects, &note_name(&candidate.input.name), &format!("{reason}\n"))?;
    let along = match &candidate.input.files[..] {
        [only] => sidecars_by_name(drop_dir, &source, &only.name)?,
        _ => Vec::new(),
    };
    let files = files_in_move_order(candidate, &along);
    move_to_quarantine(&files, (&source, &rejects), is_copied, writers)?;
    Ok(Aside::Moved)
}

/// Returns the files of a rejected drop, in move order. The sidecars that its manifest overrides go
/// along if they are among those that a retry finds again, because without the data they would only
/// wait for them. They go first: without them the drop is the same.
fn files_in_move_order<'a>(
    candidate: &'a Candidate,
    along: &[FileName],
) -> Vec<(&'a FileName, &'a DataFile)> {
    let overridden = candidate.overridden.iter().filter(|sidecar| along.contains(&sidecar.name));
    let sidecar = candidate.input.description.iter().filter(|sidecar| !sidecar.is_shared);
    let data = candidate.input.files.iter().rev().map(|input| (&input.name, &input.file));
    overridden.chain(sidecar).map(|it| (&it.name, &it.file)).chain(data).collect()
}

fn move_to_quarantine(
    files: &[(&FileName, &DataFile)],
    (source, rejects): (&Dir, &Dir),
    is_copied: bool,
    writers: OpenWriters,
) -> fs::Result<()> {
    let mut claimed = Vec::new();
    for &(name, file) in files {
        // A file that is not locked here is being moved by another process.
        claimed.extend(file.claim()?.map(|claim| (name, file, claim)));
    }
    if is_copied {
        // Make all copies before the first removal: until then the drop is complete where it was.
        let copies = claimed.iter().map(|(name, file, _)| copied(file, rejects, name));
        let copies = copies.collect::<fs::Result<Vec<_>>>()?;
        for ((name, file, _), copy) in claimed.iter().zip(copies) {
            let Copied { source: before, lost } = copy;
            lost.note(file);
            let _ = source.remove_if_unchanged((*name).as_ref(), file, &before, writers)?;
        }
    } else {
        for (name, file, _) in &claimed {
            let conditions =
                Conditions { before: None, rename: OpenWriters::Trusted, copy: writers };
            let _ = move_away(source, name, file, (rejects, name), conditions)?;
        }
    }
    rejects.sync()?;
    source.sync()
}

/// A rejected drop, as its receipt describes it.
pub struct RejectedDrop {
    /// Path of the data file before it was rejected.
    pub source: PathBuf,
    /// Name of the file that described it.
    pub sidecar: Option<String>,
    /// The reason of the receipt. The text file beside the rejected drop has its beginning.
    pub reason: String,
}

/// Restores a rejected drop from quarantine with all its data files, its manifest first, and
/// removes the text file with the reason. Files that are no longer there are skipped. Returns
/// whether there were any.
pub fn restore_rejected(drop_dir: &DropDir, rejected: &RejectedDrop) -> fs::Result<bool> {
    let RejectedDrop { source, sidecar, reason } = rejected;
    let Some(rejects) = &drop_dir.rejects else { return Ok(false) };
    let rel = source.strip_prefix(&drop_dir.path).unwrap_or(source);
    let parent = rel.parent().unwrap_or(Path::new(""));
    let from = match Dir::open_trusted(rejects, drop_dir.untrusted_root())
        .and_then(|dir| dir.into_subdir(parent))
    {
        Err(error) if error.is_missing() => return Ok(false),
        opened => opened?,
    };
    let to = Dir::open_below(&drop_dir.path, parent)?;
    // Restore the name of a file that an interrupted retry was moving.
    fs::recover_dir(&from, &[to.try_clone()?])?;
    let names = names_to_restore(drop_dir, &from, rel, sidecar.as_deref())?;
    let mut is_restored = false;
    for name in names {
        let Some(file) = from.open_file(name.as_ref())? else { continue };
        if let Some(_claim) = file.claim()? {
            let copy = unproven_writers(drop_dir);
            let conditions = Conditions { before: None, rename: OpenWriters::Trusted, copy };
            is_restored |= move_away(&from, &name, &file, (&to, &name), conditions)?.is_ok();
        }
    }
    to.sync()?;
    if is_restored && let Some(name) = file_name(rel) {
        remove_note(&from, &note_name(&name), reason)?;
    }
    from.sync()?;
    Ok(is_restored)
}

/// Returns the names of the files of a rejected drop, its manifest before its data, and before that
/// the sidecars that it overrides.
fn names_to_restore(
    drop_dir: &DropDir,
    from: &Dir,
    rel: &Path,
    sidecar: Option<&str>,
) -> fs::Result<Vec<FileName>> {
    let sidecar = sidecar.and_then(|name| FileName::try_from(name.to_owned()).ok());
    let mut names: Vec<FileName> = sidecar.into_iter().chain(file_name(rel)).collect();
    if let Some(sidecar) = names.first() {
        for part in parts_of(drop_dir, from, sidecar)? {
            // A glob may match another drop, which was rejected by itself.
            if !names.contains(&part) && from.stat(note_name(&part).as_ref())?.is_none() {
                names.push(part);
            }
        }
    }
    if let Some(data) = file_name(rel) {
        for sidecar in sidecars_by_name(drop_dir, from, &data)? {
            // One that has its own note was rejected by itself.
            if !names.contains(&sidecar) && from.stat(note_name(&sidecar).as_ref())?.is_none() {
                names.insert(0, sidecar);
            }
        }
    }
    Ok(names)
}

fn file_name(rel: &Path) -> Option<FileName> {
    FileName::try_from(rel.file_name()?.to_str()?.to_owned()).ok()
}

/// Removes the text file that gives the reason of a receipt.
fn remove_note(dir: &Dir, name: &FileName, reason: &str) -> fs::Result<()> {
    for name in name.alternatives() {
        let Some(note) = dir.open_file(name.as_ref())? else { return Ok(()) };
        let text = note.read_at_most(0, reason.len() + 1)?;
        if reason.as_bytes().starts_with(text.trim_ascii_end()) {
            let stat = note.stat()?;
            let writers = OpenWriters::Trusted;
            let _ = dir.remove_if_unchanged(name.as_ref(), &note, &stat, writers)?;
            return Ok(());
        }
    }
    Ok(())
}

/// Returns the name of the text file that gives the reason for a rejection.
fn note_name(drop: &FileName) -> FileName {
    drop.with_suffix(".rejected.txt")
}

/// Writes a text under the first name that is free or has this text already: an earlier attempt to
/// move the drop may have failed.
fn explain(dir: &Dir, name: &FileName, text: &str) -> fs::Result<()> {
    let mut note = TempFile::create(dir, text.len() as u64)?;
    note.file().write_all_at(text.as_bytes(), 0)?;
    for name in name.alternatives() {
        if note.publish(name.as_ref(), false)? {
            return Ok(());
        }
        let there = dir.open_file(name.as_ref())?.map(|file| file.read_at_most(0, text.len() + 1));
        if there.transpose()?.is_some_and(|there| there == text.as_bytes()) {
            return Ok(());
        }
    }
    Err(dir.names_exhausted(name.as_ref()))
}
