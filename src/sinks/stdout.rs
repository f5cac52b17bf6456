//! Standard output: receipts as lines for people or as JSON.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::MultiProgress;

use crate::events::event::Event;
use crate::events::sink::{Filter, Sink, WhenFull};
use crate::text::os_message::os_message;

/// Set when a write to standard output failed, unless the reader had closed it.
static HAS_FAILED: AtomicBool = AtomicBool::new(false);

/// Prints a line. A reader that closed its end (EPIPE) is no error: the work goes on without it.
/// Any other failure is reported once on standard error.
pub fn print(line: &str) {
    if let Err(error) = writeln!(io::stdout(), "{line}")
        && error.kind() != io::ErrorKind::BrokenPipe
        && !HAS_FAILED.swap(true, Ordering::Relaxed)
    {
        let words = os_message(&error);
        let _ = writeln!(io::stderr(), "npyd: failed to write standard output: {words}");
    }
}

/// Returns whether something could not be printed.
#[must_use]
pub fn has_failed() -> bool {
    HAS_FAILED.load(Ordering::Relaxed)
}

/// How receipts are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptFormat {
    /// As lines for people.
    Lines,
    /// As one JSON object a line.
    Json,
}

impl ReceiptFormat {
    /// Returns the format of a command with an option `--json`.
    #[must_use]
    pub fn new(is_json: bool) -> Self {
        if is_json { ReceiptFormat::Json } else { ReceiptFormat::Lines }
    }
}

/// Prints receipts.
pub struct StdoutSink {
    format: ReceiptFormat,
    /// The bars that a line must not be printed across.
    bars: Option<MultiProgress>,
}

impl StdoutSink {
    /// Creates the sink.
    #[must_use]
    pub fn new(format: ReceiptFormat, bars: Option<MultiProgress>) -> Self {
        StdoutSink { format, bars }
    }
}

impl Sink for StdoutSink {
    fn filter(&self) -> Filter {
        Box::new(|event| matches!(event, Event::Receipt { .. }))
    }

    fn when_full(&self) -> WhenFull {
        WhenFull::Wait
    }

    fn accept(&mut self, event: &Event) {
        let Event::Receipt { receipt, stored } = event else { return };
        let line = match self.format {
            ReceiptFormat::Lines => format!("{receipt}{}", stored.remark()),
            ReceiptFormat::Json => receipt.to_json_with(*stored),
        };
        match &self.bars {
            Some(bars) => bars.suspend(|| print(&line)),
            None => print(&line),
        }
    }
}
