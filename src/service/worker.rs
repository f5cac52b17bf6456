//! Worker-side jobs: finalize, reject, recover, redo. The committer stores their receipts, then
//! publishes it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::{fmt, io};

use crate::config::{Config, DropDir, IoPriority};
use crate::decide::completeness::Wait;
use crate::decide::identity::LedgerKey;
use crate::decide::reason::Reason;
use crate::events::bus::Bus;
use crate::events::event::{DropPath, Event};
use crate::events::receipt::{EventKind, Receipt};
use crate::finalize::intent_log::IntentLog;
use crate::finalize::{
    self, ArrayJob, Aside, Finalized, Interruption, Job, RejectedDrop, Restored, finalize,
    finalize_all, quarantine, recover_residue, restore_rejected,
};
use crate::fs::{self, Dir, LeaseRight};
use crate::ledger::{Ledger, Request, RequestKind};
use crate::probe::Residue;
use crate::probe::candidate::Candidate;
use crate::service::committer::{Committer, Recorder};
use crate::service::failure::Failure;
use crate::service::in_work::InWork;
use crate::service::tracker::PROBE_DELAY_MIN;
use crate::throttle::meter::Meter;
use crate::throttle::psi::{PSI_UNAVAILABLE, Pressure};
use crate::throttle::rate::RateLimiter;

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
    /// Whose files this process may take leases on.
    pub lease_right: LeaseRight,
    /// Stores and publishes the receipts of workers; has the ledger and the bus.
    pub(crate) committer: Arc<Committer>,
    /// The drops that tasks work on.
    pub(crate) in_work: InWork,
}

/// The result of a job for the tracker.
pub(crate) enum Outcome {
    /// There is nothing left to do.
    Done,
    /// There is nothing left to do, because the first array of this drop was there already.
    Found,
    /// The drop must wait, and be probed again.
    Retry(Wait),
    /// The job ended without a result: its drop is gone, npyd is stopping, or the settings were
    /// superseded.
    Dropped,
    /// The request about it was refused.
    Refused,
    /// The job failed, for a reason that may pass.
    Failed(Failure),
}

/// The results of a task: an outcome for each of its drops, and the receipts to record.
#[derive(Default)]
pub(crate) struct TaskResult {
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) records: Vec<Record>,
}

impl From<Outcome> for TaskResult {
    fn from(outcome: Outcome) -> Self {
        TaskResult { outcomes: vec![outcome], records: Vec::new() }
    }
}

/// Finalizes the drops of a batch. Runs in a worker.
pub(crate) fn run_batch(
    context: &Context,
    pace: &Arc<RateLimiter>,
    batch: &[Job],
    settings: u64,
) -> TaskResult {
    let meter = |job: &Job| context.meter(job.drop_path(), job.path(), pace);
    finalize_batch(context, batch, settings, meter)
}

/// Compares finished drops with their arrays, and records the results. One event reports all of
/// them, so the work on a single one publishes no progress. Runs in a thread of its own.
pub(crate) fn recheck(
    context: &Context,
    pace: &Arc<RateLimiter>,
    batch: &[Job],
    settings: u64,
) -> TaskResult {
    let nobody = Arc::new(Bus::default());
    let silent =
        |job: &Job| Meter::new(job.drop_path(), job.path(), &nobody, &context.stop, Some(pace));
    finalize_batch(context, batch, settings, silent)
}

fn finalize_batch(
    context: &Context,
    batch: &[Job],
    settings: u64,
    meter_of: impl Fn(&Job) -> Meter + Sync,
) -> TaskResult {
    let results = match batch {
        [job] => vec![finalize(job, &mut meter_of(job))],
        batch => finalize_all(batch, meter_of),
    };
    let mut records = Vec::with_capacity(batch.len());
    let outcomes = batch.iter().zip(results).map(|(job, result)| {
        let (outcome, of_job) = to_outcome(context, job, result, settings);
        records.extend(of_job);
        outcome
    });
    let outcomes = outcomes.collect();
    TaskResult { outcomes, records }
}

