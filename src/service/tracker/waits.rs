//! Waits: moves entries to the state `Waiting`, and publishes when a wait has lasted so long that
//! people should know.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::decide::reason::Reason;
use crate::decide::reason_kind::ReasonKind;
use crate::decide::wait::Wait;
use crate::events::drop_state::WaitAge;
use crate::events::event::Event;
use crate::events::watch_state::WatchState;
use crate::service::tracker::entry::State;
use crate::service::tracker::looks::is_external;
use crate::service::tracker::reminders::age_reached;
use crate::service::tracker::{EVENT_DELAY_MAX, LOG_INTERVAL, PROBE_DELAY_MAX, Tracker};
use crate::service::work::outcome::PROBE_DELAY_MIN;

/// Maximum number of searches for similar files in the time [`SEARCH_INTERVAL`], because each costs
/// a listing. A line shows as many examples.
const SEARCHES_MAX: u32 = 3;
const SEARCH_INTERVAL: Duration = Duration::from_secs(6);

/// Counts the searches for similar files.
#[derive(Default)]
pub(crate) struct Searches(Option<(Instant, u32)>);

impl Searches {
    /// Returns whether one may be made now, and counts it.
    fn admit(&mut self, now: Instant) -> bool {
        let is_recent =
            |(since, _): &(Instant, u32)| now.saturating_duration_since(*since) < SEARCH_INTERVAL;
        let (since, count) = self.0.filter(is_recent).unwrap_or((now, 0));
        self.0 = Some((since, count + 1));
        count < SEARCHES_MAX
    }
}

impl Tracker {
    /// Moves an entry to the state [`State::Waiting`], and schedules its next probe.
    pub(crate) fn wait(&mut self, rel: &Path, wait: Wait, now: Instant) {
        let Some(entry) = self.entries.get(rel) else { return };
        let waited = now.saturating_duration_since(entry.since);
        let longest = if entry.awaits_event { EVENT_DELAY_MAX } else { PROBE_DELAY_MAX };
        let pause = (waited / 10).clamp(PROBE_DELAY_MIN, longest);
        let (ready_in, is_listed) = (wait.ready_in, entry.is_listed);
        let is_new = !is_external(entry.state());
        let age = self.news_of_wait(rel, &wait, now);
        let reason = wait.why.clone();
        self.set_state(rel, State::Waiting(wait));
        if let Some(age) = age {
            let similar = self.similar_if_missing(rel, &reason, age, now);
            let path = self.drop_path(rel);
            self.context.publish(Event::LongWait { path, reason, age, similar });
        }
        match ready_in {
            Some(ready_in) if ready_in <= PROBE_DELAY_MAX => {
                return self.schedule(rel.to_path_buf(), now + ready_in);
            }
            Some(ready_in) => self.schedule(rel.to_path_buf(), now + ready_in),
            None if is_listed && self.has_enough_waits() => return self.leave_to_scan(rel),
            None => {}
        }
        if is_new && ready_in.is_none() {
            self.note_wait(rel);
        }
        self.schedule_look(rel, now + if ready_in.is_some() { PROBE_DELAY_MAX } else { pause });
    }

    /// Returns the age that a wait has reached, if that is news.
    fn news_of_wait(&mut self, rel: &Path, wait: &Wait, now: Instant) -> Option<WaitAge> {
        let is_scanning = self.pass.is_some() && self.entries.len() < self.room;
        let entry = self.entries.get_mut(rel)?;
        let waited = now.saturating_duration_since(entry.since);
        // The waits that a scan finds are reported together.
        if is_scanning {
            return None;
        }
        // Most waits end before anyone could read of them, so one is news only once it has lasted
        // for `quiet`, and again only if the reason changes.
        if wait.ready_in.is_some() || waited < self.drop_dir.quiet {
            return None;
        }
        let unchanged = entry.quiescence.as_ref().map(|it| it.unchanged(now));
        let lasted = match unchanged {
            // It waited all that time, also before npyd was started.
            Some(unchanged) if wait.why.lasts_while_unchanged() => unchanged,
            Some(unchanged) => unchanged.min(waited),
            None => waited,
        };
        let age = age_reached(lasted);
        let is_older = age > entry.reported_age;
        entry.reported_age = age;
        // A worker may have tried in vain since, for example because a process locks the file.
        let last = entry.last_wait.replace(wait.why.clone());
        let has_other_reason = !last.is_some_and(|last| last.is_same_but_for_growth(&wait.why));
        let is_due = entry
            .last_reported
            .is_none_or(|last| now.saturating_duration_since(last) >= LOG_INTERVAL);
        let is_news = has_other_reason && is_due || entry.last_reported.is_none();
        if !is_older && !is_news {
            return None;
        }
        entry.last_reported = Some(now);
        if is_older { age } else { Some(WaitAge::Quiet) }
    }

    /// Returns the files that may be the missing data of a wait that is reported again.
    fn similar_if_missing(
        &mut self,
        rel: &Path,
        reason: &Reason,
        age: WaitAge,
        now: Instant,
    ) -> Vec<String> {
        if age == WaitAge::Quiet || reason.kind() != ReasonKind::NoData || !self.searches.admit(now)
        {
            return Vec::new();
        }
        self.similar_files(rel).unwrap_or_default()
    }

