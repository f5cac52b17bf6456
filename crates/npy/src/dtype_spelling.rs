//! Spellings of dtypes that people copy from programs, and that NumPy itself does not parse: Python
//! expressions such as `np.uint16`, names with a byte order such as `uint16be`, names of Rust and C
//! such as `u16` and `uint16_t`, and the pixel formats of cameras such as `Mono16`.

/// Pixel formats of cameras (`GenICam` PFNC) with whole bytes. Their byte order is little-endian.
const PIXEL_FORMATS: [(&str, &str); 6] = [
    ("Mono8", "|u1"),
    ("Mono8s", "|i1"),
    ("Mono10", "<u2"),
    ("Mono12", "<u2"),
    ("Mono14", "<u2"),
    ("Mono16", "<u2"),
];

/// Types of Rust, and such names of complex types. `u8`, `f16` and the like are missing because
/// NumPy reads them as a number of bytes. NumPy's own notation, `<i16`, counts bytes as well, so
/// that it takes none of these names.
const RUST_NAMES: [(&str, &str); 10] = [
    ("u16", "u2"),
    ("u32", "u4"),
    ("u64", "u8"),
    ("i16", "i2"),
    ("i32", "i4"),
    ("i64", "i8"),
    ("f32", "f4"),
    ("f64", "f8"),
    ("c64", "c8"),
    ("c128", "c16"),
];

/// Types of C.
const C_NAMES: [(&str, &str); 8] = [
    ("int8_t", "i1"),
    ("int16_t", "i2"),
    ("int32_t", "i4"),
    ("int64_t", "i8"),
    ("uint8_t", "u1"),
    ("uint16_t", "u2"),
    ("uint32_t", "u4"),
    ("uint64_t", "u8"),
];

/// NumPy's names that end in digits, so that a byte order may follow.
const SIZED: [(&str, &str); 13] = [
    ("uint8", "u1"),
    ("uint16", "u2"),
    ("uint32", "u4"),
    ("uint64", "u8"),
    ("int8", "i1"),
    ("int16", "i2"),
    ("int32", "i4"),
    ("int64", "i8"),
    ("float16", "f2"),
    ("float32", "f4"),
    ("float64", "f8"),
    ("complex64", "c8"),
    ("complex128", "c16"),
];

/// Maximum nesting of expressions, as in `np.dtype(np.uint16)`.
const NESTING_MAX: usize = 3;

/// Returns NumPy's own spelling of a dtype that is spelt in another way; `None` if the text has no
/// plain meaning.
pub(crate) fn respell(text: &str) -> Option<String> {
    let mut inner = text.trim();
    for _ in 0..NESTING_MAX {
        inner = expression(inner).unwrap_or(inner);
    }
    let spelt = respell_name(inner);
    spelt.or_else(|| (inner != text.trim()).then(|| inner.to_owned()))
}

fn respell_name(text: &str) -> Option<String> {
    let (order, name) = match text.split_at_checked(1) {
        Some((order @ ("<" | ">" | "=" | "|"), name)) => (order, name),
        _ => ("", text),
    };
    if order.is_empty()
        && let Some((_, code)) = PIXEL_FORMATS.iter().find(|(format, _)| *format == text)
    {
        return Some((*code).to_owned());
    }
    let lower = name.to_ascii_lowercase();
    if let Some(code) = code_of(&lower).filter(|_| order.is_empty() || !is_of_rust(&lower)) {
        return Some(format!("{order}{code}"));
    }
    if !order.is_empty() {
        return None;
    }
    let (order, name) = [("<", "le"), (">", "be")].iter().find_map(|(order, suffix)| {
        let name = lower.strip_suffix(suffix)?;
        Some((*order, name.strip_suffix(['_', '-', ' ']).unwrap_or(name)))
    })?;
    code_of(name).map(|code| format!("{order}{code}"))
}

fn code_of(name: &str) -> Option<&'static str> {
    let mut known = RUST_NAMES.iter().chain(&C_NAMES).chain(&SIZED);
    known.find(|(known, _)| *known == name).map(|(_, code)| *code)
}

fn is_of_rust(name: &str) -> bool {
    RUST_NAMES.iter().any(|(known, _)| *known == name)
}

/// Returns what a Python expression names: `np.uint16`, `np.dtype('<u2')`, `<class
/// 'numpy.uint16'>`.
fn expression(text: &str) -> Option<&str> {
    for module in ["np.", "numpy."] {
        if let Some(name) = text.strip_prefix(module) {
            return (!name.is_empty()).then_some(name);
        }
    }
    if let Some(class) = text.strip_prefix("<class ").and_then(|it| it.strip_suffix('>')) {
        return unquoted(class);
    }
    let inner = text.strip_prefix("dtype(")?.strip_suffix(')')?.trim();
    let inner = inner.split_once(", align=").map_or(inner, |(inner, _)| inner).trim_end();
    unquoted(inner).or(Some(inner)).filter(|inner| !inner.is_empty())
}

fn unquoted(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
    text.strip_prefix(quote)?.strip_suffix(quote).filter(|inner| !inner.contains(quote))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_meanings() {
        for (text, code) in [
            ("u16", "u2"),
            ("<uint16_t", "<u2"),
            (">float32", ">f4"),
            ("F64", "f8"),
            ("c64", "c8"),
            ("c128", "c16"),
            ("np.uint16", "u2"),
            ("numpy.float32", "f4"),
            ("np.single", "single"),
            ("dtype('<u2')", "<u2"),
            ("dtype(\"float32\")", "f4"),
            ("np.dtype('>i4')", ">i4"),
            ("np.dtype(np.int16)", "i2"),
            ("dtype([('a', '<u2')])", "[('a', '<u2')]"),
            ("dtype([('a', '<u2')], align=True)", "[('a', '<u2')]"),
            ("<class 'numpy.float32'>", "f4"),
            ("uint16be", ">u2"),
            ("uint16_le", "<u2"),
            ("float32-BE", ">f4"),
            ("i16be", ">i2"),
            ("int16_t", "i2"),
            ("Mono16", "<u2"),
            ("Mono12", "<u2"),
            ("Mono8", "|u1"),
        ] {
            assert_eq!(respell(text).as_deref(), Some(code), "{text}");
        }
    }

    /// These are NumPy's own, or have no plain meaning.
    #[test]
    fn other_texts_are_left_alone() {
        for text in [
            "",
            "u8",
            "<f8",
            "<u16",
            ">f32",
            "<c64",
            "f16",
            "c32",
            "i3",
            "Mono12p",
            "Mono12Packed",
            "RGB8",
            "mono",
            "be",
            "np.",
            "dtype()",
            "<u2le",
            "sample",
            "double",
            "<class numpy>",
            "uint12be",
        ] {
            assert_eq!(respell(text), None, "{text}");
        }
    }
}
