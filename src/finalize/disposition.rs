//! What becomes of the source once its array is durable.
//!
//! A sidecar is never deleted. Where its data file goes, it goes along, or moves beside the array
//! under a name that no longer makes it a manifest waiting for data.

use std::path::{Path, PathBuf};

use crate::config::{Disposition, DropDir};
use crate::decide::route::Route;
use crate::events::receipt::{Event, SourceFate};
use crate::finalize::locations::{Locations, mirrored};
use crate::finalize::source_checks::{check_content, check_sidecar};
use crate::finalize::transfer::{Copied, Lost, copied};
use crate::finalize::writer_proof::unproven_writers;
use crate::finalize::{Interruption, Job};
use crate::fs::{self, Claim, DataFile, Dir, Guarded, Moved, NotTaken, OpenWriters};
use crate::model::{FileName, Stat};
use crate::probe::candidate::{Candidate, Part, Sidecar, Unproven};
use crate::probe::{FinishedArray, RemainingPart, Residue};

/// The most names that are tried for a file that moves away.
const NUMBER_MAX: u32 = 10_000;

/// Claims the sidecar where it is to move. Once the data are gone, it looks like a crash's
/// leftover: whoever would tidy it must see that it is being worked on.
pub(crate) fn claim_sidecar(job: &Job, route: Route) -> Result<Option<Claim>, Interruption> {
    let stays = job.drop_dir.source == Disposition::Keep && !route.consumes_source();
    match &job.candidate.sidecar {
        Some(sidecar) if !stays => match sidecar.file.claim()? {
            None => Err(Interruption::Locked("another process has its manifest locked".to_owned())),
            claim => Ok(claim),
        },
        _ => Ok(None),
    }
}

/// What became of the source of an array.
pub(crate) enum SourceOutcome {
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

impl SourceOutcome {
    /// What the receipt says of it.
    pub(crate) fn fate(&self) -> SourceFate {
        match self {
            SourceOutcome::Kept | SourceOutcome::Changed => SourceFate::Kept,
            SourceOutcome::Unproven(_) => SourceFate::Unproven,
            SourceOutcome::TheArray => SourceFate::Array,
            SourceOutcome::Removed => SourceFate::Removed,
            SourceOutcome::Archived(_) => SourceFate::Archived,
        }
    }

