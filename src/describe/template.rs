//! Templates: descriptions in the configuration that apply to files by their name alone. They serve
//! instruments that always write the same frames, or that write the layout into the name.

use std::fmt;
use std::ops::Range;

use regex::Captures;
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use toml::Spanned;

use crate::describe::DescribeError;
use crate::describe::bits_or_bytes::{BY_BITS_OR_BYTES, BitsOrBytes};
use crate::describe::declared::{Declared, LiteralValue, Reserved, dtype_of, optional_digest};
use crate::describe::declared_by::DeclaredBy;
use crate::describe::digest::Digest;
use crate::describe::dump::Dump;
use crate::describe::name_pattern::NamePattern;
use crate::describe::template_fields::{Templated, has_placeholder};
use crate::describe::text::Metadata;
use crate::model::FileName;

use crate::npy::{Dtype, Literal, Order};

/// A template of the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    #[serde(rename = "match")]
    names: Spanned<Names>,
    marker: Option<Spanned<String>>,
    #[serde(deserialize_with = "dtype")]
    dtype: (Templated<Dtype>, Option<BitsOrBytes>),
    shape: Spanned<Dims>,
    #[serde(default = "default_order", deserialize_with = "order")]
    order: Templated<Order>,
    #[serde(default = "no_bytes", deserialize_with = "bytes")]
    offset: Templated<u64>,
    #[serde(default = "no_bytes", deserialize_with = "bytes")]
    trailing: Templated<u64>,
    reserved: Option<Reserved>,
    output: Option<Spanned<String>>,
    #[serde(default, deserialize_with = "optional_digest")]
    digest: Option<Digest>,
}

/// The file names that a template matches.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
struct Names(NamePattern);

/// The number of items along each axis.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
struct Dims(Vec<Dim>);

#[derive(Debug, Clone, Deserialize)]
struct Dim(#[serde(deserialize_with = "dim")] Templated<i64>);

/// Type names that count bits, as people write them into file names. NumPy has no other meaning for
/// them. The bytes are little-endian unless the template gives a byte order.
const BY_BITS: [(&str, &str); 10] = [
    ("i16", "i2"),
    ("u16", "u2"),
    ("i32", "i4"),
    ("u32", "u4"),
    ("i64", "i8"),
    ("u64", "u8"),
    ("f32", "f4"),
    ("f64", "f8"),
    ("c64", "c8"),
    ("c128", "c16"),
];

impl TryFrom<String> for Names {
    type Error = DescribeError;

    fn try_from(text: String) -> Result<Self, DescribeError> {
        if text.contains('/') {
            return Err(
                format!("`{text}` has a slash: `match` applies to file names, not paths").into()
            );
        }
        NamePattern::parse(&text).map(Names)
    }
}

impl Template {
    /// Checks the template.
    ///
    /// # Errors
    /// No file could satisfy the template. The error contains the place in the configuration.
    pub(crate) fn check(&self) -> Result<(), (Range<usize>, DescribeError)> {
        if let Some(marker) = &self.marker {
            let at = |error: DescribeError| (marker.span(), error);
            let Some(reserved) = self.reserved else {
                let error = "`marker` requires `reserved`: the marker is at the start of the reserved bytes";
                return Err(at(error.into()));
            };
            let len = marker.get_ref().len() as u64;
            if len == 0 || len > reserved.bytes() {
                let max = reserved.bytes();
                let error =
                    format!("marker must have 1 to {max} bytes, because reserved has {max}");
                return Err(at(error.into()));
            }
        }
        let groups = self.groups();
        if let Some(output) = &self.output
            && !has_placeholder(output.get_ref())
        {
            let error = "output would be the same for all files: add a placeholder such as {name}";
            return Err((output.span(), error.into()));
        }
        if let Some(output) = &self.output
            && ![".npy", "}"].iter().any(|end| output.get_ref().ends_with(end))
        {
            return Err((output.span(), "output must end in .npy".into()));
        }
        let (Names(names), has_groups) = (self.names.get_ref(), !groups.is_empty());
        let at_names = |error: String| Err((self.names.span(), error.into()));
        match groups.into_iter().find(|group| !names.has_group(group)) {
            Some(group) if names.is_regex() => {
                at_names(format!("it has no group (?<{group}>…) for `{{{group}}}`"))
            }
            Some(group) => at_names(format!(
                "`{{{group}}}` needs a regular expression with this group: begin `match` with ^"
            )),
            None if has_groups => Ok(()), // the values depend on the name
            None => {
                let at = |error: DescribeError| (self.shape.span(), error);
                let any = FileName::try_from("any".to_owned()).map_err(|error| at(error.into()))?;
                self.dump_with(&any, None).map(drop).map_err(at)
            }
        }
    }

    /// Returns the groups of the regular expression that the values depend on.
    fn groups(&self) -> Vec<&str> {
        let output =
            self.output.iter().flat_map(|output| Templated::<String>::groups_of(output.get_ref()));
        let mut groups: Vec<&str> = self.dtype.0.groups();
        groups.extend(self.shape.get_ref().0.iter().flat_map(|dim| dim.0.groups()));
        groups.extend(self.order.groups());
        groups.extend(self.offset.groups());
        groups.extend(self.trailing.groups());
        groups.extend(output);
        groups
    }

    /// Returns whether this template describes a file of this name.
    #[must_use]
    pub fn describes(&self, name: &str) -> bool {
        self.names.get_ref().0.matches(name)
    }

    /// Returns the dump that this template declares for a data file.
    ///
    /// # Errors
    /// A value from the file's name is not valid, or keys contradict each other.
    pub fn dump(&self, data: &FileName) -> Result<Dump, DescribeError> {
        let captures = self.names.get_ref().0.captures(data.as_str());
        self.dump_with(data, captures.as_ref())
    }

    fn dump_with(
        &self,
        data: &FileName,
        captures: Option<&Captures<'_>>,
    ) -> Result<Dump, DescribeError> {
        let number = |text: &str| {
            let error = || format!("`{text}` in its name is not a number of bytes").into();
            text.parse().map_err(|_| error())
        };
        let dim = |text: &str| {
            let error = || format!("`{text}` in its name is not a whole number of items").into();
            text.parse().map_err(|_| error())
        };
        let shape = &self.shape.get_ref().0;
        let output = self.output.as_ref().map(|output| {
            let output = Templated::Pattern(output.get_ref().clone());
            output.fill(captures, |text| Ok(FileName::try_from(text.to_owned())?))
        });
        let declared = Declared {
            dtype: self.dtype.0.fill(captures, type_by_name)?,
            shape: shape.iter().map(|it| it.0.fill(captures, dim)).collect::<Result<_, _>>()?,
            order: self.order.fill(captures, |text| Ok(text.parse::<Order>()?))?,
            offset: self.offset.fill(captures, number)?,
            trailing: self.trailing.fill(captures, number)?,
            reserved: self.reserved,
            data: None,
            output: output.transpose()?,
            digest: self.digest.clone(),
        };
        let dump = declared.dump(DeclaredBy::Template, data, Metadata::new())?;
        let marker = self.marker.as_ref().map(|marker| marker.get_ref().clone().into_bytes());
        Ok(Dump { marker, bits_or_bytes: self.dtype.1, ..dump })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.names.get_ref().0.as_str())
    }
}

