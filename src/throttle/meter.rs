//! The meter of one piece of long work: counts its bytes, keeps them to the rate limit, pauses
//! under I/O pressure, says when to stop, and publishes the progress. It displays nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::events::bus::Bus;
use crate::events::drop_path::DropPath;
use crate::events::event::Event;
use crate::events::progress::{Phase, WorkProgress};
use crate::throttle::rate::RateLimiter;

/// How often a pause checks whether to stop.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The time between two events about the progress. Shorter work causes none.
const EVENT_INTERVAL: Duration = Duration::from_millis(100);

/// A sync of fewer bytes publishes no progress.
const LONG_SYNC: u64 = 64 << 20;

/// The meter of the work on one file.
pub struct Meter {
    drop: DropPath,
    file: PathBuf,
    bus: Arc<Bus>,
    stop: Arc<AtomicBool>,
    limiter: Option<Arc<RateLimiter>>,
    /// Bytes of this phase that the rate limiter has counted.
    limited: u64,
    phase: Phase,
    /// Bytes of this phase.
    total: u64,
    phase_began: Instant,
    last_event: Instant,
    has_events: bool,
}

impl Meter {
    /// Starts the work on a file of a drop; [`Meter::begin`] starts each phase.
    #[must_use]
    pub fn new(
        drop: DropPath,
        file: PathBuf,
        bus: &Arc<Bus>,
        stop: &Arc<AtomicBool>,
        limiter: Option<&Arc<RateLimiter>>,
    ) -> Self {
        let now = Instant::now();
        Meter {
            drop,
            file,
            bus: Arc::clone(bus),
            stop: Arc::clone(stop),
            limiter: limiter.map(Arc::clone),
            limited: 0,
            phase: Phase::Copy,
            total: 0,
            phase_began: now,
            last_event: now,
            has_events: false,
        }
    }

    /// Starts a phase of `total` bytes.
    pub fn begin(&mut self, phase: Phase, total: u64) {
        self.limited = 0;
        self.phase = phase;
        self.total = total;
        self.phase_began = Instant::now();
    }

    /// Starts a sync of `total` bytes, and publishes that if it may take long: no progress follows.
    pub fn begin_sync(&mut self, total: u64) {
        self.begin(Phase::Sync, total);
        if total >= LONG_SYNC {
            self.publish(Some(0));
        }
    }

    fn publish(&mut self, done: Option<u64>) {
        self.has_events = true;
        self.last_event = Instant::now();
        self.bus.publish(Event::Progress(WorkProgress {
            drop: self.drop.clone(),
            file: self.file.clone(),
            phase: self.phase,
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
        self.throttle(done, moved);
        !self.stopped()
    }

    fn throttle(&mut self, done: u64, moved: u64) {
        let Some(limiter) = self.limiter.as_ref().map(Arc::clone) else { return };
        let changes = limiter.changes();
        let rest = limiter.rest(moved.saturating_sub(self.limited), Instant::now());
        self.limited = moved;
        self.pause(rest, done, || limiter.changes() == changes);
        while let Some(backoff) = limiter.respite()
            && !self.stopped()
        {
            self.pause(backoff, done, || true);
        }
    }

    /// Pauses for that time, or until `goes_on` returns `false`. Publishes the progress meanwhile:
    /// at a low rate a pause may last for minutes.
    fn pause(&mut self, time: Duration, done: u64, goes_on: impl Fn() -> bool) {
        let until = Instant::now().checked_add(time);
        while let left =
            until.map_or(POLL_INTERVAL, |it| it.saturating_duration_since(Instant::now()))
            && !left.is_zero()
            && goes_on()
            && !self.stopped()
        {
            thread::sleep(left.min(POLL_INTERVAL));
            if self.last_event.elapsed() >= EVENT_INTERVAL {
                self.publish(Some(done));
            }
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

#[cfg(test)]
mod tests {
    use crossbeam_channel::{Sender, unbounded};

    use super::*;
    use crate::events::sink::{Filter, Sink, WhenFull};
    use crate::model::Rate;
    use crate::throttle::rate::RateLimiters;

    struct Recorder(Sender<WorkProgress>);

    impl Sink for Recorder {
        fn filter(&self) -> Filter {
            Box::new(|event| matches!(event, Event::Progress(_)))
        }

        fn when_full(&self) -> WhenFull {
            WhenFull::Wait
        }

        fn accept(&mut self, event: &Event) {
            if let Event::Progress(progress) = event {
                let _ = self.0.send(progress.clone());
            }
        }
    }

    /// A pause at a low rate is long. It has progress, and ends when the rate changes.
    #[test]
    fn a_pause_has_progress_and_follows_the_rate() {
        let (to, events) = unbounded();
        let bus = Arc::new(Bus::new(vec![Box::new(Recorder(to))]).unwrap());
        let limiters = RateLimiters::default();
        let dir = PathBuf::from("/in");
        let limiter = limiters.of(&dir, Some(Rate(1)), None);
        let drop_of = DropPath { drop_dir: dir.clone(), source: "/in/a.raw".into() };
        let mut meter =
            Meter::new(drop_of, "/out/a.npy".into(), &bus, &Arc::default(), Some(&limiter));
        meter.begin(Phase::Copy, 1 << 30);
        let (ended, end) = unbounded();
        let work = thread::spawn(move || {
            let goes_on = meter.advance(1 << 30);
            ended.send(goes_on).unwrap();
        });
        let patience = Duration::from_mins(2);
        let progress = events.recv_timeout(patience).unwrap();
        assert_eq!(progress.done, Some(1 << 30));
        assert!(Arc::ptr_eq(&limiter, &limiters.of(&dir, None, None)));
        assert_eq!(end.recv_timeout(patience), Ok(true));
        work.join().unwrap();
        bus.stop(None);
    }

    #[test]
    fn progress_has_the_drop_and_the_phase() {
        let (to, events) = unbounded();
        let bus = Arc::new(Bus::new(vec![Box::new(Recorder(to))]).unwrap());
        let drop_of = DropPath { drop_dir: "/in".into(), source: "/in/a.raw".into() };
        let meter =
            || Meter::new(drop_of.clone(), "/out/a.npy".into(), &bus, &Arc::default(), None);
        let mut short = meter();
        short.begin(Phase::Copy, 8);
        short.begin_sync(LONG_SYNC - 1);
        drop(short);
        let mut long = meter();
        long.begin(Phase::Copy, LONG_SYNC);
        long.last_event = Instant::now().checked_sub(EVENT_INTERVAL).unwrap();
        assert!(long.advance(5));
        long.begin_sync(LONG_SYNC);
        drop(long);
        bus.stop(None);
        let expected = [(Phase::Copy, Some(5)), (Phase::Sync, Some(0)), (Phase::Sync, None)];
        let events: Vec<_> = events.try_iter().collect();
        assert_eq!(events.iter().map(|it| (it.phase, it.done)).collect::<Vec<_>>(), expected);
        for event in events {
            assert_eq!((event.drop, event.total), (drop_of.clone(), LONG_SYNC));
            assert_eq!(event.file, PathBuf::from("/out/a.npy"));
        }
    }
}
