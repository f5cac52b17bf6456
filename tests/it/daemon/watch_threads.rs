//! Many drop directories and subdirectories: threads, watches and inotify instances that they
//! share, mounts that hang, and the limits that `npyd check` reports.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use crate::daemon::scarcity::{scripted, works};
use crate::support::{
    Daemon, Mounted, Outcome, Producer, SCAN_MANIFEST, Site, as_root, left_out, python, scan_bytes,
    scan_npy, wait_until,
};

/// No timer makes up for what is missed.
const NO_RESCAN: &str = "rescan = \"1h\"\n";

/// Watch threads for the drop directories of one file system.
const THREADS_MAX: usize = 4;

/// Drops a scan into a directory.
fn scan_in(site: &Site, path: &str) {
    site.write(&format!("{path}/scan.raw"), scan_bytes());
    site.write(&format!("{path}/scan.raw.toml"), SCAN_MANIFEST);
}

/// Makes the drop directories `in-1` to `in-COUNT`, each of which has its own output, and
/// configures them beside `in`.
fn with_drops(site: &Site, count: usize, settings: impl Fn(usize) -> String) {
    for number in 1..=count {
        for name in ["in", "out"] {
            fs::create_dir(site.path(format!("{name}-{number}"))).unwrap();
        }
    }
    configure(site, count, settings);
}

/// Configures these drop directories.
fn configure(site: &Site, count: usize, settings: impl Fn(usize) -> String) {
    let mut text = settings(0);
    for number in 1..=count {
        let [input, output] = ["in", "out"].map(|it| site.path(format!("{it}-{number}")));
        let table = format!(
            "\n[[drop]]\npath = \"{}\"\noutput = \"{}\"\nquiet = \"200ms\"\n{}",
            input.display(),
            output.display(),
            settings(number)
        );
        text.push_str(&table);
    }
    site.write("npyd.toml", site.configuration("state", &text));
}

/// Numbers of the daemon's inotify instances and of its watches.
fn inotify(daemon: &Daemon<'_>) -> (usize, usize) {
    let infos = fs::read_dir(format!("/proc/{}/fdinfo", daemon.pid())).unwrap();
    let texts = infos.flatten().filter_map(|info| fs::read_to_string(info.path()).ok());
    let watches = texts.map(|text| text.matches("inotify wd:").count()).sum();
    let fds = fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap();
    let links = fds.flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
    let instances = links.filter(|link| link.as_os_str().as_bytes() == b"anon_inode:inotify");
    (instances.count(), watches)
}

/// Number of the daemon's threads of that name.
fn threads(daemon: &Daemon<'_>) -> usize {
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
    let names = tasks.flatten().map(|task| fs::read_to_string(task.path().join("comm")));
    names.filter(|name| name.as_ref().is_ok_and(|name| name == "npyd-watch\n")).count()
}

#[test]
fn drop_directories_share_threads() {
    const DROPS: usize = 40;
    let site = Site::new();
    with_drops(&site, DROPS, |_| NO_RESCAN.to_owned());
    let mut daemon = site.daemon();
    assert_eq!((threads(&daemon), inotify(&daemon)), (THREADS_MAX, (THREADS_MAX, DROPS + 1)));
    for number in 1..=DROPS {
        scan_in(&site, &format!("in-{number}"));
    }
    for number in 1..=DROPS {
        daemon.wait_for_file(&format!("out-{number}/scan.npy"));
    }
    // Threads without a drop directory end.
    configure(&site, 0, |_| NO_RESCAN.to_owned());
    daemon.reload();
    let watched = || (threads(&daemon), inotify(&daemon));
    wait_until("the threads to end", || format!("{:?}", watched()), || watched() == (1, (1, 1)));
    site.scan("scan");
    daemon.wait_for_file("out/scan.npy");
    assert!(daemon.stop().success());
}

/// A drop directory has its thread and its watches to itself while there are few.
#[test]
fn few_drop_directories_share_nothing() {
    let site = Site::new();
    with_drops(&site, 2, |_| String::new());
    let daemon = site.daemon();
    assert_eq!((threads(&daemon), inotify(&daemon)), (3, (3, 3)));
    assert!(daemon.stop().success());
}

