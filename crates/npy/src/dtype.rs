//! Dtypes: all NumPy types whose items are plain bytes, which excludes Python objects.
//!
//! A dtype is stored in the form of its `descr`: a type string, or the fields of a structured dtype
//! with explicit padding (`numpy.lib.format.dtype_to_descr` and `descr_to_dtype`).

use std::fmt;

use thiserror::Error;

use crate::dtype_names::{LETTERS, NAMES};
use crate::dtype_spelling;
use crate::literal::Literal;
use crate::sanitize::sanitize;
use crate::shape::{AXES_MAX, write_tuple};

/// Maximum size of an item, in bytes, because NumPy stores the size as a C int.
const ITEMSIZE_MAX: u64 = i32::MAX as u64;

/// Maximum nesting depth of structured dtypes.
const DEPTH_MAX: usize = 64;

/// A NumPy dtype without objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dtype(Form);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    /// A type string in the form of `dtype.str`, and the item's size in bytes.
    Plain { text: String, itemsize: u64 },
    /// Fields in the order of their offsets.
    Struct { fields: Vec<Field>, itemsize: u64 },
    /// A subarray. Only a field can have this form.
    Sub { base: Box<Dtype>, shape: Vec<u64>, itemsize: u64 },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Field {
    Named {
        title: Option<String>,
        name: String,
        dtype: Dtype,
    },
    /// A number of bytes without meaning.
    Padding(u64),
}

/// Why a text or literal is not a dtype.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct DtypeError(String);

type Result<T> = std::result::Result<T, DtypeError>;

impl DtypeError {
    fn new(what: impl Into<String>) -> Self {
        DtypeError(sanitize(&what.into()))
    }
}

fn error<T>(what: impl Into<String>) -> Result<T> {
    Err(DtypeError::new(what))
}

impl Dtype {
    /// Parses a dtype as people write it: a type string (`"<f4"`, `"float32"`, `"M8[25s]"`,
    /// `"f4,(2,3)u1"`), the literal of a header (`"[('a','<i2'),('b','<f4',(3,))]"`), the text that
    /// NumPy prints for an aligned dtype, or a spelling of `dtype_spelling`. The byte order
    /// defaults to that of this machine.
    pub fn from_text(text: &str) -> Result<Self> {
        Self::from_numpy_text(text).or_else(|why| match dtype_spelling::respell(text) {
            Some(text) => Self::from_numpy_text(&text),
            None => Err(why),
        })
    }

    /// Parses a dtype that NumPy itself parses or prints.
    fn from_numpy_text(text: &str) -> Result<Self> {
        if text.trim_start().starts_with(['[', '\'', '"', '{']) {
            let literal =
                Literal::parse(text).map_err(|why| DtypeError::new(format!("`{text}`: {why}")))?;
            return match &literal {
                Literal::Dict(keys) => from_dict(keys),
                descr => Self::from_literal(descr),
            };
        }
        Self::without_subarray(type_string(text)?)
    }

    /// Converts the `descr` of a header: a type string, or a list of fields.
    pub fn from_literal(descr: &Literal) -> Result<Self> {
        Self::without_subarray(from_descr(descr, 0)?)
    }

    /// Rejects a subarray outside of a field.
    fn without_subarray(dtype: Dtype) -> Result<Self> {
        match dtype.0 {
            Form::Sub { .. } => {
                error(format!("each item of {dtype} is an array: append its axes to the shape"))
            }
            _ => Ok(dtype),
        }
    }

    /// Returns the size of an item in bytes.
    #[must_use]
    pub fn itemsize(&self) -> u64 {
        match &self.0 {
            Form::Plain { itemsize, .. }
            | Form::Struct { itemsize, .. }
            | Form::Sub { itemsize, .. } => *itemsize,
        }
    }

    fn plain(text: String, itemsize: u64) -> Result<Self> {
        if itemsize > ITEMSIZE_MAX {
            return error(format!(
                "an item of '{text}' would have {itemsize} bytes; NumPy's limit is 2^31 - 1"
            ));
        }
        Ok(Dtype(Form::Plain { text, itemsize }))
    }

    fn structure(fields: Vec<Field>) -> Result<Self> {
        let sizes = fields.iter().map(|field| match field {
            Field::Named { dtype, .. } => dtype.itemsize(),
            Field::Padding(bytes) => *bytes,
        });
        let itemsize: u64 = sizes.sum(); // each is below 2^31, and their number far below 2^32
        if itemsize > ITEMSIZE_MAX {
            return error(format!(
                "an item would have {itemsize} bytes; NumPy's limit is 2^31 - 1"
            ));
        }
        Ok(Dtype(Form::Struct { fields: merged(fields), itemsize }))
    }

