//! `npyd sweep`: one pass, and what its exit code says.

use crate::support::{Receipts, SCAN_MANIFEST, Site, scan_bytes};

#[test]
fn all_well() {
    let site = Site::new();
    site.sweep().expect_code(0);
    let receipts = site.scan("scan").sweep().expect_code(0).json();
    assert_eq!(receipts.len(), 1);
    assert!(site.sweep().expect_code(0).json().is_empty());
}

/// What waits is no failure, and says what for.
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
