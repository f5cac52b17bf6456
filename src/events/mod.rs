//! Events: what happened to a drop.

pub mod receipt;
