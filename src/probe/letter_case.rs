//! Data files whose names differ from the ones that a sidecar names in letter case alone, as after
//! a copy from a file system that ignores case. The formats' own readers run there, and find them.

use std::path::{Path, PathBuf};

use crate::describe::text::file_names::case_variants;
use crate::fs;
use crate::probe::DirView;
use crate::probe::description::{Contents, DataFiles, Description, possible_sidecars};

/// Maximum number of names that a sidecar may give for its data file. Formats with more names list
/// those in other letter case themselves.
const NAMES_MAX: usize = 4;

impl DirView<'_> {
    /// Returns the file that holds the data, or the first of several: the first of the names that
    /// exists, else the only file whose name differs from one of them in letter case alone.
    pub(crate) fn existing_data(
        &self,
        by: &Description,
        data_files: &DataFiles,
    ) -> fs::Result<Option<PathBuf>> {
        if let Some(first) = self.present(data_files.paths())?.into_iter().next() {
            return Ok(Some(first));
        }
        let mut others = self.in_other_case(by, data_files)?;
        Ok(if others.len() == 1 { others.pop() } else { None })
    }

    /// Returns the files that differ in letter case alone from the data files that a sidecar names,
    /// and that nothing else describes by name.
    pub(crate) fn in_other_case(
        &self,
        by: &Description,
        data_files: &DataFiles,
    ) -> fs::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for path in variants(by, data_files) {
            if !found.contains(&path)
                && self.stat_regular(&path)?.is_some()
                && !self.is_described_by_name(&path, &by.sidecar.rel)?
            {
                found.push(path);
            }
        }
        Ok(found)
    }

    fn is_described_by_name(&self, data: &Path, except: &Path) -> fs::Result<bool> {
        for path in possible_sidecars(data) {
            if path != except && self.stat_regular(&path)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Returns the paths of a sidecar's data file in other letter case.
pub(crate) fn variants(by: &Description, data_files: &DataFiles) -> Vec<PathBuf> {
    match (&by.contents, data_files) {
        (Ok(Contents::Arrays(..)), DataFiles::FirstOf(paths)) if paths.len() <= NAMES_MAX => {
            let names = paths.iter().filter_map(|path| Some((path, path.file_name()?.to_str()?)));
            let others = names.flat_map(|(path, name)| {
                case_variants(name).into_iter().map(|name| path.with_file_name(name))
            });
            others.filter(|path| *path != by.sidecar.rel).collect()
        }
        _ => Vec::new(),
    }
}
