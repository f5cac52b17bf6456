//! Texts of the operating system.

/// Returns the operating system's text for an error, without the error number.
#[must_use]
pub(crate) fn os_message(error: &std::io::Error) -> String {
    let words = error.to_string();
    words.split(" (os error").next().unwrap_or_default().to_owned()
}
