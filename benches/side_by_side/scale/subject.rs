//! What there is more and more of.

use std::fmt::Write;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::scan::finish;
use crate::site::Site;
use crate::{Fallible, go_on};

/// The manifest of eight bytes.
pub(super) const MANIFEST: &str = "dtype = \"<u8\"\nshape = [1]\n";

/// A thing of which a daemon may meet many.
#[derive(Debug, Clone, Copy)]
pub(super) enum Subject {
    /// Files that can't be drops
    Names,
    /// Finished drops whose sources are kept
    Kept,
    /// Drops that wait for more data
    Waiting,
    /// Directories of a recursive drop directory
    Dirs,
    /// Drop directories
    DropDirs,
    /// Receipts in the ledger of files that are gone
    Receipts,
}

impl Subject {
    pub(super) const ALL: [Self; 6] = [
        Subject::Names,
        Subject::Kept,
        Subject::Waiting,
        Subject::Dirs,
        Subject::DropDirs,
        Subject::Receipts,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Subject::Names => "names that are no drops",
            Subject::Kept => "kept sources",
            Subject::Waiting => "waiting drops",
            Subject::Dirs => "directories",
            Subject::DropDirs => "drop directories",
            Subject::Receipts => "receipts in the ledger",
        }
    }

    /// Returns the numbers over three decades, of which the largest depends on the number of files.
    pub(super) fn numbers(self, files: u64) -> Vec<u64> {
        let largest = match self {
            Subject::DropDirs => files / 100,
            Subject::Receipts => files * 10,
            _ => files,
        };
        let mut numbers: Vec<_> = [1000, 100, 10, 1].map(|part| (largest / part).max(1)).into();
        numbers.dedup();
        numbers
    }

    /// Scans after which a daemon has found all.
    pub(super) fn scans(self, number: u64) -> usize {
        match self {
            Subject::DropDirs => number as usize,
            // The log that has the end of a scan also has a line for each drop that waits.
            Subject::Waiting => 0,
            _ => 1,
        }
    }

    /// The directory of a new drop, and that of its array.
    pub(super) fn new_drop_dirs(self) -> [&'static str; 2] {
        match self {
            Subject::Dirs | Subject::DropDirs => ["in/0", "out/0"],
            _ => ["in", "out"],
        }
    }

    /// Makes more of it, and returns the configuration for all of it.
    pub(super) fn grow(self, site: &Site, numbers: Range<u64>) -> Fallible<PathBuf> {
        let config = match self {
            Subject::Dirs => site.configure("recursive = true")?,
            Subject::DropDirs => many_drop_dirs(site, numbers.end)?,
            _ => site.configure("")?,
        };
        match self {
            Subject::Kept => finish(site, numbers, &config)?,
            Subject::Receipts => add_receipts(site, numbers, &config)?,
            _ => numbers.clone().try_for_each(|number| self.make(site, number))?,
        }
        if let Subject::Dirs = self {
            fs::create_dir_all(site.path("out/0"))?;
        }
        Ok(config)
    }

    /// Makes one of what consists of files or directories.
    fn make(self, site: &Site, number: u64) -> Fallible<()> {
        if number.is_multiple_of(1000) {
            go_on()?;
        }
        let path = |extension| site.path(format!("in/{number}{extension}"));
        match self {
            Subject::Names => fs::write(path(".log"), "x")?,
            Subject::Waiting => {
                fs::write(path(".raw.toml"), MANIFEST)?;
                fs::write(path(".raw"), "half")?;
            }
            Subject::Dirs => fs::create_dir(path(""))?,
            Subject::DropDirs => {
                fs::create_dir(path(""))?;
                fs::create_dir(site.path(format!("out/{number}")))?;
            }
            Subject::Kept | Subject::Receipts => {}
        }
        Ok(())
    }
}

/// Writes the configuration of drop directories that are all below `in`.
fn many_drop_dirs(site: &Site, count: u64) -> Fallible<PathBuf> {
    let path = |name: &str| site.path(name).display().to_string();
    let mut text = format!("state_dir = {:?}\n", path("state"));
    for number in 0..count {
        let [input, output] = ["in", "out"].map(|dir| path(&format!("{dir}/{number}")));
        write!(text, "\n[[drop]]\npath = {input:?}\noutput = {output:?}\n")?;
    }
    let config = site.path("npyd.toml");
    fs::write(&config, text)?;
    Ok(config)
}

/// Copies the receipt of one drop to as many rows of other sources.
fn add_receipts(site: &Site, numbers: Range<u64>, config: &Path) -> Fallible<()> {
    if numbers.start == 0 {
        finish(site, 0..1, config)?;
    }
    let text = fs::read_to_string(config)?;
    fs::write(config, format!("history_rows = 1000000000\n{text}"))?;
    let mut ledger = Connection::open(site.path("state/ledger.sqlite"))?;
    let rows = ledger.transaction()?;
    rows.execute(
        "WITH RECURSIVE numbers (number) AS
            (VALUES (?1) UNION ALL SELECT number + 1 FROM numbers WHERE number + 1 < ?2)
         INSERT INTO receipts (at, event, inbox, source_dir, source, output_dir, output, receipt,
            fingerprint, is_current)
         SELECT at, event, inbox, source_dir, 'gone-' || number || '.raw', output_dir,
            'gone-' || number || '.npy', receipt, fingerprint, 0
         FROM numbers, (SELECT * FROM receipts WHERE id = 1)",
        [numbers.start.cast_signed(), numbers.end.cast_signed()],
    )?;
    Ok(rows.commit()?)
}
