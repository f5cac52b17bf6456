//! Requests by `npyd redo` and `npyd take`, and what users declared about a source.
//!
//! The command writes a request with the permissions of its user, who must be able to write to the
//! ledger. The daemon or the next sweep reads it and carries it out with npyd's permissions.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension, params};

use crate::decide::fingerprint::Fingerprint;
use crate::decide::request_kind::RequestKind;
use crate::decide::request_problem::RequestProblem;
use crate::decide::request_target::{Depends, RequestTarget, TargetChange};
use crate::events::receipt::Receipt;
use crate::events::receipt_event::ReceiptEvent;
use crate::events::stored::Stored;
use crate::ledger::changes::count_change;
use crate::ledger::row::{OF_SOURCE, insert_as, insert_note, of_source};
use crate::ledger::row_kind::{REFUSED, RowKind};
use crate::ledger::stored_path::{StoredPath, StoredPathBuf};
use crate::ledger::{Ledger, Result};

pub(crate) const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS requests (
        id INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        kind TEXT NOT NULL,
        inbox TEXT NOT NULL,
        source TEXT NOT NULL,
        options TEXT NOT NULL,
        target TEXT NOT NULL DEFAULT ''
    );
    CREATE TABLE IF NOT EXISTS declared (
        source TEXT PRIMARY KEY,
        keys TEXT NOT NULL,
        at TEXT NOT NULL
    ) WITHOUT ROWID;";

/// Maximum number of requests of one drop directory that are read at once.
const REQUESTS_MAX: u32 = 4096;

/// A request about one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its row id in the ledger.
    pub id: i64,
    /// When it was made: RFC 3339, UTC.
    pub at: String,
    /// What is requested.
    pub kind: RequestKind,
    /// The drop directory.
    pub drop_dir: PathBuf,
    /// The data file; for a request to take it, also the file that describes it.
    pub source: PathBuf,
    /// The options of the command, as JSON.
    pub options: String,
    /// The file, or the array, that it is about.
    pub target: RequestTarget,
}

/// The options of a request that has none.
const NO_OPTIONS: &str = "{}";

impl Request {
    /// Returns why the request is not about what has the name of its file now.
    #[must_use]
    pub fn why_not_about(&self, now: &RequestTarget) -> Option<RequestProblem> {
        let change = self.target.change(now, Depends::of(self.kind, &self.options))?;
        let (file, request) = (self.source.clone(), self.kind);
        Some(match change {
            TargetChange::File => RequestProblem::AnotherFile { file, request },
            TargetChange::Description => RequestProblem::AnotherDescription { file, request },
        })
    }

    /// Returns the options as JSON, if there are any.
    #[must_use]
    pub fn given_options(&self) -> Option<&str> {
        Some(self.options.as_str()).filter(|options| *options != NO_OPTIONS)
    }
}

