//! BrainVision, a format of EEG amplifiers: `x.vhdr` beside `x.eeg`.
//!
//! Specification: "BrainVision Core Data Format" 1.0, Brain Products; pybv writes it, MNE and neo
//! read it. The manual of BrainVision Analyzer describes the bytes that may surround the data.

use serde_json::{Value, json};

use crate::describe::DescribeError;
use crate::describe::data_path::{Data, DataPath};
use crate::describe::described::{Axis, DataStart, Described};
use crate::describe::file_names;
use crate::describe::near_miss::Mark;
use crate::describe::sidecar::{Format, ReadResult};
use crate::describe::text::Metadata;
use crate::describe::text::fields::{Field, missing, text_of};
use crate::model::FileName;
use crate::npy::{Dtype, Layout, Order};

pub(crate) static FORMAT: Format = Format {
    name: "BrainVision",
    files: "x.vhdr beside x.eeg, or beside the file that DataFile names",
    reads: "INT_16, INT_32 and IEEE_FLOAT_32, multiplexed and vectorized; not ASCII, and not bytes between samples",
    proof: "complete samples of all channels, and quiet; the exact size if vectorized with DataPoints",
    is_named: |name| file_names::without_suffix(name, ".vhdr").is_some(),
    data_of: |sidecar| file_names::beside(sidecar, ".vhdr", &[".eeg", ".dat"]),
    sidecars_of: |data| file_names::sidecars(data, "vhdr"),
    size_keys: "NumberOfChannels, BinaryFormat",
    mark: Mark {
        keys: &["DataFile", "DataFormat", "DataOrientation", "NumberOfChannels", "BinaryFormat"],
        missing: "its first line is not `Brain Vision Data Exchange Header File Version 1.0`: write that there",
    },
    read,
};

fn read(name: &FileName, text: &[u8]) -> ReadResult {
    let text = text_of(text);
    let first = text.lines().next().unwrap_or_default();
    if !first.replace(' ', "").starts_with("BrainVisionDataExchangeHeaderFile") {
        return Ok(None);
    }
    let (sections, comment) = sections(&text);
    let get = |section: &str, key: &str| {
        let (_, fields) = sections.iter().find(|(name, _)| name.eq_ignore_ascii_case(section))?;
        fields.iter().rev().find(|field| field.key.eq_ignore_ascii_case(key))
    };
    let need = |section: &str, key: &str| {
        let fields = sections.iter().filter(|(name, _)| name.eq_ignore_ascii_case(section));
        let fields = fields.map(|(_, fields)| &fields[..]).next().unwrap_or_default();
        get(section, key).ok_or_else(|| missing(fields, key, &format!(" in [{section}]")))
    };
    let format = need("Common Infos", "DataFormat")?;
    if !format.value.eq_ignore_ascii_case("BINARY") {
        return Err(format.error("npyd can't read numbers in text form: export them as BINARY"));
    }
    if let Some(kind) = get("Common Infos", "DataType")
        && !kind.value.eq_ignore_ascii_case("TIMEDOMAIN")
    {
        return Err(kind.error("npyd reads only TIMEDOMAIN: export the data as that"));
    }
    let channels = need("Common Infos", "NumberOfChannels")?.length()?;
    let interval = get("Common Infos", "SamplingInterval");
    let step = interval.and_then(|field| field.value.parse().ok());
    let samples = Axis { step, unit: step.map(|_: f64| "µs".to_owned()), ..Axis::named("sample") };
    let channel = Axis::named("channel");
    let orientation = need("Common Infos", "DataOrientation")?;
    let (shape, open, axes) = match &*orientation.value.to_ascii_uppercase() {
        "MULTIPLEXED" => ([0, channels], 0, [samples, channel]),
        "VECTORIZED" => ([channels, 0], 1, [channel, samples]),
        _ => return Err(orientation.error("write MULTIPLEXED or VECTORIZED")),
    };
    let binary = need("Binary Infos", "BinaryFormat")?;
    let dtype = dtype(binary, get("Binary Infos", "UseBigEndianOrder"))?;
    for key in ["ChannelOffset", "SegmentHeaderSize"] {
        if let Some(field) = get("Binary Infos", key)
            && field.count()? > 0
        {
            return Err(field.error("npyd can't read bytes between samples: export without them"));
        }
    }
    let around = |key| get("Binary Infos", key).map_or(Ok(0), Field::count);
    let points = get("Common Infos", "DataPoints");
    let layout = match points.filter(|points| open == 1 && points.value != "0") {
        // If points were missing, all channels after the first would begin at a wrong place.
        Some(points) => Layout::new(dtype, &[channels, points.length()?], Order::C),
        None => Layout::open_on(dtype, &shape, open),
    };
    Ok(Some(vec![Described {
        skip: DataStart::Bytes(around("DataOffset")?),
        trailing: around("TrailerSize")?,
        stated_records: points.map(Field::count).transpose()?,
        has_live_readers: true,
        axes: axes.into(),
        unapplied: resolutions(&sections, channels)?,
        fields: to_metadata(&sections, comment),
        ..Described::new(Data::FirstOf(data(name, get("Common Infos", "DataFile"))?), layout?)
    }]))
}

