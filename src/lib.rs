//! Turns raw dumps into valid NumPy `.npy` files: a daemon and its command line.
//!
//! The stages that a drop passes through, and the module that implements each:
//!
//! | stage | module | result |
//! |---|---|---|
//! | find it by an event or a scan | [`service::tracker`] | a path |
//! | classify it, open its files | [`probe`], [`describe`] | a [`describe::Dump`] |
//! | decide whether it is complete | [`decide::completeness`] | a verdict with its evidence |
//! | choose a route | [`decide::plan`] | a [`decide::plan::Plan`] |
//! | make the array | [`mod@finalize`], [`fs`] | a [`events::receipt::Receipt`] |
//! | store the receipt | [`ledger`] | |
//!
//! [`service`] runs these stages in one thread per drop directory; `npyd sweep` runs them once.
//! ARCHITECTURE.md in the repository describes the layers and their invariants.

pub mod cli;
pub mod config;
pub mod decide;
pub mod describe;
pub mod events;
pub mod facts;
pub mod finalize;
pub mod fs;
pub mod ledger;
pub mod model;
pub mod probe;
pub mod service;
pub mod sinks;
mod text;
pub mod throttle;

pub use npyd_npy as npy;
