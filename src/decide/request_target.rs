//! The target of a request: what `npyd redo` or `npyd take` was asked for. The file may be replaced
//! before npyd reads the request, and the request is not about the next file of that name.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::decide::request_kind::RequestKind;
use crate::decide::source_identity::SourceIdentity;
use crate::describe::Correction;

/// What a request is about. Each field is empty if the command could not see it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestTarget {
    /// The data files, in the form of [`FileSnapshot::target`].
    ///
    /// [`FileSnapshot::target`]: crate::decide::file_snapshot::FileSnapshot::target
    #[serde(default)]
    pub files: String,
    /// The key of the description.
    #[serde(default)]
    pub description: String,
    /// The identity of the drop: in the newest receipt with an array, or of the files.
    #[serde(default)]
    pub drop: String,
    /// The path of the array, if an array was named; lossy, because JSON is UTF-8.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub array: String,
}

/// What is another than when a request was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetChange {
    /// A data file.
    File,
    /// The description.
    Description,
}

/// What a request depends on.
#[derive(Debug, Clone, Copy)]
pub struct Depends {
    /// Its options replace keys of the description.
    pub on_description: bool,
    /// It takes what is there, so that the data must not become shorter. npyd may have restored
    /// the file on another file system.
    pub on_data: bool,
}

impl Depends {
    /// Returns what a request with these options depends on.
    #[must_use]
    pub fn of(kind: RequestKind, options: &str) -> Self {
        let has_keys = Correction::parse(options).is_ok_and(|options| !options.keys().is_empty());
        Depends { on_description: has_keys, on_data: kind == RequestKind::Take }
    }
}

impl RequestTarget {
    /// Parses the text form. A request of an older npyd has none: its target is unknown.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// Returns the text form: a JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Returns the request's target with the array that it names.
    #[must_use]
    pub fn with_array(self, array: &Path) -> Self {
        RequestTarget { array: array.to_string_lossy().into_owned(), ..self }
    }

    /// Returns whether the request is about the array of this path: it names that array, or none.
    #[must_use]
    pub fn may_be_array(&self, array: &Path) -> bool {
        self.array.is_empty() || self.array == array.to_string_lossy()
    }

    /// Returns what is another in `now`, of what the request depends on.
    #[must_use]
    pub fn change(&self, now: &RequestTarget, depends: Depends) -> Option<TargetChange> {
        let drops = [&self.drop, &now.drop].map(|text| SourceIdentity::parse(text));
        let [before, after] = &drops;
        let is_unknown = self.drop.is_empty() || now.drop.is_empty();
        let is_same_file = if self.files.is_empty() || now.files.is_empty() {
            is_unknown
                || before.is_of_data_files(after)
                || depends.on_data && before.has_size_and_mtime_of(after)
        } else {
            are_same_files(&self.files, &now.files, depends.on_data)
        };
        if !is_same_file {
            return Some(TargetChange::File);
        }
        let is_same_description = if self.description.is_empty() || now.description.is_empty() {
            is_unknown || before.has_description_of(after)
        } else {
            self.description == now.description
        };
        (depends.on_description && !is_same_description).then_some(TargetChange::Description)
    }
}

