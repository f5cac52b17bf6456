//! `npyd history` and `npyd retry`: the ledger, and rejected drops once more.

use std::error::Error;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::{ConfigArgs, Exit, FatalError, print};
use crate::config::{Config, DropDir};
use crate::decide::identity::LedgerKey;
use crate::finalize::restore_rejected;
use crate::ledger::{Entry, Ledger};

#[derive(Args)]
pub(crate) struct History {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print receipts as JSON, one object a line
    #[arg(long)]
    json: bool,
}

impl History {
    pub(crate) fn run(&self) -> Result<Exit, FatalError> {
        let config = self.config.read()?;
        if let Some(ledger) = Ledger::open_to_read(&config.state_dir)? {
            ledger
                .for_each(|entry| print(&if self.json { entry.to_json() } else { line(&entry) }))?;
        }
        Ok(Exit::Success)
    }
}

fn line(entry: &Entry) -> String {
    let output = entry.output.as_ref().map(|output| format!(" → {}", output.display()));
    let reason = Some(entry.reason()).filter(|it| !it.is_empty()).map(|it| format!(": {it}"));
    format!(
        "{}  {:<9}  {}{}{}",
        entry.at,
        entry.receipt_event(),
        entry.source.display(),
        output.unwrap_or_default(),
        reason.unwrap_or_default()
    )
}

#[derive(Args)]
pub(crate) struct Retry {
    #[command(flatten)]
    config: ConfigArgs,
    /// Names or paths of rejected data files
    #[arg(required_unless_present = "all", value_name = "NAME")]
    names: Vec<PathBuf>,
    /// All that are rejected
    #[arg(long, conflicts_with = "names")]
    all: bool,
}

impl Retry {
    pub(crate) fn run(&self) -> Result<Exit, FatalError> {
        let config = self.config.read()?;
        let ledger = Ledger::open(&config.state_dir)?;
        let rejected = ledger.rejected()?;
        let mut end = Exit::Success;
        let mut chosen: Vec<&Entry> = Vec::new();
        if self.all {
            chosen.extend(&rejected);
        }
        for name in &self.names {
            let found: Vec<_> =
                rejected.iter().filter(|entry| is_named(entry, name, &config)).collect();
            if found.is_empty() {
                end = Exit::Failure;
                print(&format!(
                    "{}: no such drop was rejected; see `npyd history`",
                    name.display()
                ));
            }
            chosen.extend(found);
        }
        for entry in chosen {
            if entry.is_lost() {
                // Of all that were rejected, the others are tried; a name asks for this one.
                end = if self.all { end } else { Exit::Failure };
                print(&format!("{}: not tried again: {}", entry.source.display(), entry.reason()));
                continue;
            }
            match again(entry, &config.drop_dirs, &ledger) {
                Ok(()) => print(&format!("{}: will be tried once more", entry.source.display())),
                // One whose directory is gone, say, is no reason to keep the others from it.
                Err(error) => {
                    end = Exit::Failure;
                    print(&format!("{}: not tried again: {error}", entry.source.display()));
                }
            }
        }
        Ok(end)
    }
}

/// Has a rejected drop tried once more, from where it was set aside.
fn again(entry: &Entry, drop_dirs: &[DropDir], ledger: &Ledger) -> Result<(), Box<dyn Error>> {
    if let Some(drop_dir) = drop_dirs.iter().find(|drop_dir| drop_dir.path == entry.drop_dir) {
        let sidecar = LedgerKey::parse(&entry.fingerprint)
            .and_then(|known| known.identity.sidecar)
            .map(|(name, _)| name);
        restore_rejected(drop_dir, &entry.source, sidecar.as_deref())?;
    }
    Ok(ledger.retry(entry)?)
}

/// Whether a person means that drop: by its name, its path, or the path it was set aside to.
pub(crate) fn is_named(entry: &Entry, name: &Path, config: &Config) -> bool {
    let path = std::path::absolute(name).unwrap_or_default();
    let rel = entry.source.strip_prefix(&entry.drop_dir).unwrap_or(&entry.source);
    let drop_dir = config.drop_dirs.iter().find(|drop_dir| drop_dir.path == entry.drop_dir);
    let rejects = drop_dir.and_then(|drop_dir| drop_dir.rejects.as_ref());
    entry.source == path
        || entry.source.file_name() == Some(name.as_os_str())
        || rel == name
        || rejects.is_some_and(|rejects| rejects.join(rel) == path)
}
