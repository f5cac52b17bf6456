//! Tests of suspensions, on a clock of milliseconds.

use super::*;

/// Suspensions at work on a clock of milliseconds.
struct Case {
    suspensions: Suspensions,
    start: Instant,
}

fn error(text: &str) -> WorkError {
    WorkError::Ledger(text.to_owned())
}

fn fault(kind: DirFaultKind, dir: &str) -> DirFault {
    DirFault { kind, dir: dir.into() }
}

fn dirs(dir: &str) -> [PathBuf; 1] {
    [dir.into()]
}

impl Case {
    fn new() -> Self {
        Case { suspensions: Suspensions::default(), start: Instant::now() }
    }

    fn at(&self, milliseconds: u64) -> Instant {
        self.start + Duration::from_millis(milliseconds)
    }

    fn fail(&mut self, rel: &str, at: u64) -> bool {
        let (now, full) = (self.at(at), fault(DirFaultKind::Full, "/out"));
        self.suspensions.fail(Path::new(rel), &full, &error("full"), now)
    }

    fn is_held(&mut self, rel: &str, dir: &str, at: u64) -> bool {
        let now = self.at(at);
        self.suspensions.hold(Path::new(rel), &dirs(dir), now).is_some()
    }

    fn trial(&mut self, at: u64) -> Option<String> {
        let now = self.at(at);
        self.suspensions.next_trial(now).map(|rel| rel.display().to_string())
    }

    fn succeed(&mut self, rel: &str, at: u64) -> Vec<String> {
        self.succeed_with(rel, "/out", at)
    }

    fn succeed_with(&mut self, rel: &str, dir: &str, at: u64) -> Vec<String> {
        let now = self.at(at);
        let resumed = self.suspensions.succeed(Path::new(rel), &dirs(dir), now);
        resumed.iter().map(|rel| rel.display().to_string()).collect()
    }

    /// The events in short: `+` suspended, `!` still so, `-` resumed; each with its count.
    fn events(&mut self, at: u64) -> String {
        let now = self.at(at);
        let short = |event: Event| match event {
            Event::Suspended { drops, lasted: None, .. } => format!("+{drops}"),
            Event::Suspended { drops, lasted: Some(_), .. } => format!("!{drops}"),
            Event::Resumed { drops, .. } => format!("-{drops}"),
            other => panic!("{other:?}"),
        };
        self.suspensions.take_events(Path::new("/in"), Some(now)).into_iter().map(short).collect()
    }
}

#[test]
fn one_drop_at_a_time_after_a_growing_delay() {
    let mut case = Case::new();
    assert!(case.fail("a", 0) && case.fail("b", 10));
    assert!(case.is_held("c", "/out", 20) && case.is_held("d", "/out/below", 30));
    assert!(!case.is_held("e", "/other", 30) && !case.is_held("e", "/output", 30));
    assert_eq!(case.events(500), "", "more may come");
    assert_eq!(case.events(1030), "+4");
    // Those that have not met the fault come first.
    let mut now = 1030;
    for (trial, delay) in [("c", 2), ("d", 4), ("a", 8), ("b", 16), ("c", 32), ("d", 60)] {
        assert_eq!(case.trial(now).as_deref(), Some(trial));
        assert!(!case.is_held(trial, "/out", now));
        assert_eq!(case.trial(now + 100_000), None, "one at a time");
        assert!(case.fail(trial, now));
        assert_eq!(case.trial(now + delay * 1000 - 1), None, "{trial}");
        now += delay * 1000;
    }
    assert_eq!(case.events(now), "");
    assert_eq!(case.trial(now).as_deref(), Some("a"));
    assert_eq!(case.succeed("a", now), ["b", "c", "d"]);
    assert_eq!(case.events(now), "-4");
    assert!(!case.is_held("b", "/out", now));
    for drop in ["b", "c", "d"] {
        assert!(!case.suspensions.all.is_empty());
        case.succeed(drop, now);
    }
    assert!(case.suspensions.all.is_empty());
}

