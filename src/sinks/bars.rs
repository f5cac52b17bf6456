//! Progress bars on a terminal: one for each piece of long work.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::events::event::Event;
use crate::events::progress::WorkProgress;
use crate::events::sink::{Filter, Sink, WhenFull};

/// Shows progress as bars, each of which disappears when its work ends.
pub struct BarSink {
    all: MultiProgress,
    bars: HashMap<PathBuf, ProgressBar>,
}

impl BarSink {
    /// Creates the sink, which adds its bars to `all`.
    #[must_use]
    pub fn new(all: MultiProgress) -> Self {
        BarSink { all, bars: HashMap::new() }
    }
}

impl Sink for BarSink {
    fn filter(&self) -> Filter {
        Box::new(|event| matches!(event, Event::Progress(_)))
    }

    fn when_full(&self) -> WhenFull {
        WhenFull::DropAfter(Duration::ZERO)
    }

    fn accept(&mut self, event: &Event) {
        let Event::Progress(WorkProgress { file, phase, done, total, .. }) = event else { return };
        let Some(done) = done else {
            if let Some(bar) = self.bars.remove(file) {
                bar.finish_and_clear();
            }
            return;
        };
        let new = || self.all.add(bar_of(file));
        let bar = self.bars.entry(file.clone()).or_insert_with(new);
        bar.set_prefix(phase.to_string());
        bar.set_length(*total);
        bar.set_position(*done);
    }
}

fn bar_of(path: &Path) -> ProgressBar {
    let name = path.file_name().unwrap_or(path.as_os_str());
    let style = ProgressStyle::with_template(
        "{prefix:20!} {msg:30!} {bar:30} {percent:>3} % {binary_bytes_per_sec:>14} {eta:>5} left",
    );
    ProgressBar::no_length()
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(OsStr::to_string_lossy(name).into_owned())
}
