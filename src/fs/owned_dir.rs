//! Opens npyd's own directories safely when they are inside a drop directory: without symbolic
//! links, and only with a trusted owner.

use std::io;
use std::path::{Component, Path};

use rustix::fs::{self, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use crate::fs::dir::DIR_FLAGS;
use crate::fs::{Dir, FsError, Operation, Result, own_uid};

impl Dir {
    /// Opens a configured directory that npyd writes to. If it lies inside the `shared` directory,
    /// any user who drops files there can replace it by a link or another directory. Then no link
    /// is followed, and each directory on the way must belong to npyd's user or root.
    pub fn open_trusted(path: &Path, shared: Option<&Path>) -> Result<Self> {
        let inside = shared.and_then(|shared| Some((shared, path.strip_prefix(shared).ok()?)));
        let Some((shared, inside)) = inside else { return Dir::open(path) };
        inside.components().try_fold(Dir::open(shared)?, |dir, part| dir.open_own_child(part))
    }

    fn open_own_child(&self, part: Component<'_>) -> Result<Self> {
        let path = self.path().join(part);
        let refused = |why: &str| FsError::new(Operation::OpenDir, &path, io::Error::other(why));
        let flags = DIR_FLAGS | OFlags::NOFOLLOW;
        let opened = match part {
            // Crossing a mount is allowed: only the administrator can mount there.
            Component::Normal(name) => {
                retry_on_intr(|| fs::openat(self, name, flags, Mode::empty()))
            }
            _ => Err(Errno::LOOP),
        };
        match opened {
            Ok(fd) => {
                let dir = Dir::from_fd(fd, &path);
                if [own_uid(), 0].contains(&dir.stat_self()?.uid) {
                    return Ok(dir);
                }
                Err(refused(
                    "inside the drop directory it must belong to root or the user that npyd runs as",
                ))
            }
            Err(Errno::LOOP | Errno::NOTDIR) => Err(refused(
                "inside the drop directory it must be a directory, not a symbolic link",
            )),
            Err(errno) => Err(FsError::new(Operation::OpenDir, &path, errno)),
        }
    }
}
