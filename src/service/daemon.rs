//! The daemon: starts the supervisors of the drop directories, handles signals and reloads, and
//! notifies the service manager. It makes no system call on a drop directory, because that could
//! hang.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use std::{io, thread};

use crossbeam_channel::{Receiver, Sender, bounded, never, select, tick};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::config::{Config, ConfigError, Disposition, DropDir};
use crate::events::daemon_state::{DaemonState, DropDirCount};
use crate::events::event::Event;
use crate::events::problem::Problem;
use crate::events::watch_state::WatchState;
use crate::fs::{self, DaemonLock, LeaseRight, MountTable};
use crate::ledger::{Ledger, SeenChanges};
use crate::service::config_reader::{ConfigReader, ReadConfig};
use crate::service::handle::{Command, DropDirHandle};
use crate::service::ledger_keeper::LedgerKeeper;
use crate::service::place::Place;
use crate::service::supervisor::Supervisor;
use crate::service::systemd;
use crate::service::watch::RootId;
use crate::service::watch_thread::WatchThreads;
use crate::service::work::context::Context;
use crate::service::work::worker_pool::Pool;
use crate::sinks::{self, Host};
use crate::text::os_message::thread_error;

/// Interval of the checks for ended supervisors and for changes of the ledger.
const TICK: Duration = Duration::from_secs(1);

/// Maximum time until the daemon reports that it is ready, even if first scans still run: one hung
/// mount must not keep the service from starting.
const READY_WITHIN: Duration = Duration::from_secs(5);

/// Maximum time that threads get to end. npyd may interrupt their work, because it repeats the work
/// after a restart.
const STOP_WITHIN: Duration = Duration::from_millis(700);

/// Maximum time that the ledger gets to store the last receipts, and the sinks to take the last
/// events.
const FLUSH_WITHIN: Duration = Duration::from_millis(500);

/// What wakes the daemon's own loop.
enum Wakeup {
    Signal(i32),
    Ready,
    Tick,
    WatchdogDue,
    /// A drop directory needs another thread.
    Moving(Box<Supervisor>, Place),
    /// The configuration was read for a reload.
    Config(ReadConfig),
}

/// A running daemon.
struct Daemon {
    /// The configuration that was read last.
    config: Config,
    /// The configuration at the start; some of its settings stay in force until a restart.
    at_start: Config,
    context: Context,
    pool: Pool,
    threads: WatchThreads,
    handles: Vec<DropDirHandle>,
    next_id: RootId,
    seen_changes: SeenChanges,
    ledger_keeper: LedgerKeeper,
    /// By which commands and other daemons find this one.
    lock: Option<DaemonLock>,
    /// Whether the last attempt to start a thread failed.
    lacks_threads: bool,
}

/// Catches SIGHUP, which otherwise ends the process, from now on. What arrives before [`run`]
/// leads to a reload then: reading the configuration and the ledger can take long.
///
/// # Errors
///
/// Returns an error if the signal handler can't be installed.
pub fn catch_reloads() -> io::Result<Signals> {
    Signals::new([SIGHUP])
}

/// Runs the daemon until a signal ends it. `reloads` is from [`catch_reloads`]. `read` reads the
/// configuration for a reload, in a thread of its own.
///
/// # Errors
///
/// Returns an error if the signal handlers cannot be installed, or a thread can't be started.
pub fn run(
    config: Config,
    config_path: &Path,
    ledger: Ledger,
    reloads: Signals,
    read: impl Fn(&Path) -> Result<Config, ConfigError> + Clone + Send + 'static,
) -> io::Result<()> {
    // This comes first: it may set the idle I/O class, which threads inherit from their parent.
    let context = Context::new(&config, ledger, || sinks::start(Host::Daemon), true)?;
    let signals = forward_signals(reloads)?;
    let (ready_tx, ready_rx) = bounded(0);
    let pool = Pool::new(config.workers.get())?;
    let mut daemon = Daemon {
        at_start: config.clone(),
        config,
        seen_changes: SeenChanges::default(),
        ledger_keeper: LedgerKeeper::start(context.ledger()),
        threads: WatchThreads::new(&context.stop),
        context,
        pool,
        handles: Vec::new(),
        next_id: 0,
        lock: None,
        lacks_threads: false,
    };
    daemon.lock_state_dir();
    daemon.warn_of_missing_right();
    daemon.start_missing(&ready_tx)?;
    drop(ready_tx);
    daemon.run_loop(&signals, &ready_rx, ConfigReader::new(config_path.to_path_buf(), read));
    daemon.stop();
    Ok(())
}

