//! A drop directory, as one probe sees it.

use std::path::{Path, PathBuf};

use crate::config::DropDir;
use crate::fs::{self, DataFile, Dir};
use crate::model::Stat;
use crate::probe::input::InputFile;
use crate::probe::rel_name;

/// The drop directory, as one probe sees it. All paths are relative to it.
pub(super) struct DirView<'a> {
    pub(super) drop_dir: &'a DropDir,
    pub(super) dir: Dir,
    /// Whether files may have several hard links.
    pub(super) accepts_links: bool,
    /// Whether the description that the probe begins with is the only one that counts.
    pub(super) counts_alone: bool,
}

impl<'a> DirView<'a> {
    pub(super) fn open(drop_dir: &'a DropDir) -> fs::Result<Self> {
        Ok(Self::of(drop_dir, Dir::open(&drop_dir.path)?))
    }

    pub(super) fn of(drop_dir: &'a DropDir, dir: Dir) -> Self {
        DirView { drop_dir, dir, accepts_links: false, counts_alone: false }
    }

    /// Opens a regular file that is not ignored; anything else counts as missing.
    pub(super) fn open_regular(&self, rel: &Path) -> fs::Result<Option<(DataFile, Stat)>> {
        let Some(file) = self.dir.open_file(rel)? else { return Ok(None) };
        let stat = file.stat()?;
        let counts = stat.is_file()
            && self.drop_dir.ignore.reason(rel, false).is_none()
            && self.dir.has_exact_name(rel)?;
        Ok(counts.then_some((file, stat)))
    }

    /// Opens a data file; anything but a regular file counts as missing.
    pub(crate) fn open_input(&self, rel: &Path) -> fs::Result<Option<InputFile>> {
        let Ok(name) = rel_name(rel) else { return Ok(None) };
        let Some((file, stat)) = self.open_regular(rel)? else { return Ok(None) };
        // F6: ask before anything is read.
        let written_end = file.first_hole(0)?;
        Ok(Some(InputFile { rel: rel.to_path_buf(), name, file, stat, written_end }))
    }

    /// Returns the metadata of a regular file that is not ignored; anything else counts as missing.
    pub(super) fn stat_regular(&self, rel: &Path) -> fs::Result<Option<Stat>> {
        let stat = self.dir.stat(rel)?.filter(Stat::is_file);
        let stat = stat.filter(|_| self.drop_dir.ignore.reason(rel, false).is_none());
        Ok(if stat.is_some() && !self.dir.has_exact_name(rel)? { None } else { stat })
    }

    /// Returns the paths that lead to regular files.
    pub(super) fn present(&self, rels: &[PathBuf]) -> fs::Result<Vec<PathBuf>> {
        let mut present = Vec::new();
        for rel in rels {
            if self.stat_regular(rel)?.is_some() {
                present.push(rel.clone());
            }
        }
        Ok(present)
    }
}
