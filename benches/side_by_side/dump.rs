//! The dumps that are dropped: frames of 128 × 256 `<u2`, all alike but for their numbers.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Bytes in a frame.
pub(crate) const FRAME: u64 = 64 << 10;

/// Bytes of the room for a header, where there is any.
pub(crate) const ROOM: usize = 128;

/// The dtype and the lengths of all axes, as scripts take them.
pub(crate) fn described(frames: u64) -> [String; 4] {
    ["<u2".to_owned(), frames.to_string(), "128".to_owned(), "256".to_owned()]
}

/// The bytes of a frame that no disk can compress, its number still 0.
pub(crate) fn frame() -> Vec<u8> {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut next = || {
        // Marsaglia's xorshift, with the shifts 13, 7 and 17.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = (0..FRAME / 8).flat_map(|_| next()).collect();
    bytes[..8].fill(0);
    bytes
}

/// Writes a dump of so many frames behind `front`, numbered from `first` on.
pub(crate) fn write(path: &Path, front: &[u8], first: u64, frames: u64) -> io::Result<File> {
    /// Frames that are written at once.
    const AT_ONCE: u64 = 64;
    let mut file = File::create(path)?;
    file.write_all(front)?;
    let mut bytes = frame().repeat(frames.min(AT_ONCE) as usize);
    let mut done = 0;
    while done < frames {
        let some = (frames - done).min(AT_ONCE);
        for (number, frame) in (first + done..).zip(bytes.chunks_exact_mut(FRAME as usize)) {
            frame[..8].copy_from_slice(&number.to_le_bytes());
        }
        file.write_all(&bytes[..(some * FRAME) as usize])?;
        done += some;
    }
    Ok(file)
}

/// Writes a dump's manifest, with more lines at its end.
pub(crate) fn describe(path: &Path, frames: u64, more: &str) -> io::Result<()> {
    fs::write(path, format!("dtype = \"<u2\"\nshape = [{frames}, 128, 256]\n{more}"))
}

/// The front of a pending file that is marked ready.
pub(crate) fn pending_front(frames: u64) -> Vec<u8> {
    let dict =
        format!("{{'descr': '<u2', 'fortran_order': False, 'shape': ({frames}, 128, 256), }}");
    let mut front = b"\x93NPEND\x01r".to_vec();
    front.extend_from_slice(&(ROOM as u16 - 10).to_le_bytes());
    front.extend_from_slice(dict.as_bytes());
    front.resize(ROOM - 1, b' ');
    front.push(b'\n');
    front
}
