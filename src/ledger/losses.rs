//! Data losses: contents of files that may be lost after a failed sync.
//!
//! This is the only fact in the ledger that cannot be derived again, because the next sync of such
//! a file may succeed (rule F1 of `fs`). npyd therefore syncs it before it acts on it. An entry
//! holds until the file is written to, and is never deleted.

use rusqlite::{Connection, OptionalExtension};

use crate::ledger::{Ledger, Result, lock};

pub(crate) const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS lost (
        content TEXT PRIMARY KEY,
        reason TEXT NOT NULL
    ) WITHOUT ROWID;";

/// A file's content, by its key, and why it may be lost.
pub(crate) struct LossRow {
    content: String,
    reason: String,
}

impl Ledger {
    /// Persists that these contents of files may be lost, and why.
    ///
    /// # Durability
    ///
    /// On success the entries are durable. On an error they are kept in memory, and written as soon
    /// as possible.
    pub fn record_data_loss(
        &self,
        contents: impl Iterator<Item = String>,
        reason: &str,
    ) -> Result<()> {
        let mut pending_losses = lock(&self.pending_losses);
        pending_losses
            .extend(contents.map(|content| LossRow { content, reason: reason.to_owned() }));
        self.write_losses(&mut pending_losses)
    }

    pub(crate) fn write_losses(&self, pending_losses: &mut Vec<LossRow>) -> Result<()> {
        if pending_losses.is_empty() {
            return Ok(());
        }
        self.run(|db| {
            insert_losses(db, pending_losses).inspect_err(|_| {
                // If the disk can't sync, a write without a sync at least survives the end of npyd.
                let _ = db.pragma_update(None, "synchronous", "off");
                let _ = insert_losses(db, pending_losses);
                let _ = db.pragma_update(None, "synchronous", "full");
            })
        })?;
        pending_losses.clear();
        Ok(())
    }

    /// Returns why one of these contents may be lost, or `None` if none is recorded.
    pub fn data_loss_of(&self, contents: impl Iterator<Item = String>) -> Result<Option<String>> {
        let contents: Vec<String> = contents.collect();
        match self.pending_loss_of(&contents) {
            Some(reason) => Ok(Some(reason)),
            None => self.run(|db| loss_in(db, &contents)),
        }
    }

    /// Returns why one of these contents may be lost, if that could not be written yet.
    pub(crate) fn pending_loss_of(&self, contents: &[String]) -> Option<String> {
        let pending_losses = lock(&self.pending_losses);
        let loss = pending_losses.iter().find(|loss| contents.contains(&loss.content))?;
        Some(loss.reason.clone())
    }
}

/// Returns why one of these contents may be lost, as far as the database has it.
pub(crate) fn loss_in(db: &Connection, contents: &[String]) -> rusqlite::Result<Option<String>> {
    let mut statement = db.prepare_cached("SELECT reason FROM lost WHERE content = ?1")?;
    for content in contents {
        let reason = statement.query_row([content], |row| row.get(0)).optional()?;
        if reason.is_some() {
            return Ok(reason);
        }
    }
    Ok(None)
}

fn insert_losses(db: &Connection, losses: &[LossRow]) -> rusqlite::Result<()> {
    let transaction = db.unchecked_transaction()?;
    for LossRow { content, reason } in losses {
        db.prepare_cached("INSERT OR REPLACE INTO lost (content, reason) VALUES (?1, ?2)")?
            .execute([content, reason])?;
    }
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use std::iter::once;

    use super::*;

    fn data_loss_of(ledger: &Ledger, content: &str) -> Option<String> {
        ledger.data_loss_of(once(content.to_owned())).unwrap()
    }

    /// Also opens a ledger of an older npyd that stored no losses.
    #[test]
    fn losses_are_known_for_good() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        lock(&ledger.connection).execute_batch("DROP TABLE lost").unwrap();
        drop(ledger);
        let ledger = Ledger::open(dir.path()).unwrap();
        ledger.record_data_loss(["a", "b"].map(str::to_owned).into_iter(), "why").unwrap();
        drop(ledger);
        let ledger = Ledger::open(dir.path()).unwrap();
        assert_eq!(
            ["a", "b", "c"].map(|it| data_loss_of(&ledger, it).is_some()),
            [true, true, false]
        );
    }

    /// The ledger may be on the disk that is full.
    #[test]
    fn what_can_not_be_written_is_known_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        let fill = |is_full: bool| {
            lock(&ledger.connection).pragma_update(None, "query_only", is_full).unwrap();
        };
        fill(true);
        assert!(ledger.record_data_loss(once("a".to_owned()), "why").is_err());
        assert_eq!(data_loss_of(&ledger, "a").as_deref(), Some("why"));
        fill(false);
        ledger.record(&[]).unwrap();
        drop(ledger);
        assert_eq!(data_loss_of(&Ledger::open(dir.path()).unwrap(), "a").as_deref(), Some("why"));
    }
}
