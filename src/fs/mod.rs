//! Every system call on data: the thin shell below the pure core.
//!
//! Directories are opened where the administrator says; files only beneath them, without following
//! links. From then on only descriptors are used. `unsafe` stands nowhere else.

mod attributes;
mod capabilities;
mod clone_range;
mod copy;
mod crash_recovery;
mod dir;
mod error;
#[cfg(feature = "sabotage")]
mod fault_injection;
mod file;
mod fs_kind;
mod holes;
mod insert_range;
mod ioprio;
mod lease;
mod owned_dir;
mod private_name;
mod rename;
mod statx;
mod synced_dirs;
mod tail;
mod temp_file;
mod timestamp_granularity;

pub use attributes::{Acl, AclEntry, AclTag, Attributes};
pub use capabilities::{Abilities, LeaseRight, abilities};
pub use copy::{CopyError, CopyJob, OnProgress, Segment, Tap};
pub use crash_recovery::recover_dir;
pub use dir::{Dir, EntryKind};
pub use error::{FsError, Result};
#[cfg(feature = "sabotage")]
pub use fault_injection::skips;
pub use file::{Claim, DataFile};
pub use fs_kind::fs_info;
pub use ioprio::make_idle;
pub use lease::{Lease, Unprovable, Writer};
use private_name::is_taken_name;

pub use private_name::{Guarded, NotTaken, OpenWriters};
pub use rename::Moved;
pub use temp_file::{Linked, TempFile};

/// The user npyd runs as.
#[must_use]
pub fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Prepares the process for this work: the signal that a lease raises is ignored, and the one for
/// files that grow too large; and as many files may be open as the limits allow, for an array's
/// data may be in thousands.
pub fn prepare_process() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    lease::ignore_lease_signals();
    // SAFETY: SIG_IGN runs no code of ours; the call that goes too far answers EFBIG instead.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where that is refused, the limit that there is must do.
    let _ = setrlimit(Resource::Nofile, limit);
}
