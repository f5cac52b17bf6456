//! The log: a line for each event that people should know of, with fields for programs.

mod causes;
pub mod facts;
mod finished;
mod left_alone;
mod problems;
mod repeats;
pub(crate) mod wait_line;
pub(crate) mod waiting_drops;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::{BinaryBytes, HumanDuration};
use tracing::level_filters::LevelFilter;

use crate::decide::reason::Reason;
use crate::decide::reason_kind::ReasonKind;
use crate::events::daemon_state::DaemonState;
use crate::events::drop_path::DropPath;
use crate::events::drop_state::DropState;
use crate::events::event::Event;
use crate::events::problem::Problem;
use crate::events::progress::WorkProgress;
use crate::events::receipt::Receipt;
use crate::events::receipt_event::ReceiptEvent;
use crate::events::scanned::Scanned;
use crate::events::sink::{Filter, Sink, WhenFull};
use crate::events::source_fate::SourceFate;
use crate::events::stored::Stored;
use crate::events::watch_state::WatchState;
use crate::sinks::log::finished::Finished;
use crate::sinks::log::repeats::Repeats;
use crate::sinks::log::wait_line::Line;
use crate::sinks::log::waiting_drops::WaitingDrops;
use crate::text::one_line::shown;

/// The time between two lines about the progress of one file.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// How long the sink waits while nothing reads the log, such as a journal that hangs, before it
/// drops lines.
const PATIENCE: Duration = Duration::from_secs(1);

/// Writes events to the log.
#[derive(Debug)]
pub struct LogSink {
    has_receipts: bool,
    has_progress: bool,
    /// For each piece of work with a line, at which time of its phase it had the last one.
    last_lines: HashMap<PathBuf, Duration>,
    /// The problems that were logged lately.
    repeats: Repeats,
    /// The drops that wait for long.
    waits: WaitingDrops,
    /// The finished drops that a line will report.
    finished: Finished,
}

impl LogSink {
    /// The log of the daemon, which has all events.
    #[must_use]
    pub fn of_daemon() -> Self {
        Self::new(true, true)
    }

    /// The log of a command, which prints its receipts to standard output.
    #[must_use]
    pub fn of_command(has_progress: bool) -> Self {
        Self::new(false, has_progress)
    }

    fn new(has_receipts: bool, has_progress: bool) -> Self {
        LogSink {
            has_receipts,
            has_progress,
            last_lines: HashMap::new(),
            repeats: Repeats::default(),
            waits: WaitingDrops::default(),
            finished: Finished::default(),
        }
    }

    fn log_problem(&mut self, problem: &Problem) {
        let repeat = self.repeats.admit(problem, Instant::now());
        let problem = problems::text(problem);
        match repeat {
            None => tracing::debug!("{problem}"),
            Some(0) => tracing::warn!("{problem}"),
            Some(suppressed) => tracing::warn!("{problem} ({suppressed} times more since)"),
        }
    }

    fn log_progress(&mut self, progress: &WorkProgress) {
        let WorkProgress { file, phase, done, total, elapsed, .. } = progress;
        let Some(done) = *done else {
            self.last_lines.remove(file);
            return;
        };
        let last = self.last_lines.entry(file.clone()).or_default();
        // The time starts again with each phase.
        *last = (*last).min(*elapsed);
        if elapsed.saturating_sub(*last) < PROGRESS_INTERVAL {
            return;
        }
        *last = *elapsed;
        let per_second = u64::try_from(u128::from(done) * 1000 / elapsed.as_millis().max(1));
        let rate = per_second.unwrap_or(u64::MAX).max(1);
        let left = Duration::from_secs(total.saturating_sub(done) / rate);
        tracing::info!(
            file = %file.display(),
            phase = phase.as_str(),
            percent = done / (total / 100).max(1),
            bytes_per_second = rate,
            seconds_left = left.as_secs(),
            "{phase} {}: {} of {} at {}/s, {} left",
            shown(file),
            BinaryBytes(done),
            BinaryBytes(*total),
            BinaryBytes(rate),
            HumanDuration(left)
        );
    }
}

impl Sink for LogSink {
    fn filter(&self) -> Filter {
        let (has_receipts, has_progress) = (self.has_receipts, self.has_progress);
        Box::new(move |event| match event {
            Event::Overflowed { .. } => false,
            Event::Scanned(_) => LevelFilter::current() >= LevelFilter::DEBUG,
            Event::State { before, reason, .. } => is_of_use(*before, reason.as_ref()),
            Event::Receipt { .. } => has_receipts,
            Event::Progress(_) => has_progress,
            Event::States(_)
            | Event::FailedAgain(_)
            | Event::LongWait { .. }
            | Event::FoundArray(_)
            | Event::Failing { .. }
            | Event::Suspended { .. }
            | Event::Resumed { .. }
            | Event::Rechecking(_)
            | Event::Accepted { .. }
            | Event::Watch { .. }
            | Event::LeftAlone(_)
            | Event::Fact(_)
            | Event::Problem(_)
            | Event::Daemon(_) => true,
        })
    }

