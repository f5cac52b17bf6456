//! The insert-range route: the file system inserts a page at the front of the raw file for the
//! header (`fallocate(2)`, `FALLOC_FL_INSERT_RANGE`), and the file gets its final name. No data are
//! copied.
//!
//! The insertion is not atomic: a crash can leave the file with the gap in its middle. npyd
//! therefore first records an intent durably, where no producer can reach it, and gives the file a
//! private name that is not taken for a drop. The next scan that finds such a file removes the gap
//! from wherever it is, and restores the name.

use std::time::Duration;

use crate::decide::change::{Change, OpenFile};
use crate::decide::reason::{Reason, Subject};
use crate::decide::route_obstacle::RouteObstacle;
use crate::decide::route_problem::RouteProblem;
use crate::facts::{self, Fact};
use crate::finalize::intent_log::{InsertIntent, IntentLog};
use crate::finalize::interrupted_insert::{PREFIX, restore};
use crate::finalize::locations::Locations;
use crate::finalize::routes::{RouteResult, RouteWork};
use crate::finalize::source_checks::{self, lost};
use crate::finalize::{Interruption, Job};
use crate::fs::DataFile;
use crate::model::{FileName, Writer};
use crate::probe::input::InputFile;
use crate::throttle::meter::Meter;

/// Number of attempts to be the sole opener of a file. Attempt n is preceded by a pause of n
/// milliseconds.
const SOLE_OPENER_TRIES: u64 = 5;

/// Inserts space for the header in the data file, writes the header and gives the file its final
/// name.
pub(crate) fn carry_out(
    work: &RouteWork<'_>,
    head: &[u8],
    progress: &mut Meter,
) -> Result<RouteResult, Interruption> {
    let RouteWork { job, at, name: output, write_metadata, .. } = *work;
    let InputFile { name, stat, file, .. } = job.only_file()?;
    let not = |why| Ok(RouteResult::Inapplicable(why));
    let Some(intents) = &job.intents else {
        return not(RouteObstacle::NoIntentLog);
    };
    let Ok(private) = FileName::try_from(format!("{PREFIX}{name}")) else {
        return not(RouteObstacle::LongName);
    };
    if let Some(why) = obstacle(job, at, intents, &private, head.len() as u64)? {
        return not(why);
    }
    source_checks::sync_source(job, stat, progress)?;
    if job.drop_dir.in_force.is_superseded() {
        return Err(Interruption::Cancelled);
    }
    if job.candidate.is_redescribed(&job.drop_dir)? {
        return not(RouteObstacle::Redescribed);
    }
    let intent = InsertIntent {
        file: at.source.path().join(&private),
        inode: stat.ino,
        size: stat.size,
        room: head.len() as u64,
        edge_hashes: file.edge_hashes(stat.size)?,
    };
    // A later attempt replaces what it may have recorded, and a stale intent does no harm.
    if let Err(error) = intents.record(&intent) {
        return not(RouteObstacle::IntentNotRecorded(error.into()));
    }
    let work = PrivateFile { at, file, intent: &intent, name, private };
    work.take(job, intents)?;
    let renamed = match work.insert_header(head) {
        Ok(true) => write_metadata(&[]).and_then(|()| work.rename(job, output)),
        other => other,
    };
    match renamed {
        // From here on it is the array, and nothing is undone. If its name can't be synced, the
        // intent stays, because a crash may bring the private name back (F2).
        Ok(true) => {
            work.sync_names()?;
            if let Err(error) = intents.forget(&intent) {
                facts::note(Fact::IntentStays { error: error.to_string() });
            }
            Ok(RouteResult::Consumed(Vec::new()))
        }
        // If undoing fails, the next scan does it, because the intent is still there.
        Ok(false) => {
            intents.mark_unsupported(stat);
            work.undo(intents)?;
            Err(Interruption::Retry(Reason::Route(RouteProblem::InsertRefused)))
        }
        Err(interruption) => {
            work.undo(intents)?;
            Err(interruption)
        }
    }
}

/// Returns why the route can't be used, as far as that is visible before anything is changed.
fn obstacle(
    job: &Job,
    at: &Locations,
    intents: &IntentLog,
    private: &FileName,
    room: u64,
) -> Result<Option<RouteObstacle>, Interruption> {
    let InputFile { file, stat, .. } = job.only_file()?;
    if intents.is_unsupported(stat) {
        return Ok(Some(RouteObstacle::InsertRefused));
    }
    if at.source.stat(private.as_ref())?.is_some() {
        return Ok(Some(RouteObstacle::Interrupted));
    }
    if !has_sole_opener(file) {
        return Ok(Some(RouteObstacle::Open));
    }
    if file.first_hole(0)? < stat.size {
        return Ok(Some(RouteObstacle::Holes));
    }
    let is_made = at.source.supports_insert_range(room)?;
    Ok((!is_made).then_some(RouteObstacle::NotSoMuchSpace))
}

