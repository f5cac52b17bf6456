//! The inotify instance of a watch thread, with the paths of the directories that it watches.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::DropDir;
use crate::fs::{Dir, Inotify, InotifyEvent, WatchId};
use crate::service::watch::{PathEvent, RootId, WatchError};

/// Maximum number of events of one drop directory that wait for its turn. Events beyond it are
/// lost, and a scan replaces them.
const EVENTS_MAX: usize = 16_384;

/// Maximum number of reads in a row. The kernel's queue holds less, unless it is filled meanwhile.
const READS_MAX: usize = 512;

/// Maximum number of renamed directories whose watches wait for their end. The next complete scan
/// ends the watches of further ones.
const MOVED_MAX: usize = 1024;

/// The inotify instance of a watch thread. It exists once a drop directory needs it.
#[derive(Default)]
pub struct Instance {
    table: Mutex<Table>,
}

/// What an instance watches.
#[derive(Default)]
pub(super) struct Table {
    inotify: Option<Arc<Inotify>>,
    /// The drop directory of each watched directory.
    owners: HashMap<WatchId, RootId>,
    pub(super) roots: HashMap<RootId, Root>,
    /// Counts what makes paths out of date: scans, and renames of directories.
    clock: u64,
    /// The drop directories that have events or lost some, since this list was taken.
    ready: Vec<RootId>,
}

/// What an instance watches for one drop directory.
pub(super) struct Root {
    drop_dir: Arc<DropDir>,
    dirs: HashMap<WatchId, WatchedDir>,
    events: VecDeque<PathEvent>,
    /// Renamed directories, by their old paths, with the clock of the rename.
    moved: HashMap<Box<Path>, u64>,
    /// The clock when the current scan began.
    scan_began: u64,
    pub(super) has_overflow: bool,
    /// Whether the drop directory itself was renamed, removed or unmounted.
    pub(super) has_moved: bool,
}

/// A watched directory.
struct WatchedDir {
    /// The path below the drop directory.
    rel: Box<Path>,
    /// The clock when a scan came to this path last.
    seen: u64,
}

impl WatchedDir {
    /// Returns whether it is the drop directory itself.
    fn is_root(&self) -> bool {
        self.rel.as_os_str().is_empty()
    }
}

impl Instance {
    pub(super) fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the descriptor to wait for, if there is one.
    #[must_use]
    pub fn inotify(&self) -> Option<Arc<Inotify>> {
        self.lock().inotify.clone()
    }

    /// Distributes all events that the kernel has queued. They are taken with
    /// [`RootWatch::take_events`].
    ///
    /// [`RootWatch::take_events`]: crate::service::watch::RootWatch::take_events
    pub fn read_events(&self) {
        let mut table = self.lock();
        let Some(inotify) = table.inotify.clone() else { return };
        for _ in 0..READS_MAX {
            match inotify.read(|event| table.distribute(event)) {
                Ok(true) => {}
                Ok(false) => return,
                Err(_) => return table.distribute(InotifyEvent::Overflow),
            }
        }
    }

    /// Returns the drop directories that got events or lost some since the last call.
    #[must_use]
    pub fn take_ready(&self) -> Vec<RootId> {
        std::mem::take(&mut self.lock().ready)
    }
}

impl Table {
    /// Adds a drop directory, and the instance if this is the first one.
    pub(super) fn add_root(
        &mut self,
        id: RootId,
        drop_dir: &Arc<DropDir>,
    ) -> Result<(), WatchError> {
        if self.inotify.is_none() {
            self.inotify = Some(Arc::new(Inotify::new()?));
        }
        let root = Root {
            drop_dir: Arc::clone(drop_dir),
            dirs: HashMap::new(),
            events: VecDeque::new(),
            moved: HashMap::new(),
            scan_began: 0,
            has_overflow: false,
            has_moved: false,
        };
        self.roots.insert(id, root);
        Ok(())
    }

    /// Ends all watches of a drop directory.
    pub(super) fn remove_root(&mut self, id: RootId) {
        let Some(root) = self.roots.remove(&id) else { return };
        for watch in root.dirs.into_keys() {
            self.end_watch(watch);
        }
        if self.roots.is_empty() {
            self.inotify = None;
        }
    }

    fn end_watch(&mut self, watch: WatchId) {
        self.owners.remove(&watch);
        if let Some(inotify) = &self.inotify {
            inotify.unwatch(watch);
        }
    }

    /// Watches a directory of a drop directory, or notes its new path if it is watched.
    pub(super) fn watch(&mut self, id: RootId, dir: &Dir, rel: &Path) -> Result<(), WatchError> {
        let Some(inotify) = self.inotify.clone() else { return Ok(()) };
        let watch = inotify.watch(dir)?;
        match self.owners.insert(watch, id) {
            Some(other) if other != id => self.take_from(other, watch)?,
            Some(_) | None => {}
        }
        let seen = self.clock;
        if let Some(root) = self.roots.get_mut(&id) {
            let known = root.dirs.entry(watch);
            let known = known.or_insert_with(|| WatchedDir { rel: rel.into(), seen });
            known.seen = seen;
            if *known.rel != *rel {
                known.rel = rel.into();
            }
        }
        Ok(())
    }

