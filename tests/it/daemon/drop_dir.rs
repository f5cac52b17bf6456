//! Drop directories that are missing, vanish and come back, and those with subdirectories.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::support::{Daemon, Receipts, SCAN_MANIFEST, Site, scan_bytes, scan_npy};

/// npyd looks for a missing root at the interval of the scans.
const RESCAN: &str = "rescan = \"500ms\"";

/// Drops a scan at the end of `path`, whose directories are made in the same moment.
fn scan_in(site: &Site, path: &str) {
    fs::create_dir_all(site.path(path)).unwrap();
    site.write(&format!("{path}/scan.raw"), scan_bytes());
    site.write(&format!("{path}/scan.raw.toml"), SCAN_MANIFEST);
}

#[test]
fn a_root_that_comes_later() {
    let site = Site::with(RESCAN);
    fs::remove_dir(site.path("in")).unwrap();
    let mut daemon = site.daemon();
    scan_in(&site, "in");
    daemon.wait_for_file("out/scan.npy");
}

#[test]
fn a_root_whose_parent_comes_later() {
    let site = Site::new();
    let config = site.configuration("state", RESCAN);
    let (path, deep) = (site.path("in"), site.path("a/b/in"));
    let config = config.replace(path.to_str().unwrap(), deep.to_str().unwrap());
    site.write("npyd.toml", config);
    let mut daemon = site.daemon();
    scan_in(&site, "a/b/in");
    daemon.wait_for_file("out/scan.npy");
}

/// Gone is not empty: what was done stays done when the directory is back.
#[test]
fn a_root_that_moves_away_and_back() {
    let site = Site::with(RESCAN);
    let mut daemon = site.daemon();
    site.scan("first");
    daemon.wait_for_receipts("finalized", 1);
    fs::rename(site.path("in"), site.path("elsewhere")).unwrap();
    daemon.wait_for_log(site.path("in").to_str().unwrap());
    fs::rename(site.path("elsewhere"), site.path("in")).unwrap();
    site.scan("second");
    daemon.wait_for_receipts("finalized", 2);
    assert!(daemon.stop().success());
    assert_eq!(site.history().of_event("finalized").len(), 2);
    assert_eq!(site.names("out"), ["first.npy", "second.npy"]);
}

#[test]
fn a_root_that_is_removed_and_made_again() {
    let site = Site::with(RESCAN);
    let mut daemon = site.daemon();
    for name in ["first", "second", "third"] {
        site.scan(name);
        daemon.wait_for_file(&format!("out/{name}.npy"));
        fs::remove_dir_all(site.path("in")).unwrap();
        fs::create_dir(site.path("in")).unwrap();
    }
    assert!(daemon.stop().success());
}

/// The root is replaced so fast that npyd does not see its absence. On ext4 the new root gets the
/// inode number of the old one.
#[test]
fn a_root_that_is_made_again_at_once() {
    let site = Site::with("rescan = \"1h\"");
    let mut daemon = site.daemon();
    for name in ["first", "second", "third"] {
        fs::remove_dir(site.path("in")).unwrap();
        fs::create_dir(site.path("in")).unwrap();
        site.scan(name);
        daemon.wait_for_file(&format!("out/{name}.npy"));
        fs::remove_file(site.path(format!("in/{name}.raw"))).unwrap();
        fs::remove_file(site.path(format!("in/{name}.raw.toml"))).unwrap();
    }
    assert!(daemon.stop().success());
}

/// A missing drop directory does not delay the work in another one.
#[test]
fn a_missing_root_stops_no_other() {
    let site = Site::new();
    let missing = format!("[[drop]]\npath = \"{}\"", site.path("missing").display());
    site.configure(&missing);
    let mut daemon = site.daemon();
    site.scan("scan");
    daemon.wait_for_file("out/scan.npy");
    assert!(daemon.log().contains("missing"), "{}", daemon.log());
}

/// Below a recursive drop the arrays lie in the same directories as their data.
#[test]
fn directories_made_with_their_files() {
    let site = Site::with("recursive = true");
    let mut daemon = site.daemon();
    for index in 0..50 {
        scan_in(&site, &format!("in/{index}/b/c"));
    }
    for index in 0..50 {
        daemon.wait_for_file(&format!("out/{index}/b/c/scan.npy"));
    }
    assert_eq!(site.read("out/7/b/c/scan.npy"), scan_npy());
}

#[test]
fn a_directory_moved_in_with_its_files() {
    let site = Site::with("recursive = true");
    let mut daemon = site.daemon();
    scan_in(&site, "made/deep");
    fs::rename(site.path("made"), site.path("in/made")).unwrap();
    daemon.wait_for_file("out/made/deep/scan.npy");
    scan_in(&site, "in/made/deeper/still");
    daemon.wait_for_file("out/made/deeper/still/scan.npy");
}

