//! Probes for one-off commands, which find the descriptions of a file by reading all files beside
//! and above it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::config::DropDir;
use crate::fs;
use crate::model::Stat;
use crate::probe::dir_view::DirView;
use crate::probe::{DescriptionIndex, ProbeResult, may_describe_drop, probe_with};

/// A directory is listed again after this many times the duration of the last listing.
const LIST_AGAIN: u32 = 20;

/// The descriptions in a drop directory, for commands that probe single files: lists the
/// directories and reads all descriptions. Several probes share one listing.
#[derive(Default)]
pub struct ListedDescriptions {
    index: DescriptionIndex,
    /// Reads only descriptions that changed since then, in nanoseconds since 1970, and the one with
    /// this name.
    changed_since: Option<(i64, Option<String>)>,
    of: PathBuf,
    /// The listed directories: time and duration of the listing.
    dirs: HashMap<PathBuf, (Instant, Duration)>,
}

impl ListedDescriptions {
    /// Reads only the descriptions that changed since the time `since`, in nanoseconds since 1970,
    /// and those of the name `known`. The caller must know that npyd had regard to all others
    /// then. A file that is moved into a directory changes, too.
    #[must_use]
    pub fn changed_since(since: i64, known: Option<String>) -> Self {
        ListedDescriptions { changed_since: Some((since, known)), ..Self::default() }
    }

    /// Lists the directories that may hold descriptions of the file at `rel`, or of the data that
    /// it describes: their own and all above.
    fn list_around(&mut self, drop_dir: &DropDir, rel: &Path) -> fs::Result<()> {
        let is_old = |(at, took): &(Instant, Duration)| at.elapsed() > *took * LIST_AGAIN;
        if self.of != drop_dir.path || self.dirs.values().any(is_old) {
            *self = ListedDescriptions {
                index: DescriptionIndex::with_room(usize::MAX),
                changed_since: self.changed_since.take(),
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
            let rel = rel.join(&name);
            if name.to_str().is_some_and(|it| may_describe_drop(it) && self.counts(view, &rel, it))
            {
                // One that can't be parsed is matched by name, without the index.
                let _ = self.index.learn_at(view, &rel);
            }
        }
        self.dirs.insert(rel.to_path_buf(), (at, at.elapsed()));
        Ok(())
    }

    /// Returns whether a description may matter.
    fn counts(&self, view: &DirView<'_>, rel: &Path, name: &str) -> bool {
        let Some((since, known)) = &self.changed_since else { return true };
        let is_new = |stat: Option<Stat>| stat.is_none_or(|stat| stat.ctime_ns >= *since);
        known.as_deref() == Some(name) || view.dir.stat(rel).map_or(true, is_new)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::fs::Dir;

    /// Of two manifests that name the data, only one changed since.
    #[test]
    fn only_descriptions_that_changed_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let text = "state_dir = 'state'\n[[drop]]\npath = 'in'\n";
        let config = Config::parse(text, Path::new("npyd.toml"), &root).unwrap();
        let drop_dir = &config.drop_dirs[0];
        std::fs::create_dir(root.join("in")).unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(root.join("in").join(name), text).unwrap();
        write("x.raw", "1234");
        for name in ["one.toml", "two.toml"] {
            write(name, "dtype = '|u1'\nshape = [4]\ndata = 'x.raw'\n");
        }
        let changed = |name: &str| {
            let stat = Dir::open(&drop_dir.path).unwrap().stat(Path::new(name)).unwrap().unwrap();
            stat.ctime_ns
        };
        let later = changed("two.toml") + 1;
        for (since, known, expected) in [
            (None, None, 2),
            (Some(0), None, 2),
            (Some(changed("two.toml")), None, 1 + usize::from(changed("one.toml") == later - 1)),
            (Some(later), None, 0),
            (Some(later), Some("one.toml"), 1),
        ] {
            let mut listed = since.map_or_else(ListedDescriptions::default, |since| {
                ListedDescriptions::changed_since(since, known.map(str::to_owned))
            });
            drop(probe_standalone(drop_dir, Path::new("x.raw"), &mut listed).unwrap());
            assert_eq!(listed.index.describing(Path::new("x.raw")).count(), expected, "{since:?}");
        }
    }
}
