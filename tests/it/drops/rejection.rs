//! Rejected drops: they are rejected once, with a reason, and left alone until they change.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::{Receipts, SCAN_MANIFEST, Site, scan_bytes, scan_npy};

/// Manifests that describe no array that could be made, and a word of the reason for each.
const BAD_MANIFESTS: &[(&str, &str, &str)] = &[
    ("not-toml", "dtype = '<f4'\nshape = [2, 3\n", "toml"),
    ("dtype", "dtype = '<q9'\nshape = [2, 3]\n", "<q9"),
    ("object", "dtype = '|O'\nshape = [2, 3]\n", "object"),
    ("negative", "dtype = '<f4'\nshape = [2, -3]\n", "-3"),
    ("two-open", "dtype = '<f4'\nshape = [-1, -1]\n", "-1"),
    ("wrong-axis", "dtype = '<f4'\nshape = [2, -1]\n", "axis"),
    ("overflow", "dtype = '<f4'\nshape = [9223372036854775807, 3]\n", "shape"),
    ("too-many-axes", TOO_MANY_AXES, "64"),
    ("order", "dtype = '<f4'\nshape = [2, 3]\norder = 'K'\n", "order"),
    ("offset", "dtype = '<f4'\nshape = [2, 3]\noffset = -4\n", "offset"),
    ("reserved", "dtype = '<f4'\nshape = [2, 3]\nreserved = 63\n", "reserved"),
    ("shape-type", "dtype = '<f4'\nshape = [2.5, 3]\n", "shape"),
    ("twice", "dtype = '<f4'\ndtype = '<f8'\nshape = [2, 3]\n", "dtype"),
];
const TOO_MANY_AXES: &str = "dtype = '<f4'\nshape = [2, 3, 1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,\
    1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]\n";

#[test]
fn manifests_that_describe_no_array() {
    let site = Site::new();
    for (name, manifest, _) in BAD_MANIFESTS {
        site.drop_file(&format!("{name}.raw"), scan_bytes());
        site.drop_file(&format!("{name}.raw.toml"), manifest);
    }
    site.scan("good");
    let receipts = site.settle("rejected", BAD_MANIFESTS.len());
    for (name, _, word) in BAD_MANIFESTS {
        let receipt = receipts.of_source(&format!("{name}.raw"));
        assert_eq!(receipt["event"], "rejected", "{name}");
        let reason = receipt["reason"].as_str().unwrap();
        assert!(reason.to_lowercase().contains(word), "{name}: {reason}");
    }
    assert_eq!(receipts.of_source("good.raw")["event"], "finalized");
    assert_eq!(site.names("out"), ["good.npy"]);
}

/// NumPy would write such a header, but np.load not read it.
#[test]
fn a_header_that_would_be_too_long() {
    let site = Site::new();
    for (name, fields, letter) in [("fits", 582, 'f'), ("long", 583, 'f'), ("wide", 575, 'ш')] {
        let field = |at| format!("('{letter}{at:03}','|u1')");
        let fields: Vec<_> = (0..fields).map(field).collect();
        site.drop_file(&format!("{name}.raw"), vec![7; fields.len()]);
        site.drop_file(
            &format!("{name}.toml"),
            format!("dtype = \"[{}]\"\nshape = [1]\n", fields.join(",")),
        );
    }
    let receipts = site.settle("rejected", 1);
    let reason = receipts.of_source("long.raw")["reason"].as_str().unwrap();
    assert!(reason.contains("np.load") && reason.contains("fewer fields"), "{reason}");
    for name in ["fits", "wide"] {
        site.npyd(&["inspect", &format!("out/{name}.npy")]).expect_code(0);
    }
    assert_eq!(site.names("out"), ["fits.npy", "wide.npy"]);
}

/// What a manifest says is quoted in logs and terminals, and must not steer them, nor fill them.
#[test]
fn reasons_quote_with_care() {
    let site = Site::new();
    let long = "x".repeat(100_000);
    for (name, manifest) in [
        ("dtype", "dtype = \"\\u001b[2J\"\nshape = [2, 3]\n".to_owned()),
        ("field", "dtype = [[\"a\", \"\\u001b[2J\"]]\nshape = [2, 3]\n".to_owned()),
        ("raw", "dtype = '<f4'\nshape = [2, \x1b[2J]\n".to_owned()),
        ("order", "dtype = '<f4'\nshape = [2, 3]\norder = \"\\u001b[2J\"\n".to_owned()),
        ("long", format!("dtype = '{long}'\nshape = [2, 3]\n")),
        ("long-list", format!("dtype = '[(\"{long}\",)]'\nshape = [2, 3]\n")),
        ("long-key", format!("dtype = '<f4'\nshape = [2, 3]\ndigest = '{long}'\n")),
    ] {
        site.drop_file(&format!("{name}.raw"), scan_bytes());
        site.drop_file(&format!("{name}.raw.toml"), manifest);
    }
    for receipt in site.settle("rejected", 7) {
        let reason = receipt["reason"].as_str().unwrap();
        assert!(!reason.chars().any(char::is_control), "{reason:?}");
        assert!(reason.len() < 1000, "{reason}");
    }
}

