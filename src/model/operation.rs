//! Operations of system calls: their words in messages, and whose fault their failure shows.

/// What npyd was about to do when a system call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Open a directory; its error has a remedy of its own.
    OpenDir,
    /// Open a directory below another.
    OpenDirBelow,
    /// Use a directory; npyd itself refuses one that is on another file system than before.
    UseDir,
    /// List a directory.
    ListDir,
    /// Sync a directory, which makes the names in it durable (F2).
    SyncDir,
    /// Create a file in a directory.
    CreateFileIn,
    /// Allocate the blocks of a file that has no name yet.
    AllocateFileIn,
    /// Get the file system of a directory.
    GetFileSystemOfDir,
    /// Give an unnamed file a name.
    Name,
    /// Rename a file.
    Rename,
    /// Make a hard link.
    Link,
    /// Create a file under a name.
    CreateEntry,
    /// Create a directory under a name.
    CreateDir,
    /// Remove a name.
    Remove,
    /// Get the metadata of an open file.
    StatFile,
    /// Get the metadata of the file of a name.
    StatName,
    /// Get the metadata of an open directory.
    StatDir,
    /// Find a name that no file has.
    FindFreeName,
    /// Open a file.
    Open,
    /// Open a file for writing.
    OpenForWriting,
    /// Lock a file (`flock(2)`).
    Lock,
    /// Get the file system of a file.
    GetFileSystem,
    /// Read a file.
    Read,
    /// Read a file that does not change meanwhile.
    ReadStable,
    /// Write to a file.
    Write,
    /// Write the dirty pages of a file to the disk (F1).
    Sync,
    /// Learn of the kernel's writeback, which happens some time after a write (F1).
    WriteBack,
    /// Set the length of a file.
    SetLength,
    /// Find the data between the holes of a file.
    FindData,
    /// Find the holes of a file.
    FindHoles,
    /// Insert space for the header at the front of a file.
    InsertSpace,
    /// Remove the inserted space again.
    RemoveSpace,
    /// Share the data of a file with another (reflink).
    ShareData,
    /// Set npyd's attribute on an array. Fails with ENOSPC if it does not fit into the inode.
    Mark,
    /// Read npyd's attribute.
    ReadMark,
    /// Clear the set-user-ID, set-group-ID and sticky bits of a file.
    ClearSpecialBits,
    /// Change the owner of a file.
    ChangeOwner,
    /// Read the ACL of a file.
    ReadAcl,
    /// Set the permissions of a file.
    SetPermissions,
    /// Set the times of a file.
    SetTimes,
    /// List the extended attributes of a file.
    ListAttributes,
    /// Read an extended attribute.
    ReadAttribute,
    /// Set an extended attribute.
    SetAttribute,
}

/// What the path of a failed operation refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OperationTarget {
    /// A directory.
    Dir,
    /// A name in a directory, whose rights the operation needs. EPERM can concern the single file:
    /// a sticky directory, an immutable file.
    Entry,
    /// A single file.
    File,
}

