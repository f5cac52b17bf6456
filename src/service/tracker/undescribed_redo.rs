//! Data files that nothing describes any more, but whose layout `npyd redo` gives: their manifest
//! was removed, or a template left the configuration, after their array was made.

use std::path::Path;

use crate::decide::reason::Reason;
use crate::decide::request_kind::RequestKind;
use crate::decide::request_problem::RequestProblem;
use crate::describe::Correction;
use crate::finalize::complete_keys;
use crate::fs;
use crate::ledger::Request;
use crate::probe::ProbeResult;
use crate::probe::candidate::Candidate;
use crate::probe::corrections::{probe_as_declared, probe_declared};
use crate::service::tracker::Tracker;

impl Tracker {
    /// Returns the result of a probe; if nothing describes the data file, that with the layout that
    /// a request gives, or that an earlier request declared about this very file.
    pub(super) fn described_by_redo(
        &mut self,
        rel: &Path,
        result: fs::Result<ProbeResult>,
    ) -> fs::Result<ProbeResult> {
        let is_undescribed =
            matches!(&result, Ok(ProbeResult::Ignored(Reason::Undescribed { .. })));
        if !is_undescribed || self.is_gone(rel) {
            return result;
        }
        let is_redo = |request: &&Request| request.kind == RequestKind::Redo;
        let candidate = match self.requests.get(rel).filter(is_redo).cloned() {
            Some(request) => match self.declared_by(rel, &request)? {
                Ok((candidate, options)) => {
                    self.requests.insert(rel.to_path_buf(), Request { options, ..request });
                    Some(candidate)
                }
                Err(why) => {
                    self.requests.remove(rel);
                    if !self.is_carried_out(&request) {
                        self.context.refuse(&request, why);
                    }
                    None
                }
            },
            None => self.declared_before(rel)?.map(|(candidate, _)| candidate),
        };
        candidate.map_or(result, |candidate| Ok(ProbeResult::Candidate(Box::new(candidate))))
    }

    /// Returns the data file with the layout that a request gives, and the completed options of the
    /// request; the inner error says why the request can't be carried out.
    fn declared_by(
        &self,
        rel: &Path,
        request: &Request,
    ) -> fs::Result<Result<(Candidate, String), Reason>> {
        let root = self.root()?;
        let Some(stat) = root.stat(rel)? else {
            return Ok(Err(Reason::Request(RequestProblem::FileGone)));
        };
        let keys = match Correction::parse(&request.options) {
            Ok(given) if given.array.is_some() => Ok(given),
            _ => {
                let before = self.declared_before(rel)?.map(|(_, keys)| keys);
                let job = self.array_of(rel, request);
                job.and_then(|(job, _)| complete_keys(&job, before, &stat).map_err(Reason::Request))
            }
        };
        let keys = match keys {
            Ok(keys) => keys,
            Err(why) => return Ok(Err(why)),
        };
        Ok(probe_declared((&self.drop_dir, &root), rel, &keys)?.and_then(|candidate| {
            candidate.check_fit(&keys, false)?;
            Ok((candidate, keys.to_json()))
        }))
    }

    /// Returns the data file with the layout that an earlier request declared about it.
    fn declared_before(&self, rel: &Path) -> fs::Result<Option<(Candidate, Correction)>> {
        let source = self.drop_dir.path.join(rel);
        let declared = match self.context.ledger().declared(&source) {
            Ok(declared) => declared,
            Err(error) => {
                self.context.report_ledger(&error);
                None
            }
        };
        match declared {
            Some(declared) => probe_as_declared((&self.drop_dir, &self.root()?), rel, &declared),
            None => Ok(None),
        }
    }
}
