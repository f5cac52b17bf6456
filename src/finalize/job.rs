//! A job: a complete drop, from which an array is to be made.

use std::time::{Duration, SystemTime};

use crate::config::OnChange;
use crate::decide::completeness::LONGER_QUIET;
use crate::decide::origin::Origin;
use crate::decide::plan::Plan;
use crate::decide::reason::{Reason, Subject};
use crate::decide::route::Route;
use crate::decide::route_problem::RouteProblem;
use crate::events::drop_path::DropPath;
use crate::events::parts::Parts;
use crate::finalize::locations::Locations;
use crate::finalize::npyd_users::NpydUsers;
use crate::finalize::writer_proof::writers_after;
use crate::finalize::{
    Arc, DropDir, Dump, Evidence, IntentLog, Interruption, Path, PathBuf, SourceIdentity,
};
use crate::fs::{self, DataFile, Dir, OpenWriters};
use crate::model::{FileName, parent_of};
use crate::npy::Header;
use crate::probe::candidate::{Candidate, Complete};
use crate::probe::input::{Input, InputFile, InputSegment};
use crate::probe::{ORIGIN_ATTR, SOURCE_ATTR};

/// A complete drop and all that is needed to make its array.
pub struct Job {
    /// The drop directory's settings.
    pub drop_dir: Arc<DropDir>,
    /// The open files.
    pub candidate: Candidate,
    /// The declared layout.
    pub dump: Dump,
    /// How the bytes of the source are laid out. The header of the array is that of the plan, and
    /// another one if the route converts the bytes.
    pub source_header: Header,
    /// The evidence that the drop is complete.
    pub evidence: Evidence,
    /// A remark for the receipt.
    pub remark: Option<String>,
    /// How long it has been unchanged.
    pub unchanged: Duration,
    /// The identities of the drop when its earlier arrays were made, according to the ledger; empty
    /// if none are known.
    pub earlier: Vec<SourceIdentity>,
    /// The route of the data into the array that is there, according to the ledger.
    pub made_by: Option<Route>,
    /// When that array was made, according to the ledger.
    pub made_at: Option<SystemTime>,
    /// The array of this drop that npyd made last, according to the ledger.
    pub last_array: Option<PathBuf>,
    /// Whether npyd may have failed to move the drop to the quarantine, and left a note there.
    pub may_have_note: bool,
    /// Whether a person asked npyd to make the array again.
    pub redo: bool,
    /// Whether its array was made, and only attributes of its files changed since: npyd compares
    /// both once, at idle priority.
    pub is_recheck: bool,
    /// The intent log, if there is a state directory.
    pub intents: Option<Arc<IntentLog>>,
}

/// Returns the data files as a receipt names them, if they are several or those of a series.
#[must_use]
pub fn parts_of_input(input: &Input) -> Option<Parts> {
    let paths = input.files.iter().map(|input| input.rel.as_path());
    (input.series.is_some() || input.files.len() > 1).then(|| Parts::of(paths)).flatten()
}

impl Job {
    /// Creates the job of a complete candidate, which has been unchanged for a time. The ledger may
    /// know more about it.
    ///
    /// # Errors
    ///
    /// The candidate has no valid description.
    pub fn new(
        drop_dir: &Arc<DropDir>,
        candidate: Candidate,
        complete: Complete,
        unchanged: Duration,
    ) -> Result<Self, Reason> {
        let Complete { header, evidence, remark } = complete;
        let mut dump = candidate.dump.clone()?;
        // The producer's digest is that of the complete file.
        dump.digest = dump.digest.filter(|_| !evidence.is_partial());
        Ok(Job {
            drop_dir: Arc::clone(drop_dir),
            dump,
            source_header: header,
            evidence,
            remark,
            unchanged,
            earlier: Vec::new(),
            made_by: None,
            made_at: None,
            last_array: None,
            may_have_note: false,
            redo: false,
            is_recheck: false,
            intents: None,
            candidate,
        })
    }

