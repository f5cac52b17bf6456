//! Disposition of the source once its array is durable: kept, removed or archived.
//!
//! A sidecar is never deleted. It is archived with its data file, or else moves beside the array
//! under a name that does not make it a manifest that waits for data.

use std::path::PathBuf;

use crate::config::{Disposition, DropDir};
use crate::decide::change::Change;
use crate::decide::reason::{Reason, Subject};
use crate::decide::route::Route;
use crate::events::receipt_event::ReceiptEvent;
use crate::events::source_fate::SourceFate;
use crate::finalize::locations::{Locations, mirrored};
use crate::finalize::source_checks::{check_content, check_sidecar};
use crate::finalize::standing_array::StandingArray;
use crate::finalize::transfer::{Lost, copied};
use crate::finalize::writer_proof::unproven_writers;
use crate::finalize::{Interruption, Job};
use crate::fs::{self, Claim, Conditional, DataFile, Dir, Moved, OpenWriters, Unmet};
use crate::model::{FileName, NUMBER_MAX, Stat, Writer, parent_of};
use crate::probe::candidate::Candidate;
use crate::probe::input::{DescriptionFile, InputFile};
use crate::probe::unproven::Unproven;
use crate::probe::{FinishedArray, RemainingPart, Residue};

/// Claims the sidecar if it is to move. Once the data are gone it looks like residue, so the claim
/// keeps recovery away (rule F4).
pub(crate) fn claim_sidecar(job: &Job, route: Route) -> Result<Option<Claim>, Interruption> {
    let stays = job.drop_dir.source == Disposition::Keep && !route.consumes_source();
    match &job.candidate.input.description {
        Some(sidecar) if !stays => match sidecar.file.claim()? {
            None => Err(Interruption::Locked(Reason::Locked(Subject::Manifest))),
            claim => Ok(claim),
        },
        _ => Ok(None),
    }
}

/// The fate of the source of an array.
pub(crate) enum SourceOutcome {
    /// It stays, as configured.
    Kept,
    /// It stays, because it changed: it is a new drop.
    Changed,
    /// It stays for now, because other files describe or complete it than those that npyd used: the
    /// next scan makes the array again, or rejects the drop.
    Redescribed,
    /// The source stays, because npyd can't prove that it has no writer, or may not remove it.
    Unproven(Unproven),
    /// It stays for now, because the settings changed during the work: the next scan disposes of it
    /// as the new ones say.
    Later,
    /// The source is the array itself.
    TheArray,
    /// npyd removed the source.
    Removed,
    /// npyd archived the source in this directory, under its names or their alternatives of this
    /// number.
    Archived(Dir, u32),
}

impl SourceOutcome {
    /// Returns the fate for the receipt.
    pub(crate) fn fate(&self) -> SourceFate {
        match self {
            SourceOutcome::Kept | SourceOutcome::Changed => SourceFate::Kept,
            SourceOutcome::Redescribed | SourceOutcome::Unproven(_) | SourceOutcome::Later => {
                SourceFate::Unproven
            }
            SourceOutcome::TheArray => SourceFate::Array,
            SourceOutcome::Removed => SourceFate::Removed,
            SourceOutcome::Archived(..) => SourceFate::Archived,
        }
    }

    /// Returns the directory that the source was archived in.
    pub(crate) fn archive(&self) -> Option<PathBuf> {
        match self {
            SourceOutcome::Archived(dir, _) => Some(dir.path().to_path_buf()),
            _ => None,
        }
    }

    /// Returns the remark for a source that could not be disposed of as configured, or not at
    /// first.
    pub(crate) fn remark(&self, disposition: Disposition, event: ReceiptEvent) -> Option<String> {
        let what = disposition.participle()?;
        match self {
            SourceOutcome::Removed | SourceOutcome::Archived(..)
                if event == ReceiptEvent::Found =>
            {
                Some(format!("the source is {what} now"))
            }
            SourceOutcome::Changed => Some(format!(
                "the source or its description changed meanwhile, so the source was not {what}"
            )),
            SourceOutcome::Redescribed => Some(format!(
                "another description or data file arrived meanwhile, so the source was not {what}; \
                 the next scan takes it into account"
            )),
            SourceOutcome::Unproven(why) => Some(not_proven(what, why)),
            SourceOutcome::Later => Some(format!(
                "the configuration was read again meanwhile, so the source was not {what}; the \
                 next scan does what it says now"
            )),
            _ => None,
        }
    }
}

