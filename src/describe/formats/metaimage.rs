//! MetaImage, a format of the Insight Toolkit and of medical imaging: `scan.mhd` beside `scan.raw`
//! or beside a list of slices.
//!
//! Specification: "MetaIO Documentation", Kitware; the Insight Toolkit reads and writes it in
//! `MetaIO/src/metaImage.cxx`.

use crate::describe::DescribeError;
use crate::describe::data_path::{Data, DataPath};
use crate::describe::described::{Axis, DataStart, Described};
use crate::describe::file_names;
use crate::describe::near_miss::Mark;
use crate::describe::sidecar::{Format, ReadResult};
use crate::describe::text::fields::{Field, Fields, missing, text_of};
use crate::model::FileName;
use crate::npy::{Dtype, Layout, Order};

pub(crate) static FORMAT: Format = Format {
    name: "MetaImage",
    files: "x.mhd beside the files it names: one, a LIST, or a pattern such as x%03d.raw 1 60 1",
    reads: "all element types and byte orders, several channels; not compressed, ASCII or LOCAL data",
    proof: "the exact size",
    is_named: |name| file_names::without_suffix(name, ".mhd").is_some(),
    data_of: |sidecar| file_names::beside(sidecar, ".mhd", &[".raw"]),
    sidecars_of: |data| file_names::sidecars(data, "mhd"),
    size_keys: "DimSize, ElementType, HeaderSize",
    mark: Mark {
        keys: &["NDims", "DimSize", "ElementType", "ElementDataFile"],
        missing: "it has neither `NDims` nor `DimSize`, in this letter case: add them",
    },
    read,
};

/// The element types, and NumPy's codes for them.
const TYPES: [(&str, &str); 13] = [
    ("MET_CHAR", "i1"),
    ("MET_UCHAR", "u1"),
    ("MET_SHORT", "i2"),
    ("MET_USHORT", "u2"),
    ("MET_INT", "i4"),
    ("MET_LONG", "i4"),
    ("MET_UINT", "u4"),
    ("MET_ULONG", "u4"),
    ("MET_LONG_LONG", "i8"),
    ("MET_ULONG_LONG", "u8"),
    ("MET_FLOAT", "f4"),
    ("MET_DOUBLE", "f8"),
    ("MET_STRING", "S1"),
];

fn read(sidecar: &FileName, text: &[u8]) -> ReadResult {
    let text = text_of(text);
    let (fields, rest) = fields(&text);
    let get = |key: &str| fields.0.iter().rev().find(|field| field.key == key);
    let need = |key: &str| get(key).ok_or_else(|| missing(&fields.0, key, ""));
    if get("NDims").is_none() && get("DimSize").is_none() {
        return Ok(None);
    }
    if let Some(field) = get("CompressedData").filter(|field| is_true(field)) {
        return Err(field.error("npyd can't read compressed data: save them uncompressed"));
    }
    if let Some(field) = get("BinaryData").filter(|field| !is_true(field)) {
        return Err(field.error("npyd can't read numbers in text form: save them as binary"));
    }
    let sizes = need("DimSize")?;
    let mut shape = sizes
        .value
        .split_whitespace()
        .map(|size| Field { value: size.into(), ..sizes.clone() }.length())
        .collect::<Result<Vec<i64>, _>>()?;
    let dims = need("NDims")?;
    if dims.length()? != i64::try_from(shape.len()).unwrap_or(0) {
        return Err(dims.error(format!("DimSize has {} sizes: correct one of them", shape.len())));
    }
    let file = need("ElementDataFile")?;
    let mut warnings = Vec::new();
    let (data, parts) = data(file, &rest, &shape, &mut warnings)?;
    shape.reverse();
    let mut axes = axes(get("ElementSpacing").or_else(|| get("ElementSize")), shape.len());
    let channels = get("ElementNumberOfChannels").map_or(Ok(1), Field::length)?;
    if channels > 1 {
        shape.push(channels);
        axes.push(Axis::named("channels"));
    }
    let dtype = dtype(need("ElementType")?, get, &mut warnings)?;
    let layout = Layout::new(dtype, &shape, Order::C)?;
    let skip = match get("HeaderSize") {
        Some(field) if field.value == "-1" => DataStart::Rest,
        Some(field) => DataStart::Bytes(field.count()?),
        None => DataStart::Bytes(0),
    };
    Ok(Some(vec![Described {
        skip,
        axes,
        fields: fields.to_metadata(),
        output: parts.then(|| sidecar.as_npy()),
        warnings,
        ..Described::new(data, layout)
    }]))
}

