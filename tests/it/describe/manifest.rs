//! Drops with a manifest beside the data.

use std::fs;

use serde_json::json;

use crate::support::{
    Receipts, SCAN_MANIFEST, Site, load, npy, npy_header, python, reason, scan_bytes, scan_npy,
};

/// The manifest of a scan, in JSON.
const JSON_MANIFEST: &str = r#"{"dtype": "<f4", "shape": [2, 3]}"#;

/// Keys of the configuration have no effect in a manifest: the receipt says where they belong.
#[test]
fn keys_of_the_configuration_have_no_effect() {
    let site = Site::with("allow_trailing = true");
    site.drop_file("a.raw", [0; 9]);
    let keys = "allow_trailing = false\nmarker = 'DONE'\nworkers = 4\n";
    site.drop_file("a.raw.toml", format!("dtype = '<f4'\nshape = [2]\n{keys}"));
    let receipt = site.sweep().expect_code(0).only_receipt();
    let said = reason(&receipt);
    for words in [
        "key `allow_trailing`: it belongs in the configuration, under [[drop]]",
        "key `marker`: it belongs in the configuration, under [[drop.template]]",
    ] {
        assert!(said.contains(words), "{said}");
    }
    assert!(!said.contains("workers"), "{said}");
    site.configure("");
    site.drop_file("b.raw", [0; 9])
        .drop_file("b.raw.toml", format!("dtype = '<f4'\nshape = [2]\n{keys}"));
    let receipts = site.sweep().expect_code(1).json();
    let rejected = receipts.of_event("rejected");
    let said = reason(rejected[0]);
    assert!(said.contains("set allow_trailing in the configuration"), "{said}");
}

/// An array that npyd made is not raw data, even if a file beside it describes it as such.
#[test]
fn arrays_of_npyds_are_no_data() {
    for (name, text) in [
        ("scan.npy.toml", "note = 'x"),
        ("scan.npy.toml", "dtype = '|u1'\nshape = [-1]\n"),
        ("about.toml", "dtype = '|u1'\nshape = [-1]\ndata = 'scan.npy'\n"),
        ("about.toml", "dtype = '|u1'\nshape = [-1]\ndata = ['scan.npy']\n"),
    ] {
        let site = Site::new();
        let bad = site.path("bad");
        fs::create_dir(&bad).unwrap();
        let settings = format!("source = 'remove'\nrejects = '{}'", bad.display());
        let config = site.configuration("state", &settings);
        let config: Vec<_> = config.lines().filter(|line| !line.starts_with("output")).collect();
        site.write("npyd.toml", config.join("\n"));
        site.scan("scan").sweep_until("finalized");
        site.drop_file(name, text);
        let told = site.sweep();
        assert!(site.has("in/scan.npy"), "{name}: {text}: {told}");
        assert_eq!(site.read("in/scan.npy"), scan_npy(), "{name}: {text}");
        assert!(!site.has("in/about.npy"), "{name}: {text}");
    }
}

#[test]
fn a_manifest_has_any_of_four_names() {
    let site = Site::new();
    let manifests = [
        ("a", "a.raw.toml", SCAN_MANIFEST),
        ("b", "b.raw.json", JSON_MANIFEST),
        ("c", "c.toml", SCAN_MANIFEST),
        ("d", "d.json", JSON_MANIFEST),
    ];
    for (stem, manifest, text) in manifests {
        site.drop_file(&format!("{stem}.raw"), scan_bytes()).drop_file(manifest, text);
    }
    let receipts = site.sweep().expect_code(0).json();
    assert_eq!(site.names("out"), ["a.npy", "b.npy", "c.npy", "d.npy"]);
    for (stem, manifest, _) in manifests {
        assert_eq!(site.read(&format!("out/{stem}.npy")), scan_npy(), "{manifest}");
        assert!(site.has(&format!("in/{stem}.raw")) && site.has(&format!("in/{manifest}")));
        let receipt = receipts.of_source(&format!("{stem}.raw"));
        assert_eq!(receipt["event"], "finalized");
        assert_eq!(receipt["route"], "copy");
        assert_eq!(receipt["evidence"], "size");
        assert_eq!(receipt["bytes"], 24);
        assert!(receipt["seconds"].is_number() && receipt["drop"].is_string(), "{receipt}");
        let output = receipt["output"].as_str().unwrap();
        assert!(output.ends_with(&format!("{stem}.npy")), "{receipt}");
    }
}

/// A drop: the manifest, the data file, and the array file they become.
struct Case {
    name: &'static str,
    manifest: &'static str,
    data: Vec<u8>,
    array: Vec<u8>,
}

