//! The disposition of the raw file and its sidecar once the array is durable.

use crate::support::{
    Receipts, SCAN_MANIFEST, Site, npy, reason, scan_bytes, scan_npy, sweep_halted, wait_until,
};

/// A site that archives its sources in `archive`.
fn archiving() -> Site {
    let site = Site::new();
    std::fs::create_dir(site.path("archive")).unwrap();
    let archive = site.path("archive");
    site.configure(&format!("source = \"archive\"\narchive = \"{}\"", archive.display()));
    site
}

#[test]
fn kept() {
    let site = Site::with("source = \"keep\"");
    site.scan("scan");
    let before = (site.identity("in/scan.raw"), site.identity("in/scan.raw.toml"));
    site.sweep().expect_code(0);
    assert_eq!(site.names("in"), ["scan.raw", "scan.raw.toml"]);
    assert_eq!((site.identity("in/scan.raw"), site.identity("in/scan.raw.toml")), before);
    assert_eq!(site.names("out"), ["scan.npy"]);
}

/// The sidecar is never deleted: it moves beside the array, no longer a manifest by its name.
#[test]
fn removed() {
    let site = Site::with("source = \"remove\"");
    site.scan("scan").sweep().expect_code(0);
    assert_eq!(site.names("in"), [""; 0]);
    assert_eq!(site.names("out"), ["scan.npy", "scan.raw.toml.done"]);
    assert_eq!(site.read("out/scan.raw.toml.done"), SCAN_MANIFEST.as_bytes());
    assert_eq!(site.read("out/scan.npy"), scan_npy());
}

#[test]
fn archived() {
    let site = archiving();
    site.scan("scan").sweep().expect_code(0);
    assert_eq!(site.names("in"), [""; 0]);
    assert_eq!(site.names("out"), ["scan.npy"]);
    assert_eq!(site.names("archive"), ["scan.raw", "scan.raw.toml"]);
    assert_eq!(site.read("archive/scan.raw"), scan_bytes());
    assert_eq!(site.read("archive/scan.raw.toml"), SCAN_MANIFEST.as_bytes());
}

/// The same name comes again and again, and each time the source is done with.
#[test]
fn the_same_name_again() {
    let site = Site::with("source = \"remove\"\non_conflict = \"number\"");
    let mut daemon = site.daemon();
    for output in ["out/scan.npy", "out/scan-1.npy", "out/scan-2.npy"] {
        site.scan("scan");
        daemon.wait_for_file(output);
        daemon.wait_for("the source to go", || site.names("in").is_empty());
    }
    let manifests = site.names("out").into_iter().filter(|name| name.contains("toml"));
    assert_eq!(manifests.count(), 3, "each drop's manifest is kept: {:?}", site.names("out"));
}

/// Data and their description have one number in the archive, so that no description there seems to
/// describe the data of another drop.
#[test]
fn archived_beside_another_description() {
    for there in ["scan.raw", "scan.raw.toml"] {
        let site = archiving();
        site.write(&format!("archive/{there}"), "another drop's");
        site.scan("scan").sweep().expect_code(0);
        let all = [there, "scan.raw.1", "scan.raw.toml.1"];
        let mut all = all.map(str::to_owned).to_vec();
        all.sort_unstable();
        assert_eq!(site.names("archive"), all);
        assert_eq!(site.read("archive/scan.raw.1"), scan_bytes());
        let told = site.npyd(&["explain", site.path("archive/scan.raw.1").to_str().unwrap()]);
        told.expect_words(&["archived it: it was `"]);
    }
}

/// What lies in the archive or beside the array already is not written over.
#[test]
fn nothing_of_old_is_lost() {
    let site = archiving();
    site.write("archive/scan.raw", "old data").write("archive/scan.raw.toml", "old manifest");
    assert!(!site.scan("scan").sweep().json().is_empty());
    assert_eq!(site.read("archive/scan.raw"), b"old data");
    assert_eq!(site.read("archive/scan.raw.toml"), b"old manifest");
    let holds = |content: &[u8]| {
        let names = |dir: &'static str| site.names(dir).into_iter().map(move |it| (dir, it));
        let mut all = names("in").chain(names("archive"));
        all.any(|(dir, name)| site.read(&format!("{dir}/{name}")) == content)
    };
    assert!(holds(&scan_bytes()) && holds(SCAN_MANIFEST.as_bytes()));

    let site = Site::with("source = \"remove\"");
    site.write("out/scan.raw.toml.done", "old manifest");
    assert!(!site.scan("scan").sweep().json().is_empty());
    assert_eq!(site.read("out/scan.raw.toml.done"), b"old manifest");
    let kept = |dir: &str| {
        site.names(dir)
            .iter()
            .any(|it| site.read(&format!("{dir}/{it}")) == SCAN_MANIFEST.as_bytes())
    };
    assert!(kept("in") || kept("out"));
}

