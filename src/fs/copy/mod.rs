//! Streamed copy: writes a header followed by segments of files, in constant memory.
//!
//! A large copy into preallocated blocks goes through a mapping of the output (`mapped`), any other
//! one through a buffer.
//!
//! The copy starts writeback early (`sync_file_range(2)`) and drops written pages from the page
//! cache. The final sync is then short, other programs keep their cache, and freshly freed pages
//! are cheaper than new ones. docs/performance.md has the measurements.
//!
//! A hole in the source stays a hole in the output: it is neither read, written nor allocated.

mod mapped;
mod source;

use std::ops::ControlFlow;

use crate::fs::holes::Holes;
use crate::fs::{DataFile, Dir, FsError, TempFile};

pub use source::Segment;
use source::Source;

/// Bytes per read and write of a copy through a buffer.
const WINDOW: u64 = 1 << 20;

/// Number of bytes whose writeback may still be in flight. This bounds the work left to the final
/// sync, and the time until npyd can stop. The last bytes of an array stay in the page cache; for a
/// small array that is all of it.
const IN_WRITEBACK: u64 = 32 << 20;

/// Bytes that are released from the page cache at once: as many as its largest folios have, and
/// aligned like them, because the kernel keeps a folio of which only a part is to be released.
const RELEASED: u64 = 2 << 20;

/// Maximum number of data ranges that are preallocated in a sparse output. Beyond it, a full disk
/// shows as a write error.
const RANGES_AHEAD: usize = 1024;

/// A copy to make.
pub struct CopyJob<'a> {
    /// The header of the output.
    pub head: &'a [u8],
    /// The data, in output order.
    pub segments: Vec<Segment<'a>>,
    /// Whether the copy may map the output.
    pub may_map: bool,
}

/// Why a copy was not finished.
#[derive(Debug)]
pub enum CopyError {
    /// A system call failed.
    Disk(FsError),
    /// The progress callback stopped the copy.
    Stopped,
    /// The source was shorter than the copy expected.
    SourceEnded {
        /// The size of the source, in bytes.
        at: u64,
    },
}

impl From<FsError> for CopyError {
    fn from(error: FsError) -> Self {
        CopyError::Disk(error)
    }
}

/// Progress callback. Receives the number of data bytes done and the number of bytes moved; a hole
/// is done without being moved. Returns `Break` to stop the copy.
pub type OnProgress<'a> = &'a mut dyn FnMut(u64, u64) -> ControlFlow<()>;

/// Receives all data in order, with holes as zeros.
pub type OnBytes<'a> = &'a mut dyn FnMut(&[u8]);

