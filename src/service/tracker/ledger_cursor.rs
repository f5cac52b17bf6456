//! Reads what the ledger knows of one directory, page by page, in the order of names.

use std::ffi::OsStr;

use crate::ledger::{KnownSource, Ledger};
use crate::service::tracker::{Path, VecDeque};

/// What the ledger knows of a directory's files, in the order of their names, a page at a time:
/// it may be much, and a look-up for each name would take longer.
pub(crate) struct LedgerCursor<'a> {
    ledger: &'a Ledger,
    /// The directory's path, with a slash at its end.
    prefix: String,
    page: VecDeque<KnownSource>,
    last: String,
    at_end: bool,
}

impl<'a> LedgerCursor<'a> {
    pub(crate) fn below(ledger: &'a Ledger, dir: &Path) -> Self {
        let prefix = format!("{}/", dir.to_string_lossy().trim_end_matches('/'));
        LedgerCursor { ledger, last: prefix.clone(), prefix, page: VecDeque::new(), at_end: false }
    }

    /// What is known of a name; names must come in order.
    pub(crate) fn find(&mut self, name: &OsStr) -> Option<KnownSource> {
        let source = format!("{}{}", self.prefix, name.to_str()?);
        loop {
            if let Some(settled) = self.page.pop_front_if(|it| it.source <= source) {
                if settled.source == source {
                    return Some(settled);
                }
            } else if self.page.is_empty() && !self.at_end {
                self.next_page();
            } else {
                return None;
            }
        }
    }

    pub(crate) fn next_page(&mut self) {
        match self.ledger.settled_below(&self.prefix, &self.last) {
            Ok(page) => self.page.extend(page),
            Err(error) => tracing::warn!("{error}"),
        }
        match self.page.back() {
            Some(settled) => self.last.clone_from(&settled.source),
            None => self.at_end = true,
        }
    }
}
