//! Instruments' sidecars. The first line of an input names the format, so that one more format
//! changes no seed.

use npyd::describe::described::Measured;
use npyd::describe::formats::FORMATS;

use super::assertions::{assert_becomes_an_array, assert_clear, assert_clear_about, name};

/// Checks the sidecar formats.
///
/// # Panics
/// A format accepts an input that it should reject, or rejects one with an unfit message.
pub fn check(input: &[u8]) {
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return };
    let (which, text) = (&input[..end], &input[end + 1..]);
    let Some(format) = FORMATS.iter().find(|it| it.name.as_bytes() == which) else { return };
    let sidecar = format.sample_name();
    assert!((format.is_named)(sidecar), "{sidecar}");
    let described = match format.describe(&name(sidecar), text) {
        Err(error) => return assert_clear_about(&error.to_string(), text),
        Ok(None) => return,
        Ok(Some(described)) => described,
    };
    assert!(!described.is_empty());
    for one in described {
        for path in one.data.paths().iter().chain(&one.row_counts) {
            let plain = path.as_path().components();
            assert!(plain.into_iter().all(|it| matches!(it, std::path::Component::Normal(_))));
        }
        for (file_len, lines_end, counted) in
            [(0, None, 0), (1 << 20, Some(100), 1), (i64::MAX.unsigned_abs(), Some(0), 7)]
        {
            let found = Measured { file_len, lines_end, counted };
            match one.clone().dump(format, &name("scan.raw"), found) {
                Ok(dump) => assert_becomes_an_array(&dump),
                Err(error) => assert_clear(&error.to_string()),
            }
        }
    }
}
