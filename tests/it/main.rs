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
mod attacker;
mod change;
mod conflict;
mod descriptions;
mod ignore;
mod numpy_roundtrip;
mod parts;
mod proof;
mod races;
mod redo;
mod rejection;
mod source;
mod sparse;
mod transfer;
mod untrusted_files;

// What a crash leaves.
mod crash;

// The daemon's life.
mod disk_full;
mod drop_dir;
mod event_overflow;
mod failing_syscalls;
mod faults;
mod filesystems;
mod large;
mod load;
mod pace;
mod reload;
mod restart;
mod service;
mod thin_provisioning;
mod two_daemons;

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
mod source_rules;
