//! Redo requests: each scan reads them from the ledger; the probe of a source carries them out.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::decide::identity::LedgerKey;
use crate::decide::reason::Reason;
use crate::describe::{Correction, SizeFit};
use crate::events::receipt::SourceFate;
use crate::finalize::ArrayJob;
use crate::fs;
use crate::ledger::Request;
use crate::probe::ProbeResult;
use crate::probe::candidate::Candidate;
use crate::service::tracker::Tracker;

impl Tracker {
    /// Reads the requests about this drop directory, and enqueues their sources.
    pub(crate) fn read_requests(&mut self, now: Instant) {
        let requests = match self.context.ledger.requests(&self.drop_dir.path) {
            Ok(requests) => requests,
            Err(error) => return self.context.report(error),
        };
        self.requests.clear();
        for mut request in requests {
            let Some(rel) = self.rel_of(&request) else {
                self.context
                    .refuse(&request, "it is not in the drop directory, or is ignored there");
                continue;
            };
            self.recall_described(&rel);
            if let Some(before) = self.requests.remove(&rel)
                && Correction::parse(&request.options).is_ok_and(|it| it.keys().is_empty())
            {
                request.options = before.options;
            }
            self.requests.insert(rel.clone(), request);
            // It is probed after all files that may describe it.
            self.enqueue(rel, now + Duration::from_nanos(1));
        }
    }

    /// Returns the path of the source below the drop directory, or `None` if it is not a path of a
    /// drop there. The check is strict because anyone who may write to the ledger can write a path.
    fn rel_of(&self, request: &Request) -> Option<PathBuf> {
        let rel = request.source.strip_prefix(&self.drop_dir.path).ok()?;
        let is_below = rel.components().all(|part| matches!(part, Component::Normal(_)));
        let is_drop = is_below && rel.file_name().is_some() && !self.is_own(rel);
        (is_drop && !self.drop_dir.ignore.ignores_path(rel)).then(|| rel.to_path_buf())
    }

    /// Adds the description with which a source was settled to the index, because a scan does not
    /// read it again.
    fn recall_described(&mut self, rel: &Path) {
        let known = self.latest(rel).and_then(|entry| LedgerKey::parse(&entry.fingerprint));
        if let Some((name, _)) = known.and_then(|known| known.identity.sidecar) {
            for dir in rel.ancestors().skip(1) {
                self.index.add(rel, &dir.join(&name));
            }
        }
    }

    /// Handles the request about a path for which the probe found no data file. Returns whether it
    /// was dispatched to a worker, or is in the backlog.
    pub(crate) fn redo_without_source(
        &mut self,
        rel: &Path,
        result: &fs::Result<ProbeResult>,
    ) -> bool {
        if !self.requests.contains_key(rel) {
            return false;
        }
        let unfounded = match result {
            Ok(ProbeResult::Missing) => None,
            Err(error) if error.is_missing() => None,
            Ok(ProbeResult::Ignored(_) | ProbeResult::AwaitingData { .. }) if self.is_gone(rel) => {
                None
            }
            Ok(ProbeResult::Ignored(why) | ProbeResult::AwaitingData { why, .. }) => Some(why),
            Ok(_) | Err(_) => return false, // the request waits until the drop is evaluated
        };
        let Some(request) = self.requests.remove(rel) else { return false };
        let array = match unfounded {
            Some(why) => Err(why.to_string()),
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

    /// Returns whether the source became the array or was removed or archived, so that a file of
    /// its name is another file.
    fn is_gone(&self, rel: &Path) -> bool {
        let fate = self.latest(rel).and_then(|entry| entry.source_fate());
        fate.is_some_and(SourceFate::ends_drop)
    }

    /// Returns the job for the array of a source that is gone, and the fingerprint of that source.
    fn array_of(&self, rel: &Path, request: &Request) -> Result<(ArrayJob, String), String> {
        let correction = Correction::parse(&request.options)?;
        let entry = self.latest(rel).ok_or("the ledger does not know it")?;
        let array = match entry.output {
            Some(ref array) if entry.is_settled() => array.clone(),
            _ => return Err("its source is gone, and no array was made of it".to_owned()),
        };
        let job = ArrayJob {
            drop_dir: Arc::clone(&self.drop_dir),
            source: request.source.clone(),
            array,
            correction,
            source_fate: entry.source_fate(),
            request: format!("{} {}", request.at, request.id),
        };
        Ok((job, entry.fingerprint))
    }

    /// Accepts the request about a drop, if there is one: npyd then processes the drop as if it had
    /// never seen it.
    pub(crate) fn accept_redo(&mut self, candidate: &Candidate) {
        let Some(request) = self.requests.remove(&candidate.rel) else { return };
        let accepted = Correction::parse(&request.options).and_then(|correction| {
            if correction.in_place {
                return Err("--in-place is for an array whose source is gone: leave it out".into());
            }
            if correction.keys().is_empty() {
                return Ok(None);
            }
            let correction = Correction { of: candidate.description_key(), ..correction };
            self.check_fit(candidate, &correction)?;
            Ok(Some(correction.to_json()))
        });
        match accepted {
            Ok(declared) => {
                let accepted = self.context.ledger.accept_request(&request, declared.as_deref());
                if let Err(error) = accepted {
                    self.context.report(error);
                }
            }
            Err(why) => drop(self.context.refuse(&request, why)),
        }
    }

    /// Checks that the description, with the keys of the correction, fits the file.
    fn check_fit(&self, candidate: &Candidate, correction: &Correction) -> Result<(), String> {
        let dump = candidate.dump.clone().map_err(|reason| reason.to_string())?;
        let dump = correction.apply(dump)?;
        let size = candidate.logical_size(&dump).0;
        match dump.fit(size, self.drop_dir.allow_trailing) {
            SizeFit::Whole { .. } => dump.header(size).map(drop),
            misfit => Err(misfit.to_string()),
        }
    }

    /// Applies the keys that `npyd redo` declared, as long as the description is the one they
    /// correct. Deletes them from the ledger once it is another.
    pub(crate) fn apply_declared(&self, candidate: &mut Candidate) {
        let source = self.drop_dir.path.join(&candidate.rel);
        let ledger = &self.context.ledger;
        let correction = match ledger.declared(&source) {
            Ok(Some(text)) => Correction::parse(&text),
            Ok(None) => return,
            Err(error) => return self.context.report(error),
        };
        match correction {
            Ok(correction) if correction.of == candidate.description_key() => {
                let correct = |dump| correction.apply(dump).map_err(Reason::Description);
                candidate.dump = candidate.dump.clone().and_then(correct);
            }
            _ => {
                if let Err(error) = ledger.forget_declared(&source) {
                    self.context.report(error);
                }
            }
        }
    }
}