    fn when_full(&self) -> WhenFull {
        WhenFull::DropAfter(PATIENCE)
    }

    fn accept(&mut self, event: &Event) {
        let now = Instant::now();
        self.waits.take(event, now);
        match event {
            Event::Overflowed { .. } | Event::LongWait { .. } | Event::States(_) => {}
            Event::Scanned(scanned) => log_scanned(scanned),
            Event::State { path, state, reason, .. } => log_state(path, *state, reason.as_ref()),
            Event::FoundArray(path) => self.finished.add_found(path, now),
            Event::Progress(progress) => self.log_progress(progress),
            Event::Receipt { receipt, stored } => log_receipt(receipt, *stored),
            Event::FailedAgain(receipt) => log_failed_again(receipt),
            // The command prints their receipts.
            Event::Failing { .. } if !self.has_receipts => {}
            Event::Failing { receipt, drops, is_again } => {
                causes::failures(receipt, *drops, *is_again);
            }
            Event::Suspended { drop_dir, dir, error, drops, trial, lasted } => {
                causes::suspended((drop_dir, dir), error, *drops, (*trial, *lasted));
            }
            Event::Resumed { drop_dir, dir, drops, lasted } => {
                causes::resumed((drop_dir, dir), *drops, *lasted);
            }
            Event::Accepted { path, kind, options, words } => {
                log_accepted(path, kind.as_str(), (options.as_deref(), words.as_deref()));
            }
            Event::Rechecking(path) => self.finished.add_recheck(path, now),
            Event::Watch { drop_dir, state } => {
                if *state == WatchState::Ended {
                    self.waits.end(drop_dir).iter().for_each(Line::log);
                    self.finished.end(drop_dir);
                }
                log_watch(&shown(drop_dir), state);
            }
            Event::LeftAlone(left_alone) => left_alone::log(left_alone),
            Event::Fact(fact) => facts::log(fact),
            Event::Problem(problem) => self.log_problem(problem),
            Event::Daemon(state) => match state {
                DaemonState::ReloadFailed { .. } => tracing::error!("{state}"),
                DaemonState::NeedsRestart { .. } => tracing::warn!("{state}"),
                _ => tracing::info!("{state}"),
            },
        }
    }

    fn next_tick(&self) -> Option<Instant> {
        self.waits.next_due().into_iter().chain(self.finished.next_due()).min()
    }

    fn tick(&mut self, now: Instant) {
        self.waits.lines(now).iter().for_each(Line::log);
        self.finished.log_due(now);
    }

    fn report_dropped(&mut self, total: u64) {
        self.waits.suspend(); // they may have ended meanwhile
        tracing::warn!("the log did not keep up: {total} lines were dropped since the start");
    }

    fn forget_states(&mut self) -> bool {
        self.waits.suspend();
        true
    }
}

/// Returns whether the log has a use for a change of a drop's state: the drop waited, and may be in
/// a line to come, or the reason is logged. All other changes would only wake the log's thread.
fn is_of_use(before: Option<DropState>, reason: Option<&Reason>) -> bool {
    before == Some(DropState::Waiting)
        || reason.is_some() && LevelFilter::current() >= LevelFilter::DEBUG
}

/// Logs why a drop waits or is ignored. Other lines report those that wait long or fail.
fn log_state(path: &DropPath, state: DropState, reason: Option<&Reason>) {
    match (state, reason) {
        (_, None | Some(Reason::Failed { .. })) => {}
        (DropState::Gone, Some(reason)) => {
            tracing::debug!("ignored `{}`: {reason}", shown(&path.source));
        }
        (_, Some(reason)) => log_waiting(path, reason),
    }
}

fn log_scanned(Scanned { drop_dir, names, drops, elapsed, cpu }: &Scanned) {
    tracing::debug!(
        drop = %drop_dir.display(),
        names,
        drops,
        seconds = elapsed.as_secs_f64(),
        cpu_seconds = cpu.as_secs_f64(),
        "scanned {}: {names} names, {drops} to be probed, in {:.3} s ({:.3} s of CPU time)",
        shown(drop_dir),
        elapsed.as_secs_f64(),
        cpu.as_secs_f64()
    );
}

