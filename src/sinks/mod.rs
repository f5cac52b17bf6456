//! Sinks: where people and programs see what happens. One file a sink.

pub mod bars;
pub mod log;
pub mod stdout;
