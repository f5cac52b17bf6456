//! Access to the ledger for commands that must not create it.

use std::path::Path;

use crate::ledger::obstacle::lacks_space;
use crate::ledger::{Ledger, LedgerError, Result, schema};

impl Ledger {
    /// Checks that this user can use the ledger, or create it. Creates nothing.
    pub fn check(state_dir: &Path) -> Result<()> {
        let path = state_dir.join("ledger.sqlite");
        schema::check(&path).map_err(|cause| LedgerError::new(&path, cause))?;
        if lacks_space(&path) { Err(LedgerError::full(&path)) } else { Ok(()) }
    }

    /// Opens the ledger. If there is none yet, returns an empty one in memory: a new file would
    /// belong to the user of this command, and npyd could not write to it.
    pub fn open_without_creating(state_dir: &Path) -> Result<Self> {
        match Self::open_to_read(state_dir)? {
            Some(_) => Self::open(state_dir),
            None => Self::in_memory(),
        }
    }
}
