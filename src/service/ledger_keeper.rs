//! The ledger keeper: a thread that checks and mends the ledger at each tick of the daemon, because
//! that may take long, and the daemon's own thread must never wait.

use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Sender, bounded};

use crate::facts::{self, Fact};
use crate::ledger::Ledger;
use crate::text::os_message::os_message;

/// The thread; it ends when this is dropped.
pub(super) struct LedgerKeeper {
    ticks: Sender<()>,
}

impl LedgerKeeper {
    /// Starts the thread, which does not keep the ledger open.
    pub(super) fn start(ledger: &Arc<Ledger>) -> Self {
        let ledger = Arc::downgrade(ledger);
        let (ticks, from) = bounded(1);
        let attend = move || {
            for () in from {
                let Some(ledger) = ledger.upgrade() else { return };
                ledger.attend();
            }
        };
        if let Err(error) = thread::Builder::new().spawn(attend) {
            facts::note(Fact::LedgerUnchecked { error: os_message(&error) });
        }
        LedgerKeeper { ticks }
    }

    /// Has the ledger checked, unless that is under way. Does not block.
    pub(super) fn tick(&self) {
        let _ = self.ticks.try_send(());
    }
}
