//! What becomes of the source once its array is durable, and of drops that are refused.
//!
//! A sidecar is never deleted. Where its data file goes, it goes along, or moves beside the array
//! under a name that no longer makes it a manifest waiting for data.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::source::check_source;
use super::{Halt, Settled, Site, check_sidecar, mirrored};
use crate::candidate::{Candidate, Part, Sidecar};
use crate::config::{Disposition, Inbox};
use crate::disk::{self, Claim, CopyError, DataFile, Dir, Moved, Output, Stat, Stretch, Writers};
use crate::look::{Finished, Leftover, Remains};
use crate::plan::Route;
use crate::receipt::{Event, SourceFate};
use crate::recognize::FileName;

/// The most names that are tried for a file that moves away.
const NUMBER_MAX: u32 = 10_000;

/// Claims the sidecar where it is to move. Once the data are gone, it looks like a crash's
/// leftover: whoever would tidy it must see that it is being worked on.
pub(super) fn claim_sidecar(settled: &Settled, route: Route) -> Result<Option<Claim>, Halt> {
    let stays = settled.inbox.source == Disposition::Keep && !route.takes_the_file();
    match &settled.candidate.sidecar {
        Some(sidecar) if !stays => match sidecar.file.claim()? {
            None => Err(Halt::Busy("another process has its manifest locked".to_owned())),
            claim => Ok(claim),
        },
        _ => Ok(None),
    }
}

/// What became of the source of an array.
pub(super) enum SourceIs {
    /// Where it was.
    Kept,
    /// Something else by now: it stays, and is a drop of its own.
    Another,
    /// The array itself.
    TheArray,
    /// Gone.
    Removed,
    /// In this directory.
    Archived(Dir),
}

impl SourceIs {
    /// What the receipt says of it.
    pub(super) fn fate(&self) -> SourceFate {
        match self {
            SourceIs::Kept => SourceFate::Kept,
            SourceIs::Another => SourceFate::Unproven,
            SourceIs::TheArray => SourceFate::Array,
            SourceIs::Removed => SourceFate::Removed,
            SourceIs::Archived(_) => SourceFate::Archived,
        }
    }

    /// What the receipt says of one that could not be dealt with as configured.
    pub(super) fn remark(&self, disposition: Disposition) -> Option<String> {
        let what = match (self, disposition) {
            (SourceIs::Another, Disposition::Remove) => "removed",
            (SourceIs::Another, Disposition::Archive) => "archived",
            _ => return None,
        };
        Some(format!("the source, or what describes it, changed meanwhile and was not {what}"))
    }
}

/// Removes or archives the source as configured; the caller makes that durable.
pub(super) fn put_source_away(
    settled: &Settled,
    site: &Site,
    route: Route,
    event: Event,
) -> Result<SourceIs, Halt> {
    let candidate = &settled.candidate;
    let became_the_array =
        event == Event::Finalized && (route.takes_the_file() || settled.keeps_its_name(site));
    let gone = match settled.inbox.source {
        _ if became_the_array => SourceIs::TheArray,
        Disposition::Keep => return Ok(SourceIs::Kept),
        Disposition::Remove => SourceIs::Removed,
        Disposition::Archive => SourceIs::Archived(archive_dir(settled)?),
    };
    if !became_the_array {
        match check_source(settled).and_then(|()| check_sidecar(settled, site)) {
            // What was written since, or said of it, is in no array yet.
            Err(Halt::Again(_)) => return Ok(SourceIs::Another),
            checked => checked?,
        }
        let Candidate { name, file, stat, .. } = candidate;
        if !put_away(site, name, (file, stat, settled.writers()), &gone)? {
            return Ok(SourceIs::Another);
        }
    }
    for part in &candidate.parts {
        let Part { name, file, stat, .. } = part;
        // Or a scan would give it its name back amid of this.
        let Some(_claim) = file.claim()? else {
            return Err(Halt::Busy(format!("another process has `{name}` locked")));
        };
        if !put_away(site, name, (file, stat, settled.writers()), &gone)? {
            return Ok(SourceIs::Another);
        }
    }
    Ok(gone)
}

/// Removes or archives a data file; `false` where the name means another by now.
fn put_away(
    site: &Site,
    name: &FileName,
    (file, stat, writers): (&DataFile, &Stat, Writers),
    to: &SourceIs,
) -> disk::Result<bool> {
    match to {
        SourceIs::Archived(archive) => {
            move_away(&site.source, name, file, (archive, name), Some((stat, writers)))
        }
        _ => site.source.remove_if_unchanged(name.as_ref(), file, stat, writers),
    }
}

