//! The identity of a source: what its files looked like, as text, so that a later run can detect a
//! change.

use std::fmt;

use crate::model::{FileName, Stat};

/// Returns `inode:size:mtime:ctime`, with times in nanoseconds. The device is left out because its
/// number can change at a reboot.
#[must_use]
pub fn identity_of(stat: &Stat) -> String {
    format!("{}:{}:{}:{}", stat.ino, stat.size, stat.mtime_ns, stat.ctime_ns)
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
