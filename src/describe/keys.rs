//! Keys of a manifest: npyd's own keys, misspelt ones, and lookalikes from other programs.
//!
//! Any other key is metadata of the user. npyd must therefore notice a key that was meant for it
//! but is not spelt like one of its own, because the array would be wrong without it.

use std::fmt;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::describe::DescribeError;
use crate::describe::declared::Declared;
use crate::describe::lookalike_keys::{is_name_of, lookalike, without_effect};
use crate::describe::text::Metadata;
use crate::describe::text::near_words::{are_equal_but_one, is_near};
use crate::npy::sanitize::sanitize;

/// Maximum number of remarks on one manifest.
const REMARKS_MAX: usize = 10;

/// npyd's own keys.
pub(crate) const KEYS: [&str; 9] =
    ["dtype", "shape", "order", "offset", "trailing", "reserved", "data", "output", "digest"];

/// Words that resemble one of npyd's keys but have a meaning of their own. npyd only warns of them.
const WORDS: [&str; 17] = [
    "type",
    "shapes",
    "shaper",
    "border",
    "orders",
    "ordner",
    "xoffset",
    "yoffset",
    "zoffset",
    "toffset",
    "tailing",
    "training",
    "preserved",
    "xdata",
    "ydata",
    "zdata",
    "outputs",
];

/// Checks a manifest's keys and returns remarks on the keys that npyd ignores although they
/// resemble one of its own. `names` are the data files that the manifest's own name implies.
///
/// # Errors
/// A key resembles one of npyd's, has no meaning of its own, and its value is valid for npyd's key.
/// This is also an error if both keys are present, because npyd can't know which of them is right.
pub(crate) fn check(keys: &Metadata, names: &[String]) -> Result<Vec<String>, DescribeError> {
    let (mut remarks, mut misspelt) = (Vec::new(), Vec::new());
    for (key, value) in keys.iter().filter(|(key, _)| !KEYS.contains(&key.as_str())) {
        let names_the_data =
            |known| known == "data" && names.iter().any(|name| *value == name.as_str());
        if let Some((known, hint)) = lookalike(key) {
            if !names_the_data(known) {
                remarks.push(format!("npyd ignores the manifest's key `{key}`: {hint}"));
            }
        } else if let Some(why) = without_effect(key, value) {
            remarks.push(format!("npyd ignores the manifest's key `{key}`: {why}"));
        } else if is_name_of("order", key) && is_valid("order", value) {
            remarks.push(format!("npyd ignores the manifest's key `{key}`: use `order`"));
        } else if let Some(known) = nearest(key, value) {
            if is_word(key) || !is_valid(known, value) {
                remarks.push(format!(
                    "npyd ignores the manifest's key `{key}`: did you mean `{known}`?"
                ));
            } else {
                misspelt.push(refusal(key, known, keys.contains_key(known)));
            }
        }
    }
    if misspelt.is_empty() {
        Ok(remarks.iter().take(REMARKS_MAX).map(|remark| sanitize(remark)).collect())
    } else {
        Err(sanitize(&misspelt.join("; ")).into())
    }
}

/// One of npyd's own keys in a table of the user's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misplaced {
    /// The key.
    pub(crate) key: String,
    /// The header of the table.
    pub(crate) table: String,
    /// Whether the manifest has the key where it counts, too.
    is_second: bool,
}

impl fmt::Display for Misplaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Misplaced { key, table, is_second } = self;
        write!(f, "`{key}` is in `{table}` and has no effect: ")?;
        if *is_second {
            write!(f, "the `{key}` above the first `[` counts")
        } else {
            f.write_str("move it above the first `[` if it is meant for npyd")
        }
    }
}

/// Returns npyd's own keys below the header of a table in a TOML text. TOML adds a key to the table
/// above it, so one that is appended to the text describes nothing. A key that would change nothing
/// if it were moved does not count. A table in braces can have no such key, because it is closed.
pub(crate) fn misplaced(keys: &Metadata, text: &str) -> Vec<Misplaced> {
    let mut misplaced = Vec::new();
    for (table, value) in keys.iter().filter(|(key, _)| !KEYS.contains(&key.as_str())) {
        let header = |brackets: &str| has_header(text, brackets, table);
        let is_list = value.is_array();
        if header("[[") || (!is_list && header("[")) {
            find_misplaced(keys, (table, value), is_list, &mut misplaced);
        }
    }
    misplaced.truncate(REMARKS_MAX);
    misplaced
}