fn dtype(binary: &Field<'_>, big_endian: Option<&Field<'_>>) -> Result<Dtype, DescribeError> {
    let code = match &*binary.value.to_ascii_uppercase() {
        "INT_16" => "i2",
        "INT_32" => "i4",
        "IEEE_FLOAT_32" => "f4",
        _ => return Err(binary.error("write INT_16, INT_32 or IEEE_FLOAT_32")),
    };
    let order = match big_endian {
        Some(field) if field.value.eq_ignore_ascii_case("YES") => '>',
        Some(field) if !field.value.eq_ignore_ascii_case("NO") => {
            return Err(field.error("write YES or NO"));
        }
        _ => '<', // the default of the specification
    };
    Dtype::from_text(&format!("{order}{code}")).map_err(DescribeError::from)
}

/// Returns the data file that the header names. The files with the header's own stem follow, in
/// case the data were renamed.
fn data(name: &FileName, named: Option<&Field<'_>>) -> Result<Vec<DataPath>, DescribeError> {
    let mut data = Vec::new();
    if let Some(field) = named {
        let stem = file_names::without_suffix(name.as_str(), ".vhdr").unwrap_or_default();
        if field.value.contains('\\') {
            return Err(
                field.error("put the data beside the header, and name them without a directory")
            );
        }
        let path = DataPath::beside(&field.value.replace("$b", stem));
        data.push(path.map_err(|error| field.error(error))?);
    }
    for name in (FORMAT.data_of)(name.as_str()) {
        let path = DataPath::beside(&name)?;
        if !data.contains(&path) {
            data.push(path);
        }
    }
    Ok(data)
}

type Sections<'a> = Vec<(&'a str, Vec<Field<'a>>)>;

/// Parses sections: `[Section]` and `key=value`; `;` begins a comment. The text after `[Comment]`
/// is free text, which may contain brackets and equals signs.
fn sections(text: &str) -> (Sections<'_>, &str) {
    let mut sections: Sections<'_> = Vec::new();
    let mut rest = text;
    for (at, line) in text.lines().enumerate() {
        rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
        let line = line.trim();
        if line.eq_ignore_ascii_case("[Comment]") {
            return (sections, rest.trim());
        }
        if line.starts_with(';') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            sections.push((name, Vec::new()));
        } else if let (Some((_, fields)), Some((key, value))) =
            (sections.last_mut(), line.split_once('='))
        {
            fields.push(Field { key: key.trim(), value: value.trim().into(), line: at + 1 });
        }
    }
    (sections, "")
}

fn to_metadata(sections: &Sections<'_>, comment: &str) -> Metadata {
    let of_section = |fields: &[Field<'_>]| -> Metadata {
        fields.iter().map(|field| (field.key.to_owned(), json!(field.value))).collect()
    };
    let mut metadata: Metadata = sections
        .iter()
        .map(|(name, fields)| ((*name).to_owned(), Value::Object(of_section(fields))))
        .collect();
    if !comment.is_empty() {
        metadata.insert("Comment".to_owned(), comment.into());
    }
    metadata
}