impl Operation {
    /// Returns the operation as a verb phrase for messages: "open", "sync".
    pub(crate) fn as_str(self) -> &'static str {
        self.classify().1
    }

    pub(crate) fn target(self) -> OperationTarget {
        self.classify().0
    }

    /// Returns whether the operation syncs written data. Its failure is final (F1).
    pub(crate) fn is_sync(self) -> bool {
        matches!(self, Operation::Sync | Operation::WriteBack)
    }

    /// Returns whether the operation gives a file another name, or takes its name away.
    #[must_use]
    pub fn changes_name(self) -> bool {
        matches!(self, Operation::Name | Operation::Rename | Operation::Link | Operation::Remove)
    }

    fn classify(self) -> (OperationTarget, &'static str) {
        use OperationTarget::{Dir, Entry, File};
        match self {
            Operation::OpenDir => (Dir, "open the directory"),
            Operation::OpenDirBelow => (Dir, "open a directory below"),
            Operation::UseDir => (Dir, "use"),
            Operation::ListDir => (Dir, "list"),
            Operation::SyncDir => (Dir, "sync the directory"),
            Operation::StatDir => (Dir, "stat the directory"),
            Operation::CreateFileIn => (Dir, "make a file in"),
            Operation::AllocateFileIn => (Dir, "allocate a file in"),
            Operation::GetFileSystemOfDir => (Dir, "get the file system of"),
            Operation::Name => (Entry, "name"),
            Operation::Rename => (Entry, "rename"),
            Operation::Link => (Entry, "link"),
            Operation::CreateEntry => (Entry, "make"),
            Operation::CreateDir => (Entry, "make the directory"),
            Operation::Remove => (Entry, "remove"),
            Operation::StatName => (Entry, "stat"),
            Operation::FindFreeName => (Entry, "find a free name like"),
            Operation::Open => (File, "open"),
            Operation::StatFile => (File, "stat the open file"),
            Operation::OpenForWriting => (File, "open for writing"),
            Operation::Lock => (File, "lock"),
            Operation::GetFileSystem => (File, "get the file system of"),
            Operation::Read => (File, "read"),
            Operation::ReadStable => (File, "read a stable version of"),
            Operation::Write => (File, "write"),
            Operation::Sync => (File, "sync"),
            Operation::WriteBack => (File, "write back"),
            Operation::SetLength => (File, "set the length of"),
            Operation::FindData => (File, "find the data of"),
            Operation::FindHoles => (File, "find the holes of"),
            Operation::InsertSpace => (File, "insert space at the front of"),
            Operation::RemoveSpace => (File, "remove the inserted space from"),
            Operation::ShareData => (File, "share the data of"),
            Operation::Mark => (File, "mark"),
            Operation::ReadMark => (File, "read the mark of"),
            Operation::ClearSpecialBits => (File, "clear the special bits of"),
            Operation::ChangeOwner => (File, "change the owner of"),
            Operation::ReadAcl => (File, "read the ACL of"),
            Operation::SetPermissions => (File, "set the permissions of"),
            Operation::SetTimes => (File, "set the times of"),
            Operation::ListAttributes => (File, "list the attributes of"),
            Operation::ReadAttribute => (File, "read an attribute of"),
            Operation::SetAttribute => (File, "set an attribute of"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failure_to_bring_data_to_the_disk_is_final() {
        for (operation, is_sync) in [
            (Operation::Sync, true),
            (Operation::WriteBack, true),
            (Operation::SyncDir, false),
            (Operation::Write, false),
            (Operation::Read, false),
        ] {
            assert_eq!(operation.is_sync(), is_sync, "{operation:?}");
        }
    }

    #[test]
    fn an_operation_is_about_a_directory_a_name_or_a_file_whatever_its_words() {
        for (operation, subject, words) in [
            (Operation::OpenDir, OperationTarget::Dir, "open the directory"),
            (Operation::GetFileSystemOfDir, OperationTarget::Dir, "get the file system of"),
            (Operation::GetFileSystem, OperationTarget::File, "get the file system of"),
            (Operation::CreateFileIn, OperationTarget::Dir, "make a file in"),
            (Operation::CreateEntry, OperationTarget::Entry, "make"),
            (Operation::CreateDir, OperationTarget::Entry, "make the directory"),
            (Operation::UseDir, OperationTarget::Dir, "use"),
            (Operation::ListDir, OperationTarget::Dir, "list"),
            (Operation::ListAttributes, OperationTarget::File, "list the attributes of"),
            (Operation::Name, OperationTarget::Entry, "name"),
            (Operation::StatFile, OperationTarget::File, "stat the open file"),
            (Operation::StatName, OperationTarget::Entry, "stat"),
            (Operation::StatDir, OperationTarget::Dir, "stat the directory"),
            (Operation::Open, OperationTarget::File, "open"),
        ] {
            assert_eq!(operation.target(), subject, "{operation:?}");
            assert_eq!(operation.as_str(), words, "{operation:?}");
        }
    }
}
