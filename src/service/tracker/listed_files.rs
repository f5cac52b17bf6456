//! Listed files: what a scan does with the names of a directory. It drops a name at once if nothing
//! can mean its file: if the ledger has it as settled, or if nothing describes it, no template
//! matches it, and it has no pending header.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::config::Disposition;
use crate::decide::source_identity::{SourceIdentity, identity_of};
use crate::events::left_alone::LeftAloneKind;
use crate::fs::{self, Dir, EntryKind, LeaseRight};
use crate::ledger::KnownSource;
use crate::model::{FileName, Stat, is_npy_name, is_reserved_name};
use crate::probe::{
    BareFile, ReadDescription, bare_file, data_named_by, first_data_named_by, is_put_beside_arrays,
    may_describe, possible_descriptions,
};
use crate::service::tracker::first_walk::Finding;
use crate::service::tracker::looks::is_external;
use crate::service::tracker::walk::Listed;
use crate::service::tracker::{ENTRIES_MAX, Tracker};

/// A directory that a scan is in.
pub(super) struct ScannedDir<'a> {
    /// The drop directory.
    pub(super) root: &'a Dir,
    pub(super) dir: &'a Dir,
    /// Its path below the drop directory.
    pub(super) rel: &'a Path,
    /// Whether the scan is one of the whole drop directory.
    pub(super) is_pass: bool,
    /// When the scan began.
    pub(super) began: Instant,
}

/// What a listed file is that is named like a description.
enum ListedDescription {
    /// The drop that it describes is settled in the ledger.
    Settled,
    /// It describes a drop that is not.
    Open(Box<ReadDescription>),
    /// A failed call does not tell. The probe reports the error.
    Unreadable,
    /// It describes nothing.
    Other,
}

impl Tracker {
    /// Adds the descriptions among these names to the index, so that all descriptions of a data
    /// file are known before it is probed.
    pub(super) fn read_descriptions(
        &mut self,
        scanned: &ScannedDir<'_>,
        names: &[Listed],
        now: Instant,
    ) {
        let files = names.iter().filter(|(name, kind)| {
            *kind == EntryKind::File
                && name.to_str().is_some_and(may_describe)
                && !self.drop_dir.ignore.ignores_entry(&scanned.rel.join(name), false)
        });
        let names: Vec<&OsStr> = files.map(|(name, _)| name.as_os_str()).collect();
        if scanned.is_pass {
            for name in &names {
                self.index.note_listed(&scanned.rel.join(name));
            }
        }
        for (name, listed) in self.listed_descriptions(scanned, &names, now) {
            let is_indexed = match &listed {
                ListedDescription::Settled => continue,
                ListedDescription::Open(read) => {
                    // The probe reports an error.
                    let added = self.index.add_read((&self.drop_dir, scanned.root), read);
                    added.is_ok() && !self.index.is_incomplete()
                }
                ListedDescription::Unreadable | ListedDescription::Other => false,
            };
            let read = match &listed {
                ListedDescription::Open(read) if is_indexed => Some(&**read),
                _ => None,
            };
            self.first_walk.note_unsettled(&scanned.rel.join(name), read);
        }
    }

