//! SpikeInterface's binary folders: `binary.json` beside a raw file for each segment, as
//! `recording.save(format="binary")` writes them.
//!
//! Source: `BinaryFolderRecording` and `BinaryRecordingExtractor` in `spikeinterface/core`, which
//! read identical arrays. The program writes the sidecar last.

use serde_json::Value;

use crate::describe::DescribeError;
use crate::describe::data_path::{Data, DataPath, FILES_MAX};
use crate::describe::described::{Axis, DataStart, Described};
use crate::describe::near_miss::Mark;
use crate::describe::sidecar::{Format, ReadResult, SIZE_MAX};
use crate::describe::text::Metadata;
use crate::describe::text::fields::text_of;
use crate::describe::text::json::{Json, Node};
use crate::model::FileName;
use crate::npy::{Dtype, Layout};

pub(crate) static FORMAT: Format = Format {
    name: "SpikeInterface",
    files: "binary.json beside the files it names, such as traces_cached_seg0.raw",
    reads: "each segment as an array, of any type of number, (samples, channels) or (channels, samples)",
    proof: "complete samples, and quiet",
    is_named: |name| name == "binary.json",
    data_of: |_| vec!["traces_cached_seg0.raw".to_owned()],
    sidecars_of: |data| vec![data.with_file_name("binary.json")],
    size_keys: "num_channels, dtype",
    mark: Mark {
        keys: &["\"kwargs\"", "\"file_paths\"", "\"num_channels\""],
        missing: "its `class` does not end in `.BinaryRecordingExtractor`: correct it",
    },
    read,
};

fn read(_: &FileName, text: &[u8]) -> ReadResult {
    let text = text_of(text);
    let json = match Json::read(&text) {
        // Other programs write a `binary.json`, too.
        Err(_) if !text.contains("BinaryRecordingExtractor") => return Ok(None),
        json => json?,
    };
    let root = json.root();
    let class = root.value().get("class").and_then(Value::as_str).unwrap_or_default();
    if !class.ends_with(".BinaryRecordingExtractor") {
        return Ok(None);
    }
    let relative = root.need("relative_paths")?;
    if *relative.value() != Value::Bool(true) {
        return Err(relative.error("save the recording with file names relative to the sidecar"));
    }
    let kwargs = root.need("kwargs")?;
    let paths = kwargs.need("file_paths")?;
    let files = if paths.value().is_string() { vec![paths.clone()] } else { paths.items()? };
    if files.is_empty() {
        return Err(paths.error("it does not name a file"));
    }
    // Each array stores a copy of the whole sidecar.
    if files.len() > FILES_MAX || files.len().saturating_mul(text.len()) as u64 > SIZE_MAX {
        return Err(
            format!("{} segments are more than npyd reads of one sidecar", files.len()).into()
        );
    }
    let segment = segment(&kwargs)?;
    let mut arrays = Vec::with_capacity(files.len());
    for file in &files {
        let path = DataPath::beside(file.text()?).map_err(|error| file.error(error))?;
        let data = Data::FirstOf(vec![path]);
        if arrays.iter().any(|other: &Described| other.data == data) {
            return Err(file.error("two segments have this file: each needs its own"));
        }
        arrays.push(Described { data, ..segment.clone() });
    }
    let fields = json.into_metadata();
    for array in &mut arrays {
        array.fields.clone_from(&fields);
    }
    Ok(Some(arrays))
}

/// Returns the description that all segments share.
fn segment(kwargs: &Node<'_>) -> Result<Described, DescribeError> {
    let channels = match kwargs.get("num_channels") {
        Some(channels) => channels.length()?,
        None => kwargs.need("num_chan")?.length()?, // the key of older versions
    };
    let rate = kwargs.need("sampling_frequency")?.positive()?;
    let time = Axis::samples(Some(rate));
    let time_axis = kwargs.get("time_axis");
    let (dims, open, axes) = match time_axis.as_ref().map_or(Ok(0), Node::count)? {
        0 => ([-1, channels], 0, vec![time, Axis::named("channel")]),
        1 => ([channels, -1], 1, vec![Axis::named("channel"), time]),
        _ => return Err(kwargs.need("time_axis")?.error("write 0 or 1")),
    };
    let mut warnings = Vec::new();
    let layout = Layout::open_on(dtype(&kwargs.need("dtype")?, &mut warnings)?, &dims, open);
    let offset = kwargs.get("file_offset").map_or(Ok(0), |offset| offset.count())?;
    let scales = ["gain_to_uV", "offset_to_uV"].into_iter();
    let scales: Metadata =
        scales.filter_map(|key| Some((key.to_owned(), kwargs.get(key)?.value().clone()))).collect();
    Ok(Described {
        skip: DataStart::Bytes(offset),
        has_live_readers: true,
        axes,
        unapplied: scales,
        warnings,
        ..Described::new(
            Data::FirstOf(Vec::new()),
            layout.map_err(|error| kwargs.error(error.to_string()))?,
        )
    })
}

