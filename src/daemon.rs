//! The daemon: starts what the configuration asks for, listens to signals, and keeps the service
//! manager informed. What happens in a drop directory is its own thread's business.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, never, select, tick};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::attend::{Attendant, Order};
use crate::config::{Config, Disposition, Inbox};
use crate::disk::LeaseRight;
use crate::ledger::Ledger;
use crate::patrol::{Common, Tell};
use crate::pool::Pool;
use crate::progress::Show;
use crate::systemd;

/// How often the daemon looks around when nothing happens.
const TICK: Duration = Duration::from_secs(1);

/// How long the first scans may take before the daemon counts as ready all the same: a mount that
/// hangs must not keep the others' service from starting.
const READY_WITHIN: Duration = Duration::from_secs(5);

/// How long threads may take to end; whatever is cut off then is safe, and done again.
const STOP_WITHIN: Duration = Duration::from_millis(700);

/// Everything that can happen to the daemon itself.
enum Event {
    Signal(i32),
    Attending,
    Tick,
    Alive,
}

/// A running daemon.
struct Daemon {
    config: Config,
    config_path: PathBuf,
    common: Common,
    pool: Pool,
    attendants: Vec<Attendant>,
    ledger_version: Option<i64>,
}

/// Runs until a signal ends it. `read` reads the configuration anew.
pub fn run(
    config: Config,
    config_path: &Path,
    ledger: Ledger,
    read: impl Fn(&Path) -> Result<Config, String>,
) -> io::Result<()> {
    // First of all: threads begin as considerate as the one that starts them.
    let common = Common::new(&config, ledger, Show::Log, Tell::Log);
    let signals = forward_signals()?;
    let (attending, attended) = bounded(0);
    let pool = Pool::new(config.workers.get());
    let mut daemon = Daemon {
        config_path: config_path.to_path_buf(),
        config,
        ledger_version: common.ledger.outside_changes().ok().flatten(),
        common,
        pool,
        attendants: Vec::new(),
    };
    daemon.warn_of_missing_right();
    daemon.start_all(&attending);
    drop(attending);
    daemon.listen(&signals, &attended, read);
    daemon.stop();
    Ok(())
}

fn forward_signals() -> io::Result<Receiver<i32>> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let (to, from) = bounded(16);
    thread::spawn(move || signals.forever().try_for_each(|signal| to.send(signal)));
    Ok(from)
}

impl Daemon {
    fn start_all(&mut self, attending: &Sender<()>) {
        for inbox in self.config.inboxes.clone() {
            self.start(inbox, attending.clone());
        }
    }

    /// What the configuration asks for and this process has no right to.
    fn warn_of_missing_right(&self) {
        let needs_proof =
            |inbox: &Inbox| inbox.source != Disposition::Keep && !inbox.remove_unproven;
        let right = self.common.lease_right;
        if right == LeaseRight::OwnFiles && self.config.inboxes.iter().any(needs_proof) {
            tracing::warn!("npyd may take {right}");
        }
    }

    fn start(&mut self, inbox: Inbox, attending: Sender<()>) {
        let queue = self.pool.queue();
        self.attendants.push(Attendant::start(
            Arc::new(inbox),
            self.common.clone(),
            queue,
            attending,
        ));
    }

    /// The only loop: one event at a time, until a signal ends it.
    fn listen(
        &mut self,
        signals: &Receiver<i32>,
        attended: &Receiver<()>,
        read: impl Fn(&Path) -> Result<Config, String>,
    ) {
        let ticks = tick(TICK);
        let alive = systemd::watchdog_interval().map_or_else(never, tick);
        let deadline = Instant::now() + READY_WITHIN;
        let mut attended = attended.clone();
        let mut ready = false;
        loop {
            let event = select! {
                recv(signals) -> signal => signal.map_or(Event::Tick, Event::Signal),
                recv(attended) -> _ => Event::Attending,
                recv(ticks) -> _ => Event::Tick,
                recv(alive) -> _ => Event::Alive,
            };
            match event {
                Event::Signal(SIGHUP) => self.reload(&read),
                Event::Signal(_) => return,
                Event::Alive => systemd::alive(),
                Event::Tick => self.look_around(),
                Event::Attending => {}
            }
            if !ready && (matches!(event, Event::Attending) || Instant::now() >= deadline) {
                (ready, attended) = (true, never());
                self.announce();
            }
        }
    }

    fn announce(&self) {
        let status = self.status();
        tracing::info!("ready: {status}");
        systemd::ready(&status);
    }

    fn status(&self) -> String {
        match self.attendants.len() {
            1 => "1 drop directory".to_owned(),
            n => format!("{n} drop directories"),
        }
    }

    fn look_around(&mut self) {
        self.revive();
        match self.common.ledger.outside_changes() {
            Ok(version @ Some(_)) if version != self.ledger_version => {
                self.ledger_version = version;
                self.attendants.iter().for_each(|attendant| attendant.order(Order::Scan));
            }
            Ok(_) => {}
            Err(error) => tracing::warn!("{error}"),
        }
    }

    /// A thread that ended unasked met a bug; the directory gets another one.
    fn revive(&mut self) {
        let (left, stay): (Vec<_>, Vec<_>) =
            self.attendants.drain(..).partition(Attendant::has_left);
        self.attendants = stay;
        for attendant in left {
            tracing::error!(
                "the care of `{}` broke off; it begins anew",
                attendant.inbox.path.display()
            );
            let (attending, _) = bounded(0);
            self.start(Inbox::clone(&attendant.inbox), attending);
        }
    }

    /// Takes a new configuration; keeps the old one if the new one is wrong.
    fn reload(&mut self, read: &impl Fn(&Path) -> Result<Config, String>) {
        systemd::reloading();
        match read(&self.config_path) {
            Ok(config) => self.adopt(config),
            Err(error) => tracing::error!("the configuration is kept as it was: {error}"),
        }
        systemd::ready(&self.status());
    }

    fn adopt(&mut self, config: Config) {
        if config.of_the_process() != self.config.of_the_process() {
            tracing::warn!(
                "a new state_dir, workers, io_priority or max_pressure counts from the next start on"
            );
        }
        // What did not change goes on undisturbed.
        let same = |a: &Inbox, b: &Inbox| a.settings == b.settings;
        self.attendants.retain(|attendant| {
            let stays = config.inboxes.iter().any(|inbox| same(inbox, &attendant.inbox));
            if !stays {
                attendant.order(Order::Leave);
            }
            stays
        });
        let (attending, _) = bounded(0);
        for inbox in &config.inboxes {
            if !self.attendants.iter().any(|attendant| same(inbox, &attendant.inbox)) {
                self.start(inbox.clone(), attending.clone());
            }
        }
        self.config = config;
        tracing::info!("configuration read again: {}", self.status());
    }

    /// Ends everything within a moment. What is cut off is done again at the next start.
    fn stop(&self) {
        systemd::stopping();
        tracing::info!("stopping");
        self.common.stop.store(true, Ordering::Relaxed);
        let deadline = Instant::now() + STOP_WITHIN;
        self.attendants.iter().for_each(|attendant| attendant.order(Order::Leave));
        while !(self.pool.close() && self.attendants.iter().all(Attendant::has_left)) {
            if Instant::now() >= deadline {
                tracing::info!("stopped with work under way; it will be done again");
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        tracing::info!("stopped");
    }
}
