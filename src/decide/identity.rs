//! What the files of a dump looked like, so that it can be told later whether they changed.

use std::fmt;

use xxhash_rust::xxh3::xxh3_64;

use crate::model::{FileName, Stat};

/// What a dump's files looked like; another stamp means that one of them changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSnapshot {
    /// The data file.
    pub data: Stat,
    /// The files with the rest of the data.
    pub parts: Vec<Stat>,
    /// The file that describes it.
    pub sidecar: Option<(FileName, Stat)>,
    /// The inodes of files that leave open what it is.
    pub rivals: Vec<u64>,
}

impl FileSnapshot {
    /// The stamp as text that outlives a restart of the machine.
    #[must_use]
    pub fn identity(&self) -> SourceIdentity {
        let own = identity_of(&self.data);
        let parts = self.parts.iter().map(identity_of);
        let more = parts.chain(self.rivals.iter().map(u64::to_string));
        SourceIdentity {
            data: more.fold(own.clone(), |identity, more| {
                let hash = xxh3_64(format!("{identity}+{more}").as_bytes());
                format!("{own}:{hash:016x}")
            }),
            sidecar: self
                .sidecar
                .as_ref()
                .map(|(name, stat)| (name.to_string(), identity_of(stat))),
        }
    }

    /// What tells the contents of its data files from all others, each as text.
    pub fn contents(&self) -> impl Iterator<Item = String> {
        [&self.data].into_iter().chain(&self.parts).map(content_of)
    }
}

/// `inode:size:mtime:ctime`, times in nanoseconds. The device is left out, for its number changes
/// when the machine starts anew.
#[must_use]
pub fn identity_of(stat: &Stat) -> String {
    format!("{}:{}:{}:{}", stat.ino, stat.size, stat.mtime_ns, stat.ctime_ns)
}

/// `inode:birth:size:mtime`: what stays of a file that nobody writes to, whatever becomes of its
/// name and attributes. An inode's number alone is soon another file's.
fn content_of(stat: &Stat) -> String {
    format!("{}:{}:{}:{}", stat.ino, stat.born_ns, stat.size, stat.mtime_ns)
}

/// Returns the identity without the time at which attributes last changed.
pub(crate) fn without_ctime(identity: &str) -> Option<&str> {
    identity.rsplit_once(':').map(|(file, _)| file)
}

/// A stamp as text: equal ones mean unchanged files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceIdentity {
    /// The data file's.
    pub data: String,
    /// The describing file's name, and its own.
    pub sidecar: Option<(String, String)>,
}

impl SourceIdentity {
    /// Whether both are of one data file, with the same size and time of writing; attributes may
    /// have changed.
    #[must_use]
    pub fn is_of_file(&self, other: &SourceIdentity) -> bool {
        without_ctime(&self.data) == without_ctime(&other.data)
    }

    /// Whether the data file, or the first of several, was this one; attributes may have changed.
    #[must_use]
    pub fn is_of_data(&self, stat: &Stat) -> bool {
        self.data.starts_with(&format!("{}:{}:{}:", stat.ino, stat.size, stat.mtime_ns))
    }

    /// Whether both are of the same files, with the same sizes and times of writing.
    #[must_use]
    pub fn is_of_files(&self, other: &SourceIdentity) -> bool {
        let described = |identity: &SourceIdentity| {
            let sidecar = identity.sidecar.as_ref();
            sidecar.map(|(name, it)| (name.clone(), without_ctime(it).map(str::to_owned)))
        };
        self.is_of_file(other) && described(self) == described(other)
    }

    /// Whether the data file has that inode.
    #[must_use]
    pub fn is_of_inode(&self, ino: u64) -> bool {
        self.data.split(':').next() == Some(ino.to_string().as_str())
    }

    /// Whether the describing file was this one; its attributes may have changed, as they do when
    /// it is renamed and gets its name back.
    #[must_use]
    pub fn was_described_by(&self, name: &FileName, stat: &Stat) -> bool {
        let found = identity_of(stat);
        self.sidecar.as_ref().is_some_and(|(known, identity)| {
            known == name.as_str() && without_ctime(identity) == without_ctime(&found)
        })
    }

    /// Reads the text form back.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut parts = text.splitn(3, ' ').map(str::to_owned);
        let data = parts.next().unwrap_or_default();
        let sidecar = parts.next().zip(parts.next()).map(|(identity, name)| (name, identity));
        SourceIdentity { data, sidecar }
    }
}

impl fmt::Display for SourceIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.data)?;
        match &self.sidecar {
            Some((name, identity)) => write!(f, " {identity} {name}"),
            None => Ok(()),
        }
    }
}

/// What a receipt remembers of its source: the files, and the settings that judged them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LedgerKey {
    /// A hash of the drop directory's settings.
    pub settings: u64,
    /// The files.
    pub identity: SourceIdentity,
}

impl LedgerKey {
    /// Reads the text form back; `None` where there is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (settings, identity) = text.split_once(' ')?;
        let settings = u64::from_str_radix(settings, 16).ok()?;
        Some(LedgerKey { settings, identity: SourceIdentity::parse(identity) })
    }
}

impl fmt::Display for LedgerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x} {}", self.settings, self.identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_back() {
        for sidecar in [None, Some(("a name with spaces.toml".to_owned(), "5:6:7:8".to_owned()))] {
            let identity = SourceIdentity { data: "1:2:3:-4".to_owned(), sidecar };
            let fingerprint = LedgerKey { settings: 0xfeed, identity };
            assert_eq!(LedgerKey::parse(&fingerprint.to_string()), Some(fingerprint));
        }
        assert_eq!(LedgerKey::parse(""), None);
    }
}
