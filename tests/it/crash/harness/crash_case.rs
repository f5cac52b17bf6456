//! A crash case: one drop in directories of its own, which is run, ended, judged and finished.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::npyd::Npyd;
use super::scenario::{Disposition, Drop, OLD, Old, Scenario};
use super::volume::{Memory, Volume};
use super::{extents, start};
use crate::support::{Tracee, no_stranger};

/// The kinds of violations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Broken {
    /// A file looks like an array, but holds wrong bytes.
    WrongArray,
    /// Neither the array nor the data exist, or the manifest does not.
    Lost,
    /// A receipt reported an array that does not exist.
    NotDurable,
    /// The next sweep did not finish the drop, or left something behind.
    Unfinished,
    /// A fault delayed the drop, and no message says so, or none that helps.
    Untold,
    /// Data whose sync failed counted as durable, or good data were rejected.
    Misjudged,
}

/// A violation, and a description of it.
#[derive(Debug, Clone)]
pub(crate) struct Violation {
    pub(crate) broken: Broken,
    pub(crate) account: String,
}

impl Violation {
    pub(crate) fn new(broken: Broken, account: impl Into<String>) -> Self {
        Self { broken, account: account.into() }
    }

    /// Adds which case it was.
    pub(crate) fn of(mut self, what: &str) -> Self {
        self.account = format!("{what}: {}", self.account);
        self
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}: {}", self.broken, self.account)
    }
}

/// A drop, its directories on the volumes, and the directory that crashes do not affect.
pub(crate) struct CrashCase<'a> {
    scenario: &'a Scenario,
    npyd: &'a Npyd,
    root: PathBuf,
    elsewhere: Option<PathBuf>,
    apart: PathBuf,
}

impl<'a> CrashCase<'a> {
    /// Makes the drop in new directories of that name.
    pub(crate) fn new(
        name: &str,
        scenario: &'a Scenario,
        npyd: &'a Npyd,
        (volume, other, memory): (&Volume, Option<&Volume>, &Memory),
    ) -> Self {
        let (root, apart) = (volume.at().join(name), memory.path(name));
        let elsewhere = other.map(|it| it.at().join(name));
        let case = Self { scenario, npyd, root, elsewhere, apart };
        case.make_dirs();
        if scenario.route.old.is_of_this_drop() {
            case.make_old(volume);
        } else {
            case.put_old();
        }
        fs::write(case.config(), case.configuration(scenario.disposition)).unwrap();
        case.drop_data(volume);
        for (name, text) in scenario.drops().iter().filter_map(|drop| drop.sidecar.as_ref()) {
            let _alone = no_stranger();
            fs::write(case.source(name), text).unwrap();
        }
        if scenario.synced {
            // On XFS, syncfs does not flush the disk's cache if only data changed.
            for name in files_below(&case.root.join("in")).keys() {
                File::open(case.source(name)).unwrap().sync_all().unwrap();
            }
            volume.sync();
        }
        if let Some(other) = other {
            other.sync();
        }
        case
    }

