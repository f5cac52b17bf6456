//! Manifests: small TOML or JSON files beside the data that describe them.
//!
//! `scan.raw` is described by `scan.raw.toml`, `scan.raw.json`, `scan.toml` or `scan.json`. The
//! shorter names apply to the data suffixes in [`DATA_SUFFIXES`]; the manifest of any other data
//! file names it in the key `data`. A file with such a name is a manifest if it contains `dtype`
//! and `shape`. If it contains neither, npyd ignores it, unless it has misspellings of both.

use std::borrow::Cow;
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::describe::DescribeError;
use crate::describe::bits_or_bytes::BitsOrBytes;
use crate::describe::data_names::DataNames;
use crate::describe::declared::Declared;
use crate::describe::declared_by::DeclaredBy;
use crate::describe::dump::Dump;
use crate::describe::keys;
use crate::describe::series::{DeclaredSeries, SeriesKey};
use crate::describe::text::Metadata;
use crate::describe::text::fields::unicode_text;
use crate::describe::text::python_json;
use crate::model::FileName;
use crate::npy::sanitize::sanitize;
use crate::text::serde_errors::humanize;
use crate::text::toml_values::value_remedy;

/// Maximum size of a manifest, in bytes.
pub const SIZE_MAX: u64 = 1 << 20;

/// Suffixes of the data files that `scan.toml` and `scan.json` describe. The first is empty.
pub const DATA_SUFFIXES: [&str; 6] = ["", ".raw", ".bin", ".dat", ".data", ".img"];

/// Maximum length of a line in a message, in characters.
const LINE_MAX: usize = 100;

/// A parsed manifest.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The name of its file.
    pub name: FileName,
    /// The values of npyd's own keys.
    pub declared: Declared,
    /// How its dtype is read, if the text of that may count bits or bytes.
    bits_or_bytes: Option<BitsOrBytes>,
    /// The user's own keys.
    pub metadata: Metadata,
    /// The series that it describes, if the key `data` lists its files or has a glob.
    series: Option<DeclaredSeries>,
    /// The header of the table of the user's that has the key `data`, where it has no effect.
    data_table: Option<String>,
    /// Remarks on the user's keys, or the error if one of them is a misspelt key of npyd.
    remarks: Result<Vec<String>, DescribeError>,
}