/// A raw file without a sidecar leaves nothing behind.
#[test]
fn a_template_has_no_sidecar() {
    let template = "[[drop.template]]\nmatch = \"*.u8\"\ndtype = \"|u1\"\nshape = [4]";
    let site = Site::with(&format!("source = \"remove\"\n{template}"));
    site.drop_file("x.u8", [1, 2, 3, 4]).sweep().expect_code(0);
    assert_eq!(site.names("in"), [""; 0]);
    assert_eq!(site.names("out"), ["x.npy"]);
}

/// The array is durable, so it has its receipt, although its source can't be disposed of yet.
#[test]
fn an_array_whose_source_can_not_go_has_its_receipt() {
    for count in [1, 3] {
        let site = Site::new();
        for dir in ["in/sub", "archive"] {
            std::fs::create_dir(site.path(dir)).unwrap();
        }
        site.configure("recursive = true\nsource = \"archive\"\narchive = \"archive\"");
        site.write("archive/sub", "in the way");
        for at in 0..count {
            site.scan(&format!("sub/scan{at}"));
        }
        site.sweep().expect_code(1);
        let history = site.history();
        let made = history.of_event("finalized");
        assert_eq!(made.len(), count, "{history:#?}");
        for receipt in made {
            assert_eq!(receipt["source_fate"], "unproven", "{receipt}");
            assert!(reason(receipt).contains("archive"), "{receipt}");
        }
        assert_eq!(site.read("out/sub/scan0.npy"), scan_npy());
        assert_eq!(site.read("in/sub/scan0.raw"), scan_bytes());
        // Another attempt that fails adds no second receipt.
        site.sweep();
        assert_eq!(site.history().of_event("finalized").len(), count);
        assert_eq!(site.history().of_event("found").len(), 0);
        std::fs::remove_file(site.path("archive/sub")).unwrap();
        site.settle("found", count);
        assert_eq!(site.names("archive/sub").len(), 2 * count);
        assert_eq!(site.names("in/sub"), [""; 0]);
    }
}

/// Its mark says what the array was made of, but not that it still holds that.
#[test]
fn a_source_stays_if_its_array_does_not_hold_its_bytes() {
    for is_edited in [false, true] {
        let site = Site::with_array("source = \"keep\"");
        let mut array = scan_npy();
        if is_edited {
            *array.last_mut().unwrap() = 7;
            site.write("out/scan.npy", &array); // in place, so that its mark stays
        }
        site.configure("source = \"remove\"").lose_ledger();
        let told = site.sweep().expect_code(i32::from(is_edited));
        assert_eq!(site.has("in/scan.raw"), is_edited, "{told}");
        assert_eq!(site.read("out/scan.npy"), array, "{told}");
    }
}

/// A drop, and a file that arrives while npyd makes the array, so that another array is due.
struct Arrival<'a> {
    settings: &'a str,
    drop: &'a [(&'a str, &'a [u8])],
    arrives: (&'a str, &'a [u8]),
    /// The array and its content; `None` if the file makes the description ambiguous.
    array: Option<(&'a str, Vec<u8>)>,
}

impl Arrival<'_> {
    /// Has the file arrive after each call in the output directory while the whole source is there.
    /// npyd removes or archives no source with an array that another description made.
    fn after_each_call(&self, disposition: &str) {
        let mut calls = 0;
        loop {
            let site = Site::new();
            std::fs::create_dir(site.path("old")).unwrap();
            let old = site.path("old");
            let archive = format!("archive = \"{}\"", old.display());
            let archive = if disposition == "archive" { &archive } else { "" };
            let settings = format!("source = \"{disposition}\"\n{archive}\n{}", self.settings);
            site.configure(&settings);
            let site = site.with_short_quiet_time();
            for (name, content) in self.drop {
                site.drop_file(name, content);
            }
            let is_whole = || self.drop.iter().all(|(name, _)| site.has(&format!("in/{name}")));
            let mut has_arrived = false;
            let halted = sweep_halted(&site, &["out"], calls, |_| {
                has_arrived = is_whole();
                if has_arrived {
                    site.drop_file(self.arrives.0, self.arrives.1);
                }
            });
            if !halted || !has_arrived {
                break; // the source is gone
            }
            calls += 1;
            self.check(&site, calls);
        }
        println!("{} arrived after each of {calls} calls", self.arrives.0);
        assert!(calls > 3, "only {calls} calls were seen");
    }

    fn check(&self, site: &Site, call: usize) {
        let account = || {
            let (left, history) = (site.names("in"), site.history());
            format!("after call {call}, {}: {left:?}, {history:#?}", self.arrives.0)
        };
        let Some((array, content)) = &self.array else {
            wait_until("a rejected drop", account, || {
                site.sweep();
                !site.history().of_event("rejected").is_empty()
            });
            let places = ["in", "in/rejected"];
            for (name, content) in self.drop {
                let is_there = |dir: &&str| {
                    let path = format!("{dir}/{name}");
                    site.has(&path) && site.read(&path) == *content
                };
                assert!(places.iter().any(is_there), "{name}: {}", account());
            }
            return;
        };
        wait_until("the array of all that is there", account, || {
            site.sweep();
            let path = format!("out/{array}");
            site.has(&path) && site.read(&path) == *content && site.names("in").is_empty()
        });
    }
}