/// Forwards signals to a channel, from a thread of its own.
fn forward_signals(mut signals: Signals) -> io::Result<Receiver<i32>> {
    signals.add_signal(SIGTERM)?;
    signals.add_signal(SIGINT)?;
    let (to, from) = bounded(16);
    let forward = move || signals.forever().try_for_each(|signal| to.send(signal));
    thread::Builder::new().spawn(forward).map_err(thread_error)?;
    Ok(from)
}

impl Daemon {
    /// Starts a supervisor for each drop directory that has none.
    fn start_missing(&mut self, ready_tx: &Sender<()>) -> io::Result<()> {
        let hash = |drop_dir: &DropDir| drop_dir.table_hash;
        let known: HashSet<u64> = self.handles.iter().map(|it| hash(&it.drop_dir)).collect();
        let is_missing = |drop_dir: &&DropDir| !known.contains(&hash(drop_dir));
        let missing: Vec<_> = self.config.drop_dirs.iter().filter(is_missing).cloned().collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mounts = MountTable::read().ok();
        let mut start = |drop_dir| self.start(drop_dir, ready_tx.clone(), mounts.as_ref());
        missing.into_iter().try_for_each(&mut start)
    }

    /// Starts the missing supervisors while the daemon runs. Reports once that the system refuses
    /// new threads; the next tick tries again.
    fn catch_up(&mut self) {
        let started = self.start_missing(&bounded(0).0);
        match started {
            Ok(()) => self.lacks_threads = false,
            Err(error) if !self.lacks_threads => {
                self.lacks_threads = true;
                self.context.report(Problem::NoThreads { error: error.to_string() });
            }
            Err(_) => {}
        }
    }

    /// Shows other processes that a daemon uses the state directory, and warns if another one does.
    fn lock_state_dir(&mut self) {
        let state_dir = self.at_start.state_dir.clone();
        self.lock = DaemonLock::hold(&state_dir);
        let mut pids = fs::find_daemons(&state_dir).unwrap_or_default();
        pids.retain(|pid| *pid != std::process::id());
        if !pids.is_empty() {
            self.context.report(Problem::OtherDaemons { state_dir, pids });
        }
    }

    /// Warns if the configuration requires proofs and npyd may take leases on its own files alone.
    fn warn_of_missing_right(&self) {
        let right = self.context.lease_right;
        if right == LeaseRight::OwnFiles && self.config.drop_dirs.iter().any(DropDir::needs_proof) {
            self.context.report(Problem::OwnLeasesOnly);
        }
    }

    fn start(
        &mut self,
        drop_dir: DropDir,
        ready_tx: Sender<()>,
        mounts: Option<&MountTable>,
    ) -> io::Result<()> {
        let place = Place::of(&drop_dir, mounts);
        let (queue, context) = (self.pool.queue(), self.context.clone());
        let of = (self.next_id, Arc::new(drop_dir));
        let (supervisor, handle) = Supervisor::new(of, context, queue, ready_tx);
        self.threads.add(supervisor, place)?;
        self.next_id = self.next_id.wrapping_add(1);
        self.handles.push(handle);
        Ok(())
    }

