//! The crash harness: it makes a drop on a small file system, ends a sweep at a chosen system call,
//! and judges what remains. `tests/README.md` explains its fault model.

pub(crate) mod crash_case;
pub(crate) mod crash_dirs;
mod extents;
pub(crate) mod npyd;
pub(crate) mod recorder;
pub(crate) mod replay;
pub(crate) mod scenario;
pub(crate) mod volume;

use std::io::{self, Write};
use std::process::{Child, Command};
use std::thread;

use crash_case::Violation;

use crate::support::no_stranger;

/// Starts a process.
pub(crate) fn start(command: &mut Command) -> Child {
    let _alone = no_stranger();
    command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// The result of many cases.
#[derive(Default)]
pub(crate) struct Tally {
    /// How many cases were tried.
    pub(crate) tried: usize,
    /// How many cases there are.
    pub(crate) of: usize,
    pub(crate) violations: Vec<Violation>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.tried += other.tried;
        self.of += other.of;
        self.violations.extend(other.violations);
    }

    /// Prints the number of tried cases. Fails if a case has a violation.
    pub(crate) fn report(&self, what: &str) {
        let Self { tried, of, violations } = self;
        let line = format!("{tried} of {of} {what} tried");
        say(&line);
        let accounts: Vec<_> = violations.iter().map(ToString::to_string).collect();
        assert!(accounts.is_empty(), "{}\n{line}", accounts.join("\n\n"));
        assert!(*tried > 0, "{line}");
    }
}

/// Prints a line even if the test passes; libtest captures `println!` until a test fails.
pub(crate) fn say(what: &str) {
    let name = thread::current().name().unwrap_or_default().to_owned();
    io::stderr().write_all(format!("{name}: {what}\n").as_bytes()).unwrap();
}
