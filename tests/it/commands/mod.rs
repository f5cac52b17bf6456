//! The commands other than `npyd run`: their output and exit codes.

mod config;
mod explain;
mod finalize;
mod inspect;
mod redo;
mod sweep;
