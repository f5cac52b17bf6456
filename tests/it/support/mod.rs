//! What the end-to-end tests stand on: a site with its own directories and configuration, the real
//! binary run on it, real NumPy, and real producers.
//!
//! ```ignore
//! let site = Site::with("source = \"remove\"");
//! site.scan("scan");                          // scan.raw and its manifest
//! site.sweep().expect_code(0);
//! assert_eq!(site.names("out"), ["scan.npy", "scan.raw.toml.done"]);
//! ```

#[path = "../../../benches/side_by_side/chart.rs"]
pub(crate) mod chart;
mod daemon;
mod fault_injection;
mod mount;
mod outcome;
mod producer;
mod python;
mod reference;
mod site;
mod syscall_stepper;
mod tracee;

use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

pub(crate) use daemon::Daemon;
pub(crate) use fault_injection::{has_strace, sweep_with_fault};
pub(crate) use mount::{Mounted, fill, succeeds};
pub(crate) use outcome::{Outcome, Receipts, reason};
pub(crate) use producer::Producer;
pub(crate) use python::{load, python, run_python};
pub(crate) use reference::{PendingFile, npy, npy_filling, npy_header};
pub(crate) use site::{
    SCAN_MANIFEST, Site, scan_bytes, scan_npy, sweep_without_leases, without_leases,
};
pub(crate) use syscall_stepper::{sweep_halted, sweep_halted_until};
pub(crate) use tracee::{Change, Fault, FileId, Tracee};

/// Returns a lock to hold while a process is started or a drop is written: between fork and exec
/// the new process holds open what the test has open, and npyd would take it for a writer.
pub(crate) fn no_stranger() -> MutexGuard<'static, ()> {
    static STARTING: Mutex<()> = Mutex::new(());
    STARTING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a condition may take to come true. Nothing here takes that long unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Records that the test now running was left out, so that no test is skipped in silence. Where
/// leaving anything out is a failure (`NPYD_TEST_ALL=1`), the test fails.
pub(crate) fn left_out(reason: &str) {
    let line = format!("{}: {reason}", thread::current().name().unwrap_or("a test"));
    if let Some(list) = env::var_os("NPYD_TEST_LEFT_OUT") {
        let mut list = fs::OpenOptions::new().append(true).create(true).open(list).unwrap();
        // In one write, because tests run side by side.
        list.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
    assert!(env::var("NPYD_TEST_ALL").as_deref() != Ok("1"), "left out: {line}");
    eprintln!("left out: {line}");
}

/// Whether the long forms are asked for.
pub(crate) fn is_long() -> bool {
    env::var("NPYD_TEST_LONG").as_deref() == Ok("1")
}

/// Whether the tests run as root, as the test that asks needs; recorded as left out otherwise.
pub(crate) fn as_root() -> bool {
    runs_as(true)
}

/// Whether the tests run as a user without rights, as the test that asks needs.
pub(crate) fn as_other_user() -> bool {
    runs_as(false)
}

fn runs_as(root: bool) -> bool {
    let fits = rustix::process::geteuid().is_root() == root;
    // Where `tests/run` runs the tests as both, the other run does what this one can't.
    if !fits && env::var_os("NPYD_TEST_BOTH_USERS").is_none() {
        left_out(if root { "needs root" } else { "needs a user without rights" });
    }
    fits
}

/// Returns when `condition` holds; fails with what `account` tells when it doesn't in time.
pub(crate) fn wait_until(
    what: &str,
    account: impl Fn() -> String,
    mut condition: impl FnMut() -> bool,
) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}\n{}", account());
        thread::sleep(Duration::from_millis(5));
    }
}

/// How many drops the log's lines with `text` are about, and how many such lines there are. The
/// number of drops follows the text, or the path of the only one.
pub(crate) fn gathered(log: &str, text: &str) -> (usize, usize) {
    let after = log.lines().filter_map(|line| Some(line.split_once(text)?.1));
    let counts: Vec<usize> =
        after.map(|it| it.split(' ').next().unwrap().parse().unwrap_or(1)).collect();
    (counts.iter().sum(), counts.len())
}

/// How many lines about one thing the log may have since `begun`: on a machine with other work to
/// do, the drops of one line can come in more than one, of which two are 30 s apart.
pub(crate) fn lines_since(begun: Instant) -> usize {
    1 + usize::try_from(begun.elapsed().as_secs() / 30).unwrap()
}

/// Bytes of which no two pieces are alike.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let words = (0..len.div_ceil(8) as u64).map(|at| xxhash_rust::xxh3::xxh3_64(&at.to_le_bytes()));
    words.flat_map(u64::to_le_bytes).take(len).collect()
}

/// Marks an array as made by a route that converts the bytes of its source.
pub(crate) fn mark_as_converted(array: &Path) {
    let none = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(array, "user.npyd.route", b"convert", none).unwrap();
}

/// CRC-32C (RFC 3720), bit by bit.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
    let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc));
    !bytes.iter().fold(!0, byte)
}