/// Adds the keys in a table, in each table of a list, and in those inside.
fn find_misplaced(
    keys: &Metadata,
    (path, value): (&str, &Value),
    is_list: bool,
    found: &mut Vec<Misplaced>,
) {
    let Value::Object(table) = value else {
        for item in value.as_array().into_iter().flatten() {
            find_misplaced(keys, (path, item), true, found);
        }
        return;
    };
    let shown = if is_list { format!("[[{path}]]") } else { format!("[{path}]") };
    for (key, value) in table {
        if !KEYS.contains(&key.as_str()) {
            let is_list = value.is_array();
            find_misplaced(keys, (&format!("{path}.{key}"), value), is_list, found);
        } else if is_valid(key, value) && !is_in_effect(keys, key, value) {
            let (key, table) = (key.clone(), shown.clone());
            let misplaced = Misplaced { is_second: keys.contains_key(&key), key, table };
            if !found.contains(&misplaced) {
                found.push(misplaced);
            }
        }
    }
}

/// Returns whether a line of the text begins a table of this name, or one inside it.
fn has_header(text: &str, brackets: &str, name: &str) -> bool {
    text.lines().any(|line| {
        let inner = line.trim_start().strip_prefix(brackets).map(str::trim_start);
        let key = inner.map(|inner| inner.trim_start_matches(['"', '\'']));
        let end = key.and_then(|key| key.strip_prefix(name));
        end.is_some_and(|end| end.starts_with([']', '.', ' ', '\t', '"', '\'']))
    })
}

/// Returns whether a value of one of npyd's keys says what the manifest says without it.
fn is_in_effect(keys: &Metadata, key: &str, value: &Value) -> bool {
    let declared = |keys: Value| Declared::deserialize(keys).ok();
    let other = |value: &Value| {
        let mut keys = json!({"dtype": "|u1", "shape": [1]});
        keys[key] = value.clone();
        declared(keys)
    };
    let now = match keys.get(key) {
        Some(value) => other(value),
        None => declared(json!({"dtype": "|u1", "shape": [1]})),
    };
    // The types of the values have no equality of their own in common.
    now.zip(other(value)).is_some_and(|(now, other)| format!("{now:?}") == format!("{other:?}"))
}

/// Returns the key that the user probably wrote instead of the missing key `known`.
pub(crate) fn in_place_of<'a>(known: &str, keys: &'a Metadata) -> Option<&'a str> {
    let others = || keys.iter().filter(|(key, _)| !KEYS.contains(&key.as_str()));
    let is_like = |(key, value): &(&'a String, &Value)| {
        let is_other_name = lookalike(key).is_some_and(|(meant, _)| meant == known);
        (is_other_name || is_name_of(known, key)) && is_valid(known, value)
    };
    let near = others().find(|(key, _)| is_near(known, key));
    near.or_else(|| others().find(is_like)).map(|(key, _)| key.as_str())
}

/// Returns the misspellings of `dtype` and `shape` in a text that has neither, if it has both
/// misspellings, each with a value that is valid for the key: then it was meant as a manifest.
pub(crate) fn misspelt_both(keys: &Metadata) -> Option<(&str, &str)> {
    let misspelt = |known: &str| {
        let is_it = |(key, value): &(&String, &Value)| {
            is_near(known, key) && !is_word(key) && is_valid(known, value)
        };
        keys.iter().find(is_it).map(|(key, _)| key.as_str())
    };
    misspelt("dtype").zip(misspelt("shape"))
}

/// Returns whether the text contains `known` or a misspelling of it.
pub(crate) fn is_mentioned(known: &str, text: &str) -> bool {
    let mut words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    text.contains(known) || words.any(|word| is_near(known, word) && !is_word(word))
}

fn refusal(key: &str, known: &str, both: bool) -> String {
    if both {
        format!("`{key}` resembles its key `{known}`: remove one of them, or rename your own key")
    } else {
        format!("`{key}` resembles the key `{known}`: write `{known}`, or rename your own key")
    }
}

