//! Checks the catalogue in `docs/durability.md`: it has every case, and every test that it names
//! exists.

use std::fs;
use std::path::Path;

const CASES: usize = 74;

/// A sentence in place of tests has at least so many characters.
const SENTENCE_MIN: usize = 30;

/// A row of the catalogue.
struct Case {
    number: usize,
    tests: String,
    result: String,
}

fn catalogue() -> Vec<Case> {
    let text = include_str!("../../../docs/durability.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix('|'));
    rows.filter_map(|row| {
        let cells: Vec<_> = row.split(" |").map(str::trim).collect();
        let number = cells[0].parse().ok()?;
        assert!(cells.len() >= 4, "case {number} has {} cells", cells.len());
        Some(Case { number, tests: cells[2].to_owned(), result: cells[3].to_owned() })
    })
    .collect()
}

/// What stands in backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Returns the text of a module: of the library, or of the tests, where the folder of its subject
/// may be left out. `cargo test MODULE::TEST` finds a test without that folder, too.
fn module(path: &str) -> Option<String> {
    let path = path.replace("::", "/");
    let file = |dir: &Path| {
        let files = [dir.join(format!("{path}.rs")), dir.join(&path).join("mod.rs")];
        files.into_iter().find_map(|file| fs::read_to_string(file).ok())
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let subjects = fs::read_dir(root.join("tests/it")).unwrap().map(|it| it.unwrap().path());
    let tests: Vec<_> =
        subjects.chain([root.join("tests/it")]).filter_map(|it| file(&it)).collect();
    assert!(tests.len() < 2, "several test modules are named `{path}`");
    tests.into_iter().next().or_else(|| file(&root.join("src")))
}

/// Returns whether the module in `name` has that test: as a function, or through one of its macros.
/// A name without `::` is the path of a file in the repository.
fn has_test(name: &str) -> bool {
    let Some((path, test)) = name.rsplit_once("::") else {
        return name.contains('/') && Path::new(env!("CARGO_MANIFEST_DIR")).join(name).exists();
    };
    let Some(source) = module(path) else { return false };
    let lines: Vec<_> = source.lines().map(str::trim).collect();
    let is_it = |at: usize| lines[at].starts_with(&format!("fn {test}("));
    let written = (1..lines.len()).any(|at| is_it(at) && lines[..at].ends_with(&["#[test]"]));
    // In a list of names for a macro: `test: …;` beside `fn $name`.
    let listed = source.contains("fn $name()")
        && lines.iter().any(|line| line.starts_with(&format!("{test}:")));
    // `name!(test, test);` with `macro_rules! name` above.
    let made = lines.iter().any(|line| {
        line.split_once("!(").is_some_and(|(name, tests)| {
            let words = tests.split(|c: char| !(c.is_alphanumeric() || c == '_'));
            source.contains(&format!("macro_rules! {name} "))
                && words.into_iter().any(|it| it == test)
        })
    });
    written || listed || made
}

#[test]
fn every_case_is_in_the_catalogue() {
    let numbers: Vec<_> = catalogue().iter().map(|case| case.number).collect();
    assert_eq!(numbers, (1..=CASES).collect::<Vec<_>>());
}

#[test]
fn every_case_names_tests_or_says_why_none_can_exist() {
    for Case { number, tests, result } in catalogue() {
        let mut names = quoted(&tests).peekable();
        let says_why = tests.chars().count() >= SENTENCE_MIN;
        assert!(names.peek().is_some() || says_why, "case {number}: `{tests}` says too little");
        for name in names {
            assert!(has_test(name), "case {number}: there is no test `{name}`");
        }
        assert!(!result.is_empty(), "case {number} tells no result");
    }
}

/// The judge itself can say no.
#[test]
fn tests_that_do_not_exist_are_not_found() {
    for name in
        ["durability::nothing", "nothing::at_all", "durability::quoted", "filesystems::ext9"]
    {
        assert!(!has_test(name), "{name}");
    }
    assert!(has_test("filesystems::ext2") && has_test("npy::no_bytes_are_too_much"));
}
