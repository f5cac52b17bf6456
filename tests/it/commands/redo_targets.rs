//! Requests whose file, description or array is another one when npyd reads them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use rusqlite::Connection;
use serde_json::Value;

use crate::support::{
    Receipts, SCAN_MANIFEST, Site, npy, reason, scan_bytes, scan_npy, wait_until,
};

const REMOVE: &str = "source = 'remove'\nremove_unproven = true\n";

/// Asks for it, with words that the answer has.
#[track_caller]
fn ask(site: &Site, args: &[&str], code: i32, words: &[&str]) {
    site.npyd(args).expect_code(code).expect_words(words);
}

/// Gives a new file the name of a file.
fn replace(site: &Site, name: &str, content: impl AsRef<[u8]>) {
    site.write("new", content);
    fs::rename(site.path("new"), site.path(name)).unwrap();
}

/// Sweeps, and asserts the one refusal.
#[track_caller]
fn refused(site: &Site, words: &[&str]) -> Vec<Value> {
    let receipts = site.sweep().expect_code(1).json();
    let failed = receipts.of_event("failed");
    assert_eq!(failed.len(), 1, "{receipts:#?}");
    for word in words {
        assert!(reason(failed[0]).contains(word), "{receipts:#?}");
    }
    receipts
}

const ANOTHER: &[&str] = &["in/scan.raw` is another file now than when `npyd redo` was asked for"];

/// The source is gone, and before npyd reads the request, the next drop has its name.
#[test]
fn the_next_drop_of_that_name() {
    let (dtype, shape) = (["--dtype", "<i2"], ["--shape", "-1"]);
    let both = [dtype, shape].concat();
    let trailing = [&both[..], &["--trailing", "4"]].concat();
    for on_conflict in ["replace", "number", "reject"] {
        for args in [&both[..], &trailing[..], &["--dtype", "<i4", "--in-place"]] {
            let site = Site::with_array(&format!("{REMOVE}on_conflict = '{on_conflict}'"));
            ask(&site, &[&["redo", "scan.raw"], args].concat(), 0, &["will be made again"]);
            site.drop_file("scan.raw", [1; 24]).drop_file("scan.raw.toml", SCAN_MANIFEST);
            let receipts = refused_with(&site, on_conflict, ANOTHER);
            let array = npy("'<f4'", false, &[2, 3], &[1; 24]);
            match on_conflict {
                "replace" => assert_eq!(site.read("out/scan.npy"), array),
                "number" => assert_eq!(site.read("out/scan-1.npy"), array),
                _ => {}
            }
            if on_conflict != "replace" {
                assert_eq!(site.read("out/scan.npy"), scan_npy(), "{receipts:#?}");
            }
            assert!(site.sweep().json().is_empty());
        }
    }
}

/// The new drop may be rejected, because the array of the earlier one has its name.
#[track_caller]
fn refused_with(site: &Site, on_conflict: &str, words: &[&str]) -> Vec<Value> {
    let receipts = refused(site, words);
    let event = if on_conflict == "reject" { "rejected" } else { "finalized" };
    assert_eq!(receipts.of_event(event).len(), 1, "{receipts:#?}");
    receipts
}

/// A running daemon may finish the next drop before it reads the request.
#[test]
fn an_array_of_the_next_drop() {
    let site = Site::with_array(&format!("{REMOVE}on_conflict = 'replace'"));
    ask(&site, &["redo", "scan.raw", "--dtype", "<i2", "--shape", "-1"], 0, &[]);
    let ledger = Connection::open(site.path("state/ledger.sqlite")).unwrap();
    let hold = |from, to| {
        let sql = "UPDATE requests SET inbox = replace(inbox, ?1, ?2)";
        assert_eq!(ledger.execute(sql, [from, to]).unwrap(), 1);
    };
    hold("/in", "/held");
    site.drop_file("scan.raw", [1; 24]).drop_file("scan.raw.toml", SCAN_MANIFEST);
    assert_eq!(site.sweep().expect_code(0).only_receipt()["event"], "finalized");
    hold("/held", "/in");
    refused(&site, ANOTHER);
    assert_eq!(site.read("out/scan.npy"), npy("'<f4'", false, &[2, 3], &[1; 24]));
    // A request for the new one is carried out.
    ask(&site, &["redo", "scan.raw", "--dtype", "<i4"], 0, &[]);
    assert_eq!(site.sweep().expect_code(0).only_receipt()["event"], "remade");
    assert_eq!(site.read("out/scan.npy"), npy("'<i4'", false, &[2, 3], &[1; 24]));
}

