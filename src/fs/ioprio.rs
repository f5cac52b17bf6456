//! I/O priority (`ioprio_set(2)`).

use std::io;

/// `IOPRIO_WHO_PROCESS`: a thread, by its id.
const OF_THREAD: libc::c_int = 1;

/// `IOPRIO_CLASS_IDLE`, shifted to the class bits of a priority.
const IDLE: libc::c_int = 3 << 13;

/// Sets the idle I/O class for this thread and for threads that it starts later. It takes effect
/// only with an I/O scheduler that supports priorities, such as bfq and mq-deadline.
pub fn make_idle() -> io::Result<()> {
    // SAFETY: the call takes three integers and accesses no memory; 0 is the calling thread.
    match unsafe { libc::syscall(libc::SYS_ioprio_set, OF_THREAD, 0, IDLE) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
