//! `npyd finalize`: finalizes single files without a configuration.

use serde_json::json;

use crate::support::{
    PendingFile, Producer, Receipts, SCAN_MANIFEST, Site, load, npy, python, scan_bytes, scan_npy,
};

/// `npyd finalize ARGS…` in a directory with `scan.raw` in it.
fn finalize(site: &Site, args: &[&str]) -> crate::support::Outcome {
    site.npyd(&[&["finalize"], args].concat())
}

#[test]
fn with_flags() {
    let data = scan_bytes();
    let cases: &[(&[&str], &str, Vec<u8>)] = &[
        (&["--dtype", "<f4", "--shape", "2,3"], "scan.npy", scan_npy()),
        (&["--dtype", "<f4", "--shape", "-1,3"], "scan.npy", scan_npy()),
        (
            &["--dtype", "<f4", "--shape", "2,3", "--order", "F", "-o", "other.npy"],
            "other.npy",
            npy("'<f4'", true, &[2, 3], &data),
        ),
        (
            &["--dtype", "<u2", "--shape", "10", "--offset", "4"],
            "scan.npy",
            npy("'<u2'", false, &[10], &data[4..]),
        ),
        (
            &["--dtype", "[('a','<f4'),('b','<f8')]", "--shape", "2"],
            "scan.npy",
            npy("[('a', '<f4'), ('b', '<f8')]", false, &[2], &data),
        ),
    ];
    for (flags, output, array) in cases {
        let site = Site::new();
        site.write("scan.raw", &data);
        finalize(&site, &[&["scan.raw"], *flags].concat()).expect_code(0);
        assert_eq!(&site.read(output), array, "{flags:?}");
        assert_eq!(site.read("scan.raw"), data, "{flags:?}: the source is kept");
    }
}

#[test]
fn in_place() {
    let Some(python) = python() else { return };
    let site = Site::new();
    site.write("scan.raw", [vec![0; 128], scan_bytes()].concat());
    let inode = site.inode("scan.raw");
    let flags = ["scan.raw", "--dtype", "<f4", "--shape", "2,3", "--reserved", "128"];
    finalize(&site, &flags).expect_code(0);
    assert_eq!(site.inode("scan.npy"), inode);
    assert_eq!(load(&python, site.path("scan.npy"))["shape"], json!([2, 3]));
}

/// A person may write wherever a link leads, and by any name but those of npyd's own files.
#[test]
fn where_a_person_says() {
    let site = Site::new();
    std::os::unix::fs::symlink(site.path("out"), site.path("link")).unwrap();
    site.write("scan.raw", scan_bytes());
    let flags = ["scan.raw", "--dtype", "<f4", "--shape", "2,3", "-o"];
    for output in ["link/scan.npy", "link/scan.dat"] {
        finalize(&site, &[&flags[..], &[output]].concat()).expect_code(0);
    }
    finalize(&site, &[&flags[..], &["link/.npyd-a.npy"]].concat()).expect_code(1);
    assert_eq!(site.names("out"), ["scan.dat", "scan.npy"]);
}

/// What the files say themselves needs no flags, and there may be many.
#[test]
fn by_what_the_files_say() {
    let site = Site::new();
    site.write("scan.raw", scan_bytes()).write("scan.raw.toml", SCAN_MANIFEST);
    site.write("x.npy.pending", PendingFile::ready(&[2, 3]).with(&[7; 24]));
    finalize(&site, &["scan.raw", "x.npy.pending"]).expect_code(0);
    assert_eq!(site.read("scan.npy"), scan_npy());
    assert!(site.read("x.npy").starts_with(b"\x93NUMPY") && !site.has("x.npy.pending"));
}

#[test]
fn what_it_refuses() {
    let shape = ["--dtype", "<f4", "--shape", "2,3"];
    let site = Site::new();
    site.write("long.raw", [0; 28]).write("short.raw", [0; 20]).write("scan.raw", scan_bytes());
    site.write("taken.raw", scan_bytes()).write("taken.npy", "precious");
    site.write("x.npy", PendingFile::writing(&[2, 3]).with(&[7; 24]));
    let refused: &[(&str, &[&str], &str)] = &[
        ("long.raw", &shape, "28"),
        ("short.raw", &shape, "20"),
        ("scan.raw", &["--dtype", "<q9", "--shape", "2,3"], "<q9"),
        ("scan.raw", &["--dtype", "<f4"], "shape"),
        ("scan.raw", &[], "dtype"),
        ("taken.raw", &shape, "taken.npy"),
        ("missing.raw", &shape, "missing.raw"),
        ("x.npy", &[], "writ"),
    ];
    for (file, flags, word) in refused {
        let outcome = finalize(&site, &[&[*file], *flags].concat()).expect_words(&[word]);
        assert_ne!(outcome.code, 0, "{file} {flags:?}");
    }
    assert_eq!(site.read("taken.npy"), b"precious");
    let arrays = site.names(".").into_iter().filter(|name| name.ends_with("npy"));
    assert_eq!(arrays.collect::<Vec<_>>(), ["taken.npy", "x.npy"]);
}

#[test]
fn not_while_it_is_written() {
    let Some(python) = python() else { return };
    let site = Site::new();
    let path = site.path("scan.raw");
    let mut producer =
        Producer::start(&python, "mapped.py", [path.to_str().unwrap(), "2", "3", "0"]);
    let flags = ["scan.raw", "--dtype", "<i4", "--shape", "2,3"];
    let outcome = finalize(&site, &flags).expect_words(&["scan.raw", "writ"]);
    assert_ne!(outcome.code, 0);
    assert!(!site.has("scan.npy"));
    producer.say("close");
    finalize(&site, &flags).expect_code(0);
}

/// Every line is one object, whatever became of the file.
#[test]
fn receipts_of_what_is_no_array() {
    let site = Site::new();
    site.write("short.raw", scan_bytes()).write("short.raw.toml", "dtype = '<f4'\nshape = [7]\n");
    let told = finalize(&site, &["--json", "none.raw", "short.raw"]).expect_code(1).json();
    assert_eq!(told.of_source("none.raw")["event"], "rejected");
    assert_eq!(told.of_source("short.raw")["event"], "waiting");
    let flags = ["--dtype", "<f4", "--shape", "6", "-o", "out/"];
    let outcome = finalize(&site, &[&["short.raw"], &flags[..]].concat()).expect_code(1);
    outcome.expect_words(&["out/ is a directory"]);
}
