//! Parsers for the text that sidecars are written in.

pub(crate) mod error;
pub(crate) mod fields;
pub(crate) mod json;
pub(crate) mod near_words;
pub(crate) mod python_json;
pub(crate) mod xml;

pub(crate) use fields::text_of;

/// Keys and their values, in their order: the user's own keys of a manifest, or the fields of a
/// sidecar.
pub type Metadata = serde_json::Map<String, serde_json::Value>;
