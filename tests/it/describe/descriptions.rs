//! Several descriptions of one data file: npyd finds all of them, however they name the file. A
//! manifest overrides instruments' sidecars; several of one kind are refused.

use std::{fs, thread};

use serde_json::Value;

use crate::support::{Receipts, SCAN_MANIFEST, Site, npy, scan_bytes, scan_npy, wait_until};

/// Descriptions of `scan.raw`, each naming it in its own way, and each valid for itself: manifests,
/// then sidecars.
const WAYS: [(&str, &str); 8] = [
    ("scan.raw.toml", "dtype = '<f4'\nshape = [2, 3]\n"),
    ("scan.json", "{\"dtype\": \"<f4\", \"shape\": [3, 2]}"),
    ("about.toml", "dtype = '<i4'\nshape = [6]\ndata = 'scan.raw'\n"),
    ("zabout.json", "{\"dtype\": \"<u4\", \"shape\": [-1], \"data\": \"scan.raw\"}"),
    (
        "meta.mhd",
        "NDims = 2\nDimSize = 3 2\nElementType = MET_FLOAT\nBinaryDataByteOrderMSB = False\n\
         ElementDataFile = scan.raw\n",
    ),
    (
        "nrrd.nhdr",
        "NRRD0004\ntype: float\ndimension: 2\nsizes: 3 2\nendian: little\nencoding: raw\n\
         data file: scan.raw\n",
    ),
    (
        "rf.sigmf-meta",
        "{\"global\": {\"core:datatype\": \"rf32_le\", \"core:version\": \"1.0.0\", \
         \"core:dataset\": \"scan.raw\"}, \"captures\": [], \"annotations\": []}",
    ),
    (
        "scan.hdr",
        "ENVI\nsamples = 3\nlines = 2\nbands = 1\ndata type = 4\nbyte order = 0\ninterleave = bsq\n\
         header offset = 0\n",
    ),
];

/// The number of manifests among them.
const MANIFESTS: usize = 4;

/// Returns all pairs of two manifests and of two sidecars.
fn pairs() -> impl Iterator<Item = ((&'static str, &'static str), (&'static str, &'static str))> {
    let pair = |one: usize| (one + 1..WAYS.len()).map(move |other| (WAYS[one], WAYS[other]));
    let is_manifest = |(name, _): (&str, _)| WAYS[..MANIFESTS].iter().any(|it| it.0 == name);
    let pairs = (0..WAYS.len()).flat_map(pair);
    pairs.filter(move |(one, other)| is_manifest(*one) == is_manifest(*other))
}

/// Returns the array that a manifest of [`WAYS`] describes.
fn array_by(manifest: &str) -> Vec<u8> {
    let (descr, shape): (_, &[u64]) = match manifest {
        "scan.raw.toml" => ("'<f4'", &[2, 3]),
        "scan.json" => ("'<f4'", &[3, 2]),
        "about.toml" => ("'<i4'", &[6]),
        _ => ("'<u4'", &[6]),
    };
    npy(descr, false, shape, &scan_bytes())
}

/// The remark that a manifest overrides a sidecar.
fn overrides(manifest: &str, sidecar: &str) -> String {
    format!("`{sidecar}` also describes it; the manifest `{manifest}` counts")
}

/// Whether a text names both, in any order.
fn names_both(text: &str, one: &str, other: &str) -> bool {
    [(one, other), (other, one)]
        .iter()
        .any(|(one, other)| text.contains(&format!("both `{one}` and `{other}` describe it")))
}

#[test]
fn each_describes_it_alone() {
    for (name, text) in WAYS {
        let site = Site::new();
        site.drop_file("scan.raw", scan_bytes()).drop_file(name, text);
        site.sweep_until("finalized");
        assert!(site.has("out/scan.npy"), "{name}");
    }
}

