//! EHdr, Esri's labelled raw rasters: `dem.hdr` with `NROWS` and `NCOLS` beside `dem.bil`.
//!
//! Specification: "BIL, BIP, and BSQ raster files" and, for `dem.flt`, "Float to Raster", Esri;
//! GDAL reads both in its driver `EHdr`. That driver does not read `DATATYPE`, which some programs
//! write instead of `PIXELTYPE`: a letter for the kind, and the number of bits, such as `S16`.

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
    name: "EHdr",
    files: "x.hdr with NROWS and NCOLS beside x.bil, .bip, .bsq, .flt, .dem, .img, .raw, .dat, .bin",
    reads: "8, 16, 32 and 64 bits, signed, unsigned and float, all layouts; not items smaller than a byte, and not padded rows",
    proof: "the exact size",
    is_named: |name| file_names::without_suffix(name, ".hdr").is_some(),
    data_of: |sidecar| file_names::data_of_hdr(sidecar, &SUFFIXES),
    sidecars_of: file_names::hdrs_of,
    size_keys: "NROWS, NCOLS, NBANDS, NBITS, SKIPBYTES",
    mark: Mark {
        keys: &["NROWS", "NCOLS", "NBANDS", "NBITS", "LAYOUT", "PIXELTYPE", "BYTEORDER"],
        missing: "it lacks `NROWS` or `NCOLS`, with a blank behind: add them",
    },
    read,
};

/// Suffixes that the data file may have instead of `.hdr`.
const SUFFIXES: [&str; 10] =
    [".bil", ".bip", ".bsq", ".flt", ".dem", ".img", ".raw", ".dat", ".bin", ""];

/// Keys of the no-data value. GDAL reads the first two.
const NO_DATA: [&str; 3] = ["NODATA", "NODATA_VALUE", "NODATAVALUE"];

fn read(name: &FileName, text: &[u8]) -> ReadResult {
    let text = text_of(text);
    let fields = fields(&text);
    if fields.get("NROWS").is_none() || fields.get("NCOLS").is_none() {
        return Ok(None);
    }
    let (rows, columns) = (fields.need("NROWS")?.length()?, fields.need("NCOLS")?.length()?);
    let bands = fields.get("NBANDS").map_or(Ok(1), Field::length)?;
    let data_type = data_type(&fields)?;
    let mut warnings = match fields.get("DATATYPE") {
        Some(field) if data_type.is_none() => {
            vec![
                field.error("unknown data type: npyd uses NBITS and PIXELTYPE instead").to_string(),
            ]
        }
        _ => Vec::new(),
    };
    let (dtype, bits) = dtype(&fields, data_type, &mut warnings)?;
    refuse_padding(&fields, [columns, bands], bits)?;
    let step = |key: &str| fields.get(key).and_then(|field| field.value.parse().ok());
    let rows_axis = Axis { step: step("YDIM"), ..Axis::named("rows") };
    let columns_axis = Axis { step: step("XDIM"), ..Axis::named("columns") };
    let bands_axis = Axis::named("bands");
    let order = fields.get("LAYOUT").map_or("BIL".to_owned(), |it| it.value.to_ascii_uppercase());
    let (shape, axes) = match (bands, &*order) {
        (1, "BIL" | "BIP" | "BSQ") => (vec![rows, columns], vec![rows_axis, columns_axis]),
        (_, "BIL") => (vec![rows, bands, columns], vec![rows_axis, bands_axis, columns_axis]),
        (_, "BIP") => (vec![rows, columns, bands], vec![rows_axis, columns_axis, bands_axis]),
        (_, "BSQ") => (vec![bands, rows, columns], vec![bands_axis, rows_axis, columns_axis]),
        _ => return Err(fields.need("LAYOUT")?.error("write BIL, BIP or BSQ")),
    };
    let layout = Layout::new(dtype, &shape, Order::C)?;
    let data = if is_grid_float(&fields) {
        file_names::data_of_hdr(name.as_str(), &[".flt"])
    } else {
        (FORMAT.data_of)(name.as_str())
    };
    let data = data.iter().map(|name| DataPath::beside(name)).collect::<Result<_, _>>()?;
    Ok(Some(vec![Described {
        skip: DataStart::Bytes(fields.get("SKIPBYTES").map_or(Ok(0), Field::count)?),
        axes,
        fields: fields.to_metadata(),
        warnings,
        ..Described::new(Data::FirstOf(data), layout)
    }]))
}

