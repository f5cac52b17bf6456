//! The routes, the pure half: when each one applies, and what it writes. One file a route.

pub(crate) mod copy;
pub(crate) mod in_place;
pub(crate) mod insert_range;
mod page_header;
pub(crate) mod reflink;

pub use in_place::SECTOR;
