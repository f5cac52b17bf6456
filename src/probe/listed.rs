//! Listed files: what a scan can tell about a name of a listing without a whole probe.

use std::path::{Path, PathBuf};

use crate::config::DropDir;
use crate::describe::formats::FORMATS;
use crate::describe::manifest;
use crate::fs::{self, Dir};
use crate::model::Stat;
use crate::probe::data_head::DataHead;
use crate::probe::description::{DataFiles, Description, possible_sidecars};
use crate::probe::dir_view::DirView;
use crate::probe::rel_name;

/// What a file is by itself, without regard to descriptions and templates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BareFile {
    /// It is a drop, or only a probe can tell why it is not.
    Drop,
    /// It is a finished array. It was changed last at this time, in nanoseconds since 1970.
    Array(i64),
    /// It is no drop while nothing describes it. It was changed last at this time.
    Undescribed(i64),
    /// It is not there, ignored, or not a regular file.
    Gone,
}

/// Returns what a file is by itself.
pub fn bare_file((drop_dir, root): (&DropDir, &Dir), rel: &Path) -> fs::Result<BareFile> {
    let view = DirView::of(drop_dir, root.clone());
    if rel_name(rel).is_err() {
        let stat = view.stat_regular(rel)?;
        return Ok(stat.map_or(BareFile::Gone, |stat| BareFile::Undescribed(stat.ctime_ns)));
    }
    let Some(input) = view.open_input(rel)? else { return Ok(BareFile::Gone) };
    let head = DataHead { data: &input, sidecar_dir: None };
    Ok(match head.own_header()? {
        Ok(None) if input.is_npy()? => BareFile::Array(input.stat.ctime_ns),
        Ok(None) => BareFile::Undescribed(input.stat.ctime_ns),
        Ok(Some(_)) | Err(_) => BareFile::Drop,
    })
}

/// A description that a scan read, for [`DescriptionIndex::add_read`].
///
/// [`DescriptionIndex::add_read`]: crate::probe::DescriptionIndex::add_read
pub struct ReadDescription(pub(super) Description);

impl ReadDescription {
    /// Reads a file that is named like a description. Returns `None` if it does not exist or
    /// describes nothing.
    pub fn read((drop_dir, root): (&DropDir, &Dir), rel: &Path) -> fs::Result<Option<Self>> {
        let view = DirView::of(drop_dir, root.clone());
        Ok(view.read_description(rel)?.map(ReadDescription))
    }

    /// Returns the metadata of the file that was read.
    #[must_use]
    pub fn stat(&self) -> Option<&Stat> {
        self.0.file.as_ref().map(|file| &file.stat)
    }

    /// Returns the path of the data file that it certainly leads to, if there is one: the only
    /// array that it describes is in one file, and this is the first place for it.
    #[must_use]
    pub fn first_data(&self) -> Option<PathBuf> {
        match &self.0.data_files()[..] {
            [DataFiles::FirstOf(paths)] => paths.first().cloned(),
            _ => None,
        }
    }

    /// Returns the paths of the data files of each array.
    #[must_use]
    pub fn data(&self) -> Vec<Vec<PathBuf>> {
        self.0.data_files().iter().map(|files| files.paths().to_vec()).collect()
    }
}

/// Returns the paths of the files that may describe this data file by name.
#[must_use]
pub fn possible_descriptions(data: &Path) -> Vec<PathBuf> {
    possible_sidecars(data)
}

/// Returns the first of [`data_named_by`].
#[must_use]
pub fn first_data_named_by(description: &str) -> Option<String> {
    let of_manifest = manifest::first_data_name(description).map(str::to_owned);
    of_manifest.or_else(|| data_named_by(description).into_iter().next())
}

/// Returns the names of the data files that a description of this name refers to if its text names
/// none; the most likely first.
#[must_use]
pub fn data_named_by(description: &str) -> Vec<String> {
    let formats = FORMATS.iter().filter(|format| (format.is_named)(description));
    let mut names = manifest::data_names(description);
    names.extend(formats.flat_map(|format| (format.data_of)(description)));
    names
}
