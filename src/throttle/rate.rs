//! Rate limiter for copies, so that acquisition keeps the disk's bandwidth.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::model::Rate;
use crate::throttle::psi::Pressure;

/// Largest time that a burst after an idle period may catch up.
const BURST: Duration = Duration::from_millis(100);

/// Pause before the I/O pressure is read again.
const PRESSURE_BACKOFF: Duration = Duration::from_millis(500);

/// The limiters of the drop directories. A new configuration changes the rate of the copies that
/// are under way, too.
#[derive(Default)]
pub struct RateLimiters(Mutex<HashMap<PathBuf, Weak<RateLimiter>>>);

impl RateLimiters {
    /// Returns the limiter of a drop directory, with this rate.
    #[must_use]
    pub fn of(
        &self,
        drop_dir: &Path,
        max_rate: Option<Rate>,
        pressure: Option<Arc<Pressure>>,
    ) -> Arc<RateLimiter> {
        let mut limiters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        limiters.retain(|_, limiter| limiter.strong_count() > 0);
        if let Some(limiter) = limiters.get(drop_dir).and_then(Weak::upgrade) {
            limiter.set_rate(max_rate, Instant::now());
            return limiter;
        }
        let limiter = Arc::new(RateLimiter::new(max_rate, pressure));
        limiters.insert(drop_dir.to_path_buf(), Arc::downgrade(&limiter));
        limiter
    }
}

/// Limits all copies of one drop directory together.
pub struct RateLimiter {
    limit: Mutex<Limit>,
    pressure: Option<Arc<Pressure>>,
}

struct Limit {
    max_rate: Option<Rate>,
    /// The time at which the bytes moved so far are due at the configured rate.
    due: Instant,
    /// How often the rate changed.
    changes: u64,
}

impl RateLimiter {
    /// Makes a limiter of a rate and of I/O pressure; each is optional.
    #[must_use]
    pub fn new(max_rate: Option<Rate>, pressure: Option<Arc<Pressure>>) -> Self {
        let limit = Limit { max_rate, due: Instant::now(), changes: 0 };
        RateLimiter { limit: Mutex::new(limit), pressure }
    }

    /// Sets another rate. What was moved so far does not count for it.
    fn set_rate(&self, max_rate: Option<Rate>, now: Instant) {
        let mut limit = self.limit();
        if limit.max_rate != max_rate {
            *limit = Limit { max_rate, due: now, changes: limit.changes + 1 };
        }
    }

    /// Returns how often the rate changed. A pause ends when it does.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.limit().changes
    }

    fn limit(&self) -> MutexGuard<'_, Limit> {
        self.limit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how long to pause after `moved` more bytes.
    #[must_use]
    pub fn rest(&self, moved: u64, now: Instant) -> Duration {
        let mut limit = self.limit();
        let Some(rate) = limit.max_rate else { return Duration::ZERO };
        let due = limit.due;
        let begin = now.checked_sub(BURST).map_or(due, |earliest| earliest.max(due));
        limit.due = begin.checked_add(rate.time_of(moved)).unwrap_or(begin);
        limit.due.saturating_duration_since(now)
    }

    /// Returns how long to pause for I/O pressure; `None` if the pressure is low.
    #[must_use]
    pub fn respite(&self) -> Option<Duration> {
        self.pressure
            .as_ref()
            .is_some_and(|pressure| pressure.is_too_high())
            .then_some(PRESSURE_BACKOFF)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Result<Rate, String> {
        Rate::try_from(text.to_owned())
    }

    #[test]
    fn rates_are_written_as_people_do() {
        assert_eq!(rate("200 MB/s"), Ok(Rate(200_000_000)));
        assert_eq!(rate("1.5MiB"), Ok(Rate(3 << 19)));
        for wrong in ["", "fast", "0 MB/s", "-1 MB/s", "10 MB/min"] {
            assert!(rate(wrong).unwrap_err().contains("is not a rate"), "{wrong}");
        }
    }

    #[test]
    fn a_rate_is_kept_by_all_together() {
        let now = Instant::now();
        let pace = RateLimiter::new(Some(Rate(1000)), None);
        let rests = [500, 500, 2000].map(|bytes| pace.rest(bytes, now).as_millis());
        let near = |rest: u128, wanted: u128| rest.abs_diff(wanted) <= 100;
        assert!(near(rests[0], 500) && near(rests[1], 1000) && near(rests[2], 3000), "{rests:?}");
        // After a pause the limiter allows only a short burst.
        let later = now + Duration::from_mins(1);
        assert_eq!(pace.rest(1000, later).as_millis(), 900);
        assert_eq!(RateLimiter::new(None, None).rest(1 << 40, now), Duration::ZERO);
    }
}
