//! Residue: what a crash leaves of a drop whose array is already made.

use std::path::PathBuf;

use crate::decide::reason::Reason;
use crate::fs;
use crate::probe::conflicts::MatchedDescription;
use crate::probe::description::{DataFiles, Description};
use crate::probe::dir_view::DirView;
use crate::probe::finished_array::{FinishedArray, RemainingPart};
use crate::probe::input::{DescriptionFile, InputFile};
use crate::probe::npy_file::npy_data_offset;

/// Number of bytes that a probe compares; a worker compares the rest.
const COMPARED_MAX: u64 = 1 << 16;

/// What is left of a drop whose data files, or some of them, are gone because the array was made.
pub struct Residue {
    /// The path of the description below the drop directory.
    pub rel: PathBuf,
    /// The file that describes the data.
    pub description: Option<DescriptionFile>,
    /// The array that was made.
    pub finished: FinishedArray,
    /// The paths that its data file may have had; empty if it had several.
    pub data: Vec<PathBuf>,
    /// Why the description waits for its data, if it was not npyd that disposed of them.
    pub why: Reason,
}

impl Residue {
    pub(crate) fn of(
        by: Description,
        finished: FinishedArray,
        (data, why): (&DataFiles, Reason),
    ) -> Self {
        let is_several = by.series().is_some() || data.parts().len() > 1;
        let data = if is_several { Vec::new() } else { data.paths().to_vec() };
        Residue { rel: by.rel, description: by.file, finished, data, why }
    }
}

impl DirView<'_> {
    /// Returns whether a file that npyd does not take, such as an ignored one, has the path of a
    /// data file: npyd has not disposed of the data then.
    pub(crate) fn has_untaken_data(
        &self,
        data_files: &DataFiles,
        finished: &FinishedArray,
    ) -> fs::Result<bool> {
        let array = finished.array.stat()?;
        let DataFiles::FirstOf(paths) = data_files else { return Ok(false) };
        for path in paths {
            let there = self.dir.stat(path)?;
            if there.is_some_and(|it| it.is_file() && !it.is_same_file(&array)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the residue if the files that a glob matches are what is left of an array that was
    /// made with this very manifest: npyd was interrupted while it disposed of them. Without the
    /// check, they would be taken for a shorter drop.
    pub(crate) fn rest_of_series(
        &self,
        matched: &MatchedDescription,
        first: &InputFile,
    ) -> fs::Result<Option<FinishedArray>> {
        let MatchedDescription { by, array, data_files } = matched;
        if by.pattern().is_none() {
            return Ok(None);
        }
        let Some(finished) = self.finished(by, *array, data_files)? else { return Ok(None) };
        let Some(data_at) = npy_data_offset(&finished.array)? else { return Ok(None) };
        let is_whole = finished.mark.is_of_data(&first.stat);
        let is_rest = match finished.remains.first() {
            _ if !finished.holds_source_bytes => true, // nothing proves that it is another drop
            // The worker compares all bytes.
            Some(RemainingPart { input, offset, at: Some(at), len }) if *at > data_at => {
                let len = (*len).min(COMPARED_MAX);
                finished.array.is_equal_at(*at, &input.file, *offset, len)?
            }
            _ => false,
        };
        Ok((is_rest && !is_whole).then_some(finished))
    }
}
