//! Names that are never drops: other programs' private files, what `ignore` lists, and what npyd
//! puts beside arrays.

use std::fs;

use crate::support::{SCAN_MANIFEST, Site, scan_bytes, scan_npy, wait_until};

/// Directories that other programs keep in a data directory.
const PRIVATE: [&str; 16] = [
    ".rsync-partial",
    ".~tmp~",
    ".stversions",
    ".Trash-1000",
    ".snapshot",
    ".AppleDouble",
    ".git",
    "@eaDir",
    "@Recycle",
    "#recycle",
    "#snapshot",
    "~snapshot",
    "lost+found",
    "$RECYCLE.BIN",
    "$Recycle.Bin",
    "System Volume Information",
];

/// Directories that are named nearly so.
const NEIGHBORS: [&str; 8] =
    ["snapshot", "git", "recycle", "eaDir", "@eaDir2", "lost", "x.git", "stversions"];

/// Templates that would take every file.
const TEMPLATES: &str = "
[[drop.template]]
match = '^.*$'
dtype = '|u1'
shape = [-1]
";

/// A complete drop in a directory that is made.
fn scan_in(site: &Site, dir: &str) {
    fs::create_dir_all(site.path(dir)).unwrap();
    site.write(&format!("{dir}/scan.raw"), scan_bytes());
    site.write(&format!("{dir}/scan.raw.toml"), SCAN_MANIFEST);
}

#[test]
fn private_directories_are_not_entered() {
    let site = Site::with("recursive = true\nsource = \"remove\"");
    for name in PRIVATE.into_iter().chain(NEIGHBORS) {
        scan_in(&site, &format!("in/{name}"));
        scan_in(&site, &format!("in/a/{name}/b"));
    }
    let told = site.sweep().expect_code(0);
    for name in PRIVATE {
        for dir in [name.to_owned(), format!("a/{name}/b")] {
            assert!(!site.has(&format!("out/{dir}")), "{dir}");
            assert_eq!(site.names(&format!("in/{dir}")), ["scan.raw", "scan.raw.toml"], "{dir}");
        }
        assert!(!format!("{told}").contains(&format!("/{name}/")), "{told}");
    }
    for name in NEIGHBORS {
        for dir in [name.to_owned(), format!("a/{name}/b")] {
            assert_eq!(site.read(&format!("out/{dir}/scan.npy")), scan_npy(), "{dir}");
        }
    }
    assert_eq!(site.names("out").len(), 1 + NEIGHBORS.len());
}

/// Whoever writes under a hidden name renames the file when it is complete.
#[test]
fn hidden_files_are_no_drops() {
    for recursive in [false, true] {
        let site = Site::with(&format!("recursive = {recursive}\n{TEMPLATES}"));
        let hidden = [".x.raw", ".x.raw.Ab3dE9", "._scan.raw", ".nfs0001", ".scan.raw.swp"];
        for name in hidden {
            site.drop_file(name, scan_bytes());
        }
        site.drop_file(".x.raw.toml", SCAN_MANIFEST).scan("scan");
        site.drop_file("lost+found.raw", "data").drop_file("_name.raw", "data");
        site.sweep_until("finalized");
        site.settle("finalized", 3);
        assert_eq!(site.names("out"), ["_name.npy", "lost+found.npy", "scan.npy"]);
        fs::rename(site.path("in/.x.raw.Ab3dE9"), site.path("in/x.raw")).unwrap();
        site.settle("finalized", 4);
        assert!(
            site.has("out/x.npy")
                && hidden
                    .iter()
                    .filter(|it| **it != ".x.raw.Ab3dE9")
                    .all(|it| site.has(&format!("in/{it}")))
        );
    }
}

#[test]
fn rules_of_the_configuration() {
    let rules =
        "ignore = [\"*.tmp.raw\", \"!keep.tmp.raw\", \"/old\", \"!.acquired\", \"!lost+found\"]";
    let site = Site::with(&format!("recursive = true\n{rules}"));
    for name in ["a.tmp", "keep.tmp", "old"] {
        site.scan(name);
    }
    for dir in ["in/old/a", "in/a/old", "in/.acquired", "in/.git", "in/lost+found", "in/@eaDir"] {
        scan_in(&site, dir);
    }
    site.sweep().expect_code(0);
    assert_eq!(
        site.names("out"),
        [".acquired", "a", "keep.tmp.npy", "lost+found", "old.npy"],
        "a rule with a slash matches there alone, and the last rule that matches decides"
    );
    assert_eq!(site.names("out/a/old"), ["scan.npy"]);
    let explained = site.npyd(&["explain", "in/old/a/scan.raw"]);
    explained.expect_words(&["verdict        ignored", "`old` is ignored by the rule `/old`"]);
}

/// What events tell of ignored names is not even looked at.
#[test]
fn the_daemon_ignores_them() {
    let site = Site::with("recursive = true\nignore = [\"*.tmp.raw\"]\nrescan = \"500ms\"");
    scan_in(&site, "in/.git");
    let mut daemon = site.daemon();
    site.scan("a.tmp").scan(".hidden");
    scan_in(&site, "in/.git/deep");
    scan_in(&site, "in/@eaDir");
    scan_in(&site, "in/git");
    site.scan("scan");
    daemon.wait_for_file("out/scan.npy").wait_for_file("out/git/scan.npy");
    std::thread::sleep(std::time::Duration::from_millis(1200));
    assert_eq!(site.names("out"), ["git", "scan.npy"]);
    for name in ["/.git", "@eaDir", "in/a.tmp.raw:", ".hidden"] {
        assert!(!daemon.log().contains(name), "{}", daemon.log());
    }
    // The manifest is a drop's, and its data are not: that is told.
    wait_until("the wait", || daemon.log(), || daemon.log().contains("a.tmp.raw.toml"));
    assert!(daemon.log().contains("is ignored by the rule `*.tmp.raw`"), "{}", daemon.log());
}

