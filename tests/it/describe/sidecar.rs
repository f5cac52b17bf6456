//! What becomes of data with a sidecar, tried with the smallest sidecar format.

use serde_json::Value;

use crate::support::{Receipts, Site, npy};

/// Six `>u2` in a shape of (2, 3) behind 16 bytes.
const RIPPLE: &str = "key\tvalue\nwidth\t3\nheight\t2\ndepth\t1\noffset\t16\ndata-length\t2\n\
    data-type\tunsigned\nbyte-order\tbig-endian\nrecord-by\tdont-care\ndate\t2026-01-02\n";

fn data() -> Vec<u8> {
    (0..12).collect()
}

fn raw() -> Vec<u8> {
    [&[9; 16][..], &data()].concat()
}

#[test]
fn a_sidecar_alone_tells_what_the_data_are() {
    for settings in ["", "metadata = \"json\""] {
        let site = Site::with(settings);
        site.drop_file("scan.raw", raw()).drop_file("scan.rpl", RIPPLE);
        let receipts = site.sweep().expect_code(0).json();
        assert_eq!(receipts.of_source("scan.raw")["evidence"], "size");
        assert_eq!(site.read("out/scan.npy"), npy("'>u2'", false, &[2, 3], &data()));
        assert_eq!(site.names("in"), ["scan.raw", "scan.rpl"]);
        if settings.is_empty() {
            assert_eq!(site.names("out"), ["scan.npy"]);
            continue;
        }
        let told: Value = serde_json::from_slice(&site.read("out/scan.npy.json")).unwrap();
        assert_eq!(told["described_by"], "RPL sidecar");
        assert_eq!(told["sidecar"], "scan.rpl");
        assert_eq!(told["axes"][1]["name"], "width");
        assert_eq!(told["fields"]["date"], "2026-01-02");
        assert_eq!(told["receipt"]["event"], "finalized");
        // Nothing is a drop of its own, and another sweep finds nothing to do.
        assert!(site.sweep().expect_code(0).json().is_empty());
        site.lose_ledger().sweep_until("found");
        assert_eq!(site.names("out"), ["scan.npy", "scan.npy.json"]);
    }
}

#[test]
fn a_manifests_keys_are_metadata_too() {
    let site = Site::with("metadata = \"json\"");
    site.drop_file("a.raw", data());
    site.drop_file("a.toml", "dtype = '<u2'\nshape = [6]\ngain = 2.5\n");
    site.drop_file("b.raw", data());
    site.drop_file("b.toml", "dtype = '<u2'\nshape = [6]\n");
    site.write("out/b.npy.json", "somebody else's");
    let receipts = site.sweep().expect_code(0).json();
    let told: Value = serde_json::from_slice(&site.read("out/a.npy.json")).unwrap();
    assert_eq!(told["fields"], serde_json::json!({"gain": 2.5}));
    assert_eq!(site.read("out/b.npy.json"), b"somebody else's");
    let reason = receipts.of_source("b.raw")["reason"].clone();
    assert!(reason.as_str().unwrap().contains("already exists"), "{reason}");
}

/// The daemon sees them in any order.
#[test]
fn whatever_comes_first() {
    let site = Site::new();
    let mut daemon = site.daemon();
    site.drop_file("a.raw", raw()).drop_file("a.rpl", RIPPLE);
    site.drop_file("b.rpl", RIPPLE).drop_file("b.raw", raw());
    site.drop_file("c.rpl", RIPPLE).drop_file("c.raw", &raw()[..20]);
    for name in ["a", "b"] {
        daemon.wait_for_file(&format!("out/{name}.npy"));
    }
    assert!(!site.has("out/c.npy"));
    site.drop_file("c.raw", raw());
    daemon.wait_for_file("out/c.npy");
    assert!(daemon.stop().success());
}

#[test]
fn the_sidecar_is_kept_where_the_data_go() {
    for (source, kept) in [("remove", "out/scan.rpl.done"), ("archive", "old/scan.rpl")] {
        let site = Site::new();
        std::fs::create_dir(site.path("old")).unwrap();
        let archive = if source == "archive" { "\narchive = \"old\"" } else { "" };
        site.configure(&format!("source = \"{source}\"{archive}"));
        site.drop_file("scan.raw", raw()).drop_file("scan.rpl", RIPPLE);
        site.sweep().expect_code(0);
        assert_eq!(site.names("in"), [""; 0]);
        assert_eq!(site.read(kept), RIPPLE.as_bytes());
    }
}

