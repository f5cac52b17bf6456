//! The in-place route: the data stay where they are, and the header is written before them.
//!
//! A process that opened the file by its name since it was last seen to have no writer would write
//! behind the array, or into it. So the file gets a private name first, is checked then, and again
//! once the header is written.
//!
//! Data first, synced; then the header, synced: never both with one sync, because a disk may write
//! them in any order. The final name comes last. If the file already has it, the header's first
//! eight bytes decide whether the file is an array, so they come last.

use std::path::PathBuf;

use crate::decide::change::{Change, OpenFile};
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
use crate::finalize::source_checks::{check_size, lost, sync_source, writable};
use crate::finalize::{Interruption, Job, rest};
use crate::fs::{self, DataFile, Moved, OpenWriters, forget_name};
use crate::model::{FileName, Stat, Writer};
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
    let RouteWork { job, at, .. } = *work;
    refuse_occupied(job, work.plan)?;
    if job.only_file()?.stat.size > job.dump.end_of(&job.source_header) {
        check_described(job)?; // bytes are cut off
    }
    let (before, remark) = rest::cut(job, at, progress)?;
    let remarks: Vec<String> = remark.into_iter().collect();
    sync_source(job, &before, progress)?;
    refuse_other_header(job, writes)?;
    check_described(job)?; // the sync can take long
    let name = leave_final_name(job, at)?;
    let taken = TakenFile::take(job, at, name, &before)?;
    match taken.make_array(work, writes, &remarks, progress) {
        Ok(()) => Ok(RouteResult::Consumed(remarks)),
        Err(interruption) => {
            // If this fails, the next scan restores the name.
            let _ = taken.give_name_back();
            Err(interruption)
        }
    }
}

/// The data file under a private name: no process can open it by its name any more, so that one
/// proof that there is no writer lasts.
struct TakenFile<'a> {
    job: &'a Job,
    at: &'a Locations,
    file: &'a DataFile,
    name: FileName,
    /// The private name, or `name` if the file keeps that.
    private: PathBuf,
}

impl<'a> TakenFile<'a> {
    /// Gives the file its private name. Fails, and leaves the name, if a process writes to the
    /// file, or if it has changed since `before`.
    fn take(
        job: &'a Job,
        at: &'a Locations,
        name: FileName,
        before: &Stat,
    ) -> Result<Self, Interruption> {
        let file = &job.only_file()?.file;
        // A producer that declared the file ready may still have it open, and find it by its name.
        let keeps_name = job.writers() == OpenWriters::Trusted;
        let private = if keeps_name {
            Some(PathBuf::from(name.as_str()))
        } else {
            match at.source.rename_private(name.as_ref(), file) {
                // A sticky directory, and a file of another user: the file keeps its name.
                Err(error) if error.is_denied() => Some(PathBuf::from(name.as_str())),
                renamed => renamed?,
            }
        };
        let Some(private) = private else {
            return Err(Interruption::Retry(Reason::Replaced(Subject::Drop)));
        };
        let taken = TakenFile { job, at, file, name, private };
        if let Err(interruption) = taken.check(before) {
            taken.give_name_back()?;
            return Err(interruption);
        }
        Ok(taken)
    }

    /// Fails if a process writes to the file, or if it has changed since `before`.
    fn check(&self, before: &Stat) -> Result<(), Interruption> {
        let is_alone = match self.job.writers() {
            OpenWriters::Trusted => true,
            OpenWriters::NotSeen => self.file.writer()? != Writer::Present,
            OpenWriters::ProvedAbsent => self.file.writer()? == Writer::None,
        };
        if !is_alone {
            return Err(Interruption::Retry(Reason::OpenForWriting(OpenFile::Data)));
        }
        check_size(self.job, before, self.file)
    }

