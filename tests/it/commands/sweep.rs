//! `npyd sweep`: one pass over all drop directories, and its exit code.

use std::io::Write;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use crate::support::{Outcome, PATIENCE, Receipts, SCAN_MANIFEST, Site, has_strace, scan_bytes};

#[test]
fn all_well() {
    let site = Site::new();
    site.sweep().expect_code(0);
    let receipts = site.scan("scan").sweep().expect_code(0).json();
    assert_eq!(receipts.len(), 1);
    assert!(site.sweep().expect_code(0).json().is_empty());
}

/// A waiting drop is not a failure. The output says what the drop waits for.
#[test]
fn waiting() {
    let site = Site::new();
    site.drop_file("scan.raw", &scan_bytes()[..20]).drop_file("scan.toml", SCAN_MANIFEST);
    let receipts = site.sweep().expect_code(0).json();
    let receipt = receipts.of_source("scan.raw");
    assert_eq!(receipt["event"], "waiting");
    let reason = receipt["reason"].as_str().unwrap();
    assert!(reason.contains("20") && reason.contains("24"), "both sizes: {reason}");
    assert!(site.history().is_empty(), "a wait is no receipt");
}

/// A file that is appended to again and again, and open only then, is no reason never to end.
#[test]
fn a_file_that_grows_all_the_time() {
    let template = "[[drop.template]]\nmatch = '*.f4'\ndtype = '<f4'\nshape = [-1, 2, 3]";
    let site = Site::new();
    let text = site.configuration("state", &format!("on_conflict = 'replace'\n{template}"));
    site.write("npyd.toml", text.replace("200ms", "1s"));
    let append = || {
        let mut file = fs::File::options();
        let file = file.create(true).append(true).open(site.path("in/scan.f4"));
        file.unwrap().write_all(&scan_bytes()).unwrap();
    };
    append();
    let (ended, started) = (AtomicBool::new(false), Instant::now());
    thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) && started.elapsed() < 2 * PATIENCE {
                append();
                thread::sleep(Duration::from_millis(10));
            }
        });
        site.sweep_until("waiting");
        ended.store(true, Ordering::Relaxed);
    });
    site.sweep_until("finalized");
}

#[test]
fn rejected() {
    let site = Site::new();
    site.scan("good").scan("bad").drop_file("bad.raw.toml", "dtype = '<q9'\nshape = [2, 3]");
    let receipts = site.sweep_until("rejected").expect_code(1).json();
    assert!(receipts.of_source("bad.raw")["reason"].as_str().unwrap().contains("<q9"));
    assert_eq!(site.names("out"), ["good.npy"]);
}

#[test]
fn could_not_run() {
    let site = Site::new();
    site.npyd(&["sweep", "--config", "missing.toml"])
        .expect_code(2)
        .expect_words(&["missing.toml"]);
    site.configure("colour = 'blue'");
    site.sweep().expect_code(2).expect_words(&["colour"]);
}

/// For people it says what it did, by name.
#[test]
fn as_text() {
    let site = Site::new();
    site.scan("scan");
    site.npyd(&["sweep"]).expect_code(0).expect_words(&["scan.raw", "scan.npy"]);
}

/// What holds for a whole directory and its file system is not asked for each drop again. A drop
/// may be probed more than once, so that this counts the calls that do not depend on it.
#[test]
fn many_drops_share_what_is_asked_of_their_directory() {
    if !has_strace() {
        return;
    }
    for dir in ["", "sub/"] {
        let (drops, site) = (100, Site::new());
        site.configure("recursive = true");
        fs::create_dir_all(site.path("in").join(dir)).unwrap();
        for number in 0..drops {
            site.scan(&format!("{dir}scan_{number}"));
        }
        check_shared_calls(&site, drops);
    }
}

fn check_shared_calls(site: &Site, drops: usize) {
    let npyd = site.command();
    let mut strace = Command::new("strace");
    strace.args(["--follow-forks", "--trace=open,openat,fstatfs,ioctl", "--output"]);
    strace.arg(site.path("strace.log"));
    strace.arg(npyd.get_program()).args(["sweep", "--json", "--config"]);
    let outcome = Outcome::of(strace.arg(site.path("npyd.toml"))).expect_code(0);
    assert_eq!(outcome.json().len(), drops);
    let log = String::from_utf8(site.read("strace.log")).unwrap();
    // Each array is a new file.
    let calls = log.lines().filter(|line| !line.contains("O_TMPFILE") && line.contains('('));
    let calls: Vec<_> = calls.filter(|line| !line.contains("resumed>")).collect();
    assert!(calls.len() < 2 * drops, "{} calls: {calls:#?}", calls.len());
}

/// A scan reads a description in its first walk, and not again in the second one. The probe of the
/// drop reads it once.
#[test]
fn a_description_is_read_twice() {
    if !has_strace() {
        return;
    }
    let (drops, site) = (100, Site::new());
    for number in 0..drops {
        site.drop_file(&format!("scan_{number}.raw"), &scan_bytes()[..20]);
        site.drop_file(&format!("scan_{number}.toml"), SCAN_MANIFEST);
    }
    let npyd = site.command();
    let mut strace = Command::new("strace");
    strace.args(["--follow-forks", "--trace=openat2", "--output"]).arg(site.path("strace.log"));
    strace.arg(npyd.get_program()).args(["sweep", "--json", "--config"]);
    let outcome = Outcome::of(strace.arg(site.path("npyd.toml"))).expect_code(0);
    assert_eq!(outcome.json().len(), drops);
    let log = String::from_utf8(site.read("strace.log")).unwrap();
    let is_read = |line: &&str| {
        line.contains("\"scan_") && line.contains(".toml\"") && !line.contains("ENOENT")
    };
    let reads: Vec<_> =
        log.lines().filter(is_read).filter(|line| !line.contains(".raw.toml")).collect();
    assert_eq!(reads.len(), 2 * drops, "{reads:#?}");
}
