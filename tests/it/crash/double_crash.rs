//! A second crash while the next sweep repairs what the first one left.

use super::harness::Tally;
use super::harness::crash_case::Violation;
use super::harness::crash_dirs::{
    Crash, CrashDirs, changes, distinct_points, on_crash_dirs, survey,
};
use super::harness::npyd::Npyd;
use super::harness::scenario::Scenario;
use super::harness::volume::Cut;
use crate::support::is_long;

/// Runs one case: two crashes, judged after each; then a sweep, judged again. Returns how many
/// changes the second sweep made.
fn check(
    dirs: &CrashDirs,
    scenario: &Scenario,
    crash: Crash,
    (first, second): (usize, usize),
) -> (usize, Result<(), Violation>) {
    let case = dirs.case(scenario);
    let mut made = 0;
    let befores = [first, second].map(|point| {
        let (number, before) = dirs.crash(&case, crash, point);
        made = number;
        let before = before.map_or("the end".to_owned(), |change| change.to_string());
        case.examine(scenario.synced).map(|()| before)
    });
    let of = format!("{}, {scenario}, {crash:?} before {befores:?}", dirs.kind());
    let [first, second] = befores;
    let checked = first.and(second).and_then(|_| case.finish());
    (made, checked.map_err(|violation| violation.of(&of)))
}

/// Crashes at all points of a scenario, and then at each point of the next sweep. Counts the first
/// points, and the pairs that these have.
fn check_all_pairs(dirs: &CrashDirs, scenario: &Scenario, crash: Crash) -> [Tally; 2] {
    let firsts = changes(&dirs.case(scenario)).len() + 1;
    let (mut tally, mut pairs) = (Tally { of: firsts, ..Tally::default() }, Tally::default());
    for first in 0..firsts {
        let case = dirs.case(scenario);
        dirs.crash(&case, crash, first);
        let seconds = changes(&case).len() + 1;
        pairs.of += seconds;
        // The ledger's own writes have so many points that all pairs would take days.
        let in_turn = first % seconds;
        let seconds = if scenario.ledger_along { in_turn..in_turn + 1 } else { 0..seconds };
        for second in seconds {
            pairs.violations.extend(check(dirs, scenario, crash, (first, second)).1.err());
            pairs.tried += 1;
        }
        tally.tried += 1;
    }
    [tally, pairs]
}

/// Crashes at one in `stride` points of a scenario, and then at one point of the next sweep.
fn check_some_pairs(dirs: &CrashDirs, scenario: &Scenario, crash: Crash, stride: usize) -> Tally {
    // Second points are spread over the sweep by steps of this length.
    const STEP: usize = 7;
    let (case, changes, mut tally) = survey(dirs, scenario, crash);
    // The number of the next sweep's points is known once one ends before its second crash.
    let mut seconds = changes.len() + 1;
    let sample = (0..=changes.len()).step_by(stride);
    for first in distinct_points(&case, crash, &changes, sample) {
        let second = tally.tried * STEP % seconds;
        let (made, checked) = check(dirs, scenario, crash, (first, second));
        if made < second {
            seconds = made + 1;
        }
        tally.violations.extend(checked.err());
        tally.tried += 1;
    }
    tally
}

/// The short form tries only what no other file system has.
fn every_pair(kind: &'static str, crash: Crash) {
    let tallies = on_crash_dirs(kind, Npyd::real(), |dirs| {
        let (mut firsts, mut pairs) = (Tally::default(), Tally::default());
        let all = Scenario::on(kind);
        let mut scenarios = Tally { of: all.len(), ..Tally::default() };
        for scenario in &all {
            let is_own = kind == "ext4" || scenario.route.kinds.len() < 3;
            if scenario.route.is_largest() {
                continue;
            }
            if is_long() {
                let [of_first, of_pairs] = check_all_pairs(dirs, scenario, crash);
                firsts.add(of_first);
                pairs.add(of_pairs);
            } else if is_own && scenario.synced && !scenario.ledger_along {
                let stride = 3 * scenario.route.stride;
                firsts.add(check_some_pairs(dirs, scenario, crash, stride));
            } else {
                continue;
            }
            scenarios.tried += 1;
        }
        [scenarios, firsts, pairs]
    });
    if let Some([scenarios, firsts, pairs]) = tallies {
        scenarios.report("scenarios");
        firsts.report("first crash points of these");
        if is_long() {
            pairs.report("pairs of these and a second one");
        }
    }
}

macro_rules! every_pair {
    ($($name:ident: $kind:literal, $crash:expr;)*) => { $(
        #[test]
        fn $name() {
            every_pair($kind, $crash);
        }
    )* };
}

every_pair! {
    killed_on_ext4: "ext4", Crash::Kill;
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