/// Arrays of every sort that a manifest can describe, all in one sweep.
#[test]
fn a_manifest_says_what_the_array_is() {
    const STRUCTURED: &str = "[('a', '<i2'), ('b', '<f4', (3,))]";
    let data = |length: u8| (0..length).collect::<Vec<u8>>();
    let cases = [
        Case {
            name: "fortran",
            manifest: "dtype = '<f4'\nshape = [2, 3]\norder = 'F'",
            data: data(24),
            array: npy("'<f4'", true, &[2, 3], &data(24)),
        },
        Case {
            name: "list",
            manifest: "dtype = [['a', '<i2'], ['b', '<f4', [3]]]\nshape = [2]",
            data: data(28),
            array: npy(STRUCTURED, false, &[2], &data(28)),
        },
        Case {
            name: "literal",
            manifest: "dtype = \"[('a','<i2'),('b','<f4',(3,))]\"\nshape = [2]",
            data: data(28),
            array: npy(STRUCTURED, false, &[2], &data(28)),
        },
        Case {
            name: "between",
            manifest: "dtype = '<i2'\nshape = [4]\noffset = 5\ntrailing = 7",
            data: data(20),
            array: npy("'<i2'", false, &[4], &data(20)[5..13]),
        },
        Case {
            name: "scalar",
            manifest: "dtype = '>f8'\nshape = []",
            data: data(8),
            array: npy("'>f8'", false, &[], &data(8)),
        },
        Case {
            name: "nothing",
            manifest: "dtype = '<f8'\nshape = [0, 3]",
            data: data(0),
            array: npy("'<f8'", false, &[0, 3], &data(0)),
        },
    ];
    let site = Site::new();
    for case in &cases {
        site.drop_file(&format!("{}.raw", case.name), &case.data);
        site.drop_file(&format!("{}.raw.toml", case.name), case.manifest);
    }
    site.sweep().expect_code(0);
    for case in &cases {
        assert_eq!(site.read(&format!("out/{}.npy", case.name)), case.array, "{}", case.name);
    }
}

/// The growth axis is the first for C and the last for Fortran, and only whole records count.
#[test]
fn an_open_growth_axis_comes_from_the_size() {
    let site = Site::with("allow_trailing = false");
    let data: Vec<u8> = (0..48).collect();
    site.drop_file("c.raw", &data).drop_file("c.toml", "dtype = '<i2'\nshape = [-1, 2, 3]");
    site.drop_file("f.raw", &data);
    site.drop_file("f.toml", "dtype = '<i2'\nshape = [2, 3, -1]\norder = 'F'");
    let mut daemon = site.daemon();
    daemon.wait_for_file("out/c.npy").wait_for_file("out/f.npy");
    assert_eq!(site.read("out/c.npy"), npy("'<i2'", false, &[4, 2, 3], &data));
    assert_eq!(site.read("out/f.npy"), npy("'<i2'", true, &[2, 3, 4], &data));
    daemon.wait_for_receipts("finalized", 2);
    assert_eq!(site.history().of_source("c.raw")["evidence"], "no-writer");
}

/// The manifest names both the data file and the array.
#[test]
fn a_manifest_may_name_its_data_and_its_output() {
    let site = Site::new();
    site.drop_file("detector-7.bin", scan_bytes());
    let names = "data = 'detector-7.bin'\noutput = 'final.npy'\n";
    site.drop_file("run.toml", format!("{SCAN_MANIFEST}{names}"));
    site.sweep().expect_code(0);
    assert_eq!(site.names("out"), ["final.npy"]);
    assert_eq!(site.read("out/final.npy"), scan_npy());
}

/// With reserved bytes the data stay where they are, and the raw file becomes the array.
#[test]
fn reserved_bytes_take_the_header_in_place() {
    let Some(python) = python() else { return };
    let site = Site::new();
    site.drop_file("scan.raw", [vec![0; 192], scan_bytes()].concat());
    site.drop_file("scan.raw.toml", format!("{SCAN_MANIFEST}reserved = 192\n"));
    let inode = site.inode("in/scan.raw");
    let receipts = site.sweep().expect_code(0).json();
    assert_eq!(receipts.of_source("scan.raw")["route"], "in-place");
    assert_eq!(site.inode("out/scan.npy"), inode);
    let array = load(&python, site.path("out/scan.npy"));
    assert_eq!(array["offset"], 192);
    assert_eq!(array["values"], json!([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]));
    assert_eq!(site.names("in"), [""; 0]);
    assert_eq!(site.names("out"), ["scan.npy", "scan.raw.toml.done"]);
}

