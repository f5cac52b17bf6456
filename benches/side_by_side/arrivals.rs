//! When names appear in a directory, as inotify tells.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};

use crate::{Fallible, go_on};

/// How long nothing may arrive before it is taken for a failure.
const PATIENCE: Duration = Duration::from_secs(20);

/// Arrays that appear in a directory.
pub(crate) struct Arrivals {
    names: Receiver<(String, Instant)>,
}

impl Arrivals {
    /// Watches a directory from now on.
    pub(crate) fn in_dir(dir: &Path) -> Fallible<Self> {
        let watch = inotify::init(CreateFlags::CLOEXEC)?;
        inotify::add_watch(&watch, dir, WatchFlags::CREATE | WatchFlags::MOVED_TO)?;
        let (sender, names) = channel();
        // It ends with the directory, when the kernel takes the watch away.
        thread::spawn(move || read(&watch, |name| sender.send((name, Instant::now())).is_ok()));
        Ok(Arrivals { names })
    }

    /// Waits for the next name that ends in `.npy`.
    pub(crate) fn next(&self) -> Fallible<(String, Instant)> {
        let started = Instant::now();
        loop {
            go_on()?;
            match self.names.recv_timeout(Duration::from_millis(100)) {
                Ok(arrival) => return Ok(arrival),
                Err(RecvTimeoutError::Timeout) if started.elapsed() < PATIENCE => {}
                Err(_) => return Err(format!("nothing arrived for {PATIENCE:?}").into()),
            }
        }
    }
}

/// Reads events until the watch ends or nobody listens any more.
fn read(watch: &OwnedFd, tell: impl Fn(String) -> bool) {
    let mut buffer = [MaybeUninit::uninit(); 16 << 10];
    let mut reader = Reader::new(watch, &mut buffer);
    while let Ok(event) = reader.next() {
        if event.events().contains(ReadFlags::IGNORED) {
            return;
        }
        let name = event.file_name().map(|name| name.to_string_lossy().into_owned());
        if let Some(name) =
            name.filter(|name| Path::new(name).extension().is_some_and(|it| it == "npy"))
            && !tell(name)
        {
            return;
        }
    }
}
