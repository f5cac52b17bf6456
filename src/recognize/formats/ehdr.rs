//! EHdr, the labelled raw rasters of Esri: `dem.hdr` with `NROWS` and `NCOLS` beside `dem.bil`.
//!
//! Specification: "BIL, BIP, and BSQ raster files" and, for `dem.flt`, "Float to Raster", Esri; GDAL
//! reads both in its driver `EHdr`.

use crate::npy::{Dtype, Layout, Order};
use crate::recognize::dump::FileName;
use crate::recognize::field::{Field, Fields, text_of};
use crate::recognize::names;
use crate::recognize::sidecar::{Axis, Data, DataPath, Described, Format, Reading, Skip};

pub(super) static FORMAT: Format = Format {
    name: "EHdr",
    files: "x.hdr with NROWS and NCOLS beside x.bil, .bip, .bsq, .flt, .dem, .img, .raw, .dat, .bin",
    reads: "8, 16, 32 and 64 bits, signed, unsigned and float, all layouts; refuses bits that fill no byte and padded rows",
    proof: "the exact size",
    is_named: |name| names::without_suffix(name, ".hdr").is_some(),
    data_of: |sidecar| names::data_of_hdr(sidecar, &SUFFIXES),
    sidecars_of: names::hdrs_of,
    read,
};

/// What the data file's name has where the header's has `.hdr`.
const SUFFIXES: [&str; 10] =
    [".bil", ".bip", ".bsq", ".flt", ".dem", ".img", ".raw", ".dat", ".bin", ""];

fn read(name: &FileName, text: &[u8]) -> Reading {
    let text = text_of(text);
    let fields = fields(&text);
    if fields.get("NROWS").is_none() || fields.get("NCOLS").is_none() {
        return Ok(None);
    }
    let (rows, columns) = (fields.need("NROWS")?.length()?, fields.need("NCOLS")?.length()?);
    let bands = fields.get("NBANDS").map_or(Ok(1), Field::length)?;
    let (dtype, bits) = dtype(&fields)?;
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
    let layout = Layout::new(dtype, &shape, Order::C).map_err(|error| error.to_string())?;
    let data = if is_grid_float(&fields) {
        names::data_of_hdr(name.as_str(), &[".flt"])
    } else {
        (FORMAT.data_of)(name.as_str())
    };
    let data = data.iter().map(|name| DataPath::beside(name)).collect::<Result<_, _>>()?;
    Ok(Some(vec![Described {
        skip: Skip::Bytes(fields.get("SKIPBYTES").map_or(Ok(0), Field::count)?),
        axes,
        fields: fields.to_metadata(),
        ..Described::new(Data::FirstOf(data), layout)
    }]))
}

/// A key, blanks, a value; a key in whatever case.
fn fields(text: &str) -> Fields<'_> {
    let mut fields = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if let Some((key, value)) = line.trim().split_once(char::is_whitespace) {
            fields.push(Field { key, value: value.trim().into(), line: at + 1 });
        }
    }
    Fields(fields)
}

/// Whether it is the header of a grid of floats, which has neither NBITS nor PIXELTYPE, and tells
/// the steps of both axes in one.
fn is_grid_float(fields: &Fields<'_>) -> bool {
    let has = |key| fields.get(key).is_some();
    has("CELLSIZE") && !has("NBITS") && !has("PIXELTYPE")
}

fn dtype(fields: &Fields<'_>) -> Result<(Dtype, i64), String> {
    let code = kind(fields)?;
    let bits = match fields.get("NBITS") {
        Some(field) => field.length()?,
        None if code == 'f' => 32,
        None => 8,
    };
    let right = if code == 'f' { &[32, 64][..] } else { &[8, 16, 32, 64] };
    if !right.contains(&bits) {
        let remedy = "items of so many bits can't be taken as they are";
        return Err(fields.get("NBITS").map_or(remedy.to_owned(), |field| field.error(remedy)));
    }
    let order = match fields.get("BYTEORDER") {
        _ if bits == 8 => '|',
        None => {
            return Err("it has no `BYTEORDER`: add I for little-endian, M for big-endian".into());
        }
        Some(field) => match &*field.value.to_ascii_uppercase() {
            "I" | "LSBFIRST" => '<',
            "M" | "MSBFIRST" => '>',
            _ => return Err(field.error("write I for little-endian, M for big-endian")),
        },
    };
    let dtype = Dtype::from_text(&format!("{order}{code}{}", bits / 8));
    Ok((dtype.map_err(|error| error.to_string())?, bits))
}

