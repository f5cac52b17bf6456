//! Suppresses repeated log lines: a problem that lasts is logged once in a while.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long a line with equal text is suppressed.
const INTERVAL: Duration = Duration::from_mins(10);

/// Maximum number of texts that are remembered.
const TEXTS_MAX: usize = 1024;

/// The texts that were logged lately.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    /// When each was logged, and how often it was suppressed since.
    logged: HashMap<String, (Instant, u64)>,
}

impl Repeats {
    /// Returns how often a text was suppressed since it was logged last, or `None` if it is to be
    /// suppressed now.
    pub(crate) fn admit(&mut self, text: &str, now: Instant) -> Option<u64> {
        if let Some((last, suppressed)) = self.logged.get_mut(text) {
            if now.saturating_duration_since(*last) < INTERVAL {
                *suppressed += 1;
                return None;
            }
            *last = now;
            return Some(std::mem::take(suppressed));
        }
        if self.logged.len() >= TEXTS_MAX {
            self.logged.clear();
        }
        self.logged.insert(text.to_owned(), (now, 0));
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_logged_once_in_ten_minutes() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut repeats = Repeats::default();
        assert_eq!(repeats.admit("full", at(0)), Some(0));
        assert_eq!(repeats.admit("gone", at(1)), Some(0));
        for second in 2..600 {
            assert_eq!(repeats.admit("full", at(second)), None);
        }
        assert_eq!(repeats.admit("full", at(600)), Some(598));
        assert_eq!(repeats.admit("full", at(601)), None);
        assert_eq!(repeats.admit("full", at(1200)), Some(1));
    }

    #[test]
    fn the_memory_is_bounded() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        for number in 0..10 * TEXTS_MAX {
            assert_eq!(repeats.admit(&number.to_string(), now), Some(0));
            assert!(repeats.logged.len() <= TEXTS_MAX);
        }
    }
}
