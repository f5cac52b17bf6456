//! Jobs of drops: finalizes, rejects and recovers them. A job runs in a worker, and returns the
//! receipts that the committer stores and then publishes.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{Disposition, DropDir};
use crate::decide::fingerprint::Fingerprint;
use crate::decide::reason::Reason;
use crate::decide::wait::Wait;
use crate::events::bus::Bus;
use crate::events::parts::Parts;
use crate::events::receipt::Receipt;
use crate::events::receipt_event::ReceiptEvent;
use crate::finalize::{
    Aside, Finalized, Interruption, Job, finalize, finalize_all, parts_of_input, quarantine,
    recover_residue,
};
use crate::fs::Dir;
use crate::model::parent_of;
use crate::probe::Residue;
use crate::probe::candidate::Candidate;
use crate::service::work::context::Context;
use crate::service::work::failure::Failure;
use crate::service::work::outcome::{Outcome, PROBE_DELAY_MIN, Record, TaskResult};
use crate::throttle::meter::Meter;
use crate::throttle::rate::RateLimiter;

/// Maximum number of files that a remark names.
const NAMED_MAX: usize = 3;

/// Finalizes the drops of a batch. Runs in a worker.
pub(crate) fn run_batch(
    context: &Context,
    pace: &Arc<RateLimiter>,
    batch: &[Job],
    settings_hash: u64,
) -> TaskResult {
    let meter = |job: &Job| context.meter(job.drop_path(), job.path(), pace);
    finalize_batch(context, batch, settings_hash, meter)
}

/// Compares finished drops with their arrays, and records the results. One event reports all of
/// them, so the work on a single one publishes no progress. Runs in a thread of its own.
pub(crate) fn recheck(
    context: &Context,
    pace: &Arc<RateLimiter>,
    batch: &[Job],
    settings_hash: u64,
) -> TaskResult {
    let nobody = Arc::new(Bus::default());
    let silent =
        |job: &Job| Meter::new(job.drop_path(), job.path(), &nobody, &context.stop, Some(pace));
    finalize_batch(context, batch, settings_hash, silent)
}

fn finalize_batch(
    context: &Context,
    batch: &[Job],
    settings_hash: u64,
    meter_of: impl Fn(&Job) -> Meter + Sync,
) -> TaskResult {
    note_disposals(context, batch);
    let results = match batch {
        [job] => vec![finalize(job, &mut meter_of(job))],
        batch => finalize_all(batch, meter_of),
    };
    let mut records = Vec::with_capacity(batch.len());
    let outcomes = batch.iter().zip(results).map(|(job, result)| {
        let (outcome, of_job) = to_outcome(context, job, result, settings_hash);
        records.extend(of_job);
        outcome
    });
    let outcomes = outcomes.collect();
    let files = batch.iter().flat_map(|job| &job.candidate.input.files);
    let locked =
        if records.is_empty() { Vec::new() } else { files.map(|it| it.file.clone()).collect() };
    TaskResult { outcomes, records, locked }
}

/// Notes in the ledger of which sources with an array npyd may dispose now. Their receipts say that
/// they stay, so that after a crash npyd would not know whether it removed them.
fn note_disposals(context: &Context, batch: &[Job]) {
    let is_noted = |job: &&Job| {
        let identity = job.candidate.snapshot().identity();
        let is_made = job.earlier.first().is_some_and(|made| made.is_of_data_files(&identity));
        is_made && job.drop_dir.source != Disposition::Keep
    };
    let sources: Vec<_> = batch.iter().filter(is_noted).map(Job::path).collect();
    if !sources.is_empty()
        && let Err(error) = context.ledger().note_disposals(&sources)
    {
        context.report_ledger(&error);
    }
}

