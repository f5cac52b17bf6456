//! What people see of long work: a bar on a terminal, log lines at a sensible interval otherwise.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{BinaryBytes, HumanDuration, MultiProgress, ProgressBar, ProgressStyle};

use crate::text::sanitize::os_message;
use crate::throttle::rate::RateLimiter;

/// The time between two log lines about one file.
const INTERVAL: Duration = Duration::from_secs(5);

/// How often one looks up while one rests: is it time to stop?
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// How progress is shown.
#[derive(Clone)]
pub enum ProgressDisplay {
    /// As log lines.
    Log,
    /// As bars, on a terminal.
    Bars(MultiProgress),
}

/// The progress of one file, and the way to stop it.
pub struct Progress {
    path: PathBuf,
    total: u64,
    started: Instant,
    last_line: Instant,
    bar: Option<ProgressBar>,
    stop: Arc<AtomicBool>,
    pace: Option<Arc<RateLimiter>>,
    /// How many bytes were moved when the pace last heard of them.
    paced: u64,
}

impl ProgressDisplay {
    /// Begins to show the work on a file; the bytes to come are told by [`Progress::expect`].
    #[must_use]
    pub fn begin(
        &self,
        path: &Path,
        stop: &Arc<AtomicBool>,
        pace: Option<&Arc<RateLimiter>>,
    ) -> Progress {
        let now = Instant::now();
        let bar = match self {
            ProgressDisplay::Log => None,
            ProgressDisplay::Bars(bars) => Some(bars.add(bar_of(path))),
        };
        Progress {
            path: path.to_path_buf(),
            total: 0,
            started: now,
            last_line: now,
            bar,
            stop: Arc::clone(stop),
            pace: pace.map(Arc::clone),
            paced: 0,
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

/// Whether standard output lacks something that was printed.
static IS_CUT: AtomicBool = AtomicBool::new(false);

/// Prints a line to standard output. A reader that has gone away ends no work, and is no reason to
/// complain; a full disk is.
pub fn print(line: &str) {
    if let Err(error) = writeln!(io::stdout(), "{line}")
        && error.kind() != io::ErrorKind::BrokenPipe
        && !IS_CUT.swap(true, Ordering::Relaxed)
    {
        let words = os_message(&error);
        let _ = writeln!(io::stderr(), "npyd: failed to write standard output: {words}");
    }
}

/// Whether something could not be printed, and was missed by whoever reads it.
#[must_use]
pub fn is_cut() -> bool {
    IS_CUT.load(Ordering::Relaxed)
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

impl Progress {
    /// Tells how many bytes the next stretch of work has.
    pub fn expect(&mut self, total: u64) {
        self.total = total;
        self.paced = 0;
        self.started = Instant::now();
        self.last_line = self.started;
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(0);
        }
    }

    /// Tells that `done` bytes of it are done, and keeps to the pace; `false` means: stop here.
    #[must_use]
    pub fn advance(&mut self, done: u64) -> bool {
        self.advance_moved(done, done)
    }

    /// Like [`Progress::advance`], where only `moved` bytes of those that are done were moved: the
    /// pace counts these alone.
    #[must_use]
    pub fn advance_moved(&mut self, done: u64, moved: u64) -> bool {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        } else if self.last_line.elapsed() >= INTERVAL {
            self.last_line = Instant::now();
            self.log(done);
        }
        self.keep_pace(moved);
        !self.stopped()
    }

    fn keep_pace(&mut self, moved: u64) {
        let Some(pace) = self.pace.as_ref().map(Arc::clone) else { return };
        self.rest(pace.rest(moved.saturating_sub(self.paced), Instant::now()));
        self.paced = moved;
        while let Some(respite) = pace.respite()
            && !self.stopped()
        {
            self.rest(respite);
        }
    }

    fn rest(&self, time: Duration) {
        let until = Instant::now() + time;
        while let left = until.saturating_duration_since(Instant::now())
            && !left.is_zero()
            && !self.stopped()
        {
            thread::sleep(left.min(POLL_INTERVAL));
        }
    }

    /// Whether the work is to stop.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
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

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
