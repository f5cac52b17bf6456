//! `npyd retry`: retries rejected drops.

use std::collections::HashMap;
use std::error::Error;
use std::path::PathBuf;

use clap::Args;

use crate::cli::history::{is_missing, is_named};
use crate::cli::quarantined::rejected_with_file;
use crate::cli::rejected_now::{is_rejected_now, rejected_drop};
use crate::cli::{ConfigArgs, Exit, FatalError, print};
use crate::config::Config;
use crate::decide::request_problem::RequestProblem;
use crate::finalize::{Restored, restore_rejected};
use crate::fs::FsError;
use crate::ledger::{Entry, Ledger, other_owner, own_name};

#[derive(Args)]
#[command(override_usage = "npyd retry [OPTIONS] <NAME>...\n       npyd retry [OPTIONS] --all")]
pub(crate) struct Retry {
    #[command(flatten)]
    config: ConfigArgs,
    /// Names or paths of rejected data files
    #[arg(required_unless_present = "all", value_name = "NAME")]
    names: Vec<PathBuf>,
    /// Retry every rejected drop
    #[arg(long, conflicts_with = "names")]
    all: bool,
}

impl Retry {
    pub(crate) fn run(&self) -> Result<Exit, FatalError> {
        let config = self.config.read()?;
        let ledger = Ledger::open_without_creating(&config.state_dir)?;
        let rejected = ledger.rejected()?;
        let mut exit = Exit::Success;
        let mut chosen: Vec<&Entry> = Vec::new();
        if self.all {
            let mut listed = HashMap::new();
            chosen.extend(rejected.iter().filter(|entry| {
                // A retry that was interrupted has left files in both places.
                config.drop_dir(&entry.drop_dir).is_some_and(|it| it.rejects.is_some())
                    || is_rejected_now(entry, &config, &mut listed)
            }));
        }
        for name in &self.names {
            let found: Vec<_> = match rejected_with_file(name, &rejected, &config) {
                Some(Ok(entry)) => vec![entry],
                Some(Err(why)) => {
                    exit = Exit::Failure;
                    print(&format!("{}: not retried: {why}", name.display()));
                    continue;
                }
                None => rejected.iter().filter(|entry| is_named(entry, name, &config)).collect(),
            };
            if found.is_empty() {
                exit = Exit::Failure;
                print(&format!(
                    "{}: no rejected drop has this name; see `npyd history`",
                    name.display()
                ));
            }
            chosen.extend(found);
        }
        let mut is_silent = self.all;
        for entry in chosen {
            if entry.is_lost() {
                // A drop with data loss can't be retried. With --all that is not an error.
                exit = if self.all { exit } else { Exit::Failure };
                print(&format!("{}: not retried: {}", entry.source.display(), entry.reason()));
                is_silent = false;
                continue;
            }
            match retry(entry, &config, &ledger) {
                Ok(true) => print(&format!("{}: will be retried", entry.source.display())),
                Ok(false) if self.all => continue, // somebody has deleted it
                Ok(false) => {
                    exit = Exit::Failure;
                    let drop_dir = config.drop_dir(&entry.drop_dir);
                    let rejects = drop_dir.and_then(|it| it.rejects.clone());
                    let why = RequestProblem::NotInQuarantine { rejects };
                    print(&format!("{}: not retried: {why}", entry.source.display()));
                }
                // For example a directory that is gone. The other drops are still retried.
                Err(error) => {
                    exit = Exit::Failure;
                    print(&format!("{}: not retried: {error}", entry.source.display()));
                }
            }
            is_silent = false;
        }
        if is_silent {
            print("no drop is rejected");
        }
        Ok(exit)
    }
}

/// Moves the files of a rejected drop back and removes its rejection from the ledger, so that the
/// next scan processes it. Returns `false` if its files are gone.
fn retry(entry: &Entry, config: &Config, ledger: &Ledger) -> Result<bool, Box<dyn Error>> {
    if let Some(drop_dir) = config.drop_dir(&entry.drop_dir) {
        let restored = restore_rejected(drop_dir, &rejected_drop(entry))
            .map_err(|error| name_user(error, config))?;
        match restored.refusal(drop_dir) {
            Some(_) if restored == Restored::Nothing && is_missing(&entry.source) => {
                return Ok(false);
            }
            Some(why) if restored != Restored::Nothing => return Err(Box::new(why)),
            _ => {}
        }
    }
    ledger.retry(entry)?;
    Ok(true)
}

/// Adds to an error which user may move a file back, if this user may not.
fn name_user(error: FsError, config: &Config) -> Box<dyn Error> {
    match other_owner(&config.state_dir) {
        Some(owner) if error.is_denied() => format!(
            "user `{}` may not move it back; run `npyd retry` as user `{owner}`, to whom the \
             ledger belongs",
            own_name()
        )
        .into(),
        _ => error.into(),
    }
}