/// Builds the message why a source stays, and what changes that.
pub(crate) fn not_proven(what: &str, why: &Unproven) -> String {
    format!("the source is not {what}: {why}; each scan tries again; {}", why.remedy())
}

/// Removes or archives the source as configured; the caller syncs the directories (F2). The source
/// stays unless npyd can prove that none of its files has a writer, or its producer declared it
/// complete.
pub(crate) fn dispose_source(
    job: &Job,
    at: &Locations,
    route: Route,
    event: ReceiptEvent,
    (name, array): (&FileName, Option<&StandingArray>),
) -> Result<SourceOutcome, Interruption> {
    let consumed_source =
        event == ReceiptEvent::Finalized && (route.consumes_source() || job.keeps_its_name(at));
    let gone = match job.drop_dir.source {
        _ if consumed_source => return Ok(SourceOutcome::TheArray),
        Disposition::Keep => return Ok(SourceOutcome::Kept),
        Disposition::Remove => SourceOutcome::Removed,
        Disposition::Archive => {
            let archive = archive_dir(job)?;
            archive.check_is_not(&at.source)?;
            let number = free_number(job, &archive)?;
            SourceOutcome::Archived(archive, number)
        }
    };
    if let Some(why) = job.candidate.input.unproven_in(&at.source)? {
        return Ok(SourceOutcome::Unproven(why));
    }
    let leases = match job.writers() {
        OpenWriters::ProvedAbsent => job.candidate.input.leases()?,
        OpenWriters::NotSeen | OpenWriters::Trusted => Ok(Vec::new()),
    };
    // Held until all files are gone: a process that opens one for writing blocks until then.
    let _leases = match leases {
        Ok(leases) => leases,
        Err(why) => return Ok(SourceOutcome::Unproven(why)),
    };
    // Once the source is gone, the array is the only copy.
    if !at.beside {
        at.output.check_path()?;
    }
    if !matches!(array, Some(array) if array.is_standing(&at.output, name.as_ref())?) {
        return Err(Interruption::changed(Change::StandingArray(name.clone())));
    }
    match check_content(job).and_then(|()| check_sidecar(job, at)) {
        // No array holds what was written or declared since.
        Err(Interruption::Retry(_)) => return Ok(SourceOutcome::Changed),
        checked => checked?,
    }
    if job.drop_dir.in_force.is_superseded() {
        let is_later = job.drop_dir.in_force.is_disposed_later();
        return Ok(if is_later { SourceOutcome::Later } else { SourceOutcome::Kept });
    }
    // The last check, because a description may arrive at any moment.
    if job.candidate.is_redescribed(&job.drop_dir)? {
        return Ok(SourceOutcome::Redescribed);
    }
    for input in &job.candidate.input.files {
        match put_away(at, input, job.writers(), &gone)? {
            Ok(()) => {}
            Err(Unmet::Changed) => return Ok(SourceOutcome::Changed),
            Err(Unmet::Unproven) => {
                return Ok(SourceOutcome::Unproven(Unproven::opened(&input.name)));
            }
        }
    }
    Ok(gone)
}

/// Removes or archives a claimed data file.
fn put_away(
    at: &Locations,
    InputFile { name, file, stat, .. }: &InputFile,
    writers: OpenWriters,
    to: &SourceOutcome,
) -> fs::Result<Conditional> {
    match to {
        SourceOutcome::Archived(archive, number) => {
            let conditions = Conditions { before: Some(stat), rename: writers, copy: writers };
            let to = (archive, &name.alternative(*number));
            let moved = move_away(&at.source, name, file, to, conditions)?;
            Ok(moved.map(|lost| at.lost.borrow_mut().add(lost)))
        }
        _ => at.source.remove_if_unchanged(name.as_ref(), file, stat, writers),
    }
}

