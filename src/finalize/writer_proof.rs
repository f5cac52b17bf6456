//! The proof that nobody writes to a source any more, without which it is neither removed nor
//! archived.

use crate::finalize::{DropDir, Evidence, not_proven};
use crate::fs::{self, OpenWriters};
use crate::probe::candidate::Candidate;

pub(crate) fn writers_after(evidence: Evidence, drop_dir: &DropDir) -> OpenWriters {
    match evidence {
        Evidence::Ready => OpenWriters::Trusted,
        Evidence::Marker | Evidence::Digest => OpenWriters::NotSeen,
        _ => unproven_writers(drop_dir),
    }
}

/// Why a source that is to be removed or archived would stay, if it were taken now.
pub fn why_source_stays(
    drop_dir: &DropDir,
    candidate: &Candidate,
    evidence: Evidence,
) -> fs::Result<Option<String>> {
    let Some(what) = drop_dir.source.participle() else { return Ok(None) };
    Ok(match writers_after(evidence, drop_dir) {
        OpenWriters::ProvedAbsent => candidate.leases()?.err().map(|why| not_proven(what, &why)),
        OpenWriters::NotSeen | OpenWriters::Trusted => None,
    })
}

/// What is asked of writers where the producer has said nothing.
pub(crate) fn unproven_writers(drop_dir: &DropDir) -> OpenWriters {
    if drop_dir.remove_unproven { OpenWriters::NotSeen } else { OpenWriters::ProvedAbsent }
}
