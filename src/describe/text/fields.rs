//! Fields of line-based sidecars: keys and values with their line numbers, for messages.

use std::borrow::Cow;

use crate::describe::text::Metadata;
use crate::describe::text::error::DescribeError;
use crate::describe::text::near_words::is_near;

/// Maximum length of a line in a message, in characters.
const SHOWN_MAX: usize = 100;

/// A key and its value, with their line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    /// The key, unchanged.
    pub(crate) key: &'a str,
    /// The value, without surrounding blanks.
    pub(crate) value: Cow<'a, str>,
    /// The line number, from 1.
    pub(crate) line: usize,
}

impl Field<'_> {
    /// Returns an error about this field.
    #[must_use]
    pub(crate) fn error(&self, what: impl Into<DescribeError>) -> DescribeError {
        on_line(self.line, &format!("{} = {}", self.key, self.value), what)
    }

    /// Returns the value as a whole number, 0 or more.
    pub(crate) fn count(&self) -> Result<u64, DescribeError> {
        self.value.parse().map_err(|_| self.error("the value must be a whole number, 0 or more"))
    }

    /// Returns the value as a whole number, 1 or more.
    pub(crate) fn length(&self) -> Result<i64, DescribeError> {
        match self.value.parse() {
            Ok(length @ 1..=i64::MAX) => Ok(length),
            _ => Err(self.error("the value must be a whole number, 1 or more")),
        }
    }
}

/// The fields of a sidecar, in their order. Each format parses them in its own way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields<'a>(pub(crate) Vec<Field<'a>>);

impl<'a> Fields<'a> {
    /// Returns the field with this key, in upper or lower case; the last one if there are several.
    #[must_use]
    pub(crate) fn get(&self, key: &str) -> Option<&Field<'a>> {
        self.0.iter().rev().find(|field| field.key.eq_ignore_ascii_case(key))
    }

    /// Returns the field with this key.
    ///
    /// # Errors
    /// There is no such field.
    pub(crate) fn need(&self, key: &str) -> Result<&Field<'a>, DescribeError> {
        self.get(key).ok_or_else(|| missing(&self.0, key, ""))
    }

    /// Returns all fields as metadata, unchanged.
    #[must_use]
    pub(crate) fn to_metadata(&self) -> Metadata {
        let kept = |field: &Field<'_>| (field.key.to_owned(), field.value.to_string().into());
        self.0.iter().map(kept).collect()
    }
}

/// Returns the error that no field has this key. If another field is nearly named so, the message
/// quotes it. `place` says where the key belongs, such as ` in [Common Infos]`.
#[must_use]
pub(crate) fn missing(fields: &[Field<'_>], key: &str, place: &str) -> DescribeError {
    let lower = key.to_lowercase();
    match fields.iter().find(|field| is_near(&lower, field.key)) {
        Some(near) => near.error(format!("it has no `{key}`{place}; did you mean that?")),
        None => format!("it has no `{key}`{place}: add it").into(),
    }
}

/// Returns an error that quotes its line.
#[must_use]
pub(crate) fn on_line(number: usize, line: &str, what: impl Into<DescribeError>) -> DescribeError {
    let line = line.trim().chars().take(SHOWN_MAX).collect();
    DescribeError::Line { number, line, source: Box::new(what.into()) }
}

/// Decodes a sidecar. Text that is neither UTF-8 nor UTF-16 is decoded as Latin-1, which older
/// programs write. A carriage return alone ends a line, too.
#[must_use]
pub(crate) fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    unicode_text(bytes)
        .unwrap_or_else(|| with_newlines(bytes.iter().map(|&byte| char::from(byte)).collect()))
}

/// Decodes UTF-8, or UTF-16 with a byte order mark. `None` if the text is neither.
pub(crate) fn unicode_text(bytes: &[u8]) -> Option<Cow<'_, str>> {
    let units: fn([u8; 2]) -> u16 = match bytes {
        [0xff, 0xfe, ..] => u16::from_le_bytes,
        [0xfe, 0xff, ..] => u16::from_be_bytes,
        _ => {
            let text = str::from_utf8(bytes).ok()?.trim_start_matches('\u{feff}');
            return Some(with_newlines(text.into()));
        }
    };
    // The last character may not be written yet; the text is still recognized without it.
    let pairs = bytes[2..].chunks_exact(2).map(|pair| units([pair[0], pair[1]]));
    let text: String = char::decode_utf16(pairs).collect::<Result<_, _>>().ok()?;
    Some(with_newlines(text.into()))
}

/// Ends each line with a newline, also those that end with a carriage return alone.
fn with_newlines(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.contains('\r') {
        return text.replace("\r\n", "\n").replace('\r', "\n").into();
    }
    text
}

/// Converts a value to JSON: a list in braces becomes a list, anything else a string.
pub(crate) fn list_or_text(value: &str) -> serde_json::Value {
    match value.strip_prefix('{').and_then(|value| value.strip_suffix('}')) {
        Some(items) if items.contains(',') => items.split(',').map(str::trim).collect(),
        Some(text) => text.trim().into(),
        None => value.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_keys_are_quoted() {
        let field = |key| Field { key, value: "4".into(), line: 2 };
        for (key, given, words) in [
            ("samples", "sample", "line 2, `sample = 4`: it has no `samples`; did you mean that?"),
            ("data-length", "data-lenght", "it has no `data-length`; did you"),
            ("ElementType", "Elementtype", "it has no `ElementType`; did you"),
            ("samples", "lines", "it has no `samples`: add it"),
        ] {
            let message = missing(&[field("x"), field(given)], key, "").to_string();
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn encodings_and_line_endings() {
        let utf16 = |text: &str, unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
            text.encode_utf16().flat_map(unit).collect()
        };
        for (bytes, text) in [
            (b"a\r\nb\n".to_vec(), "a\nb\n"),
            (b"a\rb\r".to_vec(), "a\nb\n"),
            (b"a\r\rb".to_vec(), "a\n\nb"),
            ("\u{feff}\u{e9}".as_bytes().to_vec(), "\u{e9}"),
            (b"\xb5V\r".to_vec(), "\u{b5}V\n"),
            (utf16("\u{feff}a\r\n\u{1f600}", u16::to_le_bytes), "a\n\u{1f600}"),
            (utf16("\u{feff}a\rb", u16::to_be_bytes), "a\nb"),
            (b"\xff\xfea\0b".to_vec(), "a"),
            (b"\xff\xfe".to_vec(), ""),
            // A surrogate without its pair: not UTF-16.
            (b"\xff\xfe\0\xd8".to_vec(), "\u{ff}\u{fe}\0\u{d8}"),
        ] {
            assert_eq!(text_of(&bytes), text, "{bytes:?}");
        }
        assert_eq!(unicode_text(b"\xb5V"), None);
    }
}
