//! Retention: deletes old receipts in small steps, so that the ledger stays small for years.
//!
//! The newest receipt of a file that exists is current. npyd never deletes it, because it would
//! then have to judge the file again, and a current receipt does not count: any number of finished
//! files that stay in their directory displaces no other receipt. All other receipts are the
//! history, which is limited in age and in number.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OptionalExtension, params};

use crate::ledger::row::millis;
use crate::ledger::stored_path::{StoredPath, StoredPathBuf};
use crate::ledger::{Ledger, Result, dirs, lock};

/// Number of receipts that are deleted in one transaction. New receipts wait for it.
const STEP: i64 = 500;

/// Number of transactions of one call.
const STEPS_MAX: u32 = 20;

/// Number of pages that a step gives back to the file system.
const FREED_PAGES: u32 = 256;

/// Number of sources that are checked at once.
const CHECKED: i64 = 512;

/// Which receipts stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// The age beyond which receipts of the history are deleted.
    pub history: Duration,
    /// Maximum number of receipts of the history.
    pub rows: u64,
}

/// The newest receipt of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewestReceipt {
    id: i64,
    /// The data file.
    pub source: PathBuf,
    /// Whether the file exists, as far as the ledger knows.
    pub is_current: bool,
}

/// Where a check of sources continues.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct SourceCursor {
    /// The directory and the last name, `None` at the beginning.
    last: Option<(PathBuf, PathBuf)>,
}

impl Ledger {
    /// Sets which receipts stay.
    pub fn set_retention(&self, retention: Retention) {
        *lock(&self.retention) = Some(retention);
    }

    /// Deletes some of the receipts that do not stay, and notes a failure. The daemon calls it
    /// about once per second. Returns whether there may be more.
    pub fn prune_some(&self) -> bool {
        let Some(retention) = *lock(&self.retention) else { return false };
        for _ in 0..STEPS_MAX {
            if self.may_lack_receipts() {
                return false; // all receipts may be copied soon
            }
            match self.run(|db| prune_step(db, retention, SystemTime::now())) {
                Ok(true) => {}
                Ok(false) => return false,
                Err(error) => {
                    self.note_failure(&error);
                    return false;
                }
            }
        }
        true
    }

    /// Deletes all receipts that do not stay.
    pub fn prune_all(&self) {
        while self.prune_some() {}
    }

    /// Returns some sources below a directory with their newest receipts, in turn: the next call
    /// continues behind them, and begins again after the last one.
    pub fn next_sources(
        &self,
        dir: &Path,
        cursor: &mut SourceCursor,
    ) -> Result<Vec<NewestReceipt>> {
        let (found, last) = self.run(|db| sources_after(db, dir, cursor.last.as_ref()))?;
        cursor.last = last;
        Ok(found)
    }

    /// Stores whether the files of these receipts exist, unless there are newer receipts.
    pub fn set_current(&self, receipts: &[NewestReceipt], is_current: bool) -> Result<()> {
        if receipts.is_empty() {
            return Ok(());
        }
        self.run(|db| {
            let transaction = db.unchecked_transaction()?;
            let mut update = db.prepare_cached(
                "UPDATE receipts SET is_current = ?2 WHERE id = ?1 AND is_current != ?2
                 AND NOT EXISTS (SELECT 1 FROM receipts AS n
                 WHERE n.source_dir = receipts.source_dir AND n.source = receipts.source
                 AND n.id > receipts.id AND n.event != 'refused')",
            )?;
            for receipt in receipts {
                update.execute(params![receipt.id, is_current])?;
            }
            drop(update);
            transaction.commit()
        })
    }
}

/// Deletes up to [`STEP`] receipts. Returns whether there may be more.
fn prune_step(db: &Connection, retention: Retention, now: SystemTime) -> rusqlite::Result<bool> {
    let (receipts, current): (i64, i64) = db
        .prepare_cached("SELECT receipts, current FROM totals")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let rows = i64::try_from(retention.rows).unwrap_or(i64::MAX);
    let excess = (receipts - current).saturating_sub(rows);
    let oldest = now.checked_sub(retention.history).map_or(0, millis);
    let mut deleted = 0;
    if excess > 0 {
        deleted = delete_oldest(db, i64::MAX, excess.min(STEP))?;
    }
    if deleted == 0 {
        deleted = delete_oldest(db, oldest, STEP)?;
    }
    Ok(shrink(db)? || deleted > 0)
}