    /// Enqueues the files among these names that may be drops. Returns their number.
    pub(super) fn find_drops(
        &mut self,
        scanned: &ScannedDir<'_>,
        names: &[Listed],
        now: Instant,
    ) -> u64 {
        let before = self.entries.len();
        let (mut descriptions, mut data, mut meant) = (Vec::new(), Vec::new(), Vec::new());
        for (name, kind) in names {
            let text = name.to_str();
            let describes = text.is_some_and(may_describe);
            if scanned.is_pass
                && *kind == EntryKind::File
                && self.first_walk.has_settled((scanned.rel, name), describes)
            {
                continue;
            }
            let rel = scanned.rel.join(name);
            if describes && *kind != EntryKind::File {
                // A link or a directory in place of a manifest: its data wait for a file.
                meant.extend(data_beside(scanned, name));
                continue;
            }
            if *kind != EntryKind::File
                || text.is_some_and(is_reserved_name)
                || self.drop_dir.ignore.ignores_entry(&rel, false)
            {
                continue;
            }
            if self.entries.contains_key(&rel) {
                self.find_tracked(scanned, &rel, now);
            } else if describes {
                match self.first_walk.take((scanned.dir, scanned.rel), name) {
                    Finding::Settled if scanned.is_pass => {}
                    Finding::Unchanged => self.enqueue_found(scanned, &rel, now),
                    Finding::Settled | Finding::Unknown => descriptions.push(name.as_os_str()),
                }
            } else if !scanned.is_pass || !self.first_walk.leads_to(scanned.rel, name) {
                data.push(name.clone());
            }
        }
        for (name, listed) in self.listed_descriptions(scanned, &descriptions, now) {
            match listed {
                ListedDescription::Settled => {}
                ListedDescription::Open(read) => {
                    self.index.note_later(&scanned.rel.join(name));
                    let _ = self.index.add_read((&self.drop_dir, scanned.root), &read);
                    self.enqueue_found(scanned, &scanned.rel.join(name), now);
                }
                ListedDescription::Unreadable => {
                    self.enqueue_found(scanned, &scanned.rel.join(name), now);
                }
                ListedDescription::Other => {
                    if is_empty(scanned.dir, name) {
                        meant.extend(data_beside(scanned, name));
                    }
                    data.push(name.to_os_string());
                }
            }
        }
        self.find_data(scanned, &data, now);
        self.find_meant(scanned, &meant, now);
        self.entries.len().saturating_sub(before) as u64
    }

    /// Has a tracked file that a scan lists probed again.
    fn find_tracked(&mut self, scanned: &ScannedDir<'_>, rel: &Path, now: Instant) {
        let Some(entry) = self.entries.get_mut(rel) else { return };
        entry.is_listed |= scanned.is_pass;
        if entry.is_held() {
            return entry.note_again();
        }
        let is_changed = || {
            let stat = scanned.root.stat(rel).ok().flatten();
            stat.is_none_or(|stat| entry.has_changed(&stat))
        };
        if !is_external(entry.state()) || is_changed() {
            self.schedule(rel.to_path_buf(), now);
        } else {
            self.schedule_look(rel, now);
        }
    }

    /// Enqueues the data files among these names that are not settled. A description leads to its
    /// data; these are the others, and those that it may not lead to.
    fn find_data(&mut self, scanned: &ScannedDir<'_>, names: &[OsString], now: Instant) {
        let known = self.known_sources(scanned, names.iter().map(OsString::as_os_str));
        for (name, known) in names.iter().zip(known) {
            let rel = scanned.rel.join(name);
            let is_wanted = match known {
                Some(known) if self.is_settled(scanned.dir, name, &known) => {
                    known.is_unproven && self.may_be_proved(scanned.dir, name)
                }
                // It has changed, and a request may have declared its layout.
                Some(known) if known.is_settled => true,
                _ => self.may_be_drop(scanned, &rel),
            };
            if is_wanted {
                self.enqueue_found(scanned, &rel, now);
            }
        }
    }

    /// Enqueues data files beside something that is named like their description, but can't be it.
    fn find_meant(&mut self, scanned: &ScannedDir<'_>, names: &[OsString], now: Instant) {
        let known = self.known_sources(scanned, names.iter().map(OsString::as_os_str));
        for (name, known) in names.iter().zip(known) {
            let rel = scanned.rel.join(name);
            if !known.is_some_and(|known| self.is_settled(scanned.dir, name, &known))
                && !self.entries.contains_key(&rel)
                && !self.drop_dir.ignore.ignores_entry(&rel, false)
            {
                self.insert(rel, now);
            }
        }
    }

