//! Suppresses repeated log lines: a problem that lasts is logged once in a while.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::events::problem::Problem;

/// How long an equal problem is suppressed.
const INTERVAL: Duration = Duration::from_mins(10);

/// Maximum number of problems that are remembered.
const PROBLEMS_MAX: usize = 1024;

/// The problems that were logged lately.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    /// When each was logged, and how often it was suppressed since.
    logged: HashMap<Problem, (Instant, u64)>,
}

impl Repeats {
    /// Returns how often a problem was suppressed since it was logged last, or `None` if it is to
    /// be suppressed now.
    pub(crate) fn admit(&mut self, problem: &Problem, now: Instant) -> Option<u64> {
        if let Some((last, suppressed)) = self.logged.get_mut(problem) {
            if now.saturating_duration_since(*last) < INTERVAL {
                *suppressed += 1;
                return None;
            }
            *last = now;
            return Some(std::mem::take(suppressed));
        }
        if self.logged.len() >= PROBLEMS_MAX {
            self.logged.clear();
        }
        self.logged.insert(problem.clone(), (now, 0));
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_logged_once_in_ten_minutes() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut repeats = Repeats::default();
        assert_eq!(repeats.admit(&Problem::LedgerHangs, at(0)), Some(0));
        assert_eq!(repeats.admit(&Problem::NoPressure, at(1)), Some(0));
        for second in 2..600 {
            assert_eq!(repeats.admit(&Problem::LedgerHangs, at(second)), None);
        }
        assert_eq!(repeats.admit(&Problem::LedgerHangs, at(600)), Some(598));
        assert_eq!(repeats.admit(&Problem::LedgerHangs, at(601)), None);
        assert_eq!(repeats.admit(&Problem::LedgerHangs, at(1200)), Some(1));
    }

    fn dir(number: usize) -> Problem {
        Problem::Dir { error: number.to_string() }
    }

    #[test]
    fn the_memory_is_bounded() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        for number in 0..10 * PROBLEMS_MAX {
            assert_eq!(repeats.admit(&dir(number), now), Some(0));
            assert!(repeats.logged.len() <= PROBLEMS_MAX);
        }
    }
}