impl Manifest {
    /// Parses a manifest. Returns `Ok(None)` if the text is not a manifest.
    ///
    /// # Errors
    /// The text is a manifest, but not a valid one. The message names the line and the remedy.
    pub fn parse(name: &FileName, text: &[u8]) -> Result<Option<Self>, DescribeError> {
        let text = unicode_text(text).ok_or_else(|| {
            let valid = str::from_utf8(text).map_or_else(|error| error.valid_up_to(), str::len);
            let line = text[..valid].split(|byte| *byte == b'\n').count();
            format!("line {line}: the text is not UTF-8")
        })?;
        let syntax = Syntax::of(name).ok_or("a manifest's name ends in .toml or .json")?;
        let text = &*syntax.plain(&text);
        let mut metadata: Metadata = match syntax.read(text) {
            Ok(metadata) => metadata,
            // A JSON text may be a list or a number: valid, and not a manifest.
            Err(_) if syntax.read::<IgnoredAny>(text).is_ok() => return Ok(None),
            Err(error) => return Err(error),
        };
        match (metadata.contains_key("dtype"), metadata.contains_key("shape")) {
            (false, false) => match keys::misspelt_both(&metadata) {
                Some((dtype, shape)) => return Err(missing_both(dtype, shape)),
                None => return Ok(None),
            },
            (true, false) => return Err(missing("shape", "dtype", "[-1, 512]", &metadata)),
            (false, true) => return Err(missing("dtype", "shape", "\"<f4\"", &metadata)),
            (true, true) => {}
        }
        let mut declared: Declared = syntax.read(text)?;
        if let Some(DataNames::List(names)) = &declared.data
            && names.contains(name)
        {
            return Err("it lists itself as data: remove it from the list".into());
        }
        if let Some(DataNames::One(data)) = &declared.data
            && data == name
        {
            return Err("it names itself as data: write the name of the raw file".into());
        }
        if let Some(DataNames::List(_) | DataNames::Matching(_)) = &declared.data {
            declared.output.get_or_insert_with(|| name.as_npy());
        }
        let misplaced = match syntax {
            Syntax::Toml => keys::misplaced(&metadata, text),
            Syntax::Json => Vec::new(),
        };
        let mut remarks = keys::check(&metadata, &data_names(name.as_str()));
        let dtype = metadata.get("dtype").and_then(|dtype| dtype.as_str());
        let bits_or_bytes = dtype.and_then(BitsOrBytes::of);
        if let Ok(remarks) = &mut remarks {
            remarks.extend(bits_or_bytes.map(|it| it.to_string()));
            remarks.extend(misplaced.iter().map(|it| sanitize(&it.to_string())));
        }
        let data_table = misplaced.iter().find(|it| it.key == "data");
        let data_table = data_table.map(|it| sanitize(&it.table));
        metadata.retain(|key, _| !keys::KEYS.contains(&key.as_str()));
        metadata.values_mut().for_each(datetimes_to_text);
        let key = SeriesKey::of_description(name);
        let series = match &declared.data {
            Some(DataNames::List(names)) => Some(DeclaredSeries::of_files(key, names.clone())),
            Some(DataNames::Matching(glob)) => Some(DeclaredSeries::matching(key, glob.clone())),
            Some(DataNames::One(_)) | None => None,
        };
        let name = name.clone();
        Ok(Some(Manifest { name, declared, bits_or_bytes, metadata, series, data_table, remarks }))
    }

    /// Stores the files that the glob matches. Remarks on gaps in their numbering.
    pub fn set_matching(&mut self, names: Vec<FileName>) {
        if let Some(series) = &mut self.series {
            let on_gaps = series.set_files(names);
            if let Ok(remarks) = &mut self.remarks {
                remarks.extend(on_gaps);
            }
        }
    }

    /// Returns the header of the table of the user's that has the key `data`, where it has no
    /// effect.
    #[must_use]
    pub fn data_table(&self) -> Option<&str> {
        self.data_table.as_deref()
    }

    /// Returns the series that the manifest describes, if the key `data` lists its files or has a
    /// glob.
    #[must_use]
    pub fn series(&self) -> Option<&DeclaredSeries> {
        self.series.as_ref()
    }

    /// Returns the dump that this manifest declares for a data file.
    ///
    /// # Errors
    /// A key is misspelt, or keys contradict each other.
    pub fn dump(self, data: &FileName) -> Result<Dump, DescribeError> {
        let Manifest { name, declared, bits_or_bytes, metadata, remarks, .. } = self;
        let dump = remarks.and_then(|warnings| {
            let dump = declared.dump(DeclaredBy::Manifest, data, metadata)?;
            Ok(Dump { warnings, bits_or_bytes, ..dump })
        });
        dump.map_err(|error| error.of_manifest(name))
    }
}

/// Returns the message that one of the two required keys is missing. If another key was probably
/// meant to be the missing one, the message names it.
fn missing(key: &str, other: &str, example: &str, keys: &Metadata) -> DescribeError {
    let remedy = match keys::in_place_of(key, keys) {
        Some(meant) => format!("; did you mean `{key}` by `{meant}`?"),
        None => format!(": add it, such as {key} = {example}"),
    };
    sanitize(&format!("it has `{other}` but no `{key}`{remedy}")).into()
}

/// Returns the message that both required keys are misspelt.
fn missing_both(dtype: &str, shape: &str) -> DescribeError {
    let text = format!(
        "it has neither `dtype` nor `shape`; did you mean `dtype` by `{dtype}` and `shape` by \
         `{shape}`?"
    );
    sanitize(&text).into()
}

