//! Data files whose names differ from the ones that a description names in letter case alone, as
//! after a copy from a file system that ignores case. Sidecars' own readers run there, or compare
//! names without regard to case, as GDAL does.

use std::path::{Path, PathBuf};

use crate::describe::file_names::case_variants;
use crate::fs;
use crate::probe::description::{
    DataFiles, Description, may_describe, possible_manifests, possible_sidecars,
};
use crate::probe::dir_view::DirView;

impl DirView<'_> {
    /// Returns the file that holds the data, or the first of several: the first of the names that
    /// exists, else the only file whose name differs from one of them in letter case alone.
    pub(crate) fn existing_data(
        &self,
        by: &Description,
        data_files: &DataFiles,
    ) -> fs::Result<Option<PathBuf>> {
        for path in data_files.paths() {
            if self.stat_regular(path)?.is_some() {
                return Ok(Some(path.clone()));
            }
        }
        if let DataFiles::FirstOf(paths) = data_files {
            for path in paths {
                // The directory itself ignores letter case.
                if let Some(listed) = self.dir.listed_path(path)?
                    && self.stat_regular(&listed)?.is_some()
                {
                    return Ok(Some(listed));
                }
            }
        }
        let mut others = self.in_other_case(by, data_files)?;
        Ok(if others.len() == 1 { others.pop() } else { None })
    }

    /// Replaces paths in one directory by those that it lists, if it ignores letter case.
    pub(crate) fn as_listed(&self, paths: Vec<PathBuf>) -> fs::Result<Vec<PathBuf>> {
        let parent = paths.first().and_then(|path| path.parent()).unwrap_or(Path::new(""));
        if !self.dir.ignores_case_at(parent).unwrap_or(false) {
            return Ok(paths);
        }
        let mut found = Vec::new();
        for path in paths {
            let path = self.dir.listed_path(&path)?.unwrap_or(path);
            if !found.contains(&path) {
                found.push(path);
            }
        }
        Ok(found)
    }

    /// Returns the files that differ in letter case alone from the data file that a description
    /// names, without those that a description of the same kind refers to by its exact name.
    pub(crate) fn in_other_case(
        &self,
        by: &Description,
        data_files: &DataFiles,
    ) -> fs::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for path in variants(by, data_files) {
            if self.stat_regular(&path)?.is_some() && !self.has_own_description(&path, by)? {
                found.push(path);
            }
        }
        Ok(found)
    }

    /// Returns whether the name of a data file leads to another description of the same kind. A
    /// manifest overrides sidecars, so those do not count against it, nor it against them.
    fn has_own_description(&self, data: &Path, by: &Description) -> fs::Result<bool> {
        let manifests = possible_manifests(data);
        let mut paths = possible_sidecars(data);
        paths.retain(|path| manifests.contains(path) == by.is_manifest());
        for path in paths {
            if path != by.rel && self.stat_regular(&path)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the regular files whose names differ from this one in letter case alone.
    pub(crate) fn case_twins(&self, data: &Path) -> fs::Result<Vec<PathBuf>> {
        self.present(&case_variants_of(data))
    }
}

/// Returns the paths of a description's data file in other letter case. npyd matches the names of
/// several data files exactly. It also matches the name of an unparsable manifest exactly, because
/// other programs write such files as well.
pub(crate) fn variants(by: &Description, data_files: &DataFiles) -> Vec<PathBuf> {
    let mut found = Vec::new();
    if let DataFiles::FirstOf(paths) = data_files
        && (by.contents.is_ok() || !by.is_manifest())
    {
        for path in paths.iter().flat_map(|path| case_variants_of(path)) {
            if path != by.rel && !paths.contains(&path) && !found.contains(&path) {
                found.push(path);
            }
        }
    }
    found
}

/// Returns the manifests that may describe a data file if letter case does not count, without those
/// of its exact name.
pub(crate) fn manifests_in_other_case(data: &Path) -> Vec<PathBuf> {
    in_each_case(data, possible_manifests)
}

/// Returns the files that may describe a data file by name if letter case does not count, without
/// those of its exact name.
pub(crate) fn sidecars_in_other_case(data: &Path) -> Vec<PathBuf> {
    in_each_case(data, possible_sidecars)
}

fn in_each_case(data: &Path, possible: impl Fn(&Path) -> Vec<PathBuf>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in case_variants_of(data).iter().flat_map(|data| possible(data)) {
        if !found.contains(&path) {
            found.push(path);
        }
    }
    found
}

/// Returns the path in other letter case, without names of descriptions, which are no data.
fn case_variants_of(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let variants = case_variants(name).into_iter().filter(|name| !may_describe(name));
    variants.map(|name| path.with_file_name(name)).collect()
}
