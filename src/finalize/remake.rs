//! Remakes: a drop changed after its array was made, or an array is to be replaced by that of
//! another file with its source's path. The new array takes the old one's name atomically
//! (`RENAME_EXCHANGE`), and the old one stays as a backup if the new one does not hold all of its
//! data.
//!
//! Order: new array synced → backup linked → directory synced → name exchanged → directory synced.

use std::ops::Range;
use std::path::Path;

use crate::decide::change::Change;
use crate::decide::output_problem::OutputProblem;
use crate::decide::reason::{Reason, Subject};
use crate::events::progress::Phase;
use crate::finalize::Interruption;
use crate::finalize::locations::Locations;
use crate::fs::{self, DataFile, Dir, EntryKind, Linked, Moved, TempFile};
use crate::model::{FileName, NUMBER_MAX, Stat, Writer, is_array_backup};
use crate::npy::Header;
use crate::probe::npy_file::read_header;
use crate::throttle::meter::Meter;

/// Bytes that are compared at once.
const PIECE: u64 = 1 << 20;

/// The array that a new one replaces, and that may hold the only copy of its data.
pub(crate) struct OldArray {
    pub(crate) file: DataFile,
    stat: Stat,
    /// Its header and data offset; `None` if it is not a `.npy` file any more.
    header: Option<(Header, u64)>,
    /// Whether items that are all zeros may not have been written yet, so that they need no backup.
    may_be_unfilled: bool,
}

impl OldArray {
    /// Returns an array whose zeros count as data: its source may be gone.
    pub(crate) fn read(file: DataFile) -> Result<Self, Interruption> {
        let (stat, header) = (file.stat()?, read_header(&file)?);
        Ok(OldArray { stat, header, file, may_be_unfilled: false })
    }

    /// Returns an array that was made of an earlier state of a drop that is still there.
    pub(crate) fn of_drop(file: DataFile) -> Result<Self, Interruption> {
        Ok(OldArray { may_be_unfilled: true, ..Self::read(file)? })
    }

    /// Returns a file that is not an array, and whose content npyd may not be able to read.
    pub(crate) fn not_array(file: DataFile) -> Result<Self, Interruption> {
        Ok(OldArray { stat: file.stat()?, header: None, file, may_be_unfilled: false })
    }

    pub(crate) fn is_array(&self) -> bool {
        self.header.is_some()
    }

    fn is_unchanged(&self) -> Result<bool, Interruption> {
        Ok(self.file.stat()?.is_unchanged_since(&self.stat))
    }
}

/// How the data of the old array differ from the beginning of the new data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Difference {
    None,
    /// Only items differ that were all zeros in the old array: they were not filled yet.
    Filled,
    Other,
}

/// A filled new array that will replace the old one.
pub(crate) struct Remake {
    old: OldArray,
    /// The names of the properties that differ.
    changes: Vec<&'static str>,
    /// Whether the new array holds all data of the old one.
    holds_old: bool,
    backup: Option<FileName>,
    /// Whether the old array was renamed to the backup's name, because it can't have two.
    is_moved: bool,
}

impl Remake {
    /// Compares the old array with the new one.
    pub(crate) fn compare(
        old: OldArray,
        (new, header, head_len): (&DataFile, &Header, u64),
        progress: &mut Meter,
    ) -> Result<Self, Interruption> {
        let (mut changes, mut holds_old) = (vec!["bytes"], false);
        if let Some((old_header, at)) = &old.header {
            let (old_len, new_len) = (old.stat.size.saturating_sub(*at), header.data_len());
            let common = old_len.min(new_len);
            let item = if old.may_be_unfilled { old_header.dtype().itemsize() } else { 0 };
            let begin = (&old.file, *at);
            let difference = difference_at(begin, (new, head_len), common, item, progress)?;
            if difference == Difference::None && old_len == new_len {
                changes.clear();
            }
            holds_old = if difference == Difference::Other && old_len < new_len {
                let end = (new, head_len + new_len - old_len);
                difference_at(begin, end, old_len, 0, progress)? == Difference::None
            } else {
                let rest = at + common..old.stat.size;
                difference != Difference::Other
                    && (common == old_len
                        || old.may_be_unfilled && is_zeros(&old.file, rest, progress)?)
            };
            let differs = [
                ("dtype", old_header.dtype() != header.dtype()),
                ("shape", old_header.shape() != header.shape()),
                ("order", old_header.is_fortran() != header.is_fortran()),
            ];
            changes.extend(differs.iter().filter(|(_, differs)| *differs).map(|(what, _)| what));
        }
        if !old.is_unchanged()? {
            return Err(Interruption::changed(Change::OldArrayDuringComparison));
        }
        // What is written to an array without a name would be lost.
        holds_old = holds_old && old.file.writer()? != Writer::Present;
        Ok(Remake { old, changes, holds_old, backup: None, is_moved: false })
    }

