//! Checks the query plan of each statement of the ledger: a statement that reads as many rows as
//! there are receipts is slow once there are millions, and all other threads wait for it.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use rusqlite::trace::{TraceEvent, TraceEventCodes};

use crate::decide::fingerprint::Fingerprint;
use crate::decide::reason::Reason;
use crate::decide::request_kind::RequestKind;
use crate::decide::request_target::RequestTarget;
use crate::decide::source_identity::SourceIdentity;
use crate::events::receipt::Receipt;
use crate::events::receipt_event::ReceiptEvent;
use crate::ledger::outage::insert_unsaved;
use crate::ledger::row::insert_all;
use crate::ledger::row_copy::{copy_newer, copy_readable};
use crate::ledger::schema::in_memory;
use crate::ledger::{HistoryFilter, Ledger, Retention, SourceCursor, last_attempt, lock, mend};

/// Tables that have few rows, however many receipts there are.
const SMALL_TABLES: [&str; 4] = ["totals", "changes", "requests", "reports"];

/// Statements that may read all receipts: a part of their text, and why.
const MAY_READ_ALL: [(&str, &str); 10] = [
    ("at < ?4 AND ?5 IS NULL AND TRUE", "a page of the history, of at most 50,000 ids"),
    ("at < ?4 AND ?5 IS NULL AND event IN", "a page of the history, of at most 50,000 ids"),
    ("min(id) FROM receipts WHERE is_current", "times since a date, in an index, for npyd history"),
    ("is_current FROM receipts WHERE receipts.id > ", "copies the receipts of a damaged ledger"),
    ("count(*) FROM receipts WHERE id >", "counts what an outage kept from the ledger, at the end"),
    ("NOT EXISTS (SELECT 1 FROM receipts)", "ends at the first receipt"),
    ("DELETE FROM receipts WHERE id <=", "of the receipts in memory, which are few"),
    ("SELECT content, reason FROM lost", "copies the data losses of a damaged ledger"),
    ("SELECT source, keys, at FROM declared", "copies what was declared in a damaged ledger"),
    ("SELECT path FROM archives ORDER BY path", "copies the archives of a damaged ledger"),
];

/// The statements that a connection executes, those of triggers included.
#[derive(Default, Clone)]
struct Trace(Arc<Mutex<Vec<String>>>);

impl Trace {
    fn start(&self, db: &mut Connection) {
        let statements = self.0.clone();
        let note = move |event: TraceEvent<'_>| {
            if let TraceEvent::Stmt(_, sql) = event {
                lock(&statements).push(sql.split_whitespace().collect::<Vec<_>>().join(" "));
            }
        };
        db.trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(note)).unwrap();
    }

    fn statements(&self) -> Vec<String> {
        let mut statements = std::mem::take(&mut *lock(&self.0));
        statements.sort();
        statements.dedup();
        statements
    }
}

fn receipt(event: ReceiptEvent, source: &str) -> (Receipt, Option<Fingerprint>) {
    let receipt = Receipt::without_output(event, "/in".into(), source.into(), &Reason::Gone);
    let output = (event == ReceiptEvent::Finalized).then(|| "/out/a.npy".into());
    let identity = SourceIdentity::parse("1:2:3:4");
    (Receipt { output, ..receipt }, Some(Fingerprint { settings_hash: 1, identity }))
}

/// Uses a ledger in each way, and returns the statements.
fn statements() -> Vec<String> {
    let trace = Trace::default();
    let mut ledger = Ledger::in_memory().unwrap();
    trace.start(ledger.connection.get_mut().unwrap());
    let (source, array) = (Path::new("/in/a"), Path::new("/out/a.npy"));
    let all = [ReceiptEvent::Failed, ReceiptEvent::Rejected, ReceiptEvent::Finalized];
    ledger.record(&all.map(|event| receipt(event, "/in/a"))).unwrap();
    let mut fault = receipt(ReceiptEvent::Failed, "/in/a");
    fault.0.dir = Some("/out".into());
    fault.0.archive = Some("/archive".into());
    ledger.record(&[fault]).unwrap();
    look_up(&ledger, source, array);
    request(&ledger, source);
    judge(&ledger, source);
    read_history(&ledger);
    ledger.set_retention(Retention { history: std::time::Duration::ZERO, rows: 0 });
    ledger.prune_all();
    mend::newest(&lock(&ledger.connection));
    mend::is_empty(&lock(&ledger.connection)).unwrap();
    last_attempt::count_after(&lock(&ledger.connection), 0);
    copy(&trace);
    trace.statements()
}

