//! Several rejected drops in one directory `rejects`: each keeps its own files.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

use crate::support::{Outcome, Receipts, Site, as_root, has_strace, wait_until};

/// 24 bytes of items, and one byte too many.
fn too_long(letter: u8) -> Vec<u8> {
    vec![letter; 25]
}

const ITEMS: &str = "dtype = '|u1'\nshape = [24]\n";

fn site() -> Site {
    let site = Site::new();
    let rejects = site.path("bad");
    fs::create_dir(&rejects).unwrap();
    site.configure(&format!("rejects = '{}'", rejects.display()));
    site
}

/// Rejects a drop of that name, with a letter as its data.
fn reject(site: &Site, dir: &str, letter: u8, (manifest, text): (&str, &str)) {
    site.write(&format!("{dir}/x.raw"), too_long(letter));
    site.write(&format!("{dir}/{manifest}"), text);
    site.sweep().expect_code(1);
    assert!(!site.has(&format!("{dir}/x.raw")));
}

/// The data of the array, from its first byte.
fn data(site: &Site, array: &str) -> Vec<u8> {
    site.read(array)[128..].to_vec()
}

#[test]
fn each_keeps_its_own_description() {
    let site = site();
    reject(&site, "in", b'A', ("x.raw.toml", ITEMS));
    // Of this one only the data have a name that is taken.
    reject(&site, "in", b'B', ("x.toml", "dtype = '|u1'\nshape = [20]\ntrailing = 3\n"));
    let names = ["x.raw", "x.raw.1", "x.raw.rejected.txt", "x.raw.rejected.txt.1"];
    let expected = [&names[..], &["x.raw.toml", "x.toml.1"]].concat();
    assert_eq!(site.names("bad"), expected);
    site.write("bad/x.toml.1", "dtype = '|u1'\nshape = [25]\n");
    site.npyd(&["retry", "x.raw"]).expect_code(0);
    assert_eq!(site.names("bad"), ["x.raw", "x.raw.rejected.txt", "x.raw.toml"]);
    site.sweep().expect_code(0);
    assert_eq!(data(&site, "out/x.npy"), too_long(b'B'));
}

/// A retry and a request are about the newest one, as the ledger is.
#[test]
fn the_newest_one_is_retried() {
    let site = site();
    for letter in *b"ABC" {
        reject(&site, "in", letter, ("x.toml", ITEMS));
    }
    site.npyd(&["take", "x.raw"]).expect_code(0);
    site.settle("finalized", 1);
    assert_eq!(data(&site, "out/x.npy"), too_long(b'C'));
    assert_eq!(site.read("bad/x.raw"), too_long(b'A'));
    assert_eq!(site.read("bad/x.raw.1"), too_long(b'B'));
    let note = String::from_utf8(site.read("bad/x.raw.rejected.txt.1")).unwrap();
    assert!(note.contains(&format!("npyd retry '{}'", site.path("in/x.raw").display())), "{note}");
}

#[test]
fn drop_directories_that_share_it() {
    let site = site();
    fs::create_dir(site.path("in2")).unwrap();
    fs::create_dir(site.path("out2")).unwrap();
    let config = String::from_utf8(site.read("npyd.toml")).unwrap();
    let other = config.split_once("[[drop]]").unwrap().1;
    let other = other.replace("/in\"", "/in2\"").replace("/out\"", "/out2\"");
    site.write("npyd.toml", format!("{config}\n[[drop]]{other}"));
    for (dir, letter) in [("in", b'A'), ("in2", b'B')] {
        reject(&site, dir, letter, ("x.toml", ITEMS));
    }
    for name in ["bad/x.toml", "bad/x.toml.1"] {
        site.write(name, ITEMS.replace("24", "25"));
    }
    for dir in ["in2", "in"] {
        let path = site.path(format!("{dir}/x.raw"));
        site.npyd(&["retry", path.to_str().unwrap()]).expect_code(0);
        site.sweep().expect_code(0);
    }
    assert_eq!(data(&site, "out/x.npy"), too_long(b'A'));
    assert_eq!(data(&site, "out2/x.npy"), too_long(b'B'));
    assert!(site.names("bad").is_empty(), "{:?}", site.names("bad"));
}

/// A user may replace the description of a rejected drop in the directory `rejects`.
#[test]
fn a_new_manifest_comes_along() {
    let site = site();
    reject(&site, "in", b'A', ("x.toml", ITEMS));
    fs::remove_file(site.path("bad/x.toml")).unwrap();
    site.write("bad/x.raw.toml", ITEMS.replace("24", "25"));
    site.npyd(&["retry", "x.raw"]).expect_code(0);
    site.sweep().expect_code(0);
    assert_eq!(data(&site, "out/x.npy"), too_long(b'A'));
}

