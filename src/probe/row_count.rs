//! The `.npy` file in which a recording has a row for each of its records.

use std::path::Path;

use crate::describe::described::Described;
use crate::fs::{self, DataFile};
use crate::model::Stat;
use crate::npy;
use crate::probe::dir_view::DirView;
use crate::probe::npy_file::read_preamble;

/// A complete `.npy` file that counts records.
pub struct RowCount {
    /// The file.
    pub file: DataFile,
    /// The metadata of the file when npyd opened it.
    pub stat: Stat,
    /// The number of its rows.
    pub rows: u64,
}

impl DirView<'_> {
    /// Returns the first complete file that counts the records of this array; `parent` is the
    /// directory of its sidecar.
    pub(super) fn row_count(
        &self,
        array: &Described,
        parent: &Path,
    ) -> fs::Result<Option<RowCount>> {
        for path in &array.row_counts {
            if let Some(count) = self.rows(&parent.join(path.as_path()))? {
                return Ok(Some(count));
            }
        }
        Ok(None)
    }

    /// Counts the rows of a `.npy` file, if the file is complete.
    fn rows(&self, rel: &Path) -> fs::Result<Option<RowCount>> {
        let Some((file, stat)) = self.open_regular(rel)? else { return Ok(None) };
        let Some(preamble) = read_preamble(&file)? else { return Ok(None) };
        let len = preamble.data_offset.min(npy::HEADER_MAX);
        let head = file.read_at_most(0, len as usize)?;
        let layout = npy::parse_header(&preamble, &head, stat.size).ok();
        let rows = layout
            .and_then(|layout| layout.header())
            .filter(|header| stat.size >= preamble.data_offset.saturating_add(header.data_len()))
            .and_then(|header| header.shape().first().copied());
        Ok(rows.map(|rows| RowCount { file, stat, rows }))
    }
}
