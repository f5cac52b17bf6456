//! Python literals, in which the dict of a header is written.
//!
//! The parser accepts the part of Python's `ast.literal_eval` that headers can contain: strings,
//! bytes, numbers, `True`, `False`, `None`, tuples, lists and dicts.

use std::fmt;

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

use crate::literal_parser::read;

/// A Python literal.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// `None`
    None,
    /// `True` or `False`
    Bool(bool),
    /// A whole number of at most 128 bits; the parser rejects larger ones.
    Int(i128),
    /// A number with a decimal point or an exponent.
    Float(f64),
    /// A string.
    Str(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// `(a, b)`
    Tuple(Vec<Literal>),
    /// `[a, b]`
    List(Vec<Literal>),
    /// `{a: b}`
    Dict(Vec<(Literal, Literal)>),
}

/// Why a text is not a literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiteralError {
    /// Place of the error, in bytes from the start.
    pub(crate) at: usize,
    pub(crate) line: usize,
    pub(crate) what: String,
}

impl fmt::Display for LiteralError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}", self.at)?;
        if self.line > 1 {
            write!(f, ", line {}", self.line)?;
        }
        write!(f, ": {}", self.what)
    }
}

impl std::error::Error for LiteralError {}

impl Literal {
    /// Returns whether the literal can be a key of a dict.
    pub(crate) fn is_hashable(&self) -> bool {
        match self {
            Literal::List(_) | Literal::Dict(_) => false,
            Literal::Tuple(items) => items.iter().all(Literal::is_hashable),
            _ => true,
        }
    }

    /// Parses a text that consists of one literal.
    pub fn parse(text: &str) -> Result<Self, LiteralError> {
        read(text, false)
    }

    /// Parses a text that consists of one literal. Accepts the suffix `L`, which Python 2 appended
    /// to long numbers.
    pub fn parse_python2(text: &str) -> Result<Self, LiteralError> {
        read(text, true)
    }
}

/// Implements Python's `str.isprintable` for one character: the blank, and all characters that are
/// neither separators nor invisible.
fn is_printable(c: char) -> bool {
    let group = c.general_category_group();
    c == ' ' || !matches!(group, GeneralCategoryGroup::Other | GeneralCategoryGroup::Separator)
}

/// Writes the literal in the form of Python's `repr`.
impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Literal::None => f.write_str("None"),
            Literal::Bool(true) => f.write_str("True"),
            Literal::Bool(false) => f.write_str("False"),
            Literal::Int(number) => write!(f, "{number}"),
            Literal::Float(number) => write!(f, "{number:?}"),
            Literal::Str(text) => write_text(f, text),
            Literal::Bytes(bytes) => {
                f.write_str("b")?;
                write_quoted(f, bytes.iter().map(|byte| char::from(*byte)), char::is_ascii)
            }
            Literal::Tuple(items) => {
                write_items(f, "(", items)?;
                f.write_str(if items.len() == 1 { ",)" } else { ")" })
            }
            Literal::List(items) => {
                write_items(f, "[", items)?;
                f.write_str("]")
            }
            Literal::Dict(items) => {
                f.write_str("{")?;
                for (at, (key, value)) in items.iter().enumerate() {
                    write!(f, "{}{key}: {value}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str("}")
            }
        }
    }
}

fn write_items(f: &mut fmt::Formatter<'_>, open: &str, items: &[Literal]) -> fmt::Result {
    f.write_str(open)?;
    for (at, item) in items.iter().enumerate() {
        write!(f, "{}{item}", if at == 0 { "" } else { ", " })?;
    }
    Ok(())
}

fn write_text(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    write_quoted(f, text.chars(), |_| true)
}

/// Writes a quoted string. It uses single quotes, unless the text contains single and no double
/// quotes. `plain` decides which printable characters need no escape.
fn write_quoted(
    f: &mut fmt::Formatter<'_>,
    text: impl Iterator<Item = char> + Clone,
    plain: impl Fn(&char) -> bool,
) -> fmt::Result {
    let has = |quote| text.clone().any(|c| c == quote);
    let quote = if has('\'') && !has('"') { '"' } else { '\'' };
    write!(f, "{quote}")?;
    for c in text {
        match c {
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            c if c == quote => write!(f, "\\{c}")?,
            c if is_printable(c) && plain(&c) => write!(f, "{c}")?,
            c if (c as u32) < 0x100 => write!(f, "\\x{:02x}", c as u32)?,
            c if (c as u32) < 0x1_0000 => write!(f, "\\u{:04x}", c as u32)?,
            c => write!(f, "\\U{:08x}", c as u32)?,
        }
    }
    write!(f, "{quote}")
}
