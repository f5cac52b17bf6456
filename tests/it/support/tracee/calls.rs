//! The calls before which a process stops, and the files that they are about.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use libc::{c_int, c_long, pid_t};

use super::{Tracee, Watched};

/// A call that would change a file, with the file's path below the directories that are watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// The call's name.
    pub(crate) call: &'static str,
    /// The file's path.
    pub(crate) path: String,
    /// The file that it is to make durable.
    pub(crate) file: Option<FileId>,
}

/// A file, told from another that gets its number later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId {
    inode: u64,
    born: SystemTime,
}

impl FileId {
    /// The file under a path.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let meta = fs::metadata(path).ok()?;
        Some(Self { inode: meta.ino(), born: meta.created().ok()? })
    }
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.call, self.path)
    }
}

/// Returns the kernel's filter (seccomp) that stops the process at these calls and lets it make
/// all others at full speed. Each stop costs two switches of tasks, which are most of what a case
/// takes. `stops_if` says when a call of that name is one to stop at.
pub(super) fn filter(calls: &[Known], stops_if: fn(&str) -> StopsIf) -> Vec<libc::sock_filter> {
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const IS: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const HAS: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
    let of = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let stop = of(libc::BPF_RET, 0, 0, libc::SECCOMP_RET_TRACE);
    let go_on = of(libc::BPF_RET, 0, 0, libc::SECCOMP_RET_ALLOW);
    // The lower half of an argument of the call: `seccomp_data` has them from byte 16 on.
    let load_arg = |at: u32| of(LOAD, 0, 0, 16 + 8 * at);
    // The number of the call is the first field of `seccomp_data`.
    let mut filter = vec![of(LOAD, 0, 0, 0)];
    for (name, number, _) in calls {
        let then = match stops_if(name) {
            StopsIf::Always => vec![stop],
            StopsIf::IfFlags { arg, any_of } => {
                vec![load_arg(arg), of(HAS, 0, 1, any_of), stop, go_on]
            }
            StopsIf::IfRequest { arg, one_of: [a, b] } => {
                vec![load_arg(arg), of(IS, 1, 0, a), of(IS, 0, 1, b), stop, go_on]
            }
        };
        filter.push(of(IS, 0, then.len() as u8, u32::try_from(*number).unwrap()));
        filter.extend(then);
    }
    filter.push(go_on);
    filter
}

/// When to stop at a call.
pub(super) enum StopsIf {
    Always,
    /// If this argument has one of these flags.
    IfFlags {
        arg: u32,
        any_of: u32,
    },
    /// If this argument is one of these requests.
    IfRequest {
        arg: u32,
        one_of: [u32; 2],
    },
}

/// Returns when a call of that name changes a file: opening changes what it makes or truncates; of
/// the requests to devices only sharing does.
pub(super) fn changes(name: &str) -> StopsIf {
    const MAKES: u32 =
        (libc::O_CREAT | libc::O_TRUNC | (libc::O_TMPFILE & !libc::O_DIRECTORY)) as u32;
    const FICLONERANGE: u32 = 0x4020_940d;
    const FICLONE: u32 = 0x4004_9409;
    match name {
        "openat" => StopsIf::IfFlags { arg: 2, any_of: MAKES },
        "open" => StopsIf::IfFlags { arg: 1, any_of: MAKES },
        "ioctl" => StopsIf::IfRequest { arg: 1, one_of: [FICLONERANGE, FICLONE] },
        _ => StopsIf::Always,
    }
}

/// A call as its thread entered it.
pub(super) struct Call {
    thread: pid_t,
    number: c_long,
    args: [u64; 6],
}

/// Where a call's arguments name the file.
#[derive(Clone, Copy)]
pub(crate) enum Names {
    /// A descriptor names the file.
    Fd(usize),
    /// A directory's descriptor and the path after it name the file.
    At(usize),
    /// A path alone names the file.
    Path(usize),
    /// The arguments name no file.
    Nothing,
}

