//! Races with producers that change, truncate, replace or rename files that they declared complete,
//! between any two system calls of npyd. The array equals one state of the producer's files, never
//! a mixture, and no data are lost.

use std::os::unix::fs::symlink;
use std::time::Duration;
use std::{fs, thread};

use crate::support::{
    Mounted, PendingFile, Producer, Receipts, Site, as_root, is_long, npy, npy_filling, python,
    scan_bytes, scan_npy, sweep_halted, sweep_halted_until,
};

/// The bytes of the drop, more than one window of a copy, and those that are cut off or added.
const SIZE: usize = 5 << 20;
const PIECE: usize = 1 << 20;

/// A way to an array, and a drop that goes it.
#[derive(Clone, Copy)]
struct Way {
    file: &'static str,
    manifest: Option<&'static str>,
    settings: &'static str,
    /// The file system that supports the route, if not all do.
    kind: Option<&'static str>,
    /// The bytes of the drop.
    size: usize,
    /// How many of these bytes are before the data: reserved room or a pending header.
    front: usize,
    /// The length of the array's header.
    header: usize,
    /// Whether the array takes the drop's own name.
    is_beside: bool,
    /// Whether the producer's file becomes the array, and is its own still.
    is_in_place: bool,
    /// Of this many calls, the short form tries one.
    stride: usize,
}

