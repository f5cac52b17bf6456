//! The lease probe: does anybody have a file open for writing, or mapped so?
//!
//! A read lease is granted only when nobody does (`fcntl(2)`, "Leases"). It is released at once: a
//! writer's open would have to wait for it. Only while a file is removed it is held for a moment.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::Once;
use std::{fmt, io};

/// Who writes to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Writer {
    /// Nobody.
    None,
    /// Somebody has it open for writing, or holds a writable mapping of it.
    Present,
    /// The kernel can't tell.
    Unknown(Unprovable),
}

/// Why nobody can tell whether somebody writes to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unprovable {
    /// The file is another user's, and this process may not take a lease on it.
    NoRight,
    /// Other hosts may write to the file.
    Network,
    /// The file system grants no leases.
    NoLeases,
}

impl fmt::Display for Unprovable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unprovable::NoRight => "it is another user's file, and npyd has no CAP_LEASE",
            Unprovable::Network => "its file system may be written to by other hosts",
            Unprovable::NoLeases => "its file system grants no leases",
        })
    }
}

/// Asks who writes to the file behind a descriptor that is open for reading only.
pub(crate) fn probe(fd: impl AsFd) -> Writer {
    ignore_lease_signals();
    match set_lease(&fd, libc::F_RDLCK) {
        Ok(()) => match set_lease(&fd, libc::F_UNLCK) {
            Ok(()) => Writer::None,
            Err(_) => Writer::Unknown(Unprovable::NoLeases),
        },
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock => Writer::Present,
            io::ErrorKind::PermissionDenied => Writer::Unknown(Unprovable::NoRight),
            _ => Writer::Unknown(Unprovable::NoLeases),
        },
    }
}

/// Whether a file is open nowhere else, and mapped nowhere: a write lease is granted only then.
pub(crate) fn is_sole_opener(fd: impl AsFd) -> bool {
    ignore_lease_signals();
    set_lease(&fd, libc::F_WRLCK).and_then(|()| set_lease(&fd, libc::F_UNLCK)).is_ok()
}

/// A read lease that is held: whoever opens the file for writing or cuts it breaks the lease first,
/// and waits until it ends.
#[derive(Debug)]
pub struct Lease<'a, F: AsFd>(&'a F);

impl<'a, F: AsFd> Lease<'a, F> {
    /// Takes a lease on a file that is open for reading only; `None` where somebody writes to it,
    /// or the kernel grants none.
    pub(crate) fn take(file: &'a F) -> Option<Self> {
        ignore_lease_signals();
        set_lease(file, libc::F_RDLCK).is_ok().then(|| Lease(file))
    }

    /// Whether nobody has wanted to write to the file since.
    pub(crate) fn is_unbroken(&self) -> bool {
        // SAFETY: the descriptor is open for as long as the file is borrowed; no memory is passed.
        let kind = unsafe { libc::fcntl(self.0.as_fd().as_raw_fd(), libc::F_GETLEASE) };
        kind == libc::F_RDLCK
    }
}

impl<F: AsFd> Drop for Lease<'_, F> {
    fn drop(&mut self) {
        // It fails only where the kernel has ended the lease already.
        let _ = set_lease(self.0, libc::F_UNLCK);
    }
}

fn set_lease(fd: &impl AsFd, kind: i32) -> io::Result<()> {
    // SAFETY: the descriptor is open for as long as `fd` is borrowed, and F_SETLEASE takes an
    // integer; no memory is passed.
    match unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_SETLEASE, kind) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Ignores SIGIO. A writer that opens a file in the instant of a probe raises it, and its default
/// action would end the process.
pub(crate) fn ignore_lease_signals() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: SIG_IGN runs no code of ours, so that nothing must be async-signal-safe; nobody
        // else in this process handles SIGIO.
        unsafe { libc::signal(libc::SIGIO, libc::SIG_IGN) };
    });
}
