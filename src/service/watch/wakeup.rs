//! Wakes a thread that waits for descriptors, by an eventfd(2).

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

/// A descriptor that another thread makes readable.
#[derive(Debug)]
pub(crate) struct Wakeup(OwnedFd);

impl Wakeup {
    /// Creates the descriptor.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Wakeup(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// Wakes the thread that waits, or that waits next.
    pub(crate) fn wake(&self) {
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Waits until another thread calls [`Wakeup::wake`], `events` is readable, `mounts` has
    /// changed, or the time is over. Returns whether `mounts` has changed.
    pub(crate) fn wait(
        &self,
        events: Option<BorrowedFd<'_>>,
        mounts: Option<BorrowedFd<'_>>,
        limit: Duration,
    ) -> bool {
        let mut fds = vec![PollFd::new(&self.0, PollFlags::IN)];
        // The table of mounts is always readable; a change is an exceptional condition.
        fds.extend(mounts.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::PRI)));
        fds.extend(events.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let limit = Timespec::try_from(limit).ok();
        // An interrupted call has no result: the caller waits again.
        let _ = poll(&mut fds, limit.as_ref());
        let is_ready = |at: usize| fds.get(at).is_some_and(|it| !it.revents().is_empty());
        if is_ready(0) {
            let _ = rustix::io::read(&self.0, &mut [0_u8; 8]);
        }
        mounts.is_some() && is_ready(1)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::time::Instant;

    use super::*;
    use crate::fs::MountInfo;

    /// Otherwise the thread would never rest.
    #[test]
    fn a_table_of_mounts_without_change_wakes_nobody() {
        let (wakeup, mounts) = (Wakeup::new().unwrap(), MountInfo::open().unwrap());
        let wait = |limit| wakeup.wait(None, Some(mounts.as_fd()), limit);
        let mut limit = Duration::from_millis(20);
        loop {
            let start = Instant::now();
            let has_changed = wait(limit); // another test may mount something
            if !has_changed && start.elapsed() >= limit {
                break;
            }
            assert!(has_changed, "it neither changed nor waited");
            limit += Duration::from_millis(1);
        }
        wakeup.wake();
        wait(Duration::from_hours(1));
    }
}
