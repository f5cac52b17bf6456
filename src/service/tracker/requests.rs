//! Requests: each scan reads them from the ledger, and the probe of a source carries them out. npyd
//! accepts a request to make an array again at once, and one to take a file when the file is quiet.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::decide::fingerprint::Fingerprint;
use crate::decide::reason::Reason;
use crate::decide::request_kind::RequestKind;
use crate::decide::request_problem::RequestProblem;
use crate::decide::request_target::RequestTarget;
use crate::decide::source_identity::SourceIdentity;
use crate::describe::Correction;
use crate::events::source_fate::SourceFate;
use crate::finalize::{ArrayJob, NpydUsers, RejectedDrop};
use crate::fs;
use crate::ledger::{Entry, LedgerError, Request};
use crate::probe::ProbeResult;
use crate::probe::candidate::{Candidate, Decision};
use crate::probe::input::Input;
use crate::service::tracker::Tracker;
use crate::service::work::failure::Failure;

impl Tracker {
    /// Reads the requests about this drop directory, and enqueues their sources.
    pub(crate) fn read_requests(&mut self, now: Instant) {
        let requests = match self.context.ledger().requests(&self.drop_dir.path) {
            Ok(requests) => requests,
            Err(error) => return self.context.report_ledger(&error),
        };
        self.requests.clear();
        self.deferred_requests = 0;
        let mut deferred = HashSet::new();
        for request in requests {
            let Some(rel) = self.rel_of(&request) else {
                self.context.refuse(&request, Reason::Request(RequestProblem::NotInDropDir));
                continue;
            };
            self.recall_described(&rel);
            // Requests about several arrays of one source are carried out one after the other.
            let before = self.requests.get(&rel);
            if deferred.contains(&rel)
                || before.is_some_and(|before| before.target.array != request.target.array)
            {
                self.deferred_requests += 1;
                deferred.insert(rel);
                continue;
            }
            let request = match self.requests.remove(&rel) {
                Some(before) => match before.why_not_about(&request.target) {
                    Some(why) => {
                        self.context.refuse(&before, Reason::Request(why));
                        request
                    }
                    None => merged(&before, request),
                },
                None => request,
            };
            self.requests.insert(rel.clone(), request);
            // It is probed after all files that may describe it.
            self.enqueue(rel, now + Duration::from_nanos(1));
        }
    }

    /// Returns the path of the source below the drop directory, or `None` if no drop can have that
    /// path. The check is strict because anyone who may write to the ledger can write a path.
    fn rel_of(&self, request: &Request) -> Option<PathBuf> {
        let rel = request.source.strip_prefix(&self.drop_dir.path).ok()?;
        let is_below = rel.components().all(|part| matches!(part, Component::Normal(_)));
        let is_drop = is_below && rel.file_name().is_some() && !self.drop_dir.is_managed(rel);
        if !is_drop || self.drop_dir.ignore.ignores_path(rel) {
            return None;
        }
        // One of several files is probed from the sidecar that describes all of them.
        let standing = match request.kind {
            RequestKind::Take => self.standing_paths(rel).into_iter().next(),
            RequestKind::Redo => None,
        };
        Some(standing.unwrap_or_else(|| rel.to_path_buf()))
    }

    /// Adds the description with which a source was settled to the index, because a scan does not
    /// read it again.
    fn recall_described(&mut self, rel: &Path) {
        let known = self.latest(rel).and_then(|entry| Fingerprint::parse(&entry.fingerprint));
        if let Some((name, _)) = known.and_then(|known| known.identity.sidecar) {
            for dir in rel.ancestors().skip(1) {
                self.index.add(rel, &dir.join(&name));
            }
        }
    }