/// Deletes the oldest receipts of the history. The newest receipt of all stays, because SQLite
/// would give its id to the next one.
fn delete_oldest(db: &Connection, before: i64, limit: i64) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "DELETE FROM receipts WHERE id IN (SELECT id FROM receipts WHERE is_current = 0
         AND at < ?1 AND id < (SELECT max(id) FROM receipts) ORDER BY at LIMIT ?2)",
    )?
    .execute([before, limit])
}

/// Gives some free pages back to the file system, unless new receipts will soon need them. Returns
/// whether it did.
fn shrink(db: &Connection) -> rusqlite::Result<bool> {
    let pragma = |name: &str| -> rusqlite::Result<u32> {
        db.prepare_cached(&format!("PRAGMA {name}"))?.query_row([], |row| row.get(0))
    };
    let free = pragma("freelist_count")?;
    if free <= FREED_PAGES || free <= pragma("page_count")? / 10 {
        return Ok(false);
    }
    let vacuum = format!("PRAGMA incremental_vacuum({FREED_PAGES})");
    let mut statement = db.prepare_cached(&vacuum)?;
    let mut freed = statement.query([])?;
    while freed.next()?.is_some() {} // each row is a page
    Ok(pragma("freelist_count")? < free)
}

type Sources = (Vec<NewestReceipt>, Option<(PathBuf, PathBuf)>);

fn sources_after(
    db: &Connection,
    below: &Path,
    last: Option<&(PathBuf, PathBuf)>,
) -> rusqlite::Result<Sources> {
    let [start, end] = dirs::range_below(below);
    let mut found = Vec::new();
    let mut dir = match last {
        Some((dir, _)) => Some(dir.clone()),
        None => next_dir(db, (">=", &start), &end)?,
    };
    let mut name = last.map(|(_, name)| name.clone()).unwrap_or_default();
    let mut left = CHECKED;
    while let Some(current) = dir {
        let read = names_after(db, (&current, &name), left, &mut found)?;
        left -= read.count;
        if left <= 0 {
            return Ok((found, Some((current, read.last))));
        }
        left -= 1; // also for a directory without receipts
        dir = next_dir(db, (">", &current), &end)?;
        name = PathBuf::new();
    }
    Ok((found, None))
}

/// Returns the next directory with a receipt. Directories that are not UTF-8 are left out: npyd
/// settles no file there.
fn next_dir(
    db: &Connection,
    (from, dir): (&str, &Path),
    end: &Path,
) -> rusqlite::Result<Option<PathBuf>> {
    db.prepare_cached(&format!(
        "SELECT path FROM dirs WHERE path {from} ?1 AND path < ?2 ORDER BY path LIMIT 1"
    ))?
    .query_row([StoredPath(dir), StoredPath(end)], |row| Ok(row.get::<_, StoredPathBuf>(0)?.0))
    .optional()
}

/// What was read of a directory.
struct Read {
    count: i64,
    last: PathBuf,
}

