//! Jobs that people requested with `npyd take` and `npyd redo`, and the end of their requests. They
//! run in a worker.

use std::sync::Arc;

use crate::config::DropDir;
use crate::decide::fingerprint::Fingerprint;
use crate::decide::reason::Reason;
use crate::decide::wait::Wait;
use crate::describe::Correction;
use crate::events::drop_path::DropPath;
use crate::events::event::Event;
use crate::events::receipt::Receipt;
use crate::events::receipt_event::ReceiptEvent;
use crate::finalize::{self, ArrayJob, Interruption, RejectedDrop, Restored, restore_rejected};
use crate::ledger::Request;
use crate::service::work::context::Context;
use crate::service::work::outcome::{Outcome, PROBE_DELAY_MIN};
use crate::throttle::rate::RateLimiter;

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
            Outcome::Retry(Wait { why: Reason::Restored, ready_in: Some(PROBE_DELAY_MIN) })
        }
        Ok(restored) => {
            if let Some(why) = restored.refusal(drop_dir) {
                context.refuse(request, Reason::Request(why));
            }
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
    fingerprint: Option<&Fingerprint>,
) -> Outcome {
    let Request { drop_dir, source, .. } = request;
    let drop = DropPath { drop_dir: drop_dir.clone(), source: source.clone() };
    let mut progress = context.meter(drop, job.array.clone(), pace);
    let receipt = match finalize::redo_array(job, &mut progress) {
        Ok(receipt) => receipt,
        Err(Interruption::Rejected(why) | Interruption::DataLoss(why)) => {
            return context.refuse(request, why);
        }
        Err(Interruption::Io(error)) => return context.refuse(request, Reason::Io(error.into())),
        // The request stays in the ledger; the next scan reads it again.
        Err(Interruption::Retry(why) | Interruption::Locked(why)) => {
            return Outcome::Retry(Wait::on_external(why));
        }
        Err(Interruption::Vanished | Interruption::Cancelled) => return Outcome::Dropped,
    };
    context.end_request(request, receipt, fingerprint);
    Outcome::Done
}

impl Context {
    /// Publishes that a request is accepted.
    pub(crate) fn publish_accepted(&self, request: &Request) {
        let path = DropPath { drop_dir: request.drop_dir.clone(), source: request.source.clone() };
        let options = request.given_options().map(str::to_owned);
        let words = Correction::parse(&request.options).map(|options| options.to_string());
        let words = words.ok().filter(|words| !words.is_empty());
        self.publish(Event::Accepted { path, kind: request.kind, options, words });
    }

    /// Ends a request that cannot be carried out, and reports the reason.
    pub(crate) fn refuse(&self, request: &Request, why: Reason) -> Outcome {
        let Request { kind, drop_dir, source, .. } = request;
        let reason = Reason::NotDone { request: *kind, why: Box::new(why) };
        let receipt = Receipt::without_output(
            ReceiptEvent::Failed,
            drop_dir.clone(),
            source.clone(),
            &reason,
        );
        self.end_request(request, receipt, None);
        Outcome::Refused
    }

    /// Stores the receipt of a request, then publishes it, after the acceptance of a request that
    /// was carried out. Publishes nothing if another process has ended the request.
    fn end_request(&self, request: &Request, receipt: Receipt, fingerprint: Option<&Fingerprint>) {
        let stored = match self.ledger().end_request(request, &receipt, fingerprint) {
            Ok(None) => return,
            Ok(Some(stored)) => Ok(stored),
            Err(error) => Err(error),
        };
        if receipt.event != ReceiptEvent::Failed {
            self.publish_accepted(request);
        }
        self.committer.recorder.publish_receipts([receipt], stored);
    }
}
