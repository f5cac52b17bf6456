//! Real producers while they write: npyd does not touch what they hold open, and finalizes what
//! they leave.

use std::fs;

use serde_json::json;

use crate::support::{Daemon, Producer, Receipts, Site, left_out, load, python, wait_until};

/// The manifest of four frames of three `<i4`.
const FOUR_FRAMES: &str = "dtype = '<i4'\nshape = [4, 3]\n";

/// Starts `script` on the file `in/NAME` of the site.
fn start(
    python: &std::path::Path,
    site: &Site,
    script: &str,
    name: &str,
    args: &[&str],
) -> Producer {
    let path = site.path(format!("in/{name}"));
    let args = [&[path.to_str().unwrap()], args].concat();
    Producer::start(python, script, args)
}

/// Waits until the daemon has looked at a drop that comes after all before it.
fn let_it_look(site: &Site, daemon: &mut Daemon, name: &str) {
    site.scan(name);
    daemon.wait_for_file(&format!("out/{name}.npy"));
}

/// A mapped file has its full size from the start, and stores through the map give no events.
#[test]
fn a_held_memmap_waits_until_it_is_closed() {
    let Some(python) = python() else { return };
    let site = Site::with("rescan = \"500ms\"");
    site.drop_file("scan.raw.toml", FOUR_FRAMES);
    let mut daemon = site.daemon();
    let mut producer = start(&python, &site, "mapped.py", "scan.raw", &["4", "3", "0"]);
    producer.say("frame 0 10").say("flush");
    let_it_look(&site, &mut daemon, "look-1");
    let waiting = site.sweep().expect_code(0).json();
    let receipt = waiting.of_source("scan.raw");
    assert_eq!(receipt["event"], "waiting");
    assert!(receipt["reason"].as_str().unwrap().contains("writ"), "{receipt}");
    for frame in ["frame 1 11", "frame 2 12", "frame 3 13"] {
        producer.say(frame);
    }
    let_it_look(&site, &mut daemon, "look-2");
    assert!(!site.has("out/scan.npy"));
    producer.say("close");
    daemon.wait_for_file("out/scan.npy");
    let values = json!([[10, 10, 10], [11, 11, 11], [12, 12, 12], [13, 13, 13]]);
    assert_eq!(load(&python, site.path("out/scan.npy"))["values"], values);
}

/// The open file is known to the kernel's ring alone; no process has a descriptor of it.
#[test]
fn a_file_that_io_uring_writes_waits_until_it_is_closed() {
    let Some(python) = python() else { return };
    if fs::read_to_string("/proc/sys/kernel/io_uring_disabled").is_ok_and(|text| text != "0\n") {
        return left_out("io_uring is disabled");
    }
    for source in ["keep", "remove"] {
        let site = Site::with(&format!("rescan = \"500ms\"\nsource = \"{source}\""));
        site.drop_file("scan.raw.toml", "dtype = '<i4'\nshape = [-1, 3]\n");
        let mut daemon = site.daemon();
        let mut producer = start(&python, &site, "io_uring.py", "scan.raw", &[]);
        producer.say("write 3 1");
        let_it_look(&site, &mut daemon, "look-1");
        daemon.wait_for_log("it is still being written");
        producer.say("write 3 2");
        let_it_look(&site, &mut daemon, "look-2");
        assert!(!site.has("out/scan.npy"));
        producer.say("close");
        daemon.wait_for_file("out/scan.npy");
        let values = json!([[1, 1, 1], [2, 2, 2]]);
        assert_eq!(load(&python, site.path("out/scan.npy"))["values"], values);
        daemon.wait_for("the source", || site.has("in/scan.raw") == (source == "keep"));
    }
}

/// A producer that leaves room for the header gets its array without a copy.
#[test]
fn a_memmap_with_an_offset_becomes_the_array() {
    let Some(python) = python() else { return };
    let site = Site::new();
    let mut daemon = site.daemon();
    let mut producer = start(&python, &site, "mapped.py", "scan.raw", &["4", "3", "128"]);
    site.drop_file("scan.raw.toml", format!("{FOUR_FRAMES}reserved = 128\n"));
    let inode = site.inode("in/scan.raw");
    producer.say("frame 3 13").say("close");
    daemon.wait_for_file("out/scan.npy");
    assert_eq!(site.inode("out/scan.npy"), inode);
    let values = json!([[0, 0, 0], [0, 0, 0], [0, 0, 0], [13, 13, 13]]);
    assert_eq!(load(&python, site.path("out/scan.npy"))["values"], values);
}