#[test]
fn two_that_claim_the_same_data_are_refused() {
    let site = Site::new();
    site.drop_file("scan.raw", raw()).drop_file("scan.rpl", RIPPLE);
    site.drop_file("scan.hdr", "ENVI\nsamples = 3\nlines = 2\nbands = 1\ndata type = 12\n");
    let rejected = site.sweep_until("rejected").json();
    let reason = rejected.of_source("scan.raw")["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("scan.rpl") && reason.contains("scan.hdr"), "{reason}");
}

#[test]
fn a_refusal_names_the_line() {
    let site = Site::new();
    site.drop_file("scan.raw", raw());
    site.drop_file("scan.rpl", RIPPLE.replace("big-endian", "middle-endian"));
    let rejected = site.sweep_until("rejected").json();
    let reason = rejected.of_source("scan.raw")["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("scan.rpl") && reason.contains("line 8"), "{reason}");
}

/// A manifest made of a sidecar makes the same array.
#[test]
fn as_a_manifest() {
    let site = Site::new();
    site.drop_file("scan.raw", raw()).drop_file("scan.rpl", RIPPLE);
    site.npyd(&["manifest", "in/scan.rpl"]).expect_code(0).expect_words(&["dtype = \">u2\""]);
    site.npyd(&["manifest", "in/scan.raw", "-o", "in/scan.raw.toml"]).expect_code(0);
    site.npyd(&["manifest", "in/scan.raw", "-o", "in/scan.raw.toml"]).expect_code(2);
    std::fs::remove_file(site.path("in/scan.rpl")).unwrap();
    site.sweep().expect_code(0);
    assert_eq!(site.read("out/scan.npy"), npy("'>u2'", false, &[2, 3], &data()));
    site.npyd(&["formats"]).expect_code(0).expect_words(&["RPL", "x.rpl"]);
}

/// A manifest made of a sidecar ends in a table, so it says where a further key belongs: there the
/// key has an effect, and none of the sidecar's fields causes a remark.
#[test]
fn a_further_key_in_a_manifest_that_was_converted() {
    let site = Site::new();
    site.drop_file("scan.raw", raw()).drop_file("scan.rpl", RIPPLE);
    let text = site.npyd(&["manifest", "in/scan.rpl"]).expect_code(0).stdout;
    let (keys, tables) = text.split_once("# Write further keys").unwrap();
    assert!(!keys.contains('[') || !keys.contains("\n["), "{text}");
    assert!(tables.contains("above this line") && tables.contains("\n[fields]"), "{text}");
    std::fs::remove_file(site.path("in/scan.rpl")).unwrap();
    let further = "output = \"other.npy\"\n";
    let keys = keys.replace("output = \"scan.npy\"\n", further);
    assert!(keys.contains(further), "{text}");
    site.drop_file("scan.toml", format!("{keys}# Write further keys{tables}"));
    let receipt = site.sweep().expect_code(0).only_receipt();
    assert!(receipt.get("reason").is_none_or(Value::is_null), "{receipt}");
    assert_eq!(site.read("out/other.npy"), npy("'>u2'", false, &[2, 3], &data()));
}

/// A sidecar's manifest says what the sidecar says, whatever else describes the data.
#[test]
fn as_a_manifest_beside_others() {
    let site = Site::new();
    site.drop_file("scan.raw", raw()).drop_file("scan.rpl", RIPPLE);
    let alone = site.npyd(&["manifest", "in/scan.rpl"]).expect_code(0).stdout;
    site.drop_file("scan.toml", "dtype = '<u4'\nshape = [3]\nnote = 'by hand'\n");
    site.drop_file("scan.hdr", "ENVI\nsamples = 3\nlines = 2\nbands = 1\ndata type = 12\n");
    assert_eq!(site.npyd(&["manifest", "in/scan.rpl"]).expect_code(0).stdout, alone);
    site.npyd(&["manifest", "in/scan.raw"]).expect_code(0).expect_words(&["by hand", "<u4"]);
    let hint = "`in/scan.toml` is a manifest already: give a sidecar, or the data file";
    site.npyd(&["manifest", "in/scan.toml"]).expect_code(2).expect_words(&[hint]);
    let told = site.npyd(&["manifest", "in/scan.hdr"]).expect_code(2);
    told.expect_words(&["scan.hdr", "`interleave`"]);
}

/// A sidecar that lists several data files becomes a manifest that lists them.
#[test]
fn as_a_manifest_of_several_files() {
    let site = Site::new();
    let list = "NDims = 2\nDimSize = 3 2\nElementType = MET_USHORT\nElementDataFile = LIST 1\n";
    site.drop_file("v.mhd", format!("{list}b.raw\na.raw\n"));
    site.drop_file("b.raw", &data()[..6]).drop_file("a.raw", &data()[6..]);
    site.npyd(&["manifest", "in/v.mhd", "-o", "in/w.toml"]).expect_code(0);
    std::fs::remove_file(site.path("in/v.mhd")).unwrap();
    site.sweep_until("finalized");
    assert_eq!(site.read("out/v.npy"), npy("'<u2'", false, &[2, 3], &data()));
}

/// The message names the sidecar, its keys, the numbers, and what to do.
#[test]
fn a_size_that_does_not_fit_names_the_sidecar() {
    let keys = "(width, height, depth, data-length, offset)";
    for (size, words) in [
        (
            22,
            format!(
                "it has 22 of the 28 bytes that `scan.rpl` declares {keys}; if it is complete,"
            ),
        ),
        (38, format!("it has 38 bytes, but `scan.rpl` declares 28 {keys}:")),
    ] {
        let site = Site::new();
        site.drop_file("scan.raw", &[&raw()[..], &[7; 10]].concat()[..size]);
        site.drop_file("scan.rpl", RIPPLE);
        let remedy = " correct those, put a manifest beside it, or ";
        let event = if size < 28 { "waiting" } else { "rejected" };
        let receipts = site.sweep_until(event).json();
        let told = receipts.of_source("scan.raw")["reason"].as_str().unwrap().to_owned();
        assert!(told.contains(&format!("{words}{remedy}use `npyd take`")), "{told}");
        assert_eq!(receipts.of_source("scan.raw")["reason_kind"], "size");
        let told = site.npyd(&["finalize", "in/scan.raw"]).expect_code(1);
        told.expect_words(&[&words, remedy, "give --dtype and --shape"]);
        site.npyd(&["take", "in/scan.raw"]).expect_code(0);
        let receipts = site.sweep_until("finalized").expect_code(0).json();
        assert_eq!(receipts.of_source("scan.raw")["evidence"], "taken");
    }
}