    fn make_dirs(&self) {
        for dir in [&self.root, &self.apart].into_iter().chain(&self.elsewhere) {
            let _ = fs::remove_dir_all(dir); // that of the case before, if there was one
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

    /// Puts a file under the array's name, with what looks like its metadata.
    fn put_old(&self) {
        let Some(old) = self.scenario.old() else { return };
        fs::write(self.root.join(&old), OLD).unwrap();
        if self.scenario.has_metadata() {
            let metadata = self.root.join(format!("{old}.json"));
            fs::write(&metadata, "{}").unwrap();
            let none = rustix::fs::XattrFlags::empty();
            let hash = format!("{:016x}", xxhash_rust::xxh3::xxh3_64(b"{}"));
            for (name, value) in
                [("user.npyd.source", &b"1:2:3:4"[..]), ("user.npyd.content", hash.as_bytes())]
            {
                rustix::fs::setxattr(&metadata, name, value, none).unwrap();
            }
        }
    }

    /// Has npyd make an array of the former drop, and keep its source.
    fn make_old(&self, volume: &Volume) {
        let Drop { files, sidecar, output, array, .. } = self.scenario.former_drop();
        let (sidecar, text) = sidecar.as_ref().unwrap();
        for (name, content) in [(&files[0].0, &files[0].1[..]), (sidecar, text.as_bytes())] {
            let _alone = no_stranger();
            fs::write(self.source(name), content).unwrap();
        }
        fs::write(self.config(), self.configuration(Disposition::Keep)).unwrap();
        let status = start(&mut self.sweep()).wait().unwrap();
        let made = fs::read(self.root.join(output)).unwrap();
        assert!(status.success() && made == *array, "{}", self.printed());
        for log in ["stdout", "stderr"] {
            fs::remove_file(self.apart.join(log)).unwrap();
        }
        volume.sync();
    }

    /// Writes the data as a producer does that maps its files, and syncs them only while they are
    /// empty.
    fn drop_data(&self, volume: &Volume) {
        let drops = self.scenario.drops();
        let files = || drops.iter().flat_map(|drop| &drop.files);
        for (name, raw) in files() {
            let (path, len) = (self.source(name), raw.len() as u64);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            // The former drop may be there.
            let file =
                File::options().write(true).create(true).truncate(false).open(&path).unwrap();
            if let Some(piece) = self.scenario.piece {
                extents::allocate_in_pieces(&file, &self.root.join("in/between"), len, piece);
            }
            for at in (0..len).step_by(ZEROS.len()) {
                let rest = ZEROS.len().min((len - at) as usize);
                file.write_all_at(&ZEROS[..rest], at).unwrap();
            }
        }
        volume.sync();
        for (name, raw) in files() {
            let _alone = no_stranger();
            let file = File::options().write(true).open(self.source(name)).unwrap();
            file.write_all_at(raw, 0).unwrap();
        }
    }

    /// The directory of the case on the first volume.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The directories of the case on all volumes.
    pub(crate) fn roots(&self) -> Vec<PathBuf> {
        [&self.root].into_iter().chain(&self.elsewhere).cloned().collect()
    }

    /// Whether one of its directories is on the second file system.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.elsewhere.is_some()
    }

    fn source(&self, name: &str) -> PathBuf {
        self.root.join("in").join(name)
    }

    /// Returns whether a path, relative to the root, leads to the data file, under any of its
    /// names.
    pub(crate) fn is_data(&self, path: &str) -> bool {
        let name = path.strip_prefix("in/").unwrap_or_default();
        name.contains(self.scenario.route.file) && !name.contains(".toml")
    }

    /// The path of the configuration.
    pub(crate) fn config(&self) -> PathBuf {
        self.apart.join("npyd.toml")
    }

    fn configuration(&self, disposition: Disposition) -> String {
        let root = self.root.display();
        let state = if self.scenario.ledger_along { &self.root } else { &self.apart };
        let route = self.scenario.route;
        let output = if route.beside { String::new() } else { format!("output = '{root}/out'\n") };
        let source = match disposition {
            Disposition::Keep => "source = 'keep'\n".to_owned(),
            Disposition::Remove => "source = 'remove'\n".to_owned(),
            Disposition::Archive => format!("source = 'archive'\narchive = '{root}/archive'\n"),
        };
        format!(
            "state_dir = '{}/state'\nworkers = 1\n[[drop]]\npath = '{root}/in'\n\
             quiet = '10ms'\n{output}{source}{}\n",
            state.display(),
            route.settings
        )
    }

    /// Returns the command that sweeps once. Its output goes where no crash affects it.
    pub(crate) fn sweep(&self) -> Command {
        self.logged(self.npyd_with(&["sweep", "--json"]))
    }

    /// Sweeps, and stops before each change.
    pub(crate) fn traced_sweep(&self) -> Tracee {
        Tracee::spawn(&self.npyd_with(&["sweep", "--json"]), &self.logs(), self.roots())
    }

    /// Sweeps, and stops before each change and each read whose call has such a name.
    pub(crate) fn traced_sweep_before(&self, stops: impl Fn(&str) -> bool) -> Tracee {
        let sweep = self.npyd_with(&["sweep", "--json"]);
        Tracee::spawn_before_some(stops, &sweep, &self.logs(), self.roots())
    }

    /// Returns the command that retries all rejected drops.
    pub(crate) fn retry(&self) -> Command {
        self.logged(self.npyd_with(&["retry", "--all"]))
    }

    /// Retries all rejected drops, and stops before each change.
    pub(crate) fn traced_retry(&self) -> Tracee {
        Tracee::spawn(&self.npyd_with(&["retry", "--all"]), &self.logs(), self.roots())
    }

    fn npyd_with(&self, args: &[&str]) -> Command {
        let mut command = self.npyd.command();
        command.args(args).arg("--config").arg(self.config());
        command
    }

    fn logged(&self, mut command: Command) -> Command {
        let [stdout, stderr] = self.logs();
        command.stdout(stdout).stderr(stderr);
        command
    }

    fn logs(&self) -> [File; 2] {
        ["stdout", "stderr"].map(|name| self.log(name))
    }

    fn log(&self, name: &str) -> File {
        File::options().append(true).create(true).open(self.apart.join(name)).unwrap()
    }

    /// Returns this case, judged by what another scenario expects.
    pub(crate) fn judged_by<'b>(self, scenario: &'b Scenario) -> CrashCase<'b>
    where
        'a: 'b,
    {
        CrashCase { scenario, ..self }
    }

