//! The daemon: watching, restarting, reloading, load, and the service manager.

mod causes;
mod drop_dir;
mod event_overflow;
mod faults;
mod ledger;
mod load;
mod log;
mod pace;
mod reload;
mod restart;
mod retention;
mod scarcity;
mod service;
mod soak;
mod systemd_unit;
mod two_daemons;
mod two_users;
mod watch_threads;
