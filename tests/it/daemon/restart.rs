//! Restart of the daemon: nothing is done twice, nothing is forgotten.

use std::fs;

use serde_json::Value;

use crate::support::{PendingFile, Receipts, SCAN_MANIFEST, Site, crc32c, scan_bytes, scan_npy};

/// A kept source is done once, however often anybody looks at it.
#[test]
fn a_kept_source_is_not_done_twice() {
    let site = Site::new();
    site.scan("scan");
    let mut daemon = site.daemon();
    daemon.wait_for_file("out/scan.npy");
    daemon.wait_for_receipts("finalized", 1);
    let array = site.identity("out/scan.npy");
    assert!(daemon.stop().success());

    let mut daemon = site.daemon();
    site.scan("next");
    daemon.wait_for_receipts("finalized", 2);
    assert!(daemon.stop().success());
    assert!(site.sweep().expect_code(0).json().of_event("finalized").is_empty());
    assert_eq!(site.history().of_event("finalized").len(), 2);
    assert_eq!(site.names("out"), ["next.npy", "scan.npy"]);
    assert_eq!(site.identity("out/scan.npy"), array);
}

/// A source that was kept and then changed is another drop, where the ledger does not know it.
#[test]
fn a_changed_source_without_its_ledger() {
    let site = Site::with("on_conflict = \"number\"");
    site.scan("scan").sweep().expect_code(0);
    site.drop_file("scan.raw", [1; 24]);
    site.lose_ledger().sweep().expect_code(0);
    assert_eq!(site.names("out"), ["scan-1.npy", "scan.npy"]);
    assert!(site.read("out/scan-1.npy").ends_with(&[1; 24]));
}

/// The outputs are the truth: without its ledger npyd finds that all is done.
#[test]
fn a_lost_ledger_does_no_harm() {
    for policy in ["reject", "replace", "number"] {
        let site = Site::with(&format!("on_conflict = \"{policy}\""));
        site.scan("scan").drop_file("x.npy", PendingFile::ready(&[2]).with(&[1; 8]));
        site.sweep().expect_code(0);
        let done = site.names("out");
        let before = (site.identity("out/scan.npy"), site.identity("in/scan.raw"));
        let receipts = site.lose_ledger().sweep().expect_code(0).json();
        assert!(receipts.of_event("finalized").is_empty(), "{policy}: {receipts:#?}");
        assert!(receipts.of_event("rejected").is_empty(), "{policy}: {receipts:#?}");
        assert_eq!(site.names("out"), done, "{policy}");
        assert_eq!((site.identity("out/scan.npy"), site.identity("in/scan.raw")), before);
    }
}

/// A lost ledger causes no second array, even if the first array had to take a numbered name.
#[test]
fn a_lost_ledger_does_not_number_again() {
    let site = Site::with("on_conflict = \"number\"");
    site.write("out/scan.npy", "something else").scan("scan").sweep().expect_code(0);
    assert_eq!(site.names("out"), ["scan-1.npy", "scan.npy"]);
    site.lose_ledger().sweep().expect_code(0);
    assert_eq!(site.names("out"), ["scan-1.npy", "scan.npy"]);
}

/// A ledger file that is not a database does not stop npyd, and npyd does not delete it.
#[test]
fn a_damaged_ledger_is_reported() {
    let site = Site::new();
    site.scan("scan").sweep().expect_code(0);
    for name in site.names("state") {
        site.write(&format!("state/{name}"), "this is no database, but somebody's bytes");
    }
    let outcome = site.sweep();
    assert!(outcome.code == 0 || outcome.code == 2, "{outcome}");
    assert!(!outcome.stderr.is_empty(), "npyd reports nothing: {outcome}");
    assert_eq!(site.names("out"), ["scan.npy"]);
}

/// Killed at any moment, it converges after a restart.
#[test]
fn killed_in_the_middle_of_a_burst() {
    const DROPS: usize = 200;
    let site = Site::new();
    for index in 0..DROPS {
        site.scan(&format!("scan-{index:03}"));
    }
    for some in [1, DROPS / 4, DROPS / 2] {
        let mut daemon = site.daemon();
        daemon.wait_for("some arrays", || site.names("out").len() >= some);
        daemon.kill();
    }
    let mut daemon = site.daemon();
    daemon.wait_for("all arrays", || site.names("out").len() >= DROPS);
    daemon.stop();
    let expected: Vec<_> = (0..DROPS).map(|index| format!("scan-{index:03}.npy")).collect();
    assert_eq!(site.names("out"), expected);
    for name in expected {
        assert_eq!(site.read(&format!("out/{name}")), scan_npy(), "{name}");
    }
}

