//! What is said about rejected drops: where they are, why, and what to do. By `npyd explain`,
//! `npyd history --rejected`, `npyd check`, and a description that waits for rejected data.

use std::fs;

use serde_json::Value;

use crate::support::{Receipts, SCAN_MANIFEST, Site, scan_bytes, scan_npy};

/// A site whose rejected drops move to `bad`.
fn site() -> Site {
    let site = Site::new();
    fs::create_dir(site.path("bad")).unwrap();
    site.configure(&settings(&site));
    site
}

fn settings(site: &Site) -> String {
    format!("recursive = true\nrejects = '{}'", site.path("bad").display())
}

/// Drops `STEM.raw` of 28 bytes instead of 24, and its manifest `STEM.toml`, and has them rejected.
fn reject(site: &Site, stem: &str) {
    site.drop_file(&format!("{stem}.raw"), [7; 28]);
    site.drop_file(&format!("{stem}.toml"), SCAN_MANIFEST).sweep_until("rejected");
}

#[track_caller]
fn explained(site: &Site, file: &str, code: i32) -> Value {
    site.npyd(&["explain", "--json", file]).expect_code(code).json().remove(0)
}

/// Asserts the verdict about a file, and words in what is said.
#[track_caller]
fn assert_explained(site: &Site, file: &str, verdict: &str, words: &[&str]) {
    let told = explained(site, file, i32::from(verdict == "gone"));
    assert_eq!(told["verdict"], verdict, "{file}: {told:#}");
    for word in words {
        assert!(told.to_string().contains(word), "{file}: no `{word}` in {told:#}");
    }
}

#[test]
fn each_file_of_a_rejected_drop() {
    let site = site();
    fs::create_dir(site.path("in/sub")).unwrap();
    reject(&site, "x");
    reject(&site, "sub/y");
    assert_eq!(site.names("bad"), ["sub", "x.raw", "x.raw.rejected.txt", "x.toml"]);
    for (dir, stem) in [("", "x"), ("sub/", "y")] {
        let retry = format!("npyd retry {stem}.raw");
        let was = format!("it was `{}`", site.path(format!("in/{dir}{stem}.raw")).display());
        for name in ["raw", "raw.rejected.txt", "toml"] {
            let file = format!("bad/{dir}{stem}.{name}");
            assert_explained(&site, &file, "rejected", &["28", &retry, &was]);
            let told = explained(&site, &file, 0);
            assert!(told["outside"].is_null(), "{told:#}");
        }
        for name in ["raw", "toml"] {
            let file = format!("in/{dir}{stem}.{name}");
            assert_explained(&site, &file, "rejected", &["28", &retry, "bad"]);
        }
    }
    assert_explained(&site, "in/x.toml", "rejected", &["it described `"]);
    // What somebody else put there.
    site.write("bad/z.raw", [0; 3]);
    assert_explained(&site, "bad/z.raw", "ignored", &["npyd itself puts files into this"]);

    // The listings.
    let told = site.npyd(&["explain", "bad"]).expect_code(0);
    let (top, dir) = (site.path("bad"), site.path("in"));
    let lines: Vec<_> = told.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{told}");
    assert!(lines[0].starts_with(&format!("{}: rejected: ", top.join("x.raw").display())));
    assert!(lines[1].starts_with(&format!("{}: it belongs to no", top.join("z.raw").display())));
    assert!(lines[2].starts_with(&format!("{}: rejected: ", top.join("sub/y.raw").display())));
    let told = site.npyd(&["explain", "in"]).expect_code(0);
    let lines: Vec<_> = told.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{told}");
    assert!(lines[0].starts_with(&format!("{}: rejected: ", dir.join("x.raw").display())));
    assert!(lines[0].ends_with(&format!("; it is `{}` now", top.join("x.raw").display())));
    assert_eq!(site.npyd(&["explain", "in/sub"]).expect_code(0).stdout.lines().count(), 1);
    let told = site.npyd(&["explain", "--json", "in/sub"]).expect_code(0).json().remove(0);
    assert_eq!((&told["verdict"], &told["reason_kind"]), (&"rejected".into(), &Value::Null));

    // As it says.
    site.write("bad/x.toml", "dtype = '|u1'\nshape = [28]\n");
    site.npyd(&["retry", "x.raw"]).expect_code(0);
    site.settle("finalized", 1);
    assert_explained(&site, "in/x.toml", "finished", &[]);
    assert_eq!(site.npyd(&["explain", "in"]).expect_code(0).stdout.lines().count(), 1);
}

