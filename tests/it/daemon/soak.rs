//! A soak: drops of mixed sizes, corrections, rejects, redos, reloads, restarts and full disks, one
//! after another. No array is wrong, no byte is lost, and the daemon's memory, descriptors, threads
//! and log of the ledger do not grow.
//!
//! The long form takes an hour, or as many minutes as `NPYD_SOAK_MINUTES` says, and draws what it
//! measured in `target/soak.svg`.

mod picture;
mod producer;
mod sample;

use std::env;
use std::fs::{self, File};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{Daemon, Mounted, PATIENCE, Site, as_root, fill, is_long};
use producer::{Dump, Turn};
use sample::Sample;

/// Turns whose files stay: old arrays are checked again before they are removed.
const TURNS_KEPT: usize = 8;

/// Bytes of the file that does not fit on the full disk.
const LARGE: usize = 4 << 20;

/// How much is done.
struct Extent {
    /// Drops in a turn.
    drops: usize,
    /// Turns from one reload or restart to the next.
    turns_between: usize,
    /// Turns in each half, where no time is set.
    turns: usize,
    /// The time that each half takes.
    time: Duration,
}

struct Soak<'a> {
    site: &'a Site,
    outputs: &'a Mounted,
    extent: Extent,
    daemon: Option<Daemon<'a>>,
    turns: Vec<Turn>,
    next_turn: usize,
    started: Instant,
    samples: Vec<Sample>,
    marks: Vec<(Instant, &'static str)>,
}

#[test]
fn nothing_is_wrong_or_lost_and_nothing_grows() {
    if !as_root() {
        return;
    }
    let site = Site::new();
    let Some(outputs) = Mounted::image(&site, "out", "ext4", 256, &["-m", "0"]) else { return };
    let small = ["-t", "tmpfs", "-o", "size=64m", "npyd"];
    let Some(_state) = Mounted::with(&site, "state", "mount", &small) else { return };
    for dir in ["out/removed", "in-removed", "rejects"] {
        fs::create_dir(site.path(dir)).unwrap();
    }
    configure(&site, 60);
    let mut soak = Soak::new(&site, &outputs);
    soak.run_half();
    soak.fill_disks(&["out"]);
    let first = Sample::highest(&soak.samples);
    soak.run_half();
    soak.fill_disks(&["out", "state"]);
    soak.wait_for_rest(first);
    soak.finish();
    println!("{} drops in {} turns", soak.extent.drops * soak.next_turn, soak.next_turn);
    if is_long() {
        picture::write(&soak.samples, &soak.marks, soak.started);
    }
}

/// One drop directory keeps its sources, the other one removes them.
fn configure(site: &Site, rescan: u32) {
    let [input, output, rejects] =
        ["in-removed", "out/removed", "rejects"].map(|it| site.path(it).display().to_string());
    site.configure(&format!(
        "rescan = \"{rescan}s\"\n\n[[drop]]\npath = \"{input}\"\noutput = \"{output}\"\n\
         rejects = \"{rejects}\"\nsource = \"remove\"\nquiet = \"200ms\"\nrescan = \"{rescan}s\"\n"
    ));
}

impl Extent {
    fn of_this_run() -> Self {
        if !is_long() {
            return Extent { drops: 20, turns_between: 1, turns: 6, time: Duration::ZERO };
        }
        let minutes = env::var("NPYD_SOAK_MINUTES").map_or(60, |text| text.parse().unwrap());
        let time = Duration::from_mins(minutes) / 2;
        Extent { drops: 100, turns_between: 12, turns: 0, time }
    }
}

impl<'a> Soak<'a> {
    fn new(site: &'a Site, outputs: &'a Mounted) -> Self {
        let mut soak = Soak {
            site,
            outputs,
            extent: Extent::of_this_run(),
            daemon: None,
            turns: Vec::new(),
            next_turn: 0,
            started: Instant::now(),
            samples: Vec::new(),
            marks: Vec::new(),
        };
        soak.start();
        soak
    }