/// Returns whether no other process has the file open. Probes, npyd's own or another daemon's, hold
/// it open only briefly: tries again.
fn has_sole_opener(file: &DataFile) -> bool {
    (0..SOLE_OPENER_TRIES).any(|attempt| {
        std::thread::sleep(Duration::from_millis(attempt));
        file.is_sole_opener()
    })
}

/// A file under its private name, and the intent for it.
struct PrivateFile<'a> {
    at: &'a Locations,
    file: &'a DataFile,
    intent: &'a InsertIntent,
    name: &'a FileName,
    private: FileName,
}

impl PrivateFile<'_> {
    /// Gives the file its private name. Until then any process can write to it or replace it, so a
    /// file that changed gets its name back.
    fn take(&self, job: &Job, intents: &IntentLog) -> Result<(), Interruption> {
        let (dir, name) = (&self.at.source, self.name.as_ref());
        if !dir.rename_private_as(name, self.file, self.private.as_ref())? {
            intents.forget(self.intent)?;
            return Err(Interruption::Retry(Reason::Replaced(Subject::Drop)));
        }
        let checked = self.check_alone(job);
        if checked.is_err() {
            dir.restore_name(self.private.as_ref(), dir, name)?;
            dir.sync()?;
            intents.forget(self.intent)?;
        }
        checked
    }

    /// Fails if another process has the file open, which it may have opened by its name before, or
    /// if the file changed, or has another name.
    fn check_alone(&self, job: &Job) -> Result<(), Interruption> {
        if !has_sole_opener(self.file) || self.file.stat()?.nlink > 1 {
            return Err(Interruption::Retry(Reason::OpenForWriting(OpenFile::Data)));
        }
        source_checks::check_size(job, &job.only_file()?.stat, self.file)
    }

    /// Inserts the space, writes the header and syncs both. Returns `false` if the file system
    /// can't insert the space.
    fn insert_header(&self, head: &[u8]) -> Result<bool, Interruption> {
        self.at.source.sync()?;
        let file = source_checks::writable(self.file)?;
        file.clear_special_bits()?;
        if !file.insert_gap(self.intent.room)? {
            return Ok(false);
        }
        file.write_all_at(head, 0)?;
        file.sync_all().map_err(lost)?;
        let after = file.stat()?;
        drop(file); // otherwise npyd itself would be the writer that is looked for
        // A process that was about to open the file by its name may have opened it since: what it
        // writes goes to the wrong offset.
        let (now, writer) = (self.file.stat()?, self.file.writer()?);
        let is_unchanged = (now.size, now.mtime_ns) == (after.size, after.mtime_ns)
            && now.size == self.intent.size + self.intent.room;
        if is_unchanged && writer != Writer::Present {
            Ok(true)
        } else {
            Err(Interruption::changed(Change::DuringInsert))
        }
    }

    /// Gives the array its name. Returns `false` if the file can't be renamed to that directory.
    fn rename(&self, job: &Job, output: &FileName) -> Result<bool, Interruption> {
        job.mark_array(self.file)?;
        let (from, to) = (&self.at.source, &self.at.output);
        let (private, output_name) = (self.private.as_ref(), output.as_ref());
        match from.rename_noreplace(private, to, output_name) {
            Ok(true) => Ok(true),
            Ok(false) => Err(Interruption::Retry(Reason::Appeared(output.clone()))),
            Err(error) if error.is_other_file_system() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Syncs the new name and the removal of the old one (F2).
    fn sync_names(&self) -> Result<(), Interruption> {
        self.at.output.sync()?;
        if !self.at.beside {
            self.at.source.sync()?;
        }
        Ok(())
    }

    /// Restores the file and its name.
    fn undo(&self, intents: &IntentLog) -> Result<(), Interruption> {
        if !restore(&self.file.writable()?, self.intent)? {
            return Err(self.file.changed().into());
        }
        let dir = &self.at.source;
        if dir.refers_to(self.private.as_ref(), self.file)? {
            dir.restore_name(self.private.as_ref(), dir, self.name.as_ref())?;
            dir.sync()?;
        }
        Ok(intents.forget(self.intent)?)
    }
}
