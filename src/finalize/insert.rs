//! The insert-range route: the file system opens a page up at the front of the raw file, the header
//! goes there, and the file gets its final name. No byte of the data moves.
//!
//! Making room is not one step for the file system: a crash can leave the file with the gap in its
//! middle. So the file first leaves its name for one that nobody takes for a drop, and what is to
//! happen to it is written down durably, away from its producer. A start that finds such a file
//! takes the room back, from wherever it is, and gives the file its name back.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use super::{Halt, Settled, Site, in_place, lost};
use crate::config::{Inbox, OnConflict};
use crate::disk::{self, DataFile, Dir};
use crate::intent::{Intent, Intents};
use crate::look::SOURCE_ATTR;
use crate::progress::Progress;
use crate::recognize::FileName;

/// Begins the name that a file has while room is made in it.
const PREFIX: &str = ".npyd-insert-";

/// How many bytes at either end of a file tell whether it is itself again.
const END: u64 = 4096;

/// How often it is tried to have a file alone, after pauses of so many milliseconds.
const GLANCES: u64 = 5;

/// What came of trying.
pub(super) enum Inserted {
    /// The array has its name.
    Done,
    /// It can't be done to this file, for this reason; nothing was changed.
    Not(String),
}

/// Makes room for the header in the data file, writes it there and gives the file its final name.
pub(super) fn write(
    settled: &Settled,
    site: &Site,
    head: &[u8],
    output: &FileName,
    progress: &mut Progress,
) -> Result<Inserted, Halt> {
    let candidate = &settled.candidate;
    let not = |why: &str| Ok(Inserted::Not(why.to_owned()));
    let Some(intents) = &settled.intents else { return not("there is nowhere to note it down") };
    let Ok(private) = FileName::try_from(format!("{PREFIX}{}", candidate.name)) else {
        return not("the file's name is too long");
    };
    // A glance of npyd's own, or of another's, is over soon.
    let is_sole = (0..GLANCES).any(|glance| {
        std::thread::sleep(Duration::from_millis(glance));
        candidate.file.is_sole()
    });
    if !is_sole {
        return not("another process has the file open");
    }
    if candidate.file.written_upto(0)? < candidate.stat.size {
        return not("the file has holes");
    }
    let file = in_place::synced(settled, progress)?;
    let intent = Intent {
        file: site.source.path().join(&private),
        inode: candidate.stat.ino,
        size: candidate.stat.size,
        room: head.len() as u64,
        ends: ends(&file, candidate.stat.size)?,
    };
    intents.record(&intent)?;
    if !site.source.rename_noreplace(candidate.name.as_ref(), &site.source, private.as_ref())? {
        return Err(Halt::Busy(format!("`{private}` is there: an earlier try is to be undone")));
    }
    let work = Work { site, file: &file, intent: &intent, name: &candidate.name, private };
    let renamed = match work.make_room(head) {
        Ok(true) => work.rename(settled, output),
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
            work.undo(intents)?;
            not("the file system would not make room in it, or rename it")
        }
        Err(halt) => {
            work.undo(intents)?;
            Err(halt)
        }
    }
}

/// A file under its private name, and what is being done to it.
struct Work<'a> {
    site: &'a Site,
    file: &'a DataFile,
    intent: &'a Intent,
    name: &'a FileName,
    private: FileName,
}

