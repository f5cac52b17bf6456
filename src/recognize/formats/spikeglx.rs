//! SpikeGLX, which records from Neuropixels probes: `x.imec0.ap.meta` beside `x.imec0.ap.bin`.
//!
//! Specification: "SpikeGLX metadata guide", Bill Karsh, Janelia; neo reads it in
//! `neo/rawio/spikeglxrawio.py`.

use crate::npy::{Dtype, Layout, Order};
use crate::recognize::dump::{FileName, Metadata};
use crate::recognize::field::{Field, Fields, text_of};
use crate::recognize::names;
use crate::recognize::sidecar::{Axis, Data, DataPath, Described, Format, Reading};

pub(super) static FORMAT: Format = Format {
    name: "SpikeGLX",
    files: "x.meta beside x.bin",
    reads: "16-bit samples of all saved channels",
    proof: "fileSizeBytes, which is there once the recording ended, and fileSHA1",
    is_named: |name| names::without_suffix(name, ".meta").is_some(),
    data_of: |sidecar| names::beside(sidecar, ".meta", &[".bin"]),
    sidecars_of: |data| match data.extension() {
        Some(extension) if extension == "bin" => vec![data.with_extension("meta")],
        _ => Vec::new(),
    },
    read,
};

/// Fields that say how samples become volts.
const FACTORS: [&str; 14] = [
    "imAiRangeMax",
    "imAiRangeMin",
    "imMaxInt",
    "imChan0apGain",
    "imChan0lfGain",
    "imroTbl",
    "niAiRangeMax",
    "niAiRangeMin",
    "niMNGain",
    "niMAGain",
    "niMaxInt",
    "obAiRangeMax",
    "obAiRangeMin",
    "obMaxInt",
];

fn read(name: &FileName, text: &[u8]) -> Reading {
    let text = text_of(text);
    let fields = fields(&text);
    let Some(channels) = fields.get("nSavedChans") else { return Ok(None) };
    let channels = channels.length()?;
    let dtype = Dtype::from_text("<i2").map_err(|error| error.to_string())?;
    let size = fields.get("fileSizeBytes").filter(|field| field.value != "0");
    let (layout, file_len) = match size {
        Some(field) => {
            let len = field.count()?;
            let frame = channels.unsigned_abs().saturating_mul(2);
            if len % frame != 0 {
                return Err(field.error(&format!("that is no multiple of {channels} samples")));
            }
            let shape = [i64::try_from(len / frame).unwrap_or(i64::MAX), channels];
            (Layout::new(dtype, &shape, Order::C), Some(len))
        }
        None => (Layout::open_on(dtype, &[0, channels], 0), None),
    };
    let is_hex = |field: &&Field<'_>| {
        field.value.len() == 40 && field.value.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let digest = fields
        .get("fileSHA1")
        .filter(is_hex)
        .map(|field| format!("sha1:{}", field.value.to_ascii_lowercase()).parse());
    let rate = ["imSampRate", "niSampRate", "obSampRate"].iter().find_map(|key| fields.get(key));
    let step = rate.and_then(|rate| rate.value.parse::<f64>().ok()).filter(|rate| *rate > 0.0);
    let samples = Axis {
        step: step.map(|rate| 1.0 / rate),
        unit: step.map(|_| "s".to_owned()),
        ..Axis::named("sample")
    };
    let data = (FORMAT.data_of)(name.as_str());
    let data = data.iter().map(|name| DataPath::beside(name)).collect::<Result<_, _>>()?;
    let (unapplied, kept): (Metadata, Metadata) = fields
        .to_metadata()
        .into_iter()
        .partition(|(key, _)| FACTORS.contains(&key.trim_start_matches('~')));
    Ok(Some(vec![Described {
        file_len,
        digest: digest.transpose()?,
        unfinished: file_len
            .is_none()
            .then(|| "the recording goes on: its meta file has no fileSizeBytes yet".to_owned()),
        has_live_readers: true,
        axes: vec![samples, Axis::named("channel")],
        unapplied,
        fields: kept,
        ..Described::new(Data::FirstOf(data), layout.map_err(|error| error.to_string())?)
    }]))
}

/// `key=value`, split at the first `=`.
fn fields(text: &str) -> Fields<'_> {
    let mut fields = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if let Some((key, value)) = line.split_once('=') {
            fields.push(Field { key: key.trim(), value: value.trim().into(), line: at + 1 });
        }
    }
    Fields(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(text: &str) -> Reading {
        read(&FileName::try_from("x.imec0.ap.meta".to_owned()).unwrap(), text.as_bytes())
    }

    const META: &str = "fileName=D:/data/x.imec0.ap.bin\nfileSHA1=0\nfileSizeBytes=60\n\
        imSampRate=30000\nnSavedChans=3\nimAiRangeMax=0.6\n~imroTbl=(0,384)(0 0 0 500 250 1)\n";

    #[test]
    fn a_recording_and_one_that_goes_on() {
        let one = described(META).unwrap().unwrap().remove(0);
        assert_eq!(one.layout.shape.dims(), [10, 3]);
        assert_eq!((one.file_len, one.unfinished, one.digest), (Some(60), None, None));
        assert_eq!(one.unapplied.len(), 2);
        let Data::FirstOf(data) = one.data else { panic!("one file") };
        assert_eq!(data[0].to_string(), "x.imec0.ap.bin");
        let live = described(&META.replace("fileSizeBytes=60\n", "")).unwrap().unwrap().remove(0);
        assert!(live.unfinished.is_some() && live.layout.shape.is_open());
        let sha = META.replace("SHA1=0", "SHA1=DA39A3EE5E6B4B0D3255BFEF95601890AFD80709");
        assert!(described(&sha).unwrap().unwrap()[0].digest.is_some());
    }

    #[test]
    fn what_contradicts_itself_is_refused_by_its_line() {
        for (was, is, words) in
            [("=60", "=61", "line 3"), ("=60", "=x", "line 3"), ("Chans=3", "Chans=0", "line 5")]
        {
            let error = described(&META.replace(was, is)).unwrap_err();
            assert!(error.contains(words), "{is}: {error}");
        }
        assert!(described("other=1\n").unwrap().is_none());
    }
}
