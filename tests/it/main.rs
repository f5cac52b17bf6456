//! End-to-end tests: they run the real binary on real files, with real NumPy and real producers.
//!
//! One folder for each subject; `tests/README.md` lists what is in them and how to run them.

mod commands;
mod crash;
mod daemon;
mod describe;
mod drops;
mod finalizing;
mod format;
mod sources;
mod support;
mod text;
