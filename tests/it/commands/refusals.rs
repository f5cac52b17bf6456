//! Requests that npyd refuses when it carries them out: the receipt has the kind of the reason.

use std::fs;

use crate::support::{SCAN_MANIFEST, Site, scan_bytes};

/// Requests something about `scan.raw`, changes it, and returns the receipt of the refusal.
fn refused(site: &Site, request: &[&str], change: impl FnOnce(&Site)) -> (String, String) {
    site.npyd(request).expect_code(0);
    change(site);
    let receipts = site.sweep().json();
    let failed: Vec<_> = receipts.iter().filter(|receipt| receipt["event"] == "failed").collect();
    assert_eq!(failed.len(), 1, "{receipts:#?}");
    let text = |key: &str| failed[0][key].as_str().unwrap_or_default().to_owned();
    (text("reason_kind"), text("reason"))
}

fn remove(site: &Site, names: &[&str]) {
    for name in names {
        fs::remove_file(site.path(name)).unwrap();
    }
}

#[test]
fn a_take_that_is_refused() {
    type Change = fn(&Site);
    let changes: [(&str, &str, Change); 4] = [
        ("undescribed", "no manifest", |site| remove(site, &["in/scan.raw.toml"])),
        ("gone", "does not exist any more", |site| {
            remove(site, &["in/scan.raw", "in/scan.raw.toml"]);
        }),
        ("conflict", "both ", |site| {
            site.drop_file("scan.toml", SCAN_MANIFEST);
        }),
        ("request", "is another file now", |site| {
            site.drop_file("scan.raw", &scan_bytes()[..8]);
        }),
    ];
    for (kind, words, change) in changes {
        let site = Site::new();
        site.scan("scan").drop_file("scan.raw", &scan_bytes()[..20]);
        site.sweep().expect_code(0);
        let (found, reason) = refused(&site, &["take", "in/scan.raw"], change);
        assert_eq!(found, kind, "{reason}");
        assert!(reason.starts_with("not taken: ") && reason.contains(words), "{reason}");
    }
}

#[test]
fn a_redo_that_is_refused() {
    let site = Site::new();
    site.scan("scan");
    site.settle("finalized", 1);
    remove(&site, &["in/scan.raw"]);
    let redo = ["redo", "scan.raw", "--dtype", "<i4"];
    let (kind, reason) = refused(&site, &redo, |site| remove(site, &["out/scan.npy"]));
    assert_eq!(kind, "gone", "{reason}");
    assert!(reason.starts_with("not made again: ") && reason.contains("is gone"), "{reason}");
}

/// npyd does not use a description with several hard links: its other names may be changed by
/// somebody else.
#[test]
fn a_description_with_hard_links() {
    let site = Site::new();
    site.scan("scan");
    fs::hard_link(site.path("in/scan.raw.toml"), site.path("other")).unwrap();
    let told = site.sweep_until("rejected").json();
    assert_eq!(told[0]["reason_kind"], "hard-links", "{told:#?}");
}
