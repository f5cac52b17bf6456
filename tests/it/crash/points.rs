//! Every crash point: before and after every call that changes a file, on every way to an array.

use super::Tally;
use super::npyd::Npyd;
use super::scenario::Scenario;
use super::tracee::{Change, Tracee};
use super::trial::{Trial, Violation};
use super::volume::{Cut, Memory, Volume, format, with_own_mounts};
use crate::support::as_root;

/// How a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crash {
    /// The process is killed.
    Kill,
    /// The machine loses its power.
    Power(Cut),
}

/// Where trials are made.
pub(super) struct Ground {
    pub(super) volume: Volume,
    pub(super) memory: Memory,
    pub(super) npyd: Npyd,
}

impl Ground {
    /// A drop of a scenario, anew.
    pub(super) fn trial<'a>(&'a self, scenario: &'a Scenario) -> Trial<'a> {
        Trial::new("trial", scenario, &self.npyd, (&self.volume, &self.memory))
    }

    /// Sweeps, and crashes before change number `point`, or after the last one. Returns the change
    /// that was not made.
    pub(super) fn crash(&self, trial: &Trial<'_>, crash: Crash, point: usize) -> Option<Change> {
        let mut tracee = Tracee::spawn(&mut trial.sweep(), trial.root());
        let mut change = tracee.next_change();
        for _ in 0..point {
            if change.is_some() {
                change = tracee.next_change();
            }
        }
        if let Crash::Power(cut) = crash {
            self.volume.cut(cut);
        }
        tracee.kill();
        if crash != Crash::Kill {
            self.volume.restart();
        }
        change
    }

    /// All changes of an undisturbed run.
    pub(super) fn changes(&self, scenario: &Scenario) -> Vec<Change> {
        let trial = self.trial(scenario);
        let mut tracee = Tracee::spawn(&mut trial.sweep(), trial.root());
        let changes: Vec<_> = std::iter::from_fn(|| tracee.next_change()).collect();
        trial.expect_route();
        changes
    }

    /// One trial: a crash at a point, a look, a sweep, and another look.
    fn check(&self, scenario: &Scenario, crash: Crash, point: usize) -> Result<(), Violation> {
        let trial = self.trial(scenario);
        let before = self.crash(&trial, crash, point);
        trial.examine(trial.is_told(), scenario.synced).and_then(|()| trial.finish()).map_err(
            |mut violation| {
                let before = before.map_or("the end".to_owned(), |change| change.to_string());
                let kind = self.volume.kind();
                violation.account =
                    format!("{kind}, {scenario}, {crash:?} before {before}: {}", violation.account);
                violation
            },
        )
    }

    /// Every point of a scenario.
    pub(super) fn check_all(&self, scenario: &Scenario, crash: Crash) -> Tally {
        let points = self.changes(scenario).len() + 1;
        let mut tally = Tally { of: points, ..Tally::default() };
        for point in 0..points {
            tally.violations.extend(self.check(scenario, crash, point).err());
            tally.tried += 1;
        }
        tally
    }
}

/// Does something on a new volume; `None` where there can't be one.
pub(super) fn on_ground<T: Send>(
    kind: &'static str,
    npyd: Npyd,
    work: impl FnOnce(&Ground) -> T + Send,
) -> Option<T> {
    if !as_root() {
        return None;
    }
    with_own_mounts(|| {
        let dir = tempfile::Builder::new().prefix("npyd-").tempdir().unwrap();
        let memory = Memory::new(dir.path())?;
        let image = memory.path("image");
        format(kind, &image)?;
        let volume = Volume::new(kind, image, dir.path()).unwrap_or_else(|| panic!("mount {kind}"));
        Some(work(&Ground { volume, memory, npyd }))
    })
}

/// Every crash point of every scenario on a file system.
fn every_point(kind: &'static str, crash: Crash) {
    let tally = on_ground(kind, Npyd::real(), |ground| {
        let mut tally = Tally::default();
        for scenario in Scenario::on(kind) {
            tally.add(ground.check_all(&scenario, crash));
        }
        tally
    });
    if let Some(tally) = tally {
        tally.report("crash points");
    }
}

macro_rules! every_point {
    ($($name:ident: $kind:literal, $crash:expr;)*) => { $(
        #[test]
        fn $name() {
            every_point($kind, $crash);
        }
    )* };
}

every_point! {
    killed_on_ext4: "ext4", Crash::Kill;
    killed_on_xfs: "xfs", Crash::Kill;
    killed_on_btrfs: "btrfs", Crash::Kill;
    cut_on_ext4: "ext4", Crash::Power(Cut::KeepsNothing);
    cut_on_ext4_with_its_journal_written: "ext4", Crash::Power(Cut::KeepsMetadata);
    cut_on_xfs: "xfs", Crash::Power(Cut::KeepsNothing);
    cut_on_xfs_with_its_journal_written: "xfs", Crash::Power(Cut::KeepsMetadata);
}
