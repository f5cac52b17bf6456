//! Full directory scans. A scan is authoritative; watcher events only make npyd react sooner.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::{Disposition, DropDir};
use crate::decide::identity::{SourceIdentity, identity_of};
use crate::describe::manifest::is_manifest_name;
use crate::events::problem::Problem;
use crate::finalize::{recover_insert, remember_dirs};
use crate::fs::{self, Dir, EntryKind, LeaseRight};
use crate::ledger::KnownSource;
use crate::probe::may_describe;
use crate::service::tracker::Tracker;
use crate::service::tracker::ledger_cursor::LedgerCursor;

/// The name and kind of a directory entry.
pub(super) type Listed = (OsString, EntryKind);

/// Maximum depth below a drop directory at which npyd finds files.
pub const DEPTH_MAX: usize = 64;

impl Tracker {
    /// Lists the directory and enqueues everything in it that the ledger does not have as settled.
    ///
    /// # Errors
    ///
    /// Returns an error if the drop directory itself cannot be read.
    pub fn scan(&mut self, now: Instant) -> fs::Result<()> {
        self.warnings.begin_scan();
        let root = Dir::open(&self.drop_dir.path)?;
        self.root = Some(root.clone());
        if let Some(watch) = &self.watch {
            watch.begin_scan();
        }
        let scanned = self.scan_root(&root, now);
        if let Some(watch) = self.watch.as_ref().filter(|_| scanned.is_ok()) {
            watch.end_scan();
        }
        self.root = None;
        scanned
    }

    fn scan_root(&mut self, root: &Dir, now: Instant) -> fs::Result<()> {
        remember_dirs(&self.drop_dir);
        self.trusts_clock = !fs::fs_info(root)?.network;
        self.overflowed = false;
        self.report.begin_scan();
        let entries = &self.entries;
        self.index.retain(|rel| entries.contains_key(rel));
        self.failure_reports.retain(entries.values());
        if !self.recovered {
            self.recover_managed_dirs();
            if self.context.retries {
                self.report_unwritable_dirs(); // a sweep reports it with each drop
            }
        }
        self.scan_below(root, Path::new(""), now)?;
        self.recovered = true;
        self.check_known_files(root);
        self.read_requests(now);
        Ok(())
    }

    /// Publishes a warning of a scan, once for as long as its cause lasts.
    pub(crate) fn warn(&mut self, problem: Problem) {
        if self.warnings.is_new(&problem) {
            self.context.report(problem);
        }
    }

    /// Scans a listed directory and, in a recursive drop directory, all below it.
    fn scan_below(&mut self, dir: &Dir, below: &Path, now: Instant) -> fs::Result<()> {
        if let Some(watch) = &self.watch {
            watch.cover(dir, below); // before the listing, so that no file arrives in between
        }
        let mut entries = dir.entries()?;
        if self.recover(dir, below, &entries)? {
            entries = dir.entries()?;
        }
        entries.retain(|(_, kind)| *kind != EntryKind::Other);
        let (others, manifests) = partition_manifests(&mut entries);
        others.sort_unstable();
        manifests.sort_unstable();
        for (name, _) in others.iter().filter(|(_, kind)| *kind == EntryKind::Dir) {
            self.scan_dir(dir, Path::new(name), &below.join(name), now);
        }
        if !self.drop_dir.recursive {
            self.note_subdirectories(others);
        }
        for name in self.unsettled((dir, below), (others, manifests), now) {
            self.enqueue_listed(&below.join(name), now);
        }
        Ok(())
    }

