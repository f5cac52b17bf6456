//! Data in several files: what becomes of the files when the array is there.

use std::fs;

use crate::support::{Site, mark_as_converted, npy};

/// Twelve bytes in two files, behind a byte that is none of theirs.
const HEADER: &str = "NRRD0004\ntype: uchar\ndimension: 2\nsizes: 6 2\nencoding: raw\nbyte skip: 1\n\
    data file: LIST\na.raw\nb.raw\n";

const A: &[u8] = &[99, 0, 1, 2, 3, 4, 5];
const B: &[u8] = &[99, 6, 7, 8, 9, 10, 11];

fn array() -> Vec<u8> {
    npy("'|u1'", false, &[2, 6], &[&A[1..], &B[1..]].concat())
}

/// A site whose sources go to `old`, or to nowhere.
fn site(disposition: &str) -> Site {
    let site = Site::new();
    fs::create_dir(site.path("old")).unwrap();
    configure(&site, disposition, "");
    site
}

fn configure(site: &Site, disposition: &str, more: &str) {
    let archive = if disposition == "archive" {
        format!("archive = '{}'", site.path("old").display())
    } else {
        String::new()
    };
    site.configure(&format!("source = '{disposition}'\n{archive}\n{more}"));
}

fn drop_all(site: &Site) {
    site.drop_file("a.raw", A).drop_file("b.raw", B).drop_file("scan.nhdr", HEADER);
}

/// What there is in the end: in the directory of the arrays, and in the archive.
fn end(disposition: &str) -> (&'static [&'static str], &'static [&'static str]) {
    match disposition {
        "archive" => (&["scan.npy"], &["a.raw", "b.raw", "scan.nhdr"]),
        _ => (&["scan.nhdr.done", "scan.npy"], &[]),
    }
}

#[test]
fn all_of_them_go() {
    for disposition in ["remove", "archive"] {
        let site = site(disposition);
        drop_all(&site);
        site.sweep().expect_code(0);
        let (out, old) = end(disposition);
        assert_eq!(site.read("out/scan.npy"), array());
        assert_eq!(site.names("in"), [""; 0], "{disposition}");
        assert_eq!(site.names("out"), out, "{disposition}");
        assert_eq!(site.names("old"), old, "{disposition}");
    }
}

/// Ended after one of them had gone: the others follow, if they are in the array.
#[test]
fn those_that_were_left_behind_follow() {
    for (disposition, gone) in [("remove", "a.raw"), ("remove", "b.raw"), ("archive", "a.raw")] {
        let site = site("keep");
        drop_all(&site);
        site.sweep().expect_code(0);
        configure(&site, disposition, "");
        fs::rename(site.path(format!("in/{gone}")), site.path(format!("old/{gone}"))).unwrap();
        let outcome = site.sweep().expect_code(0);
        assert_eq!(outcome.stdout, "");
        let (out, old) = end(disposition);
        let gone = [gone];
        assert_eq!(site.names("in"), [""; 0], "{disposition} {gone:?}");
        assert_eq!(site.names("out"), out, "{disposition} {gone:?}");
        assert_eq!(site.names("old"), if disposition == "remove" { &gone } else { old });
    }
}

/// What is in no array is not removed: it waits, with what describes it.
#[test]
fn what_is_in_no_array_stays() {
    for (disposition, second, why) in [
        ("remove", &[9; 7][..], "not all there yet"),
        ("remove", &B[..3], "not all there yet"),
        ("keep", B, "its data file `a.raw` is not there yet"),
    ] {
        let site = site("keep");
        drop_all(&site);
        site.sweep().expect_code(0);
        configure(&site, disposition, "");
        fs::remove_file(site.path("in/a.raw")).unwrap();
        site.drop_file("b.raw", second);
        site.sweep().expect_code(0).expect_words(&[why]);
        assert_eq!(site.names("in"), ["b.raw", "scan.nhdr"]);
        assert_eq!(site.read("in/b.raw"), second);
        assert_eq!(site.read("out/scan.npy"), array());
    }
}

/// The bytes of converted data are not those of any part, so nothing proves that one is in the
/// array.
#[test]
fn parts_of_a_converted_array_stay() {
    let site = site("keep");
    drop_all(&site);
    site.sweep().expect_code(0);
    configure(&site, "remove", "");
    mark_as_converted(&site.path("out/scan.npy"));
    fs::remove_file(site.path("in/a.raw")).unwrap();
    site.sweep().expect_code(0).expect_words(&["not all there yet"]);
    assert_eq!(site.names("in"), ["b.raw", "scan.nhdr"]);
    assert_eq!(site.read("out/scan.npy"), array());
}

/// What is kept is the same drop: one file of it that was rewritten is no crash's leftover.
#[test]
fn one_of_them_changes() {
    let site = site("keep");
    drop_all(&site);
    site.sweep().expect_code(0);
    site.drop_file("b.raw", [7; 7]);
    site.sweep().expect_code(0).expect_words(&["\"remade\"", "`scan.npy.~1~`"]);
    assert_eq!(
        site.read("out/scan.npy"),
        npy("'|u1'", false, &[2, 6], &[&A[1..], &[7; 6]].concat())
    );
    assert_eq!(site.read("out/scan.npy.~1~"), array());
}

/// One that was left behind is not joined to what comes under the others' names.
#[test]
fn old_and_new_are_not_mixed() {
    let site = site("keep");
    drop_all(&site);
    site.sweep().expect_code(0);
    configure(&site, "remove", "on_conflict = 'number'");
    site.drop_file("a.raw", [7; 7]);
    site.lose_ledger().sweep().expect_code(0).expect_words(&["`scan.npy` already holds `b.raw`"]);
    assert_eq!(site.names("in"), ["a.raw", "b.raw", "scan.nhdr"]);
    assert_eq!(site.names("out"), ["scan.npy"]);
    site.drop_file("b.raw", [8; 7]).sweep().expect_code(0);
    assert_eq!(
        site.read("out/scan-1.npy"),
        npy("'|u1'", false, &[2, 6], &[[7; 6], [8; 6]].concat())
    );
    assert_eq!(site.names("in"), [""; 0]);
}
