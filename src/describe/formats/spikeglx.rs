//! SpikeGLX, which records from Neuropixels probes: `x.imec0.ap.meta` beside `x.imec0.ap.bin`.
//!
//! Specification: "SpikeGLX metadata guide", Bill Karsh, Janelia; neo reads it in
//! `neo/rawio/spikeglxrawio.py`.

use crate::describe::data_path::{Data, DataPath};
use crate::describe::described::{Axis, Described};
use crate::describe::file_names;
use crate::describe::near_miss::Mark;
use crate::describe::sidecar::{Format, ReadResult};
use crate::describe::sidecar_facts::Unfinished;
use crate::describe::text::Metadata;
use crate::describe::text::fields::{Field, Fields, text_of};
use crate::model::FileName;
use crate::npy::{Dtype, Layout, Order};

pub(crate) static FORMAT: Format = Format {
    name: "SpikeGLX",
    files: "x.meta beside x.bin",
    reads: "16-bit samples of all saved channels",
    proof: "fileSizeBytes, which is written when the recording ends, and fileSHA1",
    is_named: |name| file_names::without_suffix(name, ".meta").is_some(),
    data_of: |sidecar| file_names::beside(sidecar, ".meta", &[".bin"]),
    sidecars_of: |data| match data.extension() {
        Some(extension) if extension == "bin" => vec![data.with_extension("meta")],
        _ => Vec::new(),
    },
    size_keys: "fileSizeBytes, nSavedChans",
    mark: Mark {
        keys: &["fileSizeBytes", "fileSHA1", "fileName", "typeThis", "snsSaveChanSubset"],
        missing: "it has no `nSavedChans`: add it",
    },
    read,
};

/// Fields with the factors that convert samples to volts.
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

fn read(name: &FileName, text: &[u8]) -> ReadResult {
    let text = text_of(text);
    let fields = fields(&text);
    let Some(channels) = fields.get("nSavedChans") else { return Ok(None) };
    let size = fields.get("fileSizeBytes");
    let cut_off = [Some(channels), size].into_iter().flatten();
    let cut_off = cut_off.filter(|field| is_cut_off(field, &text)).map(|field| field.line).next();
    // Somebody who ends the file by hand may leave out the last newline.
    let unsure_len = size.filter(|size| is_cut_off(size, &text)).and_then(|it| it.count().ok());
    let channels = channels.length()?;
    let dtype = Dtype::from_text("<i2")?;
    let size = size.filter(|field| field.value != "0" && cut_off.is_none());
    let (layout, file_len) = match size {
        Some(field) => {
            let len = field.count()?;
            let frame = channels.unsigned_abs().saturating_mul(2);
            if len % frame != 0 {
                return Err(field.error(format!("not a multiple of {channels} samples of 2 bytes")));
            }
            let shape = [i64::try_from(len / frame).unwrap_or(i64::MAX), channels];
            (Layout::new(dtype, &shape, Order::C), Some(len))
        }
        None => (Layout::open_on(dtype, &[0, channels], 0), None),
    };
    let mut warnings = Vec::new();
    let digest = fields.get("fileSHA1").and_then(|field| match &*field.value {
        "" | "0" => None,
        hex if hex.len() == 40 => format!("sha1:{hex}").parse().ok(),
        _ => None,
    });
    if let (Some(field), None) = (fields.get("fileSHA1"), &digest)
        && !matches!(&*field.value, "" | "0")
    {
        warnings.push(
            field.error("not a hash of 40 hexadecimal digits: npyd does not check it").to_string(),
        );
    }
    let rate = ["imSampRate", "niSampRate", "obSampRate"].iter().find_map(|key| fields.get(key));
    let step = rate.and_then(|rate| rate.value.parse::<f64>().ok()).filter(|rate| *rate > 0.0);
    let data = (FORMAT.data_of)(name.as_str());
    let data = data.iter().map(|name| DataPath::beside(name)).collect::<Result<_, _>>()?;
    let (unapplied, kept): (Metadata, Metadata) = fields
        .to_metadata()
        .into_iter()
        .partition(|(key, _)| FACTORS.contains(&key.trim_start_matches('~')));
    Ok(Some(vec![Described {
        file_len,
        unsure_len,
        digest,
        unfinished: match cut_off {
            Some(line) => Some(Unfinished::CutOff { line }),
            None => file_len.is_none().then_some(Unfinished::NoFileSize),
        },
        has_live_readers: true,
        axes: vec![Axis::samples(step), Axis::named("channel")],
        unapplied,
        fields: kept,
        warnings,
        ..Described::new(Data::FirstOf(data), layout?)
    }]))
}

/// Returns whether a field is on a line without a line ending, so that digits may be missing.
fn is_cut_off(field: &Field<'_>, text: &str) -> bool {
    !text.ends_with('\n') && field.line == text.lines().count()
}

/// Parses lines of the form `key=value`, split at the first `=`.
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

    fn described(text: &str) -> ReadResult {
        read(&FileName::try_from("x.imec0.ap.meta".to_owned()).unwrap(), text.as_bytes())
    }

    const META: &str = "fileName=D:/data/x.imec0.ap.bin\nfileSHA1=0\nfileSizeBytes=60\n\
        imSampRate=30000\nnSavedChans=3\nimAiRangeMax=0.6\n~imroTbl=(0,384)(0 0 0 500 250 1)\n";

    #[test]
    fn a_finished_and_a_running_recording() {
        let one = described(META).unwrap().unwrap().remove(0);
        assert_eq!(one.layout.shape.dims(), [10, 3]);
        assert_eq!((one.file_len, one.unfinished, one.digest), (Some(60), None, None));
        assert_eq!(one.unapplied.len(), 2);
        let Data::FirstOf(data) = one.data else { panic!("one file") };
        assert_eq!(data[0].to_string(), "x.imec0.ap.bin");
        let live = described(&META.replace("fileSizeBytes=60\n", "")).unwrap().unwrap().remove(0);
        assert!(live.unfinished.is_some() && live.layout.shape.is_open());
        for torn in ["nSavedChans=3\nfileSizeBytes=6", "fileSizeBytes=60\nnSavedChans=3"] {
            let torn = described(torn).unwrap().unwrap().remove(0);
            assert_eq!(
                torn.unfinished.map(|it| it.to_string()).as_deref(),
                Some("its meta file ends in the middle of line 2")
            );
            assert_eq!(torn.file_len, None);
        }
        let torn = described("nSavedChans=3\nfileSizeBytes=60").unwrap().unwrap().remove(0);
        assert_eq!((torn.unsure_len, torn.layout.shape.dims()), (Some(60), vec![-1, 3]));
        let odd = described(&META.replace("SHA1=0", "SHA1=abc")).unwrap().unwrap().remove(0);
        assert_eq!((odd.digest, odd.warnings.len()), (None, 1));
        let sha = META.replace("SHA1=0", "SHA1=DA39A3EE5E6B4B0D3255BFEF95601890AFD80709");
        assert!(described(&sha).unwrap().unwrap()[0].digest.is_some());
    }

    #[test]
    fn invalid_sidecars_are_rejected_with_their_line() {
        for (was, is, words) in
            [("=60", "=61", "line 3"), ("=60", "=x", "line 3"), ("Chans=3", "Chans=0", "line 5")]
        {
            let error = described(&META.replace(was, is)).unwrap_err().to_string();
            assert!(error.contains(words), "{is}: {error}");
        }
        assert!(described("other=1\n").unwrap().is_none());
    }
}
