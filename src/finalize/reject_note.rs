//! The note: the text file beside a rejected drop, with the reason and the drop's path.

use std::path::{Path, PathBuf};

use crate::fs::{self, DataFile, Dir, OpenWriters, TempFile};
use crate::model::FileName;
use crate::text::one_line::shown;

/// More than a note has.
const LEN_MAX: usize = 1 << 16;

const NOTE_SUFFIX: &str = ".rejected.txt";

/// The beginning of the line that names the drop.
const RETRY: &str = "npyd retry '";

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
    drop.with_suffix(NOTE_SUFFIX)
}

/// What a note says.
pub(crate) struct Note {
    /// The drop's path before it was rejected; notes of earlier versions lack it.
    pub(crate) source: Option<PathBuf>,
    /// Why it was rejected.
    pub(crate) reason: String,
}

/// Returns the name of the drop that the note of this name is about, and the number of its files.
pub(crate) fn noted_drop(note: &FileName) -> Option<(FileName, u32)> {
    let (drop, number) = note.as_str().rsplit_once(NOTE_SUFFIX)?;
    let number = match number.strip_prefix('.') {
        Some(number) => number.parse().ok()?,
        None if number.is_empty() => 0,
        None => return None,
    };
    Some((FileName::try_from(drop.to_owned()).ok()?, number))
}

/// Returns what the note of this name says.
pub(crate) fn read_note(dir: &Dir, name: &FileName) -> fs::Result<Option<Note>> {
    let Some(text) = read_text(dir, name)? else { return Ok(None) };
    let text = String::from_utf8_lossy(&text);
    let source = text
        .lines()
        .find_map(|line| line.strip_prefix(RETRY)?.strip_suffix('\'').map(PathBuf::from));
    let reason = text.split("\n\n").next().unwrap_or_default().trim_end().to_owned();
    Ok(Some(Note { source, reason }))
}

/// Returns the text of a note.
pub(crate) fn note_text(source: &Path, reason: &str) -> String {
    format!("{reason}\n\nCorrect it here, then run:\n{}\n", retry_line(source))
}

/// The line that names the drop.
fn retry_line(source: &Path) -> String {
    format!("{RETRY}{}'", shown(source))
}

/// Writes a note under a name that is free or has this note already: an earlier attempt to move the
/// drop may have failed. It is a new file in any case, because a retry that still goes on removes
/// the note that it found.
pub(crate) fn write_note(dir: &Dir, name: &FileName, text: &str) -> fs::Result<()> {
    let mut note = TempFile::create(dir, text.len() as u64)?;
    note.file().write_all_at(text.as_bytes(), 0)?;
    if note.publish(name.as_ref(), false)? {
        return Ok(());
    }
    if has_note(dir, name, text)? && note.publish(name.as_ref(), true)? {
        return Ok(());
    }
    Err(dir.names_exhausted(name.as_ref()))
}

/// Returns whether a note has exactly this text.
pub(crate) fn has_note(dir: &Dir, name: &FileName, text: &str) -> fs::Result<bool> {
    Ok(read_text(dir, name)?.is_some_and(|there| there == text.as_bytes()))
}

/// Returns whether the note of that name is about the drop of this path.
pub(crate) fn belongs(dir: &Dir, name: &FileName, source: &Path) -> fs::Result<Belongs> {
    let Some(note) = read_text(dir, name)? else { return Ok(Belongs::Unknown) };
    let note = String::from_utf8_lossy(&note).into_owned();
    Ok(match note.lines().find(|line| line.starts_with(RETRY)) {
        Some(line) if line == retry_line(source) => Belongs::Yes,
        Some(_) => Belongs::No,
        None => Belongs::Unknown,
    })
}

/// Removes the note of this name if it is this file.
pub(crate) fn remove_note(dir: &Dir, name: &FileName, note: &DataFile) -> fs::Result<()> {
    let _ = dir.remove_if_unchanged(name.as_ref(), note, &note.stat()?, OpenWriters::Trusted)?;
    Ok(())
}

fn read_text(dir: &Dir, name: &FileName) -> fs::Result<Option<Vec<u8>>> {
    let Some(note) = dir.open_file(name.as_ref())? else { return Ok(None) };
    Ok(Some(note.read_at_most(0, LEN_MAX)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_written_since_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Dir::open(dir.path()).unwrap();
        let name = FileName::try_from("a.raw.rejected.txt".to_owned()).unwrap();
        write_note(&dir, &name, "why").unwrap();
        let found = dir.open_file(name.as_ref()).unwrap().unwrap();

        // The drop is rejected again, for the same reason.
        write_note(&dir, &name, "why").unwrap();
        remove_note(&dir, &name, &found).unwrap();
        assert!(has_note(&dir, &name, "why").unwrap());

        let found = dir.open_file(name.as_ref()).unwrap().unwrap();
        remove_note(&dir, &name, &found).unwrap();
        assert!(!has_note(&dir, &name, "why").unwrap());
    }
}
