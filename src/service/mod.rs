//! The service: the daemon, one supervisor and one tracker per drop directory, and the workers.

mod committer;
pub mod daemon;
mod failure;
mod in_work;
mod ledger_keeper;
pub mod supervisor;
pub mod systemd;
pub mod tracker;
pub mod watcher;
pub mod worker;
pub mod worker_pool;