/// Converts the result of a job to its outcome and the receipts to record.
fn to_outcome(
    context: &Context,
    job: &Job,
    result: Result<Finalized, Interruption>,
    settings_hash: u64,
) -> (Outcome, Vec<Record>) {
    let mut records = Vec::new();
    let (outcome, record) = match result {
        Ok(Finalized { receipt, interruption }) => {
            let candidate = &job.candidate;
            // A route that consumes the source changes the file itself, so the ledger stores its
            // new identity. Otherwise it stores the one from before the job: a source that changed
            // after that, while or after it was copied or compared, is a new drop.
            let snapshot = match (receipt.event, receipt.route) {
                (ReceiptEvent::Finalized, Some(route)) if route.consumes_source() => {
                    candidate.restat().ok()
                }
                _ => None,
            };
            let snapshot = snapshot.unwrap_or_else(|| candidate.snapshot());
            let fingerprint = Fingerprint { settings_hash, identity: snapshot.identity() };
            let is_first = receipt.event == ReceiptEvent::Found && job.earlier.is_empty();
            if is_first && interruption.is_none() && is_made_meanwhile(context, job, &receipt) {
                return (Outcome::Done, records);
            }
            records.push((receipt, Some(fingerprint)));
            match interruption {
                Some(interruption) => on_interruption(context, job, interruption, settings_hash),
                None if is_first => (Outcome::Found, None),
                None => (Outcome::Done, None),
            }
        }
        Err(interruption) => on_interruption(context, job, interruption, settings_hash),
    };
    records.extend(record);
    (outcome, records)
}

/// Converts the interruption of a job. Handles rejections and data loss, which need further work.
fn on_interruption(
    context: &Context,
    job: &Job,
    interruption: Interruption,
    settings_hash: u64,
) -> (Outcome, Option<Record>) {
    let outcome = match interruption {
        Interruption::Rejected(reason) => {
            let Job { drop_dir, candidate, .. } = job;
            let fingerprint =
                Fingerprint { settings_hash, identity: candidate.snapshot().identity() };
            let why = (ReceiptEvent::Rejected, reason);
            return reject((context, drop_dir), candidate, why, fingerprint);
        }
        Interruption::DataLoss(reason) => {
            return record_data_loss(context, job, &reason, settings_hash);
        }
        Interruption::Retry(why @ Reason::DigestYet(_)) => {
            Outcome::Retry(Wait { why, ready_in: job.mismatch_final_in() })
        }
        Interruption::Retry(why) => Outcome::Retry(Wait { why, ready_in: Some(PROBE_DELAY_MIN) }),
        Interruption::Locked(why) => Outcome::Retry(Wait::on_external(why)),
        Interruption::Vanished | Interruption::Cancelled => Outcome::Dropped,
        Interruption::Io(error) if error.is_name_too_long() => {
            let Job { drop_dir, candidate, .. } = job;
            let fingerprint =
                Fingerprint { settings_hash, identity: candidate.snapshot().identity() };
            let why = (ReceiptEvent::Rejected, Reason::NameTooLong(error.into()));
            return reject((context, drop_dir), candidate, why, fingerprint);
        }
        Interruption::Io(error) if error.is_missing() && is_gone(&job.drop_dir, &job.candidate) => {
            Outcome::Dropped
        }
        Interruption::Io(error) => Outcome::Failed(error.into()),
    };
    (outcome, None)
}

/// Returns whether the ledger has got the receipt of an array that was found, since the job began:
/// another npyd made it.
fn is_made_meanwhile(context: &Context, job: &Job, found: &Receipt) -> bool {
    let latest = context.ledger().latest(&found.source).ok().flatten();
    let identity = job.candidate.snapshot().identity();
    latest.is_some_and(|it| {
        it.has_array()
            && it.output == found.output
            && it.settles(&identity, job.drop_dir.settings_hash)
            && it.source_fate() == found.source_fate
    })
}

/// Recovers the residue of a drop whose array is finished. Runs in a worker.
pub(crate) fn recover(drop_dir: &DropDir, residue: &Residue) -> Outcome {
    match recover_residue(drop_dir, residue) {
        Ok(None) => Outcome::Done,
        Ok(Some(why)) => Outcome::Retry(Wait::on_external(why)),
        Err(error) => Outcome::Failed(error.into()),
    }
}

/// Moves a rejected drop to the quarantine. Runs in a worker.
pub(crate) fn reject_drop(
    (context, drop_dir): (&Context, &DropDir),
    candidate: &Candidate,
    why: (ReceiptEvent, Reason),
    settings_hash: u64,
) -> TaskResult {
    let fingerprint = Fingerprint { settings_hash, identity: candidate.snapshot().identity() };
    let (outcome, record) = reject((context, drop_dir), candidate, why, fingerprint);
    let records = record.into_iter().collect();
    TaskResult { outcomes: vec![outcome], records, ..TaskResult::default() }
}

