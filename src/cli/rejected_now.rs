//! The drops that are rejected now: those of the ledger that have not changed since.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::cli::history::is_missing;
use crate::config::Config;
use crate::finalize::{RejectedDrop, rejected_paths};
use crate::ledger::{Entry, Ledger};
use crate::probe::{ListedDescriptions, ProbeResult, probe_standalone};

/// Counts the drops that are rejected now, by drop directory.
pub(crate) fn count_rejected(config: &Config) -> HashMap<PathBuf, usize> {
    let (mut counts, mut listed) = (HashMap::new(), HashMap::new());
    let ledger = Ledger::open_to_read(&config.state_dir).ok().flatten();
    for entry in ledger.and_then(|ledger| ledger.rejected().ok()).unwrap_or_default() {
        if is_rejected_now(&entry, config, &mut listed) {
            *counts.entry(entry.drop_dir).or_default() += 1;
        }
    }
    counts
}

/// Returns whether a rejected drop is still there as it was rejected: unchanged in its place, or in
/// `rejects`. `listed` are the descriptions in each drop directory.
pub(crate) fn is_rejected_now(
    entry: &Entry,
    config: &Config,
    listed: &mut HashMap<PathBuf, ListedDescriptions>,
) -> bool {
    let drop_dir = config.drop_dir(&entry.drop_dir);
    if !is_missing(&entry.source) {
        let rel = entry.source.strip_prefix(&entry.drop_dir).ok();
        let listed = listed.entry(entry.drop_dir.clone()).or_default();
        let probed = drop_dir.zip(rel).map(|(dir, rel)| probe_standalone(dir, rel, listed));
        return match probed {
            Some(Ok(ProbeResult::Candidate(it))) => {
                entry.identity().is_none_or(|rejected| rejected == it.snapshot().identity())
            }
            Some(Ok(ProbeResult::AwaitingData { .. })) => false,
            // What this user may not read may be unchanged.
            _ => true,
        };
    }
    let rejected = rejected_drop(entry);
    // What this user may not see may be there.
    drop_dir
        .is_some_and(|it| !matches!(rejected_paths(it, &rejected), Ok(paths) if paths.is_empty()))
}

/// Returns the rejected drop of an entry.
pub(crate) fn rejected_drop(entry: &Entry) -> RejectedDrop {
    RejectedDrop { source: entry.source.clone(), identity: entry.identity(), parts: entry.parts() }
}