/// A manifest that arrives during the copy overrides the sidecar, also in other letter case.
#[test]
fn a_manifest_that_arrives_during_the_copy() {
    let envi = b"ENVI\nsamples = 6\nlines = 2\nbands = 1\ndata type = 12\nbyte order = 0\n\
        interleave = bsq\n";
    let array = npy("'<f4'", false, &[2, 3], &scan_bytes());
    for (disposition, sidecar, manifest) in
        [("remove", "E.HDR", "e.toml"), ("archive", "e.hdr", "E.img.toml")]
    {
        Arrival {
            settings: "",
            drop: &[("e.img", &scan_bytes()), (sidecar, envi)],
            arrives: (manifest, SCAN_MANIFEST.as_bytes()),
            array: Some(("e.npy", array.clone())),
        }
        .after_each_call(disposition);
    }
}

/// A manifest or a sidecar that arrives during the copy overrides a template.
#[test]
fn a_description_that_overrides_a_template_arrives_during_the_copy() {
    let array = npy("'<f4'", false, &[2, 3], &scan_bytes());
    for (disposition, manifest) in [("remove", "t.u16.toml"), ("archive", "T.u16.toml")] {
        Arrival {
            settings: "[[drop.template]]\nmatch = \"*.u16\"\ndtype = \"<u2\"\nshape = [-1]",
            drop: &[("t.u16", &scan_bytes())],
            arrives: (manifest, SCAN_MANIFEST.as_bytes()),
            array: Some(("t.npy", array.clone())),
        }
        .after_each_call(disposition);
    }
}

/// In place the header is written into the source itself, so that no other array can be made of it
/// afterwards. npyd looks for descriptions after it has synced the data, which can take long.
#[test]
fn a_manifest_that_arrives_before_the_header_is_written() {
    let settings =
        "[[drop.template]]\nmatch = '*.u16'\ndtype = '<u2'\nshape = [-1]\nreserved = 128";
    let data = [&[0; 128][..], &scan_bytes()].concat();
    let manifest = format!("{SCAN_MANIFEST}reserved = 128\n");
    for calls in 0.. {
        let site = Site::with(settings).with_short_quiet_time();
        site.drop_file("t.u16", &data);
        let mut made = Vec::new();
        sweep_halted(&site, &["in/t.u16"], calls, |calls| {
            made = calls.to_vec();
            site.drop_file("t.u16.toml", &manifest);
        });
        if made.iter().position(|call| *call == "fdatasync").is_some_and(|at| calls > at) {
            assert!(calls > 3, "only {calls} calls were seen: {made:?}");
            break;
        }
        assert!(!made.is_empty(), "no call was the sync");
        let account = || format!("after call {calls} of {made:?}: {:#?}", site.history());
        wait_until("the array of the manifest", account, || {
            site.sweep();
            site.has("out/t.npy") && site.read("out/t.npy") == scan_npy()
        });
    }
}

