//! Insert-range: room for the header at the front of the raw file, and recovery after a crash.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::process::Command;
use std::thread;

use serde_json::Value;

use crate::support::{
    Outcome, PendingFile, Receipts, Site, left_out, npy, sweep_with_fault, wait_until,
};

/// Large enough to be worth it, and no multiple of a block.
const LEN: usize = (16 << 20) + 1234;

fn data() -> Vec<u8> {
    (0..LEN).map(|at| (at / 4096 + at % 251) as u8).collect()
}

const MANIFEST: &str = "dtype = '|u1'\nshape = [-1]\n";

/// A site with one such dump on a file system that makes room; `None` where it does not.
fn site(settings: &str) -> Option<Site> {
    let site = Site::with(settings);
    site.sweep().expect_code(0); // begins the ledger, so that calls are counted without that
    site.drop_file("scan.raw", data()).drop_file("scan.raw.toml", MANIFEST);
    let check = site.npyd(&["check"]).expect_code(0);
    if !check.stdout.contains("insert-range yes") {
        left_out("the temporary directory's file system makes no room at the front of files");
        return None;
    }
    Some(site)
}

/// The array as it must be, behind a header of a page.
#[track_caller]
fn assert_is_array(file: &[u8]) {
    assert_eq!(file.len(), 4096 + LEN);
    assert!(file.starts_with(b"\x93NUMPY\x01\0\xf6\x0f"));
    let dict = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({LEN},), }} ");
    assert!(file[10..].starts_with(dict.as_bytes()) && file[4095] == b'\n');
    assert!(file[4096..] == data(), "the data differ");
}

fn route(receipts: &Vec<Value>) -> Value {
    receipts.of_source("scan.raw")["route"].clone()
}

#[test]
fn the_source_becomes_the_array() {
    let Some(site) = site("source = \"remove\"") else { return };
    site.npyd(&["check"]).expect_words(&["insert-range", "files below 16.00 MiB: copy"]);
    let inode = site.inode("in/scan.raw");
    let receipts = site.sweep_until("finalized").json();
    assert_eq!(route(&receipts), "insert-range");
    assert_is_array(&site.read("out/scan.npy"));
    assert_eq!(site.inode("out/scan.npy"), inode);
    assert_eq!(site.names("in"), [""; 0]);
    assert_eq!(site.names("out"), ["scan.npy", "scan.raw.toml.done"]);
    assert_eq!(site.names("state/intents"), [""; 0]);
    site.npyd(&["inspect", "out/scan.npy"]).expect_code(0);
}

/// The state directory may be gone, full or read-only.
#[test]
fn an_intent_that_can_not_be_recorded() {
    let Some(site) = site("source = \"remove\"") else { return };
    site.write("state/intents", "no directory");
    let receipts = site.sweep_until("finalized").json();
    assert_eq!(route(&receipts), "copy");
    let reason = receipts.of_source("scan.raw")["reason"].as_str().unwrap();
    assert!(reason.contains("its intent can't be recorded: "), "{reason}");
    assert!(site.read("out/scan.npy").ends_with(&data()));
    assert_eq!(site.names("in"), [""; 0]);
    assert!(receipts.of_event("failed").is_empty(), "{receipts:#?}");
}

/// As those of other users are, with the usual umask: they are not stuck, but copied.
#[test]
fn files_that_npyd_may_only_read() {
    let Some(site) = site("source = \"remove\"") else { return };
    let values = [7; 24];
    site.drop_file("room.raw", [[0; 128].as_slice(), &values].concat());
    site.drop_file("room.raw.toml", "dtype = '<i4'\nshape = [2, 3]\nreserved = 128\n");
    site.drop_file("x.npy.pending", PendingFile::ready(&[2, 3]).with(&values));
    for name in ["scan.raw", "room.raw", "x.npy.pending"] {
        let path = site.path("in").join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(0o444)).unwrap();
    }
    let told = site.npyd_by_rights(&["sweep", "--json"]).expect_code(0).json();
    for (name, route) in
        [("scan.raw", "insert-range"), ("room.raw", "in-place"), ("x.npy.pending", "in-place")]
    {
        let receipt = told.of_source(name);
        assert_eq!(receipt["route"], "copy");
        let reason = receipt["reason"].as_str().unwrap();
        assert!(reason.contains(&format!("not {route}: the user")), "{reason}");
    }
    assert!(site.read("out/scan.npy") == npy("'|u1'", false, &[LEN as u64], &data()));
    let small = npy("'<i4'", false, &[2, 3], &values);
    assert_eq!((site.read("out/room.npy"), site.read("out/x.npy")), (small.clone(), small));
    assert_eq!(site.names("in"), [""; 0]);
}

