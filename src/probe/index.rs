//! The description index: which files describe a data file, where the names do not show it.
//!
//! A manifest's key `data` and many sidecars name their data in their text. The index holds what
//! those texts say, so that all descriptions of a data file are found, whichever is read first. It
//! may hold too much: whoever reads a description again sees whether it still means the data file.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::config::DropDir;
use crate::describe::manifest::manifest_names;
use crate::fs;
use crate::probe::description::{DataFiles, possible_sidecars};
use crate::probe::{DirView, ProbeResult, look_by, may_describe};

/// Which files describe a data file. All paths are below the drop directory.
#[derive(Default)]
pub struct DescriptionIndex {
    by_data: HashMap<PathBuf, BTreeSet<PathBuf>>,
    /// Files that hold data together with others, and the sidecar that says so.
    parts: HashMap<PathBuf, PathBuf>,
    /// How many descriptions are held, without those of parts.
    len: usize,
    /// The most that are held of each kind.
    room: usize,
}

impl DescriptionIndex {
    /// An empty index with room for so many.
    #[must_use]
    pub fn with_room(room: usize) -> Self {
        DescriptionIndex { room, ..DescriptionIndex::default() }
    }

    /// The number of descriptions held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The files that describe this data file, besides those that its name leads to.
    pub fn describing(&self, data: &Path) -> impl Iterator<Item = &PathBuf> {
        self.by_data.get(data).into_iter().flatten()
    }

    /// The sidecar that describes this file together with others.
    #[must_use]
    pub fn whole_of(&self, part: &Path) -> Option<&PathBuf> {
        self.parts.get(part)
    }

    /// Adds a description of a data file, unless the file's name leads to it. Returns whether that
    /// was new.
    pub fn add(&mut self, data: &Path, description: &Path) -> bool {
        if self.len >= self.room || leads_to(data, description) {
            return false;
        }
        let is_new =
            self.by_data.entry(data.to_path_buf()).or_default().insert(description.to_path_buf());
        self.len += usize::from(is_new);
        is_new
    }

    /// Adds the files that a sidecar describes together.
    pub fn add_parts(&mut self, sidecar: &Path, parts: &[PathBuf]) {
        for part in parts {
            if self.parts.len() < self.room {
                self.parts.insert(part.clone(), sidecar.to_path_buf());
            }
        }
    }

    /// Reads a file that is named as if it described data, and adds what it describes.
    pub fn learn(&mut self, drop_dir: &DropDir, rel: &Path) -> fs::Result<()> {
        let names_one = rel.file_name().and_then(|name| name.to_str()).is_some_and(may_describe);
        if names_one {
            self.learn_at(&DirView::open(drop_dir)?, rel)?;
        }
        Ok(())
    }

    /// Returns the data files it describes.
    fn learn_at(&mut self, place: &DirView<'_>, rel: &Path) -> fs::Result<Vec<PathBuf>> {
        let mut data = Vec::new();
        let Some(by) = place.read_description(rel)? else { return Ok(data) };
        if by.contents.is_err() {
            return Ok(data); // only names tell what it means
        }
        for data_files in by.data_files() {
            match &data_files {
                DataFiles::Parts(parts) => self.add_parts(rel, parts),
                DataFiles::FirstOf(paths) => {
                    for path in paths {
                        self.add(path, rel);
                    }
                }
            }
            data.extend_from_slice(data_files.paths());
        }
        Ok(data)
    }

    /// Drops what is held of a data file and a description that are both `unknown`.
    pub fn retain(&mut self, is_known: impl Fn(&Path) -> bool) {
        self.by_data.retain(|data, descriptions| {
            if !is_known(data) {
                descriptions.retain(|description| is_known(description));
            }
            !descriptions.is_empty()
        });
        self.parts.retain(|part, sidecar| is_known(part) || is_known(sidecar));
        self.len = self.by_data.values().map(BTreeSet::len).sum();
    }
}

/// Whether a data file's name leads to what describes it.
fn leads_to(data: &Path, description: &Path) -> bool {
    let text = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let by_manifest = || {
        let (name, by) = text(data).zip(text(description))?;
        Some(data.parent() == description.parent() && manifest_names(&name).contains(&by))
    };
    by_manifest() == Some(true) || possible_sidecars(data).iter().any(|path| path == description)
}

/// How often a directory may be listed again: so many times as long as listing it takes.
const LIST_AGAIN: u32 = 20;

/// The descriptions in a drop directory, for whoever asks about single files: its files are listed
/// and read. Several questions at once share what was read.
#[derive(Default)]
pub struct ListedDescriptions {
    index: DescriptionIndex,
    of: PathBuf,
    /// The directories that were listed, when, and how long that took.
    dirs: HashMap<PathBuf, (Instant, Duration)>,
}

impl ListedDescriptions {
    /// Lists the directories in which something may describe the file at `rel`, or the data that it
    /// describes: their own, and those above.
    fn list_around(&mut self, drop_dir: &DropDir, rel: &Path) -> fs::Result<()> {
        let is_old = |(at, took): &(Instant, Duration)| at.elapsed() > *took * LIST_AGAIN;
        if self.of != drop_dir.path || self.dirs.values().any(is_old) {
            *self = ListedDescriptions {
                index: DescriptionIndex::with_room(usize::MAX),
                of: drop_dir.path.clone(),
                dirs: HashMap::new(),
            };
        }
        let place = DirView::open(drop_dir)?;
        let data = self.index.learn_at(&place, rel).unwrap_or_default();
        for path in [rel.to_path_buf()].iter().chain(&data) {
            for dir in path.ancestors().skip(1) {
                self.list(&place, dir)?;
            }
        }
        Ok(())
    }

    fn list(&mut self, place: &DirView<'_>, rel: &Path) -> fs::Result<()> {
        if self.dirs.contains_key(rel) {
            return Ok(());
        }
        let at = Instant::now();
        let entries = match place.dir.try_clone()?.into_subdir(rel).and_then(|dir| dir.entries()) {
            Ok(entries) => entries,
            Err(error) if error.is_missing() => Vec::new(),
            Err(error) => return Err(error),
        };
        for (name, _) in entries {
            if name.to_str().is_some_and(may_describe) {
                // One that can't be read describes nothing that its name does not tell.
                let _ = self.index.learn_at(place, &rel.join(name));
            }
        }
        self.dirs.insert(rel.to_path_buf(), (at, at.elapsed()));
        Ok(())
    }
}

/// Looks at a file that somebody asks about alone: all that lies beside it is read.
pub fn probe_standalone(
    drop_dir: &DropDir,
    rel: &Path,
    listed: &mut ListedDescriptions,
) -> fs::Result<ProbeResult> {
    if drop_dir.ignore.reason(rel, false).is_none() {
        listed.list_around(drop_dir, rel)?;
    }
    let whole = listed.index.whole_of(rel).cloned();
    look_by(drop_dir, rel, &listed.index, whole.as_deref())
}