/// npyd makes the array of a new file first: there is nothing to make again.
#[test]
fn a_new_file_that_has_no_array_yet() {
    let site = Site::with_array(REMOVE);
    site.drop_file("scan.raw", [1; 24]).drop_file("scan.raw.toml", SCAN_MANIFEST);
    let told = ["it is a new file", "out/scan.npy` was made of an earlier one"];
    ask(&site, &["redo", "scan.raw", "--dtype", "<i4"], 1, &told);
}

/// The file of an archived source is the same file once it is moved back.
#[test]
fn an_archived_source() {
    let site = Site::new();
    fs::create_dir(site.path("old")).unwrap();
    let old = site.path("old");
    let settings = format!("source = 'archive'\narchive = '{}'\n", old.display());
    site.configure(&format!("{settings}remove_unproven = true\non_conflict = 'replace'"));
    site.scan("scan").sweep().expect_code(0);
    let redo = ["redo", "out/scan.npy", "--dtype", "<i2", "--shape", "-1"];
    ask(&site, &redo, 0, &[]);
    site.drop_file("scan.raw", [1; 24]).drop_file("scan.raw.toml", SCAN_MANIFEST);
    refused(&site, ANOTHER);
    assert_eq!(site.read("out/scan.npy"), npy("'<f4'", false, &[2, 3], &[1; 24]));
    ask(&site, &redo, 0, &[]);
    let archived = site.names("old");
    let moved = archived.iter().filter(|name| site.read(&format!("old/{name}")) == [1; 24]);
    for name in moved {
        fs::rename(old.join(name), site.path("in/scan.raw")).unwrap();
    }
    site.drop_file("scan.raw.toml", SCAN_MANIFEST);
    refused(&site, &["the description of", "in/scan.raw` changed after `npyd redo`"]);
}

/// The manifest names several files.
#[test]
fn the_next_series_of_that_name() {
    let site = Site::with(&format!("{REMOVE}on_conflict = 'replace'"));
    let drop = |byte: u8, dtype: &str| {
        site.drop_file("f_1.raw", [byte; 8]).drop_file("f_2.raw", [byte; 8]);
        let manifest = format!("dtype = '{dtype}'\nshape = [-1, 2]\ndata = 'f_*.raw'\n");
        site.drop_file("r.toml", manifest);
    };
    drop(1, "<f4");
    site.settle("finalized", 1);
    ask(&site, &["redo", "r.toml", "--dtype", "<i4", "--shape", "-1"], 0, &[]);
    drop(2, "<u4");
    let history = site.settle("finalized", 2);
    let failed = history.of_event("failed");
    assert!(reason(failed[0]).contains("in/r.toml` is another file now"), "{history:#?}");
    let array = history.of_event("finalized")[1]["output"].as_str().unwrap().to_owned();
    assert_eq!(fs::read(array).unwrap(), npy("'<u4'", false, &[2, 2], &[2; 16]));
}

/// The source stays. Options belong to the description for which they were given.
#[test]
fn a_source_that_stays() {
    let other = "dtype = '<u4'\nshape = [2, 3]\n";
    let keys = &["--dtype", "<i4"][..];
    let changed = &["the description of", "in/scan.raw` changed after `npyd redo`"][..];
    for (args, data_is_new, manifest, why, descr) in [
        (keys, true, None, Some(ANOTHER), "'<f4'"),
        (keys, true, Some(other), Some(ANOTHER), "'<u4'"),
        (keys, false, Some(other), Some(changed), "'<u4'"),
        (keys, false, Some(SCAN_MANIFEST), Some(changed), "'<f4'"),
        (keys, false, None, None, "'<i4'"),
        (&[], true, None, Some(ANOTHER), "'<f4'"),
        (&[], false, Some(other), None, "'<u4'"),
    ] {
        let site = Site::with_array("");
        ask(&site, &[&["redo", "scan.raw"], args].concat(), 0, &[]);
        if data_is_new {
            replace(&site, "in/scan.raw", [1; 24]);
        } else {
            site.drop_file("scan.raw", [1; 24]);
        }
        if let Some(manifest) = manifest {
            replace(&site, "in/scan.raw.toml", manifest);
        }
        if let Some(why) = why {
            refused(&site, why);
        }
        let account = format!("{args:?} {data_is_new} {manifest:?}");
        let history = site.settle("remade", 1);
        let failed = history.of_event("failed").len();
        assert_eq!(failed, usize::from(why.is_some()), "{account} {history:#?}");
        assert_eq!(site.read("out/scan.npy"), npy(descr, false, &[2, 3], &[1; 24]), "{account}");
    }
}

