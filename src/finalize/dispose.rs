//! What becomes of the source once its array is durable.
//!
//! A sidecar is never deleted. Where its data file goes, it goes along, or moves beside the array
//! under a name that no longer makes it a manifest waiting for data.

use std::path::{Path, PathBuf};

use super::source::check_content;
use super::transfer::{Copied, Lost, copied};
use super::{Halt, Settled, Site, check_sidecar, mirrored, unproven_writers};
use crate::candidate::{Candidate, Part, Sidecar, Unproven};
use crate::config::{Disposition, Inbox};
use crate::disk::{self, Claim, DataFile, Dir, Guarded, Moved, NotTaken, Stat, Writers};
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
    /// Where it was, as the settings say.
    Kept,
    /// Where it was, because it changed: it is a drop of its own.
    Changed,
    /// Where it was, because nothing proves that nobody writes to it, for this reason.
    Unproven(Unproven),
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
            SourceIs::Kept | SourceIs::Changed => SourceFate::Kept,
            SourceIs::Unproven(_) => SourceFate::Unproven,
            SourceIs::TheArray => SourceFate::Array,
            SourceIs::Removed => SourceFate::Removed,
            SourceIs::Archived(_) => SourceFate::Archived,
        }
    }

    /// What the receipt says of one that could not be dealt with as configured, or not at first.
    pub(super) fn remark(&self, disposition: Disposition, event: Event) -> Option<String> {
        let what = disposition.participle()?;
        match self {
            SourceIs::Removed | SourceIs::Archived(_) if event == Event::Found => {
                Some(format!("the source is {what} now"))
            }
            SourceIs::Changed => Some(format!(
                "the source, or what describes it, changed meanwhile and was not {what}"
            )),
            SourceIs::Unproven(why) => Some(not_proven(what, why)),
            _ => None,
        }
    }
}

/// Why a source stays, and what would let it go.
pub(super) fn not_proven(what: &str, why: &Unproven) -> String {
    format!("the source is not {what}: {why}; each scan tries again; {}", why.remedy())
}

/// Removes or archives the source as configured; the caller makes that durable. It stays without a
/// proof that nobody writes to any of its files, or their producer's word.
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
        _ if became_the_array => return Ok(SourceIs::TheArray),
        Disposition::Keep => return Ok(SourceIs::Kept),
        Disposition::Remove => SourceIs::Removed,
        Disposition::Archive => SourceIs::Archived(archive_dir(settled)?),
    };
    let leases = match settled.writers() {
        Writers::ProvedAbsent => candidate.leases(),
        Writers::NotSeen | Writers::Trusted => Ok(Vec::new()),
    };
    // Held until all files are gone: whoever opens one of them for writing waits for that.
    let _leases = match leases {
        Ok(leases) => leases,
        Err(why) => return Ok(SourceIs::Unproven(why)),
    };
    match check_content(settled).and_then(|()| check_sidecar(settled, site)) {
        // What was written since, or said of it, is in no array yet.
        Err(Halt::Again(_)) => return Ok(SourceIs::Changed),
        checked => checked?,
    }
    let Candidate { name, file, stat, .. } = candidate;
    let mut last = name;
    let mut away = put_away(site, name, (file, stat, settled.writers()), &gone)?;
    for part in &candidate.parts {
        let Part { name, file, stat, .. } = part;
        // Or a scan would give it its name back in the middle of this.
        let Some(_claim) = file.claim()? else {
            return Err(Halt::Busy(format!("another process has `{name}` locked")));
        };
        if away.is_ok() {
            last = name;
            away = put_away(site, name, (file, stat, settled.writers()), &gone)?;
        }
    }
    Ok(match away {
        Ok(()) => gone,
        Err(NotTaken::Changed) => SourceIs::Changed,
        Err(NotTaken::Unproven) => SourceIs::Unproven(Unproven::opened(last)),
    })
}

