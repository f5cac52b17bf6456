//! Facts: events that belong to no receipt and no state of a drop, such as a file that got another
//! name in the middle of a move. A layer without the bus reports a fact with `note`; the
//! process-wide observer, the bus or the log, publishes it. The sinks make the text.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

/// An event that no receipt contains.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// Copies pause, because other processes wait for the disk.
    Paused {
        /// The share of time in which they wait, in percent.
        percent: f64,
        /// The highest share that the configuration allows.
        limit: u8,
    },
    /// Copies go on.
    Unpaused,
    /// A directory that npyd writes to was replaced by a new one, which npyd uses.
    NewDir(PathBuf),
    /// A file that was moved to another file system could not keep some of its attributes.
    AttributesLost {
        /// The path of the file before the move.
        file: PathBuf,
        /// The attributes.
        lost: Vec<&'static str>,
    },
    /// A header that an interrupted npyd had inserted was removed from a file.
    InsertUndone {
        /// The file's own name.
        file: String,
        /// The drop directory.
        drop_dir: PathBuf,
    },
    /// npyd could not remove the intent of finished work. The intent does no harm.
    IntentStays {
        /// Why.
        error: String,
    },
    /// Another file took a name while npyd worked on the file that had it.
    Renamed {
        /// The name that was taken.
        path: PathBuf,
        /// The name that the original has now.
        now: PathBuf,
    },
    /// The state of the ledger changed.
    Ledger {
        /// The path of the database.
        path: PathBuf,
        /// What happened to it.
        event: LedgerEvent,
    },
    /// The ledger's files are not checked while npyd runs.
    LedgerUnchecked {
        /// Why.
        error: String,
    },
    /// The service manager could not be notified.
    ServiceManagerUnreached {
        /// Why.
        error: String,
    },
    /// A sweep waits until drops have been unchanged for the time `quiet`.
    SweepWaits {
        /// The path of one of these drops.
        path: PathBuf,
        /// The number of the other drops.
        others: usize,
    },
}

/// What happened to the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerEvent {
    /// npyd can't read the ledger. npyd renamed the file, and made an empty ledger.
    Emptied {
        /// Why npyd can't read the ledger.
        error: String,
        /// The name that the old file has now.
        aside: PathBuf,
    },
    /// npyd can't read all of the ledger. npyd renamed the file, and copied the readable receipts
    /// into a new ledger.
    Salvaged {
        /// The name that the old file has now.
        aside: PathBuf,
        /// The number of readable receipts.
        receipts: u64,
    },
    /// The ledger's write-ahead log was removed. npyd wrote the log again.
    LogRewritten,
    /// The ledger was removed. npyd wrote the ledger again.
    Rewritten {
        /// The number of receipts in the ledger.
        receipts: u64,
    },
    /// Another database has the ledger's name. npyd uses that database.
    Replaced,
    /// npyd writes the ledger of an earlier version in its own layout.
    Upgrading {
        /// The number of receipts that are written.
        done: u64,
        /// The number of receipts in the ledger.
        receipts: u64,
    },
    /// npyd can't use the ledger.
    Failed {
        /// The error, with the path and the remedy.
        error: String,
    },
    /// npyd can use the ledger again.
    Usable,
    /// npyd ends, and could not store all that it was to store there.
    NotStored {
        /// The number of receipts.
        receipts: usize,
        /// The number of contents that a failed sync may have lost.
        losses: usize,
        /// Why, with the remedy.
        error: String,
    },
}

/// Publishes a fact.
type Observer = Arc<dyn Fn(Fact) + Send + Sync>;

/// The process-wide observer.
static OBSERVER: RwLock<Option<Observer>> = RwLock::new(None);

/// Replaces the observer. `observer` gets all later facts.
pub fn observe(observer: impl Fn(Fact) + Send + Sync + 'static) {
    *OBSERVER.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(observer));
}

/// Reports a fact to the observer, if there is one.
pub(crate) fn note(fact: Fact) {
    // The lock is free again before the observer runs, which may block.
    let observer = OBSERVER.read().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(observer) = observer {
        observer(fact);
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::unbounded;

    use super::*;

    /// Other tests of this process may note facts at the same time.
    #[test]
    fn the_last_observer_sees_what_is_noted() {
        let (to, facts) = unbounded();
        observe(|_| panic!("it was replaced"));
        observe(move |fact| to.send(fact).unwrap_or_default());
        let fact = Fact::NewDir("/a directory of this test".into());
        note(fact.clone());
        assert!(facts.try_iter().any(|it| it == fact));
    }
}
