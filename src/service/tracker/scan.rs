//! Scans: a scan walks through the whole drop directory in steps, and enqueues every file that may
//! be a drop and that the ledger does not have as settled. Scans are authoritative; watcher events
//! only make npyd react sooner.
//!
//! A scan keeps no list of the names: each step handles the next ones of a directory. Of those that
//! are settled it keeps hashes, for a million at most. If the tracker is full, the scan waits until
//! it has room, and goes on where it stopped.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::events::event::Event;
use crate::events::problem::Problem;
use crate::events::scanned::Scanned;
use crate::finalize::remember_dirs;
use crate::fs::{self, Dir, EntryKind};
use crate::service::tracker::entry::{Entry, State};
use crate::service::tracker::listed_files::ScannedDir;
use crate::service::tracker::recovery::is_private;
use crate::service::tracker::walk::{
    DescriptionState, Level, Listed, NAMES_AT_ONCE, TURNS_MIN, Walk, WalkPhase,
};
use crate::service::tracker::{NEW_DIRS_MAX, Tracker};

/// Maximum depth below a drop directory at which npyd finds files.
pub const DEPTH_MAX: usize = 64;

/// Duration after which a step of a scan ends, so that events and probes have their turn.
const STEP: Duration = Duration::from_millis(5);

/// Pause of a scan after descriptors or memory ran out.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// The result of a step of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// There is nothing to scan.
    Idle,
    /// The next step can follow at once.
    More,
    /// The tracker has no room for more files. The scan goes on once it has.
    Full,
    /// The scan has ended.
    Ended(ScanCost),
}

/// What the steps of a scan took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanCost {
    /// The time on the clock.
    pub elapsed: Duration,
    /// The time of the CPU.
    pub cpu: Duration,
}

/// The result of a step of a walk.
enum Turn {
    More,
    Full,
    Done,
}

impl Tracker {
    /// Begins a scan. A scan that has not ended does not go on.
    ///
    /// # Errors
    ///
    /// Returns an error if the drop directory itself cannot be read.
    pub fn begin_scan(&mut self, now: Instant) -> fs::Result<()> {
        self.warnings.begin_scan();
        self.pass = None;
        let root = Dir::open(&self.drop_dir.path)?;
        if let Some(watch) = &self.watch {
            watch.begin_scan();
        }
        remember_dirs(&self.drop_dir);
        self.trusts_clock = !fs::fs_info(&root)?.network;
        self.overflowed = false;
        self.report.begin_scan();
        self.index.begin_scan();
        self.settled_series.clear();
        self.first_walk.clear();
        self.failure_reports.retain(self.entries.values());
        if !self.recovered {
            self.recover_managed_dirs();
            if self.context.retries {
                self.report_unwritable_dirs(); // a sweep reports it with each drop
            }
        }
        if self.descriptions == DescriptionState::Outdated {
            self.descriptions = DescriptionState::Unread;
        }
        self.pass = Some(Walk::new(Path::new(""), true, now));
        Ok(())
    }

    /// Notes that events about descriptions may have been lost: while the next scan reads the
    /// descriptions, no drop is probed.
    pub fn distrust_descriptions(&mut self) {
        if self.descriptions == DescriptionState::Read {
            self.descriptions = DescriptionState::Outdated;
        }
    }

    /// Ends a scan at once, because the directory is gone.
    pub fn abort_scan(&mut self) {
        self.pass = None;
        self.index.look_for_all();
        self.side_walks.clear();
    }

    /// Returns whether a scan has read the descriptions, so that drops are probed.
    #[must_use]
    pub fn has_read_descriptions(&self) -> bool {
        self.descriptions != DescriptionState::Unread
    }

    /// Reads the requests in the ledger. A scan does that too, once it has ended.
    pub fn read_requests_now(&mut self, now: Instant) {
        if self.has_read_descriptions() {
            self.read_requests(now);
        }
    }

    /// Returns whether a scan of the whole drop directory has begun and not ended.
    #[must_use]
    pub fn is_scanning(&self) -> bool {
        self.pass.is_some()
    }