#[test]
fn two_of_one_kind_are_refused_by_all_commands() {
    for ((one, first), (other, second)) in pairs() {
        let site = Site::new();
        site.drop_file("scan.raw", scan_bytes()).drop_file(one, first).drop_file(other, second);
        let told = site.sweep().expect_code(1);
        let receipts = told.json();
        let reason = receipts.of_source("scan.raw")["reason"].as_str().unwrap_or_default();
        assert!(names_both(reason, one, other), "{one} and {other}: {told}");
        for name in ["scan.raw", one, other] {
            let file = format!("in/{name}");
            let told = site.npyd(&["explain", &file]);
            assert!(names_both(&told.stdout, one, other), "{name} of {one} and {other}: {told}");
        }
        site.sweep().expect_code(0);
        site.lose_ledger();
        let told = site.sweep().expect_code(1);
        assert!(names_both(&told.stdout, one, other), "{one} and {other}: {told}");
        assert_eq!(site.names("out"), [""; 0], "{one} and {other}");
        assert_eq!(site.names("in").len(), 3, "{one} and {other}");
    }
}

/// `npyd finalize` has no setting for the quiet time, so the cases wait for it side by side.
#[test]
fn two_of_one_kind_are_refused_by_finalize() {
    let check = |((one, first), (other, second)): ((&str, &str), (&str, &str))| {
        let site = Site::new();
        site.drop_file("scan.raw", scan_bytes()).drop_file(one, first).drop_file(other, second);
        let files = ["scan.raw", one, other].map(|name| format!("in/{name}"));
        let told = site.npyd(&["finalize", &files[0], &files[1], &files[2]]).expect_code(1);
        let refused = told.stdout.lines().filter(|line| names_both(line, one, other)).count();
        assert_eq!(refused, 3, "{told}");
        assert_eq!(site.names("in").len(), 3, "{one} and {other}");
    };
    thread::scope(|scope| {
        for pair in pairs() {
            scope.spawn(move || check(pair));
        }
    });
}

#[test]
fn three_are_named() {
    let site = Site::new();
    site.scan("scan");
    for (name, text) in &WAYS[2..4] {
        site.drop_file(name, text);
    }
    let told = site.sweep().expect_code(1);
    told.expect_words(&[
        "`scan.raw.toml`, `about.toml` and `zabout.json` describe it",
        "all but one",
    ]);
}

/// Whatever comes first, and though the last one makes the drop complete.
#[test]
fn the_daemon_refuses_them_in_any_order() {
    let site = Site::with("rescan = \"1s\"");
    let daemon = site.daemon();
    let ways = [WAYS[0], WAYS[1], WAYS[2], WAYS[4], WAYS[5]];
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let mut stem = 0;
    // Each data file, and in how many states npyd may see and refuse it.
    let mut states = Vec::new();
    for (one, other) in [(0, 1), (0, 2), (3, 4)] {
        for order in orders {
            stem += 1;
            let data = format!("{stem}.raw");
            let described = |(name, text): (&str, &str)| {
                let name = name.replace("scan", &stem.to_string());
                let name = name.replace("about", &format!("about{stem}"));
                let name = name.replace("meta", &format!("meta{stem}"));
                let name = name.replace("nrrd", &format!("nrrd{stem}"));
                (name, text.replace("scan.raw", &data).into_bytes())
            };
            let files =
                [described(ways[one]), described(ways[other]), (data.clone(), scan_bytes())];
            // One that is complete with the first is finished at once: the data come in two steps.
            let is_data_last = order[2] == 2;
            states.push((data.clone(), if is_data_last { 1 } else { 2 }));
            for at in order {
                let (name, content) = &files[at];
                let whole = at != 2 || is_data_last;
                let len = if whole { content.len() } else { content.len() - 1 };
                site.drop_file(name, &content[..len]);
            }
            if !is_data_last {
                thread::sleep(std::time::Duration::from_millis(50));
                site.drop_file(&data, scan_bytes());
            }
        }
    }
    let refused = |log: String| log.matches("describe it: remove one of them").count();
    wait_until("all refusals", || daemon.log(), || refused(daemon.log()) >= stem);
    daemon.stop();
    // What the daemon had no time for.
    site.sweep();
    let history = site.history();
    let rejected = history.of_event("rejected");
    // On a busy machine the daemon may hear of the second one after it made the array.
    for array in site.names("out") {
        let data = site.path("in").join(array.replace(".npy", ".raw")).display().to_string();
        let is_told = |receipt: &&Value| {
            let reason = receipt["reason"].as_str().unwrap_or_default();
            receipt["source"] == data && reason.contains("stays as it is")
        };
        assert!(rejected.iter().copied().any(|it| is_told(&it)), "{array}: {rejected:#?}");
    }
    for (data, states) in states {
        let path = site.path("in").join(&data).display().to_string();
        let count = rejected.iter().filter(|receipt| receipt["source"] == path).count();
        assert!((1..=states).contains(&count), "{data} was refused {count} times: {rejected:#?}");
    }
}

