//! What `npyd redo` and `npyd explain` make of arrays that changed after npyd made them.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use crate::support::{SCAN_MANIFEST, Site, npy, scan_bytes, scan_npy};

const REMOVE: &str = "source = 'remove'\nremove_unproven = true\n";

/// Writes to the file of an array, as `np.save` does: it keeps the file, and with it the mark.
fn save_over(site: &Site, name: &str, content: &[u8]) {
    let mark = |name: &str| site.identity(name).0;
    let before = mark(name);
    site.write(name, content);
    assert_eq!(mark(name), before);
    // The time of a write may lag behind the clock.
    let file = File::options().write(true).open(site.path(name)).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(1)).unwrap();
}

/// npyd no longer knows whose bytes it has.
#[test]
fn an_array_that_was_saved_over() {
    let other = [npy("'<f8'", false, &[100], &[7; 800]), npy("'<f4'", false, &[2, 3], &[7; 24])];
    for content in other {
        let site = Site::with_array(REMOVE);
        save_over(&site, "out/scan.npy", &content);
        for flags in [&["--dtype", "<i4"][..], &["--dtype", "<i4", "--in-place"]] {
            for name in ["scan.raw", "out/scan.npy"] {
                site.npyd(&[&["redo", name], flags].concat())
                    .expect_code(1)
                    .expect_words(&["it changed after the receipt"]);
            }
        }
        site.npyd(&["explain", "out/scan.npy"])
            .expect_code(0)
            .expect_words(&["finished", "it changed after npyd made it"]);
        assert!(site.sweep().expect_code(0).json().is_empty());
        assert_eq!(site.read("out/scan.npy"), content);
        assert_eq!(site.names("out"), ["scan.npy", "scan.raw.toml.done"]);
    }
    // Once npyd made it again, it is the array.
    let site = Site::with_array(REMOVE);
    for dtype in ["<i4", "<u4"] {
        site.npyd(&["redo", "scan.raw", "--dtype", dtype]).expect_code(0);
        site.sweep().expect_code(0);
        let array = npy(&format!("'{dtype}'"), false, &[2, 3], &scan_bytes());
        assert_eq!(site.read("out/scan.npy"), array);
    }
}

#[test]
fn an_array_that_was_renamed() {
    let site = Site::with_array(REMOVE);
    fs::rename(site.path("out/scan.npy"), site.path("out/b.npy")).unwrap();
    site.npyd(&["redo", "scan.raw", "--dtype", "<i4"])
        .expect_code(1)
        .expect_words(&["the array is `b.npy` now: give it back its name"]);
    let told =
        site.npyd(&["explain", "in/scan.raw"]).expect_words(&["the array is `", "b.npy` now"]);
    assert!(!told.stdout.contains("no other copy"), "{told}");
    fs::remove_file(site.path("out/b.npy")).unwrap();
    site.npyd(&["explain", "in/scan.raw"]).expect_words(&["npyd knows no other copy of its data"]);
}

#[test]
fn arrays_that_exchanged_their_names() {
    let site = Site::with_array(&format!("{REMOVE}on_conflict = 'number'"));
    site.drop_file("scan.raw", [1; 24]).drop_file("scan.raw.toml", SCAN_MANIFEST);
    site.sweep().expect_code(0);
    for (from, to) in [("scan.npy", "x"), ("scan-1.npy", "scan.npy"), ("x", "scan-1.npy")] {
        fs::rename(site.path("out").join(from), site.path("out").join(to)).unwrap();
    }
    site.npyd(&["redo", "out/scan-1.npy", "--dtype", "<i4"])
        .expect_code(1)
        .expect_words(&["is another array of this drop: the array that had this name was renamed"]);
}

/// The source is there, and nothing says that its array is not.
#[test]
fn the_array_of_a_source_that_is_there() {
    for (words, change) in [
        (
            "scan.npy` changed after npyd made it; `npyd redo scan.raw` makes it again",
            (|site| {
                let file = File::options().write(true).open(site.path("out/scan.npy")).unwrap();
                file.set_len(130).unwrap();
            }) as fn(&Site),
        ),
        (
            "scan.npy` is a symbolic link now, and not the array: move it away, then `npyd redo",
            |site| {
                fs::remove_file(site.path("out/scan.npy")).unwrap();
                symlink("nowhere", site.path("out/scan.npy")).unwrap();
            },
        ),
    ] {
        let site = Site::with_array("");
        let told = site.npyd(&["explain", "in/scan.raw"]).expect_code(0);
        assert!(!told.stdout.contains("npyd redo"), "{told}");
        change(&site);
        site.npyd(&["explain", "in/scan.raw"]).expect_code(0).expect_words(&["finished", words]);
        if site.path("out/scan.npy").symlink_metadata().unwrap().is_symlink() {
            fs::remove_file(site.path("out/scan.npy")).unwrap();
        }
        site.npyd(&["redo", "scan.raw"]).expect_code(0);
        site.sweep().expect_code(0);
        assert_eq!(site.read("out/scan.npy"), scan_npy());
    }
}

/// A producer goes on writing under the name of a file that npyd removed.
#[test]
fn a_file_that_nothing_describes_and_its_earlier_array() {
    let site = Site::with_array(REMOVE);
    site.drop_file("scan.raw", [1; 4]).drop_file("other.raw", [1; 4]);
    let earlier = "an earlier file of this name became `";
    site.npyd(&["explain", "in/scan.raw"]).expect_code(0).expect_words(&[
        "ignored",
        "it has no manifest",
        earlier,
        "out/scan.npy`",
    ]);
    let told = site.npyd(&["explain", "in/other.raw"]).expect_code(0);
    assert!(!told.stdout.contains(earlier), "{told}");
}

/// npyd takes no drop from the directory that it puts its arrays into.
#[test]
fn a_drop_in_the_output_directory() {
    let site = Site::new();
    fs::create_dir(site.path("in/npy")).unwrap();
    let config = site.configuration("state", "recursive = true").replace("/out\"", "/in/npy\"");
    site.write("npyd.toml", config);
    site.scan("scan").scan("npy/a").sweep().expect_code(0);
    assert_eq!(site.names("in/npy"), ["a.raw", "a.raw.toml", "scan.npy"]);
    let why = "npyd takes no drops from this directory";
    for name in ["in/npy/a.raw", "in/npy/a.raw.toml"] {
        site.npyd(&["explain", name]).expect_code(0).expect_words(&["ignored", why]);
    }
    for dir in ["in", "in/npy"] {
        let told = site.npyd(&["explain", dir]).expect_code(0);
        let lines: Vec<_> = told.stdout.lines().collect();
        assert_eq!(lines.len(), 1, "{told}");
        assert!(lines[0].contains("in/npy/a.raw: ") && lines[0].contains(why), "{told}");
    }
    site.npyd(&["explain", "in/npy/scan.npy"]).expect_code(0).expect_words(&["finished"]);
}
