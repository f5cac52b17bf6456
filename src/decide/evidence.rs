//! Evidence that a drop is complete, strongest first.

use std::fmt;

/// What showed that a drop is complete, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// The producer marked the pending header as ready.
    Ready,
    /// The producer's marker stands at the front of the file.
    Marker,
    /// The description has a digest. The pass that reads the data verifies it.
    Digest,
    /// The size is exact, and no process writes.
    Size,
    /// No process writes, and nothing changed for the quiet time.
    NoWriter,
    /// Nothing changed for the quiet time. The kernel can't tell whether a process writes.
    Quiet,
    /// Nothing changed for ten times the quiet time, but the data and the file that counts their
    /// rows do not agree: the rows that both have are taken.
    CommonRows,
    /// The writer is gone; the settings keep its complete records.
    Salvaged,
    /// A person takes it as it is (`npyd take`), and nothing changed for the quiet time.
    Taken,
}

/// How a producer says that its data are complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProducerWord {
    /// A mark in the data file: the producer wrote it last, so that no change follows.
    Mark,
    /// A digest of the data, which may be written before them.
    Digest,
}

impl Evidence {
    /// Returns the evidence of this name in receipts.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|evidence| evidence.as_str() == name)
    }

    /// All kinds.
    const ALL: [Evidence; 9] = [
        Evidence::Ready,
        Evidence::Marker,
        Evidence::Digest,
        Evidence::Size,
        Evidence::NoWriter,
        Evidence::Quiet,
        Evidence::CommonRows,
        Evidence::Salvaged,
        Evidence::Taken,
    ];

    /// Returns whether the array may contain only some rows of the file.
    #[must_use]
    pub fn is_partial(self) -> bool {
        matches!(self, Evidence::CommonRows | Evidence::Salvaged | Evidence::Taken)
    }

    /// Returns how the producer itself says that the data are complete, if it does.
    #[must_use]
    pub fn producer_word(self) -> Option<ProducerWord> {
        match self {
            Evidence::Ready | Evidence::Marker => Some(ProducerWord::Mark),
            Evidence::Digest => Some(ProducerWord::Digest),
            Evidence::Size
            | Evidence::NoWriter
            | Evidence::Quiet
            | Evidence::CommonRows
            | Evidence::Salvaged
            | Evidence::Taken => None,
        }
    }
}

impl Evidence {
    /// Returns the name in receipts.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Evidence::Ready => "ready",
            Evidence::Marker => "marker",
            Evidence::Digest => "digest",
            Evidence::Size => "size",
            Evidence::NoWriter => "no-writer",
            Evidence::Quiet => "quiet",
            Evidence::CommonRows => "common-rows",
            Evidence::Salvaged => "salvaged",
            Evidence::Taken => "taken",
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_producer_says_itself() {
        for (evidence, word) in [
            (Evidence::Ready, Some(ProducerWord::Mark)),
            (Evidence::Marker, Some(ProducerWord::Mark)),
            (Evidence::Digest, Some(ProducerWord::Digest)),
            (Evidence::Size, None),
            (Evidence::NoWriter, None),
            (Evidence::Quiet, None),
            (Evidence::Taken, None),
        ] {
            assert_eq!(evidence.producer_word(), word, "{evidence}");
            assert_eq!(Evidence::from_name(evidence.as_str()), Some(evidence));
        }
    }
}