/// A second file of that name, and a rejected drop that somebody deleted.
/// Nothing is changed, and the drop stays rejected.
#[test]
fn data_that_left_the_quarantine() {
    let site = site();
    reject(&site, "x");
    fs::rename(site.path("bad/x.raw"), site.path("elsewhere")).unwrap();
    for _ in 0..2 {
        site.npyd(&["retry", "x.raw"]).expect_code(1).expect_words(&[
            "not retried",
            "its data file `x.raw` is not in",
            "nor in the drop directory: move it back",
        ]);
        assert_eq!(site.names("bad"), ["x.raw.rejected.txt", "x.toml"]);
        assert_eq!(site.names("in"), [""; 0]);
    }
    site.npyd(&["take", "x.raw"]).expect_code(1);
    fs::rename(site.path("elsewhere"), site.path("bad/x.raw")).unwrap();
    site.npyd(&["retry", "x.raw"]).expect_code(0);
    assert_eq!((site.names("bad"), site.names("in").len()), (Vec::new(), 2));
}

#[test]
fn which_one_is_retried() {
    let site = site();
    reject(&site, "x");
    reject(&site, "x");
    assert_explained(&site, "bad/x.raw.1", "rejected", &["npyd retry x.raw"]);
    assert_explained(&site, "bad/x.toml.1", "rejected", &["28"]);
    fs::remove_file(site.path("bad/x.raw.1")).unwrap();
    fs::remove_file(site.path("bad/x.raw.rejected.txt.1")).unwrap();
    site.scan("x").settle("finalized", 1);
    assert_explained(&site, "bad/x.raw", "rejected", &["28", "a later file of its name counts"]);
    reject(&site, "y");
    for name in site.names("bad") {
        fs::remove_file(site.path("bad").join(name)).unwrap();
    }
    for file in ["in/y.raw", "in/y.toml"] {
        assert_explained(&site, file, "gone", &["rejected", "drop it again"]);
    }
}

/// Each command finds the second of two rejected drops of one path by the names of its files there.
/// Those of the first one lead to it, and not to the second one.
#[test]
fn the_names_that_files_have_there() {
    for name in ["bad/sub/x.raw.1", "x.raw.1", "bad/sub/x.toml.1", "bad/sub/x.raw.rejected.txt.1"] {
        let site = site();
        fs::create_dir(site.path("in/sub")).unwrap();
        reject(&site, "sub/x");
        site.drop_file("sub/x.raw", [8; 29]);
        site.drop_file("sub/x.toml", SCAN_MANIFEST).sweep_until("rejected");
        for earlier in ["bad/sub/x.raw", "bad/sub/x.toml"] {
            for command in ["retry", "take"] {
                let told = site.npyd(&[command, earlier]).expect_code(1);
                told.expect_words(&["a later file of its name counts now", "move it back to `"]);
            }
        }
        if name.ends_with("raw.1") {
            let told = site.npyd(&["history", "--json", name]).expect_code(0).json();
            assert_eq!(told.len(), 1, "{told:#?}");
            assert!(told[0].to_string().contains("29"), "{told:#?}");
            site.npyd(&["redo", name]).expect_code(1).expect_words(&["npyd retry"]);
        }
        site.npyd(&["retry", name]).expect_code(0).expect_words(&["in/sub/x.raw: will be retried"]);
        assert_eq!(site.read("in/sub/x.raw"), [8; 29], "{name}");
        assert_eq!(site.names("bad/sub"), ["x.raw", "x.raw.rejected.txt", "x.toml"]);
    }
    let site = site();
    site.npyd(&["retry", "x.raw.1"]).expect_code(1).expect_words(&["no rejected drop"]);
}

