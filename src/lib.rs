//! npyd turns raw dumps into valid NumPy `.npy` files, safely and at once.
//!
//! The way of a dump, one module a stage:
//!
//! | stage | module | what comes out |
//! |---|---|---|
//! | something landed | [`watch`] | a path, as a hint |
//! | what is it? | [`look`], by way of [`recognize`] | a [`recognize::Dump`] |
//! | is it complete? | [`settle`] | a verdict, with its [`settle::Evidence`] |
//! | how does it become an array? | [`plan`] | a [`plan::Plan`] |
//! | do it | [`mod@finalize`], by way of [`disk`] | a [`receipt::Receipt`] |
//! | remember it | [`ledger`] | |
//!
//! [`patrol`] walks one drop directory's dumps along this way; [`attend`] gives each directory a
//! thread, [`pool`] the hands, and [`daemon`] holds it all together. `npyd sweep` walks the same
//! patrols once. ARCHITECTURE.md in the repository tells the rest.

// The format.
pub mod npy;

// What all messages have in common.
mod message;

// What is decided, without a look at the world.
pub mod config;
pub mod digest;
pub mod ignore_rules;
pub mod plan;
pub mod recognize;
pub mod settle;

// What touches the world.
pub mod candidate;
pub mod disk;
pub mod finalize;
pub mod intent;
pub mod look;
pub mod stamp;
pub mod watch;

// What is told.
pub mod ledger;
pub mod pace;
pub mod pressure;
pub mod progress;
pub mod receipt;
pub mod systemd;

// What runs.
pub mod attend;
pub mod cli;
pub mod daemon;
pub mod patrol;
pub mod pool;
