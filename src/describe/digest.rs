//! Digests: hashes of a data file that its producer wrote down.

use crate::describe::DescribeError;
use std::fmt;
use std::str::FromStr;

use sha2::Digest as _;
use thiserror::Error;

/// A digest, in the form of a manifest: `algorithm:hexadecimal`.
///
/// Known algorithms: `sha256`, `sha512`, `sha1`, `md5`, `blake3` (32 bytes), `xxh3` (64 bits, seed
/// 0, big-endian hexadecimal as `xxhsum -H3` prints it) and `crc32c` (Castagnoli, as RFC 3720
/// appendix B.4 defines it, printed as a 32-bit hexadecimal number).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    algorithm: Algorithm,
    value: Vec<u8>,
}

/// The data have another digest than the declared one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "the data have the digest {found}, but {declared} was declared: drop the data again, or correct the digest"
)]
pub struct DigestMismatch {
    /// The digest of the data.
    pub found: Digest,
    /// The declared digest.
    pub declared: Digest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Sha256,
    Sha512,
    Sha1,
    Md5,
    Blake3,
    Xxh3,
    Crc32c,
}

/// All algorithms, with their names in a manifest and their lengths in bytes.
const ALGORITHMS: [(&str, Algorithm, usize); 7] = [
    ("sha256", Algorithm::Sha256, 32),
    ("sha512", Algorithm::Sha512, 64),
    ("sha1", Algorithm::Sha1, 20),
    ("md5", Algorithm::Md5, 16),
    ("blake3", Algorithm::Blake3, 32),
    ("xxh3", Algorithm::Xxh3, 8),
    ("crc32c", Algorithm::Crc32c, 4),
];

impl Digest {
    /// Returns a hasher for this digest's algorithm.
    #[must_use]
    pub fn hasher(&self) -> Hasher {
        match self.algorithm {
            Algorithm::Sha256 => Hasher::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => Hasher::Sha512(sha2::Sha512::new()),
            Algorithm::Sha1 => Hasher::Sha1(sha1::Sha1::new()),
            Algorithm::Md5 => Hasher::Md5(md5::Md5::new()),
            Algorithm::Blake3 => Hasher::Blake3(Box::default()),
            Algorithm::Xxh3 => Hasher::Xxh3(Box::default()),
            Algorithm::Crc32c => Hasher::Crc32c(0),
        }
    }

    /// Compares the digest with the result of `hasher`.
    ///
    /// # Errors
    /// They differ.
    pub fn verify(&self, hasher: Hasher) -> Result<(), DigestMismatch> {
        let found = Digest { algorithm: self.algorithm, value: hasher.finish() };
        if found.value == self.value {
            Ok(())
        } else {
            Err(DigestMismatch { found, declared: self.clone() })
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = ALGORITHMS.iter().find(|(_, algorithm, _)| *algorithm == self.algorithm);
        write!(f, "{}:", name.map_or("", |(name, ..)| name))?;
        self.value.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Digest {
    type Err = DescribeError;

    fn from_str(text: &str) -> Result<Self, DescribeError> {
        let (name, hex) = text
            .split_once(':')
            .ok_or_else(|| format!("`{text}` is not a digest: write `algorithm:hexadecimal`"))?;
        let &(_, algorithm, len) = ALGORITHMS
            .iter()
            .find(|(known, ..)| *known == name)
            .ok_or_else(|| format!("`{name}` is not a known digest: use {}", known_names()))?;
        let value = from_hex(hex).filter(|value| value.len() == len).ok_or_else(|| {
            format!("a {name} digest has {} hexadecimal digits, not `{hex}`", 2 * len)
        })?;
        Ok(Digest { algorithm, value })
    }
}

fn known_names() -> String {
    ALGORITHMS.map(|(name, ..)| name).join(", ")
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() {
        return None;
    }
    text.as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                u8::try_from(digit(high)? * 16 + digit(low)?).ok()
            }
            _ => None,
        })
        .collect()
}

/// The state of a digest calculation.
pub enum Hasher {
    /// SHA-256 (FIPS 180-4).
    Sha256(sha2::Sha256),
    /// SHA-512 (FIPS 180-4).
    Sha512(sha2::Sha512),
    /// SHA-1 (FIPS 180-4).
    Sha1(sha1::Sha1),
    /// MD5 (RFC 1321).
    Md5(md5::Md5),
    /// BLAKE3.
    Blake3(Box<blake3::Hasher>),
    /// XXH3, 64 bits.
    Xxh3(Box<xxhash_rust::xxh3::Xxh3>),
    /// CRC-32C (RFC 3720).
    Crc32c(u32),
}

impl Hasher {
    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Hasher::Sha256(state) => state.update(bytes),
            Hasher::Sha512(state) => state.update(bytes),
            Hasher::Sha1(state) => state.update(bytes),
            Hasher::Md5(state) => state.update(bytes),
            Hasher::Blake3(state) => {
                state.update(bytes);
            }
            Hasher::Xxh3(state) => state.update(bytes),
            Hasher::Crc32c(state) => *state = crc32c::crc32c_append(*state, bytes),
        }
    }

    fn finish(self) -> Vec<u8> {
        match self {
            Hasher::Sha256(state) => state.finalize().to_vec(),
            Hasher::Sha512(state) => state.finalize().to_vec(),
            Hasher::Sha1(state) => state.finalize().to_vec(),
            Hasher::Md5(state) => state.finalize().to_vec(),
            Hasher::Blake3(state) => state.finalize().as_bytes().to_vec(),
            Hasher::Xxh3(state) => state.digest().to_be_bytes().to_vec(),
            Hasher::Crc32c(state) => state.to_be_bytes().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digests of the nine bytes `123456789`, each from the algorithm's own command or RFC.
    #[test]
    fn known_values() {
        for text in [
            "sha256:15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
            "sha1:f7c3bc1d808e04732adf679965ccc34ca7ae3441",
            "md5:25f9e794323b453885f5181f1b624d0b",
            "crc32c:e3069283",
        ] {
            let digest: Digest = text.parse().unwrap();
            assert_eq!(digest.to_string(), text);
            let mut hasher = digest.hasher();
            hasher.update(b"1234");
            hasher.update(b"56789");
            assert_eq!(digest.verify(hasher), Ok(()), "{text}");
            let message = digest.verify(digest.hasher()).unwrap_err().to_string();
            assert!(message.contains(text), "{message}");
        }
    }

    #[test]
    fn invalid_digests_are_rejected() {
        for text in ["", "sha256", "sha3:00", "md5:zz", "crc32c:e306928", "crc32c:é069283"] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }
}
