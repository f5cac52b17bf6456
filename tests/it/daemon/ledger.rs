//! The ledger: which drop a receipt is about, when a receipt is durable, and what happens when the
//! ledger is lost or can't be written to.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, RenameFlags, mknodat, renameat_with};
use rustix::process::Signal;
use serde_json::Value;

use crate::support::{
    Daemon, Mounted, Outcome, Receipts, SCAN_MANIFEST, Site, as_root, has_strace, npy, scan_bytes,
    scan_npy,
};

/// Names of directories that are not UTF-8, and have one lossy text.
const NAMES: [&[u8]; 2] = [b"a\xff", b"a\xfe"];

fn below(top: &str, name: &[u8], file: &str) -> PathBuf {
    Path::new(top).join(OsStr::from_bytes(name)).join(file)
}

/// A site with a directory of each name below `in`.
fn site_of_bytes(settings: &str) -> Site {
    let site = Site::with(&format!("recursive = true\n{settings}"));
    for name in NAMES {
        fs::create_dir(site.path(below("in", name, ""))).unwrap();
    }
    site
}

fn drop_scan(site: &Site, dir: &[u8], data: &[u8]) {
    fs::write(site.path(below("in", dir, "scan.raw")), data).unwrap();
    fs::write(site.path(below("in", dir, "scan.raw.toml")), SCAN_MANIFEST).unwrap();
}

fn array(site: &Site, dir: &[u8]) -> Vec<u8> {
    fs::read(site.path(below("out", dir, "scan.npy"))).unwrap()
}

/// `npyd ARGS… FILE`, where the file is `scan.raw` in the directory `dir`.
fn npyd_on(site: &Site, args: &[&str], dir: &[u8]) -> std::process::Output {
    let file = site.path(below("in", dir, "scan.raw"));
    site.command().args(args).arg(file).output().unwrap()
}

#[test]
fn directories_that_differ_in_bytes_alone() {
    let site = site_of_bytes("");
    let other = [1; 24];
    drop_scan(&site, NAMES[0], &scan_bytes());
    site.sweep().expect_code(0);
    drop_scan(&site, NAMES[1], &other);
    let receipt = site.sweep().expect_code(0).only_receipt();
    assert_eq!(receipt["event"], "finalized");
    assert!(receipt["source"].as_str().unwrap().ends_with("/in/a\u{fffd}/scan.raw"));
    let npy_of = |data: &[u8]| npy("'<f4'", false, &[2, 3], data);
    assert!(array(&site, NAMES[0]) == scan_npy() && array(&site, NAMES[1]) == npy_of(&other));
    assert!(site.sweep().expect_code(0).json().is_empty());

    drop_scan(&site, NAMES[0], &[2; 24]);
    assert_eq!(site.sweep_until("remade").json().len(), 1);
    assert!(array(&site, NAMES[0]) == npy_of(&[2; 24]) && array(&site, NAMES[1]) == npy_of(&other));
    assert!(site.sweep().expect_code(0).json().is_empty());

    fs::remove_file(site.path(below("out", NAMES[1], "scan.npy"))).unwrap();
    assert!(npyd_on(&site, &["redo"], NAMES[1]).status.success());
    assert_eq!(site.sweep().expect_code(0).only_receipt()["event"], "finalized");
    assert!(array(&site, NAMES[1]) == npy_of(&other));
    let history = site.history();
    let events: Vec<_> = history.iter().map(|it| it["event"].clone()).collect();
    assert_eq!(events, ["finalized", "finalized", "remade", "redo", "finalized"]);
    assert_eq!(last_event(&site, NAMES[0]), "remade");
    assert_eq!(last_event(&site, NAMES[1]), "finalized");
}

/// The event of the newest receipt of `scan.raw`, as `npyd explain` reports it.
fn last_event(site: &Site, dir: &[u8]) -> Value {
    let output = npyd_on(site, &["explain", "--json"], dir).stdout;
    serde_json::from_slice::<Value>(&output).unwrap()["last"]["event"].clone()
}

#[test]
fn a_rejection_in_one_of_two_directories() {
    let site = site_of_bytes("");
    for name in NAMES {
        drop_scan(&site, name, &[0; 25]);
    }
    assert_eq!(site.sweep().expect_code(1).json().of_event("rejected").len(), 2);
    assert!(site.sweep().expect_code(0).json().is_empty());
    assert!(npyd_on(&site, &["retry"], NAMES[1]).status.success());
    assert_eq!(site.sweep().expect_code(1).only_receipt()["event"], "rejected");
}

