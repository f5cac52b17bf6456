//! The gate: derives one [`Action`] from the result of a probe. The gate dispatches nothing;
//! `apply` carries the action out.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::decide::quiescence::Quiescence;
use crate::decide::reason::Reason;
use crate::decide::wait::Wait;
use crate::decide::work_error::DataLoss;
use crate::events::receipt_event::ReceiptEvent;
use crate::finalize::Job;
use crate::fs::{self, FsError};
use crate::ledger::KnownDrop;
use crate::probe::candidate::{Candidate, Decision};
use crate::probe::input::Input;
use crate::probe::{ProbeResult, Residue, may_describe};
use crate::service::tracker::entry::Entry;
use crate::service::tracker::recall::{awaits_data, is_settled};
use crate::service::tracker::{FAULT_MIN, Tracker};
use crate::service::work::failure::Failure;
use crate::service::work::outcome::PROBE_DELAY_MIN;

/// What the tracker does with a probed path.
pub(super) enum Action {
    /// Do nothing: the drop is settled or missing, or its file belongs to the drop of another path.
    Forget,
    /// Nothing: it is no drop. A directory is scanned.
    Ignore(Reason),
    /// Track these data files in its place: it describes several arrays.
    Split(Vec<PathBuf>),
    /// Probe it again once it is back from a worker or from a pause.
    Enqueue,
    /// Probe it again, with what the ledger recalled about its description.
    Probe,
    /// Finish what a crash left of it.
    Recover(Box<Residue>),
    /// Finalize it.
    Dispatch(Box<Job>),
    /// Probe it again later.
    Wait(Wait),
    /// Reject the drop. `event` says whether its data may be lost.
    Reject { candidate: Box<Candidate>, event: ReceiptEvent, reason: Reason },
    /// Try again after a pause.
    Fail(Failure),
}

impl Tracker {
    /// Decides what to do with a path that was probed. Returns the path to do it with, which for a
    /// description is that of its data file.
    pub(super) fn action(
        &mut self,
        rel: &Path,
        seen: fs::Result<ProbeResult>,
        now: Instant,
    ) -> (PathBuf, Action) {
        let action = match seen {
            Ok(ProbeResult::Missing) => Action::Forget,
            Ok(ProbeResult::Ignored(why)) => Action::Ignore(why),
            Ok(ProbeResult::AwaitingData { path, data, parts, why }) => {
                self.await_data(rel, &path, (&data, &parts), why)
            }
            Ok(ProbeResult::Multiple { sidecar, data }) => {
                for data in &data {
                    self.index.add(data, &sidecar);
                }
                Action::Split(data)
            }
            // Of what is left of a drop nothing is removed that something else describes.
            Ok(ProbeResult::Residue(_)) if self.index.look_for_all() => Action::Probe,
            Ok(ProbeResult::Residue(residue)) => {
                match awaits_data(self.context.ledger(), &self.drop_dir, &residue) {
                    Ok(false) => Action::Recover(residue),
                    Ok(true) => Action::Wait(Wait::on_external(residue.why)),
                    Err(error) => Action::Fail(error.into()),
                }
            }
            // It is one of several parts; the probe of their sidecar takes all of them.
            Ok(ProbeResult::Candidate(candidate))
                if candidate.input.description.is_none()
                    && self.has_template(rel)
                    && self.is_one_of_several(rel) =>
            {
                Action::Forget
            }
            // One of the descriptions that npyd has no room for may describe it.
            Ok(ProbeResult::Candidate(candidate))
                if candidate.input.description.is_none()
                    && self.index.is_incomplete()
                    && !self.requests.contains_key(rel) =>
            {
                self.report_many_descriptions();
                Action::Forget
            }
            Ok(ProbeResult::Candidate(candidate)) => return self.evaluate(rel, *candidate, now),
            Err(error) if error.is_missing() => Action::Forget,
            // The lease of a worker, or of another process that probes it, is brief.
            Err(error) if error.is_leased() => {
                let since = self.entries.get(rel).map_or(now, |entry| entry.since);
                let is_brief = now.saturating_duration_since(since) < FAULT_MIN;
                let ready_in = is_brief.then_some(PROBE_DELAY_MIN);
                Action::Wait(Wait { why: Reason::Leased, ready_in })
            }
            Err(error) if let Some(data) = self.failed_data(rel, &error) => {
                if self.entries.contains_key(&data) {
                    Action::Forget
                } else {
                    self.forget(rel);
                    return (data, Action::Enqueue);
                }
            }
            Err(error) => Action::Fail(error.into()),
        };
        (rel.to_path_buf(), action)
    }

    /// Waits for the data files of a description, or for some of them.
    fn await_data(
        &mut self,
        rel: &Path,
        description: &Path,
        (data, parts): (&[PathBuf], &[PathBuf]),
        why: Reason,
    ) -> Action {
        self.index.add_parts(description, parts);
        let paths = data.iter().chain(parts);
        let are_watched = self.drop_dir.recursive || paths.clone().all(|it| is_in_root(it));
        if let Some(entry) = self.entries.get_mut(rel) {
            entry.awaits_event = are_watched && paths.count() > 0 && self.looks.sees_events;
        }
        if let [data] = data {
            self.index.add(data, description);
        }
        Action::Wait(Wait::on_external(self.after_earlier_data(why, data, parts)))
    }

