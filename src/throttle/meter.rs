//! The meter of one piece of long work: counts its bytes, keeps them to the rate limit, pauses
//! under I/O pressure, says when to stop, and publishes the progress. It displays nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::events::bus::Bus;
use crate::events::event::{Event, WorkProgress};
use crate::throttle::rate::RateLimiter;

/// How often a pause checks whether to stop.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The time between two events about the progress. Shorter work causes none.
const EVENT_INTERVAL: Duration = Duration::from_millis(100);

/// The meter of the work on one file.
pub struct Meter {
    path: PathBuf,
    bus: Arc<Bus>,
    stop: Arc<AtomicBool>,
    limiter: Option<Arc<RateLimiter>>,
    /// Bytes of this phase that the rate limiter has counted.
    limited: u64,
    /// Bytes of this phase.
    total: u64,
    phase_began: Instant,
    last_event: Instant,
    has_events: bool,
}

impl Meter {
    /// Starts the work on a file; [`Meter::expect`] says how many bytes each phase has.
    #[must_use]
    pub fn new(
        path: PathBuf,
        bus: &Arc<Bus>,
        stop: &Arc<AtomicBool>,
        limiter: Option<&Arc<RateLimiter>>,
    ) -> Self {
        let now = Instant::now();
        Meter {
            path,
            bus: Arc::clone(bus),
            stop: Arc::clone(stop),
            limiter: limiter.map(Arc::clone),
            limited: 0,
            total: 0,
            phase_began: now,
            last_event: now,
            has_events: false,
        }
    }

    /// Starts a phase of `total` bytes.
    pub fn expect(&mut self, total: u64) {
        self.limited = 0;
        self.total = total;
        self.phase_began = Instant::now();
    }

    fn publish(&mut self, done: Option<u64>) {
        self.has_events = true;
        self.last_event = Instant::now();
        self.bus.publish(Event::Progress(WorkProgress {
            path: self.path.clone(),
            done,
            total: self.total,
            elapsed: self.phase_began.elapsed(),
        }));
    }

    /// Reports that `done` bytes of the phase are done, and pauses to keep the rate limit. Returns
    /// `false` if the work must stop.
    #[must_use]
    pub fn advance(&mut self, done: u64) -> bool {
        self.advance_moved(done, done)
    }

    /// Like [`Meter::advance`], where only `moved` of the bytes that are done were moved: the
    /// rate limit counts these alone.
    #[must_use]
    pub fn advance_moved(&mut self, done: u64, moved: u64) -> bool {
        if self.last_event.elapsed() >= EVENT_INTERVAL {
            self.publish(Some(done));
        }
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

impl Drop for Meter {
    fn drop(&mut self) {
        if self.has_events {
            self.publish(None);
        }
    }
}
