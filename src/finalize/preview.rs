//! Preview: what finalizing a complete drop would do. Changes nothing.

use std::cell::RefCell;
use std::path::PathBuf;

use crate::decide::plan::Plan;
use crate::decide::route::Route;
use crate::events::receipt_event::ReceiptEvent;
use crate::finalize::choice::Choice;
use crate::finalize::header_room::refuse_occupied;
use crate::finalize::locations::Locations;
use crate::finalize::output_name::{NamedArray, choose_name, is_old_array};
use crate::finalize::{Interruption, Job};
use crate::fs::Dir;

/// What would be done with a drop.
pub struct Preview {
    /// The event of its receipt.
    pub event: ReceiptEvent,
    /// The array's path.
    pub output: PathBuf,
    /// The header and the route.
    pub plan: Plan,
    /// What the array would replace.
    pub replaced: Option<String>,
}

/// Checks that the array of a drop that is to be made again can have its name. Reads an array that
/// is there only if neither mark nor ledger say whose it is.
///
/// # Errors
/// It can't; the interruption says what has the name.
pub fn check_name(job: &Job) -> Result<(), Interruption> {
    let (at, is_missing) = locations(job)?;
    if is_missing || is_old_array(job, &at)? { Ok(()) } else { preview(job).map(drop) }
}

/// Previews a job. The file system may still refuse the route.
pub fn preview(job: &Job) -> Result<Preview, Interruption> {
    let (at, is_missing) = locations(job)?;
    let base = job.drop_dir.output.as_ref();
    let path = base.map_or_else(|| at.source.path().to_path_buf(), |base| base.join(job.parent()));
    let choice = Choice::new(job, &at, |plan| {
        if is_missing { Ok(None) } else { choose_name(job, &at, plan, None).map(Some) }
    })?;
    let Choice { event, name, there, replaced, plan, .. } = choice;
    let replaced = match there {
        Some(NamedArray::Old(old)) if !old.is_array() => {
            replaced.map(|it| format!("{it}, which stays as a backup"))
        }
        Some(NamedArray::Old(_)) => replaced
            .map(|it| format!("{it}, which stays as a backup unless the new one has its bytes")),
        Some(NamedArray::Standing(_)) | None => replaced,
    };
    if plan.route == Route::InPlace {
        refuse_occupied(job, &plan)?;
    }
    Ok(Preview { event, output: path.join(name), plan, replaced })
}

/// Opens the directories of a job, and returns whether that of the output is still to be made.
fn locations(job: &Job) -> Result<(Locations, bool), Interruption> {
    let source = Dir::open_below(&job.drop_dir.path, job.parent())?;
    let base = job.drop_dir.output.as_ref();
    let mut is_missing = false;
    let output = match base.map(|base| Dir::open_below(base, job.parent())) {
        None => source.clone(),
        Some(Ok(output)) => output,
        // It would be made, unless the output itself is missing.
        Some(Err(error)) if error.is_missing() => {
            is_missing = true;
            Dir::open(base.unwrap_or(&job.drop_dir.path))?
        }
        Some(Err(error)) => return Err(error.into()),
    };
    let at = Locations { source, output, beside: base.is_none(), lost: RefCell::default() };
    Ok((at, is_missing))
}