    fn sub(base: Dtype, shape: Vec<u64>) -> Result<Self> {
        if shape.is_empty() {
            return Ok(base);
        }
        // NumPy reads the 5 of `('a', 'S', 5)` as a length and rejects similar fields, so no
        // reader could load them.
        if base.itemsize() == 0 && !matches!(base.0, Form::Struct { .. }) {
            return error(format!(
                "{base} has no bytes to repeat: write the length into the type, as in 'S5'"
            ));
        }
        if shape.len() > AXES_MAX {
            return error(format!("a field may have {AXES_MAX} axes, not {}", shape.len()));
        }
        // NumPy also limits the number of elements, even if they have no bytes.
        let product = |of: u64| {
            let product = shape.iter().try_fold(of, |product, dim| product.checked_mul(*dim));
            product.filter(|product| *product <= ITEMSIZE_MAX)
        };
        match (product(1), product(base.itemsize())) {
            (Some(_), Some(itemsize)) => {
                Ok(Dtype(Form::Sub { base: Box::new(base), shape, itemsize }))
            }
            _ => error("an item would have more than 2^31 - 1 bytes, NumPy's limit".to_owned()),
        }
    }
}

/// Merges adjacent paddings and removes empty ones, because NumPy does so when it prints a dtype.
fn merged(fields: Vec<Field>) -> Vec<Field> {
    let mut merged: Vec<Field> = Vec::with_capacity(fields.len());
    for field in fields {
        match (merged.last_mut(), field) {
            (_, Field::Padding(0)) => {}
            (Some(Field::Padding(before)), Field::Padding(bytes)) => *before += bytes,
            (_, field) => merged.push(field),
        }
    }
    merged
}

/// Implements `numpy.lib.format.descr_to_dtype`.
fn from_descr(descr: &Literal, depth: usize) -> Result<Dtype> {
    if depth > DEPTH_MAX {
        return error(format!("the dtype is nested deeper than {DEPTH_MAX}"));
    }
    match descr {
        Literal::Str(text) => type_string(text),
        Literal::Tuple(pair) => match &pair[..] {
            [base, shape] => Dtype::sub(from_descr(base, depth + 1)?, subshape(shape)?),
            _ => error(format!("{descr} is neither a type nor a type with a shape")),
        },
        Literal::List(fields) => {
            let fields: Vec<Field> =
                fields.iter().map(|field| field_of(field, depth)).collect::<Result<_>>()?;
            check_names(&fields)?;
            Dtype::structure(fields)
        }
        _ => error(format!("{descr} is not a dtype: write \"<f4\" or a list of fields")),
    }
}

fn field_of(field: &Literal, depth: usize) -> Result<Field> {
    let wrong =
        || error(format!("{field} is not a field: write (name, type) or (name, type, shape)"));
    let (Literal::Tuple(parts) | Literal::List(parts)) = field else { return wrong() };
    let (label, dtype) = match &parts[..] {
        [label, descr] => (label, from_descr(descr, depth + 1)?),
        [label, descr, shape] => {
            (label, Dtype::sub(from_descr(descr, depth + 1)?, subshape(shape)?)?)
        }
        _ => return wrong(),
    };
    let (title, name) = match label {
        Literal::Str(name) => (None, name),
        Literal::Tuple(pair) => match &pair[..] {
            [Literal::Str(title), Literal::Str(name)] => (Some(title.clone()), name),
            [Literal::None, Literal::Str(name)] => (None, name),
            _ => return error(format!("{label} is not a field's name: write (title, name)")),
        },
        _ => return error(format!("{label} is not a field's name")),
    };
    // To NumPy, a field without a name whose type is void is padding. A subarray is void, too.
    let is_void = match &dtype.0 {
        Form::Plain { text, .. } => text.starts_with("|V"),
        Form::Sub { .. } => true,
        Form::Struct { .. } => false,
    };
    if name.is_empty() && is_void {
        Ok(Field::Padding(dtype.itemsize()))
    } else {
        Ok(Field::Named { title, name: name.clone(), dtype })
    }
}