    /// Returns the files of a listing that are not settled in the ledger: first the files that are
    /// not manifests, then the manifests. Both lists are sorted.
    fn unsettled<'l>(
        &mut self,
        (dir, below): (&Dir, &Path),
        (others, manifests): (&'l [Listed], &'l [Listed]),
        now: Instant,
    ) -> Vec<&'l OsStr> {
        let ledger = Arc::clone(self.context.ledger());
        let mut ledger = LedgerCursor::below(&ledger, &self.drop_dir.path.join(below));
        let mut unsettled = Vec::new();
        let mut is_covered = vec![false; manifests.len()];
        let mut in_series = HashSet::new();
        // One pass, because the cursor wants the names in order.
        let mut rest = manifests.iter().map(|(name, _)| name).enumerate().peekable();
        let files = others.iter().filter(|(_, kind)| *kind != EntryKind::Dir);
        for name in files.map(|(name, _)| Some(name)).chain([None]) {
            while let Some((at, manifest)) =
                rest.next_if(|(_, manifest)| name.is_none_or(|name| *manifest < name))
            {
                let known = ledger.find(manifest);
                let series = known
                    .and_then(|known| self.settled_series(dir, (below, manifest), &known, now));
                is_covered[at] = series.is_some();
                in_series.extend(series.into_iter().flatten());
            }
            let Some(name) = name else { break };
            match ledger.find(name).filter(|known| self.is_settled(dir, name, known)) {
                // Its manifest needs no probe either.
                Some(KnownSource { fingerprint, is_unproven, .. }) => {
                    if is_unproven && self.may_be_proved(dir, name) {
                        self.enqueue_listed(&below.join(name), now);
                    }
                    let its = |(sidecar, _): (String, _)| {
                        manifests
                            .binary_search_by(|(name, _)| name.as_os_str().cmp(sidecar.as_ref()))
                    };
                    if let Some(Ok(at)) = fingerprint.identity.sidecar.map(its) {
                        is_covered[at] = true;
                    }
                }
                None => unsettled.push(name.as_os_str()),
            }
        }
        if let Some(error) = ledger.failure {
            self.context.report_ledger(&error);
        }
        unsettled.retain(|name| !in_series.contains(*name));
        let manifests = manifests.iter().zip(is_covered).filter(|(_, is_covered)| !is_covered);
        unsettled.extend(manifests.map(|((name, _), _)| name.as_os_str()));
        unsettled
    }

    /// Recovers what a crash left under private names in a listed directory. Returns `false` if it
    /// has no private names.
    fn recover(&mut self, dir: &Dir, below: &Path, entries: &[Listed]) -> fs::Result<bool> {
        if !entries.iter().any(|(name, _)| crate::model::is_reserved_name(&name.to_string_lossy()))
        {
            return Ok(false);
        }
        if let Err(error) = fs::recover_dir(dir, &managed_dirs_below(&self.drop_dir, below)) {
            self.warn(Problem::Dir { error: error.to_string() });
        }
        // A file may have got its own name back just now, so the directory is listed again.
        self.recover_insert(dir, &dir.entries()?);
        Ok(true)
    }

    /// Recovers private names in an ignored directory and below: npyd may have worked there before
    /// it was ignored. Skips directories that npyd may not write to.
    fn recover_ignored(&mut self, dir: &Dir, rel: &Path) -> fs::Result<()> {
        if !dir.is_writable() || rel.components().count() > DEPTH_MAX {
            return Ok(());
        }
        let entries = dir.entries()?;
        self.recover(dir, rel, &entries)?;
        for (name, _) in entries.iter().filter(|(_, kind)| *kind == EntryKind::Dir) {
            let rel = rel.join(name);
            if !self.is_own(&rel)
                && let Ok(dir) = dir.open_dir(Path::new(name))
            {
                // npyd reports nothing about ignored files.
                let _ = self.recover_ignored(&dir, &rel);
            }
        }
        Ok(())
    }

    /// Returns whether a source that stays because its proof was missing might be removed or
    /// archived now. Does not open the source, so that the answer is only a guess.
    pub(super) fn may_be_proved(&self, dir: &Dir, name: &OsStr) -> bool {
        if self.drop_dir.source == Disposition::Keep {
            return false;
        }
        let is_own = || {
            let stat = dir.stat(Path::new(name)).ok().flatten();
            stat.is_some_and(|stat| stat.uid == fs::own_uid())
        };
        let may_lease = || self.context.lease_right != LeaseRight::OwnFiles || is_own();
        self.drop_dir.remove_unproven || self.trusts_clock && may_lease()
    }

    /// Enqueues a listed file. A file that a template matches is probed after all others of the
    /// scan, because one of those may describe it and cannot be found by name.
    pub(super) fn enqueue_listed(&mut self, rel: &Path, now: Instant) {
        if self.drop_dir.ignore.ignores_entry(rel, false) {
            return;
        }
        let describes = rel.file_name().and_then(OsStr::to_str).is_some_and(may_describe);
        let is_later = !describes && self.has_template(rel);
        let at = if is_later { now + Duration::from_nanos(1) } else { now };
        self.enqueue(rel.to_path_buf(), at);
        if let Some(entry) = self.entries.get_mut(rel) {
            entry.is_listed = true;
        }
    }

    /// Scans a path if it is a directory: a new one may hold files that arrived before its watch
    /// was set up. Returns whether it is a directory to scan.
    pub(crate) fn scan_if_dir(&mut self, rel: &Path, now: Instant) -> bool {
        if self.drop_dir.recursive
            && !self.drop_dir.ignore.ignores_entry(rel, true)
            && let Ok(root) = Dir::open(&self.drop_dir.path)
            && matches!(root.stat(rel), Ok(Some(stat)) if stat.is_dir())
        {
            self.scan_dir(&root, rel, rel, now);
            return true;
        }
        false
    }

    /// Undoes interrupted insert-range work, so that the files are drops again.
    fn recover_insert(&mut self, dir: &Dir, entries: &[Listed]) {
        for name in entries.iter().filter_map(|(name, _)| name.to_str()) {
            if let Err(left) = recover_insert(&self.drop_dir, &self.context.intents, dir, name) {
                self.warn(left);
            }
        }
    }

    /// Recovers private names in the directories that npyd manages. A failure does no harm: the
    /// files keep their private names until the next start.
    fn recover_managed_dirs(&self) {
        let depth = if self.drop_dir.recursive { DEPTH_MAX } else { 0 };
        for path in self.drop_dir.managed_dirs() {
            // A directory that cannot be opened is reported when npyd writes to it.
            let Ok(dir) = Dir::open_trusted(path, self.drop_dir.untrusted_root()) else { continue };
            if let Err(error) = recover_below(&self.drop_dir, &dir, Path::new(""), depth) {
                self.context.report(Problem::Dir { error: error.to_string() });
            }
        }
    }

    /// Scans a subdirectory, unless it is ignored, managed by npyd or deeper than [`DEPTH_MAX`]. A
    /// subdirectory that cannot be read does not end the scan of the others.
    fn scan_dir(&mut self, parent: &Dir, name: &Path, rel: &Path, now: Instant) {
        if !self.drop_dir.recursive || self.is_own(rel) {
            return;
        }
        if self.drop_dir.ignore.ignores_entry(rel, true) {
            // Once per start is enough: a running npyd does not work in ignored directories.
            if !self.recovered
                && let Ok(dir) = parent.open_dir(name)
            {
                let _ = self.recover_ignored(&dir, rel);
            }
            return;
        }
        if rel.components().count() > DEPTH_MAX {
            let path = self.drop_dir.path.join(rel);
            return self.warn(Problem::TooDeep { path, max: DEPTH_MAX });
        }
        let scanned = parent.open_dir(name).and_then(|dir| self.scan_below(&dir, rel, now));
        if let Err(error) = scanned
            && !error.is_missing()
        {
            self.warn(Problem::Dir { error: error.to_string() });
        }
    }

    /// Returns whether the ledger has a data file as settled, and neither the file nor its
    /// description has changed since. A rejection holds only under the settings it was made with.
    fn is_settled(&self, dir: &Dir, name: &OsStr, known: &KnownSource) -> bool {
        let is = |name: &OsStr, identity: &str| {
            let stat = dir.stat(Path::new(name)).ok().flatten();
            stat.is_some_and(|stat| identity_of(&stat) == identity)
        };
        let SourceIdentity { data, sidecar } = &known.fingerprint.identity;
        self.holds_under_settings(known)
            && is(name, data)
            && sidecar.as_ref().is_none_or(|(name, identity)| is(name.as_ref(), identity))
    }

    /// Returns whether a source needs no further work under these settings if it is unchanged.
    pub(super) fn holds_under_settings(&self, known: &KnownSource) -> bool {
        known.is_settled
            && (!known.is_rejected || known.fingerprint.settings_hash == self.settings_hash)
    }
}

