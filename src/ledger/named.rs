//! The receipts about files of a name, in whatever directory. Indexes lead to them, so that a
//! command finds them at once among millions.

use std::ffi::OsString;
use std::path::Path;

use rusqlite::{Connection, params};

use crate::ledger::history::entries;
use crate::ledger::row::HAS_PARTS;
use crate::ledger::stored_path::StoredPath;
use crate::ledger::{Entry, Ledger, Result};

/// Number of directories that are searched at once.
const DIRS_AT_ONCE: usize = 1000;

/// Maximum number of receipts that are read at once.
const PAGE: usize = 1000;

impl Ledger {
    /// Calls `see` with each receipt of a source or an array that has one of these names, and with
    /// each one of a drop with several data files, which may have any names. The oldest comes
    /// first.
    pub fn each_named(&self, names: &[OsString], mut see: impl FnMut(Entry)) -> Result<()> {
        for ids in self.ids_named(names)?.chunks(PAGE) {
            self.run(|db| entries(db, ids))?.into_iter().for_each(&mut see);
        }
        Ok(())
    }

    fn ids_named(&self, names: &[OsString]) -> Result<Vec<i64>> {
        let mut ids = Vec::new();
        for dirs in self.dir_ids_below(Path::new("/"))?.chunks(DIRS_AT_ONCE) {
            self.run(|db| dirs.iter().try_for_each(|dir| add_named(db, *dir, names, &mut ids)))?;
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }
}

/// Adds the ids of the receipts in a directory.
fn add_named(
    db: &Connection,
    dir: i64,
    names: &[OsString],
    ids: &mut Vec<i64>,
) -> rusqlite::Result<()> {
    let id = |row: &rusqlite::Row<'_>| row.get(0);
    for name in names {
        for condition in [
            "source_dir = ?1 AND source = ?2",
            "output_dir = ?1 AND substr(output, -24, 20) = substr(?2, -24, 20) AND output = ?2",
        ] {
            let mut select =
                db.prepare_cached(&format!("SELECT receipts.id FROM receipts WHERE {condition}"))?;
            for found in select.query_map(params![dir, StoredPath(name.as_ref())], id)? {
                ids.push(found?);
            }
        }
    }
    let mut select = db.prepare_cached(&format!(
        "SELECT receipts.id FROM receipts WHERE source_dir = ?1 AND {HAS_PARTS}"
    ))?;
    for found in select.query_map([dir], id)? {
        ids.push(found?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;
    use std::path::PathBuf;

    use super::*;
    use crate::decide::reason::Reason;
    use crate::events::receipt::Receipt;
    use crate::events::receipt_event::ReceiptEvent;

    /// Those that a search of all receipts finds, and no others but those of series.
    #[test]
    fn receipts_of_a_name() {
        let ledger = Ledger::in_memory().unwrap();
        let odd = PathBuf::from(std::ffi::OsStr::from_bytes(b"/in/\xff.raw"));
        let long = format!("{}.npy", "n".repeat(250));
        let mut receipts = Vec::new();
        for dir in 0..2 * DIRS_AT_ONCE / 3 {
            for (source, output) in [
                (format!("/in/{dir}/a.raw"), format!("/out/{dir}/a.npy")),
                (format!("/in/{dir}/b.raw"), format!("/out/{dir}/{long}")),
                (format!("/in/{dir}/a.npy"), format!("/in/{dir}/a.npy")),
            ] {
                receipts.push((PathBuf::from(source), Some(PathBuf::from(output))));
            }
        }
        receipts.push((odd, None));
        receipts.push(("/a.raw".into(), None));
        let receipts: Vec<_> = receipts
            .into_iter()
            .map(|(source, output)| {
                let event = ReceiptEvent::Finalized;
                let receipt = Receipt::without_output(event, "/in".into(), source, &Reason::Gone);
                (Receipt { output, ..receipt }, None)
            })
            .collect();
        ledger.record(&receipts).unwrap();
        let with_parts = 7;
        let sql =
            format!("UPDATE receipts SET receipt = '{{\"parts\":{{}}}}' WHERE id = {with_parts}");
        ledger.run(|db| db.execute_batch(&sql)).unwrap();

        let odd_name = std::ffi::OsStr::from_bytes(b"\xff.raw").to_os_string();
        for names in [
            vec!["a.raw".into()],
            vec!["a.npy".into()],
            vec![long.into(), odd_name],
            vec!["b.raw".into(), "a.raw".into()],
            vec!["raw".into()],
            vec![],
        ] {
            let (mut expected, mut found) = (Vec::new(), Vec::new());
            let is_one =
                |path: &PathBuf| path.file_name().is_some_and(|it| names.contains(&it.into()));
            ledger
                .for_each(|entry| {
                    let has_name =
                        is_one(&entry.source) || entry.output.as_ref().is_some_and(is_one);
                    expected.extend((has_name || entry.id == with_parts).then_some(entry.id));
                })
                .unwrap();
            ledger.each_named(&names, |entry| found.push(entry.id)).unwrap();
            assert_eq!(found, expected, "{names:?}");
        }
    }
}
