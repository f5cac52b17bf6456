//! Corrections: applies to a candidate what `npyd redo` and `npyd take` declared about it.

use std::path::Path;

use crate::config::DropDir;
use crate::decide::evidence::Evidence;
use crate::decide::reason::Reason;
use crate::decide::request_problem::RequestProblem;
use crate::decide::wait::Wait;
use crate::describe::{Correction, DeclaredBy, Division, Dump, Rows, SizeFit, Taken};
use crate::fs::{self, Dir};
use crate::probe::candidate::{Candidate, Complete, Decision};
use crate::probe::{DirView, ProbeResult};

/// Probes a data file that nothing describes any more, but whose layout a correction declares. The
/// inner error says why that is no drop.
///
/// # Errors
/// The file can't be opened or read.
pub fn probe_declared(
    (drop_dir, root): (&DropDir, &Dir),
    rel: &Path,
    correction: &Correction,
) -> fs::Result<Result<Candidate, Reason>> {
    let Some(declared) = correction.dump_alone() else {
        return Ok(Err(Reason::Request(RequestProblem::Undescribed)));
    };
    let view = DirView::of(drop_dir, root.clone());
    let declared = declared.map_err(|error| Reason::Request(RequestProblem::Keys(error)));
    Ok(match view.candidate(rel, None, |_, _| Ok(Some(declared)))? {
        ProbeResult::Candidate(candidate) => match &candidate.dump {
            Ok(_) => Ok(*candidate),
            Err(why) => Err(why.clone()),
        },
        ProbeResult::Ignored(why) => Err(why),
        _ => Err(Reason::Request(RequestProblem::FileGone)),
    })
}

/// Probes a data file that nothing describes any more as `npyd redo` declared it, in the text form
/// of a correction. Returns `None` if that was declared about another file or description.
///
/// # Errors
/// The file can't be opened or read.
pub fn probe_as_declared(
    place: (&DropDir, &Dir),
    rel: &Path,
    declared: &str,
) -> fs::Result<Option<(Candidate, Correction)>> {
    let Ok(declared) = Correction::parse(declared) else { return Ok(None) };
    let Some(Ok(_)) = declared.dump_alone() else { return Ok(None) };
    let found = probe_declared(place, rel, &declared)?.ok();
    let found = found.filter(|candidate| candidate.description_key() == declared.of);
    Ok(found.map(|candidate| (candidate, declared)))
}

impl Candidate {
    /// Applies a correction if it is about the description of this candidate. Returns whether it
    /// is.
    pub fn correct(&mut self, correction: &Correction) -> bool {
        let is_of_this = correction.of == self.description_key();
        if is_of_this {
            let correct = |dump| correction.apply(dump).map_err(Reason::Description);
            self.dump = self.dump.clone().and_then(correct);
            self.take = correction.take.filter(|_| correction.content == self.content_key());
        }
        is_of_this
    }

    /// Returns what is requested, as a correction of this description, with what was declared about
    /// it before.
    #[must_use]
    pub fn completed(&self, requested: Correction, before: Option<Correction>) -> Correction {
        let is_take = requested.take.is_some();
        let content = if is_take { self.content_key() } else { String::new() };
        let requested = Correction { of: self.description_key(), content, ..requested };
        match before {
            Some(before) if before.of == requested.of => before.followed_by(requested),
            _ => requested,
        }
    }

    /// Returns whether nothing but `npyd redo` describes it.
    #[must_use]
    pub fn is_declared_alone(&self) -> bool {
        self.dump.as_ref().is_ok_and(|dump| dump.kind == DeclaredBy::Redo)
    }

    /// Checks that the description, with the keys of the correction, fits the data.
    ///
    /// # Errors
    /// It does not; the reason says which option helps.
    pub fn check_fit(&self, correction: &Correction, allow_trailing: bool) -> Result<(), Reason> {
        let keys = |error| Reason::Request(RequestProblem::Keys(error));
        let dump = correction.apply(self.dump.clone()?).map_err(keys)?;
        let size = self.input.logical_size(&dump).0;
        let allow_trailing = allow_trailing && self.input.files_beyond(&dump).is_empty();
        match (dump.fit(size, allow_trailing), correction.take) {
            (SizeFit::Whole { .. }, _) => dump.header(size).map(drop).map_err(keys),
            (_, Some(rows)) if correction.content == self.content_key() => {
                let taken = self.taken(&dump, rows).map_err(|error| Reason::Io(error.into()))?;
                taken.map(drop).map_err(Reason::Request)
            }
            (SizeFit::TooLong { size, of }, _) if self.input.only_file().is_some() => {
                let trailing = dump.trailing.saturating_add(size - of);
                Err(Reason::Request(RequestProblem::TooLong { size, of, trailing }))
            }
            (fit @ (SizeFit::TooShort { .. } | SizeFit::PartialRecord { .. }), _) => {
                let has_keys = !correction.keys().is_empty();
                Err(Reason::Request(RequestProblem::TooShort { fit, has_keys }))
            }
            (misfit, _) => Err(self.naming_files(&dump, Reason::Size(misfit))),
        }
    }

    /// Returns a key that identifies the content of the data files. `npyd take` is about that.
    #[must_use]
    pub fn content_key(&self) -> String {
        self.snapshot().contents().collect::<Vec<_>>().join(" ")
    }

    /// Returns the rows to take from the written data; the inner error says why npyd can take no
    /// rows. Holes before the last written byte count as zeros, as for any reader.
    pub fn taken(&self, dump: &Dump, rows: Rows) -> fs::Result<Result<Taken, RequestProblem>> {
        if dump.division != Division::EqualShares {
            let unfit = self.input.unfit_file(dump, false);
            let incomplete = unfit.map(|(input, _)| input.name.clone());
            return Ok(Err(RequestProblem::CombinedFiles { incomplete }));
        }
        let mut ends = Vec::new();
        for input in &self.input.files {
            ends.push(input.file.written_end(0)?);
        }
        Ok(dump.taken(&ends, rows).map_err(RequestProblem::Keys))
    }

    /// Decides to take the rows that the data and the file that counts them both have.
    pub(crate) fn common_rows(&self, dump: &Dump) -> fs::Result<Decision> {
        Ok(match self.taken(dump, Rows::Common)? {
            Ok(Taken { header, remark }) => Decision::Finalize(Complete {
                header,
                evidence: Evidence::CommonRows,
                remark: Some(format!("the rows that its data and their count both have: {remark}")),
            }),
            Err(why) => Decision::Wait(Wait::on_external(Reason::Request(why))),
        })
    }

    /// Decides to take the rows, or why that is not possible.
    pub(crate) fn take_rows(&self, dump: &Dump, rows: Rows) -> fs::Result<Decision> {
        Ok(match self.taken(dump, rows)? {
            Ok(Taken { header, remark }) => Decision::Finalize(Complete {
                header,
                evidence: Evidence::Taken,
                remark: Some(format!("taken as it is: {remark}")),
            }),
            Err(why) => Decision::Reject(Reason::Request(why)),
        })
    }
}
