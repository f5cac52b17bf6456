//! Explains a path without a file: what became of the file that had the path, and where its bytes
//! are now.

use std::path::Path;

use serde_json::{Value, json};

use super::file_status::FileStatus;
use super::{Query, last_receipt, merge, merge_notes, text};
use crate::cli::history::time_text;
use crate::cli::parts::is_part_named;
use crate::cli::rejected_now::rejected_drop;
use crate::decide::name_list::NameList;
use crate::events::parts::Parts;
use crate::events::source_fate::SourceFate;
use crate::finalize::{array_mark, rejected_paths, rest_path};
use crate::fs::Dir;
use crate::ledger::Entry;
use crate::model::FileName;
use crate::probe::{ListedDescriptions, ProbeResult, may_describe, probe_standalone};

/// Maximum number of backups that are named.
const BACKUPS_NAMED: usize = 3;

/// Explains a path without a file.
pub(super) fn explain_missing(query: &Query) -> Value {
    let path = query.path();
    if let Some(entry) = query.latest(&path).filter(Entry::is_settled) {
        return query.explain_gone_drop(&entry, "");
    }
    if let Some(entry) = query.latest_of_array(&path) {
        return query.explain_gone_array(&entry);
    }
    if let Some(entry) = query.latest_described_by(&path) {
        let of = format!("it described `{}`; ", entry.source.display());
        return query.explain_gone_drop(&entry, &of);
    }
    if let Some(part) = query.latest_with_part(&path) {
        return query.explain_gone_part(&part);
    }
    gone("there is no such file")
}

fn gone(why: &str) -> Value {
    json!({"taken_for": null, "verdict": FileStatus::Gone, "why": why})
}

/// A data file of several, and the drop that it was a part of.
pub(super) struct FormerPart {
    /// The newest receipt about the drop.
    pub(super) newest: Entry,
    /// Says which part of the drop it was.
    pub(super) of: String,
    /// Whether that receipt names the part: the array as it is now was made with it.
    is_in_newest: bool,
}

impl Query {
    /// Explains a data file of several that is gone.
    fn explain_gone_part(&self, part: &FormerPart) -> Value {
        let FormerPart { newest, of, is_in_newest } = part;
        let is_kept = !newest.source_fate().is_some_and(SourceFate::ends_drop);
        let array = newest.output.as_deref().filter(|it| it.symlink_metadata().is_ok());
        let Some(array) = array.filter(|_| is_kept && newest.has_array()) else {
            return self.explain_gone_drop(newest, &format!("{of}; "));
        };
        let mut report = if *is_in_newest {
            json!({
                "taken_for": null, "verdict": FileStatus::Finished,
                "why": format!(
                    "{of}; npyd made an array of it; this file is gone since: something else \
                     removed or renamed it"
                ),
                "output": text(array),
            })
        } else {
            gone(&format!(
                "{of}; it is gone, and npyd made the array `{}` again without a file of this name",
                array.display()
            ))
        };
        if !is_in_newest {
            let no_copy = || "npyd knows no copy of its data".to_owned();
            let backups = self.backups_of(array, newest, Some(&self.path()));
            merge_notes(&mut report, [backups.unwrap_or_else(no_copy)]);
        }
        merge(&mut report, last_receipt(newest));
        report
    }

    /// Explains a drop whose file in question is gone. `of` says how the file belongs to the drop,
    /// unless it is its source.
    fn explain_gone_drop(&self, entry: &Entry, of: &str) -> Value {
        let mut report = if entry.is_rejected() {
            self.explain_rejected(entry, of)
        } else if let Some(other) = self.in_place_of_array(entry) {
            let mut report =
                gone(&format!("{of}npyd made an array of it; {}; {other}", self.fate(entry)));
            merge_notes(&mut report, self.copies_or_none(entry));
            report
        } else if entry.output.as_ref().is_some_and(|array| array.symlink_metadata().is_ok()) {
            json!({
                "taken_for": null, "verdict": FileStatus::Finished,
                "why": format!("{of}npyd made an array of it; {}", self.fate(entry)),
                "output": entry.output.as_deref().map(text),
            })
        } else {
            self.explain_lost_array(entry, &format!("{of}npyd made an array of it"))
        };
        merge(&mut report, last_receipt(entry));
        report
    }

    /// Explains an array that is gone.
    fn explain_gone_array(&self, entry: &Entry) -> Value {
        let source = entry.source.display();
        let now = self.latest(&entry.source).filter(Entry::has_array);
        let moved = now.and_then(|now| now.output).filter(|output| {
            Some(output) != entry.output.as_ref() && output.symlink_metadata().is_ok()
        });
        let mut report = if let Some(array) = moved {
            gone(&format!("npyd made it of `{source}`, whose array is `{}` now", array.display()))
        } else if self.has_source(entry) {
            let name = entry.source.file_name().unwrap_or_default().display();
            gone(&format!(
                "npyd made it of `{source}`, but it is not there any more; `npyd redo {name}` \
                 makes it again"
            ))
        } else {
            self.explain_lost_array(entry, &format!("npyd made it of `{source}`"))
        };
        merge(&mut report, last_receipt(entry));
        report
    }