/// Returns whether this key has a meaning of its own: a known word, or a numbered key such as
/// `offset2`.
fn is_word(key: &str) -> bool {
    let lower = key.to_lowercase();
    let unnumbered = lower.trim_end_matches(|c: char| c.is_ascii_digit());
    let is_numbered = unnumbered.len() < lower.len();
    WORDS.contains(&lower.as_str()) || is_numbered && KEYS.contains(&unnumbered)
}

/// Returns the key of npyd that this key resembles.
fn nearest(key: &str, value: &Value) -> Option<&'static str> {
    // `order` has only two values, so a key with one wrong letter is recognized by its value.
    let is_order = || are_equal_but_one("order", key) && is_valid("order", value);
    let near = KEYS.into_iter().find(|known| is_near(known, key));
    near.or_else(|| is_order().then_some("order"))
}

/// Returns whether the value is valid for this key of npyd.
fn is_valid(known: &str, value: &Value) -> bool {
    let mut keys = json!({"dtype": "|u1", "shape": [1]});
    keys[known] = value.clone();
    !value.is_null() && Declared::deserialize(keys).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks the keys of a manifest with one additional key.
    fn checked(key: &str, value: &Value) -> Result<Vec<String>, DescribeError> {
        let mut keys = json!({"dtype": "<f4", "shape": [2]});
        keys[key] = value.clone();
        check(keys.as_object().unwrap(), &["scan.raw".to_owned()])
    }

    #[test]
    fn misspelt_keys_are_rejected() {
        for (key, value, known) in [
            ("offest", json!(80), "offset"),
            ("Offset", json!(0), "offset"),
            ("off_set", json!(80), "offset"),
            ("offsets", json!(80), "offset"),
            ("ordr", json!("F"), "order"),
            ("ordee", json!("F"), "order"),
            ("ORDER", json!("C"), "order"),
            ("trialing", json!(1), "trailing"),
            ("reserve", json!(128), "reserved"),
            ("dta", json!("x.raw"), "data"),
            ("ouput", json!("x.npy"), "output"),
            ("digst", json!("crc32c:00000000"), "digest"),
            ("dytpe", json!("<f8"), "dtype"),
            ("shpae", json!([3, 4]), "shape"),
        ] {
            let error = checked(key, &value).unwrap_err().to_string();
            for word in [key, known, "rename your own"] {
                assert!(error.contains(word), "{key}: {error}");
            }
        }
    }

    /// A key stays metadata, with a remark, if its value or its meaning shows that it is metadata.
    #[test]
    fn nearly_equal_metadata_are_kept() {
        for (key, value, known) in [
            ("offest", json!("left"), "offset"),
            ("offsets", json!([0.5, 1.5]), "offset"),
            ("offset2", json!(80), "offset"),
            ("xoffset", json!(80), "offset"),
            ("order2", json!("F"), "order"),
            ("border", json!("C"), "order"),
            ("orders", json!("F"), "order"),
            ("Type", json!("float"), "dtype"),
            ("shapes", json!([3]), "shape"),
            ("training", json!(80), "trailing"),
            ("tailing", json!(1), "trailing"),
            ("reserve", json!(12), "reserved"),
            ("preserved", json!(99), "reserved"),
            ("ydata", json!("counts"), "data"),
            ("dta", json!(null), "data"),
            ("outputs", json!("two"), "output"),
            ("digests", json!("yes"), "digest"),
        ] {
            let remarks = checked(key, &value).unwrap();
            assert!(remarks[0].contains(&format!("`{known}`?")), "{key}: {remarks:?}");
        }
        for key in ["date", "gain", "ordeal", "older", "share", "reset", "metadata", "input", ""] {
            assert_eq!(checked(key, &json!("x")), Ok(Vec::new()), "{key}");
        }
    }

    #[test]
    fn lookalikes_get_the_right_key() {
        for (key, known) in [
            ("endian", "dtype"),
            ("byte_order", "dtype"),
            ("byteOrder", "dtype"),
            ("Bit Depth", "dtype"),
            ("data_type", "dtype"),
            ("dims", "shape"),
            ("fortran_order", "order"),
            ("header", "offset"),
            ("skip-bytes", "offset"),
            ("footer", "trailing"),
            ("file", "data"),
            ("sha256", "digest"),
            ("out", "output"),
            ("strides", "order"),
            ("marker", "drop.template"),
        ] {
            let remarks = checked(key, &json!(1)).unwrap();
            assert!(remarks[0].contains(key) && remarks[0].contains(known), "{remarks:?}");
        }
        assert_eq!(checked("filename", &json!("scan.raw")), Ok(Vec::new()));
        assert_eq!(checked("filename", &json!("other.raw")).unwrap().len(), 1);
    }

    fn misplaced_in(text: &str) -> Vec<String> {
        let text = format!("dtype = \"<u2\"\nshape = [3, 4]\n{text}");
        let misplaced = misplaced(&toml::from_str(&text).unwrap(), &text);
        misplaced.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_key_below_the_header_of_a_table_has_no_effect() {
        for (text, table) in [
            ("[camera]\ngain = 3\norder = 'F'", "[camera]"),
            ("[ \"camera\" ]\norder = 'F'", "[camera]"),
            ("[camera.sensor]\norder = 'F'", "[camera.sensor]"),
            ("[[axes]]\nname = 'y'\n[[axes]]\nname = 'x'\norder = 'F'", "[[axes]]"),
            ("[fields]\norder = 'F'", "[fields]"),
        ] {
            let remark = format!(
                "`order` is in `{table}` and has no effect: move it above the first `[` if it is \
                 meant for npyd"
            );
            assert_eq!(misplaced_in(text), [remark], "{text}");
        }
        for (key, value) in [
            ("offset", "80"),
            ("trailing", "2"),
            ("reserved", "128"),
            ("data", "'x.raw'"),
            ("output", "'x.npy'"),
            ("digest", "'crc32c:00000000'"),
        ] {
            assert_eq!(misplaced_in(&format!("[camera]\n{key} = {value}")).len(), 1, "{key}");
        }
        for (key, value) in [("dtype", "'<f4'"), ("shape", "[4, 3]")] {
            let remarks = misplaced_in(&format!("[camera]\n{key} = {value}"));
            assert!(remarks[0].ends_with(&format!("the `{key}` above the first `[` counts")));
        }
        assert_eq!(misplaced_in("order = 'C'\n[a]\norder = 'F'\n[b]\norder = 'F'").len(), 2);
    }

    /// Such a value is metadata, says nothing new, or is where its author meant it to be.
    #[test]
    fn keys_of_tables_that_would_change_nothing() {
        for text in [
            "[camera]\ngain = 3",
            "[camera]\noffset = 'left'\norder = 3\nshape = 'round'\ntrailing = -1",
            "[fields]\ndtype = 'uint16'\nshape = [3, 4]\norder = 'C'\noffset = 0",
            "camera = {order = 'F'}",
            "camera.order = 'F'",
            "cameras = [{order = 'F'}]\n[came]\nx = 1",
            "[offset2]\nx = 1",
        ] {
            assert_eq!(misplaced_in(text), [""; 0], "{text}");
        }
    }

    /// Such a key is an instruction only with a value of npyd's key.
    #[test]
    fn a_value_shows_that_a_layout_is_an_order() {
        for (key, value, count) in [
            ("layout", json!("F"), 1),
            ("ordering", json!("C"), 1),
            ("layout", json!("64 channels"), 0),
            ("size", json!([2]), 0),
        ] {
            assert_eq!(checked(key, &value).unwrap().len(), count, "{key}");
        }
    }

    /// No key is in more than one list.
    #[test]
    fn the_lists_are_distinct() {
        for known in KEYS {
            assert!(lookalike(known).is_none() && !is_word(known), "{known}");
        }
        for word in WORDS {
            assert!(KEYS.iter().any(|known| is_near(known, word)), "{word}");
            assert!(lookalike(word).is_none(), "{word}");
        }
    }

    #[test]
    fn remarks_are_bounded() {
        let blanks = (0..100).map(|count| (format!("{}bits", " ".repeat(count)), json!(12)));
        assert_eq!(check(&blanks.collect(), &[]).unwrap().len(), REMARKS_MAX);
    }

    #[test]
    fn both_keys_are_ambiguous() {
        let both = json!({"dtype": "<f4", "shape": [2], "offset": 80, "offest": 80});
        let error = check(both.as_object().unwrap(), &[]).unwrap_err().to_string();
        assert!(error.contains("remove one of them"), "{error}");
    }
}
