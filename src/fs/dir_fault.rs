//! Decides whether a failed system call shows a fault of a directory or of a single file.

use rustix::io::Errno;

use crate::fs::{FsError, Operation};
use crate::model::{DirFault, DirFaultKind, OperationTarget, Shortfall};

impl FsError {
    /// Returns the fault of a directory that caused the error, if it was not the file's own.
    #[must_use]
    pub fn dir_fault(&self) -> Option<DirFault> {
        if self.shortfall().is_some_and(Shortfall::is_of_file) {
            return None;
        }
        let is_of_dir = self.operation().target() == OperationTarget::Dir;
        let kind = match Errno::from_io_error(self.io()) {
            Some(errno) => self.fault_of(errno)?,
            // npyd itself refuses the directory: another file system, an untrusted owner.
            None if is_of_dir => DirFaultKind::Missing,
            None => return None,
        };
        let dir = if is_of_dir { Some(self.path()) } else { self.path().parent() };
        Some(DirFault { kind, dir: dir?.to_path_buf() })
    }

    fn fault_of(&self, errno: Errno) -> Option<DirFaultKind> {
        let operation = self.operation();
        let is_of_dir = operation.target() == OperationTarget::Dir;
        let needs_dir = is_of_dir || operation.target() == OperationTarget::Entry;
        Some(match errno {
            Errno::ROFS => DirFaultKind::ReadOnly,
            Errno::NOSPC if operation != Operation::Mark => DirFaultKind::Full,
            Errno::DQUOT if operation != Operation::Mark => DirFaultKind::Quota,
            Errno::ACCESS if needs_dir => DirFaultKind::Denied,
            Errno::PERM if is_of_dir => DirFaultKind::Denied,
            Errno::NOENT | Errno::NOTDIR if is_of_dir => DirFaultKind::Missing,
            Errno::IO if needs_dir || operation == Operation::Write => DirFaultKind::Failing,
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
    fn a_file_larger_than_the_free_space_is_no_fault_of_the_directory() {
        const MIB: u64 = 1 << 20;
        for (needs, free, is_of_dir) in [
            (27 * MIB, Some(23 * MIB), false),
            (27 * MIB, Some(MIB), false),
            (27 * MIB, None, false),
            (27 * MIB, Some(MIB - 1), true),
            (MIB - 1, Some(4096), true),
            (MIB - 1, None, true),
        ] {
            let (operation, errno) = (Operation::AllocateFileIn, Errno::NOSPC);
            let error = FsError::new(operation, Path::new("/out"), errno)
                .with_shortfall(Some(Shortfall { needs, free }));
            assert_eq!(error.dir_fault().is_some(), is_of_dir, "{needs} {free:?}");
        }
    }

    #[test]
    fn the_call_and_its_error_tell_whose_fault_it_is() {
        let (dir, file) = ("/out", "/out/x.npy");
        for (operation, path, errno, expected) in [
            (Operation::CreateFileIn, dir, Errno::ACCESS, Some(DirFaultKind::Denied)),
            (Operation::CreateFileIn, dir, Errno::PERM, Some(DirFaultKind::Denied)),
            (Operation::OpenDir, dir, Errno::NOENT, Some(DirFaultKind::Missing)),
            (Operation::AllocateFileIn, dir, Errno::NOSPC, Some(DirFaultKind::Full)),
            (Operation::Write, file, Errno::NOSPC, Some(DirFaultKind::Full)),
            (Operation::Write, file, Errno::DQUOT, Some(DirFaultKind::Quota)),
            (Operation::Rename, file, Errno::ROFS, Some(DirFaultKind::ReadOnly)),
            (Operation::OpenForWriting, file, Errno::ROFS, Some(DirFaultKind::ReadOnly)),
            (Operation::Remove, file, Errno::ACCESS, Some(DirFaultKind::Denied)),
            (Operation::Write, file, Errno::IO, Some(DirFaultKind::Failing)),
            (Operation::Read, file, Errno::STALE, Some(DirFaultKind::Unreachable)),
            (Operation::GetFileSystemOfDir, dir, Errno::IO, Some(DirFaultKind::Failing)),
            (Operation::GetFileSystem, file, Errno::STALE, Some(DirFaultKind::Unreachable)),
            (Operation::StatDir, dir, Errno::IO, Some(DirFaultKind::Failing)),
            (Operation::StatName, file, Errno::IO, Some(DirFaultKind::Failing)),
            // Of the single file.
            (Operation::StatFile, file, Errno::IO, None),
            (Operation::GetFileSystem, file, Errno::IO, None),
            (Operation::Remove, file, Errno::PERM, None),
            (Operation::Open, file, Errno::ACCESS, None),
            (Operation::Read, file, Errno::IO, None),
            (Operation::Open, file, Errno::NOENT, None),
            (Operation::Mark, file, Errno::NOSPC, None),
            (Operation::Write, file, Errno::FBIG, None),
            // Of npyd's process, which has more of it when other jobs end.
            (Operation::CreateFileIn, dir, Errno::MFILE, None),
        ] {
            let fault = FsError::new(operation, Path::new(path), errno).dir_fault();
            assert_eq!(fault.as_ref().map(|it| it.kind), expected, "{operation:?} {errno}");
            assert!(fault.is_none_or(|it| it.dir == Path::new(dir)), "{operation:?} {errno}");
        }
        let refused =
            FsError::new(Operation::UseDir, Path::new(dir), std::io::Error::other("not that one"));
        assert_eq!(refused.dir_fault().map(|it| it.kind), Some(DirFaultKind::Missing));
    }
}
