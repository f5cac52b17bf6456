//! Dispatches jobs to the worker pool, singly or in batches, and applies their results.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crate::decide::fingerprint::Fingerprint;
use crate::decide::reason::Reason;
use crate::decide::work_error::WorkError;
use crate::events::event::Event;
use crate::events::receipt_event::ReceiptEvent;
use crate::finalize::{ArrayJob, Job, RejectedDrop};
use crate::ledger::Request;
use crate::probe::Residue;
use crate::probe::candidate::Candidate;
use crate::service::tracker::Tracker;
use crate::service::tracker::entry::State;
use crate::service::tracker::failures::Work;
use crate::service::work::failure::{Cause, Failure};
use crate::service::work::outcome::{Outcome, TaskResult};
use crate::service::work::{drop_jobs, request_jobs};

/// Maximum data size in bytes of a drop in a batch. The syncs of such a drop take longer than its
/// copy, and a batch shares them.
pub(crate) const SMALL: u64 = 1 << 20;

/// Maximum number of drops in a batch; the first one must not wait long for the last one.
pub(crate) const BATCH_MAX: usize = 64;

/// The result of a job, for [`Tracker::on_job_done`].
pub struct JobDone {
    rel: PathBuf,
    outcome: Outcome,
}

impl Tracker {
    /// Dispatches the rejection of a drop.
    pub(crate) fn reject(&mut self, candidate: Candidate, event: ReceiptEvent, reason: Reason) {
        let rel = candidate.input.rel.clone();
        if !self.queue.has_room() {
            return self.postpone(rel);
        }
        let (context, drop_dir) = (self.context.clone(), Arc::clone(&self.drop_dir));
        let settings_hash = self.settings_hash;
        self.mark_working(&rel);
        self.submit(vec![rel], move || {
            let place = (&context, &*drop_dir);
            drop_jobs::reject_drop(place, &candidate, (event, reason), settings_hash)
        });
    }

    /// Dispatches the recovery of residue. A worker does it, because it reads the remaining data.
    pub(crate) fn recover_residue(&mut self, rel: &Path, residue: Box<Residue>) {
        if !self.queue.has_room() {
            return self.postpone(rel.to_path_buf());
        }
        let drop_dir = Arc::clone(&self.drop_dir);
        self.mark_working(rel);
        self.submit(vec![rel.to_path_buf()], move || {
            drop_jobs::recover(&drop_dir, &residue).into()
        });
    }

    /// Dispatches a job that makes an array again from the array itself: its source is gone.
    pub(crate) fn redo_array(&mut self, rel: &Path, request: Request, job: ArrayJob, of: &str) {
        if !self.queue.has_room() {
            self.requests.insert(rel.to_path_buf(), request);
            return self.postpone(rel.to_path_buf());
        }
        let (context, pace) = (self.context.clone(), Arc::clone(&self.pace));
        let fingerprint = Fingerprint::parse(of);
        self.mark_working(rel);
        // If the job has to wait, the next probe dispatches it again.
        self.requests.insert(rel.to_path_buf(), request.clone());
        self.submit(vec![rel.to_path_buf()], move || {
            request_jobs::redo_array(&context, &pace, (&request, &job), fingerprint.as_ref()).into()
        });
    }

    /// Dispatches the restoration of a rejected drop that is to be taken.
    pub(crate) fn restore(&mut self, rel: &Path, request: Request, rejected: RejectedDrop) {
        if !self.queue.has_room() {
            return self.postpone(rel.to_path_buf());
        }
        let (context, drop_dir) = (self.context.clone(), Arc::clone(&self.drop_dir));
        self.mark_working(rel);
        self.submit(vec![rel.to_path_buf()], move || {
            request_jobs::restore(&context, &drop_dir, &request, &rejected).into()
        });
    }

    /// Dispatches a complete drop: a small one with the next batch, any other by itself.
    pub(crate) fn dispatch(&mut self, job: Job) {
        let rel = job.candidate.input.rel.clone();
        if !self.queue.has_room() {
            return self.postpone(rel);
        }
        // A drop that failed before goes alone, so that it cannot make a whole batch fail again.
        let failures = self.entries.get(&rel).map_or(0, |entry| entry.failures);
        if failures > 0 || job.data_len() > SMALL {
            self.mark_working(&rel);
            return self.run_batch(vec![job]);
        }
        self.mark_working(&rel);
        self.batch.push(job);
        if self.batch.len() >= BATCH_MAX {
            self.dispatch_batch();
        }
    }

    /// Dispatches the batch that was collected, if it has drops.
    pub(crate) fn dispatch_batch(&mut self) {
        if !self.batch.is_empty() {
            let batch = std::mem::take(&mut self.batch);
            self.run_batch(batch);
        }
    }

    fn run_batch(&mut self, batch: Vec<Job>) {
        let rels = batch.iter().map(|job| job.candidate.input.rel.clone()).collect();
        let (context, pace, settings_hash) =
            (self.context.clone(), Arc::clone(&self.pace), self.settings_hash);
        self.submit(rels, move || drop_jobs::run_batch(&context, &pace, &batch, settings_hash));
    }

    /// Moves an entry to the backlog, because the worker queue is full.
    fn postpone(&mut self, rel: PathBuf) {
        if self.set_state(&rel, State::Backlog) {
            self.backlog.push_back(rel);
        }
    }

    pub(crate) fn mark_working(&mut self, rel: &Path) {
        if let Some(entry) = self.entries.get_mut(rel) {
            entry.due = None;
        }
        self.set_state(rel, State::Working { again: false });
    }

