//! Reasons: why a drop waits, was rejected, or failed. The texts for people are made here alone.
//! Programs use [`Reason::kind`] (`reason_kind.rs`), and compare values; nothing compares texts.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::config::Ignored;
use crate::decide::abandoned::AbandonedData;
use crate::decide::ambiguity::Ambiguity;
use crate::decide::argument_problem::ArgumentProblem;
use crate::decide::change::{Change, OpenFile};
use crate::decide::description_remark::DescriptionRemark;
use crate::decide::name_list::NameList;
use crate::decide::name_taker::NameTaker;
use crate::decide::output_problem::OutputProblem;
use crate::decide::quiet_time::QuietTime;
use crate::decide::reason_text::{
    RENAME, after_semicolon, became, bytes_written, excess_of_series, misfit, misfit_of_sidecar,
    named_data, salvage, trying_again,
};
use crate::decide::request_kind::RequestKind;
use crate::decide::request_problem::RequestProblem;
use crate::decide::route_problem::RouteProblem;
use crate::decide::work_error::{DataLoss, WorkError};
use crate::describe::digest::DigestMismatch;
use crate::describe::{BitsOrBytes, DescribeError, SizeFit, Unfinished};
use crate::model::{FileName, FileNameError, Protection, SystemError};

/// Why something happens to a drop, or does not happen.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Reason {
    // What is not a drop.
    /// npyd does not take files with such a name.
    #[error("{0}")]
    BadName(#[source] FileNameError),
    /// A file of the drop would need a longer name than its file system allows.
    #[error("{0}")]
    NameTooLong(#[source] SystemError),
    /// The file has a private name of npyd's.
    #[error("npyd is writing it, or was interrupted: then the next scan restores it")]
    Private,
    /// A file of the drop has a private name of npyd's.
    #[error("`{0}` is one of npyd's own files")]
    PrivatePart(FileName),
    /// A rule of `ignore` matches.
    #[error("{0}")]
    Ignored(Ignored<'static>),
    /// It is a directory, a link or a device.
    #[error("it is not a regular file")]
    NotRegular,
    /// The file is an array already.
    #[error("it is a .npy file already")]
    IsArray,
    /// Nothing describes the file.
    #[error(
        "it has no manifest, sidecar or pending header, and no template matches its name{}",
        after_semicolon(remark.as_ref())
    )]
    Undescribed {
        /// A remark about a file that looks like a description of the data, but that npyd can't
        /// use.
        remark: Option<DescriptionRemark>,
    },

    // What describes the data.
    /// A description is wrong, or npyd can't read it.
    #[error("{0}")]
    Description(#[source] DescribeError),
    /// A description can't be read, and a process writes to it.
    #[error("it is still being written: {0}")]
    DescriptionUnfinished(Box<Reason>),
    /// The file has a pending header, and a manifest describes it, too.
    #[error("it has a pending header and a manifest: remove one of them")]
    HeaderAndManifest,
    /// Several files describe the data, or a manifest may describe several files.
    #[error("{0}")]
    Conflict(#[source] Ambiguity),
    /// The output name would make the array a drop, a manifest or a private file.
    #[error(
        "`{0}` is not a valid output name: set the key `output` to one that ends in .npy and does not begin with .npyd-"
    )]
    BadOutput(FileName),
    /// The file has several names.
    #[error(
        "it has {0} hard links, and npyd accepts only files with one: copy it, or remove the other links"
    )]
    HardLinks(u64),

    // Data that are missing.
    /// None of several data files exists.
    #[error("none of its data files is there yet")]
    NoDataFiles,
    /// The data file of that name does not exist.
    #[error("its data file `{}` is not there yet", .0.display())]
    NoDataFile(PathBuf),
    /// No file matches the glob of the manifest's key `data`.
    #[error("no file matches `{0}` yet, which is the value of the key `data`")]
    NoMatch(String),
    /// The data file does not exist, but files whose names differ in letter case alone do.
    #[error(
        "its data file `{}` is not there yet; in other letter case there is {similar}: {RENAME}",
        name.display()
    )]
    NoDataFileInThisCase {
        /// The path of the data file, relative to the description.
        name: PathBuf,
        /// The files.
        similar: NameList,
    },
    /// No file matches the glob of the manifest's key `data`, except in other letter case.
    #[error("no file matches `{glob}` yet; in other letter case there is {similar}: {RENAME}")]
    NoMatchInThisCase {
        /// The glob.
        glob: String,
        /// The files.
        similar: NameList,
    },
    /// None of the files that the manifest may describe exists.
    #[error("{}", named_data(name))]
    NoDataFileNamed {
        /// The path that comes first, relative to the description.
        name: PathBuf,
    },
    /// None of the files that the sidecar may describe exists.
    #[error("its data file is not there yet: {0}")]
    NoDataFileYet(NameList),
    /// The names of several files differ from that of the data file in letter case alone.
    #[error("its data file is not there: in other letter case there are {0}; rename the right one")]
    DataInOtherCase(NameList),
    /// The manifest has the key `data` inside a table, where it has no effect.
    #[error("{why}; `data` is in `{table}` and has no effect: move it above the first `[`")]
    DataKeyInTable {
        /// The reason without that key.
        why: Box<Reason>,
        /// The header of the table.
        table: String,
    },
    /// An earlier data file of that name became an array, and no new file has that name yet.
    #[error("{why}; {}", became(array, sidecar.as_ref()))]
    NoNewData {
        /// The reason without that array.
        why: Box<Reason>,
        /// The array.
        array: PathBuf,
        /// The name of the file that described the earlier data.
        sidecar: Option<String>,
    },
    /// The data file was rejected, and npyd moved it to `rejects`.
    #[error(
        "{why}; `{0}` was rejected: {rejected}; `npyd retry {0}` moves it back",
        name.display()
    )]
    DataRejected {
        /// The reason without that data file.
        why: Box<Reason>,
        /// The name of the data file.
        name: PathBuf,
        /// Why it was rejected, and where it is: the text in the ledger.
        rejected: String,
    },
    /// The data file was rejected with others, and npyd moved all of them to `rejects`.
    #[error(
        "{why}; it was rejected with `{0}`: {rejected}; `npyd retry {0}` moves it back",
        with.display()
    )]
    DataRejectedWith {
        /// The reason without that data file.
        why: Box<Reason>,
        /// The name of the drop.
        with: PathBuf,
        /// Why it was rejected, and where it is: the text in the ledger.
        rejected: String,
    },
    /// The data file is a link, a pipe or a device.
    #[error("its data file `{}` is not a regular file: put the file itself there", .0.display())]
    DataNotRegular(PathBuf),
    /// The data file that a description names is a directory.
    #[error(
        "its data file `{}` is a directory: correct the name, or put the file itself there",
        .0.display()
    )]
    DataIsDir(PathBuf),
    /// A file is named like a description of the data, and is a link, a pipe or a directory.
    #[error(
        "`{0}`, which is named like its description, is not a regular file: put the file itself there, or remove that name"
    )]
    DescriptionNotRegular(FileName),
    /// A rule of `ignore` matches the data file.
    #[error("its data file is not taken: {0}")]
    DataIgnored(Ignored<'static>),

    // Completeness.
    /// The size does not fit the declaration.
    #[error("{0}")]
    Size(SizeFit),
    /// The size does not fit what an instrument's sidecar declares.
    #[error("{}", misfit_of_sidecar((*fit, part.as_ref()), (sidecar, keys), "use `npyd take`"))]
    SizeBySidecar {
        /// How it fits.
        fit: SizeFit,
        /// The sidecar.
        sidecar: FileName,
        /// The keys of the description that declare the size, as a list for people.
        keys: &'static str,
        /// The data file, if it is one of several.
        part: Option<FileName>,
    },
    /// A file with a header of its own is longer than the header declares.
    #[error(
        "it has {size} bytes, but its header declares {of}: correct the header, set allow_trailing in \
         the configuration, or use `npyd take`"
    )]
    LongerThanHeader {
        /// The actual size.
        size: u64,
        /// The declared size.
        of: u64,
    },
    /// The size does not fit, perhaps because the dtype counts bytes and not bits.
    #[error("{why}; {dtype}")]
    SizeByDtype {
        /// The reason without the dtype.
        why: Box<Reason>,
        /// The dtype.
        dtype: BitsOrBytes,
    },
    /// The size of one of several data files does not fit the declaration.
    #[error("its data file `{0}` is not complete: {1}")]
    SizeOfPart(FileName, SizeFit),
    /// The data files of a series have more bytes of data than declared.
    #[error("{}", excess_of_series(*data, *of, beyond.as_ref()))]
    SeriesTooLong {
        /// The number of bytes of data.
        data: u64,
        /// The declared number.
        of: u64,
        /// The files that begin behind the declared data, if there are any.
        beyond: Option<NameList>,
    },
    /// The producer marked the drop as complete, but the size does not fit.
    #[error("its producer says that it is complete, but {0}")]
    SizeOfComplete(SizeFit),
    /// The size does not fit the header at the front of the data file.
    #[error("its producer says that it is complete, but {0}")]
    SizeByHeader(SizeFit),
    /// A process writes to the data file.
    #[error("it is still being written ({}){}", bytes_written(*allocated, *size), misfit(*fit))]
    Writing {
        /// Allocated bytes; the size of a preallocated or mapped file says nothing.
        allocated: u64,
        /// The file's size in bytes.
        size: u64,
        /// How the size fits, if it does not.
        fit: Option<SizeFit>,
    },
    /// A process writes to the description.
    #[error("the file that describes it is still being written{}", misfit(*fit))]
    DescriptionWriting {
        /// How the size of the data fits, if it does not.
        fit: Option<SizeFit>,
    },
    /// The pending header is not marked as ready; the kernel can't tell whether a process writes.
    #[error("its producer has not marked it ready ({})", bytes_written(*allocated, *size))]
    NotReady {
        /// Allocated bytes.
        allocated: u64,
        /// The file's size in bytes.
        size: u64,
    },
    /// The pending header is not marked as ready, and no process writes.
    #[error("its producer closed it without marking it ready")]
    ClosedUnready,
    /// The producer's marker is not at the front of the file.
    #[error("the producer has not written its marker yet")]
    NoMarker,
    /// The sidecar says that the recording goes on.
    #[error("{0}")]
    Unfinished(Unfinished),
    /// No process writes, but the drop must be unchanged for a while.
    #[error("no process writes to it; it must be unchanged for {0}")]
    NotQuiet(QuietTime),
    /// The kernel can't tell whether a process writes, so the drop must be unchanged for a while.
    #[error("npyd can't tell whether a process writes to it; it must be unchanged for {0}")]
    NotQuietUnproven(QuietTime),
    /// A change might not show in the times yet.
    #[error(
        "its file system's clock is coarse, and a change might not show; it must be unchanged for {} ms",
        .0.as_millis()
    )]
    CoarseClock(Duration),
    /// The producer of a pending file ended.
    #[error("{found}{}", salvage(*keeps))]
    Abandoned {
        /// What was found.
        found: AbandonedData,
        /// What `salvage = "whole-records"` would keep, if anything.
        keeps: Option<&'static str>,
    },
    /// The data do not have the declared digest.
    #[error("{0}")]
    Digest(#[source] DigestMismatch),
    /// The data do not have the declared digest, but have not been unchanged for long.
    #[error("its digest does not match yet: {0}")]
    DigestYet(#[source] DigestMismatch),

    // Other processes.
    /// Another process holds a lease.
    #[error("another process holds a lease on it")]
    Leased,
    /// A task of this process works on it, which began before the configuration was read again.
    #[error("npyd itself is still working on it")]
    InWork,
    /// Another process works on a file of the drop.
    #[error("another process has {0} locked")]
    Locked(Subject),
    /// A process has a file open for writing.
    #[error("{0}")]
    OpenForWriting(OpenFile),
    /// A file changed during the work.
    #[error("{0}")]
    Changed(Change),
    /// The name refers to another file now.
    #[error("{0} was replaced by another file")]
    Replaced(Subject),
    /// A file got the array's name during the work.
    #[error("a file named `{0}` was created meanwhile")]
    Appeared(FileName),

    // The output.
    /// Something else has the array's name.
    #[error("`{name}` {by}")]
    Taken {
        /// The name.
        name: FileName,
        /// What has the name.
        by: NameTaker,
    },
    /// The array would get the name of its own data file.
    #[error(
        "the array would get the name of its own data, `{0}`: set another with the key `output`"
    )]
    OwnName(FileName),
    /// The array can't have its name, or can't be in its directory.
    #[error("{0}")]
    Output(OutputProblem),
    /// A data file of a finished array waits for the array's other data files. npyd removes or
    /// archives all of them together.
    #[error("the files that belong to `{0}` are not all there yet")]
    NoOtherParts(FileName),
    /// An array was made with this description of data files that are gone.
    #[error(
        "`{0}` was made with this manifest of files that are gone now: move the array away, or give the manifest another name"
    )]
    FilesGone(FileName),
    /// An array contains some of the data files, but not the other ones.
    #[error("`{array}` already holds `{old}`, but not the other data files: drop `{old}` again")]
    Mixed {
        /// The array.
        array: FileName,
        /// The data file that it holds.
        old: FileName,
    },
    /// No route works for this drop, or not the required one.
    #[error("{0}")]
    Route(RouteProblem),
    /// An abandoned file was written to after its rest was cut off, so that npyd can't keep the
    /// two apart any more.
    #[error(
        "it was written to after its rest was cut off at byte {cut_at}: insert `{}` there, or remove that file",
        rest.display()
    )]
    WrittenAfterCut {
        /// The offset of the cut, in bytes.
        cut_at: u64,
        /// The path of the saved rest.
        rest: PathBuf,
    },
    /// The settings archive sources, and have no directory for that.
    #[error("source = \"archive\" needs archive = \"DIR\"")]
    NoArchive,
    /// A request can't be carried out.
    #[error("{0}")]
    Request(#[source] RequestProblem),
    /// A request was refused.
    #[error("{}: {why}", request.not_done())]
    NotDone {
        /// What was requested.
        request: RequestKind,
        /// Why.
        #[source]
        why: Box<Reason>,
    },
    /// A rejected drop was restored, and its request to take it is carried out next.
    #[error("it was restored to be taken")]
    Restored,
    /// A command can't use one of its arguments.
    #[error("{0}")]
    Argument(#[source] ArgumentProblem),

    /// A single command does not wait.
    #[error("not complete: {0}")]
    Incomplete(Box<Reason>),
    /// The file does not exist any more.
    #[error("the file disappeared")]
    Gone,
    /// The array of the drop exists; only the description is left.
    #[error("its data were finalized already")]
    Residue,
    /// The description describes several arrays, and a command makes one.
    #[error("it describes several arrays; leave -o out, or give a data file")]
    SeveralArrays,
    /// npyd is stopping.
    #[error("stopped")]
    Stopped,

    // The disk.
    /// A sync failed: the disk may have lost data.
    #[error("{0}")]
    DataLoss(#[source] DataLoss),
    /// A system call failed.
    #[error("{0}")]
    Io(#[source] SystemError),
    /// A flag protects a file that npyd is to move, or the directory of the file.
    #[error("`{}` can't be moved: it or its directory is {protection}", name.display())]
    Protected {
        /// The name of the file.
        name: PathBuf,
        /// The flag.
        protection: Protection,
    },
    /// A directory has a fault that other drops meet as well, so npyd does not try each drop.
    #[error("{error}; npyd tries again with one drop")]
    Suspended {
        /// What failed.
        #[source]
        error: WorkError,
    },
    /// A job failed, and may succeed later.
    #[error("{error}{}", trying_again(*retry_in))]
    Failed {
        /// What failed.
        #[source]
        error: WorkError,
        /// After which time this process tries again at the latest, if it does.
        retry_in: Option<Duration>,
    },
}

/// A file that a reason is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The data file, where the drop is named already.
    Drop,
    /// The manifest or sidecar.
    Manifest,
    /// The array.
    Array,
    /// The file of that name.
    File(FileName),
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Subject::Drop => f.write_str("it"),
            Subject::Manifest => f.write_str("its manifest"),
            Subject::Array => f.write_str("its array"),
            Subject::File(name) => write!(f, "`{name}`"),
        }
    }
}

impl Reason {
    /// Returns what is wrong if a waiting drop is complete already, in numbers.
    #[must_use]
    pub fn if_complete(&self) -> Option<String> {
        match self {
            Reason::Size(fit)
            | Reason::SizeBySidecar { fit, .. }
            | Reason::SizeOfPart(_, fit)
            | Reason::SizeOfComplete(fit) => fit.if_complete(false),
            Reason::SizeByHeader(fit) => fit.if_complete(true),
            Reason::SizeByDtype { why, .. } => why.if_complete(),
            _ => None,
        }
    }
}
