//! The copy through a mapping: the kernel reads the source straight into windows of the output.
//!
//! A window is a multiple of 2 MiB, and so aligned in the file: the kernel caches a file in folios
//! of up to 2 MiB, and a store into a folio whose other half is being written back waits for the
//! disk.
//! A second thread maps the next windows and has the kernel populate them meanwhile
//! (`MADV_POPULATE_WRITE`), because each page of a preallocated file is cleared before it is
//! filled.
//!
//! # Why no signal can reach the process
//!
//! An access to a mapped page that its file can't provide raises SIGBUS, which would end npyd.
//! npyd itself never loads from or stores to a window. The kernel does both: populating answers
//! `EFAULT` where a store would raise the signal (`madvise(2)`), and `pread(2)` into a window
//! answers a short count or `EFAULT`. The copy then goes on through a buffer, whose `pwrite(2)`
//! reports what is wrong with the file.

use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::mpsc;
use std::thread;

use memmap2::{Advice, MmapOptions, MmapRaw};

use crate::fs::copy::source::{Segment, Source};
use crate::fs::copy::{CopyError, Run};
use crate::fs::{DataFile, FsError, Operation, TempFile};
use crate::model::FsKind;

/// Bytes per window.
const WINDOW: u64 = 2 << 20;

/// Maximum number of windows that are populated before they are filled.
const WINDOWS_AHEAD: usize = 3;

/// A shorter output is filled sooner than a second thread is started.
const MIN: u64 = 2 * WINDOW;

/// The file systems that overwrite preallocated blocks where they are. On one that copies on
/// writing, a store into a page that was written back needs a new block, which there may not be.
const OVERWRITING: [FsKind; 3] = [FsKind::Ext4, FsKind::Xfs, FsKind::Tmpfs];

