//! A site: one drop directory, where its arrays go, the ledger's directory, the configuration.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

use serde_json::Value;
use tempfile::TempDir;

use super::{Daemon, Outcome, Receipts, npy, wait_until};

/// The manifest of [`Site::scan`], in TOML.
pub(crate) const SCAN_MANIFEST: &str = "dtype = '<f4'\nshape = [2, 3]\n";

/// The 24 bytes of [`Site::scan`]: six `<f4`, 0.0 to 5.0.
pub(crate) fn scan_bytes() -> Vec<u8> {
    (0..6_u8).flat_map(|value| f32::from(value).to_le_bytes()).collect()
}

/// The .npy file that [`Site::scan`] becomes.
pub(crate) fn scan_npy() -> Vec<u8> {
    npy("'<f4'", false, &[2, 3], &scan_bytes())
}

/// A temporary directory with `in`, `out`, `state` and `npyd.toml`. Methods take paths relative to
/// this directory; only the paths of dropped files are relative to `in`.
pub(crate) struct Site {
    dir: TempDir,
}

impl Site {
    /// A site with one drop that differs from the defaults only in being fast to settle.
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// A site whose one drop has these further settings.
    pub(crate) fn with(settings: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("npyd-").tempdir().unwrap();
        let site = Self { dir };
        for name in ["in", "out", "state"] {
            fs::create_dir(site.path(name)).unwrap();
        }
        site.configure(settings);
        site
    }

    /// A site with such settings, where an array was made of the scan `scan.raw`.
    #[track_caller]
    pub(crate) fn with_array(settings: &str) -> Self {
        let site = Self::with(settings);
        site.scan("scan").sweep().expect_code(0);
        assert_eq!(site.read("out/scan.npy"), scan_npy());
        site
    }

    /// Writes the configuration again, its one drop with these further settings.
    pub(crate) fn configure(&self, settings: &str) -> &Self {
        self.write("npyd.toml", self.configuration("state", settings))
    }

    /// Shortens the quiet time: for tests that sweep some hundred times.
    pub(crate) fn with_short_quiet_time(self) -> Self {
        let config = fs::read_to_string(self.path("npyd.toml")).unwrap();
        assert!(config.contains("\"200ms\""), "{config}");
        self.write("npyd.toml", config.replace("\"200ms\"", "\"20ms\""));
        self
    }

    /// The text of a configuration with its ledger in `state` and one drop.
    pub(crate) fn configuration(&self, state: &str, settings: &str) -> String {
        let root = self.dir.path().display();
        format!(
            "state_dir = \"{root}/{state}\"\n\n[[drop]]\npath = \"{root}/in\"\n\
             output = \"{root}/out\"\nquiet = \"200ms\"\n{settings}\n"
        )
    }

