//! The protocol with systemd, and how the daemon ends.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use rusqlite::Connection;
use rustix::process::Signal;

use crate::support::{Daemon, Site, wait_until};

#[test]
fn it_says_when_it_stops() {
    for signal in [Signal::TERM, Signal::INT] {
        let site = Site::new();
        let mut daemon = site.daemon();
        assert_eq!(daemon.notices("READY=1"), 1);
        assert!(daemon.end(signal).success(), "{signal:?}");
        wait_until("the notice", || daemon.log(), || daemon.notices("STOPPING=1") == 1);
    }
}

/// Whoever redirects its log finds it there, though a service above it has one in the journal.
#[test]
fn it_logs_to_where_it_is_sent() {
    let site = Site::new();
    let mut daemon = Daemon::start_with(&site, "npyd.toml", &[("JOURNAL_STREAM", "0:0")]);
    daemon.wait_for_log("ready: 1 drop directory");
}

/// While it works it keeps the watchdog content.
#[test]
fn it_feeds_the_watchdog() {
    let site = Site::new();
    let mut daemon = Daemon::start_with(&site, "npyd.toml", &[("WATCHDOG_USEC", "200000")]);
    daemon.wait_for_notice("WATCHDOG=1", 5);
    assert!(daemon.stop().success());
}

/// The upgrade of a ledger may take longer than the watchdog allows. That counts only once the
/// daemon is ready; until then each report gives the start more time.
#[test]
fn the_upgrade_of_a_large_ledger() {
    const RECEIPTS: u32 = 60_000;
    let site = Site::new();
    let db = Connection::open(site.path("state/ledger.sqlite")).unwrap();
    db.execute_batch(&format!(
        "PRAGMA synchronous = off;
         CREATE TABLE receipts (id INTEGER PRIMARY KEY, at TEXT NOT NULL, event TEXT NOT NULL,
             inbox TEXT NOT NULL, source TEXT NOT NULL, output TEXT, receipt TEXT NOT NULL,
             fingerprint TEXT NOT NULL);
         CREATE INDEX by_source ON receipts (source, id);
         CREATE INDEX by_event ON receipts (event, id);
         PRAGMA user_version = 1;
         WITH RECURSIVE numbers (number) AS
             (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < {RECEIPTS})
         INSERT INTO receipts SELECT number, '2026-11-29T13:30:05.250Z', 'finalized', '{dir}',
             '{dir}/' || number || '.raw', '{dir}/' || number || '.npy',
             '{{\"event\":\"finalized\",\"route\":\"copy\",\"source_fate\":\"removed\"}}',
             '00000000000feed5 1:2:3:4' FROM numbers;",
        dir = site.path("in").display()
    ))
    .unwrap();
    drop(db);
    let mut daemon = Daemon::start_with(&site, "npyd.toml", &[("WATCHDOG_USEC", "200000")]);
    daemon.wait_for_notice("WATCHDOG=1", 1);
    let notices = daemon.all_notices();
    let position = |start: &str| notices.iter().position(|line| line.starts_with(start)).unwrap();
    let ready = position("READY=1");
    let more_time = notices[..ready].iter().filter(|line| line.starts_with("EXTEND_TIMEOUT_USEC="));
    assert!(more_time.count() >= 3, "{notices:?}");
    assert!(position("WATCHDOG=1") > ready, "{notices:?}");
    assert!(daemon.stop().success());

    let newest = site.npyd(&["history", "--json", "--limit", "1"]).expect_code(0).json();
    assert_eq!(newest[0]["source"], site.path(format!("in/{RECEIPTS}.raw")).to_str().unwrap());
    let db = Connection::open(site.path("state/ledger.sqlite")).unwrap();
    let pragma =
        |name| db.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!((pragma("user_version"), pragma("auto_vacuum")), (2, 2));
    assert_eq!(pragma("freelist_count"), 0, "the space of the old layout is free");
}

/// `systemctl status` shows a word of what it does.
#[test]
fn it_tells_its_status() {
    let site = Site::new();
    let mut daemon = site.daemon();
    site.scan("scan");
    daemon.wait_for_file("out/scan.npy");
    daemon.wait_for_notice("STATUS=", 1);
}

/// A restart does not repair a configuration; the unit names the status for that.
#[test]
fn an_invalid_configuration_has_its_own_status() {
    let status = |text: Option<&str>, command| {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("npyd.toml");
        if let Some(text) = text {
            std::fs::write(&config, text).unwrap();
        }
        start_in_vain(&config, command, "").0
    };
    assert_eq!(status(Some("drop = 1\n"), "run"), Some(78));
    assert_eq!(status(None, "run"), Some(78));
    assert_eq!(status(Some("drop = 1\n"), "sweep"), Some(2));
    let unit = include_str!("../../../systemd/npyd.service");
    assert!(unit.lines().any(|line| line == "RestartPreventExitStatus=78"), "{unit}");
}

/// `journalctl -p err` finds every line of the reason; elsewhere no line has a prefix.
#[test]
fn the_reason_for_a_failed_start_is_an_error_in_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("npyd.toml");
    std::fs::write(&config, "drop = 1\n").unwrap();
    let (_, in_journal) = start_in_vain(&config, "run", "journal");
    assert!(in_journal.lines().count() > 1, "{in_journal}");
    assert!(in_journal.lines().all(|line| line.starts_with("<3>")), "{in_journal}");
    let (_, elsewhere) = start_in_vain(&config, "run", "");
    assert_eq!(elsewhere, in_journal.replace("<3>", ""));
}

/// Runs npyd with standard error in a file. npyd takes the file for the journal if `stream`
/// identifies it.
fn start_in_vain(config: &Path, command: &str, stream: &str) -> (Option<i32>, String) {
    let path = config.with_extension("err");
    let file = File::create(&path).unwrap();
    let stat = file.metadata().unwrap();
    let stream = match stream {
        "journal" => format!("{}:{}", stat.dev(), stat.ino()),
        _ => String::new(),
    };
    let status = Command::new(env!("CARGO_BIN_EXE_npyd"))
        .args([command, "--config"])
        .arg(config)
        .env("JOURNAL_STREAM", stream)
        .stderr(file)
        .status()
        .unwrap();
    (status.code(), std::fs::read_to_string(path).unwrap())
}
