//! Residue: what a crash leaves of a drop whose array is already made.

use std::path::Path;

use crate::config::{OnChange, OnConflict};
use crate::decide::identity::SourceIdentity;
use crate::describe::sidecar::Measured;
use crate::fs::{self, DataFile, Dir};
use crate::model::FileName;
use crate::probe::candidate::{Part, Sidecar};
use crate::probe::description::{Contents, DataFiles, Description};
use crate::probe::{DirView, letter_case, rel_name};

/// The extended attribute of an output that stores what it was made of, as a [`SourceIdentity`].
pub const SOURCE_ATTR: &str = "user.npyd.source";

/// The extended attribute of an output that stores where its source was, as an `Origin`.
pub const ORIGIN_ATTR: &str = "user.npyd.origin";

/// A manifest or sidecar whose data files, or some of them, are gone because the array was made.
pub struct Residue {
    /// The file.
    pub sidecar: Sidecar,
    /// The array that was made.
    pub finished: FinishedArray,
}

/// An array that is already made.
pub struct FinishedArray {
    /// The array.
    pub array: DataFile,
    /// The identity of its source.
    pub mark: SourceIdentity,
    /// Whether the data file became the array itself, instead of being removed or archived.
    pub consumed_source: bool,
    /// The data files that still exist, if there were several.
    pub remains: Vec<RemainingPart>,
}

/// A data file whose bytes are in the array.
pub struct RemainingPart {
    /// The file.
    pub part: Part,
    /// Offset of the data in the file.
    pub offset: u64,
    /// Offset of the same data in the array.
    pub at: u64,
    /// Length of the data, in bytes.
    pub len: u64,
}

impl DirView<'_> {
    /// Returns the array of a description whose data files are not all there. npyd was interrupted
    /// between disposing of the data and moving the description; the mark on the array identifies
    /// it.
    pub(crate) fn finished(
        &self,
        by: &Description,
        number: usize,
        data_files: &DataFiles,
    ) -> fs::Result<Option<FinishedArray>> {
        let variants = letter_case::variants(by, data_files);
        let data = data_files.paths().iter().chain(&variants);
        let data = data.filter_map(|path| rel_name(path).ok());
        let names: Vec<FileName> = match by.named_output() {
            Some(output) => vec![output.clone()],
            None => data.map(|name| name.as_npy()).fold(Vec::new(), |mut names, name| {
                if !names.contains(&name) {
                    names.push(name);
                }
                names
            }),
        };
        let base = self.drop_dir.output.as_ref().unwrap_or(&self.drop_dir.path);
        let parent =
            data_files.paths().first().and_then(|path| path.parent()).unwrap_or(Path::new(""));
        let dir = match Dir::open_trusted(base, self.drop_dir.untrusted_root())
            .and_then(|dir| dir.into_subdir(parent))
        {
            Ok(dir) => dir,
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error),
        };
        for first in names {
            let (mut name, mut number_tried) = (first.clone(), 0);
            while let Some(array) = dir.open_file(name.as_ref())? {
                if let Some(mark) = made_with(&array, &by.sidecar)? {
                    let consumed_source = mark.is_of_inode(array.stat()?.ino);
                    let remains = self.remains(by, number, data_files, &array)?;
                    return Ok(Some(FinishedArray { array, mark, consumed_source, remains }));
                }
                let drop_dir = self.drop_dir;
                let is_numbered = drop_dir.on_conflict == OnConflict::Number
                    || drop_dir.on_change == OnChange::Number;
                if !is_numbered {
                    break;
                }
                number_tried += 1;
                name = first.numbered(number_tried);
            }
        }
        Ok(None)
    }

    /// Returns the data files that still exist, if there were several.
    fn remains(
        &self,
        by: &Description,
        number: usize,
        data_files: &DataFiles,
        array: &DataFile,
    ) -> fs::Result<Vec<RemainingPart>> {
        let (Ok(Contents::Arrays(_, arrays)), DataFiles::Parts(paths)) = (&by.contents, data_files)
        else {
            return Ok(Vec::new());
        };
        let described = &arrays[number];
        let (Some(data_len), Some(len)) = (described.layout.data_len(), described.share()) else {
            return Ok(Vec::new());
        };
        let data_at = array.stat()?.size.saturating_sub(data_len);
        let mut remains = Vec::new();
        for (at, rel) in paths.iter().enumerate() {
            let Ok(name) = rel_name(rel) else { continue };
            let Some((file, stat)) = self.open_regular(rel)? else { continue };
            let found = Measured { file_len: stat.size, lines_end: Some(0), counted: 0 };
            let Ok(Some(offset)) = described.offset(found) else { continue };
            let written_end = file.first_hole(0)?;
            let part = Part { rel: rel.clone(), name, file, stat, written_end };
            remains.push(RemainingPart { part, offset, at: data_at + at as u64 * len, len });
        }
        Ok(remains)
    }
}

/// Returns the mark of an array that was made with this very description.
fn made_with(array: &DataFile, sidecar: &Sidecar) -> fs::Result<Option<SourceIdentity>> {
    if ![fs::own_uid(), sidecar.stat.uid].contains(&array.stat()?.uid) {
        return Ok(None);
    }
    let Some(mark) = array.attr(SOURCE_ATTR)? else { return Ok(None) };
    let mark = SourceIdentity::parse(&String::from_utf8_lossy(&mark));
    Ok(mark.was_described_by(&sidecar.name, &sidecar.stat).then_some(mark))
}