impl Ledger {
    /// Adds a request.
    pub fn add_request(
        &self,
        kind: RequestKind,
        drop_dir: &Path,
        source: &Path,
        (options, target): (&str, &RequestTarget),
    ) -> Result<()> {
        self.run(|db| {
            let transaction = db.unchecked_transaction()?;
            db.execute(
                "INSERT INTO requests (at, kind, inbox, source, options, target)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    now(),
                    kind.as_str(),
                    StoredPath(drop_dir),
                    StoredPath(source),
                    options,
                    target.to_json()
                ],
            )?;
            count_change(db, drop_dir)?;
            transaction.commit()
        })
    }

    /// Returns the requests about a drop directory, oldest first. They stay in the ledger until
    /// they are accepted or refused.
    pub fn requests(&self, drop_dir: &Path) -> Result<Vec<Request>> {
        self.run(|db| {
            let mut statement = db.prepare_cached(
                "SELECT id, source, options, at, kind, target FROM requests
                 WHERE inbox = ?1 AND kind IN ('redo', 'take') ORDER BY id LIMIT ?2",
            )?;
            let mut rows = statement.query(params![StoredPath(drop_dir), REQUESTS_MAX])?;
            let mut requests = Vec::new();
            while let Some(row) = rows.next()? {
                let kind: String = row.get(4)?;
                let Some(kind) = RequestKind::from_name(&kind) else { continue };
                requests.push(Request {
                    id: row.get(0)?,
                    kind,
                    drop_dir: drop_dir.to_path_buf(),
                    source: row.get::<_, StoredPathBuf>(1)?.0,
                    options: row.get(2)?,
                    at: row.get(3)?,
                    target: RequestTarget::parse(&row.get::<_, String>(5)?),
                });
            }
            Ok(requests)
        })
    }

    /// Returns whether a request is in the ledger: npyd has neither accepted nor refused it.
    pub fn has_request(&self, request: &Request) -> Result<bool> {
        self.run(|db| {
            let mut statement =
                db.prepare_cached("SELECT EXISTS (SELECT 1 FROM requests WHERE id = ?1)")?;
            statement.query_row([request.id], |row| row.get(0))
        })
    }

    /// Accepts a request about the data file `source`: makes npyd treat it as new, stores what was
    /// declared about it, and deletes the request, all in one transaction. Returns `false` if
    /// another process has accepted or ended the request.
    pub fn accept_request(
        &self,
        request: &Request,
        source: &Path,
        declared: Option<&str>,
    ) -> Result<bool> {
        let Request { kind, drop_dir, .. } = request;
        let remark = request.given_options();
        self.run(|db| {
            let transaction = db.unchecked_transaction()?;
            if delete(db, request)? == 0 {
                return Ok(false);
            }
            insert_note(db, RowKind::Request(*kind), drop_dir, source, remark)?;
            if let Some(declared) = declared {
                declare(db, source, declared)?;
            }
            transaction.commit().map(|()| true)
        })
    }

    /// Ends a request with a receipt, and, if an array was made, the key of its source. A refusal
    /// does not change whether the source is settled. Returns `None` if another process has
    /// accepted or ended the request: its receipt counts.
    ///
    /// # Errors
    ///
    /// After an error the receipt is not stored, and the request stays in the ledger.
    pub fn end_request(
        &self,
        request: &Request,
        receipt: &Receipt,
        fingerprint: Option<&Fingerprint>,
    ) -> Result<Option<Stored>> {
        let is_first = self.run(|db| {
            let transaction = db.unchecked_transaction()?;
            if delete(db, request)? == 0 {
                return Ok(false);
            }
            let is_refusal = receipt.event == ReceiptEvent::Failed;
            let kind = if is_refusal { REFUSED } else { RowKind::of(receipt) };
            insert_as(db, kind, receipt, fingerprint)?;
            transaction.commit().map(|()| true)
        })?;
        Ok(is_first.then(|| self.stored_now()))
    }

    /// Returns what was declared about a source, as JSON.
    pub fn declared(&self, source: &Path) -> Result<Option<String>> {
        self.run(|db| declared_in(db, source))
    }

    /// Deletes what was declared about a source.
    pub fn forget_declared(&self, source: &Path) -> Result<()> {
        self.run(|db| forget(db, source)).map(drop)
    }

    /// Returns whether the array of a source was requested, and was not made since.
    pub fn is_requested(&self, source: &Path) -> Result<bool> {
        let kind = match self.read_unsaved(|db| latest_success(db, source))? {
            Some(kind) => Some(kind),
            None => self.run(|db| latest_success(db, source))?,
        };
        Ok(matches!(kind, Some(RowKind::Request(_))))
    }
}

/// Returns the time of a new request.
fn now() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}

/// Adds the columns that the requests of an older npyd lack.
pub(crate) fn add_columns(db: &Connection) -> rusqlite::Result<()> {
    let has_target = || db.prepare("SELECT target FROM requests").is_ok();
    let add = "ALTER TABLE requests ADD COLUMN target TEXT NOT NULL DEFAULT ''";
    match if has_target() { Ok(()) } else { db.execute_batch(add) } {
        Err(_) if has_target() => Ok(()), // another process has added it
        added => added,
    }
}

/// Returns what was declared about a source.
pub(crate) fn declared_in(db: &Connection, source: &Path) -> rusqlite::Result<Option<String>> {
    db.prepare_cached("SELECT keys FROM declared WHERE source = ?1")?
        .query_row([StoredPath(source)], |row| row.get(0))
        .optional()
}

/// Returns the newest row of a source that is not a failure.
pub(crate) fn latest_success(db: &Connection, source: &Path) -> rusqlite::Result<Option<RowKind>> {
    db.prepare_cached(&format!(
        "SELECT event FROM receipts WHERE {OF_SOURCE} AND event NOT IN ('{}', '{REFUSED}')
         ORDER BY id DESC LIMIT 1",
        RowKind::Event(ReceiptEvent::Failed)
    ))?
    .query_row(of_source(source), |row| row.get(0))
    .optional()
}

pub(crate) fn forget(db: &Connection, source: &Path) -> rusqlite::Result<usize> {
    db.prepare_cached("DELETE FROM declared WHERE source = ?1")?.execute([StoredPath(source)])
}

fn declare(db: &Connection, source: &Path, keys: &str) -> rusqlite::Result<usize> {
    db.execute(
        "INSERT OR REPLACE INTO declared (source, keys, at) VALUES (?1, ?2, ?3)",
        params![StoredPath(source), keys, now()],
    )
}

