//! File systems without the flags of `renameat2(2)`: a file gets its final name before it loses its
//! private name, and a crash or an error between the two calls leaves both names.

use super::harness::Tally;
use super::harness::crash_case::{CrashCase, Violation};
use super::harness::crash_dirs::{CrashDirs, on_crash_dirs};
use super::harness::npyd::Npyd;
use super::harness::scenario::{Disposition, Scenario};
use crate::support::{Change, Fault};

/// The event at a change.
#[derive(Debug, Clone, Copy)]
enum Happens {
    /// The process is killed before it.
    Kill,
    /// The change fails.
    Error,
}

/// Sweeps without `RENAME_NOREPLACE`, and triggers an event at change number `at`, without the
/// renames. Returns that change, if the sweep reached it.
fn sweep(case: &CrashCase<'_>, happens: Happens, at: usize) -> Option<Change> {
    let mut tracee = case.traced_sweep();
    let (mut number, mut met) = (0, None);
    while let Some(change) = tracee.next_change() {
        if change.call == "renameat2" {
            tracee.inject(Fault::Error(libc::EINVAL));
            continue;
        }
        if number == at {
            match happens {
                Happens::Kill => {
                    tracee.kill();
                    return Some(change);
                }
                Happens::Error => tracee.inject(Fault::Error(libc::EIO)),
            }
            met = Some(change);
        }
        number += 1;
    }
    met
}

/// Runs one case: a sweep with an event, judged; then two undisturbed sweeps, judged again.
fn check(
    dirs: &CrashDirs,
    scenario: &Scenario,
    happens: Happens,
    at: usize,
) -> Option<Result<(), Violation>> {
    let case = dirs.case(scenario);
    let met = sweep(&case, happens, at)?;
    let checked = case.examine(true).and_then(|()| {
        if case.is_given_up() {
            return Ok(());
        }
        sweep(&case, happens, usize::MAX);
        case.finish()
    });
    Some(checked.map_err(|it| it.of(&format!("{scenario}, {happens:?} at {met}"))))
}

fn every_change(happens: Happens) {
    let tally = on_crash_dirs("ext4", Npyd::real(), |dirs| {
        let mut tally = Tally::default();
        for (route, disposition) in [
            ("copy", Disposition::Archive),
            ("copy-replacing", Disposition::Remove),
            ("copy-beside", Disposition::Remove),
            ("room", Disposition::Keep),
            ("pending-open", Disposition::Keep),
        ] {
            let scenario = Scenario::of(route, disposition);
            for at in 0.. {
                let Some(checked) = check(dirs, &scenario, happens, at) else { break };
                tally.tried += 1;
                tally.violations.extend(checked.err());
            }
        }
        Tally { of: tally.tried, ..tally }
    });
    if let Some(tally) = tally {
        tally.report("changes without a rename that refuses to replace");
    }
}

#[test]
fn killed() {
    every_change(Happens::Kill);
}

#[test]
fn failing() {
    every_change(Happens::Error);
}
