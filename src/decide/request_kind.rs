//! Kinds of requests.

use std::fmt;

/// What a person requests about a drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// Make the array again.
    Redo,
    /// Make an array of what is there, although it does not fit its description.
    Take,
}

impl RequestKind {
    /// Returns the name in the ledger, in the log and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RequestKind::Redo => "redo",
            RequestKind::Take => "take",
        }
    }

    /// Returns the kind of this name. Another version of npyd may know more kinds.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [RequestKind::Redo, RequestKind::Take].into_iter().find(|kind| kind.as_str() == name)
    }

    /// Returns that a request of this kind is not carried out, for a message.
    pub(crate) fn not_done(self) -> &'static str {
        match self {
            RequestKind::Redo => "not made again",
            RequestKind::Take => "not taken",
        }
    }
}

impl fmt::Display for RequestKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
