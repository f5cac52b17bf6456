//! The manifest's key `data`: one file name, a list of names, or a glob that matches the names.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use crate::describe::DescribeError;
use crate::describe::data_path::FILES_MAX;
use crate::describe::name_pattern::NamePattern;
use crate::model::FileName;

/// The characters that make a text a glob. Brackets and braces alone do not: they occur in names.
const WILDCARDS: [char; 2] = ['*', '?'];

/// The data files that a manifest names.
#[derive(Debug, Clone)]
pub enum DataNames {
    /// A single file.
    One(FileName),
    /// Several files. Their contents, in this order, are the data.
    List(Vec<FileName>),
    /// All files whose names match. Their contents, in natural order of the names, are the data.
    Matching(NamePattern),
}

impl DataNames {
    fn parse(text: &str) -> Result<Self, DescribeError> {
        let name = FileName::try_from(text.to_owned())?;
        if text.contains(WILDCARDS) {
            NamePattern::glob(text).map(DataNames::Matching)
        } else {
            Ok(DataNames::One(name))
        }
    }

    fn list(names: Vec<FileName>) -> Result<Self, DescribeError> {
        let mut seen = BTreeSet::new();
        if names.is_empty() {
            return Err("the list of data files is empty: name at least one".into());
        }
        if names.len() > FILES_MAX {
            return Err(format!("it lists more than {FILES_MAX} data files").into());
        }
        if let Some(twice) = names.iter().find(|name| !seen.insert(*name)) {
            return Err(format!("it lists `{twice}` twice").into());
        }
        if let Some(glob) = names.iter().find(|name| name.as_str().contains(WILDCARDS)) {
            return Err(format!(
                "`{glob}` is a glob: write it instead of the list, as in data = \"{glob}\""
            )
            .into());
        }
        Ok(DataNames::List(names))
    }
}

impl<'de> Deserialize<'de> for DataNames {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct NamesVisitor;

        impl<'de> Visitor<'de> for NamesVisitor {
            type Value = DataNames;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a file name, a list of file names, or a glob such as \"frame_*.raw\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<DataNames, E> {
                DataNames::parse(text).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<DataNames, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                DataNames::list(names).map_err(de::Error::custom)
            }
        }

        from.deserialize_any(NamesVisitor)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(value: serde_json::Value) -> Result<DataNames, DescribeError> {
        serde_json::from_value(value).map_err(|error: serde_json::Error| error.to_string().into())
    }

    #[test]
    fn names_lists_and_globs() {
        for name in ["a.raw", "scan[1].raw", "{5f}.raw", "-1"] {
            assert!(matches!(parse(json!(name)), Ok(DataNames::One(_))), "{name}");
        }
        for glob in ["frame_*.raw", "frame_?.raw", "*", "scan[12]_*.raw"] {
            assert!(matches!(parse(json!(glob)), Ok(DataNames::Matching(_))), "{glob}");
        }
        for list in [json!(["a.raw"]), json!(["b.raw", "a.raw"])] {
            assert!(matches!(parse(list.clone()), Ok(DataNames::List(_))), "{list}");
        }
    }

    #[test]
    fn paths_and_unusable_lists_are_rejected() {
        for (value, words) in [
            (json!("../*.raw"), "no directories are allowed"),
            (json!("sub/*"), "no directories are allowed"),
            (json!("/etc/?"), "no directories are allowed"),
            (json!("a\n*"), "control character"),
            (json!("x[*"), "not a glob"),
            (json!(["a.raw", "../b.raw"]), "no directories are allowed"),
            (json!(["a.raw", "/b.raw"]), "no directories are allowed"),
            (json!(["a.raw", ""]), "not a plain file name"),
            (json!(["a.raw", ".."]), "not a plain file name"),
            (json!([]), "is empty"),
            (json!(["a.raw", "b.raw", "a.raw"]), "`a.raw` twice"),
            (json!(["a*.raw"]), "instead of the list"),
            (json!(["a.raw", 1]), "string"),
            (json!(7), "a list of file names, or a glob"),
        ] {
            let error = parse(value.clone()).unwrap_err().to_string();
            assert!(error.contains(words), "{value}: {error}");
        }
    }
}
