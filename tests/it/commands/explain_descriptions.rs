//! `npyd explain`: descriptions without data, data without a description, and which file belongs to
//! which.

use serde_json::Value;

use crate::support::{PendingFile, SCAN_MANIFEST, Site, scan_bytes, wait_until};

fn explain(site: &Site, file: &str) -> Value {
    site.npyd(&["explain", "--json", &format!("in/{file}")]).only_receipt()
}

/// Asserts the verdict, and words in the explanation.
#[track_caller]
fn assert_told(told: &Value, verdict: &str, words: &[&str]) {
    assert_eq!(told["verdict"], verdict, "{told:#}");
    for word in words {
        assert!(told.to_string().contains(word), "no `{word}` in {told:#}");
    }
}

const METAIMAGE: &str = "NDims = 2\nDimSize = 3 2\nElementType = MET_FLOAT\nElementDataFile = ";
const ENVI: &str =
    "ENVI\nsamples = 3\nlines = 2\nbands = 1\ndata type = 4\ninterleave = bsq\nbyte order = 0\n";

/// A sidecar that names other data is named as what it is, and so is what to correct.
#[test]
fn a_sidecar_of_other_data() {
    let site = Site::new();
    site.drop_file("m.mhd", format!("{METAIMAGE}other.raw\n")).drop_file("m.raw", scan_bytes());
    site.drop_file("n.hdr", ENVI).drop_file("n.dat.hdr", "ENVI\nno more\n");
    let told = explain(&site, "m.raw");
    assert_told(
        &told,
        "ignored",
        &["`m.mhd` describes other data: it names `other.raw`", "the data file in `m.mhd`"],
    );
    assert!(!told.to_string().contains("neither"), "{told:#}");
    let told = explain(&site, "m.mhd");
    assert_told(
        &told,
        "waiting",
        &["`other.raw` is not there yet", "there is `m.raw`", "correct the name in `m.mhd`"],
    );
    assert_eq!(told["taken_for"], "MetaImage sidecar");
    let told = explain(&site, "n.hdr");
    assert_eq!(told["taken_for"], "ENVI sidecar", "{told:#}");
    assert!(!told["notes"].to_string().contains("beside it"), "{told:#}");
    // Without the keys of the format it is not a sidecar.
    site.drop_file("o.mhd", "Ndims = 2\nElementType = MET_FLOAT\n").drop_file("o.raw", [0; 24]);
    assert_told(&explain(&site, "o.raw"), "ignored", &["has neither `NDims`", "correct `o.mhd`"]);
    // As it says.
    site.drop_file("m.mhd", format!("{METAIMAGE}m.raw\n"));
    wait_until(
        "the array",
        || site.sweep().to_string(),
        || site.sweep().code == 0 && site.has("out/m.npy"),
    );
}

