//! Parses durations: `"2s"`, `"500ms"`, `"1min 30s"`.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

/// The shortest and the longest interval between two scans.
const RESCAN: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_hours(24);

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    humantime::parse_duration(&text).map_err(|_| {
        D::Error::custom(format!("`{text}` is not a duration: write \"2s\" or \"500ms\""))
    })
}

pub(crate) fn deserialize_rescan<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let time = deserialize(from)?;
    if RESCAN.contains(&time) {
        return Ok(time);
    }
    let time = humantime::format_duration(time);
    Err(D::Error::custom(format!("rescan must be 100ms to 1day, not {time}")))
}
