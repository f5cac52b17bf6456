//! Prints an explanation as text: one labeled row for each fact.

use std::path::Path;

use serde_json::Value;

use crate::cli::print;

/// Prints the facts that the explanation has.
pub(super) fn print_text(path: &Path, report: &Value) {
    print(&path.display().to_string());
    let rows: [(&str, &[&str]); 20] = [
        ("kind", &["taken_for"]),
        ("part", &["part"]),
        ("described by", &["sidecar"]),
        ("data file", &["data"]),
        ("verdict", &["verdict", "evidence"]),
        ("because", &["why"]),
        ("note", &["outside"]),
        ("request", &["request"]),
        ("npyd take", &["take"]),
        ("source", &["source_stays"]),
        ("ledger", &["ledger"]),
        ("size", &["size"]),
        ("allocated", &["allocated"]),
        ("dtype", &["dtype"]),
        ("shape", &["shape", "order"]),
        ("data offset", &["data_offset"]),
        ("route", &["route"]),
        ("output", &["output"]),
        ("rest", &["rest"]),
        ("header", &["header"]),
    ];
    for (label, keys) in rows {
        let values: Vec<String> = keys.iter().filter_map(|key| json_text(&report[*key])).collect();
        if !values.is_empty() {
            print(&format!("  {label:<14} {}", values.join(", ")));
        }
    }
    if let Some(seconds) = report["proof_in_seconds"].as_f64() {
        let seconds = seconds.ceil();
        print(&format!("  {:<14} {seconds:.0} s, if nothing changes until then", "ready in"));
    }
    for writer in report["writers"].as_array().into_iter().flatten() {
        let field = |name: &str| json_text(&writer[name]).unwrap_or_default();
        let (name, pid, file) = (field("name"), field("pid"), field("file"));
        print(&format!("  {:<14} {name} (pid {pid}) has `{file}` open for writing", "writer"));
    }
    for note in report["notes"].as_array().into_iter().flatten() {
        print(&format!("  {:<14} {}", "note", json_text(note).unwrap_or_default()));
    }
    for warning in report["doubts"].as_array().into_iter().flatten() {
        print(&format!("  {:<14} {}", "warning", json_text(warning).unwrap_or_default()));
    }
    for passed in report["passed_over"].as_array().into_iter().flatten() {
        let (route, why) = (json_text(&passed["route"]), json_text(&passed["why"]));
        print(&format!(
            "  {:<14} {}",
            format!("not {}", route.unwrap_or_default()),
            why.unwrap_or_default()
        ));
    }
}

/// Formats a JSON value for people: strings without quotes, arrays as a NumPy shape.
pub(super) fn json_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(dims) => {
            let dims: Vec<String> = dims.iter().map(ToString::to_string).collect();
            Some(format!("({}{})", dims.join(", "), if dims.len() == 1 { "," } else { "" }))
        }
        other => Some(other.to_string()),
    }
}
