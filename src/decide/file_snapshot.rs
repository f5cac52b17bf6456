//! A snapshot of a drop's files: what they looked like in one probe.

use xxhash_rust::xxh3::xxh3_64;

use crate::decide::source_identity::{SourceIdentity, identity_of};
use crate::model::{FileName, Stat};

/// What the files of a drop looked like. Two snapshots differ if one of the files changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSnapshot {
    /// The data files, in order.
    pub files: Vec<Stat>,
    /// The file that describes it.
    pub sidecar: Option<(FileName, Stat)>,
    /// Inodes of conflicting descriptions or data files, and inode and mtime of a file whose count
    /// contradicts the data; the drop is another once they are gone or changed.
    pub rivals: Vec<u64>,
}

impl FileSnapshot {
    /// Returns the snapshot as text that stays valid after a reboot.
    #[must_use]
    pub fn identity(&self) -> SourceIdentity {
        let own = self.files.first().map(identity_of).unwrap_or_default();
        let is_alone = self.files.len() <= 1 && self.rivals.is_empty();
        let data = if is_alone {
            own
        } else {
            let whole = self.hash_of_further(identity_of);
            let contents = self.hash_of_further(unchanged_by_attributes);
            format!("{own}:{whole:016x}:{contents:016x}")
        };
        SourceIdentity {
            data,
            sidecar: self
                .sidecar
                .as_ref()
                .map(|(name, stat)| (name.to_string(), identity_of(stat))),
        }
    }

    /// Returns a hash of the identities of the further files.
    fn hash_of_further(&self, identity: impl Fn(&Stat) -> String) -> u64 {
        let further = self.files.iter().skip(1).map(identity);
        let more = further.chain(self.rivals.iter().map(u64::to_string));
        more.fold(0, |hash, more| xxh3_64(format!("{hash:016x}+{more}").as_bytes()))
    }

    /// Returns a key for the content of each data file, for the table of data losses.
    pub fn contents(&self) -> impl Iterator<Item = String> {
        self.files.iter().map(content_of)
    }

    /// Returns the content key of the first data file and, if there are more, their number and a
    /// hash of what does not change while data are appended to them.
    #[must_use]
    pub fn target(&self) -> String {
        let first = self.files.first().map(content_of).unwrap_or_default();
        let further = self.files.get(1..).unwrap_or_default();
        let add = |hash, file: &Stat| {
            xxh3_64(format!("{hash:016x}+{}:{}", file.ino, file.born_ns).as_bytes())
        };
        match further.len() {
            0 => first,
            count => format!("{first}+{count}:{:016x}", further.iter().fold(0, add)),
        }
    }

    /// Returns the inode with which the identity begins.
    #[must_use]
    pub fn ino(&self) -> u64 {
        self.files.first().map_or(0, |stat| stat.ino)
    }
}

/// Returns `inode:birth:size:mtime`, which does not change when a file is renamed or its attributes
/// change. The inode number alone is not enough, because the file system soon reuses it.
fn content_of(stat: &Stat) -> String {
    format!("{}:{}:{}:{}", stat.ino, stat.born_ns, stat.size, stat.mtime_ns)
}

/// Returns `inode:size:mtime`, which does not change with a file's attributes.
fn unchanged_by_attributes(stat: &Stat) -> String {
    format!("{}:{}:{}", stat.ino, stat.size, stat.mtime_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(ino: u64, mtime_ns: i64, ctime_ns: i64) -> Stat {
        let (dev, size, blocks, born_ns, nlink, uid, mode, mount) =
            (1, 2, 8, 3, 1, 4, 0o100_644, 5);
        Stat {
            dev,
            ino,
            size,
            blocks,
            mtime_ns,
            ctime_ns,
            born_ns,
            nlink,
            uid,
            mode,
            mount,
            protection: None,
        }
    }

    fn snapshot(data: Stat, parts: &[Stat], sidecar: Stat) -> SourceIdentity {
        let sidecar = Some((FileName::try_from("x.raw.toml".to_owned()).unwrap(), sidecar));
        let files = [&[data], parts].concat();
        FileSnapshot { files, sidecar, rivals: Vec::new() }.identity()
    }

    #[test]
    fn attributes_of_any_file_make_another_identity_of_the_same_files() {
        let (data, part, sidecar) = (stat(1, 10, 10), stat(2, 10, 10), stat(3, 10, 10));
        let before = snapshot(data, &[part, part], sidecar);
        for (changed, is_of_files) in [
            (snapshot(stat(1, 10, 11), &[part, part], sidecar), true),
            (snapshot(data, &[part, stat(2, 10, 11)], sidecar), true),
            (snapshot(data, &[part, part], stat(3, 10, 11)), true),
            (snapshot(stat(1, 11, 11), &[part, part], sidecar), false),
            (snapshot(data, &[part, stat(2, 11, 11)], sidecar), false),
            (snapshot(data, &[part, stat(4, 10, 10)], sidecar), false),
            (snapshot(data, &[part], sidecar), false),
            (snapshot(data, &[part, part], stat(3, 11, 11)), false),
        ] {
            assert_ne!(before, changed);
            assert_eq!(before.is_of_files(&changed), is_of_files, "{changed}");
            let text = SourceIdentity::parse(&changed.to_string());
            assert_eq!(before.is_of_files(&text), is_of_files, "{changed}");
        }
        let (one, other) = (SourceIdentity::default(), SourceIdentity::parse("1:2:3:4:5"));
        assert!(
            !one.is_of_files(&other) && !other.is_of_files(&SourceIdentity::parse("1:2:3:9:5"))
        );
    }
}
