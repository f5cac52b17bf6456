//! The configuration, with its templates.

use std::path::Path;

use npyd::config::{Config, ConfigError};

use super::assertions::{assert_becomes_an_array, assert_clear, assert_clear_about, name};

/// File names that the templates are tried on.
const NAMES: [&str; 5] =
    ["scan.u16", ".hidden", "run_512x512_u16.raw", "a-2-3-f4-F-16.bin", "été\u{202e}.dat"];

/// Checks the configuration.
///
/// # Panics
/// npyd accepts an input that it should reject, or rejects one with an unfit message.
pub fn check(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let config = match Config::parse(text, Path::new("npyd.toml"), Path::new("/etc/npyd")) {
        Ok(config) => config,
        Err(error) => return check_errors(&error, text),
    };
    assert!((1..=64).contains(&config.workers.get()));
    assert!(config.state_dir.is_absolute());
    assert!(!config.drop_dirs.is_empty());
    for drop_dir in &config.drop_dirs {
        assert!(drop_dir.path.is_absolute());
        assert!(drop_dir.managed_dirs().all(Path::is_absolute));
        for template in &drop_dir.templates {
            for data in NAMES.into_iter().filter(|data| template.describes(data)) {
                match template.dump(&name(data)) {
                    Ok(dump) => assert_becomes_an_array(&dump),
                    Err(error) => assert_clear(&error.to_string()),
                }
            }
        }
    }
}

/// Asserts that each of the errors of a text is clear.
fn check_errors(error: &ConfigError, text: &str) {
    match error {
        ConfigError::Several(errors) => errors.iter().for_each(|it| check_errors(it, text)),
        one => check_error(&one.to_string(), text),
    }
}

/// Asserts that an error names its line and quotes it, or says which drop it is about.
fn check_error(message: &str, text: &str) {
    let (first, rest) = message.split_once('\n').unwrap_or((message, ""));
    assert_clear_about(first, text.as_bytes());
    rest.lines().for_each(|line| assert!(!line.chars().any(char::is_control), "{line:?}"));
    let Some(pointed) = first.strip_prefix("in `npyd.toml`, line ") else {
        let about = first.strip_prefix("in `npyd.toml`: ").expect("the file is named");
        let drops = ["in the drop `", "no drop directory", "the drop `", "`"];
        assert!(drops.iter().any(|it| about.starts_with(it)), "{message}");
        assert!(rest.is_empty(), "{message}");
        return;
    };
    let (number, _) = pointed.split_once(": ").expect("the line's number and what is wrong");
    let [_, shown, caret] = rest.lines().collect::<Vec<_>>()[..] else { panic!("{message}") };
    assert!(shown.starts_with(&format!("{number} | ")), "{message}");
    assert!(caret.trim_end().ends_with('^'), "{message}");
    assert!(caret.chars().count() <= shown.chars().count() + 1, "{message}");
}
