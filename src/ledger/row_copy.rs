//! Copies rows between two databases of the ledger.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::ledger::COLUMNS;

/// The columns of a table that are copied, and the key that orders its rows.
pub(crate) struct Table {
    name: &'static str,
    columns: &'static str,
    key: &'static str,
}

/// The receipts. Their copies get new ids, in the same order.
pub(crate) const RECEIPTS: Table = Table { name: "receipts", columns: COLUMNS, key: "id" };

/// All tables.
const TABLES: [Table; 5] = [
    RECEIPTS,
    Table { name: "lost", columns: "content, reason", key: "content" },
    Table { name: "requests", columns: "id, at, kind, inbox, source, options, target", key: "id" },
    Table { name: "reports", columns: "inbox, kind, at, count", key: "inbox" },
    Table { name: "declared", columns: "source, keys, at", key: "source" },
];

/// Copies the rows of a table. Returns their number, and the error that ended the reading early.
///
/// # Errors
///
/// Returns an error if a row can't be written.
pub(crate) fn copy_rows(
    from: &Connection,
    to: &Connection,
    Table { name, columns, key }: &Table,
) -> rusqlite::Result<(u64, Option<rusqlite::Error>)> {
    let count = columns.split(", ").count();
    let places = vec!["?"; count].join(", ");
    let mut insert =
        to.prepare(&format!("INSERT OR IGNORE INTO {name} ({columns}) VALUES ({places})"))?;
    let mut copied = 0;
    let mut copy = |row: &rusqlite::Row<'_>| {
        let values = (0..count).map(|at| row.get(at)).collect::<rusqlite::Result<Vec<Value>>>()?;
        insert.execute(params_from_iter(values))
    };
    let mut select = match from.prepare(&format!("SELECT {columns} FROM {name} ORDER BY {key}")) {
        Ok(select) => select,
        Err(error) => return Ok((0, Some(error))),
    };
    let mut rows = select.query([])?;
    loop {
        match rows.next() {
            Ok(Some(row)) => copy(row)?,
            Ok(None) => return Ok((copied, None)),
            Err(error) => return Ok((copied, Some(error))),
        };
        copied += 1;
    }
}

/// Copies all rows that can be read, in one transaction. Returns the number of receipts.
///
/// # Errors
///
/// Returns an error if a row can't be written.
pub(crate) fn copy_readable(from: &Connection, to: &Connection) -> rusqlite::Result<u64> {
    let transaction = to.unchecked_transaction()?;
    let mut receipts = 0;
    for table in &TABLES {
        let (copied, _) = copy_rows(from, to, table)?;
        if table.name == RECEIPTS.name {
            receipts = copied;
        }
    }
    transaction.commit()?;
    Ok(receipts)
}

/// Copies the receipts with ids above `after` that the other database lacks, in one transaction.
///
/// # Errors
///
/// Returns an error if a row can't be read or written.
pub(crate) fn copy_newer(from: &Connection, to: &Connection, after: i64) -> rusqlite::Result<()> {
    let transaction = to.unchecked_transaction()?;
    let count = COLUMNS.split(", ").count();
    let places = (1..=count).map(|at| format!("?{at}")).collect::<Vec<_>>().join(", ");
    let mut insert = to.prepare(&format!(
        "INSERT INTO receipts ({COLUMNS}) SELECT {places} WHERE NOT EXISTS
         (SELECT 1 FROM receipts WHERE at = ?1 AND source = ?4 AND receipt = ?6)"
    ))?;
    let mut select =
        from.prepare(&format!("SELECT {COLUMNS} FROM receipts WHERE id > ?1 ORDER BY id"))?;
    let mut rows = select.query([after])?;
    while let Some(row) = rows.next()? {
        let values = (0..count).map(|at| row.get(at)).collect::<rusqlite::Result<Vec<Value>>>()?;
        insert.execute(params_from_iter(values))?;
    }
    transaction.commit()
}