/// What the event says is true when it is published.
#[test]
fn when_the_next_trial_is() {
    let trial = |case: &mut Case, at| {
        let now = case.at(at);
        let events = case.suspensions.take_events(Path::new("/in"), Some(now));
        events.into_iter().find_map(|event| match event {
            Event::Suspended { trial, .. } => Some(trial),
            _ => None,
        })
    };
    let mut case = Case::new();
    case.fail("a", 0);
    assert_eq!(trial(&mut case, 1000), Some(Trial::Now), "it is due in the same turn");

    let mut case = Case::new();
    case.fail("a", 0);
    assert_eq!(case.trial(1000).as_deref(), Some("a"));
    case.fail("a", 1100);
    assert_eq!(trial(&mut case, 1200), Some(Trial::In(Duration::from_millis(1900))));

    let mut case = Case::new();
    case.fail("a", 0);
    case.is_held("b", "/out", 500);
    assert_eq!(case.trial(1000).as_deref(), Some("b"));
    assert_eq!(trial(&mut case, 1500), Some(Trial::Now), "it is at work");

    let mut case = Case::new();
    case.fail("a", 0);
    case.is_held("b", "/out", 500);
    assert_eq!(case.trial(1000).as_deref(), Some("b"));
    case.succeed("b", 1400);
    assert_eq!(trial(&mut case, 1400), Some(Trial::Succeeded));
}

#[test]
fn a_fault_that_comes_back() {
    let mut case = Case::new();
    case.fail("a", 0);
    case.is_held("b", "/out", 0);
    case.is_held("c", "/out", 0);
    assert_eq!(case.trial(1000).as_deref(), Some("b"));
    assert_eq!(case.succeed("b", 1000), ["c", "a"]);
    assert_eq!(case.events(1000), "+3-3");
    assert!(case.fail("c", 1100), "it has not met the fault before");
    assert!(case.is_held("d", "/out", 1200));
    assert_eq!(case.events(2300), "+3");
    assert_eq!(case.trial(3000), None, "the delay has grown");
    assert_eq!(case.trial(3100).as_deref(), Some("d"));
}

/// A file that is larger than the space that is left.
#[test]
fn a_drop_that_has_the_fault_alone() {
    let mut case = Case::new();
    case.fail("large", 0);
    case.is_held("small", "/out", 10);
    assert_eq!(case.trial(1000).as_deref(), Some("small"));
    assert_eq!(case.succeed("small", 1000), ["large"]);
    assert_eq!(case.events(1000), "+2-2");
    assert!(!case.fail("large", 1100));
    assert!(case.suspensions.all.is_empty());
    assert!(!case.is_held("next", "/out", 1100));
    assert!(!case.fail("large", 3100) && case.events(5000).is_empty());
    case.succeed("large", 9000);
    assert!(case.fail("large", 9100));
}

#[test]
fn drops_that_fail_in_a_row() {
    let mut case = Case::new();
    for drop in ["a", "b", "c", "d"] {
        case.fail(drop, 0);
    }
    assert_eq!(case.trial(1000).as_deref(), Some("a"));
    assert_eq!(case.succeed("a", 1000), ["b", "c", "d"]);
    assert!(!case.fail("b", 1100) && !case.fail("c", 1100));
    assert!(case.fail("d", 1100), "it is the directory's fault again");
    assert!(case.is_held("e", "/out", 1200));
}

