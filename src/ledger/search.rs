//! Searches for the newest receipt that a caller accepts. Reads pages, newest first, and has no
//! query open between two pages: other threads use the ledger meanwhile, and its log stays short.

use std::path::Path;

use rusqlite::{Connection, ToSql, params_from_iter};

use crate::ledger::dirs::{IDS_IN_RANGE, range_below};
use crate::ledger::row::COLUMNS;
use crate::ledger::stored_path::StoredPath;
use crate::ledger::{Entry, Ledger, Result};

/// Maximum number of receipts in a page.
const PAGE: usize = 256;

/// The receipts that are searched.
pub(crate) struct Search<'a> {
    /// A condition that has an index whose entries are in the order of the ids.
    pub(crate) condition: &'a str,
    /// The parameters of the condition.
    pub(crate) params: &'a [&'a dyn ToSql],
    /// Receipts up to this id are left out.
    pub(crate) after: i64,
}

impl Search<'_> {
    /// Returns the receipts before an id, newest first, up to a page of them.
    fn page(&self, db: &Connection, before: i64) -> rusqlite::Result<Vec<Entry>> {
        let Search { condition, params, after } = self;
        let count = params.len();
        let limits: [&dyn ToSql; 2] = [after, &before];
        db.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM receipts WHERE {condition} AND receipts.id > ?{}
             AND receipts.id < ?{} ORDER BY receipts.id DESC LIMIT {PAGE}",
            count + 1,
            count + 2
        ))?
        .query_map(params_from_iter(params.iter().chain(&limits)), Entry::from_row)?
        .collect()
    }

    /// Returns the newest receipt in a database that `is_it` accepts.
    pub(crate) fn newest_in(
        &self,
        db: &Connection,
        is_it: impl FnMut(&Entry) -> bool,
    ) -> rusqlite::Result<Option<Entry>> {
        newest(|before| self.page(db, before), is_it)
    }
}

impl Ledger {
    /// Returns the newest of the searched receipts that `is_it` accepts.
    pub(crate) fn find_newest(
        &self,
        search: &Search<'_>,
        is_it: impl FnMut(&Entry) -> bool,
    ) -> Result<Option<Entry>> {
        newest(|before| self.run(|db| search.page(db, before)), is_it)
    }

    /// Returns the newest receipt that meets the condition in one of the directories with these
    /// ids, and that `is_it` accepts. The first parameter of the condition is the id.
    pub(crate) fn find_newest_of_dirs(
        &self,
        dirs: &[i64],
        (condition, params): (&str, &[&dyn ToSql]),
        mut is_it: impl FnMut(&Entry) -> bool,
    ) -> Result<Option<Entry>> {
        let mut newest: Option<Entry> = None;
        for dir in dirs {
            let params: Vec<&dyn ToSql> =
                [dir as &dyn ToSql].iter().chain(params).copied().collect();
            let after = newest.as_ref().map_or(0, |entry| entry.id);
            let search = Search { condition, params: &params, after };
            newest = self.find_newest(&search, &mut is_it)?.or(newest);
        }
        Ok(newest)
    }

    /// Returns the ids of a directory and those below it that have receipts.
    pub(crate) fn dir_ids_below(&self, dir: &Path) -> Result<Vec<i64>> {
        let range = range_below(dir);
        self.run(|db| {
            db.prepare_cached(IDS_IN_RANGE)?
                .query_map(range.each_ref().map(|path| StoredPath(path)), |row| row.get(0))?
                .collect()
        })
    }
}

/// Returns the newest receipt that `is_it` accepts. `read` reads a page.
fn newest<E>(
    read: impl Fn(i64) -> std::result::Result<Vec<Entry>, E>,
    mut is_it: impl FnMut(&Entry) -> bool,
) -> std::result::Result<Option<Entry>, E> {
    let mut before = i64::MAX;
    loop {
        let page = read(before)?;
        let is_last = page.len() < PAGE;
        before = page.last().map_or(before, |entry| entry.id);
        let found = page.into_iter().find(&mut is_it);
        if found.is_some() || is_last {
            return Ok(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::reason::Reason;
    use crate::events::receipt::Receipt;
    use crate::events::receipt_event::ReceiptEvent;

    #[test]
    fn pages_are_joined() {
        for count in [0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 3 * PAGE + 1] {
            let ledger = Ledger::in_memory().unwrap();
            let receipts: Vec<_> = (0..count)
                .map(|at| Path::new("/in").join((at % 2).to_string()))
                .map(|it| {
                    Receipt::without_output(ReceiptEvent::Failed, "/in".into(), it, &Reason::Gone)
                })
                .map(|receipt| (receipt, None))
                .collect();
            ledger.record(&receipts).unwrap();
            let dirs = ledger.dir_ids_below(Path::new("/in")).unwrap();
            let mut seen = Vec::new();
            let see = |entry: &Entry| {
                seen.push(entry.id);
                false
            };
            let found = ledger.find_newest_of_dirs(&dirs, ("inbox + 0 != ?1", &[]), see).unwrap();
            assert!(found.is_none());
            let all: Vec<_> = (1..=i64::try_from(count).unwrap()).rev().collect();
            assert_eq!(seen, all);
            for id in all.iter().step_by(100) {
                let search = Search { condition: "TRUE", params: &[], after: 0 };
                let found = ledger.find_newest(&search, |entry| entry.id <= *id).unwrap();
                assert_eq!(found.map(|entry| entry.id), Some(*id));
                let search = Search { after: *id, ..search };
                assert!(ledger.find_newest(&search, |entry| entry.id <= *id).unwrap().is_none());
            }
        }
    }
}
