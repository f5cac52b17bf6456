//! Tests of scans.

use crate::ledger::Ledger;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::config::Config;
use crate::decide::work_error::WorkError;
use crate::events::bus::Bus;
use crate::model::{DirFault, DirFaultKind};
use crate::probe::DescriptionIndex;
use crate::service::tracker::entry::State;
use crate::service::tracker::timeline::Timeline;
use crate::service::watch::PathEvent;
use crate::service::work::context::Context;
use crate::service::work::failure::{Cause, Failure};
use crate::service::work::worker_pool::Pool;

/// The index has limited room, which the descriptions of removed manifests must not fill.
#[test]
fn a_claim_goes_with_its_manifest() {
    let temp = tempfile::tempdir().unwrap();
    let state = tempfile::tempdir().unwrap();
    let (state, dir) = (state.path().display(), temp.path().display());
    let text = format!("state_dir = '{state}'\n[[drop]]\npath = '{dir}'\nrecursive = false\n");
    let config = Config::parse(&text, Path::new("npyd.toml"), temp.path()).unwrap();
    let ledger = Ledger::open(&config.state_dir).unwrap();
    let context = Context::new(&config, ledger, || Ok(Bus::default()), false).unwrap();
    let pool = Pool::new(1).unwrap();
    let drop_dir = Arc::new(config.drop_dirs[0].clone());
    let mut tracker = Tracker::new(drop_dir, context, pool.queue(), drop);
    let mut scan = || {
        let now = Instant::now();
        tracker.scan(now).unwrap();
        tracker.process_due(now);
        tracker.index.len()
    };
    for name in ["a", "b"] {
        let manifest = format!("dtype = '|u1'\nshape = [1]\ndata = '{name}.raw'\n");
        fs::write(temp.path().join(format!("about-{name}.toml")), manifest).unwrap();
    }
    assert_eq!(scan(), 2);
    fs::remove_file(temp.path().join("about-a.toml")).unwrap();
    std::thread::sleep(2 * crate::service::work::outcome::PROBE_DELAY_MIN);
    scan();
    assert_eq!(scan(), 1);
}

const MANIFEST: &[u8] = b"dtype = '|u1'\nshape = [4]\n";

impl Timeline {
    /// Scans and probes until the scan has ended. Returns how often the tracker was full.
    fn scan_in_turns(&mut self) -> usize {
        let mut full = 0;
        self.tracker.begin_scan(self.start).unwrap();
        loop {
            match self.tracker.finish_scan(self.start).unwrap() {
                Progress::Full => {
                    full += 1;
                    assert!(full < 1000, "it does not go on");
                }
                progress => {
                    assert!(matches!(progress, Progress::Ended(_)), "{progress:?}");
                    self.tracker.process_due(self.start);
                    return full;
                }
            }
            self.tracker.process_due(self.start);
        }
    }

    /// Returns how many paths were found since the last call, and what the last scan counted.
    fn found(&self) -> (BTreeMap<PathBuf, usize>, Option<(u64, u64)>) {
        let (mut found, mut scanned) = (BTreeMap::new(), None);
        for event in self.events() {
            match event {
                Event::State { path, before: None, .. } => {
                    *found.entry(path.source).or_default() += 1;
                }
                Event::Scanned(Scanned { names, drops, .. }) => scanned = Some((names, drops)),
                _ => {}
            }
        }
        (found, scanned)
    }
}

/// The scan goes on where it stopped: it finds each file, and none twice.
#[test]
fn a_full_tracker_ends_no_scan() {
    const FILES: usize = 100;
    let names: Vec<_> = (0..FILES).map(|at| format!("{at:03}.raw.toml")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), MANIFEST)).collect();
    let mut time = Timeline::of(&files);
    time.tracker.room = 8;
    for _ in 0..2 {
        assert!(time.scan_in_turns() >= 1);
        assert!(time.tracker.entries.len() <= 8, "{}", time.tracker.entries.len());
        let (found, scanned) = time.found();
        assert!(found.values().all(|times| *times == 1), "{found:?}");
        assert_eq!(scanned.unwrap().0, FILES as u64);
        // Those that are kept are not found again by the second scan.
        assert!(found.len() + 8 >= FILES, "{found:?}");
    }
}

