//! Every error: each call of a run fails in turn, once and from then on, in each way in which it
//! can fail. Nothing is lost and no wrong array appears; and when the fault is over, the next sweep
//! brings the drop to its end.

use libc::c_int;

use super::ground::{Ground, on_ground};
use super::npyd::Npyd;
use super::scenario::Scenario;
use super::tracee::{Change, Fault, Tracee};
use super::trial::{Broken, Trial, Violation};
use super::{Tally, is_long};

/// More faults than a run could meet that gives up.
const FAULTS_MAX: usize = 2000;

/// How long a fault lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lasting {
    Once,
    FromThenOn,
}

/// In which ways a call can fail, of those that a full, broken or read-only disk, a quota, a signal
/// or a full table of descriptors make.
fn faults_of(call: &str) -> &'static [Fault] {
    use Fault::{Error, Short};
    const FULL: Fault = Error(libc::ENOSPC);
    const QUOTA: Fault = Error(libc::EDQUOT);
    const BROKEN: Fault = Error(libc::EIO);
    const READ_ONLY: Fault = Error(libc::EROFS);
    const SIGNAL: Fault = Error(libc::EINTR);
    const TABLE: Fault = Error(libc::EMFILE);
    match call {
        "write" | "pwrite64" => &[FULL, BROKEN, Short, QUOTA, SIGNAL],
        "fallocate" => &[FULL, BROKEN, SIGNAL, QUOTA],
        "fsync" | "fdatasync" | "sync_file_range" | "syncfs" | "ioctl" => &[BROKEN, FULL, QUOTA],
        "openat" | "open" => &[FULL, TABLE, BROKEN, READ_ONLY, QUOTA, SIGNAL],
        "openat2" => &[BROKEN, TABLE, SIGNAL],
        "pread64" | "read" => &[BROKEN, Short, SIGNAL],
        "statx" | "getdents64" | "fgetxattr" | "lseek" | "fstatfs" | "flock" => &[BROKEN],
        _ => &[READ_ONLY, FULL, BROKEN, QUOTA],
    }
}

/// Whether a fault that lasts meets this call, too.
fn meets(fault: Fault, change: &Change) -> bool {
    faults_of(change.call).contains(&fault)
}

/// Whether it makes sense for a fault to last: signals and short answers do not come for ever.
fn can_last(fault: Fault) -> bool {
    !matches!(fault, Fault::Short | Fault::Error(libc::EINTR))
}

/// Sweeps while call number `at` fails; says which that was.
fn sweep_with(
    trial: &Trial<'_>,
    at: usize,
    fault: Fault,
    lasting: Lasting,
) -> Result<Change, Violation> {
    let mut tracee = Tracee::spawn_with_reads(&mut trial.sweep(), trial.root());
    let (mut first, mut number, mut faults) = (None, 0, 0);
    while let Some(change) = tracee.next_change() {
        let now = number == at || number > at && lasting == Lasting::FromThenOn;
        if now && meets(fault, &change) {
            tracee.inject(fault);
            first.get_or_insert(change);
            faults += 1;
        }
        if faults > FAULTS_MAX {
            return Err(Violation::new(Broken::Unfinished, "it never gave up"));
        }
        number += 1;
    }
    Ok(first.expect("the call that was to fail"))
}

/// One trial: a fault, a look, and the end without it.
fn check(
    ground: &Ground,
    scenario: &Scenario,
    (at, fault, lasting): (usize, Fault, Lasting),
) -> Result<(), Violation> {
    let trial = ground.trial(scenario);
    let met = sweep_with(&trial, at, fault, lasting)?;
    let checked = trial
        .did_not_panic()
        .and_then(|()| trial.examine(trial.is_told(), true))
        .and_then(|()| if trial.is_given_up() { Ok(()) } else { trial.finish() });
    checked.map_err(|violation| {
        violation.of(&format!("{}, {scenario}, {fault:?} {lasting:?} at {met}", ground.kind()))
    })
}

/// The calls of a run in which nothing fails.
fn calls(trial: &Trial<'_>) -> Vec<Change> {
    let mut tracee = Tracee::spawn_with_reads(&mut trial.sweep(), trial.root());
    std::iter::from_fn(|| tracee.next_change()).collect()
}

/// All faults that a run can meet. In the short form, each call fails in one way, and calls, ways
/// and lasting take turns with the scenarios.
fn every_error(kind: &'static str) {
    let tally = on_ground(kind, Npyd::real(), |ground| {
        let mut tally = Tally::default();
        for (number, scenario) in Scenario::on(kind).iter().filter(|it| it.synced).enumerate() {
            let calls = calls(&ground.trial(scenario));
            for (at, call) in calls.iter().enumerate() {
                let faults = faults_of(call.call);
                let ways = faults.iter().flat_map(|fault| {
                    let once = (at, *fault, Lasting::Once);
                    let lasting = (at, *fault, Lasting::FromThenOn);
                    [once].into_iter().chain(can_last(*fault).then_some(lasting))
                });
                let ways: Vec<_> = ways.collect();
                tally.of += ways.len();
                let chosen = (number + at) % ways.len();
                for (way, trial) in ways.into_iter().enumerate() {
                    if is_long() || way == chosen && (number + at) % 2 == 0 {
                        tally.violations.extend(check(ground, scenario, trial).err());
                        tally.tried += 1;
                    }
                }
            }
        }
        tally
    });
    if let Some(tally) = tally {
        tally.report("errors");
    }
}

#[test]
fn every_error_on_ext4() {
    every_error("ext4");
}

#[test]
fn every_error_on_xfs() {
    every_error("xfs");
}

#[test]
fn every_error_on_btrfs() {
    every_error("btrfs");
}

/// What the injector says it does is done.
#[test]
fn a_fault_is_met() {
    const ERRNO: c_int = libc::EIO;
    on_ground("ext4", Npyd::real(), |ground| {
        let scenario = Scenario::of("copy", super::scenario::Disposition::Keep);
        let at = calls(&ground.trial(&scenario)).iter().position(|it| it.call == "pwrite64");
        let trial = ground.trial(&scenario);
        sweep_with(&trial, at.unwrap(), Fault::Error(ERRNO), Lasting::FromThenOn).unwrap();
        assert!(trial.says("Input/output error") && !trial.is_told());
    });
}
