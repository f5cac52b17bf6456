//! Completeness: from an [`Observation`] of a drop to a [`Verdict`].
//!
//! If more bytes could fix the drop, it waits; if no number of bytes could, it is rejected. A drop
//! is not complete while a process writes to it. [`Evidence`] lists what counts, strongest first.
//! The caller reads the clock and asks the kernel.

use std::time::Duration;

use crate::decide::evidence::{Evidence, ProducerWord};
use crate::decide::observation::Observation;
use crate::decide::quiet_time::QuietTime;
use crate::decide::reason::Reason;
use crate::decide::request_problem::RequestProblem;
use crate::decide::wait::Wait;
use crate::describe::{Dump, LeadingBytes, SizeFit};
use crate::model::Writer;
use crate::npy::{Kind, PendingState};

/// The settings of the drop directory that the verdict depends on.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// How long a drop must be unchanged if no stronger evidence shows that it is complete.
    pub quiet: Duration,
    /// Whether bytes beyond the declared end are tolerated.
    pub allow_trailing: bool,
    /// How often the array was remade, which means that the drop looked complete too early.
    pub remakes: u32,
}

/// Upper limit of the quiet time that remakes lead to.
const QUIET_MAX: Duration = Duration::from_hours(1);

/// Factor for the quiet time of an unusable description before npyd rejects it, of a miscounted
/// recording before npyd takes it, of data without the declared digest before npyd rejects them,
/// and of a series before npyd makes its array: people and programs write in several steps.
pub const LONGER_QUIET: u32 = 10;

/// Returns the quiet time of a drop: it doubles with each remake.
#[must_use]
pub fn quiet_after(quiet: Duration, remakes: u32) -> Duration {
    quiet.max(quiet.saturating_mul(1 << remakes.min(31)).min(QUIET_MAX))
}

/// What to do with a drop now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The drop is complete.
    Ready(Evidence),
    /// It may become complete later.
    Wait(Wait),
    /// It is marked as being written, and no process writes.
    Abandoned,
    /// No further bytes could make it valid.
    Refused(Reason),
}

fn wait(why: Reason) -> Verdict {
    Verdict::Wait(Wait::on_external(why))
}

/// Waits until the drop has been unchanged for the quiet time.
fn wait_for_quiet(observation: &Observation, rules: &Rules, why: Reason) -> Verdict {
    let left = rules.quiet.saturating_sub(observation.unchanged);
    Verdict::Wait(Wait { why, ready_in: Some(left) })
}

/// Returns how long a drop must be unchanged, before remakes prolong it. A series that may grow
/// waits longer: its next file may be on the way.
#[must_use]
pub fn quiet_of(dump: &Dump, quiet: Duration) -> Duration {
    if dump.may_grow() { quiet.saturating_mul(LONGER_QUIET) } else { quiet }
}

/// Assesses one drop.
///
/// All later steps check that the files are unchanged since this observation, and so does the
/// ledger. With coarse timestamps that check is reliable only if the last change is older than the
/// granularity: then every later change gets a later time. So a verdict that rests on times waits
/// that long once. The producer's own mark does not, because it promises that no change follows.
#[must_use]
pub fn assess(dump: &Dump, observation: &Observation, rules: &Rules) -> Verdict {
    let verdict = assess_size(dump, observation, rules);
    let rests_on_times = match verdict {
        Verdict::Wait(_) => false,
        Verdict::Ready(evidence) => evidence.producer_word() != Some(ProducerWord::Mark),
        Verdict::Abandoned | Verdict::Refused(_) => true,
    };
    if rests_on_times
        && let Some(wait) = wait_for_clock(observation.timestamp_granularity, observation.unchanged)
    {
        return Verdict::Wait(wait);
    }
    verdict
}

