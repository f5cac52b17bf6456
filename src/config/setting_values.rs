//! Settings with a fixed list of values.

use serde::Deserialize;

/// What npyd does with a raw file once its `.npy` is durable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Disposition {
    /// Leave the raw file in place.
    #[default]
    Keep,
    /// Delete the raw file.
    Remove,
    /// Move the raw file to the archive directory.
    Archive,
}

impl Disposition {
    /// Returns what npyd does with the raw file, as a participle; `None` if it stays.
    #[must_use]
    pub fn participle(self) -> Option<&'static str> {
        match self {
            Disposition::Keep => None,
            Disposition::Remove => Some("removed"),
            Disposition::Archive => Some("archived"),
        }
    }
}

/// How npyd detects new files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Watch {
    /// Use inotify on local file systems, and polling on network file systems.
    #[default]
    Auto,
    /// Use inotify.
    Inotify,
    /// List the directory periodically.
    Poll,
}

/// Which programs must be able to read the headers that npyd writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Readers {
    /// NumPy and programs that use it: any header up to NumPy's limit.
    #[default]
    Numpy,
    /// All known readers: only the header that NumPy itself would write, at the same length.
    Any,
}

/// What to do if another file already has the output's name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnConflict {
    /// Reject the drop.
    #[default]
    Reject,
    /// Replace the file atomically, unless it is an array of another source.
    Replace,
    /// Replace the file atomically, even if it is an array of another source.
    #[serde(rename = "replace-any")]
    ReplaceAny,
    /// Name the array `NAME-1.npy`, `NAME-2.npy`, ….
    Number,
}

/// What to do if a drop changes after its array was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnChange {
    /// Make the array again, and replace the old one atomically.
    #[default]
    Remake,
    /// Keep the old array, and report the change once.
    Keep,
    /// Make another array, `NAME-1.npy`, `NAME-2.npy`, ….
    Number,
}

/// Whether a copy fills the array through a mapping.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mapped {
    /// Map the new file where its blocks can be allocated in advance and are overwritten in place.
    #[default]
    Auto,
    /// Write through a buffer.
    Never,
}

/// What to do with an abandoned pending file: marked as being written, with no writer left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Salvage {
    /// Reject the file, and move it to the directory `rejects` if that is configured.
    #[default]
    Quarantine,
    /// Make an array of the complete records along the growth axis, and save the rest.
    WholeRecords,
}

/// Whether npyd writes the metadata of an array to a file beside it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetadataOutput {
    /// Write no file: the metadata stay in the manifest or sidecar.
    #[default]
    None,
    /// Write a JSON file, named like the array with `.json` appended.
    Json,
}

/// The I/O priority of npyd's reads and writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IoPriority {
    /// The normal priority.
    #[default]
    Normal,
    /// The idle class: the disk serves npyd only while no other process wants it.
    Idle,
}
