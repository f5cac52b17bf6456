//! What a template of the configuration makes of a data file.

use super::description::is_put_beside_arrays;
use super::raw::Raw;
use super::{Place, is_named_npy};
use crate::disk;
use crate::recognize::{Dump, Front};

impl Place<'_> {
    /// What a template makes of a data file. Nothing of arrays, whoever made them, nor of what npyd
    /// puts beside them: one for all names must not have it made into another. But where the header
    /// is written in place, the array may have yet to be moved to where it goes.
    pub(super) fn dump_of_template(&self, raw: &Raw) -> disk::Result<Option<Result<Dump, String>>> {
        let (name, beside) = (raw.name.as_str(), self.inbox.output.is_none());
        let mut templates = self.inbox.templates.iter();
        let Some(template) = templates.find(|template| template.matches(name)) else {
            return Ok(None);
        };
        let dump = template.dump(&raw.name);
        let is_bare = matches!(&dump, Ok(Dump { front: Front::Bare, .. }));
        Ok(match is_named_npy(name) {
            _ if beside && is_put_beside_arrays(name) => None,
            _ if !raw.is_npy()? => Some(dump),
            true if beside || is_bare => None,
            false if is_bare => Some(Err("it is a .npy file already: name it as one".to_owned())),
            _ => Some(dump),
        })
    }
}