/// Neither of two manifests counts, whichever came first.
#[test]
fn a_second_manifest_arrives_during_the_copy() {
    Arrival {
        settings: "",
        drop: &[("z.raw", &scan_bytes()), ("z.raw.toml", SCAN_MANIFEST.as_bytes())],
        arrives: ("z.json", br#"{"dtype": "<u4", "shape": [6]}"#),
        array: None,
    }
    .after_each_call("remove");
}

/// A manifest's glob also matches a file that arrives during the copy.
#[test]
fn a_file_joins_a_series_during_the_copy() {
    let frames = [[1; 10], [2; 10], [3; 10], [4; 10]].concat();
    Arrival {
        settings: "",
        drop: &[
            ("f_1.raw", &[1; 10]),
            ("f_2.raw", &[2; 10]),
            ("f_4.raw", &[4; 10]),
            ("run.toml", b"dtype = '|u1'\nshape = [-1, 10]\ndata = 'f_*.raw'\n"),
        ],
        arrives: ("f_3.raw", &[3; 10]),
        array: Some(("run.npy", npy("'|u1'", false, &[4, 10], &frames))),
    }
    .after_each_call("remove");
}

/// With `source = "keep"`, npyd takes nothing away. What a user moves may come back.
#[test]
fn a_description_stays_when_its_data_are_moved_away() {
    let site = Site::with("source = \"keep\"");
    site.scan("scan").sweep().expect_code(0);
    let away = |name: &str| std::fs::rename(site.path("in").join(name), site.path(name)).unwrap();
    let back = |name: &str| std::fs::rename(site.path(name), site.path("in").join(name)).unwrap();
    away("scan.raw");
    site.sweep().expect_code(0);
    assert_eq!(site.names("in"), ["scan.raw.toml"]);
    assert_eq!(site.names("out"), ["scan.npy"]);
    back("scan.raw");
    site.sweep().expect_code(0);
    assert_eq!(site.names("in"), ["scan.raw", "scan.raw.toml"]);
    assert_eq!(site.read("out/scan.npy"), scan_npy());

    let list = "dtype = '<u2'\nshape = [2, 2]\ndata = ['a.bin', 'b.bin']\n";
    site.drop_file("a.bin", [1; 4]).drop_file("b.bin", [2; 4]).drop_file("run.toml", list);
    site.sweep().expect_code(0);
    away("b.bin");
    site.sweep().expect_code(0);
    away("a.bin");
    site.sweep().expect_code(0);
    assert_eq!(site.names("in"), ["run.toml", "scan.raw", "scan.raw.toml"]);
}

/// npyd made an array, but did not dispose of the data. While it does not see them, the description
/// stays, because the data may come back and have changed.
#[test]
fn data_that_are_away_for_a_while() {
    for is_archived in [false, true] {
        for way in ["ignored", "renamed", "ignored without a ledger"] {
            let site = Site::new();
            std::fs::create_dir(site.path("archive")).unwrap();
            let archive =
                format!("source = 'archive'\narchive = '{}'", site.path("archive").display());
            let source = if is_archived { &*archive } else { "source = 'remove'" };
            let disposing = format!("{source}\nremove_unproven = true\n");
            site.drop_file("scan.raw", scan_bytes());
            site.drop_file("scan.raw.toml", "dtype = '<f4'\nshape = [-1, 3]\n");
            site.sweep().expect_code(0); // its source is kept
            let told = if way == "renamed" {
                site.configure(&disposing);
                std::fs::rename(site.path("in/scan.raw"), site.path("in/.scan.raw")).unwrap();
                "its data file is not there yet: `scan.raw`"
            } else {
                site.configure(&format!("{disposing}ignore = ['*.raw']"));
                "`scan.raw` is ignored by the rule"
            };
            if way.ends_with("ledger") {
                site.lose_ledger();
            }
            for _ in 0..2 {
                site.sweep();
                assert!(site.has("in/scan.raw.toml"), "{way}: {:?}", site.names("in"));
            }
            site.npyd(&["explain", "in/scan.raw.toml"]).expect_words(&["waiting", told]);
            site.configure(&disposing);
            if way == "renamed" {
                std::fs::rename(site.path("in/.scan.raw"), site.path("in/scan.raw")).unwrap();
            }
            let more = [scan_bytes(), vec![0; 12]].concat();
            site.drop_file("scan.raw", &more);
            if way.ends_with("ledger") {
                continue; // without it, nothing tells whose array has the name
            }
            site.settle("remade", 1);
            assert_eq!(site.read("out/scan.npy"), npy("'<f4'", false, &[3, 3], &more));
            assert_eq!(site.names("in"), [""; 0]);
        }
    }
}

/// Bytes that a description declares behind the data may be anywhere among those behind the array,
/// if there are more than it declares: all of them are saved. The declared ones alone go.
#[test]
fn declared_bytes_behind_the_array() {
    let trailing = "dtype = '|u1'\nshape = [-1, 8]\ntrailing = 4";
    let fixed = "dtype = '|u1'\nshape = [1, 8]\ntrailing = 4";
    for (manifest, behind) in [
        (trailing, &b"FOOT"[..]),
        (trailing, b"abcFOOT"),
        (trailing, b"abcdefgFOOT"),
        (fixed, b"FOOT"),
        (fixed, b"abcdefghijkFOOT"),
    ] {
        let site = Site::with("source = 'remove'\nallow_trailing = true");
        site.drop_file("x.raw", [&[7; 8][..], behind].concat());
        site.drop_file("x.raw.toml", manifest);
        site.sweep().expect_code(0);
        assert_eq!(site.names("in"), [""; 0]);
        assert_eq!(site.read("out/x.npy"), npy("'|u1'", false, &[1, 8], &[7; 8]));
        let rest = site.has("out/x.raw.rest").then(|| site.read("out/x.raw.rest"));
        assert_eq!(rest.as_deref(), Some(behind).filter(|behind| behind.len() > 4), "{manifest}");
    }
}
