//! Whose files may be the array of a drop.

use crate::config::Disposition;
use crate::finalize::locations::Locations;
use crate::finalize::marks::mark_for;
use crate::finalize::{Interruption, Job};
use crate::fs;
use crate::model::{FileName, Stat};

/// Returns whether a file may stand for this source's array: npyd or the source's owner owns it. An
/// array that a third user dropped and npyd finished in place still belongs to that user, who may
/// change it.
pub(super) fn is_trusted(there: &Stat, job: &Job) -> bool {
    let owners = job.candidate.input.files.iter().map(|input| input.stat.uid);
    let is_owners = owners.clone().all(|uid| uid == there.uid);
    there.is_file() && (there.uid == fs::own_uid() || is_owners)
}

/// Returns whether a file may count as this source's array. If the source stays, a file of another
/// user may count as well, for example because npyd ran as another user: npyd compares its bytes,
/// and nothing depends on the file later. If the source goes, only an array that another user's
/// npyd made of this drop may, as the ledger says.
pub(super) fn may_count_as_found(
    there: &Stat,
    job: &Job,
    at: &Locations,
    name: &FileName,
) -> Result<bool, Interruption> {
    if is_trusted(there, job) {
        return Ok(true);
    }
    let stays = job.drop_dir.source == Disposition::Keep;
    if !there.is_file() || !stays && job.earlier.is_empty() {
        return Ok(false);
    }
    match at.output.open_file(name.as_ref()) {
        Ok(_) if stays => Ok(true),
        Ok(Some(file)) => Ok(mark_for(job, &file)?.is_some()),
        Ok(None) | Err(_) => Ok(false),
    }
}
