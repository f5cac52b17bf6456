//! The binary under test: the real one, or a mutant.

use std::path::PathBuf;
use std::process::Command;

/// A binary of npyd, and the steps that it leaves out.
pub(crate) struct Npyd {
    binary: PathBuf,
    sabotage: Option<&'static str>,
}

impl Npyd {
    /// The binary under test.
    pub(crate) fn real() -> Self {
        Self { binary: PathBuf::from(env!("CARGO_BIN_EXE_npyd")), sabotage: None }
    }

    /// A binary built with the feature `sabotage`.
    pub(crate) fn sabotaged(binary: PathBuf, leaves_out: &'static str) -> Self {
        Self { binary, sabotage: Some(leaves_out) }
    }

    /// Returns a command without arguments.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        for name in ["NOTIFY_SOCKET", "RUST_LOG", "NPYD_CONFIG", "NPYD_SABOTAGE"] {
            command.env_remove(name);
        }
        command.envs(self.sabotage.map(|what| ("NPYD_SABOTAGE", what)));
        command
    }
}