/// Partitions the listing: possible manifests last. Works in place, because listings can be huge.
fn partition_manifests(entries: &mut [Listed]) -> (&mut [Listed], &mut [Listed]) {
    let mut others = 0;
    for at in 0..entries.len() {
        let (name, kind) = &entries[at];
        if *kind == EntryKind::Dir || !name.to_str().is_some_and(is_manifest_name) {
            entries.swap(at, others);
            others += 1;
        }
    }
    entries.split_at_mut(others)
}

/// Recovers private names in a managed directory, and `depth` levels below it.
fn recover_below(drop_dir: &DropDir, dir: &Dir, below: &Path, depth: usize) -> fs::Result<()> {
    fs::recover_dir(dir, &managed_dirs_below(drop_dir, below))?;
    if depth > 0 {
        for (name, kind) in dir.entries()? {
            if kind == EntryKind::Dir {
                let dir = dir.open_dir(Path::new(&name))?;
                recover_below(drop_dir, &dir, &below.join(name), depth - 1)?;
            }
        }
    }
    Ok(())
}

/// Opens the directories between which npyd moves the files of the subdirectory `below`.
fn managed_dirs_below(drop_dir: &DropDir, below: &Path) -> Vec<Dir> {
    let dirs = std::iter::once(drop_dir.path.as_path()).chain(drop_dir.managed_dirs());
    dirs.filter_map(|dir| Dir::open_below(dir, below).ok()).collect()
}

