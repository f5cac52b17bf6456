//! The standing of a drop: what npyd has done with it, or is doing, before anything is decided
//! about it.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::Query;
use crate::config::{DropDir, OnChange};
use crate::decide::file_snapshot::FileSnapshot;
use crate::decide::reason::{Reason, Subject};
use crate::decide::reason_kind::ReasonKind;
use crate::events::source_fate::SourceFate;
use crate::ledger::Entry;
use crate::model::parent_of;
use crate::probe::candidate::Candidate;

/// What npyd has done with a drop, or is doing.
pub(super) enum Standing {
    /// Its array was made; the note says what changed since, if anything.
    Finished(Box<Entry>, Option<String>),
    /// npyd rejected the drop, and the drop has not changed since.
    Rejected(String),
    /// A process of npyd works on it.
    Working(String),
    /// Another process has locked a file of the drop.
    Locked(Reason, String),
    /// The last attempt failed; npyd tries again.
    Failing(String),
    /// npyd has not processed the drop yet. The note says what npyd did with the drop before.
    Open(Option<String>),
}

const TOUCHED: &str =
    "only its attributes changed since; the next scan compares its bytes with the array's";

impl Query {
    /// Returns the standing of a drop, in the order in which the tracker decides.
    pub(super) fn standing(&self, candidate: &Candidate) -> Standing {
        let source = self.drop_dir.path.join(&candidate.input.rel);
        let identity = candidate.snapshot().identity();
        if let Some((why, _)) = self.rejection(candidate) {
            return Standing::Rejected(why);
        }
        let entry = self.latest(&source);
        if let Some(entry) = &entry {
            if entry.settles(&identity, self.drop_dir.settings_hash) {
                return Standing::Finished(Box::new(entry.clone()), None);
            }
            if entry.has_array_of(&identity) && candidate.conflicting_inodes.is_empty() {
                return Standing::Finished(Box::new(entry.clone()), Some(TOUCHED.to_owned()));
            }
            if let Some(conflict) = self.conflict_since(entry, candidate) {
                return Standing::Finished(Box::new(entry.clone()), Some(conflict));
            }
        }
        let mut files = candidate.input.files.iter();
        if let Some(holder) = files.find_map(|input| input.file.lock_holder()) {
            return if holder.is_npyd() {
                Standing::Working(format!("npyd (pid {}) is working on it now", holder.pid))
            } else {
                let why = Reason::Locked(Subject::Drop);
                Standing::Locked(why, format!("{} (pid {}) has it locked", holder.name, holder.pid))
            };
        }
        match entry {
            Some(entry) if entry.is_failure() && is_about(&entry, candidate) => {
                Standing::Failing(entry.reason())
            }
            Some(entry) if entry.has_array() => Standing::Open(Some(self.after_change(&entry))),
            _ => Standing::Open(None),
        }
    }

    /// Returns what is wrong with a directory that the drop needs, if that suspends the work on all
    /// drops that need it. Only the daemon knows what was there before, so the ledger tells.
    pub(super) fn dir_fault(&self, candidate: &Candidate) -> Option<String> {
        let entry = self.ledger.as_ref()?.latest_dir_fault(&self.drop_dir.path).ok()??;
        let faulty = PathBuf::from(entry.receipt_field("dir")?);
        let below = parent_of(&candidate.input.rel);
        let DropDir { path, output, archive, .. } = &self.drop_dir;
        let mut needed = [output, archive].into_iter().flatten().chain([path]);
        needed.any(|dir| dir.join(below).starts_with(&faulty)).then(|| entry.reason())
    }

    /// Returns why npyd rejected a drop that has not changed since: the text, and the kind of the
    /// reason.
    pub(super) fn rejection(&self, candidate: &Candidate) -> Option<(String, String)> {
        let snapshot = candidate.snapshot();
        let entry = self.latest(&self.drop_dir.path.join(&candidate.input.rel));
        if let Some(entry) =
            entry.filter(|it| it.settles(&snapshot.identity(), self.drop_dir.settings_hash))
        {
            let kind = entry.receipt_field("reason_kind").unwrap_or_default();
            return entry.is_rejected().then(|| (entry.reason(), kind));
        }
        let loss = self.ledger.as_ref()?.data_loss_of(snapshot.contents()).ok().flatten()?;
        Some((loss, ReasonKind::DataLoss.as_str().to_owned()))
    }

    /// Returns what is in conflict with a finished drop that has not changed itself.
    fn conflict_since(&self, entry: &Entry, candidate: &Candidate) -> Option<String> {
        let conflict = candidate.dump.as_ref().err()?;
        let own = FileSnapshot { rivals: Vec::new(), ..candidate.snapshot() }.identity();
        let is_unchanged = entry.settles(&own, self.drop_dir.settings_hash) && entry.has_array();
        (is_unchanged && !candidate.conflicting_inodes.is_empty())
            .then(|| format!("it has not changed since, but {conflict}; the array stays"))
    }

    /// Says what a change of a finished drop leads to.
    fn after_change(&self, entry: &Entry) -> String {
        let array = entry.output.as_deref().map(|it| it.display().to_string()).unwrap_or_default();
        if entry.source_fate().is_some_and(SourceFate::ends_drop) {
            return format!("an earlier file of its name became `{array}`");
        }
        let next = match self.drop_dir.on_change {
            OnChange::Remake => "npyd will make the array again",
            OnChange::Keep => "the array will stay as it is (on_change = \"keep\")",
            OnChange::Number => "npyd will make another, numbered array",
        };
        format!("it changed after `{array}` was made of it: {next}")
    }
}

/// Returns whether a failure is about these files: they are not newer. Failed attempts may change
/// ctime, so only mtime and the time of creation count.
fn is_about(entry: &Entry, candidate: &Candidate) -> bool {
    let stats = candidate.input.all_files().map(|(_, _, stat)| stat);
    let newest = stats.map(|stat| stat.mtime_ns.max(stat.born_ns)).max().unwrap_or_default();
    let newest = SystemTime::UNIX_EPOCH + Duration::from_nanos(newest.max(0).unsigned_abs());
    // The ledger counts milliseconds.
    let at = humantime::parse_rfc3339(&entry.at).unwrap_or(SystemTime::UNIX_EPOCH);
    at + Duration::from_millis(1) >= newest
}