/// Each request is about the file that was there.
#[test]
fn two_requests_about_two_files() {
    let site = Site::with_array("");
    ask(&site, &["redo", "scan.raw", "--shape", "3,2"], 0, &[]);
    replace(&site, "in/scan.raw", [1; 24]);
    ask(&site, &["redo", "scan.raw"], 0, &[]);
    refused(&site, ANOTHER);
    site.settle("remade", 1);
    assert_eq!(site.history().of_event("redo").len(), 1);
    assert_eq!(site.read("out/scan.npy"), npy("'<f4'", false, &[2, 3], &[1; 24]));
    // Two about one file are merged.
    ask(&site, &["redo", "scan.raw", "--shape", "3,2"], 0, &[]);
    ask(&site, &["redo", "scan.raw"], 0, &[]);
    assert_eq!(site.sweep().expect_code(0).only_receipt()["event"], "remade");
    assert_eq!(site.read("out/scan.npy"), npy("'<f4'", false, &[3, 2], &[1; 24]));
}

/// `npyd take` is about a file, which may grow.
#[test]
fn a_file_to_take() {
    let taken = |len: usize| npy("'<f4'", false, &[len as u64 / 12, 3], &vec![7; len]);
    let manifest = "dtype = '<f4'\nshape = [-1, 3]\n";
    let site = || {
        let site = Site::new();
        site.drop_file("scan.raw", [7; 14]).drop_file("scan.raw.toml", manifest);
        site.sweep();
        ask(&site, &["take", "in/scan.raw"], 0, &["will be taken"]);
        site
    };
    let why = ["in/scan.raw` is another file now than when `npyd take` was asked for"];
    let grown = site();
    grown.drop_file("scan.raw", [7; 26]).settle("finalized", 1);
    assert_eq!(grown.read("out/scan.npy"), taken(24));
    let shorter = site();
    shorter.drop_file("scan.raw", [7; 13]);
    refused(&shorter, &why);
    let another = site();
    replace(&another, "in/scan.raw", [7; 26]);
    refused(&another, &why);
    assert!(!another.has("out/scan.npy"));
    let complete = site();
    replace(&complete, "in/scan.raw", [7; 24]);
    refused(&complete, &why);
    complete.settle("finalized", 1);
    assert_eq!(complete.read("out/scan.npy"), taken(24));
}

/// The rejected drop is in the quarantine, and a new drop has its name.
#[test]
fn a_rejected_file_to_take() {
    let site = Site::new();
    fs::create_dir(site.path("bad")).unwrap();
    site.configure(&format!("rejects = '{}'", site.path("bad").display()));
    site.scan("scan").drop_file("scan.raw", [7; 28]).settle("rejected", 1);
    ask(&site, &["take", "bad/scan.raw"], 0, &["will be taken"]);
    site.drop_file("scan.raw", [1; 24]).drop_file("scan.raw.toml", SCAN_MANIFEST);
    refused(&site, &["in/scan.raw` is another file now than when `npyd take`"]);
    site.settle("finalized", 1);
    assert_eq!(site.read("out/scan.npy"), npy("'<f4'", false, &[2, 3], &[1; 24]));
    assert_eq!(site.read("bad/scan.raw"), [7; 28]);
}

/// Changes the ctime of a file to one that is later than any receipt, whatever the kernel's tick.
fn touch_later(site: &Site, name: &str) {
    let path = site.path(name);
    let later = SystemTime::now() + Duration::from_millis(1);
    wait_until("a later ctime", String::new, || {
        let stat = fs::metadata(&path).unwrap();
        fs::set_permissions(&path, stat.permissions()).unwrap();
        let [seconds, nanos] = [stat.ctime(), stat.ctime_nsec()].map(i64::unsigned_abs);
        let ctime = Duration::from_secs(seconds) + Duration::from_nanos(nanos);
        SystemTime::UNIX_EPOCH + ctime > later
    });
}

