//! Receipts as CSV (RFC 4180), one per line, for spreadsheets and other programs.

use serde_json::Value;

use crate::ledger::Entry;

/// The fields of a receipt that have a column.
const COLUMNS: [&str; 12] = [
    "at",
    "event",
    "drop",
    "source",
    "output",
    "route",
    "bytes",
    "seconds",
    "evidence",
    "source_fate",
    "reason",
    "reason_kind",
];

/// Returns the line with the names of the columns.
pub(crate) fn header() -> String {
    COLUMNS.join(",")
}

/// Returns the line of a receipt.
pub(crate) fn line(entry: &Entry) -> String {
    let mut receipt = entry.full_receipt().unwrap_or_default();
    receipt.insert("at".into(), entry.at.clone().into());
    let cell = |name: &&str| match receipt.get(*name) {
        Some(Value::String(text)) => quoted(text),
        Some(Value::Null) | None => String::new(),
        Some(value) => quoted(&value.to_string()),
    };
    COLUMNS.iter().map(cell).collect::<Vec<_>>().join(",")
}

/// Quotes a text that would otherwise not be one cell.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) || text.trim() != text {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_that_need_quotes() {
        for (text, expected) in [
            ("/in/a b", "/in/a b"),
            ("", ""),
            ("a,b", "\"a,b\""),
            ("say \"no\"", "\"say \"\"no\"\"\""),
            ("line\nbreak", "\"line\nbreak\""),
            (" a", "\" a\""),
        ] {
            assert_eq!(quoted(text), expected);
        }
    }
}