/// More drops wait than there is room for, and none may be looked at: the scan ends all the same,
/// and has found the one that is complete.
#[test]
fn waiting_drops_do_not_hold_up_a_scan() {
    const DROPS: usize = 60;
    let names: Vec<_> = (0..DROPS).map(|at| format!("{at:03}.raw")).collect();
    let manifests: Vec<_> = names.iter().map(|name| format!("{name}.toml")).collect();
    let data = names.iter().map(|name| (name.as_str(), &b"12"[..]));
    let files: Vec<_> = data.chain(manifests.iter().map(|it| (it.as_str(), MANIFEST))).collect();
    for complete in [0, DROPS - 1] {
        let mut time = Timeline::of(&files);
        time.tracker.room = 8;
        time.tracker.looks.spend_until(time.start + Duration::from_hours(1));
        time.write(&names[complete], b"1234");
        let full = time.scan_in_turns();
        assert!((1..DROPS).contains(&full), "{full}");
        let (found, scanned) = time.found();
        assert_eq!(scanned.unwrap().0, 2 * DROPS as u64);
        let count = found.keys().filter(|path| path.extension() == Some("raw".as_ref())).count();
        assert_eq!(count, DROPS);
        let state = time.tracker.state(Path::new(&names[complete]));
        assert!(matches!(state, Some(State::Working { .. })));
        assert!(time.tracker.entries.len() <= 8, "{}", time.tracker.entries.len());
    }
}

#[test]
fn names_that_nothing_can_mean() {
    let mut time = Timeline::of(&[("a.raw", &[1; 2]), ("a.raw.toml", MANIFEST)]);
    for number in 0..200 {
        time.write(&format!("{number}.log"), b"text");
    }
    time.write("array.npy", b"\x93NUMPY\x01\x00\x02\x00{}");
    time.write("x.toml", b"[tool]\n");
    time.scan_in_turns();
    let (found, scanned) = time.found();
    let names: Vec<_> = found.keys().filter_map(|path| path.file_name()).collect();
    assert_eq!(names, ["a.raw", "a.raw.toml"]);
    assert_eq!(scanned, Some((204, 1))); // the data are probed with their description
}

/// Until the descriptions were read, another one of its data may be unknown.
#[test]
fn no_drop_is_probed_before_the_descriptions_were_read() {
    let data: &[u8] = &[1; 2];
    let mut time = Timeline::of(&[("a.raw", data), ("a.raw.toml", MANIFEST)]);
    let event = || PathEvent { rel: "a.raw".into(), is_new: false };
    let is_probed = |time: &Timeline| {
        !matches!(time.tracker.state(Path::new("a.raw")), Some(State::Unprobed) | None)
    };
    time.tracker.on_watch_event(event(), time.start);
    time.tracker.process_due(time.start);
    assert!(!is_probed(&time));
    time.scan_in_turns();
    assert!(is_probed(&time));

    // Events were lost.
    time.tracker.distrust_descriptions();
    time.tracker.begin_scan(time.start).unwrap();
    time.write("b.raw", data);
    time.tracker.on_watch_event(PathEvent { rel: "b.raw".into(), is_new: false }, time.start);
    time.tracker.process_due(time.start);
    assert!(matches!(time.tracker.state(Path::new("b.raw")), Some(State::Unprobed)));
    time.tracker.finish_scan(time.start).unwrap();
    time.tracker.process_due(time.start);
    assert!(time.tracker.state(Path::new("b.raw")).is_none());
}

