//! The daemon at work, and how a test waits for what it does.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use super::{Site, wait_until};

/// `npyd run`, started as systemd would, with a socket for its notices. Dropping it kills it.
pub(crate) struct Daemon<'a> {
    site: &'a Site,
    child: Child,
    log: PathBuf,
    socket: PathBuf,
    notices: Arc<Mutex<Vec<String>>>,
}

impl<'a> Daemon<'a> {
    /// Starts it with the configuration `config` of `site`, and returns when it is ready.
    #[track_caller]
    pub(crate) fn start(site: &'a Site, config: &str) -> Self {
        Self::start_with(site, config, &[])
    }

    /// The same, with more in its environment.
    #[track_caller]
    pub(crate) fn start_with(site: &'a Site, config: &str, env: &[(&str, &str)]) -> Self {
        let mut command = site.command();
        command.envs(env.iter().copied());
        Self::start_as(site, config, command)
    }

    /// The same by a command that becomes `npyd` with the arguments behind its own.
    #[track_caller]
    pub(crate) fn start_as(site: &'a Site, config: &str, mut command: Command) -> Self {
        let log = site.path(format!("{config}.log"));
        let socket = site.path(format!("{config}.notify"));
        let _ = fs::remove_file(&socket); // of a daemon before this one
        let notices = listen(&UnixDatagram::bind(&socket).unwrap());
        // The daemon may run as another user.
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o777)).unwrap();
        let output = File::options().create(true).append(true).open(&log).unwrap();
        let child = command
            .args(["run", "--config"])
            .arg(site.path(config))
            .env("NOTIFY_SOCKET", &socket)
            .stdin(std::process::Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let mut daemon = Self { site, child, log, socket, notices };
        daemon.wait_for_notice("READY=1", 1);
        daemon
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All that it has logged so far.
    pub(crate) fn log(&self) -> String {
        read_log(&self.log)
    }

    /// How many lines of its notices to systemd start with `start`.
    pub(crate) fn notices(&self, start: &str) -> usize {
        count_lines(&self.notices, start)
    }

    /// The lines of its notices to systemd so far.
    pub(crate) fn all_notices(&self) -> Vec<String> {
        let notices = self.notices.lock().unwrap();
        notices.iter().flat_map(|notice| notice.lines()).map(str::to_owned).collect()
    }

    /// Waits until `condition` holds; fails with the log when it doesn't in time, or when the
    /// daemon ends meanwhile.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, what: &str, mut condition: impl FnMut() -> bool) {
        let Self { site, child, log, .. } = self;
        let tell = || {
            let (input, output) = (listing(site, "in"), listing(site, "out"));
            format!("in: {input:?}\nout: {output:?}\n{}", read_log(log))
        };
        wait_until(what, tell, || {
            let done = condition();
            let ended = if done { None } else { child.try_wait().unwrap() };
            assert!(ended.is_none(), "the daemon ended before {what}: {ended:?}\n{}", tell());
            done
        });
    }

    /// Waits until the file exists in the site.
    #[track_caller]
    pub(crate) fn wait_for_file(&mut self, name: &str) -> &mut Self {
        let site = self.site;
        self.wait_for(name, || site.has(name));
        self
    }

    /// Waits until the log holds `text`.
    #[track_caller]
    pub(crate) fn wait_for_log(&mut self, text: &str) {
        let log = self.log.clone();
        self.wait_for(&format!("`{text}` in the log"), || read_log(&log).contains(text));
    }

    /// Waits until it has begun a copy to this directory: it has an unnamed file open there.
    #[track_caller]
    pub(crate) fn wait_for_copy(&mut self, output: &Path) {
        let (fds, unnamed) = (format!("/proc/{}/fd", self.pid()), output.join("#"));
        let unnamed = unnamed.to_str().unwrap().to_owned();
        self.wait_for("the copy to begin", || {
            let links = fs::read_dir(&fds).unwrap().flatten().map(|fd| fs::read_link(fd.path()));
            links.flatten().any(|path| path.to_string_lossy().starts_with(&unnamed))
        });
    }

    /// Waits until the daemon has sent lines that start with `start` to systemd, `times` of them.
    #[track_caller]
    pub(crate) fn wait_for_notice(&mut self, start: &str, times: usize) {
        let notices = Arc::clone(&self.notices);
        self.wait_for(&format!("{times} × {start}"), || count_lines(&notices, start) >= times);
    }

    /// Waits until the ledger holds `count` receipts of `event`.
    #[track_caller]
    pub(crate) fn wait_for_receipts(&mut self, event: &str, count: usize) {
        let site = self.site;
        self.wait_for(&format!("{count} × {event}"), || {
            site.history().iter().filter(|receipt| receipt["event"] == event).count() >= count
        });
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }

    /// Has it read its configuration again, and returns when it has.
    #[track_caller]
    pub(crate) fn reload(&mut self) {
        let ready = self.notices("READY=1");
        self.signal(Signal::HUP);
        self.wait_for_notice("READY=1", ready + 1);
    }

    /// Asks it to end, and returns how it did.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.end(Signal::TERM)
    }

    /// Sends it a signal that ends it, and returns how it ended.
    pub(crate) fn end(&mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        self.child.wait().unwrap()
    }

    /// Ends it by SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        // These fail only where the daemon has ended already, or the listener has.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = UnixDatagram::unbound().and_then(|end| end.send_to(b"", &self.socket));
    }
}

/// Collects what arrives at `socket`, until an empty datagram does.
fn listen(socket: &UnixDatagram) -> Arc<Mutex<Vec<String>>> {
    let notices = Arc::<Mutex<Vec<String>>>::default();
    let (collected, socket) = (Arc::clone(&notices), socket.try_clone().unwrap());
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = socket.recv(&mut buffer) {
            let notice = String::from_utf8_lossy(&buffer[..length]).into_owned();
            collected.lock().unwrap().push(notice);
        }
    });
    notices
}

/// How many lines of the notices start with `start`.
fn count_lines(notices: &Mutex<Vec<String>>, start: &str) -> usize {
    let notices = notices.lock().unwrap();
    notices.iter().flat_map(|notice| notice.lines()).filter(|line| line.starts_with(start)).count()
}

fn read_log(log: &Path) -> String {
    String::from_utf8_lossy(&fs::read(log).unwrap()).into_owned()
}

/// The first names in a directory of the site, or why it can't be read.
fn listing(site: &Site, name: &str) -> Vec<String> {
    fs::read_dir(site.path(name)).map_or_else(
        |error| vec![error.to_string()],
        |entries| {
            let names = entries.flatten().map(|entry| entry.file_name());
            names.take(20).map(|name| name.to_string_lossy().into_owned()).collect()
        },
    )
}
