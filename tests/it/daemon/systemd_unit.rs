//! The systemd unit, and README's instructions for it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

use crate::support::{Outcome, SCAN_MANIFEST, Site, as_root, scan_bytes, scan_npy, succeeds};

const UNIT: &str = include_str!("../../../systemd/npyd.service");
const README: &str = include_str!("../../../README.md");

/// Users for `camera` and `npyd`.
const CAMERA: u32 = 1001;
const NPYD: u32 = 998;

/// systemd ignores a section header with anything behind it, and everything outside of a section.
#[test]
fn the_override_in_the_readme_is_the_one_that_the_unit_suggests() {
    let heredoc = README.split("override.conf <<'END'\n").nth(1).unwrap();
    let of_readme: Vec<_> = heredoc.lines().take_while(|line| *line != "END").collect();
    let of_unit: Vec<_> = UNIT.lines().filter_map(|line| line.strip_prefix("#   ")).collect();
    assert_eq!(of_readme, of_unit);
    // Without the "-" the unit does not start before the directory exists.
    assert_eq!(of_readme, ["[Service]", "ReadWritePaths=-/data/camera"]);
}

/// `systemctl reload` checks the configuration first, and fails if it is wrong.
#[test]
fn a_reload_checks_the_configuration_first() {
    let reloads: Vec<_> = UNIT.lines().filter_map(|it| it.strip_prefix("ExecReload=")).collect();
    let [check, signal] = reloads[..] else { panic!("{reloads:?}") };
    assert!(signal.contains("kill -HUP"), "{signal}");
    let args: Vec<_> = check.split(' ').skip(1).take(2).collect();
    assert_eq!(args, ["check", "--config-only"]);
    let site = Site::with("colour = 1");
    assert_ne!(site.npyd(&args).code, 0);
    site.configure("").npyd(&args).expect_code(0);
}

/// A limit on starts also counts an administrator's attempts to repair a configuration: then the
/// start with the right one fails until `reset-failed`.
#[test]
fn no_limit_refuses_a_start() {
    assert!(UNIT.lines().any(|line| line == "StartLimitIntervalSec=0"), "{UNIT}");
}

/// Returns README's command that grants npyd access, for the directories `in` and `out`.
fn readme_acl() -> String {
    let line = README.lines().find(|line| line.starts_with("sudo setfacl ")).unwrap();
    line.replace("sudo ", "")
        .replace("u:npyd:", &format!("u:{NPYD}:"))
        .replace("u:camera:", &format!("u:{CAMERA}:"))
        .replace(" /data/camera/in /data/camera/npy", " in out")
}

/// README's ACL: npyd may do all its work in the producer's private directory, and the producer
/// reads the array there. Nobody else does.
#[test]
fn the_producer_reads_an_array_beside_the_data() {
    if !as_root() || !succeeds("setfacl", &["--version"]) {
        return;
    }
    for mode in [0o700, 0o750, 0o2770, 0o755] {
        let site = Site::new();
        site.write("npyd.toml", site.configuration("state", "").replace("/out\"", "/in\""));
        fs::set_permissions(site.path(""), PermissionsExt::from_mode(0o755)).unwrap();
        fs::set_permissions(site.path("in"), PermissionsExt::from_mode(mode)).unwrap();
        chown(site.path("in"), Some(CAMERA), Some(CAMERA)).unwrap();
        chown(site.path("state"), Some(NPYD), Some(NPYD)).unwrap();
        let shell = |user: u32, code: &str| {
            let mut shell = Command::new("setpriv");
            shell.args(["--reuid", &user.to_string(), "--regid", &user.to_string()]);
            shell.args(["--clear-groups", "sh", "-c", code]).current_dir(site.path(""));
            Outcome::of(&mut shell)
        };
        shell(0, &readme_acl()).expect_code(0);
        let npyd = || site.npyd_as((NPYD, NPYD), &["sweep", "--json"]).expect_code(0);
        site.write("data", scan_bytes()).write("manifest", SCAN_MANIFEST);
        let drop = "umask 077; cp manifest in/scan.raw.toml; cp data in/scan.raw";
        shell(CAMERA, drop).expect_code(0);
        npyd();
        let array = shell(CAMERA, "cat in/scan.npy | od -v -An -tx1");
        assert_eq!(array.expect_code(0).stdout.split_whitespace().count(), scan_npy().len());
        assert_eq!(site.read("in/scan.npy"), scan_npy());
        assert!(shell(CAMERA, "echo >>in/scan.npy").code != 0);
        assert!(shell(NPYD + 1, "cat in/scan.npy").code != 0);
    }
}

/// What README says of files that get less from its ACL: those that `mv` or `cp` brings.
#[test]
fn files_that_the_acl_does_not_reach() {
    if !as_root() || !succeeds("setfacl", &["--version"]) {
        return;
    }
    let site = Site::new();
    fs::set_permissions(site.path(""), PermissionsExt::from_mode(0o755)).unwrap();
    chown(site.path("in"), Some(CAMERA), Some(CAMERA)).unwrap();
    chown(site.path("state"), Some(NPYD), Some(NPYD)).unwrap();
    fs::create_dir(site.path("own")).unwrap();
    chown(site.path("own"), Some(CAMERA), Some(CAMERA)).unwrap();
    let shell = |user: u32, code: &str| {
        let mut shell = Command::new("setpriv");
        shell.args(["--reuid", &user.to_string(), "--regid", &user.to_string()]);
        shell.args(["--clear-groups", "sh", "-ec", code]).current_dir(site.path(""));
        Outcome::of(&mut shell)
    };
    shell(0, &readme_acl()).expect_code(0);
    site.write("data", scan_bytes()).drop_file("x.raw.toml", SCAN_MANIFEST);
    for (how, mode, can_read, can_write, remedy) in [
        ("cp", "0600", false, false, "chmod g+rw"),
        ("cp", "0644", true, false, "chmod g+rw"),
        ("cp", "0660", true, true, "true"),
        ("mv", "0600", false, false, "setfacl -m u:npyd:rw"),
        ("mv", "0644", true, false, "setfacl -m u:npyd:rw"),
    ] {
        let bring = format!("cp data own/x; chmod {mode} own/x; {how} own/x in/x.raw");
        shell(CAMERA, &bring).expect_code(0);
        let may = |right: &str| shell(NPYD, &format!("test -{right} in/x.raw")).code == 0;
        assert_eq!((may("r"), may("w")), (can_read, can_write), "{how} {mode}");
        let told = site.npyd_as((NPYD, NPYD), &["explain", "in/x.raw"]).to_string();
        assert_eq!(told.contains("Permission denied"), !can_read, "{how} {mode}: {told}");
        let remedy = remedy.replace("npyd", &NPYD.to_string());
        shell(CAMERA, &format!("{remedy} in/x.raw")).expect_code(0);
        assert!(may("r") && may("w"), "{how} {mode}");
        fs::remove_file(site.path("in/x.raw")).unwrap();
    }
}
