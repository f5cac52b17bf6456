//! The service: the daemon, one supervisor and one tracker per drop directory, and the workers.

pub mod daemon;
pub mod supervisor;
pub mod systemd;
pub mod tracker;
pub mod watcher;
pub mod worker;
pub mod worker_pool;