    /// Explains an array that is gone, like its source: where its bytes may be.
    fn explain_lost_array(&self, entry: &Entry, made: &str) -> Value {
        let array = entry.output.as_deref().unwrap_or(Path::new("")).display();
        let fate = self.fate(entry);
        let mut report =
            gone(&format!("{made}; {fate}; the array `{array}` is not there any more, either"));
        merge_notes(&mut report, self.copies_or_none(entry));
        report
    }

    /// Returns where else bytes of a drop are, or that npyd knows no such place.
    fn copies_or_none(&self, entry: &Entry) -> Vec<String> {
        let mut copies = self.copies_of(entry);
        copies.extend(
            self.renamed_array(entry).map(|it| format!("the array is `{}` now", it.display())),
        );
        if copies.is_empty() {
            copies.push("npyd knows no other copy of its data: drop them again".to_owned());
        }
        copies
    }

    /// Returns where else bytes of a drop are.
    fn copies_of(&self, entry: &Entry) -> Vec<String> {
        let archived = self.archived(entry).filter(|it| it.path.is_some() || it.is_hidden);
        let mut copies: Vec<_> = archived.iter().map(ToString::to_string).collect();
        let Some(array) = &entry.output else { return copies };
        copies.extend(self.backups_of(array, entry, None));
        if let Some(drop_dir) = self.drop_dir_of(entry)
            && let Ok(rel) = entry.source.strip_prefix(&entry.drop_dir)
            && let Some(name) = FileName::of_path(rel)
        {
            let rest = rest_path(drop_dir, rel, &name);
            if rest.symlink_metadata().is_ok() {
                copies.push(format!("`{}` has the bytes behind its array", rest.display()));
            }
        }
        copies
    }

    /// Explains a rejected drop whose file in question is gone.
    fn explain_rejected(&self, entry: &Entry, of: &str) -> Value {
        let why = entry.reason();
        let name = entry.source.file_name().unwrap_or_default().display();
        let rejected = rejected_drop(entry);
        let paths = self.drop_dir_of(entry).and_then(|it| rejected_paths(it, &rejected).ok());
        match paths.as_deref() {
            Some(paths @ [path, ..]) => {
                let dir = path.parent().unwrap_or(path).display();
                let note = if is_part_left(path, entry) {
                    let parts = NameList::of(paths);
                    format!(
                        "`{name}` is gone, what is left of it is in `{dir}`: {parts}; \
                         `npyd retry {name}` moves it back"
                    )
                } else {
                    format!(
                        "correct it in `{dir}`, then run `npyd retry {name}`, which moves it back"
                    )
                };
                let why = if of.is_empty() { why } else { format!("{of}that was rejected: {why}") };
                json!({
                    "taken_for": null, "verdict": FileStatus::Rejected, "why": why, "notes": [note],
                })
            }
            _ if entry.source.symlink_metadata().is_ok() => gone(&format!(
                "{of}that was rejected: {why}; put the file that describes it there again, or run \
                 `npyd explain {}`",
                entry.source.display()
            )),
            _ => self.explain_lost_rejected(entry, of),
        }
    }

    /// Explains a rejected drop whose file is neither where it was dropped nor in the quarantine.
    fn explain_lost_rejected(&self, entry: &Entry, of: &str) -> Value {
        let rejects = self.drop_dir_of(entry).and_then(|it| it.rejects.as_ref());
        let fate = match rejects {
            Some(rejects) => {
                format!("its file is neither there nor in `{}` any more", rejects.display())
            }
            None => "its file stayed where it was, and something else removed it since".to_owned(),
        };
        let name = entry.source.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let remedy = if may_describe(name) {
            let root = self.drop_dir_of(entry).map(|it| it.path.as_path());
            let parts = entry.parts().filter(|it| root.is_some_and(|dir| has_file(it, dir)));
            let what =
                if parts.is_some() { ", because its data files are still there" } else { "" };
            format!("write `{name}` again without that mistake to have an array made{what}")
        } else {
            "drop it again".to_owned()
        };
        let what = if of.is_empty() { "it" } else { "that" };
        gone(&format!("{of}npyd rejected {what}: {}; {fate}: {remedy}", entry.reason()))
    }

    /// Returns whether the source of an array is still there, so that npyd can make it again.
    fn has_source(&self, entry: &Entry) -> bool {
        if entry.source_fate().is_some_and(SourceFate::ends_drop) {
            return false;
        }
        let Some(drop_dir) = self.drop_dir_of(entry) else { return false };
        let Ok(rel) = entry.source.strip_prefix(&drop_dir.path) else { return false };
        let probed = probe_standalone(drop_dir, rel, &mut ListedDescriptions::default());
        matches!(probed, Ok(ProbeResult::Candidate(_)))
    }

