//! The insert-range route: the file system opens a page up at the front of the raw file, the header
//! goes there, and the file gets its final name. No byte of the data moves.
//!
//! Making room is not one step for the file system: a crash can leave the file with the gap in its
//! middle. So the file first leaves its name for one that nobody takes for a drop, and what is to
//! happen to it is written down durably, away from its producer. A start that finds such a file
//! takes the room back, from wherever it is, and gives the file its name back.

use std::path::Path;
use std::time::Duration;

use crate::config::DropDir;
use crate::finalize::locations::Locations;
use crate::finalize::source_checks::{self, lost};
use crate::finalize::undo_journal::{InsertIntent, IntentLog};
use crate::finalize::{Interruption, Job, output_name};
use crate::fs::{self, DataFile, Dir};
use crate::model::{FileName, Stat};
use crate::probe::SOURCE_ATTR;
use crate::probe::candidate::Candidate;
use crate::throttle::meter::Progress;

/// Begins the name that a file has while room is made in it.
const PREFIX: &str = ".npyd-insert-";

/// Why it is not done to a file to which it could not be done before.
const REFUSED: &str = "the file system would not make room in it, or rename it";

/// How often it is tried to have a file alone, after pauses of so many milliseconds.
const GLANCES: u64 = 5;

/// What came of trying.
pub(crate) enum Inserted {
    /// The array has its name.
    Done,
    /// It can't be done to this file, for this reason; nothing was changed.
    Not(String),
}

/// Makes room for the header in the data file, writes it there and gives the file its final name.
/// Before it is an array, it is described as one.
pub(crate) fn write(
    job: &Job,
    at: &Locations,
    head: &[u8],
    output: &FileName,
    progress: &mut Progress,
    describe: &dyn Fn() -> Result<(), Interruption>,
) -> Result<Inserted, Interruption> {
    let candidate = &job.candidate;
    let not = |why: &str| Ok(Inserted::Not(why.to_owned()));
    let Some(intents) = &job.intents else { return not("there is nowhere to note it down") };
    let Ok(private) = FileName::try_from(format!("{PREFIX}{}", candidate.name)) else {
        return not("the file's name is too long");
    };
    if let Some(why) = obstacle(job, at, intents, &private, head.len() as u64)? {
        return not(why);
    }
    let file = source_checks::synced(job, &candidate.stat, progress)?;
    let intent = InsertIntent {
        file: at.source.path().join(&private),
        inode: candidate.stat.ino,
        size: candidate.stat.size,
        room: head.len() as u64,
        edge_hashes: file.edge_hashes(candidate.stat.size)?,
    };
    intents.record(&intent)?;
    let work = PrivateFile { at, file: &file, intent: &intent, name: &candidate.name, private };
    work.take(job, intents)?;
    let renamed = match work.make_room(head) {
        Ok(true) => describe().and_then(|()| work.rename(job, output)),
        other => other,
    };
    match renamed {
        // From here on it is the array, and nothing is undone: where its name can't be made
        // durable, the intent stays, for a crash may bring the private one back.
        Ok(true) => {
            work.sync_names()?;
            if let Err(error) = intents.forget(&intent) {
                tracing::debug!("{error}"); // one that outlives its work does no harm
            }
            Ok(Inserted::Done)
        }
        // Where undoing fails, the next scan does it: the intent is still there.
        Ok(false) => {
            intents.mark_unsupported(&candidate.stat);
            work.undo(intents)?;
            Err(Interruption::Retry(format!("{REFUSED}: it will be copied")))
        }
        Err(interruption) => {
            work.undo(intents)?;
            Err(interruption)
        }
    }
}

/// What can be seen to stand against it before anything is changed.
fn obstacle(
    job: &Job,
    at: &Locations,
    intents: &IntentLog,
    private: &FileName,
    room: u64,
) -> Result<Option<&'static str>, Interruption> {
    let Candidate { file, stat, .. } = &job.candidate;
    if intents.is_unsupported(stat) {
        return Ok(Some(REFUSED));
    }
    if at.source.stat(private.as_ref())?.is_some() {
        return Ok(Some("an earlier try at a file of that name is yet to be undone"));
    }
    // A glance of npyd's own, or of another's, is over soon.
    let is_sole_opener = (0..GLANCES).any(|glance| {
        std::thread::sleep(Duration::from_millis(glance));
        file.is_sole_opener()
    });
    if !is_sole_opener {
        return Ok(Some("another process has the file open"));
    }
    if file.first_hole(0)? < stat.size {
        return Ok(Some("the file has holes"));
    }
    let is_made = at.source.supports_insert_range(room)?;
    Ok((!is_made).then_some("the file system makes no such room"))
}

/// A file under its private name, and what is being done to it.
struct PrivateFile<'a> {
    at: &'a Locations,
    file: &'a DataFile,
    intent: &'a InsertIntent,
    name: &'a FileName,
    private: FileName,
}

