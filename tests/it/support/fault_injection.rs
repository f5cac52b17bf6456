//! Faults in system calls, which strace injects.

use std::process::Command;

use super::{Outcome, Site, left_out};

/// Returns whether strace is installed. If not, records the test as left out.
pub(crate) fn has_strace() -> bool {
    let there = Command::new("strace").arg("-V").output().is_ok();
    if !there {
        left_out("strace is not installed");
    }
    there
}

/// Sweeps while strace does `injection` to the calls on a file of the site, also under its private
/// name, or to all; `None` without strace. The trace is in `strace.log`.
pub(crate) fn sweep_with_fault(
    site: &Site,
    file: Option<&str>,
    injection: &str,
) -> Option<Outcome> {
    if !has_strace() {
        return None;
    }
    let npyd = site.command();
    let mut strace = Command::new("strace");
    strace.args(["--follow-forks", "--output"]).arg(site.path("strace.log"));
    if let Some(file) = file {
        let (dir, name) = file.rsplit_once('/').unwrap_or((".", file));
        for path in [file.to_owned(), format!("{dir}/.npyd-taken-{name}")] {
            strace.arg("--trace-path").arg(site.path(&path));
        }
    }
    let call = injection.split(':').next().unwrap();
    strace.arg(format!("--trace={call}")).arg(format!("--inject={injection}"));
    strace.arg(npyd.get_program()).args(["sweep", "--json", "--config"]);
    Some(Outcome::of(strace.arg(site.path("npyd.toml"))))
}