    /// The path of `name` in this site.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file anywhere in the site.
    #[track_caller]
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        fs::write(self.path(name), content).unwrap_or_else(|error| panic!("{name}: {error}"));
        self
    }

    /// Drops a file: data or a manifest.
    #[track_caller]
    pub(crate) fn drop_file(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        self.write(&format!("in/{name}"), content)
    }

    /// A site with the array of a series, of which a file is gone and another has joined the rest.
    pub(crate) fn with_mixed_series() -> Self {
        let site = Self::new();
        for number in 1..=3 {
            site.drop_file(&format!("frame_{number}.raw"), [number; 2]);
        }
        site.drop_file("run.toml", "dtype = '|u1'\nshape = [3, 2]\ndata = 'frame_*.raw'\n");
        site.sweep().expect_code(0);
        fs::remove_file(site.path("in/frame_1.raw")).unwrap();
        site.drop_file("frame_4.raw", [4; 2]);
        site
    }

    /// Drops `STEM.raw` and its manifest `STEM.raw.toml`: six `<f4` in a shape of (2, 3).
    pub(crate) fn scan(&self, stem: &str) -> &Self {
        self.drop_file(&format!("{stem}.raw"), scan_bytes());
        self.drop_file(&format!("{stem}.raw.toml"), SCAN_MANIFEST)
    }

    /// The content of a file.
    #[track_caller]
    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Whether something has that name, if only a dangling link.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.path(name).symlink_metadata().is_ok()
    }

    /// All that lies in a directory, sorted, hidden names too.
    #[track_caller]
    pub(crate) fn names(&self, name: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let text = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string();
        let mut names: Vec<String> = entries.map(|entry| text(entry).unwrap()).collect();
        names.sort();
        names
    }

    /// Which file stands there and when it last changed in any way: equal only where nobody
    /// touched it.
    #[track_caller]
    pub(crate) fn identity(&self, name: &str) -> (u64, u64, i64, i64) {
        let meta = self.path(name).symlink_metadata().unwrap_or_else(|e| panic!("{name}: {e}"));
        (meta.ino(), meta.size(), meta.ctime(), meta.ctime_nsec())
    }

    /// Returns the file's inode number, which a rename keeps.
    #[track_caller]
    pub(crate) fn inode(&self, name: &str) -> u64 {
        self.identity(name).0
    }

    /// Returns `npyd` with this site's configuration in its environment, and without the other
    /// variables that change its behavior.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_npyd"));
        for name in
            ["NOTIFY_SOCKET", "WATCHDOG_USEC", "JOURNAL_STREAM", "NPYD_LOG", "INVOCATION_ID"]
        {
            command.env_remove(name);
        }
        // Rust's standard library can deadlock where memory is short and it makes a backtrace.
        command.env_remove("RUST_BACKTRACE");
        command.env("NPYD_CONFIG", self.path("npyd.toml")).current_dir(self.dir.path());
        command
    }

    /// Runs `npyd ARGS…` and waits until it exits. Kills it after 120 seconds; its exit code is 124
    /// then.
    pub(crate) fn npyd(&self, args: &[&str]) -> Outcome {
        let npyd = self.command();
        let mut command = Command::new("timeout");
        command.arg("120").arg(npyd.get_program()).args(args).current_dir(self.dir.path());
        for (name, value) in npyd.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Outcome::of(&mut command)
    }

    /// [`Site::command`] by somebody who may read and write only what the files' own rights say.
    pub(crate) fn command_by_rights(&self) -> Command {
        const OVERRIDES: &str = "-dac_override,-dac_read_search";
        let npyd = self.command();
        if !rustix::process::geteuid().is_root() {
            return npyd;
        }
        let mut bound = Command::new("setpriv");
        bound.envs(npyd.get_envs().filter_map(|(name, value)| Some((name, value?))));
        bound.arg(format!("--bounding-set={OVERRIDES}")).arg(format!("--inh-caps={OVERRIDES}"));
        bound.arg(npyd.get_program()).current_dir(self.dir.path());
        bound
    }

    /// [`Site::command`] by another user and group; needs root.
    pub(crate) fn command_as(&self, (uid, gid): (u32, u32)) -> Command {
        let npyd = self.command();
        let mut command = Command::new("setpriv");
        command.envs(npyd.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.args(["--reuid", &uid.to_string(), "--regid", &gid.to_string(), "--clear-groups"]);
        command.arg(npyd.get_program()).current_dir(self.dir.path());
        command
    }

    /// Runs it with arguments to its end.
    pub(crate) fn npyd_as(&self, user: (u32, u32), args: &[&str]) -> Outcome {
        Outcome::of(self.command_as(user).args(args))
    }

    /// Runs it to its end.
    pub(crate) fn npyd_by_rights(&self, args: &[&str]) -> Outcome {
        Outcome::of(self.command_by_rights().args(args))
    }

    /// Sweeps once.
    pub(crate) fn sweep(&self) -> Outcome {
        let config = self.path("npyd.toml");
        self.npyd(&["sweep", "--json", "--config", config.to_str().unwrap()])
    }

    /// Sweeps with so little of a resource; `--nofile=9` and the like.
    pub(crate) fn sweep_within(&self, limit: &str) -> Outcome {
        let npyd = self.command();
        let mut limited = Command::new("timeout");
        limited.envs(npyd.get_envs().filter_map(|(name, value)| Some((name, value?))));
        limited.env_remove("RUST_BACKTRACE");
        limited
            .args(["120", "prlimit", limit, "--"])
            .arg(npyd.get_program())
            .args(["sweep", "--json", "--config"]);
        Outcome::of(limited.arg(self.path("npyd.toml")))
    }

    /// Sweeps until a sweep reports `event`, and returns that sweep: for drops that must have been
    /// quiet for a while.
    #[track_caller]
    pub(crate) fn sweep_until(&self, event: &str) -> Outcome {
        let mut last = self.sweep();
        let account = String::new;
        wait_until(&format!("a sweep with {event}: {last}"), account, || {
            let found = last.json().iter().any(|receipt| receipt["event"] == event);
            if !found {
                last = self.sweep();
            }
            found
        });
        last
    }

    /// Sweeps until the ledger holds `count` receipts of `event`, and returns all it holds.
    #[track_caller]
    pub(crate) fn settle(&self, event: &str, count: usize) -> Vec<Value> {
        let mut history = Vec::new();
        let account = || format!("{:#?}", self.history());
        wait_until(&format!("{count} × {event}"), account, || {
            self.sweep();
            history = self.history();
            history.of_event(event).len() >= count
        });
        history
    }

    /// The receipts of this site's ledger, oldest first.
    pub(crate) fn history(&self) -> Vec<Value> {
        self.npyd(&["history", "--json"]).expect_code(0).json()
    }

    /// Loses the ledger.
    pub(crate) fn lose_ledger(&self) -> &Self {
        fs::remove_dir_all(self.path("state")).unwrap();
        fs::create_dir(self.path("state")).unwrap();
        self
    }

    /// Starts the daemon and returns when it says that it is ready.
    #[track_caller]
    pub(crate) fn daemon(&self) -> Daemon<'_> {
        Daemon::start(self, "npyd.toml")
    }

    /// Settings for snapshots of what `npyd` prints on this site, without what differs from run
    /// to run: directories, times, process ids.
    pub(crate) fn settings(&self) -> insta::Settings {
        let mut settings = insta::Settings::clone_current();
        settings.add_filter(self.dir.path().to_str().unwrap(), "[SITE]");
        settings.add_filter(r"\d{4}-\d\d-\d\d[T ][\d:.]+(Z|[+-]\d\d:\d\d)?", "[WHEN]");
        settings.add_filter(r"\b\d+(\.\d+)? ?(ns|µs|us|ms|s)\b", "[TIME]");
        settings.add_filter(r"\bpid([ =:]+)\d+", "pid$1[PID]");
        settings
    }
}

/// `npyd` without the right to take leases on other users' files; needs root.
pub(crate) fn without_leases(site: &Site) -> Command {
    let npyd = site.command();
    let mut bound = Command::new("setpriv");
    bound.envs(npyd.get_envs().filter_map(|(name, value)| Some((name, value?))));
    bound.args(["--bounding-set=-lease", "--inh-caps=-lease"]);
    bound.arg(npyd.get_program()).current_dir(site.path(""));
    bound
}

/// Sweeps once without that right.
pub(crate) fn sweep_without_leases(site: &Site) -> Outcome {
    let mut command = without_leases(site);
    Outcome::of(command.args(["sweep", "--json", "--config"]).arg(site.path("npyd.toml")))
}
