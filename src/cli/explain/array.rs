//! Explains arrays and their backups: of which source they were made, when, and what became of it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::candidate::other_template;
use super::file_status::FileStatus;
use super::{Query, last_receipt, merge, merge_notes, text};
use crate::cli::archived::archived_source;
use crate::cli::inspect::{Inspected, inspect};
use crate::decide::archived_source::ArchivedSource;
use crate::decide::origin::Origin;
use crate::decide::request_problem::ArrayProblem;
use crate::events::source_fate::SourceFate;
use crate::finalize::{find_renamed, read_origin, why_not_array};
use crate::fs::{self, DataFile, Dir};
use crate::ledger::Entry;
use crate::model::{FileName, split_backup};
use crate::npy::MAGIC;
use crate::probe::{ListedDescriptions, ProbeResult, SOURCE_ATTR, probe_standalone};

/// Explains the file as an array. Returns `None` if npyd did not make it.
pub(super) fn explain_array(query: &Query) -> fs::Result<Option<Value>> {
    let path = query.path();
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(None) };
    let file = Dir::open(path.parent().unwrap_or(Path::new("/")))?.open_file(name.as_ref())?;
    let Some(file) = file else { return Ok(None) };
    if let Some((array, number)) = split_backup(name) {
        return query.explain_backup(&file, &path.with_file_name(array), number);
    }
    let entry = query.latest_of_array(&path);
    let origin = read_origin(&file)?;
    let is_marked = origin.is_some() || file.attr(SOURCE_ATTR)?.is_some();
    if entry.is_none() && (!is_marked || !file.read_at_most(0, MAGIC.len())?.starts_with(&MAGIC)) {
        return Ok(None);
    }
    let problem = match &entry {
        Some(entry) => query.why_not_array(&file, entry)?,
        None => None,
    };
    let is_changed = problem == Some(ArrayProblem::Changed);
    let problem = problem.filter(|_| !is_changed);
    if let (Some(entry), Some(ArrayProblem::Unproven)) = (&entry, &problem) {
        return Ok(Some(json!({
            "taken_for": null, "verdict": FileStatus::Ignored, "output": text(&path),
            "why": format!(
                "npyd made an array of this name of `{}`; nothing proves that this file is that \
                 array: it has no mark, and changed later",
                entry.source.display()
            ),
        })));
    }
    let mut report = json!({
        "taken_for": "array",
        "verdict": FileStatus::Finished,
        "output": text(&path),
        "size": file.stat()?.size,
    });
    let inspected = inspect(&path).ok();
    if let Some(inspected) = &inspected {
        merge(&mut report, inspected.to_facts());
    }
    let note = entry.as_ref().filter(|_| problem.is_none());
    let note = note.zip(inspected).and_then(|(made, array)| query.note_template(made, &array));
    let more = if let Some(entry) = entry.filter(|_| problem.is_none()) {
        query.made_of(&entry)
    } else {
        let name = origin.map_or_else(|| "another file".to_owned(), |it| format!("`{}`", it.name));
        let ledger = match &problem {
            _ if query.is_unread => "the ledger, which says more, can't be read here",
            Some(_) => "the ledger has no receipt of it under this name",
            None => "the ledger has no receipt of it",
        };
        json!({"why": format!("npyd made it of {name}, as its mark says; {ledger}")})
    };
    merge(&mut report, more);
    merge_notes(&mut report, note);
    if is_changed {
        merge_notes(&mut report, ["it changed after npyd made it".to_owned()]);
    }
    Ok(Some(report))
}

impl Query {
    /// Returns the note about an array whose source is there, but has another template now.
    fn note_template(&self, made: &Entry, array: &Inspected) -> Option<String> {
        let drop_dir = self.drop_dir_of(made)?;
        let rel = made.source.strip_prefix(&drop_dir.path).ok()?;
        let probed = probe_standalone(drop_dir, rel, &mut ListedDescriptions::default()).ok()?;
        let ProbeResult::Candidate(mut candidate) = probed else { return None };
        self.apply_declared(&mut candidate);
        let is_same = made.settles(&candidate.snapshot().identity(), drop_dir.settings_hash);
        is_same.then(|| other_template(&candidate, made, array)).flatten()
    }

