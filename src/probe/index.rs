//! The description index: the descriptions of data files that cannot be found by name.
//!
//! A manifest's key `data` and many sidecars name their data in their text. Maps each data file to
//! the descriptions whose text names it, so the order of reading does not matter. An entry may be
//! stale: the reader of a description checks whether it still refers to the data file.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::config::DropDir;
use crate::describe::NamePattern;
use crate::describe::manifest::is_named_for;
use crate::describe::series::SeriesKey;
use crate::fs::{self, Dir};
use crate::model::parent_of;
use crate::probe::ReadDescription;
use crate::probe::description::{DataFiles, Description, possible_sidecars};
use crate::probe::dir_view::DirView;
use crate::probe::input::InputFile;
use crate::probe::listed_endings::ListedEndings;

/// Maps data files to the files that describe them. All paths are below the drop directory.
#[derive(Default)]
pub struct DescriptionIndex {
    by_data: HashMap<PathBuf, BTreeSet<PathBuf>>,
    /// Maps the parts of an array that is in several files to the descriptions that combine them.
    parts: HashMap<PathBuf, BTreeSet<PathBuf>>,
    /// The descriptions whose data match a glob, by directory.
    globs: HashMap<PathBuf, BTreeMap<PathBuf, NamePattern>>,
    /// The descriptions that the current scan has added. Not all of them have an entry in the
    /// tracker yet.
    added: HashSet<PathBuf>,
    /// Which kinds of descriptions the current scan has listed, for drops that wait.
    listed: ListedEndings,
    /// Number of descriptions, without those of parts.
    len: usize,
    /// Maximum number of entries of each kind.
    room: usize,
    /// Whether there was no room for a description since the current scan began, and whether there
    /// was none before, as long as the scan reads the descriptions.
    has_left_out: bool,
    had_left_out: bool,
}

impl DescriptionIndex {
    /// Creates an empty index for at most `room` entries of each kind.
    #[must_use]
    pub fn with_room(room: usize) -> Self {
        DescriptionIndex { room, ..DescriptionIndex::default() }
    }

