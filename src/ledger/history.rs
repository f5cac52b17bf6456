//! The history: all receipts, read in pages. No query stays open between two pages, because the
//! write-ahead log grows for as long as one is, and a caller may print to a pager.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::events::receipt_event::ReceiptEvent;
use crate::ledger::changes::count_change;
use crate::ledger::row::{COLUMNS, IS_TROUBLE, insert_note, latest, millis};
use crate::ledger::row_kind::{LOST, REFUSED, RowKind, UNPROVEN};
use crate::ledger::stored_path::StoredPath;
use crate::ledger::{Entry, Ledger, Result};

/// Maximum number of receipts in a page.
const PAGE: usize = 1000;

/// Number of ids that are searched for a page.
const WINDOW: i64 = 50_000;

/// The condition for the sources whose newest receipt is a rejection.
fn is_rejected_now() -> String {
    format!(
        "{IS_TROUBLE} AND event IN ('rejected', '{LOST}')
         AND NOT EXISTS (SELECT 1 FROM receipts AS n
         WHERE n.source_dir = receipts.source_dir AND n.source = receipts.source
         AND n.id > receipts.id AND n.event != '{REFUSED}')"
    )
}

/// Which receipts are read. The default is all of them.
#[derive(Debug, Clone, Default)]
pub struct HistoryFilter {
    /// From this time on: RFC 3339.
    pub since: Option<String>,
    /// Before this time: RFC 3339.
    pub until: Option<String>,
    /// Those of this drop directory.
    pub drop_dir: Option<PathBuf>,
    /// Those with one of these events, and perhaps others; all if it is empty.
    pub events: Vec<String>,
}

/// A filter for queries.
struct Search {
    since: i64,
    until: i64,
    drop_dir: Option<PathBuf>,
    condition: String,
}

impl Search {
    fn of(filter: &HistoryFilter) -> Self {
        let time = |text: &Option<String>| {
            text.as_ref().and_then(|text| humantime::parse_rfc3339(text).ok()).map(millis)
        };
        let names: Vec<_> = filter.events.iter().flat_map(|event| row_kinds(event)).collect();
        let condition = if names.is_empty() {
            "TRUE".to_owned()
        } else {
            let may_have_array = ["finalized", "remade", "found", UNPROVEN.as_str()];
            let is_trouble = names.iter().all(|kind| !may_have_array.contains(&&**kind));
            let names: Vec<_> = names.iter().map(|kind| format!("'{kind}'")).collect();
            let events = format!("event IN ({})", names.join(", "));
            if is_trouble { format!("{IS_TROUBLE} AND {events}") } else { events }
        };
        Search {
            since: time(&filter.since).unwrap_or(i64::MIN),
            until: time(&filter.until).unwrap_or(i64::MAX),
            drop_dir: filter.drop_dir.clone(),
            condition,
        }
    }

    /// Returns the first and the last id of all receipts, if there are any.
    fn all(db: &Connection) -> rusqlite::Result<Option<(i64, i64)>> {
        let first = db.query_row("SELECT min(id) FROM receipts", [], |row| row.get(0))?;
        let last = db.query_row("SELECT max(id) FROM receipts", [], |row| row.get(0))?;
        Ok(Option::zip(first, last))
    }

    /// Returns the first id that the receipts can have. A clock may have been set back, so that the
    /// receipts are not in the order of their times.
    fn first(&self, db: &Connection) -> rusqlite::Result<i64> {
        if self.since == i64::MIN {
            return Ok(i64::MIN);
        }
        db.prepare_cached("SELECT min(id) FROM receipts WHERE is_current IN (0, 1) AND at >= ?1")?
            .query_row([self.since], |row| row.get::<_, Option<i64>>(0))
            .map(|first| first.unwrap_or(i64::MAX))
    }

