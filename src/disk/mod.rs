//! Every system call on data: the thin shell below the pure core.
//!
//! Directories are opened where the administrator says; files only beneath them, without following
//! links. From then on only descriptors are used. `unsafe` stands nowhere else.

mod attributes;
mod clock;
mod copy;
mod dir;
mod durable;
mod error;
mod file;
mod fsinfo;
mod holes;
mod insert;
mod inside;
mod lease;
mod output;
mod priority;
mod rename;
#[cfg(feature = "sabotage")]
mod sabotage;
mod share;
mod stat;
mod tail;
mod taken;

pub use attributes::{Acl, AclEntry, AclTag, Attributes};
pub use copy::{Copy, CopyError, OnProgress, Stretch, Tap};
pub use dir::{Dir, EntryKind};
pub use error::{DiskError, Result, in_words};
pub use file::{Claim, DataFile};
pub use fsinfo::{Abilities, FsInfo, LeaseRight, abilities, fs_info};
pub use lease::{Lease, Unprovable, Writer};
pub use output::{Linked, Output, is_own_name, tidy};
pub use priority::make_idle;
pub use rename::Moved;
#[cfg(feature = "sabotage")]
pub use sabotage::leaves_out;
pub use stat::Stat;
use taken::is_taken_name;
pub use taken::{Guarded, NotTaken, Writers};

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
