//! Leases: prove that no process has a file open for writing or mapped writable (`fcntl(2)`,
//! `F_SETLEASE`).
//!
//! The kernel grants a read lease only if there is no writer. A probe releases the lease at once,
//! because a writer's open would have to wait for it. Only while npyd renames a file it holds the
//! lease for a moment.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Once;

use crate::model::{Unprovable, Writer};

/// Probes a file for writers. The descriptor must be open for reading only.
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

/// Returns whether the file is neither open nor mapped elsewhere: only then the kernel grants a
/// write lease.
pub(crate) fn is_sole_opener(fd: impl AsFd) -> bool {
    ignore_lease_signals();
    set_lease(&fd, libc::F_WRLCK).and_then(|()| set_lease(&fd, libc::F_UNLCK)).is_ok()
}

/// A held read lease. A process that opens the file for writing or truncates it breaks the lease
/// first, and blocks until it ends.
#[derive(Debug)]
pub struct Lease<'a, F: AsFd>(&'a F);

impl<'a, F: AsFd> Lease<'a, F> {
    /// Takes a lease on a file that is open for reading only. Returns `None` if there is a writer
    /// or the kernel grants no lease.
    pub(crate) fn take(file: &'a F) -> Option<Self> {
        ignore_lease_signals();
        set_lease(file, libc::F_RDLCK).is_ok().then(|| Lease(file))
    }

    /// Returns whether no process has tried to write to the file since the lease was taken.
    pub(crate) fn is_unbroken(&self) -> bool {
        // SAFETY: the descriptor is open for as long as the file is borrowed; no memory is passed.
        let kind = unsafe { libc::fcntl(self.0.as_fd().as_raw_fd(), libc::F_GETLEASE) };
        kind == libc::F_RDLCK
    }
}

impl<F: AsFd> Drop for Lease<'_, F> {
    fn drop(&mut self) {
        // This fails only if the kernel has ended the lease already.
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

/// Ignores SIGIO. The kernel sends it when a process opens the file for writing during a probe; its
/// default action would kill npyd.
pub(crate) fn ignore_lease_signals() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: SIG_IGN runs no code of ours, so async-signal-safety does not matter; nothing
        // else in this process handles SIGIO.
        unsafe { libc::signal(libc::SIGIO, libc::SIG_IGN) };
    });
}
