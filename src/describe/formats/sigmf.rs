//! SigMF, the Signal Metadata Format of software-defined radio: `x.sigmf-meta`, in JSON, beside
//! `x.sigmf-data`.
//!
//! Specification: `sigmf-spec.pdf` with `sigmf-schema.json`, <https://sigmf.org>. The reference
//! reader is `SigMFFile` of sigmf-python, which maps the data with the same layout.

use serde_json::Value;

use crate::describe::DescribeError;
use crate::describe::data_path::{Data, DataPath};
use crate::describe::described::{Axis, DataStart, Described};
use crate::describe::file_names;
use crate::describe::near_miss::Mark;
use crate::describe::sidecar::{Format, ReadResult};
use crate::describe::text::fields::text_of;
use crate::describe::text::json::{Json, Node};
use crate::model::FileName;
use crate::npy::{Dtype, Layout};

pub(crate) static FORMAT: Format = Format {
    name: "SigMF",
    files: "x.sigmf-meta beside x.sigmf-data, or beside the file that core:dataset names",
    reads: "all data types, several channels, leading and trailing bytes; complex integers with \
            an axis of 2; not bytes between captures, and not archives",
    proof: "core:sha512 if present; otherwise complete samples, and quiet",
    is_named: |name| file_names::without_suffix(name, ".sigmf-meta").is_some(),
    data_of: |sidecar| file_names::beside(sidecar, ".sigmf-meta", &[".sigmf-data"]),
    sidecars_of: |data| file_names::sidecars(data, "sigmf-meta"),
    size_keys: "core:datatype, core:num_channels",
    mark: Mark::NONE,
    read,
};

fn read(name: &FileName, text: &[u8]) -> ReadResult {
    let text = text_of(text);
    let json = Json::read(&text)?;
    let global = json.root().need("global")?;
    let dataset = global.get("core:dataset");
    let only_metadata = global.get("core:metadata_only");
    if dataset.is_none() && only_metadata.is_some_and(|only| *only.value() == Value::Bool(true)) {
        return Ok(None);
    }
    let data = if let Some(named) = dataset {
        vec![DataPath::beside(named.text()?).map_err(|error| named.error(error))?]
    } else {
        let names = (FORMAT.data_of)(name.as_str());
        names.iter().map(|name| DataPath::beside(name)).collect::<Result<_, _>>()?
    };
    let mut warnings = Vec::new();
    let (layout, axes) = layout(&global, &mut warnings)?;
    let hash = global.get("core:sha512").filter(|hash| hash.value().as_str() != Some(""));
    let digest = hash.map(|hash| {
        let digest = format!("sha512:{}", hash.text()?).parse();
        digest.map_err(|error: DescribeError| hash.error(error))
    });
    let trailing = global.get("core:trailing_bytes").map_or(Ok(0), |bytes| bytes.count())?;
    Ok(Some(vec![Described {
        skip: DataStart::Bytes(leading(&json.root(), &global)?),
        trailing,
        digest: digest.transpose()?,
        axes,
        warnings,
        fields: json.into_metadata(),
        ..Described::new(Data::FirstOf(data), layout)
    }]))
}

/// Returns the layout: samples, channels if there are several, and an axis for the two parts of
/// complex integers, because NumPy has no type for them.
fn layout(
    global: &Node<'_>,
    warnings: &mut Vec<String>,
) -> Result<(Layout, Vec<Axis>), DescribeError> {
    let (dtype, has_parts) = dtype(&global.need("core:datatype")?, warnings)?;
    let rate = global.get("core:sample_rate").and_then(|rate| {
        let read = rate.lenient_number().filter(|rate| *rate > 0.0);
        if read.is_none() || !rate.value().is_number() {
            warnings.push(rate.error("the sample rate should be a number above 0").to_string());
        }
        read
    });
    let mut dims = vec![-1];
    let mut axes = vec![Axis::samples(rate)];
    if let Some(channels) = global.get("core:num_channels")
        && channels.length()? > 1
    {
        dims.push(channels.length()?);
        axes.push(Axis::named("channel"));
    }
    if has_parts {
        dims.push(2);
        axes.push(Axis::named("real and imaginary part"));
    }
    let layout = Layout::open_on(dtype, &dims, 0)?;
    Ok((layout, axes))
}