impl CopyJob<'_> {
    /// Creates the output file for [`CopyJob::run`]. Preallocates its data where the file system
    /// supports that, so that a full disk is reported before any byte is copied.
    pub fn output(&self, dir: &Dir) -> Result<TempFile, CopyError> {
        self.output_with(dir, TempFile::MODE)
    }

    /// Like [`CopyJob::output`], but with mode 0600, so that no other user can open the file yet.
    pub fn private_output(&self, dir: &Dir) -> Result<TempFile, CopyError> {
        self.output_with(dir, 0o600)
    }

    fn output_with(&self, dir: &Dir, mode: u32) -> Result<TempFile, CopyError> {
        if !self.segments.iter().any(Segment::is_sparse) {
            return Ok(TempFile::create_with(dir, mode, self.len())?);
        }
        let output = TempFile::create_with(dir, mode, 0)?;
        let data = self.segments.iter().map(|segment| segment.allocated).sum();
        output.check_space(data)?;
        output.file().set_len(self.len())?;
        if !self.reads_holes() {
            self.allocate_data(&output)?;
        }
        Ok(output)
    }

    fn allocate_data(&self, output: &TempFile) -> Result<(), CopyError> {
        let mut source = Source::new(&self.segments);
        let mut at = self.head.len() as u64;
        for _ in 0..RANGES_AHEAD {
            at += source.pass_hole()?;
            let len = source.data_len()?;
            if len > 0 && !output.allocate(at..at + len)? || source.is_at_end() {
                break;
            }
            source.pass(len);
            at += len;
        }
        Ok(())
    }

    fn reads_holes(&self) -> bool {
        self.segments.iter().any(|segment| segment.holes == Holes::Read)
    }

    /// Returns the length of the output.
    fn len(&self) -> u64 {
        let lens = self.segments.iter().map(|segment| segment.len);
        self.head.len() as u64 + lens.sum::<u64>()
    }

    /// Copies header and data to `output`, which [`CopyJob::output`] created.
    ///
    /// # Durability
    ///
    /// The output is not durable until [`TempFile::sync`] succeeds. An error is final for it (rule
    /// F1).
    pub fn run(
        &self,
        output: &mut TempFile,
        on_bytes: Option<OnBytes<'_>>,
        progress: OnProgress<'_>,
    ) -> Result<(), CopyError> {
        output.mapped = Some(self.fill(output, on_bytes, progress)?);
        Ok(())
    }

    /// Fills the output. Returns whether all data went through a mapping.
    fn fill<'a>(
        &self,
        output: &'a TempFile,
        on_bytes: Option<OnBytes<'_>>,
        progress: OnProgress<'a>,
    ) -> Result<bool, CopyError> {
        let total = self.len();
        let mut source = Source::new(&self.segments);
        let head_len = self.head.len() as u64;
        let reads_holes = self.reads_holes();
        let mut run =
            Run { output, on_bytes, progress, head_len, reads_holes, at: 0, moved: 0, waited: 0 };
        if self.may_map && run.on_bytes.is_none() && mapped::serves(output, &self.segments, total)?
        {
            output.file().write_all_at(self.head, 0)?;
            run.at = head_len;
            mapped::copy(&mut run, &mut source, total)?;
            if run.at == total {
                return Ok(true);
            }
        }
        let mut buffer = vec![0; total.min(WINDOW) as usize];
        while run.at < total {
            let len = (WINDOW - run.at % WINDOW).min(total - run.at);
            let window = &mut buffer[..len as usize];
            let head = self.head.get(run.at as usize..).unwrap_or_default();
            let (of_head, of_data) = window.split_at_mut(head.len().min(len as usize));
            of_head.copy_from_slice(&head[..of_head.len()]);
            let read = source.read(of_data.len(), &mut |file, offset, range| {
                read_exact(file, &mut of_data[range], offset)
            })?;
            let filled = of_head.len() + read;
            if filled > 0 {
                run.write(&window[..filled])?;
            } else {
                run.skip(source.pass_hole()?, &mut buffer)?;
            }
        }
        Ok(false)
    }
}

fn read_exact(file: &DataFile, buffer: &mut [u8], offset: u64) -> Result<(), CopyError> {
    match file.read_exact_at(buffer, offset) {
        Err(error) if error.io().kind() == std::io::ErrorKind::UnexpectedEof => {
            Err(CopyError::SourceEnded { at: file.stat()?.size })
        }
        read => Ok(read?),
    }
}

/// A copy in progress.
struct Run<'on_bytes, 'a> {
    output: &'a TempFile,
    on_bytes: Option<OnBytes<'on_bytes>>,
    progress: OnProgress<'a>,
    head_len: u64,
    /// Whether zeros may be a hole of the source, so that they are not written.
    reads_holes: bool,
    /// Bytes of the output that are done.
    at: u64,
    /// Bytes of data that were moved.
    moved: u64,
    /// Offset up to which writeback has finished.
    waited: u64,
}

impl Run<'_, '_> {
    /// Writes the next bytes, header or data.
    fn write(&mut self, bytes: &[u8]) -> Result<(), CopyError> {
        let (at, len) = (self.at, bytes.len() as u64);
        let of_data = &bytes[self.head_len.saturating_sub(at).min(len) as usize..];
        if let Some(on_bytes) = &mut self.on_bytes {
            on_bytes(of_data);
        }
        self.moved += of_data.len() as u64;
        if !(self.reads_holes && is_zero(bytes)) {
            self.output.file().write_all_at(bytes, at)?;
            self.output.file().flush(at, len, false)?;
        }
        self.advance(len)
    }