/// A receipt, and the ledger key of its source.
pub(crate) type Record = (Receipt, Option<LedgerKey>);

/// Converts the result of a job to its outcome and the receipts to record.
fn to_outcome(
    context: &Context,
    job: &Job,
    result: Result<Finalized, Interruption>,
    settings: u64,
) -> (Outcome, Vec<Record>) {
    let mut records = Vec::new();
    let (outcome, record) = match result {
        Ok(Finalized { receipt, interruption }) => {
            let candidate = &job.candidate;
            // A route that consumes the source changes the file itself, so the ledger stores its
            // new identity. Otherwise it stores the one from before the job: a source that changed
            // after that, while or after it was copied or compared, is a new drop.
            let snapshot = match (receipt.event, receipt.route) {
                (EventKind::Finalized, Some(route)) if route.consumes_source() => {
                    candidate.restat().ok()
                }
                _ => None,
            };
            let snapshot = snapshot.unwrap_or_else(|| candidate.snapshot());
            let fingerprint = LedgerKey { settings, identity: snapshot.identity() };
            let is_first = receipt.event == EventKind::Found && job.earlier.is_empty();
            records.push((receipt, Some(fingerprint)));
            match interruption {
                Some(interruption) => on_interruption(context, job, interruption, settings),
                None if is_first => (Outcome::Found, None),
                None => (Outcome::Done, None),
            }
        }
        Err(interruption) => on_interruption(context, job, interruption, settings),
    };
    records.extend(record);
    (outcome, records)
}

/// Converts the interruption of a job. Handles rejections and data loss, which need further work.
fn on_interruption(
    context: &Context,
    job: &Job,
    interruption: Interruption,
    settings: u64,
) -> (Outcome, Option<Record>) {
    let outcome = match interruption {
        Interruption::Rejected(reason) => {
            let Job { drop_dir, candidate, .. } = job;
            let fingerprint = LedgerKey { settings, identity: candidate.snapshot().identity() };
            return reject(drop_dir, candidate, (EventKind::Rejected, reason), fingerprint);
        }
        Interruption::DataLoss(reason) => return record_data_loss(context, job, &reason, settings),
        Interruption::Retry(why) => Outcome::Retry(Wait { why, ready_in: Some(PROBE_DELAY_MIN) }),
        Interruption::Locked(why) => Outcome::Retry(Wait::on_external(why)),
        Interruption::Vanished | Interruption::Cancelled => Outcome::Dropped,
        Interruption::Io(error) if error.is_name_too_long() => {
            let Job { drop_dir, candidate, .. } = job;
            let fingerprint = LedgerKey { settings, identity: candidate.snapshot().identity() };
            let reason = Reason::BadName(error.to_string());
            return reject(drop_dir, candidate, (EventKind::Rejected, reason), fingerprint);
        }
        Interruption::Io(error) if error.is_missing() && is_gone(&job.drop_dir, &job.candidate) => {
            Outcome::Dropped
        }
        Interruption::Io(error) => Outcome::Failed(error.into()),
    };
    (outcome, None)
}

/// Recovers the residue of a drop whose array is finished. Runs in a worker.
pub(crate) fn recover(drop_dir: &DropDir, residue: &Residue) -> Outcome {
    match recover_residue(drop_dir, residue) {
        Ok(None) => Outcome::Done,
        Ok(Some(why)) => Outcome::Retry(Wait::on_external(why)),
        Err(error) => Outcome::Failed(error.into()),
    }
}

/// Restores a rejected drop that is to be taken. The tracker knows of the request, so that it does
/// not reject the drop again. Runs in a worker.
pub(crate) fn restore(
    context: &Context,
    drop_dir: &DropDir,
    request: &Request,
    rejected: &RejectedDrop,
) -> Outcome {
    match restore_rejected(drop_dir, rejected) {
        Ok(Restored::Done) => {
            let why = Reason::Request("it was restored to be taken".to_owned());
            Outcome::Retry(Wait { why, ready_in: Some(PROBE_DELAY_MIN) })
        }
        Ok(restored) => {
            context.refuse(request, restored.refusal(drop_dir).unwrap_or_default());
            Outcome::Refused
        }
        Err(error) => Outcome::Failed(error.into()),
    }
}

