//! Sinks: where people and programs see what happens. One file a sink; a new one is a file and a
//! line in the list of those who should have it, here.

pub mod bars;
mod causes;
pub mod facts;
mod finished;
mod left_alone;
pub mod log;
mod problems;
mod repeats;
pub mod stdout;
pub(crate) mod waits;

use std::io::{self, IsTerminal, stderr};

use indicatif::MultiProgress;

use crate::config::Config;
use crate::events::bus::{Bus, Sink};

use bars::BarSink;
use log::LogSink;
use stdout::{Format, StdoutSink};

/// Starts the sinks of the daemon that the configuration asks for: so far the log, in any case.
///
/// # Errors
///
/// Returns an error if a thread can't be started.
pub fn of_daemon(_config: &Config) -> io::Result<Bus> {
    Bus::new(vec![Box::new(LogSink::of_daemon())])
}

/// Starts the sinks of a command that prints receipts to standard output.
///
/// # Errors
///
/// Returns an error if a thread can't be started.
pub fn of_command(format: Format) -> io::Result<Bus> {
    // Progress is shown as bars if standard error is a terminal, as log lines otherwise.
    let bars = stderr().is_terminal().then(MultiProgress::new);
    let mut sinks: Vec<Box<dyn Sink>> = vec![
        Box::new(StdoutSink::new(format, bars.clone())),
        Box::new(LogSink::of_command(bars.is_none())),
    ];
    if let Some(bars) = bars {
        sinks.push(Box::new(BarSink::new(bars)));
    }
    Bus::new(sinks)
}
