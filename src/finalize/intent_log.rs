//! The intent log: records work on a file that takes more than one step, where no producer can
//! reach it, so that it can be undone after a crash.
//!
//! Each intent is a small file in `state_dir/intents/`, which exists as long as the work takes.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::fs::{self, Dir, TempFile};
use crate::model::Stat;

/// Maximum size of an intent that is read, in bytes.
const SIZE_MAX: usize = 64 << 10;

/// Maximum number of files that are remembered as unsupported.
const REFUSED_MAX: usize = 65_536;

/// The intent to insert space at the front of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InsertIntent {
    /// Path of the file under its private name.
    #[serde(with = "intent_path")]
    pub file: PathBuf,
    /// Its inode number.
    pub inode: u64,
    /// Its original size, in bytes.
    pub size: u64,
    /// Size of the inserted space, in bytes.
    pub room: u64,
    /// Hashes of its first and its last 4096 bytes.
    pub edge_hashes: (u64, u64),
}

/// A path in an intent: a string if it is UTF-8, otherwise an array of its bytes.
mod intent_path {
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize)]
    #[serde(untagged)]
    enum Borrowed<'a> {
        Text(&'a str),
        Bytes(&'a [u8]),
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Owned {
        Text(String),
        Bytes(Vec<u8>),
    }

    pub(super) fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
        let bytes = path.as_os_str().as_bytes();
        path.to_str().map_or(Borrowed::Bytes(bytes), Borrowed::Text).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
        Owned::deserialize(from).map(|path| match path {
            Owned::Text(text) => text.into(),
            Owned::Bytes(bytes) => OsString::from_vec(bytes).into(),
        })
    }
}

/// The intent log of one state directory.
#[derive(Debug)]
pub struct IntentLog {
    dir: PathBuf,
    /// Device and inode of files that do not support the insertion, for the life of this process.
    refused: Mutex<HashSet<(u64, u64)>>,
}

impl IntentLog {
    /// Returns the intent log of a state directory.
    #[must_use]
    pub fn of(state_dir: &Path) -> Self {
        IntentLog { dir: state_dir.join("intents"), refused: Mutex::default() }
    }

    /// Returns the user to whom the state directory belongs: the one that npyd runs as.
    pub(crate) fn owner(&self) -> Option<u32> {
        let state_dir = Dir::open(self.dir.parent()?).ok()?;
        Some(state_dir.stat_self().ok()?.uid)
    }

    fn open(&self) -> fs::Result<Dir> {
        let (state_dir, name) = (self.dir.parent(), self.dir.file_name());
        Dir::open(state_dir.unwrap_or(Path::new("/")))?.make_dirs(name.unwrap_or_default().as_ref())
    }

    /// Opens the directory of the intents. Returns `None` if it does not exist: then there are no
    /// intents.
    fn open_existing(&self) -> fs::Result<Option<Dir>> {
        match Dir::open(&self.dir) {
            Err(error) if error.is_missing() => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// Records an intent.
    ///
    /// # Durability
    ///
    /// On success the intent and its name are durable.
    pub fn record(&self, intent: &InsertIntent) -> fs::Result<()> {
        let text = serde_json::to_vec(intent).unwrap_or_default(); // it can't fail
        let mut note = TempFile::create(&self.open()?, text.len() as u64)?;
        note.file().write_all_at(&text, 0)?;
        note.publish(name_of(intent).as_ref(), true).map(drop)
    }

    /// Returns the intent for a file, if there is a readable one. Its directory may have got
    /// another path since.
    pub fn find(&self, file: &Path, inode: u64) -> fs::Result<Option<InsertIntent>> {
        let name = file.file_name();
        let is_it =
            |intent: &InsertIntent| intent.inode == inode && intent.file.file_name() == name;
        Ok(self.all()?.into_iter().filter(is_it).max_by_key(|intent| intent.file == file))
    }

    /// Returns the intents for this path, whatever file has it now.
    pub fn at(&self, file: &Path) -> fs::Result<Vec<InsertIntent>> {
        Ok(self.all()?.into_iter().filter(|intent| intent.file == file).collect())
    }

    fn all(&self) -> fs::Result<Vec<InsertIntent>> {
        let Some(dir) = self.open_existing()? else { return Ok(Vec::new()) };
        let mut all = Vec::new();
        for (name, _) in dir.entries()? {
            let Some(note) = dir.open_file(name.as_ref())? else { continue };
            all.extend(serde_json::from_slice::<InsertIntent>(&note.read_at_most(0, SIZE_MAX)?));
        }
        Ok(all)
    }

    /// Removes an intent whose work is done or undone. If a crash reverts the removal, the intent
    /// does no harm. Succeeds as well if somebody removed the state directory.
    pub fn forget(&self, intent: &InsertIntent) -> fs::Result<()> {
        match self.open_existing()? {
            None => Ok(()),
            Some(dir) => dir.remove_if_there(name_of(intent).as_ref()),
        }
    }

    /// Remembers that the insertion failed for this file. Every attempt changes its timestamps, so
    /// that it must be quiet again; npyd would otherwise retry forever.
    pub fn mark_unsupported(&self, file: &Stat) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() >= REFUSED_MAX {
            refused.clear();
        }
        refused.insert((file.dev, file.ino));
    }

    /// Returns whether the insertion already failed for this file.
    #[must_use]
    pub fn is_unsupported(&self, file: &Stat) -> bool {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.contains(&(file.dev, file.ino))
    }
}

/// Returns the intent's file name. The name contains the inode number, because another file may get
/// the same path while npyd still needs the earlier intent.
fn name_of(intent: &InsertIntent) -> String {
    let path = xxh3_64(intent.file.as_os_str().as_encoded_bytes());
    format!("{path:016x}-{:x}.json", intent.inode)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn an_intent_lasts_until_it_is_forgotten() {
        let temp = tempfile::tempdir().unwrap();
        let intents = IntentLog::of(temp.path());
        let file = Path::new(OsStr::from_bytes(b"/data/in\xff/.npyd-insert-x.raw"));
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
        let moved = Path::new("/mnt/in\u{fffd}/.npyd-insert-x.raw");
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
