//! Texts of the operating system.

/// Returns the operating system's text for an error, without the error number.
#[must_use]
pub(crate) fn os_message(error: &std::io::Error) -> String {
    let words = error.to_string();
    words.split(" (os error").next().unwrap_or_default().to_owned()
}

/// Returns the error of a thread that could not be started, with what to do about it.
#[must_use]
pub(crate) fn thread_error(error: &std::io::Error) -> std::io::Error {
    std::io::Error::other(format!(
        "no thread can be started: {}; raise TasksMax= or LimitNPROC= (ulimit -u), or free memory",
        os_message(error)
    ))
}
