//! Faults of the machine that pass: what they held up is done when they are over.

use std::process::Command;

use crate::support::{
    Daemon, Mounted, Receipts, SCAN_MANIFEST, Site, as_root, scan_bytes, scan_npy, succeeds,
};

/// As after an error on the disk, or by an administrator's hand.
#[test]
fn a_file_system_turned_read_only() {
    if !as_root() {
        return;
    }
    let site = Site::with("source = \"remove\"");
    let Some(mounted) = Mounted::image(&site, "out", "ext4", 32, &[]) else { return };
    let remount = |how: &str| succeeds("mount", &["-o", how, mounted.at().to_str().unwrap()]);
    let mut daemon = site.daemon();
    site.scan("before");
    daemon.wait_for_file("out/before.npy").wait_for_file("out/before.raw.toml.done");
    assert!(remount("remount,ro"));
    site.scan("scan");
    daemon.wait_for_log("ead-only file system");
    assert_eq!(site.read("in/scan.raw"), scan_bytes());
    assert!(remount("remount,rw"));
    daemon.wait_for_file("out/scan.npy");
    assert_eq!(site.read("out/scan.npy"), scan_npy());
    assert!(daemon.stop().success());
    assert!(site.history().of_event("rejected").is_empty());
}

/// With far fewer descriptors than a burst has files.
#[test]
fn no_descriptors_left() {
    const DROPS: usize = 100;
    let site = Site::new();
    for number in 0..DROPS {
        site.drop_file(&format!("{number}.raw"), scan_bytes());
        site.drop_file(&format!("{number}.raw.toml"), SCAN_MANIFEST);
    }
    let npyd = site.command();
    let mut limited = Command::new("prlimit");
    limited.envs(npyd.get_envs().filter_map(|(name, value)| Some((name, value?))));
    limited.args(["--nofile=48:48", "--"]).arg(npyd.get_program());
    let mut daemon = Daemon::start_as(&site, "npyd.toml", limited);
    daemon.wait_for_receipts("finalized", DROPS);
    for number in 0..DROPS {
        assert_eq!(site.read(&format!("out/{number}.npy")), scan_npy());
    }
    assert!(daemon.log().contains("oo many open files"), "{}", daemon.log());
    assert!(daemon.stop().success());
    assert!(site.history().of_event("rejected").is_empty());
}
