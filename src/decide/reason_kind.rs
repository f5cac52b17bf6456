//! The kind of a reason: a label for programs.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::decide::reason::Reason;

/// The kinds of reasons. Receipts, the log and metrics have their labels, which are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReasonKind {
    /// npyd does not take files with such a name.
    Name,
    /// The file belongs to npyd itself.
    Private,
    /// A rule of `ignore` matches.
    Ignored,
    /// The path is a directory, a link or a device.
    NotRegular,
    /// The file is an array already.
    Array,
    /// The file has no description.
    Undescribed,
    /// A description is wrong, or npyd can't read it.
    Description,
    /// Several files describe the data.
    Conflict,
    /// A data file, or the file that describes it, has several names.
    HardLinks,
    /// The described data file does not exist.
    NoData,
    /// The size does not fit the description.
    Size,
    /// A process writes to the drop.
    Writing,
    /// The producer has not marked the drop as ready.
    NotReady,
    /// A part of the data is not written yet.
    Unfinished,
    /// The drop changed a short time ago.
    Quiet,
    /// The producer ended and did not mark the drop as ready.
    Abandoned,
    /// The digest of the data differs from the declared one.
    Digest,
    /// Another process has locked a file of the drop.
    Locked,
    /// The drop changed during the work.
    Changed,
    /// The array can't have its name.
    Output,
    /// No route is possible.
    Route,
    /// npyd can't save the bytes after the array.
    Rest,
    /// The settings contradict each other.
    Settings,
    /// npyd can't carry out a request, for a reason of no other kind.
    Request,
    /// The drop does not exist any more.
    Gone,
    /// npyd is stopping.
    Stopped,
    /// The file holds several arrays.
    SeveralArrays,
    /// A sync failed, and its data may be lost.
    DataLoss,
    /// A system call failed.
    Io,
}

impl ReasonKind {
    /// Returns the kind of this label. Another version of npyd may know more kinds.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// All kinds.
    const ALL: [ReasonKind; 29] = [
        ReasonKind::Name,
        ReasonKind::Private,
        ReasonKind::Ignored,
        ReasonKind::NotRegular,
        ReasonKind::Array,
        ReasonKind::Undescribed,
        ReasonKind::Description,
        ReasonKind::Conflict,
        ReasonKind::HardLinks,
        ReasonKind::NoData,
        ReasonKind::Size,
        ReasonKind::Writing,
        ReasonKind::NotReady,
        ReasonKind::Unfinished,
        ReasonKind::Quiet,
        ReasonKind::Abandoned,
        ReasonKind::Digest,
        ReasonKind::Locked,
        ReasonKind::Changed,
        ReasonKind::Output,
        ReasonKind::Route,
        ReasonKind::Rest,
        ReasonKind::Settings,
        ReasonKind::Request,
        ReasonKind::Gone,
        ReasonKind::Stopped,
        ReasonKind::SeveralArrays,
        ReasonKind::DataLoss,
        ReasonKind::Io,
    ];

    /// Returns the label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ReasonKind::Name => "name",
            ReasonKind::Private => "private",
            ReasonKind::Ignored => "ignored",
            ReasonKind::NotRegular => "not-regular",
            ReasonKind::Array => "array",
            ReasonKind::Undescribed => "undescribed",
            ReasonKind::Description => "description",
            ReasonKind::Conflict => "conflict",
            ReasonKind::HardLinks => "hard-links",
            ReasonKind::NoData => "no-data",
            ReasonKind::Size => "size",
            ReasonKind::Writing => "writing",
            ReasonKind::NotReady => "not-ready",
            ReasonKind::Unfinished => "unfinished",
            ReasonKind::Quiet => "quiet",
            ReasonKind::Abandoned => "abandoned",
            ReasonKind::Digest => "digest",
            ReasonKind::Locked => "locked",
            ReasonKind::Changed => "changed",
            ReasonKind::Output => "output",
            ReasonKind::Route => "route",
            ReasonKind::Rest => "rest",
            ReasonKind::Settings => "settings",
            ReasonKind::Request => "request",
            ReasonKind::Gone => "gone",
            ReasonKind::Stopped => "stopped",
            ReasonKind::SeveralArrays => "several-arrays",
            ReasonKind::DataLoss => "data-loss",
            ReasonKind::Io => "io",
        }
    }

    /// Whether the drop waits for a process that has one of its files open or locked.
    #[must_use]
    pub fn is_held(self) -> bool {
        matches!(self, ReasonKind::Writing | ReasonKind::Locked)
    }
}