    /// Returns the receipts with ids from `first` to `last`, up to a page of them.
    fn page(
        &self,
        db: &Connection,
        (first, last): (i64, i64),
        is_newest_first: bool,
    ) -> rusqlite::Result<Vec<Entry>> {
        let order = if is_newest_first { "DESC" } else { "ASC" };
        let is_of_dir = match self.drop_dir {
            // SQLite uses no index of `+inbox`, so that it uses the one of the trouble.
            Some(_) if self.condition.starts_with(IS_TROUBLE) => {
                "+inbox = (SELECT id FROM dirs WHERE path = ?5)"
            }
            Some(_) => "inbox = (SELECT id FROM dirs WHERE path = ?5)",
            None => "?5 IS NULL",
        };
        let Search { condition, .. } = self;
        db.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM receipts WHERE receipts.id BETWEEN ?1 AND ?2
             AND at >= ?3 AND at < ?4 AND {is_of_dir}
             AND {condition} ORDER BY receipts.id {order} LIMIT {PAGE}"
        ))?
        .query_map(
            params![first, last, self.since, self.until, self.drop_dir.as_deref().map(StoredPath)],
            Entry::from_row,
        )?
        .collect()
    }
}

/// Returns the names of the rows that the receipts of an event have.
fn row_kinds(event: &str) -> Vec<String> {
    let mut kinds = vec![event.to_owned()];
    kinds.extend(match ReceiptEvent::from_name(event) {
        Some(ReceiptEvent::Finalized | ReceiptEvent::Remade | ReceiptEvent::Found) => {
            Some(UNPROVEN.to_string())
        }
        Some(ReceiptEvent::Rejected) => Some(LOST.to_string()),
        Some(ReceiptEvent::Failed) => Some(REFUSED.to_string()),
        _ => None,
    });
    kinds.retain(|kind| RowKind::from_name(kind) != RowKind::Unknown);
    kinds
}

impl Ledger {
    /// Calls `see` with each receipt, oldest first.
    #[cfg(test)]
    pub(crate) fn for_each(&self, see: impl FnMut(Entry)) -> Result<()> {
        self.each(&Search::of(&HistoryFilter::default()), see)
    }

    /// Calls `see` with each receipt that the filter selects, oldest first. Receipts that are
    /// stored meanwhile are left out.
    pub fn history(&self, filter: &HistoryFilter, see: impl FnMut(Entry)) -> Result<()> {
        self.each(&Search::of(filter), see)
    }

    /// Calls `see` with the newest `limit` receipts that the filter selects and that `is_chosen`
    /// accepts, oldest first. Keeps only their ids in memory.
    pub fn newest_history(
        &self,
        filter: &HistoryFilter,
        limit: usize,
        mut is_chosen: impl FnMut(&Entry) -> bool,
        mut see: impl FnMut(Entry),
    ) -> Result<()> {
        let search = Search::of(filter);
        let Some((mut first, mut last)) = self.run(Search::all)? else { return Ok(()) };
        let mut ids = Vec::new();
        let mut is_first_page = true;
        while last >= first && ids.len() < limit {
            let start = last.saturating_sub(WINDOW - 1).max(first);
            let page = self.run(|db| search.page(db, (start, last), true))?;
            last =
                if page.len() < PAGE { start } else { page.last().map_or(start, |it| it.id) } - 1;
            ids.extend(page.iter().filter(|entry| is_chosen(entry)).map(|entry| entry.id));
            if is_first_page && ids.len() < limit {
                // It reads all times since then, and most callers need one page alone.
                first = first.max(self.run(|db| search.first(db))?);
            }
            is_first_page = false;
        }
        ids.truncate(limit);
        ids.reverse();
        for ids in ids.chunks(PAGE) {
            self.run(|db| entries(db, ids))?.into_iter().for_each(&mut see);
        }
        Ok(())
    }

    /// Calls `see` with the newest receipt of each source for which it is a rejection.
    pub fn each_rejected(&self, see: impl FnMut(Entry)) -> Result<()> {
        let all = Search::of(&HistoryFilter::default());
        self.each(&Search { condition: is_rejected_now(), ..all }, see)
    }

    /// Returns the newest receipt of each source for which it is a rejection.
    pub fn rejected(&self) -> Result<Vec<Entry>> {
        let mut rejected = Vec::new();
        self.each_rejected(|entry| rejected.push(entry))?;
        Ok(rejected)
    }