/// npyd also recovers an ignored directory, because it may have worked there before the rule
/// existed.
#[test]
fn a_crash_is_recovered_from_wherever_it_was() {
    let site = Site::with("recursive = true\nsource = \"remove\"\nignore = [\"old/\"]");
    for dir in ["in/.hidden/a", "in/old", "in/a/@eaDir"] {
        scan_in(&site, dir);
        let (from, to) = (format!("{dir}/scan.raw"), format!("{dir}/.npyd-taken-scan.raw"));
        fs::rename(site.path(from), site.path(to)).unwrap();
        site.write(&format!("{dir}/.npyd-1-2-3.tmp"), "half an array");
    }
    site.drop_file(".npyd-taken-.x.raw", scan_bytes()).drop_file("scan.raw.toml", SCAN_MANIFEST);
    site.drop_file(".npyd-taken-scan.raw", scan_bytes());
    site.sweep().expect_code(0);
    for dir in ["in/.hidden/a", "in/old", "in/a/@eaDir"] {
        assert_eq!(site.names(dir), ["scan.raw", "scan.raw.toml"], "{dir}");
    }
    assert_eq!(site.names("in"), [".hidden", ".x.raw", "a", "old"]);
    assert_eq!(site.names("out"), ["scan.npy", "scan.raw.toml.done"]);
}

/// Whatever templates and `ignore` say.
#[test]
fn what_npyd_puts_beside_arrays_is_no_drop() {
    let site = Site::with(&format!("ignore = [\"!*.rest\", \"!*.live\"]\n{TEMPLATES}"));
    for name in ["x.npy.~1~", "x.npy.~12~", "x.npy.live", "x.live", "x.raw.rest"] {
        site.drop_file(name, scan_bytes());
        site.npyd(&["explain", &format!("in/{name}")])
            .expect_words(&["such names are reserved for npyd"]);
    }
    site.drop_file("x.rest.raw", scan_bytes()).drop_file("x.raw.~1~", scan_bytes());
    site.settle("finalized", 2);
    assert_eq!(site.names("out"), ["x.raw.~1~.npy", "x.rest.npy"]);
}

/// A person who names a file means it.
#[test]
fn a_hidden_file_that_is_named() {
    let site = Site::new();
    site.scan(".x").npyd(&["finalize", "in/.x.raw"]).expect_code(0);
    assert_eq!(site.read("in/.x.npy"), scan_npy());
    site.drop_file("y.rest", scan_bytes());
    site.npyd(&["finalize", "in/y.rest", "--dtype", "<f4", "--shape", "2,3"]).expect_code(0);
    assert_eq!(site.read("in/y.npy"), scan_npy());
}

/// Ignored descriptions describe nothing, and data that are ignored are waited for in vain.
#[test]
fn descriptions_and_rules() {
    let site = Site::with("ignore = [\"old.toml\", \"v2.raw\"]");
    site.scan("scan").drop_file("old.toml", format!("{SCAN_MANIFEST}data = 'scan.raw'\n"));
    site.drop_file("hidden.toml", format!("{SCAN_MANIFEST}data = '.x.raw'\n"));
    site.drop_file(".x.raw", scan_bytes());
    let mhd = "NDims = 2\nDimSize = 3 2\nElementType = MET_FLOAT\n\
        BinaryDataByteOrderMSB = False\nElementDataFile = v%d.raw 1 2 1\n";
    site.drop_file("v.mhd", mhd).drop_file("v1.raw", [0; 12]).drop_file("v2.raw", [0; 12]);
    let told = site.sweep().expect_code(0);
    assert_eq!(site.names("out"), ["scan.npy"], "{told}");
    let explained = site.npyd(&["explain", "in/hidden.toml"]);
    explained.expect_words(&[
        "waiting",
        "`.x.raw` is ignored by the default rule `.*`",
        "add \"!.x.*\" to `ignore` to include it and its description",
    ]);
    for file in ["in/v.mhd", "in/v1.raw"] {
        let explained = site.npyd(&["explain", file]);
        explained
            .expect_words(&["waiting", "data file is not taken: `v2.raw` is ignored by the rule"]);
    }
    site.npyd(&["explain", "in/v2.raw"]).expect_words(&["verdict        ignored", "rule `v2.raw`"]);
    site.npyd(&["explain", "in/.none"]).expect_words(&["gone"]);
}

/// The rule that the message names includes the data and what describes them. A rule that includes
/// only the data still ignores their manifest.
#[test]
fn a_hidden_drop_is_included_by_the_rule_that_is_named() {
    let site = Site::new();
    site.scan(".hidden");
    for file in ["in/.hidden.raw", "in/.hidden.raw.toml"] {
        site.npyd(&["explain", file]).expect_words(&["add \"!.hidden.*\" to `ignore`"]);
    }
    site.configure("ignore = [\"!.hidden.raw\"]");
    site.npyd(&["explain", "in/.hidden.raw"]).expect_words(&[
        "it has no manifest",
        "`.hidden.raw.toml` is ignored by the default rule `.*`: add \"!.hidden.*\"",
    ]);
    site.configure("ignore = [\"!.hidden.*\"]");
    site.sweep().expect_code(0);
    assert_eq!(site.read("out/.hidden.npy"), scan_npy());
}

#[test]
fn check_shows_the_rules() {
    let site = Site::with("ignore = [\"*.tmp\", '\\#work']");
    site.npyd(&["check"])
        .expect_words(&["\".*\", \"@eaDir/\"", "defaults), \"*.tmp\", \"\\\\#work\""]);
}
