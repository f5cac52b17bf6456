//! Log lines about facts: what no receipt tells.

use crate::facts::{Fact, LedgerEvent};
use crate::text::count::counted;
use crate::text::one_line::shown;

/// Logs a fact at a level that fits it.
pub fn log(fact: &Fact) {
    match fact {
        Fact::Paused { percent, limit } => tracing::info!(
            "pausing: other processes wait for the disk {percent:.0} % of the time, \
             and max_pressure is {limit} %"
        ),
        Fact::Unpaused => {
            tracing::info!("continuing: other processes wait less for the disk again");
        }
        Fact::NewDir(path) => {
            tracing::info!("`{}` is a new directory, and is used from now on", shown(path));
        }
        Fact::AttributesLost { file, lost } => tracing::info!(
            "`{}`: its copy on another file system could not keep its {}",
            shown(file),
            lost.join(", ")
        ),
        Fact::InsertUndone { file, drop_dir } => {
            tracing::info!("restored `{file}` in `{}`", shown(drop_dir));
        }
        Fact::IntentStays { error } => tracing::debug!("{error}"),
        Fact::Renamed { path, now } => tracing::warn!(
            "`{}` was replaced while npyd worked on it; the original is now `{}`",
            shown(path),
            shown(now)
        ),
        Fact::Ledger { path, event } => log_ledger(&shown(path), event),
        Fact::LedgerUnchecked { error } => {
            tracing::warn!("the ledger is not checked while npyd runs: {error}");
        }
        Fact::ServiceManagerUnreached { error } => {
            tracing::debug!("failed to notify the service manager: {error}");
        }
        Fact::SweepWaits { path, others } => {
            let others = match others {
                0 => String::new(),
                others => format!(" and {others} more"),
            };
            let path = shown(path);
            tracing::warn!("`{path}`{others} must be unchanged for the time `quiet` first");
        }
    }
}

fn log_ledger(path: &str, event: &LedgerEvent) {
    match event {
        LedgerEvent::Emptied { error, aside } => tracing::warn!(
            "the ledger `{path}` can't be read ({error}); it was renamed to `{}` and replaced by an empty one",
            shown(aside)
        ),
        LedgerEvent::Salvaged { aside, receipts } => tracing::warn!(
            "the ledger `{path}` can't be read; it was renamed to `{}`, and a new one has the \
             {receipts} receipts that could be read",
            shown(aside)
        ),
        LedgerEvent::Upgrading { done, receipts } => tracing::info!(
            "upgrading the ledger `{path}` of an earlier npyd: {done} of {receipts} receipts; if \
             npyd ends before the last one, the ledger stays as it was"
        ),
        LedgerEvent::LogRewritten => {
            tracing::warn!("the log of the ledger `{path}` was removed; npyd wrote it again");
        }
        LedgerEvent::Rewritten { receipts } => tracing::warn!(
            "the ledger `{path}` was removed; npyd wrote it again, with {receipts} receipts"
        ),
        LedgerEvent::Replaced => {
            tracing::warn!("the ledger `{path}` was replaced; npyd uses the new one");
        }
        LedgerEvent::Failed { error } => tracing::warn!("{error}"),
        LedgerEvent::Usable => tracing::info!("the ledger `{path}` can be used again"),
        LedgerEvent::NotStored { receipts, losses, error } => {
            let losses = match losses {
                0 => String::new(),
                losses => format!(" and {}", counted(*losses, "failed sync")),
            };
            let receipts = counted(*receipts, "receipt");
            tracing::error!("npyd ends without storing {receipts}{losses} in the ledger: {error}");
        }
    }
}
