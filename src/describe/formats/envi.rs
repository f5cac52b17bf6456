//! ENVI, a format of imaging spectrometers and remote sensing: a text header, `scan.hdr` or
//! `scan.img.hdr`, beside the raw image.
//!
//! Specification: "ENVI Header Files", NV5 Geospatial; Spectral Python reads and writes it in
//! `spectral/io/envi.py`.

use crate::describe::DescribeError;
use crate::describe::data_path::{Data, DataPath};
use crate::describe::described::{Axis, DataStart, Described};
use crate::describe::file_names;
use crate::describe::near_miss::Mark;
use crate::describe::sidecar::{Format, ReadResult};
use crate::describe::text::Metadata;
use crate::describe::text::fields::{Field, Fields, list_or_text, text_of};
use crate::model::FileName;
use crate::npy::{Dtype, Layout, Order};

pub(crate) static FORMAT: Format = Format {
    name: "ENVI",
    files: "x.hdr or x.EXT.hdr, whose first line is ENVI, beside x, x.EXT, x.img, .dat, .sli, \
            .hyspex, .raw, .bin, .bsq, .bil, .bip",
    reads: "all real and complex data types, byte orders and interleaves; not compressed or framed files",
    proof: "the exact size",
    is_named: |name| file_names::without_suffix(name, ".hdr").is_some(),
    data_of: |sidecar| file_names::data_of_hdr(sidecar, &SUFFIXES),
    sidecars_of: file_names::hdrs_of,
    size_keys: "samples, lines, bands, data type, header offset",
    mark: Mark {
        keys: &["samples", "lines", "bands", "data type", "interleave", "byte order"],
        missing: "its first line is not `ENVI`: write that there",
    },
    read,
};

/// Suffixes that the data file may have instead of `.hdr`.
const SUFFIXES: [&str; 10] =
    ["", ".img", ".dat", ".sli", ".hyspex", ".raw", ".bin", ".bsq", ".bil", ".bip"];

/// Fields with factors and offsets for the values.
const FACTORS: [&str; 3] = ["data gain values", "data offset values", "reflectance scale factor"];

fn read(name: &FileName, text: &[u8]) -> ReadResult {
    let text = text_of(text);
    // Spectral Python and GDAL accept any text behind the word.
    let first = text.lines().next().unwrap_or_default().trim_start();
    if first.strip_prefix("ENVI").is_none_or(|more| more.starts_with(char::is_alphanumeric)) {
        return Ok(None);
    }
    let fields = fields(&text)?;
    check_supported(&fields)?;
    let length = |key| fields.need(key)?.length();
    let (samples, lines, bands) = (length("samples")?, length("lines")?, length("bands")?);
    let interleave = fields.need("interleave")?;
    let bands_axis = Axis {
        unit: fields.get("wavelength units").map(|field| field.value.to_string()),
        ..Axis::named("bands")
    };
    let (lines_axis, samples_axis) = (Axis::named("lines"), Axis::named("samples"));
    let (shape, axes) = match &*interleave.value.to_ascii_lowercase() {
        "bsq" => ([bands, lines, samples], [bands_axis, lines_axis, samples_axis]),
        "bil" => ([lines, bands, samples], [lines_axis, bands_axis, samples_axis]),
        "bip" => ([lines, samples, bands], [lines_axis, samples_axis, bands_axis]),
        _ => return Err(interleave.error("write bsq, bil or bip")),
    };
    let mut warnings = Vec::new();
    let dtype = dtype(&fields, &mut warnings)?;
    let layout = Layout::new(dtype, &shape, Order::C)?;
    let data = (FORMAT.data_of)(name.as_str());
    let data = data.iter().map(|name| DataPath::beside(name)).collect::<Result<_, _>>()?;
    let (mut kept, mut unapplied) = (Metadata::new(), Metadata::new());
    for field in &fields.0 {
        let into = if FACTORS.contains(&field.key) { &mut unapplied } else { &mut kept };
        into.insert(field.key.to_owned(), list_or_text(&field.value));
    }
    Ok(Some(vec![Described {
        skip: DataStart::Bytes(fields.get("header offset").map_or(Ok(0), Field::count)?),
        axes: axes.into(),
        unapplied,
        fields: kept,
        warnings,
        ..Described::new(Data::FirstOf(data), layout)
    }]))
}

