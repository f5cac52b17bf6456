//! Rechecks: compares finished drops with their arrays after only attributes of their files
//! changed: rights, ACL, links, names. The content may have changed as well, because a program can
//! restore a file's mtime (`touch -r`, `rsync --inplace`); the ctime alone shows it.
//!
//! One task of a drop directory at a time compares, in a thread of its own, so that neither the
//! workers nor the drops in their queue wait for it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crate::events::event::Event;
use crate::finalize::Job;
use crate::ledger::Entry;
use crate::probe::candidate::Candidate;
use crate::probe::{ProbeResult, probe_linked};
use crate::service::tracker::Tracker;
use crate::service::tracker::dispatch::{BATCH_MAX, SMALL};
use crate::service::tracker::entry::State;
use crate::service::work::drop_jobs;

/// The rechecks of one drop directory.
#[derive(Default)]
pub(crate) struct Rechecks {
    /// Drops whose turn has not come. They are probed again then.
    waiting: BTreeSet<PathBuf>,
    /// Drops of the next task.
    batch: Vec<Job>,
    /// The drops of the running task.
    running: BTreeSet<PathBuf>,
}

impl Rechecks {
    /// Returns whether the next task has room for a drop of `len` bytes.
    fn has_room(&self, len: u64) -> bool {
        let room = if len > SMALL { 1 } else { BATCH_MAX };
        let is_alone = self.batch.iter().any(|job| job.data_len() > SMALL);
        self.running.is_empty() && !is_alone && self.batch.len() < room
    }
}

impl Tracker {
    /// Returns whether the array of a drop was made, and only attributes changed since.
    pub(crate) fn is_recheck(known: Option<&Entry>, candidate: &Candidate) -> bool {
        known.is_some_and(|known| known.has_array_of(&candidate.snapshot().identity()))
    }

    /// Returns a finished drop as it was before somebody made hard links to its files, which would
    /// reject a new drop.
    pub(crate) fn despite_links(&self, seen: &Path, candidate: Candidate) -> Candidate {
        if candidate.input.links() < 2 {
            return candidate;
        }
        let probe = |root| probe_linked((&self.drop_dir, &root), seen, &self.index);
        match self.root().and_then(probe) {
            Ok(ProbeResult::Candidate(linked))
                if Self::is_recheck(self.last_settled(&linked.input.rel).as_ref(), &linked) =>
            {
                *linked
            }
            _ => candidate,
        }
    }

    /// Adds a drop to the next task, or to the queue of waiting drops.
    pub(crate) fn dispatch_recheck(&mut self, job: Job) {
        let rel = job.candidate.input.rel.clone();
        let Some(entry) = self.entries.get(&rel) else { return };
        let is_new = !matches!(entry.state(), State::Unverified) && entry.failures == 0;
        if is_new && job.has_other_attributes() {
            self.context.publish(Event::Rechecking(self.drop_path(&rel)));
        }
        if self.rechecks.has_room(job.data_len()) {
            self.rechecks.waiting.remove(&rel);
            self.mark_working(&rel);
            self.rechecks.batch.push(job);
        } else {
            self.set_state(&rel, State::Unverified);
            self.rechecks.waiting.insert(rel);
        }
    }

    /// Starts the next task, if none runs.
    pub(crate) fn process_rechecks(&mut self, now: Instant) {
        if self.rechecks.running.is_empty() {
            let turn: Vec<_> = self.rechecks.waiting.iter().take(BATCH_MAX).cloned().collect();
            for rel in turn {
                if self.is_unverified(&rel) {
                    self.probe_now(&rel, now);
                } else {
                    self.rechecks.waiting.remove(&rel);
                }
            }
            self.run_rechecks();
        }
    }

    fn is_unverified(&self, rel: &Path) -> bool {
        matches!(self.state(rel), Some(State::Unverified))
    }

    fn run_rechecks(&mut self) {
        if self.rechecks.batch.is_empty() {
            return;
        }
        let batch = std::mem::take(&mut self.rechecks.batch);
        let rels: Vec<_> = batch.iter().map(|job| job.candidate.input.rel.clone()).collect();
        self.rechecks.running = rels.iter().cloned().collect();
        let (context, pace, settings_hash) =
            (self.context.clone(), Arc::clone(&self.pace), self.settings_hash);
        let task =
            self.task(rels, move || drop_jobs::recheck(&context, &pace, &batch, settings_hash));
        self.queue.run_aside(task);
    }

    /// Notes that the task is done with a drop.
    pub(crate) fn end_recheck(&mut self, rel: &Path) {
        self.rechecks.running.remove(rel);
    }
}
