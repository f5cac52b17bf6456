//! The command line: one file per command.
//!
//! Exit codes: 0 if all went well, 1 if a file was rejected, failed or would be refused, 2 if the
//! command could not run, and 78 (`EX_CONFIG`) if the configuration of `npyd run` is invalid.

mod archived;
mod check;
mod check_text;
mod dtype_arg;
mod explain;
mod finalize;
mod formats;
mod history;
mod history_csv;
mod inspect;
mod limits;
mod locate;
mod log;
mod manifest;
mod overlaps;
mod parts;
mod quarantined;
mod real_paths;
mod redo;
mod redo_name;
mod rejected_now;
mod request_check;
mod retry;
mod shape_arg;
mod since;
mod sweep;
mod take;
mod tree;
mod unit;

use std::ffi::OsString;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};

use crate::config::{self, Config, ConfigError};
use crate::facts::{self, Fact, LedgerEvent};
use crate::fs::{self, HidingSetting};
use crate::ledger::Ledger;
use crate::service::{daemon, systemd};
use crate::sinks;
use crate::sinks::stdout::{self, print};

/// Turn raw dumps into valid NumPy .npy files, safely and promptly
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Log format: text, json, journal, or auto (journal under systemd, otherwise text). Set
    /// the environment variable `NPYD_LOG=debug` to log more
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    #[arg(hide_possible_values = true)]
    log: log::LogFormat,
}

#[derive(Subcommand)]
enum Command {
    /// Run the daemon in the foreground: watch the drop directories and finalize what arrives
    Run(ConfigArgs),
    /// Process all drop directories once, then exit
    Sweep(sweep::Sweep),
    /// Finalize the given files, without a configuration
    #[command(after_help = finalize::QUIET_HELP)]
    Finalize(finalize::Finalize),
    /// Show how a file is classified, what became of it or what it is waiting for (read-only)
    Explain(explain::Explain),
    /// Show the header of .npy and pending files
    Inspect(inspect::Inspect),
    /// Convert an instrument's sidecar to a manifest
    Manifest(manifest::Manifest),
    /// List the sidecar formats that npyd reads
    Formats,
    /// Check the configuration, the permissions and the file systems
    Check(check::Check),
    /// List what was finalized, rejected or failed, and why
    History(history::History),
    /// Retry rejected drops
    Retry(retry::Retry),
    /// Make arrays again that were deleted or described wrongly
    Redo(redo::Redo),
    /// Make arrays of recordings as they are: cut off, miscounted or never closed
    Take(take::Take),
}

#[derive(Args)]
struct ConfigArgs {
    /// Configuration file
    #[arg(long, env = "NPYD_CONFIG", hide_env_values = true)]
    #[arg(default_value = config::DEFAULT_PATH, value_name = "FILE")]
    #[arg(value_parser = OsStringValueParser::new().map(config_path))]
    config: PathBuf,
}

/// Returns the path of the configuration. An empty `NPYD_CONFIG` counts as unset.
fn config_path(value: OsString) -> PathBuf {
    if value.is_empty() { config::DEFAULT_PATH.into() } else { value.into() }
}

/// Exit status of `npyd run` for an invalid configuration: `EX_CONFIG` of `sysexits.h`. The unit
/// names it in `RestartPreventExitStatus=`, because a restart does not repair a configuration.
const INVALID_CONFIG: u8 = 78;

/// The warning for a process without `/proc`.
const NO_PROC: &str = "/proc is not mounted, so npyd copies all data, and sees no I/O pressure: mount it \
                       (mount -t proc proc /proc)";

/// An error that keeps a command from running. `main` prints it to standard error.
struct FatalError {
    message: String,
    status: u8,
}

impl<E: fmt::Display> From<E> for FatalError {
    fn from(error: E) -> Self {
        FatalError { message: error.to_string(), status: 2 }
    }
}

/// The result of a command that could run: exit code 0 or 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    Success,
    Failure,
}

