//! The watches of one drop directory.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::config::DropDir;
use crate::events::bus::Bus;
use crate::events::event::Event;
use crate::events::watch_state::WatchState;
use crate::fs::Dir;
use crate::service::watch::instance::Root;
use crate::service::watch::{Instance, PathEvent, RootId, WatchError};

/// The watches of one drop directory. Dropping it ends them.
pub struct RootWatch {
    instance: Arc<Instance>,
    id: RootId,
    drop_dir: Arc<DropDir>,
    bus: Arc<Bus>,
    /// Whether a failure was published.
    has_failed: AtomicBool,
    is_exhausted: AtomicBool,
    is_shared: AtomicBool,
}

impl RootWatch {
    /// Starts to watch a drop directory. Its subdirectories are watched as scans come to them.
    ///
    /// # Errors
    ///
    /// Returns an error if inotify is not available, its watches or instances are exhausted, or
    /// another drop directory of the instance contains this one.
    pub fn start(
        (instance, id): (Arc<Instance>, RootId),
        drop_dir: &Arc<DropDir>,
        bus: &Arc<Bus>,
        dir: &Dir,
    ) -> Result<Self, WatchError> {
        let watch = RootWatch {
            instance,
            id,
            drop_dir: Arc::clone(drop_dir),
            bus: Arc::clone(bus),
            has_failed: AtomicBool::default(),
            is_exhausted: AtomicBool::default(),
            is_shared: AtomicBool::default(),
        };
        watch.instance.lock().add_root(id, drop_dir)?;
        watch.instance.lock().watch(id, dir, Path::new(""))?;
        Ok(watch)
    }

    /// Watches a directory that is to be listed next. A directory that npyd may not read has no
    /// watch; its listing reports that.
    pub fn cover(&self, dir: &Dir, rel: &Path) {
        let watched = self.instance.lock().watch(self.id, dir, rel);
        let Err(error) = watched else { return };
        match &error {
            WatchError::Shared => self.is_shared.store(true, Ordering::Relaxed),
            WatchError::Os(os) if is_of_dir(os) => {}
            WatchError::Os(_) => {
                self.is_exhausted.fetch_or(error.is_exhausted(), Ordering::Relaxed);
                if !self.has_failed.swap(true, Ordering::Relaxed) {
                    let state = WatchState::Incomplete { error: error.to_string() };
                    let drop_dir = self.drop_dir.path.clone();
                    self.bus.publish(Event::Watch { drop_dir, state });
                }
            }
        }
    }

    /// Notes that a scan of all directories begins.
    pub fn begin_scan(&self) {
        self.instance.lock().begin_scan(self.id);
    }

    /// Ends the watches of directories to which the scan did not come.
    pub fn end_scan(&self) {
        self.instance.lock().end_scan(self.id);
    }

    /// Ends the watches of directories that were moved away.
    pub fn end_moved(&self) {
        self.instance.lock().end_moved(self.id);
    }

    /// Returns the events since the last call.
    #[must_use]
    pub fn take_events(&self) -> VecDeque<PathEvent> {
        let mut table = self.instance.lock();
        table.roots.get_mut(&self.id).map(Root::take_events).unwrap_or_default()
    }

    /// Returns whether the drop directory itself was renamed, removed or unmounted since the last
    /// call.
    #[must_use]
    pub fn take_root_event(&self) -> bool {
        let mut table = self.instance.lock();
        table.roots.get_mut(&self.id).is_some_and(|root| std::mem::take(&mut root.has_moved))
    }

    /// Returns whether events were lost since [`RootWatch::forget_overflow`]; only a scan finds
    /// their paths.
    #[must_use]
    pub fn has_overflow(&self) -> bool {
        self.instance.lock().roots.get(&self.id).is_some_and(|root| root.has_overflow)
    }

    /// Notes that a scan begins that finds the paths of lost events.
    pub fn forget_overflow(&self) {
        if let Some(root) = self.instance.lock().roots.get_mut(&self.id) {
            root.has_overflow = false;
        }
    }

    /// Returns whether some directories have no watch because the inotify watches are exhausted.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.is_exhausted.load(Ordering::Relaxed)
    }

    /// Returns whether another drop directory of the instance contains some of the directories, so
    /// that this one needs an instance of its own.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.is_shared.load(Ordering::Relaxed)
    }
}

/// Returns whether an error is about the directory alone: it is gone, or npyd may not read it.
fn is_of_dir(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::EACCES))
}

