//! Descriptions and data whose names differ in letter case alone, as after a copy from Windows.

use crate::support::{Receipts, Site, npy, reason, scan_bytes, wait_until};

/// An ENVI sidecar of the bytes of a scan.
const ENVI: &str = "ENVI\nsamples = 3\nlines = 2\nbands = 1\ndata type = 4\nbyte order = 0\n\
    interleave = bsq\n";

/// A manifest that describes them in another way.
const MANIFEST: &str = "dtype = '<u4'\nshape = [6]\n";

fn array_by_manifest() -> Vec<u8> {
    npy("'<u4'", false, &[6], &scan_bytes())
}

fn array_by_sidecar() -> Vec<u8> {
    npy("'<f4'", false, &[1, 2, 3], &scan_bytes())
}

/// A sidecar, a data file and a manifest, of which each two have names in different letter case.
const NAMES: [(&str, &str, &str); 10] = [
    ("E.HDR", "e.img", "e.img.toml"),
    ("E.HDR", "e.img", "E.img.toml"),
    ("E.HDR", "e.img", "E.json.toml"),
    ("e.hdr", "E.IMG", "e.img.toml"),
    ("e.hdr", "E.IMG", "E.IMG.toml"),
    ("E.hdr", "e.img", "E.toml"),
    ("e.hdr", "E.img", "e.toml"),
    ("e.hdr", "e.img", "E.IMG.toml"),
    ("d.hdr", "D.RAW", "d.toml"),
    ("D.IMG.HDR", "d.img", "D.toml"),
];

#[test]
fn a_sidecar_finds_its_data_as_gdal_does() {
    for (sidecar, data, _) in NAMES {
        let site = Site::new();
        site.drop_file(sidecar, ENVI).drop_file(data, scan_bytes());
        site.sweep_until("finalized").expect_code(0);
        let array = format!("out/{}.npy", data.split_once('.').unwrap().0);
        assert_eq!(site.read(&array), array_by_sidecar(), "{sidecar}, {data}");
        assert_eq!(site.sweep().expect_code(0).stdout, "", "{sidecar}, {data}");
    }
}

#[test]
fn a_manifest_overrides_a_sidecar() {
    for (sidecar, data, manifest) in NAMES {
        let text = format!("{MANIFEST}{}", named_data(manifest));
        for usable in [ENVI, "ENVI\nsamples = x\n"] {
            let site = Site::with("source = \"remove\"");
            site.drop_file(data, scan_bytes()).drop_file(sidecar, usable);
            site.drop_file(manifest, &text);
            let account = format!("{sidecar}, {data}, {manifest}, {usable}");
            let remark = format!("`{sidecar}` also describes it; the manifest `{manifest}` counts");
            for name in [data, sidecar, manifest] {
                let explained = site.npyd(&["explain", &format!("in/{name}")]);
                explained.expect_words(&[&remark, "manifest"]);
            }
            let receipts = site.sweep_until("finalized").expect_code(0).json();
            assert_eq!(receipts.len(), 1, "{account}: {receipts:#?}");
            assert!(reason(&receipts[0]).contains(&remark), "{account}: {receipts:#?}");
            let array = format!("{}.npy", data.split_once('.').unwrap().0);
            assert_eq!(site.read(&format!("out/{array}")), array_by_manifest(), "{account}");
            // Both descriptions go with the data, so that nothing waits for them.
            assert_eq!(site.names("in"), [""; 0], "{account}");
            assert!(site.has(&format!("out/{sidecar}.done")), "{account}");
            assert_eq!(site.sweep().expect_code(0).stdout, "", "{account}");
        }
    }
}

/// Returns the key `data` of a manifest whose name does not lead to its data.
fn named_data(manifest: &str) -> &str {
    if manifest == "E.json.toml" { "data = 'E.IMG'\n" } else { "" }
}