fn is_true(field: &Field<'_>) -> bool {
    field.value.starts_with(['T', 't', '1'])
}

/// Parses lines of the form `Key = Value` or `Key : Value`, up to `ElementDataFile`. A line with
/// only numbers continues the field before it. Also returns the lines after `ElementDataFile`,
/// which are its list of files.
fn fields(text: &str) -> (Fields<'_>, Vec<(usize, &str)>) {
    let mut fields: Vec<Field<'_>> = Vec::new();
    let mut lines = text.lines().enumerate();
    for (at, line) in lines.by_ref() {
        let Some((key, value)) = line.split_once(['=', ':']) else {
            let is_number = |word: &str| word.parse::<f64>().is_ok();
            if line.split_whitespace().all(is_number)
                && let Some(Field { value, .. }) = fields.last_mut()
            {
                *value = format!("{value} {}", line.trim()).trim().to_owned().into();
            }
            continue;
        };
        let key = key.trim();
        fields.push(Field { key, value: value.trim().into(), line: at + 1 });
        if key == "ElementDataFile" {
            break;
        }
    }
    let rest = lines.map(|(at, line)| (at + 1, line.trim())).filter(|(_, line)| !line.is_empty());
    (Fields(fields), rest.collect())
}

/// Returns the data file or the slices, and whether there are several files.
fn data(
    file: &Field<'_>,
    rest: &[(usize, &str)],
    sizes: &[i64],
    warnings: &mut Vec<String>,
) -> Result<(Data, bool), DescribeError> {
    let wrong = |error: DescribeError| file.error(error);
    if file.value.eq_ignore_ascii_case("local") {
        return Err(
            file.error("npyd can't read data in the header's file: save them in a file beside it")
        );
    }
    if let Some(list) = file.value.strip_prefix("LIST") {
        let dim = match list.trim() {
            "" => sizes.len().saturating_sub(1),
            dim => dim.trim_end_matches('D').parse().map_err(|_| {
                file.error("write LIST, or LIST and the number of dimensions of each file")
            })?,
        };
        let files = rest.iter().map(|(_, line)| DataPath::below(line));
        let parts = files.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        return Ok((file_names::slabs(parts, sizes, dim).map_err(wrong)?, true));
    }
    if file.value.contains('%') {
        let parts = file_names::pattern(&file.value).map_err(wrong)?;
        let dim = sizes.len().saturating_sub(1);
        return Ok((file_names::slabs(parts, sizes, dim).map_err(wrong)?, true));
    }
    Ok((Data::FirstOf(vec![DataPath::moved(&file.value, warnings).map_err(wrong)?]), false))
}

/// Returns the axes in the array's order. The field lists the step of the fastest axis first.
fn axes(spacing: Option<&Field<'_>>, count: usize) -> Vec<Axis> {
    let mut axes = vec![Axis::default(); count];
    let steps = spacing.into_iter().flat_map(|field| field.value.split_whitespace());
    for (axis, step) in axes.iter_mut().rev().zip(steps) {
        axis.step = step.parse().ok();
    }
    axes
}

