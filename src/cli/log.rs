//! The log: events of the `tracing` crate, as text, JSON, or to the journal.

use std::io::{IsTerminal, stderr};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::prelude::*;

/// How the log is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// To the journal under systemd, as text elsewhere
    #[default]
    Auto,
    /// A line for people; in color on a terminal
    Text,
    /// One JSON object a line
    Json,
    /// Into systemd's journal, with fields
    Journal,
}

/// Starts the log. `NPYD_LOG` says what is logged, such as `debug` or `npyd::watch=trace`.
pub(crate) fn start(format: Format, quiet: bool) {
    // What libraries have to say at work is for those who work on them.
    let default = if quiet { "warn" } else { "warn,npyd=info" };
    let wanted = std::env::var("NPYD_LOG").ok().filter(|wanted| !wanted.is_empty());
    let filter = wanted.as_ref().and_then(|wanted| EnvFilter::try_new(wanted).ok());
    let is_refused = wanted.is_some() && filter.is_none();
    begin(format, filter.unwrap_or_else(|| EnvFilter::new(default)));
    if is_refused {
        tracing::warn!("NPYD_LOG is not understood: write debug, or npyd::watch=trace");
    }
}

fn begin(format: Format, filter: EnvFilter) {
    let registry = tracing_subscriber::registry().with(filter);
    let to_journal = format == Format::Journal || (format == Format::Auto && is_the_journal());
    if to_journal && let Ok(journal) = tracing_journald::layer() {
        registry.with(journal).init();
        return;
    }
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr).with_target(false);
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|it| !it.is_empty());
    let is_in_color = stderr().is_terminal() && !no_color;
    match format {
        Format::Json => registry.with(lines.json().flatten_event(true)).init(),
        // The message says it all; the fields are for programs.
        _ => registry
            .with(lines.with_ansi(is_in_color).fmt_fields(debug_fn(|to, field, value| {
                if field.name() == "message" { write!(to, "{value:?}") } else { Ok(()) }
            })))
            .init(),
    }
}

/// Whether standard error goes to the journal: what systemd says of it is inherited by processes
/// whose own goes elsewhere.
fn is_the_journal() -> bool {
    let stream = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    rustix::fs::fstat(stderr()).is_ok_and(|it| stream == format!("{}:{}", it.st_dev, it.st_ino))
}
