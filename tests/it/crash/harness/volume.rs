//! A small file system on an image in memory, whose power can be cut.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::Error;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr::null;
use std::thread;

use crate::support::{left_out, wait_until};

/// What a power cut leaves of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The metadata are on the disk: the journal was written out, files' contents were not.
    KeepsMetadata,
    /// Nothing: neither metadata nor contents.
    KeepsNothing,
}

impl Cut {
    /// What it leaves of another file system, so that no order between the two can be relied on.
    pub(crate) fn elsewhere(self) -> Self {
        match self {
            Cut::KeepsMetadata => Cut::KeepsNothing,
            Cut::KeepsNothing => Cut::KeepsMetadata,
        }
    }
}

/// A directory whose files are in memory, and know nothing of power cuts.
pub(crate) struct Memory(PathBuf);

impl Memory {
    /// Mounts one below a directory; recorded as left out where this machine can't.
    pub(crate) fn new(dir: &Path) -> Option<Self> {
        let at = dir.join("memory");
        fs::create_dir(&at).unwrap();
        runs("mount", &["-t", "tmpfs", "-o", "size=1g", "npyd", &text(&at)])?;
        Some(Self(at))
    }

    /// A path in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if !thread::panicking() {
            unmount(&self.0);
        }
    }
}

/// A mounted file system on an image.
pub(crate) struct Volume {
    kind: &'static str,
    image: PathBuf,
    at: PathBuf,
}

impl Volume {
    /// Mounts an image at a path; `None` where the kernel refuses that.
    pub(crate) fn new(kind: &'static str, image: PathBuf, at: PathBuf) -> Option<Self> {
        let _ = fs::create_dir(&at); // it may be there already
        let volume = Self { kind, image, at };
        volume.mount().then_some(volume)
    }

    /// Where it is mounted.
    pub(crate) fn at(&self) -> &Path {
        &self.at
    }

    /// Its file system.
    pub(crate) fn kind(&self) -> &'static str {
        self.kind
    }

    /// Makes all that was written durable.
    pub(crate) fn sync(&self) {
        rustix::fs::syncfs(File::open(&self.at).unwrap()).unwrap();
    }

    /// Cuts the power: from now on nothing reaches the disk any more, and every write fails.
    pub(crate) fn cut(&self, cut: Cut) {
        const SHUTDOWN: libc::Ioctl = 0x8004_587d; // EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN
        let flag: u32 = match cut {
            Cut::KeepsMetadata => 1,
            Cut::KeepsNothing => 2,
        };
        let root = File::open(&self.at).unwrap();
        // SAFETY: the kernel only reads the flag, which outlives the call.
        let answer = unsafe { libc::ioctl(root.as_raw_fd(), SHUTDOWN, &raw const flag) };
        assert_eq!(answer, 0, "{}: {}", self.kind, Error::last_os_error());
    }

    /// Has ext4 believe that it is broken: it writes nothing any more until it is mounted anew.
    pub(crate) fn turn_read_only(&self) {
        let device = fs::metadata(&self.at).unwrap().dev();
        let (major, minor) = (libc::major(device), libc::minor(device));
        let disk = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).unwrap();
        let disk = disk.file_name().unwrap().to_str().unwrap();
        fs::write(format!("/sys/fs/ext4/{disk}/trigger_fs_error"), "by a test").unwrap();
    }

    /// Starts it anew, as after a power cut.
    pub(crate) fn restart(&self) {
        unmount(&self.at);
        assert!(self.mount(), "{} could not be mounted after a power cut", self.kind);
    }

    fn mount(&self) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-t", type_of(self.kind), "-o", "loop"]).args([&self.image, &self.at]);
        mount.output().unwrap().status.success()
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if !thread::panicking() {
            unmount(&self.at);
        }
    }
}

/// Makes an empty file system on a new image.
pub(crate) fn format(kind: &str, image: &Path) -> Option<()> {
    const LATER: &str = "lazy_itable_init=0,lazy_journal_init=0";
    // Small, but with room for some of the largest drops. The kernel is left nothing to do in its
    // own time.
    let (mebibytes, options): (u64, &[&str]) = match kind {
        "ext4" => (96, &["-F", "-b", "4096", "-e", "remount-ro", "-E", LATER]),
        "xfs" => (300, &["-f"]),
        "xfs-without-reflink" => (300, &["-f", "-m", "reflink=0"]),
        _ => (128, &["-f"]),
    };
    File::create(image).unwrap().set_len(mebibytes << 20).unwrap();
    runs(&format!("mkfs.{}", type_of(kind)), &[&["-q"], options, &[&text(image)]].concat())
}

/// What the system calls a file system that is told from others by how it was made.
fn type_of(kind: &str) -> &str {
    kind.split('-').next().unwrap()
}

/// Unmounts. A process that another test is just starting may hold a file open for a moment.
fn unmount(at: &Path) {
    let path = CString::new(text(at)).unwrap();
    wait_until(&format!("{} to be unmounted", at.display()), String::new, || {
        // SAFETY: the path is a C string that outlives the call.
        let answer = unsafe { libc::umount2(path.as_ptr(), 0) };
        answer == 0 || Error::last_os_error().raw_os_error() != Some(libc::EBUSY)
    });
}

/// Runs a program to its end; recorded as left out where it fails.
pub(crate) fn runs(program: &str, args: &[&str]) -> Option<()> {
    let told = match Command::new(program).args(args).output() {
        Ok(output) if output.status.success() => return Some(()),
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    left_out(&format!("{program} {}: {}", args.join(" "), told.trim_end()));
    None
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Does something in a mount namespace of its own: nobody else can keep its mounts busy, and none
/// of them outlives it.
pub(crate) fn with_own_mounts<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let name = thread::current().name().unwrap_or_default().to_owned();
    thread::scope(|scope| {
        let own = move || {
            // SAFETY: a call on numbers, that changes what this thread alone sees.
            let answer = unsafe { libc::unshare(libc::CLONE_NEWNS) };
            assert_eq!(answer, 0, "a mount namespace: {}", Error::last_os_error());
            let private = libc::MS_REC | libc::MS_PRIVATE;
            // SAFETY: the path is a C string; the other pointers may be null for this request.
            let answer = unsafe { libc::mount(null(), c"/".as_ptr(), null(), private, null()) };
            assert_eq!(answer, 0, "private mounts: {}", Error::last_os_error());
            work()
        };
        let thread = thread::Builder::new().name(name).spawn_scoped(scope, own).unwrap();
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