fn dtype<'a>(
    kind: &Field<'_>,
    get: impl Fn(&str) -> Option<&'a Field<'a>>,
    warnings: &mut Vec<String>,
) -> Result<Dtype, DescribeError> {
    let name = kind.value.strip_suffix("_ARRAY").unwrap_or(&kind.value);
    let code = TYPES.iter().find(|(known, _)| *known == name).map(|(_, code)| *code);
    let code = code.ok_or_else(|| kind.error("unknown type: write such as MET_SHORT"))?;
    let order = match get("BinaryDataByteOrderMSB").or_else(|| get("ElementByteOrderMSB")) {
        _ if code.ends_with('1') => '|',
        Some(field) if is_true(field) => '>',
        Some(_) => '<',
        // The Insight Toolkit uses the byte order of the computer that reads the file.
        None => {
            warnings.push(
                "it has no `BinaryDataByteOrderMSB`: npyd assumes False, little-endian".to_owned(),
            );
            '<'
        }
    };
    Dtype::from_text(&format!("{order}{code}")).map_err(DescribeError::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(text: &str) -> ReadResult {
        read(&FileName::try_from("scan.mhd".to_owned()).unwrap(), text.as_bytes())
    }

    const VOLUME: &str = "ObjectType = Image\nNDims = 3\nBinaryData = True\n\
        BinaryDataByteOrderMSB = False\nCompressedData = False\nElementSpacing = 0.5 0.5 2\n\
        DimSize = 4 3 2\nElementType = MET_SHORT\nElementDataFile = scan.raw\n";

    #[test]
    fn a_volume_and_its_slices() {
        let one = described(VOLUME).unwrap().unwrap().remove(0);
        assert_eq!(one.layout.shape.dims(), [2, 3, 4]);
        assert_eq!(one.layout.dtype.to_string(), "'<i2'");
        assert_eq!(one.axes[0].step, Some(2.0));
        for (files, header) in [
            ("LIST\na.raw\nb.raw\n", "-1"),
            ("LIST 2\na.raw\nb.raw", "8"),
            ("s%02d.raw 1 2 1", "0"),
        ] {
            let text =
                VOLUME.replace("scan.raw\n", files).replace("NDims", "HeaderSize = X\nNDims");
            let one = described(&text.replace('X', header)).unwrap().unwrap().remove(0);
            assert!(matches!(&one.data, Data::Parts(parts) if parts.len() == 2), "{files}");
            assert_eq!(one.output.as_ref().unwrap().as_str(), "scan.npy", "{files}");
        }
        let channels = VOLUME.replace("MET_SHORT", "MET_UCHAR\nElementNumberOfChannels = 3");
        let one = described(&channels).unwrap().unwrap().remove(0);
        assert_eq!(one.layout.shape.dims(), [2, 3, 4, 3]);
    }

    #[test]
    fn a_missing_byte_order_is_little_endian_with_a_remark() {
        let text = VOLUME.replace("BinaryDataByteOrderMSB = False\n", "");
        let one = described(&text).unwrap().unwrap().remove(0);
        assert_eq!(one.layout.dtype.to_string(), "'<i2'");
        assert!(one.warnings[0].contains("`BinaryDataByteOrderMSB`"), "{:?}", one.warnings);
        assert!(described(VOLUME).unwrap().unwrap().remove(0).warnings.is_empty());
    }

    #[test]
    fn unsupported_headers_are_rejected_with_their_line() {
        for (was, is, words) in [
            ("CompressedData = False", "CompressedData = True", "line 5"),
            ("BinaryData = True", "BinaryData = False", "line 3"),
            ("MET_SHORT", "MET_OTHER", "line 8"),
            ("scan.raw", "LOCAL", "line 9"),
            ("scan.raw", "/etc/passwd", "line 9"),
            ("scan.raw", "../scan.raw", "line 9"),
            ("scan.raw", "LIST\na.raw\nb.raw\nc.raw", "line 9"),
            ("scan.raw", "LIST\na.raw\n./a.raw", "twice"),
            ("scan.raw", "s%02d.raw 1 3 1", "line 9"),
            ("scan.raw", "s%s.raw 1 2 1", "line 9"),
            ("scan.raw", "s%d.raw 1 2000000000 1", "line 9"),
            ("DimSize = 4 3 2", "DimSize = 4 3", "line 2"),
            ("DimSize = 4 3 2", "DimSize = 4 3 x", "line 7"),
        ] {
            let error = described(&VOLUME.replace(was, is)).unwrap_err().to_string();
            assert!(error.contains(words), "{is}: {error}");
        }
    }
}
