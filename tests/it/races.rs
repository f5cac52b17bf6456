//! Producers that misbehave: they come back, cut, replace and rename what they said was complete,
//! between any two calls of npyd. What results is an array of one of the states their files were
//! in, never of a mixture; and nothing that they wrote is lost.

use crate::support::{
    Producer, Receipts, Site, can_halt, npy, python, scan_bytes, scan_npy, sweep_halted,
};

/// The bytes of the drop, more than one window of a copy, and those that are cut off or added.
const SIZE: usize = 5 << 20;
const PIECE: usize = 1 << 20;

const MANIFEST: &str = r#"{"dtype": "|u1", "shape": [-1]}"#;

/// The same of data behind room for the header.
const MANIFEST_WITH_ROOM: &str = r#"{"dtype": "|u1", "shape": [-1], "reserved": 128}"#;
const ROOM: usize = 128;

/// A producer's misbehavior, and what may come of it.
struct Race {
    /// Its command, with `IN` for the drop directory.
    command: String,
    /// What the drop's file holds before and afterwards.
    before: Vec<u8>,
    after: Vec<u8>,
    /// Where that file is afterwards.
    name: &'static str,
    manifest: &'static str,
    /// Whether what it holds last must be in that file or the array.
    lasts: bool,
    /// Whether the array is there from the start, and the source stays: the array must follow.
    is_found: bool,
}

impl Race {
    /// Of a file full of ones that then holds `after`.
    fn new(command: String, after: Vec<u8>) -> Self {
        let (name, manifest) = ("in/scan.raw", MANIFEST);
        Self { command, before: vec![1; SIZE], after, name, manifest, lasts: true, is_found: false }
    }

