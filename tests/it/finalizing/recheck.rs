//! Finished drops of whose files only attributes changed: rights, links, names.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{
    Receipts, SCAN_MANIFEST, Site, gathered, lines_since, npy, scan_bytes, scan_npy,
};

const RECHECKED: &str = "only attributes of its files changed; the array has their bytes";

/// Changes the rights of a file, and so its ctime.
fn chmod(site: &Site, name: &str) {
    let path = site.path(name);
    let mode = fs::metadata(&path).unwrap().mode() ^ 0o040;
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Writes other bytes into a file, and restores its mtime.
fn rewrite(site: &Site, name: &str, bytes: &[u8]) {
    let path = site.path(name);
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, bytes).unwrap();
    File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), modified);
}

/// Sweeps, and expects that the array was found as it was, and that nothing is left to do.
#[track_caller]
fn expect_found(site: &Site, case: &str) {
    let before = (site.identity("out/scan.npy"), site.names("in"));
    let receipt = site.sweep().expect_code(0).only_receipt();
    assert_eq!(receipt["event"], "found", "{case}: {receipt}");
    assert_eq!(receipt["reason"], RECHECKED, "{case}");
    assert_eq!((site.identity("out/scan.npy"), site.names("in")), before, "{case}");
    assert!(site.sweep().expect_code(0).json().is_empty(), "{case}");
}

#[test]
fn attributes_of_either_file() {
    let site = Site::with_array("rejects = \"bad\"");
    for name in ["in/scan.raw", "in/scan.raw.toml"] {
        chmod(&site, name);
        expect_found(&site, name);
        fs::rename(site.path(name), site.path("elsewhere")).unwrap();
        fs::rename(site.path("elsewhere"), site.path(name)).unwrap();
        expect_found(&site, name);
    }
    assert!(!site.has("bad"));
}

#[test]
fn one_of_several_data_files() {
    let site = Site::new();
    site.drop_file("scan.mhd", "NDims = 3\nDimSize = 2 3 2\nElementType = MET_UCHAR\nElementDataFile = LIST\na.raw\nb.raw\n");
    site.drop_file("a.raw", [1; 6]).drop_file("b.raw", [2; 6]);
    site.settle("finalized", 1);
    for name in ["in/a.raw", "in/b.raw", "in/scan.mhd"] {
        chmod(&site, name);
        expect_found(&site, name);
    }
    rewrite(&site, "in/b.raw", &[3; 6]);
    assert_eq!(site.sweep().expect_code(0).only_receipt()["event"], "remade");
}

/// As a backup of hard links makes them. A new drop with hard links is rejected as before.
#[test]
fn hard_links_to_a_finished_drop() {
    let site = Site::with_array("rejects = \"bad\"");
    for name in ["scan.raw", "scan.raw.toml"] {
        fs::hard_link(site.path(format!("in/{name}")), site.path(name)).unwrap();
        expect_found(&site, name);
        chmod(&site, name);
        expect_found(&site, name);
    }
    fs::remove_file(site.path("scan.raw.toml")).unwrap();
    expect_found(&site, "one link less");

    // What changed as well is another drop.
    rewrite(&site, "in/scan.raw", &[1; 24]);
    let rejected = site.sweep().expect_code(1).only_receipt();
    assert_eq!(
        (&rejected["event"], &rejected["reason_kind"]),
        (&"rejected".into(), &"hard-links".into())
    );
    assert_eq!(site.read("out/scan.npy"), scan_npy());
    site.drop_file("new.raw", scan_bytes()).drop_file("new.raw.toml", SCAN_MANIFEST);
    fs::hard_link(site.path("in/new.raw"), site.path("new.raw")).unwrap();
    let rejected = site.sweep().expect_code(1).only_receipt();
    assert_eq!(rejected["reason_kind"], "hard-links");
    assert_eq!(site.names("out"), ["scan.npy"]);
}

/// A manifest that names its data file in its text has a second name as well.
#[test]
fn a_hard_link_to_a_manifest_that_names_its_data() {
    let site = Site::with("rejects = \"bad\"");
    site.drop_file("data.bin", scan_bytes());
    site.drop_file("scan.toml", format!("{SCAN_MANIFEST}data = 'data.bin'\noutput = 'scan.npy'\n"));
    site.sweep().expect_code(0);
    for name in ["data.bin", "scan.toml"] {
        fs::hard_link(site.path(format!("in/{name}")), site.path(name)).unwrap();
    }
    expect_found(&site, "both");
}

