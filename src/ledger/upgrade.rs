//! Upgrades the ledger of an older npyd, whose layout is 1: each receipt had the whole paths, and
//! an index had those of the sources again.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::events::source_fate::SourceFate;
use crate::facts::{self, Fact, LedgerEvent};
use crate::ledger::RowKind;
use crate::ledger::layout::LAYOUT;
use crate::ledger::row::{Row, may_be_current, millis};
use crate::ledger::row_copy::{OTHER_TABLES, copy_rows};
use crate::ledger::schema::create_tables;
use crate::ledger::stored_path::StoredPathBuf;
use crate::ledger::stored_receipt::shorten;

/// Number of receipts from one report of an upgrade to the next.
const REPORTED: u64 = 50_000;

/// The table of layout 1.
#[cfg(test)]
pub(crate) const OLD_TABLE: &str = "
    CREATE TABLE IF NOT EXISTS receipts (
        id INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        event TEXT NOT NULL,
        inbox TEXT NOT NULL,
        source TEXT NOT NULL,
        output TEXT,
        receipt TEXT NOT NULL,
        fingerprint TEXT NOT NULL
    );
    CREATE INDEX IF NOT EXISTS by_source ON receipts (source, id);
    CREATE INDEX IF NOT EXISTS by_event ON receipts (event, id);";

/// Returns whether a database has the tables of layout 1.
pub(crate) fn is_old(db: &Connection) -> rusqlite::Result<bool> {
    db.query_row(
        "SELECT count(*) > 0 AND sum(name = 'source_dir') = 0 FROM pragma_table_info('receipts')",
        [],
        |row| row.get::<_, Option<bool>>(0),
    )
    .map(Option::unwrap_or_default)
}

/// Upgrades a database in one transaction, if it has layout 1.
///
/// # Errors
///
/// After an error, for example of a full disk, the database is as it was.
pub(crate) fn upgrade(path: &Path, db: &Connection) -> rusqlite::Result<()> {
    if !is_old(db)? {
        return Ok(());
    }
    let receipts = db.query_row("SELECT count(*) FROM receipts", [], |row| row.get::<_, i64>(0))?;
    let receipts = receipts.unsigned_abs();
    let report = |done| {
        if done % REPORTED == 0 || done == receipts {
            let event = LedgerEvent::Upgrading { done, receipts };
            facts::note(Fact::Ledger { path: path.to_path_buf(), event });
        }
    };
    let transaction = rusqlite::Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
    if is_old(db)? {
        // Another process has not done it meanwhile.
        db.execute_batch(
            "DROP INDEX IF EXISTS by_source; DROP INDEX IF EXISTS by_event;
             ALTER TABLE receipts RENAME TO old_receipts;",
        )?;
        create_tables(db)?;
        copy_old_receipts(db, "old_receipts", db, report)?;
        db.execute_batch(&format!("DROP TABLE old_receipts; PRAGMA user_version = {LAYOUT};"))?;
    }
    transaction.commit()?;
    // Only a vacuum lets the file shrink later. Without the space for it, the file never shrinks.
    let _ = db.execute_batch("PRAGMA auto_vacuum = incremental; VACUUM;");
    Ok(())
}

/// Returns a copy of a database of layout 1 in a temporary file, for a command that only reads.
pub(crate) fn upgraded_copy(old: &Connection) -> rusqlite::Result<Connection> {
    let copy = Connection::open("")?;
    let transaction = copy.unchecked_transaction()?;
    create_tables(&copy)?;
    copy_old_receipts(old, "receipts", &copy, |_| {})?;
    for table in &OTHER_TABLES {
        copy_rows(old, &copy, table)?;
    }
    transaction.commit()?;
    Ok(copy)
}

/// Copies the receipts of layout 1. Calls `report` with the number of those that are copied.
fn copy_old_receipts(
    from: &Connection,
    table: &str,
    to: &Connection,
    report: impl Fn(u64),
) -> rusqlite::Result<()> {
    let mut select = from.prepare(&format!(
        "SELECT at, event, inbox, source, output, receipt, fingerprint FROM {table} ORDER BY id"
    ))?;
    let mut rows = select.query([])?;
    let mut done = 0;
    report(done);
    while let Some(row) = rows.next()? {
        upgraded(row)?.insert(to)?;
        done += 1;
        report(done);
    }
    Ok(())
}

