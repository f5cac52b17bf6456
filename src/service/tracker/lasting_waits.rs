//! Lasting waits: reports a drop again after it has waited for ten minutes, an hour and a day. One
//! log line for all drops that reach such an age at about one time.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::decide::completeness::Wait;
use crate::events::event::{Event, Report};
use crate::service::tracker::Tracker;
use crate::service::tracker::report_timer::ReportTimer;
use crate::service::tracker::tally::Tally;

/// The ages at which a wait is reported again.
const AGES: [(Duration, &str); 3] = [
    (Duration::from_mins(10), "10 minutes"),
    (Duration::from_hours(1), "1 hour"),
    (Duration::from_hours(24), "1 day"),
];

/// How long a report waits for further drops. A waiting drop is probed more often than that.
const GATHER: Duration = Duration::from_secs(6);

/// Minimum time between two reports about one drop directory.
const INTERVAL: Duration = Duration::from_mins(10);

/// Maximum number of drops of a report for which npyd looks for similar files.
const HINTS_MAX: u32 = 3;

/// What names the process that has a file open or locked.
const HOLDER_HINT: &str =
    "`npyd explain` on it, as root or as the producer's user, names the process";

/// Returns how many of the ages a wait has reached.
fn ages_reached(lasted: Duration) -> usize {
    AGES.iter().filter(|(age, _)| lasted >= *age).count()
}

/// The drops whose waits are to be reported, by age.
#[derive(Debug)]
pub(crate) struct LastingWaits {
    drops: [Tally; AGES.len()],
    timer: ReportTimer,
}

impl Default for LastingWaits {
    fn default() -> Self {
        LastingWaits { drops: Default::default(), timer: ReportTimer::new(GATHER, INTERVAL) }
    }
}

impl LastingWaits {
    /// Adds a drop whose wait has reached this number of ages.
    fn add(&mut self, ages: usize, drop: String, now: Instant) {
        if let Some(drops) = ages.checked_sub(1).and_then(|age| self.drops.get_mut(age)) {
            drops.add(drop);
            self.timer.start(now);
        }
    }

    /// Returns the reports that are due.
    fn take_due(&mut self, dir: &Path, now: Instant) -> Vec<Report> {
        if !self.timer.take_due(now) {
            return Vec::new();
        }
        let drops = std::mem::take(&mut self.drops);
        let reached = drops.iter().zip(AGES).filter(|(drops, _)| drops.count() > 0);
        let report = |(drops, (_, age)): (&Tally, (Duration, &str))| Report {
            drop_dir: dir.to_path_buf(),
            kind: "lasting-wait",
            count: drops.count(),
            text: format!(
                "`{}` has {} waiting for more than {age}: {drops}",
                dir.display(),
                drops.counted("drop")
            ),
            is_warning: true,
        };
        reached.map(report).collect()
    }
}

impl Tracker {
    /// Notes that a drop waits, if its wait has reached the next age.
    pub(crate) fn note_wait(&mut self, rel: &Path, wait: &Wait, now: Instant) {
        let Some(entry) = self.entries.get_mut(rel) else { return };
        let waited = now.saturating_duration_since(entry.since);
        if wait.ready_in.is_some() || waited < self.drop_dir.quiet {
            return;
        }
        let unchanged = entry.quiescence.as_ref().map(|it| it.unchanged(now));
        let lasted = match unchanged {
            // It waited all that time, also before npyd was started.
            Some(unchanged) if wait.why.lasts_while_unchanged() => unchanged,
            Some(unchanged) => unchanged.min(waited),
            None => waited,
        };
        let age = ages_reached(lasted);
        let is_news = age > entry.reported_age;
        entry.reported_age = age;
        if is_news {
            entry.last_logged = Some(now);
            let hint = wait.why.if_complete().or_else(|| self.hint_at_data(rel, wait, age));
            let hint = hint.or_else(|| {
                let is_held = ["writing", "locked"].contains(&wait.why.kind());
                is_held.then(|| HOLDER_HINT.to_owned())
            });
            let hint = hint.map_or_else(String::new, |hint| format!("; {hint}"));
            self.lasting_waits.add(age, format!("`{}` ({}{hint})", rel.display(), wait.why), now);
        }
    }

    /// Returns a remark about files that may be the missing data. It costs a listing, so only the
    /// first drops of a report get one.
    fn hint_at_data(&self, rel: &Path, wait: &Wait, age: usize) -> Option<String> {
        let is_among_first = self.lasting_waits.drops.get(age - 1)?.count() < HINTS_MAX;
        if !is_among_first || wait.why.kind() != "no-data" {
            return None;
        }
        self.similar_files(rel).ok().flatten()
    }

    /// Reports the waits that have reached an age.
    pub(crate) fn report_waits(&mut self, now: Instant) {
        for report in self.lasting_waits.take_due(&self.drop_dir.path, now) {
            self.context.publish(Event::Report(Box::new(report)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::tracker::timeline::Timeline;

    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;

    #[test]
    fn ages() {
        for (seconds, reached) in [
            (0, 0),
            (10 * MINUTE - 1, 0),
            (10 * MINUTE, 1),
            (HOUR - 1, 1),
            (HOUR, 2),
            (24 * HOUR - 1, 2),
            (24 * HOUR, 3),
            (1000 * HOUR, 3),
        ] {
            assert_eq!(ages_reached(Duration::from_secs(seconds)), reached, "{seconds}");
        }
    }

    impl Timeline {
        /// Scans and probes after so many seconds. Returns the lines that are due a little later.
        fn lines_after(&mut self, seconds: u64) -> Vec<String> {
            self.scan_after(seconds);
            let (path, now) = (self.path(), self.start + Duration::from_secs(seconds));
            let reports = self.tracker.lasting_waits.take_due(&path, now + GATHER);
            let here = format!("`{}` has ", path.display());
            reports.into_iter().map(|report| report.text.replace(&here, "")).collect()
        }
    }

    const MANIFEST: &[u8] = b"dtype = '<f4'\nshape = [2, 30]\n";

    #[test]
    fn a_wait_is_reported_at_each_age() {
        let mut time = Timeline::of(&[("a.raw", &[1; 144]), ("a.raw.toml", MANIFEST)]);
        let expect = |age| {
            vec![format!(
                "1 drop waiting for more than {age}: `a.raw` (it has 144 of 240 bytes; if it is \
                 complete, dtype, shape or offset is wrong: 144 bytes are 1.2 records, not 2)"
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
}