/// Parses a type in a file's name: one of NumPy's names, or one that counts bits.
fn type_by_name(text: &str) -> Result<Dtype, DescribeError> {
    let code = text.trim_start_matches(['<', '>', '=', '|']);
    let order = &text[..text.len() - code.len()];
    if BY_BITS_OR_BYTES.iter().any(|it| it.text == code) {
        return Err(format!(
            "`{code}` in its name may count bits or bytes: add a template for such files before this \
             one, with a dtype such as \"|u1\" or \"<u8\""
        )
        .into());
    }
    let by_bits = BY_BITS.iter().find(|(name, _)| *name == code);
    let text = match (by_bits, order) {
        (Some((_, code)), "") => format!("<{code}"),
        (Some((_, code)), order) => format!("{order}{code}"),
        (None, _) => text.to_owned(),
    };
    Dtype::from_text(&text).map_err(DescribeError::from)
}

/// Parses a type, and how it is read if its text is ambiguous.
fn dtype<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<(Templated<Dtype>, Option<BitsOrBytes>), D::Error> {
    let LiteralValue(literal) = LiteralValue::deserialize(from)?;
    let ambiguous = match &literal {
        Literal::Str(text) => BitsOrBytes::of(text),
        _ => None,
    };
    let dtype = match literal {
        Literal::Str(text) if has_placeholder(&text) => Templated::Pattern(text),
        literal => dtype_of(&literal).map(Templated::Value).map_err(D::Error::custom)?,
    };
    Ok((dtype, ambiguous))
}

fn order<'de, D: Deserializer<'de>>(from: D) -> Result<Templated<Order>, D::Error> {
    let text = String::deserialize(from)?;
    match text {
        text if has_placeholder(&text) => Ok(Templated::Pattern(text)),
        text => text.parse().map(Templated::Value).map_err(D::Error::custom),
    }
}

fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Templated<u64>, D::Error> {
    Templated::number(from, |number| {
        let error = || format!("{number} is not a number of bytes: write 0 or more").into();
        number.try_into().map_err(|_| error())
    })
}

fn dim<'de, D: Deserializer<'de>>(from: D) -> Result<Templated<i64>, D::Error> {
    Templated::number(from, Ok)
}

fn default_order() -> Templated<Order> {
    Templated::Value(Order::C)
}

fn no_bytes() -> Templated<u64> {
    Templated::Value(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_that_counts_bits_or_bytes_is_not_guessed() {
        for text in ["u8", "i8", "f16", "c32", "<u8"] {
            assert!(
                type_by_name(text).unwrap_err().to_string().contains("bits or bytes"),
                "{text}"
            );
        }
        for (text, descr) in
            [("u16", "'<u2'"), (">f32", "'>f4'"), ("uint8", "'|u1'"), ("f8", "'<f8'")]
        {
            assert_eq!(type_by_name(text).unwrap().to_string(), descr);
        }
    }

    #[test]
    fn messages_about_a_name_are_sanitized() {
        let text = "match = '^(?<n>.*)$'\ndtype = '|u1'\nshape = [\"\\u001B[2J{n}\"]";
        let template: Template = toml::from_str(text).unwrap();
        let reason =
            template.dump(&FileName::try_from("x".to_owned()).unwrap()).unwrap_err().to_string();
        assert_eq!(reason, "`\\u{1b}[2Jx` in its name is not a whole number of items");
    }
}