/// Parses the type of the samples, which must be numbers.
fn dtype(field: &Node<'_>, warnings: &mut Vec<String>) -> Result<Dtype, DescribeError> {
    let text = field.text()?;
    let dtype = Dtype::from_text(text).map_err(|error| field.error(error.to_string()))?;
    let descr = dtype.to_string();
    let is_number = descr.get(2..3).is_some_and(|kind| "biufc".contains(kind));
    if !is_number || !descr.starts_with('\'') {
        return Err(field.error("samples must be plain numbers: write such as \"<i2\""));
    }
    if dtype.itemsize() > 1 && !text.starts_with(['<', '>']) {
        warnings.push(field.error("it has no byte order: npyd assumes little-endian").to_string());
    }
    Ok(dtype)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BINARY: &str = r#"{
  "class": "spikeinterface.core.binaryrecordingextractor.BinaryRecordingExtractor",
  "version": "0.105.3",
  "kwargs": {
    "file_paths": [
      "traces_cached_seg0.raw",
      "traces_cached_seg1.raw"
    ],
    "sampling_frequency": 25000.0,
    "t_starts": null,
    "num_channels": 3,
    "dtype": "<i2",
    "time_axis": 0,
    "file_offset": 0,
    "gain_to_uV": [0.1, 0.2, 0.3],
    "offset_to_uV": null
  },
  "relative_paths": true
}"#;

    const FILES: &str =
        "\n      \"traces_cached_seg0.raw\",\n      \"traces_cached_seg1.raw\"\n    ";

    fn described(text: &str) -> ReadResult {
        read(&FileName::try_from("binary.json".to_owned()).unwrap(), text.as_bytes())
    }

    #[test]
    fn each_segment_is_an_array() {
        let arrays = described(BINARY).unwrap().unwrap();
        assert_eq!(arrays.len(), 2);
        for (at, one) in arrays.iter().enumerate() {
            let path = DataPath::beside(&format!("traces_cached_seg{at}.raw")).unwrap();
            assert_eq!(one.data, Data::FirstOf(vec![path]));
            assert_eq!(one.layout.shape.dims(), [-1, 3]);
            assert_eq!(one.layout.dtype.to_string(), "'<i2'");
            assert_eq!(one.axes, [Axis::samples(Some(25000.0)), Axis::named("channel")]);
            assert_eq!(one.unapplied["gain_to_uV"], serde_json::json!([0.1, 0.2, 0.3]));
            assert_eq!(one.unapplied.len(), 1);
            assert_eq!(one.fields["kwargs"]["num_channels"], 3);
        }
    }

    #[test]
    fn other_forms() {
        let text = BINARY.replace("time_axis\": 0", "time_axis\": 1");
        let text = text.replace("file_offset\": 0", "file_offset\": 16").replace("<i2", ">c8");
        let one = described(&text).unwrap().unwrap().remove(0);
        assert_eq!(one.layout.shape.dims(), [3, -1]);
        assert_eq!((one.skip, one.axes[0].clone()), (DataStart::Bytes(16), Axis::named("channel")));
        assert_eq!(one.layout.dtype.to_string(), "'>c8'");
        let old = BINARY.replace("num_channels", "num_chan").replace("<i2", "int16");
        let old = described(&old).unwrap().unwrap().remove(0);
        assert_eq!((old.layout.shape.dims(), old.warnings.len()), (vec![-1, 3], 1));
    }

    #[test]
    fn invalid_sidecars_are_rejected_with_their_line() {
        for (was, is, line, word) in [
            ("traces_cached_seg1", "traces_cached_seg0", 7, "two segments"),
            ("traces_cached_seg0", "/traces", 6, "outside the sidecar's directory"),
            ("traces_cached_seg0", "../traces", 6, "outside the sidecar's directory"),
            ("traces_cached_seg1", "a/traces", 7, "another directory"),
            ("25000.0", "0", 9, "above 0"),
            ("\"num_channels\": 3", "\"num_channels\": 3.5", 11, "1 or more"),
            ("\"num_channels\"", "\"channels\"", 4, "no `num_chan`"),
            ("\"<i2\"", "\"<i3\"", 12, "not a dtype"),
            ("\"<i2\"", "\"S3\"", 12, "plain numbers"),
            ("\"<i2\"", "\"i2,i2\"", 12, "plain numbers"),
            ("\"<i2\"", "\"O\"", 12, "Python objects"),
            ("\"time_axis\": 0", "\"time_axis\": 2", 13, "0 or 1"),
            ("\"file_offset\": 0", "\"file_offset\": -1", 14, "0 or more"),
            ("paths\": true", "paths\": false", 18, "relative"),
            (FILES, "", 5, "not name a file"),
        ] {
            let error = described(&BINARY.replace(was, is)).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("line {line}, ")) && error.contains(word),
                "{error}"
            );
        }
        let many =
            BINARY.replace("\"dtype\"", &format!("\"x\": \"{}\", \"dtype\"", "x".repeat(9 << 20)));
        assert!(described(&many).unwrap_err().to_string().contains("2 segments are more"));
        for somebody_elses in ["{}", "[]", r#"{"class": 3}"#, r#"{"class": "a.NpzRecording"}"#] {
            assert!(described(somebody_elses).unwrap().is_none());
        }
    }
}