impl From<bool> for Exit {
    fn from(is_success: bool) -> Self {
        if is_success { Exit::Success } else { Exit::Failure }
    }
}

/// Parses the command line and runs the command.
#[must_use]
pub fn main() -> ExitCode {
    fs::prepare_process(); // before anything is written, also by the parser
    let cli = Cli::parse();
    let quiet_by_default = !matches!(cli.command, Command::Run(_));
    log::start(cli.log, quiet_by_default);
    facts::observe(|fact| sinks::log::facts::log(&fact)); // until there is a bus
    let is_work = matches!(
        cli.command,
        Command::Run(_) | Command::Sweep(_) | Command::Finalize(_) | Command::Check(_)
    );
    if is_work && !fs::has_proc() {
        tracing::warn!("{NO_PROC}");
    }
    let result = match cli.command {
        Command::Run(args) => run(&args),
        Command::Sweep(command) => command.run(),
        Command::Finalize(command) => command.run(),
        Command::Explain(command) => command.run(),
        Command::Inspect(command) => Ok(command.run()),
        Command::Manifest(command) => command.run(),
        Command::Formats => Ok(formats::run()),
        Command::Check(command) => command.run(),
        Command::History(command) => command.run(),
        Command::Retry(command) => command.run(),
        Command::Redo(command) => command.run(),
        Command::Take(command) => command.run(),
    };
    match result {
        Ok(_) if stdout::has_failed() => ExitCode::from(2),
        Ok(Exit::Success) => ExitCode::SUCCESS,
        Ok(Exit::Failure) => ExitCode::from(1),
        Err(FatalError { message, status }) => {
            log::fatal(cli.log, &message);
            ExitCode::from(status)
        }
    }
}

fn run(args: &ConfigArgs) -> Result<Exit, FatalError> {
    let reloads = daemon::catch_reloads()?;
    let config = read_config(&args.config)
        .map_err(|error| FatalError { message: error.to_string(), status: INVALID_CONFIG })?;
    facts::observe(|fact| {
        if let Fact::Ledger { event: LedgerEvent::Upgrading { done, receipts }, .. } = &fact {
            systemd::starting(&format!("upgrading the ledger: {done} of {receipts} receipts"));
        }
        sinks::log::facts::log(&fact);
    });
    let ledger = Ledger::open(&config.state_dir)?;
    let read_again =
        |path: &Path| read_config_with(path, "make it readable to npyd's user, and reload again");
    daemon::run(config, &args.config, ledger, reloads, read_again)?;
    Ok(Exit::Success)
}

impl ConfigArgs {
    fn read(&self) -> Result<Config, FatalError> {
        Ok(read_config(&self.config)?)
    }
}

/// Maximum size of a configuration file, in bytes: a thousand drop directories need a tenth of it.
const CONFIG_SIZE_MAX: u64 = 4 << 20;

/// Reads a configuration file, which may be a pipe. A device without an end must not fill memory.
fn read_limited(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(CONFIG_SIZE_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > CONFIG_SIZE_MAX {
        return Err(std::io::Error::other("it is longer than 4 MiB"));
    }
    Ok(text)
}

/// Reads and validates a configuration file. Relative paths in it start at its own directory.
fn read_config(path: &Path) -> Result<Config, ConfigError> {
    read_config_with(path, "give another file with --config FILE")
}

/// Reads it, with the remedy for a file that can't be read.
fn read_config_with(path: &Path, remedy: &'static str) -> Result<Config, ConfigError> {
    let unreadable = |source| {
        let remedy = fs::hidden_by(path).map_or(remedy, HidingSetting::remedy);
        ConfigError::Unreadable { path: path.to_path_buf(), source, remedy }
    };
    let text = read_limited(path).map_err(unreadable)?;
    let whole = std::fs::canonicalize(path).map_err(unreadable)?;
    let base = whole.parent().unwrap_or(Path::new("/"));
    let mut config = Config::parse(&text, path, base)?;
    real_paths::resolve(&mut config, path)?;
    Ok(config)
}
