//! Fields of line-based sidecars: keys and values with their line numbers, for messages.

use std::borrow::Cow;

use crate::describe::dump::Metadata;
use crate::text::sanitize::sanitize;

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
    /// Returns a message about this field.
    #[must_use]
    pub(crate) fn error(&self, what: &str) -> String {
        on_line(self.line, &format!("{} = {}", self.key, self.value), what)
    }

    /// Returns the value as a whole number, 0 or more.
    pub(crate) fn count(&self) -> Result<u64, String> {
        self.value.parse().map_err(|_| self.error("the value must be a whole number, 0 or more"))
    }

    /// Returns the value as a whole number, 1 or more.
    pub(crate) fn length(&self) -> Result<i64, String> {
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
    pub(crate) fn need(&self, key: &str) -> Result<&Field<'a>, String> {
        self.get(key).ok_or_else(|| format!("it has no `{key}`: add it"))
    }

    /// Returns all fields as metadata, unchanged.
    #[must_use]
    pub(crate) fn to_metadata(&self) -> Metadata {
        let kept = |field: &Field<'_>| (field.key.to_owned(), field.value.to_string().into());
        self.0.iter().map(kept).collect()
    }
}

/// Returns a message that quotes the line of an error.
#[must_use]
pub(crate) fn on_line(number: usize, line: &str, what: &str) -> String {
    let shown: String = line.trim().chars().take(SHOWN_MAX).collect();
    sanitize(&format!("line {number}, `{shown}`: {what}"))
}

/// Decodes a sidecar. Text that is not UTF-8 is decoded as Latin-1, which older programs write.
#[must_use]
pub(crate) fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text.trim_start_matches('\u{feff}')),
        Err(_) => Cow::Owned(bytes.iter().map(|&byte| char::from(byte)).collect()),
    }
}

/// Converts a value to JSON: a list in braces becomes a list, anything else a string.
pub(crate) fn list_or_text(value: &str) -> serde_json::Value {
    match value.strip_prefix('{').and_then(|value| value.strip_suffix('}')) {
        Some(items) if items.contains(',') => items.split(',').map(str::trim).collect(),
        Some(text) => text.trim().into(),
        None => value.into(),
    }
}
