//! `npyd redo` of one array of several: what is named is corrected, or the request is refused.

use std::fs;

use serde_json::Value;

use crate::support::{Receipts, Site, npy, reason, scan_bytes};

const REMOVE: &str = "source = 'remove'\nremove_unproven = true\n";
const AS_I2: [&str; 4] = ["--dtype", "<i2", "--shape", "-1,6"];

fn as_i2(data: &[u8]) -> Vec<u8> {
    npy("'<i2'", false, &[data.len() as u64 / 12, 6], data)
}

fn as_f4(data: &[u8]) -> Vec<u8> {
    npy("'<f4'", false, &[2, 3], data)
}

#[track_caller]
fn ask(site: &Site, args: &[&str], code: i32, words: &[&str]) {
    site.npyd(&[&["redo"], args].concat()).expect_code(code).expect_words(words);
}

#[track_caller]
fn requests_of(site: &Site) -> i64 {
    let ledger = rusqlite::Connection::open(site.path("state/ledger.sqlite")).unwrap();
    ledger.query_row("SELECT count(*) FROM requests", [], |row| row.get(0)).unwrap()
}

/// Two files of one name, one after the other; both are gone.
fn two_arrays() -> Site {
    let site = Site::with(&format!("{REMOVE}on_conflict = 'number'"));
    site.scan("scan").sweep().expect_code(0);
    site.scan("scan").drop_file("scan.raw", [1; 24]).sweep().expect_code(0);
    assert_eq!(site.names("out")[..2], ["scan-1.npy", "scan.npy"]);
    site
}

#[test]
fn an_array_of_an_earlier_file_of_that_name() {
    for named in ["scan.npy", "scan-1.npy"] {
        for way in [&[][..], &["--in-place"]] {
            let site = two_arrays();
            let path = format!("out/{named}");
            ask(&site, &[&[path.as_str()], &AS_I2[..], way].concat(), 0, &[]);
            let receipt = site.sweep().expect_code(0).only_receipt();
            assert!(receipt["output"].as_str().unwrap().ends_with(&path), "{receipt:#?}");
            let is_first = named == "scan.npy";
            let first = if is_first { as_i2(&scan_bytes()) } else { as_f4(&scan_bytes()) };
            let second = if is_first { as_f4(&[1; 24]) } else { as_i2(&[1; 24]) };
            assert_eq!(site.read("out/scan.npy"), first, "{named} {way:?}");
            assert_eq!(site.read("out/scan-1.npy"), second, "{named} {way:?}");
            assert!(site.sweep().expect_code(0).json().is_empty());
        }
    }
}

/// Each request is carried out, in one sweep.
#[test]
fn both_arrays_at_once() {
    let site = two_arrays();
    ask(&site, &[&["out/scan.npy"], &AS_I2[..]].concat(), 0, &[]);
    ask(&site, &["scan-1.npy", "--dtype", "<i4"], 0, &[]);
    ask(&site, &["scan-1.npy", "--dtype", "<u4"], 0, &["this replaces `npyd redo`"]);
    assert_eq!(site.sweep().expect_code(0).json().of_event("remade").len(), 2);
    assert_eq!(site.read("out/scan.npy"), as_i2(&scan_bytes()));
    assert_eq!(site.read("out/scan-1.npy"), npy("'<u4'", false, &[2, 3], &[1; 24]));
}

#[test]
fn a_name_of_several_arrays() {
    let site = two_arrays();
    for name in ["scan.raw", "in/scan.raw"] {
        let told =
            ["leads to several", "out/scan-1.npy` (of", "out/scan.npy` (of", "the path of one"];
        ask(&site, &[&[name], &AS_I2[..]].concat(), 1, &told);
    }
    assert_eq!(requests_of(&site), 0);
    // An array that is gone is none of them.
    fs::remove_file(site.path("out/scan.npy")).unwrap();
    ask(&site, &[&["scan.raw"], &AS_I2[..]].concat(), 0, &[]);
    site.sweep().expect_code(0);
    assert_eq!(site.read("out/scan-1.npy"), as_i2(&[1; 24]));
}