/// If the first of two rejected drops of one path is deleted, the second one can be taken.
#[test]
fn a_numbered_one_is_taken() {
    let site = site();
    reject(&site, "x");
    reject(&site, "x");
    for name in ["x.raw", "x.toml", "x.raw.rejected.txt"] {
        fs::remove_file(site.path("bad").join(name)).unwrap();
    }
    site.npyd(&["take", "bad/x.raw.1"]).expect_code(0).expect_words(&["will be taken"]);
    site.sweep_until("finalized");
    assert_eq!(site.read("out/x.npy").len(), 128 + 24);
}

/// A manifest that was corrected in the drop directory waits for data that npyd moved away.
#[test]
fn a_description_that_waits_for_rejected_data() {
    for manifest in ["x.raw.toml", "x.toml"] {
        let site = site();
        site.drop_file("x.raw", [7; 28]).drop_file(manifest, SCAN_MANIFEST);
        site.sweep_until("rejected");
        site.drop_file(manifest, "dtype = '|u1'\nshape = [28]\n");
        let words = ["`x.raw` was rejected: ", "28", "bad", "`npyd retry x.raw` moves it back"];
        assert_explained(&site, &format!("in/{manifest}"), "waiting", &words);
        let mut daemon = site.daemon();
        daemon.wait_for_log("`npyd retry x.raw` moves it back");
        site.npyd(&["retry", "x.raw"]).expect_code(0);
        daemon.wait_for_log("finalized");
        assert!(site.has("out/x.npy"));
    }
    // Without `rejects` there is nothing to be moved back.
    let site = Site::new();
    site.drop_file("x.raw", [7; 28]).drop_file("x.toml", SCAN_MANIFEST).sweep_until("rejected");
    fs::remove_file(site.path("in/x.raw")).unwrap();
    let told = explained(&site, "in/x.toml", 0);
    assert_eq!(told["verdict"], "waiting");
    assert!(!told.to_string().contains("retry"), "{told:#}");
}

/// A conflict about a part of a series moves nothing: each description may need the part.
#[test]
fn series_with_common_parts() {
    const TWO: &str = "dtype = '|u1'\nshape = [-1]\ndata = ['l_1.raw', 'l_2.raw']\n";
    let three = TWO.replace("]\n", ", 'l_3.raw']\n").replace("[-1, 'l_3.raw']", "[-1]");
    let single = "dtype = '|u1'\nshape = [2]\n";
    for (second, text) in [("two.toml", TWO), ("l_2.raw.toml", single)] {
        let site = site();
        site.drop_file("l_1.raw", [1; 2]).drop_file("l_2.raw", [2; 2]).drop_file("l_3.raw", [3; 2]);
        site.drop_file("three.toml", &three).drop_file(second, text);
        let files = site.names("in");
        let told = site.sweep_until("rejected");
        told.expect_words(&["it was not moved: another file describes some of its data as well"]);
        site.sweep();
        assert_eq!(site.names("in"), files);
        assert_eq!((site.names("bad"), site.names("out")), (Vec::new(), Vec::new()));
        for manifest in ["three.toml", second] {
            let words = ["`three.toml`", &format!("`{second}`"), "remove one of them"];
            assert_explained(&site, &format!("in/{manifest}"), "rejected", &words);
        }
        fs::remove_file(site.path("in").join(second)).unwrap();
        site.sweep_until("finalized");
        assert!(site.has("out/three.npy"));
    }
    // One of them still waits.
    let site = site();
    site.drop_file("l_1.raw", [1; 2]).drop_file("l_2.raw", [2; 2]);
    site.drop_file("three.toml", &three).drop_file("two.toml", TWO).sweep_until("rejected");
    assert_explained(&site, "in/two.toml", "rejected", &["`three.toml`", "`two.toml`"]);
    assert_explained(&site, "in/three.toml", "waiting", &["`l_3.raw` is not there yet"]);
    site.npyd(&["retry", "two.toml"]).expect_code(0);
    site.sweep_until("rejected");
    fs::remove_file(site.path("in/two.toml")).unwrap();
    site.drop_file("l_3.raw", [3; 2]).sweep_until("finalized");
    assert!(site.has("out/three.npy"));
}

