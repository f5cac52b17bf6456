//! I/O priority (`ioprio_set(2)`).

use std::io;
use std::marker::PhantomData;

/// `IOPRIO_WHO_PROCESS`: a thread, by its id.
const OF_THREAD: libc::c_int = 1;

/// `IOPRIO_CLASS_IDLE`, shifted to the class bits of a priority.
const IDLE: libc::c_int = 3 << 13;

/// Sets the idle I/O class for this thread and for threads that it starts later. It takes effect
/// only with an I/O scheduler that supports priorities, such as bfq and mq-deadline.
pub fn make_idle() -> io::Result<()> {
    set(IDLE)
}

/// The idle I/O class of this thread for a piece of work. Dropping it restores the priority that
/// the thread had before.
pub struct IdlePriority {
    before: Option<libc::c_int>,
    /// It belongs to the thread that it was made in.
    _not_send: PhantomData<*const ()>,
}

impl IdlePriority {
    /// Sets the idle I/O class. The work is done with the present priority if the kernel refuses.
    #[must_use]
    pub fn begin() -> Self {
        let before = get().ok().filter(|_| set(IDLE).is_ok());
        IdlePriority { before, _not_send: PhantomData }
    }
}

impl Drop for IdlePriority {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            let _ = set(before); // the thread stays idle, and works more slowly
        }
    }
}

fn set(priority: libc::c_int) -> io::Result<()> {
    // SAFETY: the call takes three integers and accesses no memory; 0 is the calling thread.
    match unsafe { libc::syscall(libc::SYS_ioprio_set, OF_THREAD, 0, priority) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn get() -> io::Result<libc::c_int> {
    // SAFETY: the call takes two integers and accesses no memory; 0 is the calling thread.
    let priority = unsafe { libc::syscall(libc::SYS_ioprio_get, OF_THREAD, 0) };
    if priority < 0 {
        return Err(io::Error::last_os_error());
    }
    libc::c_int::try_from(priority).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_priority_is_idle_for_a_while() {
        let before = get().unwrap();
        let idle = IdlePriority::begin();
        assert_eq!(get().unwrap(), IDLE);
        let inner = IdlePriority::begin();
        drop(inner);
        assert_eq!(get().unwrap(), IDLE);
        let other = std::thread::spawn(|| get().unwrap()).join().unwrap();
        assert_eq!(other, IDLE, "a thread inherits it");
        drop(idle);
        assert_eq!(get().unwrap(), before);
    }
}
