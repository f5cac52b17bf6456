//! Identity of a drop's files: what they looked like, so that a later run can detect a change.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

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

/// Returns `inode:size:mtime:ctime`, with times in nanoseconds. The device is left out because its
/// number can change at a reboot.
#[must_use]
pub fn identity_of(stat: &Stat) -> String {
    format!("{}:{}:{}:{}", stat.ino, stat.size, stat.mtime_ns, stat.ctime_ns)
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

/// Returns the identity of one or several files without what a change of their attributes changes.
/// Returns `None` if the text is not an identity.
pub(crate) fn without_ctime(identity: &str) -> Option<String> {
    let fields: Vec<_> = identity.split(':').collect();
    match fields[..] {
        [ino, size, mtime, _] => Some(format!("{ino}:{size}:{mtime}")),
        [ino, size, mtime, _, _, contents] => Some(format!("{ino}:{size}:{mtime}:{contents}")),
        _ => None,
    }
}

/// Returns whether two identities are equal, or differ only in what attributes change.
fn is_equal_but_for_ctime(one: &str, other: &str) -> bool {
    one == other || without_ctime(one).is_some_and(|one| Some(one) == without_ctime(other))
}

/// A snapshot as text. Equal identities mean unchanged files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceIdentity {
    /// Identity of the data file.
    pub data: String,
    /// Name and identity of the description.
    pub sidecar: Option<(String, String)>,
}

impl SourceIdentity {
    /// Returns whether both have the same data files, with equal sizes and mtimes. Their attributes
    /// may have changed.
    #[must_use]
    pub fn is_of_data_files(&self, other: &SourceIdentity) -> bool {
        is_equal_but_for_ctime(&self.data, &other.data)
    }

    /// Returns whether the first data file was this one. Its attributes may have changed.
    #[must_use]
    pub fn is_of_data(&self, stat: &Stat) -> bool {
        self.data.starts_with(&format!("{}:{}:{}:", stat.ino, stat.size, stat.mtime_ns))
    }

    /// Returns whether the first data file had this size and mtime, which a move to another file
    /// system keeps.
    #[must_use]
    pub fn has_size_and_mtime(&self, stat: &Stat) -> bool {
        let mut fields = self.data.split(':').skip(1);
        fields.next() == Some(stat.size.to_string().as_str())
            && fields.next() == Some(stat.mtime_ns.to_string().as_str())
    }

    /// Returns whether both first data files had one size and one mtime.
    #[must_use]
    pub fn has_size_and_mtime_of(&self, other: &SourceIdentity) -> bool {
        let of = |identity: &SourceIdentity| {
            let fields = identity.data.split(':').skip(1).take(2);
            fields.map(str::to_owned).collect::<Vec<_>>()
        };
        of(self).len() == 2 && of(self) == of(other)
    }

    /// Returns the identity of one of the files alone: of the description if it has this name,
    /// otherwise of the data.
    #[must_use]
    pub fn of_file(&self, name: &FileName) -> SourceIdentity {
        let description = self.sidecar.as_ref().filter(|(own, _)| own == name.as_str());
        let data = description.map_or(&self.data, |(_, identity)| identity);
        SourceIdentity { data: data.clone(), sidecar: None }
    }

    /// Returns whether both have the same files, with equal sizes and mtimes. Their attributes may
    /// have changed.
    #[must_use]
    pub fn is_of_files(&self, other: &SourceIdentity) -> bool {
        self.has_description_of(other) && self.is_of_data_files(other)
    }

    /// Returns whether both have the same description. Its attributes may have changed.
    #[must_use]
    pub fn has_description_of(&self, other: &SourceIdentity) -> bool {
        match (&self.sidecar, &other.sidecar) {
            (None, None) => true,
            (Some((name, identity)), Some((other_name, other))) => {
                name == other_name && is_equal_but_for_ctime(identity, other)
            }
            _ => false,
        }
    }

    /// Returns the inode of the first data file, or 0 if the identity is empty.
    #[must_use]
    pub fn ino(&self) -> u64 {
        self.data.split(':').next().and_then(|ino| ino.parse().ok()).unwrap_or_default()
    }

    /// Returns whether the data file has this inode.
    #[must_use]
    pub fn is_of_inode(&self, ino: u64) -> bool {
        self.data.split(':').next() == Some(ino.to_string().as_str())
    }

    /// Returns whether this file was the description. The ctime may differ, because a rename to a
    /// private name and back changes it.
    #[must_use]
    pub fn was_described_by(&self, name: &FileName, stat: &Stat) -> bool {
        let found = identity_of(stat);
        self.sidecar.as_ref().is_some_and(|(known, identity)| {
            known == name.as_str() && is_equal_but_for_ctime(identity, &found)
        })
    }

    /// Parses the text form.
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

/// Where the source of an array was: a hash of its path, and its name. The identity of a source
/// changes when another file is dropped under its name; the origin does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    hash: u64,
    /// The file name, without a suffix that only pending files have.
    pub name: String,
}

impl Origin {
    /// Returns the origin of a source. A pending file has one origin with and without its suffix,
    /// because npyd may add the suffix before it moves the file.
    #[must_use]
    pub fn of(path: &Path, name: &FileName) -> Self {
        let name = name.without_pending_suffix().unwrap_or(name.as_str()).to_owned();
        Origin { hash: xxh3_64(path.with_file_name(&name).as_os_str().as_bytes()), name }
    }

    /// Parses the text form; `None` if it is invalid.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (hash, name) = text.split_once(' ')?;
        Some(Origin { hash: u64::from_str_radix(hash, 16).ok()?, name: name.to_owned() })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x} {}", self.hash, self.name)
    }
}

/// The key that the ledger stores with a receipt: the identity of the source, and the settings in
/// force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// Hash of the settings of the drop directory.
    pub settings_hash: u64,
    /// Identity of the files.
    pub identity: SourceIdentity,
}

impl Fingerprint {
    /// Parses the text form; `None` if it is empty or invalid.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (settings_hash, identity) = text.split_once(' ')?;
        let settings_hash = u64::from_str_radix(settings_hash, 16).ok()?;
        Some(Fingerprint { settings_hash, identity: SourceIdentity::parse(identity) })
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x} {}", self.settings_hash, self.identity)
    }
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

    #[test]
    fn an_origin_is_a_path_whatever_is_pending() {
        let origin = |path: &str| {
            let name = path.rsplit('/').next().unwrap_or_default().to_owned();
            Origin::of(Path::new(path), &FileName::try_from(name).unwrap())
        };
        assert_eq!(origin("/in/x.npy.pending"), origin("/in/x.npy"));
        for other in ["/in/scan.bin", "/in2/scan.raw", "/in/a/scan.raw"] {
            assert_ne!(origin(other), origin("/in/scan.raw"), "{other}");
        }
        let spaced = origin("/in/a name.raw");
        assert_eq!(Origin::parse(&spaced.to_string()), Some(spaced));
        assert_eq!(Origin::parse("no hash"), None);
    }

    #[test]
    fn texts_are_read_back() {
        for sidecar in [None, Some(("a name with spaces.toml".to_owned(), "5:6:7:8".to_owned()))] {
            let identity = SourceIdentity { data: "1:2:3:-4".to_owned(), sidecar };
            let fingerprint = Fingerprint { settings_hash: 0xfeed, identity };
            assert_eq!(Fingerprint::parse(&fingerprint.to_string()), Some(fingerprint));
        }
        assert_eq!(Fingerprint::parse(""), None);
    }
}