/// A call's name and number, and where it names its file.
pub(crate) type Known = (&'static str, c_long, Names);

/// Every call that changes a file or makes a change durable.
pub(super) const CHANGES: &[Known] = &[
    ("write", libc::SYS_write, Names::Fd(0)),
    ("pwrite64", libc::SYS_pwrite64, Names::Fd(0)),
    ("writev", libc::SYS_writev, Names::Fd(0)),
    ("pwritev", libc::SYS_pwritev, Names::Fd(0)),
    ("pwritev2", libc::SYS_pwritev2, Names::Fd(0)),
    ("copy_file_range", libc::SYS_copy_file_range, Names::Fd(2)),
    ("sendfile", libc::SYS_sendfile, Names::Fd(0)),
    ("splice", libc::SYS_splice, Names::Fd(2)),
    ("ftruncate", libc::SYS_ftruncate, Names::Fd(0)),
    ("fallocate", libc::SYS_fallocate, Names::Fd(0)),
    ("fsync", libc::SYS_fsync, Names::Fd(0)),
    ("fdatasync", libc::SYS_fdatasync, Names::Fd(0)),
    ("sync_file_range", libc::SYS_sync_file_range, Names::Fd(0)),
    ("syncfs", libc::SYS_syncfs, Names::Fd(0)),
    ("msync", libc::SYS_msync, Names::Nothing),
    ("fsetxattr", libc::SYS_fsetxattr, Names::Fd(0)),
    ("fremovexattr", libc::SYS_fremovexattr, Names::Fd(0)),
    ("fchmod", libc::SYS_fchmod, Names::Fd(0)),
    ("fchmodat", libc::SYS_fchmodat, Names::At(0)),
    ("fchown", libc::SYS_fchown, Names::Fd(0)),
    ("fchownat", libc::SYS_fchownat, Names::At(0)),
    ("utimensat", libc::SYS_utimensat, Names::At(0)),
    ("ioctl", libc::SYS_ioctl, Names::Fd(0)),
    ("openat", libc::SYS_openat, Names::At(0)),
    ("mkdirat", libc::SYS_mkdirat, Names::At(0)),
    ("unlinkat", libc::SYS_unlinkat, Names::At(0)),
    ("symlinkat", libc::SYS_symlinkat, Names::At(1)),
    ("linkat", libc::SYS_linkat, Names::At(2)),
    ("renameat2", libc::SYS_renameat2, Names::At(2)),
    ("truncate", libc::SYS_truncate, Names::Path(0)),
];

/// The older forms, which only older architectures have.
#[cfg(target_arch = "x86_64")]
pub(super) const OLDER_CHANGES: &[Known] = &[
    ("open", libc::SYS_open, Names::Path(0)),
    ("creat", libc::SYS_creat, Names::Path(0)),
    ("mkdir", libc::SYS_mkdir, Names::Path(0)),
    ("rmdir", libc::SYS_rmdir, Names::Path(0)),
    ("unlink", libc::SYS_unlink, Names::Path(0)),
    ("link", libc::SYS_link, Names::Path(1)),
    ("rename", libc::SYS_rename, Names::Path(1)),
    ("renameat", libc::SYS_renameat, Names::At(2)),
    ("chmod", libc::SYS_chmod, Names::Path(0)),
    ("chown", libc::SYS_chown, Names::Path(0)),
];
#[cfg(not(target_arch = "x86_64"))]
pub(super) const OLDER_CHANGES: &[Known] = &[];

/// Every call that looks at a file.
pub(super) const READS: &[Known] = &[
    ("openat2", libc::SYS_openat2, Names::At(0)),
    ("statx", libc::SYS_statx, Names::At(0)),
    ("pread64", libc::SYS_pread64, Names::Fd(0)),
    ("read", libc::SYS_read, Names::Fd(0)),
    ("getdents64", libc::SYS_getdents64, Names::Fd(0)),
    ("fgetxattr", libc::SYS_fgetxattr, Names::Fd(0)),
    ("flistxattr", libc::SYS_flistxattr, Names::Fd(0)),
    ("lseek", libc::SYS_lseek, Names::Fd(0)),
    ("fstatfs", libc::SYS_fstatfs, Names::Fd(0)),
    ("flock", libc::SYS_flock, Names::Fd(0)),
];

impl Call {
    /// The call that a stopped thread is about to make.
    pub(super) fn of(thread: pid_t) -> Option<Self> {
        let mut info = std::mem::MaybeUninit::<libc::ptrace_syscall_info>::zeroed();
        let size = size_of_val(&info);
        // SAFETY: the kernel writes at most `size` bytes to `info`, which are that structure's.
        let got =
            unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, thread, size, info.as_mut_ptr()) };
        // SAFETY: all zeros is a value of this structure of integers; the kernel wrote others.
        let info = unsafe { info.assume_init() };
        if got <= 0 || info.op != libc::PTRACE_SYSCALL_INFO_SECCOMP {
            return None;
        }
        // SAFETY: `op` says that this is the part that the kernel wrote.
        let entry = unsafe { info.u.seccomp };
        Some(Self { thread, number: c_long::try_from(entry.nr).ok()?, args: entry.args })
    }

    /// The change it makes, if it makes one to what is watched.
    pub(super) fn change(&self, tracee: &Tracee) -> Option<Change> {
        let mut known = tracee.calls.iter().filter(|(_, number, _)| *number == self.number);
        known.find_map(|(call, _, names)| match &tracee.watched {
            Watched::Below(dirs) => self.change_below(dirs, call, *names),
            Watched::Only(paths) => {
                let named = self.named(*names);
                let path = paths.iter().find(|path| named.contains(path))?;
                Some(Change { call, path: path.display().to_string(), file: None })
            }
        })
    }

    fn change_below(&self, dirs: &[PathBuf], call: &'static str, names: Names) -> Option<Change> {
        let path = match names {
            Names::Nothing => return Some(Change { call, path: String::new(), file: None }),
            Names::Fd(at) => self.path_of_fd(self.args[at] as c_int)?,
            Names::At(at) => self.path_at(self.args[at] as c_int, self.args[at + 1])?,
            Names::Path(at) => self.path_at(libc::AT_FDCWD, self.args[at])?,
        };
        let path = dirs.iter().find_map(|dir| path.strip_prefix(dir).ok())?;
        let path = path.display().to_string();
        let file = match names {
            Names::Fd(at) if call.contains("sync") => {
                FileId::of(&self.link_of_fd(self.args[at] as c_int))
            }
            _ => None,
        };
        Some(Change { call, path, file })
    }

    /// The files and directories that it names, by descriptor and by path.
    fn named(&self, names: Names) -> Vec<PathBuf> {
        let by_fd = |at: usize| self.path_of_fd(self.args[at] as c_int);
        let by_text = |at: usize| self.text(self.args[at]).map(PathBuf::from);
        let (by_fd, by_text) = match names {
            Names::Nothing => (None, None),
            Names::Fd(at) => (by_fd(at), None),
            Names::At(at) => (by_fd(at), by_text(at + 1)),
            Names::Path(at) => (None, by_text(at)),
        };
        by_fd.into_iter().chain(by_text).collect()
    }

    fn link_of_fd(&self, fd: c_int) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{fd}", self.thread))
    }

    fn path_of_fd(&self, fd: c_int) -> Option<PathBuf> {
        fs::read_link(self.link_of_fd(fd)).ok()
    }

    fn path_at(&self, dir: c_int, path: u64) -> Option<PathBuf> {
        let path = self.text(path)?;
        if Path::new(&path).is_absolute() {
            return Some(PathBuf::from(path));
        }
        let base = match dir {
            libc::AT_FDCWD => fs::read_link(format!("/proc/{}/cwd", self.thread)).ok()?,
            dir => self.path_of_fd(dir)?,
        };
        Some(base.join(path))
    }

    /// The text at an address of the process.
    fn text(&self, address: u64) -> Option<String> {
        const PIECE: u64 = 128; // which no page ends amid
        let memory = File::open(format!("/proc/{}/mem", self.thread)).ok()?;
        let (mut text, mut at) = (Vec::new(), address);
        while text.len() < libc::PATH_MAX as usize {
            let mut piece = vec![0; (PIECE - at % PIECE) as usize];
            memory.read_exact_at(&mut piece, at).ok()?;
            at += piece.len() as u64;
            let end = piece.iter().position(|byte| *byte == 0);
            text.extend(&piece[..end.unwrap_or(piece.len())]);
            if end.is_some() {
                break;
            }
        }
        String::from_utf8(text).ok()
    }
}