    /// Returns whether there is something to scan, and room for what is found.
    #[must_use]
    pub fn wants_step(&self) -> bool {
        (self.pass.is_some() || !self.side_walks.is_empty())
            && (self.entries.len() < self.room || self.has_enough_waits())
            && self.step_after.is_none_or(|at| at <= Instant::now())
    }

    /// Scans for a few milliseconds.
    ///
    /// # Errors
    ///
    /// Returns an error if the drop directory itself cannot be read. The scan has ended then.
    pub fn scan_step(&mut self, now: Instant) -> fs::Result<Progress> {
        let Some(mut walk) = self.side_walks.pop_front().or_else(|| self.pass.take()) else {
            return Ok(Progress::Idle);
        };
        let (start, cpu_start) = (Instant::now(), cpu_time());
        let root = walk.root.take().map_or_else(|| Dir::open(&self.drop_dir.path), Ok);
        let turn = root.and_then(|root| {
            self.root = Some(root.clone());
            walk.root = Some(root.clone());
            self.continue_walk(&mut walk, &root, now)
        });
        self.root = None;
        walk.elapsed += start.elapsed();
        walk.cpu += cpu_time().saturating_sub(cpu_start);
        self.step_after = None;
        let is_full = match turn {
            Ok(Turn::Done) if walk.is_pass => return Ok(self.end_scan(&walk, now)),
            Ok(Turn::Full) => true,
            Ok(Turn::More) => false,
            // It goes on at the same place once jobs have ended.
            Err(error) if is_exhausted(&error) && self.may_free_resources() => {
                self.warn(Problem::Dir { error: error.to_string() });
                self.step_after = Some(Instant::now() + EXHAUSTED_PAUSE);
                true
            }
            Err(error) if walk.is_pass => return Err(error),
            Ok(Turn::Done) | Err(_) => return Ok(Progress::More),
        };
        if is_full {
            walk.close_dirs();
        }
        if walk.is_pass {
            self.pass = Some(walk);
        } else {
            self.side_walks.push_front(walk);
        }
        Ok(if is_full { Progress::Full } else { Progress::More })
    }

    /// Returns whether descriptors and memory may become free. In a sweep only its own work does
    /// that.
    fn may_free_resources(&self) -> bool {
        let is_work = |entry: &Entry| matches!(entry.state(), State::Working { .. });
        self.context.retries || self.entries.values().any(is_work)
    }

    fn end_scan(&mut self, walk: &Walk, now: Instant) -> Progress {
        if let Some(watch) = &self.watch {
            watch.end_scan();
        }
        self.recovered = true;
        self.settled_series.clear();
        self.first_walk.clear();
        self.index.look_for_all();
        if let Some(root) = &walk.root {
            self.check_known_files(root);
        }
        self.read_requests(now);
        self.report.end_scan();
        self.search_misplaced(now);
        self.context.publish(Event::Scanned(Scanned {
            drop_dir: self.drop_dir.path.clone(),
            names: walk.seen,
            drops: walk.found,
            elapsed: walk.began.elapsed(),
            cpu: walk.cpu,
        }));
        Progress::Ended(ScanCost { elapsed: walk.elapsed, cpu: walk.cpu })
    }

    /// Walks for a few milliseconds.
    fn continue_walk(&mut self, walk: &mut Walk, root: &Dir, now: Instant) -> fs::Result<Turn> {
        let start = Instant::now();
        for turn in 1.. {
            let Some(level) = walk.levels.last_mut() else {
                if walk.phase == WalkPhase::Drops {
                    return Ok(Turn::Done);
                }
                self.end_descriptions(walk, now);
                continue;
            };
            let handled =
                level.dir(root).and_then(|dir| self.continue_level(walk, &dir, root, now));
            match handled {
                Ok(Turn::More) => {}
                Ok(Turn::Full) => return Ok(Turn::Full),
                Ok(Turn::Done) => self.leave_dir(walk),
                Err(error) if walk.levels.len() == 1 || is_exhausted(&error) => return Err(error),
                Err(error) => {
                    // It does not end the scan of the other directories.
                    self.first_walk.note_unread_dir();
                    if !error.is_missing() {
                        self.warn(Problem::Dir { error: error.to_string() });
                    }
                    walk.levels.pop();
                }
            }
            if turn >= TURNS_MIN && start.elapsed() >= STEP {
                break;
            }
        }
        Ok(Turn::More)
    }

