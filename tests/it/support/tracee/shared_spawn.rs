//! Starts a process that shares the memory of this one until it runs its own program, as vfork(2)
//! and `posix_spawn` do. `std::process` does that also, but not where something is to be done
//! between the two: then it copies the page tables of the tests, which takes as long as a tenth of
//! a crash case.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::Error;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::Command;
use std::ptr::null;
use std::{collections::BTreeMap, env};

use libc::{c_char, c_int, c_void, pid_t};

use crate::support::no_stranger;

/// What the new process does, in memory that it shares.
struct Start<'a> {
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    /// The directory it starts in; null for that of the tests.
    dir: *const c_char,
    output: [c_int; 2],
    prepare: &'a dyn Fn() -> bool,
    /// The error because of which the program does not run.
    errno: c_int,
}

/// Starts the program of a command, with its arguments, directory and environment. Standard output
/// and error are these files. `prepare` runs in the new process, may make system calls and nothing
/// else, and returns whether they succeeded.
pub(super) fn spawn(command: &Command, output: &[File; 2], prepare: &dyn Fn() -> bool) -> pid_t {
    const STACK: usize = 64 << 10;
    let program = c_string(command.get_program().as_bytes());
    let args: Vec<_> = command.get_args().map(|arg| c_string(arg.as_bytes())).collect();
    let environment = environment_of(command);
    let dir = command.get_current_dir().map(|dir| c_string(dir.as_os_str().as_bytes()));
    let pointers = |texts: &mut dyn Iterator<Item = &CString>| {
        texts.map(|text| text.as_ptr()).chain([null()]).collect::<Vec<_>>()
    };
    let mut start = Start {
        argv: pointers(&mut [&program].into_iter().chain(&args)),
        envp: pointers(&mut environment.iter()),
        dir: dir.as_ref().map_or(null(), |dir| dir.as_ptr()),
        output: [output[0].as_raw_fd(), output[1].as_raw_fd()],
        prepare,
        errno: 0,
    };
    let mut stack = vec![0_u128; STACK / size_of::<u128>()];
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let _alone = no_stranger();
    // SAFETY: this thread waits until the new process has its own memory or has ended; until then
    // nothing else uses the stack and `start`, whose pointers lead to texts that outlive the call.
    let pid = unsafe {
        libc::clone(run, stack.as_mut_ptr_range().end.cast(), flags, (&raw mut start).cast())
    };
    assert!(pid > 0, "{command:?}: {}", Error::last_os_error());
    assert_eq!(start.errno, 0, "{command:?}: {}", Error::from_raw_os_error(start.errno));
    pid
}

/// The new process. It makes system calls alone, because another thread of the tests may hold the
/// lock of the allocator.
extern "C" fn run(start: *mut c_void) -> c_int {
    // SAFETY: `spawn` passes its `start`, which nothing else uses before this process has ended or
    // runs its program. The descriptors are open, the arrays end with a null pointer. The handling
    // of signals is this process's own: Rust's runtime ignores SIGPIPE, which the program must not
    // inherit.
    unsafe {
        let start = &mut *start.cast::<Start<'_>>();
        let [stdout, stderr] = start.output;
        if libc::dup2(stdout, 1) == 1
            && libc::dup2(stderr, 2) == 2
            && (start.dir.is_null() || libc::chdir(start.dir) == 0)
            && libc::signal(libc::SIGPIPE, libc::SIG_DFL) != libc::SIG_ERR
            && (start.prepare)()
        {
            libc::execve(start.argv[0], start.argv.as_ptr(), start.envp.as_ptr());
        }
        start.errno = *libc::__errno_location();
        libc::_exit(127)
    }
}

fn environment_of(command: &Command) -> Vec<CString> {
    let mut environment: BTreeMap<OsString, OsString> = env::vars_os().collect();
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => environment.insert(name.to_owned(), value.to_owned()),
            None => environment.remove(name),
        };
    }
    let line = |(name, value): (OsString, OsString)| {
        c_string(&[name.into_vec(), b"=".to_vec(), value.into_vec()].concat())
    };
    environment.into_iter().map(line).collect()
}

fn c_string(text: &[u8]) -> CString {
    CString::new(text).expect("arguments and variables have no zero byte")
}
