//! Every system call on data: the thin shell below the pure core.
//!
//! Directories are opened where the administrator says; files only beneath them, without following
//! links. From then on only descriptors are used. `unsafe` stands nowhere else.

mod copy;
mod dir;
mod error;
mod file;
mod fsinfo;
mod lease;
mod output;
#[cfg(feature = "sabotage")]
mod sabotage;
mod share;
mod stat;

pub use copy::{Copy, CopyError};
use dir::is_taken_name;
pub use dir::{Dir, EntryKind, Moved};
pub use error::{DiskError, Result, in_words};
pub use file::{Claim, DataFile};
pub use fsinfo::{Abilities, FsInfo, abilities, fs_info};
pub use lease::{Writer, ignore_lease_signals};
pub use output::{Output, is_own_name, tidy};
#[cfg(feature = "sabotage")]
pub use sabotage::leaves_out;
pub use stat::Stat;

/// The user npyd runs as.
#[must_use]
pub fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}
