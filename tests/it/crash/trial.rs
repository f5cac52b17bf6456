//! One drop in directories of its own: run, ended, examined, and brought to its end.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::npyd::Npyd;
use super::scenario::{Disposition, Scenario};
use super::volume::{Memory, Volume};
use super::{no_stranger, start};

/// What npyd promised and did not keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Broken {
    /// A file looks like an array, and holds other bytes than the right one.
    WrongArray,
    /// Neither the array nor the data are there, or not the manifest.
    Lost,
    /// A receipt told of an array that is not there.
    NotDurable,
    /// The next sweep did not bring it to its end, or left something behind.
    Unfinished,
    /// A fault that held it up was not told, or not in words that help.
    Untold,
    /// What could not be synced was taken for durable, or what could be was refused.
    Misjudged,
}

/// A promise that was not kept, and the account of it.
#[derive(Debug, Clone)]
pub(super) struct Violation {
    pub(super) broken: Broken,
    pub(super) account: String,
}

impl Violation {
    pub(super) fn new(broken: Broken, account: impl Into<String>) -> Self {
        Self { broken, account: account.into() }
    }

    /// The same, with what it was that broke.
    pub(super) fn of(mut self, what: &str) -> Self {
        self.account = format!("{what}: {}", self.account);
        self
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}: {}", self.broken, self.account)
    }
}

/// A drop, its directories on volumes, and what is kept apart from them.
pub(super) struct Trial<'a> {
    scenario: &'a Scenario,
    npyd: &'a Npyd,
    root: PathBuf,
    elsewhere: Option<PathBuf>,
    apart: PathBuf,
}

impl<'a> Trial<'a> {
    /// Drops it anew, in directories of that name.
    pub(super) fn new(
        name: &str,
        scenario: &'a Scenario,
        npyd: &'a Npyd,
        (volume, other, memory): (&Volume, Option<&Volume>, &Memory),
    ) -> Self {
        let (root, apart) = (volume.at().join(name), memory.path(name));
        let elsewhere = other.map(|it| it.at().join(name));
        let trial = Self { scenario, npyd, root, elsewhere, apart };
        trial.make_dirs();
        fs::write(trial.config(), trial.configuration()).unwrap();
        if scenario.route.replaces {
            fs::write(trial.root.join(scenario.output()), OLD).unwrap();
        }
        trial.drop_data(volume);
        let manifest = trial.root.join("in").join(scenario.manifest_name());
        if let Some(text) = scenario.manifest() {
            let _alone = no_stranger();
            fs::write(&manifest, text).unwrap();
        }
        if scenario.synced {
            // XFS flushes nothing to the disk on behalf of the whole where only data changed.
            for file in [trial.source(), manifest].iter().filter(|it| it.exists()) {
                File::open(file).unwrap().sync_all().unwrap();
            }
            volume.sync();
        }
        if let Some(other) = other {
            other.sync();
        }
        trial
    }

    fn make_dirs(&self) {
        for dir in [&self.root, &self.apart].into_iter().chain(&self.elsewhere) {
            let _ = fs::remove_dir_all(dir); // that of the last one, if there was one
            fs::create_dir(dir).unwrap();
        }
        for name in ["in", "out", "archive"] {
            let path = self.root.join(name);
            if self.scenario.route.elsewhere == Some(name) {
                let there = self.elsewhere.as_ref().unwrap().join(name);
                fs::create_dir(&there).unwrap();
                symlink(there, path).unwrap();
            } else {
                fs::create_dir(path).unwrap();
            }
        }
    }

    /// As a producer does that maps its file, and syncs it only while it is still empty.
    fn drop_data(&self, volume: &Volume) {
        let (path, raw) = (self.source(), self.scenario.raw());
        fs::write(&path, vec![0; raw.len()]).unwrap();
        volume.sync();
        let _alone = no_stranger();
        File::options().write(true).open(&path).unwrap().write_all_at(&raw, 0).unwrap();
    }

    /// The directory on the volume that holds all of it.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The directories that hold all of it, on whichever volume.
    pub(super) fn roots(&self) -> Vec<PathBuf> {
        [&self.root].into_iter().chain(&self.elsewhere).cloned().collect()
    }

