//! `npyd sweep`: one pass over all drop directories.

use std::io::{IsTerminal, stderr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::Args;
use crossbeam_channel::{Receiver, unbounded};
use indicatif::MultiProgress;

use super::{CannotRun, ConfigArgs, End};
use crate::config::Inbox;
use crate::ledger::Ledger;
use crate::patrol::{Common, Ended, Patrol, Tell};
use crate::pool::Pool;
use crate::progress::Show;
use crate::receipt::{Event, Receipt};

/// How long people wait without a word.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Args)]
pub(super) struct Sweep {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print receipts as JSON, one object a line
    #[arg(long)]
    json: bool,
}

/// A drop directory's patrol, and the way its tasks' ends come back.
struct Swept {
    inbox: Arc<Inbox>,
    patrol: Patrol,
    ended: Receiver<Ended>,
}

impl Sweep {
    pub(super) fn run(&self) -> Result<End, CannotRun> {
        let config = self.config.read()?;
        let tell = if self.json { Tell::Json } else { Tell::Lines };
        let common = Common::new(&config, Ledger::open(&config.state_dir)?, bars(), tell);
        let pool = Pool::new(config.workers.get());
        let mut swept = Vec::new();
        let mut unreadable = Ok(());
        for inbox in config.inboxes {
            let inbox = Arc::new(inbox);
            let (sender, ended) = unbounded(); // as many as the pool takes from here
            let mut patrol = Patrol::new(Arc::clone(&inbox), common.clone(), pool.queue(), sender);
            if let Err(error) = patrol.scan(Instant::now()) {
                tracing::error!("{error}");
                unreadable = Err(CannotRun(format!("a drop directory could not be read: {error}")));
            }
            swept.push(Swept { inbox, patrol, ended });
        }
        let mut tell_at = Instant::now() + PATIENCE;
        while swept.iter_mut().map(Swept::step).filter(|at_rest| !at_rest).count() > 0 {
            if Instant::now() >= tell_at {
                tell_of_wait(&swept);
                tell_at = Instant::now() + 10 * PATIENCE;
            }
        }
        for Swept { inbox, patrol, .. } in &swept {
            for (path, why) in patrol.waiting() {
                common.tell(&Receipt::without_output(
                    Event::Waiting,
                    inbox.path.clone(),
                    path,
                    why.to_owned(),
                ));
            }
        }
        unreadable?;
        Ok(End::from(common.bad.load(Ordering::Relaxed) == 0))
    }
}

/// What keeps the sweep from its end, to whoever looks on.
fn tell_of_wait(swept: &[Swept]) {
    let mut waiting = swept.iter().flat_map(|it| it.patrol.waiting_for_time());
    if let Some(path) = waiting.next() {
        let others = match waiting.count() {
            0 => String::new(),
            others => format!(" and {others} more"),
        };
        tracing::warn!("`{}`{others} must be unchanged for the quiet time first", path.display());
    }
}

impl Swept {
    /// Does what is due, and waits a moment for what is not; tells whether nothing is left to do.
    fn step(&mut self) -> bool {
        let now = Instant::now();
        if self.patrol.wants_scan() && self.patrol.scan(now).is_err() {
            return true;
        }
        self.patrol.tend(now);
        if self.patrol.is_at_rest() {
            return !self.patrol.wants_scan();
        }
        let due = self.patrol.next_due().unwrap_or(now + Duration::from_secs(1));
        let pause = due.saturating_duration_since(Instant::now()).min(Duration::from_millis(50));
        if let Ok(ended) = self.ended.recv_timeout(pause) {
            let now = Instant::now();
            self.patrol.end(ended, now);
            self.ended.try_iter().for_each(|ended| self.patrol.end(ended, now));
        }
        false
    }
}

/// Bars on a terminal, log lines elsewhere.
pub(super) fn bars() -> Show {
    if stderr().is_terminal() { Show::Bars(MultiProgress::new()) } else { Show::Log }
}
