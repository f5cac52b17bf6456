//! Scan report: the files and directories of a drop directory that npyd leaves alone although
//! somebody may expect an array. One log line for each kind, with the number and three examples.
//!
//! A scan collects these paths, and the last probe of the scan completes the report. The ledger
//! stores the last report of each kind, so that neither a scan nor a restart repeats a report.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::config::DropDir;
use crate::decide::reason::Reason;
use crate::events::event::Event;
use crate::events::left_alone::{LeftAlone, LeftAloneKind as Kind};
use crate::events::tally::Tally;
use crate::fs::{self, Dir, EntryKind};
use crate::ledger::{LastReport, LedgerError};
use crate::model::Stat;
use crate::probe::{SOURCE_ATTR, is_put_beside_arrays};
use crate::service::tracker::{ENTRIES_MAX, Tracker};
use crate::service::work::context::Context;

/// Minimum time between two reports of one kind, if the number of files has doubled since.
const AGAIN_IF_DOUBLED: Duration = Duration::from_hours(1);

/// Minimum time between two reports of one kind, if there are any new files.
const AGAIN_IF_NEW: Duration = Duration::from_hours(24);

/// The files of one kind that the last scan has found so far.
#[derive(Debug, Default)]
struct Found {
    tally: Tally,
    /// The newest change of one of them, in nanoseconds since 1970.
    newest_ns: i64,
    /// Whether the ledger is known to have no report with a file.
    is_unreported: bool,
}

/// What the last scan has found so far, by kind.
#[derive(Debug, Default)]
pub(crate) struct ScanReport {
    found: [Found; Kind::OF_SCANS.len()],
    /// The subdirectories that the scan found, before npyd checks them.
    subdirectories: Vec<PathBuf>,
    /// Whether the last scan has ended, and its files are still being probed.
    is_open: bool,
}

/// What to do with the files of one kind that a scan found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// Log a report.
    Report,
    /// Store in the ledger that there are fewer files.
    Store,
    /// Nothing.
    None,
}

/// Decides whether files are reported. `newest` is when the newest of them was old enough.
fn decide(last: Option<LastReport>, count: u32, newest: SystemTime, now: SystemTime) -> Action {
    let Some(last) = last else {
        return if count > 0 { Action::Report } else { Action::None };
    };
    if count < last.count {
        return Action::Store;
    }
    // If the clock was set back since, the last report may seem to lie in the future.
    let elapsed = now.duration_since(last.at).unwrap_or(Duration::MAX);
    let has_doubled = count > last.count && count >= last.count.saturating_mul(2);
    let has_new = count > last.count || newest > last.at;
    let is_due = has_doubled && elapsed >= AGAIN_IF_DOUBLED || has_new && elapsed >= AGAIN_IF_NEW;
    if count > 0 && is_due { Action::Report } else { Action::None }
}

/// Returns the kind of a file that is not a drop for this reason.
fn kind_of(reason: &Reason) -> Option<Kind> {
    match reason {
        Reason::Undescribed { .. } => Some(Kind::Undescribed),
        Reason::BadName(_) => Some(Kind::BadName),
        Reason::IsArray => Some(Kind::Array),
        _ => None,
    }
}

impl ScanReport {
    /// Discards what was collected; a new scan lists all files again.
    pub(crate) fn begin_scan(&mut self) {
        for found in &mut self.found {
            *found = Found { is_unreported: found.is_unreported, ..Found::default() };
        }
        self.subdirectories.clear();
        self.is_open = false;
    }

    /// Has the report completed once the files of the scan were probed.
    pub(crate) fn end_scan(&mut self) {
        self.is_open = true;
    }

    fn add(&mut self, kind: Kind, rel: &Path, changed_ns: i64) {
        let found = &mut self.found[kind as usize];
        found.tally.add(format!("`{}`", rel.display()));
        found.newest_ns = found.newest_ns.max(changed_ns);
    }
}

impl Tracker {
    /// Notes a listed file that is not a drop, if it is old enough.
    pub(crate) fn note_ignored(&mut self, rel: &Path, reason: &Reason) {
        let Some(kind) = kind_of(reason) else { return };
        let is_listed = self.entries.get(rel).is_some_and(|entry| entry.is_listed);
        let name = rel.file_name().and_then(OsStr::to_str);
        if !is_listed || name.is_some_and(is_put_beside_arrays) {
            return;
        }
        let Ok(dir) = Dir::open(&self.drop_dir.path) else { return };
        let Ok(Some(stat)) = dir.stat(rel) else { return };
        self.note_left_alone((&dir, rel), kind, stat.ctime_ns);
    }