/// Parses lines with a key, blanks and a value.
fn fields(text: &str) -> Fields<'_> {
    let mut fields = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if let Some((key, value)) = line.trim().split_once(char::is_whitespace) {
            fields.push(Field { key, value: value.trim().into(), line: at + 1 });
        }
    }
    Fields(fields)
}

/// Returns whether this is the header of a grid of floats. Such a header contains no data type, and
/// one step for both axes.
fn is_grid_float(fields: &Fields<'_>) -> bool {
    let has = |key| fields.get(key).is_some();
    has("CELLSIZE") && !has("NBITS") && !has("PIXELTYPE") && !has("DATATYPE")
}

/// Parses DATATYPE: the kind as `i`, `u` or `f`, and the bits. `None` if the key is missing, or if
/// its value is unknown and NBITS and PIXELTYPE are present.
fn data_type(fields: &Fields<'_>) -> Result<Option<(char, i64)>, DescribeError> {
    let Some(field) = fields.get("DATATYPE") else { return Ok(None) };
    let text = field.value.to_ascii_uppercase();
    let known = [('U', 'u'), ('S', 'i'), ('R', 'f'), ('F', 'f')];
    let data_type = known.iter().find_map(|(letter, kind)| {
        let bits = text.strip_prefix(*letter)?.parse().ok()?;
        Some((*kind, bits))
    });
    let has_others = fields.get("NBITS").is_some() && fields.get("PIXELTYPE").is_some();
    if data_type.is_none() && !has_others {
        return Err(field.error("write U, S or R for the kind, and the bits, as in S16"));
    }
    Ok(data_type)
}

fn dtype(
    fields: &Fields<'_>,
    data_type: Option<(char, i64)>,
    warnings: &mut Vec<String>,
) -> Result<(Dtype, i64), DescribeError> {
    let code = kind(fields, data_type)?;
    let bits = match (fields.get("NBITS"), data_type) {
        (Some(field), _) => field.length()?,
        (None, Some((_, bits))) => bits,
        (None, None) if code == 'f' => 32,
        (None, None) => 8,
    };
    if let Some((_, stated)) = data_type.filter(|(_, stated)| *stated != bits) {
        let contradiction = format!("NBITS is {bits}, not {stated}: correct one of them");
        return Err(fields.need("DATATYPE")?.error(contradiction));
    }
    let right = if code == 'f' { &[32, 64][..] } else { &[8, 16, 32, 64] };
    if !right.contains(&bits) {
        let remedy = "npyd can't read items of so many bits: save them as 8, 16, 32 or 64";
        let field = fields.get("NBITS").or_else(|| fields.get("DATATYPE"));
        return Err(field.map_or(remedy.into(), |field| field.error(remedy)));
    }
    let order = match fields.get("BYTEORDER") {
        _ if bits == 8 => '|',
        // GDAL's default.
        None => {
            warnings.push("it has no `BYTEORDER`: npyd assumes M, big-endian, as GDAL does".into());
            '>'
        }
        Some(field) => match &*field.value.to_ascii_uppercase() {
            "I" | "LSBFIRST" => '<',
            "M" | "MSBFIRST" => '>',
            _ => return Err(field.error("write I for little-endian, M for big-endian")),
        },
    };
    let dtype = Dtype::from_text(&format!("{order}{code}{}", bits / 8));
    Ok((dtype?, bits))
}

/// Returns the kind, `i`, `u` or `f`. A missing PIXELTYPE means UNSIGNEDINT, except that a no-data
/// value below 0 means signed integers, because signed elevation models may have no PIXELTYPE. For
/// items of 32 or 64 bits PIXELTYPE is required, because they may be floats.
fn kind(fields: &Fields<'_>, data_type: Option<(char, i64)>) -> Result<char, DescribeError> {
    let stated = data_type.map(|(kind, _)| kind);
    if let Some(field) = fields.get("PIXELTYPE") {
        let kind = match &*field.value.to_ascii_uppercase() {
            "UNSIGNEDINT" => 'u',
            "SIGNEDINT" => 'i',
            "FLOAT" => 'f',
            _ => return Err(field.error("write SIGNEDINT, UNSIGNEDINT or FLOAT")),
        };
        return match stated {
            Some(stated) if stated != kind => Err(fields
                .need("DATATYPE")?
                .error(format!("PIXELTYPE is {}: correct one of them", field.value))),
            _ => Ok(kind),
        };
    }
    if let Some(kind) = stated {
        return Ok(kind);
    }
    let no_data = NO_DATA.iter().find_map(|key| fields.get(key));
    let is_below_0 = no_data.is_some_and(|it| it.value.parse::<f64>().is_ok_and(|it| it < 0.0));
    match fields.get("NBITS").map(|field| &*field.value) {
        None if is_grid_float(fields) => Ok('f'),
        None | Some("8" | "16") if is_below_0 => Ok('i'),
        Some("32" | "64") => {
            Err("it has no `PIXELTYPE`: add SIGNEDINT, UNSIGNEDINT or FLOAT".into())
        }
        _ => Ok('u'),
    }
}