const COPY: Way = Way {
    file: "scan.raw",
    manifest: Some(r#"{"dtype": "|u1", "shape": [-1]}"#),
    settings: "source = \"remove\"\nreaders = \"any\"",
    kind: None,
    size: SIZE,
    front: 0,
    header: 128,
    is_beside: false,
    is_in_place: false,
    stride: 1,
};

const IN_PLACE: Way = Way {
    manifest: Some(r#"{"dtype": "|u1", "shape": [-1], "reserved": 128}"#),
    front: 128,
    is_in_place: true,
    stride: 2,
    ..COPY
};

/// An array that is there from the start, of a source that stays.
const FOUND: Way = Way { settings: "on_conflict = 'replace-any'\nreaders = 'any'", ..IN_PLACE };

/// A pending header that is not one that every reader takes.
const BESIDE: Way =
    Way { file: "scan.npy", manifest: None, front: 256, is_beside: true, stride: 2, ..COPY };

const REFLINK: Way =
    Way { settings: "source = \"remove\"", kind: Some("xfs"), header: 4096, stride: 4, ..COPY };

const INSERT: Way =
    Way { kind: Some("ext4"), size: 16 << 20, is_in_place: true, stride: 12, ..REFLINK };

impl Way {
    /// The drop, with these data.
    fn drop_of(&self, data: &[u8]) -> Vec<u8> {
        if self.is_beside {
            let data_offset = self.front;
            let file = PendingFile { descr: "'|u1'", data_offset, ..PendingFile::ready(&[-1]) };
            return file.with(data);
        }
        [&vec![0; self.front], data].concat()
    }

    /// The array of these data.
    fn array_of(&self, data: &[u8]) -> Vec<u8> {
        let header = npy_filling("'|u1'", false, &[data.len() as u64], self.header);
        [&header, data].concat()
    }

    fn array(&self) -> &'static str {
        if self.is_beside { "in/scan.npy" } else { "out/scan.npy" }
    }

    /// A site with nothing dropped yet. What is to be on a file system of its own is in a directory
    /// there.
    fn site(&self, on: Option<&Mounted>) -> Site {
        let site = Site::new();
        let config = site.configuration("state", self.settings).replace("200ms", "20ms");
        let is_kept = |line: &&str| !self.is_beside || !line.starts_with("output");
        let lines: Vec<_> = config.lines().filter(is_kept).collect();
        site.write("npyd.toml", lines.join("\n"));
        for name in ["in", "out"] {
            if let Some(there) = on.map(|on| on.at().join(name)) {
                let _ = fs::remove_dir_all(&there); // of the last one, if there was one
                fs::create_dir(&there).unwrap();
                fs::remove_dir(site.path(name)).unwrap();
                symlink(there, site.path(name)).unwrap();
            }
        }
        site
    }
}

/// A producer's misbehavior, and what may come of it.
struct Race {
    way: Way,
    /// Its command, with `IN` for the drop directory and `FILE` for the drop.
    command: String,
    /// What the drop's data are before and afterwards.
    before: Vec<u8>,
    after: Vec<u8>,
    /// Whether afterwards it is nothing but data.
    is_bare: bool,
    /// Where it is afterwards.
    name: Option<&'static str>,
    /// Whether what it holds last must be in that file or the array.
    lasts: bool,
    /// Whether the array is there from the start, and the source stays: the array must follow.
    is_found: bool,
    /// What it does after the sweep with the file that the command opened.
    later: Option<String>,
}

impl Race {
    /// Of data full of ones that then are `after`.
    fn new(way: Way, command: impl Into<String>, after: Vec<u8>) -> Self {
        let before = vec![1; way.size - way.front];
        let command = command.into();
        Self {
            way,
            command,
            before,
            after,
            is_bare: false,
            name: None,
            lasts: true,
            is_found: false,
            later: None,
        }
    }

    /// Has the command done after each call of a sweep in turn, and judges what has become of the
    /// drop after another sweep.
    fn run(&self) {
        let Some(python) = python() else { return };
        if self.way.kind.is_some() && !as_root() {
            return;
        }
        let ground = Site::new();
        let mount = |kind| Mounted::image(&ground, "fs", kind, 400, &[]);
        let mounted = self.way.kind.map(mount);
        if matches!(mounted, Some(None)) {
            return;
        }
        let stride = if is_long() { 1 } else { self.way.stride };
        let mut producer = Producer::start(&python, "misbehaving.py", [""; 0]);
        let mut calls = 0;
        while self.happens_after(calls, &mut producer, mounted.as_ref().and_then(Option::as_ref)) {
            calls += stride;
        }
        println!("`{}` after one in {stride} of {calls} calls", self.command);
        assert!(calls > 20, "only {calls} calls were seen");
    }

    /// `false` where there were not so many calls.
    fn happens_after(&self, call: usize, producer: &mut Producer, on: Option<&Mounted>) -> bool {
        let site = self.way.site(on);
        let file = format!("in/{}", self.way.file);
        let manifest = format!("{file}.json");
        site.write(&file, self.way.drop_of(&self.before));
        if let Some(text) = self.way.manifest {
            site.write(&manifest, text);
        }
        if self.is_found {
            site.write(self.way.array(), self.way.array_of(&self.before));
        }
        let command = self.command.replace("FILE", &format!("IN/{}", self.way.file));
        let command = command.replace("IN", site.path("in").to_str().unwrap());
        let inode = site.inode(&file);
        let leased =
            [&file, &manifest].map(|name| if site.has(name) { site.inode(name) } else { 0 });
        let mut begun = false;
        let private = format!("in/.npyd-taken-{}", self.way.file);
        let names = ["in", "out", &file, &manifest, &private];
        let halted = sweep_halted_until(&site, &names, call, |_| {
            let is_held = || waits_for_a_lease(&leased);
            if begun {
                return producer.go_on(&command, is_held);
            }
            // Once the array has the name, npyd does not check the file again.
            begun = !self.way.is_beside || !site.has(&file) || site.inode(&file) == inode;
            !begun || producer.begin(&command, is_held)
        });
        let done = begun && producer.hear() == "ok";
        if let Some(later) = self.later.as_ref().filter(|_| done) {
            producer.say(later).say("close late");
        }
        site.sweep();
        self.judge(&site, done, &format!("`{}` after call {call}", self.command));
        halted
    }

    fn judge(&self, site: &Site, done: bool, case: &str) {
        let way = &self.way;
        let read = |name: &str| site.has(name).then(|| site.read(name));
        let last_name = self.name.map_or(format!("in/{}", way.file), str::to_owned);
        let (array, source) = (read(way.array()), read(&last_name));
        let after = if self.is_bare { self.after.clone() } else { way.drop_of(&self.after) };
        let drops = [&(way.drop_of(&self.before), &self.before), &(after, &self.after)];
        let is_of = |data: &[u8]| array.as_ref().is_some_and(|it| self.is_array(it, data));
        // In place, the header may stand there already.
        let room = if way.is_in_place { way.front } else { 0 };
        let is_it = |found: &Option<Vec<u8>>, drop: &[u8]| {
            found.as_ref().is_some_and(|it| it.get(room..) == drop.get(room..))
        };
        let is_a_state = |(drop, data): &&(Vec<u8>, &Vec<u8>)| {
            is_of(data) || way.is_beside && is_it(&array, drop)
        };
        let whole = array.is_none() || drops.iter().any(is_a_state);
        assert!(whole, "{case}: the array is of no state the drop was in");
        let (drop, data) = drops[usize::from(done)];
        assert!(!self.is_found || is_of(data), "{case}: what came last is in no array");
        let found = || format!("in: {:?}, out: {:?}", site.names("in"), site.names("out"));
        // What became an array and was replaced then, its producer replaced.
        let lasts = is_it(&source, drop) || is_of(data) && !(self.is_bare && done);
        assert!(lasts || !self.lasts, "{case}: data are lost, {}", found());
        if let Some(text) = self.command.strip_prefix("text FILE.json ").filter(|_| done) {
            let texts = ["in/scan.raw.json", "out/scan.raw.json.done"].map(read);
            let is_it = |it: &Vec<u8>| it.strip_suffix(b"\n") == Some(text.as_bytes());
            assert!(texts.iter().flatten().any(is_it), "{case}: a text is lost, {}", found());
        }
        let own = |name: &String| name.starts_with(".npyd-");
        assert!(!site.names("in").iter().chain(&site.names("out")).any(own), "{case}");
    }

    /// Whether this is the array of these data. In place it is the producer's file: the data that
    /// are in it last may stand behind the header of those that were settled.
    fn is_array(&self, found: &[u8], data: &[u8]) -> bool {
        let of = |told: &[u8]| self.way.array_of(told)[..self.way.header].to_vec();
        let headers = [of(&self.before), of(&self.after)];
        found == self.way.array_of(data)
            || self.way.is_in_place
                && headers.iter().any(|header| found.strip_prefix(&header[..]) == Some(data))
    }
}

/// Whether somebody waits until npyd, stopped as it is, gives up its lease on one of these files.
fn waits_for_a_lease(inodes: &[u64]) -> bool {
    let locks = fs::read_to_string("/proc/locks").unwrap();
    let is_of = |lock: &str, inode| lock.contains(&format!(":{inode} "));
    let mut breaking = locks.lines().filter(|lock| lock.contains("BREAKING"));
    breaking.any(|lock| inodes.iter().any(|inode| is_of(lock, inode)))
}

fn truncated(way: Way) {
    let command = format!("truncate FILE {}", way.front + PIECE);
    Race::new(way, command, vec![1; PIECE]).run();
}

fn appended_to(way: Way) {
    let after = [vec![1; way.size - way.front], vec![2; PIECE]].concat();
    Race::new(way, format!("append FILE {PIECE} 2"), after).run();
}

/// Its producer opens it, and writes to it only after the sweep.
fn opened(way: Way) {
    let after = [vec![1; way.size - way.front], vec![2; PIECE]].concat();
    let race = Race::new(way, "reopen FILE late", after);
    Race { later: Some(format!("put late {PIECE} 2")), ..race }.run();
}

/// Data of which the first are others than they were.
fn overwritten(way: Way) -> Vec<u8> {
    [vec![2; PIECE], vec![1; way.size - way.front - PIECE]].concat()
}

/// Its data are written over, the first of them, by a command.
fn written_over(way: Way, command: &str) {
    Race::new(way, format!("{command} FILE {PIECE} 2 {}", way.front), overwritten(way)).run();
}

fn replaced(way: Way) {
    let race =
        Race::new(way, format!("replace FILE {} 2", way.size), vec![2; way.size - way.front]);
    // By a file without a header.
    let bare = way.is_beside.then(|| vec![2; way.size]);
    Race { is_bare: bare.is_some(), after: bare.unwrap_or(race.after), ..race }.run();
}

fn renamed(way: Way) {
    let race = Race::new(way, "rename FILE IN/other", vec![1; way.size - way.front]);
    Race { name: Some("in/other"), ..race }.run();
}

macro_rules! races {
    ($($name:ident: $race:expr;)*) => { $(
        #[test]
        fn $name() {
            $race;
        }
    )* };
}

races! {
    a_copied_drop_is_truncated: truncated(COPY);
    a_copied_drop_is_appended_to: appended_to(COPY);
    a_copied_drop_is_written_over: written_over(COPY, "overwrite");
    // The time of the last write may be anything: that of the last change can't be set.
    a_copied_drop_is_written_over_with_a_forged_time: written_over(COPY, "forge");
    a_copied_drop_is_replaced: replaced(COPY);
    a_copied_drop_is_renamed: renamed(COPY);
    a_copied_drop_is_opened: opened(COPY);
    in_place_truncated: truncated(IN_PLACE);
    in_place_appended_to: appended_to(IN_PLACE);
    in_place_written_over: written_over(IN_PLACE, "overwrite");
    in_place_written_over_with_a_forged_time: written_over(IN_PLACE, "forge");
    in_place_replaced: replaced(IN_PLACE);
    in_place_renamed: renamed(IN_PLACE);
    in_place_opened: opened(IN_PLACE);
    under_its_own_name_truncated: truncated(BESIDE);
    under_its_own_name_appended_to: appended_to(BESIDE);
    under_its_own_name_written_over: written_over(BESIDE, "overwrite");
    under_its_own_name_written_over_with_a_forged_time: written_over(BESIDE, "forge");
    under_its_own_name_replaced: replaced(BESIDE);
    blocks_shared_appended_to: appended_to(REFLINK);
    blocks_shared_written_over: written_over(REFLINK, "overwrite");
    room_made_appended_to: appended_to(INSERT);
    room_made_written_over: written_over(INSERT, "overwrite");
    room_made_replaced: replaced(INSERT);
    room_made_opened: opened(INSERT);
}

/// An array that is found was made of what was there before: nothing of the source is settled by it
/// that came since.
#[test]
fn written_over_while_its_array_is_found() {
    let after = overwritten(FOUND);
    let command = format!("overwrite FILE {PIECE} 2 {}", FOUND.front);
    Race { is_found: true, ..Race::new(FOUND, command, after) }.run();
}

/// What is gone is gone: of it there is the whole array, or nothing.
#[test]
fn removed() {
    Race { lasts: false, ..Race::new(COPY, "unlink FILE", Vec::new()) }.run();
}

/// The array is what the one manifest says or what the other does, and the text is not lost.
#[test]
fn a_manifest_rewritten() {
    let command = r#"text FILE.json {"dtype": "|u1", "shape": [-1], "gain": 2}"#;
    Race::new(COPY, command, vec![1; SIZE]).run();
    let command = r#"text FILE.json {"dtype": "|u1", "shape": [-1], "offset": 4096}"#;
    let after = vec![1; SIZE - 4096];
    Race { lasts: false, ..Race::new(COPY, command, after) }.run();
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

/// The data may arrive before their manifest.
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

/// A directory that gets another name, with a drop in it: it is served under the one or the other,
/// and that is no failure.
#[test]
fn its_directory_renamed() {
    let (mut call, stride) = (0, if is_long() { 1 } else { 3 });
    loop {
        let site = Site::with("recursive = true");
        fs::create_dir(site.path("in/a")).unwrap();
        site.scan("a/scan");
        let rename = |_: &[&str]| fs::rename(site.path("in/a"), site.path("in/b")).unwrap();
        let names = ["in/a", "in/a/scan.raw", "in/a/scan.raw.toml"];
        let halted = sweep_halted(&site, &names, call, rename);
        if !halted {
            break;
        }
        site.sweep().expect_code(0);
        let (events, at) = (site.history(), format!("after call {call}"));
        let failed = ["failed", "rejected"].map(|event| events.of_event(event).len());
        assert_eq!(failed, [0, 0], "{at}: {events:#?}");
        assert_eq!(site.read("out/b/scan.npy"), scan_npy(), "{at}");
        assert!(!site.has("out/a/scan.npy") || site.read("out/a/scan.npy") == scan_npy(), "{at}");
        call += stride;
    }
    assert!(call > 10, "only {call} calls were seen");
}

/// A producer drops a file of the same name as soon as the first file is gone, and overwrites the
/// manifest that still exists. The new manifest stays with the drop that it describes.
#[test]
fn dropped_again_at_once() {
    let Some(python) = python() else { return };
    let mut producer = Producer::start(&python, "misbehaving.py", [""; 0]);
    let (mut call, mut again) = (0, 0);
    loop {
        let site = Site::with("source = 'remove'\non_conflict = 'number'");
        site.drop_file("scan.raw", [1; 8]);
        site.drop_file("scan.raw.json", r#"{"dtype": "|u1", "shape": [8]}"#);
        let manifest = site.inode("in/scan.raw.json");
        let file = site.path("in/scan.raw");
        let text = r#"{"dtype": "<u2", "shape": [2, 2]}"#;
        let mut begun = false;
        let names = ["in", "out", "in/scan.raw", "in/scan.raw.json"];
        let command = format!("again {} 8 2 {text}", file.display());
        let halted = sweep_halted_until(&site, &names, call, |_| {
            let is_held = || waits_for_a_lease(&[manifest]);
            if begun {
                return producer.go_on(&command, is_held);
            }
            begun = !site.has("in/scan.raw");
            !begun || producer.begin(&command, is_held)
        });
        if begun {
            again += 1;
            assert_eq!(producer.hear(), "ok");
            site.sweep_until("finalized");
            let case = format!("after call {call}: in: {:?}", site.names("in"));
            assert_eq!(site.read("out/scan.npy"), npy("'|u1'", false, &[8], &[1; 8]), "{case}");
            let second = npy("'<u2'", false, &[2, 2], &[2; 8]);
            assert_eq!(site.read("out/scan-1.npy"), second, "{case}");
            assert_eq!(site.names("in"), [""; 0], "{case}");
        }
        if !halted {
            break;
        }
        call += 1;
    }
    assert!(again > 3, "only after {again} calls");
}

/// What its producer corrects while the array is made durable still has its data.
#[test]
fn a_manifest_corrected() {
    let Some(python) = python() else { return };
    let mut producer = Producer::start(&python, "misbehaving.py", [""; 0]);
    let (mut call, mut corrected) = (0, 0);
    loop {
        let site = Site::with("source = 'remove'");
        site.drop_file("scan.raw", [1; 8]);
        site.drop_file("scan.raw.json", r#"{"dtype": "|u1", "shape": [8]}"#);
        let text = r#"{"dtype": "<u2", "shape": [2, 2]}"#;
        let command = format!("text {} {text}", site.path("in/scan.raw.json").display());
        let mut begun = false;
        let halted = sweep_halted(&site, &["out"], call, |_| {
            begun = site.has("in/scan.raw");
            if begun {
                producer.say(&command);
            }
        });
        if begun {
            corrected += 1;
            site.sweep();
            let right = npy("'<u2'", false, &[2, 2], &[1; 8]);
            let is_right = site.has("out/scan.npy") && site.read("out/scan.npy") == right;
            assert!(is_right || site.has("in/scan.raw"), "its data are gone after call {call}");
        }
        if !halted {
            break;
        }
        call += 1;
    }
    assert!(corrected > 3, "only after {corrected} calls");
}

/// A producer that was given up comes back while its file is salvaged: what it had written, and
/// what it adds, is in the array's file, the source or the rest.
#[test]
fn a_salvaged_file_appended_to() {
    let Some(python) = python() else { return };
    let mut producer = Producer::start(&python, "misbehaving.py", [""; 0]);
    let (mut call, stride) = (0, if is_long() { 1 } else { 2 });
    while salvaged_after(call, &mut producer) {
        call += stride;
    }
    assert!(call > 20, "only {call} calls were seen");
}

/// `false` where there were not so many calls.
fn salvaged_after(call: usize, producer: &mut Producer) -> bool {
    const ADDED: usize = 5000;
    let site = Site::with("salvage = \"whole-records\"");
    let file = "in/x.npy.part";
    site.write(file, PendingFile::writing(&[-1, 3]).with(&[[1; 12].to_vec(), vec![2; 5]].concat()));
    let inode = site.inode(file);
    thread::sleep(Duration::from_millis(250)); // it must be quiet
    let command = format!("append {} {ADDED} 3", site.path(file).display());
    let mut begun = false;
    let names = ["in", "out", file, "in/.npyd-taken-x.npy.part"];
    let halted = sweep_halted_until(&site, &names, call, |_| {
        let is_held = || waits_for_a_lease(&[inode]);
        if begun {
            return producer.go_on(&command, is_held);
        }
        begun = site.has(file) && site.inode(file) == inode;
        !begun || producer.begin(&command, is_held)
    });
    let added = if begun && producer.hear() == "ok" { ADDED } else { 0 };
    let names = ["in", "out"].map(|dir| site.names(dir).into_iter().map(move |it| (dir, it)));
    let all: Vec<_> = names.into_iter().flatten().collect();
    let files = all.iter().map(|(dir, name)| site.read(&format!("{dir}/{name}")));
    let data = |file: Vec<u8>| file.get(128..).unwrap_or(&file).to_vec();
    let bytes: Vec<u8> = files.flat_map(data).collect();
    let count = |wanted: u8| bytes.split(|byte| *byte == wanted).count() - 1;
    let case = format!("after call {call}: {all:?}");
    assert!(count(2) >= 5 && count(3) >= added, "{} and {}, {case}", count(2), count(3));
    if site.has("out/x.npy") {
        let array = site.read("out/x.npy");
        let len = array.len() - 128;
        // Of one record, of all that there were then, or of one and what came too late behind it.
        let right = [12, (17 + added) / 12 * 12, 12 + added];
        assert!(right.contains(&len), "{len} bytes, {case}");
        assert!(array[128..].starts_with(&[1; 12]), "{case}");
    }
    halted
}
