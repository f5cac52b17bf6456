//! One line for each cause: faults of a directory that many drops meet, and many drops that wait.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::support::{
    Daemon, Mounted, Receipts, SCAN_MANIFEST, Site, as_root, gathered, lines_since, scan_bytes,
    scan_npy, succeeds,
};

/// How many drops meet a cause at once.
const DROPS: usize = 300;

fn name(number: usize) -> String {
    format!("scan-{number:03}")
}

/// Drops many, the first number first.
fn drop_many(site: &Site) {
    for number in 0..DROPS {
        site.scan(&name(number));
    }
}

fn chmod(path: impl AsRef<Path>, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Starts the daemon as a user whom rights bind.
fn daemon_by_rights(site: &Site) -> Daemon<'_> {
    Daemon::start_as(site, "npyd.toml", site.command_by_rights())
}

/// The lines of the log that contain a text.
fn lines(log: &str, text: &str) -> Vec<String> {
    log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
}

/// Expects that the log has far fewer lines than the test has drops. Lines about arrays do not
/// count.
#[track_caller]
fn expect_few_lines(log: &str) {
    let others = log.lines().filter(|line| !line.contains("INFO finalized")).count();
    assert!(others <= 20, "{others} lines\n{log}");
}

/// Expects that all drops became arrays, and that the log says how many had to wait.
#[track_caller]
fn expect_all_after(daemon: &mut Daemon<'_>, site: &Site, dir: &str) {
    daemon.wait_for_receipts("finalized", DROPS);
    for number in 0..DROPS {
        assert_eq!(site.read(&format!("out/{}.npy", name(number))), scan_npy());
    }
    let log = daemon.log();
    let going_on = lines(&log, "going on with ");
    let fault = format!("the fault of `{}` is over after ", site.path(dir).display());
    assert!(!going_on.is_empty() && going_on.iter().all(|line| line.contains(&fault)), "{log}");
    assert!(going_on[0].contains(&format!("with {DROPS} drops in `")), "{log}");
    expect_few_lines(&log);
}

#[test]
fn an_output_that_npyd_may_not_write_to() {
    let site = Site::with("source = \"remove\"");
    drop_many(&site);
    chmod(site.path("out"), 0o555);
    let mut daemon = daemon_by_rights(&site);
    daemon.wait_for_log("suspended: ");
    let log = daemon.log();
    let at_start = lines(&log, "they will wait: failed to make a file in `");
    assert_eq!(at_start.len(), 1, "{log}");
    assert!(at_start[0].contains("Permission denied; give the user"), "{log}");
    let suspended = lines(&log, "suspended: ");
    let what =
        format!("{DROPS} drops in `{}`: failed to make a file in", site.path("in").display());
    assert!(
        suspended[0].contains(&what) && suspended[0].contains("trying again with one drop "),
        "{log}"
    );
    assert!(suspended[0].contains("Permission denied; give the user"), "{log}");
    // Those that were tried have their own receipts.
    assert!(!site.history().of_event("failed").is_empty());
    chmod(site.path("out"), 0o755);
    expect_all_after(&mut daemon, &site, "out");
    assert!(daemon.stop().success());
    let history = site.history();
    for failed in history.of_event("failed") {
        let again = |receipt: &&&serde_json::Value| receipt["source"] == failed["source"];
        assert_eq!(history.of_event("failed").iter().filter(again).count(), 1, "{failed}");
        assert_eq!(failed["reason_kind"], "io");
    }
}

#[test]
fn an_output_that_is_missing_for_a_while() {
    let site = Site::new();
    let mut daemon = site.daemon();
    fs::rename(site.path("out"), site.path("away")).unwrap();
    drop_many(&site);
    daemon.wait_for_log("suspended: ");
    fs::rename(site.path("away"), site.path("out")).unwrap();
    daemon.wait_for_receipts("finalized", DROPS);
    daemon.wait_for_log("going on with ");
    let log = daemon.log();
    assert!(
        log.contains("create it, or mount its file system; trying again with one drop"),
        "{log}"
    );
    expect_few_lines(&log);
    assert!(daemon.stop().success());
}

