//! Finds sources that npyd archived, from their receipts.

use std::path::{Path, PathBuf};

use crate::cli::parts::is_part_named;
use crate::config::DropDir;
use crate::decide::archived_source::ArchivedSource;
use crate::events::source_fate::SourceFate;
use crate::finalize::find_archived;
use crate::fs::Dir;
use crate::ledger::Entry;
use crate::model::FileName;

/// How a file in an archive belongs to the drop of a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ArchivedAs {
    /// It is the source: it looks as the receipt says.
    Source,
    /// It has the name of one of the drop's files.
    OtherFile,
}

/// Returns where the source of an entry is, if npyd archived it.
pub(crate) fn archived_source(entry: &Entry, drop_dirs: &[DropDir]) -> Option<ArchivedSource> {
    let identity = entry.identity().filter(|_| is_archived(entry))?;
    let configured = drop_dirs.iter().find(|it| it.path == entry.drop_dir);
    // Default settings, if the drop directory is not configured any more.
    let drop_dir = configured.cloned().unwrap_or_else(|| DropDir::at(&entry.drop_dir));
    Some(find_archived(&drop_dir, (&entry.source, &identity), entry.archive().as_deref()))
}

/// Returns how the file of this path belongs to the drop of an entry, if npyd may have archived it
/// with that drop.
pub(crate) fn archived_as(
    entry: &Entry,
    (dir, file): (&Path, &FileName),
    drop_dirs: &[DropDir],
) -> Option<ArchivedAs> {
    let own_dir = entry.source.parent()?;
    let below = own_dir.strip_prefix(&entry.drop_dir).ok()?;
    let configured = drop_dirs.iter().find(|it| it.path == entry.drop_dir);
    let configured = configured.and_then(|it| it.archive.as_ref()).map(|it| it.join(below));
    let is_in = |archive: &PathBuf| archive == dir;
    if !is_archived(entry) || !configured.into_iter().chain(entry.archive()).any(|it| is_in(&it)) {
        return None;
    }
    let source = FileName::of_path(&entry.source)?;
    let identity = entry.identity()?.of_file(&source);
    let names = [Some(file.clone()), file.without_number().0];
    for name in names.into_iter().flatten() {
        let stat = || Dir::open(dir).ok()?.stat(file.as_ref()).ok()?;
        if name == source && stat().is_some_and(|stat| identity.has_size_and_mtime(&stat)) {
            return Some(ArchivedAs::Source);
        }
        let path = own_dir.join(&name);
        if name == source
            || entry.sidecar().as_deref() == Some(name.as_str())
            || is_part_named(entry, &path, &path)
        {
            return Some(ArchivedAs::OtherFile);
        }
    }
    None
}

fn is_archived(entry: &Entry) -> bool {
    entry.source_fate() == Some(SourceFate::Archived)
}