/// A scan reads a description once, unless it changes before the second walk comes to it.
#[test]
fn a_description_that_changes_between_the_walks_is_read_again() {
    let about = |data: &str| format!("dtype = '|u1'\nshape = [4]\ndata = '{data}'\n");
    let mut time = Timeline::of(&[
        ("kept.toml", about("a.raw").as_bytes()),
        ("changed.toml", about("b.raw").as_bytes()),
        ("replaced.toml", about("c.raw").as_bytes()),
        ("gone.toml", about("d.raw").as_bytes()),
    ]);
    time.tracker.room = 4; // so that the scan stops before the second walk
    for number in 0..4 {
        let rel = format!("{number}.raw").into();
        time.tracker.on_watch_event(PathEvent { rel, is_new: false }, time.start);
    }
    time.tracker.begin_scan(time.start).unwrap();
    assert_eq!(time.tracker.finish_scan(time.start).unwrap(), Progress::Full);
    assert!(time.tracker.first_walk.has_unsettled(Path::new("kept.toml")));
    time.write("changed.toml", about("second.raw").as_bytes());
    time.write("new", about("other.raw").as_bytes());
    fs::rename(time.path().join("new"), time.path().join("replaced.toml")).unwrap();
    time.remove("gone.toml");

    time.tracker.room = 100;
    assert!(matches!(time.tracker.finish_scan(time.start).unwrap(), Progress::Ended(_)));
    let described_by = |data: &str| {
        let found = time.tracker.index.describing(Path::new(data));
        found.map(|path| path.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(described_by("a.raw"), ["kept.toml"]);
    assert_eq!(described_by("second.raw"), ["changed.toml"]);
    assert_eq!(described_by("other.raw"), ["replaced.toml"]);
    for (name, is_there) in
        [("kept.toml", true), ("changed.toml", true), ("replaced.toml", true), ("gone.toml", false)]
    {
        assert_eq!(time.tracker.entries.contains_key(Path::new(name)), is_there, "{name}");
        assert!(!time.tracker.first_walk.has_unsettled(Path::new(name)), "{name}");
    }
}

/// The second walk of a scan asks the ledger only about what the first one has not found settled.
#[test]
fn settled_drops_are_looked_at_once() {
    let mut time = Timeline::of(&[
        ("a.raw", b"four"),
        ("a.raw.toml", MANIFEST),
        ("b.raw", b"four"),
        ("b.raw.toml", MANIFEST),
        ("c.raw", b"four"),
        ("c.raw.toml", MANIFEST),
    ]);
    let (a, b, c) = (OsStr::new("a.raw"), OsStr::new("b.raw"), OsStr::new("c.raw"));
    let mut seconds = 0;
    time.scan_after(seconds);
    while !time.tracker.entries.is_empty() {
        seconds += 10;
        time.scan_after(seconds);
        if time.tracker.entries.values().any(|it| matches!(it.state(), State::Working { .. })) {
            time.end_job_after(seconds);
        }
    }
    time.write("b.raw", b"five");
    time.remove("c.raw");
    time.tracker.room = 1; // so that the scan stops before the second walk
    time.tracker.on_watch_event(PathEvent { rel: "x".into(), is_new: false }, time.start);
    time.tracker.begin_scan(time.start).unwrap();
    assert_eq!(time.tracker.finish_scan(time.start).unwrap(), Progress::Full);
    let has_settled = |name| time.tracker.first_walk.has_settled((Path::new(""), name), false);
    assert_eq!([a, b, c].map(has_settled), [true, false, false]);

    time.tracker.room = 100;
    assert!(matches!(time.tracker.finish_scan(time.start).unwrap(), Progress::Ended(_)));
    for (name, is_found) in
        [("a.raw", false), ("a.raw.toml", false), ("b.raw.toml", true), ("c.raw.toml", true)]
    {
        assert_eq!(time.tracker.entries.contains_key(Path::new(name)), is_found, "{name}");
    }
}

/// Drops that fail make way for others, as drops do that wait.
#[test]
fn failing_drops_do_not_hold_up_a_scan() {
    const FILES: usize = 50;
    let names: Vec<_> = (0..FILES).map(|at| format!("{at:03}.raw.toml")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), MANIFEST)).collect();
    let mut time = Timeline::of(&files);
    time.tracker.room = 8;
    for number in 0..8 {
        let rel = format!("{number}.raw").into();
        time.tracker.on_watch_event(PathEvent { rel, is_new: false }, time.start);
    }
    time.tracker.begin_scan(time.start).unwrap();
    let mut full = 0;
    while time.tracker.finish_scan(time.start).unwrap() == Progress::Full {
        full += 1;
        assert!(full <= FILES, "it does not go on");
        let rels: Vec<_> = time.tracker.entries.keys().cloned().collect();
        for rel in rels {
            let failure = Failure::new(WorkError::Bug, Cause::Bug);
            time.tracker.on_failure(&rel, &failure, time.start);
        }
        assert!(time.tracker.wants_step());
    }
    let found = time.found().0;
    let count = found.keys().filter(|path| path.extension() == Some("toml".as_ref())).count();
    assert_eq!(count, FILES);
    assert!(time.tracker.entries.len() <= 8);
}

