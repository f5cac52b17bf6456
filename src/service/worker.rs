//! What a worker does for a drop directory, and how people and the ledger hear of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::config::{Config, DropDir, IoPriority};
use crate::decide::completeness::Wait;
use crate::decide::identity::LedgerKey;
use crate::events::receipt::{Event, Receipt};
use crate::finalize::undo_journal::IntentLog;
use crate::finalize::{
    self, ArrayJob, Aside, Interruption, Job, finalize, finalize_all, quarantine, recover_residue,
};
use crate::fs::{self, LeaseRight};
use crate::ledger::{Ledger, Request};
use crate::probe::Residue;
use crate::probe::candidate::Candidate;
use crate::service::tracker::PROBE_DELAY_MIN;
use crate::sinks::bars::ProgressDisplay;
use crate::sinks::log::log;
use crate::throttle::meter::Progress;
use crate::throttle::psi::{PSI_UNAVAILABLE, Pressure};
use crate::throttle::rate::RateLimiter;

/// What all drop directories share.
#[derive(Clone)]
pub struct Context {
    /// The ledger.
    pub ledger: Arc<Ledger>,
    /// What would have to be undone after a crash.
    pub intents: Arc<IntentLog>,
    /// Set when npyd is ending.
    pub stop: Arc<AtomicBool>,
    /// How progress is shown.
    pub show: ProgressDisplay,
    /// From which pressure on the disk is left to others.
    pub pressure: Option<Arc<Pressure>>,
    /// On whose files leases may be taken.
    pub lease_right: LeaseRight,
    /// How receipts are told.
    pub tell: Tell,
    /// How many drops were rejected or failed so far.
    pub failures: Arc<AtomicU64>,
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
pub(crate) enum Outcome {
    Done,
    Retry(Wait),
    Failed(String),
}

/// Finalizes and records, in a worker.
pub(crate) fn run_batch(
    context: &Context,
    pace: &Arc<RateLimiter>,
    batch: &[Job],
    settings: u64,
) -> Vec<Outcome> {
    let show =
        |job: &Job| Progress::new(context.show.gauge(&job.path()), &context.stop, Some(pace));
    let results = match batch {
        [job] => vec![finalize(job, &mut show(job))],
        batch => finalize_all(batch, show),
    };
    let mut records = Vec::with_capacity(batch.len());
    let outcomes = batch.iter().zip(results).map(|(job, result)| {
        let (outcome, record) = to_outcome(context, job, result, settings);
        records.extend(record);
        outcome
    });
    let outcomes = outcomes.collect();
    context.publish(&records);
    outcomes
}

/// A receipt, and what its source looked like.
type Record = (Receipt, Option<LedgerKey>);

fn to_outcome(
    context: &Context,
    job: &Job,
    result: Result<Receipt, Interruption>,
    settings: u64,
) -> (Outcome, Option<Record>) {
    let interruption = match result {
        Ok(receipt) => {
            let candidate = &job.candidate;
            // In place, the file itself was written to: it is known by what it looks like now. A
            // source that changed after it was copied must not be known, for it is a new drop; and
            // so is one whose array was found.
            let snapshot = match (receipt.event, receipt.route) {
                (Event::Finalized, Some(route)) if route.consumes_source() => {
                    candidate.restat().ok()
                }
                _ => None,
            };
            let snapshot = snapshot.unwrap_or_else(|| candidate.snapshot());
            let fingerprint = LedgerKey { settings, identity: snapshot.identity() };
            return (Outcome::Done, Some((receipt, Some(fingerprint))));
        }
        Err(interruption) => interruption,
    };
    let outcome = match interruption {
        Interruption::Rejected(reason) => {
            let Job { drop_dir, candidate, .. } = job;
            let fingerprint = LedgerKey { settings, identity: candidate.snapshot().identity() };
            return reject(drop_dir, candidate, (Event::Rejected, reason), fingerprint);
        }
        Interruption::DataLoss(reason) => return record_data_loss(context, job, reason, settings),
        Interruption::Retry(why) => Outcome::Retry(Wait { why, ready_in: Some(PROBE_DELAY_MIN) }),
        Interruption::Locked(why) => Outcome::Retry(Wait::on_external(why)),
        Interruption::Vanished | Interruption::Cancelled => Outcome::Done,
        Interruption::Io(error) => Outcome::Failed(error.to_string()),
    };
    (outcome, None)
}

/// Tidies up what a crash left of a drop that is an array already, in a worker.
pub(crate) fn recover(drop_dir: &DropDir, residue: &Residue) -> Outcome {
    match recover_residue(drop_dir, residue) {
        Ok(None) => Outcome::Done,
        Ok(Some(why)) => Outcome::Retry(Wait::on_external(why)),
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

/// Makes an array again whose source is gone, in a worker, and ends the request for that.
pub(crate) fn redo_array(
    context: &Context,
    pace: &Arc<RateLimiter>,
    (request, job): (&Request, &ArrayJob),
    fingerprint: Option<&LedgerKey>,
) -> Outcome {
    let mut progress = Progress::new(context.show.gauge(&job.array), &context.stop, Some(pace));
    let receipt = match finalize::redo_array(job, &mut progress) {
        Ok(receipt) => receipt,
        Err(Interruption::Rejected(why) | Interruption::DataLoss(why)) => {
            return context.refuse(request, &why);
        }
        Err(Interruption::Io(error)) => return context.refuse(request, &error.to_string()),
        // The request stays for the next scan.
        Err(Interruption::Retry(why) | Interruption::Locked(why)) => {
            return Outcome::Retry(Wait::on_external(why));
        }
        Err(Interruption::Vanished | Interruption::Cancelled) => return Outcome::Done,
    };
    context.end_request(request, &receipt, fingerprint)
}

/// Sets a refused drop aside and records why, in a worker.
pub(crate) fn reject_drop(
    drop_dir: &DropDir,
    context: &Context,
    candidate: &Candidate,
    why: (Event, String),
    settings: u64,
) -> Outcome {
    let fingerprint = LedgerKey { settings, identity: candidate.snapshot().identity() };
    let (outcome, record) = reject(drop_dir, candidate, why, fingerprint);
    if let Some((receipt, fingerprint)) = record {
        context.record(receipt, fingerprint);
    }
    outcome
}

/// Has the ledger know for good that the content of these files may be lost, before anything else
/// is done with them. npyd may have written to the data file itself: both are known, what it was
/// and what it is.
fn record_data_loss(
    context: &Context,
    job: &Job,
    mut reason: String,
    settings: u64,
) -> (Outcome, Option<Record>) {
    let Job { drop_dir, candidate, .. } = job;
    if !candidate.parts.is_empty() {
        reason.push_str(", with the other files of its data");
    }
    let then = candidate.snapshot();
    let now = candidate.restat().unwrap_or_else(|_| then.clone());
    if let Err(error) =
        context.ledger.record_data_loss(then.contents().chain(now.contents()), &reason)
    {
        tracing::warn!("{error}");
    }
    let fingerprint = LedgerKey { settings, identity: now.identity() };
    reject(drop_dir, candidate, (Event::Lost, reason), fingerprint)
}

fn reject(
    drop_dir: &DropDir,
    candidate: &Candidate,
    (event, reason): (Event, String),
    fingerprint: LedgerKey,
) -> (Outcome, Option<Record>) {
    let aside = match quarantine(drop_dir, candidate, &reason) {
        Ok(aside) => aside,
        Err(error) => {
            let told = format!("it is to be set aside, for {reason}; {error}");
            return (Outcome::Failed(told), None);
        }
    };
    let path = drop_dir.path.join(&candidate.rel);
    let mut receipt = Receipt::without_output(event, drop_dir.path.clone(), path, reason);
    receipt.add(match (aside, &drop_dir.rejects) {
        (Aside::Moved, Some(dir)) => Some(format!("it is in `{}` now", dir.display())),
        (Aside::Unproven(why), _) => Some(format!("it was not moved: {why}")),
        _ => None,
    });
    (Outcome::Done, Some((receipt, Some(fingerprint))))
}

impl Context {
    /// What is shared under a configuration; the process itself becomes as considerate as it asks.
    #[must_use]
    pub fn new(config: &Config, ledger: Ledger, show: ProgressDisplay, tell: Tell) -> Self {
        if config.io_priority == IoPriority::Idle
            && let Err(error) = fs::make_idle()
        {
            tracing::warn!("io_priority = \"idle\" was refused: {error}");
        }
        let pressure = config.max_pressure.map(Pressure::new);
        if let Some(None) = pressure {
            tracing::warn!("max_pressure has no effect: {PSI_UNAVAILABLE}");
        }
        Context {
            ledger: Arc::new(ledger),
            intents: Arc::new(IntentLog::of(&config.state_dir)),
            stop: Arc::new(AtomicBool::new(false)),
            show,
            pressure: pressure.flatten().map(Arc::new),
            lease_right: LeaseRight::probe(&config.state_dir),
            tell,
            failures: Arc::new(AtomicU64::new(0)),
        }
    }

    /// Ends a request that can't be carried out, and reports why.
    pub(crate) fn refuse(&self, request: &Request, why: &str) -> Outcome {
        let Request { drop_dir, source, .. } = request;
        let reason = format!("not made again: {why}");
        let receipt =
            Receipt::without_output(Event::Failed, drop_dir.clone(), source.clone(), reason);
        self.end_request(request, &receipt, None)
    }

    /// Stores the receipt of a request, then reports it.
    fn end_request(
        &self,
        request: &Request,
        receipt: &Receipt,
        fingerprint: Option<&LedgerKey>,
    ) -> Outcome {
        if let Err(error) = self.ledger.end_request(request, receipt, fingerprint) {
            tracing::warn!("{error}");
        }
        self.tell(receipt);
        Outcome::Done
    }

    /// Stores a receipt in the ledger, then reports it.
    pub(crate) fn record(&self, receipt: Receipt, fingerprint: Option<LedgerKey>) {
        self.publish(&[(receipt, fingerprint)]);
    }

    /// Stores receipts in the ledger, then reports them: what is reported can be looked up.
    fn publish(&self, records: &[Record]) {
        if let Err(error) = self.ledger.record(records) {
            tracing::warn!("{error}");
        }
        for (receipt, _) in records {
            self.tell(receipt);
        }
    }

    /// Reports a receipt to people or programs.
    pub fn tell(&self, receipt: &Receipt) {
        if matches!(receipt.event, Event::Rejected | Event::Lost | Event::Failed) {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        match self.tell {
            Tell::Log => log(receipt),
            Tell::Lines => self.show.print(&receipt.to_string()),
            Tell::Json => self.show.print(&receipt.to_json()),
        }
    }
}
