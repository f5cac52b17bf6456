//! The drops that tasks of this process work on. After a reload, a task may still process a drop
//! with the old settings while the tracker with the new settings finds that drop.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The paths of these drops, each with the number of its tasks. All trackers share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct InWork(Arc<Mutex<HashMap<PathBuf, usize>>>);

/// The drops of one task, until its receipts are stored.
#[derive(Debug)]
pub(crate) struct TaskDrops {
    all: InWork,
    paths: Vec<PathBuf>,
}

impl InWork {
    /// Adds the drops of a task.
    pub(crate) fn begin(&self, paths: Vec<PathBuf>) -> TaskDrops {
        let mut all = self.lock();
        for path in &paths {
            *all.entry(path.clone()).or_default() += 1;
        }
        TaskDrops { all: self.clone(), paths }
    }

    /// Returns whether a task works on a drop, or its receipt is not stored yet.
    pub(crate) fn contains(&self, path: &Path) -> bool {
        self.lock().contains_key(path)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for TaskDrops {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        for path in &self.paths {
            if let Some(tasks) = all.get_mut(path) {
                *tasks -= 1;
                if *tasks == 0 {
                    all.remove(path);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drop_is_in_work_until_its_last_task_ends() {
        let (all, path) = (InWork::default(), Path::new("/in/scan.raw"));
        let first = all.begin(vec![path.to_path_buf()]);
        let second = all.clone().begin(vec![path.to_path_buf(), "/in/other.raw".into()]);
        drop(first);
        assert!(all.contains(path));
        drop(second);
        assert!(!all.contains(path) && !all.contains(Path::new("/in/other.raw")));
    }
}
