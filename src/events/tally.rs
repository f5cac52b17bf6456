//! Tally: how many files a report is about, and three of them as examples.

use std::collections::BTreeSet;
use std::fmt;

use crate::npy::sanitize::sanitize;
use crate::text::count::counted;

/// Number of examples in a report.
const EXAMPLES: usize = 3;

/// A number of files, and the first of them in the order of their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    count: u32,
    examples: BTreeSet<String>,
}

impl Tally {
    /// Counts a file; `example` is how a report would show it.
    pub fn add(&mut self, example: String) {
        self.count += 1;
        if self.examples.len() < EXAMPLES || self.examples.last().is_some_and(|it| example < *it) {
            self.examples.insert(example);
        }
        if self.examples.len() > EXAMPLES {
            self.examples.pop_last();
        }
    }

    /// Returns the number of counted items.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Returns the number with the noun in singular or plural.
    #[must_use]
    pub fn counted(&self, noun: &str) -> String {
        counted(self.count as usize, noun)
    }
}

/// Formats the examples, and a mark if the tally has more.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let examples: Vec<_> = self.examples.iter().map(|it| sanitize(it)).collect();
        f.write_str(&examples.join(", "))?;
        if self.count as usize > examples.len() { f.write_str(", …") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_three_names_in_any_order() {
        for names in [["d", "c", "b", "a"], ["a", "b", "c", "d"], ["b", "d", "a", "c"]] {
            let mut tally = Tally::default();
            assert_eq!((tally.count(), tally.to_string()), (0, String::new()));
            for name in names {
                tally.add(format!("`{name}`"));
            }
            assert_eq!(tally.to_string(), "`a`, `b`, `c`, …");
            assert_eq!(tally.counted("file"), "4 files");
            assert_eq!(tally.counted("directory"), "4 directories");
        }
    }

    #[test]
    fn few_names() {
        let mut tally = Tally::default();
        tally.add("`x\u{1b}[2J`".to_owned());
        assert_eq!(tally.counted("directory"), "1 directory");
        assert_eq!(tally.to_string(), "`x\\u{1b}[2J`");
        tally.add("`y`".to_owned());
        tally.add("`z`".to_owned());
        assert_eq!(tally.to_string(), "`x\\u{1b}[2J`, `y`, `z`");
    }
}