/// Returns the factor of each channel and the unit of the product, from lines of the form
/// `Ch1=name,reference,resolution,unit`, in which `\1` stands for a comma.
///
/// # Errors
/// A channel is missing.
fn resolutions(sections: &Sections<'_>, channels: i64) -> Result<Metadata, DescribeError> {
    let mut unapplied = Metadata::new();
    for (_, fields) in
        sections.iter().filter(|(name, _)| name.eq_ignore_ascii_case("Channel Infos"))
    {
        for field in fields {
            let parts: Vec<String> =
                field.value.split(',').map(|part| part.trim().replace("\\1", ",")).collect();
            let part = |at: usize| parts.get(at).filter(|part| !part.is_empty());
            let resolution = part(2).and_then(|part| part.parse::<f64>().ok()).unwrap_or(1.0);
            let unit = part(3).map_or("µV", String::as_str);
            let stated = json!({"name": part(0), "resolution": resolution, "unit": unit});
            unapplied.insert(field.key.to_owned(), stated);
        }
    }
    let is_described = |number: &i64| {
        ["Ch", "ch"].iter().any(|channel| unapplied.contains_key(&format!("{channel}{number}")))
    };
    // In a truncated header, the last channels are missing.
    match (1..=channels).find(|number| !is_described(number)) {
        Some(number) => Err(format!(
            "it has no `Ch{number}` in [Channel Infos], but NumberOfChannels={channels}: correct one of them"
        ).into()),
        None => Ok(unapplied),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(text: &str) -> ReadResult {
        read(&FileName::try_from("new.vhdr".to_owned()).unwrap(), text.as_bytes())
    }

    const HEADER: &str = "Brain Vision Data Exchange Header File Version 1.0\n; a comment\n\
        [Common Infos]\nDataFile=old.eeg\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED\n\
        NumberOfChannels=2\nSamplingInterval=1000\n[Binary Infos]\nBinaryFormat=INT_16\n\
        [Channel Infos]\nCh1=Fp1,,0.5,µV\nCh2=a\\1b,,,\n[Comment]\n[Setup]\nCh3 = free\n";

    #[test]
    fn orientations_and_types() {
        let one = described(HEADER).unwrap().unwrap().remove(0);
        assert_eq!(one.layout.shape.dims(), [-1, 2]);
        assert_eq!(one.layout.dtype.to_string(), "'<i2'");
        assert_eq!(one.unapplied["Ch1"]["resolution"], 0.5);
        assert_eq!(one.unapplied["Ch2"]["name"], "a,b");
        assert_eq!(one.unapplied.len(), 2);
        assert_eq!(one.fields["Comment"], "[Setup]\nCh3 = free");
        assert!(one.fields.get("Setup").is_none());
        let names: Vec<_> = one.data.paths().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["old.eeg", "new.eeg", "new.dat"]);
        let vectors = HEADER.replace("MULTIPLEXED", "VECTORIZED");
        let vectors = vectors.replace("INT_16", "IEEE_FLOAT_32\nUseBigEndianOrder=YES");
        let one = described(&vectors.replace("old", "$b")).unwrap().unwrap().remove(0);
        assert_eq!(one.layout.shape.dims(), [2, -1]);
        assert_eq!(one.layout.dtype.to_string(), "'>f4'");
        assert_eq!(one.data.paths()[0].to_string(), "new.eeg");
        let stated = vectors.replace("Channels=2", "Channels=2\nDataPoints=7");
        let one = described(&stated).unwrap().unwrap().remove(0);
        assert_eq!(one.layout.shape.dims(), [2, 7]);
        let around = "INT_16\nChannelOffset=0\nDataOffset=12\nSegmentHeaderSize=0\nTrailerSize=3";
        let one = described(&HEADER.replace("INT_16", around)).unwrap().unwrap().remove(0);
        assert_eq!((one.skip, one.trailing), (DataStart::Bytes(12), 3));
    }

    #[test]
    fn unsupported_headers_are_rejected_with_their_line() {
        for (was, is, words) in [
            ("DataFormat=BINARY", "DataFormat=ASCII", "line 5"),
            ("MULTIPLEXED", "SHUFFLED", "line 6"),
            ("Channels=2", "Channels=two", "line 7"),
            ("INT_16", "UINT_16", "line 10"),
            ("DataFile=old.eeg", "DataFile=/etc/passwd", "line 4"),
            ("DataFile=old.eeg", "DataFile=C:\\old.eeg", "line 4"),
            ("BinaryFormat=INT_16\n", "", "`BinaryFormat`"),
            ("INT_16\n", "INT_16\nUseBigEndianOrder=1\n", "line 11"),
            ("INT_16\n", "INT_16\nChannelOffset=4\n", "line 11"),
            ("INT_16\n", "INT_16\nSegmentHeaderSize=4\n", "line 11"),
            ("INT_16\n", "INT_16\nDataOffset=x\n", "line 11"),
            ("Channels=2", "Channels=3", "no `Ch3`"),
            ("Channels=2", "Channels=9223372036854775807", "no `Ch3`"),
        ] {
            let error = described(&HEADER.replace(was, is)).unwrap_err().to_string();
            assert!(error.contains(words), "{is}: {error}");
        }
        assert!(described("[Common Infos]\n").unwrap().is_none());
    }
}
