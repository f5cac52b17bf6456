//! Progress of long work: a bar on a terminal, log lines at an interval otherwise.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{BinaryBytes, HumanDuration, MultiProgress, ProgressBar, ProgressStyle};

use crate::sinks::stdout::print;
use crate::throttle::meter::Gauge;

/// The time between two log lines about one file.
const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// How progress is displayed.
#[derive(Clone)]
pub enum ProgressDisplay {
    /// As log lines.
    Log,
    /// As bars, on a terminal.
    Bars(MultiProgress),
}

impl ProgressDisplay {
    /// Returns a gauge for the work on a file.
    #[must_use]
    pub fn gauge(&self, path: &Path) -> Box<dyn Gauge> {
        match self {
            ProgressDisplay::Log => Box::new(LogLines::new(path)),
            ProgressDisplay::Bars(bars) => Box::new(Bar(bars.add(bar_of(path)))),
        }
    }

    /// Prints a line to standard output, above the bars.
    pub fn print(&self, line: &str) {
        match self {
            ProgressDisplay::Log => print(line),
            ProgressDisplay::Bars(bars) => bars.suspend(|| print(line)),
        }
    }
}

/// A bar, which disappears when the work ends.
struct Bar(ProgressBar);

impl Gauge for Bar {
    fn start_phase(&mut self, total: u64) {
        self.0.set_length(total);
        self.0.set_position(0);
    }

    fn set_done(&mut self, done: u64) {
        self.0.set_position(done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn bar_of(path: &Path) -> ProgressBar {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let style = ProgressStyle::with_template(
        "{msg:30!} {bar:30} {percent:>3} % {binary_bytes_per_sec:>14} {eta:>5} left",
    );
    ProgressBar::no_length()
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(name)
}

/// Log lines about the work on one file.
struct LogLines {
    path: PathBuf,
    total: u64,
    started: Instant,
    last_line: Instant,
}

impl LogLines {
    fn new(path: &Path) -> Self {
        let now = Instant::now();
        LogLines { path: path.to_path_buf(), total: 0, started: now, last_line: now }
    }

    fn log(&self, done: u64) {
        let elapsed = self.started.elapsed();
        let per_second = u64::try_from(u128::from(done) * 1000 / elapsed.as_millis().max(1));
        let rate = per_second.unwrap_or(u64::MAX).max(1);
        let left = Duration::from_secs(self.total.saturating_sub(done) / rate);
        tracing::info!(
            file = %self.path.display(),
            percent = done / (self.total / 100).max(1),
            bytes_per_second = rate,
            seconds_left = left.as_secs(),
            "{}: {} of {} at {}/s, {} left",
            self.path.display(),
            BinaryBytes(done),
            BinaryBytes(self.total),
            BinaryBytes(rate),
            HumanDuration(left)
        );
    }
}

impl Gauge for LogLines {
    fn start_phase(&mut self, total: u64) {
        self.total = total;
        self.started = Instant::now();
        self.last_line = self.started;
    }

    fn set_done(&mut self, done: u64) {
        if self.last_line.elapsed() >= LOG_INTERVAL {
            self.last_line = Instant::now();
            self.log(done);
        }
    }
}
