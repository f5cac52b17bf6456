//! Finds the drop that a data file was a part of, by the names in its receipt.

use std::cmp::Ordering;
use std::path::Path;

use crate::describe::natural_order::natural_order;
use crate::ledger::Entry;

/// The parts of a drop, as its receipt names them.
pub(crate) struct NamedParts {
    pub(crate) count: u64,
    pub(crate) first: String,
    pub(crate) last: String,
    /// All of them, if they are few.
    names: Vec<String>,
}

impl NamedParts {
    /// Returns the parts of the drop that an entry is about, if it has several.
    pub(crate) fn of(entry: &Entry) -> Option<Self> {
        let parts = entry.receipt_parts()?;
        let text = |name: &str| parts[name].as_str().map(str::to_owned);
        let names = parts["names"].as_array().into_iter().flatten();
        Some(NamedParts {
            count: parts["count"].as_u64()?,
            first: text("first")?,
            last: text("last")?,
            names: names.filter_map(|name| name.as_str().map(str::to_owned)).collect(),
        })
    }

    /// Returns whether a part has this path below the drop directory. If the receipt does not name
    /// all parts, a path between the first and the last one counts.
    fn has(&self, rel: &str) -> bool {
        if !self.names.is_empty() {
            return self.names.iter().any(|name| name == rel);
        }
        let extension = |path: &str| Path::new(path).extension().map(ToOwned::to_owned);
        let is_between = natural_order(&self.first, rel) != Ordering::Greater
            && natural_order(rel, &self.last) != Ordering::Greater;
        is_between
            && Path::new(rel).parent() == Path::new(&self.first).parent()
            && extension(rel) == extension(&self.first)
    }
}

/// Returns whether a name without a directory, or an absolute path, is that of a part of the drop
/// that an entry is about.
pub(crate) fn is_part_named(entry: &Entry, name: &Path, path: &Path) -> bool {
    let Some(parts) = NamedParts::of(entry) else { return false };
    let rel = path.strip_prefix(&entry.drop_dir).ok().and_then(Path::to_str);
    if rel.is_some_and(|rel| parts.has(rel)) {
        return true;
    }
    // As for other drops, a name alone is enough.
    let dir = Path::new(&parts.first).parent().unwrap_or(Path::new(""));
    let is_name = name.file_name() == Some(name.as_os_str());
    is_name && dir.join(name).to_str().is_some_and(|rel| parts.has(rel))
}
