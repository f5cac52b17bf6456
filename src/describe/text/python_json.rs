//! JSON in Python's notation: `NaN` and `Infinity`, which `json.dumps` writes, and what `str` makes
//! of a dict: single quotes, tuples, `True`, `False`, `None`, `nan`, and the scalars of NumPy, such
//! as `np.int64(2)`.

use std::borrow::Cow;

/// Words of Python, each with its replacement. JSON has no non-finite numbers, so they become
/// strings.
const WORDS: [(&str, &str); 7] = [
    ("NaN", "\"NaN\""),
    ("nan", "\"NaN\""),
    ("Infinity", "\"Infinity\""),
    ("inf", "\"Infinity\""),
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
            '-' if rest.starts_with("-Infinity") || rest.starts_with("-inf") => {
                json.push_str("\"-Infinity\"");
                1 + word_len(&rest[1..])
            }
            _ if first.is_alphabetic() => copy_word(rest, &mut json),
            _ => {
                json.push(first);
                first.len_utf8()
            }
        };
        rest = &rest[len..];
    }
    json.into()
}

/// Copies a word, or what stands for it in JSON, and returns its length.
fn copy_word(text: &str, json: &mut String) -> usize {
    if let Some((value, len)) = numpy_scalar(text) {
        json.push_str(&to_json(value));
        return len;
    }
    let word = &text[..word_len(text)];
    let known = WORDS.iter().find(|(known, _)| *known == word);
    json.push_str(known.map_or(word, |(_, json)| json));
    word.len()
}

fn word_len(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len())
}

/// The longest text of a scalar, in bytes.
const SCALAR_MAX: usize = 100;

/// Returns the value of a scalar as NumPy 2 prints it, such as `np.int64(2)` or `np.True_`, and the
/// length of that text.
fn numpy_scalar(text: &str) -> Option<(&str, usize)> {
    let text = &text[..text.floor_char_boundary(SCALAR_MAX)];
    let name = text.strip_prefix("np.").or_else(|| text.strip_prefix("numpy."))?;
    for (name_of, value) in [("True_", "True"), ("False_", "False")] {
        if name.starts_with(name_of) {
            return Some((value, text.len() - name.len() + name_of.len()));
        }
    }
    let (class, value) = name.split_once('(')?;
    let is_class = class.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_');
    let (value, behind) = value.split_once(')')?;
    let is_plain = !value.contains(['(', '[', '{', '\n']);
    (is_class && is_plain).then_some((value, text.len() - behind.len()))
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
            ("{'n': (np.int64(2), numpy.uint8(3),)}", r#"{"n": [2, 3 ]}"#),
            ("[np.float64(-1e-05), np.float32(nan)]", r#"[-1e-05, "NaN"]"#),
            (
                "[nan, inf, -inf, np.float64(-inf)]",
                r#"["NaN", "Infinity", "-Infinity", "-Infinity"]"#,
            ),
            ("[np.True_, np.False_, np.str_('a')]", r#"[true, false, "a"]"#),
            ("[np.int64(2, np.x(np.y(2))]", "[np.int64[2, np.x[2]]"),
            ("['np.int64(2)', \"np.int64(2)\"]", r#"["np.int64(2)", "np.int64(2)"]"#),
            (r#"{"NaN": "(None, 'x')"}"#, r#"{"NaN": "(None, 'x')"}"#),
            (r#"{"a": "x\"(", "b": NaNs}"#, r#"{"a": "x\"(", "b": NaNs}"#),
            ("{'a", "{\"a\""),
            ("", ""),
        ] {
            assert_eq!(to_json(python), json, "{python}");
        }
    }
}
