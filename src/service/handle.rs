//! Handles: how others reach the supervisor of a drop directory, whichever thread it is in.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crossbeam_channel::Sender;

use crate::config::DropDir;
use crate::service::watch::RootId;
use crate::service::watch_thread::Mailbox;

/// Commands for a supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Scan the directory now.
    Rescan,
    /// Stop watching the directory.
    Stop,
}

/// A handle to the supervisor of one drop directory.
pub struct DropDirHandle {
    /// The settings of the drop directory.
    pub drop_dir: Arc<DropDir>,
    pub(super) commands: Sender<Command>,
    pub(super) link: Arc<Link>,
    pub(super) supervisor: Weak<()>,
}

impl DropDirHandle {
    /// Sends a command without blocking; drops the command if the channel is full. The loss does no
    /// harm: a full channel contains a rescan already, and the supervisor also stops when its
    /// handle is dropped.
    pub fn send(&self, send: Command) {
        let _ = self.commands.try_send(send);
        self.link.wake();
    }

    /// Returns whether the supervisor has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.supervisor.strong_count() == 0
    }
}

/// The way to the thread that a drop directory is in now.
pub(super) struct Link {
    pub(super) id: RootId,
    mailbox: Mutex<Option<Arc<Mailbox>>>,
    /// Whether the thread was told, and the turn has not begun.
    is_woken: AtomicBool,
}

impl Link {
    pub(super) fn new(id: RootId) -> Self {
        Link { id, mailbox: Mutex::default(), is_woken: AtomicBool::new(false) }
    }

    /// Has what wakes the drop directory go to this thread.
    pub(super) fn lead_to(&self, mailbox: &Arc<Mailbox>) {
        let mailbox = Some(Arc::clone(mailbox));
        *self.mailbox.lock().unwrap_or_else(PoisonError::into_inner) = mailbox;
    }

    /// Notes that the turn begins.
    pub(super) fn begin_turn(&self) {
        self.is_woken.store(false, Ordering::SeqCst);
    }

    /// Gives the drop directory its turn.
    pub(super) fn wake(&self) {
        if !self.is_woken.swap(true, Ordering::SeqCst) {
            let mailbox = self.mailbox.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(mailbox) = mailbox {
                mailbox.wake(self.id);
            }
        }
    }
}
