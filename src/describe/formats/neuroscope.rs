//! Neuroscope, a viewer of extracellular recordings: `x.xml` beside `x.dat`, and the filtered
//! `x.lfp` or `x.eeg`.
//!
//! Source: the parameter file of NDManager; neo reads it in `neo/rawio/neuroscoperawio.py`.

use roxmltree::{Document, Node};

use crate::describe::DescribeError;
use crate::describe::data_path::{Data, DataPath};
use crate::describe::described::{Axis, Described};
use crate::describe::file_names;
use crate::describe::near_miss::Mark;
use crate::describe::sidecar::{Format, ReadResult};
use crate::describe::text::Metadata;
use crate::describe::text::fields::text_of;
use crate::describe::text::xml;
use crate::model::FileName;
use crate::npy::{Dtype, Layout};

pub(crate) static FORMAT: Format = Format {
    name: "Neuroscope",
    files: "x.xml with an acquisitionSystem beside x.dat, x.lfp, x.eeg",
    reads: "16-bit and 32-bit samples of all channels; each file as an array",
    proof: "complete samples of all channels, and quiet",
    is_named: |name| file_names::without_suffix(name, ".xml").is_some(),
    data_of: |sidecar| file_names::beside(sidecar, ".xml", &SUFFIXES),
    sidecars_of: |data| match data.extension().and_then(|extension| extension.to_str()) {
        Some("dat" | "lfp" | "eeg") => vec![data.with_extension("xml")],
        _ => Vec::new(),
    },
    size_keys: "nChannels, nBits",
    mark: Mark {
        keys: &["<nBits", "<nChannels", "<samplingRate"],
        missing: "it has no element `acquisitionSystem`: add it",
    },
    read,
};

/// Suffixes of the raw recording, and of the local field potentials that are derived from it.
const SUFFIXES: [&str; 3] = [".dat", ".lfp", ".eeg"];

/// Elements with the factors that convert samples to volts.
const FACTORS: [&str; 3] = ["voltageRange", "amplification", "offset"];

fn read(name: &FileName, text: &[u8]) -> ReadResult {
    let text = text_of(text);
    let Some(document) = xml::parse(&text, "acquisitionSystem")? else { return Ok(None) };
    let root = document.root_element();
    let Some(system) = child(root, "acquisitionSystem") else { return Ok(None) };
    let channels = number(&document, system, "nChannels")?;
    let bits = number(&document, system, "nBits")?;
    let code = match bits {
        12 | 14 | 16 => "<i2", // fewer bits are stored in sixteen
        32 => "<i4",
        _ => return Err(format!("`nBits`: npyd can't read samples of {bits} bits").into()),
    };
    let rate = |node: Option<Node<'_, '_>>, key: &str| {
        let text = node.and_then(|node| child(node, key)).and_then(|node| node.text());
        text.and_then(|text| text.trim().parse::<f64>().ok()).filter(|rate| *rate > 0.0)
    };
    let rates = [
        rate(Some(system), "samplingRate"),
        rate(child(root, "fieldPotentials"), "lfpSamplingRate"),
    ];
    let acquisition = xml::fields(system);
    let unapplied: Metadata =
        acquisition.into_iter().filter(|(key, _)| FACTORS.contains(&key.as_str())).collect();
    let stem = file_names::without_suffix(name.as_str(), ".xml").unwrap_or_default();
    let describe = |suffix: &&str| {
        let dtype = Dtype::from_text(code)?;
        let layout = Layout::open_on(dtype, &[0, channels], 0);
        let rate = if *suffix == ".dat" { rates[0] } else { rates[1] };
        let output = match *suffix {
            ".dat" => format!("{stem}.npy"),
            suffix => format!("{stem}{suffix}.npy"),
        };
        Ok(Described {
            output: Some(FileName::try_from(output)?),
            has_live_readers: true,
            axes: vec![Axis::samples(rate), Axis::named("channel")],
            unapplied: unapplied.clone(),
            fields: xml::fields(root),
            ..Described::new(
                Data::FirstOf(vec![DataPath::beside(&format!("{stem}{suffix}"))?]),
                layout?,
            )
        })
    };
    SUFFIXES.iter().map(describe).collect::<Result<_, DescribeError>>().map(Some)
}

fn child<'a>(node: Node<'a, 'a>, name: &str) -> Option<Node<'a, 'a>> {
    node.children().find(|child| child.has_tag_name(name))
}

fn number(document: &Document<'_>, node: Node<'_, '_>, key: &str) -> Result<i64, DescribeError> {
    let found = node.children().find(|child| child.has_tag_name(key));
    let found = found.ok_or_else(|| format!("it has no `{key}` in acquisitionSystem: add it"))?;
    let text = found.text().unwrap_or_default().trim();
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| {
        let line = document.text_pos_at(found.range().start).row;
        format!("line {line}, `{key}`: the value must be a whole number, 1 or more").into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(text: &str) -> ReadResult {
        read(&FileName::try_from("x.xml".to_owned()).unwrap(), text.as_bytes())
    }

    const PARAMETERS: &str = "<parameters>\n<acquisitionSystem>\n<nBits>16</nBits>\n\
        <nChannels>4</nChannels>\n<samplingRate>20000</samplingRate>\n\
        <voltageRange>20</voltageRange>\n\
        </acquisitionSystem>\n<fieldPotentials><lfpSamplingRate>1250</lfpSamplingRate>\n\
        </fieldPotentials></parameters>";

    #[test]
    fn each_file_is_an_array() {
        let all = described(PARAMETERS).unwrap().unwrap();
        let outputs: Vec<_> =
            all.iter().map(|one| one.output.as_ref().unwrap().to_string()).collect();
        assert_eq!(outputs, ["x.npy", "x.lfp.npy", "x.eeg.npy"]);
        assert_eq!(all[0].layout.shape.dims(), [-1, 4]);
        assert_eq!(all[1].axes[0].step, Some(1.0 / 1250.0));
        assert_eq!(all[0].unapplied["voltageRange"], "20");
    }

    #[test]
    fn unsupported_sidecars_are_rejected() {
        for (was, is, words) in [
            ("<nBits>16", "<nBits>8", "nBits"),
            ("<nChannels>4", "<nChannels>x", "line 4"),
            ("<nChannels>4</nChannels>", "", "nChannels"),
            ("</parameters>", "", "line"),
        ] {
            let error = described(&PARAMETERS.replace(was, is)).unwrap_err().to_string();
            assert!(error.contains(words), "{is}: {error}");
        }
        assert!(described("<root><raw_file/></root>").unwrap().is_none());
    }
}
