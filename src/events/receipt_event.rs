//! What a receipt is about.

use serde::Serialize;

/// The kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReceiptEvent {
    /// The array was made, complete and durable.
    Finalized,
    /// The drop changed, and its array was made again, complete and durable.
    Remade,
    /// An array made of this source already existed.
    Found,
    /// The existing array was made of this drop before it changed, and stays.
    #[serde(rename = "found")]
    Stale,
    /// The drop cannot become an array as it is. npyd does not try again until it changes.
    Rejected,
    /// The disk may have lost data of the drop, so that npyd never tries again.
    #[serde(rename = "rejected")]
    Lost,
    /// A failure that may be temporary; npyd tries again.
    Failed,
    /// The drop is not complete yet.
    Waiting,
}

impl ReceiptEvent {
    /// Returns the event of this name in receipts: of two with one name, the one that is no
    /// exception.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMED.into_iter().find(|event| event.as_str() == name)
    }

    /// The events, one for each name.
    const NAMED: [ReceiptEvent; 6] = [
        ReceiptEvent::Finalized,
        ReceiptEvent::Remade,
        ReceiptEvent::Found,
        ReceiptEvent::Rejected,
        ReceiptEvent::Failed,
        ReceiptEvent::Waiting,
    ];

    /// Returns the name in receipts.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ReceiptEvent::Finalized => "finalized",
            ReceiptEvent::Remade => "remade",
            ReceiptEvent::Found | ReceiptEvent::Stale => "found",
            ReceiptEvent::Rejected | ReceiptEvent::Lost => "rejected",
            ReceiptEvent::Failed => "failed",
            ReceiptEvent::Waiting => "waiting",
        }
    }
}