/// Rejects fields that change the layout but that npyd does not support, and misspelt names of such
/// fields.
fn check_supported(fields: &Fields<'_>) -> Result<(), DescribeError> {
    // Readers ignore a field whose name has other blanks than they expect.
    let bare = |key: &str| key.replace([' ', '\t', '_'], "").to_ascii_lowercase();
    for known in ["header offset", "file compression", "major frame offsets", "minor frame offsets"]
    {
        let odd = |field: &&Field<'_>| {
            bare(field.key) == bare(known) && !field.key.eq_ignore_ascii_case(known)
        };
        if let Some(field) = fields.0.iter().find(odd) {
            return Err(field.error(format!("write it as `{known}`")));
        }
    }
    if let Some(field) = fields.get("file compression")
        && field.value != "0"
    {
        return Err(field.error("npyd can't read compressed data: save them uncompressed"));
    }
    for key in ["major frame offsets", "minor frame offsets"] {
        if let Some(field) = fields.get(key)
            && field.value.chars().any(|c| matches!(c, '1'..='9'))
        {
            return Err(field
                .error("npyd can't read data with gaps between frames: save them without gaps"));
        }
    }
    Ok(())
}

/// Parses lines of the form `key = value`. A value in braces may begin on the next line and extend
/// over several, and a line that begins with `;` is a comment.
fn fields(text: &str) -> Result<Fields<'_>, DescribeError> {
    let mut fields = Vec::new();
    let mut lines = text.lines().enumerate().skip(1).peekable();
    while let Some((at, line)) = lines.next() {
        if line.trim_start().starts_with(';') {
            continue;
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        let mut value = value.trim().to_owned();
        if value.is_empty()
            && let Some((_, next)) = lines.next_if(|(_, next)| next.trim_start().starts_with('{'))
        {
            next.trim().clone_into(&mut value);
        }
        let mut is_open = value.starts_with('{') && !value.contains('}');
        while is_open {
            let Some((_, more)) = lines.next() else {
                return Err(format!("line {}: the brace is not closed: add a `}}`", at + 1).into());
            };
            if more.trim_start().starts_with(';') {
                continue;
            }
            is_open = !more.contains('}');
            value.push('\n');
            value.push_str(more.trim());
        }
        fields.push(Field { key: key.trim(), value: value.into(), line: at + 1 });
    }
    Ok(Fields(fields))
}

