//! The committer: a thread that stores receipts in the ledger and then publishes them.
//!
//! A commit waits for the disk. The workers continue meanwhile, and the next commit stores all
//! receipts that they sent until then. So npyd syncs a commit and the next batch at the same time,
//! and under load one sync stores the receipts of several batches.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::events::bus::Bus;
use crate::events::event::Event;
use crate::events::problem::Problem;
use crate::events::receipt::Receipt;
use crate::events::receipt_event::ReceiptEvent;
use crate::events::stored::Stored;
use crate::ledger::{Ledger, LedgerError};
use crate::service::work::outcome::Record;

/// Maximum number of batches that wait for their commit; workers wait then.
const QUEUE_LENGTH: usize = 16;

/// Maximum time that npyd waits for the last commit before it exits, because a disk may hang.
const END_WITHIN: Duration = Duration::from_secs(1);

/// Receipts to store and publish, and what to do after that.
struct Commit {
    records: Vec<Record>,
    then: Box<dyn FnOnce() + Send>,
}

/// Stores and publishes receipts.
pub(crate) struct Recorder {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) bus: Arc<Bus>,
    /// Number of receipts about rejected, lost and failed drops so far.
    pub(crate) failures: AtomicU64,
}

/// The thread, which ends when this is dropped.
pub(crate) struct Committer {
    /// Stores and publishes receipts at once, while the caller waits.
    pub(crate) recorder: Arc<Recorder>,
    /// `None` if there is no thread.
    queue: Option<Sender<Commit>>,
    has_ended: Receiver<()>,
    pending: Arc<AtomicUsize>,
}

impl Recorder {
    /// Stores receipts in the ledger, then publishes them, in this order, so that a published
    /// receipt can be looked up. It survives a power cut if the event says [`Stored::Durable`].
    pub(crate) fn record(&self, records: Vec<Record>) {
        let stored = self.ledger.record(&records);
        self.publish_receipts(records.into_iter().map(|(receipt, _)| receipt), stored);
    }

    /// Publishes receipts that were to be stored, after the error if that failed.
    pub(crate) fn publish_receipts(
        &self,
        receipts: impl IntoIterator<Item = Receipt>,
        stored: Result<Stored, LedgerError>,
    ) {
        let stored = stored.unwrap_or_else(|error| {
            self.publish(Event::Problem(Problem::Ledger { error: error.to_string() }));
            error.stored()
        });
        for receipt in receipts {
            self.publish(Event::Receipt { receipt: Box::new(receipt), stored });
        }
    }

    /// Publishes an event, and counts it if it is a receipt of a failure.
    pub(crate) fn publish(&self, event: Event) {
        let is_failure = |receipt: &Receipt| {
            matches!(
                receipt.event,
                ReceiptEvent::Rejected | ReceiptEvent::Lost | ReceiptEvent::Failed
            )
        };
        if matches!(&event, Event::Receipt { receipt, .. } if is_failure(receipt)) {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        self.bus.publish(event);
    }
}

impl Committer {
    /// Starts the thread. Without the thread, [`Committer::commit`] stores the receipts itself, and
    /// its caller waits for the disk.
    pub(crate) fn start(recorder: Recorder) -> Self {
        let recorder = Arc::new(recorder);
        let (queue, commits) = bounded::<Commit>(QUEUE_LENGTH);
        let (end, has_ended) = bounded::<()>(0);
        let pending = Arc::new(AtomicUsize::new(0));
        let (of_thread, count) = (Arc::clone(&recorder), Arc::clone(&pending));
        let run = move || {
            let _end = end; // dropped last
            let recorder = of_thread;
            while let Ok(first) = commits.recv() {
                let together: Vec<_> = std::iter::once(first).chain(commits.try_iter()).collect();
                let (records, then): (Vec<_>, Vec<_>) =
                    together.into_iter().map(|Commit { records, then }| (records, then)).unzip();
                recorder.record(records.into_iter().flatten().collect());
                count.fetch_sub(then.len(), Ordering::Relaxed);
                for then in then {
                    then();
                }
            }
        };
        let queue = thread::Builder::new().spawn(run).is_ok().then_some(queue);
        Committer { recorder, queue, has_ended, pending }
    }

    /// Queues receipts for the thread, which stores them, publishes them and calls `then`.
    pub(crate) fn commit(&self, records: Vec<Record>, then: impl FnOnce() + Send + 'static) {
        if records.is_empty() {
            return then();
        }
        let Some(queue) = &self.queue else {
            self.recorder.record(records);
            return then();
        };
        self.pending.fetch_add(1, Ordering::Relaxed);
        if let Err(unsent) = queue.send(Commit { records, then: Box::new(then) }) {
            // Only a bug can end the thread before the queue.
            let Commit { records, then } = unsent.into_inner();
            self.recorder.record(records);
            self.pending.fetch_sub(1, Ordering::Relaxed);
            then();
        }
    }

    /// Returns whether all receipts are stored and published.
    pub(crate) fn is_idle(&self) -> bool {
        self.pending.load(Ordering::Relaxed) == 0
    }
}

impl Drop for Committer {
    /// Waits until the thread has stored the last receipts and has closed the ledger.
    fn drop(&mut self) {
        self.queue = None;
        let _ = self.has_ended.recv_timeout(END_WITHIN);
    }
}
