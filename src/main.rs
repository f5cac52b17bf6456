//! The `npyd` command.

fn main() {}
