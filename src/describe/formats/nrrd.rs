//! NRRD, detached: `scan.nhdr` beside the raw files it names.
//!
//! Specification: "Definition of NRRD File Format", Teem; SimpleITK and pynrrd read and write it.

use std::collections::HashSet;

use crate::describe::DescribeError;
use crate::describe::data_path::{Data, DataPath};
use crate::describe::described::{Axis, DataStart, Described};
use crate::describe::file_names;
use crate::describe::near_miss::Mark;
use crate::describe::sidecar::{Format, ReadResult};
use crate::describe::text::Metadata;
use crate::describe::text::fields::{Field, Fields, on_line, text_of};
use crate::model::FileName;
use crate::npy::{Dtype, Layout, Order};

pub(crate) static FORMAT: Format = Format {
    name: "NRRD",
    files: "x.nhdr beside the files it names: one, a LIST, or a pattern such as x%03d.raw 1 60 1",
    reads: "all number types and byte orders, line and byte skips; only the encoding raw, and not blocks",
    proof: "the exact size",
    is_named: |name| file_names::without_suffix(name, ".nhdr").is_some(),
    data_of: |sidecar| file_names::beside(sidecar, ".nhdr", &[".raw"]),
    sidecars_of: |data| file_names::sidecars(data, "nhdr"),
    size_keys: "sizes, type, byte skip",
    mark: Mark {
        keys: &["type", "dimension", "sizes", "encoding", "endian", "data file"],
        missing: "it does not begin with `NRRD0004` or another version: add that line",
    },
    read,
};

/// All names of each type, and NumPy's code for it.
const TYPES: [(&[&str], &str); 10] = [
    (&["signed char", "int8", "int8_t"], "i1"),
    (&["uchar", "unsigned char", "uint8", "uint8_t"], "u1"),
    (&["short", "short int", "signed short", "signed short int", "int16", "int16_t"], "i2"),
    (&["ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"], "u2"),
    (&["int", "signed int", "int32", "int32_t"], "i4"),
    (&["uint", "unsigned int", "uint32", "uint32_t"], "u4"),
    (
        &[
            "longlong",
            "long long",
            "long long int",
            "signed long long",
            "signed long long int",
            "int64",
            "int64_t",
        ],
        "i8",
    ),
    (&["ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"], "u8"),
    (&["float"], "f4"),
    (&["double"], "f8"),
];

fn read(sidecar: &FileName, text: &[u8]) -> ReadResult {
    let text = text_of(text);
    let Some(version) = text.strip_prefix("NRRD000") else { return Ok(None) };
    if !version.starts_with(['1', '2', '3', '4', '5']) {
        let first = text.lines().next().unwrap_or_default();
        return Err(on_line(1, first, "npyd reads versions up to NRRD0005: save it as that"));
    }
    let Header { fields, own, list } = header(&text)?;
    let need = |key: &str| fields.need(key);
    let encoding = need("encoding")?;
    if !encoding.value.eq_ignore_ascii_case("raw") {
        return Err(encoding.error("npyd reads only raw data: save them with encoding raw"));
    }
    let sizes = need("sizes")?;
    let mut shape = sizes
        .value
        .split_whitespace()
        .map(|size| Field { value: size.into(), ..sizes.clone() }.length())
        .collect::<Result<Vec<i64>, _>>()?;
    let dimension = need("dimension")?;
    if dimension.length()? != i64::try_from(shape.len()).unwrap_or(0) {
        return Err(dimension.error(format!("sizes has {} axes: correct one of them", shape.len())));
    }
    let file = either(&fields, "data file", "datafile").ok_or(
        "it has no `data file`: save the data in a file of their own, not in the header's",
    )?;
    let mut warnings = Vec::new();
    let (data, parts) = data(file, &list, &shape, &mut warnings)?;
    let (skip, trailing) = skip(&fields, parts)?;
    let axes = axes(&fields, shape.len());
    shape.reverse();
    let layout = Layout::new(dtype(&fields)?, &shape, Order::C)?;
    let mut kept = fields.to_metadata();
    kept.extend(own);
    Ok(Some(vec![Described {
        skip,
        trailing,
        axes,
        fields: kept,
        output: parts.then(|| sidecar.as_npy()),
        warnings,
        ..Described::new(data, layout)
    }]))
}

struct Header<'a> {
    /// The format's own fields.
    fields: Fields<'a>,
    /// The user's keys and values.
    own: Metadata,
    /// The file names after `data file: LIST`.
    list: Vec<&'a str>,
}

