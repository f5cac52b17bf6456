//! Settings that are a choice of a few words.

use serde::Deserialize;

/// What becomes of a raw file once its `.npy` is durable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Disposition {
    /// It stays.
    #[default]
    Keep,
    /// It is deleted.
    Remove,
    /// It moves to the archive directory.
    Archive,
}

impl Disposition {
    /// What is done to the raw file, as a participle; `None` where it stays.
    #[must_use]
    pub fn participle(self) -> Option<&'static str> {
        match self {
            Disposition::Keep => None,
            Disposition::Remove => Some("removed"),
            Disposition::Archive => Some("archived"),
        }
    }
}

/// How new files are noticed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Watch {
    /// By inotify on local file systems, by polling on network file systems.
    #[default]
    Auto,
    /// By inotify.
    Inotify,
    /// By listing the directory.
    Poll,
}

/// Who must be able to read the headers npyd writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Readers {
    /// NumPy and whatever calls it: any header up to NumPy's own limit.
    #[default]
    Numpy,
    /// Every reader we know of: only NumPy's own text at NumPy's own length.
    Any,
}

/// What to do when the output's name is taken by another file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnConflict {
    /// Reject the drop.
    #[default]
    Reject,
    /// Replace the file atomically.
    Replace,
    /// Publish as `NAME-1.npy`, `NAME-2.npy`, ….
    Number,
}

/// What to do when a drop changes after its array was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnChange {
    /// Make the array again. It replaces the old one atomically.
    #[default]
    Remake,
    /// Keep the old array, and report the change once.
    Keep,
    /// Publish as `NAME-1.npy`, `NAME-2.npy`, ….
    Number,
}

/// What becomes of a pending file still marked as being written when nobody writes to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Salvage {
    /// It is rejected, and set aside where `rejects` names a directory.
    #[default]
    Quarantine,
    /// The complete records along the growth axis are kept, the rest is reported.
    WholeRecords,
}

/// Whether what is known of an array besides its values is written beside it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetadataOutput {
    /// It stays in the file that told it.
    #[default]
    None,
    /// As JSON, in a file named like the array with `.json` behind it.
    Json,
}

/// How urgent reads and writes are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IoPriority {
    /// As urgent as everybody's.
    #[default]
    Normal,
    /// Only while nobody else wants the disk.
    Idle,
}
