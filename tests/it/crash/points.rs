//! Crash points: before and after every call that changes a file, on every route.

use super::harness::Tally;
use super::harness::crash_case::Violation;
use super::harness::crash_dirs::{
    Crash, CrashDirs, changes, distinct_points, on_crash_dirs, survey,
};
use super::harness::npyd::Npyd;
use super::harness::scenario::{Disposition, Scenario};
use super::harness::volume::Cut;
use crate::support::{Change, is_long};

/// Runs one case: a crash at a point, judged; then a sweep, judged again.
fn check(
    dirs: &CrashDirs,
    scenario: &Scenario,
    crash: Crash,
    point: usize,
) -> Result<(), Violation> {
    let case = dirs.case(scenario);
    let (_, before) = dirs.crash(&case, crash, point);
    let checked = case.examine(scenario.synced).and_then(|()| {
        // A failed sync is final for a file in place, also on a read-only file system.
        let is_final = crash == Crash::ReadOnly && case.is_given_up();
        if is_final { Ok(()) } else { case.finish() }
    });
    checked.map_err(|violation| {
        let before = before.map_or("the end".to_owned(), |change| change.to_string());
        violation.of(&format!("{}, {scenario}, {crash:?} before {before}", dirs.kind()))
    })
}

/// Tries one in `stride` points of a scenario, beginning at `from`. The end of the run is a point,
/// too.
pub(super) fn check_points(
    dirs: &CrashDirs,
    scenario: &Scenario,
    crash: Crash,
    (from, stride): (usize, usize),
) -> Tally {
    let (case, changes, mut tally) = survey(dirs, scenario, crash);
    let sample = (0..=changes.len()).skip(from).step_by(stride);
    for point in distinct_points(&case, crash, &changes, sample) {
        tally.violations.extend(check(dirs, scenario, crash, point).err());
        tally.tried += 1;
    }
    tally
}

/// Tries the crash points of all scenarios on a file system. In the short form, the kinds of
/// crashes on ext4 take turns, and other file systems try every third point of what ext4 tries.
fn every_point(kind: &'static str, crash: Crash) {
    let tally = on_crash_dirs(kind, Npyd::real(), |dirs| {
        let mut tally = Tally::default();
        for (number, scenario) in Scenario::on(kind).iter().enumerate() {
            let thinned = match kind {
                // With the intent log on the same disk, most points are the ledger's.
                _ if scenario.is_noted() && scenario.ledger_along => 3,
                "ext4" if crash != Crash::ReadOnly => 2,
                // An error that does not end the run shows at few calls, and `errors` has each call
                // fail so.
                _ if crash == Crash::ReadOnly => 3,
                _ if scenario.route.kinds.len() < 3 => 1,
                _ => 3,
            };
            let stride = if is_long() { 1 } else { thinned * scenario.route.stride };
            let turn = usize::from(crash == Crash::Power(Cut::KeepsNothing));
            let sample = ((number + turn) % stride, stride);
            tally.add(check_points(dirs, scenario, crash, sample));
        }
        tally
    });
    if let Some(tally) = tally {
        tally.report("crash points");
    }
}

/// A directory that a killed run made may not be durable: the next run syncs its name before it
/// relies on it.
#[test]
fn a_directory_made_before_a_crash() {
    on_crash_dirs("ext4", Npyd::real(), |dirs| {
        let scenario = Scenario::of("copy-below", Disposition::Remove);
        let is_sync = |it: &Change| it.call == "fsync" && it.path == "out";
        let at = changes(&dirs.case(&scenario)).iter().position(is_sync).unwrap();
        let case = dirs.case(&scenario);
        dirs.crash(&case, Crash::Kill, at);
        assert!(case.root().join("out/sub").exists());
        let next = changes(&case);
        let takes = |it: &Change| it.path == "in/sub/.npyd-taken-scan.raw";
        let (synced, first) = (next.iter().position(is_sync), next.iter().position(takes));
        assert!(synced.is_some() && synced < first, "{synced:?} {first:?} {next:?}");
        case.finish().unwrap_or_else(|violation| panic!("{violation}"));
    });
}

/// Drops of one batch share the syncs of their directories.
#[test]
fn two_drops_in_one_batch() {
    on_crash_dirs("ext4", Npyd::real(), |dirs| {
        let scenario = Scenario::of("copy-of-two", Disposition::Remove);
        let calls = changes(&dirs.case(&scenario));
        let syncs =
            |path: &str| calls.iter().filter(|it| it.call == "fsync" && it.path == path).count();
        assert_eq!((syncs("in"), syncs("out")), (1, 2), "{calls:?}");
    });
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
    turned_read_only_on_ext4: "ext4", Crash::ReadOnly;
    killed_on_xfs: "xfs", Crash::Kill;
    killed_on_xfs_without_reflink: "xfs-without-reflink", Crash::Kill;
    killed_on_btrfs: "btrfs", Crash::Kill;
    cut_on_ext4: "ext4", Crash::Power(Cut::KeepsNothing);
    cut_on_ext4_with_its_journal_written: "ext4", Crash::Power(Cut::KeepsMetadata);
    cut_on_xfs: "xfs", Crash::Power(Cut::KeepsNothing);
    cut_on_xfs_with_its_journal_written: "xfs", Crash::Power(Cut::KeepsMetadata);
    cut_on_xfs_without_reflink: "xfs-without-reflink", Crash::Power(Cut::KeepsNothing);
    cut_on_xfs_without_reflink_with_its_journal_written:
        "xfs-without-reflink", Crash::Power(Cut::KeepsMetadata);
}