#[test]
fn a_full_disk() {
    if !as_root() {
        return;
    }
    let site = Site::new();
    let options = ["-t", "tmpfs", "-o", "size=64k", "npyd"];
    let Some(mounted) = Mounted::with(&site, "out", "mount", &options) else { return };
    drop_many(&site);
    let mut daemon = site.daemon();
    daemon.wait_for_log("suspended: ");
    let at = mounted.at().to_str().unwrap().to_owned();
    assert!(succeeds("mount", &["-o", "remount,size=100m", &at]));
    daemon.wait_for_receipts("finalized", DROPS);
    daemon.wait_for_log("is over after");
    let log = daemon.log();
    assert!(log.contains("No space left on device; the disk is full (df)"), "{log}");
    expect_few_lines(&log);
    assert!(daemon.stop().success());
    mounted.unmount();
}

/// A file that is larger than the space that is left does not hold up those that fit, and is no
/// fault of the directory, which would come back with each retry.
#[test]
fn a_drop_that_is_too_large_for_the_disk() {
    if !as_root() {
        return;
    }
    let site = Site::new();
    let options = ["-t", "tmpfs", "-o", "size=2m", "npyd"];
    let Some(mounted) = Mounted::with(&site, "out", "mount", &options) else { return };
    site.drop_file("large.raw", vec![7; 4 << 20]);
    site.drop_file("large.raw.toml", "dtype = '|u1'\nshape = [4194304]\n");
    let mut daemon = site.daemon();
    daemon.wait_for_receipts("failed", 1);
    for number in 0..20 {
        site.scan(&name(number));
        daemon.wait_for_file(&format!("out/{}.npy", name(number)));
    }
    daemon.wait_for_log("it needs 4.00 MiB, and ");
    let log = daemon.log();
    assert!(!site.has("out/large.npy"));
    assert!(!log.contains("the disk is full") && !log.contains("suspended"), "{log}");
    let explained = site.npyd(&["explain", "in/large.raw"]).stdout;
    assert!(explained.contains("it needs 4.00 MiB, and "), "{explained}");
    expect_few_lines(&log);
    assert!(daemon.stop().success());
    mounted.unmount();
}

/// The drops of other subdirectories go on.
#[test]
fn a_subdirectory_of_the_output() {
    let site = Site::with("recursive = true");
    for dir in ["in/a", "in/b", "out/a", "out/b"] {
        fs::create_dir(site.path(dir)).unwrap();
    }
    chmod(site.path("out/a"), 0o555);
    for number in 0..20 {
        site.scan(&format!("a/{}", name(number)));
    }
    let mut daemon = daemon_by_rights(&site);
    daemon.wait_for_log("suspended: 20 drops in `");
    site.scan("b/scan");
    daemon.wait_for_file("out/b/scan.npy");
    assert_eq!(site.names("out/a"), [""; 0]);
    chmod(site.path("out/a"), 0o755);
    daemon.wait_for_receipts("finalized", 21);
    let over = format!("the fault of `{}` is over", site.path("out/a").display());
    daemon.wait_for_log(&over);
    assert!(daemon.stop().success());
}

/// Arrays are still made while rejected drops can't be set aside.
#[test]
fn a_quarantine_that_npyd_may_not_write_to() {
    let root = |site: &Site| site.path("bad").display().to_string();
    let site = Site::new();
    site.configure(&format!("rejects = \"{}\"", root(&site)));
    fs::create_dir(site.path("bad")).unwrap();
    chmod(site.path("bad"), 0o555);
    for number in 0..20 {
        site.drop_file(&format!("{}.raw", name(number)), [0; 25]);
        site.drop_file(&format!("{}.raw.toml", name(number)), SCAN_MANIFEST);
    }
    let mut daemon = daemon_by_rights(&site);
    daemon.wait_for_log("suspended: 20 drops in `");
    site.scan("good");
    daemon.wait_for_file("out/good.npy");
    chmod(site.path("bad"), 0o755);
    daemon.wait_for_receipts("rejected", 20);
    let log = daemon.log();
    assert_eq!(lines(&log, "they will wait").len(), 1, "{log}");
    assert!(daemon.stop().success());
}