#[test]
fn a_missing_directory_that_is_back_is_tried_at_once() {
    let mut case = Case::new();
    let missing = fault(DirFaultKind::Missing, "/out");
    let fail = |case: &mut Case, at| {
        let now = case.at(at);
        assert!(case.suspensions.fail(Path::new("a"), &missing, &error("missing"), now));
    };
    let check = |case: &mut Case, is_there, at| {
        let now = case.at(at);
        case.suspensions.try_those_that_are_back(|_| is_there, now);
    };
    fail(&mut case, 0);
    for at in [1000, 3000, 7000, 15000] {
        assert_eq!(case.trial(at).as_deref(), Some("a"));
        fail(&mut case, at);
    }
    check(&mut case, false, 16000);
    assert_eq!(case.trial(16000), None);
    check(&mut case, true, 17000);
    assert_eq!(case.trial(17000).as_deref(), Some("a"));
    fail(&mut case, 17000);
    check(&mut case, true, 18000);
    assert_eq!(case.trial(18000), None, "its drop has failed again since");
    // Whether there is room on a disk again shows only when npyd tries.
    let mut case = Case::new();
    case.fail("a", 0);
    check(&mut case, true, 500);
    assert_eq!(case.trial(500), None);
}

#[test]
fn trials_that_prove_nothing() {
    let mut case = Case::new();
    case.fail("a", 0);
    case.is_held("b", "/out", 0);
    assert_eq!(case.trial(1000).as_deref(), Some("b"));
    case.suspensions.end_trial(Path::new("b"));
    assert_eq!(case.trial(1000).as_deref(), Some("a"), "at once");
    case.suspensions.forget(Path::new("a"));
    assert_eq!(case.trial(1000), None);
    assert!(case.is_held("c", "/out", 1000), "nothing has shown that it is over");
    assert_eq!(case.trial(1000).as_deref(), Some("c"));
}

#[test]
fn other_successes_end_no_suspension() {
    let mut case = Case::new();
    case.fail("a", 0);
    assert!(case.succeed("begun before", 100).is_empty());
    assert!(case.is_held("b", "/out", 200));
}

#[test]
fn each_directory_has_its_own() {
    let mut case = Case::new();
    let start = case.start;
    let denied = fault(DirFaultKind::Denied, "/out/a");
    assert!(case.suspensions.fail(Path::new("a/x"), &denied, &error("denied"), start));
    assert!(case.is_held("a/y", "/out/a", 0) && !case.is_held("b/y", "/out/b", 0));
    assert!(case.fail("b/y", 0));
    assert_eq!(case.suspensions.all.len(), 2);
    assert_eq!(case.trial(1000).as_deref(), Some("a/y"));
    assert!(!case.is_held("a/y", "/out/a", 1000), "the trial passes both");
    assert!(case.fail("a/y", 1000));
    assert!(case.is_held("a/z", "/out/a", 1000));
    assert_eq!(case.trial(1000).as_deref(), Some("a/z"), "the other is tried with another");
}

#[test]
fn one_that_lasts_is_reported_again() {
    const HOUR: u64 = 3_600_000;
    let mut case = Case::new();
    case.fail("a", 0);
    let mut reports = Vec::new();
    for minute in 0..72 * 60 {
        if !case.events(minute * 60_000 + 2000).is_empty() {
            reports.push(minute);
        }
    }
    assert_eq!(reports, [0, 10, 60, 24 * 60, 48 * 60]);
    // Another fault of the directory is news.
    let now = case.at(72 * HOUR);
    let denied = fault(DirFaultKind::Denied, "/out");
    assert!(case.suspensions.fail(Path::new("a"), &denied, &error("denied"), now));
    assert_eq!(case.events(72 * HOUR + 1000), "+1");
}

/// The job of the drop that is tried ends without the directory.
#[test]
fn a_success_without_the_directory_proves_nothing() {
    let mut case = Case::new();
    for drop in ["a", "b"] {
        case.fail(drop, 0);
    }
    assert_eq!(case.trial(1000).as_deref(), Some("a"));
    assert!(case.succeed_with("a", "/rejects", 1000).is_empty());
    assert!(!case.events(5000).contains('-'));
    assert_eq!(case.trial(5000).as_deref(), Some("b"));
    assert!(case.succeed("b", 5000).is_empty());
    assert!(case.events(5000).contains('-'));
}
