//! Copies rows between two databases of the ledger.

use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

use crate::ledger::dirs;
use crate::ledger::row::{COLUMNS, OF_SOURCE, Row};
use crate::ledger::stored_path::StoredPath;

/// The columns of a table that are copied, and the key that orders its rows.
pub(crate) struct Table {
    name: &'static str,
    columns: &'static str,
    key: &'static str,
}

/// All tables but those of the receipts. The requests of an older npyd may lack the last column.
pub(crate) const OTHER_TABLES: [Table; 6] = [
    Table { name: "lost", columns: "content, reason", key: "content" },
    Table { name: "requests", columns: "id, at, kind, inbox, source, options, target", key: "id" },
    Table { name: "reports", columns: "inbox, kind, at, count", key: "inbox" },
    Table { name: "declared", columns: "source, keys, at", key: "source" },
    Table { name: "changes", columns: "inbox, count", key: "inbox" },
    Table { name: "archives", columns: "path", key: "path" },
];

/// The number of rows that were copied, and the error that ended the reading early.
type Copied = (u64, Option<rusqlite::Error>);

/// Copies the rows of a table.
///
/// # Errors
///
/// Returns an error if a row can't be written.
pub(crate) fn copy_rows(
    from: &Connection,
    to: &Connection,
    Table { name, columns, key }: &Table,
) -> rusqlite::Result<Copied> {
    let count = columns.split(", ").count();
    let places = vec!["?"; count].join(", ");
    let mut insert =
        to.prepare(&format!("INSERT OR IGNORE INTO {name} ({columns}) VALUES ({places})"))?;
    let select =
        |columns: &str| from.prepare(&format!("SELECT {columns} FROM {name} ORDER BY {key}"));
    let select = select(columns).or_else(|_| select(&columns.replace("target", "''")));
    copy_each(select, |row| {
        let values = (0..count).map(|at| row.get(at)).collect::<rusqlite::Result<Vec<Value>>>()?;
        insert.execute(params_from_iter(values))
    })
}

/// Copies the receipts with ids above `after`. Their copies get new ids, in the same order.
///
/// # Errors
///
/// Returns an error if a row can't be written.
pub(crate) fn copy_receipts(
    from: &Connection,
    to: &Connection,
    after: i64,
) -> rusqlite::Result<Copied> {
    copy_each(select_receipts(from, after), |row| Row::read(row)?.insert(to))
}

fn select_receipts(from: &Connection, after: i64) -> rusqlite::Result<rusqlite::Statement<'_>> {
    let after_id = format!("receipts.id > {after} ORDER BY receipts.id");
    from.prepare(&format!("SELECT {COLUMNS} FROM receipts WHERE {after_id}"))
}

fn copy_each(
    select: rusqlite::Result<rusqlite::Statement<'_>>,
    mut copy: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<usize>,
) -> rusqlite::Result<Copied> {
    let mut copied = 0;
    let mut select = match select {
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
    let (receipts, _) = copy_receipts(from, to, 0)?;
    for table in &OTHER_TABLES {
        copy_rows(from, to, table)?;
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
    let mut find = to.prepare(&format!(
        "SELECT 1 FROM receipts WHERE {OF_SOURCE} AND at = ?3 AND event = ?4 AND receipt = ?5"
    ))?;
    let (_, error) = copy_each(select_receipts(from, after), |row| {
        let row = Row::read(row)?;
        let (dir, name) = dirs::split(&row.source);
        let is_known = find.exists(params![
            StoredPath(dir),
            StoredPath(name),
            row.at,
            row.event,
            row.receipt
        ])?;
        if is_known { Ok(0) } else { row.insert(to) }
    })?;
    error.map_or(Ok(()), Err)?;
    drop(find);
    transaction.commit()
}