#[test]
fn without_recursive_directories_are_left_alone() {
    let site = Site::new();
    scan_in(&site, "in/sub");
    site.scan("scan").sweep().expect_code(0);
    assert_eq!(site.names("out"), ["scan.npy"]);
    assert_eq!(site.names("in/sub"), ["scan.raw", "scan.raw.toml"]);
}

/// A sweep reaches the same state as the daemon.
#[test]
fn a_sweep_goes_as_deep() {
    let site = Site::with("recursive = true\nsource = \"remove\"");
    scan_in(&site, "in/a/b");
    site.sweep().expect_code(0);
    assert_eq!(site.read("out/a/b/scan.npy"), scan_npy());
    assert_eq!(site.names("out/a/b"), ["scan.npy", "scan.raw.toml.done"]);
}

/// Where events can't be had, or are not wanted, polling finds the same.
#[test]
fn by_polling() {
    let site = Site::with("watch = \"poll\"\nrecursive = true\nrescan = \"500ms\"");
    let mut daemon = site.daemon();
    site.scan("scan");
    scan_in(&site, "in/a/b");
    daemon.wait_for_file("out/scan.npy").wait_for_file("out/a/b/scan.npy");
}

/// A directory that can't be read is said so, but not at every scan, and the rest goes on.
#[test]
fn an_unreadable_directory_stops_no_other() {
    let site = Site::with("recursive = true\nwatch = \"poll\"");
    scan_in(&site, "in/closed");
    fs::set_permissions(site.path("in/closed"), fs::Permissions::from_mode(0o000)).unwrap();
    let mut daemon = Daemon::start_as(&site, "npyd.toml", site.command_by_rights());
    for name in ["one", "two"] {
        scan_in(&site, &format!("in/{name}"));
        daemon.wait_for_file(&format!("out/{name}/scan.npy"));
    }
    fs::set_permissions(site.path("in/closed"), fs::Permissions::from_mode(0o755)).unwrap();
    daemon.wait_for_file("out/closed/scan.npy");
    assert_eq!(daemon.log().matches("in/closed`").count(), 1, "{}", daemon.log());
}

/// As a mount of somebody else's disk is: what could become the array elsewhere is copied.
#[test]
fn a_drop_directory_that_can_only_be_read() {
    let site = Site::new();
    site.scan("scan").drop_file("room.raw", [[0; 128].as_slice(), &scan_bytes()].concat());
    site.drop_file("room.toml", format!("{SCAN_MANIFEST}reserved = 128\n"));
    let gate = |mode| {
        fs::set_permissions(site.path("in"), fs::Permissions::from_mode(mode)).unwrap();
    };
    let names = site.names("in");
    gate(0o555);
    let checked = site.npyd_by_rights(&["check"]);
    let swept = site.npyd_by_rights(&["sweep", "--json"]);
    gate(0o755);
    checked
        .expect_code(0)
        .expect_words(&["read-only: files are copied", "has no permission to rename"]);
    let receipts = swept.expect_code(0).json();
    assert_eq!(receipts.of_source("room.raw")["route"], "copy");
    assert_eq!((site.read("out/room.npy"), site.read("out/scan.npy")), (scan_npy(), scan_npy()));
    assert_eq!(site.names("in"), names);
}

#[test]
fn one_directory_by_two_names() {
    let site = Site::new();
    symlink("in", site.path("link")).unwrap();
    let also = format!("[[drop]]\npath = \"{}\"", site.path("link").display());
    site.configure(&also).npyd(&["check"]).expect_code(2).expect_words(&["configured twice"]);
}

/// The drop directory is configured by a symlink, and its archive by the real path. npyd recognizes
/// the archive as its own, and notices new files at once.
#[test]
fn a_drop_directory_that_is_a_link() {
    let site = Site::new();
    symlink("in", site.path("link")).unwrap();
    fs::create_dir(site.path("in/archive")).unwrap();
    let settings = "recursive = true\nrescan = \"1day\"\nsource = \"archive\"\n\
                    remove_unproven = true\n\
                    template = [{ match = \"*.raw\", dtype = \"<f4\", shape = [2, 3] }]";
    let archive = format!("archive = \"{}\"", site.path("in/archive").display());
    let config = site.configuration("state", &format!("{settings}\n{archive}"));
    site.write("npyd.toml", config.replace("/in\"\n", "/link\"\n"));
    let mut daemon = site.daemon();
    site.drop_file("scan.raw", scan_bytes());
    daemon.wait_for_file("out/scan.npy").wait_for_file("in/archive/scan.raw");
    site.drop_file("next.raw", scan_bytes());
    daemon.wait_for_file("out/next.npy").wait_for_file("in/archive/next.raw");
    assert!(daemon.stop().success());
    site.sweep().expect_code(0);
    assert_eq!(site.names("out"), ["next.npy", "scan.npy"]);
    assert_eq!(site.history().of_event("finalized").len(), 2);
}