/// While the first is waiting to be quiet.
#[test]
fn a_second_one_while_the_drop_settles() {
    for (name, text) in &WAYS[1..MANIFESTS] {
        let site = Site::new();
        let config = site.configuration("state", "").replace("200ms", "1s");
        site.write("npyd.toml", config);
        let daemon = site.daemon();
        site.drop_file("scan.raw", scan_bytes());
        site.drop_file("scan.raw.toml", "dtype = '<f4'\nshape = [-1, 3]\n");
        thread::sleep(std::time::Duration::from_millis(200));
        site.drop_file(name, text);
        wait_until("the refusal", || daemon.log(), || daemon.log().contains("describe it"));
        assert!(names_both(&daemon.log(), "scan.raw.toml", name), "{}", daemon.log());
        daemon.stop();
        assert_eq!(site.names("out"), [""; 0], "{name}");
    }
}

/// The array exists and was correct. It stays, and so does the drop.
#[test]
fn a_second_one_after_the_array() {
    for (at, pair) in pairs().enumerate() {
        let ((one, first), (other, second)) = if at % 2 == 0 { pair } else { (pair.1, pair.0) };
        let site = Site::new();
        fs::create_dir(site.path("bad")).unwrap();
        site.configure(&format!("rejects = '{}'", site.path("bad").display()));
        site.drop_file("scan.raw", scan_bytes()).drop_file(one, first);
        site.sweep_until("finalized");
        let array = site.identity("out/scan.npy");
        if at % 3 == 0 {
            site.lose_ledger();
        }
        site.drop_file(other, second);
        let told = site.sweep_until("rejected");
        assert!(names_both(&told.stdout, one, other), "{one}, then {other}: {told}");
        let told = told.expect_words(&[&format!("made with `{one}` and stays as it is")]);
        assert_eq!(told.code, 1, "{told}");
        assert_eq!(site.sweep().expect_code(0).stdout, "", "it is told once");
        assert_eq!(site.names("in").len(), 3, "{one}, then {other}");
        assert_eq!(site.names("bad"), [""; 0], "{one}, then {other}");
        fs::remove_file(site.path("in").join(other)).unwrap();
        site.sweep().expect_code(0);
        assert_eq!(site.names("out"), ["scan.npy"], "{one}, then {other}");
        assert_eq!(site.identity("out/scan.npy"), array, "{one}, then {other}");
    }
}

