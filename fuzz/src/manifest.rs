//! Manifests: the input is read as TOML and as JSON.

use npyd::describe::{LeadingBytes, Manifest};

use super::assertions::{assert_becomes_an_array, assert_clear, assert_clear_about, name};

/// The keys that are npyd's own.
const KEYS: [&str; 9] =
    ["dtype", "shape", "order", "offset", "trailing", "reserved", "data", "output", "digest"];

/// Checks manifests.
///
/// # Panics
/// npyd accepts an input that it should reject, or rejects one with an unfit message.
pub fn check(text: &[u8]) {
    for syntax in ["toml", "json"] {
        match Manifest::parse(&name(&format!("scan.raw.{syntax}")), text) {
            Ok(Some(manifest)) => check_parsed(manifest, syntax, text),
            Ok(None) => {}
            Err(error) => assert_clear_about(&error.to_string(), text),
        }
    }
}

fn check_parsed(manifest: Manifest, syntax: &str, text: &[u8]) {
    // Python's notation and UTF-16 have no other parser here to compare with.
    let strict = serde_json::from_slice::<serde_json::Map<_, _>>(text);
    if syntax == "json"
        && let Ok(mut all) = strict
    {
        // No key of the user is lost or changed.
        all.retain(|key, _| !KEYS.contains(&key.as_str()));
        assert_eq!(manifest.metadata, all);
    }
    assert!(serde_json::to_string(&manifest.metadata).is_ok());
    let (offset, reserved) = (manifest.declared.offset, manifest.declared.reserved);
    let dump = match manifest.dump(&name("scan.raw")) {
        Ok(dump) => dump,
        Err(error) => return assert_clear(&error.to_string()),
    };
    match reserved {
        Some(reserved) => {
            let LeadingBytes::Reserved(bytes) = dump.front else { panic!("no reserved bytes") };
            assert_eq!(bytes, reserved.bytes());
            assert_eq!(dump.data_offset, reserved.bytes());
        }
        None => assert_eq!(dump.data_offset, offset),
    }
    assert_becomes_an_array(&dump);
}
