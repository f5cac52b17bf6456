//! Text that users read: `--help`, messages and the README.

mod help;
mod messages;
mod readme;