    /// Returns whether a file may be a drop that no description leads to. Counts those that are
    /// not, for the report of the scan.
    fn may_be_drop(&mut self, scanned: &ScannedDir<'_>, rel: &Path) -> bool {
        if let Some(is_settled) = self.is_in_settled_series(rel) {
            return !is_settled;
        }
        let text = rel.file_name().and_then(OsStr::to_str);
        let is_beside = text.is_some_and(is_put_beside_arrays);
        if self.requests.contains_key(rel) || self.is_described(rel) {
            return true;
        }
        let has_template = !is_beside && self.has_template(rel);
        if has_template && !(is_npy_name(rel) && self.drop_dir.output.is_none()) {
            return true;
        }
        let (kind, changed_ns) = match bare_file((&self.drop_dir, scanned.root), rel) {
            Ok(BareFile::Gone) => return false,
            Ok(BareFile::Array(changed_ns)) => (LeftAloneKind::Array, changed_ns),
            Ok(BareFile::Undescribed(changed_ns)) if !has_template => {
                let kind = if text.is_some_and(|it| FileName::try_from(it.to_owned()).is_ok()) {
                    LeftAloneKind::Undescribed
                } else {
                    LeftAloneKind::BadName
                };
                (kind, changed_ns)
            }
            Ok(BareFile::Drop | BareFile::Undescribed(_)) | Err(_) => return true,
        };
        if scanned.is_pass && !is_beside {
            self.note_left_alone((scanned.root, rel), kind, changed_ns);
        }
        false
    }

    /// Returns whether a description that is tracked, or in the index, may describe a file.
    fn is_described(&self, rel: &Path) -> bool {
        if self.index.describing(rel).next().is_some() {
            return true;
        }
        let is_tracked = |path: PathBuf| self.entries.contains_key(&path);
        !self.entries.is_empty() && possible_descriptions(rel).into_iter().any(is_tracked)
    }

    /// Enqueues a file that a scan found. A file that a template matches is probed after all others
    /// of the step, because one of those may describe it and cannot be found by name.
    fn enqueue_found(&mut self, scanned: &ScannedDir<'_>, rel: &Path, now: Instant) {
        let describes = rel.file_name().and_then(OsStr::to_str).is_some_and(may_describe);
        let is_later = !describes && self.has_template(rel);
        let at = if is_later { now + Duration::from_nanos(1) } else { now };
        self.insert(rel.to_path_buf(), at);
        if let Some(entry) = self.entries.get_mut(rel) {
            entry.since = entry.since.min(scanned.began);
            entry.is_listed |= scanned.is_pass;
        }
    }

    /// Returns what each of these files is, which are named like descriptions.
    fn listed_descriptions<'n>(
        &mut self,
        scanned: &ScannedDir<'_>,
        names: &[&'n OsStr],
        now: Instant,
    ) -> Vec<(&'n OsStr, ListedDescription)> {
        let mut open: Vec<usize> = (0..names.len()).collect();
        open.retain(|at| !self.settled_series.contains(&scanned.rel.join(names[*at])));
        // Most are settled with the data file that their name leads to first, so that the ledger
        // need not be asked about others.
        let first = open.iter().map(|at| (*at, names[*at].to_str().and_then(first_data_named_by)));
        let first: Vec<_> = first.filter_map(|(at, data)| Some((at, data?))).collect();
        self.leave_unsettled(scanned, names, &first, &mut open);
        let data = open.iter().map(|at| names[*at].to_str().map(data_named_by).unwrap_or_default());
        let data: HashMap<usize, Vec<String>> = open.iter().copied().zip(data).collect();
        let others =
            data.iter().flat_map(|(at, data)| data.iter().skip(1).map(|it| (*at, it.clone())));
        let others: Vec<_> = others.collect();
        self.leave_unsettled(scanned, names, &others, &mut open);
        let own = self.known_sources(scanned, open.iter().map(|at| names[*at]));
        let mut listed: Vec<_> =
            names.iter().map(|name| (*name, ListedDescription::Settled)).collect();
        for (at, own) in open.into_iter().zip(own) {
            listed[at].1 = self.listed_description(scanned, names[at], (own, &data[&at]), now);
        }
        listed
    }

    /// Removes those of the `open` descriptions that are settled with one of these data files. Each
    /// file is with the position of its description in `names`.
    fn leave_unsettled(
        &mut self,
        scanned: &ScannedDir<'_>,
        names: &[&OsStr],
        data: &[(usize, String)],
        open: &mut Vec<usize>,
    ) {
        let known = self.known_sources(scanned, data.iter().map(|(_, data)| OsStr::new(data)));
        let mut settled = HashSet::new();
        for ((at, data), known) in data.iter().zip(&known) {
            let data = OsStr::new(data);
            if self.is_settled_with(scanned, names[*at], (data, known.as_ref())) {
                settled.insert(*at);
                if scanned.is_pass && known.as_ref().is_some_and(|known| !known.is_unproven) {
                    self.first_walk.note_settled(scanned.rel, data);
                }
            }
        }
        open.retain(|at| !settled.contains(at));
    }

