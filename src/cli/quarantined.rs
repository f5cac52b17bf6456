//! Finds the rejected drop that a file in the quarantine belongs to.

use std::path::Path;

use crate::cli::history::real_path;
use crate::cli::rejected_now::rejected_drop;
use crate::config::{Config, DropDir};
use crate::finalize::{Quarantine, rejected_paths};
use crate::ledger::Entry;
use crate::model::FileName;

/// Returns the entry of the rejected drop that a file in a quarantine belongs to, by its note:
/// data, descriptions or the note itself. Returns `None` if `file` is no such file.
///
/// # Errors
/// npyd would restore another file: the drop was rejected again since, or is not rejected any more.
pub(crate) fn rejected_with_file<'a>(
    file: &Path,
    rejected: &'a [Entry],
    config: &Config,
) -> Option<Result<&'a Entry, String>> {
    let path = real_path(file);
    path.symlink_metadata().ok()?;
    let quarantine = Quarantine::open(&config.drop_dirs, path.parent()?).ok()??;
    let drop = quarantine.drop_with(&FileName::of_path(&path)?).ok()??;
    let entry = rejected.iter().find(|it| it.source == drop.source);
    let Some(entry) = entry else { return Some(Err(drop.why_not_restored())) };
    let paths = config
        .drop_dir(&entry.drop_dir)
        .and_then(|drop_dir| rejected_paths(drop_dir, &rejected_drop(entry)).ok())
        .unwrap_or_default();
    // A series whose description is gone has other paths.
    let is_other = drop.path.symlink_metadata().is_ok() && !paths.contains(&drop.path);
    Some(if is_other { Err(drop.why_not_restored()) } else { Ok(entry) })
}

/// Returns whether `name` is the numbered name, or its path, that the data file of a rejected drop
/// has in the quarantine.
pub(crate) fn is_numbered_as(
    entry: &Entry,
    (name, path): (&Path, &Path),
    drop_dir: Option<&DropDir>,
) -> bool {
    let stem = FileName::of_path(name).and_then(|it| it.without_number().0);
    let is_own = stem.is_some_and(|it| entry.source.file_name() == Some(it.as_str().as_ref()));
    let Some(drop_dir) = drop_dir.filter(|_| is_own && entry.is_rejected()) else { return false };
    let is_plain = name.components().count() == 1;
    let paths = rejected_paths(drop_dir, &rejected_drop(entry)).unwrap_or_default();
    paths.iter().any(|it| it == path || is_plain && it.file_name() == name.file_name())
}