    /// Writes the header, and gives the array its name.
    fn make_array(
        &self,
        work: &RouteWork<'_>,
        writes: &[Write],
        remarks: &[String],
        progress: &mut Meter,
    ) -> Result<(), Interruption> {
        let (job, at, output) = (self.job, self.at, work.name);
        let file = writable(self.file)?;
        file.clear_special_bits()?;
        if job.dump.digest.is_some() {
            // Once the header is begun, the digest can't be computed any more.
            job.mark_array(&file)?;
            file.sync_all().map_err(lost)?;
        }
        (work.write_metadata)(remarks)?;
        let overwritten = write_header(&file, writes)?;
        let keeps_name = at.beside && *output == self.name;
        if !keeps_name {
            if job.candidate.input.description.is_some() {
                job.mark_array(&file)?;
            } else {
                job.mark_origin(&file)?;
            }
        }
        let after = file.stat()?;
        drop(file); // otherwise npyd itself would be the writer that is looked for
        // A process that was about to open the file by its name may have opened it since.
        if let Err(interruption) = self.check(&after) {
            restore(&writable(self.file)?, &overwritten).map_err(lost)?;
            return Err(interruption);
        }
        if keeps_name {
            return self.give_name_back();
        }
        if !self.rename(output, progress)? {
            return Err(Interruption::Retry(Reason::Appeared(output.clone())));
        }
        at.output.sync()?;
        if !at.beside {
            at.source.sync()?;
        }
        Ok(())
    }

    /// Restores the name.
    fn give_name_back(&self) -> Result<(), Interruption> {
        let (dir, name) = (&self.at.source, self.name.as_ref());
        if self.private == name || !dir.refers_to(&self.private, self.file)? {
            return Ok(());
        }
        dir.restore_name(&self.private, dir, name)?;
        forget_name(name.as_os_str(), self.file);
        dir.sync()?;
        if dir.refers_to(name, self.file)? {
            Ok(())
        } else {
            Err(Interruption::Retry(Reason::Appeared(self.name.clone())))
        }
    }

    /// Gives the array its final name. Returns `false` if that is taken.
    fn rename(&self, output: &FileName, progress: &mut Meter) -> Result<bool, Interruption> {
        let TakenFile { job, at, file, private, .. } = self;
        match at.source.move_if_same(private, file, &at.output, output.as_ref())? {
            Moved::Moved => Ok(true),
            Moved::TargetExists => Ok(false),
            Moved::NotSame | Moved::Unproven => {
                Err(Interruption::Retry(Reason::Replaced(Subject::Drop)))
            }
            // rename(2) can fail with EXDEV on one mount, between quota projects or encryption
            // policies.
            Moved::OtherFileSystem => {
                let (mut copy, before) = duplicate(file, at, job.drop_dir.may_map(), progress)?;
                job.mark_array(copy.file())?;
                let published = copy.publish(output.as_ref(), false)?;
                if published {
                    let writers = job.writers();
                    let _ = at.source.remove_if_unchanged(private, file, &before, writers)?;
                }
                Ok(published)
            }
        }
    }
}

/// Writes the header, and returns what it replaced.
fn write_header(file: &DataFile, writes: &[Write]) -> Result<Vec<Write>, Interruption> {
    let mut overwritten = Vec::new();
    for write in writes {
        let bytes = file.read_at_most(write.at, write.bytes.len())?;
        overwritten.push(Write { at: write.at, bytes });
        file.write_all_at(&write.bytes, write.at)?;
        if let Err(error) = file.sync_data() {
            // F1: restore the old bytes, so that no reader takes the file for an array. If that
            // also fails, the receipt reports the data loss.
            let _ = overwritten.last().map(|old| file.write_all_at(&old.bytes, old.at));
            return Err(lost(error));
        }
    }
    Ok(overwritten)
}

/// Writes back what the header replaced, the last write first.
fn restore(file: &DataFile, overwritten: &[Write]) -> fs::Result<()> {
    for Write { at, bytes } in overwritten.iter().rev() {
        file.write_all_at(bytes, *at)?;
        file.sync_data()?;
    }
    Ok(())
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
