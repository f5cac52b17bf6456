//! Listing a drop directory: the truth, of which sightings are hints.

use std::collections::{HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Patrol;
use crate::config::{Disposition, Inbox};
use crate::disk::{self, Dir, EntryKind, LeaseRight};
use crate::finalize::undo_interrupted;
use crate::ledger::{Ledger, Settled};
use crate::look::may_describe;
use crate::recognize::manifest::is_manifest_name;
use crate::stamp::{Identity, identity_of};

/// A directory's entry.
type Listed = (OsString, EntryKind);

/// How deep below a drop directory files are looked for.
pub const DEPTH_MAX: usize = 64;

/// The most complaints that are kept in mind, lest they be told again by the next scan.
const COMPLAINTS_MAX: usize = 4096;

impl Patrol {
    /// Lists the directory and sights everything in it that the ledger does not know as settled.
    pub fn scan(&mut self, now: Instant) -> disk::Result<()> {
        self.complaints.begin_anew();
        let root = Dir::open(&self.inbox.path)?;
        self.trusts_clock = !disk::fs_info(&root)?.network;
        self.forgot = false;
        let entries = &self.entries;
        self.index.retain(|rel| entries.contains_key(rel));
        if !self.tidied {
            self.tidy();
        }
        self.scan_below(&root, Path::new(""), now)?;
        self.tidied = true;
        Ok(())
    }

    /// Tells of what a scan could not do, but not again for as long as that lasts.
    pub fn complain(&mut self, what: String) {
        self.complaints.tell(what);
    }

    fn scan_below(&mut self, dir: &Dir, below: &Path, now: Instant) -> disk::Result<()> {
        let mut entries = dir.entries()?;
        if self.recover(dir, below, &entries)? {
            entries = dir.entries()?;
        }
        entries.retain(|(_, kind)| *kind != EntryKind::Other);
        let (others, manifests) = manifests_apart(&mut entries);
        others.sort_unstable();
        manifests.sort_unstable();
        let ledger = Arc::clone(&self.common.ledger);
        let mut known = Known::below(&ledger, &self.inbox.path.join(below));
        let mut accounted = vec![false; manifests.len()];
        for (name, kind) in &*others {
            if *kind == EntryKind::Dir {
                self.scan_dir(dir, Path::new(name), &below.join(name), now);
                continue;
            }
            match known.find(name).filter(|known| self.is_settled(dir, name, known)) {
                // Its manifest needs no look either.
                Some(Settled { fingerprint, is_unproven, .. }) => {
                    if is_unproven && self.may_be_proved(dir, name) {
                        self.sight_listed(below.join(name), now);
                    }
                    let sidecar = fingerprint.identity.sidecar;
                    let its = |(sidecar, _): (String, _)| {
                        manifests
                            .binary_search_by(|(name, _)| name.as_os_str().cmp(sidecar.as_ref()))
                    };
                    if let Some(Ok(at)) = sidecar.map(its) {
                        accounted[at] = true;
                    }
                }
                None => self.sight_listed(below.join(name), now),
            }
        }
        for ((name, _), _) in manifests.iter().zip(accounted).filter(|(_, accounted)| !accounted) {
            self.sight_listed(below.join(name), now);
        }
        Ok(())
    }

    /// Recovers what a crash left under private names in a listed directory; `false` where nothing
    /// has such a name.
    fn recover(&mut self, dir: &Dir, below: &Path, entries: &[Listed]) -> disk::Result<bool> {
        if !entries.iter().any(|(name, _)| name.to_str().is_some_and(disk::is_own_name)) {
            return Ok(false);
        }
        if let Err(error) = disk::tidy(dir, &places(&self.inbox, below)) {
            self.complaints.tell(error.to_string());
        }
        // It may just have got this name back.
        self.undo_interrupted(dir, &dir.entries()?);
        Ok(true)
    }

    /// Recovers the same in a directory that is ignored, and below: npyd may have worked there
    /// before it was. It was able to only where it may write.
    fn recover_ignored(&mut self, dir: &Dir, rel: &Path) -> disk::Result<()> {
        if !dir.may_be_written() || rel.components().count() > DEPTH_MAX {
            return Ok(());
        }
        let entries = dir.entries()?;
        self.recover(dir, rel, &entries)?;
        for (name, _) in entries.iter().filter(|(_, kind)| *kind == EntryKind::Dir) {
            let rel = rel.join(name);
            if !self.is_own(&rel)
                && let Err(error) =
                    dir.open_dir(Path::new(name)).and_then(|dir| self.recover_ignored(&dir, &rel))
            {
                tracing::debug!("{error}");
            }
        }
        Ok(())
    }

    /// Whether a source that stays for want of a proof may go now, as far as that can be said
    /// without opening it.
    fn may_be_proved(&self, dir: &Dir, name: &OsStr) -> bool {
        if self.inbox.source == Disposition::Keep {
            return false;
        }
        let is_own = || {
            let stat = dir.stat(Path::new(name)).ok().flatten();
            stat.is_some_and(|stat| stat.uid == disk::own_uid())
        };
        let may_lease = || self.common.lease_right != LeaseRight::OwnFiles || is_own();
        self.inbox.remove_unproven || self.trusts_clock && may_lease()
    }

    /// Sights what a template might take after all that was listed with it: something may describe
    /// it that its own name does not lead to.
    fn sight_listed(&mut self, rel: PathBuf, now: Instant) {
        if self.inbox.ignore.ignores_entry(&rel, false) {
            return;
        }
        let describes = rel.file_name().and_then(OsStr::to_str).is_some_and(may_describe);
        let is_later = !describes && self.has_template(&rel);
        self.sight(rel, if is_later { now + Duration::from_nanos(1) } else { now });
    }

    /// A directory that appeared may hold files that came before its watch.
    pub(super) fn scan_if_dir(&mut self, rel: &Path, now: Instant) -> bool {
        if self.inbox.recursive
            && !self.inbox.ignore.ignores_entry(rel, true)
            && let Ok(root) = Dir::open(&self.inbox.path)
            && matches!(root.stat(rel), Ok(Some(stat)) if stat.is_dir())
        {
            self.scan_dir(&root, rel, rel, now);
            return true;
        }
        false
    }

    /// Files that npyd was making room in when it was ended are drops again.
    fn undo_interrupted(&mut self, dir: &Dir, entries: &[Listed]) {
        for name in entries.iter().filter_map(|(name, _)| name.to_str()) {
            if let Err(left) = undo_interrupted(&self.inbox, &self.common.intents, dir, name) {
                self.complaints.tell(left);
            }
        }
    }

    /// Tidies up where npyd puts files; what can't be tidied now does no harm where it is.
    fn tidy(&self) {
        let depth = if self.inbox.recursive { DEPTH_MAX } else { 0 };
        for path in self.inbox.own_dirs() {
            // What can't be opened is told of where it is to be written to.
            let Ok(dir) = Dir::open_own(path, self.inbox.shared()) else { continue };
            if let Err(error) = tidy_below(&self.inbox, &dir, Path::new(""), depth) {
                tracing::warn!("{error}");
            }
        }
    }

    /// Scans a directory below, unless it is not part of the drop. One that can't be read does not
    /// end the scan of the others.
    fn scan_dir(&mut self, parent: &Dir, name: &Path, rel: &Path, now: Instant) {
        if !self.inbox.recursive || self.is_own(rel) {
            return;
        }
        if self.inbox.ignore.ignores_entry(rel, true) {
            // Once is enough: a running npyd does not work there.
            if !self.tidied
                && let Err(error) =
                    parent.open_dir(name).and_then(|dir| self.recover_ignored(&dir, rel))
            {
                tracing::debug!("{error}");
            }
            return;
        }
        if rel.components().count() > DEPTH_MAX {
            let path = self.inbox.path.join(rel);
            return self.complaints.tell(format!(
                "ignored `{}`: it lies deeper than {DEPTH_MAX} directories",
                path.display()
            ));
        }
        let scanned = parent.open_dir(name).and_then(|dir| self.scan_below(&dir, rel, now));
        if let Err(error) = scanned
            && !error.is_missing()
        {
            self.complaints.tell(error.to_string());
        }
    }

    /// Whether a data file and its manifest are still what the ledger knows.
    fn is_settled(&self, dir: &Dir, name: &OsStr, known: &Settled) -> bool {
        let is = |name: &OsStr, identity: &str| {
            let stat = dir.stat(Path::new(name)).ok().flatten();
            stat.is_some_and(|stat| identity_of(&stat) == identity)
        };
        let Identity { data, sidecar } = &known.fingerprint.identity;
        known.is_settled
            && is(name, data)
            && sidecar.as_ref().is_none_or(|(name, identity)| is(name.as_ref(), identity))
            && (!known.is_rejected || known.fingerprint.settings == self.settings)
    }
}

/// What a scan could not do. It is told when it is new, and not at every scan.
#[derive(Default)]
pub(super) struct Complaints {
    of_last_scan: HashSet<String>,
    of_this: HashSet<String>,
}

impl Complaints {
    fn begin_anew(&mut self) {
        self.of_last_scan = std::mem::take(&mut self.of_this);
    }

    fn tell(&mut self, what: String) {
        if !self.of_last_scan.contains(&what) && !self.of_this.contains(&what) {
            tracing::warn!("{what}");
        }
        if self.of_this.len() < COMPLAINTS_MAX {
            self.of_this.insert(what);
        }
    }
}

/// What the ledger knows of a directory's files, in the order of their names, a page at a time:
/// it may be much, and a look-up for each name would take longer.
struct Known<'a> {
    ledger: &'a Ledger,
    /// The directory's path, with a slash at its end.
    prefix: String,
    page: VecDeque<Settled>,
    last: String,
    at_end: bool,
}

