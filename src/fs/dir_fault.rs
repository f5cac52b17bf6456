//! Decides whether a failed system call shows a fault of a directory or of a single file.

use rustix::io::Errno;

use crate::fs::FsError;
use crate::fs::error::OPEN_DIR;
use crate::model::{DirFault, DirFaultKind};

/// Operations whose path is a directory.
const OF_DIR: &[&str] = &[
    OPEN_DIR,
    "make a file in",
    "allocate a file in",
    "list",
    "sync the directory",
    "use",
    "get the file system of",
];

/// Operations on a name that need rights on its directory. EPERM can concern the single file: a
/// sticky directory, an immutable file.
const OF_ENTRY: &[&str] =
    &["name", "rename", "link", "make", "make the directory", "remove", "stat"];

/// Setting an attribute fails with ENOSPC if the attribute does not fit into the file's inode.
const MARK: &str = "mark";

impl FsError {
    /// Returns the fault of a directory that caused the error, if it was not the file's own.
    #[must_use]
    pub fn dir_fault(&self) -> Option<DirFault> {
        let is_of_dir = OF_DIR.contains(&self.operation());
        let kind = match Errno::from_io_error(self.io()) {
            Some(errno) => self.fault_of(errno, is_of_dir)?,
            // npyd itself refuses the directory: another file system, an untrusted owner.
            None if is_of_dir => DirFaultKind::Missing,
            None => return None,
        };
        let dir = if is_of_dir { Some(self.path()) } else { self.path().parent() };
        Some(DirFault { kind, dir: dir?.to_path_buf() })
    }

    fn fault_of(&self, errno: Errno, is_of_dir: bool) -> Option<DirFaultKind> {
        let operation = self.operation();
        let needs_dir = is_of_dir || OF_ENTRY.contains(&operation);
        Some(match errno {
            Errno::ROFS => DirFaultKind::ReadOnly,
            Errno::NOSPC if operation != MARK => DirFaultKind::Full,
            Errno::DQUOT if operation != MARK => DirFaultKind::Quota,
            Errno::ACCESS if needs_dir => DirFaultKind::Denied,
            Errno::PERM if is_of_dir => DirFaultKind::Denied,
            Errno::NOENT | Errno::NOTDIR if is_of_dir => DirFaultKind::Missing,
            Errno::IO if needs_dir || operation == "write" => DirFaultKind::Failing,
            Errno::STALE
            | Errno::NOTCONN
            | Errno::TIMEDOUT
            | Errno::HOSTDOWN
            | Errno::HOSTUNREACH
            | Errno::NODEV
            | Errno::NXIO => DirFaultKind::Unreachable,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_call_and_its_error_tell_whose_fault_it_is() {
        let (dir, file) = ("/out", "/out/x.npy");
        for (operation, path, errno, expected) in [
            ("make a file in", dir, Errno::ACCESS, Some(DirFaultKind::Denied)),
            ("make a file in", dir, Errno::PERM, Some(DirFaultKind::Denied)),
            (OPEN_DIR, dir, Errno::NOENT, Some(DirFaultKind::Missing)),
            ("allocate a file in", dir, Errno::NOSPC, Some(DirFaultKind::Full)),
            ("write", file, Errno::NOSPC, Some(DirFaultKind::Full)),
            ("write", file, Errno::DQUOT, Some(DirFaultKind::Quota)),
            ("rename", file, Errno::ROFS, Some(DirFaultKind::ReadOnly)),
            ("open for writing", file, Errno::ROFS, Some(DirFaultKind::ReadOnly)),
            ("remove", file, Errno::ACCESS, Some(DirFaultKind::Denied)),
            ("write", file, Errno::IO, Some(DirFaultKind::Failing)),
            ("read", file, Errno::STALE, Some(DirFaultKind::Unreachable)),
            // Of the single file.
            ("remove", file, Errno::PERM, None),
            ("open", file, Errno::ACCESS, None),
            ("read", file, Errno::IO, None),
            ("open", file, Errno::NOENT, None),
            ("mark", file, Errno::NOSPC, None),
            ("write", file, Errno::FBIG, None),
            // Of npyd's process, which has more of it when other jobs end.
            ("make a file in", dir, Errno::MFILE, None),
        ] {
            let fault = FsError::new(operation, Path::new(path), errno).dir_fault();
            assert_eq!(fault.as_ref().map(|it| it.kind), expected, "{operation} {errno}");
            assert!(fault.is_none_or(|it| it.dir == Path::new(dir)), "{operation} {errno}");
        }
        let refused = FsError::new("use", Path::new(dir), std::io::Error::other("not that one"));
        assert_eq!(refused.dir_fault().map(|it| it.kind), Some(DirFaultKind::Missing));
    }
}
