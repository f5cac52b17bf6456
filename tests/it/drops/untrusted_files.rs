//! Hostile drops: npyd reads and writes nothing outside the configured directories.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::support::{PendingFile, Receipts, SCAN_MANIFEST, Site, scan_bytes, wait_until};

/// Asserts that a sweep publishes nothing of `secret`, which stays as it is.
#[track_caller]
fn assert_left_alone(site: &Site, secret: &str) {
    let before = (site.identity(secret), site.read(secret));
    site.scan("good");
    site.sweep();
    let outcome = site.sweep();
    assert!(outcome.code < 2, "{outcome}");
    assert_eq!(site.names("out"), ["good.npy"]);
    assert_eq!((site.identity(secret), site.read(secret)), before);
}

#[test]
fn a_link_in_place_of_data() {
    let site = Site::with("source = \"remove\"");
    site.write("secret", scan_bytes()).drop_file("scan.raw.toml", SCAN_MANIFEST);
    symlink(site.path("secret"), site.path("in/scan.raw")).unwrap();
    assert_left_alone_with_done(&site, "secret");
    assert!(site.has("in/scan.raw"));
}

#[test]
fn a_link_in_place_of_a_pending_file() {
    let site = Site::new();
    site.write("secret", PendingFile::ready(&[2, 3]).with(&[7; 24]));
    symlink(site.path("secret"), site.path("in/x.npy")).unwrap();
    assert_left_alone(&site, "secret");
}

#[test]
fn a_link_in_place_of_a_manifest() {
    let site = Site::new();
    site.write("secret", SCAN_MANIFEST).drop_file("scan.raw", scan_bytes());
    symlink(site.path("secret"), site.path("in/scan.raw.toml")).unwrap();
    assert_left_alone(&site, "secret");
}

#[test]
fn a_link_in_place_of_a_directory() {
    let site = Site::with("recursive = true");
    fs::create_dir(site.path("elsewhere")).unwrap();
    site.write("elsewhere/scan.raw", scan_bytes());
    site.write("elsewhere/scan.raw.toml", SCAN_MANIFEST);
    symlink(site.path("elsewhere"), site.path("in/sub")).unwrap();
    assert_left_alone(&site, "elsewhere/scan.raw");
}

/// Another name of somebody else's file: finalizing it in place would write to that.
#[test]
fn a_hard_link() {
    // Nor to where refused drops go.
    let site = Site::with("source = \"remove\"\nrejects = \"bad\"");
    fs::create_dir(site.path("bad")).unwrap();
    site.write("secret", PendingFile::ready(&[2, 3]).with(&[7; 24]));
    site.write("other", scan_bytes()).drop_file("scan.raw.toml", SCAN_MANIFEST);
    fs::hard_link(site.path("secret"), site.path("in/x.npy")).unwrap();
    fs::hard_link(site.path("other"), site.path("in/scan.raw")).unwrap();
    let before = (site.identity("secret"), site.identity("other"));
    site.scan("good");
    site.settle("rejected", 2);
    assert_eq!(site.names("bad"), [""; 0]);
    assert_eq!(site.names("out"), ["good.npy", "good.raw.toml.done"]);
    assert_eq!((site.identity("secret"), site.identity("other")), before);
}

