//! Watching under stress: lost events, no inotify watches left, directories that move, file
//! systems that are unmounted and mounted again, one producer with far more drops than the others.
//! In the end nothing is missed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use rustix::process::Signal;

use crate::support::{
    Daemon, Mounted, Producer, SCAN_MANIFEST, Site, as_root, is_long, left_out, python, scan_bytes,
    scan_npy,
};

/// No timer makes up for what is missed.
const NO_RESCAN: &str = "rescan = \"1h\"\n";

/// More events than the kernel keeps for one listener.
fn too_many_events() -> usize {
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    limit.trim().parse::<usize>().unwrap() + 1000
}

fn scan_in(site: &Site, path: &str) {
    site.write(&format!("{path}/scan.raw"), scan_bytes());
    site.write(&format!("{path}/scan.raw.toml"), SCAN_MANIFEST);
}

/// While the daemon is stopped, the kernel's queue overflows, and the events of the drop are among
/// those that are lost.
#[test]
fn a_queue_that_overflows() {
    let Some(python) = python() else { return };
    let site = Site::with(NO_RESCAN);
    let mut daemon = site.daemon();
    let mut producer = Producer::start(&python, "misbehaving.py", [""; 0]);
    daemon.signal(Signal::STOP);
    let directory = site.path("in");
    // Each file is at least two events: it appears, and it is closed.
    producer.say(&format!("flood {} {}", directory.display(), too_many_events() / 2));
    site.scan("scan");
    daemon.signal(Signal::CONT);
    daemon.wait_for_file("out/scan.npy");
    daemon.wait_for_log("events were lost");
    assert!(daemon.stop().success());
}

/// A directory that appeared while events were lost is watched all the same.
#[test]
fn a_directory_among_lost_events() {
    let Some(python) = python() else { return };
    let site = Site::with(&format!("{NO_RESCAN}recursive = true"));
    let mut daemon = site.daemon();
    let mut producer = Producer::start(&python, "misbehaving.py", [""; 0]);
    daemon.signal(Signal::STOP);
    let directory = site.path("in");
    producer.say(&format!("flood {} {}", directory.display(), too_many_events() / 2));
    fs::create_dir(site.path("in/a")).unwrap();
    scan_in(&site, "in/a");
    daemon.signal(Signal::CONT);
    daemon.wait_for_file("out/a/scan.npy");
    fs::create_dir(site.path("in/a/b")).unwrap();
    scan_in(&site, "in/a/b");
    daemon.wait_for_file("out/a/b/scan.npy");
    site.write("in/a/late.raw", scan_bytes()).write("in/a/late.raw.toml", SCAN_MANIFEST);
    daemon.wait_for_file("out/a/late.npy");
    assert!(daemon.stop().success());
}

/// Drops in the middle of a storm of files that come and go.
#[test]
fn a_storm_of_events() {
    let Some(python) = python() else { return };
    let site = Site::with(NO_RESCAN);
    let mut daemon = site.daemon();
    let mut producer = Producer::start(&python, "misbehaving.py", [""; 0]);
    let command = format!("flood {} 20000", site.path("in").display());
    let mut number = 0;
    producer.begin(&command, || {
        if number < 50 {
            site.scan(&format!("scan-{number}"));
            number += 1;
        }
        number == 50
    });
    assert_eq!(producer.hear(), "ok");
    for number in 0..50 {
        daemon.wait_for_file(&format!("out/scan-{number}.npy"));
    }
    assert!(daemon.stop().success());
}

/// A directory that was renamed is watched under its new name; one that was moved away is nobody's
/// business any more.
#[test]
fn directories_that_are_renamed_and_moved_out() {
    let site = Site::with(&format!("{NO_RESCAN}recursive = true"));
    for name in ["in/a", "in/away", "elsewhere"] {
        fs::create_dir(site.path(name)).unwrap();
    }
    let mut daemon = site.daemon();
    fs::rename(site.path("in/a"), site.path("in/b")).unwrap();
    scan_in(&site, "in/b");
    daemon.wait_for_file("out/b/scan.npy");
    fs::create_dir(site.path("in/b/c")).unwrap();
    fs::rename(site.path("in/b"), site.path("in/d")).unwrap();
    scan_in(&site, "in/d/c");
    daemon.wait_for_file("out/d/c/scan.npy");
    fs::rename(site.path("in/away"), site.path("elsewhere/away")).unwrap();
    scan_in(&site, "elsewhere/away");
    site.scan("look");
    daemon.wait_for_file("out/look.npy");
    assert!(daemon.stop().success());
    assert!(!site.has("out/away"));
    assert_eq!(site.names("elsewhere/away"), ["scan.raw", "scan.raw.toml"]);
}