    /// Gives the old array a backup name, unless the new one holds all of its data. The caller
    /// syncs the directory (F2).
    pub(crate) fn back_up(&mut self, at: &Locations, name: &FileName) -> Result<(), Interruption> {
        if !self.old.is_unchanged()? {
            return Err(Interruption::changed(Change::OldArray));
        }
        #[cfg(feature = "sabotage")]
        if fs::skips("backup") {
            return Ok(());
        }
        if self.holds_old {
            return Ok(());
        }
        let (existing, highest) = self.backups(at, name)?;
        if let Some(existing) = existing {
            self.backup = Some(existing); // linked by an interrupted run
            return Ok(());
        }
        for number in highest.saturating_add(1)..=NUMBER_MAX {
            let backup = name.backup(number);
            let is_taken = match at.output.link(&self.old.file, backup.as_ref())? {
                Linked::Done => false,
                Linked::NameTaken => true,
                Linked::FileGone => return Err(gone(name)),
                Linked::Unsupported => self.move_to(at, name, &backup)?,
            };
            if !is_taken {
                self.backup = Some(backup);
                return Ok(());
            }
        }
        Err(Interruption::Rejected(Reason::Output(OutputProblem::BackupsExhausted {
            name: name.clone(),
        })))
    }

    /// Returns the existing backup of this file, if any, and the highest number of all backups.
    fn backups(
        &self,
        at: &Locations,
        name: &FileName,
    ) -> Result<(Option<FileName>, u32), Interruption> {
        let may_have_one = self.old.stat.nlink > 1;
        let (mut existing, mut highest) = (None, 0);
        for (other, _) in at.output.entries()? {
            let number = other.to_str().and_then(|other| name.backup_number(other));
            let Some(number) = number else { continue };
            highest = highest.max(number);
            let backup = name.backup(number);
            if may_have_one && at.output.refers_to(backup.as_ref(), &self.old.file)? {
                existing = Some(backup);
            }
        }
        Ok((existing, highest))
    }

    /// Renames the old array if the file system has no hard links. Returns `true` if the backup's
    /// name is taken. A crash after that leaves the array's name free, and the drop is finalized
    /// again.
    fn move_to(
        &mut self,
        at: &Locations,
        name: &FileName,
        backup: &FileName,
    ) -> Result<bool, Interruption> {
        let (dir, old) = (&at.output, &self.old.file);
        match dir.move_if_same(name.as_ref(), old, dir, backup.as_ref())? {
            Moved::Moved => {
                self.is_moved = true;
                Ok(false)
            }
            Moved::TargetExists => Ok(true),
            Moved::NotSame | Moved::Unproven | Moved::OtherFileSystem => Err(gone(name)),
        }
    }

    /// Returns whether the old array has a backup whose name must be synced first.
    pub(crate) fn has_backup(&self) -> bool {
        self.backup.is_some()
    }

    /// Gives the new array the name of the old one. It must be synced; the caller syncs the
    /// directory (F2).
    pub(crate) fn replace(
        &self,
        output: &mut TempFile,
        name: &FileName,
    ) -> Result<(), Interruption> {
        let is_named = if self.is_moved {
            output.name(name.as_ref(), false)?
        } else {
            output.replace_file(name.as_ref(), &self.old.file)?
        };
        if is_named { Ok(()) } else { Err(gone(name)) }
    }

    /// Returns what differs from the old array, for the receipt.
    pub(crate) fn changes(&self) -> String {
        match &self.changes[..] {
            [] => "it was made again, and is equal to the old array".to_owned(),
            changes => format!("changed: {}", changes.join(", ")),
        }
    }

    /// Returns where the old array is, for the receipt, if it was kept.
    pub(crate) fn backup_remark(&self) -> Option<String> {
        let backup = self.backup.as_ref()?;
        let what = if self.old.is_array() { "the old array" } else { "the file that was there" };
        Some(format!("{what} is kept as `{backup}`"))
    }
}

