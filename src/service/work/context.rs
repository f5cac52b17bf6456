//! What all drop directories share: the ledger, the bus, the limits, and the signal to stop.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::config::{Config, IoPriority};
use crate::events::bus::Bus;
use crate::events::drop_path::DropPath;
use crate::events::event::Event;
use crate::events::problem::Problem;
use crate::finalize::intent_log::IntentLog;
use crate::fs::{self, LeaseRight};
use crate::ledger::{Ledger, LedgerError, Retention};
use crate::service::work::committer::{Committer, Recorder};
use crate::service::work::in_work::InWork;
use crate::throttle::meter::Meter;
use crate::throttle::psi::Pressure;
use crate::throttle::rate::{RateLimiter, RateLimiters};

/// The state that all drop directories share.
#[derive(Clone)]
pub struct Context {
    /// The intent log, with which npyd undoes interrupted insert-range work after a crash.
    pub intents: Arc<IntentLog>,
    /// Set when npyd is stopping.
    pub stop: Arc<AtomicBool>,
    /// Whether this process tries again what failed. A sweep ends instead.
    pub retries: bool,
    /// The limit of I/O pressure above which copies pause, if there is one.
    pub pressure: Option<Arc<Pressure>>,
    /// The limits of the copies of each drop directory.
    pub(crate) limiters: Arc<RateLimiters>,
    /// Whose files this process may take leases on.
    pub lease_right: LeaseRight,
    /// Stores and publishes the receipts of workers; has the ledger and the bus.
    pub(crate) committer: Arc<Committer>,
    /// The drops that tasks work on.
    pub(crate) in_work: InWork,
}

impl Context {
    /// Creates the context of a configuration. Also sets the idle I/O class if it is configured.
    ///
    /// # Errors
    ///
    /// Returns an error if the sinks can't be started.
    pub fn new(
        config: &Config,
        ledger: Ledger,
        start_sinks: impl FnOnce() -> io::Result<Bus>,
        retries: bool,
    ) -> io::Result<Self> {
        // First, because the threads of the sinks inherit it.
        let idle = if config.io_priority == IoPriority::Idle { fs::make_idle() } else { Ok(()) };
        let bus = Arc::new(start_sinks()?);
        bus.observe_facts();
        bus.configure(&Arc::new(config.clone()));
        if let Err(error) = idle {
            let error = error.to_string();
            bus.publish(Event::Problem(Problem::NotIdle { error }));
        }
        let pressure = config.max_pressure.map(Pressure::new);
        if let Some(None) = pressure {
            bus.publish(Event::Problem(Problem::NoPressure));
        }
        ledger.set_retention(retention(config));
        let recorder = Recorder { ledger: Arc::new(ledger), bus, failures: AtomicU64::new(0) };
        Ok(Context {
            committer: Arc::new(Committer::start(recorder)),
            in_work: InWork::default(),
            intents: Arc::new(IntentLog::of(&config.state_dir)),
            stop: Arc::new(AtomicBool::new(false)),
            retries,
            pressure: pressure.flatten().map(Arc::new),
            limiters: Arc::default(),
            lease_right: LeaseRight::probe(&config.state_dir),
        })
    }

    /// Applies the settings of a new configuration that do not need a restart.
    pub(crate) fn configure(&self, config: &Arc<Config>) {
        self.ledger().set_retention(retention(config));
        self.bus().configure(config);
    }

    /// Returns the ledger.
    #[must_use]
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.committer.recorder.ledger
    }

    /// Returns the sinks of this process.
    #[must_use]
    pub fn bus(&self) -> &Arc<Bus> {
        &self.committer.recorder.bus
    }

    /// Returns the number of receipts about rejected, lost and failed drops so far.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.committer.recorder.failures.load(Ordering::Relaxed)
    }

    /// Publishes a problem that concerns no single drop.
    pub(crate) fn report(&self, problem: Problem) {
        self.publish(Event::Problem(problem));
    }

    /// Publishes that npyd can't use its ledger.
    pub(crate) fn report_ledger(&self, error: &LedgerError) {
        self.report(Problem::Ledger { error: error.to_string() });
    }

    /// Publishes an event, and counts it if it is a receipt of a failure.
    pub fn publish(&self, event: Event) {
        self.committer.recorder.publish(event);
    }

    /// Returns the meter for the work on a file of a drop.
    pub(super) fn meter(&self, drop: DropPath, file: PathBuf, pace: &Arc<RateLimiter>) -> Meter {
        Meter::new(drop, file, self.bus(), &self.stop, Some(pace))
    }
}

fn retention(config: &Config) -> Retention {
    Retention { history: config.history, rows: config.history_rows }
}