/// Nothing that would block on being opened, or is no file at all, does any harm.
#[test]
fn things_that_are_no_files() {
    let site = Site::new();
    for name in ["in/scan.raw", "in/x.npy", "in/y.raw.toml"] {
        mknodat(CWD, site.path(name), FileType::Fifo, Mode::RWXU, 0).unwrap();
    }
    fs::create_dir(site.path("in/z.raw")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(site.path("in/s.raw")).unwrap();
    for stem in ["scan", "z", "s"] {
        site.drop_file(&format!("{stem}.raw.toml"), SCAN_MANIFEST);
    }
    site.drop_file("y.raw", scan_bytes()).scan("good");
    let outcome = site.sweep();
    assert!(outcome.code < 2, "{outcome}");
    assert_eq!(site.names("out"), ["good.npy"]);
    let mut daemon = site.daemon();
    site.scan("better");
    daemon.wait_for_file("out/better.npy");
    assert_eq!(site.names("out"), ["better.npy", "good.npy"]);
}

/// Names in a manifest are plain names.
#[test]
fn names_that_climb() {
    let long = format!("{}.npy", "x".repeat(300));
    let elsewhere = std::env::temp_dir().join("npyd-evil.npy");
    let names = [
        "../evil.npy",
        "..",
        ".",
        "",
        "sub/evil.npy",
        "/evil.npy",
        elsewhere.to_str().unwrap(),
        "evil\\u0000.npy",
        &long,
    ];
    for name in names {
        let site = Site::with("on_conflict = \"replace\"");
        fs::create_dir(site.path("out/sub")).unwrap();
        site.drop_file("scan.raw", scan_bytes());
        site.drop_file("scan.raw.toml", format!("{SCAN_MANIFEST}output = \"{name}\"\n"));
        let receipts = site.sweep_until("rejected").expect_code(1).json();
        let reason = receipts.of_source("scan.raw")["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains("output"), "{name}: {reason}");
        assert_eq!(site.names("out"), ["sub"], "{name}");
        assert_eq!(site.names("out/sub"), [""; 0], "{name}");
        assert!(!site.has("evil.npy") && !elsewhere.exists() && !Path::new("/evil.npy").exists());
    }
}

/// An array is named as one: else the next scan would take it for a drop or a manifest, or tidy it
/// away as what npyd itself left unfinished.
#[test]
fn names_that_are_no_arrays() {
    for name in [".npyd-a.tmp", ".npyd-a.npy", ".npyd-taken-a.npy", "b.raw.toml", "b.json", "b"] {
        for output in ["out", "in"] {
            let site = Site::new();
            let config = site.configuration("state", "source = \"remove\"");
            let out = |dir| format!("output = \"{}\"", site.path(dir).display());
            site.write("npyd.toml", config.replace(&out("out"), &out(output)));
            site.scan("scan");
            site.drop_file("scan.raw.toml", format!("{SCAN_MANIFEST}output = \"{name}\"\n"));
            let receipts = site.sweep_until("rejected").expect_code(1).json();
            let reason = receipts.of_source("scan.raw")["reason"].as_str().unwrap().to_owned();
            assert!(reason.contains(".npy") && reason.contains("output"), "{name}: {reason}");
            site.sweep();
            assert_eq!(site.names("in"), ["scan.raw", "scan.raw.toml"], "{name}");
            assert_eq!(site.names("out"), [""; 0], "{name}");
        }
    }
    let site = Site::with("source = \"remove\"");
    site.drop_file(".npyd-insert-x.raw", scan_bytes());
    let data = "data = '.npyd-insert-x.raw'\noutput = 'x.npy'\n";
    site.drop_file("x.toml", format!("{SCAN_MANIFEST}{data}"));
    site.sweep();
    assert_eq!((site.names("out").len(), site.names("in").len()), (0, 2));
    site.npyd(&["finalize", "in/x.toml", "-o", "out/.npyd-a.npy"]).expect_words(&["its own files"]);
}

#[test]
fn data_from_elsewhere() {
    for name in ["../secret", "/etc/passwd", "sub/../../secret"] {
        let site = Site::with("source = \"remove\"");
        fs::create_dir(site.path("in/sub")).unwrap();
        site.write("secret", scan_bytes());
        site.drop_file("run.toml", format!("{SCAN_MANIFEST}data = \"{name}\"\n"));
        assert_left_alone_with_done(&site, "secret");
    }
}

/// As [`assert_left_alone`], on a site whose sources are removed.
#[track_caller]
fn assert_left_alone_with_done(site: &Site, secret: &str) {
    let before = (site.identity(secret), site.read(secret));
    site.scan("good").sweep();
    assert_eq!(site.names("out"), ["good.npy", "good.raw.toml.done"]);
    assert_eq!((site.identity(secret), site.read(secret)), before);
}

/// A link that waits under the array's name is neither followed nor replaced.
#[test]
fn a_link_in_place_of_the_array() {
    for policy in ["reject", "replace", "number"] {
        let site = Site::with(&format!("on_conflict = \"{policy}\""));
        site.write("victim", "precious").scan("scan");
        symlink(site.path("victim"), site.path("out/scan.npy")).unwrap();
        site.sweep();
        assert_eq!(site.read("victim"), b"precious", "{policy}");
        let link = site.path("out/scan.npy").symlink_metadata().unwrap().is_symlink();
        assert!(link, "{policy}");
    }
}

#[test]
fn a_directory_in_place_of_the_array() {
    for (policy, names) in [
        ("reject", &["scan.npy"][..]),
        ("replace", &["scan.npy"]),
        ("number", &["scan-1.npy", "scan.npy"]),
    ] {
        let site = Site::with(&format!("on_conflict = \"{policy}\""));
        fs::create_dir(site.path("out/scan.npy")).unwrap();
        site.write("out/scan.npy/precious", "x").scan("scan");
        let outcome = site.sweep();
        assert_eq!(outcome.code, i32::from(policy != "number"), "{policy}: {outcome}");
        assert_eq!(site.names("out"), names, "{policy}");
        assert_eq!(site.names("out/scan.npy"), ["precious"], "{policy}");
    }
}

/// Two manifests that claim the same data are refused, both named.
#[test]
fn two_manifests_for_one_file() {
    let site = Site::new();
    site.scan("scan").drop_file("scan.json", r#"{"dtype": "<f8", "shape": [3]}"#);
    let receipts = site.sweep_until("rejected").expect_code(1).json();
    let reason = receipts.of_source("scan.raw")["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("scan.raw.toml") && reason.contains("scan.json"), "{reason}");
    assert_eq!(site.names("out"), [""; 0]);
}

/// Texts that are too deep to be a manifest are refused with line and reason; one that is too large
/// is not even read.
#[test]
fn manifests_that_are_bombs() {
    // Far less than the large one has.
    const LIMIT: &str = "--as=536870912";
    let site = Site::new();
    let deep = "[".repeat(200_000);
    for (name, text) in [
        ("deep.raw.json", &format!("{{\"a\": {deep}")),
        ("nested.raw.toml", &format!("a = {deep}")),
        ("large.raw.toml", &format!("{SCAN_MANIFEST}# ")),
    ] {
        let stem = name.split('.').next().unwrap();
        site.drop_file(&format!("{stem}.raw"), scan_bytes()).drop_file(name, text);
    }
    let large = fs::File::options().write(true).open(site.path("in/large.raw.toml")).unwrap();
    large.set_len(8 << 30).unwrap();
    drop(large);
    let mut outcome = site.sweep_within(LIMIT);
    wait_until("two rejections", String::new, || {
        let found = outcome.json().of_event("rejected").len();
        if found == 0 {
            outcome = site.sweep_within(LIMIT);
        }
        found == 2
    });
    let receipts = outcome.expect_code(1).json();
    for (source, manifest) in [("deep.raw", "deep.raw.json"), ("nested.raw", "nested.raw.toml")] {
        let reason = receipts.of_source(source)["reason"].as_str().unwrap().to_owned();
        for word in [manifest, "line 1", "nested too deep"] {
            assert!(reason.contains(word), "{reason}");
        }
    }
    let large = site.path("in/large.raw");
    let told = site.npyd(&["explain", large.to_str().unwrap()]).expect_code(0);
    told.expect_words(&["large.raw.toml", "a manifest may have at most 1048576"]);
    assert_left_alone(&site, "in/large.raw");
}

/// What a dump's mode or owner may carry is not carried along.
#[test]
fn a_set_user_id_bit_is_not_kept() {
    use std::os::unix::fs::PermissionsExt;
    let site = Site::new();
    site.scan("scan").drop_file("x.npy", PendingFile::ready(&[2]).with(&[1; 8]));
    for name in ["in/scan.raw", "in/x.npy"] {
        fs::set_permissions(site.path(name), fs::Permissions::from_mode(0o6755)).unwrap();
    }
    site.sweep();
    for name in ["out/scan.npy", "out/x.npy"] {
        let mode = site.path(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7000, 0, "{name}: {mode:o}");
    }
}
