//! Explains files that npyd itself put where they are: archived sources, rejected drops and their
//! notes, rests, metadata, and descriptions that are done.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::file_status::FileStatus;
use super::gone::FormerPart;
use super::{Query, last_receipt, merge, text};
use crate::cli::archived::{ArchivedAs, archived_as};
use crate::config::DropDir;
use crate::finalize::intent_log::IntentLog;
use crate::finalize::{Quarantine, Quarantined, insert_obstacle, rest_of};
use crate::fs::{self, Dir};
use crate::ledger::Entry;
use crate::model::FileName;
use crate::probe::SOURCE_ATTR;

/// Explains a file that npyd put where it is. Returns `None` if npyd knows nothing of it.
pub(super) fn explain_own_file(query: &Query, path: &Path) -> fs::Result<Option<Value>> {
    let (Some(name), Some(dir)) = (FileName::of_path(path), path.parent()) else {
        return Ok(None);
    };
    if query.drop_dirs().is_empty() || path.symlink_metadata().is_err() {
        return Ok(None);
    }
    if let Some(quarantine) = Quarantine::open(query.drop_dirs(), dir)? {
        if let Some(drop) = quarantine.drop_with(&name)? {
            return Ok(Some(query.explain_quarantined(&drop, path)));
        }
        let was = quarantine.former_path(&name);
        if let Some(report) = was.and_then(|was| query.explain_part_left(&was)) {
            return Ok(Some(report));
        }
    }
    let explained = [Query::explain_rest, Query::explain_metadata, Query::explain_description];
    let explained = explained.into_iter().find_map(|explain| explain(query, dir, &name));
    Ok(explained.or_else(|| query.explain_archived(dir, &name)))
}

/// Builds the explanation of a file that belongs to the drop of an entry.
fn report(kind: &str, verdict: FileStatus, why: &str, entry: &Entry) -> Value {
    let mut report = json!({
        "taken_for": kind, "verdict": verdict, "why": why, "source": text(&entry.source),
        "output": entry.output.as_deref().map(text), "outside": null,
    });
    merge(&mut report, last_receipt(entry));
    report
}

impl Query {
    fn explain_quarantined(&self, drop: &Quarantined, file: &Path) -> Value {
        let Quarantined { source, reason, path, .. } = drop;
        let kind = if path == file { "rejected drop" } else { "file of a rejected drop" };
        let entry = self.latest(source);
        let is_newest = entry
            .as_ref()
            .is_none_or(|entry| entry.is_rejected() && entry.reason().starts_with(reason.as_str()));
        let name = source.file_name().unwrap_or_default().display();
        let next = if is_newest {
            format!("correct it here, then run `npyd retry {name}`, which moves it back")
        } else {
            drop.why_not_restored()
        };
        let mut report = json!({
            "taken_for": kind, "verdict": FileStatus::Rejected, "why": reason, "source": text(source),
            "outside": null, "notes": [format!("it was `{}`", source.display()), next],
        });
        if let Some(entry) = entry.filter(|_| is_newest) {
            merge(&mut report, last_receipt(&entry));
        }
        report
    }

    /// Explains a data file of a rejected series whose description is gone. It was `was`.
    fn explain_part_left(&self, was: &Path) -> Option<Value> {
        let part = self.latest_with_part(was).filter(|it| it.newest.is_rejected())?;
        let FormerPart { newest: entry, of, .. } = part;
        let name = entry.source.file_name().unwrap_or_default().display();
        let why = format!("{of}, which was rejected: {}", entry.reason());
        let mut report = report("file of a rejected drop", FileStatus::Rejected, &why, &entry);
        let back = format!("`npyd retry {name}` moves back what is left of it");
        merge(&mut report, json!({"notes": [format!("it was `{}`", was.display()), back]}));
        Some(report)
    }

    fn explain_rest(&self, dir: &Path, name: &FileName) -> Option<Value> {
        let of = rest_of(name.as_str())?;
        let dir_of = |it: &DropDir| {
            it.rejects.clone().or_else(|| it.output.clone()).unwrap_or_else(|| it.path.clone())
        };
        let entry = self.entry_of(dir, of.as_ref(), dir_of, Self::latest)?;
        let why = format!(
            "the bytes behind the array of `{}`, which npyd saved before they were cut off or \
             removed with the source; npyd does not need them: delete them if you don't",
            entry.source.display()
        );
        Some(report("rest", FileStatus::Ignored, &why, &entry))
    }

