//! Is a dump complete? Evidence and time go in, a [`Verdict`] comes out.
//!
//! The principle: what more bytes could still make right, waits; what no more bytes can make
//! right, is refused; and nothing is taken while somebody may be writing. Evidence counts in the
//! order of [`Evidence`], strongest first. Reading the clock and asking the kernel is done by the
//! caller.

use std::fmt;
use std::time::Duration;

use crate::describe::{Dump, LeadingBytes, SizeFit};
use crate::npy::{Kind, PendingState};

/// What one look at a dump has shown.
#[derive(Debug, Clone)]
pub struct Observation {
    /// Size of the data file in bytes. It says nothing about how much was written.
    pub size: u64,
    /// Bytes the file system holds for the data file; holes are not among them.
    pub allocated: u64,
    /// Whether every byte was written: there are no holes, and nothing that was only allocated.
    pub solid: bool,
    /// Who writes to the data file.
    pub writer: Writer,
    /// Who writes to the file that describes it; `None` where there is no such file.
    pub sidecar_writer: Option<Writer>,
    /// The first bytes of the data file, as many as the producer's marker has.
    pub first_bytes: Vec<u8>,
    /// How long neither of the two has changed.
    pub unchanged: Duration,
    /// How coarse their file system's clock is: a change that comes sooner after another may leave
    /// the same times.
    pub timestamp_granularity: Duration,
}

/// Whether somebody has a file open for writing, or mapped so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// Nobody has.
    None,
    /// Somebody has.
    Present,
    /// The kernel could not say.
    Unknown,
}

/// The rules of the drop directory.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// How long a dump must be unchanged where nothing stronger proves that it is complete.
    pub quiet: Duration,
    /// Whether bytes beyond the declared end are tolerated.
    pub allow_trailing: bool,
    /// How many times the drop's array was made again: it was not complete when it looked so.
    pub remakes: u32,
}

/// The longest quiet time that remakes lead to.
const QUIET_MAX: Duration = Duration::from_hours(1);

/// Returns the quiet time of a drop: it doubles with each remake.
#[must_use]
pub fn quiet_after(quiet: Duration, remakes: u32) -> Duration {
    quiet.max(quiet.saturating_mul(1 << remakes.min(31)).min(QUIET_MAX))
}

/// What proved that a dump is complete, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// The producer marked the pending header as ready.
    Ready,
    /// The producer's marker stands at the front of the file.
    Marker,
    /// The declared digest; it is verified in the pass that reads the data.
    Digest,
    /// The exact size, and nobody writes.
    Size,
    /// Nobody writes, and nothing changed for the quiet time.
    NoWriter,
    /// Nothing changed for the quiet time; whether somebody writes could not be learned.
    Quiet,
    /// The writer died; what it had completed was kept because the configuration says so.
    Salvaged,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Evidence::Ready => "ready",
            Evidence::Marker => "marker",
            Evidence::Digest => "digest",
            Evidence::Size => "size",
            Evidence::NoWriter => "no-writer",
            Evidence::Quiet => "quiet",
            Evidence::Salvaged => "salvaged",
        })
    }
}

/// What is to be done with a dump now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is complete.
    Ready(Evidence),
    /// It may become complete.
    Wait(Wait),
    /// It is marked as being written, and nobody writes.
    Abandoned,
    /// It can't become right by waiting.
    Refused(String),
}

/// Why a dump waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// The reason, for people.
    pub why: String,
    /// When time alone will have brought the proof, if nothing changes until then.
    pub ready_in: Option<Duration>,
}

impl Wait {
    /// A wait for something that somebody must do.
    pub fn on_external(why: impl Into<String>) -> Self {
        Wait { why: why.into(), ready_in: None }
    }

    fn on_time(look: &Observation, rules: &Rules, why: &str) -> Verdict {
        let left = rules.quiet.saturating_sub(look.unchanged);
        Verdict::Wait(Wait { why: why.to_owned(), ready_in: Some(left) })
    }
}

fn wait(why: impl Into<String>) -> Verdict {
    Verdict::Wait(Wait::on_external(why))
}

/// Decides about one dump from one look at it.
///
/// Whatever is done then ends with the question whether the file is unchanged since, and the ledger
/// asks the same later. Where the clock is coarse, the answer can be trusted only of a file that is
/// older than its grain at this look: then each later change gets a later time, and this one wait
/// serves all who ask. The producer's own word needs none, for it promises that no change follows.
#[must_use]
pub fn assess(dump: &Dump, look: &Observation, rules: &Rules) -> Verdict {
    let verdict = assess_size(dump, look, rules);
    let rests_on_times =
        !matches!(verdict, Verdict::Wait(_) | Verdict::Ready(Evidence::Ready | Evidence::Marker));
    if rests_on_times && let Some(wait) = wait_for_clock(look.timestamp_granularity, look.unchanged)
    {
        return Verdict::Wait(wait);
    }
    verdict
}

/// The wait until a change will show in the file's times, if it would not yet.
fn wait_for_clock(grain: Duration, unchanged: Duration) -> Option<Wait> {
    let left = grain.checked_sub(unchanged).filter(|left| !left.is_zero())?;
    let why = format!(
        "its file system's clock is coarse, and a change might not show; it must be unchanged for {} ms",
        grain.as_millis()
    );
    Some(Wait { why, ready_in: Some(left) })
}