/// The ledger knows the data files, so that each of them leads to the drop.
#[test]
fn a_rejected_series_whose_description_is_gone() {
    let manifest =
        |shape: u8| format!("dtype = '|u1'\nshape = [{shape}]\ndata = ['s_1.raw', 's_2.raw']\n");
    for (name, has_note) in [("s.toml", true), ("s_2.raw", true), ("bad/s_1.raw", false)] {
        let site = site();
        site.drop_file("s_1.raw", [1; 2]).drop_file("s_2.raw", [2; 2]);
        site.drop_file("s.toml", manifest(3)).sweep_until("rejected");
        assert_eq!(site.names("in"), [""; 0]);
        fs::remove_file(site.path("bad/s.toml")).unwrap();
        if !has_note {
            fs::remove_file(site.path("bad/s.toml.rejected.txt")).unwrap();
        }
        let retry = "`npyd retry s.toml` moves";
        for file in ["in/s.toml", "in/s_1.raw", "in/s_2.raw"] {
            let words = ["`s.toml` is gone", "bad", "`s_1.raw`, `s_2.raw`", retry];
            assert_explained(&site, file, "rejected", &words);
        }
        for file in ["bad/s_1.raw", "bad/s_2.raw"] {
            assert_explained(&site, file, "rejected", &["not the declared 3", retry]);
        }
        site.drop_file("t.toml", manifest(4));
        let why = "`s_1.raw` is not there yet; it was rejected with `s.toml`: ";
        assert_explained(&site, "in/t.toml", "waiting", &[why, retry]);
        let mut daemon = site.daemon();
        daemon.wait_for_log(why);
        site.npyd(&["retry", name]).expect_code(0);
        daemon.wait_for_log("finalized");
        assert!(site.has("out/t.npy"));
        assert_eq!(site.names("bad"), [""; 0]);
    }
}

/// A second description of a part changes nothing about the array that is there.
#[test]
fn a_finished_series_in_conflict() {
    let site = site();
    let manifest = |data: &str| format!("dtype = '|u1'\nshape = [-1]\ndata = {data}\n");
    site.drop_file("v_1.raw", [1; 2]).drop_file("v_2.raw", [2; 2]);
    site.drop_file("v.toml", manifest("['v_1.raw', 'v_2.raw']")).sweep_until("finalized");
    site.drop_file("w.toml", manifest("['v_2.raw']")).sweep_until("rejected");
    let told = explained(&site, "in/v.toml", 0);
    let why = told["why"].as_str().unwrap();
    for word in ["`v.toml`", "`w.toml`", "`v_2.raw`"] {
        assert!(why.contains(word), "{told:#}");
    }
    assert!(!told.to_string().contains("it changed"), "{told:#}");
    assert!(!told.to_string().contains("again"), "{told:#}");
    fs::remove_file(site.path("in/w.toml")).unwrap();
    assert_explained(&site, "in/v.toml", "finished", &["has not changed since"]);
    assert_eq!(site.names("out"), ["v.npy"]);
}

