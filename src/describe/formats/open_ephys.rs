//! Open Ephys binary format: `structure.oebin`, in JSON, above a folder with a `continuous.dat` for
//! each stream of samples.
//!
//! Specification: "Binary Format" of the Open Ephys GUI's manual,
//! <https://open-ephys.github.io/gui-docs>. The program writes the sidecar when the recording
//! starts. It writes the number of each sample to a `.npy` file beside the data, and updates the
//! header of that file when the recording ends. Neo's `OpenEphysBinaryRawIO` reads identical
//! arrays.

use std::collections::HashSet;

use serde_json::Value;

use crate::describe::DescribeError;
use crate::describe::data_path::{Data, DataPath, FILES_MAX};
use crate::describe::described::{Axis, Described};
use crate::describe::near_miss::Mark;
use crate::describe::sidecar::{Format, ReadResult};
use crate::describe::text::Metadata;
use crate::describe::text::fields::text_of;
use crate::describe::text::json::{Json, Node};
use crate::model::FileName;
use crate::npy::{Dtype, Layout};

pub(crate) static FORMAT: Format = Format {
    name: "Open Ephys",
    files: "structure.oebin above continuous/STREAM/continuous.dat",
    reads: "each continuous stream as an array; not events and spikes",
    proof: "sample_numbers.npy, or timestamps.npy of older recordings, has a row for each sample",
    is_named: |name| name == "structure.oebin",
    data_of: |_| Vec::new(),
    sidecars_of: |data| {
        if data.file_name().is_none_or(|name| name != "continuous.dat") {
            return Vec::new();
        }
        let above = data.ancestors().filter(|above| above.ends_with("continuous"));
        above.map(|continuous| continuous.with_file_name("structure.oebin")).collect()
    },
    size_keys: "num_channels",
    mark: Mark::NONE,
    read,
};

fn read(_: &FileName, text: &[u8]) -> ReadResult {
    let text = text_of(text);
    let json = Json::read(&text)?;
    let root = json.root();
    let streams = root.get("continuous").map_or(Ok(Vec::new()), |streams| streams.items())?;
    if streams.is_empty() {
        return Ok(None); // only events or spikes were recorded
    }
    if streams.len() > FILES_MAX {
        return Err(format!("it has more than {FILES_MAX} streams, which is npyd's limit").into());
    }
    let (mut arrays, mut folders) = (Vec::with_capacity(streams.len()), HashSet::new());
    for stream in &streams {
        let named = stream.need("folder_name")?;
        let folder = DataPath::below(named.text()?.trim_end_matches('/'));
        let folder = folder.map_err(|error| named.error(error))?;
        let array = array(stream, &folder)?;
        if !folders.insert(folder) {
            return Err(named.error("two streams have this folder: each needs its own"));
        }
        arrays.push(array);
    }
    Ok(Some(arrays))
}

/// Returns the description of one stream.
fn array(stream: &Node<'_>, folder: &DataPath) -> Result<Described, DescribeError> {
    let file = |file: &str| {
        let path = DataPath::below(&format!("continuous/{folder}/{file}"));
        path.map_err(|error| stream.error(error))
    };
    let channels = stream.need("num_channels")?;
    let described = match stream.get("channels") {
        Some(list) => list.items()?,
        None => Vec::new(),
    };
    if !described.is_empty() && described.len() as u64 != channels.count()? {
        let remedy = format!("`channels` has {} entries: correct one of them", described.len());
        return Err(channels.error(remedy));
    }
    let rate = stream.get("sample_rate").map(|rate| rate.positive()).transpose()?;
    let dtype = Dtype::from_text("<i2")?;
    let layout = Layout::open_on(dtype, &[-1, channels.length()?], 0);
    Ok(Described {
        row_counts: vec![file("sample_numbers.npy")?, file("timestamps.npy")?],
        has_live_readers: true,
        axes: vec![Axis::samples(rate), Axis::named("channel")],
        unapplied: scales(&described),
        fields: stream.value().as_object().cloned().unwrap_or_default(),
        ..Described::new(
            Data::FirstOf(vec![file("continuous.dat")?]),
            layout.map_err(|error| channels.error(error.to_string()))?,
        )
    })
}

