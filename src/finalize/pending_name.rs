//! The name `x.npy.pending`, which a pending `x.npy` has before it moves to another directory.

use crate::describe::DeclaredBy;
use crate::finalize::Job;
use crate::finalize::locations::Locations;
use crate::model::{FileName, FileNameError};

/// Returns whether the file is to move elsewhere, and looks final in the meantime.
pub(crate) fn needs_pending_name(job: &Job, at: &Locations) -> bool {
    job.dump.kind == DeclaredBy::Pending
        && !at.beside
        && job.candidate.input.name.without_pending_suffix().is_none()
}

/// Returns `x.npy.pending`. Fails if that is longer than a file name may be: after a crash the
/// array would get the shortened name.
pub(crate) fn pending_name(name: &FileName) -> Result<FileName, FileNameError> {
    FileName::try_from(format!("{name}.pending"))
}
