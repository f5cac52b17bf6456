//! The streamed copy: a header, and behind it stretches of files, in constant memory.
//!
//! What is written goes to the disk right away, and leaves the page cache behind it: the sync at
//! the end is short then, other programs keep their cache, and pages that were just freed are
//! cheaper than new ones. Nothing is mapped: a mapping took longer on every file system, and would
//! end npyd where somebody truncates its file. docs/performance.md has the figures.

use std::ops::ControlFlow;

use super::{DataFile, DiskError, Output};

/// How many bytes are copied at once.
const WINDOW: u64 = 1 << 20;

/// How many windows behind the current one may still be on their way to the disk. The final sync
/// then has little left to do, and npyd can stop within a moment. They are the end of the array
/// that stays in the page cache, which for small arrays is all.
const BEHIND: u64 = 32;

/// A copy to be made.
pub struct Copy<'a> {
    /// What stands before the data in the output.
    pub head: &'a [u8],
    /// Where the data come from, in their order.
    pub stretches: Vec<Stretch<'a>>,
}

/// A stretch of a file.
#[derive(Clone, Copy)]
pub struct Stretch<'a> {
    /// The file.
    pub file: &'a DataFile,
    /// Where the stretch begins in it.
    pub offset: u64,
    /// How many bytes it has.
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
        let lens = self.stretches.iter().map(|stretch| stretch.len);
        let total = self.head.len() as u64 + lens.sum::<u64>();
        let mut source = Source { stretches: &self.stretches, at: 0 };
        let mut window = vec![0; total.min(WINDOW) as usize];
        let mut at = 0;
        while at < total {
            let len = (total - at).min(WINDOW);
            let window = &mut window[..len as usize];
            self.fill(at, window, &mut source, tap)?;
            output.file().write_all_at(window, at)?;
            output.file().flush(at, len, false)?;
            if let Some(behind) = at.checked_sub(BEHIND * WINDOW) {
                output.file().flush(behind, WINDOW, true)?;
                output.file().release(behind, WINDOW);
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
        source: &mut Source<'_>,
        tap: &mut dyn FnMut(&[u8]),
    ) -> Result<(), CopyError> {
        let head = self.head.get(at as usize..).unwrap_or_default();
        let (of_head, of_data) = window.split_at_mut(head.len().min(window.len()));
        of_head.copy_from_slice(&head[..of_head.len()]);
        source.read(of_data)?;
        tap(of_data);
        Ok(())
    }
}

/// Stretches that are read one behind another.
struct Source<'a> {
    stretches: &'a [Stretch<'a>],
    /// How much of the first was read.
    at: u64,
}

impl Source<'_> {
    /// Fills a buffer with what comes next.
    fn read(&mut self, mut buffer: &mut [u8]) -> Result<(), CopyError> {
        while !buffer.is_empty() {
            let Some((Stretch { file, offset, len }, rest)) = self.stretches.split_first() else {
                return Ok(()); // the total was that of all
            };
            if self.at == 0 {
                // Only advice: reading goes on as well without it.
                let _ = rustix::fs::fadvise(file, *offset, None, rustix::fs::Advice::Sequential);
            }
            let piece = (len - self.at).min(buffer.len() as u64);
            let (now, later) = std::mem::take(&mut buffer).split_at_mut(piece as usize);
            match file.read_exact_at(now, offset + self.at) {
                Err(error) if error.io().kind() == std::io::ErrorKind::UnexpectedEof => {
                    return Err(CopyError::SourceEnded { at: file.stat()?.size });
                }
                read => read?,
            }
            buffer = later;
            self.at += piece;
            if self.at == *len {
                (self.stretches, self.at) = (rest, 0);
            }
        }
        Ok(())
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
        for len in [
            0,
            1,
            4095,
            4096,
            WINDOW - 128,
            WINDOW - 1,
            WINDOW,
            WINDOW + 1,
            (BEHIND + 2) * WINDOW + 17,
        ] {
            let (temp, dir, source, bytes) = source(len + 3);
            for head_len in [0, 64, 128, 4096] {
                let head = vec![0xaa; head_len];
                let mut output = Output::create(&dir, head_len as u64 + len).unwrap();
                let mut seen = Vec::new();
                let half = len / 2;
                let stretches = [(3, half), (3 + half, len - half)];
                let stretches =
                    stretches.map(|(offset, len)| Stretch { file: &source, offset, len }).into();
                let copy = Copy { head: &head, stretches };
                copy.run(&output, &mut |some| seen.extend_from_slice(some), &mut go_on).unwrap();
                assert!(output.publish(Path::new("target"), true).unwrap());
                let target = fs::read(temp.path().join("target")).unwrap();
                let case = format!("{len} bytes behind {head_len}");
                assert!(target == [&head[..], &bytes[3..]].concat(), "{case}");
                assert!(seen == bytes[3..], "{case}");
            }
        }
    }

    #[test]
    fn a_stopped_copy_leaves_nothing() {
        let (temp, dir, source, _) = source(3 * WINDOW);
        let output = Output::create(&dir, 3 * WINDOW).unwrap();
        let stretches = vec![Stretch { file: &source, offset: 0, len: 3 * WINDOW }];
        let copy = Copy { head: &[], stretches };
        let stopped = copy.run(&output, &mut |_| {}, &mut |_| ControlFlow::Break(()));
        assert!(matches!(stopped, Err(CopyError::Stopped)));
        drop(output);
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_source_that_ends_early_is_noticed() {
        let (temp, dir, source, _) = source(2 * WINDOW);
        let output = Output::create(&dir, 2 * WINDOW).unwrap();
        let stretches = vec![Stretch { file: &source, offset: 0, len: 2 * WINDOW }];
        let copy = Copy { head: &[], stretches };
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
