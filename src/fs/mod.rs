//! System calls on data: the only layer that opens, reads, writes, renames and syncs data files.
//!
//! Configured directories are opened by path. Files are opened only below them, without following
//! links (`openat2(2)`), and from then on only the descriptor is used. No other layer has `unsafe`
//! code.
//!
//! # Rules
//!
//! Comments in `fs/`, `probe/` and `finalize/` refer to these rules by name.
//!
//! - **F1**: After a failed fsync no later success counts, because fsync reports a writeback error
//!   once (errseq), and the kernel may have dropped the dirty pages. The error is final for the
//!   file.
//! - **F2**: A name is durable only after its directory is synced.
//! - **F3**: A file loses its name in two steps: rename it to a private name, then verify that the
//!   renamed file is the open one. Verifying first would leave a window in which another file takes
//!   the name.
//! - **F4**: A file that npyd works on under a reserved or private name is locked (`flock(2)`), so
//!   crash recovery leaves locked files alone.
//! - **F5**: A lease must end before npyd itself opens the file for writing, because that open
//!   would break it (`fcntl(2)`, "Leases").
//! - **F6**: Reading an unwritten extent makes `lseek(2)` report it as data while its pages are in
//!   the page cache. Holes are therefore found before anything is read, and never read.

use std::sync::LazyLock;

mod attributes;
mod capabilities;
mod casefold;
mod claim;
mod clone_range;
mod content_mark;
mod copied_source;
mod copy;
mod crash_recovery;
mod daemon_lock;
mod dir;
mod dir_fault;
mod durable_dirs;
mod error;
#[cfg(feature = "sabotage")]
mod fault_injection;
mod file;
mod fs_kind;
mod holders;
mod holes;
mod inotify;
mod insert_range;
mod ioprio;
mod lease;
mod listing;
mod mount_table;
mod owned_dir;
mod private_name;
mod rename;
mod replace;
mod sandbox;
mod statx;
mod tail;
mod temp_file;
mod timestamp_granularity;

pub use crate::model::Operation;
pub use attributes::{Acl, AclEntry, AclTag, Attributes};
pub use capabilities::{Capabilities, Crossing, LeaseRight, ProbedPlaces, may_act_as_owner};
pub use claim::Claim;
pub use copy::{CopyError, CopyJob, OnBytes, OnProgress, Segment};
pub use crash_recovery::recover_dir;
pub use daemon_lock::{DaemonLock, find_daemons};
pub use dir::{Dir, EntryKind};
pub use error::{FsError, Result};
#[cfg(feature = "sabotage")]
pub use fault_injection::skips;
pub use file::DataFile;
pub use fs_kind::{FsId, dir_id, free_space, fs_id, fs_ids_above, fs_info};
pub use holders::{FileUse, Holder, Holders};
pub use inotify::{Inotify, InotifyEvent, WatchId};
pub use ioprio::{IdlePriority, make_idle};
pub use lease::Lease;
pub use listing::Listing;
pub use mount_table::{Device, MountChain, MountInfo, MountTable};
pub(crate) use private_name::forget_name;
use private_name::is_private_name;

pub use private_name::{Conditional, OpenWriters, Unmet};
pub use rename::Moved;
pub use sandbox::{HidingSetting, hidden_by};
pub use temp_file::{Linked, TempFile};

/// Returns the effective user id of the process.
#[must_use]
pub fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Returns whether `/proc` shows the descriptors of this process. Without that, npyd can't name an
/// unnamed file, nor open a file again for writing.
#[must_use]
pub fn has_proc() -> bool {
    static HAS_PROC: LazyLock<bool> =
        LazyLock::new(|| rustix::fs::access("/proc/self/fd", rustix::fs::Access::EXISTS).is_ok());
    *HAS_PROC
}

/// Prepares the process: ignores SIGIO (raised when a lease breaks) and SIGXFSZ, and raises the
/// limit on open files to its maximum, because one array may have thousands of data files.
pub fn prepare_process() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    lease::ignore_lease_signals();
    // SAFETY: SIG_IGN runs no code of ours. A write beyond the limit then fails with EFBIG.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // If the kernel refuses, the current limit stays.
    let _ = setrlimit(Resource::Nofile, limit);
}
