//! What the file system says about a file.

/// The bits of a mode that hold the type, and their values (`inode(7)`).
const TYPE_MASK: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;

/// A file's attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Size in bytes.
    pub size: u64,
    /// Blocks of 512 bytes that are allocated.
    pub blocks: u64,
    /// Last change of the content, in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Last change of content or attributes, in nanoseconds since 1970.
    pub ctime_ns: i64,
    /// When it was made, in nanoseconds since 1970; 0 where the file system does not tell.
    pub born_ns: i64,
    /// How many names it has.
    pub nlink: u64,
    /// Owner.
    pub uid: u32,
    /// Type and rights.
    pub mode: u32,
    /// The mount it was reached through; its number is never used again from Linux 6.8 on.
    pub mount: u64,
}

impl Stat {
    /// Whether it is a regular file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.mode & TYPE_MASK == REGULAR
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.mode & TYPE_MASK == DIRECTORY
    }

    /// Whether it is the same file, and neither content nor attributes changed. The blocks don't
    /// count: writing back what is in memory moves them, long after the last change. It is sure
    /// where the last change was older than the clock's grain at the look `before`.
    #[must_use]
    pub fn is_unchanged_since(&self, before: &Stat) -> bool {
        let state = |stat: &Stat| (stat.size, stat.mtime_ns, stat.ctime_ns);
        self.is_same_file(before) && state(self) == state(before)
    }

    /// Whether both are of one file, changed or not.
    #[must_use]
    pub fn is_same_file(&self, other: &Stat) -> bool {
        (self.dev, self.ino) == (other.dev, other.ino)
    }
}
