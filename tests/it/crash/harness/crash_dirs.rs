//! The file systems on which crash cases run, and the faults that hit them.

use super::Tally;
use super::crash_case::CrashCase;
use super::npyd::Npyd;
use super::scenario::Scenario;
use super::volume::{Cut, Memory, Volume, format, with_own_mounts};
use crate::support::{Change, Fault, as_root};

/// A crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crash {
    /// The process is killed.
    Kill,
    /// The machine loses power.
    Power(Cut),
    /// The file system finds an error and turns read-only; the process continues.
    ReadOnly,
}

/// The file systems of crash cases, and the binary under test.
pub(crate) struct CrashDirs {
    volume: Volume,
    /// A second file system of the same kind.
    elsewhere: Volume,
    memory: Memory,
    npyd: Npyd,
}

impl CrashDirs {
    /// Makes a new drop of a scenario.
    pub(crate) fn case<'a>(&'a self, scenario: &'a Scenario) -> CrashCase<'a> {
        self.case_in("case", scenario)
    }

    /// Makes it in directories of that name, so that several cases can run in parallel.
    pub(crate) fn case_in<'a>(&'a self, name: &str, scenario: &'a Scenario) -> CrashCase<'a> {
        let elsewhere = scenario.route.elsewhere.map(|_| &self.elsewhere);
        CrashCase::new(name, scenario, &self.npyd, (&self.volume, elsewhere, &self.memory))
    }

    /// The kind of the file systems.
    pub(crate) fn kind(&self) -> &'static str {
        self.volume.kind()
    }

    /// Sweeps, and crashes before change number `point`, or after the last one. Returns how many
    /// changes were made, and the one that was not made.
    pub(crate) fn crash(
        &self,
        case: &CrashCase<'_>,
        crash: Crash,
        point: usize,
    ) -> (usize, Option<Change>) {
        let mut tracee = case.traced_sweep();
        let (mut made, mut change) = (0, tracee.next_change());
        while made < point && change.is_some() {
            change = tracee.next_change();
            made += 1;
        }
        match crash {
            Crash::Kill => {}
            Crash::Power(cut) => self.cut(case, cut),
            Crash::ReadOnly => {
                self.volume.turn_read_only();
                while tracee.next_change().is_some() {}
            }
        }
        tracee.kill();
        if crash != Crash::Kill {
            self.restart(case);
        }
        (made, change)
    }

    /// Cuts the power of every file system that the case is on. A second file system on which it
    /// has nothing can't change the outcome, and to mount it takes as long as the first one.
    pub(crate) fn cut(&self, case: &CrashCase<'_>, cut: Cut) {
        self.volume.cut(cut);
        if case.is_elsewhere() {
            self.elsewhere.cut(cut.elsewhere());
        }
    }

    /// Mounts these file systems again, as after the machine has started.
    pub(crate) fn restart(&self, case: &CrashCase<'_>) {
        self.volume.restart();
        if case.is_elsewhere() {
            self.elsewhere.restart();
        }
    }

    /// Sweeps while a sync of the data fails, and cuts the power as soon as a receipt reports
    /// that.
    pub(crate) fn lose(&self, case: &CrashCase<'_>, cut: Cut) {
        let mut tracee = case.traced_sweep();
        let mut has_failed = false;
        while !case.is_given_up() {
            let change = tracee.next_change();
            let change = change.unwrap_or_else(|| panic!("not refused: {}", case.printed()));
            if !has_failed && change.call == "fdatasync" && change.path.starts_with("in/") {
                tracee.inject(Fault::Error(libc::EIO));
                has_failed = true;
            }
        }
        self.cut(case, cut);
        tracee.kill();
        self.restart(case);
    }
}

/// Sweeps undisturbed, and returns all changes.
pub(crate) fn changes(case: &CrashCase<'_>) -> Vec<Change> {
    let mut tracee = case.traced_sweep();
    std::iter::from_fn(|| tracee.next_change()).collect()
}

/// A scenario's case, the changes of an undisturbed sweep, and a tally that counts the distinct
/// crash points of that sweep.
pub(crate) type Survey<'a> = (CrashCase<'a>, Vec<Change>, Tally);

/// Sweeps a case of a scenario undisturbed, and fails if npyd takes another route.
pub(crate) fn survey<'a>(dirs: &'a CrashDirs, scenario: &'a Scenario, crash: Crash) -> Survey<'a> {
    let case = dirs.case(scenario);
    let changes = changes(&case);
    case.expect_route();
    let of = distinct_points(&case, crash, &changes, 0..=changes.len()).len();
    (case, changes, Tally { of, ..Tally::default() })
}

/// Returns the points, of those given, at which a crash leaves different states. Among points that
/// leave one state it is the last, because most has been reported by then, so that the judge asks
/// for most.
///
/// - A sync changes no file. After a kill the files are as they would be before that sync.
/// - A power cut that keeps nothing leaves what the last sync made durable. Points between two
///   syncs leave one state, unless a second file system is cut that keeps its metadata.
pub(crate) fn distinct_points(
    case: &CrashCase<'_>,
    crash: Crash,
    changes: &[Change],
    points: impl Iterator<Item = usize>,
) -> Vec<usize> {
    let is_sync = |at: usize| changes.get(at).is_some_and(|it| it.call.contains("sync"));
    let is_last = |at: usize| match crash {
        Crash::Kill => !is_sync(at),
        Crash::Power(Cut::KeepsNothing) if !case.is_elsewhere() => is_sync(at),
        Crash::Power(_) | Crash::ReadOnly => true,
    };
    let last = |from: usize| (from..changes.len()).find(|at| is_last(*at));
    let mut points: Vec<_> = points.map(|from| last(from).unwrap_or(changes.len())).collect();
    points.dedup();
    points
}

/// Runs `work` on new file systems. Returns `None` if this machine can't mount them.
pub(crate) fn on_crash_dirs<T: Send>(
    kind: &'static str,
    npyd: Npyd,
    work: impl FnOnce(&CrashDirs) -> T + Send,
) -> Option<T> {
    if !as_root() {
        return None;
    }
    with_own_mounts(|| {
        let dir = tempfile::Builder::new().prefix("npyd-").tempdir().unwrap();
        let memory = Memory::new(dir.path())?;
        let volume = |name| {
            let image = memory.path(&format!("{name}.image"));
            format(kind, &image)?;
            let volume = Volume::new(kind, image, dir.path().join(name));
            Some(volume.unwrap_or_else(|| panic!("mount {kind}")))
        };
        let (volume, elsewhere) = (volume("volume")?, volume("elsewhere")?);
        Some(work(&CrashDirs { volume, elsewhere, memory, npyd }))
    })
}