    /// Notes a file that is not a drop, if it is old enough. The drop directory is open as `root`.
    pub(super) fn note_left_alone(
        &mut self,
        (root, rel): (&Dir, &Path),
        kind: Kind,
        changed_ns: i64,
    ) {
        if self.is_old(changed_ns)
            // Otherwise a manifest combines it with other files.
            && !self.is_one_of_several(rel)
            && (kind != Kind::Array || self.is_foreign_array(root, rel).unwrap_or(false))
        {
            self.report.add(kind, rel, changed_ns);
        }
    }

    /// Notes subdirectories that a scan of a drop directory without `recursive` found.
    pub(super) fn note_subdirectories<'n>(&mut self, names: impl Iterator<Item = &'n OsStr>) {
        let room = ENTRIES_MAX.saturating_sub(self.report.subdirectories.len());
        self.report.subdirectories.extend(names.map(PathBuf::from).take(room));
    }

    /// Judges the subdirectories, once the descriptions that may refer to data in them were read.
    fn judge_subdirectories(&mut self) -> fs::Result<()> {
        let subdirectories = std::mem::take(&mut self.report.subdirectories);
        if subdirectories.is_empty() {
            return Ok(());
        }
        let dir = Dir::open(&self.drop_dir.path)?;
        let paths = self.index.data().chain(self.entries.keys());
        let described: HashSet<PathBuf> = paths.filter_map(|it| top_directory(it)).collect();
        for rel in subdirectories {
            if described.contains(&rel) || self.drop_dir.ignore.ignores_entry(&rel, true) {
                continue;
            }
            let Some(Stat { born_ns, ctime_ns, .. }) = dir.stat(&rel)? else { continue };
            let since_ns = if born_ns == 0 { ctime_ns } else { born_ns };
            if self.is_old(since_ns)
                && !self.is_used(&rel)
                && self.has_entries(&dir, &rel).unwrap_or(false)
            {
                self.report.add(Kind::Subdirectory, &rel, since_ns);
            }
        }
        Ok(())
    }

    /// Returns whether a subdirectory has an entry that is not ignored.
    fn has_entries(&self, dir: &Dir, rel: &Path) -> fs::Result<bool> {
        dir.open_dir(rel)?.any_entry(|name, kind| {
            !self.drop_dir.ignore.ignores_entry(&rel.join(name), kind == EntryKind::Dir)
        })
    }

    /// Returns whether npyd uses a subdirectory although it does not scan it: for another drop
    /// directory or for its own files, or because it took data from there.
    fn is_used(&self, rel: &Path) -> bool {
        let path = self.drop_dir.path.join(rel);
        let neighbors = self.drop_dir.neighbors.iter().map(PathBuf::as_path);
        self.drop_dir.is_managed(rel)
            || self.drop_dir.managed_dirs().chain(neighbors).any(|dir| dir.starts_with(&path))
            || self.context.ledger().has_sources_below(&path).unwrap_or(true)
    }

    /// Returns whether a time lies at least `undescribed_after` back.
    fn is_old(&self, time_ns: i64) -> bool {
        is_older_than(time_ns, self.drop_dir.undescribed_after)
    }

    /// Returns whether npyd did not make an array. Where the file system stores no marks, the
    /// arrays beside the data may be npyd's.
    fn is_foreign_array(&self, dir: &Dir, rel: &Path) -> fs::Result<bool> {
        let Some(file) = dir.open_file(rel)? else { return Ok(false) };
        if self.drop_dir.output.is_some() {
            return Ok(file.attr(SOURCE_ATTR)?.is_none());
        }
        file.lacks_attr(SOURCE_ATTR)
    }

    /// Completes the report of the last scan, once all of its files were probed.
    pub(crate) fn complete_report(&mut self) {
        if std::mem::take(&mut self.report.is_open) {
            // The next scan finds out again, and reports a directory that can't be read.
            let _ = self.judge_subdirectories();
            for kind in Kind::OF_SCANS {
                if let Err(error) = self.report_kind(kind, SystemTime::now()) {
                    self.context.report_ledger(&error);
                }
            }
        }
    }

    /// Reports what the last scan found of one kind, if that is news.
    fn report_kind(&mut self, kind: Kind, now: SystemTime) -> Result<(), LedgerError> {
        let Found { tally, newest_ns, is_unreported } = &mut self.report.found[kind as usize];
        if *is_unreported && tally.count() == 0 {
            return Ok(()); // saves a query at most scans
        }
        let found = (kind, &*tally, *newest_ns);
        let dirs = (&*self.drop_dir, self.drop_dir.path.as_path());
        *is_unreported = report_if_news(&self.context, dirs, found, now)?;
        Ok(())
    }
}

