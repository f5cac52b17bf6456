//! Finished arrays: those that were made with a description, and what remains of their sources.

use std::path::PathBuf;

use crate::config::{Disposition, OnChange, OnConflict};
use crate::decide::origin::Origin;
use crate::decide::source_identity::SourceIdentity;
use crate::describe::Declared;
use crate::describe::described::{Described, Measured};
use crate::fs::{self, DataFile};
use crate::model::{FileName, parent_of};
use crate::probe::array_attributes::{ORIGIN_ATTR, ROUTE_ATTR, SOURCE_ATTR};
use crate::probe::description::{Contents, DataFiles, Description};
use crate::probe::dir_view::DirView;
use crate::probe::input::InputFile;
use crate::probe::npy_file::npy_data_offset;
use crate::probe::output_dir::open_output_dir;
use crate::probe::{letter_case, rel_name};

/// An array that is already made.
pub struct FinishedArray {
    /// The array.
    pub array: DataFile,
    /// The identity of its source.
    pub mark: SourceIdentity,
    /// Whether the data file became the array itself, instead of being removed or archived.
    pub consumed_source: bool,
    /// Whether its data are the bytes of its source.
    pub holds_source_bytes: bool,
    /// The data files that still exist, if the array was made of several.
    pub remains: Vec<RemainingPart>,
}

/// A data file whose bytes are in the array.
pub struct RemainingPart {
    /// The file.
    pub input: InputFile,
    /// Offset of the data in the file.
    pub offset: u64,
    /// Offset of the part's bytes in the array, if the array contains them and the offset is known.
    pub at: Option<u64>,
    /// Length of the data, in bytes.
    pub len: u64,
}

impl DirView<'_> {
    /// Returns the array of a description whose data files are not all there. npyd was interrupted
    /// between disposing of the data and moving the description; the mark on the array identifies
    /// it.
    ///
    /// With `source = "keep"` npyd disposes of no data: somebody else took them away.
    pub(crate) fn finished(
        &self,
        by: &Description,
        number: usize,
        data_files: &DataFiles,
    ) -> fs::Result<Option<FinishedArray>> {
        let keeps = self.drop_dir.source == Disposition::Keep;
        let array = self.array_of(by, number, data_files)?;
        Ok(array.filter(|array| array.consumed_source || !keeps))
    }

    /// Returns the array that was made with a description, whether or not its data are there.
    pub(crate) fn array_of(
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
        let first = data_files.paths().first().unwrap_or(&by.rel);
        let dir = match open_output_dir(self.drop_dir, parent_of(first)) {
            Ok(dir) => dir,
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error),
        };
        for first in names {
            let (mut name, mut number_tried) = (first.clone(), 0);
            while let Some(array) = dir.open_file(name.as_ref())? {
                if let Some(mark) = self.made_with(&array, by)? {
                    let consumed_source = mark.is_of_inode(array.stat()?.ino);
                    let holds_source_bytes = array.attr(ROUTE_ATTR)?.is_none();
                    let mut remains = self.remains(by, number, data_files, &array)?;
                    if !holds_source_bytes {
                        for part in &mut remains {
                            part.at = None;
                        }
                    }
                    return Ok(Some(FinishedArray {
                        array,
                        mark,
                        consumed_source,
                        holds_source_bytes,
                        remains,
                    }));
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

    /// Returns the data files that still exist, if the array was made of several.
    fn remains(
        &self,
        by: &Description,
        number: usize,
        data_files: &DataFiles,
        array: &DataFile,
    ) -> fs::Result<Vec<RemainingPart>> {
        let DataFiles::Parts(paths) = data_files else { return Ok(Vec::new()) };
        match (&by.contents, by.declared()) {
            (Ok(Contents::Arrays(_, arrays)), _) => {
                self.equal_remains(&arrays[number], paths, array)
            }
            (_, Some(declared)) => self.full_remains(declared, paths, array),
            (_, None) => Ok(Vec::new()),
        }
    }

    /// Returns the remaining data files of a sidecar, whose data have equal shares.
    fn equal_remains(
        &self,
        described: &Described,
        paths: &[PathBuf],
        array: &DataFile,
    ) -> fs::Result<Vec<RemainingPart>> {
        let (Some(data_len), Some(len)) = (described.layout.data_len(), described.share()) else {
            return Ok(Vec::new());
        };
        let data_at = array.stat()?.size.saturating_sub(data_len);
        let mut remains = Vec::new();
        for (at, rel) in paths.iter().enumerate() {
            let Some(input) = self.open_input(rel)? else { continue };
            let found = Measured { file_len: input.stat.size, lines_end: Some(0), counted: 0 };
            let Ok(Some(offset)) = described.offset(found) else { continue };
            remains.push(RemainingPart { input, offset, at: Some(data_at + at as u64 * len), len });
        }
        Ok(remains)
    }

    /// Returns the remaining data files of a series, which contain only data. npyd disposes of
    /// data files in order, so the remaining files are at the end of the array, and npyd does not
    /// know the sizes of the removed files. Files before the first missing file are at the front of
    /// the array.
    fn full_remains(
        &self,
        declared: &Declared,
        paths: &[PathBuf],
        array: &DataFile,
    ) -> fs::Result<Vec<RemainingPart>> {
        let Declared { offset, trailing, .. } = declared;
        let around = offset.saturating_add(*trailing);
        let mut files = Vec::new();
        for rel in paths {
            files.push(self.open_input(rel)?);
        }
        let first_missing = files.iter().position(Option::is_none).unwrap_or(0);
        let last_missing = files.iter().rposition(Option::is_none);
        let len_of = |input: &InputFile| input.stat.size.saturating_sub(around);
        let mut front = npy_data_offset(array)?;
        let behind = files.iter().skip(last_missing.map_or(0, |at| at + 1)).flatten();
        let mut end = array.stat()?.size.checked_sub(behind.map(len_of).sum());
        let mut remains = Vec::new();
        for (index, input) in files.into_iter().enumerate() {
            let Some(input) = input else { continue };
            let len = len_of(&input);
            let at = match last_missing {
                Some(_) if index < first_missing => advance(&mut front, len),
                Some(last) if index < last => None,
                _ => advance(&mut end, len),
            };
            remains.push(RemainingPart { input, offset: *offset, at, len });
        }
        Ok(remains)
    }

    /// Returns the mark of an array that was made with this very description. If that is no file,
    /// the array must have been made of the drop that has its name.
    fn made_with(&self, array: &DataFile, by: &Description) -> fs::Result<Option<SourceIdentity>> {
        let owners = [Some(fs::own_uid()), by.file.as_ref().map(|file| file.stat.uid)];
        if !owners.contains(&Some(array.stat()?.uid)) {
            return Ok(None);
        }
        let Some(mark) = array.attr(SOURCE_ATTR)? else { return Ok(None) };
        let mark = SourceIdentity::parse(&String::from_utf8_lossy(&mark));
        let is_of_this = if let Some(file) = &by.file {
            mark.was_described_by(&file.name, &file.stat)
        } else {
            let origin = Origin::of(&self.drop_dir.path.join(&by.rel), &by.name);
            array.attr(ORIGIN_ATTR)?.as_deref() == Some(origin.to_string().as_bytes())
        };
        Ok(is_of_this.then_some(mark))
    }
}

/// Returns an offset, and advances it.
fn advance(offset: &mut Option<u64>, by: u64) -> Option<u64> {
    let before = *offset;
    *offset = before.and_then(|at| at.checked_add(by));
    before
}
