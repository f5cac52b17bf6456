//! The kinds of descriptions.

use std::fmt;

/// The kind of description that declares a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeclaredBy {
    /// A manifest beside the data.
    Manifest,
    /// An instrument's sidecar in the format with this name.
    Sidecar(&'static str),
    /// The file's own pending header.
    Pending,
    /// A template of the configuration.
    Template,
    /// The options of `npyd finalize`.
    Options,
    /// The options of `npyd redo`, because nothing else describes the data any more.
    Redo,
}

impl fmt::Display for DeclaredBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DeclaredBy::Sidecar(format) => return write!(f, "{format} sidecar"),
            DeclaredBy::Manifest => "manifest",
            DeclaredBy::Pending => "pending header",
            DeclaredBy::Template => "template",
            DeclaredBy::Options => "options",
            DeclaredBy::Redo => "npyd redo",
        })
    }
}
