//! The `npyd` command with the feature `sabotage`: it leaves out what `NPYD_SABOTAGE` names.

use std::process::ExitCode;

fn main() -> ExitCode {
    npyd::cli::main()
}