/// Rejects data with bytes between rows or bands.
fn refuse_padding(
    fields: &Fields<'_>,
    [columns, bands]: [i64; 2],
    bits: i64,
) -> Result<(), DescribeError> {
    let row = columns.saturating_mul(bits / 8);
    let total = row.saturating_mul(bands);
    for (key, packed) in
        [("BANDROWBYTES", [row, row]), ("TOTALROWBYTES", [total, row]), ("BANDGAPBYTES", [0, 0])]
    {
        if let Some(field) = fields.get(key)
            && !packed.iter().any(|bytes| field.value == bytes.to_string())
        {
            return Err(field
                .error("npyd can't read gaps between rows or bands: save the data without gaps"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(text: &str) -> ReadResult {
        read(&FileName::try_from("dem.hdr".to_owned()).unwrap(), text.as_bytes())
    }

    const RASTER: &str = "BYTEORDER      M\nLAYOUT         BIL\nNROWS          3\n\
        NCOLS          4\nNBANDS         2\nNBITS          16\nBANDROWBYTES   8\n\
        TOTALROWBYTES  16\nPIXELTYPE      SIGNEDINT\nXDIM           0.25\n";

    #[test]
    fn bands_in_each_row() {
        let one = described(RASTER).unwrap().unwrap().remove(0);
        assert_eq!(one.layout.shape.dims(), [3, 2, 4]);
        assert_eq!(one.layout.dtype.to_string(), "'>i2'");
        assert_eq!(one.axes[2].step, Some(0.25));
        let one = described("nrows 2\nncols 5\n").unwrap().unwrap().remove(0);
        assert_eq!(one.layout.shape.dims(), [2, 5]);
        assert_eq!(one.layout.dtype.to_string(), "'|u1'");
    }

    /// GDAL reads such rasters as big-endian, too.
    #[test]
    fn a_missing_byte_order_is_big_endian_with_a_remark() {
        let one = described(&RASTER.replace("BYTEORDER      M\n", "")).unwrap().unwrap().remove(0);
        assert_eq!(one.layout.dtype.to_string(), "'>i2'");
        assert!(one.warnings[0].contains("`BYTEORDER`"), "{:?}", one.warnings);
        assert!(described(RASTER).unwrap().unwrap().remove(0).warnings.is_empty());
    }

    /// The expected types are those that GDAL reads.
    #[test]
    fn missing_types_have_defaults() {
        let grid = "ncols 5\nnrows 2\ncellsize 1\nNODATA_value -9999\nbyteorder MSBFIRST\n";
        let one = described(grid).unwrap().unwrap().remove(0);
        assert_eq!(one.layout.dtype.to_string(), "'>f4'");
        let names: Vec<_> = one.data.paths().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["dem.flt", "dem.FLT"]);
        let untold = RASTER.replace("PIXELTYPE      SIGNEDINT\n", "");
        for (text, descr) in [
            (untold.clone(), "'>u2'"),
            (format!("{untold}NODATA 0\n"), "'>u2'"),
            (format!("{untold}NODATA -9999\n"), "'>i2'"),
            (format!("{untold}NODATAVALUE -9999\n"), "'>i2'"),
            (format!("{untold}NODATAVALUE 9999\n"), "'>u2'"),
            ("NROWS 2\nNCOLS 5\nNBITS 8\nNODATA -99\n".to_owned(), "'|i1'"),
            ("NROWS 2\nNCOLS 5\nNODATA -99\n".to_owned(), "'|i1'"),
            ("NROWS 2\nNCOLS 5\nBYTEORDER I\nPIXELTYPE FLOAT\n".to_owned(), "'<f4'"),
        ] {
            let one = described(&text).unwrap().unwrap().remove(0);
            assert_eq!(one.layout.dtype.to_string(), descr, "{text}");
        }
    }

    /// A header that a GIS program writes, with DATATYPE instead of PIXELTYPE.
    const TYPED: &str = "ncols 4\nnrows 3\nnbits 16\nbyteorder I\nlayout bil\ndatatype S16\n\
        nodatavalue -3.4028234e+038\n";

    #[test]
    fn the_data_type_is_read() {
        for (was, is, descr) in [
            ("", "", "'<i2'"),
            ("S16", "u16", "'<u2'"),
            ("nbits 16\n", "", "'<i2'"),
            ("datatype S16", "datatype S16\npixeltype SIGNEDINT", "'<i2'"),
            ("nbits 16\n", "cellsize 1\n", "'<i2'"), // not a grid of floats
        ] {
            let one = described(&TYPED.replace(was, is)).unwrap().unwrap().remove(0);
            assert_eq!(one.layout.dtype.to_string(), descr, "{is}");
            assert_eq!(one.fields["nodatavalue"], "-3.4028234e+038");
            assert!(one.warnings.is_empty());
        }
        for (bits, code, descr) in [
            (8, "U8", "'|u1'"),
            (8, "S8", "'|i1'"),
            (32, "U32", "'<u4'"),
            (32, "S32", "'<i4'"),
            (32, "R32", "'<f4'"),
            (32, "F32", "'<f4'"),
            (64, "S64", "'<i8'"),
            (64, "R64", "'<f8'"),
        ] {
            let text = TYPED.replace("nbits 16", &format!("nbits {bits}")).replace("S16", code);
            let one = described(&text).unwrap().unwrap().remove(0);
            assert_eq!(one.layout.dtype.to_string(), descr, "{code}");
        }
    }

    /// An unknown DATATYPE is only a warning if other keys give the type.
    #[test]
    fn an_unknown_data_type_is_a_warning() {
        let whole = TYPED.replace("datatype S16", "datatype elevation\npixeltype SIGNEDINT");
        let one = described(&whole).unwrap().unwrap().remove(0);
        assert_eq!(one.layout.dtype.to_string(), "'<i2'");
        assert!(one.warnings[0].contains("line 6") && one.warnings[0].contains("elevation"));
    }

    #[test]
    fn a_contradictory_data_type_is_rejected_with_its_line() {
        for (was, is, words) in [
            ("nbits 16", "nbits 32", &["line 6", "NBITS is 32"][..]),
            ("S16", "S16\npixeltype UNSIGNEDINT", &["line 6", "PIXELTYPE is UNSIGNEDINT"]),
            ("S16", "S16\npixeltype FLOAT", &["line 6", "PIXELTYPE is FLOAT"]),
            ("S16", "R16", &["line 3", "so many bits"]),
            ("S16", "elevation", &["line 6", "as in S16"]),
            ("S16", "S", &["line 6", "as in S16"]),
            ("S16", "16", &["line 6", "as in S16"]),
            ("nbits 16\nbyteorder I\nlayout bil\ndatatype S16", "datatype U1", &["line 3"]),
        ] {
            let error = described(&TYPED.replace(was, is)).unwrap_err().to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{is}: {error}");
        }
    }

    #[test]
    fn unsupported_headers_are_rejected_with_their_line() {
        for (was, is, words) in [
            (
                "NBITS          16\nBANDROWBYTES   8\nTOTALROWBYTES  16\nPIXELTYPE      SIGNEDINT\n",
                "NBITS 32\n",
                "`PIXELTYPE`",
            ),
            ("LAYOUT         BIL", "LAYOUT BSP", "line 2"),
            ("16\nBANDROW", "4\nBANDROW", "line 6"),
            ("BANDROWBYTES   8", "BANDROWBYTES   12", "line 7"),
            ("SIGNEDINT", "COMPLEX", "line 9"),
        ] {
            let error = described(&RASTER.replace(was, is)).unwrap_err().to_string();
            assert!(error.contains(words), "{is}: {error}");
        }
        assert!(described("ENVI\nsamples = 4\n").unwrap().is_none());
    }
}
