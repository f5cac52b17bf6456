//! A data file of several is found by its name: by `npyd explain`, `history`, `redo` and `retry`,
//! also once it is gone.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Receipts, Site};

/// A site with a series of this many files of two bytes, whose array is made.
fn site(settings: &str, count: u8) -> Site {
    let site = Site::new();
    for name in ["old", "bad"] {
        fs::create_dir(site.path(name)).unwrap();
    }
    let archive = format!("archive = '{}'", site.path("old").display());
    let archive = if settings.contains("'archive'") { archive.as_str() } else { "" };
    site.configure(&format!("{settings}\nrejects = '{}'\n{archive}", site.path("bad").display()));
    for number in 1..=count {
        site.drop_file(&format!("f_{number}.bin"), [number; 2]);
    }
    if count > 0 {
        let manifest = format!("dtype = '|u1'\nshape = [{count}, 2]\ndata = 'f_*.bin'\n");
        site.drop_file("run.toml", manifest);
    }
    site.drop_file("other.bin", [0; 2]).drop_file("other.toml", "dtype = '|u1'\nshape = [2]\n");
    site.settle("finalized", if count > 0 { 2 } else { 1 });
    site
}

#[track_caller]
fn explained(site: &Site, file: &str, code: i32) -> Value {
    site.npyd(&["explain", "--json", file]).expect_code(code).json().remove(0)
}

#[test]
fn each_part_is_found_by_its_name() {
    for (settings, fate) in [
        ("source = 'keep'", ""),
        ("source = 'remove'", "npyd removed it"),
        ("source = 'archive'", "npyd archived it as `"),
    ] {
        let site = site(settings, 12);
        let receipts = site.history();
        let parts = &receipts.of_source("run.toml")["parts"];
        assert_eq!((&parts["count"], &parts["names"][11]), (&json!(12), &json!("f_12.bin")));
        assert!(receipts.of_source("other.bin").get("parts").is_none());
        for part in ["f_1.bin", "f_12.bin"] {
            let told = explained(&site, &format!("in/{part}"), 0);
            assert_eq!(told["verdict"], "finished", "{told:#}");
            let text = told.to_string();
            assert!(text.contains("run.npy") && text.contains(fate), "{told:#}");
            assert!(fate.is_empty() || text.contains("one of the 12 data files of"), "{told:#}");
            for name in [part, &format!("in/{part}")] {
                let listed = site.npyd(&["history", "--json", name]).expect_code(0).json();
                assert_eq!(listed.len(), 1, "{listed:#?}");
                assert!(listed[0]["source"].as_str().unwrap().ends_with("/run.toml"));
            }
        }
        for name in ["f_13.bin", "f_1", "old/f_1.bin", "f_2.raw"] {
            site.npyd(&["history", name]).expect_code(1);
        }
        explained(&site, "in/f_13.bin", 1);
        // Its array is made again by the name of a part.
        let redo: &[_] = if fate.is_empty() { &[] } else { &["--dtype", "|i1"] };
        let told = site.npyd(&[&["redo", "f_2.bin"], redo].concat()).expect_code(0);
        assert!(told.stdout.contains("run.toml: will be made again"), "{told}");
        site.settle(if fate.is_empty() { "found" } else { "remade" }, 1);
        // Array and source are lost.
        if !fate.is_empty() {
            fs::remove_file(site.path("out/run.npy")).unwrap();
            let told = explained(&site, "in/f_3.bin", 1);
            assert!(told["why"].as_str().unwrap().contains("not there any more"), "{told:#}");
        }
    }
}

/// A manifest that is gone, while its data are kept.
/// A part that is gone is not said to be there, and not to be in an array that was made without it.
#[test]
fn parts_that_are_gone() {
    let site = site("source = 'keep'", 3);
    let why = |file: &str, code| explained(&site, file, code)["why"].as_str().unwrap().to_owned();
    fs::rename(site.path("in/f_3.bin"), site.path("in/x_3.bin")).unwrap();
    let told = why("in/f_3.bin", 0);
    assert!(told.contains("this file is gone since: something else removed or renamed"), "{told}");
    // Made again of three other files.
    fs::rename(site.path("in/x_3.bin"), site.path("in/f_0.bin")).unwrap();
    site.settle("remade", 1);
    let told = explained(&site, "in/f_3.bin", 1);
    let text = told.to_string();
    assert!(text.contains("run.npy` again without a file of this name"), "{told:#}");
    let backup = text.split("run.npy.~1~`").nth(1).unwrap_or_default();
    assert!(backup.contains(", with this file)"), "{told:#}");
    let told = explained(&site, "in/f_0.bin", 0).to_string();
    assert!(!told.contains("with this file"), "{told}");
    assert_eq!(explained(&site, "in/f_0.bin", 0)["verdict"], "finished");
    for part in ["f_0", "f_1", "f_2"] {
        fs::remove_file(site.path(format!("in/{part}.bin"))).unwrap();
    }
    let told = why("out/run.npy", 0);
    assert!(told.contains("is still there, but its data files are gone"), "{told}");
    let told = explained(&site, "in/run.toml", 0).to_string();
    assert!(!told.contains("something else removed it"), "{told}");
    let outcome = site.npyd(&["redo", "run.toml", "--dtype", "|i1"]).expect_code(1);
    outcome.expect_words(&["not made again: no file matches `f_*.bin` yet"]);
}

#[test]
fn parts_without_their_manifest() {
    let site = site("", 3);
    fs::remove_file(site.path("in/run.toml")).unwrap();
    let told = explained(&site, "in/f_2.bin", 0);
    assert_eq!(told["verdict"], "ignored");
    assert!(told.to_string().contains("run.npy"), "{told:#}");
}

/// The receipt of a series with many files has their number and bounds.
#[test]
fn more_parts_than_a_receipt_names() {
    let site = site("source = 'remove'", 70);
    let parts = site.history().of_source("run.toml")["parts"].clone();
    assert_eq!(parts, json!({"count": 70, "first": "f_1.bin", "last": "f_70.bin"}));
    for part in ["f_1.bin", "f_9.bin", "f_35.bin", "f_70.bin"] {
        let told = explained(&site, &format!("in/{part}"), 0);
        assert!(told["why"].as_str().unwrap().contains("one of the 70 data files"), "{told:#}");
    }
    for other in ["f_71.bin", "f_0.bin", "f_9.raw", "g_9.bin", "sub/f_9.bin"] {
        explained(&site, &format!("in/{other}"), 1);
    }
}

#[test]
fn parts_of_a_rejected_series() {
    let site = site("", 0);
    site.drop_file("a.bin", [1; 3]).drop_file("b.bin", [2; 3]);
    site.drop_file("run.toml", "dtype = '|u1'\nshape = [5]\ndata = ['a.bin', 'b.bin']\n");
    site.sweep_until("rejected");
    for file in ["in/b.bin", "bad/b.bin", "bad/run.toml", "in/run.toml"] {
        let told = explained(&site, file, 0);
        assert_eq!(told["verdict"], "rejected", "{file}: {told:#}");
        assert!(told.to_string().contains("npyd retry run.toml"), "{file}: {told:#}");
    }
    site.write("bad/run.toml", "dtype = '|u1'\nshape = [6]\ndata = ['a.bin', 'b.bin']\n");
    site.npyd(&["retry", "b.bin"]).expect_code(0);
    site.settle("finalized", 2);
    assert_eq!(site.names("bad"), [""; 0]);
}