/// Removes or archives a data file.
fn put_away(
    site: &Site,
    name: &FileName,
    (file, stat, writers): (&DataFile, &Stat, Writers),
    to: &SourceIs,
) -> disk::Result<Guarded> {
    match to {
        SourceIs::Archived(archive) => {
            let guard = Guard { before: Some(stat), rename: writers, copy: writers };
            let moved = move_away(&site.source, name, file, (archive, name), guard)?;
            Ok(moved.map(|lost| site.lost.borrow_mut().add(lost)))
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
            SourceIs::Kept | SourceIs::Changed | SourceIs::Unproven(_) => {}
            SourceIs::Archived(archive) => {
                follow(&site.source, sidecar, archive, settled.writers())?;
            }
            SourceIs::TheArray | SourceIs::Removed => {
                retire(&site.source, sidecar, &site.output, settled.writers())?;
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
fn follow(source: &Dir, sidecar: &Sidecar, archive: &Dir, writers: Writers) -> disk::Result<()> {
    move_sidecar(source, sidecar, (archive, &sidecar.name), writers)
}

/// Moves a sidecar that is claimed, and whose data became an array, beside that array.
fn retire(source: &Dir, sidecar: &Sidecar, output: &Dir, writers: Writers) -> disk::Result<()> {
    let name = FileName::try_from(format!("{}.done", sidecar.name)).unwrap_or(sidecar.name.clone());
    move_sidecar(source, sidecar, (output, &name), writers)
}

/// Moves a sidecar, unless it was written to since it was read: then it describes what comes next.
/// To rename it takes nothing from whoever may have it open. One that stays for want of a proof is
/// found by the next scan.
fn move_sidecar(
    source: &Dir,
    sidecar: &Sidecar,
    to: (&Dir, &FileName),
    writers: Writers,
) -> disk::Result<()> {
    let Sidecar { name, file, stat, .. } = sidecar;
    let guard = Guard { before: Some(stat), rename: Writers::NotSeen, copy: writers };
    if let Ok(lost) = move_away(source, name, file, to, guard)? {
        lost.log(file);
    }
    Ok(())
}

/// Finishes what a crash interrupted: the data are an array, and only their manifest was left, or
/// some of their files, too. One that is claimed is about to be moved by whoever dealt with the
/// data. Returns what is waited for, where something else stands there by now.
pub fn tidy_leftover(inbox: &Inbox, leftover: &Leftover) -> disk::Result<Option<String>> {
    let Leftover { sidecar, finished: Finished { array, became_the_array, remains, .. } } =
        leftover;
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
            if is_kept || !put_remains_away(inbox, &source, one, (array, archive.as_ref()))? {
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
        follow(&source, sidecar, archive, unproven_writers(inbox))?;
        archive.sync()?;
    } else {
        retire(&source, sidecar, &output, unproven_writers(inbox))?;
        output.sync()?;
    }
    source.sync().map(|()| None)
}

/// Removes or archives a file of the data of an array; `false` where the array does not hold what
/// is in it, or somebody is at it.
fn put_remains_away(
    inbox: &Inbox,
    source: &Dir,
    remains: &Remains,
    (array, archive): (&DataFile, Option<&Dir>),
) -> disk::Result<bool> {
    let Remains { part: Part { name, file, stat, .. }, offset, at, len } = remains;
    let Some(_claim) = file.claim()? else { return Ok(false) };
    let is_alone = file.writer() != disk::Writer::Present;
    if !is_alone || !array.is_equal_at(*at, file, *offset, *len)? {
        return Ok(false);
    }
    let writers = unproven_writers(inbox);
    let away = match archive {
        Some(archive) => {
            let guard = Guard { before: Some(stat), rename: writers, copy: writers };
            let moved = move_away(source, name, file, (archive, name), guard)?;
            Ok(moved.map(|lost| lost.log(file)))
        }
        None => source.remove_if_unchanged(name.as_ref(), file, stat, writers),
    };
    away.map(|away| away.is_ok())
}

/// `name`, `name.1`, `name.2`, …
pub(super) fn numbered(name: &str) -> impl Iterator<Item = PathBuf> {
    let rest = (1..NUMBER_MAX).map(move |number| PathBuf::from(format!("{name}.{number}")));
    std::iter::once(PathBuf::from(name)).chain(rest)
}

/// What must hold of a file before it moves away.
#[derive(Clone, Copy)]
pub(super) struct Guard<'a> {
    /// What the file was; `None` where a change goes along with it.
    pub(super) before: Option<&'a Stat>,
    /// What is asked of its writers before it is renamed.
    pub(super) rename: Writers,
    /// What is asked of them before it gives way to a copy on another file system.
    pub(super) copy: Writers,
}

/// Moves a file that is claimed, under the first free of the names `to`, `to.1`, `to.2`, …; the
/// caller makes that durable. Returns what a copy on another file system could not keep.
pub(super) fn move_away(
    from: &Dir,
    name: &FileName,
    file: &DataFile,
    (to_dir, to): (&Dir, &FileName),
    guard: Guard<'_>,
) -> disk::Result<Guarded<Lost>> {
    for number in numbered(to.as_str()) {
        let moved = match guard.before {
            Some(before) => {
                let file = (file, before, guard.rename);
                from.move_if_unchanged(name.as_ref(), file, to_dir, &number)
            }
            None => from.move_if_same(name.as_ref(), file, to_dir, &number, false),
        };
        match moved? {
            Moved::Moved => return Ok(Ok(Lost::default())),
            Moved::NotSame => return Ok(Err(NotTaken::Changed)),
            Moved::Unproven => return Ok(Err(NotTaken::Unproven)),
            Moved::TargetExists => {}
            Moved::OtherFileSystem => return copy_away(from, name, file, (to_dir, to), guard),
        }
    }
    Err(to_dir.no_name_left(to.as_ref()))
}

/// Moves a file to another file system, by a copy.
fn copy_away(
    from: &Dir,
    name: &FileName,
    file: &DataFile,
    (to_dir, to): (&Dir, &FileName),
    guard: Guard<'_>,
) -> disk::Result<Guarded<Lost>> {
    let now = file.stat()?;
    if guard.before.is_some_and(|before| !now.is_unchanged_since(before)) {
        return Ok(Err(NotTaken::Changed));
    }
    // Asked before the work is done; what counts is the answer when the file is removed.
    if guard.copy == Writers::ProvedAbsent && file.lease().is_none() {
        return Ok(Err(NotTaken::Unproven));
    }
    let Copied { source, lost } = copied(file, to_dir, to.as_str())?;
    let removed = from.remove_if_unchanged(name.as_ref(), file, &source, guard.copy)?;
    Ok(removed.map(|()| lost))
}
