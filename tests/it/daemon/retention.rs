//! The receipts that stay in the ledger.

use std::fs;

use crate::support::{Receipts, Site};

fn listed(site: &Site) -> Vec<String> {
    let name = |it: &serde_json::Value| {
        let path = it["source"].as_str().unwrap();
        path.rsplit('/').next().unwrap().to_owned()
    };
    site.history().iter().map(name).collect()
}

fn site(settings: &str) -> Site {
    let site = Site::with(settings);
    let config = format!("history = '0s'\n{}", site.configuration("state", settings));
    site.write("npyd.toml", config);
    site
}

/// The newest receipt of a file stays for as long as the file exists; its old ones go at once.
#[test]
fn receipts_of_files_that_exist() {
    let site = site("");
    for name in ["a", "b", "c"] {
        site.scan(name).sweep().expect_code(0);
    }
    site.npyd(&["redo", "a.raw"]).expect_code(0);
    site.sweep().expect_code(0);
    assert_eq!(listed(&site), ["b.raw", "c.raw", "a.raw"]);
    site.sweep().expect_code(0);
    assert_eq!(listed(&site), ["b.raw", "c.raw", "a.raw"]);
    fs::remove_file(site.path("in/b.raw")).unwrap();
    site.sweep().expect_code(0);
    assert_eq!(listed(&site), ["c.raw", "a.raw"]);
}

/// Its disk may not be mounted.
#[test]
fn receipts_of_an_empty_or_missing_drop_directory() {
    let site = site("");
    site.scan("a").scan("b").sweep().expect_code(0);
    let before = listed(&site);
    fs::rename(site.path("in"), site.path("aside")).unwrap();
    site.sweep();
    fs::create_dir(site.path("in")).unwrap();
    site.sweep().expect_code(0);
    assert_eq!(listed(&site), before);
    fs::remove_dir(site.path("in")).unwrap();
    fs::rename(site.path("aside"), site.path("in")).unwrap();
    assert!(site.sweep().expect_code(0).json().is_empty());
    assert_eq!(listed(&site), before);
}

/// `npyd retry` needs the receipt.
#[test]
fn the_receipt_of_a_file_among_the_rejects() {
    let site = site("");
    fs::create_dir(site.path("rejects")).unwrap();
    let rejects = format!("rejects = '{}'", site.path("rejects").display());
    let config = format!("history = '0s'\n{}", site.configuration("state", &rejects));
    site.write("npyd.toml", config);
    site.drop_file("bad.raw", [0; 28]).drop_file("bad.toml", crate::support::SCAN_MANIFEST);
    site.sweep_until("rejected");
    assert!(!site.has("in/bad.raw"));
    site.scan("a").sweep();
    site.sweep();
    assert_eq!(site.history().of_event("rejected").len(), 1);
    for name in site.names("rejects") {
        fs::remove_file(site.path("rejects").join(name)).unwrap();
    }
    site.sweep();
    assert_eq!(listed(&site), ["a.raw"]);
}
