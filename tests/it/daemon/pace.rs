//! Rate limit and I/O pressure: acquisition comes first.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::{Daemon, Receipts, Site, as_root, left_out, npy, wait_until};

/// Bytes of a dump that has to be copied.
const LEN: u64 = 4 << 20;

fn drop_raw(site: &Site, name: &str) {
    site.drop_file(&format!("{name}.toml"), format!("dtype = '|u1'\nshape = [{LEN}]"));
    site.drop_file(name, vec![7; LEN as usize]);
}

fn array() -> Vec<u8> {
    npy("'|u1'", false, &[LEN], &vec![7; LEN as usize])
}

/// The rate is that of the whole drop directory, however many workers it has. No machine is so fast
/// that it could be exceeded, nor so slow that this could fail.
#[test]
fn a_rate_is_kept_by_all_workers_together() {
    let site = Site::with("max_rate = '8 MiB/s'");
    for name in ["a.raw", "b.raw", "c.raw", "d.raw"] {
        drop_raw(&site, name);
    }
    site.settle("finalized", 4);
    for name in ["a", "b", "c", "d"] {
        assert_eq!(site.read(&format!("out/{name}.npy")), array());
    }
    let seconds: Vec<f64> = site
        .history()
        .of_event("finalized")
        .iter()
        .map(|receipt| receipt["seconds"].as_f64().unwrap())
        .collect();
    // The last of 16 MiB is not done before 2 s have passed, but for what may be made up for; two
    // are at work at any time.
    assert!(seconds.iter().sum::<f64>() >= 1.8, "{seconds:?}");
}

/// A control group of version 2, removed with all that is in it.
struct Group(PathBuf);

impl Group {
    /// A new one below the root, or below another; `None` where there are none here.
    fn new(name: &str) -> Option<Self> {
        let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(Path::new);
        let root = roots.into_iter().find(|root| root.join("io.pressure").exists());
        let Some(root) = root else {
            left_out("no control groups of version 2, or no PSI");
            return None;
        };
        let group = Group(root.join(format!("npyd-it-{}-{name}", std::process::id())));
        fs::create_dir(&group.0).unwrap();
        Some(group)
    }

    /// A command that runs in it.
    fn command(&self, program: &Command) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ >\"$0\" && exec \"$@\""]).arg(self.0.join("cgroup.procs"));
        command.arg(program.get_program()).args(program.get_args());
        command
    }

    /// The share of the last ten seconds in which somebody in it waited for the disk, in percent.
    fn pressure(&self) -> f64 {
        let told = fs::read_to_string(self.0.join("io.pressure")).unwrap();
        let share = told.split("avg10=").nth(1).unwrap().split(' ').next().unwrap();
        share.parse().unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
        while fs::remove_dir(&self.0).is_err_and(|error| error.raw_os_error() == Some(16)) {}
    }
}

/// Cameras of which one waits for the disk at almost any time. A single one would wait for the
/// processor instead for most of the time if the machine is busy.
fn cameras(site: &Site, group: &Group) -> Child {
    const WRITERS: &str = "for camera in 1 2 3 4; do
        while :; do dd if=/dev/zero of=\"$0.$camera\" bs=64k count=500 oflag=dsync; done &
    done
    wait";
    let mut dump = Command::new("sh");
    dump.args(["-c", WRITERS]).arg(site.path("camera.raw"));
    group.command(&dump).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn nothing_is_moved_while_others_wait_for_the_disk() {
    if !as_root() {
        return;
    }
    let (Some(others), Some(own)) = (Group::new("cameras"), Group::new("npyd")) else { return };
    let site = Site::new();
    let mut cameras = cameras(&site, &others);
    let account = || format!("{} %", others.pressure());
    wait_until("pressure", account, || others.pressure() >= 15.0);
    // The cameras keep above it, and soon after their end the pressure falls below it.
    let config = format!("max_pressure = 8\n{}", site.configuration("state", ""));
    site.write("npyd.toml", config);
    let mut daemon = Daemon::start_as(&site, "npyd.toml", own.command(&site.command()));
    drop_raw(&site, "scan.raw");
    daemon.wait_for_log("pausing: other processes wait for the disk");
    assert!(!site.has("out/scan.npy"));
    // What moves no bytes is not held up.
    site.drop_file("room.raw.toml", "dtype = '|u1'\nshape = [8]\nreserved = 128");
    site.drop_file("room.raw", [0; 136]);
    daemon.wait_for_file("out/room.npy");
    assert!(!site.has("out/scan.npy"));
    fs::write(others.0.join("cgroup.kill"), "1").unwrap();
    cameras.wait().unwrap();
    daemon.wait_for_file("out/scan.npy");
    daemon.wait_for_log("continuing");
    assert_eq!(site.read("out/scan.npy"), array());
    assert!(daemon.stop().success());
}

/// npyd sets the I/O priority of its threads; the kernel returns the priority.
#[test]
fn idle_priority_is_asked_for() {
    let site = Site::new();
    let config = format!("io_priority = 'idle'\n{}", site.configuration("state", ""));
    site.write("npyd.toml", config);
    let mut daemon = site.daemon();
    site.scan("scan");
    daemon.wait_for_file("out/scan.npy");
    for thread in fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap() {
        let thread = thread.unwrap().file_name();
        let told = Command::new("ionice").arg("-p").arg(&thread).output().unwrap();
        assert_eq!(String::from_utf8(told.stdout).unwrap().trim(), "idle");
    }
    assert!(daemon.stop().success());
}
