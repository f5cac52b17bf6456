//! The fingerprint of a source: by it the ledger knows what a receipt is about.

use std::fmt;

use crate::decide::source_identity::SourceIdentity;

/// The key that the ledger stores with a receipt: the identity of the source, and the settings in
/// force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// Hash of the settings of the drop directory.
    pub settings_hash: u64,
    /// Identity of the files.
    pub identity: SourceIdentity,
}

impl Fingerprint {
    /// Parses the text form; `None` if it is empty or invalid.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (settings_hash, identity) = text.split_once(' ')?;
        let settings_hash = u64::from_str_radix(settings_hash, 16).ok()?;
        Some(Fingerprint { settings_hash, identity: SourceIdentity::parse(identity) })
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x} {}", self.settings_hash, self.identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_back() {
        for sidecar in [None, Some(("a name with spaces.toml".to_owned(), "5:6:7:8".to_owned()))] {
            let identity = SourceIdentity { data: "1:2:3:-4".to_owned(), sidecar };
            let fingerprint = Fingerprint { settings_hash: 0xfeed, identity };
            assert_eq!(Fingerprint::parse(&fingerprint.to_string()), Some(fingerprint));
        }
        assert_eq!(Fingerprint::parse(""), None);
    }
}
