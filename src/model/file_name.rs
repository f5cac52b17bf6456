//! File names that npyd accepts: one component, UTF-8, no control characters.
//!
//! A name that npyd derives from another one (`scan-1.npy`, `scan.raw.1`, `scan.toml.done`) is
//! never longer than a file name may be: the original name is cut before its extension.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use serde::Deserialize;
use thiserror::Error;

/// Maximum length of a file name, in bytes (`NAME_MAX`).
pub const NAME_MAX: usize = 255;

/// Highest number that npyd appends to a name that is taken.
pub const NUMBER_MAX: u32 = 9_999;

/// A file name without directories and without characters that could corrupt a terminal or a log.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct FileName(String);

impl FileName {
    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name of the `.npy` file made from this one: `.npy` in place of the extension,
    /// after a `.pending` or `.part` is removed.
    #[must_use]
    pub fn as_npy(&self) -> FileName {
        let name = self.without_pending_suffix().unwrap_or(&self.0);
        FileName(format!("{}.npy", without_extension(name)))
    }

    /// Returns the name without its suffix `.pending` or `.part`; `None` if it has neither.
    #[must_use]
    pub fn without_pending_suffix(&self) -> Option<&str> {
        [".pending", ".part"]
            .iter()
            .find_map(|suffix| self.0.strip_suffix(suffix))
            .filter(|rest| !rest.is_empty())
    }

    /// Returns the `number`th name to try if this one is taken: `scan-1.npy`.
    #[must_use]
    pub fn numbered(&self, number: u32) -> FileName {
        let number = format!("-{number}");
        let (stem, extension) = self.parts_within(NAME_MAX - number.len());
        FileName(format!("{stem}{number}{extension}"))
    }

    /// Returns the number with which [`FileName::numbered`] makes the name `other` of this one.
    #[must_use]
    pub fn number_of(&self, other: &str) -> Option<u32> {
        let end = other.rfind('-')? + 1;
        let digits = other[end..].find(|c: char| !c.is_ascii_digit()).unwrap_or(other.len() - end);
        let number = other[end..end + digits].parse().ok()?;
        ((1..=NUMBER_MAX).contains(&number) && self.numbered(number).0 == other).then_some(number)
    }

    /// Returns the name with a suffix appended: `scan.toml.done`.
    #[must_use]
    pub fn with_suffix(&self, suffix: &str) -> FileName {
        let (stem, extension) = self.parts_within(NAME_MAX.saturating_sub(suffix.len()));
        FileName(format!("{stem}{extension}{suffix}"))
    }

    /// Returns the names for a file that moves to another directory: `scan.raw`, `scan.raw.1`,
    /// `scan.raw.2`, …
    pub fn alternatives(&self) -> impl Iterator<Item = FileName> {
        (0..=NUMBER_MAX).map(|number| self.alternative(number))
    }

    /// Returns the alternative of that number: 0 is the name itself, 1 is `scan.raw.1`.
    #[must_use]
    pub fn alternative(&self, number: u32) -> FileName {
        if number == 0 { self.clone() } else { self.with_suffix(&format!(".{number}")) }
    }

    /// Returns the name and the number of which this is the alternative: of `scan.raw.1`, that is
    /// `scan.raw` and 1. Returns `None` as the name if it has no number.
    #[must_use]
    pub fn without_number(&self) -> (Option<FileName>, u32) {
        let split = self.0.rsplit_once('.').filter(|(stem, number)| {
            !stem.is_empty()
                && !number.starts_with('0')
                && number.bytes().all(|digit| digit.is_ascii_digit())
        });
        match split.and_then(|(stem, number)| Some((stem, number.parse().ok()?))) {
            Some((stem, number)) => (Some(FileName(stem.to_owned())), number),
            None => (None, 0),
        }
    }

    /// Returns the name of this file's backup of that number, as GNU's tools number them:
    /// `scan.npy.~1~`.
    #[must_use]
    pub fn backup(&self, number: u32) -> FileName {
        FileName(format!("{}.~{number}~", self.backup_stem()))
    }

    /// Returns the number of a backup of this file; `None` where `other` is not the name of one.
    #[must_use]
    pub fn backup_number(&self, other: &str) -> Option<u32> {
        let (stem, number) = split_backup(other)?;
        (stem == self.backup_stem()).then_some(number)
    }

    /// Returns the name before `.~1~`. It does not depend on the number.
    fn backup_stem(&self) -> String {
        let (stem, extension) = self.parts_within(NAME_MAX - ".~9999~".len());
        format!("{stem}{extension}")
    }

