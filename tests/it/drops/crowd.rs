//! Many producers of all kinds in one shared directory, whose sources are removed: no record is
//! lost that its producer did not itself overwrite or cut off.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use crate::support::{Daemon, Outcome, Receipts, Site, as_root, is_long, python, run_python};

/// The user who runs npyd, if that is not root, and half of the producers.
const NPYD: u32 = 65_533;

/// The other half of the producers.
const OTHER: u32 = 65_534;

/// Without a capability, leases are granted only on the files of npyd's own user.
#[test]
fn without_rights() {
    no_record_is_lost(|site| site.command_as((NPYD, NPYD)), &[NPYD, OTHER]);
}

/// Leases are granted on all files.
#[test]
fn as_root_of_others_files() {
    no_record_is_lost(Site::command, &[OTHER]);
}

fn no_record_is_lost(npyd: impl Fn(&Site) -> Command, users: &[u32]) {
    let Some(python) = python() else { return };
    if !as_root() {
        return;
    }
    let site = shared_site();
    let mut producers = start_producers(&site, &python, users);
    while producers.try_wait().unwrap().is_none() {
        let daemon = Daemon::start_as(&site, "npyd.toml", npyd(&site));
        thread::sleep(Duration::from_secs(4));
        daemon.kill();
    }
    check(&site, &python);
    let mut sweep = npyd(&site);
    let swept = Outcome::of(sweep.args(["sweep", "--config"]).arg(site.path("npyd.toml")));
    assert!(swept.code <= 1, "{swept}");
    check(&site, &python);
    let history = site.history();
    let finalized = history.of_event("finalized");
    let removed = finalized.iter().filter(|it| it["source_fate"] == "removed").count();
    println!(
        "{} receipts: {} finalized, {removed} of these removed, {} remade, {} rejected",
        history.len(),
        finalized.len(),
        history.of_event("remade").len(),
        history.of_event("rejected").len(),
    );
    assert!(removed > 0);
}

/// A site whose directories everybody may write to.
fn shared_site() -> Site {
    let site = Site::new();
    site.configure("source = \"remove\"\nrescan = \"1s\"\nsalvage = \"whole-records\"");
    fs::create_dir(site.path("logs")).unwrap();
    fs::create_dir_all(site.path("state")).unwrap();
    for dir in ["", "in", "out", "logs", "state"] {
        fs::set_permissions(site.path(dir), Permissions::from_mode(0o777)).unwrap();
    }
    site
}

fn start_producers(site: &Site, python: &Path, users: &[u32]) -> Child {
    let count = if is_long() { "1000" } else { "90" };
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/producers/crowd.py"));
    command.arg("write").args([site.path("in"), site.path("logs")]).arg(count);
    command.args(users.iter().map(ToString::to_string)).spawn().unwrap()
}

/// Checks that all records exist, and that arrays contain nothing else.
fn check(site: &Site, python: &Path) {
    let dirs = ["logs", "in", "out"].map(|dir| site.path(dir).into_os_string());
    let args = ["check".into()].into_iter().chain(dirs);
    let counted = run_python(python, "producers/crowd.py", args);
    assert_eq!(counted.code, 0, "{counted}\n{:#?}", site.history());
    println!("{}", counted.stdout.trim_end());
}