    /// Leaves a directory whose names were all handled.
    fn leave_dir(&mut self, walk: &mut Walk) {
        if let Some(level) = walk.levels.pop()
            && walk.is_pass
            && walk.phase == WalkPhase::Descriptions
        {
            self.index.note_whole_dir(&level.rel);
        }
    }

    /// Goes on with the drops, once all descriptions were read. Requests come before them.
    fn end_descriptions(&mut self, walk: &mut Walk, now: Instant) {
        if walk.is_pass {
            let entries = &self.entries;
            self.index.retain(|rel| entries.contains_key(rel));
            if self.index.is_incomplete() {
                self.report_many_descriptions();
            }
            if self.descriptions == DescriptionState::Unread {
                self.descriptions = DescriptionState::Read;
            }
            self.read_requests(now);
        }
        walk.phase = WalkPhase::Drops;
        walk.levels.push(Level::new(walk.base.clone(), None));
    }

    /// Handles some names of the directory that a walk is in, enters the next of the subdirectories
    /// among them, or reads further names.
    fn continue_level(
        &mut self,
        walk: &mut Walk,
        dir: &Dir,
        root: &Dir,
        now: Instant,
    ) -> fs::Result<Turn> {
        let phase = walk.phase;
        let free = match phase {
            WalkPhase::Descriptions => usize::MAX,
            WalkPhase::Drops => self.free_entries(),
        };
        let Some(level) = walk.levels.last_mut() else { return Ok(Turn::Done) };
        if level.names.is_empty() {
            let Some(name) = level.subdirs.last().cloned() else {
                if phase == WalkPhase::Descriptions
                    && !std::mem::replace(&mut level.is_watched, true)
                    && let Some(watch) = &self.watch
                {
                    watch.cover(dir, &level.rel); // so that no file arrives in between
                }
                return Ok(if level.read_names(dir)? { Turn::More } else { Turn::Done });
            };
            let rel = level.rel.join(&name);
            let below = self.subdir_to_scan(dir, (Path::new(&name), &rel), phase)?;
            level.subdirs.pop();
            walk.levels.extend(below.map(|dir| Level::new(rel, Some(dir))));
            return Ok(Turn::More);
        }
        if free == 0 {
            return Ok(Turn::Full);
        }
        let count = level.names.len().min(NAMES_AT_ONCE).min(free);
        let names: Vec<Listed> = level.names.drain(..count).collect();
        if phase == WalkPhase::Descriptions && !level.is_recovered && names.iter().any(is_private) {
            level.is_recovered = true;
            self.recover(dir, &level.rel);
            level.rewind(); // a file may have its own name again
            return Ok(Turn::More);
        }
        let dirs = names.iter().filter(|(_, kind)| *kind == EntryKind::Dir);
        if self.drop_dir.recursive {
            level.subdirs.extend(dirs.map(|(name, _)| name.clone()));
        } else if walk.is_pass && phase == WalkPhase::Drops {
            self.note_subdirectories(dirs.map(|(name, _)| name.as_os_str()));
        }
        let scanned =
            ScannedDir { root, dir, rel: &level.rel, is_pass: walk.is_pass, began: walk.began };
        match phase {
            WalkPhase::Descriptions => self.read_descriptions(&scanned, &names, now),
            WalkPhase::Drops => {
                walk.seen += names.len() as u64;
                walk.found += self.find_drops(&scanned, &names, now);
            }
        }
        Ok(Turn::More)
    }

