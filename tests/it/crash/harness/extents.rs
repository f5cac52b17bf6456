//! Extents: allocates a file in pieces that are scattered over the disk.

use std::fs::{self, File};
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};

/// In which steps a file is allocated, in pieces.
const STRIDE: u64 = 8;

/// Allocates a file of so many bytes in pieces: another file, gone afterwards, lies between them.
pub(crate) fn allocate_in_pieces(file: &File, other: &Path, len: u64, piece: u64) {
    let between = File::create(other).unwrap();
    // Every eighth piece first: what belongs between two of them finds the places beside them full.
    for turn in 0..STRIDE {
        for at in (turn * piece..len).step_by((STRIDE * piece) as usize) {
            for file in [file, &between] {
                fallocate(file, FallocateFlags::empty(), at, piece.min(len - at)).unwrap();
            }
        }
    }
    fs::remove_file(other).unwrap();
}