/// `touch -r`, `rsync --inplace --times`.
#[test]
fn other_bytes_with_the_old_mtime() {
    for (settings, source_fate) in [("", "kept"), ("source = \"remove\"", "removed")] {
        let site = Site::with_array("");
        site.configure(settings);
        rewrite(&site, "in/scan.raw", &[1; 24]);
        let receipt = site.sweep().expect_code(0).only_receipt();
        assert_eq!(receipt["event"], "remade");
        assert_eq!(receipt["source_fate"], source_fate);
        assert_eq!(site.read("out/scan.npy"), npy("'<f4'", false, &[2, 3], &[1; 24]));
        assert_eq!(site.read("out/scan.npy.~1~"), scan_npy());
    }
    let site = Site::with_array("on_change = \"keep\"");
    rewrite(&site, "in/scan.raw", &[1; 24]);
    let receipt = site.sweep().expect_code(0).only_receipt();
    assert_eq!((&receipt["event"], &receipt["source_fate"]), (&"found".into(), &"kept".into()));
    assert_ne!(receipt["reason"], RECHECKED);
    assert_eq!(site.read("out/scan.npy"), scan_npy());
}

/// One log line for all of them.
#[test]
fn many_at_once() {
    const DROPS: usize = 300;
    let site = Site::new();
    for index in 0..DROPS {
        site.scan(&format!("scan-{index:03}"));
    }
    site.settle("finalized", DROPS);
    for index in 0..DROPS {
        chmod(&site, &format!("in/scan-{index:03}.raw"));
    }
    let begun = Instant::now();
    let mut daemon = site.daemon();
    daemon.wait_for_receipts("found", DROPS);
    daemon.wait_for_log("npyd compares each with its array");
    assert!(daemon.end(Signal::TERM).success());
    let log = daemon.log();
    let (drops, lines) = gathered(&log, "only attributes (rights, ACL, links or name) of ");
    assert_eq!(drops, DROPS, "{log}");
    // What was not logged yet, the end of the daemon logs.
    assert!(lines <= lines_since(begun) + 1, "{log}");
    assert!(log.contains(" finished drops in `") && !log.contains("scan-"), "{log}");
}

/// It is read at the configured rate and with idle priority, and delays no new drop.
#[test]
fn new_drops_come_first() {
    const LEN: u64 = 64 << 20;
    let site = Site::new();
    File::create(site.path("in/large.raw")).unwrap().set_len(LEN).unwrap();
    site.drop_file("large.raw.toml", format!("dtype = '|u1'\nshape = [{LEN}]\n"));
    site.settle("finalized", 1);
    chmod(&site, "in/large.raw");
    let config = format!("workers = 1\n{}", site.configuration("state", "max_rate = '1 MiB/s'"));
    site.write("npyd.toml", config);
    let mut daemon = site.daemon();
    let tasks = format!("/proc/{}/task", daemon.pid());
    daemon.wait_for("a thread at idle priority", || {
        let threads = fs::read_dir(&tasks).unwrap().map(|task| task.unwrap().path());
        let mut aside = threads.filter(|task| {
            fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "npyd-aside")
        });
        aside.next().is_some_and(|task| {
            let ionice = Command::new("ionice").arg("-p").arg(task.file_name().unwrap()).output();
            String::from_utf8(ionice.unwrap().stdout).unwrap().trim() == "idle"
        })
    });
    site.scan("new");
    daemon.wait_for_file("out/new.npy");
    daemon.wait_for_receipts("finalized", 2);
    // 64 MiB take 63 s at least.
    assert!(site.history().of_event("found").is_empty());
    assert!(daemon.stop().success(), "it does not wait for the end");
}

/// The drops below another path are others. npyd recognizes arrays that moved along by their marks.
#[test]
fn a_renamed_directory() {
    for (output, arrays) in [("out", "out"), ("in", "in")] {
        let site = Site::new();
        let config = site.configuration("state", "recursive = true");
        site.write("npyd.toml", config.replace("/out\"", &format!("/{output}\"")));
        fs::create_dir(site.path("in/a")).unwrap();
        site.scan("a/scan").sweep().expect_code(0);
        let array = site.identity(&format!("{arrays}/a/scan.npy"));
        fs::rename(site.path("in/a"), site.path("in/b")).unwrap();
        let receipt: Value = site.sweep().expect_code(0).only_receipt();
        let expected = if output == "in" { "found" } else { "finalized" };
        assert_eq!(receipt["event"], expected, "{receipt}");
        assert_eq!(site.read(&format!("{arrays}/b/scan.npy")), scan_npy());
        let old = if output == "in" { "in/b/scan.npy" } else { "out/a/scan.npy" };
        assert_eq!(site.identity(old), array);
    }
}