/// Has the sidecar follow its data, where it is theirs alone; the caller makes that durable.
pub(super) fn put_sidecar_away(
    settled: &Settled,
    site: &Site,
    source: &SourceIs,
) -> Result<(), Halt> {
    if let Some(sidecar) = settled.candidate.sidecar.as_ref().filter(|sidecar| !sidecar.is_shared) {
        match source {
            SourceIs::Kept | SourceIs::Another => {}
            SourceIs::Archived(archive) => follow(&site.source, sidecar, archive)?,
            SourceIs::TheArray | SourceIs::Removed => {
                retire(&site.source, sidecar, &site.output)?;
            }
        }
    }
    Ok(())
}

fn archive_dir(settled: &Settled) -> Result<Dir, Halt> {
    match &settled.inbox.archive {
        Some(archive) => Ok(mirrored(&settled.inbox, archive, settled.parent())?),
        None => Err(Halt::Rejected("source = \"archive\" needs archive = \"DIR\"".to_owned())),
    }
}

/// Moves a sidecar that is claimed to where its data were archived.
fn follow(source: &Dir, sidecar: &Sidecar, archive: &Dir) -> disk::Result<()> {
    move_sidecar(source, sidecar, archive, &sidecar.name)
}

/// Moves a sidecar that is claimed, and whose data became an array, beside that array.
fn retire(source: &Dir, sidecar: &Sidecar, output: &Dir) -> disk::Result<()> {
    let name = FileName::try_from(format!("{}.done", sidecar.name)).unwrap_or(sidecar.name.clone());
    move_sidecar(source, sidecar, output, &name)
}

/// Moves a sidecar, unless it was written to since it was read: then it describes what comes next.
fn move_sidecar(source: &Dir, sidecar: &Sidecar, to_dir: &Dir, to: &FileName) -> disk::Result<()> {
    let Sidecar { name, file, stat, .. } = sidecar;
    move_away(source, name, file, (to_dir, to), Some((stat, Writers::Barred))).map(drop)
}

/// Finishes what a crash interrupted: the data are an array, and only their manifest was left, or
/// some of their files, too. One that is claimed is about to be moved by whoever dealt with the
/// data. Returns what is waited for, where something else stands there by now.
pub fn tidy_leftover(inbox: &Inbox, leftover: &Leftover) -> disk::Result<Option<String>> {
    let Leftover { sidecar, finished: Finished { array, became_the_array, remains } } = leftover;
    let Some(_claim) = sidecar.file.claim()? else { return Ok(None) };
    let parent = sidecar.rel.parent().unwrap_or(Path::new(""));
    let source = Dir::open_below(&inbox.path, parent)?;
    let output = match &inbox.output {
        Some(output) => mirrored(inbox, output, parent)?,
        None => source.again()?,
    };
    let archive = match (inbox.source, &inbox.archive) {
        (Disposition::Archive, Some(archive)) if !became_the_array => {
            Some(mirrored(inbox, archive, parent)?)
        }
        _ => None,
    };
    if !remains.is_empty() {
        output.sync()?; // as before any source is touched
        for one in remains {
            let is_kept = inbox.source == Disposition::Keep;
            if is_kept || !put_remains_away(&source, one, array, archive.as_ref())? {
                let name = &one.part.name;
                return Ok(Some(format!(
                    "the files that belong to `{name}` are not all there yet"
                )));
            }
        }
        archive.as_ref().map_or(Ok(()), Dir::sync)?;
        source.sync()?;
    }
    if let Some(archive) = &archive {
        follow(&source, sidecar, archive)?;
        archive.sync()?;
    } else {
        retire(&source, sidecar, &output)?;
        output.sync()?;
    }
    source.sync().map(|()| None)
}

/// Removes or archives a file of the data of an array; `false` where the array does not hold what
/// is in it, or somebody is at it.
fn put_remains_away(
    source: &Dir,
    remains: &Remains,
    array: &DataFile,
    archive: Option<&Dir>,
) -> disk::Result<bool> {
    let Remains { part: Part { name, file, stat, .. }, offset, at, len } = remains;
    let Some(_claim) = file.claim()? else { return Ok(false) };
    let is_alone = file.writer() != disk::Writer::Present;
    if !is_alone || !array.is_equal_at(*at, file, *offset, *len)? {
        return Ok(false);
    }
    match archive {
        Some(archive) => {
            move_away(source, name, file, (archive, name), Some((stat, Writers::Barred)))
        }
        None => source.remove_if_unchanged(name.as_ref(), file, stat, Writers::Barred),
    }
}

