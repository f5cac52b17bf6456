//! Reference files: builds the bytes that NumPy and producers write, without the code under test.

/// Returns the bytes of the `.npy` file that `np.save` writes for `data`. `descr` is a literal as
/// in the header: a string has its quotes.
pub(crate) fn npy(descr: &str, fortran: bool, shape: &[u64], data: &[u8]) -> Vec<u8> {
    let mut file = npy_header(descr, fortran, shape);
    file.extend_from_slice(data);
    file
}

/// Returns the header that [`npy`] puts before the data, in version 1.
pub(crate) fn npy_header(descr: &str, fortran: bool, shape: &[u64]) -> Vec<u8> {
    let shape: Vec<i64> = shape.iter().map(|&n| i64::try_from(n).unwrap()).collect();
    let growth = if fortran { shape.last() } else { shape.first() };
    let spare = growth.map_or(0, |n| 21 - n.to_string().len());
    let text = dict(descr, fortran, &shape) + &" ".repeat(spare);
    let total = (10 + text.len() + 1).next_multiple_of(64);
    // NumPy pads by 1 to 64 spaces, never by none.
    let total = if total == 10 + text.len() + 1 { total + 64 } else { total };
    framed(*b"\x93NUMPY\x01\x00", 1, &text, total)
}

/// The same header, filled with spaces to `total` bytes.
pub(crate) fn npy_filling(descr: &str, fortran: bool, shape: &[u64], total: usize) -> Vec<u8> {
    let header = npy_header(descr, fortran, shape);
    let text = std::str::from_utf8(&header[10..]).unwrap();
    framed(*b"\x93NUMPY\x01\x00", 1, text.trim_end(), total)
}

/// A pending file: a header with a marker of its own, then the data.
#[derive(Clone)]
pub(crate) struct PendingFile {
    /// The header's version: 1, 2 or 3.
    pub(crate) version: u8,
    /// `b'w'` or `b'r'`.
    pub(crate) mark: u8,
    /// The dtype as a header's literal.
    pub(crate) descr: &'static str,
    /// Whether the order is Fortran's.
    pub(crate) fortran: bool,
    /// The shape, in which one length may be -1.
    pub(crate) shape: Vec<i64>,
    /// Where the data begin.
    pub(crate) data_offset: usize,
}

impl PendingFile {
    /// A version 1 pending file of little-endian 4-byte integers in C order, marked ready, with
    /// its data at byte 128.
    pub(crate) fn ready(shape: &[i64]) -> Self {
        let shape = shape.to_vec();
        Self { version: 1, mark: b'r', descr: "'<i4'", fortran: false, shape, data_offset: 128 }
    }

    /// The same, still marked as being written.
    pub(crate) fn writing(shape: &[i64]) -> Self {
        Self { mark: b'w', ..Self::ready(shape) }
    }

    /// Its bytes, with `data` behind the header.
    pub(crate) fn with(&self, data: &[u8]) -> Vec<u8> {
        let magic = [0x93, b'N', b'P', b'E', b'N', b'D', self.version, self.mark];
        let text = dict(self.descr, self.fortran, &self.shape);
        let mut file = framed(magic, self.version, &text, self.data_offset);
        file.extend_from_slice(data);
        file
    }
}

/// A header's dict; `descr` in quotes where it is a string.
fn dict(descr: &str, fortran: bool, shape: &[i64]) -> String {
    let order = if fortran { "True" } else { "False" };
    let lengths: Vec<String> = shape.iter().map(ToString::to_string).collect();
    let comma = if shape.len() == 1 { "," } else { "" };
    let shape = lengths.join(", ") + comma;
    format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': ({shape}), }}")
}

/// `text` behind eight bytes of magic and its length, filled with spaces and a newline to `total`.
fn framed(magic: [u8; 8], version: u8, text: &str, total: usize) -> Vec<u8> {
    let mut header = Vec::from(magic);
    if version == 1 {
        header.extend_from_slice(&u16::try_from(total - 10).unwrap().to_le_bytes());
    } else {
        header.extend_from_slice(&u32::try_from(total - 12).unwrap().to_le_bytes());
    }
    header.extend_from_slice(text.as_bytes());
    assert!(header.len() < total, "the header fits its {total} bytes");
    header.resize(total - 1, b' ');
    header.push(b'\n');
    header
}
