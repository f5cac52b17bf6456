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
const IMPURE: &[&str] = &["std::fs", "rustix::", "notify::", "::now(", "std::env", "libc::"];

/// Files that decide without a look at the world.
const PURE: &[&str] = &[
    "src/npy/",
    "src/recognize/",
    "src/config.rs",
    "src/digest.rs",
    "src/ignore_rules.rs",
    "src/message.rs",
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

/// The program, its tests and its fuzz targets.
fn everything() -> impl Iterator<Item = Source> {
    ["src", "tests", "fuzz/src", "fuzz/fuzz_targets"].into_iter().flat_map(|dir| sources(dir, "rs"))
}

impl Source {
    /// All lines, each with its number.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(at, line)| (at + 1, line))
    }

    /// The lines of code, without the unit tests and comments, each with its number.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.lines().take_while(|(_, line)| *line != "#[cfg(test)]");
        lines.filter(|(_, line)| !is_comment(line))
    }

    /// Fails if one of these lines has one of these words.
    fn has_none_of<'a>(&self, words: &[&str], lines: impl Iterator<Item = (usize, &'a str)>) {
        for (number, line) in lines {
            for word in words {
                assert!(!line.contains(word), "{}:{number}: `{word}` has no place here", self.path);
            }
        }
    }
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// What calls on the reader's trust, as a word of its own.
fn is_unsafe(line: &str) -> bool {
    !is_comment(line) && line.split(|c: char| !c.is_alphanumeric()).any(|word| word == "unsafe")
}

#[test]
fn pure_files_know_no_world() {
    let pure: Vec<_> = sources("src", "rs")
        .into_iter()
        .filter(|source| PURE.iter().any(|pure| source.path.starts_with(pure)))
        .collect();
    assert!(pure.len() > PURE.len());
    for source in pure {
        source.has_none_of(IMPURE, source.code());
    }
}

#[test]
fn only_disk_is_unsafe() {
    for source in sources("src", "rs") {
        let in_disk = source.path.starts_with("src/disk/");
        for (number, _) in source.lines().filter(|(_, line)| is_unsafe(line)) {
            assert!(in_disk, "{}:{number}: only src/disk/ may be unsafe", source.path);
        }
    }
}

/// Right above the statement: a stranger can check the reason where it is needed.
#[test]
fn what_is_unsafe_says_why_it_is_safe() {
    let mut seen = 0;
    for source in sources("src/disk", "rs") {
        let lines: Vec<_> = source.text.lines().collect();
        for at in (0..lines.len()).filter(|at| is_unsafe(lines[*at])) {
            // rustfmt may put the call on the line below its `let`.
            let above = lines[..at].iter().rev().skip_while(|line| line.ends_with('='));
            let mut comment = above.take_while(|line| is_comment(line));
            let told = comment.any(|line| line.trim_start().starts_with("// SAFETY: "));
            assert!(told, "{}:{}: no SAFETY comment above", source.path, at + 1);
            seen += 1;
        }
    }
    assert!(seen > 0, "nothing is unsafe any more: then neither is this test of use");
}

/// Spelled so that this file does not hold them itself.
#[test]
fn nothing_is_left_undone() {
    let words = ["TO-DO", "FIX-ME", "to-do!", "unimple-mented!", "dbg-!", "#[al-low("]
        .map(|it| it.replace('-', ""));
    for source in everything() {
        source.has_none_of(&words.each_ref().map(String::as_str), source.lines());
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
        let mut open: Vec<(usize, usize)> = Vec::new();
        for (number, line) in source.lines() {
            let code = line.trim_start();
            let indent = line.len() - code.len();
            if !is_comment(line) && (code.starts_with("fn ") || code.contains(" fn ")) {
                open.retain(|(_, outer)| *outer < indent); // else a trait's, without a body
                open.push((number, indent));
            }
            if code == "}"
                && let Some((from, _)) = open.pop_if(|(_, outer)| *outer == indent)
            {
                let lines = number - from + 1;
                assert!(lines <= FUNCTION_LINES_MAX, "{}:{from}: {lines} lines", source.path);
            }
        }
    }
}

#[test]
fn lines_fit() {
    for source in everything() {
        for (number, line) in source.lines() {
            let max = if line.contains('"') { COLUMNS_MAX_WITH_TEXT } else { COLUMNS_MAX };
            let columns = line.chars().count();
            assert!(columns <= max, "{}:{number}: {columns} columns", source.path);
        }
    }
}

/// Tables, links and code can't be broken everywhere.
#[test]
fn prose_fits() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"] {
        let text = fs::read_to_string(root.join(name)).unwrap();
        let mut fenced = false;
        for (number, line) in text.lines().enumerate() {
            fenced ^= line.starts_with("```");
            if !fenced && !line.starts_with('|') && !line.contains("](") {
                let columns = line.chars().count();
                assert!(columns <= COLUMNS_MAX, "{name}:{}: {columns} columns", number + 1);
            }
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
