//! Content mark: a hash of what npyd wrote to a small file. It shows whether a person edited the
//! file since.

use xxhash_rust::xxh3::xxh3_64;

use crate::fs::{DataFile, Result};
use crate::model::Writer;

/// The extended attribute with the hash of what npyd wrote to the file. A file with another content
/// was edited, and has notes that are nowhere else.
const CONTENT_ATTR: &str = "user.npyd.content";

/// Maximum length of the content that npyd reads.
const LEN_MAX: usize = 32 << 20;

impl DataFile {
    /// Writes the content of a new file, and its mark.
    pub fn write_marked(&self, content: &[u8]) -> Result<()> {
        self.write_all_at(content, 0)?;
        self.set_attr(CONTENT_ATTR, &hash(content))?;
        Ok(())
    }

    /// Returns the content that npyd wrote; `None` if the file has no mark, or was edited since.
    pub fn marked_content(&self) -> Result<Option<Vec<u8>>> {
        let Some(mark) = self.attr(CONTENT_ATTR)? else { return Ok(None) };
        let content = self.read_at_most(0, LEN_MAX)?;
        Ok((mark == hash(&content)).then_some(content))
    }

    /// Returns whether the file has a mark, and was edited since, or may be just now.
    pub fn is_edited(&self) -> Result<bool> {
        Ok(self.attr(CONTENT_ATTR)?.is_some()
            && (self.writer()? == Writer::Present || self.marked_content()?.is_none()))
    }
}

fn hash(content: &[u8]) -> Vec<u8> {
    format!("{:016x}", xxh3_64(content)).into_bytes()
}