fn assess_size(dump: &Dump, look: &Observation, rules: &Rules) -> Verdict {
    if let LeadingBytes::Header(header) = &dump.front {
        match header.preamble.kind {
            Kind::Pending(PendingState::Writing) => return writing(look, rules),
            Kind::Pending(PendingState::Ready) => {
                return by_producer_mark(dump, look, rules, Evidence::Ready);
            }
            Kind::Final => {}
        }
    }
    if let Some(missing) = &dump.facts.unfinished {
        return wait(missing.clone());
    }
    if let Some(marker) = &dump.marker {
        return if look.first_bytes == *marker {
            by_producer_mark(dump, look, rules, Evidence::Marker)
        } else {
            wait("the producer has not written its marker yet")
        };
    }
    by_size(dump, look, rules)
}

/// A pending file that its producer has not declared ready.
fn writing(look: &Observation, rules: &Rules) -> Verdict {
    match look.writer {
        Writer::Present => wait(format!("it is still being written {}", amount(look))),
        Writer::Unknown => wait(format!("its producer has not marked it ready {}", amount(look))),
        Writer::None if look.unchanged < rules.quiet => {
            Wait::on_time(look, rules, "its producer closed it without marking it ready")
        }
        Writer::None => Verdict::Abandoned,
    }
}

/// How much of a file is really there: a preallocated or mapped one has its size from the start.
fn amount(look: &Observation) -> String {
    format!("({} of {} bytes are allocated)", look.allocated.min(look.size), look.size)
}

/// The producer says that it is done: then nothing but the size is left to ask for.
fn by_producer_mark(dump: &Dump, look: &Observation, rules: &Rules, evidence: Evidence) -> Verdict {
    let fit = dump.fit(look.size, rules.allow_trailing);
    let why = format!("its producer says that it is complete, but {fit}");
    match fit {
        SizeFit::Whole { .. } => Verdict::Ready(evidence),
        SizeFit::TooShort { .. }
        | SizeFit::PartialRecord { .. }
        | SizeFit::Empty
        | SizeFit::CountMismatch { .. } => wait(why),
        SizeFit::TooLong { .. } | SizeFit::Unsizable => Verdict::Refused(why),
    }
}

fn by_size(dump: &Dump, look: &Observation, rules: &Rules) -> Verdict {
    let fit = dump.fit(look.size, rules.allow_trailing);
    let busy = if look.sidecar_writer == Some(Writer::Present) {
        Some("the file that describes it is still being written".to_owned())
    } else {
        let writing = look.writer == Writer::Present;
        writing.then(|| format!("it is still being written {}", amount(look)))
    };
    if let Some(busy) = busy {
        return wait(match &fit {
            SizeFit::Whole { .. } => busy,
            misfit => format!("{busy}: {misfit}"),
        });
    }
    let still = look.unchanged >= rules.quiet;
    match fit {
        SizeFit::TooShort { .. }
        | SizeFit::PartialRecord { .. }
        | SizeFit::Empty
        | SizeFit::CountMismatch { .. } => wait(fit.to_string()),
        SizeFit::TooLong { .. } if !still => Wait::on_time(look, rules, &fit.to_string()),
        SizeFit::TooLong { .. } | SizeFit::Unsizable => Verdict::Refused(fit.to_string()),
        SizeFit::Whole { exact } => whole(dump, look, rules, exact, still),
    }
}

/// The size fits, and nobody is known to write.
fn whole(dump: &Dump, look: &Observation, rules: &Rules, exact: bool, still: bool) -> Verdict {
    let nobody =
        look.writer == Writer::None && !matches!(look.sidecar_writer, Some(Writer::Unknown));
    // A committed header under a pending name is right to the byte already while its producer has
    // the rename still ahead.
    let raw = !matches!(dump.front, LeadingBytes::Header(_));
    if nobody && dump.digest.is_some() {
        return Verdict::Ready(Evidence::Digest);
    }
    // A file of the right size may be preallocated, and not filled yet: then quiet must speak.
    let was_right_before = rules.remakes == 0;
    if nobody && exact && look.solid && raw && (was_right_before || still) {
        return Verdict::Ready(Evidence::Size);
    }
    match (still, nobody) {
        (true, _) if dump.digest.is_some() => Verdict::Ready(Evidence::Digest),
        (true, true) => Verdict::Ready(Evidence::NoWriter),
        (true, false) => Verdict::Ready(Evidence::Quiet),
        (false, true) => {
            let what = "nobody writes to it; it must be unchanged for";
            Wait::on_time(look, rules, &format!("{what} {}", rules.quiet_in_words()))
        }
        (false, false) => {
            let what =
                "whether somebody writes to it can't be learned here; it must be unchanged for";
            Wait::on_time(look, rules, &format!("{what} {}", rules.quiet_in_words()))
        }
    }
}

impl Rules {
    fn quiet_in_words(&self) -> String {
        let times = match self.remakes {
            0 => return "the quiet time".to_owned(),
            1 => "once".to_owned(),
            remakes => format!("{remakes} times"),
        };
        let quiet = humantime::format_duration(self.quiet);
        format!("{quiet}: it changed after its array was made, and was made again {times}")
    }
}
