//! Users of this machine, as far as its own files have them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::ledger::obstacle::user_name;

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The id.
    pub uid: u32,
    /// The name, or the id.
    pub name: String,
}

impl User {
    /// Returns the owner of the state directory: npyd's user, as far as that is known.
    #[must_use]
    pub fn of_state_dir(state_dir: &Path) -> Option<Self> {
        let uid = fs::metadata(state_dir).ok()?.uid();
        Some(User { uid, name: user_name(uid) })
    }

    /// Returns the user that has a name, or an id, in the accounts of this machine.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let uid = find_id(&accounts, name).or_else(|| name.parse().ok())?;
        Some(User { uid, name: name.to_owned() })
    }
}

/// Finds the id of a name in lines of the form `name:password:id:…`.
fn find_id(accounts: &str, name: &str) -> Option<u32> {
    let mut fields = accounts.lines().map(|line| line.split(':'));
    fields.find_map(|mut fields| (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_accounts() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\nbroken\nnpyd:x:994:994::/:/bin/false\n";
        assert_eq!(find_id(accounts, "npyd"), Some(994));
        for unknown in ["broken", "x", ""] {
            assert_eq!(find_id(accounts, unknown), None, "{unknown}");
        }
    }
}
