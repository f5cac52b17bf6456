//! Files that got no array: the receipt, with the remedies that this command offers. The reasons
//! themselves name the keys of a configuration, which it does not have.

use std::path::Path;

use crate::decide::name_taker::NameTaker;
use crate::decide::reason::Reason;
use crate::decide::reason_text::{after_semicolon, array_of, misfit_of_sidecar};
use crate::describe::SizeFit;
use crate::events::receipt::Receipt;
use crate::events::receipt_event::ReceiptEvent;
use crate::finalize::Interruption;
use crate::fs::FsError;

/// The event and the reason of a file that got no array.
pub(super) struct Refused {
    pub(super) event: ReceiptEvent,
    pub(super) reason: Reason,
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Self {
        Refused { event: ReceiptEvent::Rejected, reason }
    }
}

impl From<FsError> for Refused {
    fn from(error: FsError) -> Self {
        Refused { event: ReceiptEvent::Failed, reason: Reason::Io(error.into()) }
    }
}

impl From<Interruption> for Refused {
    fn from(interruption: Interruption) -> Self {
        let failed = |reason| Refused { event: ReceiptEvent::Failed, reason };
        match interruption {
            Interruption::Rejected(reason) => reason.into(),
            Interruption::DataLoss(reason) => Refused { event: ReceiptEvent::Lost, reason },
            Interruption::Retry(reason @ Reason::DigestYet(_)) => Refused {
                event: ReceiptEvent::Waiting,
                reason: Reason::Incomplete(Box::new(reason)),
            },
            Interruption::Retry(reason) | Interruption::Locked(reason) => failed(reason),
            Interruption::Vanished => failed(Reason::Gone),
            Interruption::Cancelled => failed(Reason::Stopped),
            Interruption::Io(error) => error.into(),
        }
    }
}

impl Refused {
    /// Returns the receipt, whose reason names the options of this command.
    pub(super) fn to_receipt(&self, file: &Path, by_options: bool) -> Receipt {
        let Refused { event, reason } = self;
        let path = std::path::absolute(file).unwrap_or_else(|_| file.to_path_buf());
        let drop = path.parent().unwrap_or(&path).to_path_buf();
        let mut receipt = Receipt::without_output(*event, drop, path, reason);
        receipt.reason = reworded(reason, by_options).or(receipt.reason);
        receipt
    }
}

/// What to do about a file that has the output's name.
const MOVE_AWAY: &str = "move it away, or give another output (-o, --output-dir)";

/// Returns the reason with the options of this command as its remedy; `None` if its own text fits.
fn reworded(reason: &Reason, by_options: bool) -> Option<String> {
    Some(match reason {
        Reason::Taken { name, by: NameTaker::AnyFile } => format!(
            "`{name}` already exists and was not made from this drop: move it away, give another \
             output (-o, --output-dir), or --replace it, unless it is the array of another source"
        ),
        Reason::Taken { name, by: NameTaker::OwnArray { is_of_this_file } } => {
            let of = if *is_of_this_file {
                "was made of this file, by another description or with other bytes"
            } else {
                "is the array of an earlier file of this name"
            };
            format!(
                "`{name}` {of}: --replace it, move it away, or give another output (-o, \
                 --output-dir)"
            )
        }
        Reason::Taken { name, by: NameTaker::OtherArray(array) } => {
            let array = array_of(array.as_deref());
            format!("`{name}` is {array}: {MOVE_AWAY}")
        }
        Reason::Taken { name, by: NameTaker::NotRegular(what) } => {
            format!("`{name}` is {what}, and npyd replaces only regular files: {MOVE_AWAY}")
        }
        Reason::Taken { name, by: NameTaker::ForeignFile | NameTaker::OthersArray } => {
            format!("`{name}` already exists and is not yours or not an array: {MOVE_AWAY}")
        }
        Reason::OwnName(name) => format!(
            "the array would get the name of its own data, `{name}`: give another with -o, or \
             --output-dir"
        ),
        Reason::BadOutput(name) => format!(
            "`{name}` is not a valid output name: give one that ends in .npy and does not begin \
             with .npyd- by -o"
        ),
        Reason::Size(fit) | Reason::SizeOfComplete(fit) => {
            let keys = if by_options {
                "correct --dtype, --shape, --offset or --trailing"
            } else {
                "correct dtype, shape, offset or trailing in its description"
            };
            return misfit(*fit, keys);
        }
        Reason::SizeByHeader(fit) => return misfit(*fit, "correct dtype or shape in its header"),
        Reason::LongerThanHeader { size, of } => longer_than_header(*size, *of),
        Reason::SizeBySidecar { fit, sidecar, keys, part } => {
            misfit_of_sidecar((*fit, part.as_ref()), (sidecar, keys), "give --dtype and --shape")
        }
        Reason::Abandoned { found, keeps: Some(keeps) } => format!(
            "{found}: let the producer finish it; only `npyd run` and `npyd sweep` can keep \
             {keeps} (salvage = \"whole-records\")"
        ),
        Reason::Undescribed { remark } => format!(
            "it has no manifest, sidecar or pending header, and no template matches its name{}; describe it \
             with --dtype and --shape",
            after_semicolon(remark.as_ref())
        ),
        Reason::SizeByDtype { why, dtype } => {
            return reworded(why, by_options).map(|text| format!("{text}; {dtype}"));
        }
        Reason::Incomplete(of) => {
            return reworded(of, by_options).map(|text| format!("not complete: {text}"));
        }
        _ => return None,
    })
}

/// Returns the text about a size that does not fit; `None` if its own text fits. `keys` says what
/// to correct.
fn misfit(fit: SizeFit, keys: &str) -> Option<String> {
    Some(match fit {
        SizeFit::TooLong { size, of } => {
            format!("it has {size} bytes, not the declared {of}: {keys}")
        }
        SizeFit::TooShort { .. } => {
            format!("{fit}: if it is complete, {keys}; a length of -1 is computed")
        }
        SizeFit::PartialRecord { .. } => format!("{fit}: if it is complete, {keys}"),
        _ => return None,
    })
}

fn longer_than_header(size: u64, of: u64) -> String {
    format!("it has {size} bytes, but its header declares {of}: correct the header")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::reason_kind::ReasonKind;
    use crate::decide::work_error::DataLoss;

    fn receipt(of: Interruption) -> Receipt {
        Refused::from(of).to_receipt(Path::new("/in/a.raw"), true)
    }

    #[test]
    fn a_data_loss_is_no_plain_rejection() {
        let why = || Reason::DataLoss(DataLoss::Recorded("a sync failed".to_owned()));
        let lost = receipt(Interruption::DataLoss(why()));
        assert_eq!(
            (lost.event, lost.reason_kind),
            (ReceiptEvent::Lost, Some(ReasonKind::DataLoss))
        );
        let rejected = receipt(Interruption::Rejected(Reason::SeveralArrays));
        assert_eq!(rejected.event, ReceiptEvent::Rejected);
    }
}
