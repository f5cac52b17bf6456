//! `npyd redo` of a source that stays, but that nothing describes any more.

use std::fs;

use serde_json::Value;

use crate::support::{SCAN_MANIFEST, Site, npy, reason, scan_bytes, scan_npy};

const IN: &str = "in/scan.raw";
const OUT: &str = "out/named.npy";

/// An array with a name of its own, whose manifest was removed afterwards.
fn site(settings: &str) -> Site {
    let site = Site::with(settings);
    site.drop_file("scan.raw", scan_bytes());
    site.drop_file("scan.raw.toml", format!("{SCAN_MANIFEST}output = 'named.npy'\n"));
    site.sweep().expect_code(0);
    assert_eq!(site.read(OUT), scan_npy());
    fs::remove_file(site.path("in/scan.raw.toml")).unwrap();
    site
}

#[track_caller]
fn redone(site: &Site, args: &[&str]) -> Value {
    let redo = [&["redo", "scan.raw"], args].concat();
    site.npyd(&redo).expect_code(0).expect_words(&["in/scan.raw: will be made again"]);
    site.sweep().expect_code(0).only_receipt()
}

#[track_caller]
fn refused(site: &Site, args: &[&str], words: &[&str]) {
    let redo = [&["redo", "scan.raw"], args].concat();
    site.npyd(&redo).expect_code(1).expect_words(words);
    assert_at_rest(site);
}

#[track_caller]
fn assert_at_rest(site: &Site) {
    let receipts = site.sweep().expect_code(0).json();
    assert!(receipts.is_empty(), "{receipts:#?}");
}

#[test]
fn the_options_describe_it() {
    for (args, descr, fortran, shape) in [
        (&["--dtype", "<i4", "--shape", "3,2"][..], "'<i4'", false, &[3, 2][..]),
        (&["--dtype", "<i4"], "'<i4'", false, &[2, 3]),
        (&["--shape", "-1"], "'<f4'", false, &[6]),
        (&["--order", "F"], "'<f4'", true, &[2, 3]),
    ] {
        let site = site("");
        let receipt = redone(&site, args);
        assert_eq!(receipt["event"], "remade", "{receipt:#?}");
        assert!(reason(&receipt).contains("npyd redo gave dtype, shape"), "{receipt:#?}");
        assert_eq!(site.read(OUT), npy(descr, fortran, shape, &scan_bytes()), "{args:?}");
        assert_eq!(site.names("out"), ["named.npy"]);
        assert_at_rest(&site);
        let told = site.npyd(&["explain", IN]).expect_code(0);
        told.expect_words(&["npyd redo", "finished", "named.npy"]);
    }
}

/// What the options lack is as in the array, if it is there, and the file as it was.
#[test]
fn without_options() {
    let site = site("");
    assert_eq!(redone(&site, &[])["event"], "found");
    fs::remove_file(site.path(OUT)).unwrap();
    // The request before this one said how to read it.
    assert_eq!(redone(&site, &[])["event"], "finalized");
    assert_eq!(site.read(OUT), scan_npy());
    assert_at_rest(&site);
}

#[test]
fn nothing_tells_the_layout() {
    let untold = ["nothing describes it any more", "--dtype and --shape", "write its manifest"];
    let site = site("");
    refused(&site, &["--as-described"], &untold);
    refused(&site, &["--in-place", "--dtype", "<i4"], &["--in-place is for an array whose source"]);
    fs::remove_file(site.path(OUT)).unwrap();
    refused(&site, &[], &untold);
    refused(&site, &["--dtype", "<i4"], &untold);
    refused(&site, &["--dtype", "<i4", "--shape", "4,2"], &["24 of 32 bytes"]);
    let receipt = redone(&site, &["--dtype", "<i4", "--shape", "3,2"]);
    assert_eq!(receipt["event"], "finalized", "{receipt:#?}");
    assert_eq!(site.read(OUT), npy("'<i4'", false, &[3, 2], &scan_bytes()));
}

/// The array has only some of the bytes, and does not tell which.
#[test]
fn an_offset() {
    let site = Site::new();
    site.drop_file("scan.raw", scan_bytes());
    site.drop_file("scan.raw.toml", "dtype = '<f4'\nshape = [4]\noffset = 8\n");
    site.sweep().expect_code(0);
    let array = npy("'<f4'", false, &[4], &scan_bytes()[8..]);
    assert_eq!(site.read("out/scan.npy"), array);
    fs::remove_file(site.path("in/scan.raw.toml")).unwrap();
    refused(&site, &[], &["its array has 16 of its 24 bytes", "give --offset"]);
    assert_eq!(redone(&site, &["--offset", "8"])["event"], "found");
    assert_eq!(redone(&site, &["--shape", "2,2"])["event"], "remade");
    assert_eq!(site.read("out/scan.npy"), npy("'<f4'", false, &[2, 2], &scan_bytes()[8..]));
}

/// Another file of that name: the array does not tell its layout, and what was declared about the
/// first one does not describe it.
#[test]
fn another_file() {
    let site = site("");
    redone(&site, &["--dtype", "<i4"]);
    fs::rename(site.path(IN), site.path("first.raw")).unwrap();
    site.drop_file("scan.raw", [1; 24]);
    assert_at_rest(&site);
    refused(&site, &[], &["nothing describes it any more"]);
    let receipt = redone(&site, &["--dtype", "<u4", "--shape", "6"]);
    assert_eq!(receipt["event"], "remade", "{receipt:#?}");
    assert_eq!(site.read(OUT), npy("'<u4'", false, &[6], &[1; 24]));
    assert_eq!(site.read("out/named.npy.~1~"), npy("'<i4'", false, &[2, 3], &scan_bytes()));
}

