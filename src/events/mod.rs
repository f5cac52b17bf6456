//! Events: what happens, as values, and the bus that hands them to the sinks.

pub mod bus;
pub mod event;
pub mod gathering;
pub mod parts;
pub mod problem;
pub mod receipt;
pub mod stored;
pub mod tally;