#[test]
fn a_dump_that_is_too_long() {
    let site = Site::new();
    let data = [scan_bytes(), vec![0; 4]].concat();
    site.drop_file("scan.raw", &data).drop_file("scan.toml", SCAN_MANIFEST);
    let receipts = site.sweep_until("rejected").expect_code(1).json();
    let reason = receipts.of_source("scan.raw")["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("28") && reason.contains("24"), "both sizes: {reason}");

    site.configure("allow_trailing = true");
    site.npyd(&["retry", "scan.raw"]).expect_code(0);
    let remark = "without the 4 bytes behind its data";
    site.npyd(&["explain", "in/scan.raw"]).expect_code(0).expect_words(&[remark]);
    let receipt = site.sweep_until("finalized").only_receipt();
    assert_eq!(receipt["reason"], remark, "{receipt}");
    assert_eq!(site.read("out/scan.npy"), scan_npy());
}

/// A second sweep does not report the rejected drop again, and neither does the start of a daemon.
#[test]
fn rejected_once() {
    let site = Site::new();
    site.scan("bad").drop_file("bad.raw.toml", "dtype = '<q9'\nshape = [2, 3]");
    site.sweep_until("rejected").expect_code(1);
    let again = site.sweep().expect_code(0).json();
    assert!(again.of_event("rejected").is_empty(), "{again:#?}");
    let mut daemon = site.daemon();
    site.scan("good");
    daemon.wait_for_receipts("finalized", 1);
    assert!(daemon.stop().success());
    assert_eq!(site.history().of_event("rejected").len(), 1);
}

#[test]
fn a_corrected_manifest_is_taken() {
    let site = Site::new();
    site.scan("scan").drop_file("scan.raw.toml", "dtype = '<q9'\nshape = [2, 3]");
    let mut daemon = site.daemon();
    daemon.wait_for_receipts("rejected", 1);
    site.drop_file("scan.raw.toml", SCAN_MANIFEST);
    daemon.wait_for_file("out/scan.npy");
}

#[test]
fn corrected_data_are_taken() {
    let site = Site::new();
    site.scan("scan").drop_file("scan.raw", [0; 25]);
    let mut daemon = site.daemon();
    daemon.wait_for_receipts("rejected", 1);
    site.drop_file("scan.raw", scan_bytes());
    daemon.wait_for_file("out/scan.npy");
    assert_eq!(site.read("out/scan.npy"), scan_npy());
}

/// Two files conflict. The removal of either file resolves the conflict.
#[test]
fn one_of_two_is_removed() {
    for removed in ["scan.raw.toml", "scan.raw.json"] {
        let site = Site::new();
        site.scan("scan").drop_file("scan.raw.json", r#"{"dtype": "<f4", "shape": [2, 3]}"#);
        site.sweep_until("rejected").expect_code(1);
        let again = site.sweep().expect_code(0).json();
        assert!(again.of_event("rejected").is_empty(), "{again:#?}");
        fs::remove_file(site.path(format!("in/{removed}"))).unwrap();
        site.sweep_until("finalized").expect_code(0);
    }
    let site = Site::new();
    site.drop_file("scan.toml", SCAN_MANIFEST);
    site.drop_file("scan.raw", scan_bytes()).drop_file("scan.bin", scan_bytes());
    site.settle("rejected", 2);
    fs::remove_file(site.path("in/scan.bin")).unwrap();
    site.sweep_until("finalized").expect_code(0);
}

/// A retry is for what changed elsewhere: here the name that was taken.
#[test]
fn retried() {
    let site = Site::new();
    site.write("out/a.npy", "taken").write("out/b.npy", "taken").scan("a").scan("b");
    let receipts = site.sweep().expect_code(1).json();
    assert_eq!(receipts.of_event("rejected").len(), 2);
    for name in ["out/a.npy", "out/b.npy"] {
        fs::remove_file(site.path(name)).unwrap();
    }
    site.sweep().expect_code(0);
    assert_eq!(site.names("out"), [""; 0], "they are left alone");
    site.npyd(&["retry", "a.raw"]).expect_code(0);
    site.sweep().expect_code(0);
    assert_eq!(site.names("out"), ["a.npy"]);
    site.npyd(&["retry", "--all"]).expect_code(0);
    site.sweep().expect_code(0);
    assert_eq!(site.names("out"), ["a.npy", "b.npy"]);
}

/// The daemon hears of a retry without being started again.
#[test]
fn retried_under_a_daemon() {
    let site = Site::with("rescan = \"500ms\"");
    site.write("out/scan.npy", "taken").scan("scan");
    let mut daemon = site.daemon();
    daemon.wait_for_receipts("rejected", 1);
    fs::remove_file(site.path("out/scan.npy")).unwrap();
    site.npyd(&["retry", "scan.raw"]).expect_code(0);
    daemon.wait_for_file("out/scan.npy");
}

/// One that can't come back is told, and keeps none of the others.
#[test]
fn retried_where_a_directory_is_gone() {
    let site = Site::new();
    fs::create_dir(site.path("bad")).unwrap();
    let settings = format!("recursive = true\nrejects = \"{}\"", site.path("bad").display());
    site.configure(&settings);
    for name in ["gone", "there"] {
        fs::create_dir(site.path(format!("in/{name}"))).unwrap();
        site.scan(&format!("{name}/scan")).drop_file(&format!("{name}/scan.raw"), [0; 28]);
    }
    site.settle("rejected", 2);
    fs::remove_dir(site.path("in/gone")).unwrap();
    let outcome = site.npyd(&["retry", "--all"]).expect_code(1);
    assert!(outcome.stdout.contains("gone/scan.raw: not retried: "), "{outcome}");
    assert_eq!(site.names("in/there"), ["scan.raw", "scan.raw.toml"]);
    assert_eq!(site.names("bad/gone"), ["scan.raw", "scan.raw.rejected.txt", "scan.raw.toml"]);
}

#[test]
fn nothing_to_retry() {
    let site = Site::new();
    let outcome = site.npyd(&["retry", "nothing.raw"]).expect_words(&["nothing.raw"]);
    assert_ne!(outcome.code, 0);
}

/// Where there is a place for them, rejected drops move there with their sidecars.
#[test]
fn set_aside() {
    let site = Site::new();
    fs::create_dir(site.path("bad")).unwrap();
    site.configure(&format!("rejects = \"{}\"", site.path("bad").display()));
    site.drop_file("scan.raw", [0; 28]).drop_file("scan.raw.toml", SCAN_MANIFEST);
    site.sweep_until("rejected").expect_code(1);
    assert_eq!(site.names("in"), [""; 0]);
    assert_eq!(site.names("bad"), ["scan.raw", "scan.raw.rejected.txt", "scan.raw.toml"]);
    assert_eq!(site.read("bad/scan.raw"), [0; 28]);
    let note = String::from_utf8(site.read("bad/scan.raw.rejected.txt")).unwrap();
    assert!(note.contains("28"), "{note}");

    // What was set aside comes back for another try.
    site.npyd(&["retry", "scan.raw"]).expect_code(0);
    assert_eq!(site.names("in"), ["scan.raw", "scan.raw.toml"]);
}

/// The ledger tells it all: what was finalized, what was rejected and why.
#[test]
fn history() {
    let site = Site::new();
    assert!(site.history().is_empty());
    site.scan("good").drop_file("bad.raw", [0; 28]).drop_file("bad.raw.toml", SCAN_MANIFEST);
    let history = site.settle("rejected", 1);
    assert_eq!(history.len(), 2);
    let good = history.of_source("good.raw");
    for key in ["drop", "source", "output", "route", "evidence"] {
        assert!(good[key].is_string(), "{key} in {good}");
    }
    assert!(good["bytes"].is_u64() && good["seconds"].is_number(), "{good}");
    let bad = history.of_source("bad.raw");
    assert_eq!(bad["event"], "rejected");
    assert!(bad["reason"].is_string() && bad["output"].is_null(), "{bad}");
    site.npyd(&["history"]).expect_code(0).expect_words(&["good.raw", "bad.raw", "good.npy"]);
}

/// It is tried again and again, and told why each time; the text is written once.
#[test]
fn one_that_can_not_be_set_aside() {
    let site = Site::new();
    fs::create_dir(site.path("bad")).unwrap();
    site.configure(&format!("rejects = \"{}\"", site.path("bad").display()));
    site.drop_file("scan.raw", [0; 25]).drop_file("scan.raw.toml", SCAN_MANIFEST);
    let gate = |mode| {
        fs::set_permissions(site.path("in"), fs::Permissions::from_mode(mode)).unwrap();
    };
    gate(0o555);
    let swept = [0; 2].map(|_| site.npyd_by_rights(&["sweep"]));
    gate(0o755);
    assert_eq!(site.names("bad"), ["scan.raw.rejected.txt"]);
    for outcome in swept {
        outcome.expect_code(1).expect_words(&["failed", "25 bytes", "Permission denied"]);
    }
    site.sweep().expect_code(1).expect_words(&["25 bytes", "it is in", "/bad` now"]);
    let moved = ["scan.raw", "scan.raw.rejected.txt", "scan.raw.toml"];
    assert_eq!(site.names("bad"), moved);
    site.npyd(&["retry", "bad/scan.raw"]).expect_code(0);
    assert_eq!(site.names("in"), ["scan.raw", "scan.raw.toml"]);
}

/// npyd moves a sidecar with its rejected drop, and back, if the sidecar belongs to that drop
/// alone: left behind, it would only wait for its data. This also applies to unusable sidecars, and
/// to moves to another file system. A sidecar that may describe other data stays.
#[test]
fn a_sidecar_that_its_manifest_overrides_goes_along() {
    const ENVI: &str = "ENVI\nsamples = 3\nlines = 2\nbands = 1\ndata type = 4\nbyte order = 0\n\
        interleave = bsq\n";
    for text in [ENVI, "ENVI\nsamples = x\n"] {
        let site = Site::new();
        fs::create_dir(site.path("bad")).unwrap();
        site.configure("rejects = \"bad\"");
        site.drop_file("scan.raw", scan_bytes()).drop_file("scan.hdr", text);
        site.drop_file("scan.toml", "dtype = '<f4'\nshape = [3]\n");
        site.drop_file("other.hdr", ENVI).drop_file("scan.raw.note", "x");
        site.sweep_until("rejected");
        assert_eq!(site.names("in"), ["other.hdr", "scan.raw.note"], "{text}");
        let moved = ["scan.hdr", "scan.raw", "scan.raw.rejected.txt", "scan.toml"];
        assert_eq!(site.names("bad"), moved, "{text}");
        site.write("bad/scan.toml", SCAN_MANIFEST);
        site.npyd(&["retry", "--all"]).expect_code(0);
        assert_eq!(site.names("bad"), [""; 0], "{text}");
        let told = site.sweep_until("finalized");
        told.expect_words(&["`scan.hdr` also describes it; the manifest `scan.toml` counts"]);
        assert_eq!(site.read("out/scan.npy"), scan_npy(), "{text}");
    }
}

/// Each setting that can matter has a rejected drop judged again; its receipt is written again only
/// if the reason changed.
#[test]
fn judged_again_by_other_settings() {
    let site = Site::new();
    site.drop_file("scan.raw", [0; 28]).drop_file("scan.raw.toml", SCAN_MANIFEST);
    site.settle("rejected", 1);
    for settings in ["on_conflict = 'number'", "readers = 'any'", "readers = 'any'"] {
        site.configure(settings);
        let outcome = site.sweep().expect_code(0);
        assert!(outcome.json().is_empty(), "{settings}: {outcome}");
        assert_eq!(site.history().len(), 1, "{settings}");
        let told = site.npyd(&["explain", "in/scan.raw"]).expect_code(0);
        told.expect_words(&["verdict        rejected", "it has 28 bytes, not the declared 24"]);
    }
    // Where it goes is news.
    fs::create_dir(site.path("bad")).unwrap();
    site.configure(&format!("rejects = '{}'", site.path("bad").display()));
    let receipts = site.sweep_until("rejected").json();
    assert!(receipts[0]["reason"].as_str().unwrap().contains("it is in `"), "{receipts:#?}");
    // And so is the array.
    let site = Site::new();
    site.drop_file("scan.raw", [0; 28]).drop_file("scan.raw.toml", SCAN_MANIFEST);
    site.settle("rejected", 1);
    site.configure("readers = 'any'").sweep().expect_code(0);
    site.configure("allow_trailing = true");
    site.settle("finalized", 1);
}
