//! A process that stops before each system call that changes a file; optionally also before each
//! that reads one, or before chosen calls on chosen files. A test can then look at the files, cut
//! the power, kill the process, or make the call fail.
//!
//! Only the calls that change a file change what a killed process leaves behind, so that "killed
//! before the next one" is also "killed right after this one".

mod calls;
mod shared_spawn;

use std::fs::{self, File};
use std::io::Error;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::ptr::null_mut;

use libc::{c_int, c_long, c_void, pid_t};

use calls::{CHANGES, Call, OLDER_CHANGES, READS, StopsIf, changes, filter};
pub(crate) use calls::{Change, FileId, Known, Names};

/// Seconds after which a process that does not end is ended by SIGALRM.
const SECONDS_MAX: u32 = 60;

/// The process, and all of its threads; killed when dropped.
pub(crate) struct Tracee {
    leader: pid_t,
    /// The thread that stands before a change.
    stopped: Option<pid_t>,
    watched: Watched,
    calls: Vec<Known>,
    ended: Option<ExitStatus>,
}

/// The files on which calls matter.
enum Watched {
    /// All below these directories.
    Below(Vec<PathBuf>),
    /// These files, and names in these directories.
    Only(Vec<PathBuf>),
}

/// What can be done to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not made, and answers with this error.
    Error(c_int),
    /// It is made with half of its length.
    Short,
}

impl Tracee {
    /// Starts a command whose output goes to these files, and will stop it before its changes below
    /// directories.
    pub(crate) fn spawn(command: &Command, output: &[File; 2], below: Vec<PathBuf>) -> Self {
        let calls = [CHANGES, OLDER_CHANGES].concat();
        Self::spawn_before(calls, command, output, Watched::Below(below))
    }

    /// Starts such a command, and will stop it before those changes and reads below directories
    /// whose calls have such a name.
    pub(crate) fn spawn_before_some(
        stops: impl Fn(&str) -> bool,
        command: &Command,
        output: &[File; 2],
        below: Vec<PathBuf>,
    ) -> Self {
        let mut calls = [CHANGES, OLDER_CHANGES, READS].concat();
        calls.retain(|(name, ..)| stops(name));
        Self::spawn_before(calls, command, output, Watched::Below(below))
    }

    /// Starts such a command, and will stop it before these calls on these files and on names in
    /// these directories.
    pub(crate) fn spawn_with_calls(
        calls: &[Known],
        command: &Command,
        output: &[File; 2],
        only: Vec<PathBuf>,
    ) -> Self {
        Self::spawn_before(calls.to_vec(), command, output, Watched::Only(only))
    }

