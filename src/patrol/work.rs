//! What a worker does for a drop directory, and how people and the ledger hear of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::LOOK_MIN;
use crate::candidate::Candidate;
use crate::config::Inbox;
use crate::finalize::{Halt, Settled, finalize, finalize_all, set_aside};
use crate::intent::Intents;
use crate::ledger::Ledger;
use crate::progress::Show;
use crate::receipt::{Event, Receipt};
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
pub(super) fn carry_out(common: &Common, batch: &[Settled], settings: u64) -> Vec<Outcome> {
    let show = |settled: &Settled| common.show.begin(&settled.path(), &common.stop);
    let results = match batch {
        [settled] => vec![finalize(settled, &mut show(settled))],
        batch => finalize_all(batch, show),
    };
    batch
        .iter()
        .zip(results)
        .map(|(settled, result)| record(common, settled, result, settings))
        .collect()
}

fn record(
    common: &Common,
    settled: &Settled,
    result: Result<Receipt, Halt>,
    settings: u64,
) -> Outcome {
    match result {
        Ok(receipt) => {
            let candidate = &settled.candidate;
            // In place, the file itself was written to: it is known by what it looks like now. A
            // source that changed after it was copied must not be known, for it is a new drop.
            let stamp = match receipt.route {
                Some(route) if route.takes_the_file() => candidate.stamp_anew().ok(),
                _ => None,
            };
            let stamp = stamp.unwrap_or_else(|| candidate.stamp());
            common.record(&receipt, Some(&Fingerprint { settings, identity: stamp.identity() }));
            Outcome::Settled
        }
        Err(Halt::Rejected(reason)) => {
            reject(&settled.inbox, common, &settled.candidate, reason, settings)
        }
        Err(Halt::Again(why)) => Outcome::Again(Wait { why, proof_in: Some(LOOK_MIN) }),
        Err(Halt::Busy(why)) => Outcome::Again(Wait::for_somebody(why)),
        Err(Halt::Gone | Halt::Stopped) => Outcome::Settled,
        Err(Halt::Failed(error)) => Outcome::Failed(error.to_string()),
    }
}

/// Sets a refused drop aside and records why, in a worker.
pub(super) fn reject(
    inbox: &Inbox,
    common: &Common,
    candidate: &Candidate,
    reason: String,
    settings: u64,
) -> Outcome {
    if let Err(error) = set_aside(inbox, candidate, &reason) {
        return Outcome::Failed(error.to_string());
    }
    let path = inbox.path.join(&candidate.rel);
    let receipt = Receipt::without_output(Event::Rejected, inbox.path.clone(), path, reason);
    let identity = candidate.stamp().identity();
    common.record(&receipt, Some(&Fingerprint { settings, identity }));
    Outcome::Settled
}

impl Common {
    /// Tells of a receipt, and writes it down.
    pub(super) fn record(&self, receipt: &Receipt, fingerprint: Option<&Fingerprint>) {
        if matches!(receipt.event, Event::Rejected | Event::Failed) {
            self.bad.fetch_add(1, Ordering::Relaxed);
        }
        self.tell(receipt);
        let fingerprint = fingerprint.map(Fingerprint::to_string).unwrap_or_default();
        if let Err(error) = self.ledger.record(receipt, &fingerprint) {
            tracing::warn!("{error}");
        }
    }

    /// Tells people or programs of a receipt.
    pub fn tell(&self, receipt: &Receipt) {
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
        Event::Rejected | Event::Failed => at!(warn),
        Event::Found | Event::Waiting => at!(debug),
        Event::Finalized => at!(info),
    }
}