#[cfg(test)]
mod tests {
    use crate::ledger::Ledger;
    use std::fs;

    use super::*;
    use crate::config::Config;
    use crate::events::bus::Bus;
    use crate::service::work::context::Context;
    use crate::service::work::worker_pool::Pool;

    /// The index has limited room, which the descriptions of removed manifests must not fill.
    #[test]
    fn a_claim_goes_with_its_manifest() {
        let temp = tempfile::tempdir().unwrap();
        let state = tempfile::tempdir().unwrap();
        let (state, dir) = (state.path().display(), temp.path().display());
        let text = format!("state_dir = '{state}'\n[[drop]]\npath = '{dir}'\nrecursive = false\n");
        let config = Config::parse(&text, Path::new("npyd.toml"), temp.path()).unwrap();
        let ledger = Ledger::open(&config.state_dir).unwrap();
        let context = Context::new(&config, ledger, || Ok(Bus::default()), false).unwrap();
        let pool = Pool::new(1).unwrap();
        let drop_dir = Arc::new(config.drop_dirs[0].clone());
        let mut tracker = Tracker::new(drop_dir, context, pool.queue(), drop);
        let mut scan = || {
            let now = Instant::now();
            tracker.scan(now).unwrap();
            tracker.process_due(now);
            tracker.index.len()
        };
        for name in ["a", "b"] {
            let manifest = format!("dtype = '|u1'\nshape = [1]\ndata = '{name}.raw'\n");
            fs::write(temp.path().join(format!("about-{name}.toml")), manifest).unwrap();
        }
        assert_eq!(scan(), 2);
        fs::remove_file(temp.path().join("about-a.toml")).unwrap();
        std::thread::sleep(2 * crate::service::work::outcome::PROBE_DELAY_MIN);
        scan();
        assert_eq!(scan(), 1);
    }
}
