//! Constraints on the choice of a route: permissions, directories, file systems.

use crate::describe::Division;
use crate::events::receipt::EventKind;
use crate::finalize::locations::Locations;
use crate::finalize::output_name::replaceable;
use crate::finalize::pending_name::{needs_pending_name, pending_name};
use crate::finalize::{Constraints, Disposition, DropDir, Dump, Evidence, Interruption, Job, Plan};
use crate::fs::{self, Dir, fs_info};
use crate::model::FileName;
use crate::probe::candidate::Candidate;
use crate::probe::input::InputFile;

pub(crate) fn constraints(job: &Job, at: &Locations) -> Result<Constraints, Interruption> {
    let Job { drop_dir, candidate, evidence, .. } = job;
    let mut constraints =
        constraints_between(drop_dir, &at.source, &at.output, candidate, Some(*evidence))?;
    if needs_pending_name(job, at) && pending_name(&candidate.input.name).is_err() {
        constraints.exclude_consuming("there is no room for `.pending` in the file's name");
    }
    constraints.can_journal = job.intents.is_some();
    constraints.own_name = job.keeps_its_name(at).then(|| job.dump.output.clone());
    Ok(constraints)
}

/// Excludes the routes by which the data file itself becomes the array, if the array replaces a
/// file. Returns what it replaces, for the receipt.
pub(crate) fn exclude_by_name(
    job: &Job,
    at: &Locations,
    (event, name, has_old): (EventKind, &FileName, bool),
    constraints: &mut Constraints,
) -> Result<Option<String>, Interruption> {
    let replaced = match event {
        EventKind::Finalized if !job.keeps_its_name(at) => replaceable(job, at, name)?,
        _ => None,
    };
    let why = match event {
        // The drop may change again, so its file must not become the array.
        EventKind::Remade => "the array is made again, as a new file",
        _ if has_old => "the array that it replaces is compared with it first",
        // Only a new file can be exchanged with the old one, so that no third file is replaced.
        _ if replaced.is_some() => "a new file replaces the one that has its name",
        _ => return Ok(None),
    };
    constraints.exclude_consuming(why);
    Ok(replaced.map(|it| it.remark))
}

/// Returns the constraints for a candidate, from one directory to another. A file that may still
/// have a writer must not become the array itself.
pub fn constraints_between(
    drop_dir: &DropDir,
    source: &Dir,
    output: &Dir,
    candidate: &Candidate,
    evidence: Option<Evidence>,
) -> fs::Result<Constraints> {
    let mut constraints = constraints_of_dirs(drop_dir, source, output)?;
    constraints.files = candidate.input.files.len();
    let is_series = |dump: &Dump| dump.division != Division::EqualShares;
    let why = match evidence {
        _ if candidate.dump.as_ref().is_ok_and(is_series) => {
            Some("the file is one of a series".to_owned())
        }
        Some(Evidence::Quiet) => {
            Some("nothing proves that no process writes to the file any more".to_owned())
        }
        Some(Evidence::Taken | Evidence::CommonRows) => {
            Some("the file is taken as it is, and stays so".to_owned())
        }
        _ => lacks_right(drop_dir, source, candidate)?,
    };
    if let Some(why) = why {
        constraints.exclude_consuming(&why);
    }
    if !fs::has_proc() {
        constraints.exclude_consuming("/proc is not mounted");
    }
    Ok(constraints)
}

/// Returns why this user can't make the data file itself the array, if it lacks a permission or the
/// file is protected.
pub(crate) fn lacks_right(
    drop_dir: &DropDir,
    source: &Dir,
    candidate: &Candidate,
) -> fs::Result<Option<String>> {
    let Some(InputFile { name, file, stat, .. }) = candidate.input.only_file() else {
        return Ok(None); // several files can't become one
    };
    let has_its_name = |dump: &Dump| drop_dir.output.is_none() && dump.output == *name;
    let keeps_its_name = candidate.dump.as_ref().is_ok_and(has_its_name);
    let protection = match candidate.input.protection() {
        None if !keeps_its_name => candidate.input.protection_in(source)?,
        protection => protection,
    };
    Ok(if let Some(protection) = protection {
        Some(protection.to_string())
    } else if !file.is_writable() {
        Some("the user that npyd runs as may not write to the file".to_owned())
    } else if !keeps_its_name && !source.may_unlink(stat)? {
        Some("the user that npyd runs as may not rename the file".to_owned())
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
        readers: drop_dir.readers,
        same_file_system: output.is_on_mount_of(source)?,
        file_system: fs_info(output)?,
        files: 1,
        keeps_source: drop_dir.source != Disposition::Remove,
        can_journal: true,
        own_name: None,
        excluded: Vec::new(),
    })
}

pub(crate) fn plan_of(job: &Job, constraints: &Constraints) -> Result<Plan, Interruption> {
    let file_len = match job.evidence {
        evidence if evidence.is_partial() => job.dump.end_of(&job.source_header),
        _ => job.candidate.input.logical_size(&job.dump).0,
    };
    Plan::new(&job.dump, &job.source_header, file_len, constraints).map_err(Interruption::Rejected)
}
