//! Reports about files that npyd leaves alone although somebody may expect an array: one line for
//! each kind, repeated neither by a scan nor by a restart.

use std::fs;
use std::os::unix::ffi::OsStringExt;

use crate::support::{Outcome, PendingFile, SCAN_MANIFEST, Site, scan_bytes, scan_npy};

const AT_ONCE: &str = "undescribed_after = \"0s\"";

/// The lines of a sweep's log that have these words.
fn lines<'a>(swept: &'a Outcome, words: &str) -> Vec<&'a str> {
    swept.stderr.lines().filter(|line| line.contains(words)).collect()
}

/// A site whose arrays are made beside the data.
fn beside(settings: &str) -> Site {
    let site = Site::new();
    let config = site.configuration("state", settings);
    let config: Vec<_> = config.lines().filter(|line| !line.starts_with("output")).collect();
    site.write("npyd.toml", config.join("\n"));
    site
}

#[test]
fn files_that_nothing_describes() {
    let site = Site::with(AT_ONCE);
    for name in ["d.raw", "b.raw", "notes.txt", "a.raw", "c.raw", "settings.toml", "x.hdr"] {
        site.drop_file(name, "something else");
    }
    site.scan("scan").drop_file("x.npy", PendingFile::ready(&[2]).with(&[1; 8]));
    let swept = site.sweep().expect_code(0);
    let told = lines(&swept, "nothing describes");
    assert_eq!(told.len(), 1, "{swept}");
    assert!(told[0].contains("has 7 files that"), "{swept}");
    assert!(told[0].contains(": `a.raw`, `b.raw`, `c.raw`, …; add a manifest"), "{swept}");

    assert_eq!(lines(&site.sweep(), "nothing describes"), [""; 0]);
    let mut daemon = site.daemon();
    site.scan("next");
    daemon.wait_for_file("out/next.npy");
    daemon.stop();
    assert!(!fs::read_to_string(site.path("npyd.toml.log")).unwrap().contains("describes"));
    assert_eq!(lines(&site.lose_ledger().sweep(), "nothing describes").len(), 1);
}

/// The manifest of a series describes its files, before and after their array is made.
#[test]
fn files_of_a_series_are_described() {
    let site = Site::with(AT_ONCE);
    for name in ["a1.raw", "a2.raw", "b1.raw"] {
        site.drop_file(name, scan_bytes());
    }
    site.drop_file("a.toml", "dtype = '<f4'\nshape = [2, 2, 3]\ndata = 'a*.raw'\n");
    site.drop_file("b.toml", "dtype = '<f4'\nshape = [2, 2, 3]\ndata = ['b1.raw', 'b2.raw']\n");
    let waiting = site.sweep_until("finalized");
    assert_eq!(lines(&waiting, "nothing describes"), [""; 0], "{waiting}");
    assert_eq!(site.names("out"), ["a.npy"]);
    site.drop_file("b2.raw", scan_bytes()).sweep_until("finalized");
    let done = site.sweep().expect_code(0);
    assert_eq!(lines(&done, "nothing describes"), [""; 0], "{done}");
    assert_eq!(site.names("out"), ["a.npy", "b.npy"]);
}

/// The names of the manifests that could describe it are too long to exist.
#[test]
fn a_long_name_without_a_description() {
    let site = Site::with(AT_ONCE);
    let name = format!("{}.raw", "u".repeat(251));
    site.drop_file(&name, "something else");
    let swept = site.sweep().expect_code(0);
    assert_eq!(lines(&swept, "has 1 file that nothing describes").len(), 1, "{swept}");
    assert_eq!(swept.stdout, "");
}

#[test]
fn a_daemon_reports_too() {
    let site = Site::with(&format!("{AT_ONCE}\nrescan = \"100ms\""));
    site.drop_file("a.raw", "something else");
    let mut daemon = site.daemon();
    daemon.wait_for_log("has 1 file that nothing describes: `a.raw`; add");
    site.scan("scan");
    daemon.wait_for_file("out/scan.npy");
    assert_eq!(daemon.log().matches("nothing describes").count(), 1, "{}", daemon.log());
}

#[test]
fn a_young_file_may_still_be_described() {
    for settings in ["", "undescribed_after = \"1h\""] {
        let site = Site::with(settings);
        site.drop_file("a.raw", "something else").drop_file("b.npy", scan_npy());
        fs::create_dir(site.path("in/below")).unwrap();
        site.drop_file("below/c.raw", "something else");
        assert_eq!(site.sweep().expect_code(0).stderr, "");
    }
}

