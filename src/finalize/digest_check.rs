//! Verifies the digest of a manifest.

use crate::decide::change::Change;
use crate::decide::reason::Reason;
use crate::events::progress::Phase;
use crate::finalize::{Hasher, Interruption, Job, Plan, Route, header_room};
use crate::fs::DataFile;
use crate::probe::input::InputFile;
use crate::throttle::meter::Meter;

/// Verifies the digest, unless the copy of a single file computes it on the way. The digest of
/// several files is that of their contents, one after the other.
pub(crate) fn verify_ahead(
    job: &Job,
    plan: &Plan,
    progress: &mut Meter,
) -> Result<(), Interruption> {
    let is_copied = plan.route == Route::Copy && job.candidate.input.only_file().is_some();
    if is_copied { Ok(()) } else { verify_now(job, plan, progress) }
}

/// Verifies the digest.
pub fn verify_now(job: &Job, plan: &Plan, progress: &mut Meter) -> Result<(), Interruption> {
    let Some(digest) = &job.dump.digest else { return Ok(()) };
    let (mut hasher, mut from) = (digest.hasher(), 0);
    if plan.route == Route::InPlace {
        let file = &job.only_file()?.file;
        let head = plan.head(&job.dump);
        let there = file.read_at_most(0, head.len())?;
        if header_room::was_verified(job, &there, &head)? {
            return Ok(());
        }
        if let Some(fill) = header_room::filled_with(&there, &head) {
            hasher.update(&vec![fill; head.len()]);
            from = head.len() as u64;
        }
    }
    for InputFile { file, stat, .. } in &job.candidate.input.files {
        hash(file, from..stat.size, &mut hasher, progress)?;
    }
    verify(job, hasher)
}

/// Hashes a range of a file.
pub(crate) fn hash(
    file: &DataFile,
    range: std::ops::Range<u64>,
    hasher: &mut Hasher,
    progress: &mut Meter,
) -> Result<(), Interruption> {
    const PIECE: u64 = 1 << 20;
    progress.begin(Phase::Digest, range.end - range.start);
    let mut at = range.start;
    let mut buffer = vec![0; PIECE as usize];
    while at < range.end {
        let piece = &mut buffer[..(range.end - at).min(PIECE) as usize];
        match file.read_exact_at(piece, at) {
            Err(error) if error.io().kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(Interruption::changed(Change::Truncated));
            }
            read => read?,
        }
        hasher.update(piece);
        at += piece.len() as u64;
        if !progress.advance(at - range.start) {
            return Err(Interruption::Cancelled);
        }
    }
    Ok(())
}

/// Compares the digest. A mismatch is final only once the data have been unchanged for ten times
/// the quiet time: the digest may have been declared before the last bytes came.
pub(crate) fn verify(job: &Job, hasher: Hasher) -> Result<(), Interruption> {
    let Some(digest) = &job.dump.digest else { return Ok(()) };
    let Err(mismatch) = digest.verify(hasher) else { return Ok(()) };
    if !job.candidate.input.is_unchanged()? {
        return Err(Interruption::changed(Change::DuringRead));
    }
    Err(match job.mismatch_final_in() {
        Some(_) => Interruption::Retry(Reason::DigestYet(mismatch)),
        None => Interruption::Rejected(Reason::Digest(mismatch)),
    })
}
