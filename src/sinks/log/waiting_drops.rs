//! Log lines about drops that wait for long, because one cause often holds up many: one line for
//! each kind of reason, and one for all drops that have reached an age at about one time. A drop
//! that does not wait any more is in none of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::decide::reason::Reason;
use crate::decide::reason_kind::ReasonKind;
use crate::events::drop_path::DropPath;
use crate::events::drop_state::{DropState, StateOfDrop, WaitAge};
use crate::events::event::Event;
use crate::events::gathering::Gathering;
use crate::events::tally::Tally;
use crate::events::watch_state::WatchState;
use crate::sinks::log::wait_line::Line;
use crate::text::one_line::shown;

/// What names the process that has a file open or locked.
const HOLDER_HINT: &str =
    "`npyd explain` on it, as root or as the producer's user, names the process";

/// How long a line about an age waits for further drops. A waiting drop is probed more often than
/// that.
const AGE_GATHER: Duration = Duration::from_secs(6);

/// Minimum time between two lines about ages in one drop directory.
const AGE_INTERVAL: Duration = Duration::from_mins(10);

/// The drops that no line has reported, by drop directory.
#[derive(Debug, Default)]
pub(crate) struct WaitingDrops(BTreeMap<PathBuf, OfDir>);

/// Those of one drop directory.
#[derive(Debug)]
struct OfDir {
    /// Those that have waited for the time `quiet`, by the kind of their reasons.
    kinds: BTreeMap<ReasonKind, OfKind>,
    /// Those that have reached a greater age.
    ages: BTreeMap<PathBuf, OfAge>,
    ages_timer: Gathering,
    /// Whether some of them may have ended, because events were lost.
    is_suspended: bool,
}

#[derive(Debug)]
struct OfKind {
    drops: BTreeMap<PathBuf, Reason>,
    timer: Gathering,
}

#[derive(Debug)]
struct OfAge {
    age: WaitAge,
    reason: Reason,
    similar: Vec<String>,
}

impl WaitingDrops {
    /// Takes an event about the state of a drop or of a drop directory.
    pub(crate) fn take(&mut self, event: &Event, now: Instant) {
        match event {
            Event::LongWait { path, reason, age, similar } => {
                let dir = self.0.entry(path.drop_dir.clone()).or_insert_with(OfDir::new);
                match age {
                    WaitAge::Quiet => dir.add(&path.source, reason, now),
                    age => dir.add_age(&path.source, (*age, reason, similar), now),
                }
            }
            Event::States(states) => {
                if let Some(dir) = self.0.get_mut(&states.drop_dir) {
                    dir.compare(&states.drops);
                }
            }
            Event::State { path, state, reason, .. } => {
                let Some(dir) = self.0.get_mut(&path.drop_dir) else { return };
                match (state, reason) {
                    (DropState::Waiting, Some(reason)) => dir.change(&path.source, reason),
                    (DropState::Backlog | DropState::Working, _) => {
                        dir.remove_if(&path.source, |reason| !is_found_in_work(reason));
                    }
                    _ => dir.remove(&path.source),
                }
            }
            Event::Watch { drop_dir, state: WatchState::Restarted } => {
                self.0.remove(drop_dir);
            }
            _ => {}
        }
    }

    /// Writes no line until the states of the drops are known again, because events were lost.
    pub(crate) fn suspend(&mut self) {
        self.0.values_mut().for_each(|dir| dir.is_suspended = true);
    }

    /// Returns when the next line is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let current = self.0.values().filter(|dir| !dir.is_suspended);
        current.filter_map(OfDir::next_due).min()
    }

    /// Returns the lines that are due.
    pub(crate) fn lines(&mut self, now: Instant) -> Vec<Line> {
        let dirs = self.0.iter_mut().filter(|(_, dir)| !dir.is_suspended);
        dirs.flat_map(|(path, dir)| [dir.kinds(path, Some(now)), dir.ages(path, now)])
            .flatten()
            .collect()
    }

    /// Returns the lines about a drop directory that ends, and forgets its drops.
    pub(crate) fn end(&mut self, drop_dir: &Path) -> Vec<Line> {
        let dir = self.0.remove(drop_dir).filter(|dir| !dir.is_suspended);
        dir.map_or_else(Vec::new, |mut dir| dir.kinds(drop_dir, None))
    }
}

