//! Earlier arrays of a drop, from the receipts in the ledger.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rusqlite::{Connection, params};

use crate::decide::route::Route;
use crate::decide::source_identity::SourceIdentity;
use crate::events::receipt_event::ReceiptEvent;
use crate::events::source_fate::SourceFate;
use crate::ledger::row::{COLUMNS, OF_SOURCE, of_source};
use crate::ledger::row_kind::UNPROVEN;
use crate::ledger::{Entry, Ledger, Result};

/// Maximum number of receipts that are read, newest first.
const ROWS_READ_MAX: i64 = 10_000;

/// Maximum number of identities that are returned.
const IDENTITIES_MAX: usize = 1000;

/// The arrays that were made of one drop. A drop is identified by its path, for as long as its
/// source stays there: after npyd removed or archived the source, or made it the array, the next
/// file of that name is another drop.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Earlier {
    /// The identity of the source each time an array was made or found, newest first.
    pub identities: Vec<SourceIdentity>,
    /// How many times the array was made again.
    pub remakes: u32,
    /// The route of the data into the newest array.
    pub route: Option<Route>,
    /// When the receipt of the newest array was written.
    pub made_at: Option<SystemTime>,
    /// The path of the newest array.
    pub output: Option<PathBuf>,
    /// The path of the array of the receipt that was read last.
    last_read: Option<PathBuf>,
}

impl Ledger {
    /// Returns the earlier arrays of a drop. Receipts of older versions lack `source_fate`; they
    /// count only if they are about the inode `ino`.
    pub fn earlier_arrays(&self, source: &Path, ino: u64) -> Result<Earlier> {
        let mut earlier = Earlier::default();
        if !self.read_unsaved(|db| earlier.read(db, source, ino))? {
            self.run(|db| earlier.read(db, source, ino))?;
        }
        Ok(earlier)
    }
}