/// Assesses a drop that a person takes as it is. That overrides a size, a count or a missing mark
/// which says that the drop is not complete. While a process writes to the drop, or before it is
/// quiet, it still waits.
#[must_use]
pub fn assess_taken(dump: &Dump, observation: &Observation, rules: &Rules) -> Verdict {
    let verdict = assess(dump, observation, rules);
    let overrides = match &verdict {
        Verdict::Ready(evidence) => *evidence == Evidence::CommonRows,
        Verdict::Abandoned => true,
        Verdict::Refused(why) | Verdict::Wait(Wait { why, .. }) => why.lasts_while_unchanged(),
    };
    let (allocated, size) = (observation.allocated.min(observation.size), observation.size);
    let quiet = rules.quiet.max(observation.timestamp_granularity);
    match observation.writer {
        _ if !overrides => verdict,
        _ if observation.sidecar_writer == Some(Writer::Present) => {
            wait(Reason::DescriptionWriting { fit: None })
        }
        Writer::Present => wait(Reason::Writing { allocated, size, fit: None }),
        _ if observation.unchanged < quiet => {
            let rules = Rules { quiet, ..*rules };
            wait_for_quiet(observation, &rules, Reason::NotQuiet(rules.quiet_time(dump)))
        }
        // Its own file becomes the array.
        Writer::Unknown(_) if matches!(dump.front, LeadingBytes::Header(_)) => {
            Verdict::Refused(Reason::Request(RequestProblem::UnprovenPendingFile))
        }
        Writer::None if matches!(dump.front, LeadingBytes::Header(_)) => Verdict::Abandoned,
        Writer::None | Writer::Unknown(_) => Verdict::Ready(Evidence::Taken),
    }
}

/// Returns the wait until a change would show in the file's times, if it would not yet.
fn wait_for_clock(grain: Duration, unchanged: Duration) -> Option<Wait> {
    let left = grain.checked_sub(unchanged).filter(|left| !left.is_zero())?;
    Some(Wait { why: Reason::CoarseClock(grain), ready_in: Some(left) })
}

fn assess_size(dump: &Dump, observation: &Observation, rules: &Rules) -> Verdict {
    if let LeadingBytes::Header(header) = &dump.front {
        match header.preamble.kind {
            Kind::Pending(PendingState::Writing) => return writing(observation, rules),
            Kind::Pending(PendingState::Ready) => {
                return by_producer_mark(dump, observation, rules, Evidence::Ready);
            }
            Kind::Final => {}
        }
    }
    if let Some(missing) = &dump.facts.unfinished {
        return wait(Reason::Unfinished(*missing));
    }
    if let Some(marker) = &dump.marker {
        return if observation.first_bytes == *marker {
            by_producer_mark(dump, observation, rules, Evidence::Marker)
        } else {
            wait(Reason::NoMarker)
        };
    }
    by_size(dump, observation, rules)
}

/// Assesses a pending file that is marked as being written.
fn writing(observation: &Observation, rules: &Rules) -> Verdict {
    let (allocated, size) = (observation.allocated.min(observation.size), observation.size);
    match observation.writer {
        Writer::Present => wait(Reason::Writing { allocated, size, fit: None }),
        Writer::Unknown(_) => wait(Reason::NotReady { allocated, size }),
        Writer::None if observation.unchanged < rules.quiet => {
            wait_for_quiet(observation, rules, Reason::ClosedUnready)
        }
        Writer::None => Verdict::Abandoned,
    }
}

/// Assesses a drop that its producer marked as complete: only the size remains to be checked.
fn by_producer_mark(
    dump: &Dump,
    observation: &Observation,
    rules: &Rules,
    evidence: Evidence,
) -> Verdict {
    let fit = dump.fit(observation.size, rules.allow_trailing);
    let why = Reason::SizeOfComplete(fit);
    match fit {
        SizeFit::Whole { .. } => Verdict::Ready(evidence),
        SizeFit::TooShort { .. }
        | SizeFit::PartialRecord { .. }
        | SizeFit::Empty
        | SizeFit::CountMismatch { .. } => wait(why),
        SizeFit::TooLong { .. } | SizeFit::Unsizable => Verdict::Refused(why),
    }
}

