//! The service: the daemon, one supervisor and one tracker per drop directory, and the workers.

pub mod daemon;
mod ledger_keeper;
pub mod supervisor;
pub mod systemd;
pub mod tracker;
pub mod watcher;
pub mod work;