/// `i`, `u` or `f`. A missing PIXELTYPE stands for UNSIGNEDINT; but elevation models that are
/// signed lack it, too, and there a value below 0 for no data tells. Whether wider ones are floats,
/// nothing tells.
fn kind(fields: &Fields<'_>) -> Result<char, String> {
    if let Some(field) = fields.get("PIXELTYPE") {
        return match &*field.value.to_ascii_uppercase() {
            "UNSIGNEDINT" => Ok('u'),
            "SIGNEDINT" => Ok('i'),
            "FLOAT" => Ok('f'),
            _ => Err(field.error("write SIGNEDINT, UNSIGNEDINT or FLOAT")),
        };
    }
    let no_data = fields.get("NODATA").or_else(|| fields.get("NODATA_VALUE"));
    let is_below_0 = no_data.is_some_and(|it| it.value.parse::<f64>().is_ok_and(|it| it < 0.0));
    match fields.get("NBITS").map(|field| &*field.value) {
        None if is_grid_float(fields) => Ok('f'),
        Some("16") if is_below_0 => Ok('i'),
        Some("32" | "64") => {
            Err("it has no `PIXELTYPE`: add SIGNEDINT, UNSIGNEDINT or FLOAT".to_owned())
        }
        _ => Ok('u'),
    }
}

/// Rows and bands must follow one another without bytes between them.
fn refuse_padding(
    fields: &Fields<'_>,
    [columns, bands]: [i64; 2],
    bits: i64,
) -> Result<(), String> {
    let row = columns.saturating_mul(bits / 8);
    let total = row.saturating_mul(bands);
    for (key, packed) in
        [("BANDROWBYTES", [row, row]), ("TOTALROWBYTES", [total, row]), ("BANDGAPBYTES", [0, 0])]
    {
        if let Some(field) = fields.get(key)
            && !packed.iter().any(|bytes| field.value == bytes.to_string())
        {
            return Err(field
                .error("data with gaps between their rows or bands can't be taken as one array"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(text: &str) -> Reading {
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

    /// As GDAL reads them.
    #[test]
    fn types_that_are_not_told() {
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
            ("NROWS 2\nNCOLS 5\nBYTEORDER I\nPIXELTYPE FLOAT\n".to_owned(), "'<f4'"),
        ] {
            let one = described(&text).unwrap().unwrap().remove(0);
            assert_eq!(one.layout.dtype.to_string(), descr, "{text}");
        }
    }

    #[test]
    fn what_can_not_be_taken_is_refused_by_its_line() {
        for (was, is, words) in [
            (
                "NBITS          16\nBANDROWBYTES   8\nTOTALROWBYTES  16\nPIXELTYPE      SIGNEDINT\n",
                "NBITS 32\n",
                "`PIXELTYPE`",
            ),
            ("BYTEORDER      M\n", "", "`BYTEORDER`"),
            ("LAYOUT         BIL", "LAYOUT BSP", "line 2"),
            ("16\nBANDROW", "4\nBANDROW", "line 6"),
            ("BANDROWBYTES   8", "BANDROWBYTES   12", "line 7"),
            ("SIGNEDINT", "COMPLEX", "line 9"),
        ] {
            let error = described(&RASTER.replace(was, is)).unwrap_err();
            assert!(error.contains(words), "{is}: {error}");
        }
        assert!(described("ENVI\nsamples = 4\n").unwrap().is_none());
    }
}