    fn each(&self, search: &Search, mut see: impl FnMut(Entry)) -> Result<()> {
        let Some((first, last)) = self.run(Search::all)? else { return Ok(()) };
        let mut first = first.max(self.run(|db| search.first(db))?);
        while first <= last {
            let end = first.saturating_add(WINDOW - 1).min(last);
            let page = self.run(|db| search.page(db, (first, end), false))?;
            first = if page.len() < PAGE { end } else { page.last().map_or(end, |it| it.id) } + 1;
            page.into_iter().for_each(&mut see);
        }
        Ok(())
    }

    /// Returns whether there is a receipt about a drop directory.
    pub fn knows_drop_dir(&self, drop_dir: &Path) -> Result<bool> {
        self.run(|db| {
            db.prepare_cached("SELECT 1 FROM dirs WHERE path = ?1")?.exists([StoredPath(drop_dir)])
        })
    }

    /// Makes npyd treat a rejected source as new, unless the source has a newer receipt: npyd may
    /// have taken its files as soon as they were back.
    pub fn retry(&self, entry: &Entry) -> Result<()> {
        self.run(|db| {
            let transaction = Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
            if latest(db, &entry.source)?.is_none_or(|latest| latest.id <= entry.id) {
                insert_note(db, RowKind::Retried, &entry.drop_dir, &entry.source, None)?;
            }
            count_change(db, &entry.drop_dir)?;
            transaction.commit()
        })
    }
}

