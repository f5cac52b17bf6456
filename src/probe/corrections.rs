//! Corrections: applies to a candidate what `npyd redo` and `npyd take` declared about it.

use crate::decide::completeness::{Evidence, Wait};
use crate::decide::reason::Reason;
use crate::describe::{Correction, Division, Dump, Rows, Taken};
use crate::fs;
use crate::probe::candidate::{Candidate, Decision};

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

    /// Returns a key that identifies the content of the data files. `npyd take` is about that.
    #[must_use]
    pub fn content_key(&self) -> String {
        self.snapshot().contents().collect::<Vec<_>>().join(" ")
    }

    /// Returns the rows to take of the data that were written; the inner error says why there are
    /// none. Holes before the last written byte count as zeros, as for any reader.
    pub fn taken(&self, dump: &Dump, rows: Rows) -> fs::Result<Result<Taken, String>> {
        if dump.division != Division::EqualShares {
            let why = "a manifest combines its data files: leave incomplete ones out of the list";
            return Ok(Err(why.to_owned()));
        }
        let mut ends = Vec::new();
        for input in &self.input.files {
            ends.push(input.file.written_end(0)?);
        }
        Ok(dump.taken(&ends, rows))
    }

    /// Decides to take the rows that the data and the file that counts them both have.
    pub(crate) fn common_rows(&self, dump: &Dump) -> fs::Result<Decision> {
        Ok(match self.taken(dump, Rows::Common)? {
            Ok(Taken { header, remark }) => Decision::Finalize {
                header: Box::new(header),
                evidence: Evidence::CommonRows,
                remark: Some(format!("the rows that its data and their count both have: {remark}")),
            },
            Err(why) => Decision::Wait(Wait::on_external(Reason::Request(why))),
        })
    }

    /// Decides to take the rows, or why that is not possible.
    pub(crate) fn take_rows(&self, dump: &Dump, rows: Rows) -> fs::Result<Decision> {
        Ok(match self.taken(dump, rows)? {
            Ok(Taken { header, remark }) => Decision::Finalize {
                header: Box::new(header),
                evidence: Evidence::Taken,
                remark: Some(format!("taken as it is: {remark}")),
            },
            Err(why) => Decision::Reject(Reason::Request(why)),
        })
    }
}
