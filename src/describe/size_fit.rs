//! How the size of a data file fits its declaration.

use std::fmt;

/// How a data file's size fits the declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizeFit {
    /// The file has complete records, and beyond these only declared or tolerated bytes.
    Whole {
        /// Whether the size was declared. If not, it follows from the file.
        exact: bool,
    },
    /// Bytes are missing.
    TooShort {
        /// The actual size.
        size: u64,
        /// The minimum size.
        of: u64,
        /// The number of its bytes that are data.
        data: u64,
        /// Size of a complete record.
        record: u64,
        /// The declared number of records, if the size follows from it.
        records: Option<u64>,
    },
    /// There are more bytes than declared.
    TooLong {
        /// The actual size.
        size: u64,
        /// The declared size.
        of: u64,
    },
    /// The last record is incomplete.
    PartialRecord {
        /// Size of the incomplete record.
        bytes: u64,
        /// Size of a complete record.
        of: u64,
        /// The number of bytes of all records.
        data: u64,
    },
    /// There is no complete record yet.
    Empty,
    /// The number of records differs from the number that another file counts.
    CountMismatch {
        /// Number of records in the data file.
        records: u64,
        /// Number of records that the other file counts.
        counted: u64,
    },
    /// A record has no bytes, so the number of records does not follow from the size.
    Unsizable,
}

impl fmt::Display for SizeFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SizeFit::Whole { .. } => f.write_str("its size fits"),
            SizeFit::TooShort { size, of, .. } => write!(f, "it has {size} of {of} bytes"),
            SizeFit::TooLong { size, of } => write!(
                f,
                "it has {size} bytes, not the declared {of}: correct dtype, shape, offset or trailing, \
                 set allow_trailing in the configuration, or use `npyd take`"
            ),
            SizeFit::PartialRecord { bytes, of, .. } => {
                write!(f, "its last record is incomplete: it has {bytes} of {of} bytes")
            }
            SizeFit::Empty => f.write_str("it has no complete record yet"),
            SizeFit::CountMismatch { records, counted } => write!(
                f,
                "it has {records} records, but {counted} are counted: the recording continues, or was cut off"
            ),
            SizeFit::Unsizable => f.write_str(
                "its records have no bytes, so their number does not follow from its size: declare the whole shape",
            ),
        }
    }
}

impl SizeFit {
    /// Returns the same without what changes while a producer writes.
    #[must_use]
    pub fn without_growth(self) -> Self {
        match self {
            SizeFit::TooShort { of, record, records, .. } => {
                SizeFit::TooShort { size: 0, of, data: 0, record, records }
            }
            SizeFit::PartialRecord { of, .. } => SizeFit::PartialRecord { bytes: 0, of, data: 0 },
            SizeFit::CountMismatch { .. } => SizeFit::CountMismatch { records: 0, counted: 0 },
            other => other,
        }
    }

    /// Returns what is wrong if no more bytes follow, in records. `is_by_header` says whether a
    /// header in the data file declares them.
    #[must_use]
    pub fn if_complete(&self, is_by_header: bool) -> Option<String> {
        let (data, record, declared) = match *self {
            SizeFit::TooShort { data, record, records, .. } => (data, record, records),
            SizeFit::PartialRecord { of, data, .. } => (data, of, None),
            _ => return None,
        };
        let (keys, start) = if is_by_header {
            ("dtype or shape in its header", "header")
        } else {
            ("dtype, shape or offset", "offset")
        };
        let declared = declared.map_or_else(String::new, |records| format!(", not {records}"));
        let found = match data {
            0 => format!("there are no bytes after the {start}"),
            data => format!("{data} bytes are {}{declared}", in_records(data, record)?),
        };
        Some(format!("if it is complete, {keys} is wrong: {found}"))
    }
}

/// Returns a number of bytes in records, with at most three decimals.
fn in_records(data: u64, record: u64) -> Option<String> {
    let (whole, rest) = (data.checked_div(record)?, data % record);
    let thousandths = (u128::from(rest) * 1000 + u128::from(record / 2)) / u128::from(record);
    Some(match thousandths {
        _ if rest == 0 && whole == 1 => "1 record".to_owned(),
        _ if rest == 0 => format!("{whole} records"),
        // Rounded, it would be a whole number.
        0 | 1000 => format!("{whole} records and {rest} of {record} bytes"),
        _ => {
            let decimals = format!("{thousandths:03}");
            format!("{whole}.{} records", decimals.trim_end_matches('0'))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_records() {
        for (data, record, text) in [
            (144, 120, "1.2 records"),
            (6, 8, "0.75 records"),
            (120, 120, "1 record"),
            (240, 120, "2 records"),
            (10, 3, "3.333 records"),
            (11, 3, "3.667 records"),
            (8 * 1001, 8000, "1.001 records"),
            (1_000_001, 1000, "1000.001 records"),
            (10_000_001, 10_000, "1000 records and 1 of 10000 bytes"),
            (10_009_999, 10_000, "1000 records and 9999 of 10000 bytes"),
            (u64::MAX, 2, "9223372036854775807.5 records"),
        ] {
            assert_eq!(in_records(data, record).as_deref(), Some(text));
        }
        assert_eq!(in_records(1, 0), None);
    }

    #[test]
    fn what_is_wrong_with_a_complete_file() {
        let short = |data, record, records| {
            SizeFit::TooShort { size: 16 + data, of: 1000, data, record, records }
                .if_complete(false)
        };
        let wrong = |found: &str| {
            Some(format!("if it is complete, dtype, shape or offset is wrong: {found}"))
        };
        assert_eq!(short(144, 120, Some(2)), wrong("144 bytes are 1.2 records, not 2"));
        assert_eq!(short(144, 120, None), wrong("144 bytes are 1.2 records"));
        assert_eq!(short(0, 120, Some(2)), wrong("there are no bytes after the offset"));
        assert_eq!(short(144, 0, None), None);
        let partial = SizeFit::PartialRecord { bytes: 24, of: 120, data: 144 };
        assert_eq!(partial.if_complete(false), wrong("144 bytes are 1.2 records"));
        let by_header = "if it is complete, dtype or shape in its header is wrong: 144 bytes are \
                         1.2 records";
        assert_eq!(partial.if_complete(true).as_deref(), Some(by_header));
        for other in [SizeFit::Empty, SizeFit::TooLong { size: 2, of: 1 }, SizeFit::Unsizable] {
            assert_eq!(other.if_complete(false), None);
        }
    }
}