    /// Returns the file name of a path, if npyd accepts it.
    #[must_use]
    pub fn of_path(path: &Path) -> Option<FileName> {
        FileName::try_from(path.file_name()?.to_str()?.to_owned()).ok()
    }

    /// Returns the stem and the extension, together in at most `max` bytes.
    fn parts_within(&self, max: usize) -> (&str, &str) {
        let (stem, extension) = parts_within(self.0.as_bytes(), max);
        (&self.0[..stem.len()], &self.0[self.0.len() - extension.len()..])
    }
}

/// Why npyd does not take a text as a file name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FileNameError {
    /// It is empty, or the path of a directory.
    #[error("{0:?} is not a plain file name: no directories are allowed")]
    NotPlain(String),
    /// It has a character that no terminal can show.
    #[error("{0:?} contains a control character: rename the file")]
    ControlCharacter(String),
    /// It is too long for a file system; the value is its length.
    #[error("a file name may have {NAME_MAX} bytes, not {0}")]
    TooLong(usize),
    /// It is not UTF-8.
    #[error("{} is not UTF-8: rename the file", Path::new(.0).display())]
    NotUtf8(OsString),
}

impl TryFrom<String> for FileName {
    type Error = FileNameError;

    fn try_from(name: String) -> Result<Self, FileNameError> {
        if name.is_empty() || name == "." || name == ".." || name.contains('/') {
            Err(FileNameError::NotPlain(name))
        } else if name.chars().any(char::is_control) {
            Err(FileNameError::ControlCharacter(name))
        } else if name.len() > NAME_MAX {
            Err(FileNameError::TooLong(name.len()))
        } else {
            Ok(FileName(name))
        }
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<Path> for FileName {
    fn as_ref(&self) -> &Path {
        Path::new(&self.0)
    }
}

/// Maximum length of an extension, in bytes. What follows the dot of a longer one is part of the
/// stem, because it would leave no room for the beginning of the name.
const EXTENSION_MAX: usize = 32;

/// Returns a name of any bytes with a suffix appended, in at most [`NAME_MAX`] bytes.
pub(crate) fn with_suffix(name: &OsStr, suffix: &str) -> OsString {
    let (stem, extension) = parts_within(name.as_bytes(), NAME_MAX.saturating_sub(suffix.len()));
    OsString::from_vec([stem, extension, suffix.as_bytes()].concat())
}

/// Splits a name into its stem and its extension with the dot, and cuts the stem so that both
/// together have at most `max` bytes. The cut is at a boundary of UTF-8 characters; other encodings
/// are cut anywhere.
fn parts_within(name: &[u8], max: usize) -> (&[u8], &[u8]) {
    let dot = name.iter().rposition(|byte| *byte == b'.').filter(|dot| *dot > 0);
    let dot = dot.filter(|dot| name.len() - dot <= EXTENSION_MAX).unwrap_or(name.len());
    let (stem, extension) = name.split_at(dot);
    let room = max.saturating_sub(extension.len());
    (cut(stem, room), extension)
}

/// Returns the beginning of a name, in at most `max` bytes and whole characters of UTF-8.
pub(crate) fn cut(name: &[u8], max: usize) -> &[u8] {
    if name.len() <= max {
        return name;
    }
    let is_boundary = |at: &usize| name[*at] & 0xc0 != 0x80;
    let end = (max.saturating_sub(3)..=max).rev().find(is_boundary).unwrap_or(max);
    &name[..end]
}

/// Splits a backup's name into the name of its file and its number.
pub(crate) fn split_backup(name: &str) -> Option<(&str, u32)> {
    let (stem, number) = name.strip_suffix('~')?.rsplit_once(".~")?;
    let is_number = !number.starts_with('0') && number.bytes().all(|digit| digit.is_ascii_digit());
    let number = number.parse().ok().filter(|_| is_number)?;
    (!stem.is_empty()).then_some((stem, number))
}

/// Returns whether a file with this name, or at this path, has the extension of arrays.
#[must_use]
pub fn is_npy_name(name: impl AsRef<Path>) -> bool {
    name.as_ref().extension().is_some_and(|extension| extension == "npy")
}

/// Returns whether a file with this name is the backup of an array: `*.npy.~N~`.
#[must_use]
pub(crate) fn is_array_backup(name: &str) -> bool {
    split_backup(name).is_some_and(|(stem, _)| is_npy_name(stem))
}

/// Removes a file name's extension. An extension begins with a letter and has no blanks: the text
/// after the last dot of `scene_0.5m`, `frame.001` or `scan no. 7` is part of the name.
pub(crate) fn without_extension(name: &str) -> &str {
    let extension = Path::new(name).extension().and_then(OsStr::to_str);
    let is_extension = |text: &&str| {
        text.chars().next().is_none_or(char::is_alphabetic) && !text.contains(char::is_whitespace)
    };
    match extension.filter(is_extension) {
        Some(extension) => &name[..name.len() - extension.len() - 1],
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: impl Into<String>) -> FileName {
        FileName::try_from(text.into()).unwrap()
    }

    #[test]
    fn derived_names_keep_the_beginning_and_the_suffix() {
        assert_eq!(name("scan.raw").with_suffix(".done").as_str(), "scan.raw.done");
        for len in 200..=NAME_MAX {
            for character in ["x", "é", "€", "😀"] {
                let stem = character.repeat((len - 4) / character.len());
                let long = name(format!("{stem}{}.npy", "y".repeat(len - 4 - stem.len())));
                assert_eq!(long.as_str().len(), len);
                for (derived, end) in [
                    (long.numbered(1), "-1.npy"),
                    (long.numbered(NUMBER_MAX), "-9999.npy"),
                    (long.backup(NUMBER_MAX), ".npy.~9999~"),
                    (long.with_suffix(".rejected.txt"), ".npy.rejected.txt"),
                    (long.alternatives().last().unwrap(), ".npy.9999"),
                ] {
                    let derived = derived.as_str();
                    let beginning = derived.strip_suffix(end).unwrap();
                    assert!(derived.len() <= NAME_MAX, "{len}: {derived}");
                    assert!(long.as_str().starts_with(beginning), "{len}: {derived}");
                    let shortest = NAME_MAX - end.len() - 3;
                    assert!(beginning.len() >= shortest.min(len - 4), "{len}: {derived}");
                }
                assert_eq!(long.backup_number(long.backup(12).as_str()), Some(12));
                for number in [1, 20, NUMBER_MAX] {
                    assert_eq!(long.number_of(long.numbered(number).as_str()), Some(number));
                }
            }
        }
    }

    #[test]
    fn alternatives_and_their_numbers() {
        for (text, stem, number) in [
            ("scan.raw.1", Some("scan.raw"), 1),
            ("scan.raw.9999", Some("scan.raw"), 9999),
            ("scan.7", Some("scan"), 7),
            ("scan.raw", None, 0),
            ("scan.raw.01", None, 0),
            (".1", None, 0),
            ("scan.", None, 0),
            ("scan.99999999999", None, 0),
        ] {
            let (found, found_number) = name(text).without_number();
            assert_eq!(
                (found.as_ref().map(FileName::as_str), found_number),
                (stem, number),
                "{text}"
            );
            if let Some(found) = found {
                assert_eq!(found.alternative(number), name(text));
            }
        }
    }

    #[test]
    fn numbers_of_names() {
        for (of, other, number) in [
            ("x.npy", "x-1.npy", Some(1)),
            ("a-2.b.npy", "a-2.b-30.npy", Some(30)),
            ("x", "x-4", Some(4)),
            ("x-y", "x-y-4", Some(4)),
            ("x.npy", "x.npy", None),
            ("x.npy", "x-0.npy", None),
            ("x.npy", "x-01.npy", None),
            ("x.npy", "x-10000.npy", None),
            ("x.npy", "x-99999999999.npy", None),
            ("x.npy", "x-.npy", None),
            ("x.npy", "x-1.raw", None),
            ("x.npy", "y-1.npy", None),
            ("x.npy", "x-1-1.npy", None),
            ("x-é.npy", "x-é-1.npy", Some(1)),
        ] {
            assert_eq!(name(of).number_of(other), number, "{of} {other}");
        }
    }

    #[test]
    fn names_of_other_encodings_and_without_an_extension() {
        let cut = |bytes: &[u8]| with_suffix(OsStr::from_bytes(bytes), ".1").into_vec();
        assert_eq!(cut(b"gr\xfc\xdfe.raw"), b"gr\xfc\xdfe.raw.1");
        for byte in [b'x', 0xff, 0x80, 0xc3] {
            let long = cut(&[&[byte; 251][..], b".raw"].concat());
            assert!(long.len() <= NAME_MAX && long.starts_with(&[byte; 240]), "{long:?}");
            assert!(long.ends_with(b".raw.1"), "{long:?}");
        }
        assert_eq!(cut(&[b'x'; 255]), [&[b'x'; 253][..], b".1"].concat());
        let long_extension = [b"x.", &[b'y'; 253][..]].concat();
        assert_eq!(cut(&long_extension), [b"x.", &[b'y'; 251][..], b".1"].concat());
    }
}
