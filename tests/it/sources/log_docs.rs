//! Checks that `docs/log.md` describes every event and every field that the log and standard output
//! can have, as the sources write them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const DOCS: &str = include_str!("../../../docs/log.md");

fn source(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The text between the first `start` and the `end` behind it.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let rest = text.split_once(start).unwrap_or_else(|| panic!("no `{start}`")).1;
    rest.split_once(end).unwrap_or_else(|| panic!("no `{end}` behind `{start}`")).0
}

/// The texts in quotes that stand behind `before`.
fn quoted<'a>(text: &'a str, before: &str) -> Vec<&'a str> {
    text.split(&format!("{before}\"")).skip(1).filter_map(|it| it.split('"').next()).collect()
}

/// The names of the fields of all log lines: the arguments of `tracing::LEVEL!` before its text.
fn fields_of_the_log() -> BTreeSet<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sinks/log");
    let mut fields = BTreeSet::new();
    for entry in fs::read_dir(dir).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        for call in text.split("tracing::").skip(1) {
            let Some((level, arguments)) = call.split_once("!(") else { continue };
            if !level.chars().all(|c| c.is_alphabetic() || c == '$') {
                continue;
            }
            for argument in arguments.split(',').map(str::trim) {
                let is_text = argument.starts_with(['"', '$']);
                let name = argument.split('=').next().unwrap().trim();
                if is_text || !name.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
                    break;
                }
                fields.insert(name.to_owned());
            }
        }
    }
    fields
}

/// The names of the fields of receipts in JSON, and of `npyd finalize --dry-run --json`.
fn fields_of_receipts() -> BTreeSet<String> {
    let receipt = source("src/events/receipt.rs");
    let fields =
        between(&receipt, "pub struct Receipt {", "\n}").replace("#[serde(skip)]\n    pub", "");
    let fields =
        fields.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split(':').next());
    let planned = source("src/cli/finalize/dry_run.rs");
    let planned = between(&planned, "fn to_json", ".to_string()\n    }").lines();
    let planned = planned.filter_map(|line| line.trim().strip_prefix('"')?.split('"').next());
    let entry = source("src/ledger/entry.rs");
    let added = quoted_before(&entry, "receipt.insert(");
    fields.chain(planned).map(str::to_owned).chain(added).collect()
}

fn quoted_before(text: &str, before: &str) -> Vec<String> {
    quoted(text, before).into_iter().map(str::to_owned).collect()
}

/// The names of all events.
fn events() -> BTreeSet<String> {
    let kinds = source("src/events/receipt_event.rs");
    let kinds = between(&kinds, "impl ReceiptEvent {", "\n}");
    let requests = source("src/decide/request_kind.rs");
    let requests = between(&requests, "pub fn as_str", "\n    }");
    let retried = source("src/ledger/row_kind.rs");
    let planned = source("src/cli/finalize/dry_run.rs");
    let causes = source("src/sinks/log/causes.rs");
    [
        quoted_before(kinds, "=> "),
        quoted_before(requests, "=> "),
        quoted_before(&retried, "RowKind::Retried => "),
        quoted_before(&planned, "\"event\": "),
        quoted_before(&causes, "event = "),
    ]
    .concat()
    .into_iter()
    .collect()
}

fn expect(names: &BTreeSet<String>, known: &[&str]) {
    for name in known {
        assert!(names.contains(*name), "`{name}` was not found in the sources: {names:?}");
    }
}

#[test]
fn every_field_is_documented() {
    let fields: BTreeSet<_> = fields_of_the_log().union(&fields_of_receipts()).cloned().collect();
    expect(&fields, &["event", "drops", "kind", "count", "dir", "at", "percent", "would"]);
    let missing: Vec<_> =
        fields.iter().filter(|it| !DOCS.contains(&format!("\n| `{it}` |"))).collect();
    assert!(missing.is_empty(), "docs/log.md has no row for the fields {missing:?}");
}

/// The values of the field `kind`.
#[test]
fn every_kind_of_report_is_documented() {
    let events = source("src/events/left_alone.rs");
    let left_alone = between(&events, "impl LeftAloneKind {", "\n}");
    let finished = source("src/sinks/log/finished.rs");
    let waits = source("src/sinks/log/wait_line.rs");
    let kinds =
        [quoted(left_alone, "=> "), quoted(&finished, "kind = "), quoted(&waits, "kind = ")]
            .concat();
    assert!(kinds.len() > 5, "{kinds:?}");
    let row = between(DOCS, "\n| `kind` |", "\n");
    let missing: Vec<_> = kinds.iter().filter(|it| !row.contains(&format!("`{it}`"))).collect();
    assert!(missing.is_empty(), "docs/log.md does not list {missing:?}");
}

#[test]
fn every_event_is_documented() {
    let events = events();
    expect(&events, &["finalized", "waiting", "redo", "take", "retried", "suspended", "planned"]);
    let table = between(DOCS, "## Events", "\n## ");
    let missing: Vec<_> =
        events.iter().filter(|it| !table.contains(&format!("\n| `{it}` |"))).collect();
    assert!(missing.is_empty(), "docs/log.md has no row for the events {missing:?}");
    let rows = table.lines().filter_map(|row| row.strip_prefix("| `")?.split('`').next());
    let stale: Vec<_> = rows.filter(|row| !events.contains(*row)).collect();
    assert!(stale.is_empty(), "docs/log.md has rows for {stale:?}, which do not exist");
}

#[test]
fn every_kind_of_reason_is_documented() {
    let source = source("src/decide/reason_kind.rs");
    let kinds = quoted_before(&source, "=> ");
    assert!(kinds.len() > 20, "{kinds:?}");
    let (_, table) = DOCS.split_once("## Kinds of reasons").unwrap();
    let missing: Vec<_> =
        kinds.iter().filter(|it| !table.contains(&format!("\n| `{it}` |"))).collect();
    assert!(missing.is_empty(), "docs/log.md has no row for the kinds {missing:?}");
    assert_eq!(table.matches("\n| `").count(), kinds.len() + 1, "{table}");
}