/// The word `r` is enough: the writer may keep its mapping, and sees the magic change.
#[test]
fn a_pending_file_is_ready_while_it_is_held() {
    let Some(python) = python() else { return };
    let site = Site::new();
    let mut daemon = site.daemon();
    let mut producer = start(&python, &site, "pending_mapped.py", "x.npy", &["2", "3", "OPEN"]);
    producer.say("frame 0 10").ask("magic", "934e50454e44");
    let_it_look(&site, &mut daemon, "look");
    assert!(!site.has("out/x.npy"));
    producer.say("frame 1 11").say("ready");
    daemon.wait_for_file("out/x.npy");
    producer.ask("magic", "934e554d5059");
    let array = load(&python, site.path("out/x.npy"));
    assert_eq!(array["values"], json!([[10, 10, 10], [11, 11, 11]]));
    daemon.wait_for_receipts("finalized", 2);
    assert_eq!(site.history().of_source("x.npy")["evidence"], "ready");
}

/// A dump of known size whose writer was killed is as complete as one whose writer closed it.
#[test]
fn a_killed_writer_of_a_raw_dump() {
    let Some(python) = python() else { return };
    let site = Site::new();
    site.drop_file("scan.raw.toml", FOUR_FRAMES);
    let mut daemon = site.daemon();
    let mut producer = start(&python, &site, "mapped.py", "scan.raw", &["4", "3", "0"]);
    producer.say("frame 0 10");
    let_it_look(&site, &mut daemon, "look");
    assert!(!site.has("out/scan.npy"));
    producer.kill();
    daemon.wait_for_file("out/scan.npy");
    let values = json!([[10, 10, 10], [0, 0, 0], [0, 0, 0], [0, 0, 0]]);
    assert_eq!(load(&python, site.path("out/scan.npy"))["values"], values);
}

/// A pending file knows better: killed before its word, it is never taken for complete.
#[test]
fn a_killed_writer_of_a_pending_file() {
    let Some(python) = python() else { return };
    let site = Site::new();
    let mut daemon = site.daemon();
    let mut producer = start(&python, &site, "pending_mapped.py", "x.npy", &["2", "3"]);
    producer.say("frame 0 10");
    let_it_look(&site, &mut daemon, "look");
    assert!(site.history().iter().all(|receipt| receipt["event"] != "rejected"));
    producer.kill();
    daemon.wait_for_receipts("rejected", 1);
    assert!(site.has("in/x.npy") && !site.has("out/x.npy"));
}

/// Closing is not the end: a dump that is too short waits for its writer to come back.
#[test]
fn a_dump_that_is_closed_and_reopened() {
    let Some(python) = python() else { return };
    let site = Site::new();
    site.drop_file("scan.raw.toml", FOUR_FRAMES);
    let mut daemon = site.daemon();
    let mut producer = start(&python, &site, "appended.py", "scan.raw", &[]);
    producer.say("write 5 10").say("close");
    let_it_look(&site, &mut daemon, "look-1");
    let waiting = site.sweep().expect_code(0).json();
    assert_eq!(waiting.of_source("scan.raw")["event"], "waiting");
    producer.say("reopen").say("write 7 11");
    let_it_look(&site, &mut daemon, "look-2");
    assert!(!site.has("out/scan.npy"), "its writer still has it open");
    producer.say("close");
    daemon.wait_for_file("out/scan.npy");
    let values = json!([[10, 10, 10], [10, 10, 11], [11, 11, 11], [11, 11, 11]]);
    assert_eq!(load(&python, site.path("out/scan.npy"))["values"], values);
}

