//! Names that are almost as long as a file name may be (255 bytes), so that one which npyd derives
//! from them must be cut.

use std::fs;
use std::ops::RangeInclusive;

use crate::support::{
    PendingFile, Receipts, SCAN_MANIFEST, Site, npy, scan_bytes, scan_npy, sweep_with_fault,
};

/// The lengths at which one or another of the derived names no longer fits.
const LENGTHS: RangeInclusive<usize> = 242..=255;

/// Returns a name of `len` bytes. The name begins with its length, and has characters of two bytes.
fn name(len: usize, kind: char, extension: &str) -> String {
    let begin = format!("{len}{kind}");
    let room = len - begin.len() - extension.len();
    let name = format!("{begin}{}{}{extension}", "x".repeat(room % 2), "é".repeat(room / 2));
    assert_eq!(name.len(), len);
    name
}

/// A site with those settings and a scan for each length: the names of its data file, its manifest
/// and its array are that long. Settings may name the directories `archive` and `bad`.
fn site_with_scans(settings: &str, data: &[u8]) -> Site {
    let site = Site::new();
    for dir in ["archive", "bad"] {
        fs::create_dir(site.path(dir)).unwrap();
    }
    let root = site.path("");
    site.configure(&settings.replace("ROOT", root.to_str().unwrap().trim_end_matches('/')));
    for len in LENGTHS {
        let (raw, array) = (name(len, 'd', ".raw"), name(len, 'a', ".npy"));
        let keys = format!("data = '{raw}'\noutput = '{array}'\n");
        site.drop_file(&raw, data);
        site.drop_file(&name(len, 'm', ".toml"), format!("{SCAN_MANIFEST}{keys}"));
    }
    site
}

/// Asserts that a directory has one file for each length whose name begins like the name of that
/// kind and ends in `end`, and returns their contents.
#[track_caller]
fn contents(site: &Site, dir: &str, kind: char, end: &str) -> Vec<Vec<u8>> {
    let names = site.names(dir);
    let content = |len| {
        let begin = format!("{len}{kind}");
        let is_it = |name: &&String| name.starts_with(&begin) && name.ends_with(end);
        let found: Vec<_> = names.iter().filter(is_it).collect();
        assert_eq!(found.len(), 1, "{begin}…{end} in {dir}: {names:#?}");
        assert!(found[0].len() >= 238, "{}", found[0]);
        site.read(&format!("{dir}/{}", found[0]))
    };
    LENGTHS.map(content).collect()
}

/// Asserts that a sweep finalizes all scans, and that another one has nothing to do.
#[track_caller]
fn sweep_all(site: &Site) {
    let receipts = site.sweep().expect_code(0).json();
    assert_eq!(receipts.of_event("finalized").len(), LENGTHS.count(), "{receipts:#?}");
    assert!(contents(site, "out", 'a', ".npy").iter().all(|array| *array == scan_npy()));
    let again = site.sweep().expect_code(0);
    assert!(again.json().is_empty(), "{again}");
    assert!(again.stderr.is_empty(), "{again}");
}

#[test]
fn kept() {
    let site = site_with_scans("source = 'keep'\nmetadata = 'json'", &scan_bytes());
    sweep_all(&site);
    assert_eq!(site.names("in").len(), 2 * LENGTHS.count());
    for metadata in contents(&site, "out", 'a', ".npy.json") {
        assert!(String::from_utf8(metadata).unwrap().contains("\"receipt\""));
    }
}

#[test]
fn removed() {
    let site = site_with_scans("source = 'remove'", &scan_bytes());
    sweep_all(&site);
    assert_eq!(site.names("in"), [""; 0]);
    for manifest in contents(&site, "out", 'm', ".toml.done") {
        assert!(manifest.starts_with(SCAN_MANIFEST.as_bytes()));
    }
}

#[test]
fn archived() {
    let site = site_with_scans("source = 'archive'\narchive = 'ROOT/archive'", &scan_bytes());
    for len in LENGTHS {
        site.write(&format!("archive/{}", name(len, 'd', ".raw")), "old");
        site.write(&format!("archive/{}", name(len, 'm', ".toml")), "old");
    }
    sweep_all(&site);
    assert_eq!(site.names("in"), [""; 0]);
    assert!(contents(&site, "archive", 'd', ".raw").iter().all(|old| old == b"old"));
    assert!(contents(&site, "archive", 'd', ".raw.1").iter().all(|data| *data == scan_bytes()));
    assert_eq!(contents(&site, "archive", 'm', ".toml.1").len(), LENGTHS.count());
}

