//! Quarantine: moves rejected drops to the directory `rejects`. The files of a drop get one number
//! there, which separates them from those of another drop of that name.

use crate::config::DropDir;
use crate::decide::reason::Reason;
use crate::finalize::Job;
use crate::finalize::disposition::{Conditions, move_away};
use crate::finalize::locations::mirrored;
use crate::finalize::reject_note::{
    Belongs, belongs, has_note, note_name, note_text, remove_note, write_note,
};
use crate::finalize::restore::open_rejects;
use crate::finalize::transfer::copied;
use crate::finalize::writer_proof::unproven_writers;
use crate::fs::{self, DataFile, Dir, OpenWriters};
use crate::model::{FileName, NUMBER_MAX, Stat, parent_of};
use crate::probe::candidate::Candidate;
use crate::probe::sidecars_by_name;
use crate::probe::unproven::Unproven;

/// Where a rejected drop is.
pub enum Aside {
    /// It stays: no directory is configured, or it has hard links.
    InPlace,
    /// It stays, because another description names some of its data files.
    Shared,
    /// It stays, because npyd can't prove that it has no writer, or may not move it.
    Unproven(Unproven),
    /// It stays, because it can't be moved, and a retry can't succeed either.
    Immovable(fs::FsError),
    /// It stays, because files of its name are in the directory, and it has several files.
    NameTaken(FileName),
    /// It moved to the configured directory, where it has this name.
    Moved(FileName),
}

/// Moves a rejected drop to the configured directory, if there is one, with a text file that gives
/// the reason. A drop that already has an array stays. A process that has it open loses nothing by
/// a rename; before a copy to another file system, npyd must prove that there is no such process.
///
/// Data that do not have the declared digest may not be complete. They move only with that proof,
/// so that a producer that opens the file again finds it.
pub fn quarantine(
    drop_dir: &DropDir,
    candidate: &Candidate,
    why: (&Reason, &str),
) -> fs::Result<Aside> {
    match try_quarantine(drop_dir, candidate, why) {
        Err(error) if error.is_name_too_long() => Ok(Aside::Immovable(error)),
        other => other,
    }
}

fn try_quarantine(
    drop_dir: &DropDir,
    candidate: &Candidate,
    (reason, text): (&Reason, &str),
) -> fs::Result<Aside> {
    let Some(rejects) = &drop_dir.rejects else { return Ok(Aside::InPlace) };
    if candidate.has_shared_parts() {
        return Ok(Aside::Shared);
    }
    // A file with other names may belong to someone else.
    let has_links = candidate.input.files.iter().any(|input| input.stat.nlink > 1);
    if candidate.has_array || has_links {
        return Ok(Aside::InPlace);
    }
    let parent = parent_of(&candidate.input.rel);
    let source = Dir::open_below(&drop_dir.path, parent)?;
    let rejects = mirrored(drop_dir, rejects, parent)?;
    rejects.check_is_not(&source)?;
    if let Some(why) = candidate.input.protection_in(&source)? {
        return Ok(Aside::Unproven(why));
    }
    let writers = unproven_writers(drop_dir);
    let is_copied = !rejects.is_on_mount_of(&source)?;
    let needs_proof = is_copied || matches!(reason, Reason::Digest(_));
    if needs_proof
        && writers == OpenWriters::ProvedAbsent
        && let Err(why) = candidate.input.leases()?
    {
        return Ok(Aside::Unproven(why));
    }
    let along = match &candidate.input.files[..] {
        [only] => sidecars_by_name(drop_dir, &source, &only.name)?,
        _ => Vec::new(),
    };
    let files = files_in_move_order(candidate, &along);
    let name = &candidate.input.name;
    let note = note_text(&drop_dir.path.join(&candidate.input.rel), text);
    let number = free_number(&rejects, &files, (&note_name(name), &note))?;
    // Which files of that number are the parts of a series is told by their names alone.
    if number > 0 && candidate.input.files.len() > 1 {
        return Ok(Aside::NameTaken(name.clone()));
    }
    // Write the reason first: a crash then leaves a text without a file, never a file without a
    // reason.
    write_note(&rejects, &note_name(name).alternative(number), &note)?;
    move_to_quarantine(&files, (&source, &rejects, number), is_copied, writers)?;
    Ok(Aside::Moved(name.alternative(number)))
}

/// Removes the note of a drop that could not be moved to the quarantine, and is an array now. Does
/// nothing if a file in the quarantine has that note.
pub(crate) fn remove_stale_note(job: &Job) -> fs::Result<()> {
    let Some(rejects) = open_rejects(&job.drop_dir, job.parent())? else { return Ok(()) };
    let (name, note) = (&job.candidate.input.name, note_name(&job.candidate.input.name));
    let Some(found) = rejects.open_file(note.as_ref())? else { return Ok(()) };
    let is_own = belongs(&rejects, &note, &job.path())? == Belongs::Yes;
    if is_own && rejects.stat(name.as_ref())?.is_none() {
        remove_note(&rejects, &note, &found)?;
    }
    Ok(())
}

/// Returns the lowest number whose names are all free, or have copies that an interrupted attempt
/// made of these files.
fn free_number(
    rejects: &Dir,
    files: &[(&FileName, &DataFile)],
    (note_name, note): (&FileName, &str),
) -> fs::Result<u32> {
    'numbers: for number in 0..=NUMBER_MAX {
        let note_name = note_name.alternative(number);
        let is_noted = has_note(rejects, &note_name, note)?;
        if !is_noted && rejects.stat(note_name.as_ref())?.is_some() {
            continue;
        }
        for (name, file) in files {
            let there = rejects.stat(name.alternative(number).as_ref())?;
            let is_own = |there: &Stat| Ok(is_noted && there.may_be_copy_of(&file.stat()?));
            if !there.as_ref().map_or(Ok(true), is_own)? {
                continue 'numbers;
            }
        }
        return Ok(number);
    }
    Err(rejects.names_exhausted(note_name.as_ref()))
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
    (source, rejects, number): (&Dir, &Dir, u32),
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
        let copies =
            claimed.iter().map(|(name, file, _)| copied(file, rejects, &name.alternative(number)));
        let copies = copies.collect::<fs::Result<Vec<_>>>()?;
        for ((name, file, _), copy) in claimed.iter().zip(copies) {
            if let Ok(lost) = copy.remove_source((source, name, file), rejects, writers)? {
                lost.note(file);
            }
        }
    } else {
        for (name, file, _) in &claimed {
            let conditions =
                Conditions { before: None, rename: OpenWriters::Trusted, copy: writers };
            let _ =
                move_away(source, name, file, (rejects, &name.alternative(number)), conditions)?;
        }
    }
    rejects.sync()?;
    source.sync()
}
