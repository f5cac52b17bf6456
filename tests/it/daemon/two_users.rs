//! Root's npyd beside that of another user, with one ledger.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use crate::support::{Receipts, Site, as_root, npy, scan_npy, wait_until};

/// The user as whom the daemon runs.
const NPYD: u32 = 61_000;

/// A site whose directories belong to the daemon's user.
fn site_of_npyd(settings: &str) -> Site {
    let site = Site::with(settings);
    for name in ["", "in", "out", "state"] {
        chown(site.path(name), Some(NPYD), Some(NPYD)).unwrap();
        fs::set_permissions(site.path(name), Permissions::from_mode(0o755)).unwrap();
    }
    site
}

/// Drops other data under the name of a scan.
fn change(site: &Site, byte: u8) {
    site.drop_file("scan.raw", [byte; 24]);
    chown(site.path("in/scan.raw"), Some(NPYD), Some(NPYD)).unwrap();
}

/// Sweeps as a user until the array is as expected.
fn sweep_until(site: &Site, user: u32, is_made: impl Fn() -> bool) {
    wait_until(
        "the array",
        || format!("{:#?}", site.history()),
        || {
            site.npyd_as((user, user), &["sweep"]).expect_code(0);
            is_made()
        },
    );
}

/// Each makes again what the other one made, because the ledger knows it, and neither rejects it.
#[test]
fn a_sweep_of_root_beside_the_daemon() {
    if !as_root() {
        return;
    }
    let site = site_of_npyd("metadata = 'json'");
    site.scan("scan");
    let array = |byte| npy("'<f4'", false, &[2, 3], &[byte; 24]);
    let owner = || fs::metadata(site.path("out/scan.npy")).unwrap().uid();
    site.npyd_as((NPYD, NPYD), &["sweep"]).expect_code(0);
    assert_eq!((site.read("out/scan.npy"), owner()), (scan_npy(), NPYD));
    // Nothing changed.
    assert!(site.sweep().expect_code(0).json().is_empty());
    assert_eq!(owner(), NPYD);
    for (byte, user) in [(1, 0), (2, NPYD), (3, 0)] {
        change(&site, byte);
        sweep_until(&site, user, || site.read("out/scan.npy") == array(byte));
        assert_eq!(owner(), user, "{byte}");
        let metadata = String::from_utf8(site.read("out/scan.npy.json")).unwrap();
        assert!(metadata.contains("remade"), "{byte}: {metadata}");
    }
    assert_eq!(site.history().of_event("rejected"), [&serde_json::Value::Null; 0]);
    // A request of root is one about the daemon's array as well.
    change(&site, 4);
    sweep_until(&site, NPYD, || site.read("out/scan.npy") == array(4));
    site.npyd(&["redo", "scan.raw", "--dtype", "<i4"]).expect_code(0);
    site.npyd_as((NPYD, NPYD), &["sweep"]).expect_code(0);
    assert_eq!(site.read("out/scan.npy"), npy("'<i4'", false, &[2, 3], &[4; 24]));
}

/// The metadata beside an array that root makes again from itself are renewed, too, and stay the
/// daemon's.
#[test]
fn metadata_of_an_array_that_root_corrects() {
    if !as_root() {
        return;
    }
    let site = site_of_npyd("source = 'remove'\nremove_unproven = true\nmetadata = 'json'");
    site.scan("scan");
    chown(site.path("in/scan.raw"), Some(NPYD), Some(NPYD)).unwrap();
    sweep_until(&site, NPYD, || site.has("out/scan.npy.json") && !site.has("in/scan.raw"));
    let owner = || fs::metadata(site.path("out/scan.npy.json")).unwrap().uid();
    for (dtype, user) in [("<i4", 0), ("<u4", NPYD), ("<f4", 0)] {
        let before = site.identity("out/scan.npy.json");
        site.npyd(&["redo", "scan.raw", "--dtype", dtype]).expect_code(0);
        site.npyd_as((user, user), &["sweep"]).expect_code(0);
        let metadata = String::from_utf8(site.read("out/scan.npy.json")).unwrap();
        assert!(metadata.contains("gave dtype"), "{user}: {metadata}");
        assert_ne!(site.identity("out/scan.npy.json"), before, "{user}");
        assert_eq!(owner(), NPYD);
    }
}

/// The daemon has no proof about another user's file; root has, and finds the array.
#[test]
fn a_source_that_root_removes() {
    if !as_root() {
        return;
    }
    let site = site_of_npyd("source = 'remove'");
    site.scan("scan");
    sweep_until(&site, NPYD, || site.has("out/scan.npy"));
    assert!(site.has("in/scan.raw"));
    let before = site.identity("out/scan.npy");
    let receipts = site.sweep().expect_code(0).json();
    assert_eq!(receipts.of_source("scan.raw")["event"], "found");
    assert!(!site.has("in/scan.raw"));
    assert_eq!((site.read("out/scan.npy"), site.identity("out/scan.npy")), (scan_npy(), before));
}

/// A third user's array is not one of npyd's, whatever its mark says.
#[test]
fn an_array_of_neither() {
    if !as_root() {
        return;
    }
    let site = site_of_npyd("");
    site.scan("scan");
    site.npyd_as((NPYD, NPYD), &["sweep"]).expect_code(0);
    chown(site.path("out/scan.npy"), Some(1234), None).unwrap();
    change(&site, 1);
    site.sweep_until("rejected");
    assert_eq!(site.read("out/scan.npy"), scan_npy());
}
