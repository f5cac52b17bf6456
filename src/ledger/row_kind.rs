//! The kinds of rows in the ledger. They are finer than the events of receipts: the ledger must
//! find some rows without reading their JSON.

use std::fmt;

use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlResult, ToSqlOutput, ValueRef};

use crate::decide::request_kind::RequestKind;
use crate::events::receipt::Receipt;
use crate::events::receipt_event::ReceiptEvent;
use crate::events::source_fate::SourceFate;

/// What a row of the ledger stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    /// The receipt of this event.
    Event(ReceiptEvent),
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

impl RowKind {
    /// Returns the kind under which a receipt is stored.
    pub(crate) fn of(receipt: &Receipt) -> Self {
        match (receipt.event, receipt.source_fate) {
            (ReceiptEvent::Lost, _) => RowKind::Lost,
            (_, Some(SourceFate::Unproven)) => RowKind::Unproven,
            (ReceiptEvent::Stale, _) => RowKind::Event(ReceiptEvent::Found),
            (event, _) => RowKind::Event(event),
        }
    }

    /// Returns the name in the ledger.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RowKind::Event(event) => event.as_str(),
            RowKind::Lost => "lost",
            RowKind::Unproven => "unproven",
            RowKind::Retried => "retried",
            RowKind::Request(request) => request.as_str(),
            RowKind::Refused => "refused",
            RowKind::Unknown => "",
        }
    }

    pub(crate) fn from_name(name: &str) -> Self {
        if let Some(event) = ReceiptEvent::from_name(name) {
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
            RowKind::Event(event) => match event {
                ReceiptEvent::Finalized
                | ReceiptEvent::Remade
                | ReceiptEvent::Found
                | ReceiptEvent::Stale
                | ReceiptEvent::Rejected
                | ReceiptEvent::Lost => true,
                ReceiptEvent::Failed | ReceiptEvent::Waiting => false,
            },
            RowKind::Lost | RowKind::Unproven => true,
            RowKind::Retried | RowKind::Request(_) | RowKind::Refused | RowKind::Unknown => false,
        }
    }

    /// Returns whether the drop was rejected, finally or not.
    pub(crate) fn is_rejected(self) -> bool {
        matches!(self, RowKind::Lost | RowKind::Event(ReceiptEvent::Rejected | ReceiptEvent::Lost))
    }
}

/// For the text of queries.
pub(crate) const REFUSED: RowKind = RowKind::Refused;
pub(crate) const UNPROVEN: RowKind = RowKind::Unproven;
pub(crate) const LOST: RowKind = RowKind::Lost;

/// As in the ledger, for queries.
impl fmt::Display for RowKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl ToSql for RowKind {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

impl FromSql for RowKind {
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
            let kind = RowKind::from_name(name);
            assert_eq!(kind.as_str(), name);
            assert_eq!(
                (kind.is_settled(), kind.is_rejected()),
                (is_settled, is_rejected),
                "{name}"
            );
        }
        assert_eq!(RowKind::from_name("of a later version"), RowKind::Unknown);
    }
}
