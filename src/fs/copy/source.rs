//! The source of a copy: ranges of files, read as one stream.

use std::ops::Range;

use crate::fs::DataFile;
use crate::fs::copy::{CopyError, WINDOW};
use crate::fs::holes::{HOLE_MIN, Holes};

/// A contiguous range of a source file.
#[derive(Clone, Copy)]
pub struct Segment<'a> {
    pub(super) file: &'a DataFile,
    /// Start of the segment in the file.
    pub(super) offset: u64,
    /// Length of the segment, in bytes.
    pub(super) len: u64,
    pub(super) holes: Holes,
    /// Upper bound of its allocated bytes.
    pub(super) allocated: u64,
}

impl<'a> Segment<'a> {
    /// Creates a segment of `len` bytes of a file.
    pub fn new(file: &'a DataFile, offset: u64, len: u64) -> crate::fs::Result<Self> {
        // A shorter range has no hole that a copy preserves.
        let (holes, allocated) = if len < HOLE_MIN { (Holes::None, len) } else { file.holes()? };
        Ok(Segment { file, offset, len, holes, allocated: allocated.min(len) })
    }

    pub(super) fn is_sparse(&self) -> bool {
        self.holes != Holes::None
    }
}

/// Stores a piece of a file: the file, the offset in it, and the range of the requested bytes that
/// the piece is.
pub(super) type Store<'a> =
    &'a mut dyn FnMut(&DataFile, u64, Range<usize>) -> Result<(), CopyError>;

/// Reads several segments as one stream.
#[derive(Clone)]
pub(super) struct Source<'a> {
    segments: &'a [Segment<'a>],
    /// Offset in the first segment.
    at: u64,
    /// The range of data found last in the file of the first segment, at or behind `at`.
    data: Range<u64>,
}

impl<'a> Source<'a> {
    pub(super) fn new(segments: &'a [Segment<'a>]) -> Self {
        Source { segments, at: 0, data: 0..0 }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.segments.is_empty()
    }

    /// Advances by `len` bytes, at most to the end of the first segment.
    pub(super) fn pass(&mut self, len: u64) {
        self.at += len;
        if let Some((first, rest)) = self.segments.split_first()
            && self.at == first.len
        {
            *self = Source::new(rest);
        }
    }

    /// Advances over the hole that begins here, and returns its length; 0 if there is no hole.
    pub(super) fn pass_hole(&mut self) -> Result<u64, CopyError> {
        let hole = self.find_data()?.start;
        self.pass(hole);
        Ok(hole)
    }

    /// Returns the number of data bytes in the first segment before its next hole; 0 in a hole.
    pub(super) fn data_len(&mut self) -> Result<u64, CopyError> {
        let data = self.find_data()?;
        Ok(if data.start == 0 { data.end } else { 0 })
    }

    /// Returns the next range of data in the first segment, relative to the current offset. For a
    /// hole at the end of the segment the range is empty.
    fn find_data(&mut self) -> Result<Range<u64>, CopyError> {
        let Some(first) = self.segments.first() else { return Ok(0..0) };
        let (here, end) = (first.offset + self.at, first.offset + first.len);
        if first.holes != Holes::Reported {
            return Ok(0..end - here);
        }
        if here >= self.data.end {
            self.data = first.file.data_within(here..end)?;
            let size = first.file.stat()?.size;
            if size < end {
                return Err(CopyError::SourceEnded { at: size });
            }
        }
        Ok(self.data.start.saturating_sub(here)..self.data.end - here)
    }

    /// Passes pieces of the files to `store`, up to the next hole, the end of all segments, or
    /// `max` bytes, and returns the number of bytes.
    pub(super) fn read(&mut self, max: usize, store: Store<'_>) -> Result<usize, CopyError> {
        let mut done = 0;
        while done < max {
            let Some(Segment { file, offset, len, .. }) = self.segments.first() else { break };
            if self.at == 0 && *len > WINDOW {
                // Only advice: the copy is correct without it.
                let _ = rustix::fs::fadvise(file, *offset, None, rustix::fs::Advice::Sequential);
            }
            let piece = self.data_len()?.min((max - done) as u64);
            if piece == 0 && *len > 0 {
                break;
            }
            let end = done + piece as usize;
            store(file, offset + self.at, done..end)?;
            done = end;
            self.pass(piece);
        }
        Ok(done)
    }
}