    /// Returns the data file because of which the probe of a description failed: the failure is
    /// that of the data file, and is reported once. A file that may be another description fails
    /// with this one, because it has no probe of its own that would report it.
    fn failed_data(&self, rel: &Path, error: &FsError) -> Option<PathBuf> {
        let describes = |path: &Path| {
            let name = path.file_name().and_then(OsStr::to_str);
            name.is_some_and(may_describe)
        };
        let data = error.path().strip_prefix(&self.drop_dir.path).ok()?;
        let is_data = data.file_name().is_some() && !describes(data) && error.dir_fault().is_none();
        (is_data && describes(rel)).then(|| data.to_path_buf())
    }

    /// Decides about a drop that was probed under the path `seen`.
    fn evaluate(&mut self, seen: &Path, candidate: Candidate, now: Instant) -> (PathBuf, Action) {
        let candidate = self.despite_links(seen, candidate);
        let rel = candidate.input.rel.clone();
        self.remember_description(&candidate);
        if !self.merge_entry(seen, &rel, now) {
            return (rel, Action::Enqueue);
        }
        if let Some(entry) = self.entries.get_mut(&rel) {
            entry.awaits_event = false;
            entry.bytes = Some(candidate.input.files.iter().map(|it| it.stat.size).sum());
        }
        // Checked before the ledger is read: once it is not in work, its receipt is there.
        let action = if self.context.in_work.contains(&self.drop_dir.path.join(&rel)) {
            Action::Wait(Wait { why: Reason::InWork, ready_in: Some(PROBE_DELAY_MIN) })
        } else {
            self.gate(candidate, now).unwrap_or_else(Action::Fail)
        };
        (rel, action)
    }

    /// Adds the description of a drop to the index, under the paths of its data.
    fn remember_description(&mut self, candidate: &Candidate) {
        let Input { rel, files, description, .. } = &candidate.input;
        let whole = description.as_ref().map_or(rel, |sidecar| &sidecar.rel);
        self.index.add(rel, whole);
        if files.len() > 1 {
            let parts: Vec<_> = files.iter().map(|it| it.rel.clone()).collect();
            self.index.add_parts(whole, &parts);
        }
        let Some(sidecar) = description else { return };
        if !sidecar.is_shared && sidecar.rel != candidate.input.rel {
            // A probe of the sidecar would only lead to this drop again.
            let rel = sidecar.rel.clone();
            self.forget(&rel);
        }
    }

    /// Merges the entry of a description into the entry of its data file. Returns `false` if the
    /// data file's entry is in the backlog, suspended or with a worker, so that the caller must not
    /// evaluate it now.
    fn merge_entry(&mut self, from: &Path, to: &Path, now: Instant) -> bool {
        if from == to {
            return true;
        }
        let listed = self.entries.get(from).and_then(Entry::newly_listed);
        self.forget(from);
        if let Some(entry) = self.entries.get(to) {
            return !entry.is_held();
        }
        self.track(to, now);
        if let (Some(since), Some(entry)) = (listed, self.entries.get_mut(to)) {
            entry.is_listed = true; // the scan leaves its data out
            entry.since = since;
        }
        true
    }

