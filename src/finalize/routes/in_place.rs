//! The in-place route: the data stay where they are, and the header is written before them.
//!
//! Data first, synced; then the header, synced: never both with one sync, because a disk may write
//! them in any order. The final name comes last. If the file already has it, the header's first
//! eight bytes decide whether the file is an array, so they come last.

use crate::decide::identity::SourceIdentity;
use crate::decide::plan::Plan;
use crate::decide::reason::{Reason, Subject};
use crate::decide::route::Write;
use crate::decide::routes::SECTOR;
use crate::describe::{DeclaredBy, LeadingBytes};
use crate::finalize::copying::duplicate;
use crate::finalize::locations::Locations;
use crate::finalize::routes::{RouteResult, RouteWork};
use crate::finalize::source_checks::{lost, synced};
use crate::finalize::{Interruption, Job, output_name, rest};
use crate::fs::Moved;
use crate::model::FileName;
use crate::npy::MAGIC;
use crate::probe::SOURCE_ATTR;
use crate::probe::input::InputFile;
use crate::throttle::meter::Meter;

/// Cuts off the bytes after the array, writes the header into the data file, and renames the file
/// to its final name.
pub(crate) fn carry_out(
    work: &RouteWork<'_>,
    writes: &[Write],
    progress: &mut Meter,
) -> Result<RouteResult, Interruption> {
    let RouteWork { job, at, name: output, .. } = *work;
    refuse_occupied(job, work.plan)?;
    let (before, remark) = rest::cut(job, at, progress)?;
    let remarks: Vec<String> = remark.into_iter().collect();
    let file = synced(job, &before, progress)?;
    refuse_other_header(job, writes)?;
    let name = leave_final_name(job, at)?;
    file.clear_special_bits()?;
    if job.dump.digest.is_some() {
        // Once the header is begun, the digest can't be computed any more.
        job.mark_array(&file)?;
        file.sync_all().map_err(lost)?;
    }
    (work.describe)(&remarks)?;
    for write in writes {
        let before = file.read_at_most(write.at, write.bytes.len())?;
        file.write_all_at(&write.bytes, write.at)?;
        if let Err(error) = file.sync_data() {
            // F1: restore the old bytes, so that no reader takes the file for an array. If that
            // also fails, the receipt reports the data loss.
            let _ = file.write_all_at(&before, write.at);
            return Err(lost(error));
        }
    }
    if at.beside && *output == name {
        return Ok(RouteResult::Consumed(remarks));
    }
    if job.candidate.input.description.is_some() {
        job.mark_array(&file)?;
    } else {
        job.mark_origin(&file)?;
    }
    drop(file); // otherwise npyd itself would be a writer and block the removal
    if !rename(job, at, &name, output, progress)? {
        return Err(Interruption::Retry(Reason::Appeared(output.clone())));
    }
    at.output.sync()?;
    if !at.beside {
        at.source.sync()?;
    }
    Ok(RouteResult::Consumed(remarks))
}

/// Rejects a `.npy` file that has another header, because a template can match an unrelated array.
/// A file with this very header was left by a run that was interrupted before it moved the array.
fn refuse_other_header(job: &Job, writes: &[Write]) -> Result<(), Interruption> {
    if job.dump.kind != DeclaredBy::Template {
        return Ok(());
    }
    let file = &job.only_file()?.file;
    if !file.read_at_most(0, 6)?.starts_with(&MAGIC) {
        return Ok(());
    }
    for write in writes {
        if file.read_at_most(write.at, write.bytes.len())? != write.bytes {
            let what = "it already is a .npy file with another header: move it away";
            return Err(Interruption::Rejected(Reason::Route(what.to_owned())));
        }
    }
    Ok(())
}

/// Rejects bytes in the reserved region if options reserve it. A manifest or a template is the word
/// of the producer that the region is free, whatever is in it; a person who types `--reserved` may
/// mean the header of an instrument. An interrupted run leaves npyd's own header.
pub(crate) fn refuse_occupied(job: &Job, plan: &Plan) -> Result<(), Interruption> {
    let (DeclaredBy::Options, LeadingBytes::Reserved(room)) = (job.dump.kind, &job.dump.front)
    else {
        return Ok(());
    };
    let head = plan.head(&job.dump);
    let there = job.only_file()?.file.read_at_most(0, head.len())?;
    if there == head || filled_with(&there, &head) == Some(0) {
        return Ok(());
    }
    let at = there.iter().position(|byte| *byte != 0).unwrap_or_default();
    Err(Interruption::Rejected(Reason::Route(format!(
        "its first {room} bytes are not all zeros (byte {at} is 0x{:02x}): --reserved would \
         overwrite them; --offset {room} makes a new file instead",
        there.get(at).copied().unwrap_or_default()
    ))))
}

