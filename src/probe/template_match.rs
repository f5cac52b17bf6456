//! Applies the configuration's templates to a data file.

use crate::describe::{DescribeError, Dump, LeadingBytes};
use crate::fs;
use crate::model::is_npy_name;
use crate::probe::data_head::DataHead;
use crate::probe::description::is_put_beside_arrays;
use crate::probe::dir_view::DirView;

impl DirView<'_> {
    /// Returns the dump that a template declares for a data file. Templates never apply to arrays
    /// or to files that npyd creates beside them, so that a template for all names does not convert
    /// those again. The exception is an array whose header was written in place and that may still
    /// have to move to its output directory.
    pub(crate) fn dump_of_template(
        &self,
        raw: &DataHead<'_>,
    ) -> fs::Result<Option<Result<Dump, DescribeError>>> {
        let (name, beside) = (raw.data.name.as_str(), self.drop_dir.output.is_none());
        let Some(template) = self.drop_dir.template_of(name) else { return Ok(None) };
        let dump = template.dump(&raw.data.name);
        let is_bare = matches!(&dump, Ok(Dump { front: LeadingBytes::Bare, .. }));
        Ok(match is_npy_name(name) {
            _ if is_put_beside_arrays(name) => None,
            _ if !raw.data.is_npy()? => Some(dump),
            true if beside || is_bare => None,
            false if is_bare => {
                Some(Err("it is a .npy file already: give it a name that ends in .npy".into()))
            }
            _ => Some(dump),
        })
    }
}
