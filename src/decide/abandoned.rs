//! Abandoned files: what a pending file holds whose producer ended before it was done.

use std::fmt;

/// What was found in an abandoned file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbandonedData {
    /// Whether a person takes it as it is.
    pub is_taken: bool,
    /// Number of complete records.
    pub records: u64,
    /// The number of records that its header declares, if that is another.
    pub declared: Option<u64>,
    /// Size of a record in bytes.
    pub record_len: u64,
    /// Number of bytes behind the complete records.
    pub rest: u64,
}

impl fmt::Display for AbandonedData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AbandonedData { is_taken, records, declared, record_len, rest } = self;
        f.write_str(if *is_taken {
            "taken as it is:"
        } else {
            "it was abandoned: its producer ended without marking it ready;"
        })?;
        let declared_more = declared.filter(|declared| declared > records);
        let bytes = |records: u64| records.saturating_mul(*record_len);
        match declared_more {
            Some(declared) => write!(
                f,
                " {records} of {declared} declared records ({} of {} bytes) were written",
                bytes(*records),
                bytes(declared)
            )?,
            None => {
                write!(f, " {records} complete records ({} bytes) were written", bytes(*records))?;
            }
        }
        if let (Some(declared), None) = (declared, declared_more) {
            write!(f, " where its header says {declared}")?;
        }
        if *rest > 0 { write!(f, ", and {rest} bytes behind them") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_beside_those_that_the_header_declares() {
        for (declared, words) in [
            (None, "10 complete records (40 bytes) were written"),
            (Some(20), "10 of 20 declared records (40 of 80 bytes) were written"),
            (Some(8), "10 complete records (40 bytes) were written where its header says 8"),
        ] {
            let found =
                AbandonedData { is_taken: true, records: 10, declared, record_len: 4, rest: 0 };
            assert_eq!(found.to_string(), format!("taken as it is: {words}"));
        }
    }
}