/// Returns whether these are the same files. Without a time of creation a file counts as another
/// once it changes, because file systems reuse inode numbers.
fn are_same_files(before: &str, now: &str, must_not_shrink: bool) -> bool {
    if before == now {
        return true;
    }
    let (first, further) = before.split_once('+').unwrap_or((before, ""));
    let (now, further_now) = now.split_once('+').unwrap_or((now, ""));
    let fields = |text: &str| -> Option<[i128; 4]> {
        let fields: Vec<_> = text.split(':').map(|it| it.parse().ok()).collect::<Option<_>>()?;
        fields.try_into().ok()
    };
    let (Some([ino, born, size, mtime]), Some(now)) = (fields(first), fields(now)) else {
        return false;
    };
    let is_unchanged = [ino, born, size, mtime] == now;
    let is_same = [ino, born] == now[..2] && born != 0 && !(must_not_shrink && now[2] < size);
    further == further_now && (is_unchanged || is_same)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REDO: Depends = Depends { on_description: false, on_data: false };
    const KEYS: Depends = Depends { on_description: true, on_data: false };
    const TAKE: Depends = Depends { on_description: false, on_data: true };

    fn target(files: &str, description: &str, drop: &str) -> RequestTarget {
        let [files, description, drop] = [files, description, drop].map(str::to_owned);
        RequestTarget { files, description, drop, array: String::new() }
    }

    #[test]
    fn another_file() {
        let file = Some(TargetChange::File);
        for (before, now, redo, take) in [
            ("1:5:24:7", "1:5:24:7", None, None),
            ("1:5:24:7", "1:5:28:9", None, None),
            ("1:5:24:7", "1:5:20:9", None, file),
            ("1:5:24:7", "1:6:24:7", file, file),
            ("2:5:24:7", "1:5:24:7", file, file),
            ("1:0:24:7", "1:0:24:7", None, None),
            ("1:0:24:7", "1:0:28:9", file, file),
            ("1:5:24:7+2:f", "1:5:28:9+2:f", None, None),
            ("1:5:24:7+2:f", "1:5:24:7+2:e", file, file),
            ("1:5:24:7+2:f", "1:5:24:7", file, file),
        ] {
            let (before, after) = (target(before, "d", "1:1:1:1"), target(now, "d", "2:2:2:2"));
            assert_eq!(before.change(&after, REDO), redo, "{before:?} {now}");
            assert_eq!(before.change(&after, TAKE), take, "{before:?} {now}");
        }
    }

    #[test]
    fn another_description() {
        let description = Some(TargetChange::Description);
        let seen = |description| target("1:5:24:7", description, "1:24:7:8");
        assert_eq!(seen("d").change(&seen("d"), KEYS), None);
        assert_eq!(seen("d").change(&seen("e"), KEYS), description);
        assert_eq!(seen("d").change(&seen("e"), REDO), None);
        let unseen = target("", "", "1:24:7:8 2:2:2:2 a.toml");
        for (now, change) in [
            ("1:24:7:9 2:2:2:9 a.toml", None),
            ("1:24:7:9 2:2:3:9 a.toml", description),
            ("1:24:7:9 2:2:2:9 b.toml", description),
            ("1:24:7:9", description),
        ] {
            let now = target("1:5:24:7", "d", now);
            assert_eq!(unseen.change(&now, KEYS), change, "{now:?}");
            assert_eq!(unseen.change(&now, REDO), None);
        }
    }

    /// The command saw no file, because npyd has moved it, or its user may not.
    #[test]
    fn known_from_the_ledger_alone() {
        let file = Some(TargetChange::File);
        let before = target("", "", "1:24:7:8");
        for (now, redo, take) in [
            ("1:24:7:9", None, None),
            ("2:24:7:9", file, None),
            ("1:28:7:9", file, file),
            ("1:24:6:9", file, file),
        ] {
            let now = target("1:5:24:7", "d", now);
            assert_eq!(before.change(&now, REDO), redo, "{now:?}");
            assert_eq!(before.change(&now, TAKE), take, "{now:?}");
        }
    }

    /// An older npyd stored no target.
    #[test]
    fn an_unknown_target_is_that_of_any_file() {
        let now = target("1:5:24:7", "d", "1:24:7:8");
        for text in ["", "{}", "no JSON"] {
            assert_eq!(RequestTarget::parse(text).change(&now, KEYS), None);
        }
        assert_eq!(RequestTarget::parse(&now.to_json()), now);
        assert!(!now.to_json().contains("array") && now.may_be_array(Path::new("/out/a.npy")));
        let of_array = now.with_array(Path::new("/out/a.npy"));
        assert_eq!(RequestTarget::parse(&of_array.to_json()), of_array);
        assert!(of_array.may_be_array(Path::new("/out/a.npy")));
        assert!(!of_array.may_be_array(Path::new("/out/a-1.npy")));
    }
}