    /// Decides what to do with a drop.
    ///
    /// # Errors
    ///
    /// The ledger or a file can't be read; it may be possible later.
    fn gate(&mut self, mut candidate: Candidate, now: Instant) -> Result<Action, Failure> {
        let snapshot = candidate.snapshot();
        self.accept_redo(&candidate);
        let pending = self.pending_request(&candidate);
        let is_alone = pending.is_some() && candidate.is_declared_alone();
        let ledger = Arc::clone(self.context.ledger());
        let source = self.drop_dir.path.join(&candidate.input.rel);
        let KnownDrop { latest, declared, earlier, is_requested, loss } =
            ledger.known_drop(&source, snapshot.ino(), snapshot.contents())?;
        let may_have_note = self.drop_dir.rejects.is_some()
            && latest.as_ref().is_some_and(|it| it.is_failure() || it.is_request());
        let known = latest.filter(is_settled);
        if let Some(known) = &known {
            if pending.is_none() && self.is_as_known(known, &snapshot, &candidate) {
                return Ok(Action::Forget);
            }
            if self.recall_description(known, &candidate) {
                return Ok(Action::Probe);
            }
        }
        let is_recheck = pending.is_none() && Self::is_recheck(known.as_ref(), &candidate);
        if !is_alone {
            self.apply_declared(&mut candidate, declared);
        }
        if let Some(loss) = loss {
            let reason = Reason::DataLoss(DataLoss::Recorded(loss));
            return Ok(self.reject_lost(candidate, pending.as_deref(), reason));
        }
        let entry = self.entries.get_mut(&candidate.input.rel);
        let Some(entry) = entry else { return Ok(Action::Forget) };
        let age = if self.trusts_clock { candidate.age(SystemTime::now()) } else { None };
        let first = || Quiescence::new(snapshot.clone(), now, age);
        let unchanged = entry.quiescence.get_or_insert_with(first).observe(snapshot, now, age);
        let mismatch = entry.mismatch_of_unchanged().cloned();
        let decided = self.decide(&mut candidate, pending, (unchanged, earlier.remakes))?;
        if !matches!(decided.0, Decision::Wait(_)) && self.has_unlisted_description(&candidate)? {
            return Ok(Action::Probe);
        }
        Ok(match decided {
            (Decision::Finalize(complete), pending) => {
                let redo = match &pending {
                    Some(at) => self.accept_and_ask(&candidate, (at, &source))?,
                    None => is_requested,
                };
                let job = Job::new(&self.drop_dir, candidate, complete, unchanged)?;
                if pending.is_none()
                    && let Some(wait) = mismatch_wait(mismatch, &job)
                {
                    return Ok(Action::Wait(wait));
                }
                Action::Dispatch(Box::new(Job {
                    earlier: earlier.identities,
                    made_by: earlier.route,
                    made_at: earlier.made_at,
                    last_array: earlier.output,
                    may_have_note,
                    is_recheck,
                    redo,
                    intents: Some(Arc::clone(&self.context.intents)),
                    ..job
                }))
            }
            (Decision::Wait(wait), _) => Action::Wait(wait),
            (Decision::Reject(reason), Some(at)) => {
                self.refuse_request(&at, reason);
                Action::Probe
            }
            (Decision::Reject(reason), None) => reject(candidate, ReceiptEvent::Rejected, reason),
        })
    }

    /// Accepts a pending request about a drop. Returns whether it is one to make the array again.
    fn accept_and_ask(
        &mut self,
        candidate: &Candidate,
        (at, source): (&Path, &Path),
    ) -> Result<bool, Failure> {
        self.accept_pending(candidate, at)?;
        Ok(self.context.ledger().is_requested(source).unwrap_or(false))
    }

    /// Returns whether a description came that the probe did not look for. Then the next one does.
    fn has_unlisted_description(&mut self, candidate: &Candidate) -> fs::Result<bool> {
        let (root, files) = (self.root()?, &candidate.input.files);
        Ok(self.index.has_unlisted_description((&self.drop_dir, &root), files)?
            && self.index.look_for_all())
    }

    /// Rejects a drop whose data may be lost, without further checks, and refuses the request about
    /// it.
    fn reject_lost(&mut self, candidate: Candidate, pending: Option<&Path>, why: Reason) -> Action {
        if let Some(at) = pending {
            self.refuse_request(at, why.clone());
        }
        reject(candidate, ReceiptEvent::Lost, why)
    }
}

/// Returns the wait of a drop that was read in vain, and did not change since: its bytes are read
/// again only once that tells more.
fn mismatch_wait(why: Option<Reason>, job: &Job) -> Option<Wait> {
    job.dump.digest.as_ref()?;
    Some(Wait { why: why?, ready_in: Some(job.mismatch_final_in()?) })
}

/// Returns whether a path is that of a file in the drop directory itself.
fn is_in_root(rel: &Path) -> bool {
    rel.components().count() == 1
}

fn reject(candidate: Candidate, event: ReceiptEvent, reason: Reason) -> Action {
    Action::Reject { candidate: Box::new(candidate), event, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::reason_kind::ReasonKind;
    use crate::service::tracker::entry::State;
    use crate::service::tracker::timeline::Timeline;

    /// A probe does not look for descriptions of a kind that the scan has not listed. Before npyd
    /// takes a drop, it does.
    #[test]
    fn a_second_description_that_came_during_the_scan() {
        const MANIFEST: &[u8] = b"dtype = '|u1'\nshape = [4]\n";
        const SECOND: &[u8] = b"{\"dtype\": \"|u1\", \"shape\": [4]}";
        for (data, expected) in [(&b"123"[..], ReasonKind::Size), (b"1234", ReasonKind::Conflict)] {
            let mut time = Timeline::of(&[]);
            time.scan_after(0);
            time.write("a.raw", data);
            time.write("a.raw.toml", MANIFEST);
            time.tracker.index.note_listed(Path::new("a.raw.toml"));
            time.tracker.index.note_whole_dir(Path::new(""));
            time.write("a.raw.json", SECOND);
            time.tracker.enqueue("a.raw".into(), time.start);
            time.tracker.process_due(time.start);
            let reason = time.tracker.state(Path::new("a.raw")).and_then(State::reason);
            assert_eq!(reason.map(Reason::kind), Some(expected));

            // The scan of all does.
            time.scan_after(1);
            let reason = time.tracker.state(Path::new("a.raw")).and_then(State::reason);
            assert_eq!(reason.map(Reason::kind), Some(ReasonKind::Conflict));
        }
    }
}