#[test]
fn what_could_be_noticed_by_others_is_not_done() {
    // Somebody still reads the raw file.
    let Some(here) = site("source = \"remove\"") else { return };
    let reader = File::open(here.path("in/scan.raw")).unwrap();
    let receipts = here.sweep_until("finalized").json();
    assert_eq!(route(&receipts), "copy");
    let reason = receipts.of_source("scan.raw")["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("not insert-range: another process"), "{reason}");
    let mut seen = vec![0; LEN];
    reader.read_exact_at(&mut seen, 0).unwrap();
    assert!(seen == data());

    // The file has holes, so that a gap could not be found again.
    let Some(here) = site("source = \"remove\"") else { return };
    let file = OpenOptions::new().write(true).open(here.path("in/scan.raw")).unwrap();
    file.set_len(LEN as u64 + 65536).unwrap();
    drop(file);
    let receipts = here.sweep_until("finalized").json();
    assert_eq!(route(&receipts), "copy");

    // It is to be kept.
    let Some(here) = site("") else { return };
    assert_eq!(route(&here.sweep_until("finalized").json()), "copy");
    assert!(here.read("in/scan.raw") == data());
}

/// Ends a sweep by SIGKILL before the `nth` of such calls.
fn sweep_killed_before(site: &Site, call: &str, nth: usize) -> Option<Outcome> {
    sweep_with_fault(site, None, &format!("{call}:signal=SIGKILL:when={nth}"))
}

/// Whatever a crash left, the next start ends well.
#[test]
fn a_crash_is_undone() {
    let mut private = 0;
    // The calls behind the note of what is about to be done: taking the file, making room, the
    // header, its sync, the final name, its directory's sync.
    for (call, numbers) in
        [("renameat2", 1..=2), ("fallocate", 1..=4), ("pwrite64", 1..=6), ("fsync", 1..=8)]
    {
        for nth in numbers {
            let Some(site) = site("source = \"remove\"") else { return };
            let Some(outcome) = sweep_killed_before(&site, call, nth) else { return };
            if outcome.code == 0 {
                continue; // there are not so many of them
            }
            assert_eq!(outcome.code, 128 + 9, "{outcome}");
            let case = format!("{call} {nth}: {:?}", site.names("in"));
            private += usize::from(site.has("in/.npyd-insert-scan.raw"));
            wait_until(
                "an empty drop directory",
                || case.clone(),
                || {
                    site.sweep();
                    site.names("in").is_empty()
                },
            );
            assert_is_array(&site.read("out/scan.npy"));
            assert_eq!(site.names("out"), ["scan.npy", "scan.raw.toml.done"], "{case}");
        }
    }
    assert!(private >= 3, "{private} crashes in the middle of it");
}

/// Without its note, nobody knows where the gap is: the file is left alone, and told of.
#[test]
fn a_crash_and_a_lost_note() {
    let Some(site) = site("source = \"remove\"") else { return };
    let Some(outcome) = sweep_killed_before(&site, "renameat2", 2) else { return };
    assert_eq!(outcome.code, 128 + 9, "{outcome}");
    site.lose_ledger();
    let told = site.npyd(&["sweep"]);
    told.expect_words(&[".npyd-insert-scan.raw", "left as it is"]);
    assert_eq!(site.names("in"), [".npyd-insert-scan.raw", "scan.raw.toml"]);
    assert_eq!(site.names("out"), [""; 0]);
    let left = site.path("in/.npyd-insert-scan.raw");
    assert_eq!(left.metadata().unwrap().size(), LEN as u64 + 4096);
}

/// Data that are overwritten under the private name: with a gap they stay, and it is said how to
/// get them back; without one they are a drop that changed.
#[test]
fn a_crash_and_data_that_are_overwritten() {
    let private = "in/.npyd-insert-scan.raw";
    let overwrite = |site: &Site, at: u64| {
        let file = File::options().write(true).open(site.path(private)).unwrap();
        file.write_all_at(b"other", at).unwrap();
    };
    let other_at = |at: usize| {
        let mut data = data();
        data[at..at + 5].copy_from_slice(b"other");
        data
    };
    let expect_array = |site: &Site, data: &[u8]| {
        site.sweep_until("finalized");
        let array = site.read("out/scan.npy");
        assert!(array[array.len() - LEN..] == *data, "other data");
    };
    // Behind the header, which stands in the gap; in front of the gap that was made; and cut off.
    let calls = (1..=4).flat_map(|nth| ["renameat2", "pwrite64", "fallocate"].map(|it| (it, nth)));
    for (call, nth) in calls {
        let Some(site) = site("source = \"remove\"") else { return };
        if sweep_killed_before(&site, call, nth).is_none() || !site.has(private) {
            continue;
        }
        let len = site.read(private).len();
        let room = len - LEN;
        println!("before {call}: {room} bytes were inserted");
        overwrite(&site, (room + 10) as u64);
        if room > 0 {
            let command = format!(
                "fallocate --collapse-range --offset 0 --length {room} '{}'",
                site.path(private).display()
            );
            site.npyd(&["sweep"]).expect_words(&[
                "left as it is: npyd was interrupted while it inserted a header, and its data \
                 changed since",
                &command,
                "rename it to `scan.raw`",
            ]);
            let told = site.npyd(&["explain", site.path(private).to_str().unwrap()]);
            told.expect_words(&["failing", &command]);
            assert_eq!(site.read(private).len(), len);
            let done = Command::new("sh").args(["-c", &command]).status().unwrap();
            assert!(done.success(), "{command}");
            fs::rename(site.path(private), site.path("in/scan.raw")).unwrap();
        }
        expect_array(&site, &other_at(10));
    }
    // Somebody has written other data to the file: it has no gap.
    let Some(site) = site("source = \"remove\"") else { return };
    let Some(_) = sweep_killed_before(&site, "renameat2", 2) else { return };
    let newer: Vec<u8> = data().into_iter().rev().collect();
    fs::write(site.path(private), &newer).unwrap();
    expect_array(&site, &newer);
    assert_eq!(site.names("in"), [""; 0]);
    assert_eq!(site.names("state/intents"), [""; 0]);
}

/// What the file system refuses to this file alone, when it has left its name already, is not tried
/// for ever: the file is copied, once it has settled anew.
#[test]
fn what_is_refused_later_is_copied() {
    for injection in ["fallocate:error=EOPNOTSUPP:when=2", "renameat2:error=EXDEV:when=2"] {
        let Some(site) = site("source = \"remove\"") else { return };
        // strace counts the calls of each thread apart.
        let config = String::from_utf8(site.read("npyd.toml")).unwrap();
        site.write("npyd.toml", format!("workers = 1\n{config}"));
        let Some(outcome) = sweep_with_fault(&site, None, injection) else { return };
        let receipts = outcome.expect_code(0).json();
        assert_eq!(route(&receipts), "copy", "{injection}");
        let reason = receipts.of_source("scan.raw")["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains("not insert-range: the file system could not"), "{reason}");
        assert!(site.read("out/scan.npy").ends_with(&data()));
        assert_eq!(site.names("in"), [""; 0]);
        assert_eq!(site.names("state/intents"), [""; 0]);
    }
}

/// What a drop of the same name holds that comes later.
const NEWER: &[u8] = b"what was dropped since";

/// Sweeps until that one is an array.
#[track_caller]
fn settle_newer(site: &Site) {
    let account = || format!("{:?} {:?}", site.names("in"), site.names("out"));
    wait_until("the newer array", account, || site.has("out/scan.npy") || site.sweep().code > 1);
    assert!(site.read("out/scan.npy").ends_with(NEWER));
    assert!(!site.has("in/scan.raw.toml"));
}

/// The producer replaces the file when npyd has looked at it for the last time, and is about to
/// give it its private name: the new file must not be hidden under that.
#[test]
fn a_file_that_is_replaced_when_it_is_taken() {
    let Some(site) = site("source = \"remove\"") else { return };
    site.write("newer", NEWER);
    thread::scope(|scope| {
        let sweep =
            scope.spawn(|| sweep_with_fault(&site, None, "renameat2:delay_enter=1500000:when=1"));
        let is_noted = || site.has("state/intents") && !site.names("state/intents").is_empty();
        wait_until("a note", String::new, || is_noted() || sweep.is_finished());
        thread::sleep(std::time::Duration::from_millis(300)); // the last look is right behind it
        fs::rename(site.path("newer"), site.path("in/scan.raw")).unwrap();
        if sweep.join().unwrap().is_none() {
            return;
        }
        settle_newer(&site);
        assert_eq!(site.names("in"), [""; 0]);
        assert_eq!(site.names("state/intents"), [""; 0]);
    });
}

/// The same, and npyd is ended before it notices: what it took by mistake has its name again.
#[test]
fn a_crash_when_another_file_was_taken() {
    let Some(site) = site("source = \"remove\"") else { return };
    let Some(outcome) = sweep_killed_before(&site, "renameat2", 1) else { return };
    assert_eq!(outcome.code, 128 + 9, "{outcome}");
    fs::rename(site.path("in/scan.raw"), site.path("older")).unwrap();
    site.drop_file(".npyd-insert-scan.raw", NEWER);
    settle_newer(&site);
    assert_eq!(site.names("in"), [""; 0]);
}

/// What is dropped under the same name before npyd starts again is served, and the file that npyd
/// was ended at is itself again, under a name that the log tells.
#[test]
fn a_crash_and_a_newer_drop() {
    let Some(site) = site("source = \"remove\"") else { return };
    let Some(outcome) = sweep_killed_before(&site, "renameat2", 2) else { return };
    assert_eq!(outcome.code, 128 + 9, "{outcome}");
    assert_eq!(site.read("in/.npyd-insert-scan.raw").len(), 4096 + LEN);
    site.drop_file("scan.raw", NEWER);
    let told = site.sweep();
    told.expect_words(&["in/scan.raw` was replaced while npyd worked on it", "in/scan.raw.1`"]);
    assert!(site.read("in/scan.raw.1") == data(), "the older data differ");
    settle_newer(&site);
    assert_eq!(site.names("in"), ["scan.raw.1"]);
    assert_eq!(site.names("state/intents"), [""; 0]);
}

/// The same where the older file can't be dealt with at once, and the newer one is large: neither
/// does the newer take the older one's note, nor wait for it.
#[test]
fn a_crash_and_a_newer_drop_beside_a_locked_file() {
    let Some(site) = site("source = \"remove\"") else { return };
    let Some(outcome) = sweep_killed_before(&site, "renameat2", 2) else { return };
    assert_eq!(outcome.code, 128 + 9, "{outcome}");
    let lock = File::open(site.path("in/.npyd-insert-scan.raw")).unwrap();
    lock.lock().unwrap();
    let newer: Vec<u8> = data().into_iter().rev().collect();
    site.drop_file("scan.raw", &newer);
    let receipts = site.sweep_until("finalized").json();
    assert_eq!(route(&receipts), "copy");
    assert!(site.read("out/scan.npy").ends_with(&newer));
    assert_eq!(site.names("in"), [".npyd-insert-scan.raw"]);
    drop(lock);
    site.sweep().expect_code(0);
    assert_eq!(site.names("in"), ["scan.raw"]);
    assert!(site.read("in/scan.raw") == data(), "the older data differ");
    assert_eq!(site.names("state/intents"), [""; 0]);
}

/// A private name that ends as that of an unfinished output does is a source's still.
#[test]
fn a_crash_at_a_file_whose_name_looks_unfinished() {
    let Some(site) = site("source = \"remove\"") else { return };
    for (from, to) in [("scan.raw", "scan.tmp"), ("scan.raw.toml", "scan.tmp.toml")] {
        fs::rename(site.path("in").join(from), site.path("in").join(to)).unwrap();
    }
    let Some(outcome) = sweep_killed_before(&site, "renameat2", 2) else { return };
    assert_eq!(outcome.code, 128 + 9, "{outcome}");
    assert!(site.has("in/.npyd-insert-scan.tmp"), "{:?}", site.names("in"));
    site.sweep_until("finalized");
    assert_is_array(&site.read("out/scan.npy"));
}
