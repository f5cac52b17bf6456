//! Problems of requests (`npyd redo`, `npyd take`): why npyd does not carry one out.

use std::path::PathBuf;

use thiserror::Error;

use crate::decide::archived_source::ArchivedSource;
use crate::decide::reason_kind::ReasonKind;
use crate::decide::request_kind::RequestKind;
use crate::describe::{DescribeError, SizeFit};
use crate::model::{FileName, FileNameError};
use crate::text::one_line::shown;

/// Why a request can't be carried out.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RequestProblem {
    // The file.
    /// No drop can have the path.
    #[error("it is not in the drop directory, or is ignored there")]
    NotInDropDir,
    /// The file is not there.
    #[error("the file does not exist any more")]
    FileGone,
    /// A command names a file that is not there.
    #[error("there is no such file")]
    NoSuchFile,
    /// A sidecar describes several arrays.
    #[error("it describes several arrays; name the data file of one")]
    SeveralArrays,
    /// All data of the drop are in an array.
    #[error(
        "it is finished, and all of its data are in `{}`; `npyd redo {}` makes that array again",
        array.display(), name.display()
    )]
    Finished {
        /// The path of the array.
        array: PathBuf,
        /// The name of the data file.
        name: PathBuf,
    },
    /// The ledger has no receipt of the drop.
    #[error("the ledger does not know it")]
    Unknown,

    /// Another file has the name of the file that was meant.
    #[error("`{}` is another file now than when `npyd {request}` was asked for", shown(file))]
    AnotherFile {
        /// The path of the file.
        file: PathBuf,
        /// The request.
        request: RequestKind,
    },
    /// The options replace keys of a description that is another now.
    #[error(
        "the description of `{}` changed after `npyd {request}` was asked for: ask again if its \
         options are still right",
        shown(file)
    )]
    AnotherDescription {
        /// The path of the data file.
        file: PathBuf,
        /// The request.
        request: RequestKind,
    },

    // The rejected drop that is to be taken.
    /// None of its files is in the quarantine.
    #[error("its file is not there any more{}: drop it again", nor_in(rejects.as_ref()))]
    NotInQuarantine {
        /// The quarantine, if there is one.
        rejects: Option<PathBuf>,
    },
    /// Its data file is not in the quarantine, but other files of it are.
    #[error(
        "its data file `{name}` is not in `{}` any more, nor in the drop directory: move it back \
         there first, or drop it again with what describes it",
        shown(rejects)
    )]
    DataNotInQuarantine {
        /// The quarantine.
        rejects: PathBuf,
        /// The data file.
        name: FileName,
    },
    /// Several files in the quarantine may be its data.
    #[error(
        "`{}` has several files that may be it: {}; move the right one to the drop directory, \
         with what describes it",
        shown(rejects),
        quoted(files)
    )]
    Ambiguous {
        /// The quarantine.
        rejects: PathBuf,
        /// The files.
        files: Vec<FileName>,
    },
    /// Another file has the name of its data file now.
    #[error("another file has its name in `{}`: move that away first", shown(.0))]
    Occupied(PathBuf),

    // The array that is to be made again.
    /// A new file has the name of a source that is gone.
    #[error(
        "it is a new file, of which npyd makes an array without a request; `{}` was made of an \
         earlier one",
        shown(array)
    )]
    NotMadeYet {
        /// The path of the array of the earlier file.
        array: PathBuf,
    },
    /// The array that was named is not the one that the source becomes.
    #[error(
        "`{}` is not what npyd makes of `{}` now, which {}: to correct the old array, move that \
         file away first, with what describes it",
        shown(array), shown(of), its_array(now.as_ref())
    )]
    OtherArray {
        /// The path of the array that was named.
        array: PathBuf,
        /// The path of the source.
        of: PathBuf,
        /// The path of the array that npyd makes of the source, if it is another one.
        now: Option<PathBuf>,
    },
    /// No array was made of a source that is gone.
    #[error("its source is gone, and no array was made of it")]
    NoArray,
    /// npyd can't make an array again from itself.
    #[error("`{}` {problem}{}", array.display(), problem.remedy(archived.as_deref()))]
    Array {
        /// The path of the array.
        array: PathBuf,
        /// Why.
        #[source]
        problem: ArrayProblem,
        /// Its source, if npyd archived that.
        archived: Option<Box<ArchivedSource>>,
    },
    /// npyd can't overwrite the header of the array.
    #[error("{0}: leave out --in-place to have a new file made")]
    InPlace(#[source] InPlaceProblem),
    /// The source is there, so npyd does not overwrite the header of the array.
    #[error("--in-place is for an array whose source is gone: leave it out")]
    InPlaceWithSource,

    // The keys.
    /// Nothing describes the data any more.
    #[error(
        "nothing describes it any more, and its array does not tell its layout: give --dtype and \
         --shape, or write its manifest again"
    )]
    Undescribed,
    /// Nothing describes the data any more, and the array has only some of them.
    #[error(
        "nothing describes it any more, and its array has {len} of its {size} bytes: give --offset, \
         the number of bytes before the data"
    )]
    UnknownOffset {
        /// The length of the array's data in bytes.
        len: u64,
        /// The size of the file in bytes.
        size: u64,
    },
    /// The manifest of a series is gone.
    #[error("its manifest `{}` is gone: write it again, then its array can be made again", shown(.0))]
    ManifestGone(PathBuf),
    /// The description is gone from the drop directory, and a finished one is beside the array.
    #[error(
        "its source is gone; its description is `{}` now: give the keys of that file with --dtype, \
         --shape, --order, --offset or --trailing",
        shown(.0)
    )]
    DescriptionDone(PathBuf),
    /// Without the source, the request must say what to change.
    #[error(
        "{}; its array is there: correct it with --dtype, --shape, --order, --offset or --trailing",
        gone_source(archived.as_deref())
    )]
    NoKeys {
        /// The source, if npyd archived it.
        archived: Option<Box<ArchivedSource>>,
    },
    /// The keys contradict each other, or no array fits them.
    #[error(transparent)]
    Keys(#[from] DescribeError),
    /// The array's data do not fit the keys.
    #[error("the array's data do not fit: {}", array_misfit(*fit, open_shape.as_deref()))]
    ArrayMisfit {
        /// How they fit.
        fit: SizeFit,
        /// The shape with which they would fit, one length of it open.
        open_shape: Option<Vec<i64>>,
    },
    /// The data are longer than declared.
    #[error(
        "it has {size} bytes, not the declared {of}: correct the keys; `--trailing {trailing}` \
         leaves out the bytes at its end"
    )]
    TooLong {
        /// The size of the file in bytes.
        size: u64,
        /// The declared size.
        of: u64,
        /// The number of bytes at the end with which the data would fit.
        trailing: u64,
    },
    /// The data are shorter than declared.
    #[error("{fit}: {}", if *has_keys { "correct the keys" } else { "`npyd take` takes the rows that are there" })]
    TooShort {
        /// How they fit.
        fit: SizeFit,
        /// Whether the request has keys.
        has_keys: bool,
    },

    // The rows.
    /// npyd can't take rows of the files of a manifest.
    #[error("a series can't be taken: {}", series_remedy(incomplete.as_ref()))]
    CombinedFiles {
        /// The first file that is not complete by itself.
        incomplete: Option<FileName>,
    },
    /// The kernel can't tell whether a process writes to a file that would become the array.
    #[error(
        "npyd can't tell whether a process writes to it, and it would become the array itself: \
         give npyd CAP_LEASE, or copy the file"
    )]
    UnprovenPendingFile,
}