/// The same told by events, and by a daemon that has not seen the first.
#[test]
fn a_second_one_after_the_array_and_a_restart() {
    let site = Site::new();
    site.drop_file("scan.raw", scan_bytes()).drop_file("about.toml", WAYS[2].1);
    let mut daemon = site.daemon();
    daemon.wait_for_file("out/scan.npy");
    daemon.stop();
    let array = site.identity("out/scan.npy");
    let daemon = site.daemon();
    site.drop_file("scan.raw.toml", SCAN_MANIFEST);
    wait_until("the refusal", || daemon.log(), || daemon.log().contains("made with `about.toml`"));
    assert!(names_both(&daemon.log(), "scan.raw.toml", "about.toml"), "{}", daemon.log());
    daemon.stop();
    assert_eq!(site.identity("out/scan.npy"), array);
}

/// Where the data are gone, the second one may be for what comes next: it waits, and says so.
#[test]
fn a_second_one_after_the_data_are_gone() {
    let site = Site::with("source = \"remove\"");
    site.scan("scan").sweep().expect_code(0);
    site.drop_file("about.toml", WAYS[2].1);
    let told = site.sweep().expect_code(0);
    told.expect_words(&["not there yet", "out/scan.npy`, described by `scan.raw.toml`"]);
    assert_eq!(site.read("out/scan.npy"), scan_npy());
}

/// Once one of them is gone, the other counts, whichever that is.
#[test]
fn the_one_that_is_left_counts() {
    for (at, gone) in ["scan.raw.toml", "about.toml"].iter().enumerate() {
        let site = Site::new();
        site.scan("scan").drop_file("about.toml", WAYS[2].1).sweep().expect_code(1);
        fs::remove_file(site.path("in").join(gone)).unwrap();
        site.sweep_until("finalized");
        let right = [npy("'<i4'", false, &[6], &scan_bytes()), scan_npy()];
        assert_eq!(site.read("out/scan.npy"), right[at], "without {gone}");
    }
}

/// One that names another file by now describes that.
#[test]
fn one_that_was_corrected_counts_no_more() {
    let site = Site::new();
    site.scan("scan").drop_file("about.toml", WAYS[2].1).sweep().expect_code(1);
    site.drop_file("about.toml", WAYS[2].1.replace("scan.raw", "b.u4"));
    site.drop_file("b.u4", scan_bytes()).sweep_until("finalized");
    site.settle("finalized", 2);
    assert_eq!(site.names("out"), ["b.npy", "scan.npy"]);
    assert_eq!(site.read("out/scan.npy"), scan_npy());
}

/// However both name the data, and whichever command reads them.
#[test]
fn a_manifest_overrides_a_sidecar() {
    for (manifest, text) in &WAYS[..MANIFESTS] {
        for (sidecar, other) in &WAYS[MANIFESTS..] {
            let site = Site::new().with_short_quiet_time();
            site.drop_file("scan.raw", scan_bytes());
            site.drop_file(manifest, text).drop_file(sidecar, other);
            let remark = overrides(manifest, sidecar);
            for name in ["scan.raw", manifest, sidecar] {
                let told = site.npyd(&["explain", &format!("in/{name}")]);
                told.expect_words(&["manifest", &remark, &format!("in/{manifest}")]);
            }
            site.sweep_until("finalized").expect_words(&[&remark]);
            assert_eq!(site.read("out/scan.npy"), array_by(manifest), "{manifest}, {sidecar}");
            assert_eq!(site.sweep().expect_code(0).stdout, "", "{manifest}, {sidecar}");
            site.lose_ledger();
            assert_eq!(site.sweep_until("found").json().len(), 1, "{manifest}, {sidecar}");
            assert_eq!(site.names("out"), ["scan.npy"], "{manifest}, {sidecar}");
        }
    }
}

#[test]
fn a_manifest_overrides_a_sidecar_for_finalize() {
    let site = Site::new();
    site.drop_file("scan.raw", scan_bytes()).drop_file(WAYS[2].0, WAYS[2].1);
    site.drop_file(WAYS[4].0, WAYS[4].1);
    let told = site.npyd(&["finalize", "in/scan.raw", "in/meta.mhd"]).expect_code(0);
    told.expect_words(&[&overrides("about.toml", "meta.mhd")]);
    assert_eq!(site.read("in/scan.npy"), array_by("about.toml"));
}

