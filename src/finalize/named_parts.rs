//! Data files of a drop that has several, by the names in its receipt.

use std::cmp::Ordering;
use std::path::Path;

use crate::describe::natural_order::natural_order;
use crate::events::parts::Parts;

/// Returns whether a part has this path below the drop directory. If the receipt does not name all
/// parts, a path between the first and the last one counts.
#[must_use]
pub fn has_part(parts: &Parts, rel: &str) -> bool {
    if !parts.names.is_empty() {
        return parts.names.iter().any(|name| name == rel);
    }
    let extension = |path: &str| Path::new(path).extension().map(ToOwned::to_owned);
    let is_between = natural_order(&parts.first, rel) != Ordering::Greater
        && natural_order(rel, &parts.last) != Ordering::Greater;
    is_between
        && Path::new(rel).parent() == Path::new(&parts.first).parent()
        && extension(rel) == extension(&parts.first)
}