/// Converts the dict that NumPy prints for a dtype with gaps: names, formats, offsets and itemsize.
fn from_dict(keys: &[(Literal, Literal)]) -> Result<Dtype> {
    let get = |key: &str| {
        let found = keys.iter().find(|(name, _)| *name == Literal::Str(key.to_owned()));
        found.map(|(_, value)| value)
    };
    let list = |key: &str| match get(key) {
        Some(Literal::List(items) | Literal::Tuple(items)) => Ok(items.as_slice()),
        _ => error(format!("the dict of a dtype needs the list `{key}`")),
    };
    let size = |value: &Literal| match value {
        Literal::Int(size) => u64::try_from(*size).ok().filter(|size| *size <= ITEMSIZE_MAX),
        _ => None,
    };
    let (names, formats, offsets) = (list("names")?, list("formats")?, list("offsets")?);
    if names.len() != formats.len() || names.len() != offsets.len() || get("titles").is_some() {
        return error(
            "the dict of a dtype needs one format and one offset for each name".to_owned(),
        );
    }
    let (mut fields, mut end) = (Vec::new(), 0);
    let gap = |end: u64, to: Option<u64>| match to.and_then(|to| to.checked_sub(end)) {
        Some(bytes) => Ok(Field::Padding(bytes)),
        None => error("the fields of a dtype must not overlap: give their offsets in order"),
    };
    for ((name, format), offset) in names.iter().zip(formats).zip(offsets) {
        let Literal::Str(name) = name else {
            return error(format!("{name} is not a field's name"));
        };
        fields.push(gap(end, size(offset))?);
        let dtype = from_descr(format, 1)?;
        end = size(offset).unwrap_or(end).saturating_add(dtype.itemsize());
        fields.push(Field::Named { title: None, name: name.clone(), dtype });
    }
    if let Some(itemsize) = get("itemsize") {
        fields.push(gap(end, size(itemsize))?);
    }
    check_names(&fields)?;
    Dtype::structure(fields)
}

/// Rejects duplicates among names and titles, because NumPy stores both in one dict.
fn check_names(fields: &[Field]) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    for field in fields {
        let Field::Named { title, name, .. } = field else { continue };
        for label in [Some(name), title.as_ref()].into_iter().flatten() {
            if !seen.insert(label) {
                return error(format!("the field {label:?} is given twice: rename one"));
            }
        }
    }
    Ok(())
}

fn subshape(shape: &Literal) -> Result<Vec<u64>> {
    let wrong =
        || DtypeError::new(format!("{shape} is not the shape of a field: write such as (2, 3)"));
    let dims = match shape {
        Literal::Int(_) => std::slice::from_ref(shape),
        Literal::Tuple(dims) | Literal::List(dims) => dims,
        _ => return Err(wrong()),
    };
    let dim = |dim: &Literal| match dim {
        Literal::Int(dim) => u64::try_from(*dim).ok().filter(|dim| *dim <= ITEMSIZE_MAX),
        _ => None,
    };
    dims.iter().map(dim).collect::<Option<_>>().ok_or_else(wrong)
}

/// Parses a type string as `numpy.dtype` does.
fn type_string(text: &str) -> Result<Dtype> {
    if text.contains(',') || text.starts_with(|c: char| c.is_ascii_digit() || c == '(') {
        return comma_string(text);
    }
    single_type(text)
}

/// Parses a single type: its name or its code.
fn single_type(text: &str) -> Result<Dtype> {
    if let Some((_, code)) = NAMES.iter().find(|(name, _)| *name == text) {
        return single_type(code);
    }
    let (swapped, code) = match text.as_bytes().first() {
        Some(b'<') => (cfg!(target_endian = "big"), &text[1..]),
        Some(b'>') => (cfg!(target_endian = "little"), &text[1..]),
        Some(b'=' | b'|') => (false, &text[1..]),
        _ => (false, text),
    };
    let big = swapped != cfg!(target_endian = "big");
    let order = if big { '>' } else { '<' };
    let unknown = || match code {
        "bfloat16" => DtypeError::new(format!("'{text}' is not a dtype NumPy knows: write \"V2\"")),
        _ => DtypeError::new(format!("'{text}' is not a dtype NumPy knows")),
    };
    for (name, kind) in [("datetime64", "M8"), ("timedelta64", "m8"), ("M8", "M8"), ("m8", "m8")] {
        if let Some(unit) = code.strip_prefix(name)
            && (unit.is_empty() || unit.starts_with('['))
        {
            let unit = time_unit(unit).ok_or_else(unknown)?;
            return Dtype::plain(format!("{order}{kind}{unit}"), 8);
        }
    }
    if let Some((_, long)) = LETTERS.iter().find(|(letter, _)| *letter == code) {
        return single_type(&format!("{order}{long}"));
    }
    let kind = code.chars().next().filter(char::is_ascii).ok_or_else(unknown)?;
    let digits = &code[1..];
    if matches!(kind, 'O' | 'T') {
        return error(format!(
            "'{text}' holds Python objects, not plain bytes: store the data with a fixed-size type"
        ));
    }
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(unknown());
    }
    let size: u64 = if digits.is_empty() { 0 } else { digits.parse().map_err(|_| unknown())? };
    match (kind, size) {
        ('S' | 'a', size) => Dtype::plain(format!("|S{size}"), size),
        ('V', size) => Dtype::plain(format!("|V{size}"), size),
        ('U', size) => Dtype::plain(format!("{order}U{size}"), size.saturating_mul(4)),
        ('b' | 'i' | 'u', 1) => Dtype::plain(format!("|{kind}1"), 1),
        ('i' | 'u', 2 | 4 | 8) | ('f', 2 | 4 | 8 | 16) | ('c', 8 | 16 | 32) => {
            Dtype::plain(format!("{order}{kind}{size}"), size)
        }
        _ => Err(unknown()),
    }
}

