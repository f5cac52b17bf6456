//! Declared keys: the description that manifests, templates and the options of `npyd finalize`
//! share.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Unexpected, Visitor};

use crate::describe::DescribeError;
use crate::describe::data_names::DataNames;
use crate::describe::declared_by::DeclaredBy;
use crate::describe::digest::Digest;
use crate::describe::dump::{Division, Dump};
use crate::describe::leading_bytes::LeadingBytes;
use crate::describe::sidecar_facts::SidecarFacts;
use crate::describe::text::Metadata;
use crate::describe::text::json::whole_number;
use crate::describe::text::python_json;
use crate::model::FileName;
use crate::npy::{Dtype, DtypeError, Layout, Literal, Order};

/// Minimum size of a region for a header, in bytes.
const RESERVED_MIN: u64 = 64;

/// The declared keys, each valid by itself.
#[derive(Debug, Clone, Deserialize)]
pub struct Declared {
    /// The type of the items.
    #[serde(deserialize_with = "dtype")]
    pub dtype: Dtype,
    /// The number of items along each axis; -1 if it follows from the file's size.
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
    /// Bytes at the front of the file that are reserved for the header.
    pub reserved: Option<Reserved>,
    /// The names of the data files.
    pub data: Option<DataNames>,
    /// The `.npy` file's name.
    pub output: Option<FileName>,
    /// The digest that the data file must have.
    #[serde(default, deserialize_with = "optional_digest")]
    pub digest: Option<Digest>,
}

/// The size of a region that is reserved for the header: 64 bytes or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u64")]
pub struct Reserved(u64);

impl Reserved {
    /// Returns the size in bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for Reserved {
    type Error = DescribeError;

    fn try_from(bytes: u64) -> Result<Self, DescribeError> {
        if bytes < RESERVED_MIN {
            return Err(format!(
                "{bytes} reserved bytes are too few for a header: reserve at least 64, better 128"
            )
            .into());
        }
        Ok(Reserved(bytes))
    }
}

impl FromStr for Reserved {
    type Err = DescribeError;

    fn from_str(text: &str) -> Result<Self, DescribeError> {
        let bytes: u64 =
            text.parse().map_err(|_| format!("`{text}` is not a number of bytes: write 128"))?;
        bytes.try_into()
    }
}

impl Declared {
    /// Returns the dump that these keys declare for the data file `data`.
    ///
    /// # Errors
    /// Keys contradict each other, or the sizes are too large for a file.
    pub fn dump(
        self,
        kind: DeclaredBy,
        data: &FileName,
        metadata: Metadata,
    ) -> Result<Dump, DescribeError> {
        let layout = Layout::new(self.dtype, &self.shape, self.order)?;
        let division = match &self.data {
            None | Some(DataNames::One(_)) => Division::EqualShares,
            Some(DataNames::List(_)) => Division::FullFiles { is_glob: false },
            Some(DataNames::Matching(_)) => Division::FullFiles { is_glob: true },
        };
        let reserved = self.reserved.map(Reserved::bytes);
        if reserved.is_some() && division != Division::EqualShares {
            return Err("`reserved` needs one data file, but `data` may name several: write \
                        `offset` for the bytes before the data in each of them"
                .into());
        }
        let front = match reserved {
            None => LeadingBytes::Bare,
            Some(bytes) if self.offset != 0 && self.offset != bytes => {
                let (option, equals) = match kind {
                    DeclaredBy::Options => ("--", ""),
                    _ => ("", "= "),
                };
                return Err(format!(
                    "{option}offset {equals}{} contradicts {option}reserved {equals}{bytes}: the \
                     data begin right after the reserved bytes, so leave {option}offset out",
                    self.offset
                )
                .into());
            }
            Some(bytes) => LeadingBytes::Reserved(bytes),
        };
        let dump = Dump {
            kind,
            layout,
            division,
            data_offset: reserved.unwrap_or(self.offset),
            trailing: self.trailing,
            front,
            marker: None,
            digest: self.digest,
            output: self.output.unwrap_or_else(|| data.as_npy()),
            metadata,
            warnings: Vec::new(),
            bits_or_bytes: None,
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

/// Deserializes the number of items along each axis.
fn dims<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<i64>, D::Error> {
    Dims::deserialize(from).map(|Dims(dims)| dims)
}

/// A shape as TOML and JSON spell it, with an error that shows how to write one.
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
                    let whole = dim.as_i64().or_else(|| whole_number(&dim));
                    dims.push(whole.ok_or_else(|| {
                        de::Error::custom(format!("{dim} is not a whole number of items"))
                    })?);
                }
                Ok(Dims(dims))
            }

            /// A tuple or list in Python's notation, also with scalars of NumPy.
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Dims, E> {
                let wrong = || E::invalid_value(Unexpected::Str(text), &self);
                let items = match Literal::parse(text) {
                    Ok(Literal::Tuple(items) | Literal::List(items)) => items,
                    Ok(_) => return Err(wrong()),
                    Err(_) => {
                        let dims = serde_json::from_str(&python_json::to_json(text));
                        return dims.map(Dims).map_err(|_| wrong());
                    }
                };
                let dim = |item: &Literal| match item {
                    Literal::Int(dim) => i64::try_from(*dim).ok(),
                    _ => None,
                };
                items.iter().map(dim).collect::<Option<_>>().map(Dims).ok_or_else(wrong)
            }
        }

        from.deserialize_any(DimsVisitor)
    }
}

/// Deserializes a number of bytes.
pub(crate) fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let written = serde_json::Value::deserialize(from)?;
    written.as_u64().ok_or_else(|| {
        de::Error::custom(format!("{written} is not a number of bytes: write 0 or more"))
    })
}

/// Deserializes a value that is written as text, such as an [`Order`].
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

/// Deserializes a dtype: its text, or the list form of a structured dtype.
pub(crate) fn dtype<'de, D: Deserializer<'de>>(from: D) -> Result<Dtype, D::Error> {
    dtype_of(&LiteralValue::deserialize(from)?.0).map_err(de::Error::custom)
}

pub(crate) fn dtype_of(literal: &Literal) -> Result<Dtype, DtypeError> {
    match literal {
        Literal::Str(text) => Dtype::from_text(text),
        list => Dtype::from_literal(list),
    }
}

/// A text, number or list of TOML or JSON, converted to the Python literal that a header contains.
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