impl Reason {
    /// Returns the kind.
    #[must_use]
    pub fn kind(&self) -> ReasonKind {
        match self {
            Reason::BadName(_) | Reason::NameTooLong(_) => ReasonKind::Name,
            Reason::Private | Reason::PrivatePart(_) => ReasonKind::Private,
            Reason::Ignored(_) | Reason::DataIgnored(_) => ReasonKind::Ignored,
            Reason::NotRegular
            | Reason::DataNotRegular(_)
            | Reason::DataIsDir(_)
            | Reason::DescriptionNotRegular(_) => ReasonKind::NotRegular,
            Reason::IsArray => ReasonKind::Array,
            Reason::Undescribed { .. } => ReasonKind::Undescribed,
            Reason::Description(_) | Reason::HeaderAndManifest => ReasonKind::Description,
            Reason::Conflict(_) => ReasonKind::Conflict,
            Reason::HardLinks(_) => ReasonKind::HardLinks,
            Reason::NoDataFiles
            | Reason::NoDataFile(_)
            | Reason::NoMatch(_)
            | Reason::NoDataFileInThisCase { .. }
            | Reason::NoMatchInThisCase { .. }
            | Reason::NoDataFileNamed { .. }
            | Reason::NoDataFileYet(_)
            | Reason::DataInOtherCase(_)
            | Reason::NoNewData { .. }
            | Reason::DataRejected { .. }
            | Reason::DataRejectedWith { .. }
            | Reason::DataKeyInTable { .. }
            | Reason::NoOtherParts(_) => ReasonKind::NoData,
            Reason::Size(_)
            | Reason::SizeBySidecar { .. }
            | Reason::SizeByDtype { .. }
            | Reason::LongerThanHeader { .. }
            | Reason::SizeOfPart(..)
            | Reason::SeriesTooLong { .. }
            | Reason::SizeOfComplete(_)
            | Reason::SizeByHeader(_) => ReasonKind::Size,
            Reason::DescriptionUnfinished(_)
            | Reason::Writing { .. }
            | Reason::DescriptionWriting { .. }
            | Reason::OpenForWriting(_) => ReasonKind::Writing,
            Reason::NotReady { .. } | Reason::ClosedUnready | Reason::NoMarker => {
                ReasonKind::NotReady
            }
            Reason::Unfinished(_) => ReasonKind::Unfinished,
            Reason::NotQuiet(_) | Reason::NotQuietUnproven(_) | Reason::CoarseClock(_) => {
                ReasonKind::Quiet
            }
            Reason::Abandoned { .. } => ReasonKind::Abandoned,
            Reason::Digest(_) | Reason::DigestYet(_) => ReasonKind::Digest,
            Reason::Leased | Reason::InWork | Reason::Locked(_) => ReasonKind::Locked,
            Reason::Changed(_) | Reason::Replaced(_) | Reason::Appeared(_) => ReasonKind::Changed,
            Reason::BadOutput(_)
            | Reason::Output(_)
            | Reason::Taken { .. }
            | Reason::OwnName(_)
            | Reason::FilesGone(_)
            | Reason::Mixed { .. } => ReasonKind::Output,
            Reason::Route(_) => ReasonKind::Route,
            Reason::WrittenAfterCut { .. } => ReasonKind::Rest,
            Reason::NoArchive => ReasonKind::Settings,
            Reason::Request(problem) => problem.kind(),
            Reason::Incomplete(why) | Reason::NotDone { why, .. } => why.kind(),
            Reason::Restored | Reason::Argument(_) => ReasonKind::Request,
            Reason::Gone | Reason::Residue => ReasonKind::Gone,
            Reason::Stopped => ReasonKind::Stopped,
            Reason::SeveralArrays => ReasonKind::SeveralArrays,
            Reason::DataLoss(_) => ReasonKind::DataLoss,
            Reason::Failed { error, .. } | Reason::Suspended { error } => error.kind(),
            Reason::Io(_) | Reason::Protected { .. } => ReasonKind::Io,
        }
    }
}

impl fmt::Display for ReasonKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ReasonKind {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}