fn dtype(fields: &Fields<'_>, warnings: &mut Vec<String>) -> Result<Dtype, DescribeError> {
    let data_type = fields.need("data type")?;
    let code = match &*data_type.value {
        "1" => "u1",
        "2" => "i2",
        "3" => "i4",
        "4" => "f4",
        "5" => "f8",
        "6" => "c8",
        "9" => "c16",
        "12" => "u2",
        "13" => "u4",
        "14" => "i8",
        "15" => "u8",
        _ => return Err(data_type.error("unknown data type: write 1 to 6, 9, or 12 to 15")),
    };
    let order = match fields.get("byte order") {
        _ if code == "u1" => "|",
        None => {
            warnings.push("it has no `byte order`: npyd assumes 0, little-endian".to_owned());
            "<"
        }
        Some(field) => match &*field.value {
            "0" => "<",
            "1" => ">",
            _ => return Err(field.error("write 0 for little-endian, 1 for big-endian")),
        },
    };
    Dtype::from_text(&format!("{order}{code}")).map_err(DescribeError::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(text: &str) -> ReadResult {
        read(&FileName::try_from("scan.img.hdr".to_owned()).unwrap(), text.as_bytes())
    }

    const CUBE: &str = "ENVI\ndescription = { a cube,\n  of two lines }\nsamples = 4\nlines   = 3\n\
        bands = 2\nheader offset = 16\ndata type = 12\ninterleave = bil\nByte Order = 1\n\
        ; a comment = 1\nwavelength units = nm\nwavelength = {400, 500}\ndata gain values = {1.5, 2}\n";

    #[test]
    fn a_cube() {
        let one = described(CUBE).unwrap().unwrap().remove(0);
        assert_eq!(one.layout.shape.dims(), [3, 2, 4]);
        assert_eq!(one.layout.dtype.to_string(), "'>u2'");
        assert_eq!(one.skip, DataStart::Bytes(16));
        assert_eq!(one.axes[1].unit.as_deref(), Some("nm"));
        assert_eq!(one.fields["wavelength"], serde_json::json!(["400", "500"]));
        assert_eq!(one.unapplied["data gain values"], serde_json::json!(["1.5", "2"]));
        let Data::FirstOf(data) = one.data else { panic!("one file") };
        assert_eq!(data[0].to_string(), "scan.img");
    }

    /// ENVI itself writes little-endian data on all current computers.
    #[test]
    fn a_missing_byte_order_is_little_endian_with_a_remark() {
        let one = described(&CUBE.replace("Byte Order = 1\n", "")).unwrap().unwrap().remove(0);
        assert_eq!(one.layout.dtype.to_string(), "'<u2'");
        assert!(one.warnings[0].contains("`byte order`"), "{:?}", one.warnings);
        let one = described(CUBE).unwrap().unwrap().remove(0);
        assert!(one.warnings.is_empty());
        let bytes = CUBE.replace("data type = 12", "data type = 1").replace("Byte Order = 1\n", "");
        assert!(described(&bytes).unwrap().unwrap().remove(0).warnings.is_empty());
    }

    #[test]
    fn fields_over_several_lines() {
        let text = CUBE
            .replace("wavelength = {400, 500}", "wavelength =\n  {400,\n; none\n500}")
            .replace("bands = 2", "note =\n{ bands = 7\n  lines = 9 }\nbands = 2");
        for text in [text.clone(), text.replace('\n', "\r"), text.replace('\n', "\r\n")] {
            let one = described(&text).unwrap().unwrap().remove(0);
            assert_eq!(one.layout.shape.dims(), [3, 2, 4]);
            assert_eq!(one.fields["wavelength"], serde_json::json!(["400", "500"]));
            assert_eq!(one.fields["note"], "bands = 7\nlines = 9");
        }
    }

    /// The parser reads each line only once; otherwise this test would take an hour.
    #[test]
    fn a_brace_over_very_many_lines() {
        let open = format!("{CUBE}band names = {{{}", "a,\n".repeat(4_000_000));
        assert!(described(&open).unwrap_err().to_string().contains("line 15"));
        assert!(described(&(open + "b}")).unwrap().is_some());
    }

    #[test]
    fn unsupported_headers_are_rejected_with_their_line() {
        for (was, is, words) in [
            ("header offset", "headeroffset", "line 7"),
            ("header offset", "Header  offset", "line 7"),
            ("; a comment", "file_compression", "line 11"),
            ("data type = 12", "data type = 7", "line 8"),
            ("interleave = bil", "interleave = bsp", "line 9"),
            ("interleave = bil\n", "", "`interleave`"),
            ("Byte Order = 1", "byte order = 2", "line 10"),
            ("; a comment", "file compression", "line 11"),
            ("; a comment = 1", "minor frame offsets = {0, 8}", "line 11"),
            (
                "wavelength = {400, 500}\ndata gain values = {1.5, 2}",
                "wavelength = {400",
                "line 13",
            ),
            ("bands = 2", "bands = 0", "line 6"),
        ] {
            let error = described(&CUBE.replace(was, is)).unwrap_err().to_string();
            assert!(error.contains(words), "{is}: {error}");
        }
        for first in ["ENVI Standard", "  ENVI", "ENVI, made by hand", "\u{feff}ENVI"] {
            assert!(described(&CUBE.replace("ENVI", first)).unwrap().is_some(), "{first}");
        }
        for first in ["Envi", "EVNI", "ENVIRONMENT", "\nENVI", "ENVI1"] {
            assert!(described(&CUBE.replace("ENVI", first)).unwrap().is_none(), "{first}");
        }
        assert!(described("NROWS 2\n").unwrap().is_none());
    }
}
