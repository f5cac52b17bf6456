//! Handing dumps over to the workers, one by one or several at once, and hearing of their end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crate::decide::identity::LedgerKey;
use crate::events::receipt::Event;
use crate::finalize::{ArrayJob, Job};
use crate::ledger::Request;
use crate::probe::Residue;
use crate::probe::candidate::Candidate;
use crate::service::tracker::Tracker;
use crate::service::tracker::entry::{Entry, State};
use crate::service::worker::{self, Outcome};

/// Up to how many bytes a dump's syncs take longer than its copy, and are shared with others.
const SMALL: u64 = 1 << 20;

/// The most dumps that share their syncs: the first of them must not wait long for the last.
const BATCH_MAX: usize = 64;

/// A task's end, told by the worker.
pub struct JobDone {
    rel: PathBuf,
    outcome: Outcome,
}

impl Tracker {
    pub(crate) fn reject(&mut self, candidate: Candidate, event: Event, reason: String) {
        let rel = candidate.rel.clone();
        if !self.queue.has_room() {
            return self.postpone(rel);
        }
        let (drop_dir, context) = (Arc::clone(&self.drop_dir), self.context.clone());
        let settings = self.settings;
        self.mark_working(&rel);
        self.submit(vec![rel], move || {
            vec![worker::reject_drop(&drop_dir, &context, &candidate, (event, reason), settings)]
        });
    }

    /// Finishes what a crash interrupted: what still stands of the data is read for that.
    pub(crate) fn recover_residue(&mut self, rel: &Path, residue: Box<Residue>) {
        if !self.queue.has_room() {
            return self.postpone(rel.to_path_buf());
        }
        let drop_dir = Arc::clone(&self.drop_dir);
        self.mark_working(rel);
        self.submit(vec![rel.to_path_buf()], move || vec![worker::recover(&drop_dir, &residue)]);
    }

    /// Hands an array to the workers that is made again of itself.
    pub(crate) fn redo_array(&mut self, rel: &Path, request: Request, job: ArrayJob, of: &str) {
        if !self.queue.has_room() {
            self.requests.insert(rel.to_path_buf(), request);
            return self.postpone(rel.to_path_buf());
        }
        let (context, pace) = (self.context.clone(), Arc::clone(&self.pace));
        let fingerprint = LedgerKey::parse(of);
        self.mark_working(rel);
        self.submit(vec![rel.to_path_buf()], move || {
            vec![worker::redo_array(&context, &pace, (&request, &job), fingerprint.as_ref())]
        });
    }

    pub(crate) fn dispatch(&mut self, job: Job) {
        let rel = job.candidate.rel.clone();
        if !self.queue.has_room() {
            return self.postpone(rel);
        }
        // One that failed goes alone: it must not take others with it again.
        let failures = self.entries.get(&rel).map_or(0, |entry| entry.failures);
        if failures > 0 || job.header.data_len() > SMALL {
            self.mark_working(&rel);
            return self.run_batch(vec![job]);
        }
        self.mark_working(&rel);
        self.batch.push(job);
        if self.batch.len() >= BATCH_MAX {
            self.dispatch_batch();
        }
    }

    pub(crate) fn dispatch_batch(&mut self) {
        if !self.batch.is_empty() {
            let batch = std::mem::take(&mut self.batch);
            self.run_batch(batch);
        }
    }

    fn run_batch(&mut self, batch: Vec<Job>) {
        let rels = batch.iter().map(|job| job.candidate.rel.clone()).collect();
        let (context, pace, settings) =
            (self.context.clone(), Arc::clone(&self.pace), self.settings);
        self.submit(rels, move || worker::run_batch(&context, &pace, &batch, settings));
    }

    fn postpone(&mut self, rel: PathBuf) {
        if let Some(entry) = self.entries.get_mut(&rel) {
            entry.state = State::Backlog;
            self.backlog.push_back(rel);
        }
    }

    fn mark_working(&mut self, rel: &Path) {
        if let Some(entry) = self.entries.get_mut(rel) {
            entry.state = State::Working { again: false };
            entry.due = None;
        }
    }

    fn submit(&self, rels: Vec<PathBuf>, task: impl FnOnce() -> Vec<Outcome> + Send + 'static) {
        let ended = self.ended.clone();
        self.queue.submit(move || {
            let mut outcomes = catch_unwind(AssertUnwindSafe(task)).unwrap_or_default().into_iter();
            for rel in rels {
                let outcome = outcomes.next().unwrap_or_else(|| {
                    Outcome::Failed("npyd has a bug (its log tells where)".to_owned())
                });
                // Nobody listens any more when the directory was taken out of care.
                let _ = ended.send(JobDone { rel, outcome });
            }
        });
    }

    /// Takes a task's end in.
    pub fn on_job_done(&mut self, JobDone { rel, outcome }: JobDone, now: Instant) {
        let again = match self.entries.get(&rel) {
            Some(Entry { state: State::Working { again }, .. }) => *again,
            _ => return,
        };
        match outcome {
            Outcome::Done => {
                self.forget(&rel);
                if again {
                    // What describes it may have led here, and waits for it where it is gone.
                    let describing: Vec<_> = self.index.describing(&rel).cloned().collect();
                    for rel in describing.into_iter().chain([rel]) {
                        self.enqueue(rel, now);
                    }
                }
            }
            Outcome::Retry(wait) => self.wait(&rel, wait, now),
            Outcome::Failed(error) => self.on_failure(&rel, &error, now),
        }
    }
}