/// An unreadable file is a fault of that file alone: no other drop waits.
#[test]
fn files_that_npyd_may_not_read() {
    let site = Site::new();
    for number in 0..50 {
        site.scan(&name(number));
        chmod(site.path(format!("in/{}.raw", name(number))), 0);
    }
    let mut daemon = daemon_by_rights(&site);
    daemon.wait_for_log("failed 50 drops in `");
    site.scan("good");
    daemon.wait_for_file("out/good.npy");
    daemon.wait_for_receipts("failed", 50);
    let log = daemon.log();
    let such_as = format!("such as {}", site.path("in/scan-000.raw").display());
    assert!(log.contains(&such_as), "{log}");
    assert!(!log.contains("suspended"), "{log}");
    expect_few_lines(&log);
    for number in 0..50 {
        chmod(site.path(format!("in/{}.raw", name(number))), 0o644);
    }
    daemon.wait_for_receipts("finalized", 51);
    assert!(daemon.stop().success());
}

#[test]
fn drops_that_wait_at_the_start() {
    let site = Site::new();
    for number in 0..DROPS {
        site.drop_file(&format!("{}.raw", name(number)), &scan_bytes()[..16]);
        site.drop_file(&format!("{}.raw.toml", name(number)), SCAN_MANIFEST);
    }
    site.drop_file("alone.raw.toml", SCAN_MANIFEST);
    let begun = Instant::now();
    let mut daemon = site.daemon();
    let read = || fs::read_to_string(site.path("npyd.toml.log")).unwrap();
    daemon.wait_for("lines about all", || gathered(&read(), "waiting for ").0 > DROPS);
    let log = daemon.log();
    let drops = site.path("in").display().to_string();
    let many = lines(&log, " drops in `");
    let such_as = format!("in `{drops}` (size), such as {drops}/scan-");
    let why = ": it has 16 of 24 bytes; if nothing more comes, `npyd take` makes an array of what";
    assert!(many[0].contains(&such_as) && many[0].contains(why), "{log}");
    let one = lines(&log, &format!("waiting for {drops}/alone.raw.toml: its data file"));
    assert_eq!(one.len(), 1, "{log}");
    let (drops, lines) = gathered(&log, "waiting for ");
    assert_eq!(drops, DROPS + 1, "{log}");
    assert!(lines <= 1 + lines_since(begun), "{log}");
    assert!(daemon.stop().success());
}

/// The drop waits until a person moves the array away. A worker finds that reason at each try.
#[test]
fn an_array_of_files_that_are_gone() {
    let site = Site::with_mixed_series();
    site.configure("source = 'remove'").lose_ledger();
    let mut daemon = site.daemon();
    daemon.wait_for_log(&format!("waiting for {}: ", site.path("in/run.toml").display()));
    assert!(daemon.log().contains("`run.npy`"), "{}", daemon.log());
    assert!(daemon.stop().success());
}

/// A sweep tries each drop, and prints a receipt for each.
#[test]
fn a_sweep_reports_each_drop() {
    let site = Site::new();
    for number in 0..10 {
        site.scan(&name(number));
    }
    chmod(site.path("out"), 0o555);
    let outcome = site.npyd_by_rights(&["sweep", "--json"]).expect_code(1);
    assert_eq!(outcome.json().of_event("failed").len(), 10, "{outcome}");
    chmod(site.path("out"), 0o755);
    site.sweep().expect_code(0);
}

/// At the level `debug` each drop has its own line.
#[test]
fn details_for_those_who_ask() {
    let site = Site::new();
    for number in 0..3 {
        site.scan(&name(number));
    }
    chmod(site.path("out"), 0o555);
    let mut command: Command = site.command_by_rights();
    command.env("NPYD_LOG", "npyd=debug");
    let mut daemon = Daemon::start_as(&site, "npyd.toml", command);
    daemon.wait_for_log("suspended: 3 drops");
    let log = daemon.log();
    for number in 0..3 {
        let source = site.path(format!("in/{}.raw", name(number)));
        let about = lines(&log, &format!("DEBUG failed {}: ", source.display()));
        assert_eq!(about.len(), 1, "{log}");
    }
    assert!(daemon.stop().success());
}
