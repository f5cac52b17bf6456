//! Failing system calls: each call of a run fails in turn, once and permanently, in each way in
//! which it can fail. Nothing is lost, no wrong array appears, a message says what failed and what
//! to do, and when the fault is over, the next sweep finishes the drop.

use std::collections::HashMap;
use std::process::ExitStatus;
use std::sync::Mutex;
use std::{fs, thread};

use libc::c_int;

use super::harness::crash_case::{Broken, CrashCase, Violation};
use super::harness::crash_dirs::{Crash, CrashDirs, changes, on_crash_dirs};
use super::harness::npyd::Npyd;
use super::harness::scenario::{Disposition, Scenario};
use super::harness::volume::Cut;
use super::harness::{Tally, say, start};
use crate::support::{Change, Fault, FileId, is_long};

/// More faults than any run meets that gives up in the end.
const FAULTS_MAX: usize = 2000;

/// The number of signals or short results of a fault that lasts.
const A_WHILE: usize = 50;

/// The number of cases that run in parallel: they wait more than they compute.
const AT_ONCE: usize = 2;

/// How many runs are made until one makes the call that the first run made. In the last ones it may
/// be an earlier call with that name on that file: how often npyd looks at a file can depend on how
/// busy the machine is.
const RUNS_MAX: usize = 5;

/// The duration of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lasting {
    Once,
    FromThenOn,
}

const FULL: Fault = Fault::Error(libc::ENOSPC);
const QUOTA: Fault = Fault::Error(libc::EDQUOT);
const BROKEN: Fault = Fault::Error(libc::EIO);
const READ_ONLY: Fault = Fault::Error(libc::EROFS);
const SIGNAL: Fault = Fault::Error(libc::EINTR);
const TABLE: Fault = Fault::Error(libc::EMFILE);

/// Returns the faults of a call that a full, broken or read-only disk, a quota, a signal or a full
/// descriptor table can cause.
fn faults_of(call: &str) -> &'static [Fault] {
    use Fault::Short;
    match call {
        "write" | "pwrite64" => &[FULL, BROKEN, Short, QUOTA, SIGNAL, READ_ONLY],
        "fallocate" => &[FULL, BROKEN, SIGNAL, QUOTA, READ_ONLY],
        "ftruncate" | "ioctl" => &[BROKEN, SIGNAL, FULL, QUOTA, READ_ONLY],
        "fsync" | "fdatasync" => &[BROKEN, FULL, SIGNAL, QUOTA, READ_ONLY],
        "sync_file_range" | "syncfs" => &[BROKEN, FULL, QUOTA],
        "openat" | "open" => &[FULL, TABLE, BROKEN, READ_ONLY, QUOTA, SIGNAL],
        "openat2" => &[BROKEN, TABLE, SIGNAL],
        "pread64" | "read" => &[BROKEN, Short, SIGNAL],
        "fstatfs" => &[BROKEN, SIGNAL],
        "statx" | "getdents64" | "fgetxattr" | "flistxattr" | "lseek" | "flock" => &[BROKEN],
        _ => &[READ_ONLY, FULL, BROKEN, QUOTA],
    }
}

/// Returns the words that a message about a fault must have: the system's text, and the remedy.
fn words_of(fault: Fault) -> &'static [&'static str] {
    match fault {
        FULL => &["No space left on device", "free some space"],
        QUOTA => &["Disk quota exceeded", "free some space"],
        BROKEN => &["Input/output error", "the kernel log"],
        READ_ONLY => &["Read-only file system", "mount it for writing"],
        TABLE => &["Too many open files", "LimitNOFILE"],
        _ => &[],
    }
}

/// Whether the call must simply be repeated, or continued.
fn is_nothing(fault: Fault) -> bool {
    matches!(fault, SIGNAL | Fault::Short)
}

/// A call of a run, found again in other runs, where calls of several threads have another order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CallPlace {
    call: &'static str,
    path: String,
    /// How many such calls on that file the run makes before.
    number: usize,
}