    /// Returns the number of descriptions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether the index has no descriptions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns whether it may lack descriptions, because it had no room for them. A file that
    /// nothing else describes may have one of these.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        self.has_left_out || self.had_left_out
    }

    /// Returns the maximum number of descriptions.
    #[must_use]
    pub fn room(&self) -> usize {
        self.room
    }

    /// Returns the files that describe this data file and cannot be found by name.
    pub fn describing(&self, data: &Path) -> impl Iterator<Item = &PathBuf> {
        self.by_data.get(data).into_iter().flatten()
    }

    /// Returns the descriptions that combine this file with others, as parts of one array.
    pub fn wholes_of(&self, part: &Path) -> impl Iterator<Item = &PathBuf> {
        let name = part.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let globs = part.parent().and_then(|dir| self.globs.get(dir)).into_iter().flatten();
        let matching = globs.filter(|(by, glob)| *by != part && glob.matches(name));
        let listing = self.parts.get(part).into_iter().flatten();
        let wholes: BTreeSet<&PathBuf> = matching.map(|(by, _)| by).chain(listing).collect();
        wholes.into_iter()
    }

    /// Returns the data files that descriptions refer to.
    pub fn data(&self) -> impl Iterator<Item = &PathBuf> {
        self.by_data.keys().chain(self.parts.keys())
    }

    /// Adds a description of a data file, unless it can be found by name. Returns whether it is
    /// new.
    pub fn add(&mut self, data: &Path, description: &Path) -> bool {
        if data == description || is_found_by_name(data, description) {
            return false;
        }
        if self.len >= self.room {
            let is_known = self.by_data.get(data).is_some_and(|known| known.contains(description));
            self.has_left_out |= !is_known;
            return false;
        }
        let is_new =
            self.by_data.entry(data.to_path_buf()).or_default().insert(description.to_path_buf());
        self.len += usize::from(is_new);
        is_new
    }

    /// Adds the parts that a description combines.
    pub fn add_parts(&mut self, description: &Path, parts: &[PathBuf]) {
        for part in parts {
            if self.parts.len() >= self.room && !self.parts.contains_key(part) {
                self.has_left_out = true;
            } else {
                let wholes = self.parts.entry(part.clone()).or_default();
                wholes.insert(description.to_path_buf());
            }
        }
    }

    /// Adds or removes the glob by which a description names its data.
    fn set_glob(&mut self, description: &Path, glob: Option<&NamePattern>) {
        let dir = parent_of(description);
        let count = || self.globs.values().map(BTreeMap::len).sum::<usize>();
        match glob {
            Some(glob) if count() < self.room => {
                let globs = self.globs.entry(dir.to_path_buf()).or_default();
                globs.insert(description.to_path_buf(), glob.clone());
            }
            Some(_) => self.has_left_out = true,
            None => {
                if let Some(globs) = self.globs.get_mut(dir) {
                    globs.remove(description);
                }
            }
        }
    }

    /// Reads a file that is named like a description, and adds what it describes. The drop
    /// directory is open as `root`.
    pub fn learn(&mut self, (drop_dir, root): (&DropDir, &Dir), rel: &Path) -> fs::Result<()> {
        self.note_later(rel);
        self.learn_at(&DirView::of(drop_dir, root.clone()), rel).map(drop)
    }

    /// Reads the description of a series in the directory `dir`. If it still describes one, adds
    /// the files and returns them in order.
    pub fn learn_series(
        &mut self,
        (drop_dir, root): (&DropDir, &Dir),
        (dir, key): (&Path, &SeriesKey),
    ) -> fs::Result<Option<Vec<PathBuf>>> {
        let view = DirView::of(drop_dir, root.clone());
        match view.read_description(&key.path_in(dir))? {
            Some(by) if by.series().is_some() => {
                self.added.insert(by.rel.clone());
                self.learn_from(&view, &by).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Reads a description, adds what it describes, and returns its data files.
    pub(super) fn learn_at(&mut self, view: &DirView<'_>, rel: &Path) -> fs::Result<Vec<PathBuf>> {
        match view.read_description(rel)? {
            Some(by) => self.learn_from(view, &by),
            None => Ok(Vec::new()),
        }
    }

    /// Adds what a description describes that a scan read.
    pub fn add_read(
        &mut self,
        (drop_dir, root): (&DropDir, &Dir),
        description: &ReadDescription,
    ) -> fs::Result<()> {
        let by = &description.0;
        let data = self.learn_from(&DirView::of(drop_dir, root.clone()), by)?;
        if by.pattern().is_some() || data.iter().any(|data| self.has(data, by)) {
            self.added.insert(by.rel.clone());
        }
        Ok(())
    }

    fn has(&self, data: &Path, by: &Description) -> bool {
        [&self.by_data, &self.parts]
            .iter()
            .any(|map| map.get(data).is_some_and(|descriptions| descriptions.contains(&by.rel)))
    }

    fn learn_from(&mut self, view: &DirView<'_>, by: &Description) -> fs::Result<Vec<PathBuf>> {
        let (mut data, rel) = (Vec::new(), by.rel.as_path());
        let is_usable = by.contents.is_ok();
        if is_usable {
            self.set_glob(rel, by.pattern());
        }
        for data_files in by.data_files() {
            match &data_files {
                DataFiles::Parts(_) if by.pattern().is_some() => {}
                DataFiles::Parts(parts) => self.add_parts(rel, parts),
                DataFiles::FirstOf(paths) => {
                    // One that can't be parsed is matched by its name, which leads to these.
                    for path in paths.iter().filter(|_| is_usable) {
                        self.add(path, rel);
                    }
                    if let Some(path) = view.existing_data(by, &data_files)?
                        && !paths.contains(&path)
                    {
                        self.add(&path, rel);
                        data.push(path);
                    }
                }
            }
            if is_usable {
                data.extend_from_slice(data_files.paths());
            }
        }
        Ok(data)
    }

    /// Notes a file named like a description that the current scan lists.
    pub fn note_listed(&mut self, rel: &Path) {
        self.listed.note(rel);
    }

    /// Notes a file named like a description that has come since.
    pub fn note_later(&mut self, rel: &Path) {
        self.listed.note_later(rel);
    }

    /// Notes that the current scan has listed all names of a directory. Until it ends, probes look
    /// there only for descriptions whose names end like those that it has listed.
    pub fn note_whole_dir(&mut self, dir: &Path) {
        self.listed.note_whole(dir);
    }

    /// Makes probes look for all descriptions: the scan has ended, or is not up to date. Returns
    /// whether they did not do that before.
    pub fn look_for_all(&mut self) -> bool {
        self.listed.clear()
    }

    /// Returns the paths of the files that may describe this data file by name, without those that
    /// are not there according to the current scan.
    pub(super) fn sidecars_to_look_for(&self, data: &Path) -> Vec<PathBuf> {
        let mut paths = possible_sidecars(data);
        paths.retain(|path| self.listed.may_have(path));
        paths
    }

    /// Returns whether one of these data files has got a description since the current scan listed
    /// its directory, for which probes have not looked. The caller must know that before npyd takes
    /// or rejects the drop. While it waits, the description is found by its event, by the next
    /// scan, or by a later look.
    pub fn has_unlisted_description(
        &self,
        (drop_dir, root): (&DropDir, &Dir),
        files: &[InputFile],
    ) -> fs::Result<bool> {
        let view = DirView::of(drop_dir, root.clone());
        for path in files.iter().flat_map(|file| possible_sidecars(&file.rel)) {
            if !self.listed.may_have(&path) && view.stat_regular(&path)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Forgets which descriptions scans have added: a new one begins.
    pub fn begin_scan(&mut self) {
        self.listed.clear();
        self.added.clear();
        self.had_left_out = self.is_incomplete();
        self.has_left_out = false;
    }

    /// Removes the entries whose data file and description are both unknown, once the current scan
    /// has read all descriptions.
    pub fn retain(&mut self, is_known: impl Fn(&Path) -> bool) {
        let added = std::mem::take(&mut self.added);
        self.had_left_out = false;
        let is_by_known = |description: &Path| added.contains(description) || is_known(description);
        self.by_data.retain(|data, descriptions| {
            if !is_known(data) {
                descriptions.retain(|description| is_by_known(description));
            }
            !descriptions.is_empty()
        });
        self.parts.retain(|part, wholes| is_known(part) || wholes.iter().any(|it| is_by_known(it)));
        self.globs.retain(|_, globs| {
            globs.retain(|description, _| is_by_known(description));
            !globs.is_empty()
        });
        self.len = self.by_data.values().map(BTreeSet::len).sum();
    }
}

/// Returns whether the description can be found by the data file's name.
fn is_found_by_name(data: &Path, description: &Path) -> bool {
    fn name(path: &Path) -> Option<&str> {
        path.file_name().and_then(|name| name.to_str())
    }
    let is_by_manifest =
        name(description).zip(name(data)).is_some_and(|(by, data)| is_named_for(by, data))
            && data.parent() == description.parent();
    is_by_manifest || possible_sidecars(data).iter().any(|path| path == description)
}
