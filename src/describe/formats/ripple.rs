//! RPL, the raw format of Lispix and Ripple, which programs of electron microscopes export: a table
//! of keys and values, `scan.rpl`, beside `scan.raw`.
//!
//! Specification: D. Bright, "LISPIX: Ripple file format", NIST; RosettaSciIO reads and writes it
//! in `rsciio/ripple`.

use crate::describe::DescribeError;
use crate::describe::data_path::{Data, DataPath};
use crate::describe::described::{Axis, DataStart, Described};
use crate::describe::file_names;
use crate::describe::near_miss::Mark;
use crate::describe::sidecar::{Format, ReadResult};
use crate::describe::text::fields::{Field, Fields, text_of};
use crate::model::FileName;
use crate::npy::{Dtype, Layout, Order};

pub(crate) static FORMAT: Format = Format {
    name: "RPL",
    files: "x.rpl beside x.raw",
    reads: "all data types and byte orders; record-by vector, image and dont-care",
    proof: "the exact size",
    is_named: |name| file_names::without_suffix(name, ".rpl").is_some(),
    data_of: |sidecar| vec![format!("{}.raw", &sidecar[..sidecar.len() - ".rpl".len()])],
    sidecars_of: |data| match data.extension() {
        Some(extension) if extension == "raw" => vec![data.with_extension("rpl")],
        _ => Vec::new(),
    },
    size_keys: "width, height, depth, data-length, offset",
    mark: Mark {
        keys: &["width", "height", "depth", "data-type", "byte-order"],
        missing: "it has neither `record-by` nor `data-length`, with a tab behind: add them",
    },
    read,
};

fn read(name: &FileName, text: &[u8]) -> ReadResult {
    let text = text_of(text);
    let fields = fields(&text);
    if fields.get("record-by").is_none() && fields.get("data-length").is_none() {
        return Ok(None);
    }
    let length = |key| fields.need(key)?.length();
    let (width, height) = (length("width")?, length("height")?);
    let depth = fields.get("depth").map_or(Ok(1), Field::length)?;
    let record_by = fields.need("record-by")?;
    let (shape, axes) = match &*record_by.value {
        "vector" => (vec![height, width, depth], vec!["height", "width", "depth"]),
        "image" => (vec![depth, height, width], vec!["depth", "height", "width"]),
        "dont-care" if depth == 1 => (vec![height, width], vec!["height", "width"]),
        _ => return Err(record_by.error("write vector or image; dont-care needs a depth of 1")),
    };
    let mut warnings = Vec::new();
    let dtype = dtype(&fields, &mut warnings)?;
    let layout = Layout::new(dtype, &shape, Order::C)?;
    let data = (FORMAT.data_of)(name.as_str());
    let data = data.iter().map(|name| DataPath::beside(name)).collect::<Result<_, _>>()?;
    Ok(Some(vec![Described {
        skip: DataStart::Bytes(fields.get("offset").map_or(Ok(0), Field::count)?),
        axes: axes.into_iter().map(Axis::named).collect(),
        fields: fields.to_metadata(),
        warnings,
        ..Described::new(Data::FirstOf(data), layout)
    }]))
}

/// Parses lines with a key, a tab and a value; `;` begins a comment. It skips the title line
/// `key`, tab, `value`. INCA writes `(MLX::key : value)` instead, with values in upper case.
fn fields(text: &str) -> Fields<'_> {
    let mut fields = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.split(';').next().unwrap_or_default();
        let inca = line.trim().strip_prefix("(MLX::").and_then(|it| it.strip_suffix(')'));
        let pair = inca.map_or_else(|| line.split_once('\t'), |inca| inca.split_once(':'));
        let Some((key, value)) = pair else { continue };
        let (key, value) = (key.trim(), value.trim().trim_matches('"'));
        if !key.is_empty() && (key, value) != ("key", "value") {
            fields.push(Field { key, value: value.to_ascii_lowercase().into(), line: at + 1 });
        }
    }
    Fields(fields)
}

fn dtype(fields: &Fields<'_>, warnings: &mut Vec<String>) -> Result<Dtype, DescribeError> {
    let kind = fields.need("data-type")?;
    let length = fields.need("data-length")?;
    let code = match (&*kind.value, &*length.value) {
        ("signed", "1" | "2" | "4" | "8") => 'i',
        ("unsigned", "1" | "2" | "4" | "8") => 'u',
        ("float", "4" | "8") => 'f',
        ("signed" | "unsigned" | "float", _) => {
            return Err(length.error("there is no type of that size: write 1, 2, 4 or 8"));
        }
        _ => return Err(kind.error("write signed, unsigned or float")),
    };
    let order = match fields.get("byte-order") {
        _ if length.value == "1" => '|',
        Some(field) => match &*field.value {
            "little-endian" => '<',
            "big-endian" => '>',
            "dont-care" => {
                warnings.push(field.error("npyd assumes little-endian").to_string());
                '<'
            }
            _ => return Err(field.error("write little-endian or big-endian")),
        },
        None => return Err("it has no `byte-order`: add little-endian or big-endian".into()),
    };
    Dtype::from_text(&format!("{order}{code}{}", length.value)).map_err(DescribeError::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(text: &str) -> ReadResult {
        read(&FileName::try_from("scan.rpl".to_owned()).unwrap(), text.as_bytes())
    }

    const SPECTRA: &str = "key\tvalue\nwidth\t4\nheight\t3\ndepth\t1024\noffset\t16\ndata-length\t2\n\
        data-type\tunsigned\nbyte-order\tbig-endian\nrecord-by\tvector\n";

    #[test]
    fn spectra_come_last() {
        let one = described(SPECTRA).unwrap().unwrap().remove(0);
        assert_eq!(one.layout.shape.dims(), [3, 4, 1024]);
        assert_eq!(one.layout.dtype.to_string(), "'>u2'");
        assert_eq!(one.skip, DataStart::Bytes(16));
    }

    #[test]
    fn the_notation_of_inca() {
        let inca = "(MLX::key value)\r\n(MLX::width : 4)\r\n(MLX::height : 3)\r\n(MLX::depth : 2)\r\n\
            (MLX::offset : 8)\r\n(MLX::data-length : 2)\r\n(MLX::data-type : UNSIGNED)\r\n\
            (MLX::byte-order : BIG-ENDIAN)\r\n(MLX::record-by : VECTOR)\r\n";
        let one = described(inca).unwrap().unwrap().remove(0);
        assert_eq!(one.layout.shape.dims(), [3, 4, 2]);
        assert_eq!(one.layout.dtype.to_string(), "'>u2'");
        assert_eq!(one.skip, DataStart::Bytes(8));
        let error = described(&inca.replace("width : 4", "width : x")).unwrap_err().to_string();
        assert!(error.starts_with("line 2"), "{error}");
    }

    #[test]
    fn invalid_headers_are_rejected_with_their_line() {
        for (was, is, line) in [
            ("width\t4", "width\t0", "line 2"),
            ("data-length\t2", "data-length\t3", "line 6"),
            ("big-endian", "middle-endian", "line 8"),
            ("vector", "dont-care", "line 9"),
        ] {
            let error = described(&SPECTRA.replace(was, is)).unwrap_err().to_string();
            assert!(error.starts_with(line), "{error}");
        }
        assert!(described("key\tvalue\n").unwrap().is_none());
    }
}
