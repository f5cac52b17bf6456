//! A disk that logs all writes to it (QEMU's blklogwrites).

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::replay::Log;
use super::volume::Memory;
use crate::support::{left_out, wait_until};

/// The disk: a file that QEMU's storage daemon serves.
pub(crate) struct Recorder {
    daemon: Child,
    disk: PathBuf,
    log: PathBuf,
}

impl Recorder {
    /// Starts a disk in front of an image. Records the test as left out if this machine can't.
    pub(crate) fn start(image: &Path, memory: &Memory) -> Option<Self> {
        let (disk, log) = (memory.path("disk"), memory.path("log"));
        for file in [&disk, &log] {
            File::create(file).unwrap();
        }
        let [base, to, at] = [image, &log, &disk].map(Path::display);
        let daemon = Command::new("qemu-storage-daemon")
            .arg("--blockdev")
            .arg(format!("driver=file,node-name=image,filename={base}"))
            .arg("--blockdev")
            .arg(format!("driver=file,node-name=log,filename={to}"))
            .arg("--blockdev")
            .arg("driver=blklogwrites,node-name=logged,file.driver=raw,file.file=image,log=log,log-sector-size=512")
            .arg("--export")
            .arg(format!("type=fuse,id=disk,node-name=logged,mountpoint={at},writable=on"))
            .stdin(Stdio::null())
            .spawn();
        let daemon = match daemon {
            Ok(daemon) => daemon,
            Err(error) => {
                left_out(&format!("qemu-storage-daemon: {error}"));
                return None;
            }
        };
        let mut recorder = Self { daemon, disk, log };
        let (len, mut ended) = (fs::metadata(image).unwrap().len(), None);
        wait_until("the logging disk", String::new, || {
            ended = recorder.daemon.try_wait().unwrap();
            ended.is_some() || fs::metadata(&recorder.disk).is_ok_and(|disk| disk.len() == len)
        });
        if let Some(status) = ended {
            left_out(&format!("qemu-storage-daemon: {status}; it needs FUSE"));
            return None;
        }
        Some(recorder)
    }

    /// The disk's path.
    pub(crate) fn disk(&self) -> PathBuf {
        self.disk.clone()
    }

    /// Returns the number of writes and flushes up to the last flush.
    pub(crate) fn count(&self) -> usize {
        let mut head = [0; 32];
        File::open(&self.log).unwrap().read_exact_at(&mut head, 0).unwrap();
        Log::count(&head)
    }

    /// Stops the daemon and returns the log. Nothing may be mounted on the disk any more.
    pub(crate) fn finish(mut self) -> Log {
        rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.daemon),
            rustix::process::Signal::TERM,
        )
        .unwrap();
        self.daemon.wait().unwrap();
        Log::parse(fs::read(&self.log).unwrap())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // Both fail only if the daemon has ended already.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}