impl Earlier {
    /// Adds the receipts of a database, newest first. Returns whether it has one about another
    /// drop, as then are all older ones.
    pub(crate) fn read(
        &mut self,
        db: &Connection,
        source: &Path,
        ino: u64,
    ) -> rusqlite::Result<bool> {
        let mut statement = db.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM receipts WHERE {OF_SOURCE}
             AND event IN ('{}', '{}', '{}', '{UNPROVEN}') ORDER BY receipts.id DESC LIMIT ?3",
            ReceiptEvent::Finalized.as_str(),
            ReceiptEvent::Remade.as_str(),
            ReceiptEvent::Found.as_str()
        ))?;
        let [dir, name] = of_source(source);
        let mut rows = statement.query(params![dir, name, ROWS_READ_MAX])?;
        while let Some(row) = rows.next()? {
            let entry = Entry::from_row(row)?;
            let Some(identity) = entry.identity() else { continue };
            if !self.add(&entry, identity, ino) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Adds a receipt. Returns `false` if it is about another drop, as then are all older ones.
    fn add(&mut self, entry: &Entry, identity: SourceIdentity, ino: u64) -> bool {
        let receipt = entry.receipt_value();
        let is_same_drop = match receipt["source_fate"].as_str() {
            Some(fate) => SourceFate::from_name(fate).is_some_and(|fate| !fate.ends_drop()),
            None => identity.is_of_inode(ino),
        };
        if !is_same_drop {
            return false;
        }
        if self.output.is_none() {
            self.output.clone_from(&entry.output);
        }
        let event = ReceiptEvent::from_name(&entry.receipt_event());
        // With `on_change = "number"`, each array is a first one, under a name of its own.
        let is_numbered = event == Some(ReceiptEvent::Finalized)
            && entry.output.is_some()
            && self.last_read.is_some()
            && self.last_read != entry.output;
        self.last_read = entry.output.clone().or(self.last_read.take());
        self.remakes += u32::from(event == Some(ReceiptEvent::Remade) || is_numbered);
        // A later receipt only found the array.
        if event != Some(ReceiptEvent::Found) {
            let route = || receipt["route"].as_str().and_then(Route::from_name);
            self.route = self.route.or_else(route);
            self.made_at = self.made_at.or_else(|| entry.time());
        }
        if self.identities.len() < IDENTITIES_MAX && !self.identities.contains(&identity) {
            self.identities.push(identity);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::fingerprint::Fingerprint;
    use crate::decide::reason::Reason;
    use crate::events::receipt::Receipt;

    const SOURCE: &str = "/in/scan.raw";

    fn record(ledger: &Ledger, event: ReceiptEvent, fate: Option<SourceFate>, data: &str) {
        let mut receipt =
            Receipt::without_output(event, "/in".into(), SOURCE.into(), &Reason::Gone);
        receipt.source_fate = fate;
        let identity = SourceIdentity::parse(data);
        ledger.record(&[(receipt, Some(Fingerprint { settings_hash: 1, identity }))]).unwrap();
    }

    fn earlier(ledger: &Ledger, ino: u64) -> (Vec<String>, u32) {
        let Earlier { identities, remakes, .. } =
            ledger.earlier_arrays(Path::new(SOURCE), ino).unwrap();
        (identities.iter().map(ToString::to_string).collect(), remakes)
    }

    #[test]
    fn the_arrays_of_this_drop() {
        let ledger = Ledger::in_memory().unwrap();
        let kept = Some(SourceFate::Kept);
        record(&ledger, ReceiptEvent::Finalized, kept, "1:1:1:1");
        record(&ledger, ReceiptEvent::Remade, kept, "1:2:2:2");
        record(&ledger, ReceiptEvent::Rejected, None, "1:3:3:3");
        record(&ledger, ReceiptEvent::Remade, Some(SourceFate::Unproven), "2:4:4:4");
        record(&ledger, ReceiptEvent::Found, kept, "2:4:4:5 9:9:9:9 scan.raw.toml");
        let all = ["2:4:4:5 9:9:9:9 scan.raw.toml", "2:4:4:4", "1:2:2:2", "1:1:1:1"];
        assert_eq!(earlier(&ledger, 7), (all.map(str::to_owned).to_vec(), 2));
    }

    /// With `on_change = "number"`. An array that was deleted and made again counts once.
    #[test]
    fn each_further_name_is_a_remake() {
        let ledger = Ledger::in_memory().unwrap();
        for (output, data) in [("a", "1:1:1:1"), ("a-1", "1:2:2:2"), ("a-2", "1:3:3:3")] {
            for _ in 0..2 {
                let (event, gone) = (ReceiptEvent::Finalized, Reason::Gone);
                let receipt = Receipt::without_output(event, "/in".into(), SOURCE.into(), &gone);
                let output = Some(format!("/out/{output}.npy").into());
                let fate = Some(SourceFate::Kept);
                let receipt = Receipt { output, source_fate: fate, ..receipt };
                let identity = SourceIdentity::parse(data);
                ledger
                    .record(&[(receipt, Some(Fingerprint { settings_hash: 1, identity }))])
                    .unwrap();
            }
        }
        assert_eq!(earlier(&ledger, 1).1, 2);
    }

    #[test]
    fn the_route_is_that_of_the_receipt_of_the_array() {
        use ReceiptEvent as Is;
        for (receipts, expected) in [
            (&[(Is::Finalized, Route::Copy), (Is::Found, Route::InPlace)][..], "copy"),
            (&[(Is::Finalized, Route::Copy), (Is::Remade, Route::Reflink)], "reflink"),
            (&[(Is::Found, Route::InPlace)], ""),
        ] {
            let ledger = Ledger::in_memory().unwrap();
            for (event, route) in receipts {
                let gone = Reason::Gone;
                let receipt = Receipt::without_output(*event, "/in".into(), SOURCE.into(), &gone);
                let fate = Some(SourceFate::Unproven);
                let receipt = Receipt { route: Some(*route), source_fate: fate, ..receipt };
                let identity = SourceIdentity::parse("1:1:1:1");
                ledger
                    .record(&[(receipt, Some(Fingerprint { settings_hash: 1, identity }))])
                    .unwrap();
            }
            let route = ledger.earlier_arrays(Path::new(SOURCE), 1).unwrap().route;
            assert_eq!(route.map_or("", Route::as_str), expected, "{receipts:?}");
        }
    }

    #[test]
    fn another_drop_of_that_name() {
        for fate in [SourceFate::Removed, SourceFate::Archived, SourceFate::Array] {
            let ledger = Ledger::in_memory().unwrap();
            record(&ledger, ReceiptEvent::Remade, Some(SourceFate::Kept), "1:1:1:1");
            record(&ledger, ReceiptEvent::Remade, Some(fate), "1:2:2:2");
            assert_eq!(earlier(&ledger, 1), (Vec::new(), 0));
            record(&ledger, ReceiptEvent::Finalized, Some(SourceFate::Kept), "1:3:3:3");
            assert_eq!(earlier(&ledger, 1), (vec!["1:3:3:3".to_owned()], 0));
        }
    }

    #[test]
    fn receipts_that_say_nothing_of_the_source() {
        let ledger = Ledger::in_memory().unwrap();
        record(&ledger, ReceiptEvent::Finalized, None, "1:1:1:1");
        assert_eq!(earlier(&ledger, 1), (vec!["1:1:1:1".to_owned()], 0));
        assert_eq!(earlier(&ledger, 2), (Vec::new(), 0));
    }
}
