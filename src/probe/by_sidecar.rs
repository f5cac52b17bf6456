//! Probes by one sidecar alone, for commands that show what it says.

use std::path::Path;

use crate::config::DropDir;
use crate::fs;
use crate::probe::{DescriptionIndex, DirView, ProbeResult};

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
