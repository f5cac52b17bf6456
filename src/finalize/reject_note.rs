//! The note: the text file beside a rejected drop, with the reason and the drop's path.

use std::path::Path;

use crate::fs::{self, Dir, OpenWriters, TempFile};
use crate::model::FileName;
use crate::text::one_line::shown;

/// More than a note has.
const LEN_MAX: usize = 1 << 16;

/// Whether the files of one number in the quarantine are those of a drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Belongs {
    Yes,
    No,
    /// There is no note, or one of an earlier npyd, which does not name the drop.
    Unknown,
}

/// Returns the name of the note of a data file or series: `scan.raw.rejected.txt`.
pub(crate) fn note_name(drop: &FileName) -> FileName {
    drop.with_suffix(".rejected.txt")
}

/// Returns the text of a note.
pub(crate) fn note_text(source: &Path, reason: &str) -> String {
    format!("{reason}\n\nCorrect it here, then run:\n{}\n", retry_line(source))
}

/// The line that names the drop.
fn retry_line(source: &Path) -> String {
    format!("npyd retry '{}'", shown(source))
}

/// Writes a note under a name that is free or has this note already: an earlier attempt to move the
/// drop may have failed.
pub(crate) fn write_note(dir: &Dir, name: &FileName, text: &str) -> fs::Result<()> {
    let mut note = TempFile::create(dir, text.len() as u64)?;
    note.file().write_all_at(text.as_bytes(), 0)?;
    if note.publish(name.as_ref(), false)? || has_note(dir, name, text)? {
        return Ok(());
    }
    Err(dir.names_exhausted(name.as_ref()))
}

/// Returns whether a note has exactly this text.
pub(crate) fn has_note(dir: &Dir, name: &FileName, text: &str) -> fs::Result<bool> {
    Ok(read_note(dir, name)?.is_some_and(|there| there == text.as_bytes()))
}

/// Returns whether the note of that name is about the drop of this path.
pub(crate) fn belongs(dir: &Dir, name: &FileName, source: &Path) -> fs::Result<Belongs> {
    let Some(note) = read_note(dir, name)? else { return Ok(Belongs::Unknown) };
    let note = String::from_utf8_lossy(&note).into_owned();
    Ok(match note.lines().find(|line| line.starts_with("npyd retry '")) {
        Some(line) if line == retry_line(source) => Belongs::Yes,
        Some(_) => Belongs::No,
        None => Belongs::Unknown,
    })
}

/// Removes a note.
pub(crate) fn remove_note(dir: &Dir, name: &FileName) -> fs::Result<()> {
    let Some(note) = dir.open_file(name.as_ref())? else { return Ok(()) };
    let stat = note.stat()?;
    let _ = dir.remove_if_unchanged(name.as_ref(), &note, &stat, OpenWriters::Trusted)?;
    Ok(())
}

fn read_note(dir: &Dir, name: &FileName) -> fs::Result<Option<Vec<u8>>> {
    let Some(note) = dir.open_file(name.as_ref())? else { return Ok(None) };
    Ok(Some(note.read_at_most(0, LEN_MAX)?))
}
