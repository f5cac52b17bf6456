//! Marks: the attributes of an array that say what it was made of.

use crate::decide::origin::Origin;
use crate::decide::source_identity::SourceIdentity;
use crate::finalize::{Interruption, Job};
use crate::fs::{self, DataFile};
use crate::probe::{ORIGIN_ATTR, SOURCE_ATTR};

/// Reads the path of an array's source. The owner of the array could forge the path, and would lose
/// only that array.
pub(crate) fn read_origin(file: &DataFile) -> fs::Result<Option<Origin>> {
    let text = file.attr(ORIGIN_ATTR)?;
    Ok(text.and_then(|text| Origin::parse(&String::from_utf8_lossy(&text))))
}

/// Returns the mark of a file that npyd owns. Another user's file could carry a forged mark.
pub(crate) fn trusted_mark(file: &DataFile) -> Result<Option<SourceIdentity>, Interruption> {
    if file.stat()?.uid != fs::own_uid() {
        return Ok(None);
    }
    Ok(mark_of(file)?)
}

/// Returns the mark of a file that npyd owns, or of one that another user's npyd made of this drop:
/// only if the ledger, which both share, has that mark.
pub(crate) fn mark_for(job: &Job, file: &DataFile) -> Result<Option<SourceIdentity>, Interruption> {
    let owner = file.stat()?.uid;
    let Some(mark) = mark_of(file)? else { return Ok(None) };
    let is_known = || job.earlier.contains(&mark) && job.is_user_of_npyd(owner);
    Ok((owner == fs::own_uid() || is_known()).then_some(mark))
}

/// Returns the mark of a file that any user may own. Only messages may rely on it.
pub(crate) fn mark_of(file: &DataFile) -> fs::Result<Option<SourceIdentity>> {
    let mark = file.attr(SOURCE_ATTR)?;
    Ok(mark.map(|mark| SourceIdentity::parse(&String::from_utf8_lossy(&mark))))
}
