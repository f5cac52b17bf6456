//! The data files of an array that has several, as its receipt names them.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// Maximum number of files that a receipt names.
const NAMED_MAX: usize = 64;

/// The data files of an array, in their order. Their paths start in the drop directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    /// Number of files.
    pub count: usize,
    /// Path of the first one.
    pub first: String,
    /// Path of the last one.
    pub last: String,
    /// All paths, unless there are too many for a receipt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

impl Parts {
    /// Returns the parts with these paths. Returns `None` if `paths` is empty.
    pub fn of<'a>(mut paths: impl ExactSizeIterator<Item = &'a Path>) -> Option<Self> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let count = paths.len();
        if count > NAMED_MAX {
            let first = text(paths.next()?);
            return Some(Parts { count, first, last: text(paths.last()?), names: Vec::new() });
        }
        let names: Vec<_> = paths.map(text).collect();
        Some(Parts { count, first: names.first()?.clone(), last: names.last()?.clone(), names })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_names_as_fit() {
        let parts = |count: usize| {
            let names: Vec<_> = (0..count).map(|at| format!("f_{at}.raw")).collect();
            Parts::of(names.iter().map(Path::new))
        };
        assert_eq!(parts(0), None);
        for (count, named) in [(1, 1), (2, 2), (NAMED_MAX, NAMED_MAX), (NAMED_MAX + 1, 0)] {
            let parts = parts(count).unwrap();
            assert_eq!((parts.count, parts.names.len()), (count, named));
            assert_eq!(
                (parts.first, parts.last),
                ("f_0.raw".into(), format!("f_{}.raw", count - 1))
            );
        }
    }
}
