//! What a crash leaves of a drop whose array is there already.

use std::path::Path;

use crate::config::{OnChange, OnConflict};
use crate::decide::identity::SourceIdentity;
use crate::describe::sidecar::Measured;
use crate::fs::{self, DataFile, Dir};
use crate::model::FileName;
use crate::probe::candidate::{Part, Sidecar};
use crate::probe::description::{Contents, DataFiles, Description};
use crate::probe::{DirView, rel_name};

/// The attribute of an output that tells what it was made of: an [`SourceIdentity`].
pub const SOURCE_ATTR: &str = "user.npyd.source";

/// A manifest or sidecar whose data are gone, or some of their files, for they were finalized.
pub struct Residue {
    /// The file.
    pub sidecar: Sidecar,
    /// What became of the data.
    pub finished: FinishedArray,
}

/// An array that was made already.
pub struct FinishedArray {
    /// The array.
    pub array: DataFile,
    /// What it was made of.
    pub mark: SourceIdentity,
    /// Whether the data file became the array itself, and was not removed or archived.
    pub became_the_array: bool,
    /// What stands there of data that were in several files.
    pub remains: Vec<RemainingPart>,
}

/// A file of the data of an array.
pub struct RemainingPart {
    /// The file.
    pub part: Part,
    /// Where the array's data begin in it.
    pub offset: u64,
    /// Where they are in the array.
    pub at: u64,
    /// How many bytes.
    pub len: u64,
}

impl DirView<'_> {
    /// The array of a description without data, or without all of them, that was left behind when
    /// npyd ended between dealing with the data and moving what describes them: then the output
    /// tells its identity.
    pub(crate) fn finished(
        &self,
        by: &Description,
        number: usize,
        data_files: &DataFiles,
    ) -> fs::Result<Option<FinishedArray>> {
        let data = data_files.paths().iter().filter_map(|path| rel_name(path).ok());
        let names: Vec<FileName> = match by.named_output() {
            Some(output) => vec![output.clone()],
            None => data.map(|name| name.as_npy()).collect(),
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
                    let became_the_array = mark.is_of_inode(array.stat()?.ino);
                    let remains = self.remains(by, number, data_files, &array)?;
                    return Ok(Some(FinishedArray { array, mark, became_the_array, remains }));
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

    /// The files that still stand of data that were in several.
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
            let written = file.first_hole(0)?;
            let part = Part { rel: rel.clone(), name, file, stat, written };
            remains.push(RemainingPart { part, offset, at: data_at + at as u64 * len, len });
        }
        Ok(remains)
    }
}

/// What an array was made of, if it was made with that very description.
fn made_with(array: &DataFile, sidecar: &Sidecar) -> fs::Result<Option<SourceIdentity>> {
    if ![fs::own_uid(), sidecar.stat.uid].contains(&array.stat()?.uid) {
        return Ok(None);
    }
    let Some(mark) = array.attr(SOURCE_ATTR)? else { return Ok(None) };
    let mark = SourceIdentity::parse(&String::from_utf8_lossy(&mark));
    Ok(mark.was_described_by(&sidecar.name, &sidecar.stat).then_some(mark))
}