/// Returns the receipts with these ids; those that were deleted meanwhile are left out.
pub(crate) fn entries(db: &Connection, ids: &[i64]) -> rusqlite::Result<Vec<Entry>> {
    let transaction = db.unchecked_transaction()?;
    let mut select =
        db.prepare_cached(&format!("SELECT {COLUMNS} FROM receipts WHERE receipts.id = ?1"))?;
    let mut found = Vec::new();
    for id in ids {
        found.extend(select.query_row([id], Entry::from_row).optional()?);
    }
    drop(select);
    transaction.finish()?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::reason::Reason;
    use crate::events::receipt::Receipt;

    fn ledger(count: usize) -> Ledger {
        let ledger = Ledger::in_memory().unwrap();
        let receipts: Vec<_> = (0..count)
            .map(|at| {
                let event = [ReceiptEvent::Rejected, ReceiptEvent::Failed][at % 2];
                let drop_dir = PathBuf::from(["/a", "/b", "/c"][at % 3]);
                let source = drop_dir.join(at.to_string());
                (Receipt::without_output(event, drop_dir, source, &Reason::Gone), None)
            })
            .collect();
        ledger.record(&receipts).unwrap();
        let sql = "UPDATE receipts SET at = id * 1000";
        ledger.run(|db| db.execute_batch(sql)).unwrap();
        ledger
    }

    fn number(entry: &Entry) -> usize {
        entry.source.file_name().unwrap().to_str().unwrap().parse().unwrap()
    }

    /// Returns the numbers of the receipts that a filter selects.
    fn found(ledger: &Ledger, filter: &HistoryFilter) -> Vec<usize> {
        let mut found = Vec::new();
        ledger.history(filter, |entry| found.push(number(&entry))).unwrap();
        let mut newest = Vec::new();
        let see = |entry: Entry| newest.push(number(&entry));
        ledger.newest_history(filter, usize::MAX, |_| true, see).unwrap();
        assert_eq!(found, newest);
        found
    }

    #[test]
    fn pages_are_joined_without_a_gap() {
        for count in [0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE + 1] {
            let all: Vec<_> = (0..count).collect();
            assert_eq!(found(&ledger(count), &HistoryFilter::default()), all, "{count}");
        }
    }

    /// A pager may show the first receipts for hours.
    #[test]
    fn no_query_is_open_while_receipts_are_shown() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        let receipt = Receipt::without_output(
            ReceiptEvent::Rejected,
            "/in".into(),
            "/in/a".into(),
            &Reason::Gone,
        );
        ledger.record(&vec![(receipt, None); PAGE + 1]).unwrap();
        let reader = Ledger::open_to_read(dir.path()).unwrap().unwrap();
        let see = |_: Entry| {
            ledger.retry(&reader.latest("/in/a".as_ref()).unwrap().unwrap()).unwrap();
            let is_busy: bool = ledger
                .run(|db| db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)))
                .unwrap();
            assert!(!is_busy);
        };
        let mut first = Some(see);
        reader
            .for_each(|entry| first.take().into_iter().for_each(|see| see(entry.clone())))
            .unwrap();
        let mut first = Some(see);
        reader
            .newest_history(
                &HistoryFilter::default(),
                1,
                |_| true,
                |entry| {
                    first.take().into_iter().for_each(|see| see(entry.clone()));
                },
            )
            .unwrap();
    }

    /// The daemon may reject the files before the command that moved them back notes the retry.
    #[test]
    fn a_retry_does_not_hide_a_newer_rejection() {
        let ledger = Ledger::in_memory().unwrap();
        let receipt = || {
            let event = ReceiptEvent::Rejected;
            Receipt::without_output(event, "/in".into(), "/in/a".into(), &Reason::Gone)
        };
        ledger.record(&[(receipt(), None)]).unwrap();
        let retried = ledger.rejected().unwrap();
        ledger.record(&[(receipt(), None)]).unwrap();
        ledger.retry(&retried[0]).unwrap();
        let rejected = ledger.rejected().unwrap();
        assert_eq!(rejected.len(), 1);

        ledger.retry(&rejected[0]).unwrap();
        assert!(ledger.rejected().unwrap().is_empty());
    }

    /// Such as after old receipts were deleted.
    #[test]
    fn windows_without_receipts() {
        let ledger = ledger(10);
        let sql = format!("UPDATE receipts SET id = id + {} WHERE id > 4", 3 * WINDOW);
        ledger.run(|db| db.execute_batch(&sql)).unwrap();
        assert_eq!(found(&ledger, &HistoryFilter::default()), (0..10).collect::<Vec<_>>());
        ledger.run(|db| db.execute_batch("DELETE FROM receipts WHERE id <= 4")).unwrap();
        assert_eq!(found(&ledger, &HistoryFilter::default()), (4..10).collect::<Vec<_>>());
    }

    #[test]
    fn filters() {
        let ledger = ledger(2500);
        let all = HistoryFilter::default();
        let time = |second: u64| {
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(second);
            Some(humantime::format_rfc3339_millis(time).to_string())
        };
        let since = HistoryFilter { since: time(2401), ..all.clone() };
        assert_eq!(found(&ledger, &since), (2400..2500).collect::<Vec<_>>());
        let until = HistoryFilter { until: time(2411), ..since.clone() };
        assert_eq!(found(&ledger, &until), (2400..2410).collect::<Vec<_>>());
        let later = HistoryFilter { since: time(9999), ..all.clone() };
        assert!(found(&ledger, &later).is_empty());
        let of_dir = HistoryFilter { drop_dir: Some("/b".into()), ..until.clone() };
        assert_eq!(found(&ledger, &of_dir), [2401, 2404, 2407]);
        let failed = HistoryFilter { events: vec!["failed".into()], ..of_dir.clone() };
        assert_eq!(found(&ledger, &failed), [2401, 2407]);
        let other = HistoryFilter { events: vec!["found".into()], ..all.clone() };
        assert!(found(&ledger, &other).is_empty());
        let nowhere = HistoryFilter { drop_dir: Some("/d".into()), ..all.clone() };
        assert!(found(&ledger, &nowhere).is_empty());
        assert!(ledger.knows_drop_dir("/a".as_ref()).unwrap());
        assert!(!ledger.knows_drop_dir("/d".as_ref()).unwrap());
        let mut newest = Vec::new();
        let is_odd = |entry: &Entry| number(entry) % 2 == 1;
        ledger.newest_history(&all, 2, is_odd, |entry| newest.push(number(&entry))).unwrap();
        assert_eq!(newest, [2497, 2499]);
        assert_eq!(ledger.rejected().unwrap().len(), 1250);
    }
}
