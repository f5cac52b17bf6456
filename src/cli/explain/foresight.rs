//! Foresight: what a complete drop meets under the name of its array. The daemon may have to wait,
//! or to reject it, because of a file that is there already.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::candidate::plan_report;
use super::file_status::FileStatus;
use super::{Query, merge, merge_notes, text};
use crate::config::Disposition;
use crate::decide::evidence::Evidence;
use crate::decide::name_taker::NameTaker;
use crate::decide::plan::Plan;
use crate::decide::reason::Reason;
use crate::events::bus::Bus;
use crate::events::receipt_event::ReceiptEvent;
use crate::finalize::intent_log::IntentLog;
use crate::finalize::{Interruption, Job, Preview, preview, verify_now};
use crate::ledger::Earlier;
use crate::npy::Header;
use crate::probe::candidate::{Candidate, Complete};
use crate::throttle::meter::Meter;

/// Maximum number of bytes that `npyd explain` reads to verify a digest.
const DIGEST_MAX: u64 = 1 << 30;

/// Adds to the report on a drop that is ready what npyd would do about the name of its array.
pub(super) fn foresee(
    query: &Query,
    report: &mut Value,
    candidate: Candidate,
    (source_header, evidence): (Header, Evidence),
) {
    let source = query.drop_dir.path.join(&candidate.input.rel);
    let unchanged = candidate.age(SystemTime::now()).unwrap_or_default();
    let ledger = query.ledger.as_ref();
    let earlier = ledger.and_then(|it| it.earlier_arrays(&source, candidate.snapshot().ino()).ok());
    let is_requested = ledger.and_then(|it| it.is_requested(&source).ok());
    let Earlier { identities: earlier, made_at, .. } = earlier.unwrap_or_default();
    let complete = Complete { header: source_header, evidence, remark: None };
    let drop_dir = Arc::new(query.drop_dir.clone());
    let Ok(job) = Job::new(&drop_dir, candidate, complete, unchanged) else { return };
    let job = Job {
        earlier,
        made_at,
        redo: is_requested.unwrap_or_default(),
        intents: query.config.as_ref().map(|it| Arc::new(IntentLog::of(&it.state_dir))),
        ..job
    };
    match preview(&job) {
        Ok(Preview { event: ReceiptEvent::Found, output, .. }) => {
            foresee_found(query, report, (&source, &output));
        }
        Ok(Preview { output, plan, replaced, .. }) => {
            merge(report, plan_report(&plan, &job.dump, &output));
            merge_notes(report, replaced);
            foresee_digest(report, &job, &plan);
        }
        Err(Interruption::Rejected(Reason::Taken {
            name,
            by: NameTaker::ArrayByOtherUser(uid),
        })) if query.is_unread && query.ledger_owner() == Some(uid) => {
            let why = format!(
                "`{name}` was made of this file, as its mark says; the ledger, which says more, \
                 can't be read here"
            );
            merge(report, instead(FileStatus::Finished, &why));
        }
        // It may be the array of this drop: only the ledger says so.
        Err(Interruption::Rejected(why)) if query.is_unread => {
            let why = format!("the ledger can't be read here, and for all else {why}");
            merge(report, instead(FileStatus::Unknown, &why));
        }
        Err(Interruption::Rejected(why)) => {
            merge(report, instead(FileStatus::Rejected, &why.to_string()));
        }
        Err(Interruption::Locked(why) | Interruption::Retry(why)) => {
            merge(report, instead(FileStatus::Waiting, &why.to_string()));
        }
        // Not known here, for example because this user may not read the output.
        Err(_) => {}
    }
}

/// Says that the array of a drop is there, although the ledger has no receipt of it, or can't be
/// read.
fn foresee_found(query: &Query, report: &mut Value, (source, output): (&Path, &Path)) {
    let array = output.display();
    let why = if query.is_unread {
        format!(
            "its array is there, as its bytes show: `{array}`; the ledger, which says more, can't be \
             read here"
        )
    } else if query.drop_dir.source != Disposition::Keep || query.latest(source).is_some() {
        // What is still to be done with the source makes it a drop that npyd works on.
        return merge_notes(report, [format!("its array is there already: `{array}`")]);
    } else {
        format!(
            "its array is there already: `{array}`; the ledger has no receipt of it yet, the next \
             scan adds one"
        )
    };
    merge(report, instead(FileStatus::Finished, &why));
    merge(report, json!({"output": text(output)}));
}

/// Adds whether the data have the declared digest.
fn foresee_digest(report: &mut Value, job: &Job, plan: &Plan) {
    if job.dump.digest.is_none() {
        return;
    }
    if job.data_len() > DIGEST_MAX {
        let note = "its digest is not verified here, because it has more than 1 GiB";
        return merge_notes(report, [note.to_owned()]);
    }
    let (nobody, stop) = (Arc::new(Bus::default()), Arc::new(AtomicBool::new(false)));
    let mut meter = Meter::new(job.drop_path(), job.path(), &nobody, &stop, None);
    match verify_now(job, plan, &mut meter) {
        Err(Interruption::Rejected(why)) => {
            merge(report, instead(FileStatus::Rejected, &why.to_string()));
        }
        Err(Interruption::Retry(why)) => {
            merge(report, instead(FileStatus::Waiting, &why.to_string()));
            let seconds = job.mismatch_final_in().as_ref().map(Duration::as_secs_f64);
            merge(report, json!({"proof_in_seconds": seconds}));
        }
        Ok(()) | Err(_) => {}
    }
}

/// Replaces the verdict "ready" about a drop.
pub(super) fn instead(verdict: FileStatus, why: &str) -> Value {
    json!({
        "verdict": verdict, "why": why, "evidence": null, "proof_in_seconds": null,
    })
}
