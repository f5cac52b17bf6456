//! Constraints on the choice of a route: permissions, directories, file systems.

use crate::config::RouteWishes;
use crate::decide::reason::Reason;
use crate::decide::route_obstacle::RouteObstacle;
use crate::describe::Division;
use crate::finalize::job::keeps_its_name;
use crate::finalize::locations::Locations;
use crate::finalize::pending_name::{needs_pending_name, pending_name};
use crate::finalize::{Constraints, DropDir, Dump, Evidence, Interruption, Job, Plan};
use crate::fs::{self, Dir, fs_info};
use crate::npy::Header;
use crate::probe::candidate::Candidate;
use crate::probe::input::InputFile;

/// Returns the constraints for a job.
pub(crate) fn constraints(job: &Job, at: &Locations) -> Result<Constraints, Interruption> {
    let Job { drop_dir, candidate, dump, evidence, .. } = job;
    let dirs = (&at.source, &at.output);
    let mut constraints = constraints_between(drop_dir, dirs, candidate, dump, Some(*evidence))?;
    constraints.can_journal = job.intents.is_some();
    Ok(constraints)
}

/// Plans the array of a candidate as it is now, from one directory to another.
pub fn plan_candidate(
    drop_dir: &DropDir,
    dirs: (&Dir, &Dir),
    candidate: &Candidate,
    (dump, header): (&Dump, &Header),
    evidence: Option<Evidence>,
) -> fs::Result<Result<Plan, Reason>> {
    let constraints = constraints_between(drop_dir, dirs, candidate, dump, evidence)?;
    Ok(plan(candidate, (dump, header), evidence, &constraints))
}

/// Returns the constraints for a candidate, from one directory to another. A file that may still
/// have a writer must not become the array itself.
fn constraints_between(
    drop_dir: &DropDir,
    (source, output): (&Dir, &Dir),
    candidate: &Candidate,
    dump: &Dump,
    evidence: Option<Evidence>,
) -> fs::Result<Constraints> {
    let mut constraints = constraints_of_dirs(drop_dir, source, output)?;
    constraints.files = candidate.input.files.len();
    let why = match evidence {
        _ if dump.division != Division::EqualShares => Some(RouteObstacle::OfSeries),
        Some(Evidence::Quiet) => Some(RouteObstacle::Unproven),
        Some(Evidence::Taken | Evidence::CommonRows) => Some(RouteObstacle::TakenAsIs),
        _ => lacks_right(drop_dir, source, candidate, dump)?,
    };
    if let Some(why) = why {
        constraints.exclude_consuming(&why);
    }
    if !fs::has_proc() {
        constraints.exclude_consuming(&RouteObstacle::NoProc);
    }
    let (name, beside) = (&candidate.input.name, drop_dir.output.is_none());
    if needs_pending_name(dump, name, beside) && pending_name(name).is_err() {
        constraints.exclude_consuming(&RouteObstacle::NoRoomForPending);
    }
    constraints.own_name =
        keeps_its_name(&candidate.input, dump, beside).then(|| dump.output.clone());
    Ok(constraints)
}

/// Returns why this user can't make the data file itself the array, if it lacks a permission or the
/// file is protected.
fn lacks_right(
    drop_dir: &DropDir,
    source: &Dir,
    candidate: &Candidate,
    dump: &Dump,
) -> fs::Result<Option<RouteObstacle>> {
    let Some(InputFile { file, .. }) = candidate.input.only_file() else {
        return Ok(None); // several files can't become one
    };
    let keeps_its_name = keeps_its_name(&candidate.input, dump, drop_dir.output.is_none());
    let protection = match candidate.input.protection() {
        None if !keeps_its_name => candidate.input.unproven_in(source)?,
        protection => protection,
    };
    Ok(if let Some(protection) = protection {
        Some(protection.to_route_obstacle())
    } else if !file.is_writable() {
        Some(RouteObstacle::NotWritable)
    } else {
        None
    })
}

/// Returns the constraints that depend only on the directories, for data in one file.
pub fn constraints_of_dirs(
    drop_dir: &DropDir,
    source: &Dir,
    output: &Dir,
) -> fs::Result<Constraints> {
    Ok(Constraints {
        wishes: RouteWishes::of(drop_dir),
        same_file_system: output.is_on_mount_of(source)?,
        ..Constraints::on(fs_info(output)?)
    })
}

/// Plans the array of a job.
pub(crate) fn plan_of(job: &Job, constraints: &Constraints) -> Result<Plan, Interruption> {
    let Job { candidate, dump, source_header, evidence, .. } = job;
    let planned = plan(candidate, (dump, source_header), Some(*evidence), constraints);
    planned.map_err(Interruption::Rejected)
}

fn plan(
    candidate: &Candidate,
    (dump, header): (&Dump, &Header),
    evidence: Option<Evidence>,
    constraints: &Constraints,
) -> Result<Plan, Reason> {
    let file_len = match evidence {
        Some(evidence) if evidence.is_partial() => dump.end_of(header),
        _ => candidate.input.logical_size(dump).0,
    };
    Plan::new(dump, header, file_len, constraints)
}