fn look_up(ledger: &Ledger, source: &Path, array: &Path) {
    let identity = SourceIdentity::parse("1:2:3:4");
    let entry = ledger.latest(source).unwrap().unwrap();
    ledger.array_receipt(&entry).unwrap();
    ledger.array_made_of(source, &identity).unwrap();
    ledger.latest_dir_fault(Path::new("/in")).unwrap().unwrap();
    ledger.latest_array(source).unwrap().unwrap();
    ledger.latest_of_array(array).unwrap().unwrap();
    ledger.latest_with_array(source, |_| true).unwrap().unwrap();
    assert!(ledger.latest_described_by(source).unwrap().is_none());
    assert!(ledger.latest_with_part(source, |_| false).unwrap().is_none());
    assert!(ledger.archived_named(&[Path::new("a")], |_| true).unwrap().is_none());
    assert!(ledger.newest_archived(|_| true).unwrap().is_none());
    assert!(ledger.is_archive(Path::new("/archive")).unwrap());
    ledger.known_sources(Path::new("/in"), &["a".as_ref()]).unwrap();
    ledger.known_drop(source, 1, ["x".to_owned()].into_iter()).unwrap();
    ledger.knows_drop_dir(Path::new("/in")).unwrap();
    ledger.has_sources_below(Path::new("/in")).unwrap();
    let newest = ledger.next_sources(Path::new("/in"), &mut SourceCursor::default()).unwrap();
    ledger.set_current(&newest, false).unwrap();
}

fn judge(ledger: &Ledger, source: &Path) {
    ledger.note_disposals(&[source.into()]).unwrap();
    let (rejection, key) = receipt(ReceiptEvent::Rejected, "/in/judged");
    ledger.record(&[(rejection.clone(), key.clone())]).unwrap();
    assert!(ledger.judge_again(&rejection, &key.unwrap()).unwrap());
}

fn request(ledger: &Ledger, source: &Path) {
    let drop_dir = Path::new("/in");
    for is_accepted in [true, false] {
        let options = ("{}", &RequestTarget::default());
        ledger.add_request(RequestKind::Redo, drop_dir, source, options).unwrap();
        let request = ledger.requests(drop_dir).unwrap().remove(0);
        assert!(ledger.has_request(&request).unwrap());
        if is_accepted {
            ledger.accept_request(&request, source, Some("{}")).unwrap();
        } else {
            ledger.end_request(&request, &receipt(ReceiptEvent::Failed, "/in/a").0, None).unwrap();
        }
    }
    ledger.is_requested(source).unwrap();
    ledger.forget_declared(source).unwrap();
    ledger.record_data_loss(["x".to_owned()].into_iter(), "why").unwrap();
    ledger.data_loss_of(["x".to_owned()].into_iter()).unwrap();
}

fn read_history(ledger: &Ledger) {
    let all = HistoryFilter::default();
    let since = Some("2026-11-29T13:30:05.250Z".to_owned());
    let events = |event: &str| vec![event.to_owned()];
    for filter in [
        all.clone(),
        HistoryFilter { since: since.clone(), ..all.clone() },
        HistoryFilter { drop_dir: Some("/in".into()), ..all.clone() },
        HistoryFilter { drop_dir: Some("/in".into()), events: events("found"), since, until: None },
        HistoryFilter { events: events("failed"), ..all },
    ] {
        ledger.history(&filter, drop).unwrap();
        ledger.newest_history(&filter, 100, |_| true, drop).unwrap();
    }
    ledger.each_named(&["a".into()], drop).unwrap();
    ledger.rejected().unwrap();
    ledger.retry(&ledger.latest(Path::new("/in/a")).unwrap().unwrap()).unwrap();
}

