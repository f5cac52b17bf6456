//! How urgent the kernel takes this process's reads and writes to be (`ioprio_set(2)`).

use std::io;

/// `IOPRIO_WHO_PROCESS`: a thread, by its number.
const OF_THREAD: libc::c_int = 1;

/// `IOPRIO_CLASS_IDLE`, where a priority has its class.
const IDLE: libc::c_int = 3 << 13;

/// Lets this thread, and those it starts from now on, read and write only while nobody else wants
/// to. It takes a disk whose scheduler knows priorities, as bfq and mq-deadline do.
pub fn make_idle() -> io::Result<()> {
    // SAFETY: the call takes three numbers and touches no memory; 0 is the calling thread.
    match unsafe { libc::syscall(libc::SYS_ioprio_set, OF_THREAD, 0, IDLE) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
