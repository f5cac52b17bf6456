//! What the fuzz targets check: one file for each kind of text or header that others write.
//!
//! `tests/it/describe/hostile_inputs.rs` includes this file, and checks the seeds and changed seeds
//! in each run of the tests.

pub mod assertions;
pub mod config;
pub mod dtype;
pub mod header;
pub mod literal;
pub mod manifest;
pub mod pending;
pub mod sidecar;