/// Returns that the source of an array is gone, and where it is if npyd archived it.
fn gone_source(archived: Option<&ArchivedSource>) -> String {
    let archived = archived.map(|it| format!(": npyd archived it{}", it.place()));
    format!("its source is gone{}", archived.unwrap_or_default())
}

fn array_misfit(fit: SizeFit, open_shape: Option<&[i64]>) -> String {
    match fit {
        SizeFit::TooLong { size, of } | SizeFit::TooShort { size, of, .. }
            if let Some(shape) = open_shape =>
        {
            let shape: Vec<_> = shape.iter().map(ToString::to_string).collect();
            let shape = shape.join(",");
            format!(
                "they have {size} bytes, but dtype and shape make {of}: `--shape={shape}` has the \
                 open length computed"
            )
        }
        SizeFit::TooLong { size, of } | SizeFit::TooShort { size, of, .. } => format!(
            "they have {size} bytes, but dtype and shape make {of}: give --dtype and --shape that fit; \
             one length may be -1"
        ),
        fit => fit.to_string(),
    }
}

fn series_remedy(incomplete: Option<&FileName>) -> String {
    incomplete.map_or_else(
        || {
            "each of its files is whole, so correct `shape`, or write -1 for its slowest axis"
                .into()
        },
        |name| format!("complete `{name}`, move it away, or leave it out of `data`"),
    )
}

