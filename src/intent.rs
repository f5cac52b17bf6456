//! Intents: what npyd is about to do to a file that takes more than one step, written down where no
//! producer can reach it, so that a start after a crash can undo it.
//!
//! One small file each below the state directory; it is there for as long as the work takes.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::disk::{self, Dir, Output};

/// The largest intent that is read, in bytes.
const SIZE_MAX: usize = 64 << 10;

/// That room is about to be made at the front of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The file, under the private name it has meanwhile.
    pub file: PathBuf,
    /// Its number on its file system.
    pub inode: u64,
    /// Bytes it had.
    pub size: u64,
    /// Bytes of room.
    pub room: u64,
    /// A hash of what it had at its front, and at its end.
    pub ends: (u64, u64),
}

/// The intents of one state directory.
#[derive(Debug)]
pub struct Intents {
    dir: PathBuf,
}

impl Intents {
    /// Those of a state directory.
    #[must_use]
    pub fn of(state_dir: &Path) -> Self {
        Intents { dir: state_dir.join("intents") }
    }

    fn open(&self) -> disk::Result<Dir> {
        let (state_dir, name) = (self.dir.parent(), self.dir.file_name());
        Dir::open(state_dir.unwrap_or(Path::new("/")))?.make_dirs(name.unwrap_or_default().as_ref())
    }

    /// Writes an intent down, and makes that durable.
    pub fn record(&self, intent: &Intent) -> disk::Result<()> {
        let text = serde_json::to_vec(intent).unwrap_or_default(); // it never fails
        let mut note = Output::create(&self.open()?, text.len() as u64)?;
        note.file().write_all_at(&text, 0)?;
        note.publish(name_of(&intent.file).as_ref(), true).map(drop)
    }

    /// The intent about a file, if there is one that can be read. Its directory may be known by
    /// another path by now.
    pub fn find(&self, file: &Path, inode: u64) -> disk::Result<Option<Intent>> {
        let dir = self.open()?;
        let mut found = None;
        for (name, _) in dir.entries()? {
            let Some(note) = dir.open_file(name.as_ref())? else { continue };
            let intent = serde_json::from_slice::<Intent>(&note.read_at_most(0, SIZE_MAX)?);
            let Ok(intent) = intent else { continue };
            if intent.inode == inode && intent.file.file_name() == file.file_name() {
                let is_at_home = intent.file == file;
                found = Some(intent);
                if is_at_home {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// Forgets an intent: its work is done, or undone. One that outlives this does no harm.
    pub fn forget(&self, intent: &Intent) -> disk::Result<()> {
        self.open()?.remove_if_there(name_of(&intent.file).as_ref())
    }
}

fn name_of(file: &Path) -> String {
    format!("{:016x}.json", xxh3_64(file.as_os_str().as_encoded_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_lasts_until_it_is_forgotten() {
        let temp = tempfile::tempdir().unwrap();
        let intents = Intents::of(temp.path());
        let file = Path::new("/data/in/.npyd-insert-x.raw");
        assert_eq!(intents.find(file, 7).unwrap(), None);
        let intent = Intent {
            file: file.to_path_buf(),
            inode: 7,
            size: 1 << 40,
            room: 4096,
            ends: (1, u64::MAX),
        };
        intents.record(&intent).unwrap();
        intents.record(&intent).unwrap();
        let moved = Path::new("/mnt/in/.npyd-insert-x.raw");
        for file in [file, moved] {
            assert_eq!(Intents::of(temp.path()).find(file, 7).unwrap().as_ref(), Some(&intent));
            assert_eq!(intents.find(file, 8).unwrap(), None);
        }
        intents.forget(&intent).unwrap();
        intents.forget(&intent).unwrap();
        assert_eq!(intents.find(file, 7).unwrap(), None);
    }
}
