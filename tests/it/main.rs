//! End-to-end tests: the real binary on real files, with real NumPy and real producers.

mod support;

// The tests' own means.
mod reference;

// Ways to drop.
mod abandoned;
mod digest;
mod manifest;
mod pending;
mod sidecar;
mod sidecars;
mod streams;
mod template;
mod writer;

// When a drop is complete.
mod settle;

// The format.
mod npy;

// What becomes of a drop.
mod attack;
mod change;
mod conflict;
mod descriptions;
mod hostile;
mod ignore;
mod parts;
mod proof;
mod races;
mod rejection;
mod remake;
mod source;
mod sparse;
mod transfer;

// What a crash leaves.
mod crash;

// The daemon's life.
mod calls;
mod faults;
mod filesystems;
mod full;
mod inbox;
mod large;
mod load;
mod pace;
mod reload;
mod restart;
mod service;
mod storm;
mod thin;
mod twins;

// The other commands.
mod config;
mod explain;
mod finalize;
mod insert;
mod inspect;
mod sweep;

// What people read.
mod help;
mod messages;
mod readme;

// The sources.
mod durability;
mod tidy;
