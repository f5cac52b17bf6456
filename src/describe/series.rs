//! Series: data in several files that one description combines to one array, and that further files
//! may join.

use std::path::{Path, PathBuf};

use crate::describe::name_glob::NameGlob;
use crate::model::FileName;

/// What stands for a series: in the tracker, in receipts, in the ledger and in the origin of the
/// array. No data file does, because others may join before the first one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SeriesKey {
    /// The manifest that describes the series.
    Manifest(FileName),
}

/// A series.
#[derive(Debug, Clone)]
pub struct Series<'a> {
    /// What stands for it.
    pub key: SeriesKey,
    /// The names of its files, in order.
    pub files: &'a [FileName],
    /// The glob that the names of its files match; `None` if the description lists them.
    pub glob: Option<&'a NameGlob>,
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
