//! File names that npyd accepts: one component, UTF-8, no control characters.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt;
use std::path::Path;

use serde::Deserialize;

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
        let (stem, extension) = match self.0.rfind('.') {
            Some(dot) if dot > 0 => self.0.split_at(dot),
            _ => (self.0.as_str(), ""),
        };
        FileName(format!("{stem}-{number}{extension}"))
    }

    /// Returns the name of this file's backup of that number, as GNU's tools number them:
    /// `scan.npy.~1~`. A long name is shortened; it keeps its beginning and its extension.
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

    fn backup_stem(&self) -> Cow<'_, str> {
        if self.0.len() <= BACKUP_STEM_MAX {
            return Cow::Borrowed(&self.0);
        }
        let dot = self.0.rfind('.').filter(|dot| *dot > 0).unwrap_or(self.0.len());
        let (stem, extension) = self.0.split_at(dot);
        let room = BACKUP_STEM_MAX.saturating_sub(extension.len());
        Cow::Owned(format!("{}{extension}", &stem[..stem.floor_char_boundary(room)]))
    }
}

impl TryFrom<String> for FileName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if name.is_empty() || name == "." || name == ".." || name.contains('/') {
            Err(format!("{name:?} is not a plain file name: no directories are allowed"))
        } else if name.chars().any(char::is_control) {
            Err(format!("{name:?} contains a control character: rename the file"))
        } else if name.len() > 255 {
            Err(format!("a file name may have 255 bytes, not {}", name.len()))
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

/// Maximum length of a backup's name before `.~9999~`, in bytes.
const BACKUP_STEM_MAX: usize = 255 - ".~9999~".len();

/// Splits a backup's name into the name of its file and its number.
pub(crate) fn split_backup(name: &str) -> Option<(&str, u32)> {
    let (stem, number) = name.strip_suffix('~')?.rsplit_once(".~")?;
    let is_number = !number.starts_with('0') && number.bytes().all(|digit| digit.is_ascii_digit());
    let number = number.parse().ok().filter(|_| is_number)?;
    (!stem.is_empty()).then_some((stem, number))
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
