//! The origin of an array: where its source was.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use crate::model::FileName;

/// Where the source of an array was: a hash of its path, and its name. The identity of a source
/// changes when another file is dropped under its name; the origin does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    hash: u64,
    /// The file name, without a suffix that only pending files have.
    pub name: String,
}

impl Origin {
    /// Returns the origin of a source. A pending file has one origin with and without its suffix,
    /// because npyd may add the suffix before it moves the file.
    #[must_use]
    pub fn of(path: &Path, name: &FileName) -> Self {
        let name = name.without_pending_suffix().unwrap_or(name.as_str()).to_owned();
        Origin { hash: xxh3_64(path.with_file_name(&name).as_os_str().as_bytes()), name }
    }

    /// Parses the text form; `None` if it is invalid.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (hash, name) = text.split_once(' ')?;
        Some(Origin { hash: u64::from_str_radix(hash, 16).ok()?, name: name.to_owned() })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x} {}", self.hash, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_path_whatever_is_pending() {
        let origin = |path: &str| {
            let name = path.rsplit('/').next().unwrap_or_default().to_owned();
            Origin::of(Path::new(path), &FileName::try_from(name).unwrap())
        };
        assert_eq!(origin("/in/x.npy.pending"), origin("/in/x.npy"));
        for other in ["/in/scan.bin", "/in2/scan.raw", "/in/a/scan.raw"] {
            assert_ne!(origin(other), origin("/in/scan.raw"), "{other}");
        }
        let spaced = origin("/in/a name.raw");
        assert_eq!(Origin::parse(&spaced.to_string()), Some(spaced));
        assert_eq!(Origin::parse("no hash"), None);
    }
}