/// A manifest beside data, named for them, may name other data.
#[test]
fn data_whose_manifest_names_other_data() {
    for (data, shown) in [
        ("'nothere.raw'", "`nothere.raw`"),
        ("['a.raw', 'b.raw']", "`a.raw`, `b.raw`"),
        ("'f_*.raw'", "`f_*.raw`"),
    ] {
        let site = Site::new();
        site.drop_file("w.raw", scan_bytes());
        site.drop_file("w.raw.toml", format!("{SCAN_MANIFEST}data = {data}\n"));
        let why = format!("`w.raw.toml` describes other data: its key `data` is {shown}");
        let remedy = "set the key `data` of `w.raw.toml` to `w.raw`, or remove the key";
        assert_explained(&site, "in/w.raw", "ignored", &[&why, remedy]);
        let told = explained(&site, "in/w.raw", 0).to_string();
        assert!(!told.contains("put a manifest"), "{told}");
    }
}

/// The drops that are rejected now, with and without `rejects`.
#[test]
fn what_is_rejected_now() {
    for has_rejects in [true, false] {
        let site = site();
        if !has_rejects {
            site.configure("");
        }
        for stem in ["a", "b", "c"] {
            reject(&site, stem);
        }
        site.scan("fine").sweep();
        let history = |args: &[&str]| site.npyd(&[&["history", "--rejected"], args].concat());
        let told = history(&[]).expect_code(0);
        assert_eq!(told.stdout.lines().count(), 3, "{told}");
        let told = history(&["--json"]).expect_code(0).json();
        assert!(told.iter().all(|it| it["event"] == "rejected"), "{told:#?}");
        site.npyd(&["check"]).expect_words(&["rejected     3 now; `npyd history --rejected`"]);
        assert_eq!(site.npyd(&["explain", "in"]).expect_code(0).stdout.lines().count(), 3);
        if !has_rejects {
            let told = site.npyd(&["explain", "--json", "in"]).expect_code(0).json();
            let is_size = |it: &Value| it["reason_kind"] == "size" && it["verdict"] == "rejected";
            assert!(told.iter().all(is_size), "{told:#?}");
        }
        history(&["a.raw"]).expect_code(0).expect_words(&["a.raw"]);
        history(&["fine.raw"]).expect_code(1).expect_words(&["no rejected drop of this name"]);
        // One is deleted, and one corrected.
        let dir = if has_rejects { "bad" } else { "in" };
        fs::remove_file(site.path(format!("{dir}/a.raw"))).unwrap();
        site.write(&format!("{dir}/b.raw"), scan_bytes());
        if has_rejects {
            site.npyd(&["retry", "b.raw"]).expect_code(0);
        }
        site.settle("finalized", 2);
        assert_eq!(site.read("out/b.npy"), scan_npy());
        let told = history(&["--json"]).expect_code(0).json();
        assert_eq!(told.len(), 1, "{told:#?}");
        assert!(told[0]["source"].as_str().unwrap().ends_with("/c.raw"));
        site.npyd(&["check"]).expect_words(&["rejected     1 now"]);
        assert_eq!(site.history().of_event("rejected").len(), 3);
        if !has_rejects {
            // One that was corrected waits for the rest of its data.
            site.write("in/c.raw", [0; 4]);
            site.npyd(&["explain", "in/c.raw"]).expect_words(&["waiting"]);
            assert!(history(&[]).expect_code(0).stdout.is_empty());
            assert!(!site.npyd(&["check"]).stdout.contains("rejected  "));
            // Neither that one nor one that was deleted is retried.
            let told = site.npyd(&["retry", "--all"]).expect_code(0);
            assert_eq!(told.stdout, "no drop is rejected\n");
        }
    }
}