    fn source(&self) -> PathBuf {
        self.root.join("in").join(self.scenario.route.file)
    }

    /// The configuration.
    pub(super) fn config(&self) -> PathBuf {
        self.apart.join("npyd.toml")
    }

    fn configuration(&self) -> String {
        let root = self.root.display();
        let state = if self.scenario.ledger_along { &self.root } else { &self.apart };
        let route = self.scenario.route;
        let output = if route.beside { String::new() } else { format!("output = '{root}/out'\n") };
        let source = match self.scenario.disposition {
            Disposition::Keep => "source = 'keep'\n".to_owned(),
            Disposition::Remove => "source = 'remove'\n".to_owned(),
            Disposition::Archive => format!("source = 'archive'\narchive = '{root}/archive'\n"),
        };
        format!(
            "state_dir = '{}/state'\nworkers = 1\n[[drop]]\npath = '{root}/in'\n\
             quiet = '50ms'\n{output}{source}{}\n",
            state.display(),
            route.settings
        )
    }

    /// The command that sweeps once. What it prints is kept apart.
    pub(super) fn sweep(&self) -> Command {
        let mut command = self.npyd.command();
        command.args(["sweep", "--json", "--config"]).arg(self.config());
        command.stdout(self.log("stdout")).stderr(self.log("stderr"));
        command
    }

    fn log(&self, name: &str) -> File {
        File::options().append(true).create(true).open(self.apart.join(name)).unwrap()
    }

    /// Whether a receipt told that the array is there.
    pub(super) fn is_told(&self) -> bool {
        self.told("\"event\":\"finalized\"")
    }

    fn told(&self, what: &str) -> bool {
        let printed = fs::read_to_string(self.apart.join("stdout")).unwrap_or_default();
        printed.split_inclusive('\n').any(|line| line.ends_with('\n') && line.contains(what))
    }

    /// Whether the log or a receipt says something.
    pub(super) fn says(&self, what: &str) -> bool {
        let log = fs::read_to_string(self.apart.join("stderr")).unwrap();
        log.contains(what) || self.told(what)
    }

    /// Whether the drop was refused for good, for what was written to it may be lost: no later
    /// success may be believed.
    pub(super) fn is_given_up(&self) -> bool {
        self.told("\"event\":\"rejected\"") && self.told("may be lost")
    }

    /// The array's path.
    pub(super) fn output(&self) -> PathBuf {
        self.root.join(self.scenario.output())
    }

    /// All that was printed.
    pub(super) fn printed(&self) -> String {
        let read = |name| fs::read_to_string(self.apart.join(name)).unwrap_or_default();
        read("stdout") + &read("stderr")
    }

    /// A fault of any kind has words.
    pub(super) fn did_not_panic(&self) -> Result<(), Violation> {
        if self.says("panicked") || self.says("has a bug") {
            return Err(Violation::new(Broken::Unfinished, self.printed()));
        }
        Ok(())
    }

    /// What must hold in every state, before anybody repairs it. `told`: a receipt told of the
    /// array. `dropped`: the drop was durable.
    pub(super) fn examine(&self, told: bool, dropped: bool) -> Result<(), Violation> {
        let found = files_below(&self.root);
        let array = self.scenario.array();
        let output = self.scenario.output();
        let outputs = Path::new(&output).parent().unwrap();
        // A pending file, or one of which its producer synced nothing, may have any name.
        let is_pending = |path: &str| self.scenario.route.beside || path != output;
        let is_old = |path: &str, content: &[u8]| {
            let is_it = content == OLD || !dropped && content.len() == OLD.len();
            self.scenario.route.replaces && path == output && is_it
        };
        for (path, content) in &found {
            let in_outputs = Path::new(path).parent() == Some(outputs);
            let claims = content.starts_with(b"\x93NUMPY") || !is_pending(path);
            if in_outputs && claims && !is_old(path, content) && *content != array {
                let told = format!("{path}: {}", difference(content, &array));
                return Err(Violation::new(Broken::WrongArray, told));
            }
        }
        let names = || found.keys().cloned().collect::<Vec<_>>().join(", ");
        let has_array = found.get(&output) == Some(&array);
        if told && !has_array {
            return Err(Violation::new(Broken::NotDurable, names()));
        }
        if dropped && !has_array && !self.has_source(&found) {
            return Err(Violation::new(Broken::Lost, format!("the data: {}", names())));
        }
        if dropped && !self.has_manifest(&found) {
            return Err(Violation::new(Broken::Lost, format!("the manifest: {}", names())));
        }
        Ok(())
    }

