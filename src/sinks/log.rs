//! The log: one line for each receipt, with its fields.

use crate::events::receipt::{EventKind, Receipt, SourceFate};

/// Logs a receipt at a level that fits its event.
pub(crate) fn log(receipt: &Receipt) {
    let output = receipt.output.as_ref().map(|path| path.display());
    macro_rules! at {
        ($level:ident) => {
            tracing::$level!(
                event = receipt.event.as_str(),
                drop = %receipt.drop.display(),
                source = %receipt.source.display(),
                output = output.map(tracing::field::display),
                route = receipt.route.map(tracing::field::display),
                bytes = receipt.bytes,
                seconds = receipt.seconds.as_secs_f64(),
                evidence = receipt.evidence.map(tracing::field::display),
                reason = receipt.reason,
                "{receipt}"
            )
        };
    }
    match receipt.event {
        EventKind::Rejected | EventKind::Lost | EventKind::Failed | EventKind::Stale => at!(warn),
        EventKind::Found if receipt.source_fate == Some(SourceFate::Kept) => at!(debug),
        EventKind::Waiting => at!(debug),
        EventKind::Finalized | EventKind::Remade | EventKind::Found => at!(info),
    }
}