impl OfDir {
    fn new() -> Self {
        OfDir {
            kinds: BTreeMap::new(),
            ages: BTreeMap::new(),
            ages_timer: Gathering::after(AGE_GATHER, AGE_INTERVAL),
            is_suspended: false,
        }
    }

    fn add(&mut self, source: &Path, reason: &Reason, now: Instant) {
        let new = || OfKind { drops: BTreeMap::new(), timer: Gathering::later() };
        let kind = self.kinds.entry(reason.kind()).or_insert_with(new);
        kind.drops.insert(source.to_path_buf(), reason.clone());
        kind.timer.add(now);
    }

    fn add_age(
        &mut self,
        source: &Path,
        (age, reason, similar): (WaitAge, &Reason, &[String]),
        now: Instant,
    ) {
        let of = OfAge { age, reason: reason.clone(), similar: similar.to_vec() };
        self.ages.insert(source.to_path_buf(), of);
        self.ages_timer.add(now);
    }

    /// Changes the reason of a drop that still waits. The time of its line stays.
    fn change(&mut self, source: &Path, reason: &Reason) {
        let of_kinds = self.kinds.values_mut().filter_map(|kind| kind.drops.get_mut(source));
        of_kinds.for_each(|of| of.clone_from(reason));
        if let Some(of) = self.ages.get_mut(source) {
            of.reason = reason.clone();
        }
    }

    /// Removes the drops that do not wait any more, and takes the reasons of the others.
    fn compare(&mut self, drops: &[StateOfDrop]) {
        let waiting: HashMap<&Path, &Reason> = drops
            .iter()
            .filter(|drop| drop.state == DropState::Waiting)
            .filter_map(|drop| Some((drop.source.as_path(), drop.reason.as_ref()?)))
            .collect();
        let of_kinds = self.kinds.values().flat_map(|kind| kind.drops.keys());
        let known: BTreeSet<_> = of_kinds.chain(self.ages.keys()).cloned().collect();
        for source in known {
            match waiting.get(source.as_path()) {
                Some(reason) => self.change(&source, reason),
                None => self.remove(&source),
            }
        }
        self.is_suspended = false;
    }

    /// Removes a drop that does not wait any more.
    fn remove(&mut self, source: &Path) {
        self.remove_if(source, |_| true);
    }

    /// Removes a drop that does not wait any more if its reason was of this kind.
    fn remove_if(&mut self, source: &Path, is: impl Fn(&Reason) -> bool) {
        for kind in self.kinds.values_mut() {
            if kind.drops.get(source).is_some_and(&is) {
                kind.drops.remove(source);
                if kind.drops.is_empty() {
                    kind.timer.cancel();
                }
            }
        }
        if self.ages.get(source).is_some_and(|of| is(&of.reason)) {
            self.ages.remove(source);
            if self.ages.is_empty() {
                self.ages_timer.cancel();
            }
        }
    }

    fn next_due(&self) -> Option<Instant> {
        let kinds = self.kinds.values().filter_map(|kind| kind.timer.due_at());
        kinds.chain(self.ages_timer.due_at()).min()
    }

    /// Returns the lines about kinds that are due, or all of them.
    fn kinds(&mut self, drop_dir: &Path, now: Option<Instant>) -> Vec<Line> {
        // By the kinds that the reasons have now.
        let mut due = BTreeMap::<ReasonKind, (PathBuf, Reason, usize)>::new();
        for kind in self.kinds.values_mut().filter_map(|kind| kind.take_due(now)) {
            for (source, reason) in kind {
                due.entry(reason.kind()).or_insert((source, reason, 0)).2 += 1;
            }
        }
        let line = |(source, reason, drops)| {
            let path = DropPath { drop_dir: drop_dir.to_path_buf(), source };
            Line::Kind { path, reason, drops }
        };
        due.into_values().map(line).collect()
    }

