//! The receipts that stay in the ledger, and the size of its files.

use std::fs;
use std::io::Read;
use std::process::Stdio;

use rusqlite::Connection;

use crate::support::{Receipts, Site};

fn listed(site: &Site) -> Vec<String> {
    let name = |it: &serde_json::Value| {
        let path = it["source"].as_str().unwrap();
        path.rsplit('/').next().unwrap().to_owned()
    };
    site.history().iter().map(name).collect()
}

fn site(settings: &str) -> Site {
    let site = Site::with(settings);
    let config = format!("history = '0s'\n{}", site.configuration("state", settings));
    site.write("npyd.toml", config);
    site
}

/// The newest receipt of a file stays for as long as the file exists; its old ones go at once.
#[test]
fn receipts_of_files_that_exist() {
    let site = site("");
    for name in ["a", "b", "c"] {
        site.scan(name).sweep().expect_code(0);
    }
    site.npyd(&["redo", "a.raw"]).expect_code(0);
    site.sweep().expect_code(0);
    assert_eq!(listed(&site), ["b.raw", "c.raw", "a.raw"]);
    site.sweep().expect_code(0);
    assert_eq!(listed(&site), ["b.raw", "c.raw", "a.raw"]);
    fs::remove_file(site.path("in/b.raw")).unwrap();
    site.sweep().expect_code(0);
    assert_eq!(listed(&site), ["c.raw", "a.raw"]);
}

/// Its disk may not be mounted.
#[test]
fn receipts_of_an_empty_or_missing_drop_directory() {
    let site = site("");
    site.scan("a").scan("b").sweep().expect_code(0);
    let before = listed(&site);
    fs::rename(site.path("in"), site.path("aside")).unwrap();
    site.sweep();
    fs::create_dir(site.path("in")).unwrap();
    site.sweep().expect_code(0);
    assert_eq!(listed(&site), before);
    fs::remove_dir(site.path("in")).unwrap();
    fs::rename(site.path("aside"), site.path("in")).unwrap();
    assert!(site.sweep().expect_code(0).json().is_empty());
    assert_eq!(listed(&site), before);
}

/// `npyd retry` needs the receipt.
#[test]
fn the_receipt_of_a_file_among_the_rejects() {
    let site = site("");
    fs::create_dir(site.path("rejects")).unwrap();
    let rejects = format!("rejects = '{}'", site.path("rejects").display());
    let config = format!("history = '0s'\n{}", site.configuration("state", &rejects));
    site.write("npyd.toml", config);
    site.drop_file("bad.raw", [0; 28]).drop_file("bad.toml", crate::support::SCAN_MANIFEST);
    site.sweep_until("rejected");
    assert!(!site.has("in/bad.raw"));
    site.scan("a").sweep();
    site.sweep();
    assert_eq!(site.history().of_event("rejected").len(), 1);
    for name in site.names("rejects") {
        fs::remove_file(site.path("rejects").join(name)).unwrap();
    }
    site.sweep();
    assert_eq!(listed(&site), ["a.raw"]);
}

/// Number of receipts that are stored while the history is read. Each is a commit of some pages.
const STORED: usize = 3000;

/// Maximum size of the write-ahead log in bytes: SQLite begins to write it into the database after
/// 4 MiB.
const LOG_MAX: u64 = 16 << 20;

/// Copies the first receipt `count` times.
fn copy_receipt(db: &Connection, count: u32) {
    db.execute(
        "WITH RECURSIVE numbers (number) AS (
             SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < ?1
         )
         INSERT INTO receipts (at, event, inbox, source_dir, source, output_dir, output, receipt,
             fingerprint, is_current)
         SELECT at, event, inbox, source_dir, source || number || random(), output_dir, output,
             receipt, fingerprint, is_current FROM receipts JOIN numbers WHERE id = 1",
        [count],
    )
    .unwrap();
}

/// Such as `npyd history | less`.
#[test]
fn the_log_of_the_ledger_while_a_pager_shows_the_history() {
    let site = Site::with_array("");
    let ledger = site.path("state/ledger.sqlite");
    let db = Connection::open(&ledger).unwrap();
    db.pragma_update(None, "synchronous", "off").unwrap();
    copy_receipt(&db, 5000); // more than fits into a pipe
    let mut history =
        site.command().arg("history").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut shown = history.stdout.take().unwrap();
    shown.read_exact(&mut [0]).unwrap();
    let log_after_commits = || {
        (0..STORED).for_each(|_| copy_receipt(&db, 1));
        fs::metadata(site.path("state/ledger.sqlite-wal")).unwrap().len()
    };
    let log = log_after_commits();
    assert!(history.try_wait().unwrap().is_none(), "npyd waits for the pager");
    assert!(log < LOG_MAX, "{log}");
    let mut rest = String::new();
    shown.read_to_string(&mut rest).unwrap();
    assert!(history.wait().unwrap().success());
    assert_eq!(rest.lines().count(), 5001);

    // A query that stays open is noticed here.
    let reader = Connection::open(&ledger).unwrap();
    let transaction = reader.unchecked_transaction().unwrap();
    transaction.query_row("SELECT count(*) FROM receipts", [], |_| Ok(())).unwrap();
    let log = log_after_commits();
    assert!(log > LOG_MAX, "{log}");
}
