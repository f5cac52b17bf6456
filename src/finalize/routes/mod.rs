//! The routes: how the data become an array, one file per route.

pub(crate) mod copy;
pub(crate) mod in_place;
pub(crate) mod insert_range;
pub(crate) mod reflink;
