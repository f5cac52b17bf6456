//! The gate: from what was seen of a drop to one [`Action`]. It dispatches nothing;
//! [`Tracker::apply`] carries the action out.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::decide::completeness::Wait;
use crate::decide::quiescence::Quiescence;
use crate::decide::reason::Reason;
use crate::events::receipt::EventKind;
use crate::finalize::Job;
use crate::ledger::Earlier;
use crate::probe::candidate::{Candidate, Decision};
use crate::service::failure::Failure;
use crate::service::tracker::Tracker;

/// What to do with a drop that was probed.
pub(super) enum Action {
    /// Nothing: it is settled as it is.
    Forget,
    /// Probe it again, with what the ledger recalled about its description.
    Probe,
    /// Finalize it.
    Dispatch(Box<Job>),
    /// Probe it again later.
    Wait(Wait),
    /// Reject it; the event tells whether its data may be lost.
    Reject { candidate: Box<Candidate>, event: EventKind, reason: Reason },
    /// Try again after a pause.
    Fail(Failure),
}

impl Tracker {
    /// Decides what to do with a drop.
    ///
    /// # Errors
    ///
    /// The ledger or a file can't be read; it may be possible later.
    pub(super) fn gate(
        &mut self,
        mut candidate: Candidate,
        now: Instant,
    ) -> Result<Action, Failure> {
        let snapshot = candidate.snapshot();
        self.accept_redo(&candidate);
        let taking = self.take_request(&candidate);
        let known = self.last_settled(&candidate.input.rel);
        if let Some(known) = &known {
            if taking.is_none() && self.is_as_known(known, &snapshot, &candidate) {
                return Ok(Action::Forget);
            }
            if self.recall_description(known, &candidate) {
                return Ok(Action::Probe);
            }
        }
        let is_recheck = taking.is_none() && Self::is_recheck(known.as_ref(), &candidate);
        self.apply_declared(&mut candidate);
        if let Some(at) = &taking {
            self.apply_take(&mut candidate, at);
        }
        let ledger = Arc::clone(&self.context.ledger);
        let source = self.drop_dir.path.join(&candidate.input.rel);
        let earlier = ledger.earlier_arrays(&source, snapshot.ino());
        let Earlier { identities: earlier, remakes } = earlier?;
        let loss = ledger.data_loss_of(snapshot.contents())?;
        if let Some(reason) = loss {
            // Its data may be lost, so it is rejected without further checks.
            if let Some(at) = &taking {
                self.refuse_take(at, &reason);
            }
            return Ok(reject(candidate, EventKind::Lost, Reason::DataLoss(reason)));
        }
        let entry = self.entries.get_mut(&candidate.input.rel);
        let Some(entry) = entry else { return Ok(Action::Forget) };
        let age = if self.trusts_clock { candidate.age(SystemTime::now()) } else { None };
        let first = || Quiescence::new(snapshot.clone(), now, age);
        let unchanged = entry.quiescence.get_or_insert_with(first).observe(snapshot, now, age);
        let decision = candidate.decide(&self.drop_dir, unchanged, remakes);
        Ok(match (decision?, taking) {
            (Decision::Finalize { header, evidence, remark }, taking) => {
                if let Some(at) = &taking {
                    self.accept_take(&candidate, at)?;
                }
                let mut dump = candidate.dump.clone().map_err(|reason| reason.to_string())?;
                // The producer's digest is that of the complete file.
                dump.digest = dump.digest.filter(|_| !evidence.is_partial());
                Action::Dispatch(Box::new(Job {
                    drop_dir: Arc::clone(&self.drop_dir),
                    dump,
                    header: *header,
                    evidence,
                    remark,
                    still: unchanged >= candidate.quiet(self.drop_dir.quiet),
                    earlier,
                    is_recheck,
                    redo: ledger.is_requested(&source).unwrap_or(false),
                    intents: Some(Arc::clone(&self.context.intents)),
                    candidate,
                }))
            }
            (Decision::Wait(wait), _) => Action::Wait(wait),
            (Decision::Reject(reason), Some(at)) => {
                self.refuse_take(&at, &reason);
                Action::Probe
            }
            (Decision::Reject(reason), None) => reject(candidate, EventKind::Rejected, reason),
        })
    }
}

fn reject(candidate: Candidate, event: EventKind, reason: Reason) -> Action {
    Action::Reject { candidate: Box::new(candidate), event, reason }
}
