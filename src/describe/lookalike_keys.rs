//! Lookalikes: keys of a manifest that look like instructions to npyd, but are not.
//!
//! Other programs use them, npyd's configuration has them, or they describe data that npyd does not
//! read. npyd warns of them, because the author expects an effect.

use serde_json::Value;

/// npyd's own key, the hint for the message, and the keys that other programs use instead, in lower
/// case without `_`, `-` and blanks.
const LOOKALIKES: [(&str, &str, &[&str]); 10] = [
    (
        "dtype",
        "the byte order belongs to `dtype`, as in \">u2\"",
        &["endian", "endianness", "endianess", "byteorder", "bigendian", "littleendian"],
    ),
    (
        "dtype",
        "the size of an item belongs to `dtype`, as in \"<u2\"",
        &[
            "bits",
            "bitdepth",
            "nbits",
            "bitspersample",
            "bitsperpixel",
            "bytesperpixel",
            "bytespersample",
            "itemsize",
        ],
    ),
    ("dtype", "use `dtype` for the type of an item, as in \"<u2\"", &["datatype", "pixeltype"]),
    ("shape", "use `shape` for the items along each axis", &["dims", "dimensions"]),
    (
        "order",
        "use `order` = \"F\" for Fortran order",
        &["fortran", "fortranorder", "arrayorder", "memoryorder", "storageorder"],
    ),
    (
        "offset",
        "use `offset` for the bytes before the data",
        &[
            "header",
            "headersize",
            "headerbytes",
            "headerlength",
            "headerlen",
            "headeroffset",
            "skip",
            "skipbytes",
            "skipheader",
            "dataoffset",
            "byteoffset",
        ],
    ),
    (
        "trailing",
        "use `trailing` for the bytes after the data",
        &["footer", "footersize", "footerbytes", "footerlength", "trailer"],
    ),
    (
        "data",
        "use `data` for the name of the data file",
        &["file", "filename", "datafile", "datafilename"],
    ),
    (
        "output",
        "use `output` for the name of the array",
        &["out", "outfile", "outputfile", "outputname"],
    ),
    ("digest", "use `digest` = \"sha256:…\" for a digest", &["checksum", "hash", "md5sum"]),
];

/// Algorithms of `digest`. Other programs use them as keys.
const ALGORITHMS: [&str; 7] = ["md5", "sha1", "sha256", "sha512", "blake3", "xxh3", "crc32c"];

/// Names of other programs for npyd's keys that also have other meanings: their value decides.
const AMBIGUOUS: [(&str, &[&str]); 3] =
    [("dtype", &["format"]), ("shape", &["size", "sizes"]), ("order", &["layout", "ordering"])];

/// Where the configuration has a key.
const TOP: &str = "it belongs in the configuration, at the top";
const DROP: &str = "it belongs in the configuration, under [[drop]]";
const TEMPLATE: &str = "it belongs in the configuration, under [[drop.template]]";

/// Keys of the configuration, and the values with which they are probably meant as such; with no
/// values listed, all are.
const CONFIGURATION: [(&str, &str, &[&str]); 22] = [
    ("state_dir", TOP, &[]),
    ("io_priority", TOP, &[]),
    ("max_pressure", TOP, &[]),
    ("history_rows", TOP, &[]),
    ("recursive", DROP, &[]),
    ("source", DROP, &["keep", "remove", "archive"]),
    ("quiet", DROP, &[]),
    ("watch", DROP, &["auto", "inotify", "poll"]),
    ("rescan", DROP, &[]),
    ("undescribed_after", DROP, &[]),
    ("readers", DROP, &["numpy", "any"]),
    ("on_conflict", DROP, &[]),
    ("on_change", DROP, &[]),
    ("mapped", DROP, &["auto", "never"]),
    ("remove_unproven", DROP, &[]),
    ("allow_trailing", DROP, &[]),
    ("max_rate", DROP, &[]),
    ("metadata", DROP, &["none", "json"]),
    ("salvage", DROP, &[]),
    ("rejects", DROP, &[]),
    ("match", TEMPLATE, &[]),
    ("marker", TEMPLATE, &[]),
];

/// Keys that declare that the data are compressed, with the names of compressions.
const COMPRESSION_KEYS: [&str; 3] = ["compression", "compressor", "encoding"];
const COMPRESSIONS: [&str; 14] = [
    "gzip", "gz", "zlib", "zip", "deflate", "zstd", "zst", "lz4", "bzip2", "bz2", "xz", "lzma",
    "lzw", "blosc",
];

/// Returns npyd's own key that this one looks like, and what to write.
pub(crate) fn lookalike(key: &str) -> Option<(&'static str, String)> {
    let bare = key.to_lowercase().replace(['_', '-', ' '], "");
    if ALGORITHMS.contains(&bare.as_str()) {
        return Some(("digest", format!("use `digest` = \"{bare}:…\" for a digest")));
    }
    LOOKALIKES.iter().find_map(|(known, hint, keys)| {
        keys.contains(&bare.as_str()).then(|| (*known, (*hint).to_owned()))
    })
}

/// Returns whether other programs use this key for npyd's own key `known`. It also has other
/// meanings, so that the caller checks the value.
pub(crate) fn is_name_of(known: &str, key: &str) -> bool {
    let lower = key.to_lowercase();
    AMBIGUOUS.iter().any(|(own, keys)| *own == known && keys.contains(&lower.as_str()))
}

/// Returns why a key has no effect in a manifest although its author probably expects one.
pub(crate) fn without_effect(key: &str, value: &Value) -> Option<&'static str> {
    let is_any_of = |values: &[&str]| {
        value.as_str().is_some_and(|it| values.contains(&it.to_lowercase().as_str()))
    };
    if COMPRESSION_KEYS.contains(&key.to_lowercase().as_str()) && is_any_of(&COMPRESSIONS) {
        return Some("npyd does not decompress data: drop them uncompressed");
    }
    if ["stride", "strides"].contains(&key.to_lowercase().as_str()) {
        return Some("npyd reads items without gaps, in the `order` C or F");
    }
    let (_, place, values) = CONFIGURATION.iter().find(|(known, ..)| *known == key)?;
    (values.is_empty() || is_any_of(values)).then_some(place)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_of_the_configuration_is_meant_as_such_by_its_value() {
        for (key, value, words) in [
            ("marker", json!("DONE"), "under [[drop.template]]"),
            ("allow_trailing", json!(true), "under [[drop]]"),
            ("source", json!("remove"), "under [[drop]]"),
            ("quiet", json!("5s"), "under [[drop]]"),
            ("max_pressure", json!(20), "at the top"),
            ("compression", json!("GZIP"), "uncompressed"),
            ("encoding", json!("gzip"), "uncompressed"),
            ("strides", json!([8, 2]), "`order`"),
        ] {
            assert!(without_effect(key, &value).is_some_and(|it| it.contains(words)), "{key}");
        }
        for (key, value) in [
            ("source", json!("lamp 3")),
            ("metadata", json!({"gain": 3})),
            ("watch", json!(true)),
            ("history", json!("thawed twice")),
            ("path", json!("/data/raw")),
            ("compression", json!("none")),
            ("compression", json!(0.8)),
            ("encoding", json!("utf-8")),
        ] {
            assert_eq!(without_effect(key, &value), None, "{key} {value}");
        }
    }

    #[test]
    fn the_hint_names_the_algorithm() {
        for (key, words) in [("md5", "\"md5:…\""), ("SHA-256", "\"sha256:…\"")] {
            assert!(lookalike(key).unwrap().1.contains(words), "{key}");
        }
    }
}
