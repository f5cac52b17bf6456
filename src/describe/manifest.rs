//! Manifests: a small TOML or JSON text beside the data that says what they are.
//!
//! `scan.raw` is described by `scan.raw.toml`, `scan.raw.json`, `scan.toml` or `scan.json`. The
//! shorter two serve the data suffixes in [`DATA_SUFFIXES`]; any other data file is named by the
//! manifest's `data` key. A file so named is a manifest when it holds `dtype` and `shape`, and
//! somebody else's business when it holds neither.

use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::describe::declared::Declared;
use crate::describe::dump::{DeclaredBy, Dump, Metadata};
use crate::describe::keys;
use crate::model::FileName;
use crate::text::sanitize::sanitize;
use crate::text::serde_errors::humanize;

/// The largest text that is read as a manifest, in bytes.
pub const SIZE_MAX: u64 = 1 << 20;

/// The suffixes of data files that `scan.toml` and `scan.json` describe; the first is none at all.
pub const DATA_SUFFIXES: [&str; 6] = ["", ".raw", ".bin", ".dat", ".data", ".img"];

/// The most characters of a line that a message shows.
const LINE_MAX: usize = 100;

/// A manifest's content.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// Its file's name.
    pub name: FileName,
    /// npyd's own keys.
    pub declared: Declared,
    /// The user's.
    pub metadata: Metadata,
    /// The remarks on the user's keys, or why one of them can't be the user's.
    remarks: Result<Vec<String>, String>,
}

impl Manifest {
    /// Reads a manifest's text. `Ok(None)`: it is not a manifest. The error says line and remedy.
    pub fn parse(name: &FileName, text: &[u8]) -> Result<Option<Self>, String> {
        let text = str::from_utf8(text).map_err(|error| {
            let line = text[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
            format!("line {line}: the text is not UTF-8")
        })?;
        let text = text.trim_start_matches('\u{feff}'); // as editors on Windows begin it
        let syntax = Syntax::of(name).ok_or("a manifest's name ends in .toml or .json")?;
        let mut metadata: Metadata = match syntax.read(text) {
            Ok(metadata) => metadata,
            // A JSON text may be a list or a number: valid, and not a manifest.
            Err(_) if syntax.read::<IgnoredAny>(text).is_ok() => return Ok(None),
            Err(error) => return Err(error),
        };
        match (metadata.contains_key("dtype"), metadata.contains_key("shape")) {
            (false, false) => return Ok(None),
            (true, false) => return Err(missing("shape", "dtype", "[-1, 512]", &metadata)),
            (false, true) => return Err(missing("dtype", "shape", "\"<f4\"", &metadata)),
            (true, true) => {}
        }
        let declared: Declared = syntax.read(text)?;
        let remarks = keys::check(&metadata, &data_names(name.as_str()));
        metadata.retain(|key, _| !keys::KEYS.contains(&key.as_str()));
        metadata.values_mut().for_each(plain_datetimes);
        Ok(Some(Manifest { name: name.clone(), declared, metadata, remarks }))
    }

    /// The dump that it declares the data file to be.
    pub fn dump(self, data: &FileName) -> Result<Dump, String> {
        let Manifest { name, declared, metadata, remarks } = self;
        let dump = remarks.and_then(|warnings| {
            let dump = declared.dump(DeclaredBy::Manifest, data, metadata)?;
            Ok(Dump { warnings, ..dump })
        });
        dump.map_err(|reason| format!("the manifest `{name}` can't be used: {reason}"))
    }
}

/// Says that one of the two keys of a manifest is missing, and which other key was meant to be it.
fn missing(key: &str, other: &str, example: &str, keys: &Metadata) -> String {
    let remedy = match keys::in_place_of(key, keys) {
        Some(meant) => format!("; did you mean `{key}` by `{meant}`?"),
        None => format!(": add it, such as {key} = {example}"),
    };
    sanitize(&format!("it has `{other}` but no `{key}`{remedy}"))
}

/// Whether a text that can't be read as a manifest was meant as one: others write JSON and TOML
/// too.
#[must_use]
pub fn is_meant(text: &str) -> bool {
    ["dtype", "shape"].iter().all(|key| keys::is_mentioned(key, text))
}

/// Whether a file of this name could be a manifest.
#[must_use]
pub fn is_manifest_name(name: &str) -> bool {
    stem(name).is_some()
}

/// The data files a manifest of this name may describe, the likeliest first.
#[must_use]
pub fn data_names(manifest: &str) -> Vec<String> {
    stem(manifest)
        .map(|stem| DATA_SUFFIXES.iter().map(|suffix| format!("{stem}{suffix}")).collect())
        .unwrap_or_default()
}

/// The manifests that may describe a data file of this name.
#[must_use]
pub fn manifest_names(data: &str) -> Vec<String> {
    let short = DATA_SUFFIXES[1..].iter().find_map(|suffix| data.strip_suffix(suffix));
    [Some(data), short.filter(|stem| !stem.is_empty())]
        .into_iter()
        .flatten()
        .flat_map(|stem| [format!("{stem}.toml"), format!("{stem}.json")])
        .collect()
}

fn stem(manifest: &str) -> Option<&str> {
    [".toml", ".json"]
        .iter()
        .find_map(|suffix| manifest.strip_suffix(suffix))
        .filter(|stem| !stem.is_empty())
}

#[derive(Clone, Copy)]
enum Syntax {
    Toml,
    Json,
}

impl Syntax {
    fn of(name: &FileName) -> Option<Self> {
        match Path::new(name.as_str()).extension()?.to_str()? {
            "toml" => Some(Syntax::Toml),
            "json" => Some(Syntax::Json),
            _ => None,
        }
    }

