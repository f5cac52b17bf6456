//! Probes by sidecars alone: for commands that show what a sidecar declares, and for rejected drops
//! whose sidecars a manifest overrides.

use std::path::{Path, PathBuf};

use crate::config::DropDir;
use crate::fs::{self, Dir};
use crate::model::FileName;
use crate::probe::description::{possible_manifests, possible_sidecars};
use crate::probe::dir_view::DirView;
use crate::probe::{DescriptionIndex, ProbeResult, rel_name};

/// Probes the data that the sidecar at `rel` describes as if nothing else described them. Returns
/// `None` if the file is not a sidecar.
///
/// # Errors
/// A file can't be read.
pub fn probe_by_sidecar(drop_dir: &DropDir, rel: &Path) -> fs::Result<Option<ProbeResult>> {
    let view = DirView { counts_alone: true, ..DirView::open(drop_dir)? };
    let Some(sidecar) = view.read_description(rel)?.filter(|by| !by.is_manifest()) else {
        return Ok(None);
    };
    view.probe_from_description(sidecar, &DescriptionIndex::default(), None).map(Some)
}

/// Returns whether the file at `rel` is a manifest.
///
/// # Errors
/// The file can't be read.
pub fn is_manifest(drop_dir: &DropDir, rel: &Path) -> fs::Result<bool> {
    let by = DirView::open(drop_dir)?.read_description(rel)?;
    Ok(by.is_some_and(|by| by.is_manifest() && by.contents.is_ok()))
}

/// Returns the names of the sidecars in the directory `dir` to which the name of a data file leads,
/// and that describe it alone.
///
/// # Errors
/// A file can't be read.
pub fn sidecars_by_name(
    drop_dir: &DropDir,
    dir: &Dir,
    data: &FileName,
) -> fs::Result<Vec<FileName>> {
    let view = DirView::of(drop_dir, dir.clone());
    let mut names = Vec::new();
    for path in possible_sidecars(data.as_ref()) {
        let is_beside = path.components().count() == 1;
        if is_beside
            && !possible_manifests(data.as_ref()).contains(&path)
            && let Some(matched) = view.match_description(&path, data.as_ref())?
            && matched.by.file.is_some_and(|file| !file.is_shared)
            && matched.data_files.parts().is_empty()
        {
            names.extend(rel_name(&path));
        }
    }
    Ok(names)
}

/// Returns the names under which a description of a data file may lie beside it.
#[must_use]
pub fn description_names(data: &FileName) -> Vec<FileName> {
    let beside = |path: &PathBuf| path.components().count() == 1;
    let paths = possible_sidecars(data.as_ref()).into_iter().filter(beside);
    paths.filter_map(|path| rel_name(&path).ok()).collect()
}

/// Returns the names under which a manifest of a data file may lie beside it.
#[must_use]
pub fn manifest_names(data: &FileName) -> Vec<FileName> {
    possible_manifests(data.as_ref()).iter().filter_map(|path| rel_name(path).ok()).collect()
}