    /// Whether the data are there, under a name by which the next sweep knows them.
    fn has_source(&self, found: &BTreeMap<String, Vec<u8>>) -> bool {
        let file = self.scenario.route.file;
        let (raw, offset) = (self.scenario.raw(), self.scenario.data_offset());
        let at = |name: String| found.get(&format!("in/{name}"));
        let names = ["", ".npyd-taken-"]
            .into_iter()
            .flat_map(|before| ["", ".pending"].map(|behind| format!("{before}{file}{behind}")));
        let is_whole = |it: &Vec<u8>| it.len() == raw.len() && it[offset..] == raw[offset..];
        names.filter_map(at).any(is_whole)
            || at(format!(".npyd-insert-{file}")).is_some_and(|it| is_but_for_a_gap(it, &raw))
    }

    /// A manifest is never lost, wherever it is by now.
    fn has_manifest(&self, found: &BTreeMap<String, Vec<u8>>) -> bool {
        let Some(text) = self.scenario.manifest() else { return true };
        let name = self.scenario.manifest_name();
        found.iter().any(|(path, content)| path.contains(&name) && *content == text.as_bytes())
    }

    /// Sweeps once more, and then all must be as if nothing had happened.
    pub(super) fn finish(&self) -> Result<(), Violation> {
        let status = start(&mut self.sweep()).wait().unwrap();
        self.examine(self.is_told(), self.scenario.synced)?;
        if !self.scenario.synced {
            return Ok(()); // there may be nothing left to be finished
        }
        let (found, end) = (files_below(&self.root), self.scenario.end());
        let same = found.iter().filter(|(path, _)| !path.starts_with("state/")).eq(&end);
        if same && status.success() {
            return Ok(());
        }
        let account = format!(
            "{status}, found {:?}, expected {:?}\n{}",
            found.keys(),
            end.keys(),
            self.printed()
        );
        Err(Violation::new(Broken::Unfinished, account))
    }

    /// Whether it could not be noted down, and the log says so.
    pub(super) fn has_no_ledger(&self) -> bool {
        self.says("failed to use the ledger")
    }

    /// Sweeps once more: what may be lost is left alone.
    pub(super) fn is_let_be(&self) -> Result<(), Violation> {
        start(&mut self.sweep()).wait().unwrap();
        if self.is_told() && !self.has_no_ledger() {
            return Err(Violation::new(Broken::Misjudged, self.printed()));
        }
        self.examine(self.is_told(), true)
    }

    /// Fails unless npyd went the way that is tried here.
    pub(super) fn expect_route(&self) {
        let route = format!("\"route\":\"{}\"", self.scenario.route.told);
        assert!(self.told(&route), "{}: not by {route}", self.scenario);
    }
}

/// What has the array's name before, where it is to be replaced.
const OLD: &[u8] = b"\x93NUMPY, or so it seems";

/// Every file below a directory, by its path from there.
pub(super) fn files_below(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![root.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// Whether this is what it was, or the same with a gap of a page somewhere: room for a header that
/// was still being made.
fn is_but_for_a_gap(found: &[u8], raw: &[u8]) -> bool {
    const GAP: usize = 4096;
    let same = found.iter().zip(raw).take_while(|(a, b)| a == b).count();
    let from = same / GAP * GAP;
    found == raw || found.len() == raw.len() + GAP && found[from + GAP..] == raw[from..]
}

/// Where two files begin to differ.
pub(super) fn difference(found: &[u8], expected: &[u8]) -> String {
    let at = found.iter().zip(expected).position(|(a, b)| a != b);
    let at = at.unwrap_or(found.len().min(expected.len()));
    let (len, right) = (found.len(), expected.len());
    format!("{len} bytes instead of {right}, other ones from byte {at} on")
}