    /// Takes a directory from a drop directory out of which it was moved. Fails if it is still
    /// there, because both contain it.
    fn take_from(&mut self, other: RootId, watch: WatchId) -> Result<(), WatchError> {
        let Some(root) = self.roots.get_mut(&other) else { return Ok(()) };
        let Some(known) = root.dirs.get(&watch) else { return Ok(()) };
        let still = Dir::open_below(&root.drop_dir.path, &known.rel);
        let inotify = self.inotify.as_ref();
        let there = still.ok().and_then(|dir| inotify.and_then(|it| it.watch(&dir).ok()));
        if there == Some(watch) {
            self.owners.insert(watch, other);
            return Err(WatchError::Shared);
        }
        root.dirs.remove(&watch);
        Ok(())
    }

    /// Notes that a scan of all directories begins.
    pub(super) fn begin_scan(&mut self, id: RootId) {
        self.clock += 1;
        if let Some(root) = self.roots.get_mut(&id) {
            root.scan_began = self.clock;
        }
    }

    /// Ends the watches of directories that the scan did not find.
    pub(super) fn end_scan(&mut self, id: RootId) {
        if let Some(root) = self.roots.get_mut(&id) {
            root.moved.clear();
            let began = root.scan_began;
            self.end_watches(id, |dir| dir.seen < began);
        }
    }

    /// Ends the watches of directories that were renamed and not found under another name since,
    /// and of all below them.
    pub(super) fn end_moved(&mut self, id: RootId) {
        let Some(root) = self.roots.get_mut(&id) else { return };
        if root.moved.is_empty() {
            return;
        }
        let moved = std::mem::take(&mut root.moved);
        self.end_watches(id, |dir| {
            let mut above = dir.rel.ancestors().filter_map(|above| moved.get(above));
            above.any(|clock| dir.seen < *clock)
        });
    }

    fn end_watches(&mut self, id: RootId, is_outdated: impl Fn(&WatchedDir) -> bool) {
        let Some(root) = self.roots.get_mut(&id) else { return };
        let ended: Vec<_> = root.dirs.extract_if(|_, dir| is_outdated(dir)).collect();
        for (watch, _) in ended {
            self.end_watch(watch);
        }
    }

    fn distribute(&mut self, event: InotifyEvent<'_>) {
        match event {
            InotifyEvent::Arrived(watch, name) => self.add_event(watch, name, false),
            InotifyEvent::Created(watch, name) => self.add_event(watch, name, true),
            InotifyEvent::Moved(watch) => self.note_move(watch),
            InotifyEvent::Ended(watch) => {
                if let Some(owner) = self.owners.remove(&watch)
                    && let Some(root) = self.roots.get_mut(&owner)
                    && let Some(dir) = root.dirs.remove(&watch)
                    && dir.is_root()
                {
                    root.has_moved = true;
                    self.ready.push(owner);
                }
            }
            InotifyEvent::Overflow => {
                self.roots.values_mut().for_each(|root| root.has_overflow = true);
                self.ready.extend(self.roots.keys());
            }
        }
    }

    /// Adds an event, unless its path is ignored.
    fn add_event(&mut self, watch: WatchId, name: &OsStr, is_new: bool) {
        let Some(owner) = self.owners.get(&watch) else { return };
        let Some(root) = self.roots.get_mut(owner) else { return };
        let Some(dir) = root.dirs.get(&watch) else { return };
        let rel = dir.rel.join(name);
        if root.drop_dir.ignore.ignores_path(&rel) {
            return;
        }
        if root.events.is_empty() {
            self.ready.push(*owner);
        }
        if root.events.len() < EVENTS_MAX {
            root.events.push_back(PathEvent { rel, is_new });
        } else {
            root.has_overflow = true;
        }
    }

    fn note_move(&mut self, watch: WatchId) {
        let Some(owner) = self.owners.get(&watch) else { return };
        let Some(root) = self.roots.get_mut(owner) else { return };
        let Some(dir) = root.dirs.get(&watch) else { return };
        if dir.is_root() {
            root.has_moved = true;
            self.ready.push(*owner);
        } else if root.moved.len() < MOVED_MAX {
            self.clock += 1;
            root.moved.insert(dir.rel.clone(), self.clock);
        }
    }
}

impl Root {
    /// Returns the events since the last call.
    pub(super) fn take_events(&mut self) -> VecDeque<PathEvent> {
        std::mem::take(&mut self.events)
    }

    #[cfg(test)]
    pub(super) fn watched(&self) -> Vec<&Path> {
        let mut watched: Vec<_> = self.dirs.values().map(|dir| &*dir.rel).collect();
        watched.sort_unstable();
        watched
    }
}