    /// Counts the CPU time of probes as that of the scan that led to them, if so many drops wait
    /// that each scan has them probed again. So the pause after the scan is long enough for them.
    pub(super) fn count_repeated_probes(&mut self, probe: impl FnOnce(&mut Self)) {
        let before = (self.pass.is_some() && self.has_enough_waits()).then(cpu_time);
        probe(self);
        if let (Some(before), Some(pass)) = (before, &mut self.pass) {
            pass.cpu += cpu_time().saturating_sub(before);
        }
    }

    /// Returns how many files the walk may find now. Drops that wait make way for them, so that
    /// they do not hold up the walk for as long as they wait.
    fn free_entries(&mut self) -> usize {
        if self.entries.len() >= self.room && self.has_enough_waits() {
            self.make_room(NAMES_AT_ONCE.min(self.room / 4));
        }
        self.room.saturating_sub(self.entries.len())
    }

    #[cfg(test)]
    pub(crate) fn scan(&mut self, now: Instant) -> fs::Result<Progress> {
        self.begin_scan(now)?;
        self.finish_scan(now)
    }

    /// Scans until the scan ends, or the tracker is full.
    #[cfg(test)]
    pub(crate) fn finish_scan(&mut self, now: Instant) -> fs::Result<Progress> {
        loop {
            match self.scan_step(now)? {
                Progress::More => {}
                progress => return Ok(progress),
            }
        }
    }

    /// Reports that the index has no room for some descriptions.
    pub(super) fn report_many_descriptions(&mut self) {
        let drop_dir = self.drop_dir.path.clone();
        self.warn(Problem::ManyDescriptions { drop_dir, max: self.index.room() });
    }

    /// Publishes a warning of a scan, once for as long as its cause lasts.
    pub(crate) fn warn(&mut self, problem: Problem) {
        if self.warnings.is_new(&problem) {
            self.context.report(problem);
        }
    }

    /// Scans a path if it is a directory: a new one may hold files that arrived before its watch
    /// was set up. The scan watches it before it lists it.
    pub(crate) fn scan_if_dir(&mut self, rel: &Path, now: Instant) {
        let is_dir = || {
            let stat = Dir::open(&self.drop_dir.path).and_then(|root| root.stat(rel));
            matches!(stat, Ok(Some(stat)) if stat.is_dir())
        };
        if !self.drop_dir.recursive
            || self.drop_dir.ignore.ignores_entry(rel, true)
            || self.drop_dir.is_managed(rel)
            || !is_dir()
        {
            return;
        }
        if self.side_walks.len() < NEW_DIRS_MAX {
            self.side_walks.push_back(Walk::new(rel, false, now));
        } else {
            self.overflowed = true; // the next scan finds it
        }
    }

    /// Opens a subdirectory to be scanned. Returns `None` if it is ignored, managed by npyd or
    /// deeper than [`DEPTH_MAX`].
    fn subdir_to_scan(
        &mut self,
        parent: &Dir,
        (name, rel): (&Path, &Path),
        phase: WalkPhase,
    ) -> fs::Result<Option<Dir>> {
        if self.drop_dir.is_managed(rel) {
            return Ok(None);
        }
        if self.drop_dir.ignore.ignores_entry(rel, true) {
            // Once per start is enough: a running npyd does not work in ignored directories.
            if !self.recovered
                && phase == WalkPhase::Descriptions
                && let Ok(dir) = parent.open_dir(name)
            {
                let _ = self.recover_ignored(&dir, rel);
            }
            return Ok(None);
        }
        if rel.components().count() > DEPTH_MAX {
            let path = self.drop_dir.path.join(rel);
            self.warn(Problem::TooDeep { path, max: DEPTH_MAX });
            return Ok(None);
        }
        match parent.open_dir(name) {
            Ok(dir) => Ok(Some(dir)),
            Err(error) if is_exhausted(&error) => Err(error),
            Err(error) => {
                self.first_walk.note_unread_dir();
                if !error.is_missing() {
                    self.warn(Problem::Dir { error: error.to_string() });
                }
                Ok(None)
            }
        }
    }
}

/// Returns whether a call failed because descriptors or memory ran out.
fn is_exhausted(error: &fs::FsError) -> bool {
    matches!(error.io().raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM))
}

/// Returns the CPU time of this thread.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests;
