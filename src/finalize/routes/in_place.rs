//! The in-place route: the data stay where they are, and the header is written before them.
//!
//! Data first, synced; then the header, synced: never both with one sync, because a disk may write
//! them in any order. The final name comes last. If the file already has it, the header's first
//! eight bytes decide whether the file is an array, so they come last.

use crate::decide::change::Change;
use crate::decide::output_problem::OutputProblem;
use crate::decide::reason::{Reason, Subject};
use crate::decide::route_problem::RouteProblem;
use crate::decide::write::Write;
use crate::describe::DeclaredBy;
use crate::finalize::copying::duplicate;
use crate::finalize::header_room::refuse_occupied;
use crate::finalize::locations::Locations;
use crate::finalize::pending_name::{needs_pending_name, pending_name};
use crate::finalize::routes::{RouteResult, RouteWork};
use crate::finalize::source_checks::{lost, synced};
use crate::finalize::{Interruption, Job, rest};
use crate::fs::Moved;
use crate::model::FileName;
use crate::npy::MAGIC;
use crate::probe::input::InputFile;
use crate::throttle::meter::Meter;

/// Cuts off the bytes after the array, writes the header into the data file, and renames the file
/// to its final name.
pub(crate) fn carry_out(
    work: &RouteWork<'_>,
    writes: &[Write],
    progress: &mut Meter,
) -> Result<RouteResult, Interruption> {
    let RouteWork { job, at, name: output, .. } = *work;
    refuse_occupied(job, work.plan)?;
    if job.only_file()?.stat.size > job.dump.end_of(&job.source_header) {
        check_described(job)?; // bytes are cut off
    }
    let (before, remark) = rest::cut(job, at, progress)?;
    let remarks: Vec<String> = remark.into_iter().collect();
    let file = synced(job, &before, progress)?;
    refuse_other_header(job, writes)?;
    check_described(job)?; // the sync can take long
    let name = leave_final_name(job, at)?;
    file.clear_special_bits()?;
    if job.dump.digest.is_some() {
        // Once the header is begun, the digest can't be computed any more.
        job.mark_array(&file)?;
        file.sync_all().map_err(lost)?;
    }
    (work.write_metadata)(&remarks)?;
    for write in writes {
        let before = file.read_at_most(write.at, write.bytes.len())?;
        file.write_all_at(&write.bytes, write.at)?;
        if let Err(error) = file.sync_data() {
            // F1: restore the old bytes, so that no reader takes the file for an array. If that
            // also fails, the receipt reports the data loss.
            let _ = file.write_all_at(&before, write.at);
            return Err(lost(error));
        }
    }
    if at.beside && *output == name {
        return Ok(RouteResult::Consumed(remarks));
    }
    if job.candidate.input.description.is_some() {
        job.mark_array(&file)?;
    } else {
        job.mark_origin(&file)?;
    }
    drop(file); // otherwise npyd itself would be a writer and block the removal
    if !rename(job, at, &name, output, progress)? {
        return Err(Interruption::Retry(Reason::Appeared(output.clone())));
    }
    at.output.sync()?;
    if !at.beside {
        at.source.sync()?;
    }
    Ok(RouteResult::Consumed(remarks))
}

/// Fails if other files describe the drop now than those that npyd used, or if other settings
/// count. Once the header is written, there is no source left to begin from.
fn check_described(job: &Job) -> Result<(), Interruption> {
    if job.drop_dir.in_force.is_superseded() {
        return Err(Interruption::Cancelled); // the scan with the new settings finds it
    }
    if job.candidate.is_redescribed(&job.drop_dir)? {
        return Err(Interruption::changed(Change::Redescribed));
    }
    Ok(())
}

/// Rejects a `.npy` file that has another header, because a template can match an unrelated array.
/// A file with this very header was left by a run that was interrupted before it moved the array.
fn refuse_other_header(job: &Job, writes: &[Write]) -> Result<(), Interruption> {
    if job.dump.kind != DeclaredBy::Template {
        return Ok(());
    }
    let file = &job.only_file()?.file;
    if !file.read_at_most(0, 6)?.starts_with(&MAGIC) {
        return Ok(());
    }
    for write in writes {
        if file.read_at_most(write.at, write.bytes.len())? != write.bytes {
            return Err(Interruption::Rejected(Reason::Route(RouteProblem::OtherHeader)));
        }
    }
    Ok(())
}

/// Gives the array its final name. Returns `false` if that is taken.
fn rename(
    job: &Job,
    at: &Locations,
    name: &FileName,
    output: &FileName,
    progress: &mut Meter,
) -> Result<bool, Interruption> {
    let (file, to) = (&job.only_file()?.file, output.as_ref());
    match at.source.move_if_same(name.as_ref(), file, &at.output, to)? {
        Moved::Moved => Ok(true),
        Moved::TargetExists => Ok(false),
        Moved::NotSame | Moved::Unproven => {
            Err(Interruption::Retry(Reason::Replaced(Subject::Drop)))
        }
        // rename(2) can fail with EXDEV on one mount, between quota projects or encryption
        // policies.
        Moved::OtherFileSystem => {
            let (mut copy, before) = duplicate(file, at, progress)?;
            job.mark_array(copy.file())?;
            let published = copy.publish(output.as_ref(), false)?;
            if published {
                let writers = job.writers();
                let _ = at.source.remove_if_unchanged(name.as_ref(), file, &before, writers)?;
            }
            Ok(published)
        }
    }
}

/// Renames a pending `x.npy` that is to move elsewhere to `x.npy.pending`, so that it does not look
/// final before it is moved. After a crash the next scan recognizes the pending name and finishes
/// the move.
fn leave_final_name(job: &Job, at: &Locations) -> Result<FileName, Interruption> {
    let InputFile { name, file, .. } = job.only_file()?;
    if !needs_pending_name(&job.dump, name, at.beside) {
        return Ok(name.clone());
    }
    let pending = pending_name(name).map_err(|why| Interruption::Rejected(Reason::BadName(why)))?;
    if at.source.stat(pending.as_ref())?.is_some() {
        return Err(Interruption::Rejected(Reason::Output(OutputProblem::PendingTwice(pending))));
    }
    if !at.source.rename_private_as(name.as_ref(), file, pending.as_ref())? {
        return Err(Interruption::Retry(Reason::Replaced(Subject::Drop)));
    }
    at.source.sync()?;
    Ok(pending)
}
