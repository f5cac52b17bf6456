//! Replays the log of all writes to a disk: makes every state of the disk that a power cut could
//! have left. No state may hold a wrong array.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::harness::crash_case::{CrashCase, Violation};
use super::harness::npyd::Npyd;
use super::harness::recorder::Recorder;
use super::harness::replay::{Image, Log, Loss, State};
use super::harness::scenario::{ROUTES, Route, Scenario};
use super::harness::volume::{Memory, Volume, format, runs, with_own_mounts};
use super::harness::{Tally, say};
use crate::support::as_root;
use crate::support::is_long;

/// A drop of the recorded run.
struct Recorded<'a> {
    case: CrashCase<'a>,
    scenario: &'a Scenario,
    /// The number of log entries when the drop was complete (and durable, if its producer synced
    /// it).
    dropped: usize,
    /// The number of log entries when npyd had reported the array.
    told: usize,
}

/// A recorded run.
struct Recording<'a> {
    kind: &'static str,
    dir: &'a Path,
    memory: &'a Memory,
    base: Image,
    len: u64,
    log: Log,
    drops: Vec<Recorded<'a>>,
}

impl<'a> Recording<'a> {
    /// Makes the drops one after the other, and sweeps after each.
    fn make(
        kind: &'static str,
        (dir, memory): (&'a Path, &'a Memory),
        npyd: &'a Npyd,
        scenarios: &'a [Scenario],
    ) -> Option<Self> {
        let image = memory.path("image");
        format(kind, &image)?;
        let (base, len) = (read_image(&image), fs::metadata(&image).unwrap().len());
        let recorder = Recorder::start(&image, memory)?;
        let volume = Volume::new(kind, recorder.disk(), dir.join("volume"))
            .unwrap_or_else(|| panic!("{kind} could not be mounted through the logging disk"));
        let mut drops = Vec::new();
        for (number, scenario) in scenarios.iter().enumerate() {
            let name = format!("case-{number}");
            let case = CrashCase::new(&name, scenario, npyd, (&volume, None, memory));
            let dropped = recorder.count();
            assert!(case.sweep().status().unwrap().success());
            assert!(case.is_told());
            case.expect_route();
            drops.push(Recorded { case, scenario, dropped, told: recorder.count() });
        }
        drop(volume);
        let log = recorder.finish();
        fs::remove_file(&image).unwrap();
        Some(Self { kind, dir, memory, base, len, log, drops })
    }

    /// Replays at most `states_max` states, evenly spread, and returns the violations.
    fn check(&self, seed: u64, draws: usize, states_max: usize) -> Checked {
        let states = self.log.states(seed, draws);
        let stride = states.len().div_ceil(states_max);
        let mut checked = Checked::default();
        checked.tally.of = states.len();
        let (mut image, mut durable) = (self.base.clone(), 0);
        for (number, state) in states.iter().enumerate().step_by(stride) {
            self.log.apply(&mut image, durable..state.durable);
            durable = state.durable;
            let mut disk = image.clone();
            self.log.complete(&mut disk, state);
            checked.tally.tried += 1;
            match self.check_state(&disk, state, number) {
                None => checked.unreadable.push(*state),
                Some(result) => {
                    let of = format!("{}, {state:?}", self.kind);
                    checked.tally.violations.extend(result.err().map(|it| it.of(&of)));
                }
            }
        }
        checked
    }

    /// Mounts a disk in a state, judges every drop and finishes one of them. Returns `None` if the
    /// file system itself can't be mounted.
    fn check_state(
        &self,
        disk: &Image,
        state: &State,
        number: usize,
    ) -> Option<Result<(), Violation>> {
        let image = self.memory.path("replayed");
        write_image(disk, self.len, &image);
        if self.kind == "btrfs" {
            // btrfs remembers the newest generation that it has seen, and refuses to mount an
            // older one.
            runs("btrfs", &["device", "scan", "--forget"]);
        }
        let volume = Volume::new(self.kind, image.clone(), self.dir.join("volume"));
        let result = volume.as_ref().map(|_| self.check_drops(state, number));
        drop(volume);
        fs::remove_file(image).unwrap();
        result
    }