    /// Explains a file with the name of a backup of `array`. Returns `None` if npyd knows neither.
    fn explain_backup(
        &self,
        file: &DataFile,
        array: &Path,
        number: u32,
    ) -> fs::Result<Option<Value>> {
        let entry = self.latest_of_array(array);
        let is_array = file.read_at_most(0, MAGIC.len())?.starts_with(&MAGIC);
        let origin = if is_array { read_origin(file)? } else { None };
        if entry.is_none() && origin.is_none() {
            return Ok(None);
        }
        let name = array.file_name().unwrap_or_default().display();
        let why = match &origin {
            Some(Origin { name: source, .. }) => format!(
                "backup {number} of `{name}`: an array that npyd made of `{source}`, as its mark \
                 says, and kept when a later one replaced it"
            ),
            None => {
                format!("backup {number} of `{name}`, by its name: an earlier file of that name")
            }
        };
        let mut report = json!({
            "taken_for": if is_array { "backup of an array" } else { "backup of a file" },
            "verdict": FileStatus::Finished,
            "output": text(array),
            "size": file.stat()?.size,
            "why": why,
        });
        if let Ok(inspected) = inspect(&self.path()) {
            merge(&mut report, inspected.to_facts());
        }
        if let Some(entry) = &entry {
            let of_entry =
                FileName::of_path(&entry.source).map(|name| Origin::of(&entry.source, &name));
            if of_entry == origin {
                merge(&mut report, json!({"source": text(&entry.source)}));
            }
            merge(&mut report, last_receipt(entry));
        }
        Ok(Some(report))
    }

    /// Describes from which source an array was made.
    fn made_of(&self, entry: &Entry) -> Value {
        let source = entry.source.display();
        let why = if entry.output.as_ref() == Some(&entry.source) {
            "it was a pending file, which npyd finalized in place".to_owned()
        } else {
            format!("npyd made it of `{source}`; {}{}", self.fate(entry), self.other_array(entry))
        };
        let mut report = json!({
            "why": why,
            "source": text(&entry.source),
            "source_fate": entry.source_fate().map(SourceFate::as_str),
            "route": entry.receipt_field("route"),
            "evidence": entry.receipt_field("evidence"),
        });
        merge(&mut report, last_receipt(entry));
        report
    }

    /// Says that a later array of the source of an entry has another name, if one does.
    fn other_array(&self, entry: &Entry) -> String {
        let newest = self.latest(&entry.source).filter(Entry::has_array);
        let other = newest.and_then(|it| it.output).filter(|it| Some(it) != entry.output.as_ref());
        other.map_or_else(String::new, |it| format!("; its newest array is `{}`", it.display()))
    }

    /// Returns the fate of the source, and whether the file exists now.
    pub(super) fn fate(&self, entry: &Entry) -> String {
        let is_there = entry.source.symlink_metadata().is_ok();
        let fate = match entry.source_fate() {
            Some(SourceFate::Removed) => "the source is gone: npyd removed it".to_owned(),
            Some(SourceFate::Archived) => {
                let archived = self.archived(entry);
                archived.map_or_else(
                    || "the source is gone: npyd archived it".to_owned(),
                    |it| format!("the source is gone: npyd archived it{}", it.place()),
                )
            }
            Some(SourceFate::Array) => "the source itself became the array".to_owned(),
            _ if is_there => self.kept_source(entry).to_owned(),
            _ => "the source is gone: something else removed it".to_owned(),
        };
        let is_another = is_there && entry.source_fate().is_some_and(SourceFate::ends_drop);
        if is_another && entry.output.as_ref() != Some(&entry.source) {
            format!("{fate}; another file has its name now")
        } else {
            fate
        }
    }