/// Checks a trace of a sweep that prints one receipt: before that, the log of the ledger was synced
/// after the last write to it.
#[track_caller]
fn check_order(trace: &str) {
    let (mut is_synced, mut receipts) = (false, 0);
    for line in trace.lines() {
        let is_of_log = line.contains("ledger.sqlite-wal>");
        if is_of_log && line.contains("write") {
            is_synced = false;
        } else if is_of_log && line.contains("sync(") {
            is_synced = true;
        } else if line.contains("write(1<") && line.contains("event") {
            receipts += 1;
            assert!(is_synced, "reported before it was durable: {line}\n{trace}");
        }
    }
    assert_eq!(receipts, 1, "{trace}");
}

/// Sweeps, and returns what strace saw of writes and syncs.
fn sweep_traced(site: &Site, expected: i32) -> String {
    let npyd = site.command();
    let mut strace = std::process::Command::new("strace");
    strace.envs(npyd.get_envs().filter_map(|(name, value)| Some((name, value?))));
    strace.args(["--follow-forks", "--decode-fds=path", "--string-limit=32", "--output"]);
    strace.arg(site.path("strace.log"));
    strace.arg("--trace=write,pwrite64,fsync,fdatasync");
    strace.arg(npyd.get_program()).args(["sweep", "--json", "--config"]);
    Outcome::of(strace.arg(site.path("npyd.toml"))).expect_code(expected);
    String::from_utf8(site.read("strace.log")).unwrap()
}

/// An array, a rejection, a failure and a refused request, each of which is stored in a way of its
/// own.
#[test]
fn a_receipt_is_durable_before_it_is_reported() {
    if !has_strace() {
        return;
    }
    let site = Site::new();
    check_order(&sweep_traced(site.scan("scan"), 0));
    site.drop_file("long.raw", [0; 25]).drop_file("long.raw.toml", SCAN_MANIFEST);
    check_order(&sweep_traced(&site, 1));
    fs::remove_dir_all(site.path("in")).unwrap();
    fs::create_dir(site.path("in")).unwrap();
    site.npyd(&["redo", "scan.raw", "--order", "F"]).expect_code(0);
    fs::remove_file(site.path("out/scan.npy")).unwrap();
    check_order(&sweep_traced(&site, 1));
    fs::remove_dir(site.path("out")).unwrap();
    site.write("out", "no directory").scan("next");
    check_order(&sweep_traced(&site, 1));
}

/// Whoever removes it may want an empty one; without a stop of npyd the receipts stay.
#[test]
fn a_state_directory_that_is_removed() {
    let site = Site::new();
    let mut daemon = site.daemon();
    site.scan("before");
    daemon.wait_for_receipts("finalized", 1);
    fs::remove_dir_all(site.path("state")).unwrap();
    daemon.wait_for_log("was removed; npyd wrote it again, with 1 receipts");
    site.scan("after");
    daemon.wait_for_receipts("finalized", 2);
    assert_eq!(daemon.log().matches("the ledger").count(), 1, "{}", daemon.log());
    assert!(daemon.stop().success());
    assert!(site.sweep().expect_code(0).json().is_empty());
    assert_eq!(site.history().len(), 2);
}

/// A file, a symlink to nothing, a symlink to itself, or a directory that npyd may not enter.
/// npyd reports that once and works on, and the receipts of that time are in the ledger afterwards.
#[test]
fn a_state_directory_that_can_not_be_reached() {
    for (how, reported) in [
        ("file", "state` is not a directory; move it away"),
        ("dangling", "state` is a symlink to `nowhere`, which can't be reached"),
        ("loop", "state` is a symlink to `state`, which can't be reached"),
        ("closed", "may not enter its directory"),
    ] {
        let site = Site::new();
        let mut daemon = Daemon::start_as(&site, "npyd.toml", site.command_by_rights());
        site.scan("before");
        daemon.wait_for_receipts("finalized", 1);
        obstruct(&site, how);
        daemon.wait_for_log(reported);
        for name in ["one", "two"] {
            site.scan(name);
            daemon.wait_for_file(&format!("out/{name}.npy"));
        }
        daemon.wait_for_log("two.npy"); // its receipt is stored
        let log = daemon.log();
        assert_eq!(log.matches("the ledger `").count(), 1, "{how}: {log}");
        clear(&site, how);
        daemon.wait_for_log("can be used again");
        site.scan("after");
        daemon.wait_for_receipts("finalized", 4);
        let log = daemon.log();
        assert_eq!(log.matches("the ledger `").count(), 2, "{how}: {log}");
        check_stored(&log, &["one", "two"], &["before", "after"]);
        assert!(daemon.stop().success());
        assert!(site.sweep().expect_code(0).json().is_empty(), "{how}");
    }
}

