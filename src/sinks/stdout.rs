//! Standard output: receipts as lines for people or as JSON.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::text::sanitize::os_message;

/// Set when a write to standard output failed, unless the reader had closed it.
static HAS_FAILED: AtomicBool = AtomicBool::new(false);

/// Prints a line. A reader that closed its end (EPIPE) is no error: the work goes on without it.
/// Any other failure is reported once on standard error.
pub fn print(line: &str) {
    if let Err(error) = writeln!(io::stdout(), "{line}")
        && error.kind() != io::ErrorKind::BrokenPipe
        && !HAS_FAILED.swap(true, Ordering::Relaxed)
    {
        let words = os_message(&error);
        let _ = writeln!(io::stderr(), "npyd: failed to write standard output: {words}");
    }
}

/// Returns whether something could not be printed.
#[must_use]
pub fn has_failed() -> bool {
    HAS_FAILED.load(Ordering::Relaxed)
}