/// Returns the scale and unit of each channel, as two lists; null for a channel without one.
fn scales(channels: &[Node<'_>]) -> Metadata {
    let mut scales = Metadata::new();
    for key in ["bit_volts", "units"] {
        let of_channel = |channel: &Node<'_>| channel.value().get(key).cloned();
        let list: Vec<Option<Value>> = channels.iter().map(of_channel).collect();
        if list.iter().any(Option::is_some) {
            let list = list.into_iter().map(Option::unwrap_or_default).collect();
            scales.insert(key.to_owned(), Value::Array(list));
        }
    }
    scales
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const OEBIN: &str = r#"{
  "GUI version": "0.6.7",
  "continuous": [
    {
      "folder_name": "Probe-100.AP/",
      "sample_rate": 30000.0,
      "num_channels": 2,
      "channels": [
        {"channel_name": "AP1", "bit_volts": 0.195, "units": "uV"},
        {"channel_name": "SYNC"}
      ]
    },
    {"folder_name": "NI.0", "num_channels": 8}
  ],
  "events": [{"folder_name": "Probe-100.AP/TTL"}]
}"#;

    fn described(text: &str) -> ReadResult {
        read(&FileName::try_from("structure.oebin".to_owned()).unwrap(), text.as_bytes())
    }

    #[test]
    fn each_stream_is_an_array() {
        let arrays = described(OEBIN).unwrap().unwrap();
        let [ap, ni] = &arrays[..] else { panic!("{arrays:?}") };
        let path = |text: &str| DataPath::below(text).unwrap();
        assert_eq!(ap.data, Data::FirstOf(vec![path("continuous/Probe-100.AP/continuous.dat")]));
        assert_eq!(ap.row_counts[0], path("continuous/Probe-100.AP/sample_numbers.npy"));
        assert_eq!(ap.row_counts[1], path("continuous/Probe-100.AP/timestamps.npy"));
        assert_eq!(ap.layout.shape.dims(), [-1, 2]);
        assert_eq!(ap.layout.dtype.to_string(), "'<i2'");
        assert_eq!(ap.axes, [Axis::samples(Some(30000.0)), Axis::named("channel")]);
        assert_eq!(ap.unapplied["bit_volts"], serde_json::json!([0.195, null]));
        assert_eq!(ap.unapplied["units"], serde_json::json!(["uV", null]));
        assert_eq!(ap.fields["channels"][1]["channel_name"], "SYNC");
        assert!(ap.has_live_readers);
        assert_eq!(ni.data, Data::FirstOf(vec![path("continuous/NI.0/continuous.dat")]));
        assert_eq!(ni.layout.shape.dims(), [-1, 8]);
        assert!(ni.unapplied.is_empty() && ni.fields.get("channels").is_none());
    }

    #[test]
    fn the_sidecar_of_data_is_found() {
        let of = |data: &str| (FORMAT.sidecars_of)(Path::new(data));
        assert_eq!(of("r/continuous/A/continuous.dat"), [Path::new("r/structure.oebin")]);
        assert_eq!(of("continuous/A/continuous.dat"), [Path::new("structure.oebin")]);
        assert!(of("continuous/A/x.dat").is_empty() && of("continuous.dat").is_empty());
    }

    #[test]
    fn invalid_sidecars_are_rejected_with_their_line() {
        for (was, is, line, word) in [
            ("\"Probe-100.AP/\"", "\"/Probe/\"", 5, "outside the sidecar's directory"),
            ("\"Probe-100.AP/\"", "\"../Probe/\"", 5, "outside the sidecar's directory"),
            ("\"Probe-100.AP/\"", "\"\"", 5, "does not name"),
            ("\"Probe-100.AP/\"", "\".\"", 5, "does not name"),
            ("\"Probe-100.AP/\"", "7", 5, "in quotes"),
            ("\"Probe-100.AP/\"", "\"./NI.0\"", 13, "two streams"),
            ("30000.0", "-1", 6, "above 0"),
            ("\"num_channels\": 2", "\"num_channels\": 3", 7, "`channels` has 2"),
            ("\"num_channels\": 8", "\"num_channels\": 0", 13, "1 or more"),
            ("\"num_channels\": 8", "\"num_channels\": 8.5", 13, "1 or more"),
            ("\"num_channels\": 8", "\"num_channels\": 9223372036854775807", 13, "2^63"),
            (", \"num_channels\": 8", "", 13, "no `num_channels`"),
        ] {
            let error = described(&OEBIN.replace(was, is)).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("line {line}, ")) && error.contains(word),
                "{error}"
            );
        }
        assert!(
            described("{\"continuous\": {}}").unwrap_err().to_string().contains("must be a list")
        );
        assert!(described("{").is_err());
        for without_samples in ["{}", "{\"continuous\": []}", "[]"] {
            assert!(described(without_samples).unwrap().is_none());
        }
    }
}