impl<'a> Known<'a> {
    fn below(ledger: &'a Ledger, dir: &Path) -> Self {
        let prefix = format!("{}/", dir.to_string_lossy().trim_end_matches('/'));
        Known { ledger, last: prefix.clone(), prefix, page: VecDeque::new(), at_end: false }
    }

    /// What is known of a name; names must come in order.
    fn find(&mut self, name: &OsStr) -> Option<Settled> {
        let source = format!("{}{}", self.prefix, name.to_str()?);
        loop {
            if let Some(settled) = self.page.pop_front_if(|it| it.source <= source) {
                if settled.source == source {
                    return Some(settled);
                }
            } else if self.page.is_empty() && !self.at_end {
                self.turn();
            } else {
                return None;
            }
        }
    }

    fn turn(&mut self) {
        match self.ledger.settled_below(&self.prefix, &self.last) {
            Ok(page) => self.page.extend(page),
            Err(error) => tracing::warn!("{error}"),
        }
        match self.page.back() {
            Some(settled) => self.last.clone_from(&settled.source),
            None => self.at_end = true,
        }
    }
}

/// Moves what may be manifests behind all others, without a second list: there may be very many.
fn manifests_apart(entries: &mut [Listed]) -> (&mut [Listed], &mut [Listed]) {
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

fn tidy_below(inbox: &Inbox, dir: &Dir, below: &Path, depth: usize) -> disk::Result<()> {
    disk::tidy(dir, &places(inbox, below))?;
    if depth > 0 {
        for (name, kind) in dir.entries()? {
            if kind == EntryKind::Dir {
                let dir = dir.open_dir(Path::new(&name))?;
                tidy_below(inbox, &dir, &below.join(name), depth - 1)?;
            }
        }
    }
    Ok(())
}

/// Everywhere between which npyd moves the files of a directory `below` the drop directory.
fn places(inbox: &Inbox, below: &Path) -> Vec<Dir> {
    let dirs = std::iter::once(inbox.path.as_path()).chain(inbox.own_dirs());
    dirs.filter_map(|dir| Dir::open_below(dir, below).ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crossbeam_channel::unbounded;

    use super::*;
    use crate::config::Config;
    use crate::patrol::{Common, Tell};
    use crate::pool::Pool;
    use crate::progress::Show;

    /// There is room for so many, and no manifest must find it taken by those that are gone.
    #[test]
    fn a_claim_goes_with_its_manifest() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().display();
        let text =
            format!("state_dir = '{dir}/state'\n[[drop]]\npath = '{dir}'\nrecursive = false\n");
        let config = Config::parse(&text, Path::new("npyd.toml"), temp.path()).unwrap();
        let ledger = Ledger::open(&config.state_dir).unwrap();
        let common = Common::new(&config, ledger, Show::Log, Tell::Log);
        let (pool, (ended, _)) = (Pool::new(1), unbounded());
        let inbox = Arc::new(config.inboxes[0].clone());
        let mut patrol = Patrol::new(inbox, common, pool.queue(), ended);
        let mut scan = || {
            let now = Instant::now();
            patrol.scan(now).unwrap();
            patrol.tend(now);
            patrol.index.len()
        };
        for name in ["a", "b"] {
            let manifest = format!("dtype = '|u1'\nshape = [1]\ndata = '{name}.raw'\n");
            fs::write(temp.path().join(format!("about-{name}.toml")), manifest).unwrap();
        }
        assert_eq!(scan(), 2);
        fs::remove_file(temp.path().join("about-a.toml")).unwrap();
        std::thread::sleep(2 * super::super::LOOK_MIN);
        scan();
        assert_eq!(scan(), 1);
    }
}
