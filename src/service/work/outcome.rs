//! The results of jobs: for the tracker, and for the ledger.

use std::time::Duration;

use crate::decide::fingerprint::Fingerprint;
use crate::decide::wait::Wait;
use crate::events::receipt::Receipt;
use crate::fs::DataFile;
use crate::service::work::failure::Failure;

/// Shortest delay until a waiting drop is probed again.
pub(crate) const PROBE_DELAY_MIN: Duration = Duration::from_millis(100);

/// The result of a job for the tracker.
pub(crate) enum Outcome {
    /// There is nothing left to do.
    Done,
    /// There is nothing left to do, because the first array of this drop was there already.
    Found,
    /// The drop must wait, and be probed again.
    Retry(Wait),
    /// The job ended without a result: its drop is gone, npyd is stopping, or the settings were
    /// superseded.
    Dropped,
    /// The drop was rejected: there is nothing left to do, and no array was made.
    Rejected,
    /// The request about it was refused.
    Refused,
    /// The job failed, for a reason that may pass.
    Failed(Failure),
}

/// The results of a task: an outcome for each of its drops, and the receipts to record.
#[derive(Default)]
pub(crate) struct TaskResult {
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) records: Vec<Record>,
    /// The data files, with their locks, which stay until the receipts are stored: another npyd
    /// that has the ledger open does not find an array before its receipt.
    pub(crate) locked: Vec<DataFile>,
}

impl From<Outcome> for TaskResult {
    fn from(outcome: Outcome) -> Self {
        TaskResult { outcomes: vec![outcome], ..TaskResult::default() }
    }
}

/// A receipt, and the fingerprint of its source.
pub(crate) type Record = (Receipt, Option<Fingerprint>);
