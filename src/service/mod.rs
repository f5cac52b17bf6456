//! The service: the daemon, one supervisor and one tracker per drop directory, the threads that
//! watch them, and the workers.

mod config_reader;
pub mod daemon;
pub mod handle;
mod ledger_keeper;
mod overflow_pause;
mod place;
mod root_check;
mod scan_plan;
pub mod supervisor;
pub mod systemd;
pub mod tracker;
pub mod watch;
pub mod watch_thread;
pub mod work;
