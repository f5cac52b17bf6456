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
    /// The source stayed, and was gone when npyd made the array again from itself. A later file of
    /// its name continues the drop, as one that replaces a kept source does.
    Gone,
}

impl SourceFate {
    /// Returns whether a later file of the source's name is another drop.
    #[must_use]
    pub fn ends_drop(self) -> bool {
        !matches!(self, SourceFate::Kept | SourceFate::Unproven | SourceFate::Gone)
    }

    /// Returns the fate that has this name in receipts.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let disposed = [Self::Array, Self::Removed, Self::Archived];
        let mut all = [Self::Kept, Self::Unproven, Self::Gone].into_iter().chain(disposed);
        all.find(|fate| fate.as_str() == name)
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
            SourceFate::Gone => "gone",
        }
    }
}