/// An open shape has no size to go by: no writer and a while of quiet must do.
#[test]
fn an_open_dump_waits_for_its_last_writer() {
    let Some(python) = python() else { return };
    let site = Site::new();
    site.drop_file("scan.raw.toml", "dtype = '<i4'\nshape = [-1, 3]\n");
    let mut daemon = site.daemon();
    let mut producer = start(&python, &site, "appended.py", "scan.raw", &[]);
    producer.say("write 6 10");
    let_it_look(&site, &mut daemon, "look-1");
    let_it_look(&site, &mut daemon, "look-2");
    assert!(!site.has("out/scan.npy"));
    producer.say("write 3 11").say("close");
    daemon.wait_for_file("out/scan.npy");
    let array = load(&python, site.path("out/scan.npy"));
    assert_eq!(array["shape"], json!([3, 3]));
}

/// However a dump gets its final name, that is when it counts; and while its writer keeps it open
/// under that name, it waits.
#[test]
fn a_dump_published_under_its_final_name() {
    let Some(python) = python() else { return };
    for how in ["rename", "link", "unnamed"] {
        let site = Site::new();
        site.drop_file("scan.raw.toml", FOUR_FRAMES);
        let mut daemon = site.daemon();
        let path = site.path("in/scan.raw");
        let mut producer = Producer::start(&python, "published.py", [how, path.to_str().unwrap()]);
        producer.say("write 12 7");
        let_it_look(&site, &mut daemon, "look-1");
        producer.say("publish");
        let_it_look(&site, &mut daemon, "look-2");
        assert!(!site.has("out/scan.npy"), "{how}: its writer still has it open");
        producer.say("close");
        daemon.wait_for_file("out/scan.npy");
        let array = load(&python, site.path("out/scan.npy"));
        assert_eq!(array["values"], json!([[7, 7, 7], [7, 7, 7], [7, 7, 7], [7, 7, 7]]), "{how}");
    }
}

/// A file that takes the place of another under the same name is a drop of its own.
#[test]
fn a_dump_that_is_replaced() {
    let Some(python) = python() else { return };
    let site = Site::with("on_conflict = \"replace\"");
    site.drop_file("scan.raw.toml", FOUR_FRAMES);
    let mut daemon = site.daemon();
    let path = site.path("in/scan.raw");
    for value in [7, 8] {
        let mut producer =
            Producer::start(&python, "published.py", ["rename", path.to_str().unwrap()]);
        producer.say(&format!("write 12 {value}")).say("publish").say("close");
        let expected = json!(vec![vec![value; 3]; 4]);
        daemon.wait_for_file("out/scan.npy");
        wait_until(
            &format!("the array of {value}"),
            || daemon.log(),
            || load(&python, site.path("out/scan.npy"))["values"] == expected,
        );
    }
}

/// `scp -p` writes under the final name, cuts an older file of that name at the end, closes, and
/// then sets the time of its original, which is long ago.
#[test]
fn a_file_that_scp_copies_with_its_time() {
    use std::io::Write;
    let site = Site::with("rescan = \"500ms\"");
    site.drop_file("scan.raw.toml", "dtype = '|u1'\nshape = [-1, 4]\n");
    let mut daemon = site.daemon();
    let mut file = fs::File::create(site.path("in/scan.raw")).unwrap();
    file.write_all(&[1; 4]).unwrap();
    let_it_look(&site, &mut daemon, "look-1");
    assert!(!site.has("out/scan.npy"));
    file.write_all(&[2; 4]).unwrap();
    file.set_len(8).unwrap();
    file.sync_all().unwrap();
    drop(file);
    let at = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let file = fs::File::options().write(true).open(site.path("in/scan.raw")).unwrap();
    file.set_modified(at).unwrap();
    drop(file);
    daemon.wait_for_file("out/scan.npy");
    assert!(site.read("out/scan.npy").ends_with(&[1, 1, 1, 1, 2, 2, 2, 2]));
    // An older file of that name is written over, and cut.
    let mut file = fs::File::options().write(true).open(site.path("in/scan.raw")).unwrap();
    file.write_all(&[3; 4]).unwrap();
    file.set_len(4).unwrap();
    drop(file);
    let file = fs::File::options().write(true).open(site.path("in/scan.raw")).unwrap();
    file.set_modified(at).unwrap();
    drop(file);
    daemon.wait_for("the array is made again", || {
        site.read("out/scan.npy").ends_with(&[0x0a, 3, 3, 3, 3])
    });
    assert!(site.has("out/scan.npy.~1~"));
}