    fn explain_metadata(&self, dir: &Path, name: &FileName) -> Option<Value> {
        let array = dir.join(name.as_str().strip_suffix(".json")?);
        let why = format!("the metadata of the array `{}`", array.display());
        if let Some(entry) = self.latest_of_array(&array) {
            return Some(report("metadata", FileStatus::Finished, &why, &entry));
        }
        // The ledger may be lost; the mark says that npyd wrote them.
        let file = Dir::open(dir).ok()?.open_file(name.as_ref()).ok()??;
        let is_marked = file.attr(SOURCE_ATTR).ok()?.is_some() && array.symlink_metadata().is_ok();
        is_marked.then(|| {
            json!({
                "taken_for": "metadata", "verdict": FileStatus::Finished, "output": text(&array),
                "outside": null, "why": format!("{why}, of which the ledger has no receipt"),
            })
        })
    }

    fn explain_description(&self, dir: &Path, name: &FileName) -> Option<Value> {
        let (stem, number) = name.as_str().rsplit_once(".done")?;
        if !number.chars().all(|it| it == '.' || it.is_ascii_digit()) {
            return None;
        }
        let dir_of = |it: &DropDir| it.output.clone().unwrap_or_else(|| it.path.clone());
        let entry = self.entry_of(dir, stem.as_ref(), dir_of, Self::latest_described_by)?;
        let why = format!(
            "it described `{}`, whose array is made; npyd keeps each description",
            entry.source.display()
        );
        Some(report("description", FileStatus::Finished, &why, &entry))
    }

    /// Explains a file whose interrupted insertion npyd can't undo.
    pub(super) fn explain_interrupted(&self, path: &Path) -> Option<Value> {
        let (name, dir) = (FileName::of_path(path)?, path.parent()?);
        let intents = IntentLog::of(&self.config.as_ref()?.state_dir);
        let why = insert_obstacle(&intents, &Dir::open(dir).ok()?, name.as_str()).ok()??;
        let why = why.to_text(path);
        Some(json!({
            "taken_for": "file of an interrupted insertion", "verdict": FileStatus::Failing,
            "why": format!("npyd was interrupted while it inserted a header, and {why}"),
        }))
    }

    fn explain_archived(&self, dir: &Path, name: &FileName) -> Option<Value> {
        let configured = self.drop_dirs().iter().filter_map(|it| it.archive.as_ref());
        let is_archive = configured.into_iter().any(|archive| dir.starts_with(archive))
            || self.ledger.as_ref().is_some_and(|it| it.is_archive(dir).unwrap_or_default());
        if !is_archive {
            return None;
        }
        let ledger = self.ledger.as_ref()?;
        let is_as = |entry: &Entry, expected: ArchivedAs| {
            archived_as(entry, (dir, name), self.drop_dirs()) == Some(expected)
        };
        let without_number = name.without_number().0;
        let names: Vec<&Path> = [Some(name), without_number.as_ref()]
            .into_iter()
            .flatten()
            .map(AsRef::as_ref)
            .collect();
        let source = ledger.archived_named(&names, |it| is_as(it, ArchivedAs::Source)).ok()?;
        let (kind, entry) = if let Some(entry) = source {
            ("archived source", entry)
        } else {
            let is_file = |it: &Entry| is_as(it, ArchivedAs::OtherFile);
            let with_its_name = ledger.archived_named(&names, is_file).ok()?;
            let of_drop = || ledger.newest_archived(is_file).ok().flatten();
            ("archived file", with_its_name.or_else(of_drop)?)
        };
        let source = entry.source.display();
        let why = if kind == "archived source" {
            format!("npyd made an array of it, and archived it: it was `{source}`")
        } else {
            format!("npyd archived it with `{source}`, or with an earlier drop of that name")
        };
        Some(report(kind, FileStatus::Finished, &why, &entry))
    }

    /// Returns the entry that `find` finds for a file named `name` in the drop directory, of those
    /// for which `dir_of` leads to the directory `dir`.
    fn entry_of(
        &self,
        dir: &Path,
        name: &Path,
        dir_of: impl Fn(&DropDir) -> PathBuf,
        find: impl Fn(&Self, &Path) -> Option<Entry>,
    ) -> Option<Entry> {
        self.drop_dirs().iter().find_map(|drop_dir| {
            let own = dir_of(drop_dir);
            let below = dir.strip_prefix(&own).ok().filter(|_| own.is_absolute())?;
            find(self, &drop_dir.path.join(below).join(name)).filter(Entry::is_settled)
        })
    }
}
