//! File systems that can't be told not to replace a file: there a file gets its new name before it
//! loses the old one, and a crash or an error between the two leaves it both.
//!
//! Where room can be made in a file, the file system can be told. A pending `x.npy` that moves
//! elsewhere may end as both `x.npy` and `x.npy.pending`, and is refused then.

use super::Tally;
use super::crash_case::{Trial, Violation};
use super::crash_dirs::{Ground, on_ground};
use super::npyd::Npyd;
use super::scenario::{Disposition, Scenario};
use super::tracee::{Change, Fault, Tracee};

/// What happens at a change.
#[derive(Debug, Clone, Copy)]
enum Happens {
    /// The process is killed before it.
    Kill,
    /// It fails.
    Error,
}

/// Sweeps where no rename can refuse to replace, until something happens at change number `at`,
/// renames not counted. Returns that change, if there was one.
fn sweep(trial: &Trial<'_>, happens: Happens, at: usize) -> Option<Change> {
    let mut tracee = Tracee::spawn(&mut trial.sweep(), trial.roots());
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

/// One trial: something happens, a look, and two more sweeps that nothing disturbs.
fn check(
    ground: &Ground,
    scenario: &Scenario,
    happens: Happens,
    at: usize,
) -> Option<Result<(), Violation>> {
    let trial = ground.trial(scenario);
    let met = sweep(&trial, happens, at)?;
    let checked = trial.examine(true).and_then(|()| {
        if trial.is_given_up() {
            return Ok(());
        }
        sweep(&trial, happens, usize::MAX);
        trial.finish()
    });
    Some(checked.map_err(|it| it.of(&format!("{scenario}, {happens:?} at {met}"))))
}

fn every_change(happens: Happens) {
    let tally = on_ground("ext4", Npyd::real(), |ground| {
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
                let Some(checked) = check(ground, &scenario, happens, at) else { break };
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
