//! Series: data in several files that one description combines to one array, and that further files
//! may join.

use std::path::{Path, PathBuf};

use crate::describe::name_pattern::NamePattern;
use crate::describe::natural_order::{natural_order, numbering_remarks};
use crate::model::FileName;
use crate::npy::sanitize::sanitize;

/// What stands for a series: in the tracker, in receipts, in the ledger and in the origin of the
/// array. No data file does, because others may join before the first one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SeriesKey {
    /// The manifest that describes the series.
    Manifest(FileName),
}

/// A series as its description declares it.
#[derive(Debug, Clone)]
pub struct DeclaredSeries {
    /// What stands for it.
    pub key: SeriesKey,
    /// The pattern that the names of its files match; `None` if the description lists them.
    pub pattern: Option<NamePattern>,
    files: Vec<FileName>,
}

impl DeclaredSeries {
    /// Creates the series of these files, in this order.
    #[must_use]
    pub fn of_files(key: SeriesKey, files: Vec<FileName>) -> Self {
        DeclaredSeries { key, pattern: None, files }
    }

    /// Creates the series of the files whose names match. The directory has not been listed yet.
    #[must_use]
    pub fn matching(key: SeriesKey, pattern: NamePattern) -> Self {
        DeclaredSeries { key, pattern: Some(pattern), files: Vec::new() }
    }

    /// Returns the names of its files, in order.
    #[must_use]
    pub fn files(&self) -> &[FileName] {
        &self.files
    }

    /// Stores the files that the pattern matches, in natural order. Returns remarks on gaps in
    /// their numbering.
    pub fn set_files(&mut self, mut names: Vec<FileName>) -> Vec<String> {
        names.sort_by(|name, other| natural_order(name.as_str(), other.as_str()));
        self.files = names;
        numbering_remarks(&self.files).iter().map(|remark| sanitize(remark)).collect()
    }
}

impl SeriesKey {
    /// Returns the key of the series that the description of this name describes.
    #[must_use]
    pub(crate) fn of_description(name: &FileName) -> Self {
        SeriesKey::Manifest(name.clone())
    }

    /// Returns the key of a drop of the ledger that has this name and was described by that file;
    /// `None` if the drop is that of a single file.
    #[must_use]
    pub fn of_drop(name: &FileName, described_by: Option<&str>) -> Option<Self> {
        (described_by == Some(name.as_str())).then(|| Self::of_description(name))
    }

    /// Returns the name of the drop.
    #[must_use]
    pub fn name(&self) -> &FileName {
        match self {
            SeriesKey::Manifest(name) => name,
        }
    }

    /// Returns the path of the drop, whose files are in the directory `dir`.
    #[must_use]
    pub fn path_in(&self, dir: &Path) -> PathBuf {
        dir.join(self.name())
    }

    /// Returns the file that describes the series, if a file does.
    #[must_use]
    pub fn description(&self) -> Option<&FileName> {
        match self {
            SeriesKey::Manifest(name) => Some(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drop_that_has_the_name_of_its_description_is_a_series() {
        let name = |name: &str| FileName::try_from(name.to_owned()).unwrap();
        let manifest = name("run.toml");
        let key = SeriesKey::of_drop(&manifest, Some("run.toml")).unwrap();
        assert_eq!((key.name(), key.description()), (&manifest, Some(&manifest)));
        assert_eq!(key.path_in(Path::new("a")), Path::new("a/run.toml"));
        for described_by in [None, Some("run.raw.toml")] {
            assert_eq!(SeriesKey::of_drop(&name("run.raw"), described_by), None);
        }
    }
}