    fn check_drops(&self, state: &State, number: usize) -> Result<(), Violation> {
        for drop in self.drops.iter().filter(|drop| drop.case.root().join("in").exists()) {
            let dropped = drop.scenario.synced && state.cut >= drop.dropped;
            let checked = drop.case.examine_when(|_| state.cut >= drop.told, dropped);
            checked.map_err(|it| it.of(&drop.scenario.to_string()))?;
        }
        let is_there = |drop: &&Recorded<'_>| drop.scenario.synced && state.cut >= drop.dropped;
        let there: Vec<_> = self.drops.iter().filter(is_there).collect();
        let Some(drop) = there.get(number % there.len().max(1)) else { return Ok(()) };
        drop.case.finish().map_err(|it| it.of(&drop.scenario.to_string()))
    }
}

/// The result of the replayed states.
#[derive(Default)]
struct Checked {
    tally: Tally,
    /// States from which the file system could not be mounted.
    unreadable: Vec<State>,
}

fn read_image(path: &Path) -> Image {
    let (mut file, mut image) = (File::open(path).unwrap(), Image::default());
    let (mut piece, mut at) = (vec![0; 1 << 20], 0);
    loop {
        match file.read(&mut piece).unwrap() {
            0 => return image,
            len => {
                image.write(at, &piece[..len]);
                at += len as u64;
            }
        }
    }
}

fn write_image(image: &Image, len: u64, path: &Path) {
    let file = File::create(path).unwrap();
    file.set_len(len).unwrap();
    for (at, block) in image.blocks() {
        file.write_all_at(block, at).unwrap();
    }
}

/// Returns every route with a durable drop: with one disposition, in turn, or with every
/// disposition where the array is a new file; and once with a drop that its producer never synced.
/// The ledger is always on the same disk.
fn scenarios(kind: &str) -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    let is_here = |it: &&Route| {
        let in_time = !it.is_largest() && (it.stride == 1 || is_long());
        it.kinds.contains(&kind) && it.elsewhere.is_none() && in_time
    };
    for (number, route) in ROUTES.iter().filter(is_here).enumerate() {
        let in_turn = route.dispositions[number % route.dispositions.len()];
        for &disposition in route.dispositions {
            let durable = Scenario { ledger_along: true, ..Scenario::of(route.name, disposition) };
            if disposition == in_turn {
                scenarios.extend([durable, Scenario { synced: false, ..durable }]);
            } else if durable.makes_a_file() {
                scenarios.push(durable);
            }
        }
    }
    scenarios
}

/// The seed of the pseudo-random numbers that choose what is lost.
const SEED: u64 = 1;

/// Records a run and replays its states.
pub(super) fn replay(
    kind: &'static str,
    npyd: &Npyd,
    scenarios: &[Scenario],
    states_max: usize,
) -> Option<Tally> {
    if !as_root() {
        return None;
    }
    with_own_mounts(|| {
        let dir = tempfile::Builder::new().prefix("npyd-").tempdir().unwrap();
        let memory = Memory::new(dir.path())?;
        let recording = Recording::make(kind, (dir.path(), &memory), npyd, scenarios)?;
        let draws = if is_long() { 32 } else { 4 };
        let Checked { tally, unreadable } = recording.check(SEED, draws, states_max);
        // A superblock spans two sectors on ext4 and eight elsewhere, and is invalid when torn.
        // npyd can't prevent that; no other state may fail to mount.
        let torn = |state: &State| matches!(state.loss, Loss::Pieces { len: 512, .. });
        let broken = unreadable.iter().find(|state| !torn(state));
        assert!(broken.is_none(), "{kind} could not be mounted: {broken:?}");
        let (unreadable, of) = (unreadable.len(), tally.tried);
        say(&format!("{unreadable} of {of} states left {kind} a torn superblock"));
        Some(tally)
    })
}

fn every_state(kind: &'static str) {
    let states_max = match kind {
        _ if is_long() => usize::MAX,
        "xfs-without-reflink" => 150, // it has one way of its own
        _ => 500,
    };
    if let Some(tally) = replay(kind, &Npyd::real(), &scenarios(kind), states_max) {
        tally.report(&format!("states of the disk (seed {SEED})"));
    }
}

#[test]
fn ext4() {
    every_state("ext4");
}

#[test]
fn xfs() {
    every_state("xfs");
}

#[test]
fn xfs_without_reflink() {
    every_state("xfs-without-reflink");
}

#[test]
fn btrfs() {
    every_state("btrfs");
}