/// Adds the newest receipts of the sources behind a name of a directory.
fn names_after(
    db: &Connection,
    (dir, name): (&Path, &Path),
    limit: i64,
    found: &mut Vec<NewestReceipt>,
) -> rusqlite::Result<Read> {
    let mut read = Read { count: 0, last: name.to_path_buf() };
    let mut statement = db.prepare_cached(
        "SELECT source, max(id), is_current FROM receipts
         WHERE source_dir = (SELECT id FROM dirs WHERE path = ?1) AND source > ?2
         AND event != 'refused' GROUP BY source ORDER BY source LIMIT ?3",
    )?;
    let mut rows = statement.query(params![StoredPath(dir), StoredPath(name), limit])?;
    while let Some(row) = rows.next()? {
        let name = row.get::<_, StoredPathBuf>(0)?.0;
        let source = dirs::join(dir.to_path_buf(), &name);
        found.push(NewestReceipt { id: row.get(1)?, source, is_current: row.get(2)? });
        read = Read { count: read.count + 1, last: name };
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::decide::reason::Reason;
    use crate::events::receipt::Receipt;
    use crate::events::receipt_event::ReceiptEvent;
    use crate::events::source_fate::SourceFate;

    const YEAR: Duration = Duration::from_hours(8766);

    fn receipt(event: ReceiptEvent, source: &str, fate: SourceFate) -> Receipt {
        let receipt = Receipt::without_output(event, "/in".into(), source.into(), &Reason::Gone);
        Receipt { source_fate: Some(fate), ..receipt }
    }

    fn record(ledger: &Ledger, event: ReceiptEvent, source: &str, fate: SourceFate) {
        ledger.record(&[(receipt(event, source, fate), None)]).unwrap();
    }

    /// Returns the sources of all receipts, with what is derived from them checked.
    fn sources(ledger: &Ledger) -> Vec<String> {
        let mut sources = Vec::new();
        ledger.for_each(|entry| sources.push(entry.source.display().to_string())).unwrap();
        let (counted, stored, unused) = ledger
            .run(|db| {
                let pair = |sql: &str| {
                    db.query_row(sql, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
                };
                let unused = db.query_row(
                    "SELECT count(*) FROM dirs WHERE uses != (SELECT count(*) FROM receipts
                     WHERE dirs.id IN (inbox, source_dir, output_dir)) OR uses = 0",
                    [],
                    |row| row.get::<_, i64>(0),
                )?;
                Ok((
                    pair("SELECT count(*), coalesce(sum(is_current), 0) FROM receipts")?,
                    pair("SELECT receipts, current FROM totals")?,
                    unused,
                ))
            })
            .unwrap();
        assert_eq!((stored, unused), (counted, 0));
        sources
    }

    /// Makes all receipts so far so old.
    fn age(ledger: &Ledger, by: Duration) {
        let millis = i64::try_from(by.as_millis()).unwrap();
        ledger.run(|db| db.execute("UPDATE receipts SET at = at - ?1", [millis])).unwrap();
    }

    #[test]
    fn what_is_old_goes_unless_it_is_the_newest_of_a_file_that_exists() {
        use ReceiptEvent::{Failed, Finalized, Found, Rejected, Remade};
        let ledger = Ledger::in_memory().unwrap();
        ledger.prune_all(); // without effect until the limits are set
        ledger.set_retention(Retention { history: YEAR, rows: 1000 });
        record(&ledger, Finalized, "/in/kept", SourceFate::Kept);
        record(&ledger, Finalized, "/in/changed", SourceFate::Kept);
        record(&ledger, Finalized, "/elsewhere/removed", SourceFate::Removed);
        record(&ledger, Rejected, "/in/bad", SourceFate::Kept);
        record(&ledger, Failed, "/in/fails", SourceFate::Kept);
        age(&ledger, Duration::from_secs(10));
        ledger.prune_all();
        assert_eq!(sources(&ledger).len(), 5);
        age(&ledger, YEAR);
        record(&ledger, Remade, "/in/changed", SourceFate::Kept);
        record(&ledger, Found, "/in/new", SourceFate::Kept);
        record(&ledger, Finalized, "/in/newly-removed", SourceFate::Archived);
        ledger.prune_all();
        let stay = ["/in/kept", "/in/bad", "/in/fails", "/in/changed", "/in/new"];
        assert_eq!(sources(&ledger), [&stay[..], &["/in/newly-removed"]].concat());
        // The retry of a rejection that is long past.
        let rejected = ledger.rejected().unwrap().remove(0);
        ledger.retry(&rejected).unwrap();
        ledger.prune_all();
        let stay = ["/in/kept", "/in/fails", "/in/changed", "/in/new", "/in/newly-removed"];
        assert_eq!(sources(&ledger), [&stay[..], &["/in/bad"]].concat());
    }

    #[test]
    fn finished_files_that_stay_displace_no_other_receipts() {
        let ledger = Ledger::in_memory().unwrap();
        ledger.set_retention(Retention { history: YEAR, rows: 3 });
        for at in 0..5 {
            let source = format!("/in/removed-{at}");
            record(&ledger, ReceiptEvent::Finalized, &source, SourceFate::Removed);
        }
        let found: Vec<_> = (0..2000)
            .map(|at| format!("/in/found-{at}"))
            .map(|source| (receipt(ReceiptEvent::Found, &source, SourceFate::Kept), None))
            .collect();
        ledger.record(&found).unwrap();
        ledger.prune_all();
        let rest = sources(&ledger);
        assert_eq!(rest.len(), 2003);
        assert_eq!(rest[..3], ["/in/removed-2", "/in/removed-3", "/in/removed-4"]);
        // All of them again, as after a change of their attributes.
        ledger.record(&found).unwrap();
        ledger.prune_all();
        assert_eq!(sources(&ledger).len(), 2003);
    }

    /// SQLite gives the next row the id after the largest one.
    #[test]
    fn no_id_is_used_twice() {
        let ledger = Ledger::in_memory().unwrap();
        ledger.set_retention(Retention { history: YEAR, rows: 0 });
        let mut last = 0;
        for _ in 0..3 {
            record(&ledger, ReceiptEvent::Finalized, "/in/a", SourceFate::Removed);
            ledger.prune_all();
            let entry = ledger.latest(Path::new("/in/a")).unwrap().unwrap();
            assert!(entry.id > last);
            last = entry.id;
            assert_eq!(sources(&ledger).len(), 1);
        }
    }

    #[test]
    fn each_source_has_its_turn() {
        let ledger = Ledger::in_memory().unwrap();
        let count = usize::try_from(2 * CHECKED + 100).unwrap();
        for at in 0..count {
            let source = format!("/in/{}/{at:05}", at % 3);
            record(&ledger, ReceiptEvent::Found, &source, SourceFate::Kept);
        }
        record(&ledger, ReceiptEvent::Found, "/in0/other", SourceFate::Kept);
        record(&ledger, ReceiptEvent::Found, "/other", SourceFate::Kept);
        let mut cursor = SourceCursor::default();
        for _ in 0..2 {
            let mut seen = Vec::new();
            while seen.len() < count {
                seen.extend(ledger.next_sources(Path::new("/in"), &mut cursor).unwrap());
            }
            assert_eq!(seen.len(), count);
            seen.sort_by(|a, b| a.source.cmp(&b.source));
            seen.dedup();
            assert_eq!(seen.len(), count);
            assert!(seen.iter().all(|it| it.is_current && it.source.starts_with("/in")));
            // The last part of a turn may be empty.
            if cursor.last.is_some() {
                assert!(ledger.next_sources(Path::new("/in"), &mut cursor).unwrap().is_empty());
            }
        }
    }

    #[test]
    fn a_file_that_is_gone_and_one_that_is_back() {
        let ledger = Ledger::in_memory().unwrap();
        ledger.set_retention(Retention { history: YEAR, rows: 0 });
        record(&ledger, ReceiptEvent::Finalized, "/in/gone", SourceFate::Kept);
        record(&ledger, ReceiptEvent::Finalized, "/in/stays", SourceFate::Kept);
        record(&ledger, ReceiptEvent::Finalized, "/in/last", SourceFate::Removed);
        let find = || ledger.next_sources(Path::new("/in"), &mut SourceCursor::default()).unwrap();
        let known = find();
        assert_eq!(known.iter().map(|it| it.is_current).collect::<Vec<_>>(), [true, false, true]);
        ledger.set_current(&known[..1], false).unwrap();
        ledger.set_current(&known[..1], true).unwrap();
        ledger.prune_all();
        assert_eq!(sources(&ledger).len(), 3);
        ledger.set_current(&known[..1], false).unwrap();
        // After a newer receipt, the next call changes nothing.
        record(&ledger, ReceiptEvent::Remade, "/in/stays", SourceFate::Kept);
        ledger.set_current(&known[2..], true).unwrap();
        ledger.prune_all();
        assert_eq!(sources(&ledger), ["/in/stays"]);
    }

    /// Both the database and its log.
    #[test]
    fn the_file_shrinks() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        let size = |name: &str| fs::metadata(dir.path().join(name)).unwrap().len();
        for part in 0..20 {
            let receipts: Vec<_> = (0..1000)
                .map(|at| format!("/in/{part}-{at}"))
                .map(|it| (receipt(ReceiptEvent::Finalized, &it, SourceFate::Removed), None))
                .collect();
            ledger.record(&receipts).unwrap();
        }
        let checkpoint = || {
            let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
            ledger.run(|db| db.query_row(sql, [], |_| Ok(()))).unwrap();
        };
        checkpoint();
        let full = size("ledger.sqlite");
        ledger.set_retention(Retention { history: YEAR, rows: 100 });
        ledger.prune_all();
        checkpoint();
        assert!(size("ledger.sqlite") < full / 2, "{full} {}", size("ledger.sqlite"));
        assert_eq!(sources(&ledger).len(), 100);
    }
}