fn upgraded(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let at = humantime::parse_rfc3339(&row.get::<_, String>(0)?).map(millis).unwrap_or_default();
    let event: String = row.get(1)?;
    let kind = RowKind::from_name(&event);
    let receipt: String = row.get(5)?;
    let value: serde_json::Value = serde_json::from_str(&receipt).unwrap_or_default();
    let fate = value["source_fate"].as_str().and_then(SourceFate::from_name);
    let source = row.get::<_, StoredPathBuf>(3)?.0;
    let output = row.get::<_, Option<StoredPathBuf>>(4)?.map(|output| output.0);
    Ok(Row {
        at,
        event,
        drop_dir: row.get::<_, StoredPathBuf>(2)?.0,
        is_current: may_be_current(kind, fate, output.as_ref() == Some(&source)),
        source,
        output,
        receipt: shorten(&receipt, kind),
        fingerprint: row.get(6)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Ledger, Retention};

    const KEY: &str = "00000000000feed5 1:2:3:4 5:6:7:8 a.raw.toml";

    /// Creates a ledger of layout 1.
    fn old_ledger(dir: &Path) {
        let db = Connection::open(dir.join("ledger.sqlite")).unwrap();
        db.execute_batch(&format!(
            "{OLD_TABLE}; PRAGMA user_version = 1;
             CREATE TABLE lost (content TEXT PRIMARY KEY, reason TEXT NOT NULL) WITHOUT ROWID;
             INSERT INTO lost VALUES ('1:2', 'why');"
        ))
        .unwrap();
        for (event, output, fields) in [
            ("finalized", Some("/out/a.npy"), r#""event":"finalized","source_fate":"kept""#),
            ("unproven", Some("/out/a.npy"), r#""event":"found","source_fate":"unproven""#),
            ("refused", None, r#""event":"failed","reason":"why""#),
            ("retried", None, r#""event":"retried""#),
        ] {
            let receipt = format!(
                r#"{{{fields},"drop":"/in","source":"/in/a.raw","output":null,"bytes":1,
                "seconds":0.5}}"#
            );
            db.execute(
                "INSERT INTO receipts (at, event, inbox, source, output, receipt, fingerprint)
                 VALUES ('2026-11-29T13:30:05.250Z', ?1, '/in', '/in/a.raw', ?2, ?3, ?4)",
                (event, output, receipt, KEY),
            )
            .unwrap();
        }
    }

    fn check(ledger: &Ledger) {
        let mut seen = Vec::new();
        ledger
            .for_each(|entry| {
                assert_eq!(entry.at, "2026-11-29T13:30:05.250Z");
                assert_eq!(
                    (&*entry.source, &*entry.drop_dir),
                    ("/in/a.raw".as_ref(), "/in".as_ref())
                );
                assert_eq!(entry.fingerprint, KEY);
                let output = entry.output.as_ref().map(|it| it.display().to_string());
                let json: serde_json::Value = serde_json::from_str(&entry.to_json()).unwrap();
                assert_eq!(json["output"].as_str(), output.as_deref());
                assert_eq!(json["source"], "/in/a.raw");
                assert_eq!(
                    (json["bytes"].as_u64(), json["seconds"].as_f64()),
                    (Some(1), Some(0.5))
                );
                seen.push((entry.kind.to_string(), json["event"].as_str().unwrap().to_owned()));
            })
            .unwrap();
        let expected = [
            ("finalized", "finalized"),
            ("unproven", "found"),
            ("refused", "failed"),
            ("retried", "retried"),
        ];
        let seen: Vec<_> = seen.iter().map(|(kind, event)| (&**kind, &**event)).collect();
        assert_eq!(seen, expected);
        assert!(!ledger.latest(Path::new("/in/a.raw")).unwrap().unwrap().is_settled());
        let losses = ["1:2".to_owned()].into_iter();
        assert_eq!(ledger.data_loss_of(losses).unwrap().as_deref(), Some("why"));
    }

    /// Another process, which ends in the middle of the upgrade, leaves its part in the log.
    #[test]
    fn an_upgrade_that_ends_in_the_middle() {
        let dir = tempfile::tempdir().unwrap();
        old_ledger(dir.path());
        let path = dir.path().join("ledger.sqlite");
        let db = Connection::open(&path).unwrap();
        db.pragma_update(None, "journal_mode", "wal").unwrap();
        db.pragma_update(None, "cache_size", 1).unwrap(); // written to the log at once
        let transaction = db.unchecked_transaction().unwrap();
        db.execute_batch("ALTER TABLE receipts RENAME TO old_receipts; DROP INDEX by_source;")
            .unwrap();
        create_tables(&db).unwrap();
        copy_old_receipts(&db, "old_receipts", &db, |_| {}).unwrap();
        let crashed = tempfile::tempdir().unwrap();
        for suffix in ["", "-wal"] {
            let name = format!("ledger.sqlite{suffix}");
            std::fs::copy(dir.path().join(&name), crashed.path().join(&name)).unwrap();
        }
        drop(transaction);
        assert!(crashed.path().join("ledger.sqlite-wal").metadata().unwrap().len() > 0);
        check(&Ledger::open_to_read(crashed.path()).unwrap().unwrap());
        check(&Ledger::open(crashed.path()).unwrap());
        check(&Ledger::open(crashed.path()).unwrap());
    }

    #[test]
    fn a_ledger_of_the_old_layout() {
        let dir = tempfile::tempdir().unwrap();
        old_ledger(dir.path());
        check(&Ledger::open_to_read(dir.path()).unwrap().unwrap());
        let db = Connection::open(dir.path().join("ledger.sqlite")).unwrap();
        assert!(is_old(&db).unwrap());
        drop(db);
        check(&Ledger::open(dir.path()).unwrap());
        let ledger = Ledger::open(dir.path()).unwrap();
        check(&ledger);
        ledger
            .run(|db| {
                assert!(!is_old(db)?);
                let pragma = |name: &str| {
                    db.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0))
                };
                assert_eq!((pragma("user_version")?, pragma("auto_vacuum")?), (LAYOUT, 2));
                Ok(())
            })
            .unwrap();
        // Only the newest one that counts is current.
        ledger.set_retention(Retention { history: std::time::Duration::ZERO, rows: 0 });
        ledger.prune_all();
        let mut events = Vec::new();
        ledger.for_each(|entry| events.push(entry.receipt_event())).unwrap();
        assert_eq!(events, ["retried"]);
    }
}