/// Deletes a request, and all earlier ones about the same source.
fn delete(db: &Connection, request: &Request) -> rusqlite::Result<usize> {
    let Request { id, source, .. } = request;
    db.execute(
        "DELETE FROM requests WHERE id <= ?1 AND source = ?2",
        params![id, StoredPath(source)],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::reason::Reason;
    use crate::ledger::upgrade::OLD_TABLE;

    const SOURCE: &str = "/in/scan.raw";

    fn receipt(event: ReceiptEvent) -> Receipt {
        Receipt::without_output(event, "/in".into(), SOURCE.into(), &Reason::Gone)
    }

    fn ledger_with_a_request() -> (Ledger, Request) {
        let ledger = Ledger::in_memory().unwrap();
        let seen = Some(Fingerprint { settings_hash: 1, ..Fingerprint::default() });
        ledger.record(&[(receipt(ReceiptEvent::Finalized), seen)]).unwrap();
        let add = |kind, options| {
            let options = (options, &RequestTarget::default());
            ledger.add_request(kind, Path::new("/in"), Path::new(SOURCE), options).unwrap();
        };
        add(RequestKind::Redo, r#"{"order":"F"}"#);
        assert!(ledger.requests(Path::new("/other")).unwrap().is_empty());
        let request = ledger.requests(Path::new("/in")).unwrap().remove(0);
        (ledger, request)
    }

    #[test]
    fn an_accepted_request_makes_the_source_count_as_never_seen() {
        let (ledger, request) = ledger_with_a_request();
        let source = Path::new(SOURCE);
        assert!(!ledger.is_requested(source).unwrap() && ledger.has_request(&request).unwrap());
        ledger.accept_request(&request, source, Some("{}")).unwrap();
        assert!(ledger.requests(Path::new("/in")).unwrap().is_empty());
        assert!(!ledger.latest(source).unwrap().unwrap().is_settled());
        assert_eq!(ledger.declared(source).unwrap().as_deref(), Some("{}"));
        ledger.record(&[(receipt(ReceiptEvent::Failed), None)]).unwrap();
        assert!(ledger.is_requested(source).unwrap());
        ledger.record(&[(receipt(ReceiptEvent::Remade), None)]).unwrap();
        assert!(!ledger.is_requested(source).unwrap());
    }

    /// The ledger of an npyd that knew no requests, and a request of one that knows more.
    #[test]
    fn ledgers_of_other_versions() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.sqlite");
        let db = Connection::open(&path).unwrap();
        db.execute_batch(&format!("{OLD_TABLE}; PRAGMA user_version = 1;")).unwrap();
        drop(db);
        let ledger = Ledger::open(dir.path()).unwrap();
        let add = |kind, source: &str| {
            let options = ("{}", &RequestTarget::default());
            ledger.add_request(kind, Path::new("/in"), Path::new(source), options).unwrap();
        };
        add(RequestKind::Redo, "/in/a");
        add(RequestKind::Take, "/in/b");
        let sql = "UPDATE requests SET kind = 'later' WHERE kind = 'redo'";
        ledger.run(|db| db.execute_batch(sql)).unwrap();
        let requests = ledger.requests(Path::new("/in")).unwrap();
        let found: Vec<_> = requests.iter().map(|it| (it.kind, it.source.as_path())).collect();
        assert_eq!(found, [(RequestKind::Take, Path::new("/in/b"))]);
    }

    /// The ledger of an npyd whose requests had no target, with one of its requests.
    #[test]
    fn requests_without_a_target() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.sqlite");
        let db = Connection::open(&path).unwrap();
        let before = TABLE.replace(",\n        target TEXT NOT NULL DEFAULT ''", "");
        assert_ne!(before, TABLE);
        let request = "INSERT INTO requests (at, kind, inbox, source, options)
                       VALUES ('', 'redo', '/in', '/in/a', '{}')";
        let tables = [OLD_TABLE, &before, request, "PRAGMA user_version = 1"];
        db.execute_batch(&tables.join(";")).unwrap();
        let targets = |ledger: &Ledger| {
            let requests = ledger.requests(Path::new("/in")).unwrap();
            requests.into_iter().map(|it| it.target).collect::<Vec<_>>()
        };
        let reader = Ledger::open_to_read(dir.path()).unwrap().unwrap();
        assert_eq!(targets(&reader), [RequestTarget::default()]);
        let ledger = Ledger::open(dir.path()).unwrap();
        let target = RequestTarget { files: "1:2:3:4".into(), ..RequestTarget::default() };
        let source = Path::new("/in/b");
        ledger.add_request(RequestKind::Take, Path::new("/in"), source, ("{}", &target)).unwrap();
        assert_eq!(targets(&ledger), [RequestTarget::default(), target]);
        Ledger::open(dir.path()).unwrap();
    }

    #[test]
    fn a_refused_request_leaves_the_source_settled() {
        let (ledger, request) = ledger_with_a_request();
        let source = Path::new(SOURCE);
        let end = || ledger.end_request(&request, &receipt(ReceiptEvent::Failed), None).unwrap();
        assert!(end().is_some());
        // Another process has read the request before.
        assert!(end().is_none() && !ledger.accept_request(&request, source, Some("{}")).unwrap());
        assert!(!ledger.has_request(&request).unwrap());
        assert!(ledger.requests(Path::new("/in")).unwrap().is_empty());
        let latest = ledger.latest(source).unwrap().unwrap();
        assert!(latest.is_settled());
        assert_eq!(Fingerprint::parse(&latest.fingerprint).unwrap().settings_hash, 1);
        let mut events = Vec::new();
        ledger.for_each(|entry| events.push(entry.receipt_event())).unwrap();
        assert_eq!(events, ["finalized", "failed"]);
        assert_eq!(ledger.declared(source).unwrap(), None);
    }
}
