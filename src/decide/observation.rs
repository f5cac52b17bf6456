//! An observation: what one probe of a drop has shown. The caller reads the clock and asks the
//! kernel.

use std::time::Duration;

use crate::describe::SizeFit;
use crate::model::{FileName, Writer};

/// What one probe of a drop has shown.
#[derive(Debug, Clone)]
pub struct Observation {
    /// Size of the data file in bytes. A preallocated or mapped file has its final size at once.
    pub size: u64,
    /// A data file of a series that is not complete by itself, and how its size fits.
    pub unfit: Option<(FileName, SizeFit)>,
    /// Bytes that are allocated for the data file, without holes.
    pub allocated: u64,
    /// Whether every byte was written: the file has neither holes nor unwritten extents.
    pub solid: bool,
    /// Whether a process writes to the data file.
    pub writer: Writer,
    /// Whether a process writes to the description; `None` if no file describes the data.
    pub sidecar_writer: Option<Writer>,
    /// Whether a process writes to the file whose count contradicts the data; `None` if there is no
    /// such file.
    pub count_writer: Option<Writer>,
    /// The first bytes of the data file, as many as the marker has.
    pub first_bytes: Vec<u8>,
    /// How long data file and description have been unchanged.
    pub unchanged: Duration,
    /// Timestamp granularity of their file system: two changes within it may leave equal times.
    pub timestamp_granularity: Duration,
}