/// Makes an array again whose source is gone, and ends the request. Runs in a worker.
pub(crate) fn redo_array(
    context: &Context,
    pace: &Arc<RateLimiter>,
    (request, job): (&Request, &ArrayJob),
    fingerprint: Option<&LedgerKey>,
) -> Outcome {
    let Request { drop_dir, source, .. } = request;
    let drop = DropPath { drop_dir: drop_dir.clone(), source: source.clone() };
    let mut progress = context.meter(drop, job.array.clone(), pace);
    let receipt = match finalize::redo_array(job, &mut progress) {
        Ok(receipt) => receipt,
        Err(Interruption::Rejected(why) | Interruption::DataLoss(why)) => {
            return context.refuse(request, why);
        }
        Err(Interruption::Io(error)) => return context.refuse(request, error),
        // The request stays in the ledger; the next scan reads it again.
        Err(Interruption::Retry(why) | Interruption::Locked(why)) => {
            return Outcome::Retry(Wait::on_external(why));
        }
        Err(Interruption::Vanished | Interruption::Cancelled) => return Outcome::Dropped,
    };
    context.end_request(request, receipt, fingerprint)
}

/// Moves a rejected drop to the quarantine. Runs in a worker.
pub(crate) fn reject_drop(
    drop_dir: &DropDir,
    candidate: &Candidate,
    why: (EventKind, Reason),
    settings: u64,
) -> TaskResult {
    let fingerprint = LedgerKey { settings, identity: candidate.snapshot().identity() };
    let (outcome, record) = reject(drop_dir, candidate, why, fingerprint);
    TaskResult { outcomes: vec![outcome], records: record.into_iter().collect() }
}

/// Persists in the ledger that these files may have lost data, before any other action. Records the
/// identities from before and after the job, because npyd may have written to the data file.
fn record_data_loss(
    context: &Context,
    job: &Job,
    reason: &Reason,
    settings: u64,
) -> (Outcome, Option<Record>) {
    let Job { drop_dir, candidate, .. } = job;
    let mut reason = reason.to_string();
    if candidate.input.only_file().is_none() {
        reason.push_str(", with the other files of its data");
    }
    let then = candidate.snapshot();
    let now = candidate.restat().unwrap_or_else(|_| then.clone());
    if let Err(error) =
        context.ledger().record_data_loss(then.contents().chain(now.contents()), &reason)
    {
        context.report(error);
    }
    let fingerprint = LedgerKey { settings, identity: now.identity() };
    reject(drop_dir, candidate, (EventKind::Lost, Reason::DataLoss(reason)), fingerprint)
}

/// Moves a rejected drop to the quarantine. Returns the receipt to record.
fn reject(
    drop_dir: &DropDir,
    candidate: &Candidate,
    (event, reason): (EventKind, Reason),
    fingerprint: LedgerKey,
) -> (Outcome, Option<Record>) {
    if drop_dir.in_force.is_superseded() {
        return (Outcome::Dropped, None);
    }
    let aside = match quarantine(drop_dir, candidate, &reason.to_string()) {
        Ok(aside) => aside,
        Err(error) if error.is_missing() && is_gone(drop_dir, candidate) => {
            return (Outcome::Done, None);
        }
        Err(error) => {
            let work = format!("it was to be moved to `rejects`, because {reason}");
            return (Outcome::Failed(Failure::from(error).during(&work)), None);
        }
    };
    let path = drop_dir.path.join(&candidate.input.rel);
    let mut receipt = Receipt::without_output(event, drop_dir.path.clone(), path, &reason);
    receipt.parts = finalize::parts_of_input(&candidate.input);
    receipt.add(match (aside, &drop_dir.rejects) {
        (Aside::Moved(name), Some(dir)) => {
            let is_numbered = name != candidate.input.name;
            let name = if is_numbered { format!(", as `{name}`") } else { String::new() };
            Some(format!("it is in `{}` now{name}", dir.display()))
        }
        (Aside::NameTaken(name), Some(dir)) => {
            Some(format!("it was not moved: `{}` has another `{name}`", dir.display()))
        }
        (Aside::Unproven(why), _) => Some(format!("it was not moved: {why}")),
        (Aside::Immovable(error), _) => Some(format!("it was not moved: {error}")),
        _ => None,
    });
    (Outcome::Done, Some((receipt, Some(fingerprint))))
}

