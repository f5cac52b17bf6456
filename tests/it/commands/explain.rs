//! `npyd explain`: reports what npyd would do with a file, and changes nothing.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::{PendingFile, Producer, Site, python, scan_bytes};

/// Explains `in/NAME` as text and as JSON, and asserts that both have `words` and that nothing
/// changed.
#[track_caller]
fn explained(site: &Site, name: &str, words: &[&str]) {
    let file = format!("in/{name}");
    let before = (site.identity(&file), site.names("in"), site.names("out"));
    let path = site.path(&file);
    let path = path.to_str().unwrap();
    site.npyd(&["explain", path]).expect_code(0).expect_words(words);
    let json = site.npyd(&["explain", "--json", path]).expect_code(0).expect_words(words).json();
    assert_eq!(json.len(), 1, "one object a file: {json:#?}");
    assert_eq!((site.identity(&file), site.names("in"), site.names("out")), before);
}

#[test]
fn a_drop_that_is_complete() {
    let site = Site::new();
    site.scan("scan");
    explained(
        &site,
        "scan.raw",
        &["manifest", "scan.raw.toml", "<f4", "(2, 3)", "copy", "scan.npy"],
    );
    site.drop_file("x.npy", PendingFile::ready(&[-1, 3]).with(&[7; 24]));
    explained(&site, "x.npy", &["pending", "<i4", "(2, 3)", "in-place"]);
}

#[test]
fn a_drop_that_waits() {
    let site = Site::new();
    site.scan("short").drop_file("short.raw", &scan_bytes()[..20]);
    explained(&site, "short.raw", &["20", "24"]);
    site.drop_file("lonely.raw", scan_bytes());
    explained(&site, "lonely.raw", &["manifest"]);
}

/// Where the file's own name does not lead to what describes it.
#[test]
fn a_drop_that_is_named_elsewhere() {
    let site = Site::new();
    site.drop_file("frames.u2", scan_bytes());
    site.drop_file("run.toml", "dtype = '<f4'\nshape = [2, 3]\ndata = 'frames.u2'\n");
    explained(&site, "frames.u2", &["run.toml", "<f4", "ready"]);
    site.npyd(&["manifest", "in/frames.u2"]).expect_code(0).expect_words(&["frames.u2", "<f4"]);
    site.npyd(&["finalize", "in/frames.u2"]).expect_code(0);
    assert!(site.has("in/frames.npy"));
}

/// How much is really there is told by what is allocated, not by the size.
#[test]
fn a_dump_that_is_being_written() {
    let Some(python) = python() else { return };
    let site = Site::new();
    site.drop_file("scan.raw.toml", "dtype = '<i4'\nshape = [1024, 1024]\n");
    let path = site.path("in/scan.raw");
    let mut producer =
        Producer::start(&python, "mapped.py", [path.to_str().unwrap(), "1024", "1024", "0"]);
    producer.say("frame 5 1").say("flush");
    explained(&site, "scan.raw", &["writ", "allocated"]);
}

#[test]
fn a_drop_that_is_rejected() {
    let site = Site::new();
    site.scan("scan").drop_file("scan.raw.toml", "dtype = '<q9'\nshape = [2, 3]");
    explained(&site, "scan.raw", &["<q9"]);
}

/// The daemon ignores such a file; only `npyd finalize` with its name makes an array. `npyd
/// explain` says so, so that nobody waits for the daemon.
#[test]
fn a_file_of_no_drop() {
    let site = Site::new();
    site.write("elsewhere.raw", scan_bytes());
    let outcome = site.npyd(&["explain", site.path("elsewhere.raw").to_str().unwrap()]);
    outcome.expect_words(&["elsewhere.raw", "not in a drop directory"]);
    fs::create_dir(site.path("in/below")).unwrap();
    site.scan("below/scan");
    explained(&site, "below/scan.raw", &["not `recursive`"]);
}

#[test]
fn a_file_where_npyd_puts_files() {
    let site = Site::new();
    fs::create_dir(site.path("in/bad")).unwrap();
    site.configure(&format!("recursive = true\nrejects = \"{}\"", site.path("in/bad").display()));
    site.scan("bad/scan");
    explained(&site, "bad/scan.raw", &["npyd itself puts files"]);
}

#[test]
fn a_drop_directory_by_another_name() {
    let site = Site::new();
    site.scan("scan");
    symlink("in", site.path("link")).unwrap();
    for file in ["link/scan.raw", "in/../in/scan.raw"] {
        let told = site.npyd(&["explain", "--json", file]).expect_code(0).json();
        assert_eq!(told[0]["output"], site.path("out/scan.npy").to_str().unwrap());
        assert!(told[0]["outside"].is_null(), "{told:#?}");
    }
}

#[test]
fn what_became_of_a_drop() {
    let site = Site::with("source = \"remove\"");
    site.scan("scan").scan("taken").write("out/taken.npy", "something else");
    site.sweep();
    explained(&site, "taken.raw", &["rejected at", "already exists"]);
    site.npyd(&["explain", "in/scan.raw"]).expect_words(&["gone", "finalized at"]);
}

/// What salvage would make, and what would become of the bytes behind it.
#[test]
fn an_abandoned_file() {
    let site = Site::with("salvage = \"whole-records\"");
    let file = PendingFile::writing(&[1, 3]).with(&[7; 29]);
    site.drop_file("x.npy", &file).drop_file("exact.npy", &file[..file.len() - 5]);
    std::thread::sleep(std::time::Duration::from_millis(250)); // it must be quiet
    let rest = site.path("out/x.npy.rest");
    let words = ["2 complete records", "where its header says 1", "5 bytes behind", "in-place"];
    explained(&site, "x.npy", &[&words[..], &[rest.to_str().unwrap()]].concat());
    explained(&site, "exact.npy", &["2 complete records", "in-place"]);
    let told = site.npyd(&["explain", "--json", "in/exact.npy"]).json();
    assert!(told[0].get("rest").is_none() && told[0].get("rest_len").is_none(), "{told:#?}");

    site.configure("");
    explained(&site, "x.npy", &["2 complete records", "5 bytes behind", "whole-records"]);
    site.configure("allow_trailing = true");
    site.drop_file("x.npy", PendingFile::ready(&[1, 3]).with(&[7; 29]));
    explained(&site, "x.npy", &["copy", "17 bytes lie behind the array"]);
    let told = site.npyd(&["explain", "--json", "in/x.npy"]).json();
    assert!(told[0]["rest_len"] == 17 && told[0].get("rest").is_none(), "{told:#?}");
}

/// How long it takes if nothing happens.
#[test]
fn when_a_drop_is_ready() {
    let site = Site::new();
    let config = site.configuration("state", "").replace("\"200ms\"", "\"1h\"");
    site.write("npyd.toml", config);
    site.drop_file("open.raw", scan_bytes());
    site.drop_file("open.raw.toml", "dtype = '<f4'\nshape = [-1, 3]\n");
    let told = site.npyd(&["explain", "in/open.raw"]).expect_code(0);
    let mut words = told.stdout.lines().filter_map(|line| line.trim().strip_prefix("ready in"));
    let seconds: u32 = words.next().unwrap().split_whitespace().next().unwrap().parse().unwrap();
    assert!((1..=3600).contains(&seconds), "{told}");
}
