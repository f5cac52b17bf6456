//! Limits that the configuration sets: the rate of copies, and the I/O pressure.

use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;

/// A rate of one byte per second or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Rate(pub(crate) u64);

impl Rate {
    /// Returns how long `bytes` take at this rate.
    pub(crate) fn time_of(self, bytes: u64) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.0);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl TryFrom<String> for Rate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let size = text.strip_suffix("/s").unwrap_or(&text).trim();
        // A number without a unit is rejected, because hardly anyone means bytes per second.
        let has_unit = size.ends_with(|c: char| c.is_ascii_alphabetic());
        match size.parse::<ByteSize>() {
            Ok(ByteSize(rate)) if rate > 0 && has_unit => Ok(Rate(rate)),
            _ => Err(format!("`{text}` is not a rate: write \"200 MB/s\" or \"50 MiB/s\"")),
        }
    }
}

/// A limit of I/O pressure (PSI "some avg10"): 1 to 100 percent of the last ten seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u64")]
pub struct Limit(pub(crate) u8);

impl TryFrom<u64> for Limit {
    type Error = String;

    fn try_from(percent: u64) -> Result<Self, String> {
        match u8::try_from(percent) {
            Ok(percent @ 1..=100) => Ok(Limit(percent)),
            _ => Err(format!("max_pressure must be 1 to 100 percent, not {percent}")),
        }
    }
}
