//! `npyd history` and `npyd retry` by other users than the one that npyd runs as.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use crate::support::{Receipts, Site, as_root};

const NPYD: u32 = 61_000;

/// A site whose directories belong to the user npyd, and whose ledger its group may read.
fn site_of_npyd() -> Site {
    let site = Site::new();
    for name in ["", "in", "out", "state"] {
        chown(site.path(name), Some(NPYD), Some(NPYD)).unwrap();
        fs::set_permissions(site.path(name), Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(site.path("state"), Permissions::from_mode(0o750)).unwrap();
    site
}

#[test]
fn roots_ledger_belongs_to_npyd() {
    if !as_root() {
        return;
    }
    let site = site_of_npyd();
    site.scan("scan").sweep().expect_code(0);
    for name in site.names("state") {
        let stat = fs::metadata(site.path("state").join(&name)).unwrap();
        assert_eq!((stat.uid(), stat.gid()), (NPYD, NPYD), "{name}");
    }
    site.npyd(&["retry", "--all"]).expect_code(0);
    site.npyd(&["check"]).expect_code(0);
    site.npyd_as((NPYD, NPYD), &["sweep"]).expect_code(0);
}

/// Nobody has the ledger open, and a member of the group may not create SQLite's other files.
#[test]
fn the_group_reads_while_the_daemon_is_stopped() {
    if !as_root() {
        return;
    }
    let site = site_of_npyd();
    site.scan("scan");
    site.npyd_as((NPYD, NPYD), &["sweep"]).expect_code(0);
    assert_eq!(site.names("state"), ["ledger.sqlite"]);
    let told = site.npyd_as((65_534, NPYD), &["history", "--json"]).expect_code(0).json();
    assert_eq!(told.of_event("finalized").len(), 1);
    for request in [&["retry", "--all"][..], &["redo", "scan.raw"], &["take", "in/scan.raw"]] {
        let told = site.npyd_as((65_534, NPYD), request).expect_code(2);
        told.expect_words(&[
            "while npyd is stopped",
            "start npyd, or run this command as that user",
        ]);
    }
    site.npyd_as((65_534, 65_534), &["history"]).expect_code(2);
    assert_eq!(site.names("state"), ["ledger.sqlite"]);
}

/// The mark counts only on npyd's own files; the bytes count on all.
#[test]
fn an_npyd_of_another_user_knows_the_arrays() {
    if !as_root() {
        return;
    }
    let site = site_of_npyd();
    site.scan("scan").scan("changed");
    site.npyd_as((NPYD, NPYD), &["sweep"]).expect_code(0);
    site.lose_ledger();
    let other = 61_001;
    for name in ["in", "out", "state"] {
        chown(site.path(name), Some(other), None).unwrap();
    }
    let (scan, changed) = (site.identity("out/scan.npy"), site.identity("out/changed.npy"));
    site.drop_file("changed.raw", [7; 24]);
    let told = site.npyd_as((other, other), &["sweep", "--json"]).expect_code(1).json();
    assert_eq!(told.of_event("found").len(), 1, "{told:#?}");
    assert_eq!(told.of_event("rejected").len(), 1, "{told:#?}");
    assert_eq!((site.identity("out/scan.npy"), site.identity("out/changed.npy")), (scan, changed));
}