    fn daemon(&mut self) -> &mut Daemon<'a> {
        self.daemon.as_mut().unwrap()
    }

    fn start(&mut self) {
        self.daemon = Some(self.site.daemon());
    }

    fn run_half(&mut self) {
        let (started, first) = (Instant::now(), self.next_turn);
        while started.elapsed() < self.extent.time || self.next_turn - first < self.extent.turns {
            self.run_turn();
        }
    }

    /// Drops a number of files while something happens to the daemon, and waits for their arrays.
    fn run_turn(&mut self) {
        let number = self.next_turn;
        self.next_turn += 1;
        let mut turn = Turn::write(self.site, number, self.extent.drops);
        let event = number.is_multiple_of(self.extent.turns_between);
        match number / self.extent.turns_between % 3 {
            0 if event => self.reload(),
            1 if event => self.restart(Signal::TERM),
            2 if event => self.restart(Signal::KILL),
            _ => {}
        }
        let latency = (!event).then(|| self.measure_latency(&mut turn));
        self.wait_for(&turn);
        turn.correct(self.site);
        self.wait_for(&turn);
        self.turns.push(turn);
        if self.turns.len() > TURNS_KEPT {
            self.turns.remove(0).retire(self.site);
        }
        let sample = Sample::take(self.site, self.daemon().pid(), latency);
        self.samples.push(sample);
    }

    fn wait_for(&mut self, turn: &Turn) {
        let site = self.site;
        let mut left: Vec<&Dump> = turn.dumps.iter().collect();
        self.daemon().wait_for(&format!("turn {}", turn.number), || {
            // An array that is not as it will be may be the one before the correction.
            left.retain(|dump| !dump.is_done(site));
            left.is_empty()
        });
    }

    /// Returns the time from the close of a small file to its array, while the others are made.
    fn measure_latency(&mut self, turn: &mut Turn) -> Duration {
        let path = turn.write_one_more(self.site);
        let written = Instant::now();
        while !path.exists() && written.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_micros(500));
        }
        written.elapsed()
    }

    fn reload(&mut self) {
        let rescan = if self.next_turn.is_multiple_of(2) { 60 } else { 50 };
        configure(self.site, rescan);
        self.daemon().reload();
        self.forget_log();
    }

    fn restart(&mut self, signal: Signal) {
        self.marks.push((Instant::now(), ""));
        let mut daemon = self.daemon.take().unwrap();
        let status = daemon.end(signal);
        drop(daemon); // before the next one, whose notices would end with it
        assert_eq!(status.success(), signal == Signal::TERM, "{status}");
        self.start();
        self.forget_log();
    }

    /// Empties the log, to which the daemon appends.
    fn forget_log(&self) {
        let log = File::options().write(true).open(self.site.path("npyd.toml.log")).unwrap();
        log.set_len(0).unwrap();
    }

    /// Fills the disk of the arrays, or also that of the ledger. What does not fit waits for space,
    /// and the daemon does not need the ledger meanwhile.
    fn fill_disks(&mut self, dirs: &[&str]) {
        self.forget_log();
        self.marks.push((Instant::now(), "full"));
        for dir in dirs {
            fill(&self.site.path(dir), if *dir == "out" { LARGE as u64 / 2 } else { 0 });
        }
        let turn = Turn::write_equal(self.site, self.next_turn, 1, LARGE);
        self.next_turn += 1;
        self.daemon().wait_for_log("space");
        let small = Turn::write_equal(self.site, self.next_turn, 3, 1024);
        self.next_turn += 1;
        self.wait_for(&small);
        assert!(!turn.dumps[0].is_done(self.site));
        for dir in dirs {
            fs::remove_file(self.site.path(dir).join("filler")).unwrap();
        }
        self.wait_for(&turn);
        turn.retire(self.site);
        self.turns.push(small);
        let sample = Sample::take(self.site, self.daemon().pid(), None);
        self.samples.push(sample);
    }

    /// Waits until the daemon occupies at most what it did in the first half, and a fixed margin.
    /// Arrays that are just being made also take descriptors.
    fn wait_for_rest(&mut self, first: Sample) {
        let (site, pid) = (self.site, self.daemon().pid());
        println!("highest in the first half: {first:?}");
        self.daemon().wait_for(&format!("no more than {first:?}"), || {
            let now = Sample::take(site, pid, None);
            println!("after the second half: {now:?}");
            now.memory_kib <= first.memory_kib + (16 << 10)
                && now.descriptors <= first.descriptors + 16
                && now.threads <= first.threads + 4
                && now.wal_bytes <= first.wal_bytes + (16 << 20)
        });
    }

    /// Ends the daemon, sweeps, and checks once more all that is there.
    fn finish(&mut self) {
        assert!(self.daemon.take().unwrap().stop().success());
        self.site.npyd(&["sweep"]);
        for turn in std::mem::take(&mut self.turns) {
            turn.retire(self.site);
        }
        let failed = self.site.npyd(&["history", "--json", "--event", "failed"]);
        let failed = failed.expect_code(0).stdout;
        assert!(failed.lines().all(|line| line.contains("No space left on device")), "{failed}");
        let left: Vec<_> = fs::read_dir(self.outputs.at()).unwrap().flatten().collect();
        assert!(left.iter().all(|it| it.path().is_dir()), "{left:?}");
    }
}