fn by_size(dump: &Dump, observation: &Observation, rules: &Rules) -> Verdict {
    let (fit, why) = if let Some((name, fit)) = &observation.unfit {
        (*fit, Reason::SizeOfPart(name.clone(), *fit))
    } else {
        let fit = dump.fit(observation.size, rules.allow_trailing);
        (fit, Reason::Size(fit))
    };
    let misfit = (!matches!(fit, SizeFit::Whole { .. })).then_some(fit);
    if observation.sidecar_writer == Some(Writer::Present) {
        return wait(Reason::DescriptionWriting { fit: misfit });
    }
    if observation.writer == Writer::Present {
        let (allocated, size) = (observation.allocated.min(observation.size), observation.size);
        return wait(Reason::Writing { allocated, size, fit: misfit });
    }
    let still = observation.unchanged >= rules.quiet;
    match fit {
        SizeFit::CountMismatch { records, counted } if records.min(counted) > 0 => {
            miscounted(dump, observation, rules, fit)
        }
        SizeFit::TooShort { .. }
        | SizeFit::PartialRecord { .. }
        | SizeFit::Empty
        | SizeFit::CountMismatch { .. } => wait(why),
        SizeFit::TooLong { .. } if !still => wait_for_quiet(observation, rules, why),
        SizeFit::TooLong { .. } | SizeFit::Unsizable => Verdict::Refused(why),
        SizeFit::Whole { exact } => whole(dump, observation, rules, exact, still),
    }
}

/// Assesses whole records whose number differs from the count in another file. During a recording
/// the two differ, because the producer writes the count in steps, or at the end.
fn miscounted(dump: &Dump, observation: &Observation, rules: &Rules, fit: SizeFit) -> Verdict {
    let quiet = rules.quiet.saturating_mul(LONGER_QUIET);
    let is_counting = matches!(observation.count_writer, None | Some(Writer::Present));
    if is_counting || !dump.layout.has_whole_records() {
        return wait(Reason::Size(fit));
    }
    if observation.unchanged < quiet {
        return wait_for_quiet(observation, &Rules { quiet, ..*rules }, Reason::Size(fit));
    }
    Verdict::Ready(Evidence::CommonRows)
}

/// Assesses a drop of the right size to which no process is known to write.
fn whole(
    dump: &Dump,
    observation: &Observation,
    rules: &Rules,
    exact: bool,
    still: bool,
) -> Verdict {
    let nobody = observation.writer == Writer::None
        && !matches!(observation.sidecar_writer, Some(Writer::Unknown(_)));
    // A final header under a pending name: its producer may still be about to rename the file.
    let raw = !matches!(dump.front, LeadingBytes::Header(_));
    if nobody && dump.digest.is_some() && (still || !dump.may_grow()) {
        return Verdict::Ready(Evidence::Digest);
    }
    // A file of the right size may be preallocated and not filled yet; then it must also be quiet.
    let was_right_before = rules.remakes == 0;
    if nobody && exact && observation.solid && raw && (was_right_before || still) {
        return Verdict::Ready(Evidence::Size);
    }
    match (still, nobody) {
        (true, _) if dump.digest.is_some() => Verdict::Ready(Evidence::Digest),
        (true, true) => Verdict::Ready(Evidence::NoWriter),
        (true, false) => Verdict::Ready(Evidence::Quiet),
        (false, true) => {
            wait_for_quiet(observation, rules, Reason::NotQuiet(rules.quiet_time(dump)))
        }
        (false, false) => {
            wait_for_quiet(observation, rules, Reason::NotQuietUnproven(rules.quiet_time(dump)))
        }
    }
}

impl Rules {
    fn quiet_time(&self, dump: &Dump) -> QuietTime {
        QuietTime { quiet: self.quiet, remakes: self.remakes, may_grow: dump.may_grow() }
    }
}
