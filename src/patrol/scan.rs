//! Listing a drop directory: the truth, of which sightings are hints.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::Patrol;
use crate::disk::{self, Dir, EntryKind};
use crate::receipt::Event;
use crate::recognize::manifest::is_manifest_name;
use crate::stamp::{Fingerprint, Identity, identity_of};

/// How deep below a drop directory files are looked for.
const DEPTH_MAX: usize = 64;

impl Patrol {
    /// Lists the directory and sights everything in it that the ledger does not know as settled.
    pub fn scan(&mut self, now: Instant) -> disk::Result<()> {
        let root = Dir::open(&self.inbox.path)?;
        self.trusts_clock = !disk::fs_info(&root)?.network;
        self.forgot = false;
        if !std::mem::replace(&mut self.tidied, true) {
            self.tidy();
        }
        self.scan_below(&root, Path::new(""), now)
    }

    fn scan_below(&mut self, dir: &Dir, below: &Path, now: Instant) -> disk::Result<()> {
        let mut entries = dir.entries()?;
        if entries.iter().any(|(name, _)| name.to_str().is_some_and(disk::is_own_name)) {
            disk::tidy(dir)?;
            entries = dir.entries()?;
        }
        let (manifests, others): (Vec<_>, Vec<_>) = entries
            .into_iter()
            .filter(|(_, kind)| *kind != EntryKind::Other)
            .partition(|(name, _)| name.to_str().is_some_and(is_manifest_name));
        let mut accounted = HashSet::new();
        for (name, kind) in others.into_iter().chain(manifests) {
            let rel = below.join(&name);
            if kind == EntryKind::Dir {
                if self.inbox.recursive && !self.is_own(&rel) {
                    self.scan_dir(dir, Path::new(&name), &rel, now);
                }
            } else if !accounted.remove(&rel) && !self.is_settled(dir, &rel, &mut accounted) {
                self.sight(rel, now);
            }
        }
        Ok(())
    }

    /// A directory that appeared may hold files that came before its watch.
    pub(super) fn scan_if_dir(&mut self, rel: &Path, now: Instant) -> bool {
        if self.inbox.recursive
            && let Ok(root) = Dir::open(&self.inbox.path)
            && matches!(root.stat(rel), Ok(Some(stat)) if stat.is_dir())
        {
            self.scan_dir(&root, rel, rel, now);
            return true;
        }
        false
    }

    /// Tidies up where npyd puts files; what can't be tidied now does no harm where it is.
    fn tidy(&self) {
        let dirs =
            self.inbox.own_dirs().filter_map(|path| Dir::open(path).ok()).collect::<Vec<_>>();
        for dir in dirs {
            if let Err(error) = tidy_below(&dir, if self.inbox.recursive { DEPTH_MAX } else { 0 }) {
                tracing::warn!("{error}");
            }
        }
    }

    /// One directory that can't be read does not end the scan of the others.
    fn scan_dir(&mut self, parent: &Dir, name: &Path, rel: &Path, now: Instant) {
        if rel.components().count() > DEPTH_MAX {
            let path = self.inbox.path.join(rel);
            return tracing::warn!(
                "ignored `{}`: it lies deeper than {DEPTH_MAX} directories",
                path.display()
            );
        }
        let scanned = parent.open_dir(name).and_then(|dir| self.scan_below(&dir, rel, now));
        if let Err(error) = scanned
            && !error.is_missing()
        {
            tracing::warn!("{error}");
        }
    }

    /// Whether the ledger knows that a data file needs no look; its manifest needs none either.
    fn is_settled(&self, dir: &Dir, rel: &Path, accounted: &mut HashSet<PathBuf>) -> bool {
        let path = self.inbox.path.join(rel);
        let Ok(Some(entry)) = self.common.ledger.latest(&path) else { return false };
        let Some(known) = Fingerprint::parse(&entry.fingerprint) else { return false };
        let is = |name: &Path, identity: &str| {
            dir.stat(name).ok().flatten().is_some_and(|stat| identity_of(&stat) == identity)
        };
        let Identity { data, sidecar } = &known.identity;
        let same = entry.is_settled()
            && is(Path::new(rel.file_name().unwrap_or_default()), data)
            && sidecar.as_ref().is_none_or(|(name, identity)| is(Path::new(name), identity))
            && (entry.event != Event::Rejected.as_str() || known.settings == self.settings);
        if same {
            accounted.extend(sidecar.as_ref().map(|(name, _)| rel.with_file_name(name)));
        }
        same
    }
}

fn tidy_below(dir: &Dir, depth: usize) -> disk::Result<()> {
    disk::tidy(dir)?;
    if depth > 0 {
        for (name, kind) in dir.entries()? {
            if kind == EntryKind::Dir {
                tidy_below(&dir.open_dir(Path::new(&name))?, depth - 1)?;
            }
        }
    }
    Ok(())
}
