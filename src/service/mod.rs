//! The service: the daemon, its drop directories, and the workers that do what they decide.

pub mod daemon;
pub mod supervisor;
pub mod systemd;
pub mod tracker;
pub mod watcher;
pub mod worker;
pub mod worker_pool;
