//! Limits on copies: a rate, I/O pressure, cancellation; and the progress of one.

pub mod meter;
pub mod psi;
pub mod rate;