    fn spawn_before(
        calls: Vec<Known>,
        command: &Command,
        output: &[File; 2],
        watched: Watched,
    ) -> Self {
        let stops_if = match watched {
            Watched::Below(_) => changes,
            Watched::Only(_) => |_: &str| StopsIf::Always,
        };
        let filter = filter(&calls, stops_if);
        let program =
            libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
        // SAFETY: the calls are on numbers and on `program`, which the kernel only reads, and whose
        // filter outlives the start.
        let leader = shared_spawn::spawn(command, output, &|| unsafe {
            let traced = libc::ptrace(libc::PTRACE_TRACEME, 0, null_mut::<c_void>(), 0);
            if libc::geteuid() != 0 {
                // Without rights, only a process that can't gain any may have a filter.
                libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            }
            let mode = libc::SECCOMP_MODE_FILTER;
            let filtered = libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program);
            libc::alarm(SECONDS_MAX);
            traced == 0 && filtered == 0
        });
        let tracee = Self { leader, stopped: None, watched, calls, ended: None };
        let (pid, status) = wait(leader).unwrap();
        assert!(pid == leader && libc::WIFSTOPPED(status), "{command:?}: it ended at once");
        let options = libc::PTRACE_O_TRACESECCOMP
            | libc::PTRACE_O_TRACESYSGOOD
            | libc::PTRACE_O_TRACECLONE
            | libc::PTRACE_O_EXITKILL;
        request(libc::PTRACE_SETOPTIONS, leader, options.into());
        resume(leader, 0);
        tracee
    }

    /// Goes on until a thread is about to change a file; `None` where the process ended first.
    pub(crate) fn next_change(&mut self) -> Option<Change> {
        self.next_that(|tracee, thread| Call::of(thread)?.change(tracee))
    }

    /// Goes on to its end, whatever calls it makes.
    pub(crate) fn finish(&mut self) -> ExitStatus {
        self.next_that(|_, _| None);
        self.ended.expect("it was waited for")
    }

    /// Goes on until a thread stands before a call in which `look` finds a change.
    fn next_that(&mut self, look: impl Fn(&Self, pid_t) -> Option<Change>) -> Option<Change> {
        const CALL: c_int = libc::SIGTRAP | (libc::PTRACE_EVENT_SECCOMP << 8);
        if let Some(thread) = self.stopped.take() {
            resume(thread, 0);
        }
        while self.ended.is_none() {
            let (thread, status) = wait(-1)?;
            if !libc::WIFSTOPPED(status) {
                if thread == self.leader {
                    self.ended = Some(ExitStatus::from_raw(status));
                }
                continue;
            }
            match status >> 8 {
                CALL => {
                    if let Some(change) = look(self, thread) {
                        self.stopped = Some(thread);
                        return Some(change);
                    }
                    resume(thread, 0);
                }
                // Of the tracing itself: a new thread, and its first stop.
                event if event > 0xff || event == libc::SIGSTOP => resume(thread, 0),
                signal => resume(thread, signal),
            }
        }
        None
    }

    /// How it ended; `None` while it stands before a change.
    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        self.ended
    }

    /// Has the call made that it stands before, and then `act` done while all its threads are
    /// stopped.
    pub(crate) fn after_call(&mut self, act: impl FnOnce()) {
        const MADE: c_int = libc::SIGTRAP | 0x80;
        let Some(thread) = self.stopped else { return };
        let mut signal = 0;
        loop {
            request(libc::PTRACE_SYSCALL, thread, signal.into());
            let (_, status) = wait(thread).unwrap();
            assert!(libc::WIFSTOPPED(status), "it ended during the call");
            match status >> 8 {
                MADE => break,
                event if event > 0xff => signal = 0,
                other => signal = other,
            }
        }
        let others = self.stop_others(thread);
        act();
        for (other, signal) in others {
            resume(other, signal);
        }
    }

    /// Stops all threads but this one. Returns them, each with the signal that it was about to
    /// receive.
    fn stop_others(&self, thread: pid_t) -> Vec<(pid_t, c_int)> {
        let mut others: Vec<(pid_t, c_int)> = Vec::new();
        let threads = || fs::read_dir(format!("/proc/{}/task", self.leader)).unwrap().flatten();
        let id = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok();
        loop {
            let is_running = |id: &pid_t| *id != thread && others.iter().all(|(it, _)| it != id);
            // Those that a running thread starts meanwhile are found the next time.
            let Some(running) = threads().filter_map(id).find(is_running) else { return others };
            // SAFETY: a call on numbers, those of a process that is not reaped and its thread.
            unsafe { libc::syscall(libc::SYS_tgkill, self.leader, running, libc::SIGSTOP) };
            match wait(running) {
                // Where it stopped for another reason, this signal stops it later, and is dropped.
                Some((_, status)) if libc::WIFSTOPPED(status) => {
                    let is_signal = status >> 8 <= 0xff && libc::WSTOPSIG(status) != libc::SIGSTOP;
                    others.push((running, if is_signal { libc::WSTOPSIG(status) } else { 0 }));
                }
                _ => others.push((running, 0)), // it has ended
            }
        }
    }

    /// Has the call that it stands before fail, or do less than it was told.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn inject(&self, fault: Fault) {
        let Some(thread) = self.stopped else { return };
        let mut registers = std::mem::MaybeUninit::<libc::user_regs_struct>::zeroed();
        // SAFETY: the kernel writes the whole structure, which outlives the call.
        let got = unsafe {
            libc::ptrace(libc::PTRACE_GETREGS, thread, null_mut::<c_void>(), registers.as_mut_ptr())
        };
        assert_eq!(got, 0, "{}", Error::last_os_error());
        // SAFETY: the kernel wrote it.
        let mut registers = unsafe { registers.assume_init() };
        match fault {
            Fault::Error(errno) => {
                registers.orig_rax = u64::MAX; // no call
                registers.rax = i64::from(-errno).cast_unsigned();
            }
            Fault::Short => registers.rdx = registers.rdx.div_ceil(2), // the length
        }
        // SAFETY: the kernel only reads the structure, which outlives the call.
        let set = unsafe {
            libc::ptrace(libc::PTRACE_SETREGS, thread, null_mut::<c_void>(), &raw const registers)
        };
        assert_eq!(set, 0, "{}", Error::last_os_error());
    }

    /// Ends it by SIGKILL: the call it stands before is not made.
    pub(crate) fn kill(self) {
        drop(self);
    }
}

impl Drop for Tracee {
    fn drop(&mut self) {
        if self.ended.is_some() {
            return;
        }
        // SAFETY: the process is our own child and not reaped yet, so that the number is still its.
        unsafe { libc::kill(self.leader, libc::SIGKILL) };
        while let Some((thread, status)) = wait(-1) {
            if thread == self.leader && !libc::WIFSTOPPED(status) {
                break;
            }
        }
    }
}

/// Waits for one of this very thread's children or their threads; `None` where there are none.
fn wait(which: pid_t) -> Option<(pid_t, c_int)> {
    let mut status = 0;
    loop {
        // SAFETY: `status` is an integer that outlives the call.
        let pid =
            unsafe { libc::waitpid(which, &raw mut status, libc::__WALL | libc::__WNOTHREAD) };
        match Error::last_os_error().raw_os_error() {
            _ if pid > 0 => return Some((pid, status)),
            Some(libc::EINTR) => {}
            _ => return None,
        }
    }
}

/// Makes a ptrace request that has no result. The request fails only if the thread was killed
/// meanwhile; the next wait reports that.
fn request(what: libc::c_uint, thread: pid_t, data: c_long) {
    // SAFETY: the requests that are made here take `data` as a number, and no address.
    unsafe { libc::ptrace(what, thread, null_mut::<c_void>(), data) };
}

fn resume(thread: pid_t, signal: c_int) {
    request(libc::PTRACE_CONT, thread, signal.into());
}