    /// The same with room for the header, which is written in place.
    fn in_place(self) -> Self {
        Self { manifest: MANIFEST_WITH_ROOM, ..self }
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
            let settings =
                if self.is_found { "on_conflict = 'replace'" } else { "source = 'remove'" };
            let config = site.configuration("state", settings);
            site.write("npyd.toml", config.replace("200ms", "20ms"));
            site.drop_file("scan.raw", &self.before).drop_file("scan.raw.json", self.manifest);
            if self.is_found {
                site.write("out/scan.npy", array_of(&self.before[ROOM..]));
            }
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
        // In place, the header may stand there already.
        let room = if self.manifest == MANIFEST { 0 } else { ROOM };
        let is_of =
            |data: &Vec<u8>| array.as_ref().is_some_and(|it| *it == array_of(&data[room..]));
        let whole = is_of(&self.before) || is_of(&self.after);
        assert!(array.is_none() || whole, "{case}: the array is of no state the drop was in");
        let is_source =
            |data: &Vec<u8>| source.as_ref().is_some_and(|it| it[room..] == data[room..]);
        let last = if done { &self.after } else { &self.before };
        assert!(!self.is_found || is_of(last), "{case}: what came last is in no array");
        let found = || format!("in: {:?}, out: {:?}", site.names("in"), site.names("out"));
        let lasts = is_of(last) || is_source(last);
        assert!(lasts || !self.lasts, "{case}: data are lost, {}", found());
        if let Some(text) = self.command.strip_prefix("text IN/scan.raw.json ").filter(|_| done) {
            let texts = ["in/scan.raw.json", "out/scan.raw.json.done"].map(read);
            let is_it = |it: &Vec<u8>| it.strip_suffix(b"\n") == Some(text.as_bytes());
            assert!(texts.iter().flatten().any(is_it), "{case}: a text is lost, {}", found());
        }
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

fn replacement() -> Race {
    Race::new(format!("replace IN/scan.raw {SIZE} 2"), vec![2; SIZE])
}

fn renaming() -> Race {
    let command = "rename IN/scan.raw IN/other".to_owned();
    Race { name: "in/other", ..Race::new(command, vec![1; SIZE]) }
}

#[test]
fn replaced() {
    replacement().run();
}

#[test]
fn replaced_while_its_header_is_written() {
    replacement().in_place().run();
}

#[test]
fn renamed() {
    renaming().run();
}

#[test]
fn renamed_while_its_header_is_written() {
    renaming().in_place().run();
}

/// An array that is found was made of what was there before: nothing of the source is settled by it
/// that came since.
#[test]
fn written_over_while_its_array_is_found() {
    let race = Race::new(format!("overwrite IN/scan.raw {PIECE} 2"), overwritten()).in_place();
    Race { is_found: true, ..race }.run();
}

/// What is gone is gone: of it there is the whole array, or nothing.
#[test]
fn removed() {
    Race { lasts: false, ..Race::new("unlink IN/scan.raw".to_owned(), Vec::new()) }.run();
}

/// The array is what the one manifest says or what the other does, and the text is not lost.
#[test]
fn a_manifest_rewritten() {
    let command = r#"text IN/scan.raw.json {"dtype": "|u1", "shape": [-1], "gain": 2}"#;
    Race::new(command.to_owned(), vec![1; SIZE]).run();
    let command = r#"text IN/scan.raw.json {"dtype": "|u1", "shape": [-1], "offset": 4096}"#;
    let after = vec![1; SIZE - 4096];
    Race { lasts: false, ..Race::new(command.to_owned(), after) }.run();
}

/// A writable mapping alone, its descriptor closed, is a writer.
#[test]
fn mapped_with_its_descriptor_closed() {
    let Some(python) = python() else { return };
    let site = Site::with("rescan = \"500ms\"");
    site.drop_file("scan.raw.toml", "dtype = '|u1'\nshape = [8192]\n");
    let mut daemon = site.daemon();
    let mut producer = Producer::start(&python, "misbehaving.py", [""; 0]);
    let path = site.path("in/scan.raw");
    producer.say(&format!("map {} 8192", path.display())).say("store 0 1");
    for number in 1..=2 {
        site.scan(&format!("look-{number}"));
        daemon.wait_for_file(&format!("out/look-{number}.npy"));
    }
    assert!(!site.has("out/scan.npy"));
    assert_eq!(site.sweep().json().of_source("scan.raw")["event"], "waiting");
    producer.say("store 8191 2").say("unmap");
    daemon.wait_for_file("out/scan.npy");
    let data = [&[1][..], &[0; 8190], &[2]].concat();
    assert_eq!(site.read("out/scan.npy"), npy("'|u1'", false, &[8192], &data));
}

/// The one that closes first does not speak for the other.
#[test]
fn two_writers_one_of_which_closes() {
    let Some(python) = python() else { return };
    let site = Site::with("rescan = \"500ms\"");
    site.drop_file("scan.raw.toml", "dtype = '|u1'\nshape = [-1]\n");
    let mut daemon = site.daemon();
    let mut producer = Producer::start(&python, "misbehaving.py", [""; 0]);
    let path = site.path("in/scan.raw");
    for name in ["one", "two"] {
        producer.say(&format!("open {} {name}", path.display()));
    }
    producer.say("put one 10 1").say("close one");
    for number in 1..=2 {
        site.scan(&format!("look-{number}"));
        daemon.wait_for_file(&format!("out/look-{number}.npy"));
    }
    assert!(!site.has("out/scan.npy"));
    producer.say("put two 10 2").say("close two");
    daemon.wait_for_file("out/scan.npy");
    let data = [[1; 10], [2; 10]].concat();
    assert_eq!(site.read("out/scan.npy"), npy("'|u1'", false, &[20], &data));
}

/// In whatever order data and manifest come.
#[test]
fn data_before_their_manifest() {
    let site = Site::new();
    let mut daemon = site.daemon();
    site.drop_file("scan.raw", scan_bytes()).scan("look");
    daemon.wait_for_file("out/look.npy");
    assert!(!site.has("out/scan.npy"));
    site.drop_file("scan.raw.toml", crate::support::SCAN_MANIFEST);
    daemon.wait_for_file("out/scan.npy");
    assert_eq!(site.read("out/scan.npy"), scan_npy());
}
