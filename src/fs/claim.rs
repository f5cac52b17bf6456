//! Claims: exclusive locks on the files that npyd works on (`flock(2)`).

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{self, FlockOperation};
use rustix::io::{self, Errno};

use crate::fs::{DataFile, Operation, Result};

/// An exclusive `flock(2)` lock on a file that npyd is working on. It belongs to the open file
/// description: it ends when both this value and the [`DataFile`] are dropped, or with the process.
/// Claiming the same open file again succeeds.
#[derive(Debug)]
pub struct Claim {
    _fd: Arc<OwnedFd>,
}

impl DataFile {
    /// Locks the file (`flock(2)`). Returns `None` if another process holds the lock, which may be
    /// the producer.
    pub fn claim(&self) -> Result<Option<Claim>> {
        match Self::lock(&self.fd) {
            // NFS emulates flock by a byte-range lock, which needs a writable descriptor.
            Err(Errno::BADF) => {
                let writable = self.writable()?;
                Self::lock(&writable.fd).map_err(|errno| self.error(Operation::Lock, errno))
            }
            locked => locked.map_err(|errno| self.error(Operation::Lock, errno)),
        }
    }

    fn lock(fd: &Arc<OwnedFd>) -> io::Result<Option<Claim>> {
        match fs::flock(fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Claim { _fd: Arc::clone(fd) })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_claim_at_a_time() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("data");
        std::fs::write(&path, "data").unwrap();
        let file = DataFile::open(&path).unwrap();
        let other = DataFile::open(&path).unwrap();
        let claim = file.claim().unwrap().unwrap();
        assert!(other.claim().unwrap().is_none());
        drop((claim, file));
        assert!(other.claim().unwrap().is_some());
    }
}