    /// Handles one event at a time, until a signal ends the loop.
    fn run_loop(
        &mut self,
        signals: &Receiver<i32>,
        ready_rx: &Receiver<()>,
        mut reader: ConfigReader<
            impl Fn(&Path) -> Result<Config, ConfigError> + Clone + Send + 'static,
        >,
    ) {
        let (configs, moving) = (reader.results(), self.threads.moving());
        let ticks = tick(TICK);
        let alive = systemd::watchdog_interval().map_or_else(never, tick);
        let deadline = Instant::now() + READY_WITHIN;
        let mut ready_rx = ready_rx.clone();
        let mut ready = false;
        loop {
            let wakeup = select! {
                recv(signals) -> signal => signal.map_or(Wakeup::Tick, Wakeup::Signal),
                recv(ready_rx) -> _ => Wakeup::Ready,
                recv(ticks) -> _ => Wakeup::Tick,
                recv(alive) -> _ => Wakeup::WatchdogDue,
                recv(moving) -> moving => moving
                    .map_or(Wakeup::Tick, |(it, place)| Wakeup::Moving(Box::new(it), place)),
                recv(configs) -> config => config.map_or(Wakeup::Tick, Wakeup::Config),
            };
            let is_ready = matches!(wakeup, Wakeup::Ready);
            match wakeup {
                Wakeup::Signal(SIGHUP) => {
                    systemd::reloading();
                    let requested = reader.request();
                    self.end_reload_if_failed(requested);
                }
                Wakeup::Signal(_) => return,
                Wakeup::WatchdogDue => systemd::alive(),
                Wakeup::Tick => self.on_tick(),
                Wakeup::Ready => {}
                Wakeup::Moving(supervisor, place) => self.threads.move_to(*supervisor, place),
                Wakeup::Config(config) => match reader.take(config) {
                    Ok(Some(config)) => self.reload(config),
                    Ok(None) => {}
                    Err(error) => self.end_reload_if_failed(Err(error)),
                },
            }
            if !ready && (is_ready || Instant::now() >= deadline) {
                (ready, ready_rx) = (true, never());
                self.announce();
            }
        }
    }

    fn announce(&self) {
        let drop_dirs = self.drop_dirs();
        self.publish(DaemonState::Ready { drop_dirs });
        systemd::ready(&drop_dirs.to_string());
    }

    fn publish(&self, state: DaemonState) {
        self.context.publish(Event::Daemon(state));
    }

    fn drop_dirs(&self) -> DropDirCount {
        DropDirCount(self.handles.len())
    }

    /// Restarts ended supervisors, and requests scans of the drop directories for which another
    /// process made a request.
    fn on_tick(&mut self) {
        self.threads.on_tick();
        self.restart_ended();
        self.lock = self.lock.take().and_then(|lock| lock.renew(&self.at_start.state_dir));
        let ledger = self.context.ledger();
        // The ledger keeper reports an error.
        let changed = ledger.new_changes(&mut self.seen_changes).unwrap_or_default();
        let concerns = |handle: &&DropDirHandle| changed.contains(&handle.drop_dir.path);
        self.handles.iter().filter(concerns).for_each(|handle| handle.send(Command::Rescan));
        self.ledger_keeper.tick();
    }

    /// Starts a new supervisor in place of each one that ended without a command, which only a bug
    /// can cause.
    fn restart_ended(&mut self) {
        let (left, stay): (Vec<_>, Vec<_>) =
            self.handles.drain(..).partition(DropDirHandle::is_finished);
        self.handles = stay;
        for handle in left {
            let drop_dir = handle.drop_dir.path.clone();
            self.context.publish(Event::Watch { drop_dir, state: WatchState::Restarted });
        }
        self.catch_up();
    }

    /// Applies the configuration that was read again; keeps the old one if the new one is invalid.
    fn reload(&mut self, config: ReadConfig) {
        match config {
            Ok(config) => self.apply_config(*config),
            Err(error) => self.publish(DaemonState::ReloadFailed { error: error.to_string() }),
        }
        systemd::ready(&self.drop_dirs().to_string());
    }

