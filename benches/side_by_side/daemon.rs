//! The daemon at work.

use std::fs::{self, File};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Fallible, go_on, site::Site};

/// How long it may take until it is ready.
const PATIENCE: Duration = Duration::from_mins(2);

/// `npyd run`, started as systemd would. It is ended when dropped.
pub(crate) struct Daemon {
    child: Child,
    /// From its start until it said that it was ready.
    pub(crate) ready_after: Duration,
}

impl Daemon {
    /// Starts it and returns when it says that it is ready.
    pub(crate) fn start(site: &Site, config: &Path) -> Fallible<Self> {
        Self::start_logging(site, config, "info")
    }

    /// Starts it with this level of its log: at `debug` it logs the end of each scan, and each drop
    /// that waits.
    pub(crate) fn start_logging(site: &Site, config: &Path, level: &str) -> Fallible<Self> {
        let address: PathBuf = site.path("notify");
        let _ = fs::remove_file(&address); // of a daemon before this one
        let socket = UnixDatagram::bind(&address)?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let log = File::create(site.path("log"))?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_npyd"));
        command.args(["run", "--config"]).arg(config).env("NOTIFY_SOCKET", &address);
        command.env("NPYD_LOG", level).env_remove("RUST_LOG").env_remove("JOURNAL_STREAM");
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let started = Instant::now();
        let mut daemon = Daemon { child: command.spawn()?, ready_after: Duration::ZERO };
        let mut notice = [0; 4096];
        loop {
            go_on()?;
            if let Ok(len) = socket.recv(&mut notice)
                && String::from_utf8_lossy(&notice[..len]).contains("READY=1")
            {
                daemon.ready_after = started.elapsed();
                return Ok(daemon);
            }
            if started.elapsed() > PATIENCE || daemon.child.try_wait()?.is_some() {
                let log = fs::read_to_string(site.path("log"))?;
                return Err(format!("the daemon does not become ready: {log}").into());
            }
        }
    }

    /// CPU time that it has taken. The times of its threads are exact, but without those that have
    /// ended; the kernel counts the time of the process in hundredths of a second. The larger one
    /// counts.
    pub(crate) fn cpu(&self) -> Fallible<Duration> {
        let sum = self.schedule()?[0];
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // Behind the name, which is in parentheses, the 12th and 13th: user and system time.
        let (_, fields) = stat.rsplit_once(") ").ok_or("the kernel does not tell CPU times")?;
        let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u64>);
        let ticks = ticks.sum::<Result<u64, _>>()?;
        Ok(sum.max(Duration::from_millis(10 * ticks)))
    }

    /// Time that its threads have spent on a CPU, or waiting for one: on a busy machine a daemon
    /// that has much to do may take little CPU time.
    pub(crate) fn busy(&self) -> Fallible<Duration> {
        let [on_cpu, in_queue] = self.schedule()?;
        Ok(on_cpu + in_queue)
    }

    /// Time of its threads on a CPU, and in the queue for one.
    fn schedule(&self) -> Fallible<[Duration; 2]> {
        let mut sums = [Duration::ZERO; 2];
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            // A thread may end meanwhile.
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
            // Time on a CPU in nanoseconds, time in the queue for one, number of turns.
            for (sum, nanoseconds) in sums.iter_mut().zip(text.split(' ')) {
                *sum += Duration::from_nanos(nanoseconds.parse()?);
            }
        }
        Ok(sums)
    }

    /// A figure of `/proc/PID/status` in KiB, such as `VmRSS` or `VmHWM`.
    pub(crate) fn memory_kib(&self, key: &str) -> Fallible<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let kib = line.ok_or_else(|| format!("the kernel does not tell {key}"))?;
        Ok(kib.trim().trim_end_matches(" kB").parse()?)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
            // Fails only where it has ended already.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}
