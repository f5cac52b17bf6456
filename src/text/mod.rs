//! Text for people: counts things and rewords the errors of other crates.

pub(crate) mod count;
pub(crate) mod missing_features;
pub(crate) mod one_line;
pub(crate) mod os_message;
pub(crate) mod serde_errors;
pub(crate) mod toml_values;
