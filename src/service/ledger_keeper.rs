//! The ledger keeper: a thread that checks and mends the ledger and deletes old receipts at each
//! tick of the daemon, because that may take long, and the daemon's own thread must never wait.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::facts::{self, Fact};
use crate::ledger::Ledger;
use crate::text::os_message::os_message;

/// The thread; it ends when this is dropped.
pub(super) struct LedgerKeeper {
    /// `None` after the end.
    ticks: Option<Sender<()>>,
    has_ended: Receiver<()>,
}

impl LedgerKeeper {
    /// Starts the thread, which does not keep the ledger open.
    pub(super) fn start(ledger: &Arc<Ledger>) -> Self {
        let ledger = Arc::downgrade(ledger);
        let (ticks, from) = bounded(1);
        let (end, has_ended) = bounded(0);
        let attend = move || {
            let _end: Sender<()> = end; // dropped last
            for () in from {
                let Some(ledger) = ledger.upgrade() else { return };
                ledger.attend();
                ledger.prune_some();
            }
            if let Some(ledger) = ledger.upgrade() {
                ledger.finish();
            }
        };
        if let Err(error) = thread::Builder::new().spawn(attend) {
            facts::note(Fact::LedgerUnchecked { error: os_message(&error) });
        }
        LedgerKeeper { ticks: Some(ticks), has_ended }
    }

    /// Has the ledger checked, unless that is under way. Does not block.
    pub(super) fn tick(&self) {
        if let Some(ticks) = &self.ticks {
            let _ = ticks.try_send(());
        }
    }

    /// Ends the thread, which tries a last time to store what an outage kept from the ledger.
    /// Returns whether it has ended by then, because a disk may hang.
    pub(super) fn end_within(&mut self, limit: Duration) -> bool {
        self.ticks = None;
        !matches!(self.has_ended.recv_timeout(limit), Err(RecvTimeoutError::Timeout))
    }
}
