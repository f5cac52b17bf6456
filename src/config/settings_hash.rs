//! The settings hash: a hash of one `[[drop]]` table. Equal hashes mean equal settings.
//!
//! It covers the keys and values as the configuration spells them, so comments, the order of keys
//! and a new version of npyd do not change it. The ledger stores it with each receipt, because npyd
//! retries a rejected drop after its settings changed.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use toml::Value;
use xxhash_rust::xxh3::Xxh3;

/// Settings that can't change whether a drop is rejected, and are therefore left out.
const WITHOUT_EFFECT: [&str; 8] = [
    "archive",
    "mapped",
    "max_rate",
    "quiet",
    "remove_unproven",
    "rescan",
    "undescribed_after",
    "watch",
];

/// Returns the hash of those settings of a drop directory's table that can change whether a drop is
/// rejected. The hash includes the resolved path, because the table may contain a relative path.
pub(crate) fn settings_hash(path: &Path, table: &Value) -> u64 {
    let mut table = table.clone();
    if let Value::Table(table) = &mut table {
        table.retain(|key, _| !WITHOUT_EFFECT.contains(&key));
    }
    table_hash(path, &table)
}

/// Returns the hash of all settings of a drop directory's table.
pub(crate) fn table_hash(path: &Path, table: &Value) -> u64 {
    let mut hasher = Xxh3::new();
    add_bytes(&mut hasher, path.as_os_str().as_bytes());
    add(&mut hasher, table);
    hasher.digest()
}

fn add(hasher: &mut Xxh3, value: &Value) {
    hasher.update(value.type_str().as_bytes());
    match value {
        Value::Table(table) => {
            let mut keys: Vec<_> = table.iter().collect();
            keys.sort_unstable_by_key(|(key, _)| *key);
            add_len(hasher, keys.len());
            for (key, value) in keys {
                add_text(hasher, key);
                add(hasher, value);
            }
        }
        Value::Array(items) => {
            add_len(hasher, items.len());
            for item in items {
                add(hasher, item);
            }
        }
        Value::String(text) => add_text(hasher, text),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {
            add_text(hasher, &value.to_string());
        }
    }
}

/// Hashes a text. Its length comes first, so that different sequences of texts hash different
/// bytes.
fn add_text(hasher: &mut Xxh3, text: &str) {
    add_bytes(hasher, text.as_bytes());
}

fn add_bytes(hasher: &mut Xxh3, bytes: &[u8]) {
    add_len(hasher, bytes.len());
    hasher.update(bytes);
}

fn add_len(hasher: &mut Xxh3, len: usize) {
    hasher.update(&(len as u64).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(text: &str) -> u64 {
        let table: toml::Table = toml::from_str(text).unwrap();
        settings_hash(Path::new("/in"), &Value::Table(table))
    }

    #[test]
    fn only_settings_change_the_hash() {
        let first = hash("path = '/in'\nquiet = '2s'\n[[template]]\nmatch = '*'\nshape = [1, 2]\n");
        for same in [
            "quiet = \"2s\" # a comment\npath = '/in'\n[[template]]\nshape = [ 1, 2 ]\nmatch = '*'",
            "path = '/in'\nquiet = '2s'\ntemplate = [{ match = '*', shape = [1, 2] }]\n",
            "path = '/in'\nquiet = '3s'\narchive = 'x'\n[[template]]\nmatch = '*'\nshape = [1, 2]\n",
            "path = '/in'\n[[template]]\nmatch = '*'\nshape = [1, 2]\n",
            "undescribed_after = '1h'\npath = '/in'\nquiet = '2s'\n[[template]]\nmatch = '*'\n\
             shape = [1, 2]\n",
        ] {
            assert_eq!(hash(same), first, "{same}");
        }
        for other in [
            "path = '/in'\nallow_trailing = true\n[[template]]\nmatch = '*'\nshape = [1, 2]\n",
            "path = '/in'\nquiet = '2s'\n[[template]]\nmatch = '*'\nshape = [12]\n",
            "path = '/in'\nquiet = '2s'\n[[template]]\nmatch = '*'\nshape = [1]\n[[template]]\n",
        ] {
            assert_ne!(hash(other), first, "{other}");
        }
    }

    /// The ledger stores the hash, so it must not change between versions of npyd.
    #[test]
    fn the_hash_is_stable() {
        let text = "path = '/in'\nrecursive = true\nquiet = '2s'\n[[template]]\nmatch = '*.u16'\n\
            dtype = '<u2'\nshape = [-1, 512]\n";
        assert_eq!(hash(text), 0x47a8_120f_522a_b9f8);
    }
}