/// Parses lines of the form `field: value`, `key:=value` and `# comment`, up to an empty line. All
/// lines after `data file: LIST` are file names.
///
/// # Errors
/// A field is repeated, or a line has another form. npyd does not ignore them, because it could
/// miss a skip.
fn header(text: &str) -> Result<Header<'_>, DescribeError> {
    let mut header = Header { fields: Fields::default(), own: Metadata::new(), list: Vec::new() };
    let mut seen = HashSet::new();
    let mut lines = text.lines().enumerate().skip(1);
    for (at, line) in lines.by_ref() {
        if line.trim().is_empty() {
            break;
        }
        if line.starts_with('#') {
            continue;
        }
        if let Some((key, value)) = line.split_once(":=") {
            header.own.insert(key.to_owned(), value.into());
        } else if let Some((key, value)) = line.split_once(": ") {
            let (key, value) = (key.trim(), value.trim());
            let field = Field { key, value: value.into(), line: at + 1 };
            let name = key.to_lowercase().replace(' ', "");
            let is_list = name == "datafile" && value.starts_with("LIST");
            if !seen.insert(name) {
                return Err(field.error("the field is given twice: remove one"));
            }
            header.fields.0.push(field);
            if is_list {
                header.list =
                    lines.map(|(_, name)| name.trim()).filter(|it| !it.is_empty()).collect();
                break;
            }
        } else {
            let remedy = "write `field: value`, with a blank after the colon";
            return Err(on_line(at + 1, line, remedy));
        }
    }
    Ok(header)
}

fn either<'f, 'a>(fields: &'f Fields<'a>, one: &str, other: &str) -> Option<&'f Field<'a>> {
    fields.get(one).or_else(|| fields.get(other))
}

/// Returns the data file or the slabs, and whether there are several files.
fn data(
    file: &Field<'_>,
    list: &[&str],
    sizes: &[i64],
    warnings: &mut Vec<String>,
) -> Result<(Data, bool), DescribeError> {
    let wrong = |error: DescribeError| file.error(error);
    let slowest = sizes.len().saturating_sub(1);
    if let Some(dim) = file.value.strip_prefix("LIST") {
        let dim = match dim.trim() {
            "" => slowest,
            dim => dim.parse().map_err(|_| file.error("write LIST, or LIST and a dimension"))?,
        };
        let parts = list.iter().map(|name| DataPath::below(name));
        let parts = parts.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        return Ok((file_names::slabs(parts, sizes, dim).map_err(wrong)?, true));
    }
    if file.value.contains('%') {
        let mut tokens: Vec<&str> = file.value.split_whitespace().collect();
        let dim = match tokens.len() {
            5 => tokens.pop().and_then(|dim| dim.parse().ok()),
            _ => Some(slowest),
        };
        let dim =
            dim.ok_or_else(|| file.error("the dimension after the pattern is not a number"))?;
        let parts = file_names::pattern(&tokens.join(" ")).map_err(wrong)?;
        return Ok((file_names::slabs(parts, sizes, dim).map_err(wrong)?, true));
    }
    Ok((Data::FirstOf(vec![DataPath::moved(&file.value, warnings).map_err(wrong)?]), false))
}

/// Returns where the data begin, and the number of bytes after them.
fn skip(fields: &Fields<'_>, parts: bool) -> Result<(DataStart, u64), DescribeError> {
    let lines = either(fields, "line skip", "lineskip");
    let lines_count = lines.map_or(Ok(0), Field::count)?;
    if let Some(lines) = lines.filter(|_| parts && lines_count > 0) {
        return Err(lines.error("npyd can't skip lines in several files: remove the lines"));
    }
    let Some(bytes) = either(fields, "byte skip", "byteskip") else {
        return Ok((DataStart::Lines { lines: lines_count, bytes: 0 }, 0));
    };
    // -1 means that the data are at the end of the file; -2 means one byte before it, and so on.
    if let Ok(behind @ i64::MIN..0) = bytes.value.parse::<i64>() {
        if lines_count > 0 {
            return Err(bytes.error("a negative number counts from the end: remove line skip"));
        }
        return Ok((DataStart::Rest, behind.unsigned_abs() - 1));
    }
    let bytes = bytes.count()?;
    Ok((DataStart::Lines { lines: lines_count, bytes }, 0))
}

