//! The endings of the names of descriptions that a scan has listed: most directories have one kind
//! of description, so that a probe of a drop that waits need not look for all others.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use crate::model::parent_of;

/// Maximum number of directories whose endings are kept.
const DIRS_MAX: usize = 4096;

/// The endings in the directories that the current scan has listed.
#[derive(Default)]
pub(super) struct ListedEndings(HashMap<PathBuf, OfDir>);

#[derive(Default)]
struct OfDir {
    /// In lower case, because a directory may ignore letter case.
    endings: BTreeSet<String>,
    /// Whether the scan has listed the whole directory.
    is_whole: bool,
}

impl ListedEndings {
    /// Notes a description that a scan lists.
    pub(super) fn note(&mut self, description: &Path) {
        let dir = parent_of(description);
        if !self.0.contains_key(dir) {
            if self.0.len() >= DIRS_MAX {
                return;
            }
            self.0.insert(dir.to_path_buf(), OfDir::default());
        }
        self.note_later(description);
    }

    /// Notes a description that has come since the scan listed its directory.
    pub(super) fn note_later(&mut self, description: &Path) {
        if let Some(of) = self.0.get_mut(parent_of(description))
            && let Some(ending) = ending(description)
            && !of.endings.contains(&ending)
        {
            of.endings.insert(ending);
        }
    }

    /// Notes that the scan has listed all names of a directory.
    pub(super) fn note_whole(&mut self, dir: &Path) {
        if let Some(of) = self.0.get_mut(dir) {
            of.is_whole = true;
        }
    }

    /// Returns whether a description of this name may be there.
    pub(super) fn may_have(&self, description: &Path) -> bool {
        let of = self.0.get(parent_of(description)).filter(|of| of.is_whole);
        of.is_none_or(|of| ending(description).is_none_or(|it| of.endings.contains(&it)))
    }

    /// Forgets all. Returns whether there was anything to forget.
    pub(super) fn clear(&mut self) -> bool {
        !std::mem::take(&mut self.0).is_empty()
    }
}

fn ending(path: &Path) -> Option<String> {
    let ending = path.extension()?.to_str().filter(|it| it.is_ascii())?;
    Some(ending.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::describe::formats::FORMATS;
    use crate::probe::description::{may_describe, possible_sidecars};

    #[test]
    fn only_endings_of_whole_directories_count() {
        let mut listed = ListedEndings::default();
        let may_have = |listed: &ListedEndings, path: &str| listed.may_have(Path::new(path));
        assert!(may_have(&listed, "a.hdr"));
        listed.note(Path::new("a.raw.toml"));
        listed.note(Path::new("below/b.HDR"));
        assert!(may_have(&listed, "a.hdr"));
        listed.note_whole(Path::new(""));
        listed.note_whole(Path::new("below"));
        listed.note_whole(Path::new("other"));
        for (path, expected) in [
            ("b.toml", true),
            ("b.TOML", true),
            ("b.hdr", false),
            ("below/c.hdr", true),
            ("below/c.toml", false),
            ("other/c.toml", true),
            ("name", true),
        ] {
            assert_eq!(may_have(&listed, path), expected, "{path}");
        }
        listed.note_later(Path::new("b.hdr"));
        listed.note_later(Path::new("other/b.hdr"));
        assert!(may_have(&listed, "a.hdr") && may_have(&listed, "other/a.toml"));
        assert!(!may_have(&listed, "b.mhd"));
        assert!(listed.clear() && may_have(&listed, "b.mhd"));
        assert!(!listed.clear());
    }

    /// A scan notes only names that may describe data: every description that a probe looks for
    /// must have one.
    #[test]
    fn a_scan_notes_each_description_that_a_probe_looks_for() {
        let names = FORMATS.iter().flat_map(|it| (it.data_of)(it.sample_name()));
        let names: Vec<_> = names.chain(["a.raw", "a.bin", "a", "a.f32"].map(Into::into)).collect();
        assert!(names.len() > FORMATS.len());
        for path in names.iter().flat_map(|name| possible_sidecars(Path::new(name))) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap();
            assert!(may_describe(name), "{name}");
        }
    }
}
