//! The streamed copy: a header, and behind it a stretch of a source, in constant memory.
//!
//! The source is read with `pread`, straight into windows of the mapped output. Only the output is
//! mapped: it has no name yet, so that nobody can truncate it under the mapping. Its blocks are
//! allocated, so that no write to the mapping can meet a full disk.

use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd};

use memmap2::{Advice, MmapMut, MmapOptions};

use super::{DataFile, DiskError, Output};

/// The size of a window in bytes, a multiple of every page size.
const WINDOW: u64 = 4 << 20;

/// How many windows behind the current one may still be on their way to the disk. The final sync
/// then has little left to do, and npyd can stop within a moment.
const BEHIND: u64 = 8;

/// A copy to be made.
pub struct Copy<'a> {
    /// Where the data come from.
    pub source: &'a DataFile,
    /// What stands before them in the output.
    pub head: &'a [u8],
    /// Where they begin in the source.
    pub offset: u64,
    /// How many bytes they have.
    pub len: u64,
}

/// Why a copy was not finished.
#[derive(Debug)]
pub enum CopyError {
    /// A call failed.
    Disk(DiskError),
    /// It was told to stop.
    Stopped,
    /// The source ended early.
    SourceEnded {
        /// At this byte.
        at: u64,
    },
}

impl From<DiskError> for CopyError {
    fn from(error: DiskError) -> Self {
        CopyError::Disk(error)
    }
}

impl Copy<'_> {
    /// Fills the whole output. `tap` sees all data in order; `progress` hears how many bytes of
    /// them are done, and may stop the copy. An error is final for the output.
    pub fn run(
        &self,
        output: &Output,
        tap: &mut dyn FnMut(&[u8]),
        progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<(), CopyError> {
        let total = self.head.len() as u64 + self.len;
        // Only advice: reading goes on as well without it.
        let _ = rustix::fs::fadvise(self.source, self.offset, None, rustix::fs::Advice::Sequential);
        let mut buffer = Vec::new();
        let mut at = 0;
        while at < total {
            let len = (total - at).min(WINDOW);
            if output.is_preallocated() {
                let mut window = map(output, at, len)?;
                self.fill(at, &mut window, tap)?;
            } else {
                buffer.resize(len as usize, 0);
                self.fill(at, &mut buffer, tap)?;
                output.file().write_all_at(&buffer, at)?;
            }
            output.file().flush(at, len, false)?;
            if let Some(behind) = at.checked_sub(BEHIND * WINDOW) {
                output.file().flush(behind, WINDOW, true)?;
            }
            at += len;
            if progress(at.saturating_sub(self.head.len() as u64)).is_break() {
                return Err(CopyError::Stopped);
            }
        }
        Ok(())
    }

    /// Fills the window that begins at byte `at` of the output.
    fn fill(
        &self,
        at: u64,
        window: &mut [u8],
        tap: &mut dyn FnMut(&[u8]),
    ) -> Result<(), CopyError> {
        let head = self.head.get(at as usize..).unwrap_or_default();
        let (of_head, of_data) = window.split_at_mut(head.len().min(window.len()));
        of_head.copy_from_slice(&head[..of_head.len()]);
        if of_data.is_empty() {
            return Ok(());
        }
        let from = self.offset + (at + of_head.len() as u64) - self.head.len() as u64;
        match self.source.read_exact_at(of_data, from) {
            Ok(()) => tap(of_data),
            Err(error) if error.io().kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(CopyError::SourceEnded { at: self.source.stat()?.size });
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

fn map(output: &Output, at: u64, len: u64) -> Result<MmapMut, DiskError> {
    let failed = |error| DiskError::new("map", output.file().path(), error);
    let mut options = MmapOptions::new();
    options.offset(at).len(len as usize);
    // SAFETY: the file was made by this process and has no name, or one that only npyd uses: nobody
    // else truncates it while it is mapped. Its blocks are allocated as far as `at + len`, so that
    // no access can meet the end of the file or of the disk.
    let window = unsafe { options.map_mut(output.file().as_fd().as_raw_fd()) }.map_err(failed)?;
    // One call for all pages instead of a fault for each, and an error where a fault would end the
    // process. Kernels before 5.14 don't know it.
    match window.advise(Advice::PopulateWrite) {
        Err(error) if error.kind() != std::io::ErrorKind::InvalidInput => Err(failed(error)),
        _ => Ok(window),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::disk::Dir;

    /// A source of so many bytes, no two neighbors alike, and a directory to copy it to.
    fn source(len: u64) -> (tempfile::TempDir, Dir, DataFile, Vec<u8>) {
        let temp = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        fs::write(temp.path().join("source"), &bytes).unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        let file = dir.open_file(Path::new("source")).unwrap().unwrap();
        (temp, dir, file, bytes)
    }

    fn go_on(_: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    #[test]
    fn every_byte_arrives_in_order() {
        for len in [0, 1, 4095, 4096, WINDOW - 128, WINDOW - 1, WINDOW, WINDOW + 1, 2 * WINDOW + 17]
        {
            let (temp, dir, source, bytes) = source(len + 3);
            for head_len in [0, 64, 128, 4096] {
                for mapped in [true, false] {
                    let head = vec![0xaa; head_len];
                    let mut output = Output::create(&dir, head_len as u64 + len).unwrap();
                    if !mapped {
                        output.forget_preallocation();
                    }
                    let mut seen = Vec::new();
                    let copy = Copy { source: &source, head: &head, offset: 3, len };
                    copy.run(&output, &mut |some| seen.extend_from_slice(some), &mut go_on)
                        .unwrap();
                    assert!(output.publish(Path::new("target"), true).unwrap());
                    let target = fs::read(temp.path().join("target")).unwrap();
                    let case = format!("{len} bytes behind {head_len}, mapped: {mapped}");
                    assert!(target == [&head[..], &bytes[3..]].concat(), "{case}");
                    assert!(seen == bytes[3..], "{case}");
                }
            }
        }
    }

    #[test]
    fn a_stopped_copy_leaves_nothing() {
        let (temp, dir, source, _) = source(3 * WINDOW);
        let output = Output::create(&dir, 3 * WINDOW).unwrap();
        let copy = Copy { source: &source, head: &[], offset: 0, len: 3 * WINDOW };
        let stopped = copy.run(&output, &mut |_| {}, &mut |_| ControlFlow::Break(()));
        assert!(matches!(stopped, Err(CopyError::Stopped)));
        drop(output);
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_source_that_ends_early_is_noticed() {
        let (temp, dir, source, _) = source(2 * WINDOW);
        let output = Output::create(&dir, 2 * WINDOW).unwrap();
        let copy = Copy { source: &source, head: &[], offset: 0, len: 2 * WINDOW };
        let file = fs::File::options().write(true).open(temp.path().join("source")).unwrap();
        let ended = copy.run(&output, &mut |_| {}, &mut |_| {
            file.set_len(WINDOW + 5).unwrap();
            ControlFlow::Continue(())
        });
        assert!(
            matches!(ended, Err(CopyError::SourceEnded { at }) if at == WINDOW + 5),
            "{ended:?}"
        );
    }
}
