//! Finds the drop that a data file was a part of, by the names in its receipt.

use std::path::Path;

use crate::finalize::has_part;
use crate::ledger::Entry;
use crate::model::parent_of;

/// Returns whether a name without a directory, or an absolute path, is that of a part of the drop
/// that an entry is about.
pub(crate) fn is_part_named(entry: &Entry, name: &Path, path: &Path) -> bool {
    let Some(parts) = entry.parts() else { return false };
    let rel = path.strip_prefix(&entry.drop_dir).ok().and_then(Path::to_str);
    if rel.is_some_and(|rel| has_part(&parts, rel)) {
        return true;
    }
    // As for other drops, a name alone is enough.
    let dir = parent_of(Path::new(&parts.first));
    let is_name = name.file_name() == Some(name.as_os_str());
    is_name && dir.join(name).to_str().is_some_and(|rel| has_part(&parts, rel))
}