/// The daemon in a user namespace of its own, which has so few watches; `None` where that is not
/// allowed. Nobody else's watches are touched.
fn with_watches(site: &Site, watches: u32) -> Option<Daemon<'_>> {
    let script = format!("echo {watches} >/proc/sys/user/max_inotify_watches && exec \"$@\"");
    let inside = |script: &str| {
        let mut command = site.command();
        let npyd = command.get_program().to_owned();
        command = replaced_program(&command, "unshare");
        command.args(["--user", "--map-root-user", "sh", "-c", script, "sh"]).arg(npyd);
        command
    };
    let tried = inside(&format!("{script} --version")).arg("--version").output();
    if !tried.is_ok_and(|tried| tried.status.success()) {
        left_out("user namespaces are not allowed");
        return None;
    }
    Some(Daemon::start_as(site, "npyd.toml", inside(&script)))
}

/// The same command, environment and directory, of another program.
fn replaced_program(command: &Command, program: &str) -> Command {
    let mut other = Command::new(program);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    other.current_dir(command.get_current_dir().unwrap());
    other
}

/// Where not even the drop directory itself can be watched, it is polled, and the log says why.
#[test]
fn no_watch_at_all() {
    let site = Site::with(NO_RESCAN);
    let Some(mut daemon) = with_watches(&site, 0) else { return };
    daemon.wait_for_log("raise fs.inotify.max_user_watches");
    site.scan("scan");
    daemon.wait_for_file("out/scan.npy");
    assert!(daemon.stop().success());
}

/// Watches that run out later: for a directory that is made then.
#[test]
fn no_watches_left() {
    let site = Site::with(&format!("{NO_RESCAN}recursive = true"));
    let Some(mut daemon) = with_watches(&site, 3) else { return };
    for name in ["in/a", "in/b", "in/c", "in/d"] {
        fs::create_dir(site.path(name)).unwrap();
    }
    daemon.wait_for_log("polling");
    assert!(daemon.log().contains("raise fs.inotify.max_user_watches"), "{}", daemon.log());
    for name in ["a", "b", "c", "d"] {
        scan_in(&site, &format!("in/{name}"));
        daemon.wait_for_file(&format!("out/{name}/scan.npy"));
    }
    assert!(daemon.stop().success());
}

/// The file system below the drop directory goes, which npyd does not hinder, and comes back.
#[test]
fn a_file_system_that_comes_and_goes() {
    if !as_root() {
        return;
    }
    let site = Site::with(NO_RESCAN);
    let Some(mounted) = Mounted::memory(&site, "in") else { return };
    let mut daemon = site.daemon();
    site.scan("first");
    daemon.wait_for_file("out/first.npy");
    mounted.unmount();
    daemon.wait_for_log("another file system was there");
    let Some(mounted) = Mounted::memory(&site, "in") else { return };
    site.scan("last");
    daemon.wait_for_file("out/last.npy");
    assert!(daemon.stop().success());
    assert_eq!(site.read("out/last.npy"), scan_npy());
    mounted.unmount();
}

/// The same one again, so fast that nobody saw it gone: the watch is gone all the same.
#[test]
fn a_file_system_that_is_mounted_again_at_once() {
    if !as_root() {
        return;
    }
    let site = Site::with(NO_RESCAN);
    let Some(mounted) = Mounted::image(&site, "in", "ext4", 16, &[]) else { return };
    let mut daemon = site.daemon();
    site.scan("first");
    daemon.wait_for_file("out/first.npy");
    mounted.unmount();
    let image = site.path("in.image");
    let again = ["-o", "loop", image.to_str().unwrap()];
    let Some(mounted) = Mounted::with(&site, "in", "mount", &again) else { return };
    site.scan("second");
    daemon.wait_for_file("out/second.npy");
    assert!(daemon.stop().success());
    mounted.unmount();
}

