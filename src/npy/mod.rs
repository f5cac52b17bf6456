//! The `.npy` format: dtypes, headers, and headers that do not count yet.
//!
//! The source is NumPy itself: `numpy/lib/_format_impl.py` (the format, with its three versions)
//! and `numpy/_core/_internal.py` (what a dtype's `descr` is). What NumPy writes is written here
//! byte for byte, and what it reads is read here.
//!
//! Everything is pure. Sizes are bytes in checked 64-bit arithmetic.

mod dtype;
mod header;
mod literal;
mod literal_parser;
mod pending;
mod shape;

pub use dtype::{Dtype, DtypeError};
pub use header::{HEADER_MAX, Header, HeaderError, parse_header};
pub use literal::{Literal, LiteralError};
pub use pending::{Kind, MAGIC, PendingState, Preamble, commit_bytes, pending_bytes};
pub use shape::{Layout, LayoutError, Order, Shape};
