//! Rewrites serde error messages in terms of TOML and JSON instead of Rust types.

/// Serde's names for the value it found, and the names that people use.
const FOUND: [(&str, &str); 6] = [
    ("sequence", "a list"),
    ("map", "a table"),
    ("integer ", "the number "),
    ("floating point ", "the number "),
    ("string ", "the text "),
    ("boolean ", ""),
];

/// Serde's names for the value it expected, and the names that people use.
const EXPECTED: [(&str, &str); 6] = [
    ("a boolean", "true or false"),
    ("a string", "a text in quotes"),
    ("path string", "a path in quotes"),
    ("a sequence", "a list"),
    ("u64", "a whole number, 0 or more"),
    ("struct ", "a table"),
];

/// Rewords a deserializer's message without Rust types. Any other message, such as npyd's own, is
/// returned unchanged.
pub(crate) fn humanize(message: &str) -> String {
    let of_type =
        ["invalid type: ", "invalid value: "].iter().find_map(|it| message.strip_prefix(it));
    if let Some((found, expected)) = of_type.and_then(|rest| rest.split_once(", expected ")) {
        let expected = match replaced(expected, &EXPECTED) {
            table if table.starts_with("a table") => "a table".to_owned(),
            expected => expected,
        };
        return format!("expected {expected}, not {}", replaced(found, &FOUND));
    }
    if let Some((variant, known)) =
        message.strip_prefix("unknown variant ").and_then(|rest| rest.split_once(", expected "))
    {
        return format!("unknown value {variant}: write {known}");
    }
    if let Some((key, known)) =
        message.strip_prefix("unknown field ").and_then(|rest| rest.split_once(", expected "))
    {
        let known = known.strip_prefix("one of ").unwrap_or(known);
        return format!("unknown key {key}: the keys here are {known}");
    }
    if let Some(key) = message.strip_prefix("missing field ") {
        return format!("the key {key} is missing: add it");
    }
    if let Some(key) = message.strip_prefix("duplicate field ") {
        return format!("the key {key} is given twice: remove one");
    }
    match message {
        "wanted string or table" => "expected one of the known values in quotes".to_owned(),
        "duplicate key" => "the key is given twice: remove one".to_owned(),
        "recursion limit exceeded" | "cannot recurse further; max recursion depth met" => {
            "the values are nested too deeply".to_owned()
        }
        other => other.to_owned(),
    }
}

fn replaced(text: &str, words: &[(&str, &str)]) -> String {
    let known = words.iter().find_map(|(word, human)| Some((human, text.strip_prefix(word)?)));
    known.map_or(text.to_owned(), |(human, rest)| format!("{human}{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rust_types_become_toml_and_json_terms() {
        for (message, human) in [
            (
                "invalid type: string \"yes\", expected a boolean",
                "expected true or false, not the text \"yes\"",
            ),
            (
                "invalid type: sequence, expected path string",
                "expected a path in quotes, not a list",
            ),
            (
                "invalid value: integer `-1`, expected u64",
                "expected a whole number, 0 or more, not the number `-1`",
            ),
            (
                "invalid type: integer `1`, expected struct Inbox",
                "expected a table, not the number `1`",
            ),
            ("invalid type: null, expected a string", "expected a text in quotes, not null"),
            ("missing field `shape`", "the key `shape` is missing: add it"),
            ("`K` is not an order", "`K` is not an order"),
        ] {
            assert_eq!(humanize(message), human);
        }
    }
}
