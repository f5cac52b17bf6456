//! Near misses: files that look like a sidecar of a format, but lack its mark, so that they are not
//! one. A message names what is missing.

use std::fmt;

use crate::describe::sidecar::Format;
use crate::describe::text::fields::text_of;

/// Number of the format's keys that a file must have to look like its sidecar.
const KEYS_MIN: usize = 2;

/// What tells the sidecars of a format from other files.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    /// Keys or elements that most sidecars of the format have.
    pub keys: &'static [&'static str],
    /// What a file without the mark lacks, and what to do, for people.
    pub missing: &'static str,
}

impl Mark {
    /// The mark of a format whose name tells its sidecars from other files.
    pub const NONE: Mark = Mark { keys: &[], missing: "" };
}

/// A file that looks like a sidecar of a format, and what it lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NearMiss {
    format: &'static str,
    missing: &'static str,
}

impl fmt::Display for NearMiss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NearMiss { format, missing } = self;
        let article = if format.starts_with(['E', 'N', 'O', 'R']) { "an" } else { "a" };
        write!(f, "looks like {article} {format} sidecar, but {missing}")
    }
}

impl Format {
    /// Returns what a file lacks that is named like a sidecar of this format and has such keys, but
    /// has another format. The caller has found out that it is not a sidecar.
    #[must_use]
    pub fn near_miss(&self, text: &[u8]) -> Option<NearMiss> {
        let text = text_of(text);
        let count = self.mark.keys.iter().filter(|key| has_key(&text, key)).count();
        (count >= KEYS_MIN).then_some(NearMiss { format: self.name, missing: self.mark.missing })
    }
}

/// Returns whether a text has this key at the start of a line, where letter case, blanks, `_` and
/// `-` do not matter. A key that begins with a quote or `<`, of JSON or XML, may be anywhere.
fn has_key(text: &str, key: &str) -> bool {
    if key.starts_with(['"', '<']) {
        return text.contains(key);
    }
    let bare = |text: &str| text.replace([' ', '_', '-'], "").to_ascii_lowercase();
    let key = bare(key);
    text.lines().any(|line| {
        let named = line.split(['=', ':', '\t']).next().unwrap_or_default();
        let word = line.split_whitespace().next().unwrap_or_default();
        bare(named) == key || bare(word) == key
    })
}

#[cfg(test)]
mod tests {
    use crate::describe::formats::FORMATS;

    fn near_miss(format: &str, text: &str) -> Option<String> {
        let format = FORMATS.iter().find(|it| it.name == format).unwrap();
        format.near_miss(text.as_bytes()).map(|it| it.to_string())
    }

    #[test]
    fn sidecars_without_their_mark() {
        for (format, text, words) in [
            ("ENVI", "Envi\nsamples = 4\nlines = 3\nbands = 1\n", "an ENVI sidecar, but its first"),
            ("ENVI", "\nENVI\nSamples=4\n data type = 3\n", "`ENVI`"),
            ("EHdr", "rows 3\nNCOLS 4\nnbits 16\n", "`NROWS`"),
            ("MetaImage", "Ndims = 2\nElementType = MET_UCHAR\n", "`NDims`"),
            ("NRRD", "NRRD\ntype: short\nsizes: 12\n", "`NRRD0004`"),
            ("SpikeGLX", "nsavedchan=3\nfileSizeBytes=24\ntypeThis=imec\n", "`nSavedChans`"),
            ("BrainVision", "[Common Infos]\nDataFile=x.eeg\nDataFormat=BINARY\n", "first line"),
            ("RPL", "width\t3\nheight\t4\ndatatype\tunsigned\n", "`record-by`"),
            ("SpikeInterface", "{\"kwargs\": {\"file_paths\": []}}", "`class`"),
            ("Neuroscope", "<parameters><nBits>16</nBits><nChannels>2</nChannels>", "element"),
            ("EMPAD", "<root><scan_parameters/><pix_x>4</pix_x>", "`raw_file`"),
        ] {
            let message = near_miss(format, text).unwrap_or_default();
            assert!(message.contains(words), "{format}: {message}");
        }
    }

    #[test]
    fn other_files() {
        for format in FORMATS {
            for text in ["", "#include <lines.h>\n", "{\"lines\": 3}", "title=x\ntype=y\n", "<svg>"]
            {
                assert_eq!(format.near_miss(text.as_bytes()), None, "{}: {text}", format.name);
            }
        }
    }
}
