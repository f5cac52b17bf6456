//! The `npyd` executable. The code is in the library: [`npyd::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    npyd::cli::main()
}
