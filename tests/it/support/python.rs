//! Real NumPy, from the environment that `tests/run` makes.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fmt};

use serde_json::Value;

use super::{Outcome, left_out};

/// The Python interpreter that has the pinned NumPy: `NPYD_TEST_PYTHON`, else the one that
/// `tests/run` made. Where there is none, the test that asks is recorded as left out.
pub(crate) fn python() -> Option<PathBuf> {
    let made = || Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("python/bin/python");
    let python = env::var_os("NPYD_TEST_PYTHON").map_or_else(made, PathBuf::from);
    if python.exists() {
        return Some(python);
    }
    left_out(&format!("no Python at {}: run tests/run, which makes it", python.display()));
    None
}

/// Runs one of the scripts below `tests/` to its end.
pub(crate) fn run_python(
    python: &Path,
    script: &str,
    args: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Outcome {
    Outcome::of(script_command(python, script).args(args))
}

/// The command that runs one of the scripts below `tests/`.
pub(super) fn script_command(python: &Path, script: &str) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(script);
    assert!(script.exists(), "{}", script.display());
    let mut command = Command::new(python);
    command.arg("-B").arg(script);
    command
}

/// What NumPy finds in `file`, through `np.load(mmap_mode='r')`: `descr`, `fortran_order`,
/// `shape`, `values` (nested lists, where they are plain numbers), `sha256` of the data, `offset`.
#[track_caller]
pub(crate) fn load(python: &Path, file: impl AsRef<Path> + fmt::Debug) -> Value {
    let outcome = run_python(python, "numpy/load.py", [file.as_ref()]).expect_code(0);
    outcome.json().swap_remove(0)
}
