//! Decides what evidence about writers is required before a source is removed or archived.

use crate::finalize::{DropDir, Evidence, not_proven};
use crate::fs::{self, Dir, OpenWriters};
use crate::model::parent_of;
use crate::probe::candidate::Candidate;

pub(crate) fn writers_after(evidence: Evidence, drop_dir: &DropDir) -> OpenWriters {
    match (evidence, evidence.producer_word()) {
        (Evidence::Ready, _) => OpenWriters::Trusted,
        (_, Some(_)) => OpenWriters::NotSeen,
        (_, None) => unproven_writers(drop_dir),
    }
}

/// Returns why a source would stay if it were disposed of now.
pub fn why_source_stays(
    drop_dir: &DropDir,
    candidate: &Candidate,
    evidence: Evidence,
) -> fs::Result<Option<String>> {
    let Some(what) = drop_dir.source.participle() else { return Ok(None) };
    let parent = parent_of(&candidate.input.rel);
    if let Some(why) = candidate.input.unproven_in(&Dir::open_below(&drop_dir.path, parent)?)? {
        return Ok(Some(not_proven(what, &why)));
    }
    Ok(match writers_after(evidence, drop_dir) {
        OpenWriters::ProvedAbsent => {
            candidate.input.leases()?.err().map(|why| not_proven(what, &why))
        }
        OpenWriters::NotSeen | OpenWriters::Trusted => None,
    })
}

/// Returns the required evidence where the producer did not declare the data complete.
pub(crate) fn unproven_writers(drop_dir: &DropDir) -> OpenWriters {
    if drop_dir.remove_unproven { OpenWriters::NotSeen } else { OpenWriters::ProvedAbsent }
}