/// Returns whether a text that can't be parsed was meant to be a manifest. Other programs write
/// JSON and TOML files, too.
#[must_use]
pub fn is_meant(text: &str) -> bool {
    ["dtype", "shape"].iter().all(|key| keys::is_mentioned(key, text))
}

/// Returns whether a file with this name could be a manifest.
#[must_use]
pub fn is_manifest_name(name: &str) -> bool {
    stem(name).is_some()
}

/// Returns the first of [`data_names`].
#[must_use]
pub fn first_data_name(manifest: &str) -> Option<&str> {
    stem(manifest)
}

/// Returns the data files that a manifest with this name may describe, the most likely first.
#[must_use]
pub fn data_names(manifest: &str) -> Vec<String> {
    stem(manifest)
        .map(|stem| DATA_SUFFIXES.iter().map(|suffix| format!("{stem}{suffix}")).collect())
        .unwrap_or_default()
}

/// Returns the manifests that may describe a data file with this name.
#[must_use]
pub fn manifest_names(data: &str) -> Vec<String> {
    let short = DATA_SUFFIXES[1..].iter().find_map(|suffix| data.strip_suffix(suffix));
    [Some(data), short.filter(|stem| !stem.is_empty())]
        .into_iter()
        .flatten()
        .flat_map(|stem| [format!("{stem}.toml"), format!("{stem}.json")])
        .collect()
}

/// Returns whether the name of a data file leads to a manifest of this name.
#[must_use]
pub fn is_named_for(manifest: &str, data: &str) -> bool {
    let suffix = stem(manifest).and_then(|stem| data.strip_prefix(stem));
    suffix.is_some_and(|suffix| DATA_SUFFIXES.contains(&suffix))
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

    /// Returns the text without Python's notation, if it is JSON only without it.
    fn plain(self, text: &str) -> Cow<'_, str> {
        match self {
            Syntax::Json if serde_json::from_str::<IgnoredAny>(text).is_err() => {
                python_json::to_json(text)
            }
            _ => text.into(),
        }
    }

    fn read<T: for<'de> Deserialize<'de>>(self, text: &str) -> Result<T, DescribeError> {
        match self {
            Syntax::Toml => toml::from_str(text).map_err(|error| {
                let line = error.span().map(|span| 1 + text[..span.start].matches('\n').count());
                let line = line.unwrap_or(1);
                let remedy = text.lines().nth(line - 1).and_then(value_remedy);
                on_line(text, line, remedy.as_deref().unwrap_or(error.message()))
            }),
            Syntax::Json => serde_json::from_str(text).map_err(|error| {
                let message = error.to_string();
                let message = message.rsplit_once(" at line ").map_or(message.as_str(), |it| it.0);
                on_line(text, error.line(), message)
            }),
        }
    }
}

/// Returns an error that quotes its line.
fn on_line(text: &str, number: usize, what: &str) -> DescribeError {
    let line = text.lines().nth(number.saturating_sub(1)).unwrap_or_default();
    let line: String = line.chars().take(LINE_MAX).collect();
    let source = Box::new(humanize(what).replace('\n', ", ").into());
    DescribeError::Line { number, line: line.trim().to_owned(), source }
}