    /// Publishes the events about several drops that are due, or all of them.
    pub(crate) fn publish_reports(&mut self, now: Option<Instant>) {
        let mut events = self.failure_reports.take(now);
        events.extend(self.suspensions.take_events(&self.drop_dir.path, now));
        for event in events {
            self.context.publish(event);
        }
    }

    /// Publishes what was not published yet, and that the drops have no state any more, because the
    /// tracker ends.
    pub fn end(&mut self) {
        self.publish_reports(None);
        // If the settings are superseded, the daemon has published it.
        if !self.drop_dir.in_force.is_superseded() {
            let drop_dir = self.drop_dir.path.clone();
            self.context.publish(Event::Watch { drop_dir, state: WatchState::Ended });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::tracker::timeline::Timeline;
    use crate::sinks::log::wait_line::Line;
    use crate::sinks::log::waiting_drops::WaitingDrops;

    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;

    impl Timeline {
        /// Scans and probes after so many seconds. Returns the lines that are due a little later.
        fn lines_after(&mut self, seconds: u64) -> Vec<String> {
            self.scan_after(seconds);
            let now = self.start + Duration::from_secs(seconds);
            let mut waits = WaitingDrops::default();
            for event in self.events() {
                waits.take(&event, now);
            }
            let here = format!("`{}` has ", self.path().display());
            let lines = waits.lines(now + Duration::from_mins(1)).into_iter();
            let ages = lines.filter(|line| matches!(line, Line::Age { .. }));
            ages.map(|line| line.to_string().replace(&here, "")).collect()
        }
    }

    const MANIFEST: &[u8] = b"dtype = '<f4'\nshape = [2, 30]\n";

    #[test]
    fn a_wait_is_reported_at_each_age() {
        let mut time = Timeline::of(&[("a.raw", &[1; 144]), ("a.raw.toml", MANIFEST)]);
        let expect = |age| {
            vec![format!(
                "1 drop waiting for more than {age}: `a.raw` (it has 144 of 240 bytes; if it is \
                 complete, dtype, shape or offset is wrong: 144 bytes are 1.2 records, not 2; if \
                 nothing more comes, `npyd take` makes an array of what is there)"
            )]
        };
        for (seconds, lines) in [
            (0, Vec::new()),
            (9 * MINUTE, Vec::new()),
            (11 * MINUTE, expect("10 minutes")),
            (50 * MINUTE, Vec::new()),
            (HOUR + MINUTE, expect("1 hour")),
            (23 * HOUR, Vec::new()),
            (25 * HOUR, expect("1 day")),
            (1000 * HOUR, Vec::new()),
        ] {
            assert_eq!(time.lines_after(seconds), lines, "{seconds}");
        }
    }

    #[test]
    fn one_line_for_many() {
        let names: Vec<_> = (0..100).map(|at| format!("{at:02}.raw.toml")).collect();
        let drops: Vec<_> = names.iter().map(|name| (name.as_str(), MANIFEST)).collect();
        let mut time = Timeline::of(&drops);
        assert_eq!(time.lines_after(0), [""; 0]);
        let lines = time.lines_after(11 * MINUTE);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with(
            "100 drops waiting for more than 10 minutes: `00.raw.toml` (its data file"
        ));
        assert!(lines[0].ends_with(", …"), "{lines:?}");
        assert_eq!(time.lines_after(30 * MINUTE), [""; 0]);
    }

    #[test]
    fn what_lies_beside_a_description_without_data() {
        let mut time = Timeline::of(&[("scan.raw.toml", MANIFEST), ("other.raw", b"")]);
        time.write("scan2.dat", b"");
        time.write("SCAN3.RAW", b"");
        assert_eq!(time.lines_after(0), [""; 0]);
        let lines = time.lines_after(11 * MINUTE);
        assert!(lines[0].contains("; beside it lie `SCAN3.RAW`, `scan2.dat`)"), "{lines:?}");
    }

    /// A drop that its producer extends is not stuck. Once nothing more comes, it is.
    #[test]
    fn a_drop_that_grows() {
        let mut time = Timeline::of(&[("a.raw", &[1; 24]), ("a.raw.toml", MANIFEST)]);
        assert_eq!(time.lines_after(0), [""; 0]);
        for bytes in 1..9 {
            time.write("a.raw", &vec![1; 24 * bytes]);
            assert_eq!(time.lines_after(9 * MINUTE * bytes as u64), [""; 0]);
        }
        assert_eq!(time.lines_after(72 * MINUTE + 9 * MINUTE), [""; 0]);
        assert_eq!(time.lines_after(72 * MINUTE + 11 * MINUTE).len(), 1);
    }

    /// How many bytes there are is no other reason.
    #[test]
    fn growth_is_reported_once() {
        let mut time = Timeline::of(&[("a.raw", &[1; 24]), ("a.raw.toml", MANIFEST)]);
        let mut reports = Vec::new();
        for minute in 1..9 {
            time.write("a.raw", &vec![1; 24 * minute]);
            time.scan_after(MINUTE * minute as u64);
            let events = time.events();
            reports.push(events.iter().filter(|it| matches!(it, Event::LongWait { .. })).count());
        }
        assert_eq!(reports.iter().sum::<usize>(), 1, "{reports:?}");

        // The description is another one, and so is the number of missing bytes.
        time.write("a.raw.toml", b"dtype = '<f8'\nshape = [2, 30]\n");
        time.scan_after(10 * MINUTE);
        let events = time.events();
        assert!(events.iter().any(|it| matches!(it, Event::LongWait { .. })), "{events:?}");
    }
}