    /// Whether npyd reported that it copied the data.
    pub(crate) fn was_copied(&self) -> bool {
        self.told("\"route\":\"copy\"")
    }

    /// Whether receipts reported all arrays.
    pub(crate) fn is_told(&self) -> bool {
        self.scenario.drops().iter().all(|drop| self.is_told_of(drop))
    }

    /// Whether a receipt reported the array of a drop.
    fn is_told_of(&self, drop: &Drop) -> bool {
        let source = format!("/in/{}\"", drop.source());
        let is_remade = self.scenario.route.old.is_of_this_drop();
        let event = if is_remade { "remade" } else { "finalized" };
        self.told_all(&[&format!("\"event\":\"{event}\""), &source])
    }

    fn told(&self, what: &str) -> bool {
        self.told_all(&[what])
    }

    /// Whether one line of the receipts has all these texts.
    fn told_all(&self, what: &[&str]) -> bool {
        let printed = fs::read_to_string(self.apart.join("stdout")).unwrap_or_default();
        let mut lines = printed.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines.any(|line| what.iter().all(|what| line.contains(what)))
    }

    /// Whether the log or a receipt has a text.
    pub(crate) fn says(&self, what: &str) -> bool {
        let log = fs::read_to_string(self.apart.join("stderr")).unwrap();
        log.contains(what) || self.told(what)
    }

    /// Whether npyd rejected the drop forever because written data may be lost.
    pub(crate) fn is_given_up(&self) -> bool {
        self.told("\"event\":\"rejected\"") && self.told("may be lost")
    }

    /// The path of the first array.
    pub(crate) fn output(&self) -> PathBuf {
        self.root.join(&self.scenario.drops()[0].output)
    }

    /// Returns everything that npyd printed.
    pub(crate) fn printed(&self) -> String {
        let read = |name| fs::read_to_string(self.apart.join(name)).unwrap_or_default();
        read("stdout") + &read("stderr")
    }

    /// Checks that npyd did not panic.
    pub(crate) fn did_not_panic(&self) -> Result<(), Violation> {
        if self.says("panicked") || self.says("has a bug") {
            return Err(Violation::new(Broken::Unfinished, self.printed()));
        }
        Ok(())
    }

    /// Checks what must hold in every state, before it is repaired. `dropped`: the drops were
    /// durable.
    pub(crate) fn examine(&self, dropped: bool) -> Result<(), Violation> {
        self.examine_when(|drop| self.is_told_of(drop), dropped)
    }

    /// Checks it with `told` in place of the receipts: whether the array of a drop was reported.
    pub(crate) fn examine_when(
        &self,
        told: impl Fn(&Drop) -> bool,
        dropped: bool,
    ) -> Result<(), Violation> {
        let (found, drops) = (files_below(&self.root), self.scenario.drops());
        for (path, content) in &found {
            self.is_no_wrong_array(path, content, drops, dropped)?;
        }
        let names = || found.keys().cloned().collect::<Vec<_>>().join(", ");
        for drop in drops {
            let has_array = found.get(&drop.output) == Some(&drop.array);
            let has_metadata = !self.scenario.has_metadata() || tells_of(&found, drop);
            if told(drop) && !(has_array && has_metadata && drop.has_rest(&found)) {
                return Err(Violation::new(Broken::NotDurable, names()));
            }
            if dropped && !has_array && !drop.is_among(&found) {
                return Err(Violation::new(Broken::Lost, format!("the data: {}", names())));
            }
            if dropped && !drop.has_rest(&found) && !drop.is_among(&found) {
                return Err(Violation::new(Broken::Lost, format!("the rest: {}", names())));
            }
            if dropped && !drop.is_described_among(&found) {
                return Err(Violation::new(Broken::Lost, format!("the manifest: {}", names())));
            }
        }
        if dropped && self.scenario.route.old.is_of_this_drop() {
            self.has_old(&found, &drops[0])?;
        }
        Ok(())
    }

