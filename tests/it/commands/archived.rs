//! Archived sources: `npyd redo`, `npyd explain` and `npyd history` agree on where they are, also
//! after the archive was moved or the configuration changed.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::{Outcome, Site, as_root, scan_npy};

/// Settings that archive sources in the directory `name` of the site.
fn archiving(site: &Site, name: &str) -> String {
    let dir = site.path(name);
    fs::create_dir_all(&dir).unwrap();
    format!("source = 'archive'\narchive = '{}'", dir.display())
}

/// A site where the source of an array was archived in `raw`.
fn site_with_archived_scan() -> Site {
    let site = Site::new();
    site.configure(&archiving(&site, "raw")).scan("scan").sweep().expect_code(0);
    assert_eq!(site.names("raw"), ["scan.raw", "scan.raw.toml"]);
    assert_eq!(site.history()[0]["archive"], site.path("raw").to_str().unwrap());
    site
}

fn explain(site: &Site, file: &str) -> Value {
    site.npyd(&["explain", "--json", file]).only_receipt()
}

fn redo(site: &Site) -> Outcome {
    site.npyd(&["redo", "scan.raw", "--dtype", "<i4"])
}

/// An array that is gone: redo and explain name the archived file, whatever the configuration says
/// now.
#[test]
fn where_the_data_are() {
    let site = site_with_archived_scan();
    fs::remove_file(site.path("out/scan.npy")).unwrap();
    let settings = [
        archiving(&site, "raw"),
        archiving(&site, "raw2"),
        "source = 'remove'".to_owned(),
        "source = 'keep'".to_owned(),
    ];
    let words = "raw/scan.raw`: move that file back to `";
    for settings in settings {
        site.configure(&settings);
        redo(&site).expect_code(1).expect_words(&["is gone, like its source; ", words]);
        for file in ["in/scan.raw", "out/scan.npy"] {
            let told = explain(&site, file);
            assert_eq!(told["verdict"], "gone", "{settings}: {told:#}");
            assert!(told["notes"].to_string().contains(words), "{settings}: {told:#}");
            assert!(!told.to_string().contains("no other copy"), "{settings}: {told:#}");
        }
        for (file, kind) in
            [("raw/scan.raw", "archived source"), ("raw/scan.raw.toml", "archived file")]
        {
            let told = explain(&site, file);
            assert_eq!(told["taken_for"], kind, "{settings}: {told:#}");
            assert_eq!(told["verdict"], "finished", "{settings}: {told:#}");
        }
        site.npyd(&["history", "raw/scan.raw"]).expect_code(0);
    }
    // As they say.
    for name in ["scan.raw.toml", "scan.raw"] {
        fs::rename(site.path(format!("raw/{name}")), site.path(format!("in/{name}"))).unwrap();
    }
    site.settle("finalized", 2);
    assert_eq!(site.read("out/scan.npy"), scan_npy());
}

/// Files that somebody moved to another archive are found where the configuration says now; of
/// files that are in neither, the messages name both.
#[test]
fn an_archive_that_was_moved() {
    let site = site_with_archived_scan();
    site.configure(&archiving(&site, "raw2"));
    fs::rename(site.path("raw/scan.raw"), site.path("raw2/scan.raw")).unwrap();
    let told = explain(&site, "out/scan.npy");
    assert!(told["why"].as_str().unwrap().ends_with("raw2/scan.raw`"), "{told:#}");
    assert_eq!(explain(&site, "raw2/scan.raw")["taken_for"], "archived source");
    fs::remove_file(site.path("raw2/scan.raw")).unwrap();
    let nowhere = format!(
        "not in `{}` or `{}` any more",
        site.path("raw").display(),
        site.path("raw2").display()
    );
    let told = explain(&site, "out/scan.npy");
    assert!(told["why"].as_str().unwrap().ends_with(&nowhere), "{told:#}");
    fs::remove_file(site.path("out/scan.npy")).unwrap();
    redo(&site).expect_code(1).expect_words(&[&nowhere, "drop them again"]);
    let told = explain(&site, "out/scan.npy");
    assert!(told["notes"].to_string().contains("npyd knows no other copy"), "{told:#}");
}

/// Of two sources with one name, each is known by its own receipt, also once later receipts of that
/// name are about other files.
#[test]
fn a_name_that_was_used_again() {
    let site = site_with_archived_scan();
    fs::rename(site.path("out/scan.npy"), site.path("first.npy")).unwrap();
    site.scan("scan").drop_file("scan.raw", [2; 24]);
    site.settle("finalized", 2);
    site.scan("scan").drop_file("scan.raw", [3; 24]);
    site.settle("rejected", 1);
    for (file, kind) in [
        ("raw/scan.raw", "archived source"),
        ("raw/scan.raw.1", "archived source"),
        ("raw/scan.raw.toml.1", "archived file"),
    ] {
        let told = explain(&site, file);
        assert_eq!(told["taken_for"], kind, "{file}: {told:#}");
        assert_eq!(told["last"]["event"], "finalized", "{file}: {told:#}");
    }
    site.write("raw/scan.raw.2", [9; 3]);
    assert_eq!(explain(&site, "raw/scan.raw.2")["taken_for"], "archived file");
    site.write("raw/theirs.raw", [9; 3]);
    assert_eq!(explain(&site, "raw/theirs.raw")["verdict"], "ignored");
}

/// The daemon refuses a request with the same advice.
#[test]
fn a_request_that_the_daemon_refuses() {
    let site = site_with_archived_scan();
    redo(&site).expect_code(0);
    fs::remove_file(site.path("out/scan.npy")).unwrap();
    let receipts = site.sweep().expect_code(1).json();
    let why = receipts[0]["reason"].as_str().unwrap();
    assert!(why.contains("raw/scan.raw`: move that file back to `"), "{why}");
}

/// Whether a file is in a directory that this user may not read is not known.
#[test]
fn an_archive_that_is_hidden() {
    if !as_root() {
        return;
    }
    let site = site_with_archived_scan();
    for (dir, mode) in [(".", 0o755), ("raw", 0o700), ("state", 0o755)] {
        fs::set_permissions(site.path(dir), Permissions::from_mode(mode)).unwrap();
    }
    let told = site.npyd_as((65_534, 65_534), &["explain", "in/scan.raw"]).expect_code(0);
    assert!(!told.stdout.contains("any more"), "{told}");
    told.expect_words(&["archived it in `", "raw`, which this user may not read"]);
}
