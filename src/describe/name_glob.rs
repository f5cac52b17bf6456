//! Globs over file names, with `*`, `?`, `[…]` and `{a,b}`. Only an explicit dot matches a leading
//! dot.

use crate::describe::DescribeError;
use globset::{ErrorKind, Glob, GlobBuilder, GlobSet};

/// A glob over file names.
#[derive(Debug, Clone)]
pub struct NameGlob {
    glob: Glob,
    /// A set of one glob, because the matcher of a single glob panics if the glob is too large.
    set: GlobSet,
}

impl NameGlob {
    /// Parses a glob.
    ///
    /// # Errors
    /// The text is not a glob.
    pub fn new(text: &str) -> Result<Self, DescribeError> {
        Self::build(text, false).map_err(|error| match error.kind() {
            ErrorKind::Regex(_) => format!("`{text}` is not a glob: it is too large").into(),
            why => format!("`{text}` is not a glob: {why}").into(),
        })
    }

    fn build(text: &str, ignores_case: bool) -> Result<Self, globset::Error> {
        let glob = GlobBuilder::new(text)
            .literal_separator(true)
            .case_insensitive(ignores_case)
            .build()?;
        Ok(NameGlob { set: GlobSet::builder().add(glob.clone()).build()?, glob })
    }

    /// Returns the glob that also matches names in other letter case; the glob itself if that is
    /// too large.
    #[must_use]
    pub fn in_any_case(&self) -> Self {
        Self::build(self.as_str(), true).unwrap_or_else(|_| self.clone())
    }

    /// Returns the text of the glob.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.glob.glob()
    }

    /// Returns whether it matches a file name.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let is_hidden = name.starts_with('.') && !self.as_str().starts_with('.');
        !is_hidden && self.set.is_match(name)
    }
}
