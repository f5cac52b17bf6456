//! Quarantine: refused drops move to the directory that the settings name for them, and come back
//! from there to be tried again.

use std::path::Path;

use crate::config::DropDir;
use crate::finalize::disposition::{Guard, move_away, numbered};
use crate::finalize::locations::mirrored;
use crate::finalize::transfer::copied;
use crate::finalize::writer_proof::unproven_writers;
use crate::fs::{self, DataFile, Dir, OpenWriters, TempFile};
use crate::model::FileName;
use crate::probe::candidate::{Candidate, Unproven};

/// Where a refused drop is.
pub enum Aside {
    /// Where it was: the settings name no other place, or it has hard links.
    InPlace,
    /// Where it was, because nothing proves that nobody writes to it.
    Unproven(Unproven),
    /// In the configured directory.
    Moved,
}

/// Moves a refused drop to the configured directory, if there is one, with a text that says why it
/// is there. One that has an array already stays. A rename takes nothing from whoever may still
/// write to it; a copy to another file system would.
pub fn quarantine(drop_dir: &DropDir, candidate: &Candidate, reason: &str) -> fs::Result<Aside> {
    let Some(rejects) = &drop_dir.rejects else { return Ok(Aside::InPlace) };
    // What has other names may be somebody else's, from anywhere.
    let mut stats = candidate.parts.iter().map(|part| &part.stat).chain([&candidate.stat]);
    if candidate.has_array || stats.any(|stat| stat.nlink > 1) {
        return Ok(Aside::InPlace);
    }
    let parent = candidate.rel.parent().unwrap_or(Path::new(""));
    let source = Dir::open_below(&drop_dir.path, parent)?;
    let rejects = mirrored(drop_dir, rejects, parent)?;
    let writers = unproven_writers(drop_dir);
    let is_copied = !rejects.is_on_mount_of(&source)?;
    if is_copied
        && writers == OpenWriters::ProvedAbsent
        && let Err(why) = candidate.leases()?
    {
        return Ok(Aside::Unproven(why));
    }
    // The reason first: a crash leaves a text too many rather than a file that nobody explains.
    explain(&rejects, &format!("{}.rejected.txt", candidate.name), &format!("{reason}\n"))?;
    move_to_quarantine(&files_in_move_order(candidate), (&source, &rejects), is_copied, writers)?;
    Ok(Aside::Moved)
}

/// The files of a refused drop, in the order in which they go.
fn files_in_move_order(candidate: &Candidate) -> Vec<(&FileName, &DataFile)> {
    let sidecar = candidate.sidecar.iter().filter(|sidecar| !sidecar.is_shared);
    let parts = candidate.parts.iter().map(|part| (&part.name, &part.file));
    let files = sidecar.map(|it| (&it.name, &it.file)).chain(parts);
    files.chain([(&candidate.name, &candidate.file)]).collect()
}

fn move_to_quarantine(
    files: &[(&FileName, &DataFile)],
    (source, rejects): (&Dir, &Dir),
    is_copied: bool,
    writers: OpenWriters,
) -> fs::Result<()> {
    let mut claimed = Vec::new();
    for &(name, file) in files {
        // Or somebody else is moving it.
        claimed.extend(file.claim()?.map(|claim| (name, file, claim)));
    }
    if is_copied {
        // What takes long comes before any of them is gone: until then it is the drop it was.
        let copies = claimed.iter().map(|(name, file, _)| copied(file, rejects, name.as_str()));
        let copies = copies.collect::<fs::Result<Vec<_>>>()?;
        for ((name, file, _), copy) in claimed.iter().zip(&copies) {
            copy.lost.log(file);
            let _ = source.remove_if_unchanged((*name).as_ref(), file, &copy.source, writers)?;
        }
    } else {
        for (name, file, _) in &claimed {
            let guard = Guard { before: None, rename: OpenWriters::Trusted, copy: writers };
            let _ = move_away(source, name, file, (rejects, name), guard)?;
        }
    }
    rejects.sync()?;
    source.sync()
}

/// Brings a rejected drop back from where it was set aside, its manifest first; what is no longer
/// there stays away.
pub fn restore_rejected(
    drop_dir: &DropDir,
    source: &Path,
    sidecar: Option<&str>,
) -> fs::Result<()> {
    let Some(rejects) = &drop_dir.rejects else { return Ok(()) };
    let rel = source.strip_prefix(&drop_dir.path).unwrap_or(source);
    let parent = rel.parent().unwrap_or(Path::new(""));
    let from = match Dir::open_trusted(rejects, drop_dir.untrusted_root())
        .and_then(|dir| dir.into_subdir(parent))
    {
        Err(error) if error.is_missing() => return Ok(()),
        opened => opened?,
    };
    let to = Dir::open_below(&drop_dir.path, parent)?;
    // A file that a retry was just moving when it was ended has its name again.
    fs::recover_dir(&from, &[to.try_clone()?])?;
    let data = rel.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    for name in [sidecar, Some(data)].into_iter().flatten() {
        let Ok(name) = FileName::try_from(name.to_owned()) else { continue };
        let Some(file) = from.open_file(name.as_ref())? else { continue };
        if let Some(_claim) = file.claim()? {
            let copy = unproven_writers(drop_dir);
            let guard = Guard { before: None, rename: OpenWriters::Trusted, copy };
            let _ = move_away(&from, &name, &file, (&to, &name), guard)?;
        }
    }
    to.sync()?;
    from.sync()
}

/// Writes a text under the first of these names that is free, or has it already: the drop may be
/// one that could not be moved before.
fn explain(dir: &Dir, name: &str, text: &str) -> fs::Result<()> {
    let mut note = TempFile::create(dir, text.len() as u64)?;
    note.file().write_all_at(text.as_bytes(), 0)?;
    for name in numbered(name) {
        if note.publish(&name, false)? {
            return Ok(());
        }
        let there = dir.open_file(&name)?.map(|file| file.read_at_most(0, text.len() + 1));
        if there.transpose()?.is_some_and(|there| there == text.as_bytes()) {
            return Ok(());
        }
    }
    Err(dir.names_exhausted(name.as_ref()))
}