    fn read<T: for<'de> Deserialize<'de>>(self, text: &str) -> Result<T, String> {
        match self {
            Syntax::Toml => toml::from_str(text).map_err(|error| {
                let line = error.span().map(|span| 1 + text[..span.start].matches('\n').count());
                on_line(text, line.unwrap_or(1), error.message())
            }),
            Syntax::Json => serde_json::from_str(text).map_err(|error| {
                let message = error.to_string();
                let message = message.rsplit_once(" at line ").map_or(message.as_str(), |it| it.0);
                on_line(text, error.line(), message)
            }),
        }
    }
}

/// A message with the line it is about.
fn on_line(text: &str, number: usize, what: &str) -> String {
    let line: String = text
        .lines()
        .nth(number.saturating_sub(1))
        .unwrap_or_default()
        .chars()
        .take(LINE_MAX)
        .collect();
    let what = humanize(what).replace('\n', ", ");
    sanitize(&format!("line {number}, `{}`: {what}", line.trim()))
}

/// TOML's dates have no like in JSON: they become their own text.
fn plain_datetimes(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Array(items) => items.iter_mut().for_each(plain_datetimes),
        serde_json::Value::Object(table) => match table.get("$__toml_private_datetime") {
            Some(text) => *value = text.clone(),
            None => table.values_mut().for_each(plain_datetimes),
        },
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str, text: &str) -> Result<Option<Manifest>, String> {
        Manifest::parse(&FileName::try_from(name.to_owned()).unwrap(), text.as_bytes())
    }

    #[test]
    fn names_lead_both_ways() {
        for data in ["scan.raw", "scan.bin", "scan", "a.b.dat"] {
            for manifest in manifest_names(data) {
                assert!(data_names(&manifest).contains(&data.to_owned()), "{manifest} and {data}");
            }
        }
        assert_eq!(
            manifest_names("scan.raw"),
            ["scan.raw.toml", "scan.raw.json", "scan.toml", "scan.json"]
        );
        assert_eq!(manifest_names("scan.u16"), ["scan.u16.toml", "scan.u16.json"]);
        assert!(!is_manifest_name(".toml"));
    }

    #[test]
    fn metadata_are_kept_in_order() {
        let text =
            "dtype = '<f4'\nzoom = 2\nshape = [2]\nat = 2026-01-02T03:04:05Z\n[stage]\nx = 1.5\n";
        let manifest = parse("a.toml", text).unwrap().unwrap();
        assert_eq!(
            serde_json::to_string(&manifest.metadata).unwrap(),
            r#"{"zoom":2,"at":"2026-01-02T03:04:05Z","stage":{"x":1.5}}"#
        );
    }

    #[test]
    fn somebody_elses_files_are_not_manifests() {
        for (name, text) in [
            ("a.json", "[1, 2]"),
            ("a.json", "7"),
            ("a.json", "{}"),
            ("a.toml", "name = 'x'"),
            ("a.toml", ""),
        ] {
            assert!(parse(name, text).unwrap().is_none(), "{text}");
        }
    }

    #[test]
    fn a_mark_of_the_byte_order_is_no_text() {
        for (name, text) in [
            ("a.json", r#"{"dtype": "<f4", "shape": [2]}"#),
            ("a.toml", "dtype = '<f4'\nshape = [2]\n"),
        ] {
            assert!(parse(name, &format!("\u{feff}{text}")).unwrap().is_some(), "{name}");
        }
    }

    /// A misspelt key of two is noticed by the other.
    #[test]
    fn a_missing_key_may_be_misspelt() {
        for (text, words) in [
            ("dtyp = '<f4'\nshape = [2]", "no `dtype`; did you mean `dtype` by `dtyp`?"),
            ("type = '<f4'\nshape = [2]", "no `dtype`; did you mean `dtype` by `type`?"),
            ("data_type = '<f4'\nshape = [2]", "did you mean `dtype` by `data_type`?"),
            ("dtype = '<f4'\nShape = [2]", "no `shape`; did you mean `shape` by `Shape`?"),
            ("dtype = '<f4'\ndims = [2]", "no `shape`; did you mean `shape` by `dims`?"),
            ("dtype = '<f4'\nwidth = 2", "no `shape`: add it"),
            ("bits = 16\nshape = [2]", "no `dtype`: add it"),
            ("endian = 'big'\nshape = [2]", "no `dtype`: add it"),
        ] {
            let error = parse("a.toml", text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
        assert!(parse("a.toml", "dtyp = '<f4'\nshpe = [2]").unwrap().is_none());
    }

    #[test]
    fn misspelt_keys_are_refused() {
        let manifest = |key: &str| {
            let text = format!("dtype = '<f4'\nshape = [2]\n{key}\n");
            let manifest = parse("a.toml", &text).unwrap().unwrap();
            manifest.dump(&FileName::try_from("a.raw".to_owned()).unwrap())
        };
        let reason = manifest("offest = 80").unwrap_err();
        assert!(reason.contains("`a.toml`") && reason.contains("`offset`"), "{reason}");
        let dump = manifest("offest = 'left'").unwrap();
        assert_eq!((dump.warnings.len(), &dump.metadata["offest"]), (1, &"left".into()));
        assert_eq!(manifest("dta = 2026-01-02").unwrap().warnings.len(), 1);
        assert!(manifest("file = 'a.raw'").unwrap().warnings.is_empty());
    }
}