/// Returns the axes in the array's order. The fields list the fastest axis first.
fn axes(fields: &Fields<'_>, count: usize) -> Vec<Axis> {
    let mut axes = vec![Axis::default(); count];
    let quoted = |key: &str| -> Vec<Option<String>> {
        let value = fields.get(key).map(|field| field.value.to_string()).unwrap_or_default();
        let texts = value.split('"').skip(1).step_by(2);
        texts.map(|text| (!text.is_empty()).then(|| text.to_owned())).collect()
    };
    let steps = fields.get("spacings").map(|field| field.value.to_string()).unwrap_or_default();
    let steps: Vec<Option<f64>> = steps
        .split_whitespace()
        .map(|step| step.parse().ok().filter(|step: &f64| step.is_finite()))
        .collect();
    let (names, units) = (quoted("labels"), quoted("units"));
    for (at, axis) in axes.iter_mut().rev().enumerate() {
        axis.name = names.get(at).cloned().flatten();
        axis.unit = units.get(at).cloned().flatten();
        axis.step = steps.get(at).copied().flatten();
    }
    axes
}

fn dtype(fields: &Fields<'_>) -> Result<Dtype, DescribeError> {
    let kind = fields.need("type")?;
    let name = kind.value.to_lowercase();
    let code = TYPES.iter().find(|(names, _)| names.contains(&&*name)).map(|(_, code)| *code);
    let code = code.ok_or_else(|| kind.error("unknown type: write such as int16 or float"))?;
    let order = match fields.get("endian") {
        _ if code.ends_with('1') => '|',
        None => return Err("it has no `endian`: add little or big".into()),
        Some(field) => match &*field.value.to_lowercase() {
            "little" => '<',
            "big" => '>',
            _ => return Err(field.error("write little or big")),
        },
    };
    Dtype::from_text(&format!("{order}{code}")).map_err(DescribeError::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(text: &str) -> ReadResult {
        read(&FileName::try_from("scan.nhdr".to_owned()).unwrap(), text.as_bytes())
    }

    const VOLUME: &str = "NRRD0004\n# a comment\ntype: unsigned short\ndimension: 3\nsizes: 4 3 2\n\
        encoding: raw\nendian: big\nspacings: 0.5 NaN 2\nunits: \"mm\" \"\" \"s\"\npatient:=nobody\n\
        data file: scan.raw\n";

    #[test]
    fn a_volume() {
        let one = described(VOLUME).unwrap().unwrap().remove(0);
        assert_eq!(one.layout.shape.dims(), [2, 3, 4]);
        assert_eq!(one.layout.dtype.to_string(), "'>u2'");
        assert_eq!((one.axes[0].step, one.axes[0].unit.as_deref()), (Some(2.0), Some("s")));
        assert_eq!((one.axes[1].step, one.axes[1].unit.as_deref()), (None, None));
        assert_eq!(one.fields["patient"], "nobody");
        for (skip, expected) in [
            ("byte skip: 16", (DataStart::Lines { lines: 0, bytes: 16 }, 0)),
            ("line skip: 2\nbyteskip: 1", (DataStart::Lines { lines: 2, bytes: 1 }, 0)),
            ("byte skip: -1", (DataStart::Rest, 0)),
            ("byte skip: -9", (DataStart::Rest, 8)),
        ] {
            let text = VOLUME.replace("endian", &format!("{skip}\nendian"));
            let one = described(&text).unwrap().unwrap().remove(0);
            assert_eq!((one.skip, one.trailing), expected, "{skip}");
        }
        for files in ["LIST\na\nb", "LIST 3\na\nb", "x%d.raw 1 2 1", "x%03d.raw 1 2 1 2"] {
            let one = described(&VOLUME.replace("scan.raw", files)).unwrap().unwrap().remove(0);
            assert!(matches!(&one.data, Data::Parts(parts) if parts.len() == 2), "{files}");
            assert_eq!(one.output.as_ref().unwrap().as_str(), "scan.npy", "{files}");
        }
    }

    #[test]
    fn unsupported_headers_are_rejected_with_their_line() {
        for (was, is, words) in [
            ("unsigned short", "block", "line 3"),
            ("dimension: 3", "dimension: 2", "line 4"),
            ("sizes: 4 3 2", "sizes: 4 3 -2", "line 5"),
            ("encoding: raw", "encoding: gzip", "line 6"),
            ("endian: big\n", "", "`endian`"),
            ("scan.raw", "../scan.raw", "line 11"),
            ("scan.raw", "LIST 1\na\nb", "line 11"),
            ("data file: scan.raw\n", "", "`data file`"),
            ("NRRD0004", "NRRD0006", "line 1"),
            ("endian: big", "endian: big\nendian: little", "line 8"),
            ("endian: big", "byte skip: 4\nBYTESKIP: 8", "line 8"),
            ("endian: big", "endian: big\nbyte skip:4", "line 8"),
        ] {
            let error = described(&VOLUME.replace(was, is)).unwrap_err().to_string();
            assert!(error.contains(words), "{is}: {error}");
        }
    }
}
