//! `npyd explain DIR`: the files that npyd leaves alone, one per line.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::{Outcome, PendingFile, Site, npy, scan_bytes};

/// The names that the lines are about, without the directory of the drops.
fn names(site: &Site, told: &Outcome) -> Vec<String> {
    let dir = format!("{}/", site.path("in").display());
    let name = |line: &str| {
        let (path, why) = line.split_once(": ").unwrap();
        assert!(!why.is_empty(), "{line}");
        path.strip_prefix(&dir).unwrap_or_else(|| panic!("{line}")).to_owned()
    };
    told.stdout.lines().map(name).collect()
}

/// A site with files that are drops, in each state, and with others.
fn site(settings: &str) -> Site {
    let site = Site::with(settings);
    site.scan("finished").drop_file("pending.npy", PendingFile::ready(&[2]).with(&[1; 8]));
    site.sweep().expect_code(0);
    site.drop_file("short.raw", [0; 3]).drop_file("short.toml", "dtype = '<f4'\nshape = [2]\n");
    site.drop_file("a1.raw", scan_bytes());
    site.drop_file("a.toml", "dtype = '<f4'\nshape = [2]\ndata = ['a1.raw', 'a2.raw']\n");
    site.drop_file("alone.raw", "data").drop_file("notes.json", "{}").drop_file("x\ny.raw", "data");
    site.drop_file("given.npy", npy("'<f4'", false, &[2], &[0; 8]));
    site.drop_file(".hidden.raw", "data").drop_file("left.log", "ignored");
    symlink("nowhere", site.path("in/link.raw")).unwrap();
    fs::create_dir(site.path("in/sub")).unwrap();
    site.drop_file("sub/below.raw", "data");
    site
}

#[test]
fn files_that_are_no_drops() {
    let site = site("ignore = ['*.log']");
    let told = site.npyd(&["explain", "in"]).expect_code(0);
    let expected = ["alone.raw", "given.npy", "link.raw", "notes.json", "sub", "x\\ny.raw"];
    assert_eq!(names(&site, &told), expected, "{told}");
    told.expect_words(&[
        "alone.raw: it has no manifest",
        "given.npy: it is a .npy file already",
        "link.raw: it is not a regular file",
        "sub: it is a subdirectory, and `recursive` is not set",
    ]);
    // The subdirectory itself, and what is below it.
    fs::create_dir(site.path("in/sub/deeper")).unwrap();
    for below in ["in/sub", "in/sub/deeper"] {
        let told = site.npyd(&["explain", below]).expect_code(0);
        assert_eq!(names(&site, &told), [&below[3..]], "{told}");
        told.expect_words(&["it is a subdirectory, and `recursive` is not set"]);
    }
    // A rule counts more than that the directory is below.
    fs::create_dir_all(site.path("in/old.log/deep")).unwrap();
    for below in ["in/old.log", "in/old.log/deep"] {
        let told = site.npyd(&["explain", below]).expect_code(0);
        assert_eq!(names(&site, &told), [&below[3..]], "{told}");
        assert!(told.stdout.contains("*.log") && !told.stdout.contains("recursive"), "{told}");
    }
    let told = site.npyd(&["explain", "--json", "in"]).expect_code(0).json();
    let kinds: Vec<_> = told.iter().map(|it| it["reason_kind"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        ["undescribed", "array", "not-regular", "undescribed", "subdirectory", "name"]
    );
    // What is removed or described is on the list no more.
    fs::remove_file(site.path("in/notes.json")).unwrap();
    site.drop_file("alone.raw.toml", "dtype = '|u1'\nshape = [4]\n");
    let told = site.npyd(&["explain", "in"]).expect_code(0);
    assert_eq!(names(&site, &told), ["given.npy", "link.raw", "sub", "x\\ny.raw"]);
}

#[test]
fn files_in_subdirectories() {
    let site = site("recursive = true");
    let told = site.npyd(&["explain", "in"]).expect_code(0);
    let expected = [
        "alone.raw",
        "given.npy",
        "left.log",
        "link.raw",
        "notes.json",
        "sub/below.raw",
        "x\\ny.raw",
    ];
    assert_eq!(names(&site, &told), expected, "{told}");
    let told = site.npyd(&["explain", "in/sub"]).expect_code(0);
    assert_eq!(names(&site, &told), ["sub/below.raw"], "{told}");
    // npyd's own arrays are not on the list.
    assert_eq!(site.npyd(&["explain", "out"]).expect_code(0).stdout, "");
}

/// The report lists the files that `npyd finalize -r` would process.
#[test]
fn a_directory_outside_all_drop_directories() {
    let site = Site::new();
    fs::create_dir_all(site.path("other/sub")).unwrap();
    site.write("other/sub/b.raw", "data").write("other/a.raw", "data");
    site.write("other/a.raw.toml", "dtype = '|u1'\nshape = [4]\n");
    let told = site.npyd(&["explain", "other"]).expect_code(0);
    assert!(told.stdout.contains("other/sub/b.raw: it has no manifest"), "{told}");
    assert_eq!(told.stdout.lines().count(), 1, "{told}");
    site.npyd(&["finalize", "-r", "--dry-run", "other"])
        .expect_code(0)
        .expect_words(&["1 that nothing describes (`npyd explain DIR` lists them)"]);
    site.npyd(&["explain", "missing"]).expect_code(1);
}