    /// Returns what a file is that is named like a description, and that is not settled with one of
    /// the data files `named` that its name leads to. `own` is what the ledger has about its path.
    fn listed_description(
        &mut self,
        scanned: &ScannedDir<'_>,
        name: &OsStr,
        (own, named): (Option<KnownSource>, &[String]),
        now: Instant,
    ) -> ListedDescription {
        let series = own
            .and_then(|known| self.settled_series(scanned.dir, (scanned.rel, name), &known, now));
        if series.is_some() {
            if self.settled_series.len() < ENTRIES_MAX {
                self.settled_series.insert(scanned.rel.join(name));
            }
            return ListedDescription::Settled;
        }
        let read =
            match ReadDescription::read((&self.drop_dir, scanned.root), &scanned.rel.join(name)) {
                Ok(Some(read)) => read,
                Ok(None) => return ListedDescription::Other,
                Err(_) => return ListedDescription::Unreadable,
            };
        let arrays = read.data();
        let are_settled = !arrays.is_empty()
            && arrays.iter().all(|paths| self.is_array_settled(scanned, name, (paths, named)));
        if are_settled {
            ListedDescription::Settled
        } else {
            ListedDescription::Open(Box::new(read))
        }
    }

    /// Returns whether one of the files that may hold an array is settled with this description.
    /// Looks only beside the description, and not at the files `without`, which are not.
    fn is_array_settled(
        &self,
        scanned: &ScannedDir<'_>,
        description: &OsStr,
        (paths, without): (&[PathBuf], &[String]),
    ) -> bool {
        let beside = paths.iter().filter(|path| path.parent() == Some(scanned.rel));
        let names = beside.filter_map(|path| path.file_name());
        let names = names.filter(|name| without.iter().all(|it| *name != it.as_str()));
        let names: Vec<_> = names.map(OsStr::to_os_string).collect();
        self.find_known(scanned, &names)
            .into_iter()
            .any(|(data, known)| self.is_settled_with(scanned, description, (data, known.as_ref())))
    }

    /// Returns whether a data file is settled with this description, and unchanged.
    fn is_settled_with(
        &self,
        scanned: &ScannedDir<'_>,
        description: &OsStr,
        (data, known): (&OsStr, Option<&KnownSource>),
    ) -> bool {
        known.is_some_and(|known| {
            let sidecar = known.fingerprint.identity.sidecar.as_ref();
            sidecar.is_some_and(|(name, _)| description == name.as_str())
                && self.is_settled(scanned.dir, data, known)
        })
    }

    fn find_known<'n>(
        &self,
        scanned: &ScannedDir<'_>,
        names: &'n [OsString],
    ) -> Vec<(&'n OsStr, Option<KnownSource>)> {
        let names = names.iter().map(OsString::as_os_str);
        names.clone().zip(self.known_sources(scanned, names)).collect()
    }

    /// Returns what the ledger has about files of a directory.
    fn known_sources<'n>(
        &self,
        scanned: &ScannedDir<'_>,
        names: impl Iterator<Item = &'n OsStr>,
    ) -> Vec<Option<KnownSource>> {
        let names: Vec<&OsStr> = names.collect();
        let dir = self.drop_dir.path.join(scanned.rel);
        self.context.ledger().known_sources(&dir, &names).unwrap_or_else(|error| {
            self.context.report_ledger(&error);
            vec![None; names.len()]
        })
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

/// Returns the existing files that a description of this name would describe.
fn data_beside(scanned: &ScannedDir<'_>, description: &OsStr) -> Vec<OsString> {
    let names = description.to_str().map(data_named_by).unwrap_or_default();
    let is_there = |name: &String| {
        let stat = scanned.dir.stat(Path::new(name)).ok().flatten();
        stat.as_ref().is_some_and(Stat::is_file)
    };
    names.into_iter().filter(is_there).map(Into::into).collect()
}

fn is_empty(dir: &Dir, name: &OsStr) -> bool {
    matches!(dir.stat(Path::new(name)), Ok(Some(stat)) if stat.size == 0)
}