#[test]
fn a_name_that_is_taken() {
    let site = site();
    reject(&site, "in", b'A', ("x.toml", ITEMS));
    site.write("in/x.raw", "next");
    let refused = site.npyd(&["retry", "x.raw"]).expect_code(1);
    refused.expect_words(&["another file has its name", "move that away first"]);
    assert_eq!(site.names("bad").len(), 3);
    fs::remove_file(site.path("in/x.raw")).unwrap();
    // A manifest that is there already counts; the old one stays.
    site.write("in/x.toml", ITEMS.replace("24", "25"));
    site.npyd(&["retry", "x.raw"]).expect_code(0);
    site.sweep().expect_code(0);
    assert_eq!(data(&site, "out/x.npy"), too_long(b'A'));
    assert_eq!(site.names("bad"), ["x.toml"]);
}

/// One listing shows the names that there are; each number is not looked up.
#[test]
fn a_retry_that_finds_nothing() {
    if !has_strace() {
        return;
    }
    let site = site();
    reject(&site, "in", b'A', ("x.toml", ITEMS));
    for name in site.names("bad") {
        fs::remove_file(site.path("bad").join(name)).unwrap();
    }
    let npyd = site.command();
    let mut strace = Command::new("strace");
    strace.args(["--follow-forks", "--trace=%file,statx", "--output"]);
    strace.arg(site.path("strace.log")).arg(npyd.get_program()).args(["retry", "x.raw"]);
    strace.arg("--config").arg(site.path("npyd.toml"));
    Outcome::of(&mut strace).expect_code(1).expect_words(&["is not there any more", "nor in"]);
    let log = String::from_utf8(site.read("strace.log")).unwrap();
    let calls = log.lines().filter(|line| line.contains("x.raw")).count();
    assert!(calls < 100, "{calls} calls");
}

/// Which of them it was, nobody can tell any more.
#[test]
fn changed_data_of_several() {
    let site = site();
    for letter in *b"AB" {
        reject(&site, "in", letter, ("x.toml", ITEMS));
    }
    for name in ["bad/x.raw", "bad/x.raw.1"] {
        site.write(name, [0; 24]);
    }
    let refused = site.npyd(&["retry", "x.raw"]).expect_code(1);
    refused.expect_words(&["several files that may be it", "x.raw.1"]);
    assert!(!site.has("in/x.raw"));
}

/// The text about a drop that could not be moved goes once the drop is an array.
#[test]
fn no_text_of_a_drop_that_stays() {
    const NPYD: u32 = 61_000;
    if !as_root() {
        return;
    }
    let site = Site::new();
    fs::create_dir(site.path("bad")).unwrap();
    site.configure(&format!("rejects = '{}'", site.path("bad").display()));
    for (name, mode) in [("", 0o755), ("out", 0o755), ("state", 0o755), ("bad", 0o755)] {
        chown(site.path(name), Some(NPYD), Some(NPYD)).unwrap();
        fs::set_permissions(site.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::set_permissions(site.path("in"), fs::Permissions::from_mode(0o1777)).unwrap();
    site.scan("scan").drop_file("scan.raw", [1; 28]);
    let npyd = |args: &[&str]| site.npyd_as((NPYD, NPYD), args);
    let mut told = String::new();
    wait_until("a failure", String::new, || {
        told = npyd(&["sweep", "--json"]).stdout;
        told.contains("sticky")
    });
    assert_eq!(site.names("bad"), ["scan.raw.rejected.txt"], "{told}");
    npyd(&["take", "scan.raw"]).expect_code(0);
    wait_until("the array", String::new, || {
        npyd(&["sweep"]);
        site.has("out/scan.npy")
    });
    assert_eq!(site.names("bad"), [""; 0]);
}

/// The receipt of a data file that npyd may not read is not repeated for its description.
#[test]
fn an_unreadable_file_is_reported_once() {
    const NPYD: u32 = 61_000;
    if !as_root() {
        return;
    }
    for unreadable in ["scan.raw", "scan.raw.toml"] {
        let site = Site::new();
        for name in ["", "in", "out", "state"] {
            chown(site.path(name), Some(NPYD), Some(NPYD)).unwrap();
            fs::set_permissions(site.path(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        site.scan("scan");
        let path = site.path(format!("in/{unreadable}"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        let receipts = site.npyd_as((NPYD, NPYD), &["sweep", "--json"]).expect_code(1).json();
        let failed = receipts.of_event("failed");
        assert_eq!(failed.len(), 1, "{receipts:#?}");
        let told = failed[0].to_string();
        assert!(told.contains(&format!("failed to open `{}", site.path("in").display())), "{told}");
        assert!(told.contains(&format!("{unreadable}`: Permission denied")), "{told}");
    }
}