#[test]
fn set_aside() {
    for is_taken in [false, true] {
        let site = site_with_scans("rejects = 'ROOT/bad'", &[7; 28]);
        if is_taken {
            for len in LENGTHS {
                site.write(&format!("bad/{}", name(len, 'd', ".raw")), "old");
            }
        }
        site.settle("rejected", LENGTHS.count());
        assert_eq!(site.names("in"), [""; 0]);
        let number = if is_taken { ".1" } else { "" };
        let end = format!(".raw{number}");
        assert!(contents(&site, "bad", 'd', &end).iter().all(|data| *data == [7; 28]));
        assert_eq!(contents(&site, "bad", 'm', &format!(".toml{number}")).len(), LENGTHS.count());
        for note in contents(&site, "bad", 'd', &format!(".txt{number}")) {
            assert!(String::from_utf8(note).unwrap().contains("28"));
        }
        let again = site.sweep().expect_code(0);
        assert!(again.stdout.is_empty() && again.stderr.is_empty(), "{again}");
    }
}

#[test]
fn numbered() {
    let site = site_with_scans("source = 'remove'\non_conflict = 'number'", &scan_bytes());
    for len in LENGTHS {
        site.write(&format!("out/{}", name(len, 'a', ".npy")), "old");
    }
    let receipts = site.sweep().expect_code(0).json();
    assert_eq!(receipts.of_event("finalized").len(), LENGTHS.count(), "{receipts:#?}");
    assert!(contents(&site, "out", 'a', "é.npy").iter().all(|old| old == b"old"));
    assert!(contents(&site, "out", 'a', "-1.npy").iter().all(|array| *array == scan_npy()));
    assert_eq!(site.names("in"), [""; 0]);
}

/// A pending file that moves to the output is called `x.npy.pending` meanwhile; where that is too
/// long, it is copied.
#[test]
fn pending() {
    let site = Site::with("source = 'remove'");
    for len in LENGTHS {
        site.drop_file(&name(len, 'a', ".npy"), PendingFile::ready(&[2]).with(&[1; 8]));
    }
    let receipts = site.sweep().expect_code(0).json();
    for receipt in receipts.of_event("finalized") {
        let is_short = receipt["source"].as_str().unwrap().rsplit('/').next().unwrap().len() <= 247;
        assert_eq!(receipt["route"] == "in-place", is_short, "{receipt}");
    }
    let arrays = contents(&site, "out", 'a', ".npy");
    assert!(arrays.iter().all(|array| *array == npy("'<i4'", false, &[2], &[1; 8])), "{arrays:?}");
    assert_eq!((site.names("in"), site.names("out").len()), (vec![], LENGTHS.count()));
}

/// The rest of an abandoned file is saved.
#[test]
fn rests() {
    let site = Site::with("source = 'remove'\nsalvage = 'whole-records'");
    for len in LENGTHS {
        site.drop_file(&name(len, 'a', ".npy"), PendingFile::writing(&[-1]).with(&[1; 10]));
    }
    site.settle("finalized", LENGTHS.count());
    assert!(contents(&site, "out", 'a', ".npy.rest").iter().all(|rest| *rest == [1; 2]));
    let arrays = contents(&site, "out", 'a', ".npy");
    assert!(arrays.iter().all(|array| array.ends_with(&[1; 8])));
}

/// A source on its way out has a private name that does not hold the whole name. After a crash it
/// gets that back.
#[test]
fn a_crash_before_the_removal() {
    for len in [243, 244, 250, 255] {
        let site = Site::with("source = 'remove'");
        let (raw, manifest) = (name(len, 'd', ".raw"), name(len, 'm', ".toml"));
        site.drop_file(&raw, scan_bytes());
        site.drop_file(&manifest, format!("{SCAN_MANIFEST}data = '{raw}'\noutput = 'x.npy'\n"));
        let Some(_) = sweep_with_fault(&site, Some("in"), "unlinkat:signal=KILL") else { return };
        let there = site.names("in");
        assert!(there.iter().any(|name| name.starts_with(".npyd-taken-")), "{there:?}");
        site.sweep().expect_code(0);
        assert_eq!(site.names("in"), [""; 0], "{len}");
        assert_eq!(site.read("out/x.npy"), scan_npy());
        assert_eq!(site.names("out").len(), 2, "{:?}", site.names("out"));
    }
}

/// A file system may allow only shorter names. The drop is rejected, because a retry can't succeed.
#[test]
fn a_file_system_with_shorter_names() {
    let site = Site::new();
    site.scan("scan");
    let fault = "linkat:error=ENAMETOOLONG";
    let Some(outcome) = sweep_with_fault(&site, Some("out"), fault) else { return };
    outcome.expect_code(1).expect_words(&["rejected", "File name too long", "use a shorter one"]);
    let again = site.sweep().expect_code(0);
    assert!(again.stdout.is_empty(), "{again}");
    assert_eq!(site.names("in"), ["scan.raw", "scan.raw.toml"]);
}