/// Archives the sidecar or marks it as done, unless it is shared, and those that a manifest
/// overrides as well; the caller syncs the directories (F2).
pub(crate) fn dispose_sidecar(
    job: &Job,
    at: &Locations,
    source: &SourceOutcome,
) -> Result<(), Interruption> {
    let description = job.candidate.input.description.as_ref();
    for overridden in job.candidate.overridden.iter().filter(|sidecar| is_beside(sidecar, job)) {
        // F4: without the lock, a concurrent scan would restore the original name.
        if let Some(_claim) = overridden.file.claim()? {
            put_sidecar_away(job, at, overridden, source)?;
        }
    }
    match description {
        Some(sidecar) if !sidecar.is_shared => put_sidecar_away(job, at, sidecar, source),
        _ => Ok(()),
    }
}

/// Returns whether a sidecar belongs to this data file alone, and is in its directory.
fn is_beside(sidecar: &DescriptionFile, job: &Job) -> bool {
    !sidecar.is_shared && sidecar.rel.parent() == job.candidate.input.rel.parent()
}

/// Moves a claimed sidecar as the fate of the source requires.
fn put_sidecar_away(
    job: &Job,
    at: &Locations,
    sidecar: &DescriptionFile,
    source: &SourceOutcome,
) -> Result<(), Interruption> {
    match source {
        SourceOutcome::Kept
        | SourceOutcome::Changed
        | SourceOutcome::Redescribed
        | SourceOutcome::Unproven(_)
        | SourceOutcome::Later => {}
        SourceOutcome::Archived(archive, number) => {
            archive_sidecar(&at.source, sidecar, (archive, *number), job.writers())?;
        }
        SourceOutcome::TheArray | SourceOutcome::Removed => {
            mark_sidecar_done(&at.source, sidecar, &at.output, job.writers())?;
        }
    }
    Ok(())
}

fn archive_dir(job: &Job) -> Result<Dir, Interruption> {
    let Some(archive) = &job.drop_dir.archive else {
        return Err(Interruption::Rejected(Reason::NoArchive));
    };
    Ok(mirrored(&job.drop_dir, archive, job.parent())?)
}

/// Returns the first number with which no other file has a name of the drop's files in the archive,
/// so that a description there does not seem to describe the data of another drop. A copy that an
/// interrupted run made is not another file.
fn free_number(job: &Job, archive: &Dir) -> fs::Result<u32> {
    let Candidate { input, overridden, .. } = &job.candidate;
    let own = input.description.iter().filter(|it| !it.is_shared);
    let overridden = overridden.iter().filter(|it| is_beside(it, job));
    let descriptions = own.chain(overridden).map(|it| (&it.name, &it.stat));
    let data = input.files.iter().map(|it| (&it.name, &it.stat));
    let files: Vec<_> = data.chain(descriptions).collect();
    'numbers: for number in 0..=NUMBER_MAX {
        for (name, stat) in &files {
            let there = archive.stat(name.alternative(number).as_ref())?;
            if there.is_some_and(|there| !there.may_be_copy_of(stat)) {
                continue 'numbers;
            }
        }
        return Ok(number);
    }
    Ok(0) // the move reports it
}

/// Moves a claimed sidecar to the archive.
fn archive_sidecar(
    source: &Dir,
    sidecar: &DescriptionFile,
    (archive, number): (&Dir, u32),
    writers: OpenWriters,
) -> fs::Result<()> {
    move_sidecar(source, sidecar, (archive, &sidecar.name.alternative(number)), writers)
}

/// Moves a claimed sidecar, whose data became an array, beside that array.
fn mark_sidecar_done(
    source: &Dir,
    sidecar: &DescriptionFile,
    output: &Dir,
    writers: OpenWriters,
) -> fs::Result<()> {
    move_sidecar(source, sidecar, (output, &sidecar.name.with_suffix(".done")), writers)
}

