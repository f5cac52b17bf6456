//! Misplaced drops: drops in the directory that npyd puts its arrays into. npyd takes none from
//! there, and reports them once. The directory may have millions of arrays, so a thread of its own
//! lists it, after a scan of the drop directory, at intervals.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::config::DropDir;
use crate::events::left_alone::LeftAloneKind;
use crate::events::tally::Tally;
use crate::fs::{self, Dir, EntryKind, IdlePriority, Listing};
use crate::probe::{
    ListedDescriptions, ProbeResult, may_describe_drop, open_output_dir, probe_standalone,
};
use crate::service::tracker::scan_report::{is_older_than, report_if_news};
use crate::service::tracker::{DEPTH_MAX, Tracker};

/// Minimum time between two searches.
const INTERVAL: Duration = Duration::from_mins(10);

/// Minimum pause after a search, in multiples of its duration.
const PAUSE: u32 = 1000;

/// When the next search of a drop directory may begin.
#[derive(Debug, Clone, Default)]
pub(crate) struct MisplacedSearch(Arc<Mutex<Next>>);

#[derive(Debug, Clone, Copy, Default)]
enum Next {
    #[default]
    Now,
    At(Instant),
    /// A search is under way.
    AfterThis,
}

impl MisplacedSearch {
    /// Returns whether a search may begin, and notes that it does.
    fn begin(&self, now: Instant) -> bool {
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = match *next {
            Next::Now => true,
            Next::At(at) => at <= now,
            Next::AfterThis => false,
        };
        if is_due {
            *next = Next::AfterThis;
        }
        is_due
    }

    fn end(&self, began: Instant) {
        let pause = began.elapsed().saturating_mul(PAUSE).max(INTERVAL);
        let at = Instant::now() + pause;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Next::At(at);
    }
}

impl Tracker {
    /// Searches the directory of the arrays for drops, if a search is due.
    pub(super) fn search_misplaced(&self, now: Instant) {
        let Some(output) = self.drop_dir.output.clone() else { return };
        if self.drop_dir.may_have_sources(&output) || !self.misplaced.begin(now) {
            return;
        }
        let (context, drop_dir) = (self.context.clone(), Arc::clone(&self.drop_dir));
        let search = self.misplaced.clone();
        let task = move || {
            let began = Instant::now();
            // A directory that can't be read is reported when npyd writes to it.
            if let Ok(Found { drops, newest_ns }) = find(&drop_dir, &output, &context.stop)
                && !context.stop.load(Ordering::Relaxed)
            {
                let (dirs, now) = ((&*drop_dir, output.as_path()), SystemTime::now());
                let found = (LeftAloneKind::Misplaced, &drops, newest_ns);
                if let Err(error) = report_if_news(&context, dirs, found, now) {
                    context.report_ledger(&error);
                }
            }
            search.end(began);
        };
        if self.context.retries {
            self.queue.run_aside(task);
        } else {
            task(); // a sweep waits for jobs alone
        }
    }
}

/// The drops that a search has found.
#[derive(Default)]
struct Found {
    drops: Tally,
    /// The newest change of a description, in nanoseconds since 1970.
    newest_ns: i64,
}

/// A search of a directory of arrays.
struct Search<'a> {
    drop_dir: &'a DropDir,
    /// Set when npyd is stopping.
    stop: &'a AtomicBool,
    /// The directory, as if it were a drop directory.
    place: DropDir,
    listed: ListedDescriptions,
    found: Found,
}

/// Finds the drops in a directory of arrays.
fn find(drop_dir: &DropDir, output: &Path, stop: &AtomicBool) -> fs::Result<Found> {
    let _idle = IdlePriority::begin();
    let mut place = DropDir::at(output);
    place.include_below();
    let (listed, found) = (ListedDescriptions::default(), Found::default());
    let mut search = Search { drop_dir, stop, place, listed, found };
    search.list(&open_output_dir(drop_dir, Path::new(""))?, Path::new(""))?;
    Ok(search.found)
}

impl Search<'_> {
    fn list(&mut self, dir: &Dir, below: &Path) -> fs::Result<()> {
        let mut listing = Listing::default();
        while !self.stop.load(Ordering::Relaxed)
            && let Some(piece) = listing.next_piece(dir)?
        {
            for (name, kind) in piece {
                let rel = below.join(&name);
                if self.place.ignore.ignores_entry(&rel, kind == EntryKind::Dir) {
                    continue;
                }
                match kind {
                    EntryKind::File => self.look_at(dir, &name, &rel)?,
                    EntryKind::Dir if self.is_searched(&rel) => {
                        match dir.open_dir(Path::new(&name)) {
                            Err(error) if error.is_missing() || error.is_denied() => {}
                            opened => self.list(&opened?, &rel)?,
                        }
                    }
                    EntryKind::Dir | EntryKind::Other => {}
                }
            }
        }
        Ok(())
    }

    /// Returns whether arrays may be in a subdirectory, and sources are not.
    fn is_searched(&self, rel: &Path) -> bool {
        let path: PathBuf = self.place.path.join(rel);
        self.drop_dir.recursive
            && rel.components().count() <= DEPTH_MAX
            && !self.drop_dir.may_have_sources(&path)
    }

    /// Counts the drop that a file describes, if it does and is old enough.
    fn look_at(&mut self, dir: &Dir, name: &OsStr, rel: &Path) -> fs::Result<()> {
        if !name.to_str().is_some_and(may_describe_drop) {
            return Ok(());
        }
        let Some(stat) = dir.stat(Path::new(name))? else { return Ok(()) };
        if is_older_than(stat.ctime_ns, self.drop_dir.undescribed_after)
            && let Ok(ProbeResult::Candidate(drop)) =
                probe_standalone(&self.place, rel, &mut self.listed)
        {
            self.found.drops.add(format!("`{}`", drop.input.rel.display()));
            self.found.newest_ns = self.found.newest_ns.max(stat.ctime_ns);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_is_followed_by_a_pause() {
        let (search, now) = (MisplacedSearch::default(), Instant::now());
        assert!(search.begin(now));
        assert!(!search.begin(now + 2 * INTERVAL), "one at a time");
        search.end(Instant::now());
        assert!(!search.begin(now + INTERVAL / 2));
        assert!(search.begin(Instant::now() + 2 * INTERVAL));
    }
}