    /// Leaves a hole of `len` bytes.
    fn skip(&mut self, len: u64, buffer: &mut [u8]) -> Result<(), CopyError> {
        if self.on_bytes.is_none() {
            return self.advance(len);
        }
        buffer.fill(0);
        let mut left = len;
        while left > 0 {
            let piece = left.min(buffer.len() as u64);
            if let Some(on_bytes) = &mut self.on_bytes {
                on_bytes(&buffer[..piece as usize]);
            }
            self.advance(piece)?;
            left -= piece;
        }
        Ok(())
    }

    fn advance(&mut self, len: u64) -> Result<(), CopyError> {
        let behind = self.at.saturating_sub(IN_WRITEBACK - RELEASED);
        if behind - self.waited >= RELEASED {
            self.output.file().flush(self.waited, behind - self.waited, true)?;
            self.output.file().drop_cache(self.waited, behind - self.waited);
            self.waited = behind;
        }
        self.at += len;
        let done = self.at.saturating_sub(self.head_len);
        if (self.progress)(done, self.moved).is_break() {
            return Err(CopyError::Stopped);
        }
        Ok(())
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    // All bytes equal their predecessor: the comparison runs at memory speed.
    bytes.first() == Some(&0) && bytes[1..] == bytes[..bytes.len() - 1]
}

#[cfg(test)]
pub(in crate::fs::copy) mod tests {
    use std::fs;
    use std::ops::Range;
    use std::path::Path;

    use super::*;
    use crate::fs::Dir;

    /// Returns a source of `len` bytes, no two neighbors equal, and a directory for the copy.
    fn source(len: u64) -> (tempfile::TempDir, Dir, DataFile, Vec<u8>) {
        source_in(tempfile::tempdir().unwrap(), len)
    }

    pub(in crate::fs::copy) fn source_in(
        temp: tempfile::TempDir,
        len: u64,
    ) -> (tempfile::TempDir, Dir, DataFile, Vec<u8>) {
        let bytes: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        fs::write(temp.path().join("source"), &bytes).unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        let file = dir.open_file(Path::new("source")).unwrap().unwrap();
        (temp, dir, file, bytes)
    }

    /// Returns the copy of the first `len` bytes of a file.
    pub(in crate::fs::copy) fn whole(source: &DataFile, len: u64) -> CopyJob<'_> {
        let segments = vec![Segment::new(source, 0, len).unwrap()];
        CopyJob { head: &[], segments, may_map: true }
    }

