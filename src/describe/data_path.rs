//! The paths of the data files that a sidecar names, relative to the sidecar.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use crate::describe::DescribeError;
use crate::model::FileName;

/// Maximum number of data files that a sidecar may list.
pub const FILES_MAX: usize = 16_384;

/// The files that hold an array's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// The first of these files that exists.
    FirstOf(Vec<DataPath>),
    /// All of these files, concatenated. Each file contains an equal number of data bytes.
    Parts(Vec<DataPath>),
}

impl Data {
    /// Returns the number of files.
    #[must_use]
    pub fn count(&self) -> u64 {
        match self {
            Data::FirstOf(_) => 1,
            Data::Parts(parts) => parts.len().max(1) as u64,
        }
    }

    /// Returns all files, or all candidates for the one file.
    #[must_use]
    pub fn paths(&self) -> &[DataPath] {
        match self {
            Data::FirstOf(paths) | Data::Parts(paths) => paths,
        }
    }
}

/// The path of a data file relative to its sidecar's directory, without `..`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DataPath(PathBuf);

impl DataPath {
    /// Parses the path of a file in the sidecar's own directory: `x.raw` or `./x.raw`.
    ///
    /// # Errors
    /// The text is not the name of a file, or names another directory.
    pub fn beside(text: &str) -> Result<Self, DescribeError> {
        let path = Self::below(text)?;
        if path.0.components().count() > 1 {
            return Err(format!(
                "`{text}` is in another directory: put data and sidecar into one directory"
            )
            .into());
        }
        Ok(path)
    }

    /// Parses the path of a file in the sidecar's own directory or one below. Uses only the file
    /// name of a Windows path, because the data came from another computer, and adds a warning.
    ///
    /// # Errors
    /// The text is not the name of a file, or leads out of the directory.
    pub fn moved(text: &str, warnings: &mut Vec<String>) -> Result<Self, DescribeError> {
        let name = match text.as_bytes() {
            [letter, b':', b'/' | b'\\', ..] if letter.is_ascii_alphabetic() => {
                text.rsplit(['/', '\\']).next()
            }
            _ => text.rsplit_once('\\').map(|(_, name)| name),
        };
        let Some(name) = name else { return Self::below(text) };
        let path = Self::beside(name)?;
        warnings
            .push(format!("`{text}` is a path of Windows: npyd takes `{path}` beside the sidecar"));
        Ok(path)
    }

    /// Parses the path of a file in the sidecar's own directory or one below.
    ///
    /// # Errors
    /// The text is not the name of a file, or leads out of the directory.
    pub fn below(text: &str) -> Result<Self, DescribeError> {
        let mut path = PathBuf::new();
        for component in Path::new(text).components() {
            match component {
                Component::CurDir => {}
                Component::Normal(name) => {
                    let name = name.to_string_lossy().into_owned();
                    path.push(FileName::try_from(name)?.as_str());
                }
                _ => {
                    return Err(format!(
                        "{text:?} is outside the sidecar's directory: put the data beside it, and name them without a directory"
                    ).into());
                }
            }
        }
        if path.as_os_str().is_empty() || text.ends_with('/') {
            return Err(format!("{text:?} does not name a file").into());
        }
        Ok(DataPath(path))
    }

    /// Returns the path.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

impl From<FileName> for DataPath {
    fn from(name: FileName) -> Self {
        DataPath(PathBuf::from(name.as_str()))
    }
}

impl fmt::Display for DataPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_paths_stay_below_the_sidecars_directory() {
        for (text, path) in [("x.raw", "x.raw"), ("./x.raw", "x.raw")] {
            assert_eq!(DataPath::beside(text).unwrap().as_path(), Path::new(path));
        }
        assert_eq!(DataPath::below("a/b//x").unwrap().as_path(), Path::new("a/b/x"));
        for text in ["", ".", "/x", "../x", "a/../x", "a/", "a\nb", "a\0"] {
            assert!(DataPath::below(text).is_err(), "{text:?}");
        }
        assert!(DataPath::beside("a/x").is_err());
    }

    #[test]
    fn of_a_path_of_windows_the_name_counts() {
        let mut warnings = Vec::new();
        for text in [
            "C:\\Users\\x\\w.raw",
            "c:/Users/x/w.raw",
            "D:\\x/w.raw",
            "..\\w.raw",
            "\\\\nas\\share\\w.raw",
        ] {
            let path = DataPath::moved(text, &mut warnings).unwrap();
            assert_eq!(path.as_path(), Path::new("w.raw"));
            assert!(warnings.pop().unwrap().contains("beside the sidecar"));
        }
        for text in ["a/w.raw", "a:b.raw", "C:w.raw"] {
            assert_eq!(DataPath::moved(text, &mut warnings).unwrap().to_string(), text);
        }
        assert!(warnings.is_empty());
        for text in ["/w.raw", "../w.raw", "C:\\", "C:\\..", "C:/..", "..\\a/w.raw"] {
            assert!(DataPath::moved(text, &mut warnings).is_err(), "{text}");
        }
    }
}