/// The setting changes no result: what was rejected is not tried again. A reload applies it.
#[test]
fn the_setting_is_no_reason_to_try_again() {
    let site = Site::new();
    site.drop_file("bad.raw", [0; 24]).drop_file("bad.raw.toml", "dtype = '<f4'\nshape = [1]\n");
    site.drop_file("a.raw", "something else");
    site.sweep_until("rejected");
    let mut daemon = site.daemon();
    site.configure(AT_ONCE);
    daemon.reload();
    daemon.wait_for_log("nothing describes: `a.raw`");
    daemon.stop();
    let swept = site.sweep().expect_code(0);
    assert_eq!(swept.json(), Vec::<serde_json::Value>::new());
}

/// Files that belong to drops, to npyd or to nobody.
#[test]
fn described_ignored_and_own_files_are_not_reported() {
    let site = beside(&format!(
        "{AT_ONCE}\nsource = \"remove\"\nmetadata = \"json\"\nignore = [\"*.log\"]"
    ));
    site.scan("scan").drop_file("x.npy", PendingFile::ready(&[2]).with(&[1; 8]));
    site.drop_file("waits.raw.toml", SCAN_MANIFEST).drop_file("a.log", "").drop_file(".b", "");
    site.drop_file("y.npy.~1~", scan_npy()).drop_file("y.rest", "rest");
    for _ in 0..2 {
        let swept = site.sweep().expect_code(0);
        assert_eq!(swept.stderr, "");
    }
    let names = ["scan.npy", "scan.npy.json", "scan.raw.toml.done", "waits.raw.toml", "x.npy"];
    for name in names {
        assert!(site.has(&format!("in/{name}")), "{name} of {:?}", site.names("in"));
    }
}

#[test]
fn finished_arrays_that_were_dropped() {
    let site = Site::with(AT_ONCE);
    site.drop_file("a.npy", scan_npy()).drop_file("b.npy", scan_npy());
    let swept = site.sweep().expect_code(0);
    assert_eq!(lines(&swept, "2 finished .npy files").len(), 1, "{swept}");
    swept.expect_words(&["`a.npy`, `b.npy`; npyd leaves them there"]);
    assert_eq!(site.sweep().stderr, "");
}

/// Beside the data, an array that npyd made is no news; another one is.
#[test]
fn an_array_beside_the_data() {
    let site = beside(AT_ONCE);
    site.scan("scan");
    for _ in 0..2 {
        assert_eq!(site.sweep().expect_code(0).stderr, "");
    }
    site.drop_file("other.npy", scan_npy());
    site.sweep().expect_code(0).expect_words(&["1 finished .npy file that", ": `other.npy`; "]);
}

#[test]
fn subdirectories_of_a_directory_that_is_not_recursive() {
    let site = Site::with(&format!("{AT_ONCE}\nignore = [\"/ignored/\"]"));
    for dir in ["a", "b/c", "ignored", ".hidden", "empty"] {
        fs::create_dir_all(site.path("in").join(dir)).unwrap();
    }
    for name in ["a/x.raw", "b/c/x.raw", "ignored/x.raw", ".hidden/x.raw", "empty/.x"] {
        site.drop_file(name, scan_bytes());
    }
    let swept = site.sweep().expect_code(0);
    assert_eq!(lines(&swept, "subdirector").len(), 1, "{swept}");
    swept.expect_words(&["2 subdirectories with files", ": `a`, `b`; set recursive = true"]);
    assert_eq!(site.sweep().stderr, "");

    site.lose_ledger().configure(&format!("{AT_ONCE}\nrecursive = true\nignore = [\"*\"]"));
    assert_eq!(site.sweep().expect_code(0).stderr, "");
}

/// A directory that a description refers to, npyd's own directories, and other drop directories.
#[test]
fn subdirectories_that_npyd_uses() {
    let site = Site::with(AT_ONCE);
    let root = site.path("");
    let root = root.to_str().unwrap();
    for dir in ["in/data", "in/other", "in/files/rejects"] {
        fs::create_dir_all(site.path(dir)).unwrap();
    }
    let config = site.configuration("state", &format!("{AT_ONCE}\nrejects = 'in/files/rejects'"));
    let other =
        format!("\n[[drop]]\npath = \"{root}in/other\"\noutput = \"{root}out\"\n{AT_ONCE}\n");
    site.write("npyd.toml", config + &other);
    let sidecar = "ObjectType = Image\nNDims = 1\nDimSize = 24\nElementType = MET_UCHAR\n";
    site.drop_file("x.mhd", format!("{sidecar}ElementDataFile = data/x.raw\n"));
    site.drop_file("waits.mhd", format!("{sidecar}ElementDataFile = data/waits.raw\n"));
    site.drop_file("data/x.raw", [1; 24]).drop_file("data/more.raw", [1; 24]);
    site.drop_file("other/y.raw", scan_bytes()).drop_file("other/y.raw.toml", SCAN_MANIFEST);
    site.write("in/files/rejects/old.raw", "");
    for _ in 0..2 {
        let swept = site.sweep().expect_code(0);
        assert_eq!(lines(&swept, "subdirector"), [""; 0], "{swept}");
    }
    assert_eq!(site.read("out/y.npy"), scan_npy());
}

