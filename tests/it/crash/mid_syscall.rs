//! Power cuts in the middle of an insert-range call: some blocks of the file have moved, others
//! have not.

use std::thread;
use std::time::{Duration, Instant};

use super::harness::Tally;
use super::harness::crash_case::{CrashCase, Violation};
use super::harness::crash_dirs::{CrashDirs, on_crash_dirs};
use super::harness::npyd::Npyd;
use super::harness::scenario::{Disposition, Scenario};
use super::harness::volume::Cut;
use crate::support::{Change, Tracee, is_long};

/// The smallest piece of a file that the call can move, in bytes.
const BLOCK: u64 = 4096;

/// The most attempts to cut the power in the middle of the call. A busy machine needs more of them.
const TRIALS_MAX: usize = 600;

/// Returns a run that is stopped before the call.
fn before_the_call(case: &CrashCase<'_>) -> Tracee {
    let mut tracee = case.traced_sweep();
    let makes_room = |it: &Change| it.call == "fallocate" && it.path.contains(".npyd-insert-");
    while !makes_room(&tracee.next_change().unwrap()) {}
    tracee
}

/// Returns the duration of an undisturbed call.
fn length_of_the_call(case: &CrashCase<'_>) -> Duration {
    let mut tracee = before_the_call(case);
    let begun = Instant::now();
    tracee.next_change().unwrap();
    begun.elapsed()
}

/// Runs one case: a power cut `after` the call began, judged; then a sweep, judged again. Also
/// returns whether the room was in the middle of the data.
fn check(dirs: &CrashDirs, scenario: &Scenario, after: Duration) -> (bool, Result<(), Violation>) {
    let case = dirs.case(scenario);
    let mut tracee = before_the_call(&case);
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(after);
            dirs.cut(&case, Cut::KeepsMetadata);
        });
        tracee.next_change();
    });
    tracee.kill();
    dirs.restart(&case);
    let is_amid = case.has_room_amid();
    let checked = case.examine(true).and_then(|()| case.finish());
    let of = format!("{}, {scenario}, cut {after:?} after the call began", dirs.kind());
    (is_amid, checked.map_err(|it| it.of(&of)))
}

/// Cuts the power at moments all over the call, until at least `amid_min` cuts left the room in
/// the middle of the data.
fn every_moment(kind: &'static str, amid_min: usize) {
    let moments = if is_long() { 200 } else { 12 };
    let tally = on_crash_dirs(kind, Npyd::real(), |dirs| {
        let scenario = Scenario::of("insert-range", Disposition::Remove);
        let scenario = Scenario { ledger_along: true, piece: Some(BLOCK), ..scenario };
        let length = length_of_the_call(&dirs.case(&scenario));
        let (mut tally, mut amid) = (Tally::default(), 0);
        while tally.tried < moments || amid < amid_min && tally.tried < TRIALS_MAX {
            let after = length * (tally.tried % moments) as u32 / moments as u32;
            let (is_amid, checked) = check(dirs, &scenario, after);
            amid += usize::from(is_amid);
            tally.violations.extend(checked.err());
            tally.tried += 1;
        }
        tally.of = tally.tried;
        (tally, amid)
    });
    if let Some((tally, amid)) = tally {
        tally.report(&format!("moments of the call, {amid} with room amid the data,"));
        assert!(amid >= amid_min, "{amid} with room amid the data");
    }
}

#[test]
fn cut_on_xfs_without_reflink() {
    every_moment("xfs-without-reflink", 1);
}

/// ext4 stops in the middle only when its journal is written out, which is rare.
#[test]
fn cut_on_ext4() {
    every_moment("ext4", 0);
}
