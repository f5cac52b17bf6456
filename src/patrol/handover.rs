//! Handing dumps over to the workers, one by one or several at once, and hearing of their end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::work::{self, Outcome};
use super::{Entry, Patrol, State};
use crate::candidate::Candidate;
use crate::finalize::Settled;
use crate::look::Leftover;
use crate::receipt::Event;

/// Up to how many bytes a dump's syncs take longer than its copy, and are shared with others.
const SMALL: u64 = 1 << 20;

/// The most dumps that share their syncs: the first of them must not wait long for the last.
const BATCH_MAX: usize = 64;

/// A task's end, told by the worker.
pub struct Ended {
    rel: PathBuf,
    outcome: Outcome,
}

impl Patrol {
    pub(super) fn reject(&mut self, candidate: Candidate, event: Event, reason: String) {
        let rel = candidate.rel.clone();
        if !self.queue.has_room() {
            return self.postpone(rel);
        }
        let (inbox, common) = (Arc::clone(&self.inbox), self.common.clone());
        let settings = self.settings;
        self.now_working(&rel);
        self.work_on(vec![rel], move || {
            vec![work::refuse(&inbox, &common, &candidate, (event, reason), settings)]
        });
    }

    /// Finishes what a crash interrupted: what still stands of the data is read for that.
    pub(super) fn tidy_leftover(&mut self, rel: &Path, leftover: Box<Leftover>) {
        if !self.queue.has_room() {
            return self.postpone(rel.to_path_buf());
        }
        let inbox = Arc::clone(&self.inbox);
        self.now_working(rel);
        self.work_on(vec![rel.to_path_buf()], move || vec![work::tidy(&inbox, &leftover)]);
    }

    pub(super) fn hand_over(&mut self, settled: Settled) {
        let rel = settled.candidate.rel.clone();
        if !self.queue.has_room() {
            return self.postpone(rel);
        }
        // One that failed goes alone: it must not take others with it again.
        let faults = self.entries.get(&rel).map_or(0, |entry| entry.faults);
        if faults > 0 || settled.header.data_len() > SMALL {
            self.now_working(&rel);
            return self.carry_out(vec![settled]);
        }
        self.now_working(&rel);
        self.batch.push(settled);
        if self.batch.len() >= BATCH_MAX {
            self.hand_over_batch();
        }
    }

    pub(super) fn hand_over_batch(&mut self) {
        if !self.batch.is_empty() {
            let batch = std::mem::take(&mut self.batch);
            self.carry_out(batch);
        }
    }

    fn carry_out(&mut self, batch: Vec<Settled>) {
        let rels = batch.iter().map(|settled| settled.candidate.rel.clone()).collect();
        let (common, pace, settings) = (self.common.clone(), Arc::clone(&self.pace), self.settings);
        self.work_on(rels, move || work::carry_out(&common, &pace, &batch, settings));
    }

    fn postpone(&mut self, rel: PathBuf) {
        if let Some(entry) = self.entries.get_mut(&rel) {
            entry.state = State::Backlog;
            self.backlog.push_back(rel);
        }
    }

    fn now_working(&mut self, rel: &Path) {
        if let Some(entry) = self.entries.get_mut(rel) {
            entry.state = State::Working { again: false };
            entry.due = None;
        }
    }

    fn work_on(&self, rels: Vec<PathBuf>, task: impl FnOnce() -> Vec<Outcome> + Send + 'static) {
        let ended = self.ended.clone();
        self.queue.submit(move || {
            let mut outcomes = catch_unwind(AssertUnwindSafe(task)).unwrap_or_default().into_iter();
            for rel in rels {
                let outcome = outcomes.next().unwrap_or_else(|| {
                    Outcome::Failed("npyd has a bug (its log tells where)".to_owned())
                });
                // Nobody listens any more when the directory was taken out of care.
                let _ = ended.send(Ended { rel, outcome });
            }
        });
    }

    /// Takes a task's end in.
    pub fn end(&mut self, Ended { rel, outcome }: Ended, now: Instant) {
        let again = match self.entries.get(&rel) {
            Some(Entry { state: State::Working { again }, .. }) => *again,
            _ => return,
        };
        match outcome {
            Outcome::Settled => {
                self.forget(&rel);
                if again {
                    // What describes it may have led here, and waits for it where it is gone.
                    let describing: Vec<_> = self.index.describing(&rel).cloned().collect();
                    for rel in describing.into_iter().chain([rel]) {
                        self.sight(rel, now);
                    }
                }
            }
            Outcome::Again(wait) => self.wait(&rel, wait, now),
            Outcome::Failed(error) => self.fault(&rel, &error, now),
        }
    }
}
