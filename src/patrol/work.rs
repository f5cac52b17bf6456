//! What a worker does for a drop directory, and how people and the ledger hear of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::LOOK_MIN;
use crate::candidate::Candidate;
use crate::config::{Config, Inbox, IoPriority};
use crate::disk::{self, LeaseRight};
use crate::finalize::{Aside, Halt, Settled, finalize, finalize_all, set_aside, tidy_leftover};
use crate::intent::Intents;
use crate::ledger::Ledger;
use crate::look::Leftover;
use crate::pace::Pace;
use crate::pressure::{Pressure, UNMEASURED};
use crate::progress::Show;
use crate::receipt::{Event, Receipt, SourceFate};
use crate::settle::Wait;
use crate::stamp::Fingerprint;

/// What all drop directories share.
#[derive(Clone)]
pub struct Common {
    /// The ledger.
    pub ledger: Arc<Ledger>,
    /// What would have to be undone after a crash.
    pub intents: Arc<Intents>,
    /// Set when npyd is ending.
    pub stop: Arc<AtomicBool>,
    /// How progress is shown.
    pub show: Show,
    /// From which pressure on the disk is left to others.
    pub pressure: Option<Arc<Pressure>>,
    /// On whose files leases may be taken.
    pub lease_right: LeaseRight,
    /// How receipts are told.
    pub tell: Tell,
    /// How many drops were rejected or failed so far.
    pub bad: Arc<AtomicU64>,
}

/// How receipts are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tell {
    /// In the log.
    Log,
    /// As lines for people on standard output.
    Lines,
    /// As JSON on standard output.
    Json,
}

/// How a task ended, as far as the patrol must know.
pub(super) enum Outcome {
    Settled,
    Again(Wait),
    Failed(String),
}

/// Finalizes and records, in a worker.
pub(super) fn carry_out(
    common: &Common,
    pace: &Arc<Pace>,
    batch: &[Settled],
    settings: u64,
) -> Vec<Outcome> {
    let show = |settled: &Settled| common.show.begin(&settled.path(), &common.stop, Some(pace));
    let results = match batch {
        [settled] => vec![finalize(settled, &mut show(settled))],
        batch => finalize_all(batch, show),
    };
    let mut records = Vec::with_capacity(batch.len());
    let outcomes = batch.iter().zip(results).map(|(settled, result)| {
        let (outcome, record) = conclude(common, settled, result, settings);
        if let Some((receipt, _)) = &record {
            common.tell(receipt);
        }
        records.extend(record);
        outcome
    });
    let outcomes = outcomes.collect();
    common.write_down(&records);
    outcomes
}

/// A receipt, and what its source looked like.
type Record = (Receipt, Option<Fingerprint>);

fn conclude(
    common: &Common,
    settled: &Settled,
    result: Result<Receipt, Halt>,
    settings: u64,
) -> (Outcome, Option<Record>) {
    let halt = match result {
        Ok(receipt) => {
            let candidate = &settled.candidate;
            // In place, the file itself was written to: it is known by what it looks like now. A
            // source that changed after it was copied must not be known, for it is a new drop; and
            // so is one whose array was found.
            let stamp = match (receipt.event, receipt.route) {
                (Event::Finalized, Some(route)) if route.takes_the_file() => {
                    candidate.stamp_anew().ok()
                }
                _ => None,
            };
            let stamp = stamp.unwrap_or_else(|| candidate.stamp());
            let fingerprint = Fingerprint { settings, identity: stamp.identity() };
            return (Outcome::Settled, Some((receipt, Some(fingerprint))));
        }
        Err(halt) => halt,
    };
    let outcome = match halt {
        Halt::Rejected(reason) => {
            let Settled { inbox, candidate, .. } = settled;
            let fingerprint = Fingerprint { settings, identity: candidate.stamp().identity() };
            return reject(inbox, candidate, (Event::Rejected, reason), fingerprint);
        }
        Halt::Lost(reason) => return lose(common, settled, reason, settings),
        Halt::Again(why) => Outcome::Again(Wait { why, proof_in: Some(LOOK_MIN) }),
        Halt::Busy(why) => Outcome::Again(Wait::for_somebody(why)),
        Halt::Gone | Halt::Stopped => Outcome::Settled,
        Halt::Failed(error) => Outcome::Failed(error.to_string()),
    };
    (outcome, None)
}