/// A file that another program put in the place of the array.
fn others_array() -> Vec<u8> {
    npy("'<f8'", false, &[3], &[9; 24])
}

/// Another file has the name of the array, and its source is gone.
#[test]
fn a_file_that_is_not_the_array() {
    for args in [&["--dtype", "<i4"][..], &["--dtype", "<i4", "--in-place"]] {
        let site = Site::with_array(REMOVE);
        let redo = [&["redo", "scan.raw"], args].concat();
        ask(&site, &redo, 0, &[]);
        replace(&site, "out/scan.npy", others_array());
        touch_later(&site, "out/scan.npy");
        let why = ["out/scan.npy` was not made from this drop, or lost its mark"];
        refused(&site, &why);
        ask(&site, &redo, 1, &why);
        assert_eq!(site.read("out/scan.npy"), others_array());
        let told = site.npyd(&["explain", "out/scan.npy"]).expect_code(0);
        told.expect_words(&["ignored", "nothing proves that this file is that array"]);
        site.npyd(&["explain", "in/scan.raw"]).expect_words(&["gone", why[0]]);
    }
}

/// The mark names another drop.
#[test]
fn the_array_of_another_drop() {
    let site = Site::with_array(REMOVE);
    site.drop_file("b.raw", [1; 24]).drop_file("b.raw.toml", SCAN_MANIFEST).sweep();
    let b = site.read("out/b.npy");
    fs::rename(site.path("out/b.npy"), site.path("out/scan.npy")).unwrap();
    let why = "out/scan.npy` was not made from this drop: its mark names `b.raw`";
    ask(&site, &["redo", "scan.raw", "--dtype", "<i4"], 1, &[why]);
    assert_eq!(site.read("out/scan.npy"), b);
    let told = site.npyd(&["explain", "out/scan.npy"]).expect_code(0);
    told.expect_words(&["npyd made it of `b.raw`, as its mark says"]);
    site.npyd(&["explain", "in/scan.raw"]).expect_words(&["gone", why]);
}

/// A drop replaced the array of another one.
#[test]
fn an_array_that_another_drop_replaced() {
    let site = Site::with_array(&format!("{REMOVE}on_conflict = 'replace-any'"));
    let manifest = format!("{SCAN_MANIFEST}output = 'scan.npy'\n");
    site.drop_file("b.raw", [1; 24]).drop_file("b.raw.toml", manifest);
    assert_eq!(site.sweep().expect_code(0).only_receipt()["event"], "finalized");
    let why = "out/scan.npy` was not made from this drop: its mark names `b.raw`";
    ask(&site, &["redo", "scan.raw", "--dtype", "<i4"], 1, &[why]);
    site.npyd(&["explain", "in/scan.raw"]).expect_words(&["gone", why]);
    site.npyd(&["explain", "out/scan.npy"]).expect_words(&["npyd made it of", "in/b.raw"]);
    ask(&site, &["redo", "b.raw", "--dtype", "<i4"], 0, &[]);
    assert_eq!(site.sweep().expect_code(0).only_receipt()["event"], "remade");
    assert_eq!(site.read("out/scan.npy"), npy("'<i4'", false, &[2, 3], &[1; 24]));
}

/// The array has lost its mark, or another program has changed its attributes.
#[test]
fn an_array_without_a_mark() {
    let lose_mark = |site: &Site| {
        for name in ["user.npyd.source", "user.npyd.origin"] {
            rustix::fs::removexattr(site.path("out/scan.npy"), name).unwrap();
        }
    };
    let site = Site::with_array(REMOVE);
    touch_later(&site, "out/scan.npy");
    ask(&site, &["redo", "scan.raw", "--dtype", "<i4"], 0, &[]);
    assert_eq!(site.sweep().expect_code(0).only_receipt()["event"], "remade");
    lose_mark(&site);
    touch_later(&site, "out/scan.npy");
    let why = ["out/scan.npy` was not made from this drop, or lost its mark"];
    ask(&site, &["redo", "scan.raw", "--dtype", "<u4"], 1, &why);
    assert_eq!(site.read("out/scan.npy"), npy("'<i4'", false, &[2, 3], &scan_bytes()));
}