    /// Returns the drop's full path.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.drop_dir.path.join(&self.candidate.input.rel)
    }

    /// Returns the path that events about the drop have.
    #[must_use]
    pub fn drop_path(&self) -> DropPath {
        DropPath { drop_dir: self.drop_dir.path.clone(), source: self.path() }
    }

    /// Returns after which time a digest that does not match is final, if it is not yet.
    #[must_use]
    pub fn mismatch_final_in(&self) -> Option<Duration> {
        let quiet = self.drop_dir.quiet.saturating_mul(LONGER_QUIET);
        quiet.checked_sub(self.unchanged).filter(|left| !left.is_zero())
    }

    /// Returns whether attributes of the files changed since the array was made. If not, a recheck
    /// serves a source that may be removed or archived now.
    #[must_use]
    pub fn has_other_attributes(&self) -> bool {
        self.is_recheck && !self.earlier.contains(&self.candidate.snapshot().identity())
    }

    /// Returns whether npyd may run as a user.
    pub(crate) fn is_user_of_npyd(&self, uid: u32) -> bool {
        NpydUsers::of(self.intents.as_deref()).contains(uid)
    }

    /// Returns the data file, for routes that need exactly one.
    pub(crate) fn only_file(&self) -> Result<&InputFile, Interruption> {
        let only = self.candidate.input.only_file();
        only.ok_or(Interruption::Rejected(Reason::Route(RouteProblem::SeveralFiles)))
    }

    /// Returns how a message about one of the data files names it.
    pub(crate) fn subject(&self, name: &FileName) -> Subject {
        match self.candidate.input.only_file() {
            Some(_) => Subject::Drop,
            None => Subject::File(name.clone()),
        }
    }

    /// Returns the ranges of the data files that hold the data.
    pub(crate) fn segments(&self) -> Vec<InputSegment<'_>> {
        self.candidate.input.segments(&self.dump, self.data_len())
    }

    /// Returns the length of the data in the source, in bytes.
    pub(crate) fn data_len(&self) -> u64 {
        self.source_header.data_len()
    }

    pub(crate) fn parent(&self) -> &Path {
        parent_of(&self.candidate.input.rel)
    }

    /// Returns the required evidence about writers before the source is disposed of: a proof that
    /// there is none, or the producer's declaration. The settings may require less.
    pub(crate) fn writers(&self) -> OpenWriters {
        writers_after(self.evidence, &self.drop_dir)
    }

    /// Returns the remarks for the receipt that are known before npyd makes the array.
    pub fn remarks(&self, plan: &Plan) -> impl Iterator<Item = String> {
        let noteworthy = plan.skipped_routes.iter().filter(|passed| passed.why.is_noteworthy());
        let noteworthy: Vec<_> = noteworthy.map(ToString::to_string).collect();
        let of_drop = self.dump.warnings.iter().chain(&self.remark).cloned();
        noteworthy.into_iter().chain(of_drop)
    }

    /// Returns the remark on the last array if it stays because the new one has another name: the
    /// key `output` or the template changed.
    pub(crate) fn remark_of_last_array(&self, new: &Path) -> Option<String> {
        let last = self.last_array.as_deref().filter(|last| *last != new)?;
        let name = FileName::of_path(last)?;
        let is_numbered = self.drop_dir.on_change == OnChange::Number;
        let is_there = Dir::open(last.parent()?).ok()?.stat(name.as_ref()).ok()?.is_some();
        (is_there && !is_numbered)
            .then(|| format!("its earlier array `{}` stays under that name", last.display()))
    }

    /// Returns the mark for the output: the identity of its source.
    pub(crate) fn mark(&self) -> String {
        self.candidate.snapshot().identity().to_string()
    }

    /// Marks a file as the array of this drop: by the identity and the path of its source. Returns
    /// `false` if the file system can't store the mark.
    pub(crate) fn mark_array(&self, file: &DataFile) -> fs::Result<bool> {
        let is_marked = file.set_attr(SOURCE_ATTR, self.mark().as_bytes())?;
        self.mark_origin(file)?;
        Ok(is_marked)
    }

    /// Marks a file by the path of its source.
    pub(crate) fn mark_origin(&self, file: &DataFile) -> fs::Result<()> {
        let origin = Origin::of(&self.path(), &self.candidate.input.name);
        file.set_attr(ORIGIN_ATTR, origin.to_string().as_bytes())?;
        Ok(())
    }

    /// Returns whether the array gets the data file's own name, like a pending `x.npy`.
    pub(crate) fn keeps_its_name(&self, at: &Locations) -> bool {
        keeps_its_name(&self.candidate.input, &self.dump, at.beside)
    }
}

/// Returns whether an array that is made `beside` its data gets the data file's own name.
pub(crate) fn keeps_its_name(input: &Input, dump: &Dump, beside: bool) -> bool {
    beside && input.only_file().is_some_and(|file| dump.output == file.name)
}
