//! Pending files whose writer went away before it said that they are ready.

use std::fs;

use serde_json::json;

use crate::support::{PendingFile, Receipts, Site, load, python};

/// Two and a half records of three `<i4`.
fn two_and_a_half_records() -> Vec<u8> {
    (0..7_i32).flat_map(i32::to_le_bytes).chain([1, 2]).collect()
}

/// Asserts that the one receipt of `x.npy` is a rejection that speaks of the writer.
#[track_caller]
fn assert_abandoned(receipts: &Vec<serde_json::Value>) {
    let receipt = receipts.of_source("x.npy");
    assert_eq!(receipt["event"], "rejected");
    assert!(receipt["reason"].as_str().unwrap().contains("abandoned"), "{receipt}");
}

#[test]
fn an_abandoned_file_stays_where_it_is() {
    let site = Site::new();
    let pending = PendingFile::writing(&[-1, 3]).with(&two_and_a_half_records());
    site.drop_file("x.npy", &pending);
    assert_abandoned(&site.sweep_until("rejected").expect_code(1).json());
    assert_eq!(site.read("in/x.npy"), pending);
    assert_eq!(site.names("out"), [""; 0]);
}

#[test]
fn an_abandoned_file_is_set_aside_where_there_is_a_place() {
    let site = Site::new();
    site.configure(&format!("rejects = \"{}\"", site.path("bad").display()));
    fs::create_dir(site.path("bad")).unwrap();
    let pending = PendingFile::writing(&[2, 3]).with(&[7; 24]);
    site.drop_file("x.npy", &pending);
    assert_abandoned(&site.sweep_until("rejected").expect_code(1).json());
    assert_eq!(site.names("in"), [""; 0]);
    assert_eq!(site.read("bad/x.npy"), pending);
    assert_eq!(site.names("out"), [""; 0]);
}

/// Whole records along the growth axis are saved, whether the shape was open or said too much.
#[test]
fn whole_records_are_salvaged() {
    let Some(python) = python() else { return };
    for shape in [[-1, 3], [10, 3]] {
        let site = Site::with("salvage = \"whole-records\"");
        let data = two_and_a_half_records();
        site.drop_file("x.npy.part", PendingFile::writing(&shape).with(&data));
        let receipts = site.sweep_until("finalized").json();
        let receipt = receipts.of_source("x.npy.part");
        assert!(receipt["reason"].as_str().is_some_and(|it| it.contains("record")), "{receipt}");
        let array = load(&python, site.path("out/x.npy"));
        assert_eq!(array["shape"], json!([2, 3]));
        assert_eq!(array["values"], json!([[0, 1, 2], [3, 4, 5]]));
    }
}

/// Ended before it could get its name: what is behind the records that were salvaged does not keep
/// it from that.
#[test]
fn a_salvaged_file_that_has_no_name_yet_gets_it() {
    let site = Site::with("salvage = \"whole-records\"");
    let data = two_and_a_half_records();
    site.drop_file("x.npy.part", PendingFile::writing(&[-1, 3]).with(&data));
    site.sweep_until("finalized");
    let array = site.read("out/x.npy");
    fs::rename(site.path("out/x.npy"), site.path("in/x.npy.part")).unwrap();
    site.lose_ledger().sweep_until("finalized");
    assert_eq!(site.names("in"), [""; 0]);
    assert_eq!(site.read("out/x.npy"), array);
}

/// Its writer may come back: a file that says `r` later is finalized after all.
#[test]
fn an_abandoned_file_that_gets_ready_is_finalized() {
    let site = Site::new();
    site.drop_file("x.npy", PendingFile::writing(&[2, 3]).with(&[7; 24]));
    site.sweep_until("rejected");
    site.drop_file("x.npy", PendingFile::ready(&[2, 3]).with(&[7; 24]));
    site.sweep().expect_code(0);
    assert_eq!(site.names("out"), ["x.npy"]);
}