/// Checks which receipts the log reports as not stored yet.
#[track_caller]
fn check_stored(log: &str, not_yet: &[&str], durable: &[&str]) {
    for (names, is_durable) in [(not_yet, false), (durable, true)] {
        for name in names {
            let receipt = log.lines().find(|line| {
                line.contains(&format!("/{name}.raw"))
                    && ["finalized ", "rejected "].iter().any(|it| line.contains(it))
            });
            let receipt = receipt.unwrap_or_else(|| panic!("no receipt of {name}: {log}"));
            let is_said = receipt.contains("not stored in the ledger yet");
            assert_eq!(is_said, !is_durable, "{receipt}");
        }
    }
}

/// Makes the state directory unreachable, in one step: the daemon would create a missing one.
fn obstruct(site: &Site, how: &str) {
    let aside = site.path("aside");
    match how {
        "file" => fs::write(&aside, "").unwrap(),
        "dangling" => symlink("nowhere", &aside).unwrap(),
        "loop" => symlink("state", &aside).unwrap(),
        _ => {
            let closed = Permissions::from_mode(0o0);
            return fs::set_permissions(site.path("state"), closed).unwrap();
        }
    }
    swap(site);
}

/// Makes it reachable again.
fn clear(site: &Site, how: &str) {
    if how == "closed" {
        return fs::set_permissions(site.path("state"), Permissions::from_mode(0o700)).unwrap();
    }
    swap(site);
    fs::remove_file(site.path("aside")).unwrap();
}

/// Swaps the names `state` and `aside`.
fn swap(site: &Site) {
    let [state, aside] = ["state", "aside"].map(|name| site.path(name));
    renameat_with(CWD, state, CWD, aside, RenameFlags::EXCHANGE).unwrap();
}

