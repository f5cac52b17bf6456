//! Crashes: the process is killed, or the machine loses its power, at every point at which that
//! makes a difference. What is left must hold no wrong array and lose nothing, and the next sweep
//! must bring it to its end.
//!
//! All of it is tried where `NPYD_TEST_LONG=1` (`tests/run --long`); otherwise what fits into
//! minutes, and each test says how much that was.

mod block_log;
mod crash_case;
mod crash_dirs;
mod double_crash;
mod errors;
mod extents;
mod links;
mod mid_syscall;
mod mutants;
mod npyd;
mod points;
mod quarantine;
mod recorder;
mod replay;
mod scenario;
mod tracee;
mod volume;

use std::io::{self, Write};
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use crash_case::Violation;

use crate::support::is_long;

/// Held while a process is being started or a drop is written: until it has its own program, a
/// process holds open what was open here, and npyd would see a writer in it.
fn no_stranger() -> MutexGuard<'static, ()> {
    static STARTING: Mutex<()> = Mutex::new(());
    STARTING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a process.
fn start(command: &mut Command) -> Child {
    let _alone = no_stranger();
    command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// What came of many trials.
#[derive(Default)]
struct Tally {
    /// How many were made.
    tried: usize,
    /// How many there are to be made.
    of: usize,
    violations: Vec<Violation>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.tried += other.tried;
        self.of += other.of;
        self.violations.extend(other.violations);
    }

    /// Says how much was tried. Fails where a promise was broken.
    fn report(&self, what: &str) {
        let Self { tried, of, violations } = self;
        let line = format!("{tried} of {of} {what} tried");
        say(&line);
        let accounts: Vec<_> = violations.iter().map(ToString::to_string).collect();
        assert!(accounts.is_empty(), "{}\n{line}", accounts.join("\n\n"));
        assert!(*tried > 0, "{line}");
    }
}

/// Says something past the test harness, which shows what a test prints only where it fails.
fn say(what: &str) {
    let name = thread::current().name().unwrap_or_default().to_owned();
    io::stderr().write_all(format!("{name}: {what}\n").as_bytes()).unwrap();
}