/// Returns whether a data file has no name any more: its producer removed the drop, or renamed it
/// or its directory.
fn is_gone(drop_dir: &DropDir, candidate: &Candidate) -> bool {
    let dir =
        Dir::open_below(&drop_dir.path, candidate.input.rel.parent().unwrap_or(Path::new("")));
    match dir {
        Ok(dir) => {
            candidate.input.files.iter().any(|it| matches!(dir.stat(it.name.as_ref()), Ok(None)))
        }
        Err(error) => error.is_missing(),
    }
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
        start_sinks: impl FnOnce(&Config) -> io::Result<Bus>,
        retries: bool,
    ) -> io::Result<Self> {
        // First, because the threads of the sinks inherit it.
        let idle = if config.io_priority == IoPriority::Idle { fs::make_idle() } else { Ok(()) };
        let bus = Arc::new(start_sinks(config)?);
        bus.observe_facts();
        bus.configure(&Arc::new(config.clone()));
        if let Err(error) = idle {
            bus.publish(Event::Problem(format!("io_priority = \"idle\" was refused: {error}")));
        }
        let pressure = config.max_pressure.map(Pressure::new);
        if let Some(None) = pressure {
            let problem = format!("max_pressure has no effect: {PSI_UNAVAILABLE}");
            bus.publish(Event::Problem(problem));
        }
        let recorder = Recorder { ledger: Arc::new(ledger), bus, failures: AtomicU64::new(0) };
        Ok(Context {
            committer: Arc::new(Committer::start(recorder)),
            in_work: InWork::default(),
            intents: Arc::new(IntentLog::of(&config.state_dir)),
            stop: Arc::new(AtomicBool::new(false)),
            retries,
            pressure: pressure.flatten().map(Arc::new),
            lease_right: LeaseRight::probe(&config.state_dir),
        })
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

    /// Ends a request that cannot be carried out, and reports the reason.
    pub(crate) fn refuse(&self, request: &Request, why: impl fmt::Display) -> Outcome {
        let Request { kind, drop_dir, source, .. } = request;
        let not_done = match kind {
            RequestKind::Redo => "not made again",
            RequestKind::Take => "not taken",
        };
        let reason = Reason::Request(format!("{not_done}: {why}"));
        let receipt =
            Receipt::without_output(EventKind::Failed, drop_dir.clone(), source.clone(), &reason);
        self.end_request(request, receipt, None)
    }

    /// Stores the receipt of a request, then publishes it.
    fn end_request(
        &self,
        request: &Request,
        receipt: Receipt,
        fingerprint: Option<&LedgerKey>,
    ) -> Outcome {
        let stored = self.ledger().end_request(request, &receipt, fingerprint);
        self.committer.recorder.publish_receipts([receipt], stored);
        Outcome::Done
    }

    /// Publishes a problem that concerns no single drop.
    pub(crate) fn report(&self, problem: impl fmt::Display) {
        self.publish(Event::Problem(problem.to_string()));
    }

    /// Publishes an event, and counts it if it is a receipt of a failure.
    pub fn publish(&self, event: Event) {
        self.committer.recorder.publish(event);
    }

    /// Returns the meter for the work on a file of a drop.
    fn meter(&self, drop: DropPath, file: PathBuf, pace: &Arc<RateLimiter>) -> Meter {
        Meter::new(drop, file, self.bus(), &self.stop, Some(pace))
    }
}
