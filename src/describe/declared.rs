//! What somebody declared about raw bytes: the keys that manifests, templates and the options of
//! `npyd finalize` share.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use crate::describe::digest::Digest;
use crate::describe::dump::{DeclaredBy, Dump, LeadingBytes, Metadata, SidecarFacts};
use crate::model::FileName;
use crate::npy::{Dtype, DtypeError, Layout, Literal, Order};

/// The smallest region a header fits in.
const RESERVED_MIN: u64 = 64;

/// The declared keys, each valid by itself.
#[derive(Debug, Clone, Deserialize)]
pub struct Declared {
    /// The items' type.
    #[serde(deserialize_with = "dtype")]
    pub dtype: Dtype,
    /// Items along each axis; -1 where the file's size is to say it.
    #[serde(deserialize_with = "dims")]
    pub shape: Vec<i64>,
    /// Which axis varies slowest.
    #[serde(default, deserialize_with = "parsed")]
    pub order: Order,
    /// Bytes before the data.
    #[serde(default, deserialize_with = "bytes")]
    pub offset: u64,
    /// Bytes after the data.
    #[serde(default, deserialize_with = "bytes")]
    pub trailing: u64,
    /// Bytes at the front of the file kept free for the header.
    pub reserved: Option<Reserved>,
    /// The data file's name.
    pub data: Option<FileName>,
    /// The `.npy` file's name.
    pub output: Option<FileName>,
    /// What the data file's bytes must hash to.
    #[serde(default, deserialize_with = "optional_digest")]
    pub digest: Option<Digest>,
}

/// The size of a region kept free for the header: 64 bytes or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u64")]
pub struct Reserved(u64);

impl Reserved {
    /// The size.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for Reserved {
    type Error = String;

    fn try_from(bytes: u64) -> Result<Self, String> {
        if bytes < RESERVED_MIN {
            return Err(format!(
                "{bytes} reserved bytes are too few for a header: reserve 64 or more, best 128"
            ));
        }
        Ok(Reserved(bytes))
    }
}

impl FromStr for Reserved {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes: u64 =
            text.parse().map_err(|_| format!("`{text}` is not a number of bytes: write 128"))?;
        bytes.try_into()
    }
}

impl Declared {
    /// The dump these keys declare for the data file `data`, or which keys contradict each other.
    pub fn dump(
        self,
        kind: DeclaredBy,
        data: &FileName,
        metadata: Metadata,
    ) -> Result<Dump, String> {
        let layout =
            Layout::new(self.dtype, &self.shape, self.order).map_err(|error| error.to_string())?;
        let reserved = self.reserved.map(Reserved::bytes);
        let front = match reserved {
            None => LeadingBytes::Bare,
            Some(bytes) if self.offset != 0 && self.offset != bytes => {
                return Err(format!(
                    "offset = {} and reserved = {bytes} disagree: with reserved the data begin \
                     right behind it, so leave offset out",
                    self.offset
                ));
            }
            Some(bytes) => LeadingBytes::Reserved(bytes),
        };
        let dump = Dump {
            kind,
            layout,
            data_offset: reserved.unwrap_or(self.offset),
            trailing: self.trailing,
            front,
            marker: None,
            digest: self.digest,
            output: self.output.unwrap_or_else(|| data.as_npy()),
            metadata,
            warnings: Vec::new(),
            facts: SidecarFacts::default(),
        };
        match dump.least_file_len() {
            Some(_) => Ok(dump),
            None => {
                Err("offset, data and trailing together exceed 2^63 bytes: correct them".into())
            }
        }
    }
}

/// Items along each axis.
fn dims<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<i64>, D::Error> {
    Dims::deserialize(from).map(|Dims(dims)| dims)
}

/// A shape as it is written, for an error that says how.
#[derive(Debug, Clone)]
pub(crate) struct Dims(pub(crate) Vec<i64>);

impl<'de> Deserialize<'de> for Dims {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct DimsVisitor;

        impl<'de> Visitor<'de> for DimsVisitor {
            type Value = Dims;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of whole numbers such as [-1, 512, 512]")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Dims, A::Error> {
                let mut dims = Vec::new();
                while let Some(dim) = list.next_element::<serde_json::Value>()? {
                    let whole = dim.as_i64();
                    dims.push(whole.ok_or_else(|| {
                        de::Error::custom(format!("{dim} is not a whole number of items"))
                    })?);
                }
                Ok(Dims(dims))
            }
        }

        from.deserialize_seq(DimsVisitor)
    }
}

/// A number of bytes.
pub(crate) fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let written = serde_json::Value::deserialize(from)?;
    written.as_u64().ok_or_else(|| {
        de::Error::custom(format!("{written} is not a number of bytes: write 0 or more"))
    })
}

/// A type that is written as text, such as an [`Order`].
pub(crate) fn parsed<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    String::deserialize(from)?.parse().map_err(de::Error::custom)
}

pub(crate) fn optional_digest<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Digest>, D::Error> {
    parsed(from).map(Some)
}

/// A dtype: its text, or the list form of a structured one.
pub(crate) fn dtype<'de, D: Deserializer<'de>>(from: D) -> Result<Dtype, D::Error> {
    dtype_of(&LiteralValue::deserialize(from)?.0).map_err(de::Error::custom)
}

pub(crate) fn dtype_of(literal: &Literal) -> Result<Dtype, DtypeError> {
    match literal {
        Literal::Str(text) => Dtype::from_text(text),
        list => Dtype::from_literal(list),
    }
}

/// The texts, numbers and lists of TOML and JSON as the Python literal a header would hold.
pub(crate) struct LiteralValue(pub(crate) Literal);

impl<'de> Deserialize<'de> for LiteralValue {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct LiteralVisitor;

        impl<'de> Visitor<'de> for LiteralVisitor {
            type Value = LiteralValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a dtype such as \"<f4\", or the list of a structured dtype's fields")
            }

            fn visit_str<E>(self, text: &str) -> Result<LiteralValue, E> {
                Ok(LiteralValue(Literal::Str(text.to_owned())))
            }

            fn visit_i64<E>(self, number: i64) -> Result<LiteralValue, E> {
                Ok(LiteralValue(Literal::Int(number.into())))
            }

            fn visit_u64<E>(self, number: u64) -> Result<LiteralValue, E> {
                Ok(LiteralValue(Literal::Int(number.into())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<LiteralValue, A::Error> {
                let mut items = Vec::new();
                while let Some(LiteralValue(item)) = list.next_element()? {
                    items.push(item);
                }
                Ok(LiteralValue(Literal::List(items)))
            }
        }

        from.deserialize_any(LiteralVisitor)
    }
}