fn log_waiting(path: &DropPath, reason: &Reason) {
    tracing::debug!(
        event = ReceiptEvent::Waiting.as_str(),
        drop = %path.drop_dir.display(),
        source = %path.source.display(),
        reason = %reason,
        reason_kind = reason.kind().as_str(),
        "waiting for {}: {reason}",
        shown(&path.source)
    );
}

/// Logs that npyd accepted a request; its receipt follows.
fn log_accepted(path: &DropPath, kind: &str, (options, words): (Option<&str>, Option<&str>)) {
    tracing::info!(
        event = kind,
        drop = %path.drop_dir.display(),
        source = %path.source.display(),
        reason = options,
        "accepted `npyd {kind}` of {}{}",
        shown(&path.source),
        words.map_or_else(String::new, |words| format!(": {words}"))
    );
}

/// Logs a receipt at a level that fits its event.
fn log_receipt(receipt: &Receipt, stored: Stored) {
    let output = receipt.output.as_ref().map(|path| path.display());
    macro_rules! at {
        ($level:ident) => {
            tracing::$level!(
                event = receipt.event.as_str(),
                drop = %receipt.drop.display(),
                source = %receipt.source.display(),
                output = output.map(tracing::field::display),
                route = receipt.route.map(tracing::field::display),
                bytes = receipt.bytes,
                seconds = receipt.seconds.as_secs_f64(),
                evidence = receipt.evidence.map(tracing::field::display),
                source_fate = receipt.source_fate.map(SourceFate::as_str),
                reason = receipt.reason,
                reason_kind = receipt.reason_kind.map(ReasonKind::as_str),
                stored = stored.label(),
                "{receipt}{}",
                stored.remark()
            )
        };
    }
    match receipt.event {
        // Another line reports those that have one cause.
        ReceiptEvent::Failed if receipt.reason_kind == Some(ReasonKind::Io) => at!(debug),
        ReceiptEvent::Rejected
        | ReceiptEvent::Lost
        | ReceiptEvent::Failed
        | ReceiptEvent::Stale => at!(warn),
        // Nothing changed, and an earlier receipt says why the source stays.
        ReceiptEvent::Found
            if !receipt.is_requested
                && matches!(receipt.source_fate, Some(SourceFate::Kept | SourceFate::Unproven)) =>
        {
            at!(debug);
        }
        ReceiptEvent::Waiting => at!(debug),
        ReceiptEvent::Finalized | ReceiptEvent::Remade | ReceiptEvent::Found => at!(info),
    }
}

/// Logs that a single drop failed again. Another line reports those that have one cause.
fn log_failed_again(receipt: &Receipt) {
    tracing::debug!(
        event = receipt.event.as_str(),
        drop = %receipt.drop.display(),
        source = %receipt.source.display(),
        reason = receipt.reason,
        reason_kind = receipt.reason_kind.map(ReasonKind::as_str),
        "failed again with {}: {}",
        shown(&receipt.source),
        receipt.reason.as_deref().unwrap_or_default()
    );
}

fn log_watch(dir: &str, state: &WatchState) {
    match state {
        WatchState::Inotify => tracing::info!("watching `{dir}`"),
        WatchState::Polling => tracing::info!("polling `{dir}`"),
        WatchState::PollingInstead { error } => {
            tracing::warn!("polling `{dir}` instead of watching it: {error}");
        }
        WatchState::PollingFromNowOn => tracing::warn!("polling `{dir}` from now on"),
        WatchState::Incomplete { error } => tracing::warn!("watching `{dir}`: {error}"),
        WatchState::EventsLost => tracing::info!("events were lost in `{dir}`: scanning it"),
        WatchState::Missing { error } => {
            tracing::warn!("waiting for the drop directory: {error}");
        }
        WatchState::Ended => {}
        WatchState::Restarted => {
            tracing::error!("npyd has a bug: its thread for `{dir}` ended, and is started again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drop_that_never_waits_does_not_wake_the_log() {
        let wants = LogSink::of_daemon().filter();
        let is_wanted = |before, state, reason| {
            let path = DropPath { drop_dir: "/in".into(), source: "/in/a".into() };
            wants(&Event::State { path, before, state, reason, bytes: None })
        };
        let (found, working) = (Some(DropState::Unprobed), Some(DropState::Working));
        let waiting = Some(DropState::Waiting);
        assert!(!is_wanted(None, DropState::Unprobed, None));
        assert!(!is_wanted(found, DropState::Working, None));
        assert!(!is_wanted(working, DropState::Gone, None));
        // It may be in a line to come.
        assert!(is_wanted(waiting, DropState::Working, None));
        assert!(is_wanted(waiting, DropState::Gone, None));
        assert!(is_wanted(waiting, DropState::Waiting, Some(Reason::Leased)));
    }
}