#[test]
fn names_that_npyd_does_not_take() {
    let site = Site::with(AT_ONCE);
    site.drop_file("a\nb.raw", scan_bytes());
    let name = std::ffi::OsString::from_vec(b"scan-\xff.raw".to_vec());
    fs::write(site.path("in").join(name), scan_bytes()).unwrap();
    let swept = site.sweep().expect_code(0);
    let told = lines(&swept, "has 2 files with a name that npyd does not take");
    assert_eq!(told.len(), 1, "{swept}");
    assert!(told[0].contains("`a\\nb.raw`") && told[0].ends_with("; rename them"), "{swept}");
    assert_eq!(site.sweep().stderr, "");
}

/// The daemon reports arrays that existed before the ledger had their receipts, once.
#[test]
fn arrays_that_were_there_already() {
    const FOUND: &str = "whose arrays were there already";
    let site = Site::with_array("rescan = \"100ms\"");
    for stem in ["b", "c", "d"] {
        site.scan(stem);
    }
    site.sweep().expect_code(0);
    let mut daemon = site.lose_ledger().daemon();
    daemon.wait_for_log(FOUND);
    daemon.wait_for_receipts("found", 4);
    let log = daemon.log();
    daemon.stop();
    let told: Vec<_> = log.lines().filter(|line| line.contains(FOUND)).collect();
    assert_eq!(told.len(), 1, "{log}");
    assert!(told[0].contains("`b.raw`"), "{log}");

    let mut daemon = site.daemon();
    site.scan("next");
    daemon.wait_for_file("out/next.npy");
    daemon.wait_for_receipts("finalized", 1);
    daemon.stop();
    let log = fs::read_to_string(site.path("npyd.toml.log")).unwrap();
    assert_eq!(log.matches(FOUND).count(), 1, "{log}");
}

/// Drops in the directory of the arrays, where npyd takes none: a daemon and a sweep report them
/// once. Archived and rejected files inside are none.
#[test]
fn drops_among_the_arrays() {
    let site = Site::new();
    let dir = |name: &str| site.path(name).display().to_string();
    let aside = format!("archive = '{}'\nrejects = '{}'", dir("out/old"), dir("out/bad"));
    site.configure(&format!("{AT_ONCE}\nrecursive = true\nsource = 'archive'\n{aside}"));
    for name in ["out/old", "out/bad", "out/sub"] {
        fs::create_dir(site.path(name)).unwrap();
    }
    site.scan("scan").drop_file("long.raw", [0; 25]).drop_file("long.raw.toml", SCAN_MANIFEST);
    site.sweep();
    assert!(site.has("out/old/scan.raw.toml") && site.has("out/bad/long.raw.toml"));
    assert_eq!(lines(&site.sweep(), "takes no drops"), [""; 0]);
    for name in ["b", "a", "sub/c"] {
        site.write(&format!("out/{name}.raw"), scan_bytes());
        site.write(&format!("out/{name}.raw.toml"), SCAN_MANIFEST);
    }
    site.write("out/alone.raw.toml", SCAN_MANIFEST); // no drop
    let swept = site.sweep().expect_code(0);
    let told = lines(&swept, "takes no drops");
    assert_eq!(told.len(), 1, "{swept}");
    let text = format!("`{}` has 3 drops, but npyd puts arrays there", dir("out"));
    assert!(told[0].contains(&text), "{swept}");
    let text = format!(": `a.raw`, `b.raw`, `sub/c.raw`; move them to `{}` (", dir("in"));
    assert!(told[0].contains(&text), "{swept}");
    assert_eq!(lines(&site.sweep(), "takes no drops"), [""; 0]);
    let explained = site.npyd(&["explain", &dir("out")]).stdout;
    assert_eq!(explained.matches("npyd takes no drops from this directory").count(), 3);

    let mut daemon = site.lose_ledger().daemon();
    daemon.wait_for_log("has 3 drops, but npyd puts arrays there");
    daemon.stop();
}