/// Moves a sidecar, unless it changed after npyd read it: a changed sidecar describes the next
/// drop. The rename does no harm to a process that has the sidecar open. If the sidecar stays
/// because a proof is missing, the next scan finds it.
fn move_sidecar(
    source: &Dir,
    sidecar: &DescriptionFile,
    to: (&Dir, &FileName),
    writers: OpenWriters,
) -> fs::Result<()> {
    let DescriptionFile { name, file, stat, .. } = sidecar;
    let conditions = Conditions { before: Some(stat), rename: OpenWriters::NotSeen, copy: writers };
    if let Ok(lost) = move_away(source, name, file, to, conditions)? {
        lost.note(file);
    }
    Ok(())
}

/// Finishes an interrupted disposition: the array is made, and only the sidecar is left, or also
/// some data files. A claimed sidecar is left to the process that is disposing of it. Returns the
/// reason for waiting if a data file of that name holds something else now.
pub fn recover_residue(drop_dir: &DropDir, residue: &Residue) -> fs::Result<Option<Reason>> {
    let Residue { rel, description, finished, .. } = residue;
    let FinishedArray { array, consumed_source, remains, .. } = finished;
    let _claim = match description.as_ref().map(|sidecar| sidecar.file.claim()).transpose()? {
        Some(None) => return Ok(None),
        claim => claim,
    };
    if drop_dir.in_force.is_superseded() {
        return Ok(None);
    }
    let parent = parent_of(rel);
    let source = Dir::open_below(&drop_dir.path, parent)?;
    let own = description.as_ref().and_then(|sidecar| sidecar.stat.protection);
    if let Some(protection) = own.or(source.stat_self()?.protection) {
        let name = rel.file_name().unwrap_or_default().into();
        return Ok(Some(Reason::Protected { name, protection }));
    }
    let output = match &drop_dir.output {
        Some(output) => mirrored(drop_dir, output, parent)?,
        None => source.clone(),
    };
    let archive = match (drop_dir.source, &drop_dir.archive) {
        (Disposition::Archive, Some(archive)) if !consumed_source => {
            Some(mirrored(drop_dir, archive, parent)?)
        }
        _ => None,
    };
    if !remains.is_empty() {
        output.sync()?; // F2: before any source is touched
        for one in remains {
            if !put_remains_away(drop_dir, &source, one, (array, &output), archive.as_ref())? {
                let name = &one.input.name;
                return Ok(Some(Reason::NoOtherParts(name.clone())));
            }
        }
        archive.as_ref().map_or(Ok(()), Dir::sync)?;
        source.sync()?;
    }
    let writers = unproven_writers(drop_dir);
    match (description, &archive) {
        (Some(sidecar), Some(archive)) => {
            archive_sidecar(&source, sidecar, (archive, 0), writers)?;
            archive.sync()?;
        }
        (Some(sidecar), None) => {
            mark_sidecar_done(&source, sidecar, &output, writers)?;
            output.sync()?;
        }
        (None, _) => {}
    }
    source.sync().map(|()| None)
}

/// Removes or archives a remaining data file. Returns `false` if the array does not hold its bytes,
/// or another process uses it.
fn put_remains_away(
    drop_dir: &DropDir,
    source: &Dir,
    remains: &RemainingPart,
    (array, output): (&DataFile, &Dir),
    archive: Option<&Dir>,
) -> fs::Result<bool> {
    let RemainingPart { input: InputFile { name, file, stat, .. }, offset, at, len } = remains;
    let Some(_claim) = file.claim()? else { return Ok(false) };
    let standing = StandingArray::found(array.clone())?;
    let is_alone = file.writer()? != Writer::Present && !standing.has_writer()?;
    let is_in_array = match at {
        Some(at) => array.is_equal_at(*at, file, *offset, *len)?,
        None => false,
    };
    let array_name = array.path().file_name().unwrap_or_default();
    if !is_alone || !is_in_array || !standing.is_standing(output, array_name.as_ref())? {
        return Ok(false);
    }
    if output.path() != source.path() {
        output.check_path()?;
    }
    let writers = unproven_writers(drop_dir);
    let away = match archive {
        Some(archive) => {
            let conditions = Conditions { before: Some(stat), rename: writers, copy: writers };
            let moved = move_away(source, name, file, (archive, name), conditions)?;
            Ok(moved.map(|lost| lost.note(file)))
        }
        None => source.remove_if_unchanged(name.as_ref(), file, stat, writers),
    };
    away.map(|away| away.is_ok())
}