/// The number and size of backups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backups {
    /// Number of backups.
    pub count: u64,
    /// Sum of their sizes, in bytes.
    pub bytes: u64,
}

/// Counts the backups of arrays in a directory, down to `depth` levels below it.
pub fn count_backups(dir: &Dir, depth: usize) -> fs::Result<Backups> {
    let mut backups = Backups::default();
    for (name, kind) in dir.entries()? {
        let below = match kind {
            EntryKind::Dir if depth > 0 => match dir.open_dir(Path::new(&name)) {
                Err(error) if error.is_missing() || error.is_other_file_system() => continue,
                opened => count_backups(&opened?, depth - 1)?,
            },
            EntryKind::File if name.to_str().is_some_and(is_array_backup) => {
                let stat = dir.stat(Path::new(&name))?;
                stat.map_or(Backups::default(), |stat| Backups { count: 1, bytes: stat.size })
            }
            _ => continue,
        };
        backups.count += below.count;
        backups.bytes = backups.bytes.saturating_add(below.bytes);
    }
    Ok(backups)
}

fn gone(name: &FileName) -> Interruption {
    Interruption::Retry(Reason::Replaced(Subject::File(name.clone())))
}

/// Compares `len` bytes of two files. Items of `item` bytes may differ if they are all zeros in the
/// old file; if `item` is 0, none may.
fn difference_at(
    (old, old_at): (&DataFile, u64),
    (new, new_at): (&DataFile, u64),
    len: u64,
    item: u64,
    progress: &mut Meter,
) -> Result<Difference, Interruption> {
    let step = item.clamp(1, PIECE);
    let piece = PIECE - PIECE % step;
    let buffer = || vec![0; len.min(piece) as usize];
    let (mut olds, mut news, mut found, mut at) = (buffer(), buffer(), Difference::None, 0);
    progress.begin(Phase::Compare, len);
    while at < len {
        let piece = (len - at).min(piece) as usize;
        let (olds, news) = (&mut olds[..piece], &mut news[..piece]);
        old.read_exact_at(olds, old_at + at)?;
        new.read_exact_at(news, new_at + at)?;
        match difference(olds, news, step as usize) {
            Difference::None => {}
            Difference::Filled if item > 0 => found = Difference::Filled,
            Difference::Filled | Difference::Other => return Ok(Difference::Other),
        }
        at += piece as u64;
        if !progress.advance(at) {
            return Err(Interruption::Cancelled);
        }
    }
    Ok(found)
}

/// Returns whether all bytes of a range are zero.
fn is_zeros(
    file: &DataFile,
    range: Range<u64>,
    progress: &mut Meter,
) -> Result<bool, Interruption> {
    let len = range.end.saturating_sub(range.start);
    let (mut buffer, mut done) = (vec![0; len.min(PIECE) as usize], 0);
    progress.begin(Phase::Compare, len);
    while done < len {
        let piece = &mut buffer[..(len - done).min(PIECE) as usize];
        file.read_exact_at(piece, range.start + done)?;
        if piece.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        done += piece.len() as u64;
        if !progress.advance(done) {
            return Err(Interruption::Cancelled);
        }
    }
    Ok(true)
}

fn difference(old: &[u8], new: &[u8], item: usize) -> Difference {
    if old == new {
        return Difference::None;
    }
    let mut items = old.chunks(item).zip(new.chunks(item));
    let is_filled = items.all(|(old, new)| old == new || old.iter().all(|byte| *byte == 0));
    if is_filled { Difference::Filled } else { Difference::Other }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A value with some zero bytes is not an empty item: 100.0 and 100.3 differ only in bytes that
    /// are zero in the first.
    #[test]
    fn only_items_that_are_all_zeros_count_as_not_filled() {
        let bytes =
            |values: &[f64]| values.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<_>>();
        let differs = |old: &[f64], new: &[f64]| difference(&bytes(old), &bytes(new), 8);
        assert_eq!(differs(&[100.0, 0.0], &[100.0, 0.0]), Difference::None);
        assert_eq!(differs(&[100.0, 0.0], &[100.0, 7.5]), Difference::Filled);
        assert_eq!(differs(&[100.0, 0.0], &[100.3, 0.0]), Difference::Other);
        assert_eq!(differs(&[100.0, 7.5], &[100.0, 0.0]), Difference::Other);
    }
}