    /// What the receipt says of one that could not be dealt with as configured, or not at first.
    pub(crate) fn remark(&self, disposition: Disposition, event: Event) -> Option<String> {
        let what = disposition.participle()?;
        match self {
            SourceOutcome::Removed | SourceOutcome::Archived(_) if event == Event::Found => {
                Some(format!("the source is {what} now"))
            }
            SourceOutcome::Changed => Some(format!(
                "the source, or what describes it, changed meanwhile and was not {what}"
            )),
            SourceOutcome::Unproven(why) => Some(not_proven(what, why)),
            _ => None,
        }
    }
}

/// Why a source stays, and what would let it go.
pub(crate) fn not_proven(what: &str, why: &Unproven) -> String {
    format!("the source is not {what}: {why}; each scan tries again; {}", why.remedy())
}

/// Removes or archives the source as configured; the caller makes that durable. It stays without a
/// proof that nobody writes to any of its files, or their producer's word.
pub(crate) fn dispose_source(
    job: &Job,
    at: &Locations,
    route: Route,
    event: Event,
) -> Result<SourceOutcome, Interruption> {
    let candidate = &job.candidate;
    let consumed_source =
        event == Event::Finalized && (route.consumes_source() || job.keeps_its_name(at));
    let gone = match job.drop_dir.source {
        _ if consumed_source => return Ok(SourceOutcome::TheArray),
        Disposition::Keep => return Ok(SourceOutcome::Kept),
        Disposition::Remove => SourceOutcome::Removed,
        Disposition::Archive => SourceOutcome::Archived(archive_dir(job)?),
    };
    let leases = match job.writers() {
        OpenWriters::ProvedAbsent => candidate.leases()?,
        OpenWriters::NotSeen | OpenWriters::Trusted => Ok(Vec::new()),
    };
    // Held until all files are gone: whoever opens one of them for writing waits for that.
    let _leases = match leases {
        Ok(leases) => leases,
        Err(why) => return Ok(SourceOutcome::Unproven(why)),
    };
    match check_content(job).and_then(|()| check_sidecar(job, at)) {
        // What was written since, or said of it, is in no array yet.
        Err(Interruption::Retry(_)) => return Ok(SourceOutcome::Changed),
        checked => checked?,
    }
    let Candidate { name, file, stat, .. } = candidate;
    let mut last = name;
    let mut away = put_away(at, name, (file, stat, job.writers()), &gone)?;
    for part in &candidate.parts {
        let Part { name, file, stat, .. } = part;
        // Or a scan would give it its name back in the middle of this.
        let Some(_claim) = file.claim()? else {
            return Err(Interruption::Locked(format!("another process has `{name}` locked")));
        };
        if away.is_ok() {
            last = name;
            away = put_away(at, name, (file, stat, job.writers()), &gone)?;
        }
    }
    Ok(match away {
        Ok(()) => gone,
        Err(NotTaken::Changed) => SourceOutcome::Changed,
        Err(NotTaken::Unproven) => SourceOutcome::Unproven(Unproven::opened(last)),
    })
}

/// Removes or archives a data file.
fn put_away(
    at: &Locations,
    name: &FileName,
    (file, stat, writers): (&DataFile, &Stat, OpenWriters),
    to: &SourceOutcome,
) -> fs::Result<Guarded> {
    match to {
        SourceOutcome::Archived(archive) => {
            let guard = Guard { before: Some(stat), rename: writers, copy: writers };
            let moved = move_away(&at.source, name, file, (archive, name), guard)?;
            Ok(moved.map(|lost| at.lost.borrow_mut().add(lost)))
        }
        _ => at.source.remove_if_unchanged(name.as_ref(), file, stat, writers),
    }
}

/// Has the sidecar follow its data, where it is theirs alone; the caller makes that durable.
pub(crate) fn dispose_sidecar(
    job: &Job,
    at: &Locations,
    source: &SourceOutcome,
) -> Result<(), Interruption> {
    if let Some(sidecar) = job.candidate.sidecar.as_ref().filter(|sidecar| !sidecar.is_shared) {
        match source {
            SourceOutcome::Kept | SourceOutcome::Changed | SourceOutcome::Unproven(_) => {}
            SourceOutcome::Archived(archive) => {
                archive_sidecar(&at.source, sidecar, archive, job.writers())?;
            }
            SourceOutcome::TheArray | SourceOutcome::Removed => {
                mark_sidecar_done(&at.source, sidecar, &at.output, job.writers())?;
            }
        }
    }
    Ok(())
}

fn archive_dir(job: &Job) -> Result<Dir, Interruption> {
    match &job.drop_dir.archive {
        Some(archive) => Ok(mirrored(&job.drop_dir, archive, job.parent())?),
        None => {
            Err(Interruption::Rejected("source = \"archive\" needs archive = \"DIR\"".to_owned()))
        }
    }
}

/// Moves a sidecar that is claimed to where its data were archived.
fn archive_sidecar(
    source: &Dir,
    sidecar: &Sidecar,
    archive: &Dir,
    writers: OpenWriters,
) -> fs::Result<()> {
    move_sidecar(source, sidecar, (archive, &sidecar.name), writers)
}

/// Moves a sidecar that is claimed, and whose data became an array, beside that array.
fn mark_sidecar_done(
    source: &Dir,
    sidecar: &Sidecar,
    output: &Dir,
    writers: OpenWriters,
) -> fs::Result<()> {
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
    writers: OpenWriters,
) -> fs::Result<()> {
    let Sidecar { name, file, stat, .. } = sidecar;
    let guard = Guard { before: Some(stat), rename: OpenWriters::NotSeen, copy: writers };
    if let Ok(lost) = move_away(source, name, file, to, guard)? {
        lost.log(file);
    }
    Ok(())
}

/// Finishes what a crash interrupted: the data are an array, and only their manifest was left, or
/// some of their files, too. One that is claimed is about to be moved by whoever dealt with the
/// data. Returns what is waited for, where something else stands there by now.
pub fn recover_residue(drop_dir: &DropDir, residue: &Residue) -> fs::Result<Option<String>> {
    let Residue { sidecar, finished: FinishedArray { array, consumed_source, remains, .. } } =
        residue;
    let Some(_claim) = sidecar.file.claim()? else { return Ok(None) };
    let parent = sidecar.rel.parent().unwrap_or(Path::new(""));
    let source = Dir::open_below(&drop_dir.path, parent)?;
    let output = match &drop_dir.output {
        Some(output) => mirrored(drop_dir, output, parent)?,
        None => source.try_clone()?,
    };
    let archive = match (drop_dir.source, &drop_dir.archive) {
        (Disposition::Archive, Some(archive)) if !consumed_source => {
            Some(mirrored(drop_dir, archive, parent)?)
        }
        _ => None,
    };
    if !remains.is_empty() {
        output.sync()?; // as before any source is touched
        for one in remains {
            let is_kept = drop_dir.source == Disposition::Keep;
            if is_kept || !put_remains_away(drop_dir, &source, one, (array, archive.as_ref()))? {
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
        archive_sidecar(&source, sidecar, archive, unproven_writers(drop_dir))?;
        archive.sync()?;
    } else {
        mark_sidecar_done(&source, sidecar, &output, unproven_writers(drop_dir))?;
        output.sync()?;
    }
    source.sync().map(|()| None)
}

/// Removes or archives a file of the data of an array; `false` where the array does not hold what
/// is in it, or somebody is at it.
fn put_remains_away(
    drop_dir: &DropDir,
    source: &Dir,
    remains: &RemainingPart,
    (array, archive): (&DataFile, Option<&Dir>),
) -> fs::Result<bool> {
    let RemainingPart { part: Part { name, file, stat, .. }, offset, at, len } = remains;
    let Some(_claim) = file.claim()? else { return Ok(false) };
    let is_alone = file.writer() != fs::Writer::Present;
    if !is_alone || !array.is_equal_at(*at, file, *offset, *len)? {
        return Ok(false);
    }
    let writers = unproven_writers(drop_dir);
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
pub(crate) fn numbered(name: &str) -> impl Iterator<Item = PathBuf> {
    let rest = (1..NUMBER_MAX).map(move |number| PathBuf::from(format!("{name}.{number}")));
    std::iter::once(PathBuf::from(name)).chain(rest)
}

/// What must hold of a file before it moves away.
#[derive(Clone, Copy)]
pub(crate) struct Guard<'a> {
    /// What the file was; `None` where a change goes along with it.
    pub(crate) before: Option<&'a Stat>,
    /// What is asked of its writers before it is renamed.
    pub(crate) rename: OpenWriters,
    /// What is asked of them before it gives way to a copy on another file system.
    pub(crate) copy: OpenWriters,
}

/// Moves a file that is claimed, under the first free of the names `to`, `to.1`, `to.2`, …; the
/// caller makes that durable. Returns what a copy on another file system could not keep.
pub(crate) fn move_away(
    from: &Dir,
    name: &FileName,
    file: &DataFile,
    (to_dir, to): (&Dir, &FileName),
    guard: Guard<'_>,
) -> fs::Result<Guarded<Lost>> {
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
    Err(to_dir.names_exhausted(to.as_ref()))
}

/// Moves a file to another file system, by a copy.
fn copy_away(
    from: &Dir,
    name: &FileName,
    file: &DataFile,
    (to_dir, to): (&Dir, &FileName),
    guard: Guard<'_>,
) -> fs::Result<Guarded<Lost>> {
    let now = file.stat()?;
    if guard.before.is_some_and(|before| !now.is_unchanged_since(before)) {
        return Ok(Err(NotTaken::Changed));
    }
    // Asked before the work is done; what counts is the answer when the file is removed.
    if guard.copy == OpenWriters::ProvedAbsent && file.lease()?.is_none() {
        return Ok(Err(NotTaken::Unproven));
    }
    let Copied { source, lost } = copied(file, to_dir, to.as_str())?;
    let removed = from.remove_if_unchanged(name.as_ref(), file, &source, guard.copy)?;
    Ok(removed.map(|()| lost))
}