impl PrivateFile<'_> {
    /// Gives the file its private name. Until it has that, anybody may write to it, or replace it:
    /// one that is not what was settled keeps its name, or has it back.
    fn take(&self, job: &Job, intents: &IntentLog) -> Result<(), Interruption> {
        let (dir, name) = (&self.at.source, self.name.as_ref());
        if !dir.rename_private_as(name, self.file, self.private.as_ref())? {
            intents.forget(self.intent)?;
            return Err(Interruption::Retry("it was replaced by another file".to_owned()));
        }
        let checked = source_checks::check_size(job, &job.candidate.stat, self.file);
        if checked.is_err() {
            dir.restore_name(self.private.as_ref(), dir, name)?;
            dir.sync()?;
            intents.forget(self.intent)?;
        }
        checked
    }

    /// The room, and the header in it, both durable; `false` where there is no room to be had.
    fn make_room(&self, head: &[u8]) -> Result<bool, Interruption> {
        self.at.source.sync()?;
        self.file.clear_special_bits()?;
        if !self.file.insert_gap(self.intent.room)? {
            return Ok(false);
        }
        self.file.write_all_at(head, 0)?;
        self.file.sync_all().map_err(lost)?;
        // Whoever wrote to it meanwhile wrote to other bytes than they meant.
        let grown = self.file.stat()?.size == self.intent.size + self.intent.room;
        if grown { Ok(true) } else { Err(Interruption::Retry("it changed meanwhile".to_owned())) }
    }

    /// Gives the array its name; `false` where the file can't be renamed to there.
    fn rename(&self, job: &Job, output: &FileName) -> Result<bool, Interruption> {
        self.file.set_attr(SOURCE_ATTR, job.mark().as_bytes())?;
        let (from, to) = (&self.at.source, &self.at.output);
        let (private, output_name) = (self.private.as_ref(), output.as_ref());
        let renamed = if output_name::replaces(job, self.at, output)? {
            from.rename_replace(private, to, output_name).map(|()| true)
        } else {
            from.rename_noreplace(private, to, output_name)
        };
        match renamed {
            Ok(true) => Ok(true),
            Ok(false) => Err(Interruption::Retry(format!("`{output}` appeared meanwhile"))),
            Err(error) if error.is_other_file_system() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The new name is durable, and the old one gone for good.
    fn sync_names(&self) -> Result<(), Interruption> {
        self.at.output.sync()?;
        if !self.at.beside {
            self.at.source.sync()?;
        }
        Ok(())
    }

    /// The file as it was, under the name that it had.
    fn undo(&self, intents: &IntentLog) -> Result<(), Interruption> {
        restore(self.file, self.intent)?;
        let dir = &self.at.source;
        if dir.refers_to(self.private.as_ref(), self.file)? {
            dir.restore_name(self.private.as_ref(), dir, self.name.as_ref())?;
            dir.sync()?;
        }
        Ok(intents.forget(self.intent)?)
    }
}

/// Undoes what a crash interrupted, where the directory has a file under such a private name. `Err`
/// says why one was left as it is; whoever works on one holds it locked.
pub fn recover_insert(
    drop_dir: &DropDir,
    intents: &IntentLog,
    dir: &Dir,
    name: &str,
) -> Result<(), String> {
    let Some(own) = name.strip_prefix(PREFIX) else { return Ok(()) };
    let path = dir.path().join(name);
    let left = |why: &str| {
        format!(
            "`{}` is left as it is: npyd was ended while it made room for a header in it, and {why}",
            path.display()
        )
    };
    let facts = |error: fs::FsError| left(&error.to_string());
    let Some(file) = dir.open_file(name.as_ref()).map_err(facts)? else { return Ok(()) };
    let Some(_claim) = file.claim().map_err(facts)? else { return Ok(()) };
    let stat = file.stat().map_err(facts)?;
    if !stat.is_file() || stat.nlink > 1 {
        return Err(left("it is no file of its own any more"));
    }
    let intent = intents.find(&path, stat.ino).map_err(facts)?;
    match &intent {
        Some(intent) => {
            let writable = file.writable().map_err(facts)?;
            restore(&writable, intent).map_err(facts)?;
        }
        None if was_taken_for_another(intents, &path, &stat).map_err(facts)? => {}
        None => {
            return Err(left(
                "the state directory has no note of it: run the npyd that was, or rename the \
                 file if its content is right",
            ));
        }
    }
    let own = FileName::try_from(own.to_owned()).map_err(|error| left(&error))?;
    dir.restore_name(name.as_ref(), dir, own.as_ref()).map_err(facts)?;
    dir.sync().map_err(facts)?;
    tracing::info!("gave `{}` back to `{}`", own, drop_dir.path.display());
    intent.map_or(Ok(()), |intent| intents.forget(&intent).map_err(facts))
}

/// Whether a file got its private name in place of the one that it had just replaced, and nothing
/// was done to it. A copy of that other one, as a backup brings back, may have the room in it.
fn was_taken_for_another(intents: &IntentLog, path: &Path, stat: &Stat) -> fs::Result<bool> {
    let others = intents.at(path)?;
    let may_have_room = |of: &InsertIntent| of.size.checked_add(of.room) == Some(stat.size);
    Ok(!others.is_empty() && !others.iter().any(may_have_room))
}

/// Takes the room back, and makes sure that the file is itself again.
fn restore(file: &DataFile, intent: &InsertIntent) -> fs::Result<()> {
    let is_noted = file.stat()?.ino == intent.inode;
    if is_noted && file.remove_gap(intent.size, intent.room, intent.edge_hashes)? {
        Ok(())
    } else {
        Err(file.changed())
    }
}
