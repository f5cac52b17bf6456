//! Similar files: files beside a description without data whose names resemble the description's
//! name. One of these files may be the data under another name.

use std::collections::BTreeSet;
use std::path::Path;

use crate::fs::{self, Dir, EntryKind};
use crate::model::{is_npy_name, parent_of};
use crate::probe::may_describe;
use crate::service::tracker::Tracker;

/// Maximum number of names that are returned.
const NAMES_MAX: usize = 3;

/// Returns the part of a name before its first dot, in lower case.
fn stem(name: &str) -> String {
    name.split('.').next().unwrap_or_default().to_lowercase()
}

/// Returns whether a file might hold the data of a description, by their names.
fn is_similar(name: &str, description: &str) -> bool {
    !is_npy_name(name) && !may_describe(name) && stem(name).starts_with(&stem(description))
}

impl Tracker {
    /// Returns the names of the similar files beside a description.
    pub(crate) fn similar_files(&self, description: &Path) -> fs::Result<Vec<String>> {
        let own = description.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let parent = parent_of(description);
        let mut similar = BTreeSet::new();
        Dir::open_below(&self.drop_dir.path, parent)?.any_entry(|name, kind| {
            if kind == EntryKind::File
                && let Some(name) = name.to_str().filter(|name| is_similar(name, own))
                && !self.drop_dir.ignore.ignores_entry(&parent.join(name), false)
            {
                similar.insert(name.to_owned());
                if similar.len() > NAMES_MAX {
                    similar.pop_last();
                }
            }
            false
        })?;
        Ok(similar.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_resemble_a_description() {
        for name in ["scan.RAW", "scan2.raw", "SCAN.bin", "scan"] {
            assert!(is_similar(name, "scan.raw.toml"), "{name}");
        }
        for name in ["scan.npy", "scan.toml", "sca.raw", "other.raw", "2scan.raw"] {
            assert!(!is_similar(name, "scan.raw.toml"), "{name}");
        }
    }
}
