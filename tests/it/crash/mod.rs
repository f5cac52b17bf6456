//! Crash tests: npyd is killed, the machine loses power, or a system call fails, at every point
//! where that makes a difference. What remains must contain no wrong array and must have lost
//! nothing, and the next sweep must finish the work.
//!
//! With `NPYD_TEST_LONG=1` (`tests/run --long`) every case is tried. Without it a sample is tried
//! that takes minutes, and each test prints how many cases the sample has.

mod block_log;
mod double_crash;
mod errors;
mod harness;
mod ledger;
mod links;
mod mid_syscall;
mod mutants;
mod points;
mod quarantine;