    /// Restores a rejected drop so that a request about it can be carried out, unless the request
    /// is about another one. Returns whether it was dispatched, or is in the backlog.
    fn restore_for(&mut self, rel: &Path, request: Request, rejected: RejectedDrop) -> bool {
        if let Some(why) = request.why_not_about(&target_of(rejected.identity.clone())) {
            self.refuse_request(rel, Reason::Request(why));
            return false;
        }
        self.restore(rel, request, rejected);
        true
    }

    /// Returns whether a request to make an array again corrects the description of a drop of which
    /// none was made yet.
    fn corrects_rejected(&self, request: &Request) -> bool {
        request.target.array.is_empty()
            && parse(&request.options).is_ok_and(|keys| !keys.keys().is_empty())
            && self.named_array(request).is_none()
    }

    /// Handles the request about a path for which the probe found no data file. Returns whether it
    /// was dispatched to a worker, or is in the backlog.
    pub(crate) fn redo_without_source(
        &mut self,
        rel: &Path,
        result: &fs::Result<ProbeResult>,
    ) -> bool {
        match self.requests.get(rel) {
            None => return false,
            Some(request) if request.kind == RequestKind::Take => {
                if is_missing(result)
                    && let Some(rejected) = self.rejected(rel)
                {
                    let request = request.clone();
                    return self.restore_for(rel, request, rejected);
                }
                if let Some(why) = why_not_taken(result)
                    && let Some(request) = self.requests.remove(rel)
                {
                    self.context.refuse(&request, why);
                }
                return false;
            }
            Some(request) => {
                if is_missing(result)
                    && self.corrects_rejected(request)
                    && let Some(rejected) = self.rejected(rel)
                {
                    let request = request.clone();
                    return self.restore_for(rel, request, rejected);
                }
            }
        }
        let unfounded = match result {
            missing if is_missing(missing) => None,
            Ok(ProbeResult::Ignored(_) | ProbeResult::AwaitingData { .. }) if self.is_gone(rel) => {
                None
            }
            Ok(ProbeResult::Ignored(why) | ProbeResult::AwaitingData { why, .. }) => Some(why),
            Ok(_) | Err(_) => return false, // the request waits until the drop is evaluated
        };
        let Some(request) = self.requests.remove(rel) else { return false };
        if self.is_carried_out(&request) {
            return false;
        }
        let array = match unfounded {
            Some(why) => Err(why.clone()),
            None => self.array_of(rel, &request),
        };
        match array {
            Ok((job, fingerprint)) => {
                self.redo_array(rel, request, job, &fingerprint);
                true
            }
            Err(why) => {
                self.context.refuse(&request, why);
                false
            }
        }
    }

    /// Returns whether a request was read again while a worker carried it out.
    pub(super) fn is_carried_out(&self, request: &Request) -> bool {
        matches!(self.context.ledger().has_request(request), Ok(false))
    }

    /// Returns the rejected drop of this path, if npyd moved it to the directory for rejects.
    fn rejected(&self, rel: &Path) -> Option<RejectedDrop> {
        self.drop_dir.rejects.as_ref()?;
        let entry = self.latest(rel).filter(|entry| entry.is_rejected() && !entry.is_lost())?;
        Some(RejectedDrop {
            identity: entry.identity(),
            parts: entry.parts(),
            source: entry.source,
        })
    }

    /// Returns whether the source became the array or was removed or archived, so that a file of
    /// its name is another file.
    pub(super) fn is_gone(&self, rel: &Path) -> bool {
        let fate = self.latest(rel).and_then(|entry| entry.source_fate());
        fate.is_some_and(SourceFate::ends_drop)
    }

    /// Returns the newest entry with the array that a request names, or with the newest array of
    /// its source if it names none.
    fn named_array(&self, request: &Request) -> Option<Entry> {
        let is_it = |array: &Path| request.target.may_be_array(array);
        let found = self.context.ledger().latest_with_array(&request.source, is_it);
        found.unwrap_or_else(|error| {
            self.context.report_ledger(&error);
            None
        })
    }

