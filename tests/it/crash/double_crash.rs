//! A second crash while the next sweep repairs what the first one left.

use super::harness::Tally;
use super::harness::crash_case::Violation;
use super::harness::crash_dirs::{Crash, CrashDirs, changes, on_crash_dirs};
use super::harness::npyd::Npyd;
use super::harness::scenario::Scenario;
use super::harness::volume::Cut;
use crate::support::is_long;

/// Runs one case: two crashes, judged after each; then a sweep, judged again.
fn check(
    dirs: &CrashDirs,
    scenario: &Scenario,
    crash: Crash,
    (first, second): (usize, usize),
) -> Result<(), Violation> {
    let case = dirs.case(scenario);
    let befores = [first, second].map(|point| {
        let before = dirs.crash(&case, crash, point);
        let before = before.map_or("the end".to_owned(), |change| change.to_string());
        case.examine(scenario.synced).map(|()| before)
    });
    let of = format!("{}, {scenario}, {crash:?} before {befores:?}", dirs.kind());
    let [first, second] = befores;
    first.and(second).and_then(|_| case.finish()).map_err(|violation| violation.of(&of))
}

/// Crashes at one in `stride` points of a scenario, and then at each point of the next sweep, or
/// at one in turn. Counts the first points, and the pairs that these have.
fn check_pairs(dirs: &CrashDirs, scenario: &Scenario, crash: Crash, stride: usize) -> [Tally; 2] {
    let case = dirs.case(scenario);
    let firsts = changes(&case).len() + 1;
    case.expect_route();
    let (mut tally, mut pairs) = (Tally { of: firsts, ..Tally::default() }, Tally::default());
    for first in (0..firsts).step_by(stride) {
        let case = dirs.case(scenario);
        dirs.crash(&case, crash, first);
        let seconds = changes(&case).len() + 1;
        pairs.of += seconds;
        let in_turn = first / stride % seconds;
        // The ledger's own writes have so many points that all pairs would take days.
        let all = stride == 1 && !scenario.ledger_along;
        let seconds = if all { 0..seconds } else { in_turn..in_turn + 1 };
        for second in seconds {
            pairs.violations.extend(check(dirs, scenario, crash, (first, second)).err());
            pairs.tried += 1;
        }
        tally.tried += 1;
    }
    [tally, pairs]
}

/// The short form tries only what no other file system has.
fn every_pair(kind: &'static str, crash: Crash) {
    let tallies = on_crash_dirs(kind, Npyd::real(), |dirs| {
        let mut tallies = [Tally::default(), Tally::default()];
        let is_to_be = |it: &Scenario| {
            let is_own = kind == "ext4" || it.route.kinds.len() < 3;
            let in_sample = is_own && it.synced && !it.ledger_along;
            (is_long() || in_sample) && !it.route.is_largest()
        };
        for scenario in &Scenario::on(kind) {
            if is_to_be(scenario) {
                let stride = if is_long() { 1 } else { 3 * scenario.route.stride };
                let of_this = check_pairs(dirs, scenario, crash, stride);
                tallies.iter_mut().zip(of_this).for_each(|(all, more)| all.add(more));
            } else {
                tallies[0].of += changes(&dirs.case(scenario)).len() + 1;
            }
        }
        tallies
    });
    if let Some([firsts, pairs]) = tallies {
        firsts.report("first crash points");
        pairs.report("pairs of these and a second one");
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
