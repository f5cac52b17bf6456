//! Numbered names of arrays, `x-1.npy`, `x-2.npy`, …: finds those that exist, because the ledger
//! that knew them may be lost.

use crate::finalize::locations::Locations;
use crate::fs;
use crate::model::FileName;

/// Returns the numbered names that exist, with a higher number than `after`, the highest first:
/// the newest array of a drop has it.
pub(crate) fn numbered_after(
    at: &Locations,
    first: &FileName,
    after: u32,
) -> fs::Result<Vec<FileName>> {
    let mut numbers = Vec::new();
    at.output.any_entry(|name, _| {
        numbers.extend(name.to_str().and_then(|name| first.number_of(name)));
        false
    })?;
    numbers.retain(|number| *number > after);
    numbers.sort_unstable();
    Ok(numbers.into_iter().rev().map(|number| first.numbered(number)).collect())
}