/// A start processes the drops that arrived while no daemon ran.
#[test]
fn what_came_meanwhile_is_found() {
    let site = Site::new();
    site.daemon().stop();
    site.scan("scan").drop_file("x.npy", PendingFile::ready(&[2]).with(&[1; 8]));
    site.daemon().wait_for_file("out/scan.npy").wait_for_file("out/x.npy");
}

/// npyd cleans up the private files of a killed process, and leaves those of a running one.
#[test]
fn private_files_of_a_killed_process_are_cleaned_up() {
    let site = Site::with("source = \"remove\"");
    site.scan("scan");
    fs::rename(site.path("in/scan.raw"), site.path("in/.npyd-taken-scan.raw")).unwrap();
    for name in ["out/.npyd-1-2-3.tmp", "out/.npyd-1-2-4.tmp"] {
        site.write(name, "half an array");
    }
    let busy = fs::File::open(site.path("out/.npyd-1-2-4.tmp")).unwrap();
    busy.lock().unwrap();
    site.sweep().expect_code(0);
    assert_eq!(site.names("in"), [""; 0]);
    assert_eq!(site.names("out"), [".npyd-1-2-4.tmp", "scan.npy", "scan.raw.toml.done"]);
}

/// Ended when a file in place was about to get its final name, with the next one dropped under its
/// own since: that is served, and the log tells where the older is.
#[test]
fn a_taken_file_and_a_newer_drop() {
    let site = Site::new();
    let room = vec![0; scan_npy().len() - scan_bytes().len()];
    let manifest = format!("{SCAN_MANIFEST}reserved = {}\n", room.len());
    site.drop_file(".npyd-taken-scan.raw", scan_npy());
    site.drop_file("scan.raw", [&room[..], &[7; 24]].concat());
    site.drop_file("scan.raw.toml", manifest);
    let told = site.sweep().expect_code(0);
    told.expect_words(&["in/scan.raw` was replaced while npyd worked on it", "in/scan.raw.1`"]);
    assert!(site.read("out/scan.npy").ends_with(&[7; 24]));
    assert_eq!(site.read("in/scan.raw.1"), scan_npy());
    assert_eq!(site.names("in"), ["scan.raw.1"]);
}

/// Somebody gave a file that npyd had taken when it was ended another name: a snapshot is no place
/// where a drop is found.
#[test]
fn a_taken_file_in_a_snapshot() {
    let site = Site::with("source = \"remove\"");
    site.drop_file(".npyd-taken-scan.raw", scan_bytes()).drop_file("scan.raw.toml", SCAN_MANIFEST);
    fs::create_dir(site.path("snapshot")).unwrap();
    fs::hard_link(site.path("in/.npyd-taken-scan.raw"), site.path("snapshot/scan.raw")).unwrap();
    site.sweep();
    assert_eq!(site.read("in/scan.raw"), scan_bytes());
    fs::remove_dir_all(site.path("snapshot")).unwrap();
    site.sweep_until("finalized");
    assert_eq!(site.read("out/scan.npy"), scan_npy());
    assert_eq!(site.names("in"), [""; 0]);
}

/// Ended between removing the data and moving their manifest: that must not wait for data forever.
#[test]
fn a_manifest_left_behind_follows_its_array() {
    let site = Site::with("source = \"remove\"");
    site.scan("scan").sweep().expect_code(0);
    fs::rename(site.path("out/scan.raw.toml.done"), site.path("in/scan.raw.toml")).unwrap();
    let outcome = site.sweep().expect_code(0);
    assert_eq!(outcome.stdout, "");
    assert_eq!(site.names("in"), [""; 0]);
    assert_eq!(site.names("out"), ["scan.npy", "scan.raw.toml.done"]);

    // One written anew is for data yet to come.
    site.drop_file("scan.raw.toml", SCAN_MANIFEST).sweep().expect_code(0);
    assert_eq!(site.names("in"), ["scan.raw.toml"]);
}

/// Also where the array had to take another name than its own.
#[test]
fn a_manifest_left_behind_follows_a_numbered_array() {
    let site = Site::with("source = \"remove\"\non_conflict = \"number\"");
    site.write("out/scan.npy", "something else").scan("scan").sweep().expect_code(0);
    fs::rename(site.path("out/scan.raw.toml.done"), site.path("in/scan.raw.toml")).unwrap();
    site.sweep().expect_code(0);
    assert_eq!(site.names("in"), [""; 0]);
    assert_eq!(site.names("out"), ["scan-1.npy", "scan.npy", "scan.raw.toml.done"]);
}

