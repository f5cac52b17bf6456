//! Checks that reasons are values: no type that a reason holds carries a finished text.

use std::fs;
use std::path::Path;

/// The files in `src/` that define reasons and what they hold.
const FILES: [&str; 15] = [
    "decide/abandoned.rs",
    "decide/ambiguity.rs",
    "decide/argument_problem.rs",
    "decide/change.rs",
    "decide/description_remark.rs",
    "decide/name_taker.rs",
    "decide/output_problem.rs",
    "decide/reason.rs",
    "decide/request_problem.rs",
    "decide/route.rs",
    "decide/route_obstacle.rs",
    "decide/route_problem.rs",
    "decide/work_error.rs",
    "describe/text/error.rs",
    "model/system_error.rs",
];

/// The fields that are a `String` nevertheless. Each is a name, a quotation, or the text of
/// something that `decide` does not know.
const EXCEPTIONS: [(&str, &str); 12] = [
    ("decide/argument_problem.rs", "NoAbsolutePath(String),"), // the operating system's
    ("decide/reason.rs", "NoMatch(String),"),                  // a glob
    ("decide/reason.rs", "glob: String,"),
    ("decide/reason.rs", "table: String,"), // a key of the user's
    ("decide/reason.rs", "sidecar: Option<String>,"), // a name
    ("decide/reason.rs", "rejected: String,"), // from the ledger
    ("decide/work_error.rs", "Ledger(String),"), // SQLite's
    ("decide/work_error.rs", "Recorded(String),"), // from the ledger
    ("describe/text/error.rs", "Text(String),"), // a parser's: it alone knows the remedy
    ("describe/text/error.rs", "line: String,"), // a line of a description
    ("describe/text/error.rs", "glob: String,"),
    ("model/system_error.rs", "Own(String),"), // a library's, or npyd's in place of a call
];

/// The fields with text of the types that a file defines.
fn texts(file: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file);
    let text = fs::read_to_string(path).unwrap();
    let mut fields = Vec::new();
    let mut is_in_type = false;
    for line in text.lines() {
        is_in_type |= line.starts_with("pub enum ") || line.starts_with("pub struct ");
        is_in_type &= line != "}" && !line.ends_with(';');
        let line = line.trim();
        let is_field = line.ends_with(',') && !line.starts_with(['/', '"']);
        let has_text = ["String", "str", "Cow<"].iter().any(|it| names(line, it));
        if is_in_type && is_field && has_text {
            fields.push(line.to_owned());
        }
    }
    fields
}

fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        !line[..at].ends_with(is_part) && !line[at + word.len()..].starts_with(is_part)
    })
}

#[test]
fn a_reason_carries_no_finished_text() {
    let found = FILES.iter().flat_map(|file| texts(file).into_iter().map(move |it| (*file, it)));
    let found: Vec<_> = found.collect();
    for (file, field) in &found {
        let is_exception = EXCEPTIONS.contains(&(*file, field.as_str()));
        assert!(
            is_exception || field.contains("&'static str"),
            "src/{file}: `{field}` holds a text: carry what it says as fields, or as a typed error"
        );
    }
    for (file, field) in EXCEPTIONS {
        assert!(
            found.iter().any(|it| (it.0, it.1.as_str()) == (file, field)),
            "src/{file} has no `{field}` any more: remove the exception"
        );
    }
}
