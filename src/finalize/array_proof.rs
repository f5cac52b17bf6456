//! Proves that a file is the array that a receipt is about.

use crate::decide::array_receipt::{ArrayId, ArrayReceipt, FoundFile};
use crate::decide::origin::Origin;
use crate::decide::request_problem::ArrayProblem;
use crate::decide::source_identity::SourceIdentity;
use crate::fs::{self, DataFile};
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
    let found = FoundFile { id: ArrayId::of(&stat), ctime_ns: stat.ctime_ns, lacks_mark };
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
