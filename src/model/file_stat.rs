//! File attributes, as `statx(2)` returns them.

use std::fmt;

/// The bits of a mode that hold the file type, and the values of two types (`inode(7)`).
const TYPE_MASK: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;

/// A flag of `chattr(1)` that forbids changes, even to root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// `+i`: a file can't be written, renamed or removed, and a directory can't gain or lose names.
    Immutable,
    /// `+a`: a file can only grow, and can't be renamed or removed; a directory can only gain
    /// names.
    AppendOnly,
}

impl Protection {
    /// Returns the command that ends the protection.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Protection::Immutable => "chattr -i",
            Protection::AppendOnly => "chattr -a",
        }
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protection::Immutable => "immutable (chattr +i)",
            Protection::AppendOnly => "append-only (chattr +a)",
        })
    }
}

/// A file's attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Size in bytes.
    pub size: u64,
    /// Allocated blocks of 512 bytes.
    pub blocks: u64,
    /// Last change of the content, in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Last change of content or attributes, in nanoseconds since 1970.
    pub ctime_ns: i64,
    /// Creation, in nanoseconds since 1970; 0 if the file system does not store it.
    pub born_ns: i64,
    /// Number of hard links.
    pub nlink: u64,
    /// Owner.
    pub uid: u32,
    /// File type and permissions.
    pub mode: u32,
    /// The flag that forbids changes, if there is one and the file system reports it.
    pub protection: Option<Protection>,
    /// ID of the mount that the file was opened through. Linux 6.8 and later never reuse an ID.
    pub mount: u64,
}

impl Stat {
    /// Returns whether this may be a copy of that file, which has its size and mtime.
    #[must_use]
    pub fn may_be_copy_of(&self, original: &Stat) -> bool {
        (self.size, self.mtime_ns) == (original.size, original.mtime_ns)
    }

    /// Returns whether this is a regular file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.mode & TYPE_MASK == REGULAR
    }

    /// Returns whether this is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.mode & TYPE_MASK == DIRECTORY
    }

    /// Returns what this is if it is not a regular file, with the article.
    #[must_use]
    pub fn special_kind(&self) -> Option<&'static str> {
        match self.mode & TYPE_MASK {
            REGULAR => None,
            DIRECTORY => Some("a directory"),
            0o120_000 => Some("a symbolic link"),
            0o010_000 => Some("a pipe"),
            0o140_000 => Some("a socket"),
            _ => Some("a device"),
        }
    }

    /// Returns whether this is the file of `before`, with unchanged content and attributes.
    ///
    /// The number of blocks is ignored, because writeback allocates blocks long after the last
    /// change. The result is reliable if, at the time of `before`, the last change was older than
    /// the file system's timestamp granularity.
    #[must_use]
    pub fn is_unchanged_since(&self, before: &Stat) -> bool {
        let state = |stat: &Stat| (stat.size, stat.mtime_ns, stat.ctime_ns);
        self.is_same_file(before) && state(self) == state(before)
    }

    /// Returns whether both belong to one file, changed or not.
    #[must_use]
    pub fn is_same_file(&self, other: &Stat) -> bool {
        (self.dev, self.ino) == (other.dev, other.ino)
    }
}
