//! JSON in Python's notation: `NaN` and `Infinity`, which `json.dumps` writes, and what `str` makes
//! of a dict: single quotes, tuples, `True`, `False` and `None`.

use std::borrow::Cow;

/// Words of Python, and what they become. JSON has no numbers that are not finite, so that these
/// become texts.
const WORDS: [(&str, &str); 5] = [
    ("NaN", "\"NaN\""),
    ("Infinity", "\"Infinity\""),
    ("True", "true"),
    ("False", "false"),
    ("None", "null"),
];

/// Converts Python's notation to JSON. Other text stays as it is, and so do the line numbers.
pub(crate) fn to_json(text: &str) -> Cow<'_, str> {
    let mut json = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let len = match first {
            '"' => copy_string(rest, &mut json),
            '\'' => requote(rest, &mut json),
            '(' | ')' => {
                close_list(first, &mut json);
                1
            }
            ']' | '}' => {
                without_comma(&mut json);
                json.push(first);
                1
            }
            '-' if rest.starts_with("-Infinity") => {
                json.push_str("\"-Infinity\"");
                "-Infinity".len()
            }
            _ if first.is_alphabetic() => {
                let len = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
                let word = WORDS.iter().find(|(word, _)| *word == &rest[..len]);
                json.push_str(word.map_or(&rest[..len], |(_, json)| json));
                len
            }
            _ => {
                json.push(first);
                first.len_utf8()
            }
        };
        rest = &rest[len..];
    }
    json.into()
}

/// Copies a string in double quotes, and returns its length.
fn copy_string(text: &str, json: &mut String) -> usize {
    let len = string_len(text, '"');
    json.push_str(&text[..len]);
    len
}

/// Copies a string in single quotes as one in double quotes, and returns its length.
fn requote(text: &str, json: &mut String) -> usize {
    let len = string_len(text, '\'');
    let inner = text[1..len].strip_suffix('\'').unwrap_or(&text[1..len]);
    json.push('"');
    json.push_str(&inner.replace("\\'", "'").replace('"', "\\\""));
    json.push('"');
    len
}

/// Returns the length of the string at the start of the text, with its quotes.
fn string_len(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Writes a tuple's parenthesis as a list's bracket.
fn close_list(parenthesis: char, json: &mut String) {
    if parenthesis == ')' {
        without_comma(json);
    }
    json.push(if parenthesis == '(' { '[' } else { ']' });
}

/// Replaces a comma at the end, which Python allows, by a blank.
fn without_comma(json: &mut String) {
    let len = json.trim_end().len();
    if json[..len].ends_with(',') {
        json.replace_range(len - 1..len, " ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pythons_notation_becomes_json() {
        for (python, json) in [
            ("[NaN, -Infinity, Infinity]", r#"["NaN", "-Infinity", "Infinity"]"#),
            ("{'a': (1, 2), 'b': (3,)}", r#"{"a": [1, 2], "b": [3 ]}"#),
            (
                "{'a': True, 'b': None, 'c': False,\n}",
                "{\"a\": true, \"b\": null, \"c\": false \n}",
            ),
            (r#"{'it"s': "it's", 'c\'d': ''}"#, r#"{"it\"s": "it's", "c'd": ""}"#),
            (r#"{"NaN": "(None, 'x')"}"#, r#"{"NaN": "(None, 'x')"}"#),
            (r#"{"a": "x\"(", "b": NaNs}"#, r#"{"a": "x\"(", "b": NaNs}"#),
            ("{'a", "{\"a\""),
            ("", ""),
        ] {
            assert_eq!(to_json(python), json, "{python}");
        }
    }
}