/// Persists in the ledger that these files may have lost data, before any other action. Records the
/// identities from before and after the job, because npyd may have written to the data file.
fn record_data_loss(
    context: &Context,
    job: &Job,
    reason: &Reason,
    settings_hash: u64,
) -> (Outcome, Option<Record>) {
    let Job { drop_dir, candidate, .. } = job;
    let reason = match (reason, candidate.input.only_file()) {
        (Reason::DataLoss(loss), None) => Reason::DataLoss(loss.clone().of_several_files()),
        (reason, _) => reason.clone(),
    };
    let then = candidate.snapshot();
    let now = candidate.restat().unwrap_or_else(|_| then.clone());
    if let Err(error) = context
        .ledger()
        .record_data_loss(then.contents().chain(now.contents()), &reason.to_string())
    {
        context.report_ledger(&error);
    }
    let fingerprint = Fingerprint { settings_hash, identity: now.identity() };
    reject((context, drop_dir), candidate, (ReceiptEvent::Lost, reason), fingerprint)
}

/// Moves a rejected drop to the quarantine. Returns the receipt to record if it says what is new.
fn reject(
    (context, drop_dir): (&Context, &DropDir),
    candidate: &Candidate,
    (event, reason): (ReceiptEvent, Reason),
    fingerprint: Fingerprint,
) -> (Outcome, Option<Record>) {
    if drop_dir.in_force.is_superseded() {
        return (Outcome::Dropped, None);
    }
    let named = candidate.named_files(drop_dir).unwrap_or_default();
    let mut text = reason.to_string();
    if let Some(remark) = data_stay(&named) {
        text = format!("{text}; {remark}");
    }
    let aside = match quarantine(drop_dir, candidate, (&reason, &text)) {
        Ok(aside) => aside,
        Err(error) if error.is_missing() && is_gone(drop_dir, candidate) => {
            return (Outcome::Dropped, None);
        }
        Err(error) => {
            return (Outcome::Failed(Failure::from(error).during_rejection(reason)), None);
        }
    };
    let path = drop_dir.path.join(&candidate.input.rel);
    let mut receipt = Receipt::without_output(event, drop_dir.path.clone(), path, &reason);
    receipt.parts =
        parts_of_input(&candidate.input).or_else(|| Parts::of(named.iter().map(PathBuf::as_path)));
    receipt.add(data_stay(&named));
    receipt.add(match (aside, &drop_dir.rejects) {
        (Aside::Moved(name), Some(dir)) => {
            let is_numbered = name != candidate.input.name;
            let name = if is_numbered { format!(", as `{name}`") } else { String::new() };
            Some(format!("it is in `{}` now{name}", dir.display()))
        }
        (Aside::NameTaken(name), Some(dir)) => {
            Some(format!("it was not moved: `{}` has another `{name}`", dir.display()))
        }
        (Aside::Shared, _) => {
            Some("it was not moved: another file describes some of its data as well".to_owned())
        }
        (Aside::Unproven(why), _) => Some(format!("it was not moved: {why}")),
        (Aside::Immovable(error), _) => Some(format!("it was not moved: {error}")),
        _ => None,
    });
    if event == ReceiptEvent::Rejected && is_recorded(context, &receipt, &fingerprint) {
        return (Outcome::Rejected, None);
    }
    (Outcome::Rejected, Some((receipt, Some(fingerprint))))
}

/// Returns whether the newest receipt of a drop says that the drop was rejected for this reason,
/// and notes there that it was judged by the settings of now. If a new version of npyd words the
/// reason otherwise, the drop only gets a further receipt.
fn is_recorded(context: &Context, receipt: &Receipt, fingerprint: &Fingerprint) -> bool {
    let judged = context.ledger().judge_again(receipt, fingerprint);
    judged.unwrap_or_else(|error| {
        context.report_ledger(&error);
        false
    })
}

/// Returns the remark about files that an unusable description names: npyd rejects it alone.
fn data_stay(named: &[PathBuf]) -> Option<String> {
    let few = named.iter().take(NAMED_MAX).map(|path| format!("`{}`", path.display()));
    let few = few.collect::<Vec<_>>().join(", ");
    let more = match named.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!named.is_empty()).then(|| format!("the files that it names stay: {few}{more}"))
}

/// Returns whether a data file has no name any more: its producer removed the drop, or renamed it
/// or its directory.
fn is_gone(drop_dir: &DropDir, candidate: &Candidate) -> bool {
    let dir = Dir::open_below(&drop_dir.path, parent_of(&candidate.input.rel));
    match dir {
        Ok(dir) => {
            candidate.input.files.iter().any(|it| matches!(dir.stat(it.name.as_ref()), Ok(None)))
        }
        Err(error) => error.is_missing(),
    }
}