/// Moves a refused drop to the configured directory, if there is one, with a text that says why it
/// is there. One that has hard links stays. Tells whether it was moved.
pub fn set_aside(inbox: &Inbox, candidate: &Candidate, reason: &str) -> disk::Result<bool> {
    let Some(rejects) = &inbox.rejects else { return Ok(false) };
    // What has other names may be somebody else's, from anywhere.
    let stats = candidate.parts.iter().map(|part| &part.stat).chain([&candidate.stat]);
    if stats.into_iter().any(|stat| stat.nlink > 1) {
        return Ok(false);
    }
    let parent = candidate.rel.parent().unwrap_or(Path::new(""));
    let source = Dir::open_below(&inbox.path, parent)?;
    let rejects = mirrored(inbox, rejects, parent)?;
    // The reason first: a crash leaves a text too many rather than a file that nobody explains.
    explain(&rejects, &format!("{}.rejected.txt", candidate.name), &format!("{reason}\n"))?;
    move_aside(&to_set_aside(candidate), &source, &rejects)?;
    Ok(true)
}

/// The files of a refused drop, in the order in which they go.
fn to_set_aside(candidate: &Candidate) -> Vec<(&FileName, &DataFile)> {
    let sidecar = candidate.sidecar.iter().filter(|sidecar| !sidecar.is_shared);
    let parts = candidate.parts.iter().map(|part| (&part.name, &part.file));
    let files = sidecar.map(|it| (&it.name, &it.file)).chain(parts);
    files.chain([(&candidate.name, &candidate.file)]).collect()
}

fn move_aside(files: &[(&FileName, &DataFile)], source: &Dir, rejects: &Dir) -> disk::Result<()> {
    let mut claimed = Vec::new();
    for &(name, file) in files {
        // Or somebody else is moving it.
        claimed.extend(file.claim()?.map(|claim| (name, file, claim)));
    }
    if rejects.is_on_mount_of(source)? {
        for (name, file, _) in &claimed {
            move_away(source, name, file, (rejects, name), None)?;
        }
    } else {
        // What takes long comes before any of them is gone: until then it is the drop it was.
        let copied = claimed.iter().map(|(name, file, _)| copied(file, rejects, name.as_str()));
        let before = copied.collect::<disk::Result<Vec<_>>>()?;
        for ((name, file, _), before) in claimed.iter().zip(&before) {
            source.remove_if_unchanged((*name).as_ref(), file, before, Writers::Barred)?;
        }
    }
    rejects.sync()?;
    source.sync()
}

/// Brings a rejected drop back from where it was set aside, its manifest first; what is no longer
/// there stays away.
pub fn bring_back(inbox: &Inbox, source: &Path, sidecar: Option<&str>) -> disk::Result<()> {
    let Some(rejects) = &inbox.rejects else { return Ok(()) };
    let rel = source.strip_prefix(&inbox.path).unwrap_or(source);
    let parent = rel.parent().unwrap_or(Path::new(""));
    let from = match Dir::open_own(rejects, inbox.shared()).and_then(|dir| dir.below(parent)) {
        Err(error) if error.is_missing() => return Ok(()),
        opened => opened?,
    };
    let to = Dir::open_below(&inbox.path, parent)?;
    // A file that a retry was just moving when it was ended has its name again.
    disk::tidy(&from, &[to.again()?])?;
    let data = rel.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    for name in [sidecar, Some(data)].into_iter().flatten() {
        let Ok(name) = FileName::try_from(name.to_owned()) else { continue };
        let Some(file) = from.open_file(name.as_ref())? else { continue };
        if let Some(_claim) = file.claim()? {
            move_away(&from, &name, &file, (&to, &name), None)?;
        }
    }
    to.sync()?;
    from.sync()
}

/// `name`, `name.1`, `name.2`, …
fn numbered(name: &str) -> impl Iterator<Item = PathBuf> {
    let rest = (1..NUMBER_MAX).map(move |number| PathBuf::from(format!("{name}.{number}")));
    std::iter::once(PathBuf::from(name)).chain(rest)
}

fn publish_numbered(output: &mut Output, dir: &Dir, name: &str) -> disk::Result<()> {
    for name in numbered(name) {
        if output.publish(&name, false)? {
            return Ok(());
        }
    }
    Err(dir.no_name_left(name.as_ref()))
}

/// Writes a text under the first of these names that is free, or has it already: the drop may be
/// one that could not be moved before.
fn explain(dir: &Dir, name: &str, text: &str) -> disk::Result<()> {
    let mut note = Output::create(dir, text.len() as u64)?;
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
    Err(dir.no_name_left(name.as_ref()))
}

