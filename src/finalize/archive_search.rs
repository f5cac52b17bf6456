//! Finds archived sources.

use std::path::{Path, PathBuf};

use crate::config::DropDir;
use crate::decide::archived_source::ArchivedSource;
use crate::decide::source_identity::SourceIdentity;
use crate::fs::{self, Dir};
use crate::model::{FileName, parent_of};

/// Finds an archived source: of the names that it may have in its archive, the first whose file
/// looks as the ledger says. `recorded` is the directory that the receipt names; the configured
/// archive is searched as well, because receipts of earlier versions name none, and because
/// somebody may have moved the files there. The source of a series is the file that describes it.
#[must_use]
pub fn find_archived(
    drop_dir: &DropDir,
    (source, identity): (&Path, &SourceIdentity),
    recorded: Option<&Path>,
) -> ArchivedSource {
    let rel = source.strip_prefix(&drop_dir.path).unwrap_or(source);
    let configured = drop_dir.archive.as_ref();
    let parent = parent_of(rel);
    // Without a slash at the end, where the source was not in a subdirectory.
    let configured = configured.map(|it| it.join(parent).components().collect());
    let mut searched = Vec::from_iter(recorded.map(Path::to_path_buf));
    searched.extend(configured.filter(|it| !searched.contains(it)));
    let name = FileName::of_path(rel);
    let (mut path, mut is_hidden) = (None, false);
    for dir in &searched {
        match name.as_ref().map_or(Ok(None), |name| archived_in(dir, name, identity)) {
            Ok(found) => path = path.or(found),
            Err(error) => is_hidden |= !error.is_missing(),
        }
    }
    ArchivedSource { source: source.to_path_buf(), path, searched, is_hidden }
}

/// Returns the path of an archived source in a directory.
fn archived_in(
    dir: &Path,
    name: &FileName,
    identity: &SourceIdentity,
) -> fs::Result<Option<PathBuf>> {
    let dir = Dir::open(dir)?;
    let identity = identity.of_file(name);
    for other in name.alternatives() {
        if let Some(stat) = dir.stat(other.as_ref())?
            && identity.has_size_and_mtime(&stat)
        {
            return Ok(Some(dir.path().join(other)));
        }
    }
    Ok(None)
}
