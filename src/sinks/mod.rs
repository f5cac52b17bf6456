//! Sinks: where people and programs see what happens. Each sink is a file, or a folder, and one
//! line in the list in [`start`].

pub mod bars;
pub mod log;
pub mod stdout;

use std::io::{self, IsTerminal, stderr};

use indicatif::MultiProgress;

use crate::events::bus::Bus;
use crate::events::sink::Sink;

use bars::BarSink;
use log::LogSink;
use stdout::{ReceiptFormat, StdoutSink};

/// The process that the sinks run in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// `npyd run`.
    Daemon,
    /// `npyd sweep` or `npyd finalize`, which print receipts to standard output.
    Command(ReceiptFormat),
}

/// Starts the sinks of a process. A sink that a user configures is in each process: it gets the
/// configuration later, by [`Sink::configure`]. `npyd finalize` has none.
///
/// # Errors
///
/// Returns an error if a thread can't be started.
pub fn start(host: Host) -> io::Result<Bus> {
    let (format, bars) = match host {
        Host::Daemon => (None, None),
        // Progress is shown as bars if standard error is a terminal, as log lines otherwise.
        Host::Command(format) => (Some(format), stderr().is_terminal().then(MultiProgress::new)),
    };
    let log = match host {
        Host::Daemon => LogSink::of_daemon(),
        Host::Command(_) => LogSink::of_command(bars.is_none()),
    };
    let sinks = [
        format.map(|format| boxed(StdoutSink::new(format, bars.clone()))),
        Some(boxed(log)),
        bars.map(|bars| boxed(BarSink::new(bars))),
    ];
    Bus::new(sinks.into_iter().flatten().collect())
}

fn boxed(sink: impl Sink + 'static) -> Box<dyn Sink> {
    Box::new(sink)
}
