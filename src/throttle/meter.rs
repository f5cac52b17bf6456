//! The meter of one piece of long work: counts its bytes, keeps them to the rate limit, pauses
//! under I/O pressure, and says when to stop. It displays nothing; a [`Gauge`] does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::throttle::rate::RateLimiter;

/// How often a pause checks whether to stop.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Displays how far a piece of work is.
pub trait Gauge: Send {
    /// A phase of `total` bytes begins.
    fn start_phase(&mut self, total: u64);
    /// So many bytes of the phase are done.
    fn set_done(&mut self, done: u64);
}

/// The progress of one file, and the way to stop it.
pub struct Progress {
    gauge: Box<dyn Gauge>,
    stop: Arc<AtomicBool>,
    limiter: Option<Arc<RateLimiter>>,
    /// Bytes of this phase that the rate limiter has counted.
    limited: u64,
}

impl Progress {
    /// Starts the work; [`Progress::expect`] says how many bytes each phase has.
    #[must_use]
    pub fn new(
        gauge: Box<dyn Gauge>,
        stop: &Arc<AtomicBool>,
        limiter: Option<&Arc<RateLimiter>>,
    ) -> Self {
        let limiter = limiter.map(Arc::clone);
        Progress { gauge, stop: Arc::clone(stop), limiter, limited: 0 }
    }

    /// Starts a phase of `total` bytes.
    pub fn expect(&mut self, total: u64) {
        self.limited = 0;
        self.gauge.start_phase(total);
    }

    /// Reports that `done` bytes of the phase are done, and pauses to keep the rate limit. Returns
    /// `false` if the work must stop.
    #[must_use]
    pub fn advance(&mut self, done: u64) -> bool {
        self.advance_moved(done, done)
    }

    /// Like [`Progress::advance`], where only `moved` of the bytes that are done were moved: the
    /// rate limit counts these alone.
    #[must_use]
    pub fn advance_moved(&mut self, done: u64, moved: u64) -> bool {
        self.gauge.set_done(done);
        self.throttle(moved);
        !self.stopped()
    }

    fn throttle(&mut self, moved: u64) {
        let Some(limiter) = self.limiter.as_ref().map(Arc::clone) else { return };
        self.pause(limiter.rest(moved.saturating_sub(self.limited), Instant::now()));
        self.limited = moved;
        while let Some(backoff) = limiter.respite()
            && !self.stopped()
        {
            self.pause(backoff);
        }
    }

    fn pause(&self, time: Duration) {
        let until = Instant::now() + time;
        while let left = until.saturating_duration_since(Instant::now())
            && !left.is_zero()
            && !self.stopped()
        {
            thread::sleep(left.min(POLL_INTERVAL));
        }
    }

    /// Returns whether the work must stop.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
