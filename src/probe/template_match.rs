//! What a template of the configuration makes of a data file.

use crate::describe::{Dump, LeadingBytes};
use crate::fs;
use crate::probe::data_head::DataHead;
use crate::probe::description::is_put_beside_arrays;
use crate::probe::{DirView, is_named_npy};

impl DirView<'_> {
    /// What a template makes of a data file. Nothing of arrays, whoever made them, nor of what npyd
    /// puts beside them: one for all names must not have it made into another. But where the header
    /// is written in place, the array may have yet to be moved to where it goes.
    pub(crate) fn dump_of_template(
        &self,
        raw: &DataHead,
    ) -> fs::Result<Option<Result<Dump, String>>> {
        let (name, beside) = (raw.name.as_str(), self.drop_dir.output.is_none());
        let mut templates = self.drop_dir.templates.iter();
        let Some(template) = templates.find(|template| template.matches(name)) else {
            return Ok(None);
        };
        let dump = template.dump(&raw.name);
        let is_bare = matches!(&dump, Ok(Dump { front: LeadingBytes::Bare, .. }));
        Ok(match is_named_npy(name) {
            _ if beside && is_put_beside_arrays(name) => None,
            _ if !raw.is_npy()? => Some(dump),
            true if beside || is_bare => None,
            false if is_bare => Some(Err("it is a .npy file already: name it as one".to_owned())),
            _ => Some(dump),
        })
    }
}
