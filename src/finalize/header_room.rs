//! The room for a header at the front of a data file: what an interrupted run or other programs
//! left there. Changes nothing.

use crate::decide::plan::Plan;
use crate::decide::reason::Reason;
use crate::decide::route_problem::RouteProblem;
use crate::decide::routes::SECTOR;
use crate::decide::source_identity::SourceIdentity;
use crate::describe::{DeclaredBy, LeadingBytes};
use crate::finalize::{Interruption, Job};
use crate::probe::SOURCE_ATTR;
use crate::probe::input::InputFile;

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
    Err(Interruption::Rejected(Reason::Route(RouteProblem::Occupied {
        room: *room,
        at,
        byte: there.get(at).copied().unwrap_or_default(),
    })))
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
