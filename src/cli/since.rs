//! Points in time as people write them on the command line.

use std::str::FromStr;
use std::time::SystemTime;

/// A point in time: RFC 3339 in UTC, as the ledger stores it, so that texts compare as times do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Since(pub(crate) String);

impl FromStr for Since {
    type Err = String;

    /// Parses a duration before now (`2h`, `7days`), or a date with or without a time, in UTC.
    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text, SystemTime::now()).ok_or_else(|| {
            "write a duration such as 90min, 12h or 7days, or a date such as 2026-11-29 or \
             \"2026-11-29 13:30\" (UTC)"
                .to_owned()
        })
    }
}

impl Since {
    fn parse(text: &str, now: SystemTime) -> Option<Self> {
        let time = match humantime::parse_duration(text) {
            Ok(duration) => now
                .checked_sub(duration)
                .unwrap_or(SystemTime::UNIX_EPOCH)
                .max(SystemTime::UNIX_EPOCH),
            Err(_) => parse_date(text)?,
        };
        Some(Since(humantime::format_rfc3339_millis(time).to_string()))
    }
}

/// Parses a date, which begins at midnight, or a date and a time of day.
fn parse_date(text: &str) -> Option<SystemTime> {
    let text = text.trim().trim_end_matches("UTC").trim_end_matches(['Z', ' ']);
    let missing = match text.len() {
        10 => " 00:00:00",
        16 => ":00",
        _ => "",
    };
    humantime::parse_rfc3339_weak(&format!("{text}{missing}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_dates() {
        let now = humantime::parse_rfc3339("2026-11-29T13:30:05.250Z").unwrap();
        for (text, expected) in [
            ("90min", Some("2026-11-29T12:00:05.250Z")),
            ("2days", Some("2026-11-27T13:30:05.250Z")),
            ("1d 1h", Some("2026-11-28T12:30:05.250Z")),
            ("1000000days", Some("1970-01-01T00:00:00.000Z")),
            ("2026-11-28", Some("2026-11-28T00:00:00.000Z")),
            ("2026-11-28 07:30", Some("2026-11-28T07:30:00.000Z")),
            ("2026-11-28T07:30:01", Some("2026-11-28T07:30:01.000Z")),
            ("2026-11-28T07:30:01.500Z", Some("2026-11-28T07:30:01.500Z")),
            ("2026-11-28 07:30:01 UTC", Some("2026-11-28T07:30:01.000Z")),
            ("yesterday", None),
            ("2026-13-01", None),
            ("28.11.2026", None),
            ("12", None),
            ("", None),
        ] {
            let parsed = Since::parse(text, now).map(|Since(at)| at);
            assert_eq!(parsed.as_deref(), expected, "{text}");
        }
    }
}
