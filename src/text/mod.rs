//! Text for people: sanitizes messages and rewords the errors of other crates.

pub(crate) mod sanitize;
pub(crate) mod serde_errors;