/// Tidies up what a crash left of a drop that is an array already, in a worker.
pub(super) fn tidy(inbox: &Inbox, leftover: &Leftover) -> Outcome {
    match tidy_leftover(inbox, leftover) {
        Ok(None) => Outcome::Settled,
        Ok(Some(why)) => Outcome::Again(Wait::for_somebody(why)),
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

/// Sets a refused drop aside and records why, in a worker.
pub(super) fn refuse(
    inbox: &Inbox,
    common: &Common,
    candidate: &Candidate,
    why: (Event, String),
    settings: u64,
) -> Outcome {
    let fingerprint = Fingerprint { settings, identity: candidate.stamp().identity() };
    let (outcome, record) = reject(inbox, candidate, why, fingerprint);
    if let Some((receipt, fingerprint)) = record {
        common.record(receipt, fingerprint);
    }
    outcome
}

/// Has the ledger know for good that the content of these files may be lost, before anything else
/// is done with them. npyd may have written to the data file itself: both are known, what it was
/// and what it is.
fn lose(
    common: &Common,
    settled: &Settled,
    mut reason: String,
    settings: u64,
) -> (Outcome, Option<Record>) {
    let Settled { inbox, candidate, .. } = settled;
    if !candidate.parts.is_empty() {
        reason.push_str(", with the other files of its data");
    }
    let then = candidate.stamp();
    let now = candidate.stamp_anew().unwrap_or_else(|_| then.clone());
    if let Err(error) = common.ledger.lose(then.contents().chain(now.contents()), &reason) {
        tracing::warn!("{error}");
    }
    let fingerprint = Fingerprint { settings, identity: now.identity() };
    reject(inbox, candidate, (Event::Lost, reason), fingerprint)
}

fn reject(
    inbox: &Inbox,
    candidate: &Candidate,
    (event, reason): (Event, String),
    fingerprint: Fingerprint,
) -> (Outcome, Option<Record>) {
    let aside = match set_aside(inbox, candidate, &reason) {
        Ok(aside) => aside,
        Err(error) => {
            let told = format!("it is to be set aside, for {reason}; {error}");
            return (Outcome::Failed(told), None);
        }
    };
    let path = inbox.path.join(&candidate.rel);
    let mut receipt = Receipt::without_output(event, inbox.path.clone(), path, reason);
    receipt.add(match (aside, &inbox.rejects) {
        (Aside::Moved, Some(dir)) => Some(format!("it is in `{}` now", dir.display())),
        (Aside::Unproven(why), _) => Some(format!("it was not moved: {why}")),
        _ => None,
    });
    (Outcome::Settled, Some((receipt, Some(fingerprint))))
}

impl Common {
    /// What is shared under a configuration; the process itself becomes as considerate as it asks.
    #[must_use]
    pub fn new(config: &Config, ledger: Ledger, show: Show, tell: Tell) -> Self {
        if config.io_priority == IoPriority::Idle
            && let Err(error) = disk::make_idle()
        {
            tracing::warn!("io_priority = \"idle\" was refused: {error}");
        }
        let pressure = config.max_pressure.map(Pressure::new);
        if let Some(None) = pressure {
            tracing::warn!("max_pressure has no effect: {UNMEASURED}");
        }
        Common {
            ledger: Arc::new(ledger),
            intents: Arc::new(Intents::of(&config.state_dir)),
            stop: Arc::new(AtomicBool::new(false)),
            show,
            pressure: pressure.flatten().map(Arc::new),
            lease_right: LeaseRight::probe(&config.state_dir),
            tell,
            bad: Arc::new(AtomicU64::new(0)),
        }
    }

    /// Tells of a receipt, and writes it down.
    pub(super) fn record(&self, receipt: Receipt, fingerprint: Option<Fingerprint>) {
        self.tell(&receipt);
        self.write_down(&[(receipt, fingerprint)]);
    }

    fn write_down(&self, records: &[Record]) {
        if let Err(error) = self.ledger.record(records) {
            tracing::warn!("{error}");
        }
    }

    /// Tells people or programs of a receipt.
    pub fn tell(&self, receipt: &Receipt) {
        if matches!(receipt.event, Event::Rejected | Event::Lost | Event::Failed) {
            self.bad.fetch_add(1, Ordering::Relaxed);
        }
        match self.tell {
            Tell::Log => log(receipt),
            Tell::Lines => self.show.print(&receipt.to_string()),
            Tell::Json => self.show.print(&receipt.to_json()),
        }
    }
}

fn log(receipt: &Receipt) {
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
                reason = receipt.reason,
                "{receipt}"
            )
        };
    }
    match receipt.event {
        Event::Rejected | Event::Lost | Event::Failed | Event::Stale => at!(warn),
        Event::Found if receipt.source_fate == Some(SourceFate::Kept) => at!(debug),
        Event::Waiting => at!(debug),
        Event::Finalized | Event::Remade | Event::Found => at!(info),
    }
}