/// The others are neither scanned nor watched again.
#[test]
fn a_reload_restarts_only_what_changed() {
    let site = Site::new();
    with_drops(&site, 9, |_| NO_RESCAN.to_owned());
    let mut daemon = site.daemon();
    configure(&site, 9, |number| {
        let source = if number == 7 { "source = \"remove\"\n" } else { "" };
        format!("{NO_RESCAN}{source}")
    });
    daemon.reload();
    daemon.wait_for("it to be watched again", || starts_of(&site, 7) == 2);
    for number in (1..=9).filter(|number| *number != 7) {
        assert_eq!(starts_of(&site, number), 1, "{}", daemon.log());
    }
    scan_in(&site, "in-7");
    daemon.wait_for("the source to be removed", || !site.has("in-7/scan.raw"));
    scan_in(&site, "in-8");
    daemon.wait_for_file("out-8/scan.npy");
    assert!(site.has("in-8/scan.raw"));
    assert!(daemon.stop().success());
}

/// How often the log says that a drop directory is watched from now on.
fn starts_of(site: &Site, number: usize) -> usize {
    let line = format!("watching `{}`", site.path(format!("in-{number}")).display());
    String::from_utf8_lossy(&site.read("npyd.toml.log")).matches(&line).count()
}

/// To read the configuration can take as long as a mount hangs. Meanwhile npyd works, and ends when
/// it is told to.
#[test]
fn a_reload_that_takes_forever() {
    let site = Site::new();
    let mut daemon = site.daemon();
    fs::remove_file(site.path("npyd.toml")).unwrap();
    let made = Command::new("mkfifo").arg(site.path("npyd.toml")).status().unwrap();
    assert!(made.success());
    daemon.signal(rustix::process::Signal::HUP);
    daemon.wait_for_notice("RELOADING=1", 1);
    daemon.signal(rustix::process::Signal::HUP);
    daemon.wait_for_notice("RELOADING=1", 2);
    site.scan("scan");
    daemon.wait_for_file("out/scan.npy");
    assert!(daemon.stop().success());
}

/// The last of several configurations counts, although it came while an earlier one was read.
#[test]
fn a_reload_during_another() {
    let site = Site::new();
    let mut daemon = site.daemon();
    let fifo = site.path("npyd.toml");
    fs::remove_file(&fifo).unwrap();
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    daemon.signal(rustix::process::Signal::HUP);
    daemon.wait_for_notice("RELOADING=1", 1);
    let mut first = fs::File::options().write(true).open(&fifo).unwrap(); // npyd has opened it
    fs::rename(&fifo, site.path("old")).unwrap();
    site.configure("source = \"remove\"");
    let ready = daemon.notices("READY=1");
    daemon.signal(rustix::process::Signal::HUP);
    daemon.wait_for_notice("RELOADING=1", 2);
    std::io::Write::write_all(&mut first, b"colour = 'blue'\n").unwrap();
    drop(first);
    daemon.wait_for_notice("READY=1", ready + 1);
    assert!(!daemon.log().contains("colour"), "{}", daemon.log());
    site.scan("scan");
    daemon.wait_for("the source to be removed", || !site.has("in/scan.raw"));
    assert!(daemon.stop().success());
}

/// No watch is spent on a directory in which there are no drops.
#[test]
fn only_directories_with_drops_are_watched() {
    let site = Site::with(&format!("{NO_RESCAN}recursive = true\nignore = [\"skip/\"]"));
    for dir in ["in/a/b", "in/skip/deep", "in/away/c", "in/.hidden"] {
        fs::create_dir_all(site.path(dir)).unwrap();
    }
    let mut daemon = site.daemon();
    assert_eq!(inotify(&daemon), (1, 5)); // in, a, a/b, away, away/c
    fs::create_dir_all(site.path("in/a/new/deep")).unwrap();
    scan_in(&site, "in/a/new/deep");
    daemon.wait_for_file("out/a/new/deep/scan.npy");
    assert_eq!(inotify(&daemon), (1, 7));
    fs::rename(site.path("in/away"), site.path("elsewhere")).unwrap();
    fs::remove_dir_all(site.path("in/a/new")).unwrap();
    wait_until(
        "the watches of directories that are gone to end",
        || format!("{:?}", inotify(&daemon)),
        || inotify(&daemon) == (1, 3),
    );
    fs::rename(site.path("elsewhere"), site.path("in/back")).unwrap();
    scan_in(&site, "in/back/c");
    daemon.wait_for_file("out/back/c/scan.npy");
    assert!(daemon.stop().success());
}

