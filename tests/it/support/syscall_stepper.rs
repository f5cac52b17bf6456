//! A sweep that stops after every system call, so that a test can act between any two.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::Site;

/// The calls by which npyd looks at drops, writes to them, takes them and names arrays; between
/// these the world may change.
const CALLS: &str = "openat,openat2,flock,fcntl,statx,pread64,pwrite64,fsync,fdatasync,\
                     sync_file_range,fallocate,ioctl,fsetxattr,ftruncate,linkat,renameat,renameat2,\
                     unlinkat";

/// A sweep that is killed when its test ends early.
struct Halting(Child);

impl Drop for Halting {
    fn drop(&mut self) {
        // Both fail where it has ended as it should.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sweeps, and has `act` done while npyd is stopped after the call number `at`, counted from 0, on
/// one of the files or in the directories `names` of the site. Returns `false`, and does not call
/// `act`, if the sweep made fewer calls.
pub(crate) fn sweep_halted(site: &Site, names: &[&str], at: usize, act: impl FnOnce()) -> bool {
    let mut act = Some(act);
    sweep_halted_until(site, names, at, || {
        if let Some(act) = act.take() {
            act();
        }
        true
    })
}

/// The same, with an action that npyd may hold up by a lease. As long as `act` returns `false`,
/// npyd also stops after the calls that follow, and `act` is called again: so the action ends
/// before npyd goes on, as soon as it can end.
pub(crate) fn sweep_halted_until(
    site: &Site,
    names: &[&str],
    at: usize,
    mut act: impl FnMut() -> bool,
) -> bool {
    let npyd = site.command();
    // As a tracer that is not our child, so that npyd is: we hear when it stops.
    let mut strace = Command::new("strace");
    // A filter (`--seccomp-bpf`) would make calls fail that come after the tracer's end.
    strace.args(["--daemonize", "--follow-forks", "--output"]).arg(site.path("strace.log"));
    for name in names {
        strace.arg("--trace-path").arg(site.path(name));
    }
    strace.arg(format!("--trace={CALLS}")).arg(format!("--inject={CALLS}:signal=SIGSTOP:when=1+"));
    strace.arg(npyd.get_program()).args(["sweep", "--json", "--config"]);
    strace.arg(site.path("npyd.toml")).stdin(Stdio::null());
    let log = File::create(site.path("halted.log")).unwrap();
    let child = strace.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    let halting = Halting(child);
    let pid = Pid::from_child(&halting.0);
    let (mut stops, mut is_done) = (0, false);
    loop {
        let (_, status) = waitpid(Some(pid), WaitOptions::UNTRACED).unwrap().unwrap();
        if !status.stopped() {
            let log = String::from_utf8(site.read("halted.log")).unwrap();
            assert!(matches!(status.exit_status(), Some(0 | 1)), "{status:?}\n{log}");
            return stops > at;
        }
        if stops >= at && !is_done {
            is_done = act();
            if is_done {
                end_tracer(pid);
            }
        }
        stops += 1;
        kill_process(pid, Signal::CONT).unwrap();
    }
}

/// Ends the tracer of a stopped process, because nothing is to happen after its later calls: they
/// would take longer than all others that a test makes. The process remains stopped.
fn end_tracer(pid: Pid) {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap();
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:")).unwrap();
    let tracer = Pid::from_raw(tracer.trim().parse().unwrap()).expect("strace traces npyd");
    kill_process(tracer, Signal::KILL).unwrap();
}