    /// Returns why the array that a request names is not the one that npyd makes of a drop.
    fn why_not_of_array(&self, request: &Request, candidate: &Candidate) -> Option<RequestProblem> {
        if request.target.array.is_empty() {
            return None;
        }
        let unnamed = Request { target: RequestTarget::default(), ..request.clone() };
        let newest = self.named_array(&unnamed);
        let made = newest.as_ref().and_then(|it| Some((it.output.as_deref()?, it.identity()?)));
        candidate.why_not_of_array(&self.drop_dir, &request.target, made)
    }

    /// Returns the job for the array of a source that is gone, and the fingerprint of that source.
    pub(super) fn array_of(
        &self,
        rel: &Path,
        request: &Request,
    ) -> Result<(ArrayJob, String), Reason> {
        let refused = Reason::Request;
        let correction = parse(&request.options)?;
        let entry = if request.target.array.is_empty() {
            self.latest(rel)
        } else {
            self.named_array(request)
        };
        let mut entry = entry.ok_or(refused(RequestProblem::Unknown))?;
        if entry.is_rejected() {
            // A later file of that name was rejected, and is gone: the array is of an earlier one.
            let made = self.context.ledger().latest_array(&entry.source);
            entry = made.ok().flatten().unwrap_or(entry);
        }
        if let Some(why) = request.why_not_about(&target_of(entry.identity())) {
            return Err(refused(why));
        }
        let receipt = self.context.ledger().array_receipt(&entry).map_err(|error| {
            self.context.report_ledger(&error);
            refused(RequestProblem::Unknown)
        })?;
        let array = match entry.output {
            Some(ref array) if entry.is_settled() => array.clone(),
            _ => return Err(refused(RequestProblem::NoArray)),
        };
        let job = ArrayJob {
            drop_dir: Arc::clone(&self.drop_dir),
            source: request.source.clone(),
            array,
            receipt,
            correction,
            source_fate: entry.source_fate(),
            archive: entry.archive(),
            request: format!("{} {}", request.at, request.id),
            users: NpydUsers::of(Some(&self.context.intents)),
        };
        Ok((job, entry.fingerprint))
    }

    /// Accepts the request to make the array of a drop again, if there is one: npyd then processes
    /// the drop as if it had never seen it. A request that alone describes the drop stays until the
    /// drop is dispatched.
    pub(crate) fn accept_redo(&mut self, candidate: &Candidate) {
        let is_redo = |request: &Request| request.kind == RequestKind::Redo;
        let has_redo = self.requests.get(&candidate.input.rel).is_some_and(is_redo);
        if !has_redo || candidate.is_declared_alone() {
            return;
        }
        let Some(request) = self.requests.remove(&candidate.input.rel) else { return };
        if self.is_carried_out(&request) {
            return;
        }
        if let Some(why) = request.why_not_about(&candidate.target()) {
            self.context.refuse(&request, Reason::Request(why));
            return;
        }
        if let Some(why) = self.why_not_of_array(&request, candidate) {
            self.context.refuse(&request, Reason::Request(why));
            return;
        }
        let accepted = parse(&request.options).and_then(|correction| {
            if correction.in_place {
                return Err(Reason::Request(RequestProblem::InPlaceWithSource));
            }
            if correction.as_described {
                // An empty correction is about no description, so that it is deleted.
                return Ok(Some(Correction::default().to_json()));
            }
            if correction.keys().is_empty() {
                return Ok(None);
            }
            let correction = candidate.completed(correction, self.declared(candidate));
            candidate.check_fit(&correction, self.drop_dir.allow_trailing)?;
            Ok(Some(correction.to_json()))
        });
        match accepted {
            Ok(declared) => {
                let accepted = self.store(&request, candidate, declared.as_deref());
                if let Err(error) = accepted {
                    self.context.report_ledger(&error);
                }
            }
            Err(why) => drop(self.context.refuse(&request, why)),
        }
    }

