//! The pipeline for one drop or a batch. Each step runs for the whole batch before the next one, so
//! that the syncs share a journal commit and each directory is synced once.
//!
//! Order: data and header durable → name → directory durable → only then the source. If an array is
//! made again, its old one is backed up before the new one gets the name.

pub(super) mod complete_keys;
mod in_flight;
pub(super) mod redo_array;
mod synced_dirs;

use std::slice;

use crate::events::receipt::Receipt;
use crate::finalize::locations::OpenDirs;
use crate::finalize::parallel::parallel_map;
use crate::finalize::{Interruption, Job};
use crate::throttle::meter::Meter;

use in_flight::InFlight;
use synced_dirs::SyncedDirs;

/// The result of a job whose array is durable under its name.
pub struct Finalized {
    /// The receipt.
    pub receipt: Receipt,
    /// Why what follows the array was not done: the next attempt finds the array, and does it.
    pub interruption: Option<Interruption>,
}

/// Makes the array, and then disposes of the source as configured.
pub fn finalize(job: &Job, progress: &mut Meter) -> Result<Finalized, Interruption> {
    let mut all = [InFlight::new(job, &OpenDirs::default(), progress)];
    if matches!(&all, [Ok(InFlight { output: Some(_), .. })]) {
        progress.begin_sync(job.data_len());
    }
    finish(&mut all);
    let [in_flight] = all;
    in_flight.and_then(InFlight::into_result)
}

/// Finalizes a batch. A job that fails does not affect the others.
pub fn finalize_all(
    batch: &[Job],
    meter_of: impl Fn(&Job) -> Meter + Sync,
) -> Vec<Result<Finalized, Interruption>> {
    let dirs = OpenDirs::default();
    let begin = |job| InFlight::new(job, &dirs, &mut meter_of(job));
    let mut all = parallel_map(batch.iter().collect(), begin);
    finish(&mut all);
    all.into_iter().map(|in_flight| in_flight.and_then(InFlight::into_result)).collect()
}

/// Runs the steps after filling, each for the whole batch.
fn finish(all: &mut [Result<InFlight<'_>, Interruption>]) {
    for_each_ok_parallel(all, InFlight::sync);
    for_each_ok(all, InFlight::back_up);
    let mut synced = SyncedDirs::default();
    for_each_ok(all, |job| job.sync_backup(&mut synced));
    for_each_ok(all, InFlight::publish_name);
    let mut synced = SyncedDirs::default();
    for_each_ok(all, |job| job.sync_name(&mut synced));
    // The threads of a step cost more than a step that does not wait for the disk.
    if all.iter().flatten().any(InFlight::has_metadata) {
        for_each_ok_parallel(all, InFlight::write_metadata);
    }
    // From here on the arrays are complete and durable, so that each one gets its receipt.
    let mut all: Vec<&mut InFlight<'_>> = all.iter_mut().flatten().collect();
    if all.iter().any(|job| job.moves_source()) {
        parallel_map(all.iter_mut().collect(), |job| job.then(InFlight::dispose_source));
    } else {
        for job in &mut all {
            job.then(InFlight::dispose_source);
        }
    }
    let mut synced = SyncedDirs::default();
    for job in &mut all {
        job.then(|job| job.sync_source(&mut synced));
    }
    for job in &mut all {
        job.then(InFlight::dispose_sidecar);
    }
    let mut synced = SyncedDirs::default();
    for job in &mut all {
        job.then(|job| job.sync_sidecar(&mut synced));
        job.then(InFlight::remove_stale_note);
    }
}

/// Runs a step for each job that has not failed.
fn for_each_ok<'a>(
    all: &mut [Result<InFlight<'a>, Interruption>],
    mut step: impl FnMut(&mut InFlight<'a>) -> Result<(), Interruption>,
) {
    for item in all {
        if let Ok(in_flight) = item
            && let Err(interruption) = step(in_flight)
        {
            *item = Err(interruption);
        }
    }
}

/// Runs a step for each job that has not failed, in parallel, because the step waits for the disk.
fn for_each_ok_parallel<'a>(
    all: &mut [Result<InFlight<'a>, Interruption>],
    step: impl Fn(&mut InFlight<'a>) -> Result<(), Interruption> + Sync,
) {
    parallel_map(all.iter_mut().collect(), |item| for_each_ok(slice::from_mut(item), &step));
}
