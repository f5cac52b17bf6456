//! Room for the header made at the front of the raw file, and what a crash leaves of that.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::Command;

use serde_json::Value;

use crate::support::{Outcome, Receipts, Site, left_out, wait_until};

/// Large enough to be worth it, and no multiple of a block.
const LEN: usize = (16 << 20) + 1234;

fn data() -> Vec<u8> {
    (0..LEN).map(|at| (at / 4096 + at % 251) as u8).collect()
}

const MANIFEST: &str = "dtype = '|u1'\nshape = [-1]\n";

/// A site with one such dump on a file system that makes room; `None` where it does not.
fn site(settings: &str) -> Option<Site> {
    let site = Site::with(settings);
    site.drop_file("scan.raw", data()).drop_file("scan.raw.toml", MANIFEST);
    let check = site.npyd(&["check"]).expect_code(0);
    if !check.stdout.contains("insert-range yes") {
        left_out("the temporary directory's file system makes no room at the front of files");
        return None;
    }
    Some(site)
}

/// The array as it must be, behind a header of a page.
#[track_caller]
fn assert_is_array(file: &[u8]) {
    assert_eq!(file.len(), 4096 + LEN);
    assert!(file.starts_with(b"\x93NUMPY\x01\0\xf6\x0f"));
    let dict = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({LEN},), }} ");
    assert!(file[10..].starts_with(dict.as_bytes()) && file[4095] == b'\n');
    assert!(file[4096..] == data(), "the data differ");
}

fn route(receipts: &Vec<Value>) -> Value {
    receipts.of_source("scan.raw")["route"].clone()
}

#[test]
fn the_source_becomes_the_array() {
    let Some(site) = site("source = \"remove\"") else { return };
    let inode = site.inode("in/scan.raw");
    let receipts = site.sweep_until("finalized").json();
    assert_eq!(route(&receipts), "insert-range");
    assert_is_array(&site.read("out/scan.npy"));
    assert_eq!(site.inode("out/scan.npy"), inode);
    assert_eq!(site.names("in"), [""; 0]);
    assert_eq!(site.names("out"), ["scan.npy", "scan.raw.toml.done"]);
    assert_eq!(site.names("state/intents"), [""; 0]);
    site.npyd(&["inspect", "out/scan.npy"]).expect_code(0);
}

#[test]
fn what_could_be_noticed_by_others_is_not_done() {
    // Somebody still reads the raw file.
    let Some(here) = site("source = \"remove\"") else { return };
    let reader = File::open(here.path("in/scan.raw")).unwrap();
    let receipts = here.sweep_until("finalized").json();
    assert_eq!(route(&receipts), "copy");
    let reason = receipts.of_source("scan.raw")["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("not insert-range: another process"), "{reason}");
    let mut seen = vec![0; LEN];
    reader.read_exact_at(&mut seen, 0).unwrap();
    assert!(seen == data());

    // The file has holes, so that a gap could not be found again.
    let Some(here) = site("source = \"remove\"") else { return };
    let file = OpenOptions::new().write(true).open(here.path("in/scan.raw")).unwrap();
    file.set_len(LEN as u64 + 65536).unwrap();
    drop(file);
    let receipts = here.sweep_until("finalized").json();
    assert_eq!(route(&receipts), "copy");

    // It is to be kept.
    let Some(here) = site("") else { return };
    assert_eq!(route(&here.sweep_until("finalized").json()), "copy");
    assert!(here.read("in/scan.raw") == data());
}

/// Ends a sweep by SIGKILL before the `nth` of such calls.
fn sweep_killed_before(site: &Site, call: &str, nth: usize) -> Option<Outcome> {
    if Command::new("strace").arg("-V").output().is_err() {
        left_out("strace is not installed");
        return None;
    }
    let npyd = site.command();
    let mut strace = Command::new("strace");
    strace.args(["--follow-forks", "--output"]).arg(site.path("strace.log"));
    strace.arg(format!("--trace={call}"));
    strace.arg(format!("--inject={call}:signal=SIGKILL:when={nth}"));
    strace.arg(npyd.get_program()).args(["sweep", "--json", "--config"]);
    Some(Outcome::of(strace.arg(site.path("npyd.toml"))))
}

/// Whatever a crash left, the next start ends well.
#[test]
fn a_crash_is_undone() {
    let mut private = 0;
    // The calls behind the note of what is about to be done: taking the file, making room, the
    // header, its sync, the final name, its directory's sync.
    for (call, numbers) in
        [("renameat2", 1..=2), ("fallocate", 1..=4), ("pwrite64", 1..=6), ("fsync", 1..=8)]
    {
        for nth in numbers {
            let Some(site) = site("source = \"remove\"") else { return };
            let Some(outcome) = sweep_killed_before(&site, call, nth) else { return };
            if outcome.code == 0 {
                continue; // there are not so many of them
            }
            assert_eq!(outcome.code, 128 + 9, "{outcome}");
            let case = format!("{call} {nth}: {:?}", site.names("in"));
            private += usize::from(site.has("in/.npyd-insert-scan.raw"));
            wait_until(
                "an empty drop directory",
                || case.clone(),
                || {
                    site.sweep();
                    site.names("in").is_empty()
                },
            );
            assert_is_array(&site.read("out/scan.npy"));
            assert_eq!(site.names("out"), ["scan.npy", "scan.raw.toml.done"], "{case}");
        }
    }
    assert!(private >= 3, "{private} crashes in the middle of it");
}

/// Without its note, nobody knows where the gap is: the file is left alone, and told of.
#[test]
fn a_crash_and_a_lost_note() {
    let Some(site) = site("source = \"remove\"") else { return };
    let Some(outcome) = sweep_killed_before(&site, "renameat2", 2) else { return };
    assert_eq!(outcome.code, 128 + 9, "{outcome}");
    site.lose_ledger();
    let told = site.npyd(&["sweep"]);
    told.expect_words(&[".npyd-insert-scan.raw", "left as it is"]);
    assert_eq!(site.names("in"), [".npyd-insert-scan.raw", "scan.raw.toml"]);
    assert_eq!(site.names("out"), [""; 0]);
    let left = site.path("in/.npyd-insert-scan.raw");
    assert_eq!(left.metadata().unwrap().size(), LEN as u64 + 4096);
}
