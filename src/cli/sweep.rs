//! `npyd sweep`: processes all drop directories once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use crossbeam_channel::{Receiver, unbounded};

use crate::cli::{ConfigArgs, Exit, FatalError};
use crate::events::event::Event;
use crate::facts::Fact;
use crate::fs::FsError;
use crate::ledger::Ledger;
use crate::service::tracker::{JobDone, Progress, Tracker};
use crate::service::work::context::Context;
use crate::service::work::worker_pool::Pool;
use crate::sinks::stdout::ReceiptFormat;
use crate::sinks::{self, Host};

/// Time until the sweep first reports which drop it is waiting for.
const FIRST_REPORT_AFTER: Duration = Duration::from_secs(5);

#[derive(Args)]
pub(crate) struct Sweep {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print receipts as JSON, one object per line
    #[arg(long)]
    json: bool,
}

/// A drop directory with its tracker, and the channel that returns the results of its jobs.
struct SweptDir {
    tracker: Tracker,
    ended: Receiver<JobDone>,
    /// Why it can't be read.
    unreadable: Option<String>,
}

impl Sweep {
    pub(crate) fn run(&self) -> Result<Exit, FatalError> {
        let config = self.config.read()?;
        let ledger = Ledger::open(&config.state_dir)?;
        let sinks = || sinks::start(Host::Command(ReceiptFormat::new(self.json)));
        let context = Context::new(&config, ledger, sinks, false)?;
        let pool = Pool::new(config.workers.get())?;
        let mut dirs = Vec::new();
        for drop_dir in config.drop_dirs {
            let (sender, ended) = unbounded(); // bounded by the pool's queue
            let on_job_done = move |done| {
                let _ = sender.send(done); // the receiver is gone if the sweep has ended
            };
            let mut tracker =
                Tracker::new(Arc::new(drop_dir), context.clone(), pool.queue(), on_job_done);
            let unreadable = tracker.begin_scan(Instant::now()).err().map(|it| unreadable(&it));
            dirs.push(SweptDir { tracker, ended, unreadable });
        }
        let mut report_at = Instant::now() + FIRST_REPORT_AFTER;
        while dirs.iter_mut().map(SweptDir::process).filter(|is_finished| !is_finished).count() > 0
        {
            if Instant::now() >= report_at {
                report_waiting(&dirs, &context);
                report_at = Instant::now() + 10 * FIRST_REPORT_AFTER;
            }
        }
        context.ledger().attend(); // so that the next sweep can use it
        context.ledger().prune_all();
        for SweptDir { tracker, .. } in &mut dirs {
            tracker.end();
            tracker.publish_waits();
        }
        context.ledger().finish();
        context.bus().stop(None);
        if let Some(error) = dirs.into_iter().rev().find_map(|dir| dir.unreadable) {
            return Err(error.into());
        }
        Ok(Exit::from(context.failures() == 0))
    }
}

/// Logs that a drop directory can't be read, and returns that for the end of the sweep.
fn unreadable(error: &FsError) -> String {
    tracing::error!("{error}");
    format!("failed to read a drop directory: {error}")
}

/// Reports which drops the sweep is waiting for.
fn report_waiting(dirs: &[SweptDir], context: &Context) {
    let mut waiting = dirs.iter().flat_map(|it| it.tracker.waiting_for_time());
    if let Some(path) = waiting.next() {
        context.publish(Event::Fact(Fact::SweepWaits { path, others: waiting.count() }));
    }
}

impl SweptDir {
    /// Processes what is due, then waits briefly for the result of a job. Returns whether this drop
    /// directory is finished.
    fn process(&mut self) -> bool {
        let now = Instant::now();
        let progress = match self.tracker.scan_step(now) {
            Ok(progress) => progress,
            Err(error) => {
                self.unreadable = Some(unreadable(&error));
                Progress::Idle
            }
        };
        self.tracker.process_due(now);
        if progress == Progress::More {
            self.take_ended(Duration::ZERO);
            return false;
        }
        if self.tracker.is_at_rest() && !self.tracker.wants_step() {
            if progress == Progress::Full {
                self.tracker.leave_waits();
                return false;
            }
            return true;
        }
        let due = self.tracker.next_due().unwrap_or(now + Duration::from_secs(1));
        let pause = due.saturating_duration_since(Instant::now()).min(Duration::from_millis(50));
        self.take_ended(pause);
        false
    }

    /// Waits for the result of a job, and applies all that are there.
    fn take_ended(&mut self, pause: Duration) {
        if let Ok(ended) = self.ended.recv_timeout(pause) {
            let now = Instant::now();
            self.tracker.on_job_done(ended, now);
            self.ended.try_iter().for_each(|ended| self.tracker.on_job_done(ended, now));
        }
    }
}