    /// Returns the path in the request that stays until the drop is dispatched, if there is one: to
    /// take the drop as it is, or to make the array again of data that the request alone describes.
    /// The path is that of a data file or of a file that describes it.
    pub(crate) fn pending_request(&mut self, candidate: &Candidate) -> Option<PathBuf> {
        let Candidate { input: Input { rel, files, description, .. }, overridden, .. } = candidate;
        let sidecars = description.iter().chain(overridden).filter(|sidecar| !sidecar.is_shared);
        let rels = sidecars.map(|sidecar| &sidecar.rel).chain(files.iter().map(|it| &it.rel));
        let is_alone = candidate.is_declared_alone();
        let is_pending = |rel: &&PathBuf| {
            let request = self.requests.get(*rel);
            request.is_some_and(|request| request.kind == RequestKind::Take || is_alone)
        };
        let at = [rel].into_iter().chain(rels).find(is_pending)?.clone();
        let request = self.requests.get(&at)?;
        if let Some(why) = request.why_not_about(&candidate.target()) {
            self.refuse_request(&at, Reason::Request(why));
            return None;
        }
        if let Some(why) = self.why_not_of_array(request, candidate) {
            self.refuse_request(&at, Reason::Request(why));
            return None;
        }
        let is_take = request.kind == RequestKind::Take;
        (!is_take || !self.is_finished(candidate, &at)).then_some(at)
    }

    /// Refuses the request to take a drop if all of its data are in an array already. Returns
    /// whether it did.
    fn is_finished(&mut self, candidate: &Candidate, at: &Path) -> bool {
        let identity = candidate.snapshot().identity();
        let entry = self.latest(&candidate.input.rel);
        let why = entry.and_then(|entry| entry.why_not_taken(&identity, self.settings_hash));
        why.map(|why| self.refuse_request(at, Reason::Request(why))).is_some()
    }

    /// Decides about a drop. Uses the request that is pending at this path if the drop needs that
    /// request, and then returns its path.
    pub(crate) fn decide(
        &mut self,
        candidate: &mut Candidate,
        pending: Option<PathBuf>,
        (unchanged, remakes): (Duration, u32),
    ) -> fs::Result<(Decision, Option<PathBuf>)> {
        let decision = candidate.decide(&self.drop_dir, unchanged, remakes)?;
        let Some(at) = pending else { return Ok((decision, None)) };
        let is_take = self.requests.get(&at).is_some_and(|it| it.kind == RequestKind::Take);
        if is_take
            && matches!(&decision, Decision::Finalize(complete) if !complete.evidence.is_partial())
        {
            self.accept_needless_take(candidate, &at);
            return Ok((decision, None));
        }
        self.apply_request(candidate, &at);
        Ok((candidate.decide(&self.drop_dir, unchanged, remakes)?, Some(at)))
    }

    /// Applies the options of a pending request to a drop, without accepting the request.
    fn apply_request(&mut self, candidate: &mut Candidate, at: &Path) {
        let Some(request) = self.requests.get(at) else { return };
        match parse(&request.options) {
            Ok(requested) => {
                let correction = candidate.completed(requested, self.declared(candidate));
                candidate.correct(&correction);
            }
            Err(why) => self.refuse_request(at, why),
        }
    }

    /// Accepts the pending request about a drop that is ready. Until then it stays in the ledger,
    /// because what is taken may still change, and because nothing else describes the drop.
    pub(crate) fn accept_pending(
        &mut self,
        candidate: &Candidate,
        at: &Path,
    ) -> Result<(), Failure> {
        let Some(request) = self.requests.get(at) else { return Ok(()) };
        let requested = parse(&request.options)?;
        let correction = candidate.completed(requested, self.declared(candidate));
        self.store(request, candidate, Some(&correction.to_json()))?;
        self.requests.remove(at);
        Ok(())
    }