/// Ended between the name of an array and its metadata: what is there is another's, and replaced.
#[test]
fn metadata_of_an_array_that_was_replaced_are_not_taken_for_its_own() {
    let site = Site::with("on_conflict = \"replace\"\nmetadata = \"json\"");
    let told = || serde_json::from_slice::<Value>(&site.read("out/scan.npy.json")).unwrap();
    site.scan("scan").sweep().expect_code(0);
    fs::rename(site.path("out/scan.npy.json"), site.path("old.json")).unwrap();
    site.drop_file("scan.raw", [7; 12]);
    site.drop_file("scan.raw.toml", "dtype = '<f4'\nshape = [3]\n").sweep().expect_code(0);
    assert_eq!(told()["receipt"]["bytes"], 12);
    fs::rename(site.path("old.json"), site.path("out/scan.npy.json")).unwrap();
    site.lose_ledger().sweep().expect_code(0);
    assert_eq!(told()["receipt"]["bytes"], 12);
    // Its own stay.
    let own = site.identity("out/scan.npy.json");
    site.lose_ledger().sweep().expect_code(0);
    assert_eq!(site.identity("out/scan.npy.json"), own);
}

/// Ended between archiving the data and moving their manifest: it goes where they are.
#[test]
fn a_manifest_left_behind_follows_its_archived_data() {
    let site = Site::new();
    fs::create_dir(site.path("old")).unwrap();
    let old = site.path("old");
    site.configure(&format!("source = \"archive\"\narchive = \"{}\"", old.display()));
    site.scan("scan").sweep().expect_code(0);
    fs::rename(site.path("old/scan.raw.toml"), site.path("in/scan.raw.toml")).unwrap();
    site.sweep().expect_code(0);
    assert_eq!(site.names("in"), [""; 0]);
    assert_eq!(site.names("out"), ["scan.npy"]);
    assert_eq!(site.names("old"), ["scan.raw", "scan.raw.toml"]);
}

/// Whatever part of its header a crash left of a file in place, it gets the whole one.
#[test]
fn headers_torn_at_every_byte() {
    let site = Site::with("source = \"remove\"");
    let array = scan_npy();
    let room = array.len() - scan_bytes().len();
    for at in 0..=room {
        let mut torn = array.clone();
        torn[at..room].fill(0);
        let manifest = format!("{SCAN_MANIFEST}reserved = {room}\n");
        site.drop_file(&format!("{at}.raw"), torn);
        site.drop_file(&format!("{at}.raw.toml"), manifest);
    }
    site.settle("finalized", room + 1);
    for at in 0..=room {
        assert!(site.read(&format!("out/{at}.npy")) == array, "torn at byte {at}");
    }
}

/// A crash may leave any subset of a header's sectors. npyd repairs the header, although the digest
/// of the manifest covers the earlier bytes.
#[test]
fn headers_torn_at_every_sector_under_a_digest() {
    const ROOM: usize = 2048;
    let site = Site::with("source = \"remove\"");
    let raw = [vec![0; ROOM], scan_bytes()].concat();
    let manifest =
        format!("{SCAN_MANIFEST}reserved = {ROOM}\ndigest = 'crc32c:{:08x}'\n", crc32c(&raw));
    site.drop_file("whole.raw", &raw).drop_file("whole.raw.toml", &manifest);
    site.sweep_until("finalized");
    let array = site.read("out/whole.npy");
    for written in 0..16 {
        let mut torn = raw.clone();
        for at in (0..ROOM).step_by(512).filter(|at| written >> (at / 512) & 1 == 1) {
            let sector = at.max(8)..at + 512;
            torn[sector.clone()].copy_from_slice(&array[sector]);
        }
        site.drop_file(&format!("{written}.raw"), torn);
        site.drop_file(&format!("{written}.raw.toml"), &manifest);
    }
    let mut wrong = raw.clone();
    wrong[512..1024].copy_from_slice(&array[512..1024]);
    wrong[ROOM + 1] ^= 1;
    site.drop_file("wrong.raw", wrong).drop_file("wrong.raw.toml", &manifest);
    site.settle("finalized", 17);
    for written in 0..16 {
        assert!(site.read(&format!("out/{written}.npy")) == array, "{written:04b}");
    }
    assert_eq!(site.settle("rejected", 1).of_source("wrong.raw")["event"], "rejected");
}
