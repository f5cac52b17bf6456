//! Parts of the texts of reasons.

use std::path::Path;
use std::time::Duration;

use crate::decide::description_remark::DescriptionRemark;
use crate::decide::name_list::NameList;
use crate::decide::reason::Reason;
use crate::describe::SizeFit;
use crate::describe::manifest::DATA_SUFFIXES;
use crate::model::FileName;

/// Returns how the size of data does not fit their sidecar; `last` is the last of the remedies.
/// `part` is the data file, if it is one of several.
pub(crate) fn misfit_of_sidecar(
    (fit, part): (SizeFit, Option<&FileName>),
    (sidecar, keys): (&FileName, &str),
    last: &str,
) -> String {
    let it = part.map_or_else(|| "it".to_owned(), |part| format!("its data file `{part}`"));
    let remedy = format!("correct those, put a manifest beside it, or {last}");
    match fit {
        SizeFit::TooShort { size, of, .. } => format!(
            "{it} has {size} of the {of} bytes that `{sidecar}` declares ({keys}); if it is complete, \
             {remedy}"
        ),
        SizeFit::PartialRecord { bytes, of, .. } => format!(
            "its last record is incomplete: it has {bytes} of the {of} bytes that `{sidecar}` \
             declares ({keys}); if it is complete, {remedy}"
        ),
        SizeFit::TooLong { size, of } => {
            format!("{it} has {size} bytes, but `{sidecar}` declares {of} ({keys}): {remedy}")
        }
        fit => fit.to_string(),
    }
}

/// Returns that a series has more data than declared. `beyond` are the files behind the declared
/// data. `allow_trailing` is no remedy: it is about bytes behind the data, not about whole files.
pub(crate) fn excess_of_series(data: u64, of: u64, beyond: Option<&NameList>) -> String {
    let remedy = match beyond {
        Some(files) => format!("the shape, or leave out of `data` what is behind it: {files}"),
        None => "dtype, shape, offset or trailing".to_owned(),
    };
    format!("its data files have {data} bytes, not the declared {of}: correct {remedy}")
}

/// Returns how a size does not fit, to follow another statement.
pub(crate) fn misfit(fit: Option<SizeFit>) -> String {
    fit.map_or_else(String::new, |fit| format!(": {fit}"))
}

/// Returns a remark, to follow another statement.
pub(crate) fn after_semicolon(remark: Option<&DescriptionRemark>) -> String {
    remark.map_or_else(String::new, |remark| format!("; {remark}"))
}

/// Returns what to do about an abandoned file.
pub(crate) fn salvage(keeps: Option<&str>) -> String {
    keeps.map_or_else(String::new, |keeps| {
        format!(
            ": `npyd take`, or for all such files salvage = \"whole-records\" in the configuration, keeps \
             {keeps}; or let the producer finish it"
        )
    })
}

/// Describes an array that was not made of this drop, by the name of its source.
pub(crate) fn array_of(source: Option<&Path>) -> String {
    match source {
        Some(name) => format!("the array of another source, `{}`", name.display()),
        None => "an array that may be of another source".to_owned(),
    }
}

/// What to do if names differ in letter case alone.
pub(crate) const RENAME: &str = "correct the name in its description, or rename the file";

/// Returns that none of the files exists that a manifest may describe.
pub(crate) fn named_data(name: &Path) -> String {
    let suffixes = DATA_SUFFIXES[1..].join(", ");
    format!(
        "its data file is not there yet: `{}`, that name followed by {suffixes}, or the file that the key `data` names",
        name.display()
    )
}

/// Returns what became of an earlier data file, and how to correct its array.
pub(crate) fn became(array: &Path, sidecar: Option<&String>) -> String {
    let described_by = sidecar.map_or_else(String::new, |name| format!(", described by `{name}`"));
    let name = array.file_name().unwrap_or_default().display();
    format!(
        "one of that name became `{}`{described_by}; `npyd redo {name}` with --dtype or --shape \
         corrects that array",
        array.display()
    )
}

/// Returns how much of a file is written. The size of a preallocated or mapped file says nothing.
pub(crate) fn bytes_written(allocated: u64, size: u64) -> String {
    if allocated < size {
        format!("{allocated} of {size} bytes are allocated")
    } else {
        format!("{size} bytes so far")
    }
}

/// Returns when npyd tries again, to follow another statement.
pub(crate) fn trying_again(retry_in: Option<Duration>) -> String {
    // A scan may try earlier.
    let within = |time| format!("; trying again within {}", humantime::format_duration(time));
    retry_in.map_or_else(String::new, within)
}

impl Reason {
    /// Returns what to do if a waiting drop gets no more data, where `npyd take` makes an array of
    /// what is there. Some texts of reasons say so themselves.
    #[must_use]
    pub fn if_abandoned(&self) -> Option<&'static str> {
        let has_rows = match self {
            Reason::Size(fit) | Reason::SizeOfComplete(fit) | Reason::SizeByHeader(fit) => {
                match fit {
                    SizeFit::TooShort { data, record, .. }
                    | SizeFit::PartialRecord { data, of: record, .. } => {
                        *record > 0 && data >= record
                    }
                    _ => false,
                }
            }
            Reason::Unfinished(_) | Reason::NotReady { .. } | Reason::NoMarker => true,
            _ => false,
        };
        has_rows.then_some("if nothing more comes, `npyd take` makes an array of what is there")
    }
}