    /// Accepts the request to take a drop that is complete without it: the drop becomes the array
    /// of its description, and nothing is declared about it.
    fn accept_needless_take(&mut self, candidate: &Candidate, at: &Path) {
        let Some(request) = self.requests.remove(at) else { return };
        if let Err(error) = self.store(&request, candidate, None) {
            self.context.report_ledger(&error);
        }
    }

    /// Stores that a request about a drop is accepted, with what it declares, and publishes that.
    fn store(
        &self,
        request: &Request,
        candidate: &Candidate,
        declared: Option<&str>,
    ) -> Result<(), LedgerError> {
        let path = self.drop_path(&candidate.input.rel);
        if !self.context.ledger().accept_request(request, &path.source, declared)? {
            return Ok(());
        }
        self.context.publish_accepted(&Request { source: path.source, ..request.clone() });
        Ok(())
    }

    /// Refuses a request.
    pub(crate) fn refuse_request(&mut self, at: &Path, why: Reason) {
        if let Some(request) = self.requests.remove(at) {
            self.context.refuse(&request, why);
        }
    }

    /// Applies the declaration that a request made about a drop, as long as the drop has the
    /// description that the declaration corrects. Deletes the declaration from the ledger once the
    /// drop has another description.
    pub(crate) fn apply_declared(&self, candidate: &mut Candidate, declared: Option<String>) {
        let is_of_this = declared.map(|declared| candidate.correct(&correction(&declared)));
        if is_of_this == Some(false) {
            let source = self.drop_dir.path.join(&candidate.input.rel);
            if let Err(error) = self.context.ledger().forget_declared(&source) {
                self.context.report_ledger(&error);
            }
        }
    }

    /// Returns what was declared about a drop. Logs an error, and returns `None` then.
    fn declared(&self, candidate: &Candidate) -> Option<Correction> {
        let source = self.drop_dir.path.join(&candidate.input.rel);
        let declared = self.context.ledger().declared(&source).unwrap_or_else(|error| {
            self.context.report_ledger(&error);
            None
        });
        declared.map(|declared| correction(&declared))
    }
}

/// Parses what was declared about a drop. What another version of npyd declared counts as being
/// about another description.
fn correction(declared: &str) -> Correction {
    Correction::parse(declared).unwrap_or_default()
}

/// Merges two requests about one source. The result has the row of the later request.
fn merged(before: &Request, later: Request) -> Request {
    let parsed = |request: &Request| Correction::parse(&request.options).ok();
    let Some((first, last)) = parsed(before).zip(parsed(&later)) else { return later };
    let both = first.followed_by(last);
    let kind = if both.take.is_some() { RequestKind::Take } else { RequestKind::Redo };
    Request { kind, options: both.to_json(), ..later }
}

/// Parses the options of a request.
fn parse(options: &str) -> Result<Correction, Reason> {
    Correction::parse(options).map_err(|error| Reason::Request(RequestProblem::Keys(error)))
}

/// Returns the target of a request about a drop that is known from the ledger alone.
fn target_of(drop: Option<SourceIdentity>) -> RequestTarget {
    let drop = drop.map(|it| it.to_string()).unwrap_or_default();
    RequestTarget { drop, ..RequestTarget::default() }
}

fn is_missing(result: &fs::Result<ProbeResult>) -> bool {
    match result {
        Ok(result) => matches!(result, ProbeResult::Missing),
        Err(error) => error.is_missing(),
    }
}

/// Returns why a file can't be taken that is not the data of one drop.
fn why_not_taken(result: &fs::Result<ProbeResult>) -> Option<Reason> {
    match result {
        missing if is_missing(missing) => Some(Reason::Request(RequestProblem::FileGone)),
        Ok(ProbeResult::Ignored(why) | ProbeResult::AwaitingData { why, .. }) => Some(why.clone()),
        Ok(ProbeResult::Multiple { .. }) => Some(Reason::Request(RequestProblem::SeveralArrays)),
        Ok(_) | Err(_) => None,
    }
}