/// Reports files of one kind in a directory of a drop directory, if that is news. Returns whether
/// the ledger then has no report with a file.
pub(super) fn report_if_news(
    context: &Context,
    (drop_dir, dir): (&DropDir, &Path),
    (kind, files, newest_ns): (Kind, &Tally, i64),
    now: SystemTime,
) -> Result<bool, LedgerError> {
    let (ledger, count) = (context.ledger(), files.count());
    let last = ledger.last_report(dir, kind.as_str())?;
    let newest = from_ns(newest_ns).checked_add(drop_dir.undescribed_after);
    let at = match (decide(last, count, newest.unwrap_or(now), now), last) {
        (Action::Report, _) => {
            let (drop_dir, dir) = (drop_dir.path.clone(), dir.to_path_buf());
            let left_alone = LeftAlone { drop_dir, dir, kind, files: files.clone() };
            context.publish(Event::LeftAlone(Box::new(left_alone)));
            now
        }
        (Action::Store, Some(last)) => last.at,
        _ => return Ok(last.is_none_or(|last| last.count == 0)),
    };
    ledger.set_last_report(dir, kind.as_str(), LastReport { at, count })?;
    Ok(count == 0)
}

/// Returns whether a time lies at least so long back. A time that lies at least as far in the
/// future also counts as old, because a wrong clock set it.
pub(super) fn is_older_than(time_ns: i64, age: Duration) -> bool {
    let time = from_ns(time_ns);
    let now = SystemTime::now();
    now.duration_since(time).unwrap_or_else(|error| error.duration()) >= age
}

/// Returns the subdirectory of the drop directory that a path lies in.
fn top_directory(rel: &Path) -> Option<PathBuf> {
    let mut parts = rel.iter();
    let top = parts.next()?;
    parts.next().map(|_| PathBuf::from(top))
}

fn from_ns(time_ns: i64) -> SystemTime {
    let distance = Duration::from_nanos(time_ns.unsigned_abs());
    let epoch = SystemTime::UNIX_EPOCH;
    if time_ns < 0 { epoch - distance } else { epoch + distance }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;

    /// What is done with so many files, the newest of which was old enough after so many seconds.
    /// The last report, after 1000 hours, was about ten files.
    fn after(hours: u64, count: u32, newest: u64) -> Action {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let last = LastReport { at: at(1000 * HOUR), count: 10 };
        decide(Some(last), count, at(newest), at((1000 + hours) * HOUR))
    }

    #[test]
    fn a_report_is_repeated_only_with_news() {
        let (old, new) = (1000 * HOUR - 1, 1000 * HOUR + 1);
        for (hours, count, newest, expected) in [
            (0, 10, old, Action::None),
            (1000, 10, old, Action::None),
            (0, 100, new, Action::None),
            (1, 19, new, Action::None),
            (1, 20, old, Action::Report),
            (23, 11, new, Action::None),
            (24, 11, old, Action::Report),
            (24, 10, new, Action::Report),
            (23, 10, new, Action::None),
            (0, 9, old, Action::Store),
            (1000, 9, new, Action::Store),
            (1000, 0, 0, Action::Store),
        ] {
            assert_eq!(after(hours, count, newest), expected, "{hours} {count} {newest}");
        }
    }

    #[test]
    fn the_first_report() {
        let now = SystemTime::now();
        assert_eq!(decide(None, 0, now, now), Action::None);
        assert_eq!(decide(None, 1, now, now), Action::Report);
        // None was left for a while.
        let last = |hours| LastReport { at: now - Duration::from_hours(hours), count: 0 };
        assert_eq!(decide(Some(last(0)), 1, now, now), Action::None);
        assert_eq!(decide(Some(last(1)), 1, now, now), Action::Report);
        assert_eq!(decide(Some(last(100)), 0, now, now), Action::None);
    }

    #[test]
    fn a_clock_that_was_set_back() {
        let now = SystemTime::now();
        let last = LastReport { at: now + Duration::from_hours(100), count: 1 };
        assert_eq!(decide(Some(last), 1, now, now), Action::None);
        assert_eq!(decide(Some(last), 2, now, now), Action::Report);
    }
}