/// One inotify instance reports the events of a directory once, so that a second drop directory
/// that contains it gets an instance of its own.
#[test]
fn a_directory_in_two_drop_directories() {
    if !as_root() {
        return;
    }
    let site = Site::new();
    with_drops(&site, 12, |_| NO_RESCAN.to_owned());
    let bind = site.path("in-1");
    let Some(mounted) = Mounted::with(&site, "in-2", "mount", &["--bind", bind.to_str().unwrap()])
    else {
        return;
    };
    let mut daemon = site.daemon();
    scan_in(&site, "in-1");
    daemon.wait_for_file("out-1/scan.npy").wait_for_file("out-2/scan.npy");
    assert!(daemon.stop().success());
    mounted.unmount();
}

/// A mount that hangs from the start on, and one that comes over a directory that is watched.
#[test]
fn a_hung_mount_stops_only_itself() {
    if !as_root() {
        return;
    }
    let Some(python) = python() else { return };
    let site = Site::new();
    with_drops(&site, 12, |_| String::new());
    let at = |number: usize| site.path(format!("in-{number}")).to_str().unwrap().to_owned();
    let mut mounts = Producer::start(&python, "hung_mount.py", [""; 0]);
    mounts.begin(&format!("hang {}", at(1)), || false);
    if mounts.hear() == "impossible" {
        return left_out("/dev/fuse can't be used");
    }
    let mut daemon = site.daemon();
    for number in 2..=6 {
        scan_in(&site, &format!("in-{number}"));
        daemon.wait_for_file(&format!("out-{number}/scan.npy"));
    }
    mounts.say(&format!("hang {}", at(2)));
    configure(&site, 12, |number| {
        if number == 3 { "source = \"remove\"\n".to_owned() } else { String::new() }
    });
    daemon.reload();
    for number in 7..=12 {
        scan_in(&site, &format!("in-{number}"));
        daemon.wait_for_file(&format!("out-{number}/scan.npy"));
    }
    site.write("in-3/next.raw", scan_bytes()).write("in-3/next.raw.toml", SCAN_MANIFEST);
    daemon.wait_for("the source to be removed", || !site.has("in-3/next.raw"));
    mounts.say(&format!("end {}", at(1))).say(&format!("end {}", at(2)));
    for number in [1, 2] {
        site.write(&format!("in-{number}/late.raw"), scan_bytes());
        site.write(&format!("in-{number}/late.raw.toml"), SCAN_MANIFEST);
        daemon.wait_for_file(&format!("out-{number}/late.npy"));
        assert_eq!(site.read(&format!("out-{number}/late.npy")), scan_npy());
    }
    assert!(daemon.stop().success());
}

/// `npyd check` in a user namespace with other limits; `None` where that is not allowed.
fn check_with(site: &Site, limits: &str) -> Option<Outcome> {
    let in_namespace = |script: &str| scripted(site, &["--user", "--map-root-user"], script);
    if !works(in_namespace("exec \"$@\"")) {
        return None;
    }
    let mut npyd = in_namespace(&format!("{limits} && exec \"$@\""));
    Some(Outcome::of(npyd.arg("check")))
}

/// Before a limit is met, not after.
#[test]
fn limits_that_are_too_low() {
    let site = Site::new();
    with_drops(&site, 6, |_| "recursive = true\nwatch = \"inotify\"\n".to_owned());
    for dir in ["a", "b/c", ".hidden/d"] {
        fs::create_dir_all(site.path("in-1").join(dir)).unwrap();
    }
    // Seven drop directories and three subdirectories, in four threads.
    let limit = |name, limit: u32| format!("echo {limit} >/proc/sys/user/max_inotify_{name}");
    for (name, low, words) in [
        ("watches", 9, "max_user_watches = 9, but npyd needs 10: raise fs.inotify.max_user"),
        ("instances", 3, "max_user_instances = 3, but npyd needs 4: raise fs.inotify.max_user"),
    ] {
        let Some(checked) = check_with(&site, &limit(name, low)) else { return };
        checked.expect_code(1).expect_words(&[words]);
    }
    for (name, almost, words) in [
        ("watches", 10, "warning: max_user_watches = 10; npyd needs 10"),
        ("instances", 4, "warning: max_user_instances = 4; npyd needs 4"),
    ] {
        let Some(checked) = check_with(&site, &limit(name, almost)) else { return };
        checked.expect_code(0).expect_words(&[words]);
    }
    let Some(checked) = check_with(&site, &limit("watches", 100)) else { return };
    let told = checked.expect_code(0);
    assert!(!told.stdout.contains("warning"), "{told}");
    let Some(checked) = check_with(&site, "ulimit -n 60") else { return };
    checked.expect_code(1).expect_words(&["open files", "raise LimitNOFILE="]);
}