/// The manifest gave the array another name later.
#[test]
fn an_earlier_name_of_the_array() {
    let site = Site::new();
    let manifest = |name| format!("dtype = '<f4'\nshape = [2, 3]\noutput = '{name}'\n");
    site.drop_file("scan.raw", scan_bytes()).drop_file("scan.raw.toml", manifest("x.npy"));
    site.sweep().expect_code(0);
    site.drop_file("scan.raw.toml", manifest("y.npy"));
    site.settle("finalized", 2);
    let told = ["out/x.npy` is not what npyd makes of", "which becomes", "out/y.npy`"];
    ask(&site, &[&["x.npy"], &AS_I2[..]].concat(), 1, &told);
    ask(&site, &["y.npy"], 0, &[]);
    // The manifest changes again before npyd reads the request.
    site.drop_file("scan.raw.toml", manifest("z.npy"));
    let receipts = site.settle("finalized", 3);
    let failed = receipts.of_event("failed");
    assert!(reason(failed[0]).contains("out/y.npy` is not what npyd makes"), "{receipts:#?}");
    for (name, array) in [("x", as_f4(&scan_bytes())), ("y", as_f4(&scan_bytes()))] {
        assert_eq!(site.read(&format!("out/{name}.npy")), array, "{name}");
    }
    // Once the source is gone, the array that was named is corrected.
    fs::remove_file(site.path("in/scan.raw")).unwrap();
    ask(&site, &[&["x.npy"], &AS_I2[..]].concat(), 0, &[]);
    site.sweep().expect_code(0);
    assert_eq!(site.read("out/x.npy"), as_i2(&scan_bytes()));
    assert_eq!(site.read("out/y.npy"), as_f4(&scan_bytes()));
}

#[test]
fn an_array_in_an_earlier_output_directory() {
    for settings in ["", REMOVE] {
        let site = Site::with_array(settings);
        fs::create_dir(site.path("new")).unwrap();
        let config = fs::read_to_string(site.path("npyd.toml")).unwrap();
        site.write("npyd.toml", config.replace("/out\"", "/new\""));
        ask(&site, &[&["out/scan.npy"], &AS_I2[..]].concat(), 1, &["out/scan.npy` is not"]);
        assert!(site.sweep().expect_code(0).json().is_empty());
        assert_eq!((site.names("new"), requests_of(&site)), (Vec::new(), 0));
    }
}

#[test]
fn the_numbered_arrays_of_a_changed_drop() {
    let site = Site::with_array("on_change = 'number'");
    site.drop_file("scan.raw", [1; 24]);
    site.settle("finalized", 2);
    let told =
        ["out/scan.npy` is not what npyd makes of", "out/scan-1.npy`", "move that file away"];
    ask(&site, &[&["out/scan.npy"], &AS_I2[..]].concat(), 1, &told);
    ask(&site, &[&["out/scan-1.npy"], &AS_I2[..]].concat(), 0, &[]);
    assert_eq!(site.sweep().expect_code(0).only_receipt()["event"], "remade");
    assert_eq!(site.read("out/scan.npy"), as_f4(&scan_bytes()));
    assert_eq!(site.read("out/scan-1.npy"), as_i2(&[1; 24]));
    assert_eq!(site.names("out"), ["scan-1.npy", "scan.npy"]);
    // The data change again before npyd reads the request.
    ask(&site, &["scan-1.npy", "--dtype", "<i4", "--shape", "2,3"], 0, &[]);
    site.drop_file("scan.raw", [2; 24]);
    let receipts = site.settle("finalized", 3);
    let failed = receipts.of_event("failed");
    assert!(reason(failed[0]).contains("which changed since"), "{receipts:#?}");
    assert_eq!(site.read("out/scan-1.npy"), as_i2(&[1; 24]));
}