/// A sidecar that can't be used is named with the reason for that, and not as one that lacks its
/// mark, both for one file and in the list of a directory.
#[test]
fn data_of_a_sidecar_that_can_not_be_used() {
    let site = Site::new();
    let compressed = METAIMAGE.replace("DimSize", "CompressedData = True\nDimSize");
    site.drop_file("vol.mhd", format!("{compressed}vol.zraw\n")).drop_file("vol.zraw", "data");
    site.drop_file("other.mhd", format!("{compressed}far.zraw\n")).drop_file("far.zraw", "data");
    let nrrd = "NRRD0004\ntype: short\ndimension: 1\nsizes: 3\nencoding: gzip\nendian: little\n";
    site.drop_file("g.nhdr", format!("{nrrd}data file: g.raw.gz\n")).drop_file("g.raw.gz", "data");
    site.drop_file("near.mhd", "Ndims = 2\nElementType = MET_FLOAT\n")
        .drop_file("near.dat", "data");
    let told = explain(&site, "vol.zraw");
    assert_told(&told, "ignored", &["`vol.mhd` can't be used: line 2", "correct `vol.mhd`"]);
    assert!(!told.to_string().contains("neither"), "{told:#}");
    let told = explain(&site, "far.zraw");
    assert_told(&told, "ignored", &["`other.mhd` names it, but can't be used: line 2"]);
    let told = explain(&site, "g.raw.gz");
    assert_told(&told, "ignored", &["`g.nhdr` names it, but can't be used: line 5"]);
    assert_told(&explain(&site, "near.dat"), "ignored", &["`near.mhd` looks like a MetaImage"]);
    let told = site.npyd(&["explain", "in"]).expect_code(0);
    for (name, words) in [
        ("vol.zraw", "`vol.mhd` can't be used: line 2"),
        ("far.zraw", "`other.mhd` names it, but can't be used: line 2"),
        ("g.raw.gz", "`g.nhdr` names it, but can't be used: line 5"),
        ("near.dat", "`near.mhd` looks like a MetaImage sidecar, but it has neither"),
    ] {
        let line = told.stdout.lines().find(|line| line.contains(&format!("{name}: ")));
        assert!(line.is_some_and(|line| line.contains(words)), "{name}: {told}");
    }
}

/// What waits for a file of another name, or names it in other letter case, is named.
#[test]
fn data_that_a_description_does_not_reach() {
    let site = Site::new();
    site.drop_file("cam.toml", SCAN_MANIFEST).drop_file("cam.tif", scan_bytes());
    let list = |names: &str| format!("dtype = '<f4'\nshape = [-1, 3]\ndata = {names}\n");
    site.drop_file("s.toml", list("['A1.raw', 'a2.raw']"));
    site.drop_file("a1.raw", scan_bytes()).drop_file("a2.raw", scan_bytes());
    let bad = list("['c1.raw', 'c2.raw']").replace("<f4", "bogus");
    site.drop_file("r.toml", bad).drop_file("c1.raw", scan_bytes());
    site.drop_file("w.toml", list("['e1.raw', 'e2.raw']")).drop_file("e1.raw", scan_bytes());
    for (file, verdict, words) in [
        (
            "cam.tif",
            "ignored",
            "`cam.toml` waits for its data: if this is it, add `data = \\\"cam.tif",
        ),
        ("a1.raw", "ignored", "`s.toml` names `A1.raw`, in other letter case"),
        ("a2.raw", "waiting", "`s.toml`, which describes it, waits: its data file `A1.raw`"),
        ("c1.raw", "ignored", "`r.toml` names it, but can't be used: "),
        ("e1.raw", "waiting", "`w.toml`, which describes it, waits: its data file `e2.raw`"),
    ] {
        let told = explain(&site, file);
        assert_told(&told, verdict, &[words]);
        assert!(told["taken_for"].is_null(), "{file}: {told:#}");
        assert!(!told.to_string().contains("put a manifest"), "{file}: {told:#}");
    }
    assert_eq!(explain(&site, "w.toml")["taken_for"], "manifest");
    // What no description means is still advised to get one.
    site.drop_file("cam2.tif", scan_bytes()).drop_file("c9.raw", scan_bytes());
    for file in ["cam2.tif", "c9.raw"] {
        assert_told(&explain(&site, file), "ignored", &["put a manifest `"]);
    }
    // As it says.
    site.drop_file("cam.toml", format!("{SCAN_MANIFEST}data = 'cam.tif'\n"));
    wait_until(
        "the array",
        || site.sweep().to_string(),
        || {
            site.sweep();
            site.has("out/cam.npy")
        },
    );
    // The description has its data: it waits for none.
    site.drop_file("cam.png", scan_bytes());
    assert_told(&explain(&site, "cam.png"), "ignored", &["put a manifest `"]);
}

