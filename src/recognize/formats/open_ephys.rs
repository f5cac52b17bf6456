//! Open Ephys' binary format: `structure.oebin` above the folders of its streams, each with a
//! `continuous.dat`.
//!
//! Specification: "Binary format", Open Ephys GUI documentation; neo reads it in
//! `neo/rawio/openephysbinaryrawio.py`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::npy::{Dtype, Layout};
use crate::recognize::dump::{FileName, Metadata};
use crate::recognize::field::on_line;
use crate::recognize::sidecar::{Axis, Data, DataPath, Described, Format, Reading};

pub(super) static FORMAT: Format = Format {
    name: "Open Ephys",
    files: "structure.oebin above continuous/STREAM/continuous.dat",
    reads: "16-bit samples of each stream; every stream is an array of its own",
    proof: "sample_numbers.npy (older: timestamps.npy) has a row for each sample",
    is_named: |name| name == "structure.oebin",
    data_of: |_| Vec::new(),
    sidecars_of,
    read,
};

fn sidecars_of(data: &Path) -> Vec<PathBuf> {
    let above = data.parent().and_then(Path::parent).and_then(Path::parent);
    match above.filter(|_| data.ends_with("continuous.dat")) {
        Some(recording) => vec![recording.join("structure.oebin")],
        None => Vec::new(),
    }
}

fn read(_: &FileName, text: &[u8]) -> Reading {
    let structure: Value = serde_json::from_slice(text).map_err(|error| {
        let lines = String::from_utf8_lossy(text);
        let line = lines.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
        on_line(error.line(), line, "that is not JSON")
    })?;
    let Some(streams) = structure["continuous"].as_array() else { return Ok(None) };
    if streams.is_empty() {
        return Ok(None);
    }
    let describe = |(at, stream)| {
        described(stream).map_err(|(key, what)| format!("`continuous[{at}].{key}`: {what}"))
    };
    streams.iter().enumerate().map(describe).collect::<Result<_, _>>().map(Some)
}

/// One stream, or which of its keys has what wrong.
fn described(stream: &Value) -> Result<Described, (&'static str, String)> {
    let folder = stream["folder_name"].as_str().unwrap_or_default();
    let below = |name: &str| {
        DataPath::below(&format!("continuous/{folder}/{name}")).map_err(|it| ("folder_name", it))
    };
    if folder.trim_matches('/').is_empty() || folder.starts_with('/') {
        return Err(("folder_name", "that is not a folder's name".to_owned()));
    }
    let channels = stream["num_channels"].as_i64().filter(|channels| *channels > 0);
    let channels =
        channels.ok_or(("num_channels", "that is not a whole number, 1 or more".to_owned()))?;
    let dtype = Dtype::from_text("<i2").map_err(|error| ("num_channels", error.to_string()))?;
    let layout = Layout::open_on(dtype, &[0, channels], 0);
    let rate = stream["sample_rate"].as_f64().filter(|rate| *rate > 0.0);
    let samples = Axis {
        step: rate.map(|rate| 1.0 / rate),
        unit: rate.map(|_| "s".to_owned()),
        ..Axis::named("sample")
    };
    let mut unapplied = Metadata::new();
    let factors = |key: &str| -> Option<Vec<Value>> {
        let channels = stream["channels"].as_array()?;
        let factors: Vec<Value> = channels.iter().map(|channel| channel[key].clone()).collect();
        factors.iter().any(|factor| !factor.is_null()).then_some(factors)
    };
    for key in ["bit_volts", "units"] {
        if let Some(factors) = factors(key) {
            unapplied.insert(key.to_owned(), json!(factors));
        }
    }
    let layout = layout.map_err(|error| ("num_channels", error.to_string()))?;
    Ok(Described {
        row_counts: vec![below("sample_numbers.npy")?, below("timestamps.npy")?],
        has_live_readers: true,
        axes: vec![samples, Axis::named("channel")],
        unapplied,
        fields: stream.as_object().cloned().unwrap_or_default(),
        ..Described::new(Data::FirstOf(vec![below("continuous.dat")?]), layout)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(text: &str) -> Reading {
        read(&FileName::try_from("structure.oebin".to_owned()).unwrap(), text.as_bytes())
    }

    #[test]
    fn each_stream_is_an_array() {
        let text = r#"{"GUI version": "0.6.7", "continuous": [
            {"folder_name": "Neuropix-PXI-100.ProbeA-AP/", "sample_rate": 30000, "num_channels": 2,
             "channels": [{"bit_volts": 0.195, "units": "uV"}, {"bit_volts": 0.195, "units": "uV"}]},
            {"folder_name": "NI", "num_channels": 1}], "events": []}"#;
        let arrays = described(text).unwrap().unwrap();
        let paths: Vec<_> = arrays.iter().map(|one| one.data.paths()[0].to_string()).collect();
        let expected = [
            "continuous/Neuropix-PXI-100.ProbeA-AP/continuous.dat",
            "continuous/NI/continuous.dat",
        ];
        assert_eq!(paths, expected);
        assert_eq!(arrays[0].layout.shape.dims(), [-1, 2]);
        assert_eq!(arrays[0].unapplied["bit_volts"][1], 0.195);
        for data in expected {
            let data = Path::new("rec").join(data);
            assert_eq!(sidecars_of(&data), [Path::new("rec/structure.oebin")]);
        }
        assert!(sidecars_of(Path::new("a/continuous.dat")).is_empty());
    }

    #[test]
    fn what_can_not_be_taken_is_refused_by_its_key() {
        for (stream, words) in [
            (r#"{"folder_name": "../x", "num_channels": 1}"#, "folder_name"),
            (r#"{"folder_name": "/x", "num_channels": 1}"#, "folder_name"),
            (r#"{"num_channels": 1}"#, "folder_name"),
            (r#"{"folder_name": "x", "num_channels": 0}"#, "num_channels"),
            (r#"{"folder_name": "x""#, "line"),
        ] {
            let error = described(&format!("{{\"continuous\": [{stream}]}}")).unwrap_err();
            assert!(error.contains(words), "{stream}: {error}");
        }
        assert!(described("{}").unwrap().is_none());
        assert!(described(r#"{"continuous": []}"#).unwrap().is_none());
    }
}