    /// Returns the lines about ages if they are due.
    fn ages(&mut self, drop_dir: &Path, now: Instant) -> Vec<Line> {
        if !self.ages_timer.take_due(Some(now)) {
            return Vec::new();
        }
        let mut tallies = BTreeMap::<WaitAge, Tally>::new();
        for (source, of) in std::mem::take(&mut self.ages) {
            let path = DropPath { drop_dir: drop_dir.to_path_buf(), source };
            tallies.entry(of.age).or_default().add(of.to_text(path.rel()));
        }
        let line = |(age, drops)| Line::Age { drop_dir: drop_dir.to_path_buf(), age, drops };
        tallies.into_iter().map(line).collect()
    }
}

/// Returns whether a worker found the reason. Such a drop is in work at each try, and still waits.
fn is_found_in_work(reason: &Reason) -> bool {
    matches!(
        reason,
        Reason::Locked(_)
            | Reason::OpenForWriting(_)
            | Reason::FilesGone(_)
            | Reason::Mixed { .. }
            | Reason::Io(_)
    )
}

impl OfKind {
    /// Returns the drops if their line is due, or in any case without a time.
    fn take_due(&mut self, now: Option<Instant>) -> Option<BTreeMap<PathBuf, Reason>> {
        self.timer.take_due(now).then(|| std::mem::take(&mut self.drops))
    }
}