/// The drops that a fault of a directory holds leave room for others. A scan finds the rest once
/// the fault is over.
#[test]
fn suspended_drops_do_not_hold_up_a_scan() {
    const DROPS: usize = 25;
    let names: Vec<_> = (0..DROPS).map(|at| format!("{at:03}.raw")).collect();
    let manifests: Vec<_> = names.iter().map(|name| format!("{name}.toml")).collect();
    let data = names.iter().map(|name| (name.as_str(), &b"four"[..]));
    let files: Vec<_> = data.chain(manifests.iter().map(|it| (it.as_str(), MANIFEST))).collect();
    let mut time = Timeline::of(&files);
    time.tracker.room = 8;
    time.tracker.insert("fault.raw".into(), time.start);
    let fault = DirFault { kind: DirFaultKind::Denied, dir: time.path() };
    let failure = Failure::new(WorkError::Bug, Cause::Dir(fault));
    time.tracker.on_failure(Path::new("fault.raw"), &failure, time.start);
    time.tracker.next_dir_check = time.start + Duration::from_hours(1);
    time.tracker.begin_scan(time.start).unwrap();
    let mut now = time.start;
    while time.tracker.finish_scan(now).unwrap() == Progress::Full {
        assert!(now < time.start + Duration::from_mins(2), "it does not go on");
        time.tracker.probe_due(now); // without a trial, all drops are held
        std::thread::sleep(Duration::from_millis(1));
        now = Instant::now();
    }
    let (_, scanned) = time.found();
    assert_eq!(scanned.unwrap().0, 2 * DROPS as u64);
    assert!(time.tracker.overflowed, "a further scan finds those that were left out");
    assert!(time.tracker.entries.len() <= 8);
}

/// A file without a description of its own may be described by one for which there is no room.
#[test]
fn what_unknown_descriptions_may_describe_waits() {
    let about = |data: &str| format!("dtype = '|u1'\nshape = [4]\ndata = '{data}'\n");
    let template = "[[drop.template]]\nmatch = '*.raw'\ndtype = 'u1'\nshape = [4]\n";
    let mut time = Timeline::with(
        template,
        &[
            ("one.toml", about("a.bin").as_bytes()),
            ("two.toml", about("b.bin").as_bytes()),
            ("three.toml", about("c.bin").as_bytes()),
            ("x.raw", b"four"),
        ],
    );
    let reports = |time: &Timeline| {
        let is_report =
            |event: &Event| matches!(event, Event::Problem(Problem::ManyDescriptions { .. }));
        time.events().iter().filter(|event| is_report(event)).count()
    };
    let is_tracked = |time: &Timeline| time.tracker.state(Path::new("x.raw")).is_some();
    let later = time.start + Duration::from_millis(1);
    time.tracker.index = DescriptionIndex::with_room(2);
    time.scan_in_turns();
    time.tracker.process_due(later); // a template applies to what no description came to
    assert!(time.tracker.index.is_incomplete());
    assert!(!is_tracked(&time));
    assert_eq!(reports(&time), 1);
    // Events find no more than the scan.
    time.tracker.on_watch_event(PathEvent { rel: "x.raw".into(), is_new: false }, time.start);
    time.tracker.process_due(later);
    assert!(!is_tracked(&time));

    // A scan forgets the description, a later one has room for all.
    time.remove("three.toml");
    for seconds in [10, 20, 30, 40] {
        time.scan_after(seconds);
    }
    assert!(!time.tracker.index.is_incomplete());
    assert!(is_tracked(&time));
}
