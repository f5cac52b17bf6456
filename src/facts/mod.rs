//! Facts: what happened that neither a receipt nor the state of a drop tells, such as a file that
//! got another name in the middle of a move. Layers that don't know the bus note a fact here, and
//! the observer of the process shows it: the bus, or the log of a command without one. The sinks
//! make the text.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

/// Something that no receipt tells.
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
        /// The file, as it was named.
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
    /// The intent of finished work could not be removed. It does no harm.
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
        /// One of them.
        path: PathBuf,
        /// The number of the others.
        others: usize,
    },
}

/// What happened to the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerEvent {
    /// It can't be read. It was renamed, and an empty one was made.
    Emptied {
        /// Why it can't be read.
        error: String,
        /// The name that the old one has now.
        aside: PathBuf,
    },
    /// It can't be read. It was renamed, and a new one has what could be read.
    Salvaged {
        /// The name that the old one has now.
        aside: PathBuf,
        /// The number of receipts that could be read.
        receipts: u64,
    },
    /// Its write-ahead log was removed. npyd wrote it again.
    LogRewritten,
    /// It was removed. npyd wrote it again.
    Rewritten {
        /// The number of its receipts.
        receipts: u64,
    },
    /// Another database has its name, and npyd uses that.
    Replaced,
    /// It can't be used.
    Failed {
        /// The error, with the path and the remedy.
        error: String,
    },
    /// It can be used again.
    Usable,
}

/// Shows a fact.
type Observer = Arc<dyn Fn(Fact) + Send + Sync>;

/// The observer of the process.
static OBSERVER: RwLock<Option<Observer>> = RwLock::new(None);

/// Has all later facts shown by `observer`, in place of the one before.
pub fn observe(observer: impl Fn(Fact) + Send + Sync + 'static) {
    *OBSERVER.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(observer));
}

/// Notes a fact.
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
