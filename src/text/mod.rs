//! Text for people: what messages may contain, and how errors of other crates are worded.

pub(crate) mod sanitize;
pub(crate) mod serde_errors;
