//! What the ledger says of a drop that is looked at.

use std::path::Path;

use crate::config::Disposition;
use crate::decide::identity::{FileSnapshot, LedgerKey};
use crate::ledger::Entry;
use crate::probe::candidate::Candidate;
use crate::service::tracker::Tracker;

/// The last word on a source that needed no further work.
pub(crate) struct LastSettled {
    fingerprint: LedgerKey,
    is_rejected: bool,
    /// Whether the source was to go, and stays for want of a proof.
    is_unproven: bool,
}

impl Tracker {
    pub(crate) fn latest(&self, rel: &Path) -> Option<Entry> {
        self.context.ledger.latest(&self.drop_dir.path.join(rel)).unwrap_or_else(|error| {
            tracing::warn!("{error}");
            None
        })
    }

    /// Reads what the ledger says of a data file that it knows as settled.
    pub(crate) fn last_settled(&self, rel: &Path) -> Option<LastSettled> {
        let entry = self.latest(rel).filter(Entry::is_settled)?;
        let fingerprint = LedgerKey::parse(&entry.fingerprint)?;
        let (is_rejected, is_unproven) = (entry.is_rejected(), entry.is_unproven());
        Some(LastSettled { fingerprint, is_rejected, is_unproven })
    }

    /// Whether exactly this was dealt with already. A source that was to go and stays for want of a
    /// proof is dealt with once there is one.
    pub(crate) fn is_as_known(
        &self,
        known: &LastSettled,
        snapshot: &FileSnapshot,
        candidate: &Candidate,
    ) -> bool {
        if known.is_unproven && self.may_go(candidate) {
            return false;
        }
        // New settings give a rejected drop another chance; a finished one needs none.
        known.fingerprint.identity == snapshot.identity()
            && (!known.is_rejected || known.fingerprint.settings == self.settings)
    }

    /// Whether a finished source may be removed or archived now.
    fn may_go(&self, candidate: &Candidate) -> bool {
        self.drop_dir.source != Disposition::Keep
            && (self.drop_dir.remove_unproven || matches!(candidate.leases(), Ok(Ok(_))))
    }

    /// Puts the description by which a drop was settled into the index. A scan does not read it
    /// again, so another one that came later would be taken for the only one. Returns whether the
    /// drop is to be looked at again for that.
    pub(crate) fn recall_description(
        &mut self,
        known: &LastSettled,
        candidate: &Candidate,
    ) -> bool {
        let Candidate { rel, sidecar, conflicting_inodes, .. } = candidate;
        let Some((name, _)) = &known.fingerprint.identity.sidecar else { return false };
        let is_found = sidecar.as_ref().is_some_and(|sidecar| sidecar.name.as_str() == name);
        if is_found || !conflicting_inodes.is_empty() {
            return false;
        }
        // The ledger knows the name alone: it lies beside the data, or above them.
        let mut dirs = rel.ancestors().skip(1).map(|dir| dir.join(name));
        dirs.any(|description| self.index.add(rel, &description))
    }

    /// What is to be said of a data file that is waited for, where one of its name became an array.
    pub(crate) fn earlier_array(&self, data: &Path) -> String {
        let Some(entry) = self.latest(data).filter(|it| it.is_settled() && !it.is_rejected())
        else {
            return String::new();
        };
        let described = LedgerKey::parse(&entry.fingerprint).and_then(|it| it.identity.sidecar);
        let described = described.map(|(name, _)| format!(", described by `{name}`"));
        match entry.output {
            Some(output) => format!(
                "; one of that name became `{}`{}",
                output.display(),
                described.unwrap_or_default()
            ),
            None => String::new(),
        }
    }
}
