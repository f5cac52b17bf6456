//! The ledger: which drop a receipt is about.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Receipts, SCAN_MANIFEST, Site, npy, scan_bytes, scan_npy};

/// Names of directories that are not UTF-8, and have one lossy text.
const NAMES: [&[u8]; 2] = [b"a\xff", b"a\xfe"];

fn below(top: &str, name: &[u8], file: &str) -> PathBuf {
    Path::new(top).join(OsStr::from_bytes(name)).join(file)
}

/// A site with a directory of each name below `in`.
fn site_of_bytes(settings: &str) -> Site {
    let site = Site::with(&format!("recursive = true\n{settings}"));
    for name in NAMES {
        fs::create_dir(site.path(below("in", name, ""))).unwrap();
    }
    site
}

fn drop_scan(site: &Site, dir: &[u8], data: &[u8]) {
    fs::write(site.path(below("in", dir, "scan.raw")), data).unwrap();
    fs::write(site.path(below("in", dir, "scan.raw.toml")), SCAN_MANIFEST).unwrap();
}

fn array(site: &Site, dir: &[u8]) -> Vec<u8> {
    fs::read(site.path(below("out", dir, "scan.npy"))).unwrap()
}

/// `npyd ARGS… FILE`, where the file is `scan.raw` in the directory `dir`.
fn npyd_on(site: &Site, args: &[&str], dir: &[u8]) -> std::process::Output {
    let file = site.path(below("in", dir, "scan.raw"));
    site.command().args(args).arg(file).output().unwrap()
}

#[test]
fn directories_that_differ_in_bytes_alone() {
    let site = site_of_bytes("");
    let other = [1; 24];
    drop_scan(&site, NAMES[0], &scan_bytes());
    site.sweep().expect_code(0);
    drop_scan(&site, NAMES[1], &other);
    let receipt = site.sweep().expect_code(0).only_receipt();
    assert_eq!(receipt["event"], "finalized");
    assert!(receipt["source"].as_str().unwrap().ends_with("/in/a\u{fffd}/scan.raw"));
    let npy_of = |data: &[u8]| npy("'<f4'", false, &[2, 3], data);
    assert!(array(&site, NAMES[0]) == scan_npy() && array(&site, NAMES[1]) == npy_of(&other));
    assert!(site.sweep().expect_code(0).json().is_empty());

    drop_scan(&site, NAMES[0], &[2; 24]);
    assert_eq!(site.sweep_until("remade").json().len(), 1);
    assert!(array(&site, NAMES[0]) == npy_of(&[2; 24]) && array(&site, NAMES[1]) == npy_of(&other));
    assert!(site.sweep().expect_code(0).json().is_empty());

    fs::remove_file(site.path(below("out", NAMES[1], "scan.npy"))).unwrap();
    assert!(npyd_on(&site, &["redo"], NAMES[1]).status.success());
    assert_eq!(site.sweep().expect_code(0).only_receipt()["event"], "finalized");
    assert!(array(&site, NAMES[1]) == npy_of(&other));
    let history = site.history();
    let events: Vec<_> = history.iter().map(|it| it["event"].clone()).collect();
    assert_eq!(events, ["finalized", "finalized", "remade", "redo", "finalized"]);
    assert_eq!(last_event(&site, NAMES[0]), "remade");
    assert_eq!(last_event(&site, NAMES[1]), "finalized");
}

/// The event of the newest receipt of `scan.raw`, as `npyd explain` reports it.
fn last_event(site: &Site, dir: &[u8]) -> Value {
    let output = npyd_on(site, &["explain", "--json"], dir).stdout;
    serde_json::from_slice::<Value>(&output).unwrap()["last"]["event"].clone()
}

#[test]
fn a_rejection_in_one_of_two_directories() {
    let site = site_of_bytes("");
    for name in NAMES {
        drop_scan(&site, name, &[0; 25]);
    }
    assert_eq!(site.sweep().expect_code(1).json().of_event("rejected").len(), 2);
    assert!(site.sweep().expect_code(0).json().is_empty());
    assert!(npyd_on(&site, &["retry"], NAMES[1]).status.success());
    assert_eq!(site.sweep().expect_code(1).only_receipt()["event"], "rejected");
}
