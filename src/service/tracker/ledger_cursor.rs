//! Ledger cursor: reads the ledger's sources of one directory page by page, in the order of names.

use std::ffi::{OsStr, OsString};

use crate::ledger::{KnownSource, Ledger, LedgerError};
use crate::service::tracker::{Path, VecDeque};

/// A cursor over the sources that the ledger has for a directory, in the order of their names. It
/// reads pages because there may be very many, and because one query per name would take longer.
pub(crate) struct LedgerCursor<'a> {
    ledger: &'a Ledger,
    /// The path of the directory, with a slash at its end.
    prefix: OsString,
    page: VecDeque<KnownSource>,
    last: OsString,
    at_end: bool,
    /// Why the cursor ended early.
    pub(crate) failure: Option<LedgerError>,
}

impl<'a> LedgerCursor<'a> {
    /// Creates a cursor over the sources below `dir`.
    pub(crate) fn below(ledger: &'a Ledger, dir: &Path) -> Self {
        let prefix = dir.join("").into_os_string(); // with one slash at its end
        LedgerCursor {
            ledger,
            last: prefix.clone(),
            prefix,
            page: VecDeque::new(),
            at_end: false,
            failure: None,
        }
    }

    /// Returns what the ledger stores about a name. The names of successive calls must be sorted.
    pub(crate) fn find(&mut self, name: &OsStr) -> Option<KnownSource> {
        let mut source = self.prefix.clone();
        source.push(name);
        if let Ok(Some(known)) = self.ledger.known_unsaved(source.as_ref()) {
            return Some(known);
        }
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

    /// Reads the next page. A page without sources ends the cursor; so does an error.
    pub(crate) fn next_page(&mut self) {
        match self.ledger.settled_below(&self.prefix, &self.last) {
            Ok(page) => self.page.extend(page),
            Err(error) => self.failure = Some(error),
        }
        match self.page.back() {
            Some(settled) => self.last.clone_from(&settled.source),
            None => self.at_end = true,
        }
    }
}