impl OfAge {
    fn to_text(&self, rel: &Path) -> String {
        let quoted: Vec<_> = self.similar.iter().map(|name| format!("`{name}`")).collect();
        let similar = match &quoted[..] {
            [] => None,
            [one] => Some(format!("beside it lies {one}")),
            several => Some(format!("beside it lie {}", several.join(", "))),
        };
        let is_held = self.reason.kind().is_held();
        let holder = is_held.then(|| HOLDER_HINT.to_owned());
        let take = self.reason.if_abandoned().map(str::to_owned);
        let hint = self.reason.if_complete().or(similar).or(holder);
        let hints = hint.into_iter().chain(take);
        let why: Vec<_> = [self.reason.to_string()].into_iter().chain(hints).collect();
        format!("`{}` ({})", shown(rel), why.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::reason::Subject;
    use crate::events::drop_state::DirStates;

    /// Waits on a clock of seconds.
    struct Case {
        waits: WaitingDrops,
        start: Instant,
    }

    fn path(name: &str) -> DropPath {
        DropPath { drop_dir: "/in".into(), source: Path::new("/in").join(name) }
    }

    impl Case {
        fn new() -> Self {
            Case { waits: WaitingDrops::default(), start: Instant::now() }
        }

        fn at(&self, second: u64) -> Instant {
            self.start + Duration::from_secs(second)
        }

        fn long_wait(&mut self, name: &str, reason: Reason, age: WaitAge) {
            let event = Event::LongWait { path: path(name), reason, age, similar: Vec::new() };
            self.waits.take(&event, self.start);
        }

        fn state(&mut self, name: &str, state: DropState, reason: Option<Reason>) {
            let before = Some(DropState::Waiting);
            let event = Event::State { path: path(name), before, state, reason, bytes: None };
            self.waits.take(&event, self.start);
        }

        fn lines(&mut self, second: u64) -> Vec<String> {
            let lines = self.waits.lines(self.at(second));
            lines.iter().map(Line::to_string).collect()
        }
    }

    #[test]
    fn a_drop_that_is_done_is_not_reported() {
        for done in [DropState::Gone, DropState::Working, DropState::Suspended] {
            let mut case = Case::new();
            for name in ["a", "b", "c"] {
                case.long_wait(name, Reason::Leased, WaitAge::Quiet);
                case.long_wait(name, Reason::Leased, WaitAge::Hour);
            }
            case.state("a", done, None);
            let lines = case.lines(60);
            assert!(lines[0].starts_with("waiting for 2 drops in `/in` ("), "{lines:?}");
            assert!(lines[0].contains("such as /in/b: "), "{lines:?}");
            assert!(lines[1].starts_with("`/in` has 2 drops waiting for more than 1 hour: `b`"));
            assert_eq!(case.lines(120), [""; 0]);

            case.long_wait("d", Reason::Leased, WaitAge::Quiet);
            case.long_wait("d", Reason::Leased, WaitAge::Day);
            case.state("d", done, None);
            assert_eq!(case.waits.next_due(), None);
            assert_eq!(case.lines(10_000), [""; 0]);
        }
    }

    /// A worker tries again and again to lock it.
    #[test]
    fn a_drop_that_is_locked_is_reported_although_a_worker_tries_it() {
        let mut case = Case::new();
        let locked = || Reason::Locked(Subject::Array);
        case.long_wait("a", locked(), WaitAge::Quiet);
        case.long_wait("a", locked(), WaitAge::Hour);
        for _ in 0..3 {
            case.state("a", DropState::Working, None);
            case.state("a", DropState::Waiting, Some(locked()));
        }
        case.state("a", DropState::Working, None);
        assert_eq!(case.lines(60).len(), 2);

        case.long_wait("a", locked(), WaitAge::Day);
        case.state("a", DropState::Working, None);
        case.state("a", DropState::Gone, None);
        assert_eq!(case.lines(10_000), [""; 0]);
    }

    #[test]
    fn a_drop_that_waits_for_something_else_is_reported_with_that() {
        let mut case = Case::new();
        case.long_wait("a", Reason::Leased, WaitAge::Quiet);
        case.long_wait("b", Reason::Leased, WaitAge::Quiet);
        case.state("a", DropState::Waiting, Some(Reason::NoMarker));
        let mut lines = case.lines(60);
        lines.sort();
        let expected = [("a", Reason::NoMarker), ("b", Reason::Leased)];
        for (line, (name, why)) in lines.iter().zip(expected) {
            assert!(line.starts_with(&format!("waiting for /in/{name}: {why}")), "{line}");
        }
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn the_states_that_follow_a_loss_of_events_count() {
        let mut case = Case::new();
        for name in ["a", "b", "c"] {
            case.long_wait(name, Reason::Leased, WaitAge::Quiet);
        }
        case.long_wait("a", Reason::Leased, WaitAge::Hour);
        case.waits.suspend();
        assert_eq!(case.waits.next_due(), None);
        assert_eq!(case.lines(60), [""; 0]);
        let state_of = |name, state, reason| StateOfDrop {
            source: path(name).source,
            state,
            reason,
            bytes: None,
        };
        let drops = vec![
            state_of("b", DropState::Waiting, Some(Reason::NoMarker)),
            state_of("c", DropState::Working, None),
            state_of("d", DropState::Waiting, Some(Reason::Leased)),
        ];
        let states = Box::new(DirStates { drop_dir: "/in".into(), drops });
        case.waits.take(&Event::States(states), case.start);
        let lines = case.lines(60);
        assert!(lines[0].starts_with(&format!("waiting for /in/b: {}", Reason::NoMarker)));
        assert_eq!(lines.len(), 1, "{lines:?}");
    }

    /// Some reasons change at each probe.
    #[test]
    fn a_reason_that_changes_delays_no_line() {
        let mut case = Case::new();
        case.long_wait("a", Reason::Leased, WaitAge::Quiet);
        for why in [Reason::NoMarker, Reason::Leased] {
            let event = Event::State {
                path: path("a"),
                before: Some(DropState::Waiting),
                state: DropState::Waiting,
                reason: Some(why),
                bytes: None,
            };
            case.waits.take(&event, case.at(50));
        }
        assert_eq!(case.waits.next_due(), Some(case.at(1)));
    }

    #[test]
    fn a_drop_directory_that_ends() {
        let mut case = Case::new();
        case.long_wait("a", Reason::Leased, WaitAge::Quiet);
        case.long_wait("b", Reason::Leased, WaitAge::Hour);
        let lines = case.waits.end(Path::new("/in"));
        let lines: Vec<_> = lines.iter().map(Line::to_string).collect();
        assert!(lines[0].starts_with(&format!("waiting for /in/a: {}", Reason::Leased)));
        assert!(case.waits.next_due().is_none());
        case.long_wait("a", Reason::Leased, WaitAge::Quiet);
        let state = WatchState::Restarted;
        case.waits.take(&Event::Watch { drop_dir: "/in".into(), state }, case.start);
        assert!(case.waits.next_due().is_none());
    }
}