/// The daemon has read both descriptions when the data come.
#[test]
fn the_daemon_takes_data_that_come_last() {
    let site = Site::new();
    let daemon = site.daemon();
    site.drop_file("E.HDR", ENVI).drop_file("E.img.toml", MANIFEST);
    let waiting = "waiting for 2 drops";
    wait_until("both to wait", || daemon.log(), || daemon.log().contains(waiting));
    site.drop_file("e.img", scan_bytes());
    wait_until("the array", || daemon.log(), || site.has("out/e.npy"));
    assert_eq!(site.read("out/e.npy"), array_by_manifest());
    daemon.stop();
    assert_eq!(site.history().of_event("finalized").len(), 1);
}

/// A manifest that comes after the array corrects it.
#[test]
fn a_manifest_after_the_array() {
    let site = Site::new();
    site.drop_file("E.HDR", ENVI).drop_file("e.img", scan_bytes()).sweep_until("finalized");
    assert_eq!(site.read("out/e.npy"), array_by_sidecar());
    site.drop_file("E.img.toml", MANIFEST).sweep_until("remade");
    assert_eq!(site.read("out/e.npy"), array_by_manifest());
    site.lose_ledger();
    assert_eq!(site.sweep_until("found").json().len(), 1);
    assert_eq!(site.names("out"), ["e.npy"]);
}

/// No file is guessed: the exact name counts more, two that fit are none, and a file that has a
/// manifest of its own name is not another manifest's.
#[test]
fn files_that_a_manifest_may_not_mean() {
    let site = Site::new();
    site.drop_file("e.toml", MANIFEST).drop_file("e.img", scan_bytes());
    site.drop_file("E.IMG", [0; 24]).sweep_until("finalized");
    assert_eq!(site.names("out"), ["e.npy"]);

    let site = Site::new();
    site.drop_file("e.toml", MANIFEST).drop_file("E.img", scan_bytes()).drop_file("E.IMG", [0; 24]);
    let waiting = site.sweep().expect_code(0).only_receipt();
    assert!(reason(&waiting).contains("`E.img`, `E.IMG`; rename the right one"), "{waiting:#?}");

    let site = Site::new();
    site.drop_file("e.toml", MANIFEST).drop_file("E.img", scan_bytes());
    site.drop_file("E.img.toml", MANIFEST.replace("u4", "i4"));
    let receipts = site.sweep_until("finalized").json();
    assert_eq!(receipts.of_source("E.img")["event"], "finalized", "{receipts:#?}");
    assert_eq!(receipts.of_source("e.toml")["event"], "waiting", "{receipts:#?}");
    assert_eq!(site.read("out/E.npy"), npy("'<i4'", false, &[6], &scan_bytes()));
}

/// A list and a glob are exact: which files they mean can't be guessed. The wait names the others.
#[test]
fn lists_and_globs_are_exact() {
    for (data, lies, words) in [
        (
            "['d.raw']",
            &["D.RAW"][..],
            "`d.raw` is not there yet; in other letter case there is `D.RAW`",
        ),
        (
            "['d.raw', 'e.raw']",
            &["d.raw", "E.raw"],
            "`e.raw` is not there yet; in other letter case there is `E.raw`",
        ),
        (
            "'d_*.raw'",
            &["D_2.RAW", "D_1.RAW"],
            "`d_*.raw` yet; in other letter case there is `D_1.RAW`, `D_2.RAW`",
        ),
    ] {
        let site = Site::new();
        site.drop_file("run.toml", format!("dtype = '<u4'\nshape = [-1]\ndata = {data}\n"));
        for name in lies {
            site.drop_file(name, scan_bytes());
        }
        let told = site.sweep().expect_code(0);
        told.expect_words(&[words, ": correct the name in its description, or rename the file"]);
        site.npyd(&["explain", "in/run.toml"]).expect_words(&[words]);
        assert_eq!(site.names("out"), [""; 0], "{data}");
    }
}
