//! Parts of the texts of reasons.

use crate::describe::SizeFit;
use crate::model::FileName;

/// Returns how the size of data does not fit their sidecar; `last` is the last of the remedies.
pub(crate) fn misfit_of_sidecar(
    fit: SizeFit,
    sidecar: &FileName,
    keys: &str,
    last: &str,
) -> String {
    let remedy = format!("correct those, put a manifest beside it, or {last}");
    match fit {
        SizeFit::TooShort { size, of, .. } => format!(
            "it has {size} of the {of} bytes that `{sidecar}` declares ({keys}); if it is complete, \
             {remedy}"
        ),
        SizeFit::PartialRecord { bytes, of, .. } => format!(
            "its last record is incomplete: it has {bytes} of the {of} bytes that `{sidecar}` \
             declares ({keys}); if it is complete, {remedy}"
        ),
        SizeFit::TooLong { size, of } => {
            format!("it has {size} bytes, but `{sidecar}` declares {of} ({keys}): {remedy}")
        }
        fit => fit.to_string(),
    }
}

/// Returns how a size does not fit, to follow another statement.
pub(crate) fn misfit(fit: Option<SizeFit>) -> String {
    fit.map_or_else(String::new, |fit| format!(": {fit}"))
}

/// Returns a remark, to follow another statement.
pub(crate) fn after_semicolon(remark: Option<&String>) -> String {
    remark.map_or_else(String::new, |remark| format!("; {remark}"))
}

/// Returns what to do about an abandoned file.
pub(crate) fn salvage(keeps: Option<&str>) -> String {
    keeps.map_or_else(String::new, |keeps| {
        format!(": set salvage = \"whole-records\" to keep {keeps}, or let the producer finish it")
    })
}
