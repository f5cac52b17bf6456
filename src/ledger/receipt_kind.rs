//! The kinds of rows in the ledger. They are finer than the events of receipts: the ledger must
//! find some rows without reading their JSON.

use std::fmt;

use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlResult, ToSqlOutput, ValueRef};

use crate::decide::request_kind::RequestKind;
use crate::events::receipt::{EventKind, Receipt, SourceFate};

/// What a row of the ledger stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptKind {
    /// The receipt of this event.
    Event(EventKind),
    /// A data loss; the receipt itself says `rejected`.
    Lost,
    /// An array whose source stays without a proof that it has no writer; the receipt itself says
    /// `finalized` or `found`. Each scan tries to remove such a source again.
    Unproven,
    /// A rejected drop is tried again.
    Retried,
    /// A request was accepted.
    Request(RequestKind),
    /// A request was refused; the receipt itself says `failed`. It says nothing about the state of
    /// the source.
    Refused,
    /// A row of another version of npyd.
    Unknown,
}

impl ReceiptKind {
    /// Returns the kind under which a receipt is stored.
    pub(crate) fn of(receipt: &Receipt) -> Self {
        match (receipt.event, receipt.source_fate) {
            (EventKind::Lost, _) => ReceiptKind::Lost,
            (_, Some(SourceFate::Unproven)) => ReceiptKind::Unproven,
            (EventKind::Stale, _) => ReceiptKind::Event(EventKind::Found),
            (event, _) => ReceiptKind::Event(event),
        }
    }

    /// Returns the name in the ledger.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ReceiptKind::Event(event) => event.as_str(),
            ReceiptKind::Lost => "lost",
            ReceiptKind::Unproven => "unproven",
            ReceiptKind::Retried => "retried",
            ReceiptKind::Request(request) => request.as_str(),
            ReceiptKind::Refused => "refused",
            ReceiptKind::Unknown => "",
        }
    }

    fn from_name(name: &str) -> Self {
        if let Some(event) = EventKind::from_name(name) {
            return Self::Event(event);
        }
        let others = [Self::Lost, Self::Unproven, Self::Retried, Self::Refused];
        let requests = [RequestKind::Redo, RequestKind::Take].map(Self::Request);
        let mut all = others.into_iter().chain(requests);
        all.find(|kind| kind.as_str() == name).unwrap_or(Self::Unknown)
    }

    /// Returns whether an unchanged source needs no further work.
    pub(crate) fn is_settled(self) -> bool {
        match self {
            ReceiptKind::Event(event) => match event {
                EventKind::Finalized
                | EventKind::Remade
                | EventKind::Found
                | EventKind::Stale
                | EventKind::Rejected
                | EventKind::Lost => true,
                EventKind::Failed | EventKind::Waiting => false,
            },
            ReceiptKind::Lost | ReceiptKind::Unproven => true,
            ReceiptKind::Retried
            | ReceiptKind::Request(_)
            | ReceiptKind::Refused
            | ReceiptKind::Unknown => false,
        }
    }

    /// Returns whether the drop was rejected, finally or not.
    pub(crate) fn is_rejected(self) -> bool {
        matches!(
            self,
            ReceiptKind::Lost | ReceiptKind::Event(EventKind::Rejected | EventKind::Lost)
        )
    }
}

/// For the text of queries.
pub(crate) const REFUSED: ReceiptKind = ReceiptKind::Refused;
pub(crate) const UNPROVEN: ReceiptKind = ReceiptKind::Unproven;
pub(crate) const LOST: ReceiptKind = ReceiptKind::Lost;

/// As in the ledger, for queries.
impl fmt::Display for ReceiptKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl ToSql for ReceiptKind {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

impl FromSql for ReceiptKind {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str().map(Self::from_name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_read_again() {
        for (name, is_settled, is_rejected) in [
            ("finalized", true, false),
            ("remade", true, false),
            ("found", true, false),
            ("unproven", true, false),
            ("rejected", true, true),
            ("lost", true, true),
            ("failed", false, false),
            ("waiting", false, false),
            ("retried", false, false),
            ("refused", false, false),
            ("redo", false, false),
            ("take", false, false),
        ] {
            let kind = ReceiptKind::from_name(name);
            assert_eq!(kind.as_str(), name);
            assert_eq!(
                (kind.is_settled(), kind.is_rejected()),
                (is_settled, is_rejected),
                "{name}"
            );
        }
        assert_eq!(ReceiptKind::from_name("of a later version"), ReceiptKind::Unknown);
    }
}
