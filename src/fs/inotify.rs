//! inotify(7): one instance watches many directories, each through an open descriptor.

use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use crate::fs::{Dir, has_proc};

/// Size of the buffer for one read. It holds some hundred events.
const BUFFER: usize = 16 << 10;

/// The events that npyd asks for. It asks for none that its own reads cause (`IN_OPEN`,
/// `IN_ACCESS`, `IN_CLOSE_NOWRITE`) and not for `IN_MODIFY`, which comes with each write: a scan of
/// 20,000 directories would overflow the queue, and the overflow would need another scan.
const MASK: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::CREATE)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::EXCL_UNLINK)
    .union(WatchFlags::ONLYDIR);

/// An inotify instance.
#[derive(Debug)]
pub struct Inotify {
    fd: OwnedFd,
}

/// Identifies a watched directory in its instance: a directory has one number there, however often
/// and under whatever name it is watched. The kernel does not use a number twice.
pub type WatchId = i32;

/// An event of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InotifyEvent<'a> {
    /// A file in the directory was closed after writing or renamed to this name, or a directory
    /// got this name.
    Arrived(WatchId, &'a OsStr),
    /// A file was created. A close event usually follows.
    Created(WatchId, &'a OsStr),
    /// The directory was renamed, perhaps to a place where nobody watches it.
    Moved(WatchId),
    /// The watch has ended: the directory was removed, or its file system unmounted.
    Ended(WatchId),
    /// The kernel's queue was full, and events were lost.
    Overflow,
}

impl Inotify {
    /// Creates an instance whose reads do not block.
    pub fn new() -> io::Result<Self> {
        Ok(Inotify { fd: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)? })
    }

    /// Watches an open directory. Returns its number, which is the known one if this instance
    /// watches the directory already.
    pub fn watch(&self, dir: &Dir) -> io::Result<WatchId> {
        // By its descriptor: another directory may have its path now.
        let watched = if has_proc() {
            let own = format!("/proc/self/fd/{}", dir.as_fd().as_raw_fd());
            inotify::add_watch(&self.fd, own, MASK)
        } else {
            inotify::add_watch(&self.fd, dir.path(), MASK)
        };
        Ok(watched?)
    }

    /// Ends a watch.
    pub fn unwatch(&self, watch: WatchId) {
        let _ = inotify::remove_watch(&self.fd, watch); // it may have ended by itself
    }

    /// Reads the queued events, up to one buffer of them. Returns whether there were any.
    pub fn read(&self, mut take: impl FnMut(InotifyEvent<'_>)) -> io::Result<bool> {
        let mut buffer = [const { MaybeUninit::uninit() }; BUFFER];
        let mut reader = Reader::new(&self.fd, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => parse(&event).into_iter().for_each(&mut take),
                Err(Errno::AGAIN) => return Ok(false),
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
            }
            if reader.is_buffer_empty() {
                return Ok(true);
            }
        }
    }
}

impl AsFd for Inotify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn parse<'a>(event: &'a inotify::Event<'_>) -> Option<InotifyEvent<'a>> {
    let flags = event.events();
    let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
    let is_dir = flags.contains(ReadFlags::ISDIR);
    if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
        Some(InotifyEvent::Overflow)
    } else if flags.contains(ReadFlags::IGNORED) {
        Some(InotifyEvent::Ended(event.wd()))
    } else if flags.contains(ReadFlags::MOVE_SELF) {
        Some(InotifyEvent::Moved(event.wd()))
    } else if flags.contains(ReadFlags::CREATE) && !is_dir {
        name.map(|name| InotifyEvent::Created(event.wd(), name))
    } else if flags.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO | ReadFlags::CLOSE_WRITE) {
        name.map(|name| InotifyEvent::Arrived(event.wd(), name))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn events(inotify: &Inotify) -> Vec<String> {
        let mut seen = Vec::new();
        while inotify.read(|event| seen.push(format!("{event:?}"))).unwrap() {}
        seen
    }

    /// What npyd itself does in a scan and a probe would otherwise fill the queue.
    #[test]
    fn reading_causes_no_event() {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir(temp.path().join("sub")).unwrap();
        fs::write(temp.path().join("x.raw"), "data").unwrap();
        let (inotify, dir) = (Inotify::new().unwrap(), Dir::open(temp.path()).unwrap());
        let id = inotify.watch(&dir).unwrap();
        assert_eq!(dir.entries().unwrap().len(), 2);
        let sub = dir.open_dir(Path::new("sub")).unwrap();
        assert_ne!(inotify.watch(&sub).unwrap(), id);
        assert!(sub.entries().unwrap().is_empty());
        assert_eq!(fs::read(temp.path().join("x.raw")).unwrap(), b"data");
        assert_eq!(events(&inotify), [""; 0]);
        // Nor does a write before the close.
        let mut file = fs::OpenOptions::new().write(true).open(temp.path().join("x.raw")).unwrap();
        io::Write::write_all(&mut file, b"more").unwrap();
        assert_eq!(events(&inotify), [""; 0]);
        drop(file);
        assert_eq!(events(&inotify), [format!("Arrived({id}, \"x.raw\")")]);
    }

    #[test]
    fn a_directory_has_one_number_under_all_its_names() {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir(temp.path().join("a")).unwrap();
        let (inotify, root) = (Inotify::new().unwrap(), Dir::open(temp.path()).unwrap());
        let top = inotify.watch(&root).unwrap();
        let dir = |name| root.open_dir(Path::new(name)).unwrap();
        let id = inotify.watch(&dir("a")).unwrap();
        fs::rename(temp.path().join("a"), temp.path().join("b")).unwrap();
        assert_eq!(inotify.watch(&dir("b")).unwrap(), id);
        fs::remove_dir(temp.path().join("b")).unwrap();
        assert_eq!(
            events(&inotify),
            [format!("Arrived({top}, \"b\")"), format!("Moved({id})"), format!("Ended({id})")]
        );
        inotify.unwatch(id);
        assert_eq!(events(&inotify), [""; 0]);
    }
}
