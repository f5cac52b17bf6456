//! The key of a source as the ledger stores it: the numbers of its text as bytes, because each
//! receipt has one. A text without that form, such as the key of a series, stays a text.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rusqlite::ToSql;
use rusqlite::types::{FromSqlError, FromSqlResult, ToSqlOutput, Value, ValueRef};

use crate::decide::fingerprint::Fingerprint;
use crate::decide::source_identity::SourceIdentity;

/// A key as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PackedKey(pub(crate) Value);

impl ToSql for PackedKey {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

/// Number of numbers in the identity of a file.
const NUMBERS: usize = 4;

impl PackedKey {
    /// Packs the text of a key. `name` is the name of the source, with which that of its
    /// description often begins.
    pub(crate) fn of(text: &str, name: &Path) -> Self {
        let name = name.as_os_str().as_bytes();
        let packed = Fingerprint::parse(text).and_then(|key| pack(&key, name));
        let is_exact =
            |packed: &Vec<u8>| unpack(packed, name).is_some_and(|key| key.to_string() == text);
        PackedKey(match packed.filter(is_exact) {
            Some(packed) => Value::Blob(packed),
            None => Value::Text(text.to_owned()),
        })
    }

    /// Returns the text of a stored key.
    pub(crate) fn text(stored: ValueRef<'_>, name: &Path) -> FromSqlResult<String> {
        match stored {
            ValueRef::Blob(packed) => unpack(packed, name.as_os_str().as_bytes())
                .map(|key| key.to_string())
                .ok_or(FromSqlError::InvalidType),
            stored => stored.as_str().map(str::to_owned),
        }
    }