/// A manifest whose two required keys are misspelt was meant as one.
#[test]
fn a_manifest_without_its_keys() {
    let site = Site::new();
    site.drop_file("a.raw", scan_bytes()).drop_file("a.toml", "dtpye = '<f4'\nshpae = [2, 3]\n");
    site.drop_file("b.raw", scan_bytes())
        .drop_file("b.raw.json", "{\"Dtype\": \"<f4\", \"Shape\": [6]}");
    site.drop_file("lone.toml", "DTYPE = '<f4'\nShape = [2, 3]\n");
    for (file, words) in [
        ("a.raw", "did you mean `dtype` by `dtpye` and `shape` by `shpae`?"),
        ("b.raw", "did you mean `dtype` by `Dtype` and `shape` by `Shape`?"),
        ("lone.toml", "did you mean `dtype` by `DTYPE` and `shape` by `Shape`?"),
    ] {
        let account = || explain(&site, file).to_string();
        wait_until("the rejection", account, || explain(&site, file)["verdict"] == "rejected");
        assert_told(&explain(&site, file), "rejected", &[words]);
    }
    // Of another program.
    site.drop_file("c.raw", scan_bytes()).drop_file("c.toml", "title = 'x'\nsize = [2, 3]\n");
    assert_told(
        &explain(&site, "c.raw"),
        "ignored",
        &["write the keys `dtype` and `shape` into `c.toml`"],
    );
    assert_told(&explain(&site, "c.toml"), "ignored", &["it needs the keys `dtype` and `shape`"]);
    let told = explain(&site, "c.toml");
    assert!(!told.to_string().contains(".toml.toml"), "{told:#}");
}

/// What `npyd take` would take is said before and after the rejection, also of a pending file.
#[test]
fn what_take_would_take() {
    let site = Site::new();
    site.scan("long").drop_file("long.raw", [1; 28]);
    site.scan("short").drop_file("short.raw", [1; 16]);
    site.drop_file("torn.npy.part", PendingFile::writing(&[4, 3]).with(&[7; 30]));
    site.drop_file("pending.npy.part", PendingFile::ready(&[4, 3]).with(&[7; 30]));
    let take = |file: &str| explain(&site, file)["take"].as_str().unwrap_or_default().to_owned();
    let all = [
        ("long.raw", "2 rows, and 4 bytes behind them"),
        ("short.raw", "1 row of 2 declared, and 4 bytes behind them"),
        ("torn.npy.part", "2 of 4 declared records"),
        ("pending.npy.part", "2 of 4 declared records"),
    ];
    let account = || format!("{:?}", all.map(|(file, _)| take(file)));
    wait_until("the previews", account, || {
        all.iter().all(|(file, words)| take(file).contains(words))
    });
    site.settle("rejected", 1);
    assert_eq!(explain(&site, "long.raw")["verdict"], "rejected");
    for (file, words) in all {
        assert!(take(file).contains(words), "{file}: {}", take(file));
    }
    assert_eq!(take("long.raw.toml"), all[0].1);
}

/// A description's explanation names its data.
#[test]
fn the_data_of_a_description() {
    let site = Site::new();
    site.scan("scan");
    let list = "dtype = '<f4'\nshape = [-1, 3]\ndata = ['p1.raw', 'p2.raw']\n";
    site.drop_file("s.toml", list).drop_file("p1.raw", [1; 12]).drop_file("p2.raw", [2; 12]);
    let data = |file: &str| explain(&site, file)["data"].as_str().map(str::to_owned);
    let scan = site.path("in/scan.raw").display().to_string();
    for _ in 0..2 {
        assert_eq!(data("scan.raw.toml"), Some(scan.clone()));
        assert_eq!(data("scan.raw"), None);
        assert_eq!(data("s.toml").as_deref(), Some("2 files: `p1.raw`, `p2.raw`"));
        assert_eq!(data("p1.raw"), None);
        site.settle("finalized", 2);
    }
    let told = site.npyd(&["explain", "in/scan.raw.toml"]).expect_code(0);
    told.expect_words(&[&format!("data file      {scan}")]);
}