    /// Ends a reload for which no thread could be started.
    fn end_reload_if_failed(&self, requested: io::Result<()>) {
        if let Err(error) = requested {
            self.publish(DaemonState::ReloadFailed { error: error.to_string() });
            systemd::ready(&self.drop_dirs().to_string());
        }
    }

    /// Stops each supervisor whose drop directory has other settings or is no longer configured,
    /// and starts the missing ones. All others keep running.
    fn apply_config(&mut self, config: Config) {
        let in_force = config.restart_only_changes(&self.at_start);
        let mut settings = config.restart_only_changes(&self.config);
        settings.retain(|name| in_force.contains(name)); // others are as they were at the start
        if !settings.is_empty() {
            self.publish(DaemonState::NeedsRestart { settings });
        }
        let settings_of = |drop_dir: &DropDir| drop_dir.table_hash;
        let configured: HashSet<_> = config.drop_dirs.iter().map(settings_of).collect();
        let by_path: HashMap<_, _> = config.drop_dirs.iter().map(|it| (&it.path, it)).collect();
        let context = &self.context;
        self.handles.retain(|handle| {
            let stays = configured.contains(&settings_of(&handle.drop_dir));
            if !stays {
                // Work under way must not take anything away by the old settings.
                // Without settings, the source waits for those that the directory gets again.
                let later = by_path.get(&handle.drop_dir.path);
                let disposes = later.is_none_or(|it| it.source != Disposition::Keep);
                handle.drop_dir.in_force.supersede(disposes);
                // Here, because a new supervisor may publish the states of its drops before this
                // one stops.
                let drop_dir = handle.drop_dir.path.clone();
                context.publish(Event::Watch { drop_dir, state: WatchState::Ended });
                handle.send(Command::Stop);
            }
            stays
        });
        self.context.configure(&Arc::new(config.clone()));
        let before = std::mem::replace(&mut self.config, config);
        self.catch_up();
        self.report_left_out(&before);
        self.report_dispositions(&before);
        self.publish(DaemonState::Reloaded { drop_dirs: self.drop_dirs() });
    }

    /// Reports drop directories that the configuration does not have any more.
    fn report_left_out(&self, before: &Config) {
        let paths: HashSet<&Path> = self.config.drop_dirs.iter().map(|it| &*it.path).collect();
        for left_out in before.drop_dirs.iter().filter(|it| !paths.contains(&*it.path)) {
            self.publish(DaemonState::LeftOut { drop_dir: left_out.path.clone() });
        }
    }

    /// Reports drop directories whose sources are no longer kept: those of finished arrays stay.
    fn report_dispositions(&self, before: &Config) {
        let kept = before.drop_dirs.iter().filter(|it| it.source == Disposition::Keep);
        let kept: HashSet<_> = kept.map(|it| &it.path).collect();
        for DropDir { path, source, .. } in &self.config.drop_dirs {
            if let Some(what) = source.participle()
                && kept.contains(path)
            {
                self.publish(DaemonState::Disposes { drop_dir: path.clone(), what });
            }
        }
    }

    /// Stops all supervisors, and waits up to [`STOP_WITHIN`]. Unfinished drops are processed again
    /// after a restart.
    fn stop(&mut self) {
        systemd::stopping();
        self.publish(DaemonState::Stopping);
        self.context.stop.store(true, Ordering::Relaxed);
        let deadline = Instant::now() + STOP_WITHIN;
        let has_work_left = || {
            let has_ended = self.pool.close() && self.threads.have_stopped();
            !(has_ended && self.context.committer.is_idle())
        };
        while has_work_left() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        if !self.ledger_keeper.end_within(FLUSH_WITHIN) && self.context.ledger().may_lack_receipts()
        {
            self.context.report(Problem::LedgerHangs);
        }
        self.publish(DaemonState::Stopped { has_work_left: has_work_left() });
        self.context.bus().stop(Some(Instant::now() + FLUSH_WITHIN));
    }
}
