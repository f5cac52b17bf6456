//! Probes for one-off commands, which find the descriptions of a file by reading all files beside
//! and above it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::config::DropDir;
use crate::fs;
use crate::probe::dir_view::DirView;
use crate::probe::{DescriptionIndex, ProbeResult, may_describe_drop, probe_with};

/// A directory is listed again after this many times the duration of the last listing.
const LIST_AGAIN: u32 = 20;

/// The descriptions in a drop directory, for commands that probe single files: lists the
/// directories and reads all descriptions. Several probes share one listing.
#[derive(Default)]
pub struct ListedDescriptions {
    index: DescriptionIndex,
    of: PathBuf,
    /// The listed directories: time and duration of the listing.
    dirs: HashMap<PathBuf, (Instant, Duration)>,
}

impl ListedDescriptions {
    /// Lists the directories that may hold descriptions of the file at `rel`, or of the data that
    /// it describes: their own and all above.
    fn list_around(&mut self, drop_dir: &DropDir, rel: &Path) -> fs::Result<()> {
        let is_old = |(at, took): &(Instant, Duration)| at.elapsed() > *took * LIST_AGAIN;
        if self.of != drop_dir.path || self.dirs.values().any(is_old) {
            *self = ListedDescriptions {
                index: DescriptionIndex::with_room(usize::MAX),
                of: drop_dir.path.clone(),
                dirs: HashMap::new(),
            };
        }
        let view = DirView::open(drop_dir)?;
        let data = self.index.learn_at(&view, rel).unwrap_or_default();
        for path in [rel.to_path_buf()].iter().chain(&data) {
            for dir in path.ancestors().skip(1) {
                self.list(&view, dir)?;
            }
        }
        Ok(())
    }

    fn list(&mut self, view: &DirView<'_>, rel: &Path) -> fs::Result<()> {
        if self.dirs.contains_key(rel) {
            return Ok(());
        }
        let at = Instant::now();
        let entries = match view.dir.clone().into_subdir(rel).and_then(|dir| dir.entries()) {
            Ok(entries) => entries,
            Err(error) if error.is_missing() => Vec::new(),
            Err(error) => return Err(error),
        };
        for (name, _) in entries {
            if name.to_str().is_some_and(may_describe_drop) {
                // One that can't be parsed is matched by name, without the index.
                let _ = self.index.learn_at(view, &rel.join(name));
            }
        }
        self.dirs.insert(rel.to_path_buf(), (at, at.elapsed()));
        Ok(())
    }
}

/// Probes a file like [`probe`](super::probe), but finds its descriptions by reading all files
/// beside and above it. For one-off commands.
pub fn probe_standalone(
    drop_dir: &DropDir,
    rel: &Path,
    listed: &mut ListedDescriptions,
) -> fs::Result<ProbeResult> {
    if drop_dir.ignore.reason(rel, false).is_none() {
        listed.list_around(drop_dir, rel)?;
    }
    let whole = listed.index.wholes_of(rel).next().cloned();
    probe_with(&DirView::open(drop_dir)?, rel, (&listed.index, whole.as_deref()))
}