impl Work<'_> {
    /// The room, and the header in it, both durable; `false` where there is no room to be had.
    fn make_room(&self, head: &[u8]) -> Result<bool, Halt> {
        if !self.site.source.means(self.private.as_ref(), self.file)? {
            return Err(Halt::Again("it was replaced by another file".to_owned()));
        }
        self.site.source.sync()?;
        self.file.drop_special_bits()?;
        if !self.file.insert_front(self.intent.room)? {
            return Ok(false);
        }
        self.file.write_all_at(head, 0)?;
        self.file.sync_all().map_err(lost)?;
        // Whoever wrote to it meanwhile wrote to other bytes than they meant.
        let grown = self.file.stat()?.size == self.intent.size + self.intent.room;
        if grown { Ok(true) } else { Err(Halt::Again("it changed meanwhile".to_owned())) }
    }

    /// Gives the array its name; `false` where the file can't be renamed to there.
    fn rename(&self, settled: &Settled, output: &FileName) -> Result<bool, Halt> {
        self.file.set_attr(SOURCE_ATTR, settled.mark().as_bytes())?;
        let (from, to) = (&self.site.source, &self.site.output);
        let (private, output_name) = (self.private.as_ref(), output.as_ref());
        let renamed = if settled.inbox.on_conflict == OnConflict::Replace {
            from.rename_replace(private, to, output_name).map(|()| true)
        } else {
            from.rename_noreplace(private, to, output_name)
        };
        match renamed {
            Ok(true) => Ok(true),
            Ok(false) => Err(Halt::Again(format!("`{output}` appeared meanwhile"))),
            Err(error) if error.is_other_file_system() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The new name is durable, and the old one gone for good.
    fn sync_names(&self) -> Result<(), Halt> {
        self.site.output.sync()?;
        if !self.site.beside {
            self.site.source.sync()?;
        }
        Ok(())
    }

    /// The file as it was, under the name that it had.
    fn undo(&self, intents: &Intents) -> Result<(), Halt> {
        restore(self.file, self.intent)?;
        give_name_back(&self.site.source, self.file, &self.private, self.name)?;
        Ok(intents.forget(self.intent)?)
    }
}

/// Undoes what a crash interrupted, where the directory has a file under such a private name. `Err`
/// says why one was left as it is; whoever works on one holds it locked.
pub fn undo_interrupted(
    inbox: &Inbox,
    intents: &Intents,
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
    let told = |error: disk::DiskError| left(&error.to_string());
    let Some(file) = dir.open_file(name.as_ref()).map_err(told)? else { return Ok(()) };
    let Some(_claim) = file.claim().map_err(told)? else { return Ok(()) };
    let stat = file.stat().map_err(told)?;
    if !stat.is_file() || stat.nlink > 1 {
        return Err(left("it is no file of its own any more"));
    }
    let Some(intent) = intents.find(&path, stat.ino).map_err(told)? else {
        return Err(left(
            "the state directory has no note of it: run the npyd that was, or rename the file \
             if its content is right",
        ));
    };
    let own = FileName::try_from(own.to_owned()).map_err(|error| left(&error))?;
    let name = FileName::try_from(name.to_owned()).map_err(|error| left(&error))?;
    let writable = file.writable().map_err(told)?;
    restore(&writable, &intent).map_err(told)?;
    give_name_back(dir, &file, &name, &own).map_err(told)?;
    tracing::info!("gave `{}` back to `{}`", own, inbox.path.display());
    intents.forget(&intent).map_err(told)
}

/// Takes the room back, and makes sure that the file is itself again.
fn restore(file: &DataFile, intent: &Intent) -> disk::Result<()> {
    if file.stat()?.ino == intent.inode
        && file.take_room_back(intent.size, intent.room)?
        && ends(file, intent.size)? == intent.ends
    {
        Ok(())
    } else {
        Err(file.changed())
    }
}

fn give_name_back(
    dir: &Dir,
    file: &DataFile,
    private: &FileName,
    name: &FileName,
) -> disk::Result<()> {
    if !dir.means(private.as_ref(), file)? {
        return Ok(()); // it was renamed already
    }
    if !dir.rename_noreplace(private.as_ref(), dir, name.as_ref())? {
        return Err(dir.no_name_left(name.as_ref()));
    }
    dir.sync()
}

fn ends(file: &DataFile, size: u64) -> disk::Result<(u64, u64)> {
    let hash = |at| file.read_at_most(at, END as usize).map(|bytes| xxh3_64(&bytes));
    Ok((hash(0)?, hash(size.saturating_sub(END))?))
}
