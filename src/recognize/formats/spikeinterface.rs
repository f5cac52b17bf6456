//! SpikeInterface's binary folder: `binary.json` beside the raw traces of each segment.
//!
//! Source: `BinaryFolderRecording` in `spikeinterface/core/binaryfolder.py`.

use serde_json::Value;

use crate::npy::{Dtype, Layout};
use crate::recognize::dump::{FileName, Metadata};
use crate::recognize::field::on_line;
use crate::recognize::sidecar::{Axis, Data, DataPath, Described, Format, Reading, Skip};

pub(super) static FORMAT: Format = Format {
    name: "SpikeInterface",
    files: "binary.json beside the files that its file_paths name",
    reads: "all dtypes, samples first or channels first; every segment is an array of its own",
    proof: "quiet: whole samples of all channels, and nobody writes",
    is_named: |name| name == "binary.json",
    data_of: |_| Vec::new(),
    sidecars_of: |data| vec![data.with_file_name("binary.json")],
    read,
};

/// Keys that say how samples become microvolts.
const FACTORS: [&str; 2] = ["gain_to_uV", "offset_to_uV"];

fn read(_: &FileName, text: &[u8]) -> Reading {
    let json: Value = serde_json::from_slice(text).map_err(|error| {
        let lines = String::from_utf8_lossy(text);
        let line = lines.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
        on_line(error.line(), line, "that is not JSON")
    })?;
    let kwargs = &json["kwargs"];
    let Some(files) = kwargs["file_paths"].as_array().filter(|files| !files.is_empty()) else {
        return Ok(None);
    };
    let wrong = |key: &str, what: &str| format!("`kwargs.{key}`: {what}");
    let channels = kwargs["num_channels"]
        .as_i64()
        .or_else(|| kwargs["channel_ids"].as_array().and_then(|ids| i64::try_from(ids.len()).ok()));
    let channels = channels
        .filter(|channels| *channels > 0)
        .ok_or_else(|| wrong("num_channels", "that is not a whole number, 1 or more"))?;
    let dtype = kwargs["dtype"].as_str().unwrap_or_default();
    let dtype = Dtype::from_text(dtype).map_err(|error| wrong("dtype", &error.to_string()))?;
    let rate = kwargs["sampling_frequency"].as_f64().filter(|rate| *rate > 0.0);
    let samples = Axis {
        step: rate.map(|rate| 1.0 / rate),
        unit: rate.map(|_| "s".to_owned()),
        ..Axis::named("sample")
    };
    let channel = Axis::named("channel");
    let (shape, open, axes) = match kwargs["time_axis"].as_i64() {
        None | Some(0) => ([0, channels], 0, [samples, channel]),
        Some(1) => ([channels, 0], 1, [channel, samples]),
        Some(_) => return Err(wrong("time_axis", "write 0 or 1")),
    };
    let layout = Layout::open_on(dtype, &shape, open).map_err(|error| error.to_string())?;
    let offset = match &kwargs["file_offset"] {
        Value::Null => 0,
        offset => offset
            .as_u64()
            .ok_or_else(|| wrong("file_offset", "that is not a whole number, 0 or more"))?,
    };
    let all = kwargs.as_object().cloned().unwrap_or_default();
    let (unapplied, fields): (Metadata, Metadata) =
        all.into_iter().partition(|(key, _)| FACTORS.contains(&key.as_str()));
    let describe = |file: &Value| {
        let path = DataPath::beside(file.as_str().unwrap_or_default());
        Ok(Described {
            skip: Skip::Bytes(offset),
            axes: axes.to_vec(),
            unapplied: unapplied.clone(),
            fields: fields.clone(),
            ..Described::new(
                Data::FirstOf(vec![path.map_err(|what| wrong("file_paths", &what))?]),
                layout.clone(),
            )
        })
    };
    files.iter().map(describe).collect::<Result<_, String>>().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(kwargs: &str) -> Reading {
        let text = format!("{{\"class\": \"BinaryRecordingExtractor\", \"kwargs\": {{{kwargs}}}}}");
        read(&FileName::try_from("binary.json".to_owned()).unwrap(), text.as_bytes())
    }

    #[test]
    fn each_segment_is_an_array() {
        let two = described(
            r#""file_paths": ["traces_cached_seg0.raw", "traces_cached_seg1.raw"], "num_channels": 3,
            "sampling_frequency": 4.0, "dtype": "<f4", "time_axis": 0, "gain_to_uV": [1, 2, 3]"#,
        );
        let two = two.unwrap().unwrap();
        assert_eq!(two.len(), 2);
        assert_eq!(two[1].layout.shape.dims(), [-1, 3]);
        assert_eq!((two[0].axes[0].step, two[0].unapplied.len()), (Some(0.25), 1));
        let one = described(
            r#""file_paths": ["a"], "channel_ids": [7, 8], "dtype": "int16", "time_axis": 1"#,
        );
        assert_eq!(one.unwrap().unwrap()[0].layout.shape.dims(), [2, -1]);
    }

    #[test]
    fn what_can_not_be_taken_is_refused_by_its_key() {
        for (kwargs, words) in [
            (r#""file_paths": ["/a"], "num_channels": 3, "dtype": "<f4""#, "file_paths"),
            (r#""file_paths": [1], "num_channels": 3, "dtype": "<f4""#, "file_paths"),
            (r#""file_paths": ["a"], "num_channels": 0, "dtype": "<f4""#, "num_channels"),
            (r#""file_paths": ["a"], "num_channels": 3"#, "dtype"),
            (r#""file_paths": ["a"], "num_channels": 3, "dtype": "O""#, "dtype"),
            (
                r#""file_paths": ["a"], "num_channels": 3, "dtype": "<f4", "time_axis": 2"#,
                "time_axis",
            ),
            (
                r#""file_paths": ["a"], "num_channels": 3, "dtype": "<f4", "file_offset": -2"#,
                "file_offset",
            ),
        ] {
            let error = described(kwargs).unwrap_err();
            assert!(error.contains(words), "{kwargs}: {error}");
        }
        assert!(described("").unwrap().is_none());
    }
}