    /// Submits a task for these entries.
    fn submit(&self, rels: Vec<PathBuf>, task: impl FnOnce() -> TaskResult + Send + 'static) {
        self.queue.submit(self.task(rels, task));
    }

    /// Returns a task that sends the results of these entries. If it panics, all of them fail. They
    /// are done once their receipts are stored.
    pub(crate) fn task(
        &self,
        rels: Vec<PathBuf>,
        task: impl FnOnce() -> TaskResult + Send + 'static,
    ) -> impl FnOnce() + Send + 'static {
        let (ended, committer) = (Arc::clone(&self.ended), Arc::clone(&self.context.committer));
        let paths = rels.iter().map(|rel| self.drop_dir.path.join(rel)).collect();
        let in_work = self.context.in_work.begin(paths);
        move || {
            let TaskResult { outcomes, records, locked } =
                catch_unwind(AssertUnwindSafe(task)).unwrap_or_default();
            committer.commit(records, move || {
                drop(locked);
                drop(in_work);
                let mut outcomes = outcomes.into_iter();
                for rel in rels {
                    let outcome = outcomes.next().unwrap_or_else(|| {
                        Outcome::Failed(Failure::new(WorkError::Bug, Cause::Bug))
                    });
                    ended(JobDone { rel, outcome });
                }
            });
        }
    }

    /// Records first failures together, because each commit of the ledger waits for the disk.
    pub(super) fn record_failures(&mut self) {
        let failed = std::mem::take(&mut self.failed);
        if !failed.is_empty() {
            self.context.committer.recorder.record(failed);
        }
    }

    /// Applies the result of a job to its entry.
    pub fn on_job_done(&mut self, JobDone { rel, outcome }: JobDone, now: Instant) {
        self.end_recheck(&rel);
        let again = match self.state(&rel) {
            Some(State::Working { again }) => *again,
            _ => return,
        };
        if matches!(outcome, Outcome::Found) {
            self.context.publish(Event::FoundArray(self.drop_path(&rel)));
        }
        if matches!(outcome, Outcome::Refused) {
            self.requests.remove(&rel);
        }
        match outcome {
            Outcome::Done
            | Outcome::Found
            | Outcome::Rejected
            | Outcome::Dropped
            | Outcome::Refused => {
                match outcome {
                    Outcome::Done | Outcome::Found => self.resume_after(&rel, Work::Finalize, now),
                    Outcome::Rejected => self.resume_after(&rel, Work::Reject, now),
                    _ => {}
                }
                self.forget(&rel);
                if self.deferred_requests > 0 {
                    self.read_requests(now);
                }
                if again {
                    // A description may have been probed meanwhile: its entry was merged into this
                    // one. It must wait for new data if the data file is gone.
                    let describing: Vec<_> = self.index.describing(&rel).cloned().collect();
                    for rel in describing.into_iter().chain([rel]) {
                        self.enqueue(rel, now);
                    }
                }
            }
            Outcome::Retry(wait) => {
                self.suspensions.end_trial(&rel);
                if let Some(entry) = self.entries.get_mut(&rel) {
                    entry.note_mismatch(&wait.why);
                }
                self.wait(&rel, wait, now);
            }
            Outcome::Failed(failure) => self.on_failure(&rel, &failure, now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::tracker::timeline::Timeline;

    const QUIET: u64 = 2;
    /// The digest of `123456789`, of any number of bytes.
    const MANIFEST: &[u8] = b"dtype = '|u1'\nshape = [-1]\ndigest = 'crc32c:e3069283'\n";

    impl Timeline {
        fn is_working(&self) -> bool {
            matches!(self.tracker.state(Path::new("a.raw")), Some(State::Working { .. }))
        }

        /// Returns a tracker that has read data which do not have their digest.
        fn of_mismatch() -> Self {
            let mut time = Timeline::of(&[("a.raw", b"1234"), ("a.raw.toml", MANIFEST)]);
            time.scan_after(1);
            assert!(time.is_working());
            time.end_job_after(1);
            let wait = time.tracker.state(Path::new("a.raw")).and_then(State::reason);
            assert!(matches!(wait, Some(Reason::DigestYet(_))), "{wait:?}");
            time
        }

        /// Returns the receipts since the last call.
        fn receipts(&self) -> Vec<ReceiptEvent> {
            let receipt = |event| match event {
                Event::Receipt { receipt, .. } => Some(receipt.event),
                _ => None,
            };
            self.events().into_iter().filter_map(receipt).collect()
        }
    }

    #[test]
    fn data_without_their_digest_are_read_again_once_that_is_final() {
        let mut time = Timeline::of_mismatch();
        for seconds in [QUIET + 2, 5 * QUIET, 10 * QUIET - 1] {
            time.scan_after(seconds);
            assert!(!time.is_working(), "after {seconds} s");
        }
        assert_eq!(time.receipts(), []);
        time.scan_after(10 * QUIET + 2);
        assert!(time.is_working());
        time.end_job_after(10 * QUIET + 2);
        assert_eq!(time.receipts(), [ReceiptEvent::Rejected]);
    }

    #[test]
    fn data_without_their_digest_are_read_again_once_they_change() {
        let mut time = Timeline::of_mismatch();
        time.write("a.raw", b"12345");
        let mut seconds = 5 * QUIET;
        for content in [&b"1234567"[..], b"123456789"] {
            time.write("a.raw", content);
            while !time.is_working() {
                seconds += 1;
                time.scan_after(seconds);
            }
            time.end_job_after(seconds);
        }
        assert_eq!(time.receipts(), [ReceiptEvent::Finalized]);
    }
}