/// Of a description that can't be used, npyd does not know the data: they stay, and it is said of
/// which files, in the receipt and about each of them.
#[test]
fn what_an_unusable_description_names() {
    const MHD: &str = "ObjectType = Image\nNDims = 2\nDimSize = 2 2\nElementType = MET_UCHAR\n";
    for (name, text, right, data) in [
        (
            "b.mhd",
            format!("{}ElementDataFile = other.raw\n", MHD.replace("UCHAR", "BOGUS")),
            format!("{MHD}ElementDataFile = other.raw\n"),
            &["other.raw"][..],
        ),
        (
            "c.mhd",
            format!("{}ElementDataFile = LIST\nc1.raw\nc 2.raw\n", MHD.replace("2 2", "2 3")),
            format!("{MHD}ElementDataFile = LIST\nc1.raw\nc 2.raw\n"),
            &["c1.raw", "c 2.raw"],
        ),
        (
            "n.nhdr",
            "NRRD0004\ntype: bogus\ndimension: 2\nsizes: 2 2\nencoding: raw\ndata file: n n.x\n"
                .into(),
            "NRRD0004\ntype: uchar\ndimension: 2\nsizes: 2 2\nencoding: raw\ndata file: n n.x\n"
                .into(),
            &["n n.x"],
        ),
        (
            "m.toml",
            "dtype = 'bogus'\nshape = [4]\ndata = 'mm.raw'\n".into(),
            "dtype = '|u1'\nshape = [4]\ndata = 'mm.raw'\n".into(),
            &["mm.raw"],
        ),
    ] {
        for has_rejects in [true, false] {
            let site = site();
            if !has_rejects {
                site.configure("");
            }
            site.drop_file("unrelated.raw", [0; 4]);
            for file in data {
                site.drop_file(file, vec![7; 4 / data.len()]);
            }
            let told = site.drop_file(name, &text).sweep_until("rejected").json();
            let receipt = told.of_source(name);
            let reason = receipt["reason"].as_str().unwrap();
            let stay = data.iter().map(|file| format!("`{file}`")).collect::<Vec<_>>().join(", ");
            assert!(reason.contains(&format!("the files that it names stay: {stay}")), "{reason}");
            assert_eq!(receipt["parts"]["count"], data.len(), "{receipt}");
            let retry = format!("npyd retry {name}");
            for file in data {
                let file = format!("in/{file}");
                let names = format!("{name}` names it, but was rejected: ");
                assert_explained(&site, &file, "ignored", &[&names, &retry]);
            }
            let told = explained(&site, "in/unrelated.raw", 0);
            assert!(!told.to_string().contains("rejected"), "{told:#}");
            // As it says.
            let dir = if has_rejects { "bad" } else { "in" };
            site.write(&format!("{dir}/{name}"), &right);
            if has_rejects {
                let note = site.read(&format!("bad/{name}.rejected.txt"));
                assert!(String::from_utf8(note).unwrap().contains("the files that it names stay"));
                site.npyd(&["retry", data[0]]).expect_code(0);
            }
            site.settle("finalized", 1);
        }
    }
}

/// The options of `npyd redo` correct the description of a rejected drop, wherever its files are.
#[test]
fn redo_corrects_a_rejected_drop() {
    for settings in ["", "rejects = 'bad'"] {
        let site = Site::with(settings);
        fs::create_dir(site.path("bad")).unwrap();
        site.scan("scan").drop_file("scan.raw.toml", "dtype = '<f4'\nshape = [1, 3]\n");
        site.settle("rejected", 1);
        assert_eq!(site.has("bad/scan.raw"), !settings.is_empty());
        let redo = |shape: &str| site.npyd(&["redo", "scan.raw", "--shape", shape]);
        redo("1,2").expect_code(1).expect_words(&["24 bytes, not the declared 8"]);
        site.npyd(&["redo", "scan.raw"]).expect_code(1).expect_words(&["rejected"]);
        redo("2,3").expect_code(0).expect_words(&["will be made again"]);
        site.sweep_until("finalized");
        assert_eq!(site.read("out/scan.npy"), scan_npy(), "{settings}");
        assert_eq!(site.names("bad"), [""; 0]);
        assert!(site.sweep().expect_code(0).json().is_empty());
    }
}
