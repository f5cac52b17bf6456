//! Files that the text of an unusable description names. npyd rejects such a description alone,
//! because it can't tell which data it describes; what the text names is only reported.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::config::DropDir;
use crate::describe::text::text_of;
use crate::fs::{self, Dir};
use crate::model::{FileName, Stat};
use crate::probe::candidate::Candidate;
use crate::probe::may_describe;

/// Maximum number of bytes of a description that npyd examines.
const EXAMINED_MAX: usize = 64 << 10;

impl Candidate {
    /// Returns the files beside a description that can't be used and has no data that npyd knows,
    /// that its text names. They are in the order of the text.
    ///
    /// # Errors
    /// A file can't be read.
    pub fn named_files(&self, drop_dir: &DropDir) -> fs::Result<Vec<PathBuf>> {
        let Some(only) = self.input.only_file() else { return Ok(Vec::new()) };
        let is_description = self.dump.is_err() && self.input.description.is_none();
        if !is_description || !may_describe(only.name.as_str()) {
            return Ok(Vec::new());
        }
        let text = only.file.read_at_most(0, EXAMINED_MAX)?;
        let dir = Dir::open(&drop_dir.path)?;
        let mut paths = Vec::new();
        for name in names_in(&text_of(&text)) {
            let rel = only.rel.with_file_name(name.as_str());
            if drop_dir.ignore.reason(&rel, false).is_none()
                && dir.stat(&rel)?.as_ref().is_some_and(Stat::is_file)
            {
                paths.push(rel);
            }
        }
        Ok(paths)
    }
}

/// Returns the words of a text that look like names of data files: they have a dot. A name with
/// blanks is in quotes, or the rest of a line behind `=` or `:`.
pub(crate) fn names_in(text: &str) -> Vec<FileName> {
    let mut seen = BTreeSet::new();
    let mut names = Vec::new();
    for line in text.lines() {
        let value = line.split_once(['=', ':']).map_or(line, |(_, value)| value);
        let words = line.split(|c: char| c.is_whitespace() || "\"',;=:()[]{}<>".contains(c));
        for name in [line, value].into_iter().chain(line.split(['"', '\''])).chain(words) {
            let name = name.trim().trim_start_matches("./");
            let is_name = name.trim_matches('.').contains('.') && !may_describe(name);
            if is_name
                && !seen.contains(name)
                && let Ok(name) = FileName::try_from(name.to_owned())
            {
                seen.insert(name.to_string());
                names.push(name);
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_texts() {
        for (text, names) in [
            (
                "ElementDataFile = LIST\nc1.raw\nc 2.raw\nc1.raw\n",
                &["c1.raw", "c 2.raw", "2.raw"][..],
            ),
            ("data file: my data.raw\n", &["data file: my data.raw", "my data.raw", "data.raw"]),
            ("dtype='bogus'\ndata = ['a.bin', \"b c.bin\"]\n", &["a.bin", "b c.bin", "c.bin"]),
            ("DataFile=v1.eeg\nMarkerFile=v1.vmrk", &["v1.eeg"]),
            ("ElementDataFile = ./x.raw", &["x.raw"]),
            ("NDims = 2\nversion .5 ... ../x.raw", &[]),
        ] {
            let found = names_in(text);
            for name in names {
                assert!(found.iter().any(|it| it.as_str() == *name), "{name}: {found:?}");
            }
            assert!(found.iter().all(|it| it.as_str().contains('.')), "{found:?}");
        }
    }
}
