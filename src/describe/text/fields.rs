//! Fields: what a sidecar of lines says, each with the line that a message points at.

use std::borrow::Cow;

use crate::describe::dump::Metadata;
use crate::text::sanitize::sanitize;

/// The most characters of a line that a message shows.
const SHOWN_MAX: usize = 100;

/// A key and its value, and where they stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    /// The key, as it is written.
    pub(crate) key: &'a str,
    /// The value, without the blanks around it.
    pub(crate) value: Cow<'a, str>,
    /// The number of its line, from 1.
    pub(crate) line: usize,
}

impl Field<'_> {
    /// A message about this field.
    #[must_use]
    pub(crate) fn error(&self, what: &str) -> String {
        on_line(self.line, &format!("{} = {}", self.key, self.value), what)
    }

    /// The value as a whole number, 0 or more.
    pub(crate) fn count(&self) -> Result<u64, String> {
        self.value.parse().map_err(|_| self.error("that is not a whole number, 0 or more"))
    }

    /// The value as a whole number of one or more.
    pub(crate) fn length(&self) -> Result<i64, String> {
        match self.value.parse() {
            Ok(length @ 1..=i64::MAX) => Ok(length),
            _ => Err(self.error("that is not a whole number, 1 or more")),
        }
    }
}

/// Fields in their order; how their keys are told apart is the format's affair.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields<'a>(pub(crate) Vec<Field<'a>>);

impl<'a> Fields<'a> {
    /// The field of this key, in whatever case; the last, where there are several.
    #[must_use]
    pub(crate) fn get(&self, key: &str) -> Option<&Field<'a>> {
        self.0.iter().rev().find(|field| field.key.eq_ignore_ascii_case(key))
    }

    /// The same, where nothing can be done without it.
    pub(crate) fn need(&self, key: &str) -> Result<&Field<'a>, String> {
        self.get(key).ok_or_else(|| format!("it has no `{key}`: add it"))
    }

    /// All of them as they are written, to be kept.
    #[must_use]
    pub(crate) fn to_metadata(&self) -> Metadata {
        let kept = |field: &Field<'_>| (field.key.to_owned(), field.value.to_string().into());
        self.0.iter().map(kept).collect()
    }
}

/// A message with the line it is about.
#[must_use]
pub(crate) fn on_line(number: usize, line: &str, what: &str) -> String {
    let shown: String = line.trim().chars().take(SHOWN_MAX).collect();
    sanitize(&format!("line {number}, `{shown}`: {what}"))
}

/// The text of a sidecar, which must be UTF-8 or, as older programs write it, Latin-1.
#[must_use]
pub(crate) fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text.trim_start_matches('\u{feff}')),
        Err(_) => Cow::Owned(bytes.iter().map(|&byte| char::from(byte)).collect()),
    }
}

/// A value in braces as the list that it is, another as its text.
pub(crate) fn list_or_text(value: &str) -> serde_json::Value {
    match value.strip_prefix('{').and_then(|value| value.strip_suffix('}')) {
        Some(items) if items.contains(',') => items.split(',').map(str::trim).collect(),
        Some(text) => text.trim().into(),
        None => value.into(),
    }
}
