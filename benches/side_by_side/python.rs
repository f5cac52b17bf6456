//! The Python environment of the peers, and their scripts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Fallible;
use crate::filesystem::run;

/// The interpreter of an environment that has what the peers need.
pub(crate) struct Python {
    program: PathBuf,
}

impl Python {
    /// Makes the environment `target/bench-python`, again only when its requirements changed.
    pub(crate) fn make() -> Fallible<Self> {
        let wanted = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/requirements.txt");
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench-python");
        let program = home.join("bin/python");
        let installed = home.join("requirements.txt");
        if fs::read(&installed).is_ok_and(|text| fs::read(&wanted).is_ok_and(|it| it == text)) {
            return Ok(Python { program });
        }
        eprintln!("making the Python environment in {}", home.display());
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home))?;
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
        run(Command::new(&program).args(install).arg(&wanted))?;
        fs::copy(&wanted, &installed)?;
        Ok(Python { program })
    }

    /// The command that runs a peer's script.
    pub(crate) fn script(&self, name: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("-B").arg(peer(name));
        command
    }

    /// What the interpreter and NumPy call themselves.
    pub(crate) fn versions(&self) -> Fallible<String> {
        let ask = "import platform, numpy; print(platform.python_version(), numpy.__version__)";
        let output = Command::new(&self.program).args(["-c", ask]).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (python, numpy) =
            text.trim().split_once(' ').ok_or("NumPy does not say its version")?;
        Ok(format!("Python {python}, NumPy {numpy}"))
    }
}

/// The path of one of the peers' files.
pub(crate) fn peer(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers").join(name)
}