/// A header that doesn't fit the reserved bytes never costs data: then it is a copy.
#[test]
fn reserved_bytes_too_few_for_the_header_mean_a_copy() {
    let site = Site::new();
    let data = [vec![0; 64], scan_bytes()].concat();
    site.drop_file("scan.raw", &data);
    site.drop_file("scan.raw.toml", format!("{SCAN_MANIFEST}reserved = 64\n"));
    assert!(npy_header("'<f4'", false, &[2, 3]).len() > 64);
    let receipts = site.sweep().expect_code(0).json();
    let receipt = receipts.of_source("scan.raw");
    assert_eq!(receipt["route"], "copy");
    assert!(receipt["reason"].as_str().is_some_and(|it| it.contains("64")), "{receipt}");
    assert_eq!(site.read("out/scan.npy"), scan_npy());
    assert_eq!(site.read("in/scan.raw"), data);
}

/// Keys of the user's own are no error, and stay in the manifest when it moves.
#[test]
fn metadata_of_the_users_own_are_kept() {
    let site = Site::with("source = \"remove\"");
    let manifest = format!("{SCAN_MANIFEST}operator = 'Ada'\n\n[stage]\nx_mm = 1.5\n");
    site.drop_file("scan.raw", scan_bytes()).drop_file("scan.toml", &manifest);
    site.sweep().expect_code(0);
    assert_eq!(site.names("out"), ["scan.npy", "scan.toml.done"]);
    assert_eq!(site.read("out/scan.toml.done"), manifest.as_bytes());
}

#[test]
fn data_and_manifest_arrive_in_any_order() {
    let site = Site::new();
    site.drop_file("early.raw", scan_bytes());
    site.drop_file("late.raw.toml", SCAN_MANIFEST);
    site.sweep().expect_code(0);
    assert_eq!(site.names("out"), [""; 0]);
    site.drop_file("early.raw.toml", SCAN_MANIFEST);
    site.drop_file("late.raw", scan_bytes());
    site.sweep().expect_code(0);
    assert_eq!(site.names("out"), ["early.npy", "late.npy"]);
}

/// A TOML or JSON file without dtype and shape is not a manifest.
#[test]
fn other_peoples_files_are_left_alone() {
    let site = Site::new();
    site.drop_file("scan.raw", scan_bytes()).drop_file("scan.toml", "exposure_ms = 5\n");
    site.drop_file("notes.json", "[1, 2]").drop_file("readme.txt", "hello");
    let others = site.names("in");
    let receipts = site.scan("good").sweep().expect_code(0).json();
    assert!(receipts.of_event("rejected").is_empty(), "{receipts:#?}");
    assert!(others.iter().all(|name| site.has(&format!("in/{name}"))), "{others:?}");
    assert_eq!(site.names("out"), ["good.npy"]);
}

