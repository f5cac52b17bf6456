//! Checks of the data file for all routes: whether the file is durable, and unchanged since the
//! drop was complete.

use crate::decide::change::{Change, OpenFile};
use crate::decide::evidence::{Evidence, ProducerWord};
use crate::decide::reason::Reason;
use crate::decide::work_error::DataLoss;
use crate::finalize::locations::Locations;
use crate::finalize::{Interruption, Job, LeadingBytes};
use crate::fs::{DataFile, Dir, FsError};
use crate::model::{Stat, Writer};
use crate::probe::input::InputFile;
use crate::throttle::meter::Meter;

/// Converts an error. A failed sync is a data loss: npyd can no longer trust the data or a header
/// in the file (F1).
pub(crate) fn lost(error: FsError) -> Interruption {
    if !error.is_of_sync() {
        return Interruption::Io(error);
    }
    let (error, has_other_files) = (error.into(), false);
    Interruption::DataLoss(Reason::DataLoss(DataLoss::Sync { error, has_other_files }))
}

/// Syncs the data of the data file. Fails if it has changed since `before`. npyd does not open the
/// file for writing here: the sync can take long, and afterwards npyd must see other writers.
pub(crate) fn sync_source(
    job: &Job,
    before: &Stat,
    progress: &mut Meter,
) -> Result<(), Interruption> {
    let is_marked = job.evidence.producer_word() == Some(ProducerWord::Mark);
    if !is_marked && job.candidate.input.writer()? == Writer::Present {
        return Err(Interruption::Retry(Reason::OpenForWriting(OpenFile::Data)));
    }
    let file = &job.only_file()?.file;
    sync_written(file, progress)?;
    check_size(job, before, file)
}

/// Opens the data file for writing.
pub(crate) fn writable(file: &DataFile) -> Result<DataFile, Interruption> {
    file.writable().map_err(|error| {
        // Another process holds a lease for a probe; a blocking open could wait long.
        if error.is_leased() {
            Interruption::Locked(Reason::Io(error.into()))
        } else {
            Interruption::Io(error)
        }
    })
}

/// Syncs what the producer wrote.
pub(crate) fn sync_written(file: &DataFile, progress: &Meter) -> Result<(), Interruption> {
    #[cfg(feature = "sabotage")]
    if crate::fs::skips("sync-before-header") {
        return Ok(());
    }
    if !file.flush_interruptibly(&|| progress.stopped()).map_err(lost)? {
        return Err(Interruption::Cancelled);
    }
    file.sync_data().map_err(lost)
}

/// Syncs each data file to which a process may be writing, as far as npyd can tell. Call it before
/// the data are read.
///
/// A write through a mapping to a page that is already dirty changes neither mtime nor ctime, so no
/// later check would detect it. A sync write-protects the page: the next write faults, and the
/// kernel updates both. tmpfs has no writeback, so such writes stay undetected there.
///
/// A file needs no sync once a lease has proved that no process has a writable mapping: the first
/// write through a later mapping faults, and changes the times of which the probe has a copy.
pub(crate) fn sync_unproven(job: &Job, progress: &mut Meter) -> Result<(), Interruption> {
    let had_leases = matches!(job.evidence, Evidence::Size | Evidence::NoWriter);
    if job.evidence.producer_word().is_some() || had_leases {
        return Ok(());
    }
    for InputFile { file, stat, .. } in &job.candidate.input.files {
        if file.writer()? == Writer::None {
            continue;
        }
        progress.begin_sync(stat.size);
        if !file.flush_interruptibly(&|| progress.stopped()).map_err(lost)? {
            return Err(Interruption::Cancelled);
        }
        match file.sync_data() {
            Err(error) if error.is_unsyncable() => {}
            synced => synced.map_err(lost)?,
        }
    }
    if job.candidate.input.is_unchanged()? {
        Ok(())
    } else {
        Err(Interruption::changed(Change::DuringSync))
    }
}

/// Fails if the size or mtime differs from `then`.
pub(crate) fn check_size(job: &Job, then: &Stat, file: &DataFile) -> Result<(), Interruption> {
    let now = file.stat()?;
    let steady = match job.evidence {
        // The producer declared it complete; its mapping may still touch the times.
        Evidence::Ready => now.size == then.size,
        _ => now.size == then.size && now.mtime_ns == then.mtime_ns,
    };
    if steady { Ok(()) } else { Err(Interruption::changed(Change::DuringSync)) }
}

/// Fails if what was read or shared may not be what the producer wrote.
pub(crate) fn check_content(job: &Job) -> Result<(), Interruption> {
    let candidate = &job.candidate;
    for input in &candidate.input.files {
        input.file.check_writeback_error().map_err(lost)?;
    }
    if !candidate.input.is_unchanged()? {
        return Err(Interruption::changed(Change::DuringRead));
    }
    Ok(())
}

/// Fails if the content changed, or a process writes to it.
pub(crate) fn check_source(job: &Job) -> Result<(), Interruption> {
    check_content(job)?;
    let candidate = &job.candidate;
    if job.evidence != Evidence::Ready && candidate.input.writer()? == Writer::Present {
        return Err(Interruption::Retry(Reason::OpenForWriting(OpenFile::DataDuringRead)));
    }
    Ok(())
}

/// Fails unless the names still refer to these files, and the files are unchanged. Call it under
/// the claims.
pub(crate) fn check_unchanged(job: &Job, at: &Locations) -> Result<(), Interruption> {
    let candidate = &job.candidate;
    let mut is_unchanged = true;
    for InputFile { name, stat, .. } in &candidate.input.files {
        let Some(named) = at.source.stat(name.as_ref())? else {
            return Err(Interruption::Vanished);
        };
        if !named.is_same_file(stat) {
            return Err(Interruption::Retry(Reason::Replaced(job.subject(name))));
        }
        is_unchanged &= named.is_unchanged_since(stat);
    }
    check_sidecar(job, at)?;
    if job.evidence == Evidence::Ready {
        // The producer declared it complete, whatever its mapping still does to the times. Another
        // npyd may have finished it, though.
        let InputFile { file, stat, .. } = job.only_file()?;
        let (now, first) = (file.stat()?, file.read_at_most(0, 8)?);
        let unchanged =
            matches!(&job.dump.front, LeadingBytes::Header(own) if own.bytes.starts_with(&first));
        return if unchanged && now.size >= stat.size {
            Ok(())
        } else {
            Err(Interruption::changed(Change::Header))
        };
    }
    if is_unchanged { Ok(()) } else { Err(Interruption::changed(Change::Before)) }
}

/// Fails if the sidecar changed since it was read.
pub(crate) fn check_sidecar(job: &Job, at: &Locations) -> Result<(), Interruption> {
    let Some(sidecar) = &job.candidate.input.description else { return Ok(()) };
    let beside = sidecar.rel.parent() == job.candidate.input.rel.parent();
    let now = if beside {
        at.source.stat(sidecar.name.as_ref())?
    } else {
        Dir::open(&job.drop_dir.path)?.stat(&sidecar.rel)?
    };
    match now {
        Some(now) if now.is_unchanged_since(&sidecar.stat) => Ok(()),
        _ => Err(Interruption::changed(Change::Description(sidecar.name.clone()))),
    }
}
