//! Events: what happens, as values, and the bus that hands them to the sinks.

pub mod bus;
pub mod daemon_state;
pub mod drop_path;
pub mod drop_state;
pub mod event;
pub mod gathering;
pub mod left_alone;
pub mod parts;
pub mod problem;
pub mod progress;
pub mod receipt;
pub mod receipt_event;
pub mod scanned;
pub mod sink;
pub mod source_fate;
pub mod stored;
pub mod tally;
pub mod watch_state;
