//! The command line: one file a command.
//!
//! Exit codes: 0 all well, 1 something was rejected, failed or would be refused, 2 could not run.

mod check;
mod explain;
mod finalize;
mod formats;
mod history;
mod inspect;
mod log;
mod manifest;
mod redo;
mod sweep;

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{self, Config};
use crate::fs;
use crate::ledger::Ledger;
use crate::service::daemon;
use crate::sinks::stdout::{self, print};
use crate::text::sanitize::os_message;

/// Turns raw dumps into valid NumPy .npy files, safely and at once
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// How the log is written: text, json, journal, or auto, which is journal under systemd. It
    /// says more with `NPYD_LOG=debug` in the environment
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    #[arg(hide_possible_values = true)]
    log: log::Format,
}

#[derive(Subcommand)]
enum Command {
    /// Watch the drop directories, in the foreground
    Run(ConfigArgs),
    /// Make one pass over all drop directories, then exit
    Sweep(sweep::Sweep),
    /// Finalize files without a configuration
    Finalize(finalize::Finalize),
    /// Tell what a file is taken for and what it waits for; changes nothing
    Explain(explain::Explain),
    /// Tell what the header of a .npy or pending file says
    Inspect(inspect::Inspect),
    /// Write npyd's own manifest from an instrument's sidecar
    Manifest(manifest::Manifest),
    /// List the instruments' sidecars that are understood
    Formats,
    /// Check the configuration and the machine
    Check(ConfigArgs),
    /// Print the ledger
    History(history::History),
    /// Take rejected drops up once more
    Retry(history::Retry),
    /// Make arrays again, whatever the ledger says: deleted ones, or those described wrongly
    Redo(redo::Redo),
}

#[derive(Args)]
struct ConfigArgs {
    /// The configuration
    #[arg(long, env = "NPYD_CONFIG", hide_env_values = true)]
    #[arg(default_value = config::DEFAULT_PATH, value_name = "FILE")]
    config: PathBuf,
}

/// Why a command could not run: told on standard error, exit code 2.
struct FatalError(String);

impl<E: fmt::Display> From<E> for FatalError {
    fn from(error: E) -> Self {
        FatalError(error.to_string())
    }
}

/// How a command that ran has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    Success,
    Failure,
}

impl From<bool> for Exit {
    fn from(well: bool) -> Self {
        if well { Exit::Success } else { Exit::Failure }
    }
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    fs::prepare_process();
    let quiet_by_default = !matches!(cli.command, Command::Run(_));
    log::start(cli.log, quiet_by_default);
    let ended = match cli.command {
        Command::Run(args) => run(&args),
        Command::Sweep(command) => command.run(),
        Command::Finalize(command) => command.run(),
        Command::Explain(command) => command.run(),
        Command::Inspect(command) => Ok(command.run()),
        Command::Manifest(command) => command.run(),
        Command::Formats => Ok(formats::run()),
        Command::Check(args) => check::run(&args),
        Command::History(command) => command.run(),
        Command::Retry(command) => command.run(),
        Command::Redo(command) => command.run(),
    };
    match ended {
        Ok(_) if stdout::has_failed() => ExitCode::from(2),
        Ok(Exit::Success) => ExitCode::SUCCESS,
        Ok(Exit::Failure) => ExitCode::from(1),
        Err(FatalError(error)) => {
            let _ = writeln!(std::io::stderr(), "npyd: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &ConfigArgs) -> Result<Exit, FatalError> {
    let config = args.read()?;
    let ledger = Ledger::open(&config.state_dir)?;
    daemon::run(config, &args.config, ledger, read_config)?;
    Ok(Exit::Success)
}

impl ConfigArgs {
    fn read(&self) -> Result<Config, FatalError> {
        read_config(&self.config).map_err(FatalError)
    }
}

/// Reads and checks a configuration; relative paths in it are taken from its own directory.
fn read_config(path: &Path) -> Result<Config, String> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        format!(
            "failed to read the configuration `{}`: {}; name another with --config FILE",
            path.display(),
            os_message(&error)
        )
    })?;
    let whole = std::fs::canonicalize(path).map_err(|error| error.to_string())?;
    let base = whole.parent().unwrap_or(Path::new("/"));
    Config::parse(&text, path, base).map_err(|error| error.to_string())
}
