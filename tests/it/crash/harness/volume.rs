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
    /// Returns the cut for the second file system: the opposite, so that a test fails if npyd
    /// relies on an order between the two.
    pub(crate) fn elsewhere(self) -> Self {
        match self {
            Cut::KeepsMetadata => Cut::KeepsNothing,
            Cut::KeepsNothing => Cut::KeepsMetadata,
        }
    }
}

/// A directory in memory (tmpfs) that power cuts do not affect.
pub(crate) struct Memory(PathBuf);

impl Memory {
    /// Mounts a tmpfs below a directory. Records the test as left out if this machine can't.
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
    /// Mounts an image at a path. Returns `None` if the kernel refuses.
    pub(crate) fn new(kind: &'static str, image: PathBuf, at: PathBuf) -> Option<Self> {
        let _ = fs::create_dir(&at); // it may be there already
        let volume = Self { kind, image, at };
        volume.mount().then_some(volume)
    }

    /// The mount point.
    pub(crate) fn at(&self) -> &Path {
        &self.at
    }

    /// The kind of its file system.
    pub(crate) fn kind(&self) -> &'static str {
        self.kind
    }

    /// Makes everything written so far durable.
    pub(crate) fn sync(&self) {
        rustix::fs::syncfs(File::open(&self.at).unwrap()).unwrap();
    }

    /// Cuts the power: from now on nothing reaches the disk, and every write fails.
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

    /// Triggers an ext4 error: the file system is read-only until it is mounted again.
    pub(crate) fn turn_read_only(&self) {
        let device = fs::metadata(&self.at).unwrap().dev();
        let (major, minor) = (libc::major(device), libc::minor(device));
        let disk = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).unwrap();
        let disk = disk.file_name().unwrap().to_str().unwrap();
        fs::write(format!("/sys/fs/ext4/{disk}/trigger_fs_error"), "by a test").unwrap();
    }

    /// Mounts it again, as after a power cut.
    pub(crate) fn restart(&self) {
        unmount(&self.at);
        assert!(self.mount(), "{} could not be mounted after a power cut", self.kind);
    }

    /// Mounts the image as `mount -o loop` does. That program would take longer than the rest of a
    /// power cut.
    fn mount(&self) -> bool {
        let (_device, path) = loop_device(&self.image);
        let [device, at, kind] =
            [&*path, &text(&self.at), type_of(self.kind)].map(|it| CString::new(it).unwrap());
        // SAFETY: the paths and the type are C strings that outlive the call; there are no options.
        let answer = unsafe { libc::mount(device.as_ptr(), at.as_ptr(), kind.as_ptr(), 0, null()) };
        answer == 0
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
    // Small, but with room for some of the largest drops, and without lazy initialization, which
    // would write later.
    let (mebibytes, options): (u64, &[&str]) = match kind {
        "ext4" => (96, &["-F", "-b", "4096", "-e", "remount-ro", "-E", LATER]),
        "xfs" => (300, &["-f"]),
        "xfs-without-reflink" => (300, &["-f", "-m", "reflink=0"]),
        _ => (128, &["-f"]),
    };
    File::create(image).unwrap().set_len(mebibytes << 20).unwrap();
    runs(&format!("mkfs.{}", type_of(kind)), &[&["-q"], options, &[&text(image)]].concat())
}

/// Makes a loop device of an image, which the kernel removes when nothing uses it (`loop(4)`).
fn loop_device(image: &Path) -> (File, String) {
    const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4c82;
    const LOOP_CONFIGURE: libc::Ioctl = 0x4c0a;
    const LO_FLAGS_AUTOCLEAR: u64 = 4;
    let open = |path: &Path| File::options().read(true).write(true).open(path).unwrap();
    let (control, image) = (open(Path::new("/dev/loop-control")), open(image));
    loop {
        // SAFETY: the request takes no argument.
        let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) };
        assert!(number >= 0, "a loop device: {}", Error::last_os_error());
        let path = format!("/dev/loop{number}");
        let device = open(Path::new(&path));
        // A `struct loop_config`: the image's descriptor, the block size (0: the default), and a
        // `struct loop_info64`, whose `lo_flags` is the upper half of this word.
        let mut config = [0_u64; 38];
        config[0] = u64::from(image.as_raw_fd().cast_unsigned());
        config[7] = LO_FLAGS_AUTOCLEAR << 32;
        // SAFETY: the kernel only reads the structure of 304 bytes, which outlives the call.
        let answer = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, config.as_ptr()) };
        match Error::last_os_error().raw_os_error() {
            _ if answer == 0 => return (device, path),
            Some(libc::EBUSY) => {} // another test was faster
            error => panic!("{path}: {error:?}"),
        }
    }
}

/// Returns the system's name for a kind of file system.
fn type_of(kind: &str) -> &str {
    kind.split('-').next().unwrap()
}

/// Unmounts. A process that another test is starting may hold a file open for a moment.
fn unmount(at: &Path) {
    let path = CString::new(text(at)).unwrap();
    wait_until(&format!("{} to be unmounted", at.display()), String::new, || {
        // SAFETY: the path is a C string that outlives the call.
        let answer = unsafe { libc::umount2(path.as_ptr(), 0) };
        answer == 0 || Error::last_os_error().raw_os_error() != Some(libc::EBUSY)
    });
}

/// Runs a program. Records the test as left out if it fails.
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

/// Runs `work` in a mount namespace of its own, so that no other process keeps its mounts busy and
/// no mount outlives it.
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