/// Moves a file that is claimed, under the first free of the names `to`, `to.1`, `to.2`, …; the
/// caller makes that durable. `false` where the name means another file by now, or the file is not
/// what it was `before`.
fn move_away(
    from: &Dir,
    name: &FileName,
    file: &DataFile,
    (to_dir, to): (&Dir, &FileName),
    before: Option<(&Stat, Writers)>,
) -> disk::Result<bool> {
    for number in numbered(to.as_str()) {
        let moved = match before {
            Some((before, writers)) => {
                let file = (file, before, writers);
                from.move_if_unchanged(name.as_ref(), file, to_dir, &number)
            }
            None => from.move_if_same(name.as_ref(), file, to_dir, &number, false),
        };
        match moved? {
            Moved::Moved => return Ok(true),
            Moved::NotSame => return Ok(false),
            Moved::TargetExists => {}
            Moved::OtherFileSystem => {
                let now = file.stat()?;
                if before.is_some_and(|(before, _)| !now.is_unchanged_since(before)) {
                    return Ok(false);
                }
                let before = copied(file, to_dir, to.as_str())?;
                return from.remove_if_unchanged(name.as_ref(), file, &before, Writers::Barred);
            }
        }
    }
    Err(to_dir.no_name_left(to.as_ref()))
}

/// What a file is that is durable on another file system, too: it was copied there before, or is
/// now.
fn copied(source: &DataFile, to_dir: &Dir, to: &str) -> disk::Result<Stat> {
    match found_whole(source, to_dir, to)? {
        Some(before) => Ok(before),
        None => copy_whole(source, to_dir, to),
    }
}

/// What a file is that was copied to another file system before, by a run that was ended then; the
/// copy is durable.
fn found_whole(source: &DataFile, to_dir: &Dir, to: &str) -> disk::Result<Option<Stat>> {
    let before = source.stat()?;
    for name in numbered(to) {
        let Some(there) = to_dir.open_file(&name)? else { break };
        let stat = there.stat()?;
        let is_ours = stat.is_file() && stat.uid == disk::own_uid();
        let is_as_long = stat.size == before.size;
        if is_ours && is_as_long && there.is_equal_at(0, source, 0, before.size)? {
            there.sync_all()?;
            to_dir.sync()?;
            return Ok(Some(before));
        }
    }
    Ok(None)
}

/// Copies a file to another file system, under the first free name, and tells what it was. All that
/// was written to it by then is in the copy, or it is an error.
fn copy_whole(source: &DataFile, to_dir: &Dir, to: &str) -> disk::Result<Stat> {
    let before = source.stat()?;
    let check = || {
        let written = source.writer() == disk::Writer::Present;
        if !written && source.stat()?.is_unchanged_since(&before) {
            Ok(())
        } else {
            Err(source.changed())
        }
    };
    let len = before.size;
    let mut output = Output::create(to_dir, len)?;
    let stretches = vec![Stretch { file: source, offset: 0, len }];
    let copy = disk::Copy { head: &[], stretches };
    match copy.run(&output, &mut |_| {}, &mut |_| ControlFlow::Continue(())) {
        Ok(()) => {
            output.file().narrow_rights(&before)?;
            check()?;
            publish_numbered(&mut output, to_dir, to)?;
            check().map(|()| before)
        }
        Err(CopyError::Disk(error)) => Err(error),
        Err(CopyError::Stopped | CopyError::SourceEnded { .. }) => Err(source.changed()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    #[test]
    fn a_file_that_is_still_written_to_is_not_moved_by_a_copy() {
        let temp = tempfile::tempdir().unwrap();
        let (from, to) = (temp.path().join("x"), temp.path().join("to"));
        fs::write(&from, "text").unwrap();
        fs::create_dir(&to).unwrap();
        let to_dir = Dir::open(&to).unwrap();
        let file = DataFile::open(&from).unwrap();
        let writer = fs::File::options().append(true).open(&from).unwrap();
        assert!(copy_whole(&file, &to_dir, "x").is_err());
        assert!(!to.join("x").exists());
        drop(writer);
        copy_whole(&file, &to_dir, "x").unwrap();
        assert_eq!(fs::read(to.join("x")).unwrap(), b"text");
    }

    #[test]
    fn a_copy_can_be_read_by_nobody_who_could_not_read_the_file() {
        let temp = tempfile::tempdir().unwrap();
        let from = temp.path().join("x");
        fs::write(&from, "text").unwrap();
        fs::set_permissions(&from, PermissionsExt::from_mode(0o600)).unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        copy_whole(&DataFile::open(&from).unwrap(), &dir, "y").unwrap();
        assert_eq!(fs::metadata(temp.path().join("y")).unwrap().mode() & 0o7777, 0o600);
    }
}