    /// Returns the newest receipt about the drop that a file of this path was a part of, and says
    /// which part.
    pub(super) fn latest_with_part(&self, path: &Path) -> Option<FormerPart> {
        let is_part = |entry: &Entry| is_part_named(entry, path, path);
        let with = self.ledger.as_ref()?.latest_with_part(path, is_part).ok().flatten()?;
        let Parts { count, first, last, .. } = with.parts()?;
        let source = with.source.display();
        let of = match count {
            1 => format!("it was the data file of `{source}`"),
            _ => {
                format!("it was one of the {count} data files of `{source}`, `{first}` to `{last}`")
            }
        };
        let newest = self.latest(&with.source).filter(Entry::is_settled)?;
        Some(FormerPart { is_in_newest: is_part(&newest), newest, of })
    }

    /// Says what array was made of this file while something described it, or of an earlier file of
    /// this name, which npyd removed or archived.
    pub(super) fn earlier_array(&self) -> Option<String> {
        let entry = self.latest(&self.path()).filter(Entry::has_array)?;
        let array = entry.output.as_deref()?.display();
        Some(if entry.source_fate().is_some_and(SourceFate::ends_drop) {
            format!("an earlier file of this name became `{array}`")
        } else {
            format!("npyd made `{array}` of it, by a description that is not there any more")
        })
    }

    /// Returns the newest receipt about a drop that a file of this path described.
    pub(super) fn latest_described_by(&self, path: &Path) -> Option<Entry> {
        let entry = self.ledger.as_ref()?.latest_described_by(path).ok().flatten()?;
        self.latest(&entry.source).filter(Entry::is_settled)
    }
}

/// Returns whether a file in the quarantine is a data file of a series whose description is gone.
fn is_part_left(path: &Path, entry: &Entry) -> bool {
    let own = FileName::of_path(&entry.source);
    let there = FileName::of_path(path);
    let is_own = there.as_ref().is_some_and(|it| it.without_number().0 == own);
    there != own && !is_own
}

/// Returns whether the first or the last of some data files is in the drop directory.
fn has_file(parts: &Parts, drop_dir: &Path) -> bool {
    let mut ends = [&parts.first, &parts.last].into_iter();
    ends.any(|rel| drop_dir.join(rel).symlink_metadata().is_ok())
}

impl Query {
    /// Returns what is known of the data in a backup: of which file they are, by the mark, and when
    /// the array was made and whether it has a part, by the receipt. Empty if nothing is known.
    fn data_of_backup(&self, backup: &Path, entry: &Entry, part: Option<&Path>) -> String {
        let mark = Dir::open(backup.parent().unwrap_or(Path::new("/")))
            .and_then(|dir| dir.open_file(Path::new(backup.file_name().unwrap_or_default())))
            .and_then(|file| file.map(|file| array_mark(&file)).transpose());
        let Ok(Some((Some(identity), origin))) = mark else { return String::new() };
        let ledger = self.ledger.as_ref();
        let made = ledger.and_then(|it| it.array_made_of(&entry.source, &identity).ok().flatten());
        let Some(made) = made else {
            return origin.map_or_else(String::new, |it| format!(" (made of `{}`)", it.name));
        };
        let at = time_text(&made.at);
        match part {
            Some(part) if is_part_named(&made, part, part) => format!(" (of {at}, with this file)"),
            Some(_) => format!(" (of {at}, without this file)"),
            None => format!(" (of {at})"),
        }
    }

    /// Returns what is said about the backups of an array.
    fn backups_of(&self, array: &Path, entry: &Entry, part: Option<&Path>) -> Option<String> {
        let name = FileName::of_path(array)?;
        let dir = Dir::open(array.parent()?).ok()?;
        let there = dir.entries().ok()?.into_iter().filter_map(|(it, _)| it.into_string().ok());
        let mut backups: Vec<_> =
            there.filter_map(|it| Some((name.backup_number(&it)?, it))).collect();
        backups.sort_unstable();
        let newest = backups.iter().rev().take(BACKUPS_NAMED);
        let named = |it: &String| {
            let path = dir.path().join(it);
            format!("`{}`{}", path.display(), self.data_of_backup(&path, entry, part))
        };
        let named: Vec<_> = newest.map(|(_, it)| named(it)).collect();
        let more = backups.len().saturating_sub(BACKUPS_NAMED);
        let more = if more > 0 { format!(" and {more} older") } else { String::new() };
        (!named.is_empty())
            .then(|| format!("earlier arrays of it, before it changed: {}{more}", named.join(", ")))
    }
}