/// A misspelt key would make a wrong array: the drop is refused until it is corrected. What has a
/// meaning of its own, or a value that the key can't have, is metadata.
#[test]
fn a_key_that_is_nearly_npyds_own_is_refused() {
    let site = Site::new();
    let data = [&[9; 8][..], &scan_bytes()].concat();
    site.drop_file("scan.raw", &data);
    site.drop_file("scan.toml", format!("{SCAN_MANIFEST}offest = 8\n"));
    // The size fits either way.
    site.drop_file("f.raw", scan_bytes());
    site.drop_file("f.json", r#"{"dtype": "<f4", "shape": [2, 3], "ordr": "F"}"#);
    site.drop_file("named.u8", scan_bytes());
    site.drop_file("n.toml", format!("{SCAN_MANIFEST}data = 'named.u8'\nouput = 'n.npy'\n"));
    let history = site.settle("rejected", 3);
    for (source, manifest, key, meant) in [
        ("scan.raw", "`scan.toml`", "`offest`", "`offset`"),
        ("f.raw", "`f.json`", "`ordr`", "`order`"),
        ("named.u8", "`n.toml`", "`ouput`", "`output`"),
    ] {
        let reason = history.of_source(source)["reason"].as_str().unwrap().to_owned();
        for word in [manifest, key, meant, "rename your own"] {
            assert!(reason.contains(word), "{source}: {reason}");
        }
    }
    assert_eq!(site.names("out"), [""; 0]);
    assert_eq!(site.read("in/scan.raw"), data);
    site.drop_file("scan.toml", format!("{SCAN_MANIFEST}offset = 8\n"));
    site.drop_file("f.json", r#"{"dtype": "<f4", "shape": [2, 3], "border": "F"}"#);
    site.drop_file("n.toml", format!("{SCAN_MANIFEST}data = 'named.u8'\noffest = 'left'\n"));
    let receipts = site.settle("finalized", 3);
    for (name, source, remark) in [
        ("scan", "scan.raw", None),
        ("f", "f.raw", Some("border")),
        ("named", "named.u8", Some("offest")),
    ] {
        assert_eq!(site.read(&format!("out/{name}.npy")), scan_npy());
        let made = receipts.of_event("finalized");
        let made = made.iter().find(|it| it["source"].as_str().unwrap().ends_with(source));
        let reason = made.unwrap()["reason"].as_str().unwrap_or_default();
        assert_eq!(
            reason.contains("npyd ignores the manifest's key"),
            remark.is_some(),
            "{reason}"
        );
        assert!(remark.is_none_or(|key| reason.contains(key)), "{reason}");
    }
}

/// TOML adds a key at the end of a text to its last table. The receipt and `explain` say so.
#[test]
fn a_key_at_the_end_of_a_table_has_no_effect() {
    for (tables, table) in [
        ("[camera]\ngain = 3\n", "`[camera]`"),
        ("[fields]\ngain = 3\n", "`[fields]`"),
        ("[[axes]]\nname = 'y'\n\n[[axes]]\nname = 'x'\n", "`[[axes]]`"),
    ] {
        let site = Site::new();
        site.drop_file("scan.raw", scan_bytes());
        site.drop_file("scan.toml", format!("{SCAN_MANIFEST}{tables}order = 'F'\n"));
        let remark =
            format!("`order` is in {table} and has no effect: move it above the first `[`");
        site.npyd(&["explain", "in/scan.raw"]).expect_code(0).expect_words(&[&remark]);
        let receipt = site.sweep().expect_code(0).only_receipt();
        assert!(receipt["reason"].as_str().unwrap().contains(&remark), "{receipt}");
        assert_eq!(site.read("out/scan.npy"), scan_npy());
        site.drop_file("scan.toml", format!("{SCAN_MANIFEST}order = 'F'\n{tables}"));
        let receipt = site.sweep_until("remade").only_receipt();
        assert!(!receipt["reason"].as_str().unwrap().contains("no effect"), "{receipt}");
        assert_eq!(site.read("out/scan.npy"), npy("'<f4'", true, &[2, 3], &scan_bytes()));
    }
}

/// Without its key `data` a manifest waits for data of another name, and says why.
#[test]
fn the_name_of_the_data_at_the_end_of_a_table() {
    let site = Site::new();
    site.drop_file("x.u1", scan_bytes());
    site.drop_file("scan.toml", format!("{SCAN_MANIFEST}[camera]\ngain = 3\ndata = 'x.u1'\n"));
    let why = "`data` is in `[camera]` and has no effect: move it above the first `[`";
    site.npyd(&["explain", "in/scan.toml"]).expect_code(0).expect_words(&["waiting", why]);
    site.sweep().expect_code(0).expect_words(&[why]);
    site.drop_file("scan.toml", format!("{SCAN_MANIFEST}data = 'x.u1'\n[camera]\ngain = 3\n"));
    site.sweep().expect_code(0);
    assert_eq!(site.read("out/x.npy"), scan_npy());
}

/// Data that differ only behind a decimal point become arrays of different names.
#[test]
fn decimal_points_stay_in_names() {
    let site =
        Site::with("\n[[drop.template]]\nmatch = \"*.0??\"\ndtype = \"<f4\"\nshape = [2, 3]");
    for name in ["scene_0.5m", "scene_0.25m"] {
        site.drop_file(name, scan_bytes());
        let lines = "samples = 3\nlines = 2\nbands = 1\ndata type = 4\ninterleave = bip\n";
        site.drop_file(&format!("{name}.hdr"), format!("ENVI\n{lines}byte order = 0\n"));
    }
    site.drop_file("T_4.2K", scan_bytes()).drop_file("T_4.2K.toml", SCAN_MANIFEST);
    site.drop_file("T_4.5K.raw", scan_bytes()).drop_file("T_4.5K.toml", SCAN_MANIFEST);
    site.drop_file("frame.001", scan_bytes()).drop_file("frame.002", scan_bytes());
    site.settle("finalized", 6);
    let arrays = ["T_4.2K", "T_4.5K", "frame.001", "frame.002", "scene_0.25m", "scene_0.5m"];
    assert_eq!(site.names("out"), arrays.map(|name| format!("{name}.npy")));
    let scene = site.read("out/scene_0.5m.npy");
    assert_eq!(scene, npy("'<f4'", false, &[2, 3, 1], &scan_bytes()));
}

/// Without `output` in the configuration the array lies beside its data.
#[test]
fn without_an_output_directory_the_array_lies_beside_its_data() {
    let site = Site::new();
    let config = String::from_utf8(site.read("npyd.toml")).unwrap();
    let lines = config.lines().filter(|line| !line.starts_with("output"));
    site.write("npyd.toml", lines.collect::<Vec<_>>().join("\n"));
    site.scan("scan").sweep().expect_code(0);
    assert_eq!(site.names("in"), ["scan.npy", "scan.raw", "scan.raw.toml"]);
    assert_eq!(site.read("in/scan.npy"), scan_npy());
    assert_eq!(site.sweep().expect_code(0).json().of_event("finalized").len(), 0);
}

/// A manifest is not data, in whatever form its key `data` names it.
#[test]
fn data_that_name_the_manifest_itself() {
    for (data, event, words) in [
        ("'x.toml'", "rejected", "it names itself as data: write the name of the raw file"),
        ("['x.toml']", "rejected", "it lists itself as data: remove it from the list"),
        ("'x.*'", "waiting", "no file matches `x.*` yet"),
        ("'X.TOML'", "waiting", "its data file `X.TOML` is not there yet"),
    ] {
        let site = Site::new();
        site.drop_file("x.toml", format!("dtype = '<f4'\nshape = [-1]\ndata = {data}\n"));
        let told = site.sweep_until(event).expect_words(&[words]);
        assert!(!told.stdout.contains("letter case"), "{told}");
        assert_eq!(site.names("out"), [""; 0], "{data}");
    }
}

/// Several manifests of one series' files: the message names the file, whichever is probed first.
#[test]
fn globs_and_lists_that_have_a_common_file() {
    for (one, other, part) in [
        ("'f_*.raw'", "'f_[23]?raw'", "f_2.raw"),
        ("'f_[12].ra*'", "'f_[23].ra*'", "f_2.raw"),
        ("['f_3.raw', 'f_1.raw']", "'f_3.*'", "f_3.raw"),
        ("['f_3.raw', 'f_1.raw']", "['f_1.raw']", "f_1.raw"),
    ] {
        let site = Site::new();
        for at in 1..4 {
            site.drop_file(&format!("f_{at}.raw"), scan_bytes());
        }
        for (name, data) in [("a.toml", one), ("b.toml", other)] {
            site.drop_file(name, format!("dtype = '<f4'\nshape = [-1]\ndata = {data}\n"));
        }
        let receipts = site.settle("rejected", 1);
        for receipt in receipts.of_event("rejected") {
            let told = receipt["reason"].as_str().unwrap();
            let names = told.contains("`a.toml`") && told.contains("`b.toml`");
            let part = format!("describe its part `{part}`");
            assert!(names && told.contains(&part), "{one} and {other}: {told}");
        }
        assert_eq!(site.names("out"), [""; 0], "{one} and {other}");
    }
}

/// If a directory or a pipe has the name of the data file, the message says so.
#[test]
fn data_that_are_no_file() {
    let site = Site::new();
    fs::create_dir(site.path("in/dir")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, site.path("in/pipe"), rustix::fs::Mode::RUSR).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", site.path("in/link")).unwrap();
    let cases = [
        ("'dir'", "its data file `dir` is a directory: correct the name"),
        ("['dir']", "its data file `dir` is a directory: correct the name"),
        ("['dir', 'x.raw']", "its data file `dir` is a directory: correct the name"),
        ("'pipe'", "its data file `pipe` is not a regular file: put the file itself there"),
        ("'link'", "its data file `link` is not a regular file: put the file itself there"),
    ];
    for (number, (data, words)) in cases.into_iter().enumerate() {
        let name = format!("about-{number}.toml");
        site.drop_file(&name, format!("dtype = '<f4'\nshape = [2, 3]\ndata = {data}\n"));
        site.npyd(&["explain", &format!("in/{name}")]).expect_code(0).expect_words(&[words]);
    }
    // A directory that has the name of data without being named is no reason to wait otherwise.
    fs::create_dir(site.path("in/scan")).unwrap();
    site.drop_file("scan.toml", "dtype = '<f4'\nshape = [2, 3]\n");
    let told = site.npyd(&["explain", "in/scan.toml"]).expect_code(0);
    told.expect_words(&["its data file is not there yet"]);
}
