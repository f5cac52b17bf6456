//! Entries: the rows of the ledger's receipts.

use std::path::PathBuf;
use std::time::SystemTime;

use crate::decide::reason_kind::ReasonKind;
use crate::events::parts::Parts;
use crate::events::source_fate::SourceFate;
use crate::ledger::row::{Row, time_text};
use crate::ledger::row_kind::RowKind;
use crate::ledger::stored_receipt::{event_of, full_receipt};

/// What a receipt with data files of its own contains.
pub(crate) const PARTS: &str = "\"parts\":{";

/// The field of a stored receipt that notes that npyd is about to remove or archive the source. It
/// is no part of the receipt itself.
pub(crate) const DISPOSING: &str = "disposing";

/// A receipt as stored in the ledger.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its row id in the ledger.
    pub id: i64,
    /// When it was written: RFC 3339, UTC.
    pub at: String,
    /// What it stores.
    pub kind: RowKind,
    /// The drop directory.
    pub drop_dir: PathBuf,
    /// The data file.
    pub source: PathBuf,
    /// The `.npy` file.
    pub output: Option<PathBuf>,
    /// The receipt as JSON, without what the other fields say.
    pub(crate) receipt: String,
    /// The source's [`Fingerprint`](crate::decide::fingerprint::Fingerprint) at that time.
    pub fingerprint: String,
}

impl Entry {
    /// Returns when it was written, rounded down to a millisecond.
    #[must_use]
    pub fn time(&self) -> Option<SystemTime> {
        humantime::parse_rfc3339(&self.at).ok()
    }

    /// Returns whether an unchanged source needs no further work.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.kind.is_settled()
    }

    /// Returns whether the drop was rejected, finally or not.
    #[must_use]
    pub fn is_rejected(&self) -> bool {
        self.kind.is_rejected()
    }

    /// Returns whether the array was made, but the source stays because npyd can't prove that it
    /// has no writer.
    #[must_use]
    pub fn is_unproven(&self) -> bool {
        self.kind == RowKind::Unproven
    }

    /// Returns whether it stores that a request was accepted; its reason are the options.
    #[must_use]
    pub fn is_request(&self) -> bool {
        matches!(self.kind, RowKind::Request(_))
    }

    /// Returns the receipt's event.
    #[must_use]
    pub fn receipt_event(&self) -> String {
        match event_of(self.kind) {
            Some(event) => event.to_owned(),
            None => self.receipt_value()["event"].as_str().unwrap_or_default().to_owned(),
        }
    }

    /// Returns the kind of the receipt's reason, if it has one that this version knows.
    #[must_use]
    pub fn reason_kind(&self) -> Option<ReasonKind> {
        self.receipt_value()["reason_kind"].as_str().and_then(ReasonKind::from_name)
    }

    /// Returns whether the drop was rejected finally, because its data may be lost.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.kind == RowKind::Lost
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

    /// Returns whether npyd was about to remove or archive the source, which stayed at first.
    #[must_use]
    pub fn is_disposing(&self) -> bool {
        self.receipt_value()[DISPOSING].as_bool() == Some(true)
    }

    /// Returns the directory that the source was archived in, if the receipt has it. A path that is
    /// not UTF-8 does not lead there: receipts are JSON.
    #[must_use]
    pub fn archive(&self) -> Option<PathBuf> {
        self.receipt_value()["archive"].as_str().map(PathBuf::from)
    }

    /// Returns the data files, if the drop has several.
    #[must_use]
    pub fn parts(&self) -> Option<Parts> {
        // Most receipts have none, and are not parsed.
        let parts = self.receipt.contains(PARTS).then(|| self.receipt_value()["parts"].take());
        parts.and_then(|parts| serde_json::from_value(parts).ok())
    }

    pub(crate) fn receipt_value(&self) -> serde_json::Value {
        serde_json::from_str(&self.receipt).unwrap_or_default()
    }

    pub(crate) fn from_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        let id = row.get(0)?;
        let row = Row::read(row)?;
        Ok(Entry {
            id,
            at: time_text(row.at),
            kind: RowKind::from_name(&row.event),
            drop_dir: row.drop_dir,
            source: row.source,
            output: row.output,
            receipt: row.receipt,
            fingerprint: row.fingerprint,
        })
    }

    /// Returns the whole receipt, or `None` if it is not JSON.
    #[must_use]
    pub fn full_receipt(&self) -> Option<serde_json::Map<String, serde_json::Value>> {
        full_receipt(self)
    }

    /// Returns the receipt as one line of JSON, with its time.
    #[must_use]
    pub fn to_json(&self) -> String {
        match self.full_receipt() {
            Some(mut receipt) => {
                receipt.insert("at".into(), self.at.clone().into());
                serde_json::Value::Object(receipt).to_string()
            }
            None => self.receipt.clone(),
        }
    }
}