/// A site with all its files in memory and a second drop directory, whose arrays come to `out-2`.
fn with_two_users(settings: &str) -> Option<(Site, Mounted)> {
    if !as_root() {
        return None;
    }
    let site = Site::new();
    fs::create_dir(site.path("fs")).unwrap();
    let mounted = Mounted::memory(&site, "fs")?;
    for name in ["in", "out", "in-2", "out-2", "state"] {
        fs::create_dir(site.path("fs").join(name)).unwrap();
    }
    let root = site.path("fs");
    let root = root.display();
    site.write(
        "npyd.toml",
        format!(
            "state_dir = \"{root}/state\"\n\
             [[drop]]\npath = \"{root}/in\"\noutput = \"{root}/out\"\n{settings}\n\
             [[drop]]\npath = \"{root}/in-2\"\noutput = \"{root}/out-2\"\n"
        ),
    );
    Some((site, mounted))
}

/// One user drops thousands at once; the one drop of another, which comes when these are under way,
/// does not have to wait for them.
#[test]
fn a_flood_that_starves_nobody() {
    const DROPS: usize = 3000;
    /// More than the workers have in their batches.
    const IN_WORK: usize = 200;
    let Some(python) = python() else { return };
    let Some((site, mounted)) = with_two_users("source = \"remove\"") else { return };
    let mut attacker = Producer::start(&python, "attacker.py", ["0"]);
    attacker.say(&format!("flood {} {DROPS}", site.path("fs/in").display()));
    let mut daemon = site.daemon();
    daemon.wait_for("the flood to be under way", || !site.names("fs/out").is_empty());
    // The other user drops it at a moment of the flood, however long that takes here.
    daemon.signal(Signal::STOP);
    let left = site.names("fs/in").len() / 2; // each with its manifest
    scan_in(&site, "fs/in-2");
    daemon.signal(Signal::CONT);
    daemon.wait_for_file("fs/out-2/scan.npy");
    daemon.wait_for("the flood to be over", || site.names("fs/in").is_empty());
    assert!(daemon.stop().success());
    let history = site.history();
    let is_its = |it: &serde_json::Value| it["source"].as_str().unwrap().ends_with("in-2/scan.raw");
    let place = history.iter().position(is_its).unwrap();
    println!("the other's drop was number {place} of {}, {left} were left", history.len());
    assert_eq!(history.len(), DROPS + 1);
    // Before it are those that were done or in work, but not half of the others.
    assert!(place < DROPS - left + IN_WORK + left / 2, "{place}, {left} were left");
    mounted.unmount();
}

/// More files that wait than npyd keeps in mind: its memory is bounded, and another directory is
/// served.
#[test]
fn more_files_than_are_kept_in_mind() {
    let (files, peak_kib) = (if is_long() { 1_000_000 } else { 80_000 }, 128_u64 << 10);
    let Some(python) = python() else { return };
    let Some((site, mounted)) = with_two_users(NO_RESCAN) else { return };
    let mut attacker = Producer::start(&python, "attacker.py", ["0"]);
    attacker.say(&format!("empty {} {files}", site.path("fs/in").display()));
    let mut daemon = site.daemon();
    scan_in(&site, "fs/in-2");
    daemon.wait_for_file("fs/out-2/scan.npy");
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    println!("peak memory with {files} files that wait: {peak} KiB");
    assert!(peak < peak_kib, "{peak} KiB");
    assert!(daemon.stop().success());
    mounted.unmount();
}

/// Sizes that no disk has: the header that claims them, the copy and the sync of a file of holes.
#[test]
fn files_of_exabytes() {
    let Some((site, mounted)) = with_two_users("") else { return };
    let length = i64::MAX as u64 - 4095;
    for name in ["copied.raw", "reserved.raw"] {
        let file = fs::File::create(site.path(format!("fs/in/{name}"))).unwrap();
        file.set_len(length).unwrap();
    }
    site.write("fs/in/copied.raw.toml", format!("dtype = '|u1'\nshape = [{length}]\n"));
    let items = length - 128;
    let manifest = format!("dtype = '|u1'\nshape = [{items}]\nreserved = 128\n");
    site.write("fs/in/reserved.raw.toml", manifest);
    let mut daemon = site.daemon();
    scan_in(&site, "fs/in");
    daemon.wait_for_file("fs/out/scan.npy").wait_for_file("fs/out/reserved.npy");
    daemon.wait_for_file("fs/out/copied.npy");
    assert!(daemon.stop().success());
    for (name, items) in [("copied", length), ("reserved", items)] {
        let path = format!("fs/out/{name}.npy");
        let header = site.npyd(&["inspect", "--json", &path]).expect_code(0);
        assert_eq!(header.json()[0]["data_len"], items);
        assert!(site.path(&path).metadata().unwrap().blocks() <= 8, "{name}");
    }
    mounted.unmount();
}
