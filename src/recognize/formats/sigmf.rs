//! SigMF, the Signal Metadata Format of software radio: `x.sigmf-meta` beside `x.sigmf-data`.
//!
//! Specification: "SigMF Specification" 1.2, sigmf.org; sigmf-python is its reference reader.

use serde_json::Value;

use crate::npy::{Dtype, Layout};
use crate::recognize::dump::{FileName, Metadata};
use crate::recognize::field::on_line;
use crate::recognize::names;
use crate::recognize::sidecar::{Axis, Data, DataPath, Described, Format, Reading, Skip};

pub(super) static FORMAT: Format = Format {
    name: "SigMF",
    files: "x.sigmf-meta beside x.sigmf-data, or the file its core:dataset names",
    reads: "all data types; complex integers get a last axis of two; refuses headers between captures",
    proof: "core:sha512 where it is given, else quiet",
    is_named: |name| names::without_suffix(name, ".sigmf-meta").is_some(),
    data_of: |sidecar| names::beside(sidecar, ".sigmf-meta", &[".sigmf-data"]),
    sidecars_of: |data| vec![data.with_extension("sigmf-meta")],
    read,
};

fn read(name: &FileName, text: &[u8]) -> Reading {
    let meta: Value = serde_json::from_slice(text).map_err(|error| {
        let lines = String::from_utf8_lossy(text);
        let line = lines.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
        on_line(error.line(), line, "that is not JSON")
    })?;
    let global = &meta["global"];
    let Some(datatype) = global.get("core:datatype") else { return Ok(None) };
    if global["core:metadata_only"] == true {
        return Ok(None);
    }
    let wrong = |key: &str, what: &str| format!("`{key}`: {what}");
    let count = |key: &str, value: &Value| match value {
        Value::Null => Ok(0),
        value => value.as_u64().ok_or_else(|| wrong(key, "that is not a whole number, 0 or more")),
    };
    let mut doubts = Vec::new();
    let (dtype, is_pair) = dtype(datatype.as_str().unwrap_or_default(), &mut doubts)
        .map_err(|what| wrong("core:datatype", &what))?;
    let channels = count("core:num_channels", &global["core:num_channels"])?.max(1);
    let (mut shape, mut axes) = (vec![0], vec![sample_axis(&global["core:sample_rate"])]);
    if channels > 1 {
        shape.push(i64::try_from(channels).map_err(|_| wrong("core:num_channels", "too many"))?);
        axes.push(Axis::named("channel"));
    }
    if is_pair {
        shape.push(2);
        axes.push(Axis::named("real and imaginary part"));
    }
    let captures = meta["captures"].as_array().map_or(&[][..], Vec::as_slice);
    let mut header = 0;
    for (at, capture) in captures.iter().enumerate() {
        let bytes = count("core:header_bytes", &capture["core:header_bytes"])?;
        if at > 0 && bytes > 0 {
            return Err(wrong(
                "core:header_bytes",
                "data with headers between the captures can't be taken as one array",
            ));
        }
        header += bytes;
    }
    let digest = match &global["core:sha512"] {
        Value::String(hex) => Some(
            format!("sha512:{hex}").parse().map_err(|what: String| wrong("core:sha512", &what))?,
        ),
        _ => None,
    };
    let data = match &global["core:dataset"] {
        Value::Null => (FORMAT.data_of)(name.as_str()),
        Value::String(name) => vec![name.clone()],
        _ => return Err(wrong("core:dataset", "that is not a file's name")),
    };
    let data = data.iter().map(|name| DataPath::beside(name)).collect::<Result<_, _>>();
    let data = data.map_err(|what| wrong("core:dataset", &what))?;
    let layout = Layout::open_on(dtype, &shape, 0).map_err(|error| error.to_string())?;
    Ok(Some(vec![Described {
        skip: Skip::Bytes(header),
        trailing: count("core:trailing_bytes", &global["core:trailing_bytes"])?,
        digest,
        axes,
        fields: meta.as_object().cloned().unwrap_or_else(Metadata::new),
        doubts,
        ..Described::new(Data::FirstOf(data), layout)
    }]))
}

fn sample_axis(rate: &Value) -> Axis {
    let step = rate.as_f64().filter(|rate| *rate > 0.0).map(|rate| 1.0 / rate);
    Axis { step, unit: step.map(|_| "s".to_owned()), ..Axis::named("sample") }
}