/// Parses `core:datatype`, such as `cf32_le`. Also returns whether an item is only one part of a
/// complex number.
fn dtype(datatype: &Node<'_>, warnings: &mut Vec<String>) -> Result<(Dtype, bool), DescribeError> {
    let wrong = || {
        datatype.error("write c or r, f32, f64, i32, i16, i8, u32, u16 or u8, then _le or _be, such as cf32_le")
    };
    let text = match datatype.text()? {
        // GNU Radio and other programs call complex 16-bit integers so.
        "cs8" => "ci8",
        "cs16" => "ci16",
        "cs16_le" => "ci16_le",
        "cs16_be" => "ci16_be",
        "cs32" => "ci32",
        text => text,
    };
    let (item, order) = match text.split_once('_') {
        Some((item, "le")) => (item, Some('<')),
        Some((item, "be")) => (item, Some('>')),
        Some(_) => return Err(wrong()),
        None => (text, None),
    };
    let (is_complex, item) = match item.split_at_checked(1) {
        Some(("c", item)) => (true, item),
        Some(("r", item)) => (false, item),
        _ => return Err(wrong()),
    };
    let (code, has_parts) = match (item, is_complex) {
        ("f32", true) => ("c8", false),
        ("f64", true) => ("c16", false),
        ("f32", false) => ("f4", false),
        ("f64", false) => ("f8", false),
        ("i32", parts) => ("i4", parts),
        ("i16", parts) => ("i2", parts),
        ("i8", parts) => ("i1", parts),
        ("u32", parts) => ("u4", parts),
        ("u16", parts) => ("u2", parts),
        ("u8", parts) => ("u1", parts),
        _ => return Err(wrong()),
    };
    if order.is_none() && !code.ends_with('1') {
        warnings
            .push(datatype.error("neither _le nor _be: npyd assumes little-endian").to_string());
    }
    let text = format!("{}{code}", order.unwrap_or('<'));
    let dtype = Dtype::from_text(&text).map_err(|error| datatype.error(error.to_string()))?;
    Ok((dtype, has_parts))
}

