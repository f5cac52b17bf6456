//! The name `x.npy.pending`, which a pending `x.npy` has before it moves to another directory.

use crate::describe::{DeclaredBy, Dump};
use crate::model::{FileName, FileNameError};

/// Returns whether the data file of this name looks final until it moves elsewhere: its array is
/// not to be made `beside` it.
pub(crate) fn needs_pending_name(dump: &Dump, name: &FileName, beside: bool) -> bool {
    dump.kind == DeclaredBy::Pending && !beside && name.without_pending_suffix().is_none()
}

/// Returns `x.npy.pending`. Fails if that is longer than a file name may be: after a crash the
/// array would get the shortened name.
pub(crate) fn pending_name(name: &FileName) -> Result<FileName, FileNameError> {
    FileName::try_from(format!("{name}.pending"))
}
