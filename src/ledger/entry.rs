//! Entries: the rows of the ledger's receipts.

use std::path::PathBuf;

use rusqlite::Row;

use crate::events::receipt::{EventKind, Receipt, SourceFate};
use crate::ledger::requests::{REFUSED, RequestKind};
use crate::ledger::stored_path::StoredPathBuf;

/// A receipt as stored in the ledger.
#[derive(Debug, Clone)]
pub struct Entry {
    /// When it was written: RFC 3339, UTC.
    pub at: String,
    /// The stored event. It differs from the receipt's for `lost` and `unproven`.
    pub event: String,
    /// The drop directory.
    pub drop_dir: PathBuf,
    /// The data file.
    pub source: PathBuf,
    /// The `.npy` file.
    pub output: Option<PathBuf>,
    /// The receipt as JSON.
    pub receipt: String,
    /// The source's [`LedgerKey`](crate::decide::identity::LedgerKey) at that time.
    pub fingerprint: String,
}

impl Entry {
    /// Returns whether an unchanged source needs no further work.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        is_settled(&self.event)
    }

    /// Returns whether the drop was rejected, finally or not.
    #[must_use]
    pub fn is_rejected(&self) -> bool {
        is_rejected(&self.event)
    }

    /// Returns whether the array was made, but the source stays because npyd can't prove that it
    /// has no writer.
    #[must_use]
    pub fn is_unproven(&self) -> bool {
        self.event == UNPROVEN
    }

    /// Returns whether it stores that a request was accepted; its reason are the options.
    #[must_use]
    pub fn is_request(&self) -> bool {
        RequestKind::from_name(&self.event).is_some()
    }

    /// Returns the receipt's event.
    #[must_use]
    pub fn receipt_event(&self) -> String {
        match self.event.as_str() {
            LOST => EventKind::Lost.as_str().to_owned(),
            REFUSED => EventKind::Failed.as_str().to_owned(),
            UNPROVEN => self.receipt_value()["event"].as_str().unwrap_or_default().to_owned(),
            event => event.to_owned(),
        }
    }

    /// Returns whether the drop was rejected finally, because its data may be lost.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.event == LOST
    }

    /// Returns the receipt's reason, or an empty string if there is none.
    #[must_use]
    pub fn reason(&self) -> String {
        self.receipt_value()["reason"].as_str().unwrap_or_default().to_owned()
    }

    /// Returns the fate of the source, if the receipt has it.
    #[must_use]
    pub fn source_fate(&self) -> Option<SourceFate> {
        self.receipt_value()["source_fate"].as_str().and_then(SourceFate::from_name)
    }

    pub(crate) fn receipt_value(&self) -> serde_json::Value {
        serde_json::from_str(&self.receipt).unwrap_or_default()
    }

    pub(crate) fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Entry {
            at: row.get(0)?,
            event: row.get(1)?,
            drop_dir: row.get::<_, StoredPathBuf>(2)?.0,
            source: row.get::<_, StoredPathBuf>(3)?.0,
            output: row.get::<_, Option<StoredPathBuf>>(4)?.map(|path| path.0),
            receipt: row.get(5)?,
            fingerprint: row.get(6)?,
        })
    }

    /// Returns the receipt as one line of JSON, with its time.
    #[must_use]
    pub fn to_json(&self) -> String {
        match serde_json::from_str::<serde_json::Value>(&self.receipt) {
            Ok(serde_json::Value::Object(mut receipt)) => {
                receipt.insert("at".into(), self.at.clone().into());
                serde_json::Value::Object(receipt).to_string()
            }
            _ => self.receipt.clone(),
        }
    }
}

/// The event under which the ledger stores a data loss; the receipt itself says `rejected`.
pub(crate) const LOST: &str = "lost";

/// The event under which the ledger stores an array whose source stays without a proof that it has
/// no writer; the receipt itself says `finalized` or `found`. Each scan tries to remove such a
/// source again.
pub(crate) const UNPROVEN: &str = "unproven";

pub(crate) fn storage_key(receipt: &Receipt) -> &'static str {
    match (receipt.event, receipt.source_fate) {
        (EventKind::Lost, _) => LOST,
        (_, Some(SourceFate::Unproven)) => UNPROVEN,
        (event, _) => event.as_str(),
    }
}

pub(crate) fn is_settled(event: &str) -> bool {
    is_rejected(event)
        || event == UNPROVEN
        || [EventKind::Finalized, EventKind::Remade, EventKind::Found]
            .iter()
            .any(|it| it.as_str() == event)
}

pub(crate) fn is_rejected(event: &str) -> bool {
    [EventKind::Rejected.as_str(), LOST].contains(&event)
}
