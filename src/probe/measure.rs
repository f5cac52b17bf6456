//! Measures what an instrument's sidecar leaves to the files: sizes, lines, counts of records.

use std::path::Path;

use crate::describe::described::{DataStart, Described, Measured};
use crate::describe::sidecar::Format;
use crate::describe::{DescribeError, Dump};
use crate::fs;
use crate::probe::RowCount;
use crate::probe::data_head::DataHead;
use crate::probe::dir_view::DirView;

impl DirView<'_> {
    /// Returns the dump that an instrument's sidecar describes, measuring what only the files show.
    pub(crate) fn dump_of(
        &self,
        array: Described,
        format: &'static Format,
        raw: &DataHead<'_>,
        count: &mut Option<RowCount>,
    ) -> fs::Result<Result<Dump, DescribeError>> {
        let lines_end = match array.skip {
            DataStart::Lines { lines, .. } => raw.lines_end(lines)?,
            _ => None,
        };
        let parent = raw.sidecar_dir.unwrap_or(Path::new(""));
        *count = self.row_count(&array, parent)?;
        let counted = count.as_ref().map_or(0, |count| count.rows);
        let found = Measured { file_len: raw.data.stat.size, lines_end, counted };
        Ok(array.dump(format, &raw.data.name, found))
    }
}
