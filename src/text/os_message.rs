//! Texts of the operating system.

use thiserror::Error;

/// Returns the operating system's text for an error, without the error number.
#[must_use]
pub(crate) fn os_message(error: &std::io::Error) -> String {
    let words = error.to_string();
    words.split(" (os error").next().unwrap_or_default().to_owned()
}

/// Returns the error of a thread that could not be started, with what to do about it.
#[must_use]
pub(crate) fn thread_error(source: std::io::Error) -> std::io::Error {
    std::io::Error::other(ThreadError { source })
}

/// A thread could not be started.
#[derive(Debug, Error)]
#[error(
    "no thread can be started: {}; raise TasksMax= or LimitNPROC= (ulimit -u), or free memory",
    os_message(source)
)]
struct ThreadError {
    source: std::io::Error,
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn the_error_of_a_thread_has_its_source() {
        let error = thread_error(std::io::Error::from_raw_os_error(11));
        let words = os_message(&std::io::Error::from_raw_os_error(11));
        assert_eq!(error.to_string().matches(&words).count(), 1, "{error}");
        let own = error.get_ref().and_then(|it| it.downcast_ref::<ThreadError>());
        assert_eq!(own.map(|it| it.source.raw_os_error()), Some(Some(11)));
        assert!(own.is_some_and(|it| it.source().is_some()));
    }
}