/// Returns the number of bytes before the first sample. Bytes before a later capture are an error,
/// because they are between samples.
fn leading(root: &Node<'_>, global: &Node<'_>) -> Result<u64, DescribeError> {
    let Some(captures) = root.get("captures") else { return Ok(0) };
    let first_sample = global.get("core:offset").map_or(Ok(0), |offset| offset.count())?;
    let mut leading = 0;
    for (at, capture) in captures.items()?.iter().enumerate() {
        let Some(header) = capture.get("core:header_bytes") else { continue };
        let bytes = header.count()?;
        let start = capture.get("core:sample_start").map_or(Ok(0), |start| start.count())?;
        if bytes > 0 && (at > 0 || (start != 0 && start != first_sample)) {
            return Err(header.error(
                "npyd can't read data with bytes between samples: write each capture to a file of its own",
            ));
        }
        leading += bytes; // only the first capture's number is not 0
    }
    Ok(leading)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn described(global: &str, captures: &str) -> ReadResult {
        let name = FileName::try_from("x.sigmf-meta".to_owned()).unwrap();
        let text = format!("{{\n  \"global\": {{{global}}},\n  \"captures\": [{captures}]\n}}");
        read(&name, text.as_bytes())
    }

    fn one(global: &str, captures: &str) -> Described {
        described(global, captures).unwrap().unwrap().remove(0)
    }

    const CI16: &str = r#""core:datatype": "ci16_be""#;

    #[test]
    fn every_datatype() {
        for (datatype, descr, dims) in [
            ("cf32_le", "'<c8'", &[-1][..]),
            ("cf64_be", "'>c16'", &[-1]),
            ("rf32_be", "'>f4'", &[-1]),
            ("rf64_le", "'<f8'", &[-1]),
            ("ci32_le", "'<i4'", &[-1, 2]),
            ("ci16_be", "'>i2'", &[-1, 2]),
            ("ci8", "'|i1'", &[-1, 2]),
            ("cu32_be", "'>u4'", &[-1, 2]),
            ("cu16_le", "'<u2'", &[-1, 2]),
            ("cu8_le", "'|u1'", &[-1, 2]),
            ("ri32_be", "'>i4'", &[-1]),
            ("ri16_le", "'<i2'", &[-1]),
            ("ri8", "'|i1'", &[-1]),
            ("ru32_le", "'<u4'", &[-1]),
            ("ru16_be", "'>u2'", &[-1]),
            ("ru8", "'|u1'", &[-1]),
        ] {
            let one = one(&format!(r#""core:datatype": "{datatype}""#), "");
            assert_eq!(one.layout.dtype.to_string(), descr, "{datatype}");
            assert_eq!(one.layout.shape.dims(), dims, "{datatype}");
            assert_eq!(one.axes.len(), dims.len());
            assert!(one.warnings.is_empty());
        }
        let one = one(r#""core:datatype": "rf32""#, "");
        assert_eq!(one.layout.dtype.to_string(), "'<f4'");
        assert_eq!(one.warnings.len(), 1);
    }

    #[test]
    fn bytes_before_and_after_the_samples() {
        let global = format!(
            r#"{CI16}, "core:num_channels": 3, "core:trailing_bytes": 7, "core:dataset": "x.dat",
               "core:sha512": "{}", "core:sample_rate": 4"#,
            "ab".repeat(64)
        );
        let captures = r#"{"core:sample_start": 0, "core:header_bytes": 4},
            {"core:sample_start": 10, "core:header_bytes": 0}, {"core:sample_start": 12}"#;
        let one = one(&global, captures);
        assert_eq!(one.layout.shape.dims(), [-1, 3, 2]);
        assert_eq!(one.data, Data::FirstOf(vec![DataPath::beside("x.dat").unwrap()]));
        assert_eq!((one.skip, one.trailing), (DataStart::Bytes(4), 7));
        assert!(one.digest.unwrap().to_string().starts_with("sha512:abab"));
        assert_eq!(one.axes[0], Axis::samples(Some(4.0)));
        assert_eq!(one.fields["captures"][1]["core:sample_start"], 10);
    }

    #[test]
    fn metadata_without_data_are_ignored() {
        assert!(described(r#""core:metadata_only": true"#, "").unwrap().is_none());
        let named = format!(r#"{CI16}, "core:metadata_only": true, "core:dataset": "x""#);
        assert!(described(&named, "").unwrap().is_some());
    }

    /// What does not bear on the array is only a remark.
    #[test]
    fn faults_that_do_not_bear_on_the_array_are_remarks() {
        for (field, remarks, step) in [
            (r#""core:sample_rate": NaN"#, 1, None),
            (r#""core:sample_rate": 0"#, 1, None),
            (r#""core:sample_rate": "4""#, 1, Some(0.25)),
            (r#""core:sha512": """#, 0, None),
            (r#""core:num_channels": 1.0"#, 0, None),
        ] {
            let one = one(&format!("{CI16},\n{field}"), "");
            assert_eq!(one.layout.shape.dims(), [-1, 2], "{field}");
            assert_eq!((one.warnings.len(), one.axes[0].step), (remarks, step), "{field}");
            assert_eq!(one.digest, None);
        }
        let one = one(r#""core:datatype": "cs16""#, "");
        assert_eq!(one.layout.dtype.to_string(), "'<i2'");
        assert_eq!((one.layout.shape.dims(), one.warnings.len()), (vec![-1, 2], 1));
    }

    #[test]
    fn invalid_sidecars_are_rejected_with_their_line() {
        let with = |field: &str| format!("{CI16},\n{field}");
        for (global, captures, line, word) in [
            (r#""core:datatype": "cf16_le""#.to_owned(), "", 2, "such as cf32_le"),
            (r#""core:datatype": "i16_le""#.to_owned(), "", 2, "such as cf32_le"),
            (r#""core:datatype": "ri16_me""#.to_owned(), "", 2, "such as cf32_le"),
            (r#""core:datatype": "é""#.to_owned(), "", 2, "such as cf32_le"),
            (r#""core:datatype": 3"#.to_owned(), "", 2, "in quotes"),
            (r#""core:version": "1.2.0""#.to_owned(), "", 2, "no `core:datatype`"),
            (with(r#""core:num_channels": 0"#), "", 3, "1 or more"),
            (with(r#""core:num_channels": 2.5"#), "", 3, "1 or more"),
            (with(r#""core:num_channels": 9223372036854775807"#), "", 0, "2^63"),
            (with(r#""core:sha512": "ab""#), "", 3, "128 hexadecimal digits"),
            (with(r#""core:trailing_bytes": -1"#), "", 3, "0 or more"),
            (with(r#""core:dataset": "/x""#), "", 3, "outside the sidecar's directory"),
            (with(r#""core:dataset": "../x""#), "", 3, "outside the sidecar's directory"),
            (with(r#""core:dataset": "a/x""#), "", 3, "another directory"),
            (CI16.to_owned(), r#"{"core:sample_start": 5, "core:header_bytes": 4}"#, 3, "between"),
            (CI16.to_owned(), "{},\n{\"core:header_bytes\": 4}", 4, "between samples"),
            (CI16.to_owned(), r#"{"core:header_bytes": 1.5}"#, 3, "0 or more"),
            (CI16.to_owned(), "{", 3, "must be a string"),
        ] {
            let error = described(&global, captures).unwrap_err().to_string();
            let stated = line == 0 || error.starts_with(&format!("line {line}, "));
            assert!(stated && error.contains(word), "{error}");
        }
        let name = FileName::try_from("x.sigmf-meta".to_owned()).unwrap();
        assert!(read(&name, b"[]").unwrap_err().to_string().contains("no `global`"));
    }

    #[test]
    fn names() {
        assert!((FORMAT.is_named)("x.sigmf-meta") && !(FORMAT.is_named)(".sigmf-meta"));
        assert_eq!((FORMAT.data_of)("a.b.sigmf-meta"), ["a.b.sigmf-data"]);
        let sidecars = (FORMAT.sidecars_of)(Path::new("d/a.b.sigmf-data"));
        assert_eq!(sidecars, [Path::new("d/a.b.sigmf-meta")]);
    }
}