/// Converts TOML dates to strings, because JSON has no date type.
fn datetimes_to_text(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Array(items) => items.iter_mut().for_each(datetimes_to_text),
        serde_json::Value::Object(table) => match table.get("$__toml_private_datetime") {
            Some(text) => *value = text.clone(),
            None => table.values_mut().for_each(datetimes_to_text),
        },
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str, text: &str) -> Result<Option<Manifest>, DescribeError> {
        Manifest::parse(&FileName::try_from(name.to_owned()).unwrap(), text.as_bytes())
    }

    #[test]
    fn manifests_and_data_find_each_other() {
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
        let names = ["scan", "scan.raw", "scan.raw.raw", "scan.bin", ".raw", "scan.dat.img", "s"];
        for data in names {
            for stem in names.into_iter().chain(["scan.u16", "sc", ""]) {
                for manifest in [format!("{stem}.toml"), format!("{stem}.json"), stem.to_owned()] {
                    let is_of = manifest_names(data).contains(&manifest);
                    assert_eq!(is_named_for(&manifest, data), is_of, "{manifest} of {data}");
                }
            }
        }
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
    fn files_of_other_programs_are_not_manifests() {
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
    fn a_byte_order_mark_is_ignored() {
        for (name, text) in [
            ("a.json", r#"{"dtype": "<f4", "shape": [2]}"#),
            ("a.toml", "dtype = '<f4'\nshape = [2]\n"),
        ] {
            assert!(parse(name, &format!("\u{feff}{text}")).unwrap().is_some(), "{name}");
        }
    }

    /// One of the two required keys is enough to notice that the other is misspelt.
    #[test]
    fn a_missing_key_may_be_misspelt() {
        for (text, words) in [
            ("dtyp = '<f4'\nshape = [2]", "no `dtype`; did you mean `dtype` by `dtyp`?"),
            ("type = '<f4'\nshape = [2]", "no `dtype`; did you mean `dtype` by `type`?"),
            ("data_type = '<f4'\nshape = [2]", "did you mean `dtype` by `data_type`?"),
            ("dtype = '<f4'\nShape = [2]", "no `shape`; did you mean `shape` by `Shape`?"),
            ("dtype = '<f4'\ndims = [2]", "no `shape`; did you mean `shape` by `dims`?"),
            ("dtype = '<f4'\nsize = [2]", "no `shape`; did you mean `shape` by `size`?"),
            ("format = '<f4'\nshape = [2]", "no `dtype`; did you mean `dtype` by `format`?"),
            ("dtype = '<f4'\nsize = 'big'", "no `shape`: add it"),
            ("dtype = '<f4'\nwidth = 2", "no `shape`: add it"),
            ("bits = 16\nshape = [2]", "no `dtype`: add it"),
            ("endian = 'big'\nshape = [2]", "no `dtype`: add it"),
        ] {
            let error = parse("a.toml", text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
        for text in
            ["dtpye = '<f4'\nshpae = [2]", "Dtype = '<f4'\nShape = [2]", "DTYPE='u1'\nSHAPE=[2]"]
        {
            let error = parse("a.toml", text).unwrap_err().to_string();
            assert!(error.contains("did you mean `dtype` by `"), "{text}: {error}");
            assert!(error.contains("` and `shape` by `"), "{text}: {error}");
        }
        for text in [
            "dtyp = '<f4'",
            "type = '<f4'\nshapes = [2]",
            "dtpye = 'plain text'\nshpae = [2]",
            "dtpye = '<f4'\nshpae = 'round'",
            "data_type = '<f4'\ndims = [2]",
        ] {
            assert!(parse("a.toml", text).unwrap().is_none(), "{text}");
        }
    }

    #[test]
    fn misspelt_keys_are_rejected() {
        let manifest = |key: &str| {
            let text = format!("dtype = '<f4'\nshape = [2]\n{key}\n");
            let manifest = parse("a.toml", &text).unwrap().unwrap();
            manifest.dump(&FileName::try_from("a.raw".to_owned()).unwrap())
        };
        let reason = manifest("offest = 80").unwrap_err().to_string();
        assert!(reason.contains("`a.toml`") && reason.contains("`offset`"), "{reason}");
        let dump = manifest("offest = 'left'").unwrap();
        assert_eq!((dump.warnings.len(), &dump.metadata["offest"]), (1, &"left".into()));
        assert_eq!(manifest("dta = 2026-01-02").unwrap().warnings.len(), 1);
        assert!(manifest("file = 'a.raw'").unwrap().warnings.is_empty());
    }
}