fn copy(trace: &Trace) {
    let mut from = in_memory().unwrap();
    let mut to = in_memory().unwrap();
    insert_all(&from, &[receipt(ReceiptEvent::Rejected, "/in/b")]).unwrap();
    trace.start(&mut from);
    trace.start(&mut to);
    copy_readable(&from, &to).unwrap();
    copy_newer(&from, &to, 0).unwrap();
    insert_unsaved(&to, &[]).unwrap();
}

/// Returns the plan of a statement, in lines.
fn plan(db: &Connection, sql: &str) -> Vec<String> {
    // What the trace has of a trigger.
    let sql = sql.trim_start_matches("-- ").to_owned();
    let words = sql.split_inclusive([' ', ',', '(', ')', ';', '=']);
    let sql: String = words
        .map(|word| {
            let column = word.trim_end_matches([' ', ',', '(', ')', ';', '=']);
            let is_of_trigger = column.starts_with("NEW.") || column.starts_with("OLD.");
            if is_of_trigger { word.replace(column, "?") } else { word.to_owned() }
        })
        .collect();
    let mut explain = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    explain.raw_query().mapped(|row| row.get(3)).collect::<rusqlite::Result<_>>().unwrap()
}

/// Returns whether a step of a plan reads or sorts rows of a large table without an index.
fn reads_all(step: &str) -> bool {
    let scanned = step.strip_prefix("SCAN ");
    let is_large = |rest: &str| {
        let table = rest.split(' ').next().unwrap_or_default();
        !SMALL_TABLES.contains(&table) && !table.starts_with("pragma") && rest != "CONSTANT ROW"
    };
    scanned.is_some_and(is_large)
        || step.starts_with("USE TEMP B-TREE")
        || step.starts_with("SEARCH receipts USING INTEGER PRIMARY KEY (rowid>")
        || step.starts_with("SEARCH receipts USING INTEGER PRIMARY KEY (rowid<")
}

#[test]
fn no_statement_reads_all_receipts() {
    let db = in_memory().unwrap();
    let mut failures = Vec::new();
    for sql in statements() {
        let word = sql.trim_start_matches("-- ").split(' ').next().unwrap_or_default();
        let is_statement = ["SELECT", "INSERT", "UPDATE", "DELETE"].contains(&word);
        let is_allowed = MAY_READ_ALL.iter().any(|(part, _)| sql.contains(part));
        if is_statement && !is_allowed {
            let plan = plan(&db, &sql);
            failures.extend(plan.iter().any(|step| reads_all(step)).then_some((sql, plan)));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Returns the statements in the sources about receipts and directories, each as the texts between
/// its `{}`.
fn written_statements() -> Vec<Vec<String>> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ledger");
    let mut statements = Vec::new();
    for file in fs::read_dir(sources).unwrap() {
        let path = file.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        if path.ends_with("plans.rs") {
            continue;
        }
        for literal in code.replace("\\\"", "\0").split('"') {
            let sql = literal.replace('\0', "\"");
            let sql = sql.split_whitespace().collect::<Vec<_>>().join(" ");
            let is_statement = ["SELECT ", "INSERT ", "UPDATE ", "DELETE "]
                .iter()
                .any(|word| sql.starts_with(word));
            if is_statement && ["receipts", " dirs"].iter().any(|table| sql.contains(table)) {
                let parts = sql.split('{').map(|it| it.rsplit('}').next().unwrap_or(it));
                statements.push(parts.map(str::to_owned).collect());
            }
        }
    }
    statements
}

#[test]
fn each_statement_is_checked() {
    let executed = statements();
    let has_parts = |sql: &String, parts: &[String]| {
        let mut rest = sql.as_str();
        parts.iter().all(|part| match rest.split_once(part.as_str()) {
            Some((_, after)) => {
                rest = after;
                true
            }
            None => false,
        })
    };
    let written = written_statements();
    assert!(written.len() > 20);
    for parts in written {
        // The upgrade reads a table of its own, once.
        let is_of_upgrade = parts.iter().any(|part| part.contains("pragma_table_info"));
        let is_executed = executed.iter().any(|sql| has_parts(sql, &parts));
        assert!(is_of_upgrade || is_executed, "{parts:?} is in no test of this file");
    }
}