/// Returns the unit of a datetime or timedelta as NumPy prints it: `[25s]` is unchanged, `[1s]`
/// becomes `[s]`, and the generic unit becomes an empty text.
fn time_unit(text: &str) -> Option<String> {
    const UNITS: [&str; 13] =
        ["Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as"];
    if text.is_empty() {
        return Some(String::new());
    }
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    let digits = inner.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = inner.split_at(digits);
    let unit = if unit == "\u{3bc}s" { "us" } else { unit };
    let number: u32 = if number.is_empty() { 1 } else { number.parse().ok()? };
    match unit {
        "generic" => Some(String::new()),
        unit if !UNITS.contains(&unit) || number == 0 || i32::try_from(number).is_err() => None,
        unit if number == 1 => Some(format!("[{unit}]")),
        unit => Some(format!("[{number}{unit}]")),
    }
}

/// Parses a list of field types without names, such as `f4,(2,3)u1`
/// (`numpy._core._internal._commastring`).
fn comma_string(text: &str) -> Result<Dtype> {
    let mut types = Vec::new();
    let (mut start, mut open) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            '(' => open = true,
            ')' => open = false,
            ',' if !open => {
                types.push(repeated(text[start..at].trim())?);
                start = at + 1;
            }
            _ => {}
        }
    }
    let last = text[start..].trim();
    if types.is_empty() {
        return repeated(last); // not a structured dtype, but possibly a subarray
    }
    if !last.is_empty() {
        types.push(repeated(last)?);
    }
    let field = |(at, dtype)| Field::Named { title: None, name: format!("f{at}"), dtype };
    Dtype::structure(types.into_iter().enumerate().map(field).collect())
}

/// Parses a type with a repeat count or a shape before it: `3f4`, `(2,3)<f4`, `<3f4`.
fn repeated(text: &str) -> Result<Dtype> {
    let wrong = || DtypeError::new(format!("'{text}' is not a type with a shape before it"));
    let (order, rest) = match text.chars().next() {
        Some(order @ ('<' | '>' | '=' | '|')) => (order.to_string(), &text[1..]),
        _ => (String::new(), text),
    };
    let code_at = rest.find(|c: char| !matches!(c, ' ' | ',' | '(' | ')' | '0'..='9'));
    let (repeats, code) = rest.split_at(code_at.unwrap_or(rest.len()));
    let shape = match repeats.trim() {
        "" => Vec::new(),
        repeats if repeats.matches('(').count() > 1 => return Err(wrong()),
        repeats => subshape(&Literal::parse(repeats).map_err(|_| wrong())?).map_err(|_| wrong())?,
    };
    if code.is_empty() {
        return Err(wrong());
    }
    Dtype::sub(single_type(&format!("{order}{code}"))?, shape)
}

/// Writes the `descr` of a header, in the form of Python's `repr`.
impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Plain { text, .. } => write!(f, "'{text}'"),
            Form::Sub { base, shape, .. } => {
                write!(f, "({base}, ")?;
                write_tuple(f, shape)?;
                f.write_str(")")
            }
            Form::Struct { fields, .. } => {
                f.write_str("[")?;
                for (at, field) in fields.iter().enumerate() {
                    f.write_str(if at == 0 { "" } else { ", " })?;
                    write_field(f, field)?;
                }
                f.write_str("]")
            }
        }
    }
}

fn write_field(f: &mut fmt::Formatter<'_>, field: &Field) -> fmt::Result {
    let (title, name, dtype) = match field {
        Field::Padding(bytes) => return write!(f, "('', '|V{bytes}')"),
        Field::Named { title, name, dtype } => (title, name, dtype),
    };
    let text = |text: &String| Literal::Str(text.clone());
    match title {
        Some(title) => write!(f, "(({}, {}), ", text(title), text(name))?,
        None => write!(f, "({}, ", text(name))?,
    }
    match &dtype.0 {
        Form::Sub { base, shape, .. } => {
            write!(f, "{base}, ")?;
            write_tuple(f, shape)?;
        }
        _ => write!(f, "{dtype}")?,
    }
    f.write_str(")")
}
