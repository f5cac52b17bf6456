//! Producers that misbehave: they come back, cut, replace and rename what they said was complete,
//! between any two calls of npyd. What results is an array of one of the states their files were
//! in, never of a mixture; and nothing that they wrote is lost.

use crate::support::{Producer, Site, can_halt, npy, python, sweep_halted};

/// The bytes of the drop, more than one window of a copy, and those that are cut off or added.
const SIZE: usize = 5 << 20;
const PIECE: usize = 1 << 20;

const MANIFEST: &str = r#"{"dtype": "|u1", "shape": [-1]}"#;

/// A producer's misbehavior, and what may come of it.
struct Race {
    /// Its command, with `IN` for the drop directory.
    command: String,
    /// What the drop's file holds before and afterwards.
    before: Vec<u8>,
    after: Vec<u8>,
    /// Where that file is afterwards.
    name: &'static str,
}

impl Race {
    /// Of a file full of ones that then holds `after`.
    fn new(command: String, after: Vec<u8>) -> Self {
        Self { command, before: vec![1; SIZE], after, name: "in/scan.raw" }
    }

    /// Has the command done after each call of a sweep in turn, and judges what has become of the
    /// drop after another sweep.
    fn run(&self) {
        let Some(python) = python() else { return };
        if !can_halt() {
            return;
        }
        let mut producer = Producer::start(&python, "misbehaving.py", [""; 0]);
        let mut calls = 0;
        loop {
            let site = Site::new();
            let config = site.configuration("state", "source = \"remove\"");
            site.write("npyd.toml", config.replace("200ms", "20ms"));
            site.drop_file("scan.raw", &self.before).drop_file("scan.raw.json", MANIFEST);
            let command = self.command.replace("IN", site.path("in").to_str().unwrap());
            let files = ["in", "out", "in/scan.raw", "in/scan.raw.json"];
            let inode = site.inode("in/scan.raw");
            let halted = sweep_halted(&site, &files, calls, || {
                producer.begin(&command, || waits_for_a_lease(inode));
            });
            let done = halted && producer.hear() == "ok";
            site.sweep();
            self.judge(&site, done, &format!("`{}` after call {calls}", self.command));
            if !halted {
                break;
            }
            calls += 1;
        }
        println!("`{}` after each of {calls} calls", self.command);
        assert!(calls > 20, "only {calls} calls were seen");
    }

    fn judge(&self, site: &Site, done: bool, case: &str) {
        let read = |name| site.has(name).then(|| site.read(name));
        let (array, source) = (read("out/scan.npy"), read(self.name));
        let is_of = |data: &Vec<u8>| array.as_ref().is_some_and(|it| *it == array_of(data));
        let whole = is_of(&self.before) || is_of(&self.after);
        assert!(array.is_none() || whole, "{case}: the array is of no state the drop was in");
        let lasts = |data: &Vec<u8>| is_of(data) || source.as_ref() == Some(data);
        let last = if done { &self.after } else { &self.before };
        assert!(
            lasts(last),
            "{case}: lost, in: {:?}, out: {:?}",
            site.names("in"),
            site.names("out")
        );
        let own = |name: &String| name.starts_with(".npyd-");
        assert!(!site.names("in").iter().chain(&site.names("out")).any(own), "{case}");
    }
}

/// Whether somebody waits until npyd, stopped as it is, gives up its lease on a file.
fn waits_for_a_lease(inode: u64) -> bool {
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    locks.lines().any(|lock| lock.contains("BREAKING") && lock.contains(&format!(":{inode} ")))
}

/// The array of these bytes.
fn array_of(data: &[u8]) -> Vec<u8> {
    npy("'|u1'", false, &[data.len() as u64], data)
}

/// The bytes of the drop, the first of them written over.
fn overwritten() -> Vec<u8> {
    [vec![2; PIECE], vec![1; SIZE - PIECE]].concat()
}

#[test]
fn truncated() {
    Race::new(format!("truncate IN/scan.raw {PIECE}"), vec![1; PIECE]).run();
}

#[test]
fn appended_to() {
    let after = [vec![1; SIZE], vec![2; PIECE]].concat();
    Race::new(format!("append IN/scan.raw {PIECE} 2"), after).run();
}

#[test]
fn reopened_and_written_over() {
    Race::new(format!("overwrite IN/scan.raw {PIECE} 2"), overwritten()).run();
}

/// The time of the last write may be anything: that of the last change can't be set.
#[test]
fn written_over_with_a_forged_time() {
    Race::new(format!("forge IN/scan.raw {PIECE} 2"), overwritten()).run();
}

#[test]
fn replaced() {
    Race::new(format!("replace IN/scan.raw {SIZE} 2"), vec![2; SIZE]).run();
}

#[test]
fn renamed() {
    let command = "rename IN/scan.raw IN/other".to_owned();
    Race { name: "in/other", ..Race::new(command, vec![1; SIZE]) }.run();
}
