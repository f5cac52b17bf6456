//! An archived source: where its bytes are now, and how its array can be made again from them.

use std::fmt;
use std::path::PathBuf;

use crate::text::one_line::shown;

/// A source that npyd archived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedSource {
    /// The path that it had.
    pub source: PathBuf,
    /// The path that it has now, if it was found.
    pub path: Option<PathBuf>,
    /// The directories that were searched.
    pub searched: Vec<PathBuf>,
    /// Whether one of these directories can't be read here, so that the file may be there.
    pub is_hidden: bool,
}

impl ArchivedSource {
    /// Returns the directories that were searched, for messages.
    #[must_use]
    pub fn searched(&self) -> String {
        let quoted = |dir: &PathBuf| format!("`{}`", shown(dir));
        match self.searched.as_slice() {
            [] => "an archive".to_owned(),
            dirs => dirs.iter().map(quoted).collect::<Vec<_>>().join(" or "),
        }
    }

    /// Returns where it is, as the end of a sentence.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.path {
            Some(path) => format!(" as `{}`", shown(path)),
            None if self.is_hidden => {
                format!(" in {}, which this user may not read", self.searched())
            }
            None => format!(", but it is not in {} any more", self.searched()),
        }
    }
}

/// Says where its bytes are, and what to do.
impl fmt::Display for ArchivedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(
                f,
                "its data are in `{}`: move that file back to `{}`, with what describes it, and \
                 npyd makes the array again",
                shown(path),
                shown(&self.source)
            ),
            None if self.is_hidden => write!(
                f,
                "its data were archived in {}, which can't be read here: move the file back to \
                 `{}`, with what describes it, and npyd makes the array again",
                self.searched(),
                shown(&self.source)
            ),
            None => write!(
                f,
                "its data were archived, but are not in {} any more: drop them again",
                self.searched()
            ),
        }
    }
}
