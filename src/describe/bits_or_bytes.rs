//! Ambiguous dtypes: texts such as `u8`, whose number counts bytes for NumPy and bits for others.

use std::fmt;

/// A text that may count bits or bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ambiguous {
    /// The text.
    pub(crate) text: &'static str,
    /// What it means for NumPy, and for npyd.
    by_bytes: &'static str,
    /// The spelling that declares the other meaning.
    by_bits: &'static str,
}

const fn ambiguous(text: &'static str, by_bytes: &'static str, by_bits: &'static str) -> Ambiguous {
    Ambiguous { text, by_bytes, by_bits }
}

/// The ambiguous texts. All other numbers either count bits, as in `u16`, or bytes, as in `u2`.
pub(crate) static BY_BITS_OR_BYTES: [Ambiguous; 4] = [
    ambiguous("i8", "8 bytes (int64)", "int8"),
    ambiguous("u8", "8 bytes (uint64)", "uint8"),
    ambiguous("f16", "16 bytes (long double)", "float16"),
    ambiguous("c32", "32 bytes (complex long double)", "a pair of float16"),
];

/// A dtype whose text is ambiguous. Its text is the remark on how it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BitsOrBytes(&'static Ambiguous);

impl BitsOrBytes {
    /// Returns the dtype of this text if it is ambiguous.
    #[must_use]
    pub fn of(dtype: &str) -> Option<Self> {
        BY_BITS_OR_BYTES.iter().find(|it| it.text == dtype.trim()).map(BitsOrBytes)
    }
}

impl fmt::Display for BitsOrBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ambiguous { text, by_bytes, by_bits } = self.0;
        write!(f, "`{text}` is {by_bytes}, as in NumPy: for bits write {by_bits}, else `<{text}`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ambiguous_texts_have_a_remark() {
        let remark = BitsOrBytes::of("u8").unwrap().to_string();
        assert_eq!(
            remark,
            "`u8` is 8 bytes (uint64), as in NumPy: for bits write uint8, else `<u8`"
        );
        for text in ["u16", "u2", "u1", "<u8", "|u1", "f8", "c16", "uint8", "f4", "[('a','u8')]"] {
            assert_eq!(BitsOrBytes::of(text), None, "{text}");
        }
    }
}
