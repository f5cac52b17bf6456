//! Whether the ledger has a receipt that is published.

/// Whether a receipt is durable in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// The ledger has the receipt, synced, so that it survives a power cut.
    Durable,
    /// The ledger can't be written to, or can't be reached at its path. npyd keeps the receipt and
    /// stores it once that is possible; the receipt is lost if npyd is killed before. The fact
    /// [`Usable`](crate::facts::LedgerEvent::Usable) or that of a mended ledger says that all
    /// receipts are stored.
    NotYet,
    /// The ledger does not have the receipt, and npyd does not keep it.
    No,
    /// The ledger has no such receipts: the command uses no ledger, or the receipt reports a wait.
    NotMeant,
}

impl Stored {
    /// Returns the value of the field `stored` of log lines and receipts in JSON, if they have that
    /// field.
    #[must_use]
    pub fn label(self) -> Option<&'static str> {
        match self {
            Stored::NotYet => Some("not-yet"),
            Stored::No => Some("no"),
            Stored::Durable | Stored::NotMeant => None,
        }
    }

    /// Returns what the line about the receipt says at its end.
    #[must_use]
    pub fn remark(self) -> &'static str {
        match self {
            Stored::NotYet => "; not stored in the ledger yet",
            Stored::No => "; not stored in the ledger",
            Stored::Durable | Stored::NotMeant => "",
        }
    }
}