/// Why npyd can't make an array again whose source is gone.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ArrayProblem {
    /// It is elsewhere.
    #[error("is not in the output directory of this drop directory")]
    Elsewhere,
    /// npyd does not take files of its name.
    #[error("can't be made again: {0}")]
    BadName(#[source] FileNameError),
    /// It is not there.
    #[error("is gone, like its source")]
    Gone,
    /// A link, a pipe or a directory has its name.
    #[error("is not a regular file, and npyd follows no link: put the file itself there")]
    NotRegular,
    /// It was made of another source, as its mark says.
    #[error("was not made from this drop: its mark names {}", maker(of.as_ref()))]
    OfAnotherSource {
        /// The name of that source, if the mark has it.
        of: Option<FileName>,
    },
    /// It was made of this source, but it is not the array that had this name.
    #[error("is another array of this drop: the array that had this name was renamed")]
    OtherOfSource,
    /// It has the mark, but it changed after the receipt.
    #[error("may hold other data than those that npyd wrote: it changed after the receipt")]
    Changed,
    /// It has another name now.
    #[error("is not there: the array is `{0}` now")]
    Renamed(FileName),
    /// It has no mark, and it changed after the receipt.
    #[error(
        "was not made from this drop, or lost its mark: it has none, and changed after the receipt"
    )]
    Unproven,
    /// It is another kind of file.
    #[error("is not a .npy file any more")]
    NotNpy,
    /// Its route converted the data.
    #[error("holds converted data, not the bytes of its source, which is gone")]
    Converted,
    /// Its length is wrong.
    #[error("is not as long as its header says")]
    WrongLength,
}

impl ArrayProblem {
    /// Returns what to do, as the end of a sentence. `archived` is the source of the array.
    fn remedy(&self, archived: Option<&ArchivedSource>) -> String {
        match (self, archived) {
            (_, Some(archived)) => format!("; {archived}"),
            (ArrayProblem::Gone | ArrayProblem::Unproven | ArrayProblem::Converted, None) => {
                ": drop the data again".to_owned()
            }
            (ArrayProblem::Changed, None) => {
                ": drop the data again, or correct the array itself".to_owned()
            }
            (ArrayProblem::Renamed(_) | ArrayProblem::OtherOfSource, None) => {
                ": give it back its name".to_owned()
            }
            _ => String::new(),
        }
    }
}

fn maker(of: Option<&FileName>) -> String {
    of.map_or_else(|| "another source".into(), |name| format!("`{name}`"))
}

/// Why npyd can't overwrite the header of an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InPlaceProblem {
    /// It has several hard links.
    #[error("the array has another name, such as a backup's")]
    HardLinks,
    /// The data would move.
    #[error("the data of the array would begin or end elsewhere")]
    OtherData,
    /// The new header does not fit.
    #[error("the new header is longer than the old one")]
    LongerHeader,
    /// A power cut could tear the write.
    #[error("the new header differs in more than one sector of the disk")]
    SeveralSectors,
    /// The array may have a writer.
    #[error("nothing proves that nobody writes to the array")]
    Unproven,
}

impl RequestProblem {
    /// Returns the kind of the reason.
    #[must_use]
    pub fn kind(&self) -> ReasonKind {
        match self {
            RequestProblem::FileGone
            | RequestProblem::NotInQuarantine { .. }
            | RequestProblem::DataNotInQuarantine { .. }
            | RequestProblem::Array { problem: ArrayProblem::Gone, .. } => ReasonKind::Gone,
            RequestProblem::SeveralArrays => ReasonKind::SeveralArrays,
            RequestProblem::ArrayMisfit { .. }
            | RequestProblem::TooLong { .. }
            | RequestProblem::TooShort { .. } => ReasonKind::Size,
            _ => ReasonKind::Request,
        }
    }
}

fn its_array(array: Option<&PathBuf>) -> String {
    array.map_or_else(
        || "changed since that array was made".to_owned(),
        |array| format!("becomes `{}`", shown(array)),
    )
}

fn nor_in(rejects: Option<&PathBuf>) -> String {
    rejects.map_or_else(String::new, |rejects| format!(", nor in `{}`", shown(rejects)))
}

fn quoted(files: &[FileName]) -> String {
    files.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
