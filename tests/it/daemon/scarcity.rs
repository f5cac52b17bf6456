//! Missing resources: `/proc`, threads, inotify instances.

use std::fs;
use std::os::unix::fs::chown;
use std::process::Command;

use crate::support::{
    Daemon, Outcome, PendingFile, Receipts, SCAN_MANIFEST, Site, as_root, left_out, npy,
    scan_bytes, scan_npy, sweep_halted,
};

/// A user that runs nothing else.
const LONELY_UID: u32 = 64_321;

/// `npyd` run by `sh -c SCRIPT`, in which `"$@"` is the command with its arguments.
pub(super) fn scripted(site: &Site, unshare: &[&str], script: &str) -> Command {
    let npyd = site.command();
    let mut command = Command::new("unshare");
    for (name, value) in npyd.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.args(unshare).args(["sh", "-c", script, "sh"]).arg(npyd.get_program());
    command.current_dir(site.path(""));
    command
}

/// Whether a command like that runs here; recorded as left out otherwise.
pub(super) fn works(mut command: Command) -> bool {
    let works = command.arg("--version").output().is_ok_and(|tried| tried.status.success());
    if !works {
        left_out("namespaces are not allowed");
    }
    works
}

/// npyd copies the data, also as a user who may not link open files, and reports once that `/proc`
/// is missing.
#[test]
fn proc_is_not_mounted() {
    if !as_root() {
        return;
    }
    let as_nobody = "exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"";
    for become_user in ["exec \"$@\"", as_nobody] {
        let site = Site::with("source = \"remove\"");
        let script = format!("mount -t tmpfs npyd /proc && {become_user}");
        if !works(scripted(&site, &["--mount"], &script)) {
            return;
        }
        let sweep = || {
            if become_user == as_nobody {
                for name in ["", "in", "out", "state"] {
                    chown(site.path(name), Some(65534), Some(65534)).unwrap();
                    for entry in fs::read_dir(site.path(name)).unwrap() {
                        chown(entry.unwrap().path(), Some(65534), Some(65534)).unwrap();
                    }
                }
            }
            let mut command = scripted(&site, &["--mount"], &script);
            let outcome = Outcome::of(command.args(["sweep", "--json"])).expect_code(0);
            assert_eq!(outcome.stderr.lines().count(), 1, "{outcome}");
            assert!(outcome.stderr.contains("/proc is not mounted"), "{outcome}");
            outcome.json()
        };
        site.drop_file("x.npy.pending", PendingFile::ready(&[2]).with(&[1; 8])).scan("scan");
        let receipts = sweep();
        assert_eq!(receipts.of_source("x.npy.pending")["route"], "copy");
        assert_eq!(receipts.of_event("finalized").len(), 2, "{receipts:#?}");
        assert_eq!(site.names("in"), [""; 0]);
        assert_eq!(site.read("out/scan.npy"), scan_npy());
        assert_eq!(site.read("out/x.npy"), npy("'<i4'", false, &[2], &[1; 8]));

        // A remake backs the old array up, which otherwise takes a link.
        site.configure("source = \"keep\"");
        site.scan("other");
        sweep();
        site.drop_file("other.raw", [7; 24]);
        assert_eq!(sweep().of_event("remade").len(), 1);
        assert_eq!(site.read("out/other.npy.~1~"), scan_npy());
    }
}

/// However few threads there may be, npyd does its work, or says what it lacks.
#[test]
fn no_threads_left() {
    if !as_root() {
        return;
    }
    let site = Site::new();
    for name in ["", "in", "out", "state"] {
        chown(site.path(name), Some(LONELY_UID), None).unwrap();
    }
    let uid = LONELY_UID.to_string();
    let limited = |threads: u32| {
        let script = format!(
            "exec timeout 60 setpriv --reuid {uid} --clear-groups prlimit --nproc={threads} \"$@\""
        );
        scripted(&site, &["--mount"], &script)
    };
    if !works(limited(100)) {
        return;
    }
    let mut refused = 0;
    for threads in 1..20 {
        site.drop_file("scan.raw", [threads as u8; 24]).drop_file("scan.raw.toml", SCAN_MANIFEST);
        let outcome = Outcome::of(limited(threads).args(["sweep", "--json"]));
        assert!(!outcome.stderr.contains("panicked"), "{outcome}");
        if outcome.code == 0 {
            break;
        }
        refused += 1;
        let outcome = outcome.expect_code(2);
        outcome.expect_words(&["no thread can be started", "LimitNPROC=", "ulimit -u"]);
        // The daemon does not begin to work either.
        let daemon = Outcome::of(limited(1).arg("run")).expect_code(2);
        daemon.expect_words(&["no thread can be started"]);
    }
    assert!((1..19).contains(&refused), "{refused}");
    // Nor does it panic where the watch alone lacks a thread.
    for threads in 4..9 {
        let script = format!(
            "exec timeout --preserve-status 1 setpriv --reuid {uid} --clear-groups \
             prlimit --nproc={threads} \"$@\""
        );
        let daemon = Outcome::of(scripted(&site, &["--mount"], &script).arg("run"));
        assert!(!daemon.stderr.contains("panicked"), "{daemon}");
        assert!([0, 2, 143].contains(&daemon.code), "{daemon}");
    }
    assert!(site.read("out/scan.npy").len() > 24);
}

/// A drop directory is polled if no inotify instance is left, and the log says which limit to
/// raise.
#[test]
fn no_inotify_instances_left() {
    let site = Site::with("rescan = \"1h\"");
    let script = "echo 0 >/proc/sys/user/max_inotify_instances && exec \"$@\"";
    let namespace = ["--user", "--map-root-user"];
    if !works(scripted(&site, &namespace, script)) {
        return;
    }
    let mut daemon = Daemon::start_as(&site, "npyd.toml", scripted(&site, &namespace, script));
    daemon.wait_for_log("raise fs.inotify.max_user_instances");
    site.scan("scan");
    daemon.wait_for_file("out/scan.npy");
    assert!(daemon.stop().success());
}

/// A drop that its producer removes while npyd works on it is gone, whatever npyd was about to do.
#[test]
fn a_drop_vanishes() {
    let stride = if crate::support::is_long() { 1 } else { 4 };
    for (settings, valid) in [("source = \"remove\"", true), ("rejects = \"bad\"", false)] {
        let mut call = 0;
        loop {
            let site = Site::with(settings);
            fs::create_dir(site.path("bad")).unwrap();
            site.scan("scan");
            if !valid {
                site.drop_file("scan.raw", [&scan_bytes()[..], b"long"].concat());
            }
            let names = ["in", "in/scan.raw", "bad"];
            let vanish = |_: &[&str]| {
                for name in ["in/scan.raw", "in/.npyd-taken-scan.raw"] {
                    let _ = fs::remove_file(site.path(name));
                }
            };
            if !sweep_halted(&site, &names, call, vanish) {
                break;
            }
            let log = String::from_utf8(site.read("halted.log")).unwrap();
            assert!(!log.contains("\"failed\"") && !log.contains("WARN"), "after {call}: {log}");
            site.sweep();
            assert!(site.history().of_event("failed").is_empty(), "after {call}");
            call += stride;
        }
        assert!(call > 5, "only {call} calls were seen");
    }
}