/// Two drop directories with one output.
#[test]
fn an_array_that_replaced_that_of_another_drop() {
    let site = Site::new();
    fs::create_dir(site.path("in2")).unwrap();
    let root = site.path("");
    let second = format!(
        "on_conflict = 'replace-any'\n[[drop]]\npath = '{0}in2'\noutput = '{0}out'\n\
         quiet = '200ms'\non_conflict = 'replace-any'",
        root.display()
    );
    site.configure(&second).scan("scan").sweep().expect_code(0);
    site.write("in2/scan.raw", [1; 24]).write("in2/scan.raw.toml", "dtype = '<f4'\nshape = [2, 3]");
    site.sweep().expect_code(0);
    assert_eq!(site.read("out/scan.npy"), as_f4(&[1; 24]));
    ask(&site, &[&["out/scan.npy"], &AS_I2[..]].concat(), 0, &["in2/scan.raw: will be made again"]);
    let receipt: Value = site.sweep().expect_code(0).only_receipt();
    assert_eq!(receipt["event"], "remade");
    assert_eq!(site.read("out/scan.npy"), as_i2(&[1; 24]));
    assert!(site.sweep().expect_code(0).json().is_empty());
    ask(
        &site,
        &["scan.raw", "--dtype", "<i4"],
        1,
        &["leads to several", "in/scan.raw", "in2/scan"],
    );
}

/// A part of an earlier series had the path of the source.
#[test]
fn a_path_that_a_series_used() {
    let site = Site::with(REMOVE);
    let manifest = "dtype = '<f4'\nshape = [-1, 3]\ndata = ['b.raw', 'c.raw']\n";
    site.drop_file("b.raw", [1; 24]).drop_file("c.raw", [2; 24]).drop_file("run.toml", manifest);
    site.settle("finalized", 1);
    let of_run = site.read("out/run.npy");
    ask(&site, &["b.raw", "--order", "F"], 0, &["in/run.toml: will be made again"]);
    site.sweep().expect_code(0);
    site.drop_file("b.raw", [3; 24]).drop_file("b.raw.toml", "dtype = '<f4'\nshape = [2, 3]\n");
    site.settle("finalized", 2);
    let told = ["leads to several", "out/b.npy` (of", "out/run.npy` (of"];
    ask(&site, &[&["in/b.raw"], &AS_I2[..]].concat(), 1, &told);
    assert_eq!(requests_of(&site), 0);
    ask(&site, &[&["out/b.npy"], &AS_I2[..]].concat(), 0, &[]);
    site.sweep().expect_code(0);
    assert_eq!(site.read("out/b.npy"), as_i2(&[3; 24]));
    assert_ne!(of_run, site.read("out/run.npy")); // the first request
}

/// A process has the array open for writing, or locks it.
#[test]
fn an_array_that_another_process_uses() {
    for is_locked in [false, true] {
        let site = Site::with_array(REMOVE);
        let array =
            fs::File::options().read(true).write(!is_locked).open(site.path("out/scan.npy"));
        let array = array.unwrap();
        if is_locked {
            array.lock().unwrap();
        }
        ask(&site, &[&["out/scan.npy"], &AS_I2[..]].concat(), 0, &[]);
        let mut daemon = site.daemon();
        let why = if is_locked { "lock" } else { "open" };
        let pid = format!("(pid {})", std::process::id());
        for file in ["in/scan.raw", "out/scan.npy"] {
            let explained = site.npyd(&["explain", file]);
            explained.expect_words(&["npyd redo", "not carried out yet, it waits", why, &pid]);
        }
        let line = format!("waiting for {}: ", site.path("in/scan.raw").display());
        daemon.wait_for_log(&line);
        assert_eq!(site.read("out/scan.npy"), as_f4(&scan_bytes()));
        drop(array);
        daemon.wait_for_receipts("remade", 1);
        assert_eq!(site.read("out/scan.npy"), as_i2(&scan_bytes()));
        assert!(daemon.stop().success());
    }
}
