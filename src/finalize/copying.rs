//! Copies bytes into a new file, in constant memory. What all who copy share: the copy route, an
//! array that must move to another file system, and an array that is made again from itself.

use std::ops::ControlFlow;

use crate::decide::change::Change;
use crate::events::progress::Phase;
use crate::finalize::Interruption;
use crate::finalize::locations::Locations;
use crate::fs::{self, CopyError, DataFile, Segment, TempFile};
use crate::model::Stat;
use crate::throttle::meter::Meter;

/// Copies a whole file and returns the source's metadata. Fails if the file changed meanwhile.
pub(crate) fn duplicate(
    source: &DataFile,
    at: &Locations,
    may_map: bool,
    progress: &mut Meter,
) -> Result<(TempFile, Stat), Interruption> {
    let before = source.stat()?;
    let segments = vec![Segment::new(source, 0, before.size)?];
    let copy = fs::CopyJob { head: &[], segments, may_map };
    let mut output = copy.output(&at.output).map_err(interruption)?;
    progress.begin(Phase::Copy, before.size);
    run(&copy, &mut output, None, progress)?;
    if !source.stat()?.is_unchanged_since(&before) {
        return Err(Interruption::changed(Change::DuringCopy));
    }
    Ok((output, before))
}

/// Runs a copy. `progress` can stop it.
pub(crate) fn run(
    copy: &fs::CopyJob<'_>,
    output: &mut TempFile,
    on_bytes: Option<fs::OnBytes<'_>>,
    progress: &mut Meter,
) -> Result<(), Interruption> {
    let mut advance = |done, moved| {
        let goes_on = progress.advance_moved(done, moved);
        if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    copy.run(output, on_bytes, &mut advance).map_err(interruption)
}

pub(crate) fn interruption(error: CopyError) -> Interruption {
    match error {
        CopyError::Disk(error) => Interruption::Io(error),
        CopyError::Stopped => Interruption::Cancelled,
        CopyError::SourceEnded { at } => Interruption::changed(Change::TruncatedTo(at)),
    }
}