impl Drop for RootWatch {
    fn drop(&mut self) {
        self.instance.lock().remove_root(self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    /// A drop directory with some subdirectories, and its watches.
    struct Site {
        temp: tempfile::TempDir,
        instance: Arc<Instance>,
        watch: RootWatch,
    }

    impl Site {
        fn new(dirs: &[&str]) -> Self {
            let temp = tempfile::tempdir().unwrap();
            let instance = Arc::new(Instance::default());
            fs::create_dir(temp.path().join("in")).unwrap();
            let watch = start(&instance, 1, &temp.path().join("in")).unwrap();
            let site = Site { temp, instance, watch };
            for dir in dirs {
                fs::create_dir_all(site.at(dir)).unwrap();
            }
            site.scan(dirs);
            site.events();
            site
        }

        fn at(&self, rel: &str) -> PathBuf {
            self.temp.path().join("in").join(rel)
        }

        fn cover(&self, rel: &str) {
            let dir = Dir::open_below(&self.at(""), Path::new(rel)).unwrap();
            self.watch.cover(&dir, Path::new(rel));
        }

        fn scan(&self, dirs: &[&str]) {
            self.watch.begin_scan();
            self.cover("");
            for dir in dirs {
                self.cover(dir);
            }
            self.watch.end_scan();
        }

        fn events(&self) -> Vec<String> {
            self.instance.read_events();
            let events = self.watch.take_events();
            events.iter().map(|it| it.rel.to_str().unwrap().to_owned()).collect()
        }

        fn watched(&self) -> Vec<String> {
            let table = self.instance.lock();
            let watched = table.roots[&1].watched();
            watched.iter().map(|it| it.to_str().unwrap().to_owned()).collect()
        }
    }

    fn start(instance: &Arc<Instance>, id: RootId, path: &Path) -> Result<RootWatch, WatchError> {
        let drop_dir = Arc::new(DropDir::at(path));
        let dir = Dir::open(path).unwrap();
        RootWatch::start((Arc::clone(instance), id), &drop_dir, &Arc::new(Bus::default()), &dir)
    }

    /// The paths of the directories below it follow as the scan of the new name comes to them.
    #[test]
    fn a_renamed_directory_keeps_its_watch() {
        let site = Site::new(&["a", "a/b"]);
        fs::rename(site.at("a"), site.at("c")).unwrap();
        assert_eq!(site.events(), ["c"]);
        site.cover("c");
        site.cover("c/b");
        site.watch.end_moved();
        assert_eq!(site.watched(), ["", "c", "c/b"]);
        fs::write(site.at("c/b/x.raw"), "").unwrap();
        assert_eq!(site.events(), ["c/b/x.raw", "c/b/x.raw"]);
    }

    #[test]
    fn watches_end_with_their_directories() {
        let site = Site::new(&["a", "a/b", "gone", "ignored", "stays"]);
        fs::rename(site.at("a"), site.temp.path().join("elsewhere")).unwrap();
        fs::remove_dir(site.at("gone")).unwrap();
        assert_eq!(site.events(), [""; 0]);
        site.watch.end_moved();
        assert_eq!(site.watched(), ["", "ignored", "stays"]);
        fs::write(site.temp.path().join("elsewhere/b/x.raw"), "").unwrap();
        assert_eq!(site.events(), [""; 0]);
        site.scan(&["stays"]);
        assert_eq!(site.watched(), ["", "stays"]);
    }

    #[test]
    fn events_of_the_drop_directory_itself() {
        let site = Site::new(&["a"]);
        assert!(!site.watch.take_root_event());
        fs::rename(site.at("a"), site.at("b")).unwrap();
        site.events();
        assert!(!site.watch.take_root_event());
        fs::rename(site.at(""), site.temp.path().join("elsewhere")).unwrap();
        site.events();
        assert_eq!(site.instance.take_ready().last(), Some(&1));
        assert!(site.watch.take_root_event());
        assert!(!site.watch.take_root_event());
        fs::remove_dir_all(site.temp.path().join("elsewhere")).unwrap();
        site.events();
        assert!(site.watch.take_root_event());
    }

    /// A directory has one watch in an instance. It follows the directory from one drop directory
    /// to another, but it cannot serve two at once.
    #[test]
    fn drop_directories_of_one_instance() {
        let site = Site::new(&["a"]);
        let other = site.temp.path().join("other");
        fs::create_dir(&other).unwrap();
        let watch = start(&site.instance, 2, &other).unwrap();
        fs::rename(site.at("a"), other.join("a")).unwrap();
        watch.cover(&Dir::open(&other.join("a")).unwrap(), Path::new("a"));
        assert!(!watch.is_shared());
        site.events();
        fs::write(other.join("a/x.raw"), "").unwrap();
        site.instance.read_events();
        assert!(watch.take_events().iter().any(|it| it.rel == Path::new("a/x.raw")));
        assert_eq!(site.watched(), [""]);

        let shared = start(&site.instance, 3, &site.at(""));
        assert!(matches!(shared, Err(WatchError::Shared)));
        drop(watch);
        fs::write(site.at("x.raw"), "").unwrap();
        assert_eq!(site.events(), ["x.raw", "x.raw"]);
        drop(site.watch);
        assert!(site.instance.inotify().is_none());
    }
}
