//! The JSON of a receipt as the ledger stores it: without what other columns have, and without the
//! fields that say nothing.

use serde_json::{Map, Value};

use crate::events::receipt::Receipt;
use crate::ledger::entry::DISPOSING;
use crate::ledger::{Entry, RowKind};

/// The fields of every receipt that a stored one may lack, in their order.
const FIELDS: [&str; 9] =
    ["event", "drop", "source", "output", "route", "bytes", "seconds", "evidence", "reason"];

/// The optional fields that precede one of [`FIELDS`].
const OPTIONAL: [(&str, &str); 4] =
    [("parts", "output"), ("source_fate", "reason"), ("archive", "reason"), ("array_id", "reason")];

/// Returns the JSON of a receipt that is stored as `kind`.
pub(crate) fn stored_json(receipt: &Receipt, kind: RowKind) -> String {
    shorten(&receipt.to_json(), kind)
}

/// Shortens the JSON of a receipt; leaves a text that is not JSON as it is.
pub(crate) fn shorten(json: &str, kind: RowKind) -> String {
    let Ok(Value::Object(mut fields)) = serde_json::from_str(json) else { return json.to_owned() };
    for name in ["drop", "source", "output"] {
        fields.shift_remove(name);
    }
    if event_of(kind).is_some() {
        fields.shift_remove("event");
    }
    fields.retain(|_, value| !says_nothing(value));
    if let Some(seconds) = fields.get_mut("seconds")
        && let Some(number) = seconds.as_f64()
    {
        *seconds = Value::from((number * 1e6).round() / 1e6);
    }
    Value::Object(fields).to_string()
}

fn says_nothing(value: &Value) -> bool {
    value.is_null() || value.as_f64() == Some(0.0)
}

/// Returns the event of the receipts that are stored as `kind`, if they all have the same.
pub(crate) fn event_of(kind: RowKind) -> Option<&'static str> {
    match kind {
        RowKind::Lost => Some("rejected"),
        RowKind::Refused => Some("failed"),
        RowKind::Unproven | RowKind::Unknown => None,
        RowKind::Event(_) | RowKind::Retried | RowKind::Request(_) => Some(kind.as_str()),
    }
}

/// Returns the whole receipt of an entry. Returns `None` if its JSON can't be read.
pub(crate) fn full_receipt(entry: &Entry) -> Option<Map<String, Value>> {
    let Ok(Value::Object(mut stored)) = serde_json::from_str(&entry.receipt) else { return None };
    let mut full = Map::new();
    for name in FIELDS {
        for (optional, _) in OPTIONAL.iter().filter(|(_, before)| *before == name) {
            full.extend(stored.shift_remove_entry(*optional));
        }
        let value = stored.shift_remove(name).unwrap_or_else(|| missing_field(entry, name));
        full.insert(name.to_owned(), value);
    }
    stored.shift_remove(DISPOSING);
    full.extend(stored);
    Some(full)
}

/// Returns a field that the stored receipt lacks.
fn missing_field(entry: &Entry, name: &str) -> Value {
    match name {
        "event" => entry.receipt_event().into(),
        "drop" => entry.drop_dir.to_string_lossy().into(),
        "source" => entry.source.to_string_lossy().into(),
        "output" => entry.output.as_ref().map_or(Value::Null, |it| it.to_string_lossy().into()),
        "bytes" => 0.into(),
        "seconds" => 0.0.into(),
        _ => Value::Null,
    }
}
