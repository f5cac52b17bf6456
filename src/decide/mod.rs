//! Decisions from values alone: is a drop complete, what identifies it, which route does it take?
//! Nothing here makes a system call or reads a clock.

pub mod completeness;
pub mod identity;
pub mod quiescence;
pub mod reason;
pub mod reason_kind;
pub(crate) mod reason_text;
pub mod route;
pub mod routes;

pub use routes::plan;
