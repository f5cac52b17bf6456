//! The `.npy` format: dtypes, shapes, headers and pending headers.
//!
//! The reference is NumPy itself: `numpy/lib/_format_impl.py` (the format, with its three versions)
//! and `numpy/_core/_internal.py` (the `descr` of a dtype). This crate writes headers byte for
//! byte as NumPy does, and reads the headers that NumPy reads.
//!
//! All sizes are bytes, in checked 64-bit arithmetic.

mod dtype;
mod dtype_names;
mod dtype_spelling;
mod header;
mod literal;
mod literal_parser;
mod pending;
pub mod sanitize;
mod shape;

pub use dtype::{Dtype, DtypeError};
pub use header::{HEADER_MAX, Header, HeaderError, parse_header};
pub use literal::{Literal, LiteralError};
pub use pending::{Kind, MAGIC, PendingState, Preamble, commit_bytes, pending_bytes};
pub use shape::{Layout, LayoutError, Order, Shape};
