//! Proves that a file is the array that a receipt is about.

use std::path::Path;

use crate::decide::array_receipt::{ArrayId, ArrayReceipt, FoundFile};
use crate::decide::origin::Origin;
use crate::decide::request_problem::ArrayProblem;
use crate::decide::source_identity::SourceIdentity;
use crate::fs::{self, DataFile, Dir, EntryKind, Listing};
use crate::model::FileName;
use crate::probe::npy_file::read_header;
use crate::probe::{ORIGIN_ATTR, SOURCE_ATTR};

/// Returns why the file is not the array of the receipt. Trusts the marks of every user's file: an
/// owner who forges them would lose only this file.
///
/// # Errors
/// The file can't be read.
pub fn why_not_array(file: &DataFile, receipt: &ArrayReceipt) -> fs::Result<Option<ArrayProblem>> {
    let (mark, origin) = array_mark(file)?;
    let stat = file.stat()?;
    let lacks_mark = mark.is_none() && file.lacks_attr(SOURCE_ATTR)?;
    let has_own_clock = !file.file_system()?.network;
    let header = if stat.is_file() { read_header(file)? } else { None };
    let found = FoundFile {
        id: ArrayId::of(&stat),
        ctime_ns: stat.ctime_ns,
        mtime_ns: has_own_clock.then_some(stat.mtime_ns),
        len: header.and_then(|(_, at)| stat.size.checked_sub(at)),
        lacks_mark,
    };
    Ok(receipt.problem_of(mark.as_ref(), origin, &found))
}

/// Returns the mark of an array and the origin of its source, as far as the file has them.
///
/// # Errors
/// The file can't be read.
pub fn array_mark(file: &DataFile) -> fs::Result<(Option<SourceIdentity>, Option<Origin>)> {
    let text = |name| {
        let mark = file.attr(name)?;
        Ok(mark.map(|mark| String::from_utf8_lossy(&mark).into_owned()))
    };
    let mark = text(SOURCE_ATTR)?.map(|mark| SourceIdentity::parse(&mark));
    let origin = text(ORIGIN_ATTR)?.and_then(|text| Origin::parse(&text));
    Ok((mark, origin))
}

/// Maximum number of files that are opened to find an array that was renamed.
const SEARCHED_MAX: usize = 4096;

/// Finds the array of a receipt under another name in its directory. Gives up in a directory with
/// many arrays, or if one of them can't be read.
#[must_use]
pub fn find_renamed(dir: &Dir, receipt: &ArrayReceipt) -> Option<FileName> {
    let mut searched = 0;
    let mut listing = Listing::default();
    while let Ok(Some(piece)) = listing.next_piece(dir) {
        for (name, _) in piece.iter().filter(|(_, kind)| *kind == EntryKind::File) {
            let Some(name) = FileName::of_path(Path::new(name)) else { continue };
            if Path::new(name.as_str()).extension().is_none_or(|it| it != "npy") {
                continue;
            }
            searched += 1;
            if searched > SEARCHED_MAX {
                return None;
            }
            if let Ok(Some(file)) = dir.open_file(name.as_ref())
                && let Ok((Some(_), _)) = array_mark(&file)
                && matches!(why_not_array(&file, receipt), Ok(None))
            {
                return Some(name);
            }
        }
    }
    None
}
