//! Log output: writes `tracing` events as text, as JSON, or to the systemd journal.

use std::io::{IsTerminal, Write, stderr};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::prelude::*;

/// The log format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// The journal under systemd, text elsewhere
    #[default]
    Auto,
    /// One line of text per event; in color on a terminal
    Text,
    /// One JSON object per line
    Json,
    /// The systemd journal, with fields
    Journal,
}

/// Installs the log subscriber. `NPYD_LOG` is its filter: `debug` or `npyd::service=trace`, for
/// example.
pub(crate) fn start(format: LogFormat, quiet: bool) {
    // Below `warn`, the messages of libraries do not help a user.
    let default = if quiet { "warn" } else { "warn,npyd=info" };
    let wanted = std::env::var("NPYD_LOG").ok().filter(|wanted| !wanted.is_empty());
    let filter = wanted.as_ref().and_then(|wanted| EnvFilter::try_new(wanted).ok());
    let is_refused = wanted.is_some() && filter.is_none();
    begin(format, filter.unwrap_or_else(|| EnvFilter::new(default)));
    if is_refused {
        tracing::warn!(
            "NPYD_LOG is not a valid filter and is ignored; use for example debug or npyd::service=trace"
        );
    }
}

fn begin(format: LogFormat, filter: EnvFilter) {
    let registry = tracing_subscriber::registry().with(filter);
    let to_journal =
        format == LogFormat::Journal || (format == LogFormat::Auto && is_the_journal());
    if to_journal && let Ok(journal) = tracing_journald::layer() {
        registry.with(journal).init();
        return;
    }
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr).with_target(false);
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|it| !it.is_empty());
    let is_in_color = stderr().is_terminal() && !no_color;
    match format {
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).init(),
        // Print the message alone: it is complete, and the fields are for programs.
        _ => registry
            .with(lines.with_ansi(is_in_color).fmt_fields(debug_fn(|to, field, value| {
                if field.name() == "message" { write!(to, "{value:?}") } else { Ok(()) }
            })))
            .init(),
    }
}

/// Reports why a command could not run: in the log if its format was chosen for programs, otherwise
/// as text on standard error.
pub(crate) fn fatal(format: LogFormat, message: &str) {
    if matches!(format, LogFormat::Json | LogFormat::Journal) {
        tracing::error!("{message}");
    }
    let is_logged = match format {
        LogFormat::Json => true,
        LogFormat::Journal => is_the_journal(),
        LogFormat::Auto | LogFormat::Text => false,
    };
    if !is_logged {
        let _ = write!(stderr(), "{}", fatal_text(message));
    }
}

/// Formats the message of a command that could not run. In the journal each of its lines gets the
/// priority `err`, so that `journalctl -p err` finds it (see `sd-daemon(3)`).
fn fatal_text(message: &str) -> String {
    let priority = if is_the_journal() { "<3>" } else { "" };
    format!("{priority}npyd: {}\n", message.replace('\n', &format!("\n{priority}")))
}

/// Returns whether standard error is connected to the journal. Compares device and inode, because
/// child processes inherit `JOURNAL_STREAM` even when their standard error goes elsewhere.
fn is_the_journal() -> bool {
    let stream = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    rustix::fs::fstat(stderr()).is_ok_and(|it| stream == format!("{}:{}", it.st_dev, it.st_ino))
}
