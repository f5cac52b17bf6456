//! An array whose name is taken.

use crate::support::{PendingFile, Receipts, Site, scan_npy};

#[test]
fn rejected() {
    let site = Site::with("on_conflict = \"reject\"\nsource = \"remove\"");
    site.write("out/scan.npy", "something else").scan("scan");
    let receipts = site.sweep().expect_code(1).json();
    let receipt = receipts.of_source("scan.raw");
    assert_eq!(receipt["event"], "rejected");
    assert!(receipt["reason"].as_str().unwrap().contains("scan.npy"), "{receipt}");
    assert_eq!(site.read("out/scan.npy"), b"something else");
    assert_eq!(site.names("in"), ["scan.raw", "scan.raw.toml"]);
    assert_eq!(site.names("out"), ["scan.npy"]);
}

#[test]
fn replaced() {
    let site = Site::with("on_conflict = \"replace\"");
    site.write("out/scan.npy", "something else").scan("scan");
    site.sweep().expect_code(0);
    assert_eq!(site.read("out/scan.npy"), scan_npy());
    assert_eq!(site.names("out"), ["scan.npy"]);
}

#[test]
fn numbered() {
    let site = Site::with("on_conflict = \"number\"");
    site.write("out/scan.npy", "one").write("out/scan-1.npy", "another").scan("scan");
    let receipts = site.sweep().expect_code(0).json();
    let output = receipts.of_source("scan.raw")["output"].as_str().unwrap().to_owned();
    assert!(output.ends_with("scan-2.npy"), "{output}");
    assert_eq!(site.names("out"), ["scan-1.npy", "scan-2.npy", "scan.npy"]);
    assert_eq!(site.read("out/scan-2.npy"), scan_npy());
    assert_eq!(site.read("out/scan.npy"), b"one");
}

/// Two drops of one sweep may want the same name.
#[test]
fn two_drops_with_one_output() {
    let site = Site::new();
    site.scan("a").drop_file("a.raw.toml", "dtype = '<f4'\nshape = [2, 3]\noutput = 'x.npy'");
    site.scan("b").drop_file("b.raw.toml", "dtype = '<f4'\nshape = [3, 2]\noutput = 'x.npy'");
    let receipts = site.sweep().expect_code(1).json();
    assert_eq!(receipts.of_event("finalized").len(), 1);
    assert_eq!(receipts.of_event("rejected").len(), 1);
    assert_eq!(site.names("out"), ["x.npy"]);
}

/// In place there is nothing to copy, and the same rules hold.
#[test]
fn a_pending_file_whose_name_is_taken() {
    let pending = PendingFile::ready(&[2, 3]).with(&[7; 24]);
    for (policy, code, names) in [
        ("reject", 1, &["x.npy"][..]),
        ("replace", 0, &["x.npy"]),
        ("number", 0, &["x-1.npy", "x.npy"]),
    ] {
        let site = Site::with(&format!("on_conflict = \"{policy}\""));
        site.write("out/x.npy", "something else").drop_file("x.npy.pending", &pending);
        site.sweep().expect_code(code);
        assert_eq!(site.names("out"), names, "{policy}");
        let untouched = site.has("in/x.npy.pending") && site.read("in/x.npy.pending") == pending;
        assert_eq!(untouched, policy == "reject", "{policy}");
        assert_eq!(site.read("out/x.npy") == b"something else", policy != "replace", "{policy}");
    }
}