/// Numbers the calls of a run by name and path.
#[derive(Default)]
struct CallCounter(HashMap<(&'static str, String), usize>);

impl CallCounter {
    fn place_of(&mut self, change: &Change) -> CallPlace {
        let (call, path) = (change.call, steady_path(&change.path));
        let count = self.0.entry((call, path.clone())).or_default();
        *count += 1;
        CallPlace { call, path, number: *count - 1 }
    }
}

impl CallPlace {
    /// Returns the place in the given repetition of a run that did not make the call.
    fn in_run(&self, run: usize) -> Self {
        let number = if run > RUNS_MAX / 2 { 0 } else { self.number };
        Self { number, ..self.clone() }
    }
}

/// Returns a path without what differs from run to run: the inodes of unnamed files, and the
/// processes and times in private names.
fn steady_path(path: &str) -> String {
    let steady = |name: &str| match name.strip_prefix(".npyd-") {
        Some(rest) if rest.starts_with(|it: char| it.is_ascii_digit()) => ".npyd-".to_owned(),
        None if name.starts_with('#') => "#".to_owned(),
        _ => name.to_owned(),
    };
    if path.starts_with("state/intents/") {
        return "state/intents/".to_owned(); // named after an inode, a process or a time
    }
    path.split('/').map(steady).collect::<Vec<_>>().join("/")
}

/// The result of a sweep in which calls failed.
pub(super) struct Met {
    /// The first call that failed.
    pub(super) first: Change,
    fault: Fault,
    lasting: Lasting,
    /// The files that could not be synced.
    unsynced: Vec<(String, Option<FileId>)>,
    /// Whether a sync of the data failed before a header was written to their file.
    has_lost_data: bool,
    ended: Option<ExitStatus>,
}

/// Sweeps while the call at a place fails. Returns `None` if this run made no such call.
pub(super) fn sweep_with(
    case: &CrashCase<'_>,
    place: &CallPlace,
    fault: Fault,
    lasting: Lasting,
) -> Result<Option<Met>, Violation> {
    let can_fail = |call: &str| faults_of(call).contains(&fault);
    let is_looked_for = |call: &str| call == place.call || call == "pwrite64";
    let lasts = lasting == Lasting::FromThenOn;
    let stops = |call: &str| is_looked_for(call) || lasts && can_fail(call);
    let mut tracee = case.traced_sweep_before(stops);
    let (mut counter, mut first, mut faults) = (CallCounter::default(), None, 0);
    let (mut unsynced, mut has_header, mut has_lost_data) = (Vec::new(), false, false);
    while let Some(change) = tracee.next_change() {
        let now = match first {
            None => counter.place_of(&change) == *place,
            Some(_) => can_fail(change.call) && (faults < A_WHILE || !is_nothing(fault)),
        };
        if now {
            tracee.inject(fault);
            if change.call.contains("sync") && fault != SIGNAL {
                unsynced.push((change.path.clone(), change.file));
                has_lost_data |= case.is_data(&change.path) && !has_header;
            }
            first.get_or_insert(change);
            faults += 1;
            if !lasts {
                tracee.finish();
            }
        } else {
            has_header |= change.call == "pwrite64" && case.is_data(&change.path);
        }
        if faults > FAULTS_MAX {
            return Err(Violation::new(Broken::Unfinished, "it never gave up"));
        }
    }
    let ended = tracee.ended();
    Ok(first.map(|first| Met { first, fault, lasting, unsynced, has_lost_data, ended }))
}

impl Met {
    /// Checks that npyd exited by itself, with a documented exit code.
    pub(super) fn ended_well(&self, case: &CrashCase<'_>) -> Result<(), Violation> {
        let code = self.ended.and_then(|status| status.code());
        if matches!(code, Some(0..=2)) {
            return case.did_not_panic();
        }
        let account = format!("ended by {:?}\n{}", self.ended, case.printed());
        Err(Violation::new(Broken::Unfinished, account))
    }

    /// Checks that a message says why the array is missing, where, and what to do.
    fn is_told_of(&self, case: &CrashCase<'_>) -> Result<(), Violation> {
        if case.is_told() {
            return Ok(());
        }
        // Messages about the ledger quote SQLite instead. The first call for it syncs the directory
        // above the new state directory, whose path is empty here.
        let path = &self.first.path;
        let of_ledger = (path.is_empty() || path.starts_with("state")) && case.has_no_ledger();
        // A directory that the configuration names by a link is told of by its real path.
        let roots = case.roots();
        let names_it = roots.iter().any(|root| case.says(&format!("`{}", root.display())));
        let words = words_of(self.fault);
        let is_told = of_ledger || !words.is_empty() && words.iter().all(|word| case.says(word));
        if is_told && names_it {
            return Ok(());
        }
        Err(Violation::new(Broken::Untold, case.printed()))
    }

    /// Checks that the next sweep also leaves alone what may be lost.
    fn is_kept(&self, case: &CrashCase<'_>) -> Result<(), Violation> {
        // npyd can't recognize its own array while every look at it fails.
        let was_seen = self.fault != BROKEN || self.lasting == Lasting::Once;
        if was_seen { case.is_let_be() } else { Ok(()) }
    }

    /// Checks that a failed sync is final for its file, and that no other error is final.
    fn is_judged(&self, case: &CrashCase<'_>, scenario: &Scenario) -> Result<(), Violation> {
        let is_new = scenario.makes_a_file();
        let is_lost = self.unsynced.iter().any(|(path, _)| path.starts_with("in/"));
        if case.is_given_up() && !is_lost {
            return Err(Violation::new(Broken::Misjudged, case.printed()));
        }
        // npyd asks for a writeback error of what it copies instead of syncing it, and EROFS is no
        // such error.
        let is_answer = !is_new || self.fault != READ_ONLY;
        if self.has_lost_data && is_answer && !case.is_given_up() {
            let account = format!("data that may be lost were not given up\n{}", case.printed());
            return Err(Violation::new(Broken::Misjudged, account));
        }
        // Beside the data, a pending file can have the array's name.
        let is_array = fs::read(case.output()).is_ok_and(|it| it.starts_with(b"\x93NUMPY"));
        let array = FileId::of(&case.output()).filter(|_| is_array);
        let believed = self.unsynced.iter().find(|(_, file)| file.is_some() && *file == array);
        // An array in place must not count either, if the ledger could record the loss. With
        // insert-range the room and the header are made again.
        let is_noted = scenario.route.told == "in-place" && !case.has_no_ledger();
        match believed.filter(|_| is_new || is_noted && case.is_told()) {
            Some((path, _)) => Err(Violation::new(Broken::Misjudged, format!("{path} is it"))),
            None => Ok(()),
        }
    }
}

/// One way for a run to fail: the call, the fault, and its duration.
pub(super) type Way = (CallPlace, Fault, Lasting);

/// Runs one case: a sweep with a fault, judged; then a sweep without it, judged again. Returns
/// `false` if the call was never made.
fn check(
    dirs: &CrashDirs,
    scenario: &Scenario,
    (place, fault, lasting): Way,
    name: &str,
) -> Result<bool, Violation> {
    for run in 0..RUNS_MAX {
        let case = dirs.case_in(name, scenario);
        let Some(met) = sweep_with(&case, &place.in_run(run), fault, lasting)? else { continue };
        // An insertion whose intent can't be recorded is left out.
        let copied = scenario.copied();
        let is_noted_nowhere = scenario.is_noted() && met.first.path.starts_with("state");
        let case =
            if is_noted_nowhere && case.was_copied() { case.judged_by(&copied) } else { case };
        let checked = met
            .ended_well(&case)
            .and_then(|()| case.examine(true))
            .and_then(|()| met.is_told_of(&case))
            .and_then(|()| if case.is_given_up() { met.is_kept(&case) } else { case.finish() })
            .and_then(|()| met.is_judged(&case, scenario));
        let of = || {
            let kind = dirs.kind();
            format!("{kind}, {scenario}, {fault:?} {lasting:?} at {}", met.first)
        };
        return checked.map(|()| true).map_err(|violation| violation.of(&of()));
    }
    Ok(false)
}

/// Returns the calls of a run in which nothing fails.
pub(super) fn calls(case: &CrashCase<'_>) -> Vec<Change> {
    let mut tracee = case.traced_sweep_before(|_| true);
    std::iter::from_fn(|| tracee.next_change()).collect()
}

/// Returns the places of such calls in a run in which nothing fails.
fn places(case: &CrashCase<'_>, is_it: impl Fn(&Change) -> bool) -> Vec<CallPlace> {
    let (calls, mut counter) = (calls(case), CallCounter::default());
    let places = calls.iter().map(|it| (is_it(it), counter.place_of(it)));
    places.filter(|(is_it, _)| *is_it).map(|(_, place)| place).collect()
}

/// Returns the scenarios for a file system, without those that another one tries in full.
fn scenarios(kind: &str) -> Vec<Scenario> {
    let mut scenarios = Scenario::on(kind);
    let is_own = |it: &Scenario| kind != "xfs-without-reflink" || it.route.kinds.contains(&kind);
    scenarios.retain(|it| it.synced && is_own(it));
    scenarios
}

/// Returns that one in so many calls fails in the short form: fewer where another file system has
/// the scenario or a case moves many bytes, and a third of the calls that only read metadata,
/// because many are alike. On ext4 the dispositions of a route take turns, because up to the
/// disposal they make the same calls.
fn stride_of(kind: &str, scenario: &Scenario, call: &Change) -> usize {
    let stride = match scenario.route.told {
        _ if is_long() => return 1,
        "insert-range" => 4,
        "reflink" => 1,
        _ if kind == "ext4" => 2,
        _ => 4,
    };
    let stride = stride * scenario.route.stride;
    if ["openat2", "statx"].contains(&call.call) { 3 * stride } else { stride }
}

/// Returns the faults to try in a run of a scenario, and the number of all faults. In the short
/// form each call fails in one way; fault and duration differ between scenarios.
pub(super) fn ways_of(
    calls: &[Change],
    number: usize,
    stride: impl Fn(&Change) -> usize,
) -> (Vec<Way>, usize) {
    let (mut chosen, mut of, mut counter) = (Vec::new(), 0, CallCounter::default());
    for (at, call) in calls.iter().enumerate() {
        let place = counter.place_of(call);
        let lastings = [Lasting::Once, Lasting::FromThenOn];
        let faults = faults_of(call.call).iter();
        let ways = faults.flat_map(|fault| lastings.map(|it| (place.clone(), *fault, it)));
        let mut ways: Vec<_> = ways.collect();
        of += ways.len();
        let stride = stride(call);
        let this = (number + at / stride) % ways.len();
        match (number + at) % stride {
            0 if is_long() => chosen.extend(ways),
            0 => chosen.push(ways.swap_remove(this)),
            _ => {}
        }
    }
    (chosen, of)
}

/// Tries all faults on a file system.
fn every_error(kind: &'static str) {
    let tally = on_crash_dirs(kind, Npyd::real(), |dirs| {
        let scenarios = scenarios(kind);
        let (mut tally, mut ways, mut made) = (Tally::default(), Vec::new(), 0);
        for (number, scenario) in scenarios.iter().enumerate() {
            let calls = calls(&dirs.case(scenario));
            let (chosen, of) = ways_of(&calls, number, |call| stride_of(kind, scenario, call));
            made += calls.len();
            ways.extend(chosen.into_iter().map(|way| (scenario, way)));
            tally.of += of;
        }
        let (ways, tally, never) = (Mutex::new(ways), Mutex::new(tally), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            for worker in 0..AT_ONCE {
                let (ways, tally, never) = (&ways, &tally, &never);
                scope.spawn(move || {
                    let name = format!("case-{worker}");
                    let next = || ways.lock().unwrap().pop();
                    while let Some((scenario, way)) = next() {
                        let what = format!("{scenario}, {way:?}");
                        let checked = check(dirs, scenario, way, &name);
                        let mut tally = tally.lock().unwrap();
                        match checked {
                            Ok(false) => never.lock().unwrap().push(what),
                            checked => {
                                tally.tried += 1;
                                tally.violations.extend(checked.err());
                            }
                        }
                    }
                });
            }
        });
        (tally.into_inner().unwrap(), never.into_inner().unwrap(), made)
    });
    if let Some((tally, never, made)) = tally {
        let told = format!("not met in {RUNS_MAX} runs each: {}", never.join("; "));
        if !never.is_empty() {
            say(&told);
        }
        assert!(never.len() * 100 <= tally.tried, "{told}");
        tally.report(&format!("errors of {made} calls"));
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
fn every_error_on_xfs_without_reflink() {
    every_error("xfs-without-reflink");
}

#[test]
fn every_error_on_btrfs() {
    every_error("btrfs");
}

/// When the next sweep finds an array, its name may not be durable. npyd syncs the directory again
/// before it touches the source.
#[test]
fn a_directory_that_could_not_be_synced() {
    on_crash_dirs("ext4", Npyd::real(), |dirs| {
        for disposition in [Disposition::Remove, Disposition::Archive] {
            let scenario = Scenario::of("copy", disposition);
            let is_sync = |it: &Change| it.call == "fsync" && it.path == "out";
            let place = places(&dirs.case(&scenario), is_sync).swap_remove(0);
            let case = dirs.case(&scenario);
            let met = sweep_with(&case, &place, BROKEN, Lasting::FromThenOn).unwrap();
            assert!(met.is_some_and(|met| is_sync(&met.first)));
            assert!(case.output().exists() && !case.is_told(), "{}", case.printed());
            let next = calls(&case);
            let takes = |it: &Change| it.call != "flock" && it.path == "in/.npyd-taken-scan.raw";
            let (synced, first) = (next.iter().position(is_sync), next.iter().position(takes));
            assert!(synced.is_some() && synced < first, "{synced:?} {first:?} {next:?}");
            case.finish().unwrap_or_else(|violation| panic!("{violation}"));
        }
    });
}

/// In the middle of a large copy npyd waits for writeback. An error then is final for that copy,
/// and npyd makes another one, also after a kill.
#[test]
fn a_wait_for_writeback_that_fails() {
    on_crash_dirs("xfs", Npyd::real(), |dirs| {
        let scenario = Scenario::of("copy-behind", Disposition::Remove);
        let is_wait = |it: &Change| it.call == "sync_file_range";
        let place = places(&dirs.case(&scenario), is_wait).pop().unwrap();
        for lasting in [Lasting::Once, Lasting::FromThenOn] {
            let checked = check(dirs, &scenario, (place.clone(), BROKEN, lasting), "case");
            assert!(checked.unwrap_or_else(|violation| panic!("{violation}")));
        }
        let case = dirs.case(&scenario);
        let at = changes(&case).iter().rposition(is_wait).unwrap();
        let case = dirs.case(&scenario);
        assert!(is_wait(&dirs.crash(&case, Crash::Kill, at).1.unwrap()));
        let checked = case.examine(true).and_then(|()| case.finish());
        checked.unwrap_or_else(|violation| panic!("{violation}"));
    });
}

/// The injected fault really reaches npyd.
#[test]
fn a_fault_is_met() {
    const ERRNO: c_int = libc::EIO;
    on_crash_dirs("ext4", Npyd::real(), |dirs| {
        let scenario = Scenario::of("copy", Disposition::Keep);
        let place = places(&dirs.case(&scenario), |it| it.call == "pwrite64").swap_remove(0);
        let case = dirs.case(&scenario);
        sweep_with(&case, &place, Fault::Error(ERRNO), Lasting::FromThenOn).unwrap();
        assert!(case.says("Input/output error") && !case.is_told());
    });
}

/// After a failed sync the next sync may succeed, and after a power cut the file looks untouched.
/// So npyd records the failed sync durably before it reports the failure.
#[test]
fn a_loss_that_a_power_cut_follows() {
    on_crash_dirs("ext4", Npyd::real(), |dirs| {
        let scenario = Scenario { ledger_along: true, ..Scenario::of("room", Disposition::Keep) };
        for cut in [Cut::KeepsMetadata, Cut::KeepsNothing] {
            let case = dirs.case(&scenario);
            dirs.lose(&case, cut);
            start(&mut case.sweep()).wait().unwrap();
            assert!(!case.is_told() && !case.output().exists(), "{cut:?}: {}", case.printed());
        }
    });
}