/// Its bytes change: it is made again as declared, until a manifest describes it.
#[test]
fn later_scans_agree() {
    let site = site("");
    redone(&site, &["--dtype", "<i4"]);
    let file = fs::OpenOptions::new().write(true).open(site.path(IN)).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[7], 0).unwrap();
    drop(file);
    let receipts = site.settle("remade", 2);
    assert!(receipts.iter().all(|it| it["event"] != "rejected"), "{receipts:#?}");
    let data = site.read(IN);
    assert_eq!(site.read(OUT), npy("'<i4'", false, &[2, 3], &data));
    site.drop_file("scan.raw.toml", format!("{SCAN_MANIFEST}output = 'named.npy'\n"));
    site.settle("remade", 3);
    assert_eq!(site.read(OUT), npy("'<f4'", false, &[2, 3], &data));
}

/// The template that described it is not in the configuration any more.
#[test]
fn a_template_that_is_gone() {
    let rejects = "rejects = 'rejects'\n";
    let site = Site::with(&format!(
        "{rejects}[[drop.template]]\nmatch = '*.raw'\ndtype = '<f4'\nshape = [-1, 3]"
    ));
    fs::create_dir(site.path("rejects")).unwrap();
    site.drop_file("scan.raw", scan_bytes());
    site.settle("finalized", 1);
    site.configure(rejects);
    let array = site.path("out/scan.npy");
    let array = format!("npyd made `{}` of it, by a description", array.display());
    site.npyd(&["explain", IN]).expect_words(&["it has no manifest", &array]);
    assert_eq!(redone(&site, &[])["event"], "found");
    assert_eq!(redone(&site, &["--dtype", "<i4"])["event"], "remade");
    assert_eq!(site.read("out/scan.npy"), npy("'<i4'", false, &[2, 3], &scan_bytes()));
    assert!(site.names("rejects").is_empty());
    assert_at_rest(&site);
    // What `redo` declared describes it.
    assert!(site.npyd(&["explain", "in"]).expect_code(0).stdout.is_empty());
}

/// The file changes before npyd reads the request: it stays where it is.
#[test]
fn a_request_that_does_not_fit_any_more() {
    let site = site("rejects = 'rejects'");
    fs::create_dir(site.path("rejects")).unwrap();
    site.npyd(&["redo", "scan.raw", "--dtype", "<i4"]).expect_code(0);
    fs::OpenOptions::new().write(true).open(site.path(IN)).unwrap().set_len(30).unwrap();
    let receipt = site.sweep().only_receipt();
    assert_eq!(receipt["event"], "failed", "{receipt:#?}");
    assert!(reason(&receipt).starts_with("not made again: it has 30 bytes"), "{receipt:#?}");
    assert_eq!((site.read(IN).len(), site.read(OUT)), (30, scan_npy()));
    assert_at_rest(&site);
}

#[test]
fn the_daemon_carries_it_out() {
    let site = site("");
    let mut daemon = site.daemon();
    site.npyd(&["redo", "scan.raw", "--dtype", "<i4"]).expect_code(0);
    daemon.wait_for_receipts("remade", 1);
    assert_eq!(site.read(OUT), npy("'<i4'", false, &[2, 3], &scan_bytes()));
}

/// The files of a series do not tell how they belong together.
#[test]
fn a_series() {
    let site = Site::new();
    site.drop_file("a.raw", [1; 4]).drop_file("b.raw", [2; 4]);
    let manifest = "dtype = '|u1'\nshape = [8]\ndata = ['a.raw', 'b.raw']\n";
    site.drop_file("run.toml", manifest);
    site.settle("finalized", 1);
    fs::remove_file(site.path("in/run.toml")).unwrap();
    let ask =
        |args: &[&str], code| site.npyd(&[&["redo", "run.npy"], args].concat()).expect_code(code);
    let gone = ["its manifest `", "in/run.toml` is gone: write it again"];
    for args in [&[][..], &["--as-described"]] {
        ask(args, 1).expect_words(&gone);
    }
    ask(&["--dtype", "|i1"], 0);
    assert_eq!(site.sweep().only_receipt()["event"], "remade");
    fs::remove_file(site.path("out/run.npy")).unwrap();
    ask(&["--dtype", "|i1"], 1).expect_words(&gone);
    site.drop_file("run.toml", manifest);
    ask(&[], 0);
    assert_eq!(site.sweep_until("finalized").json().len(), 1);
    assert_eq!(site.read("out/run.npy"), npy("'|u1'", false, &[8], &[1, 1, 1, 1, 2, 2, 2, 2]));
}

/// The command says that another file has the array's name; the drop is not rejected for it.
#[test]
fn a_foreign_file_has_the_name() {
    let foreign = npy("'<f8'", false, &[3], &[9; 24]);
    for has_manifest in [true, false] {
        for (on_conflict, code) in [("reject", 1), ("replace", 1), ("replace-any", 0)] {
            let site = site(&format!("on_conflict = '{on_conflict}'"));
            if has_manifest {
                site.drop_file("scan.raw.toml", format!("{SCAN_MANIFEST}output = 'named.npy'\n"));
                site.sweep().expect_code(0);
            }
            fs::remove_file(site.path(OUT)).unwrap();
            site.write(OUT, &foreign);
            let redo = ["redo", "scan.raw", "--dtype", "<i4", "--shape", "2,3"];
            let told = site.npyd(&redo).expect_code(code);
            if code == 1 {
                told.expect_words(&["not made again: `named.npy`"]);
                assert_at_rest(&site);
                assert_eq!(site.read(OUT), foreign, "{on_conflict}");
            } else {
                assert_eq!(site.sweep().only_receipt()["event"], "finalized");
                assert_eq!(site.read(OUT), npy("'<i4'", false, &[2, 3], &scan_bytes()));
            }
        }
    }
}