    /// Compares the source of an array, which nobody removed, with what the array was made of.
    fn kept_source(&self, entry: &Entry) -> &'static str {
        const UNCHANGED: &str = "the source is still there";
        const CHANGED: &str = "the source is still there, but changed since: this array has the \
                               data of before";
        if entry.is_stale() {
            return CHANGED;
        }
        let Some(identity) = entry.identity() else { return UNCHANGED };
        let source = &entry.source;
        let is_description = identity.sidecar.as_ref().is_some_and(|(name, _)| {
            source.file_name().and_then(|it| it.to_str()) == Some(name.as_str())
        });
        if !is_description {
            let Some(name) = FileName::of_path(source) else { return UNCHANGED };
            let dir = Dir::open(source.parent().unwrap_or(Path::new("/")));
            let stat = dir.and_then(|dir| dir.stat(name.as_ref())).ok().flatten();
            let is_changed = stat.is_some_and(|stat| !identity.is_of_data(&stat));
            return if is_changed { CHANGED } else { UNCHANGED };
        }
        let probed = self.drop_dir_of(entry).and_then(|drop_dir| {
            let rel = source.strip_prefix(&drop_dir.path).ok()?;
            probe_standalone(drop_dir, rel, &mut ListedDescriptions::default()).ok()
        });
        match probed {
            Some(ProbeResult::Candidate(it))
                if it.snapshot().identity().is_of_data_files(&identity) =>
            {
                UNCHANGED
            }
            Some(ProbeResult::Candidate(_)) => CHANGED,
            Some(ProbeResult::AwaitingData { .. }) => {
                "its description is still there, but its data files are gone: something else \
                 removed them"
            }
            _ => UNCHANGED,
        }
    }

    /// Returns where the source of an entry is, if npyd archived it.
    pub(super) fn archived(&self, entry: &Entry) -> Option<ArchivedSource> {
        archived_source(entry, self.drop_dirs())
    }

    /// Returns why the file is not the array of the entry.
    fn why_not_array(&self, file: &DataFile, entry: &Entry) -> fs::Result<Option<ArrayProblem>> {
        let receipt = self.ledger.as_ref().and_then(|it| it.array_receipt(entry).ok());
        receipt.map_or(Ok(None), |receipt| why_not_array(file, &receipt))
    }

    /// Returns what is there under the name of the array of an entry, if that is not the array.
    pub(super) fn in_place_of_array(&self, entry: &Entry) -> Option<String> {
        let array = entry.output.as_deref()?;
        let name = FileName::of_path(array)?;
        let dir = Dir::open(array.parent()?).ok()?;
        let problem = match dir.open_file(name.as_ref()) {
            Ok(Some(file)) => self.why_not_array(&file, entry).ok()??,
            Ok(None) if array.symlink_metadata().is_ok() => ArrayProblem::NotRegular,
            Ok(None) | Err(_) => return None,
        };
        // Its owner may have changed the array in place.
        (problem != ArrayProblem::Changed).then(|| format!("`{}` {problem}", array.display()))
    }

    /// Returns the name of the array of an entry if it was renamed.
    pub(super) fn renamed_array(&self, entry: &Entry) -> Option<PathBuf> {
        let dir = Dir::open(entry.output.as_deref()?.parent()?).ok()?;
        let receipt = self.ledger.as_ref()?.array_receipt(entry).ok()?;
        Some(dir.path().join(find_renamed(&dir, &receipt)?))
    }

    /// Returns what became of the array of an entry that changed after npyd made it.
    fn changed_array(&self, entry: &Entry) -> Option<String> {
        let array = entry.output.as_deref()?;
        let name = FileName::of_path(array)?;
        let dir = Dir::open(array.parent()?).ok()?;
        if let Some(what) = dir.stat(name.as_ref()).ok()??.special_kind() {
            return Some(format!("is {what} now, and not the array: move it away, then"));
        }
        let file = dir.open_file(name.as_ref()).ok()??;
        let problem = self.why_not_array(&file, entry).ok()??;
        (problem == ArrayProblem::Changed).then(|| "changed after npyd made it;".to_owned())
    }

    /// Returns the newest receipt about an array of this path.
    pub(super) fn latest_of_array(&self, array: &Path) -> Option<Entry> {
        let entry = self.ledger.as_ref()?.latest_of_array(array).ok().flatten();
        entry.filter(Entry::has_array)
    }
}

/// Notes that the array of a drop that is still there is missing, if it is.
pub(super) fn note_missing_array(query: &Query, report: &mut Value, entry: &Entry) {
    let Some(array) = &entry.output else { return };
    merge_notes(report, query.in_place_of_array(entry));
    let name = entry.source.file_name().unwrap_or_default().display();
    if let Some(what) = query.changed_array(entry) {
        let note = format!("`{}` {what} `npyd redo {name}` makes it again", array.display());
        return merge_notes(report, [note]);
    }
    if array.symlink_metadata().is_err() {
        let note = format!(
            "`{}` is not there any more; `npyd redo {name}` makes it again",
            array.display()
        );
        merge_notes(report, [note]);
    }
}
