//! Mutants: versions of npyd that leave out one step. The crash tests must catch each of them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::block_log;
use super::harness::Tally;
use super::harness::crash_case::Broken;
use super::harness::crash_dirs::{Crash, on_crash_dirs};
use super::harness::npyd::Npyd;
use super::harness::scenario::{Disposition, Scenario};
use super::harness::volume::Cut;
use super::points::check_points;
use crate::support::{as_root, left_out};

/// Returns the npyd that leaves out a step; it is built once. Records the test as left out if
/// there is no cargo, because the tests were built on another machine.
fn sabotaged(leaves_out: &'static str) -> Option<Npyd> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        // In the same target directory, where all dependencies are built already.
        let build = Command::new(cargo)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["build", "--locked", "--offline", "--quiet", "--profile=dev"])
            .args(["--features=sabotage", "--example=npyd-sabotaged", "--target-dir"])
            .arg(target)
            .output()
            .ok()?;
        assert!(build.status.success(), "{}", String::from_utf8_lossy(&build.stderr));
        Some(target.join("debug/examples/npyd-sabotaged"))
    });
    if built.is_none() {
        left_out("cargo could not be started to build the broken variants");
    }
    built.as_ref().map(|binary| Npyd::sabotaged(binary.clone(), leaves_out))
}

/// Tries every crash point of one drop.
fn crash_points(
    leaves_out: &'static str,
    (route, disposition): (&str, Disposition),
    crash: Crash,
) -> Option<Tally> {
    if !as_root() {
        return None;
    }
    let npyd = sabotaged(leaves_out)?;
    let scenario = Scenario::of(route, disposition);
    on_crash_dirs("ext4", npyd, |dirs| check_points(dirs, &scenario, crash, (0, 1)))
}

/// Fails unless at least one case was a violation of one of these kinds.
#[track_caller]
fn expect(tally: Option<&Tally>, broken: &[Broken]) {
    let Some(tally) = tally else { return };
    let found: Vec<_> = tally.violations.iter().map(|it| it.broken).collect();
    let is_caught = found.iter().any(|it| broken.contains(it));
    assert!(is_caught, "not caught in {} trials: {found:?}", tally.tried);
}

#[test]
fn data_that_are_not_synced() {
    let crash = Crash::Power(Cut::KeepsMetadata);
    for (leaves_out, route) in [("data-sync", "room"), ("data-sync,writeback", "copy")] {
        let tally = crash_points(leaves_out, (route, Disposition::Keep), crash);
        expect(tally.as_ref(), &[Broken::WrongArray]);
    }
}

#[test]
fn data_and_header_under_one_sync() {
    if !as_root() {
        return;
    }
    let Some(npyd) = sabotaged("sync-before-header") else { return };
    let scenario = Scenario { synced: false, ..Scenario::of("pending-beside", Disposition::Keep) };
    let tally = block_log::replay("ext4", &npyd, &[scenario], usize::MAX);
    expect(tally.as_ref(), &[Broken::WrongArray]);
}

#[test]
fn a_directory_that_is_not_synced() {
    let crash = Crash::Power(Cut::KeepsNothing);
    let tally = crash_points("directory-sync", ("copy", Disposition::Keep), crash);
    expect(tally.as_ref(), &[Broken::NotDurable]);
}

/// A power cut may keep everything on the source's file system and nothing on the array's.
#[test]
fn a_directory_elsewhere_that_is_not_synced() {
    let crash = Crash::Power(Cut::KeepsMetadata);
    let tally = crash_points("directory-sync", ("copy-elsewhere", Disposition::Remove), crash);
    expect(tally.as_ref(), &[Broken::Lost]);
}

#[test]
fn a_copy_that_is_written_back_but_not_synced() {
    if !as_root() {
        return;
    }
    let Some(npyd) = sabotaged("data-sync") else { return };
    let scenario = Scenario::of("copy", Disposition::Keep);
    let tally = block_log::replay("xfs", &npyd, &[scenario], usize::MAX);
    // Which of the two appears depends on the order of the disk's writes.
    expect(tally.as_ref(), &[Broken::WrongArray, Broken::NotDurable]);
}

/// A power cut may keep the cut and lose the rest.
#[test]
fn a_rest_that_is_not_synced() {
    let crash = Crash::Power(Cut::KeepsMetadata);
    for route in ["pending-abandoned", "pending-abandoned-elsewhere"] {
        let tally = crash_points("rest-sync", (route, Disposition::Remove), crash);
        expect(tally.as_ref(), &[Broken::Lost]);
        let lost =
            |tally: &Tally| tally.violations.iter().any(|it| it.account.contains("the rest"));
        assert!(tally.as_ref().is_none_or(lost), "{route}: none was of the rest");
    }
}

#[test]
fn an_old_array_that_is_not_kept() {
    let tally = crash_points("backup", ("copy-backed-up", Disposition::Keep), Crash::Kill);
    expect(tally.as_ref(), &[Broken::Lost]);
}

#[test]
fn a_source_that_goes_first() {
    let tally = crash_points("source-last", ("copy", Disposition::Remove), Crash::Kill);
    expect(tally.as_ref(), &[Broken::Lost]);
}