    /// Returns a stored key, or the empty one if it is not one of this version.
    pub(crate) fn fingerprint(stored: ValueRef<'_>, name: &Path) -> FromSqlResult<Fingerprint> {
        match stored {
            ValueRef::Blob(packed) => {
                unpack(packed, name.as_os_str().as_bytes()).ok_or(FromSqlError::InvalidType)
            }
            stored => Ok(Fingerprint::parse(stored.as_str()?).unwrap_or_default()),
        }
    }
}

impl PackedKey {
    /// Returns whether a stored key is that of a source with a description of this name.
    pub(crate) fn has_sidecar(stored: ValueRef<'_>, name: &Path, sidecar: &str) -> bool {
        // Most keys end with something else, and are not unpacked.
        let shared = shared_length(name.as_os_str().as_bytes(), sidecar);
        let end = &sidecar.as_bytes()[usize::from(shared)..];
        if matches!(stored, ValueRef::Blob(packed) if !packed.ends_with(end)) {
            return false;
        }
        let key = Self::text(stored, name).ok().and_then(|text| Fingerprint::parse(&text));
        key.and_then(|key| key.identity.sidecar).is_some_and(|(name, _)| name == sidecar)
    }
}

/// Returns how many bytes the name of a description shares with the beginning of the source's.
fn shared_length(name: &[u8], sidecar: &str) -> u8 {
    let shared = name.iter().zip(sidecar.as_bytes()).take_while(|(a, b)| a == b).count();
    u8::try_from(shared).unwrap_or(u8::MAX)
}

fn pack(key: &Fingerprint, name: &[u8]) -> Option<Vec<u8>> {
    let mut packed = key.settings_hash.to_le_bytes().to_vec();
    pack_file(&key.identity.data, &mut packed)?;
    if let Some((sidecar, identity)) = &key.identity.sidecar {
        pack_file(identity, &mut packed)?;
        let shared = shared_length(name, sidecar);
        packed.push(shared);
        packed.extend(&sidecar.as_bytes()[usize::from(shared)..]);
    }
    Some(packed)
}

/// Packs `inode:size:mtime:ctime`.
fn pack_file(identity: &str, to: &mut Vec<u8>) -> Option<()> {
    let mut numbers = [0_i64; NUMBERS];
    let mut fields = identity.split(':');
    for number in &mut numbers {
        *number = fields.next()?.parse().ok()?;
    }
    numbers[3] = numbers[3].wrapping_sub(numbers[2]);
    for number in numbers {
        pack_number(number, to);
    }
    fields.next().is_none().then_some(())
}

fn unpack(mut packed: &[u8], name: &[u8]) -> Option<Fingerprint> {
    let (settings_hash, rest) = packed.split_first_chunk()?;
    packed = rest;
    let settings_hash = u64::from_le_bytes(*settings_hash);
    let data = unpack_file(&mut packed)?;
    let sidecar = if packed.is_empty() {
        None
    } else {
        let identity = unpack_file(&mut packed)?;
        let (shared, rest) = packed.split_first()?;
        let sidecar = [name.get(..usize::from(*shared))?, rest].concat();
        Some((String::from_utf8(sidecar).ok()?, identity))
    };
    Some(Fingerprint { settings_hash, identity: SourceIdentity { data, sidecar } })
}

fn unpack_file(packed: &mut &[u8]) -> Option<String> {
    let mut numbers = [0_i64; NUMBERS];
    for number in &mut numbers {
        *number = unpack_number(packed)?;
    }
    let [ino, size, mtime, ctime] = numbers;
    Some(format!("{ino}:{size}:{mtime}:{}", ctime.wrapping_add(mtime)))
}

/// Packs a number as a byte with its length, and that many bytes.
fn pack_number(number: i64, to: &mut Vec<u8>) {
    let bytes = number.to_le_bytes();
    let is_sign = |byte: &u8| *byte == if number < 0 { 0xff } else { 0 };
    let unsigned = bytes.iter().rposition(|byte| !is_sign(byte)).map_or(0, |at| at + 1);
    // One more byte if the highest one would change the sign.
    let has_sign = unsigned == 0 || (bytes[unsigned - 1] & 0x80 != 0) != (number < 0);
    let length = (unsigned + usize::from(has_sign)).min(bytes.len());
    to.push(u8::try_from(length).unwrap_or_default());
    to.extend(&bytes[..length]);
}

fn unpack_number(packed: &mut &[u8]) -> Option<i64> {
    let (length, rest) = packed.split_first()?;
    let length = usize::from(*length);
    let (number, rest) = rest.split_at_checked(length)?;
    *packed = rest;
    let sign = if number.last()? & 0x80 == 0 { 0 } else { 0xff };
    let mut bytes = [sign; 8];
    bytes.get_mut(..length)?.copy_from_slice(number);
    Some(i64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_read_again() {
        let name = Path::new("scan.raw");
        for (text, is_packed) in [
            ("00000000000feed5 7340039:1048576:1764444444123456789:1764444444123999999", true),
            ("00000000000feed5 1:2:3:4 5:6:7:8 scan.raw.toml", true),
            ("00000000000feed5 1:2:3:4 5:6:7:8 scan.toml", true),
            ("00000000000feed5 1:2:3:4 5:6:7:8 two words.toml", true),
            ("ffffffffffffffff 0:0:-1:-9223372036854775808", true),
            ("0000000000000001 9223372036854775807:127:128:-128", true),
            ("00000000000feed5 1:2:3:4:0123456789abcdef:0123456789abcdef", false),
            ("00000000000feed5 01:2:3:4", false),
            ("00000000000feed5 18446744073709551615:2:3:4", false),
            ("00000000000feed5 1:2:3", false),
            ("00000000000feed5 ", false),
            ("of a later version", false),
            ("", false),
        ] {
            let PackedKey(stored) = PackedKey::of(text, name);
            assert_eq!(matches!(stored, Value::Blob(_)), is_packed, "{text}");
            assert_eq!(PackedKey::text((&stored).into(), name).unwrap(), text);
            let key = PackedKey::fingerprint((&stored).into(), name).unwrap();
            assert_eq!(key, Fingerprint::parse(text).unwrap_or_default(), "{text}");
            let sidecar = Fingerprint::parse(text).and_then(|key| key.identity.sidecar);
            for other in ["scan.raw.toml", "scan.toml", "two words.toml", "toml", "scan.raw", ""] {
                let is_it = PackedKey::has_sidecar((&stored).into(), name, other);
                let expected = sidecar.as_ref().is_some_and(|(name, _)| name == other);
                assert_eq!(is_it, expected, "{text} {other}");
            }
        }
        let long = "n".repeat(255);
        for sidecar in [format!("{long}.toml"), long.clone(), "n".repeat(254)] {
            let text = format!("00000000000feed5 1:2:3:4 5:6:7:8 {sidecar}");
            let PackedKey(stored) = PackedKey::of(&text, Path::new(&long));
            assert!(matches!(stored, Value::Blob(_)));
            assert_eq!(PackedKey::text((&stored).into(), Path::new(&long)).unwrap(), text);
        }
        let broken = Value::Blob(vec![1, 2, 3]);
        assert!(PackedKey::text((&broken).into(), name).is_err());
    }
}
