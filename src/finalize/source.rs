//! The data file that an array is made of, whatever the route: is it durable, and still what was
//! settled?

use super::{Halt, Settled};
use crate::disk::{DataFile, DiskError, Stat};
use crate::progress::Progress;
use crate::settle::{Evidence, Writer};

/// After a failed sync of a file the next one may say that all is well, though it is not: neither
/// its data nor a header in it are believed any more.
pub(super) fn lost(error: DiskError) -> Halt {
    if !error.is_of_sync() {
        return Halt::Failed(error);
    }
    Halt::Lost(format!("{error}; what was written to it may be lost: drop it anew"))
}

/// Opens the data file for writing and makes its data durable; it must still be what it was
/// `before`.
pub(super) fn synced(
    settled: &Settled,
    before: &Stat,
    progress: &mut Progress,
) -> Result<DataFile, Halt> {
    let is_word = matches!(settled.evidence, Evidence::Ready | Evidence::Marker);
    if !is_word && settled.candidate.writer() == Writer::Present {
        return Err(Halt::Again("somebody opened it for writing".to_owned()));
    }
    let file = settled.candidate.file.writable().map_err(|error| {
        // Another process is probing it; an open that waits for that could wait for long.
        if error.is_leased() { Halt::Busy(error.to_string()) } else { Halt::Failed(error) }
    })?;
    sync_written(&file, progress)?;
    check_size(settled, before, &file)?;
    Ok(file)
}

/// Makes what the producer wrote durable.
pub(super) fn sync_written(file: &DataFile, progress: &Progress) -> Result<(), Halt> {
    #[cfg(feature = "sabotage")]
    if crate::disk::leaves_out("sync-before-header") {
        return Ok(());
    }
    if !file.flush_interruptibly(&|| progress.stopped()).map_err(lost)? {
        return Err(Halt::Stopped);
    }
    file.sync_data().map_err(lost)
}

/// Fails unless the file still has the size and time that it had `then`.
pub(super) fn check_size(settled: &Settled, then: &Stat, file: &DataFile) -> Result<(), Halt> {
    let now = file.stat()?;
    let steady = match settled.evidence {
        // The producer's word stands; its mapping may still touch the times.
        Evidence::Ready => now.size == then.size,
        _ => now.size == then.size && now.mtime_ns == then.mtime_ns,
    };
    if steady { Ok(()) } else { Err(Halt::Again("it changed while it was synced".to_owned())) }
}

/// What was read or shared must be what the producer wrote.
pub(super) fn check_content(settled: &Settled) -> Result<(), Halt> {
    let candidate = &settled.candidate;
    for file in candidate.files() {
        file.check_written_back().map_err(lost)?;
    }
    if !candidate.is_unchanged()? {
        return Err(Halt::Again("it changed while it was taken".to_owned()));
    }
    Ok(())
}

/// The content must be right, and nobody may be writing to it.
pub(super) fn check_source(settled: &Settled) -> Result<(), Halt> {
    check_content(settled)?;
    let candidate = &settled.candidate;
    if settled.evidence != Evidence::Ready && candidate.writer() == Writer::Present {
        return Err(Halt::Again("somebody opened it for writing while it was taken".to_owned()));
    }
    Ok(())
}