    pub(in crate::fs::copy) fn go_on(_: u64, _: u64) -> ControlFlow<()> {
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
            IN_WRITEBACK + 2 * WINDOW + 17,
        ] {
            let (temp, dir, source, bytes) = source(len + 3);
            for head_len in [0, 64, 128, 4096] {
                let head = vec![0xaa; head_len];
                let mut seen = Vec::new();
                let half = len / 2;
                let segments = [(3, half), (3 + half, len - half)];
                let segment = |(offset, len)| Segment::new(&source, offset, len).unwrap();
                let copy =
                    CopyJob { head: &head, segments: segments.map(segment).into(), may_map: false };
                let mut output = copy.output(&dir).unwrap();
                let mut on_bytes = |some: &[u8]| seen.extend_from_slice(some);
                copy.run(&mut output, Some(&mut on_bytes), &mut go_on).unwrap();
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
        let copy = whole(&source, 3 * WINDOW);
        let mut output = copy.output(&dir).unwrap();
        let stopped = copy.run(&mut output, None, &mut |_, _| ControlFlow::Break(()));
        assert!(matches!(stopped, Err(CopyError::Stopped)));
        drop(output);
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_source_that_ends_early_is_noticed() {
        let (temp, dir, source, _) = source(2 * WINDOW);
        let copy = whole(&source, 2 * WINDOW);
        let mut output = copy.output(&dir).unwrap();
        let file = fs::File::options().write(true).open(temp.path().join("source")).unwrap();
        let ended = copy.run(&mut output, None, &mut |_, _| {
            file.set_len(WINDOW + 5).unwrap();
            ControlFlow::Continue(())
        });
        assert!(
            matches!(ended, Err(CopyError::SourceEnded { at }) if at == WINDOW + 5),
            "{ended:?}"
        );
    }

    /// Data ranges of a sparse source, placed so that a header shifts them across window borders.
    const DATA: [Range<u64>; 4] =
        [8192..12288, 3 * WINDOW - 4096..3 * WINDOW + 4096, 70 * WINDOW..72 * WINDOW, LEN - 5..LEN];
    const LEN: u64 = 80 * WINDOW + 7;

    fn sparse_source() -> (tempfile::TempDir, Dir, DataFile) {
        use std::os::unix::fs::FileExt;
        let temp = tempfile::tempdir().unwrap();
        let file = fs::File::create(temp.path().join("source")).unwrap();
        file.set_len(LEN).unwrap();
        for Range { start, end } in DATA {
            let bytes: Vec<u8> = (start..end).map(|at| (at % 251) as u8 + 1).collect();
            file.write_all_at(&bytes, start).unwrap();
        }
        let dir = Dir::open(temp.path()).unwrap();
        let file = dir.open_file(Path::new("source")).unwrap().unwrap();
        (temp, dir, file)
    }

    #[test]
    fn holes_stay_holes() {
        let (temp, dir, source) = sparse_source();
        let bytes = fs::read(temp.path().join("source")).unwrap();
        for head_len in [0, 128, 4096] {
            for holes in [Holes::Reported, Holes::Read] {
                let head = vec![0xaa; head_len];
                let half = LEN / 2;
                let segments = [(0, half), (half, LEN - half)].map(|(offset, len)| Segment {
                    holes,
                    ..Segment::new(&source, offset, len).unwrap()
                });
                let copy = CopyJob { head: &head, segments: segments.into(), may_map: true };
                let mut output = copy.output(&dir).unwrap();
                let (mut seen, mut last) = (Vec::new(), (0, 0));
                let mut on_bytes = |some: &[u8]| seen.extend_from_slice(some);
                let mut progress = |done, moved| {
                    assert!(done >= last.0 && moved >= last.1);
                    last = (done, moved);
                    ControlFlow::Continue(())
                };
                copy.run(&mut output, Some(&mut on_bytes), &mut progress).unwrap();
                let case = format!("{holes:?} behind {head_len}");
                assert!(seen == bytes, "{case}");
                assert_eq!(last.0, LEN, "{case}");
                let most = if holes == Holes::Reported { 3 * WINDOW } else { LEN };
                assert!(last.1 <= most, "{case}: {} moved", last.1);
                assert!(output.publish(Path::new("target"), true).unwrap());
                let target = fs::read(temp.path().join("target")).unwrap();
                assert!(target == [&head[..], &bytes[..]].concat(), "{case}");
                let blocks = dir.stat(Path::new("target")).unwrap().unwrap().blocks;
                assert!(blocks * 512 < 9 * WINDOW, "{case}: {blocks} blocks");
            }
        }
    }

    #[test]
    fn a_source_that_is_cut_in_a_hole_is_noticed() {
        let (temp, dir, source) = sparse_source();
        let copy = whole(&source, LEN);
        let mut output = copy.output(&dir).unwrap();
        let file = fs::File::options().write(true).open(temp.path().join("source")).unwrap();
        let ended = copy.run(&mut output, None, &mut |_, _| {
            file.set_len(75 * WINDOW).unwrap();
            ControlFlow::Continue(())
        });
        assert!(
            matches!(ended, Err(CopyError::SourceEnded { at }) if at == 75 * WINDOW),
            "{ended:?}"
        );
    }
}