/// Returns whether an interrupted run verified the digest before it wrote this header: the mark is
/// of this file and manifest. Bytes 0 to 8 of a header are written last.
pub(crate) fn was_verified(job: &Job, there: &[u8], head: &[u8]) -> Result<bool, Interruption> {
    let InputFile { file, stat, .. } = job.only_file()?;
    let Some(mark) = file.attr(SOURCE_ATTR)? else { return Ok(false) };
    let mark = SourceIdentity::parse(&String::from_utf8_lossy(&mark));
    let of_this = mark.data.starts_with(&format!("{}:{}:", stat.ino, stat.size))
        && mark.sidecar == job.candidate.snapshot().identity().sidecar;
    Ok(of_this && there.get(8..) == head.get(8..))
}

/// Returns the byte that filled the reserved region before npyd began to write the header. A crash
/// may have torn that write: each sector has the header's bytes, or only the fill byte. Returns
/// `None` if no byte fits all sectors.
pub(crate) fn filled_with(there: &[u8], head: &[u8]) -> Option<u8> {
    let fill = *there.first()?;
    let is_full = |bytes: &[u8]| bytes.iter().all(|byte| *byte == fill);
    let mut sectors = there.chunks(SECTOR).zip(head.chunks(SECTOR));
    // Bytes 0 to 8 are written last.
    let (first, of_head) = sectors.next()?;
    let is_first = is_full(first.get(..8)?) && (first[8..] == of_head[8..] || is_full(first));
    let is_torn = is_first && sectors.all(|(sector, of_head)| sector == of_head || is_full(sector));
    (there.len() == head.len() && is_torn).then_some(fill)
}

/// Gives the array its final name. Returns `false` if that is taken.
fn rename(
    job: &Job,
    at: &Locations,
    name: &FileName,
    output: &FileName,
    progress: &mut Meter,
) -> Result<bool, Interruption> {
    let replace = output_name::replaces(job, at, output)?;
    let (file, to) = (&job.only_file()?.file, output.as_ref());
    match at.source.move_if_same(name.as_ref(), file, &at.output, to, replace)? {
        Moved::Moved => Ok(true),
        Moved::TargetExists => Ok(false),
        Moved::NotSame | Moved::Unproven => {
            Err(Interruption::Retry(Reason::Replaced(Subject::Drop)))
        }
        // rename(2) can fail with EXDEV on one mount, between quota projects or encryption
        // policies.
        Moved::OtherFileSystem => {
            let (mut copy, before) = duplicate(file, at, progress)?;
            job.mark_array(copy.file())?;
            let published = copy.publish(output.as_ref(), replace)?;
            if published {
                let writers = job.writers();
                let _ = at.source.remove_if_unchanged(name.as_ref(), file, &before, writers)?;
            }
            Ok(published)
        }
    }
}

/// Returns whether the file is to move elsewhere, and looks final in the meantime.
pub(crate) fn needs_pending_name(job: &Job, at: &Locations) -> bool {
    job.dump.kind == DeclaredBy::Pending
        && !at.beside
        && job.candidate.input.name.without_pending_suffix().is_none()
}

/// Returns `x.npy.pending`. Fails if that is longer than a file name may be: after a crash the
/// array would get the shortened name.
pub(crate) fn pending_name(name: &FileName) -> Result<FileName, String> {
    FileName::try_from(format!("{name}.pending"))
}

/// Renames a pending `x.npy` that is to move elsewhere to `x.npy.pending`, so that it does not look
/// final before it is moved. After a crash the next scan recognizes the pending name and finishes
/// the move.
fn leave_final_name(job: &Job, at: &Locations) -> Result<FileName, Interruption> {
    let InputFile { name, file, .. } = job.only_file()?;
    if !needs_pending_name(job, at) {
        return Ok(name.clone());
    }
    let pending = pending_name(name).map_err(|why| Interruption::Rejected(Reason::BadName(why)))?;
    if at.source.stat(pending.as_ref())?.is_some() {
        return Err(Interruption::Rejected(Reason::Output(format!(
            "`{pending}` exists as well: remove one of the two"
        ))));
    }
    if !at.source.rename_private_as(name.as_ref(), file, pending.as_ref())? {
        return Err(Interruption::Retry(Reason::Replaced(Subject::Drop)));
    }
    at.source.sync()?;
    Ok(pending)
}