#[test]
fn a_manifest_overrides_several_sidecars() {
    let site = Site::new();
    site.scan("scan");
    for (name, text) in &WAYS[MANIFESTS..] {
        site.drop_file(name, text);
    }
    let told = site.sweep_until("finalized");
    told.expect_words(&[
        "`scan.hdr`, `meta.mhd`, `nrrd.nhdr`, `rf.sigmf-meta` also describe it",
        "; the manifest `scan.raw.toml` counts",
    ]);
}

/// No manifest takes precedence over another manifest, even if sidecars exist.
#[test]
fn a_sidecar_beside_two_manifests() {
    let site = Site::new();
    site.scan("scan").drop_file("about.toml", WAYS[2].1).drop_file("scan.hdr", WAYS[7].1);
    let told = site.sweep().expect_code(1);
    assert!(names_both(&told.stdout, "scan.raw.toml", "about.toml"), "{told}");
    assert_eq!(site.names("out"), [""; 0]);
}

/// A sidecar that can't be used, or is not finished, does not matter beside a manifest.
#[test]
fn a_manifest_overrides_a_wrong_sidecar() {
    let finished = WAYS[7].1;
    for text in [
        finished.replace("data type = 4", "data type = 99"),
        finished.replace("lines = 2", "lines = 200"),
        finished.replace("samples = 3\n", ""),
        finished.replace("bsq", "bs"),
        finished[..40].to_owned(),
    ] {
        for name in ["scan.hdr", "scan.raw.hdr"] {
            let site = Site::new();
            site.scan("scan").drop_file(name, &text);
            site.sweep_until("finalized").expect_code(0);
            assert_eq!(site.read("out/scan.npy"), scan_npy(), "{text}");
            assert_eq!(site.sweep().expect_code(0).stdout, "", "{text}");
        }
    }
}

/// Its author meant it to count, so the sidecar does not replace it.
#[test]
fn a_wrong_manifest_is_refused_beside_a_sidecar() {
    let site = Site::new();
    site.drop_file("scan.raw", scan_bytes()).drop_file("scan.hdr", WAYS[7].1);
    site.drop_file("scan.raw.toml", "dtype = '<q4'\nshape = [2, 3]\n");
    site.sweep().expect_code(1).expect_words(&["the manifest `scan.raw.toml` can't be used"]);
    assert_eq!(site.names("out"), [""; 0]);
    site.drop_file("scan.raw.toml", SCAN_MANIFEST).sweep_until("finalized");
    assert_eq!(site.read("out/scan.npy"), scan_npy());
}

/// The array was made with the sidecar: the manifest corrects it.
#[test]
fn a_manifest_after_the_array() {
    for (manifest, text) in &WAYS[..MANIFESTS] {
        let site = Site::new();
        site.drop_file("scan.raw", scan_bytes()).drop_file("meta.mhd", WAYS[4].1);
        site.sweep_until("finalized");
        assert_eq!(site.read("out/scan.npy"), scan_npy());
        let made = site.inode("out/scan.npy");
        site.drop_file(manifest, text);
        let event = if array_by(manifest) == scan_npy() { "found" } else { "remade" };
        site.sweep_until(event).expect_words(&[&overrides(manifest, "meta.mhd")]);
        assert_eq!(site.read("out/scan.npy"), array_by(manifest));
        assert_eq!(site.inode("out/scan.npy") == made, event == "found", "{manifest}");
        // All bytes of the old array are in the new one.
        assert_eq!(site.names("out"), ["scan.npy"], "{manifest}");
        assert_eq!(site.sweep().expect_code(0).stdout, "", "{manifest}");
        // Without the manifest the sidecar counts again.
        fs::remove_file(site.path("in").join(manifest)).unwrap();
        site.sweep_until(event);
        assert_eq!(site.read("out/scan.npy"), scan_npy(), "{manifest}");
    }
}

