//! Access to the ledger for commands that must not create it.

use std::path::Path;

use crate::ledger::{Ledger, LedgerError, Result, schema};

impl Ledger {
    /// Checks that this user can use the ledger, or create it. Creates nothing.
    pub fn check(state_dir: &Path) -> Result<()> {
        let path = state_dir.join("ledger.sqlite");
        schema::check(&path).map_err(|cause| LedgerError { path, cause })
    }

    /// Opens the ledger. Returns `Ok(None)` if there is none yet, so that a command that needs one
    /// leaves nothing behind that belongs to another user than npyd's.
    pub fn open_existing(state_dir: &Path) -> Result<Option<Self>> {
        match Self::open_to_read(state_dir)? {
            Some(_) => Self::open(state_dir).map(Some),
            None => Ok(None),
        }
    }
}