    /// Checks that the name means the old array or the new one, and that the old one is not lost.
    fn has_old(&self, found: &BTreeMap<String, Vec<u8>>, drop: &Drop) -> Result<(), Violation> {
        let former = self.scenario.former_drop();
        let is_at = |path: &String| found.get(path) == Some(&former.array);
        if is_at(&drop.output) {
            return Ok(());
        }
        let names = || found.keys().cloned().collect::<Vec<_>>().join(", ");
        if found.get(&drop.output) != Some(&drop.array) {
            return Err(Violation::new(Broken::NotDurable, format!("no array: {}", names())));
        }
        match self.scenario.backup() {
            Some(backup) if !is_at(&backup) => {
                Err(Violation::new(Broken::Lost, format!("the old array: {}", names())))
            }
            _ => Ok(()),
        }
    }

    fn is_no_wrong_array(
        &self,
        path: &str,
        content: &[u8],
        drops: &[Drop],
        dropped: bool,
    ) -> Result<(), Violation> {
        let is_below = |drop: &Drop| Path::new(&drop.output).parent() == Path::new(path).parent();
        let its_own = drops.iter().find(|drop| drop.output == path);
        // A pending file, or one that its producer never synced, may have any name.
        let is_final = its_own.is_some() && !self.scenario.route.beside;
        let is_old = self.scenario.old().is_some_and(|old| old == path)
            && (content == OLD || !dropped && content.len() == OLD.len());
        let is_former = self.scenario.route.old.is_of_this_drop()
            && self.scenario.former_drop().array == content;
        // The file that the array replaced has a private name until npyd removes it.
        let is_private = Path::new(path)
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b".npyd-"));
        let is_replaced = self.scenario.route.old == Old::Replaced && is_private && content == OLD;
        let is_old = is_old || is_former || is_replaced;
        if !drops.iter().any(is_below) || is_old || !(is_final || content.starts_with(b"\x93NUMPY"))
        {
            return Ok(());
        }
        let right = |drop: &&Drop| its_own.is_none_or(|own| own.output == drop.output);
        if drops.iter().filter(right).any(|drop| drop.array == content) {
            return Ok(());
        }
        let told = difference(content, &its_own.unwrap_or(&drops[0]).array);
        Err(Violation::new(Broken::WrongArray, format!("{path}: {told}")))
    }

    /// Whether the room for the header is in the middle of the data: some have moved, others have
    /// not.
    pub(crate) fn has_room_amid(&self) -> bool {
        let drops = self.scenario.drops();
        let (name, raw) = &drops[0].files[0];
        let found = fs::read(self.root.join(format!("in/.npyd-insert-{name}")));
        found.is_ok_and(|found| {
            let is_longer = [&raw[..], &[0; GAP]].concat();
            found[..GAP] == raw[..GAP] && found != *raw && found != is_longer
        })
    }

    /// Sweeps, and checks that everything is as if nothing had happened.
    pub(crate) fn finish(&self) -> Result<(), Violation> {
        let status = start(&mut self.sweep()).wait().unwrap();
        self.examine(self.scenario.synced)?;
        if !self.scenario.synced {
            return Ok(()); // there may be nothing left to finish
        }
        let (mut found, end) = (files_below(&self.root), self.scenario.end());
        let drops = self.scenario.drops();
        let is_told_of = |drop| !self.scenario.has_metadata() || tells_of(&found, drop);
        let metadata_are_right = drops.iter().all(is_told_of);
        if self.scenario.has_metadata() {
            found.retain(|path, _| drops.iter().all(|drop| *path != drop.metadata()));
        }
        let wanted = end.iter().map(|(path, content)| (path, *content));
        let found_all = found.iter().map(|(path, content)| (path, &content[..]));
        let same = found_all.filter(|(path, _)| !path.starts_with("state/")).eq(wanted);
        if same && metadata_are_right && status.success() {
            return Ok(());
        }
        let account = format!(
            "{status}, found {:?}, expected {:?}, metadata right: {metadata_are_right}\n{}",
            found.keys(),
            end.keys(),
            self.printed()
        );
        Err(Violation::new(Broken::Unfinished, account))
    }

    /// Returns whether the log reports that the ledger failed.
    pub(crate) fn has_no_ledger(&self) -> bool {
        self.says("failed to use the ledger")
    }

    /// Sweeps, and checks that npyd leaves alone what may be lost.
    pub(crate) fn is_let_be(&self) -> Result<(), Violation> {
        start(&mut self.sweep()).wait().unwrap();
        if self.is_told() && !self.has_no_ledger() {
            return Err(Violation::new(Broken::Misjudged, self.printed()));
        }
        self.examine(true)
    }

    /// Fails unless npyd took the route of the scenario.
    pub(crate) fn expect_route(&self) {
        let route = format!("\"route\":\"{}\"", self.scenario.route.told);
        assert!(self.told(&route), "{}: not by {route}", self.scenario);
    }
}

