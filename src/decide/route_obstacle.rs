//! Why a route does not apply.

use thiserror::Error;

use crate::decide::route_problem::INSERT_REFUSED;
use crate::model::{DirDenial, FileName, Protection, SystemError};
use crate::npy::HeaderError;

/// Why a route does not apply to a drop.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RouteObstacle {
    /// The route makes another array than the usual one, and no setting asks for that.
    #[error("no setting asks for it")]
    NotAsked,
    /// The settings keep the source.
    #[error("the source is kept")]
    SourceKept,
    /// The settings archive the source.
    #[error("the source is archived as it is")]
    SourceArchived,
    /// Programs read the data file with its sidecar.
    #[error("the data file is read with its sidecar, too, and stays as it is")]
    LiveReaders,
    /// There is nothing to share or to move.
    #[error("there are no data")]
    NoData,
    /// There is no room for a header.
    #[error("there is no room reserved at the front of the file")]
    NoRoom,
    /// The data begin behind a header that the route would have to replace.
    #[error("it has a header of its own")]
    OwnHeader,
    /// The file contains bytes beside the data.
    #[error("the file holds more than the data")]
    MoreThanData,
    /// The file contains bytes behind the data; their number.
    #[error("{0} bytes lie behind the array, and would be in its file")]
    BytesBehind(u64),
    /// The route needs the data in one file.
    #[error("the data are in several files")]
    SeveralFiles,
    /// The data are not aligned to blocks.
    #[error("the data begin at byte {offset}, not at a multiple of {page}")]
    Unaligned {
        /// Offset of the data, in bytes.
        offset: u64,
        /// The block size, in bytes.
        page: u64,
    },
    /// Not every reader accepts a header of this length.
    #[error("a header of {0} bytes is not one that every reader takes")]
    UnusualHeader(u64),
    /// Not every reader accepts a header of a page.
    #[error("a header of a page is not one that every reader takes")]
    PageHeader,
    /// The header can't have the length that the route needs.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A crash could leave half of the new shape.
    #[error("the shape in its header crosses a disk sector, where a crash could tear it")]
    TornShape,
    /// The data file can't be renamed to its final name.
    #[error("the output is on another file system or mount")]
    OtherMount,
    /// Blocks can't be shared with another file system.
    #[error("the output is on another file system")]
    OtherFileSystem,
    /// The file system shares no blocks.
    #[error("the file system does not share blocks")]
    NoSharing,
    /// The file system did not share the blocks of this file.
    #[error("the file system does not share these blocks")]
    NotShared,
    /// A test on the file system failed.
    #[error("the file system does not support it")]
    Unsupported,
    /// The file system inserts no ranges, or a crash could lose data.
    #[error("the file system can't do it, or not safely")]
    NoInsertion,
    /// This process could not undo the work after a crash.
    #[error("only a daemon or a sweep does it, which can undo it after a crash")]
    NotUndoable,
    /// A copy takes less time.
    #[error("it is so small that a copy is faster")]
    TooSmall,
    /// Others may join the file.
    #[error("the file is one of a series")]
    OfSeries,
    /// The file may still have a writer.
    #[error("nothing proves that no process writes to the file any more")]
    Unproven,
    /// A person takes the file, or an agreement of counts does.
    #[error("the file is taken as it is, and stays so")]
    TakenAsIs,
    /// A flag protects the file.
    #[error("`{file}` is {flag}")]
    Protected {
        /// The name of the file.
        file: FileName,
        /// The flag.
        flag: Protection,
    },
    /// A flag protects the directory of the file.
    #[error("the directory of `{file}` is {flag}")]
    DirProtected {
        /// The name of the file.
        file: FileName,
        /// The flag.
        flag: Protection,
    },
    /// npyd has no right to write to the file.
    #[error("the user that npyd runs as may not write to the file")]
    NotWritable,
    /// The rights of its directory keep the file there.
    #[error("the directory of `{file}` {denial}")]
    Denied {
        /// The name of the file.
        file: FileName,
        /// Why the user may not rename it.
        denial: DirDenial,
    },
    /// npyd has no right to rename files in the drop directory.
    #[error("the user that npyd runs as has no permission to rename files there")]
    NoRenamesThere,
    /// The route reopens files through `/proc`.
    #[error("/proc is not mounted")]
    NoProc,
    /// The name of a pending file would be too long.
    #[error("there is no room for `.pending` in the file's name")]
    NoRoomForPending,
    /// The private name of the file would be too long.
    #[error("the file's name is too long")]
    LongName,
    /// The drop changed, and may change again.
    #[error("the array is made again, as a new file")]
    Remade,
    /// Only a new file can be compared with the old array.
    #[error("the array that it replaces is compared with it first")]
    Compared,
    /// Only a new file can be exchanged with another.
    #[error("a new file replaces the one that has its name")]
    Replaces,
    /// There is no intent log.
    #[error("there is no state directory for its intent log")]
    NoIntentLog,
    /// The intent log can't be written.
    #[error("its intent can't be recorded: {0}")]
    IntentNotRecorded(SystemError),
    /// A description or a file of the series arrived during the work.
    #[error("another description or data file arrived meanwhile")]
    Redescribed,
    /// The file system refused the insertion before.
    #[error("{INSERT_REFUSED}")]
    InsertRefused,
    /// A file that npyd has to restore first has the private name.
    #[error("an interrupted insertion into a file of that name is not undone yet")]
    Interrupted,
    /// A process has the file open.
    #[error("another process has the file open")]
    Open,
    /// Ranges of the file were never written.
    #[error("the file has holes")]
    Holes,
    /// The file system refused the insertion into a file of the same size.
    #[error("the file system can't insert so much space")]
    NotSoMuchSpace,
}

impl RouteObstacle {
    /// Returns whether the receipt contains it, because neither the settings nor the kind of the
    /// file system explain it.
    #[must_use]
    pub fn is_noteworthy(&self) -> bool {
        !matches!(
            self,
            RouteObstacle::NotAsked
                | RouteObstacle::SourceKept
                | RouteObstacle::SourceArchived
                | RouteObstacle::LiveReaders
                | RouteObstacle::NoData
                | RouteObstacle::NoRoom
                | RouteObstacle::NoSharing
                | RouteObstacle::NoInsertion
                | RouteObstacle::NotUndoable
                | RouteObstacle::TooSmall
        )
    }
}
