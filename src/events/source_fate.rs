//! What became of the source of an array.

use serde::Serialize;

/// The fate of the source of an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceFate {
    /// npyd keeps the source, as configured.
    Kept,
    /// The source stays, although it is to be removed or archived: nothing proves that no process
    /// writes to it, a flag (`chattr(1)`) protects it, or the removal was interrupted. Each scan
    /// tries again.
    Unproven,
    /// The source became the array.
    Array,
    /// npyd removed the source.
    Removed,
    /// npyd archived the source.
    Archived,
}

impl SourceFate {
    /// Returns whether a later file of the source's name is another drop.
    #[must_use]
    pub fn ends_drop(self) -> bool {
        !matches!(self, SourceFate::Kept | SourceFate::Unproven)
    }

    /// Returns the fate that has this name in receipts.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Kept, Self::Unproven, Self::Array, Self::Removed, Self::Archived];
        all.into_iter().find(|fate| fate.as_str() == name)
    }

    /// Returns the name in receipts.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            SourceFate::Kept => "kept",
            SourceFate::Unproven => "unproven",
            SourceFate::Array => "array",
            SourceFate::Removed => "removed",
            SourceFate::Archived => "archived",
        }
    }
}
