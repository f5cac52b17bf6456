//! The `npyd` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    npyd::cli::main()
}