/// The items' type, and whether two of them are one complex number.
fn dtype(text: &str, doubts: &mut Vec<String>) -> Result<(Dtype, bool), String> {
    let unknown = || format!("{text:?} is no type that SigMF knows");
    let (kind, order) = match text.split_once('_') {
        Some((kind, "le")) => (kind, Some('<')),
        Some((kind, "be")) => (kind, Some('>')),
        Some(_) => return Err(unknown()),
        None => (text, None),
    };
    let (is_complex, item) = match (kind.strip_prefix('c'), kind.strip_prefix('r')) {
        (Some(item), _) => (true, item),
        (_, Some(item)) => (false, item),
        _ => return Err(unknown()),
    };
    let (code, is_pair) = match (item, is_complex) {
        ("f32", true) => ("c8", false),
        ("f64", true) => ("c16", false),
        ("f32", false) => ("f4", false),
        ("f64", false) => ("f8", false),
        ("i32", pair) => ("i4", pair),
        ("i16", pair) => ("i2", pair),
        ("i8", pair) => ("i1", pair),
        ("u32", pair) => ("u4", pair),
        ("u16", pair) => ("u2", pair),
        ("u8", pair) => ("u1", pair),
        _ => return Err(unknown()),
    };
    let one_byte = code.ends_with('1');
    if order.is_none() && !one_byte {
        doubts.push(format!("{text:?} has no byte order; it is taken as little-endian"));
    }
    let order = if one_byte { '|' } else { order.unwrap_or('<') };
    let dtype = Dtype::from_text(&format!("{order}{code}")).map_err(|error| error.to_string())?;
    Ok((dtype, is_pair))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(global: &str, captures: &str) -> Reading {
        let text = format!("{{\"global\": {{{global}}},\n\"captures\": [{captures}]}}");
        read(&FileName::try_from("x.sigmf-meta".to_owned()).unwrap(), text.as_bytes())
    }

    #[test]
    fn types_and_channels() {
        for (global, descr, shape) in [
            (r#""core:datatype": "cf32_le""#, "'<c8'", vec![-1]),
            (r#""core:datatype": "ri16_be", "core:num_channels": 3"#, "'>i2'", vec![-1, 3]),
            (r#""core:datatype": "ci16_le", "core:num_channels": 3"#, "'<i2'", vec![-1, 3, 2]),
            (r#""core:datatype": "cu8", "core:num_channels": 1"#, "'|u1'", vec![-1, 2]),
            (r#""core:datatype": "rf64""#, "'<f8'", vec![-1]),
        ] {
            let one = described(global, "").unwrap().unwrap().remove(0);
            assert_eq!(one.layout.dtype.to_string(), descr);
            assert_eq!(one.layout.shape.dims(), shape);
            assert_eq!(one.doubts.len(), usize::from(global.contains("rf64")));
        }
        let one = described(
            r#""core:datatype": "ri8", "core:trailing_bytes": 3, "core:sample_rate": 4"#,
            r#"{"core:sample_start": 0, "core:header_bytes": 5}"#,
        );
        let one = one.unwrap().unwrap().remove(0);
        assert_eq!((one.skip, one.trailing), (Skip::Bytes(5), 3));
        assert_eq!(one.axes[0].step, Some(0.25));
    }

    #[test]
    fn what_can_not_be_taken_is_refused_by_its_key() {
        for (global, captures, words) in [
            (r#""core:datatype": "cf16_le""#, "", "core:datatype"),
            (r#""core:datatype": "f32_le""#, "", "core:datatype"),
            (r#""core:datatype": 7"#, "", "core:datatype"),
            (r#""core:datatype": "ri8", "core:num_channels": -1"#, "", "core:num_channels"),
            (r#""core:datatype": "ri8", "core:dataset": "/x""#, "", "core:dataset"),
            (r#""core:datatype": "ri8", "core:sha512": "00""#, "", "core:sha512"),
            (r#""core:datatype": "ri8""#, r#"{}, {"core:header_bytes": 5}"#, "core:header_bytes"),
            (r#""core:datatype": "ri8","#, "", "line 1"),
        ] {
            let error = described(global, captures).unwrap_err();
            assert!(error.contains(words), "{global}: {error}");
        }
        assert!(described("", "").unwrap().is_none());
        let only = r#""core:datatype": "ri8", "core:metadata_only": true"#;
        assert!(described(only, "").unwrap().is_none());
    }
}
