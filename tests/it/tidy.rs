//! The invariants that can be read off the sources.

use std::fs;
use std::path::{Path, PathBuf};

/// Lines a file may have.
const LINES_MAX: usize = 500;

/// Lines a function may have, with its signature.
const FUNCTION_LINES_MAX: usize = 70;

/// Columns a line may have; more where it holds a message, which is best read in one piece.
const COLUMNS_MAX: usize = 100;
const COLUMNS_MAX_WITH_TEXT: usize = 130;

/// What the pure files never name: neither the world nor the clock.
const IMPURE: &[&str] =
    &["std::fs", "rustix::", "notify::", "memmap2", "::now(", "std::env", "libc::"];

/// Files that decide without a look at the world.
const PURE: &[&str] = &[
    "src/npy/",
    "src/recognize/",
    "src/config.rs",
    "src/digest.rs",
    "src/plan.rs",
    "src/settle.rs",
    "src/stamp.rs",
];

/// A source file: its path below the repository, and its text.
struct Source {
    path: String,
    text: String,
}

fn sources(dir: &str, extension: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut dirs = vec![root.join(dir)];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|it| it == extension) {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.push(Source { path, text });
            }
        }
    }
    assert!(!found.is_empty(), "no sources below {dir}");
    found
}

impl Source {
    /// The lines of code, without the unit tests and comments, each with its number.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let code = self.text.split("#[cfg(test)]").next().unwrap();
        let lines = code.lines().enumerate().map(|(at, line)| (at + 1, line));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// Fails if a line of code has one of these words.
    fn has_none_of(&self, words: &[&str]) {
        for (number, line) in self.code() {
            for word in words {
                assert!(!line.contains(word), "{}:{number}: `{word}` has no place here", self.path);
            }
        }
    }
}

#[test]
fn pure_files_know_no_world() {
    let pure: Vec<_> = sources("src", "rs")
        .into_iter()
        .filter(|source| PURE.iter().any(|pure| source.path.starts_with(pure)))
        .collect();
    assert!(pure.len() > PURE.len());
    for source in pure {
        source.has_none_of(IMPURE);
    }
}

#[test]
fn only_disk_is_unsafe() {
    for source in sources("src", "rs") {
        if !source.path.starts_with("src/disk/") {
            source.has_none_of(&["unsafe"]);
        }
    }
}

/// Spelled so that this file does not hold them itself.
#[test]
fn nothing_is_left_undone() {
    let words = ["TO-DO", "FIX-ME", "to-do!", "unimple-mented!", "dbg-!", "#[al-low("]
        .map(|it| it.replace('-', ""));
    for source in sources("src", "rs").into_iter().chain(sources("tests", "rs")) {
        source.has_none_of(&words.each_ref().map(String::as_str));
    }
}

#[test]
fn files_are_one_noun_each() {
    for source in sources("src", "rs") {
        let lines = source.text.lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines: split it", source.path);
    }
}

#[test]
fn functions_fit_a_screen() {
    for source in sources("src", "rs") {
        let mut start = None;
        for (number, line) in source.text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let code = line.trim_start();
            let opens = ["fn ", "pub fn ", "pub(super) fn ", "pub(crate) fn "];
            if opens.iter().any(|it| code.starts_with(it)) {
                start = Some((number, indent));
            }
            if let Some((from, depth)) = start
                && indent == depth
                && code == "}"
            {
                let lines = number - from + 1;
                assert!(lines <= FUNCTION_LINES_MAX, "{}:{}: {lines} lines", source.path, from + 1);
                start = None;
            }
        }
    }
}

#[test]
fn lines_fit() {
    let mut texts = sources("src", "rs");
    texts.extend(sources("tests", "rs"));
    for source in texts {
        for (number, line) in source.text.lines().enumerate() {
            let columns = line.chars().count();
            let max = if line.contains('"') { COLUMNS_MAX_WITH_TEXT } else { COLUMNS_MAX };
            assert!(columns <= max, "{}:{}: {columns} columns", source.path, number + 1);
        }
    }
}

#[test]
fn the_architecture_names_every_module() {
    let map = include_str!("../../ARCHITECTURE.md");
    let library = include_str!("../../src/lib.rs");
    for module in
        library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
    {
        let named = [format!("`{module}.rs`"), format!("`{module}/`")];
        assert!(
            named.iter().any(|it| map.contains(it)),
            "ARCHITECTURE.md does not name `{module}`"
        );
    }
}