/// The array was made with the manifest: the sidecar changes nothing.
#[test]
fn a_sidecar_after_the_array() {
    for (at, (sidecar, text)) in WAYS[MANIFESTS..].iter().enumerate() {
        let site = Site::new();
        let (manifest, other) = WAYS[at];
        site.drop_file("scan.raw", scan_bytes()).drop_file(manifest, other);
        site.sweep_until("finalized");
        let array = site.identity("out/scan.npy");
        site.drop_file(sidecar, text);
        assert_eq!(site.sweep().expect_code(0).stdout, "", "{manifest}, then {sidecar}");
        site.lose_ledger();
        site.sweep_until("found");
        assert_eq!(site.identity("out/scan.npy"), array, "{manifest}, then {sidecar}");
    }
}

#[test]
fn the_daemon_takes_a_manifest_after_the_array() {
    let site = Site::new();
    let mut daemon = site.daemon();
    site.drop_file("meta.mhd", WAYS[4].1).drop_file("scan.raw", scan_bytes());
    daemon.wait_for_receipts("finalized", 1);
    site.drop_file("about.toml", WAYS[2].1);
    daemon.wait_for_receipts("remade", 1);
    daemon.stop();
    assert_eq!(site.read("out/scan.npy"), array_by("about.toml"));
}

/// An overridden sidecar leaves with its data, so that it does not wait for new data.
#[test]
fn an_overridden_sidecar_goes_with_the_source() {
    for archives in [false, true] {
        let site = Site::new();
        let gone = site.path("gone").display().to_string();
        let setting = if archives {
            fs::create_dir(&gone).unwrap();
            format!("source = 'archive'\narchive = '{gone}'")
        } else {
            "source = 'remove'".to_owned()
        };
        site.configure(&(setting + "\nremove_unproven = true"));
        site.scan("scan").drop_file("scan.hdr", WAYS[7].1).sweep_until("finalized");
        assert_eq!(site.names("in"), [""; 0]);
        if archives {
            assert_eq!(site.names("gone"), ["scan.hdr", "scan.raw", "scan.raw.toml"]);
        } else {
            assert_eq!(site.names("out"), ["scan.hdr.done", "scan.npy", "scan.raw.toml.done"]);
        }
        assert_eq!(site.sweep().expect_code(0).stdout, "");
    }
}

/// A file that holds the data of an array with others, and is described alone, too.
#[test]
fn a_part_that_has_a_description_of_its_own() {
    let mhd =
        "NDims = 2\nDimSize = 12 2\nElementType = MET_UCHAR\nElementDataFile = s%d.u8 1 2 1\n";
    let own = [
        ("s2.u8.toml", "dtype = '|u1'\nshape = [12]\n"),
        ("about.toml", "dtype = '|u1'\nshape = [12]\ndata = 's2.u8'\n"),
        ("s1.u8.toml", "dtype = '|u1'\nshape = [12]\n"),
    ];
    for (name, text) in own {
        let site = Site::new();
        site.drop_file("scan.mhd", mhd).drop_file(name, text);
        site.drop_file("s1.u8", [1; 12]).drop_file("s2.u8", [2; 12]);
        let told = site.sweep().expect_code(1);
        let told = told.expect_words(&["`scan.mhd`", &format!("`{name}`"), "describe it"]);
        assert_eq!(site.names("out"), [""; 0], "{told}");
        for file in ["s1.u8", "s2.u8", "scan.mhd", name] {
            let explained = site.npyd(&["explain", &format!("in/{file}")]);
            explained.expect_words(&["`scan.mhd`", &format!("`{name}`"), "remove one of them"]);
        }
        fs::remove_file(site.path("in").join(name)).unwrap();
        site.sweep_until("finalized");
        assert_eq!(site.names("out"), ["scan.npy"]);
    }
}