/// A pipe, a directory or a device at the ledger's path is named, with the remedy. npyd goes on
/// with the files that it has open, and stores their receipts once the path is free.
#[test]
fn a_ledger_that_is_replaced_by_no_file() {
    for (how, kind) in [("pipe", "a pipe"), ("dir", "a directory"), ("zero", "a device")] {
        let site = Site::new();
        let mut daemon = site.daemon();
        site.scan("before");
        daemon.wait_for_receipts("finalized", 1);
        let (aside, ledger) = (site.path("aside"), site.path("state/ledger.sqlite"));
        match how {
            "pipe" => mknodat(CWD, &aside, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap(),
            "dir" => fs::create_dir(&aside).unwrap(),
            _ => symlink("/dev/zero", &aside).unwrap(),
        }
        renameat_with(CWD, &aside, CWD, &ledger, RenameFlags::EXCHANGE).unwrap();
        let reported = format!("it is {kind}, not a file; move it away, or set another state_dir");
        daemon.wait_for_log(&reported);
        site.scan("after");
        daemon.wait_for_file("out/after.npy");
        for args in [&["history"][..], &["check"], &["redo", "before.raw"]] {
            let outcome = site.npyd(args);
            assert_ne!(outcome.code, 0, "{how}: {args:?}");
            outcome.expect_words(&[&reported]);
        }
        renameat_with(CWD, &aside, CWD, &ledger, RenameFlags::EXCHANGE).unwrap();
        daemon.wait_for_log("can be used again");
        daemon.wait_for_receipts("finalized", 2);
        assert_eq!(daemon.log().matches("the ledger `").count(), 2, "{how}: {}", daemon.log());
        assert!(daemon.stop().success());
        assert_eq!(site.history().len(), 2, "{how}");
    }
}

/// So it is for a file that SQLite has beside the ledger: no command waits for a pipe.
#[test]
fn a_log_that_is_no_file() {
    let put = |at: &Path, kind: &str| match kind {
        "a pipe" => mknodat(CWD, at, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap(),
        _ => fs::create_dir(at).unwrap(),
    };
    let site = Site::with_array("");
    for (suffix, kind) in [("-wal", "a pipe"), ("-shm", "a pipe"), ("-wal", "a directory")] {
        let path = site.path(format!("state/ledger.sqlite{suffix}"));
        put(&path, kind);
        let named = format!("ledger.sqlite{suffix}` is {kind}, not a file; move it away");
        for args in [&["sweep"][..], &["run"], &["history"], &["check"], &["redo", "scan.raw"]] {
            let outcome = site.npyd(args);
            assert!(![0, 124].contains(&outcome.code), "{args:?}: {outcome}");
            outcome.expect_words(&[&named]);
        }
        let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
        assert!(site.sweep().expect_code(0).json().is_empty());
    }
    let mut daemon = site.daemon();
    let (aside, log) = (site.path("aside"), site.path("state/ledger.sqlite-wal"));
    put(&aside, "a pipe");
    renameat_with(CWD, &aside, CWD, &log, RenameFlags::EXCHANGE).unwrap();
    daemon.wait_for_log("ledger.sqlite-wal` is a pipe, not a file; move it away");
    site.scan("after");
    daemon.wait_for_file("out/after.npy");
    renameat_with(CWD, &aside, CWD, &log, RenameFlags::EXCHANGE).unwrap();
    daemon.wait_for_log("can be used again");
    daemon.wait_for_receipts("finalized", 2);
    assert!(daemon.stop().success());
}

#[test]
fn a_ledger_that_is_replaced_by_garbage() {
    let site = Site::new();
    let mut daemon = site.daemon();
    site.scan("before");
    daemon.wait_for_receipts("finalized", 1);
    site.write("garbage", "garbage".repeat(4096));
    fs::rename(site.path("garbage"), site.path("state/ledger.sqlite")).unwrap();
    daemon.wait_for_log("can't be read; it was renamed to");
    site.scan("after");
    daemon.wait_for_receipts("finalized", 2);
    assert_eq!(daemon.log().matches("the ledger").count(), 1, "{}", daemon.log());
    assert!(daemon.stop().success());
    assert!(site.sweep().expect_code(0).json().is_empty());
    assert!(site.read("state/ledger.sqlite.broken").starts_with(b"garbage"));
}

fn set_layout(ledger: &Path, layout: i32) {
    let ledger = rusqlite::Connection::open(ledger).unwrap();
    ledger.pragma_update(None, "user_version", layout).unwrap();
}

/// It is intact, and the data losses are stored only there.
#[test]
fn a_ledger_of_a_later_version() {
    let site = Site::with_array("");
    set_layout(&site.path("state/ledger.sqlite"), 3);
    let ledger = site.read("state/ledger.sqlite");
    let words = ["state/ledger.sqlite`", "layout 3", "only layout 2", "set another state_dir"];
    for (args, code) in [
        (&["run"][..], 2),
        (&["sweep"], 2),
        (&["history"], 2),
        (&["retry", "--all"], 2),
        (&["redo", "scan.raw"], 2),
        (&["take", "in/scan.raw"], 2),
        (&["check"], 1),
        (&["explain", "in/scan.raw"], 0),
    ] {
        site.npyd(args).expect_code(code).expect_words(&words);
        assert!(site.read("state/ledger.sqlite") == ledger, "{args:?}");
        assert!(!site.has("state/ledger.sqlite.broken"), "{args:?}");
    }
    set_layout(&site.path("state/ledger.sqlite"), 2);
    assert!(site.sweep().expect_code(0).json().is_empty());
}

/// npyd goes on with the files that it has open.
#[test]
fn a_ledger_that_is_replaced_by_one_of_a_later_version() {
    let (site, other) = (Site::new(), Site::with_array(""));
    set_layout(&other.path("state/ledger.sqlite"), 3);
    let mut daemon = site.daemon();
    site.scan("before");
    daemon.wait_for_receipts("finalized", 1);
    let newer = other.read("state/ledger.sqlite");
    fs::write(site.path("newer"), &newer).unwrap();
    fs::rename(site.path("newer"), site.path("state/ledger.sqlite")).unwrap();
    daemon.wait_for_log("with layout 3");
    site.scan("after");
    daemon.wait_for_file("out/after.npy");
    assert!(daemon.end(Signal::TERM).success());
    let told = "npyd ends without storing ";
    let log = daemon.log();
    assert!(log.contains(told) && log.matches("with layout 3").count() == 2, "{log}");
    assert!(site.read("state/ledger.sqlite") == newer);
    assert!(!site.has("state/ledger.sqlite.broken"));
}

/// npyd works on, reports that once, knows what it did, and stores it later.
/// Commands on a full disk, with a ledger and without.
#[test]
fn commands_on_a_full_disk() {
    if !as_root() {
        return;
    }
    let site = Site::new();
    let options = ["-t", "tmpfs", "-o", "size=1m", "npyd"];
    let Some(_state) = Mounted::with(&site, "state", "mount", &options) else { return };
    site.scan("before").sweep().expect_code(0);
    for has_ledger in [true, false] {
        if !has_ledger {
            fs::remove_file(site.path("state/filler")).unwrap();
            for name in site.names("state").iter().filter(|name| name.starts_with("ledger")) {
                fs::remove_file(site.path("state").join(name)).unwrap();
            }
        }
        let mut filler = File::create(site.path("state/filler")).unwrap();
        while filler.write_all(&[1; 4096]).is_ok() {}
        while filler.write_all(&[1]).is_ok() {}
        let words = ["its disk is full; free some space"];
        site.npyd(&["check"]).expect_code(1).expect_words(&words);
        site.npyd(&["sweep"]).expect_code(2).expect_words(&words);
    }
}

#[test]
fn a_state_directory_that_is_full() {
    if !as_root() {
        return;
    }
    let site = Site::with("rescan = \"1s\"");
    let Some(_state) =
        Mounted::with(&site, "state", "mount", &["-t", "tmpfs", "-o", "size=1m", "npyd"])
    else {
        return;
    };
    let mut daemon = site.daemon();
    site.scan("before");
    daemon.wait_for_receipts("finalized", 1);
    let mut filler = File::create(site.path("state/filler")).unwrap();
    while filler.write_all(&[1; 4096]).is_ok() {}
    while filler.write_all(&[1]).is_ok() {}
    for number in 0..20 {
        site.scan(&format!("{number}"));
        daemon.wait_for_file(&format!("out/{number}.npy"));
    }
    site.drop_file("long.raw", [0; 25]).drop_file("long.raw.toml", SCAN_MANIFEST);
    daemon.wait_for_log("long.raw");
    let log = daemon.log();
    assert_eq!(log.matches("failed to use the ledger").count(), 1, "{log}");
    assert!(log.contains("free some space; until then receipts are kept in memory"), "{log}");
    // The receipts are in npyd's memory, where no command sees them; the array is there.
    let told = site.npyd(&["explain", "in/19.raw"]).expect_code(0);
    let array = site.path("out/19.npy").display().to_string();
    told.expect_words(&["verdict        finished", &array, "the ledger has no receipt of it yet"]);
    drop(filler);
    fs::remove_file(site.path("state/filler")).unwrap();
    daemon.wait_for_log("can be used again");
    daemon.wait_for_receipts("finalized", 21);
    daemon.wait_for_receipts("rejected", 1);
    let log = daemon.log();
    assert_eq!(log.matches("the ledger `").count(), 2, "{log}");
    check_stored(&log, &["19", "long"], &["before"]);
    site.scan("after");
    daemon.wait_for_receipts("finalized", 22);
    check_stored(&daemon.log(), &[], &["after"]);
    assert!(daemon.stop().success());
    assert_eq!(site.history().len(), 23);
}

/// Another process holds a lock on the ledger for longer than npyd waits for it: arrays are made,
/// and their receipts are stored once the lock is gone.
#[test]
fn a_ledger_that_another_process_locks() {
    let site = Site::with("rescan = \"1s\"");
    let mut daemon = site.daemon();
    site.scan("before");
    daemon.wait_for_receipts("finalized", 1);
    let other = rusqlite::Connection::open(site.path("state/ledger.sqlite")).unwrap();
    other.busy_timeout(std::time::Duration::from_mins(1)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    site.scan("meanwhile");
    daemon.wait_for_file("out/meanwhile.npy");
    daemon.wait_for_log("failed to use the ledger");
    other.execute_batch("COMMIT").unwrap();
    daemon.wait_for_receipts("finalized", 2);
    daemon.wait_for_log("can be used again");
    assert!(daemon.stop().success());
    assert_eq!(site.history().of_event("finalized").len(), 2);
}
