//! `npyd sweep`: processes all drop directories once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use crossbeam_channel::{Receiver, unbounded};

use crate::cli::{ConfigArgs, Exit, FatalError};
use crate::config::DropDir;
use crate::events::event::Event;
use crate::events::receipt::Receipt;
use crate::events::receipt_event::ReceiptEvent;
use crate::events::stored::Stored;
use crate::facts::Fact;
use crate::ledger::Ledger;
use crate::service::tracker::{JobDone, Tracker};
use crate::service::work::context::Context;
use crate::service::work::worker_pool::Pool;
use crate::sinks::stdout::Format;
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
    drop_dir: Arc<DropDir>,
    tracker: Tracker,
    ended: Receiver<JobDone>,
}

impl Sweep {
    pub(crate) fn run(&self) -> Result<Exit, FatalError> {
        let config = self.config.read()?;
        let ledger = Ledger::open(&config.state_dir)?;
        let sinks = || sinks::start(Host::Command(Format::new(self.json)));
        let context = Context::new(&config, ledger, sinks, false)?;
        let pool = Pool::new(config.workers.get())?;
        let mut dirs = Vec::new();
        let mut unreadable = None;
        for drop_dir in config.drop_dirs {
            let drop_dir = Arc::new(drop_dir);
            let (sender, ended) = unbounded(); // bounded by the pool's queue
            let on_job_done = move |done| {
                let _ = sender.send(done); // the receiver is gone if the sweep has ended
            };
            let mut tracker =
                Tracker::new(Arc::clone(&drop_dir), context.clone(), pool.queue(), on_job_done);
            if let Err(error) = tracker.scan(Instant::now()) {
                tracing::error!("{error}");
                unreadable = Some(format!("failed to read a drop directory: {error}"));
            }
            dirs.push(SweptDir { drop_dir, tracker, ended });
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
        for SweptDir { drop_dir, tracker, .. } in &mut dirs {
            tracker.end();
            for (path, why) in tracker.waiting() {
                let drop_dir = drop_dir.path.clone();
                let receipt = Receipt::without_output(ReceiptEvent::Waiting, drop_dir, path, why);
                let receipt = Box::new(receipt);
                context.publish(Event::Receipt { receipt, stored: Stored::NotMeant });
            }
        }
        context.ledger().finish();
        context.bus().stop(None);
        if let Some(error) = unreadable {
            return Err(error.into());
        }
        Ok(Exit::from(context.failures() == 0))
    }
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
        if self.tracker.wants_scan() && self.tracker.scan(now).is_err() {
            return true;
        }
        self.tracker.process_due(now);
        if self.tracker.is_at_rest() {
            return !self.tracker.wants_scan();
        }
        let due = self.tracker.next_due().unwrap_or(now + Duration::from_secs(1));
        let pause = due.saturating_duration_since(Instant::now()).min(Duration::from_millis(50));
        if let Ok(ended) = self.ended.recv_timeout(pause) {
            let now = Instant::now();
            self.tracker.on_job_done(ended, now);
            self.ended.try_iter().for_each(|ended| self.tracker.on_job_done(ended, now));
        }
        false
    }
}