impl Drop {
    /// Whether the bytes behind its array, if there are any, were saved.
    fn has_rest(&self, found: &BTreeMap<String, Vec<u8>>) -> bool {
        self.rest.as_ref().is_none_or(|(path, rest)| found.get(path) == Some(rest))
    }

    /// Whether its data exist, under names that the next sweep recognizes.
    fn is_among(&self, found: &BTreeMap<String, Vec<u8>>) -> bool {
        self.files.iter().all(|(path, raw)| {
            let (below, file) = path.rsplit_once('/').unwrap_or(("", path));
            let below = format!("in/{below}{}", if below.is_empty() { "" } else { "/" });
            let at = |name: String| found.get(&format!("{below}{name}"));
            let names = ["", ".npyd-taken-"].into_iter().flat_map(|before| {
                ["", ".pending"].map(|behind| format!("{before}{file}{behind}"))
            });
            let data = self.data_offset..;
            // Bytes that were cut off, or zeroed in the middle of the cut, must have been saved
            // before.
            let rest_len = self.rest.as_ref().map_or(0, |(_, rest)| rest.len());
            let cut = if self.has_rest(found) { raw.len() - rest_len } else { raw.len() };
            let is_whole = |it: &Vec<u8>| {
                let tail = it.get(cut..).unwrap_or_default();
                let is_tail = *tail == raw[cut..] || tail.iter().all(|byte| *byte == 0);
                (it.len() == raw.len() || it.len() == cut)
                    && it[data.start..cut] == raw[data.start..cut]
                    && is_tail
            };
            // An array that takes its own source's name has the private name first.
            let has_array = at(format!(".npyd-taken-{file}")) == Some(&self.array);
            names.filter_map(at).any(is_whole)
                || has_array
                || at(format!(".npyd-insert-{file}")).is_some_and(|it| is_but_for_a_gap(it, raw))
        })
    }

    /// Whether its description exists, in any directory.
    fn is_described_among(&self, found: &BTreeMap<String, Vec<u8>>) -> bool {
        let Some((path, text)) = &self.sidecar else { return true };
        let name = path.rsplit('/').next().unwrap();
        found.iter().any(|(path, content)| path.contains(name) && *content == text.as_bytes())
    }
}

/// Whether the metadata beside the array of a drop are its own.
fn tells_of(found: &BTreeMap<String, Vec<u8>>, drop: &Drop) -> bool {
    let Some(text) = found.get(&drop.metadata()) else { return false };
    let Ok(told) = serde_json::from_slice::<Value>(text) else { return false };
    let ends = |key: &str, with: &str| {
        told["receipt"][key].as_str().is_some_and(|path| path.ends_with(with))
    };
    ends("output", &drop.output) && ends("source", &format!("in/{}", drop.source()))
}

/// Returns every file below a directory, by its relative path.
pub(crate) fn files_below(root: &Path) -> BTreeMap<String, Vec<u8>> {
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

/// What data are before their producer fills them.
const ZEROS: &[u8] = &[0; 1 << 20];

/// The room for a header, in bytes.
const GAP: usize = 4096;

/// Whether these are the raw bytes, perhaps with a gap of one page somewhere: unfinished room for
/// a header.
fn is_but_for_a_gap(found: &[u8], raw: &[u8]) -> bool {
    let pages = found.chunks(GAP).zip(raw.chunks(GAP));
    let from = pages.take_while(|(found, raw)| found == raw).count() * GAP;
    let is_longer = found.len() == raw.len() + GAP;
    // The file becomes longer before anything moves. XFS may log the end of its last block first.
    let has_only_zeros_behind = found
        .strip_prefix(raw)
        .is_some_and(|behind| behind.len() <= GAP && behind.iter().all(|byte| *byte == 0));
    has_only_zeros_behind || is_longer && found[from + GAP..] == raw[from..]
}

/// Describes where two files begin to differ.
pub(crate) fn difference(found: &[u8], expected: &[u8]) -> String {
    let at = found.iter().zip(expected).position(|(a, b)| a != b);
    let at = at.unwrap_or(found.len().min(expected.len()));
    let (len, right) = (found.len(), expected.len());
    format!("{len} bytes instead of {right}, other ones from byte {at} on")
}