/// Returns whether a mapped copy to this output is faster than one through a buffer, and can't fail
/// where that one would not: nobody else can name the output, and its blocks are there.
pub(super) fn serves(
    output: &TempFile,
    segments: &[Segment<'_>],
    total: u64,
) -> Result<bool, FsError> {
    Ok(total >= MIN
        && output.is_unnamed()
        && output.is_preallocated()
        && !segments.iter().any(Segment::is_sparse)
        && OVERWRITING.contains(&output.file().file_system()?.kind))
}

/// Copies through windows as far as they can be had: `run.at` is then less than `total`.
pub(super) fn copy(
    run: &mut Run<'_, '_>,
    source: &mut Source<'_>,
    total: u64,
) -> Result<(), CopyError> {
    let (file, begin) = (run.output.file(), run.at);
    thread::scope(|scope| -> Result<(), CopyError> {
        let (to_copy, windows) = mpsc::sync_channel(WINDOWS_AHEAD - 1);
        let populate = move || {
            let mut at = begin;
            while at < total {
                let end = (at / WINDOW * WINDOW + WINDOW).min(total);
                let Ok(window) = Window::populated(file, at..end) else { break };
                if to_copy.send(window).is_err() {
                    break;
                }
                at = end;
            }
        };
        let thread = thread::Builder::new().name("populate".into());
        if thread.spawn_scoped(scope, populate).is_err() {
            return Ok(());
        }
        for window in windows {
            if !fill(&window, source)? {
                break;
            }
            let Range { start, end } = window.range;
            // Its pages then count as dirty: writeback need not look for them in page tables.
            drop(window);
            file.flush(start, end - start, false)?;
            run.moved += end - start;
            run.advance(end - start)?;
        }
        Ok(())
    })?;
    check_len(file, total)
}

/// Fills a window. Returns `false` if a page of it can't be had; `source` then stays at the start
/// of the window.
fn fill(window: &Window, source: &mut Source<'_>) -> Result<bool, CopyError> {
    let mut ahead = source.clone();
    let mut is_filled = true;
    let len = (window.range.end - window.range.start) as usize;
    ahead.read(len, &mut |file, offset, range| {
        is_filled = is_filled && window.read_from(file, offset, range)?;
        Ok(())
    })?;
    if is_filled {
        *source = ahead;
    }
    Ok(is_filled)
}

/// Checks that nobody has truncated the output: who runs as the same user can open it through
/// `/proc`.
fn check_len(output: &DataFile, total: u64) -> Result<(), CopyError> {
    let size = output.stat()?.size;
    if size == total {
        return Ok(());
    }
    let text = format!("another process changed its size from {total} to {size} bytes");
    Err(FsError::new(Operation::Write, output.path(), io::Error::other(text)).into())
}

/// A mapped window of the output.
struct Window {
    map: MmapRaw,
    /// The bytes that it holds, in the output.
    range: Range<u64>,
    /// Where these begin in the mapping, which starts at a page.
    start: usize,
}

impl Window {
    /// Maps a range of the output, and has the kernel provide its pages for writing.
    fn populated(output: &DataFile, range: Range<u64>) -> io::Result<Self> {
        let from = range.start / WINDOW * WINDOW;
        let len = (range.end - from) as usize;
        let map = MmapOptions::new().offset(from).len(len).map_raw(&*output.fd)?;
        map.advise(Advice::PopulateWrite)?;
        Ok(Window { map, start: (range.start - from) as usize, range })
    }

    /// Reads bytes of a file into a range of the window. Returns `false` if the kernel can't store
    /// there.
    fn read_from(
        &self,
        file: &DataFile,
        offset: u64,
        range: Range<usize>,
    ) -> Result<bool, CopyError> {
        let to = self.start + range.start..self.start + range.end;
        assert!(to.start <= to.end && to.end <= self.map.len(), "a range of the window");
        let mut done = 0;
        while done < range.len() {
            let at = i64::try_from(offset + done as u64).unwrap_or(i64::MAX);
            // SAFETY: `to` is in the mapping, which lives as long as `self`, and no reference to
            // its bytes exists, so that the kernel may store there. It stores at most `to.len() -
            // done` bytes, from `to.start + done` on. Where the file has lost such a page, it
            // stores nothing, and answers EFAULT or a short count.
            let read = unsafe {
                let pointer = self.map.as_mut_ptr().add(to.start + done);
                libc::pread64(file.fd.as_raw_fd(), pointer.cast(), to.len() - done, at)
            };
            match usize::try_from(read) {
                Ok(0) => return Err(CopyError::SourceEnded { at: file.stat()?.size }),
                Ok(read) => done += read,
                Err(_) => match io::Error::last_os_error() {
                    error if error.kind() == io::ErrorKind::Interrupted => {}
                    error if error.raw_os_error() == Some(libc::EFAULT) => return Ok(false),
                    error => return Err(FsError::new(Operation::Read, file.path(), error).into()),
                },
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::ops::ControlFlow;
    use std::path::Path;

    use super::*;
    use crate::fs::copy::tests::{go_on, source_in, whole};
    use crate::fs::copy::{CopyJob, IN_WRITEBACK};

    /// Returns an empty directory on tmpfs, whose unnamed files npyd maps.
    fn on_tmpfs() -> tempfile::TempDir {
        tempfile::tempdir_in("/dev/shm").unwrap()
    }

    #[test]
    fn every_byte_arrives_in_order() {
        for dir in [on_tmpfs(), tempfile::tempdir().unwrap()] {
            let (temp, dir, source, bytes) = source_in(dir, IN_WRITEBACK + 5 * WINDOW + 3);
            let kind = source.file_system().unwrap().kind;
            for len in [MIN - 4096, MIN, MIN + 1, bytes.len() as u64 - 3] {
                for head_len in [0, 64, 128, 4096, WINDOW + 5] {
                    let head = vec![0xaa; head_len as usize];
                    let first = len / 3;
                    let segments = [(3, first), (3 + first, len - first)];
                    let segment = |(offset, len)| Segment::new(&source, offset, len).unwrap();
                    let segments = segments.map(segment).into();
                    let copy = CopyJob { head: &head, segments, may_map: true };
                    let mut output = copy.output(&dir).unwrap();
                    let mut last = (0, 0);
                    let mut progress = |done, moved| {
                        assert!(done >= last.0 && moved >= last.1);
                        last = (done, moved);
                        ControlFlow::Continue(())
                    };
                    copy.run(&mut output, None, &mut progress).unwrap();
                    let case = format!("{len} bytes behind {head_len} on {kind}");
                    let is_mapped = len + head_len >= MIN && OVERWRITING.contains(&kind);
                    assert_eq!(output.mapped(), Some(is_mapped), "{case}");
                    assert_eq!(last, (len, len), "{case}");
                    assert!(output.publish(Path::new("target"), true).unwrap());
                    let target = fs::read(temp.path().join("target")).unwrap();
                    assert!(target == [&head[..], &bytes[3..3 + len as usize]].concat(), "{case}");
                }
            }
        }
    }

    #[test]
    fn a_copy_without_a_mapping_is_said_so() {
        let (_temp, dir, source, _) = source_in(on_tmpfs(), MIN);
        let copy = CopyJob { may_map: false, ..whole(&source, MIN) };
        let mut output = copy.output(&dir).unwrap();
        copy.run(&mut output, None, &mut go_on).unwrap();
        assert_eq!(output.mapped(), Some(false));
    }

    #[test]
    fn an_output_that_is_truncated_is_an_error() {
        for len in [0, WINDOW + 5, 6 * WINDOW - 1] {
            let (_temp, dir, source, _) = source_in(on_tmpfs(), 8 * WINDOW);
            let copy = whole(&source, 8 * WINDOW);
            let mut output = copy.output(&dir).unwrap();
            let other = output.file().writable().unwrap();
            let cut = copy.run(&mut output, None, &mut |_, _| {
                other.set_len(len).unwrap();
                ControlFlow::Continue(())
            });
            let Err(CopyError::Disk(error)) = cut else { panic!("{cut:?}") };
            let expected = format!("from {} to {len} bytes", 8 * WINDOW);
            assert!(error.to_string().contains(&expected), "{error}");
        }
    }

    #[test]
    fn a_window_that_is_lost_is_not_filled() {
        let (_temp, dir, source, _) = source_in(on_tmpfs(), MIN);
        let output = TempFile::create(&dir, MIN).unwrap();
        let window = Window::populated(output.file(), WINDOW..MIN).unwrap();
        output.file().set_len(WINDOW + 4096).unwrap();
        assert!(!window.read_from(&source, 0, 0..WINDOW as usize).unwrap());
        assert!(window.read_from(&source, 0, 0..4096).unwrap());
        assert!(Window::populated(output.file(), WINDOW..MIN).is_err());
    }

    #[test]
    fn a_source_that_ends_early_is_noticed() {
        let (temp, dir, source, _) = source_in(on_tmpfs(), 8 * WINDOW);
        let copy = whole(&source, 8 * WINDOW);
        let mut output = copy.output(&dir).unwrap();
        let file = fs::File::options().write(true).open(temp.path().join("source")).unwrap();
        let ended = copy.run(&mut output, None, &mut |_, _| {
            file.set_len(3 * WINDOW + 5).unwrap();
            ControlFlow::Continue(())
        });
        let expected = 3 * WINDOW + 5;
        assert!(matches!(ended, Err(CopyError::SourceEnded { at }) if at == expected), "{ended:?}");
    }
}
