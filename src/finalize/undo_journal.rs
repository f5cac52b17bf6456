//! Intents: what npyd is about to do to a file that takes more than one step, written down where no
//! producer can reach it, so that a start after a crash can undo it.
//!
//! One small file each below the state directory; it is there for as long as the work takes.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::fs::{self, Dir, TempFile};
use crate::model::Stat;

/// The largest intent that is read, in bytes.
const SIZE_MAX: usize = 64 << 10;

/// The most files that are kept in mind because nothing was to be done to them.
const REFUSED_MAX: usize = 65_536;

/// That room is about to be made at the front of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InsertIntent {
    /// The file, under the private name it has meanwhile.
    pub file: PathBuf,
    /// Its number on its file system.
    pub inode: u64,
    /// Bytes it had.
    pub size: u64,
    /// Bytes of room.
    pub room: u64,
    /// A hash of what it had at its front, and at its end.
    pub edge_hashes: (u64, u64),
}

/// The intents of one state directory.
#[derive(Debug)]
pub struct IntentLog {
    dir: PathBuf,
    /// Device and inode of files to which it could not be done, for as long as this process lives.
    refused: Mutex<HashSet<(u64, u64)>>,
}

impl IntentLog {
    /// Those of a state directory.
    #[must_use]
    pub fn of(state_dir: &Path) -> Self {
        IntentLog { dir: state_dir.join("intents"), refused: Mutex::default() }
    }

    fn open(&self) -> fs::Result<Dir> {
        let (state_dir, name) = (self.dir.parent(), self.dir.file_name());
        Dir::open(state_dir.unwrap_or(Path::new("/")))?.make_dirs(name.unwrap_or_default().as_ref())
    }

    /// Writes an intent down, and makes that durable.
    pub fn record(&self, intent: &InsertIntent) -> fs::Result<()> {
        let text = serde_json::to_vec(intent).unwrap_or_default(); // it never fails
        let mut note = TempFile::create(&self.open()?, text.len() as u64)?;
        note.file().write_all_at(&text, 0)?;
        note.publish(name_of(intent).as_ref(), true).map(drop)
    }

    /// The intent about a file, if there is one that can be read. Its directory may be known by
    /// another path by now.
    pub fn find(&self, file: &Path, inode: u64) -> fs::Result<Option<InsertIntent>> {
        let name = file.file_name();
        let is_it =
            |intent: &InsertIntent| intent.inode == inode && intent.file.file_name() == name;
        Ok(self.all()?.into_iter().filter(is_it).max_by_key(|intent| intent.file == file))
    }

    /// The intents about whatever has this path.
    pub fn at(&self, file: &Path) -> fs::Result<Vec<InsertIntent>> {
        Ok(self.all()?.into_iter().filter(|intent| intent.file == file).collect())
    }

    fn all(&self) -> fs::Result<Vec<InsertIntent>> {
        let dir = self.open()?;
        let mut all = Vec::new();
        for (name, _) in dir.entries()? {
            let Some(note) = dir.open_file(name.as_ref())? else { continue };
            all.extend(serde_json::from_slice::<InsertIntent>(&note.read_at_most(0, SIZE_MAX)?));
        }
        Ok(all)
    }

    /// Forgets an intent: its work is done, or undone. One that outlives this does no harm.
    pub fn forget(&self, intent: &InsertIntent) -> fs::Result<()> {
        self.open()?.remove_if_there(name_of(intent).as_ref())
    }

    /// Keeps in mind that it could not be done to a file: to try it changes the file's times, so
    /// that it must settle anew, and would be tried for ever.
    pub fn mark_unsupported(&self, file: &Stat) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() >= REFUSED_MAX {
            refused.clear();
        }
        refused.insert((file.dev, file.ino));
    }

    /// Whether it was tried already, and could not be done.
    #[must_use]
    pub fn is_unsupported(&self, file: &Stat) -> bool {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.contains(&(file.dev, file.ino))
    }
}

/// Another file may come to the same path while the note of one before it is still needed.
fn name_of(intent: &InsertIntent) -> String {
    let path = xxh3_64(intent.file.as_os_str().as_encoded_bytes());
    format!("{path:016x}-{:x}.json", intent.inode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_lasts_until_it_is_forgotten() {
        let temp = tempfile::tempdir().unwrap();
        let intents = IntentLog::of(temp.path());
        let file = Path::new("/data/in/.npyd-insert-x.raw");
        assert_eq!(intents.find(file, 7).unwrap(), None);
        let intent = InsertIntent {
            file: file.to_path_buf(),
            inode: 7,
            size: 1 << 40,
            room: 4096,
            edge_hashes: (1, u64::MAX),
        };
        intents.record(&intent).unwrap();
        intents.record(&intent).unwrap();
        let moved = Path::new("/mnt/in/.npyd-insert-x.raw");
        for file in [file, moved] {
            assert_eq!(IntentLog::of(temp.path()).find(file, 7).unwrap().as_ref(), Some(&intent));
            assert_eq!(intents.find(file, 8).unwrap(), None);
        }
        let newer = InsertIntent { inode: 9, ..intent.clone() };
        intents.record(&newer).unwrap();
        assert_eq!(intents.find(file, 7).unwrap().as_ref(), Some(&intent));
        assert_eq!((intents.at(file).unwrap().len(), intents.at(moved).unwrap().len()), (2, 0));
        intents.forget(&newer).unwrap();
        assert_eq!(intents.at(file).unwrap(), std::slice::from_ref(&intent));
        intents.forget(&intent).unwrap();
        intents.forget(&intent).unwrap();
        assert_eq!(intents.find(file, 7).unwrap(), None);
    }
}
