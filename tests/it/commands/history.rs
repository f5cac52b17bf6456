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

/// The message names the missing right, the user or the group that has it, and who can grant it. It
/// does not advise a person's or root's group, nor another ledger.
#[test]
fn a_user_without_rights_on_the_ledger() {
    if !as_root() {
        return;
    }
    let site = site_of_npyd();
    site.sweep().expect_code(0);
    let group = NPYD + 1;
    let (as_owner, join) = (format!("run this command as user `{NPYD}`"), "usermod -aG 61001 ");
    for (owner, gid, mode, words, other) in [
        (NPYD, group, 0o750, [as_owner.as_str(), join], "chmod"),
        (NPYD, group, 0o700, ["chmod 750 ", join], "sudo"),
        (NPYD, group, 0o755, ["may not read it", join], "sudo"),
        (NPYD, NPYD, 0o750, [&as_owner, "to whom the ledger belongs"], "usermod"),
        (0, 0, 0o750, ["run this command as user `root`", "may not enter"], "usermod"),
    ] {
        for name in ["state", "state/ledger.sqlite"] {
            chown(site.path(name), Some(owner), Some(gid)).unwrap();
        }
        fs::set_permissions(site.path("state"), Permissions::from_mode(mode)).unwrap();
        let ledger = site.path("state/ledger.sqlite");
        fs::set_permissions(ledger, Permissions::from_mode(0o640)).unwrap();
        for (command, code) in [(&["history"][..], 2), (&["retry", "--all"], 2), (&["check"], 1)] {
            let told = site.npyd_as((65_534, 65_534), command).expect_code(code);
            let told = told.expect_words(&words);
            assert!(!format!("{told}").contains(other), "{told}");
        }
        // A member need not join.
        let member = site.npyd_as((65_534, gid), &["check"]).expect_code(1);
        assert!(!format!("{member}").contains("usermod"), "{member}");
    }
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
