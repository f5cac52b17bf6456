//! Parsers for the text that sidecars are written in.

pub(crate) mod fields;
pub(crate) mod file_names;
pub(crate) mod json;
pub(crate) mod python_json;
pub(crate) mod xml;

pub(crate) use fields::text_of;
