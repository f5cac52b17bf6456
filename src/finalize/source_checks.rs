//! The data file that an array is made of, whatever the route: is it durable, and still what was
//! settled?

use crate::decide::completeness::{Evidence, Writer};
use crate::finalize::locations::Locations;
use crate::finalize::{Interruption, Job, LeadingBytes};
use crate::fs::{DataFile, Dir, FsError};
use crate::model::Stat;
use crate::throttle::meter::Progress;

/// After a failed sync of a file the next one may say that all is well, though it is not: neither
/// its data nor a header in it are believed any more.
pub(crate) fn lost(error: FsError) -> Interruption {
    if !error.is_of_sync() {
        return Interruption::Io(error);
    }
    Interruption::DataLoss(format!("{error}; what was written to it may be lost: drop it anew"))
}

/// Opens the data file for writing and makes its data durable; it must still be what it was
/// `before`.
pub(crate) fn synced(
    job: &Job,
    before: &Stat,
    progress: &mut Progress,
) -> Result<DataFile, Interruption> {
    let is_word = matches!(job.evidence, Evidence::Ready | Evidence::Marker);
    if !is_word && job.candidate.writer() == Writer::Present {
        return Err(Interruption::Retry("somebody opened it for writing".to_owned()));
    }
    let file = job.candidate.file.writable().map_err(|error| {
        // Another process is probing it; an open that waits for that could wait for long.
        if error.is_leased() {
            Interruption::Locked(error.to_string())
        } else {
            Interruption::Io(error)
        }
    })?;
    sync_written(&file, progress)?;
    check_size(job, before, &file)?;
    Ok(file)
}

/// Makes what the producer wrote durable.
pub(crate) fn sync_written(file: &DataFile, progress: &Progress) -> Result<(), Interruption> {
    #[cfg(feature = "sabotage")]
    if crate::fs::skips("sync-before-header") {
        return Ok(());
    }
    if !file.flush_interruptibly(&|| progress.stopped()).map_err(lost)? {
        return Err(Interruption::Cancelled);
    }
    file.sync_data().map_err(lost)
}

/// Fails unless the file still has the size and time that it had `then`.
pub(crate) fn check_size(job: &Job, then: &Stat, file: &DataFile) -> Result<(), Interruption> {
    let now = file.stat()?;
    let steady = match job.evidence {
        // The producer's word stands; its mapping may still touch the times.
        Evidence::Ready => now.size == then.size,
        _ => now.size == then.size && now.mtime_ns == then.mtime_ns,
    };
    if steady {
        Ok(())
    } else {
        Err(Interruption::Retry("it changed while it was synced".to_owned()))
    }
}

/// What was read or shared must be what the producer wrote.
pub(crate) fn check_content(job: &Job) -> Result<(), Interruption> {
    let candidate = &job.candidate;
    for file in candidate.files() {
        file.check_writeback_error().map_err(lost)?;
    }
    if !candidate.is_unchanged()? {
        return Err(Interruption::Retry("it changed while it was taken".to_owned()));
    }
    Ok(())
}

/// The content must be right, and nobody may be writing to it.
pub(crate) fn check_source(job: &Job) -> Result<(), Interruption> {
    check_content(job)?;
    let candidate = &job.candidate;
    if job.evidence != Evidence::Ready && candidate.writer() == Writer::Present {
        return Err(Interruption::Retry(
            "somebody opened it for writing while it was taken".to_owned(),
        ));
    }
    Ok(())
}

/// Under the claim: is the name still this file, and the file still what was settled?
pub(crate) fn check_unchanged(job: &Job, at: &Locations) -> Result<(), Interruption> {
    let candidate = &job.candidate;
    let Some(named) = at.source.stat(candidate.name.as_ref())? else {
        return Err(Interruption::Vanished);
    };
    if !named.is_same_file(&candidate.stat) {
        return Err(Interruption::Retry("it was replaced by another file".to_owned()));
    }
    check_sidecar(job, at)?;
    let now = candidate.file.stat()?;
    if job.evidence == Evidence::Ready {
        // The producer's word stands, whatever its mapping still does to the times. Another npyd
        // may have finished it, though.
        let first = candidate.file.read_at_most(0, 8)?;
        let unchanged =
            matches!(&job.dump.front, LeadingBytes::Header(own) if own.bytes.starts_with(&first));
        return if unchanged && now.size >= candidate.stat.size {
            Ok(())
        } else {
            Err(Interruption::Retry("its header changed".to_owned()))
        };
    }
    if candidate.is_unchanged()? {
        Ok(())
    } else {
        Err(Interruption::Retry("it changed".to_owned()))
    }
}

/// What describes the data must still be what was read.
pub(crate) fn check_sidecar(job: &Job, at: &Locations) -> Result<(), Interruption> {
    let Some(sidecar) = &job.candidate.sidecar else { return Ok(()) };
    let beside = sidecar.rel.parent() == job.candidate.rel.parent();
    let now = if beside {
        at.source.stat(sidecar.name.as_ref())?
    } else {
        Dir::open(&job.drop_dir.path)?.stat(&sidecar.rel)?
    };
    match now {
        Some(now) if now.is_unchanged_since(&sidecar.stat) => Ok(()),
        _ => Err(Interruption::Retry(format!("`{}` changed", sidecar.name))),
    }
}
