//! The sum at the end: how many files, what became of them, and how many bytes.

use std::collections::BTreeMap;

use indicatif::BinaryBytes;

use super::dry_run::Planned;
use crate::events::receipt::Receipt;
use crate::events::receipt_event::ReceiptEvent;

/// Counts what became of the files.
#[derive(Default)]
pub(super) struct Sum {
    by_event: BTreeMap<&'static str, u64>,
    /// Bytes of data in the arrays.
    bytes: u64,
    refused: u64,
    /// Files that nothing describes, found with `-r`.
    undescribed: u64,
}

impl Sum {
    pub(super) fn add(&mut self, receipt: &Receipt) {
        *self.by_event.entry(receipt.event.as_str()).or_default() += 1;
        self.bytes += receipt.bytes;
        let is_array = matches!(
            receipt.event,
            ReceiptEvent::Finalized | ReceiptEvent::Remade | ReceiptEvent::Found
        );
        self.refused += u64::from(!is_array);
    }

    pub(super) fn add_planned(&mut self, planned: &Planned) {
        *self.by_event.entry("planned").or_default() += 1;
        self.bytes += planned.bytes();
    }

    pub(super) fn add_undescribed(&mut self) {
        self.undescribed += 1;
    }

    /// Returns how many files got no array.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// Returns the sum as text, or `None` if one line says it all.
    pub(super) fn to_text(&self) -> Option<String> {
        let mut counts: Vec<String> =
            self.by_event.iter().map(|(event, count)| format!("{count} {event}")).collect();
        if self.undescribed > 0 {
            counts.push(format!(
                "{} that nothing describes (`npyd explain DIR` lists them)",
                self.undescribed
            ));
        }
        let files = self.by_event.values().sum::<u64>() + self.undescribed;
        match files {
            0 => Some("no files".to_owned()),
            1 => None,
            files => {
                let bytes = BinaryBytes(self.bytes);
                Some(format!("{files} files: {}; {bytes} of data", counts.join(", ")))
            }
        }
    }
}