/// Conditions for moving a file away.
#[derive(Clone, Copy)]
pub(crate) struct Conditions<'a> {
    /// The metadata that it must still have; `None` if it may have changed.
    pub(crate) before: Option<&'a Stat>,
    /// Required evidence about writers before a rename.
    pub(crate) rename: OpenWriters,
    /// Required evidence about writers before it is replaced by a copy on another file system.
    pub(crate) copy: OpenWriters,
}

/// Moves a claimed file to the first free of the names `to`, `to.1`, `to.2`, …; the caller syncs
/// the directories (F2). Returns what a copy on another file system could not keep.
pub(crate) fn move_away(
    from: &Dir,
    name: &FileName,
    file: &DataFile,
    (to_dir, to): (&Dir, &FileName),
    conditions: Conditions<'_>,
) -> fs::Result<Conditional<Lost>> {
    for other in to.alternatives() {
        let moved = match conditions.before {
            Some(before) => {
                let file = (file, before, conditions.rename);
                from.move_if_unchanged(name.as_ref(), file, to_dir, other.as_ref())
            }
            None => from.move_if_same(name.as_ref(), file, to_dir, other.as_ref()),
        };
        match moved? {
            Moved::Moved => return Ok(Ok(Lost::default())),
            Moved::NotSame => return Ok(Err(Unmet::Changed)),
            Moved::Unproven => return Ok(Err(Unmet::Unproven)),
            Moved::TargetExists => {}
            Moved::OtherFileSystem => return copy_away(from, name, file, (to_dir, to), conditions),
        }
    }
    Err(to_dir.names_exhausted(to.as_ref()))
}

/// Moves a file to another file system: copies it and removes the original.
fn copy_away(
    from: &Dir,
    name: &FileName,
    file: &DataFile,
    (to_dir, to): (&Dir, &FileName),
    conditions: Conditions<'_>,
) -> fs::Result<Conditional<Lost>> {
    let now = file.stat()?;
    if conditions.before.is_some_and(|before| !now.is_unchanged_since(before)) {
        return Ok(Err(Unmet::Changed));
    }
    // An early check, to save the work; the check at the removal is the one that counts.
    if conditions.copy == OpenWriters::ProvedAbsent && file.lease()?.is_none() {
        return Ok(Err(Unmet::Unproven));
    }
    let copied = copied(file, to_dir, to)?;
    to_dir.check_path()?; // the copy took long, and is the only one from here on
    copied.remove_source((from, name, file), to_dir, conditions.copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_stays_if_its_copy_is_not_where_its_path_leads() {
        let temp = tempfile::tempdir().unwrap();
        let [from, to] = ["in", "archive"].map(|name| {
            std::fs::create_dir(temp.path().join(name)).unwrap();
            Dir::open_trusted(&temp.path().join(name), None).unwrap()
        });
        std::fs::write(temp.path().join("in/x.raw"), "data").unwrap();
        let name = FileName::try_from("x.raw".to_owned()).unwrap();
        let file = from.open_file(name.as_ref()).unwrap().unwrap();
        let conditions =
            Conditions { before: None, rename: OpenWriters::NotSeen, copy: OpenWriters::NotSeen };
        std::fs::rename(temp.path().join("archive"), temp.path().join("elsewhere")).unwrap();
        for _ in ["no directory", "another directory"] {
            let error = copy_away(&from, &name, &file, (&to, &name), conditions).unwrap_err();
            assert!(error.to_string().contains("renamed or removed"), "{error}");
            assert!(temp.path().join("in/x.raw").exists());
            let _ = std::fs::create_dir(temp.path().join("archive"));
        }
        std::fs::remove_dir(temp.path().join("archive")).unwrap();
        std::fs::rename(temp.path().join("elsewhere"), temp.path().join("archive")).unwrap();
        assert!(copy_away(&from, &name, &file, (&to, &name), conditions).unwrap().is_ok());
        assert!(!temp.path().join("in/x.raw").exists());
        assert_eq!(std::fs::read(temp.path().join("archive/x.raw")).unwrap(), b"data");
    }
}
