//! Data in several files that a manifest lists, or that its glob matches.

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::support::{Outcome, Receipts, Site, crc32c, has_strace, mark_as_converted, npy, reason};

/// A site with a short quiet time, because a glob waits ten times as long.
fn site(settings: &str) -> Site {
    let site = Site::new();
    fs::create_dir(site.path("old")).unwrap();
    configure(&site, settings);
    site
}

fn configure(site: &Site, settings: &str) {
    let archive = format!("archive = '{}'", site.path("old").display());
    let is_archive = settings.contains("'archive'");
    let archive = if is_archive { archive.as_str() } else { "" };
    let text = site.configuration("state", &format!("{settings}\n{archive}"));
    site.write("npyd.toml", text.replace("\"200ms\"", "\"20ms\""));
}

/// A manifest of records of two bytes each.
fn manifest(shape: &str, data: &str) -> String {
    format!("dtype = '|u1'\nshape = {shape}\ndata = {data}\n")
}

fn array(data: &[u8]) -> Vec<u8> {
    npy("'|u1'", false, &[data.len() as u64 / 2, 2], data)
}

fn frames(site: &Site, numbers: &[u8]) {
    for number in numbers {
        site.drop_file(&format!("frame_{number}.raw"), [*number; 2]);
    }
}

/// Sweeps, and expects that the drop waits for this reason and has no array.
#[track_caller]
fn expect_wait(site: &Site, words: &[&str]) -> Outcome {
    let outcome = site.sweep().expect_code(0).expect_words(words);
    assert_eq!(site.names("out"), [""; 0], "{outcome}");
    outcome
}

#[test]
fn a_list_is_joined_in_its_order() {
    for (name, text) in [
        ("run.toml", manifest("[-1, 2]", "['b.raw', 'a.raw']")),
        ("run.toml", manifest("[3, 2]", "['b.raw', 'a.raw']")),
        ("run.json", r#"{"dtype": "|u1", "shape": [-1, 2], "data": ["b.raw", "a.raw"]}"#.into()),
        ("run.json", r#"{"dtype": "|u1", "shape": [3, 2], "data": ["b.raw", "a.raw"]}"#.into()),
    ] {
        for (disposition, old) in [("keep", 0), ("remove", 0), ("archive", 3)] {
            let site = site(&format!("source = '{disposition}'"));
            // One has more records than the other.
            site.drop_file("a.raw", [1; 4]).drop_file("b.raw", [2; 2]).drop_file(name, &text);
            let receipt = site.sweep().expect_code(0).only_receipt();
            assert_eq!(receipt["event"], "finalized", "{receipt}");
            assert_eq!(receipt["source"], json!(site.path("in").join(name)), "{receipt}");
            assert_eq!(site.read("out/run.npy"), array(&[2, 2, 1, 1, 1, 1]), "{text}");
            let kept = if disposition == "keep" { 3 } else { 0 };
            assert_eq!(site.names("in").len(), kept, "{receipt}");
            assert_eq!(site.names("old").len(), old, "{receipt}");
            assert!(site.sweep().expect_code(0).json().is_empty());
        }
    }
}

/// A name that contains brackets is a name; `output` counts more than the manifest's name.
#[test]
fn a_list_of_one_and_names_with_brackets() {
    let site = site("source = 'remove'");
    site.drop_file("a[1].raw", [1; 2]);
    site.drop_file("one.toml", manifest("[-1, 2]", "'a[1].raw'"));
    site.drop_file("b{1}.raw", [2; 2]);
    site.drop_file("list.toml", manifest("[-1, 2]", "['b{1}.raw']"));
    site.drop_file("c.raw", [3; 2]);
    site.drop_file("set.toml", manifest("[-1, 2]", "['c.raw']\noutput = 'given.npy'"));
    site.sweep().expect_code(0);
    assert_eq!(site.read("out/a[1].npy"), array(&[1; 2]));
    assert_eq!(site.read("out/list.npy"), array(&[2; 2]));
    assert_eq!(site.read("out/given.npy"), array(&[3; 2]));
    assert_eq!(site.names("in"), [""; 0]);
}

#[test]
fn a_glob_is_joined_in_natural_order() {
    for (name, text) in [
        ("run.toml", manifest("[-1, 2]", "'frame_*'")),
        ("run.json", r#"{"dtype": "|u1", "shape": [-1, 2], "data": "frame_*"}"#.to_owned()),
    ] {
        let site = site("source = 'remove'");
        frames(&site, &[2, 10, 9, 11]);
        // None of these is data.
        let others = [".frame_3.raw", "frame_4.toml", "frame_5.npy", "frame_6.npy.json", "x_7.raw"];
        for other in others {
            site.drop_file(other, [0; 2]);
        }
        fs::create_dir(site.path("in/frame_8")).unwrap();
        site.drop_file(name, text);
        let outcome = site.sweep().expect_code(0);
        let receipt = outcome.json().of_source(name).clone();
        assert_eq!(site.read("out/run.npy"), array(&[2, 2, 9, 9, 10, 10, 11, 11]), "{outcome}");
        assert!(
            reason(&receipt).contains("missing between `frame_2.raw` and `frame_11.raw`: 3 to 8"),
            "{receipt}"
        );
        let mut left = [&["frame_8"], &others[..]].concat();
        left.sort_unstable();
        assert_eq!(site.names("in"), left);
        assert!(site.has(&format!("out/{name}.done")));
    }
}

/// What lies before and after the data is so in each of the files.
#[test]
fn bytes_around_the_data() {
    let site = site("source = 'remove'");
    site.drop_file("f1.raw", [9, 1, 1, 8, 8]).drop_file("f2.raw", [9, 2, 2, 3, 3, 8, 8]);
    site.drop_file("run.toml", manifest("[-1, 2]", "'f*.raw'\noffset = 1\ntrailing = 2"));
    site.sweep().expect_code(0);
    assert_eq!(site.read("out/run.npy"), array(&[1, 1, 2, 2, 3, 3]));
    assert_eq!(site.names("in"), [""; 0]);
}

/// The axis that grows is the last one in Fortran order.
#[test]
fn fortran_order() {
    let site = site("");
    frames(&site, &[1, 2, 3]);
    site.drop_file("run.toml", manifest("[2, -1]", "'frame_*.raw'\norder = 'F'"));
    site.sweep().expect_code(0);
    assert_eq!(site.read("out/run.npy"), npy("'|u1'", true, &[2, 3], &[1, 1, 2, 2, 3, 3]));
}

/// Another file may come: ten times as long as a single file.
#[test]
fn a_glob_of_an_open_shape_waits_longer() {
    let site = Site::new();
    let text = site.configuration("state", "").replace("\"200ms\"", "\"12s\"");
    site.write("npyd.toml", text);
    frames(&site, &[1, 2]);
    site.drop_file("run.toml", manifest("[-1, 2]", "'frame_*.raw'"));
    expect_wait(&site, &["2m", "another file may match its glob"]);
}

/// A later file is in the array, too, wherever it is in the order.
#[test]
fn a_later_file_makes_the_array_again() {
    let site = site("");
    frames(&site, &[3, 4]);
    site.drop_file("run.toml", manifest("[-1, 2]", "'frame_*.raw'"));
    assert_eq!(site.sweep().expect_code(0).only_receipt()["event"], "finalized");
    for (number, data) in [
        (6, &[3, 3, 4, 4, 6, 6][..]),
        (2, &[2, 2, 3, 3, 4, 4, 6, 6]),
        (10, &[2, 2, 3, 3, 4, 4, 6, 6, 10, 10]),
    ] {
        frames(&site, &[number]);
        let receipt = site.sweep_until("remade").only_receipt();
        assert_eq!(site.read("out/run.npy"), array(data), "{receipt}");
    }
    // Each array holds all data of the one before.
    assert_eq!(site.names("out"), ["run.npy"]);
    frames(&site, &[5]);
    let receipt = site.sweep_until("remade").only_receipt();
    assert!(reason(&receipt).contains("`run.npy.~1~`"), "{receipt}");
    fs::remove_file(site.path("in/frame_2.raw")).unwrap();
    site.sweep_until("remade");
    assert_eq!(site.read("out/run.npy"), array(&[3, 3, 4, 4, 5, 5, 6, 6, 10, 10]));
}

/// The daemon need not scan for it.
#[test]
fn a_later_file_wakes_the_daemon() {
    let site = site("rescan = '1h'");
    let mut daemon = site.daemon();
    frames(&site, &[1]);
    site.drop_file("run.toml", manifest("[-1, 2]", "'frame_*.raw'"));
    daemon.wait_for_receipts("finalized", 1);
    frames(&site, &[2]);
    daemon.wait_for_receipts("remade", 1);
    assert_eq!(site.read("out/run.npy"), array(&[1, 1, 2, 2]));
    // The list waits for its second file.
    site.drop_file("b.raw", [7; 2]);
    site.drop_file("list.toml", manifest("[-1, 2]", "['b.raw', 'a.raw']"));
    daemon.wait_for_log("`a.raw` is not there yet");
    site.drop_file("a.raw", [8; 2]);
    daemon.wait_for_receipts("finalized", 2);
    assert_eq!(site.read("out/list.npy"), array(&[7, 7, 8, 8]));
}

#[test]
fn missing_files_are_named() {
    let site = site("source = 'remove'");
    site.drop_file("run.toml", manifest("[-1, 2]", "'frame_*.raw'"));
    expect_wait(&site, &["no file matches `frame_*.raw` yet"]);
    for (list, there) in [("['a.raw', 'b.raw']", "a.raw"), ("['b.raw', 'a.raw']", "a.raw")] {
        site.drop_file("run.toml", manifest("[-1, 2]", list)).drop_file(there, [1; 2]);
        expect_wait(&site, &["its data file `b.raw` is not there yet"]);
    }
    fs::remove_file(site.path("in/a.raw")).unwrap();
    expect_wait(&site, &["its data file `b.raw` is not there yet"]);
}

/// Two files that were cut off would together have the right size.
#[test]
fn each_file_has_whole_records() {
    for data in ["['frame_1.raw', 'frame_2.raw', 'frame_3.raw']", "'frame_*.raw'"] {
        let site = site("source = 'remove'");
        site.drop_file("frame_1.raw", [1; 1]).drop_file("frame_2.raw", [2; 1]);
        site.drop_file("frame_3.raw", [3; 2]).drop_file("run.toml", manifest("[-1, 2]", data));
        expect_wait(&site, &["`frame_1.raw` is not complete", "it has 1 of 2 bytes"]);
        site.drop_file("frame_1.raw", [1; 2]).drop_file("frame_2.raw", "");
        expect_wait(&site, &["`frame_2.raw` is not complete", "no complete record"]);
        site.drop_file("frame_2.raw", [2; 2]);
        site.sweep_until("finalized");
        assert_eq!(site.read("out/run.npy"), array(&[1, 1, 2, 2, 3, 3]));
        assert_eq!(site.names("in"), [""; 0]);
    }
}

#[test]
fn a_fixed_shape_is_complete_at_its_size() {
    for data in ["['frame_1.raw', 'frame_2.raw', 'frame_3.raw']", "'frame_*.raw'"] {
        let site = site("source = 'remove'");
        frames(&site, &[1, 2]);
        site.drop_file("run.toml", manifest("[3, 2]", data));
        expect_wait(&site, &[if data.starts_with('[') { "`frame_3.raw`" } else { "4 of 6 bytes" }]);
        frames(&site, &[3]);
        let receipt = site.sweep().expect_code(0).only_receipt();
        assert_eq!(receipt["evidence"], "size", "{receipt}");
        assert_eq!(site.read("out/run.npy"), array(&[1, 1, 2, 2, 3, 3]));
    }
    let site = site("");
    frames(&site, &[1, 2, 3, 4]);
    site.drop_file("run.toml", manifest("[3, 2]", "'frame_*.raw'"));
    let receipt = site.sweep_until("rejected").only_receipt();
    assert!(reason(&receipt).contains("8 bytes, not the declared 6"), "{receipt}");
    assert_eq!(site.names("out"), [""; 0]);
}

/// Bytes behind the data are those behind the last record, never a whole file. A message about a
/// series does not recommend `allow_trailing`.
#[test]
fn no_file_of_a_series_is_left_out() {
    for settings in ["", "allow_trailing = true", "allow_trailing = true\nsource = 'remove'"] {
        for data in
            ["['frame_1.raw', 'frame_2.raw', 'frame_3.raw', 'frame_4.raw']", "'frame_*.raw'"]
        {
            let site = site(settings);
            frames(&site, &[1, 2, 3, 4]);
            site.drop_file("run.toml", manifest("[2, 2]", data));
            let why = "8 bytes, not the declared 4: correct the shape, or leave out of `data` what \
                       is behind it: `frame_3.raw`, `frame_4.raw`";
            let receipt = site.sweep_until("rejected").only_receipt();
            assert!(reason(&receipt).contains(why), "{receipt}");
            assert!(!reason(&receipt).contains("allow_trailing"), "{receipt}");
            site.npyd(&["explain", "in/run.toml"]).expect_words(&[why]);
            site.npyd(&["redo", "--shape", "2,2", "run.toml"]).expect_code(1);
            assert_eq!((site.names("in").len(), site.names("out").len()), (5, 0));
        }
    }
    // The last file goes on behind the declared data.
    for (settings, event) in [("", "rejected"), ("allow_trailing = true", "finalized")] {
        let site = site(settings);
        site.drop_file("frame_1.raw", [1; 2]).drop_file("frame_2.raw", [2; 5]);
        site.drop_file("run.toml", manifest("[2, 2]", "'frame_*.raw'"));
        let receipt = site.sweep_until(event).only_receipt();
        let words = match event {
            "rejected" => "7 bytes, not the declared 4: correct dtype, shape, offset or trailing",
            _ => "without the 3 bytes behind its data",
        };
        assert!(reason(&receipt).ends_with(words), "{receipt}");
    }
    // An open shape takes all records.
    let site = site("allow_trailing = true");
    site.drop_file("frame_1.raw", [1; 2]).drop_file("frame_2.raw", [2; 3]);
    site.drop_file("run.toml", manifest("[-1, 2]", "'frame_*.raw'"));
    let receipt = site.sweep_until("finalized").only_receipt();
    assert!(reason(&receipt).contains("without the 1 byte behind its data"), "{receipt}");
    assert_eq!(site.read("out/run.npy"), array(&[1, 1, 2, 2]));
}

/// The digest is that of the files' contents, one after the other.
#[test]
fn the_digest_of_several_files() {
    let digest = |bytes: &[u8]| format!("digest = 'crc32c:{:08x}'", crc32c(bytes));
    for (digest, event) in [
        (digest(&[9, 2, 2, 9, 1, 1]), "finalized"),
        (digest(&[2, 2, 1, 1]), "rejected"),
        (digest(&[9, 1, 1, 9, 2, 2]), "rejected"),
    ] {
        for names in ["['b.raw', 'a.raw']", "['b.raw', 'a.raw']\nshape = [2, 2]"] {
            let site = site("source = 'remove'");
            site.drop_file("a.raw", [9, 1, 1]).drop_file("b.raw", [9, 2, 2]);
            let text = manifest("[-1, 2]", &format!("{names}\noffset = 1\n{digest}"));
            let is_fixed = names.contains("shape");
            let text = if is_fixed { text.replacen("shape = [-1, 2]\n", "", 1) } else { text };
            site.drop_file("run.toml", text);
            let receipt = site.sweep_until(event).only_receipt();
            if event == "finalized" {
                assert_eq!(receipt["evidence"], "digest", "{receipt}");
                assert_eq!(site.read("out/run.npy"), array(&[2, 2, 1, 1]));
                assert_eq!(site.names("in"), [""; 0]);
            } else {
                assert_eq!(site.names("in").len(), 3, "{receipt}");
            }
        }
    }
}

/// Each of these keys is one that no array can be made by.
#[test]
fn unusable_values_are_rejected() {
    for (data, words) in [
        ("['a.raw', '../b.raw']", "no directories are allowed"),
        ("['a.raw', '/etc/passwd']", "no directories are allowed"),
        ("'../*.raw'", "no directories are allowed"),
        ("[]", "is empty"),
        ("['a.raw', 'a.raw']", "`a.raw` twice"),
        ("['a.raw', 'run.raw.toml']", "lists itself"),
        ("['run.raw']\nreserved = 128", "`offset`"),
        ("'r*.raw'\nreserved = 128", "`offset`"),
    ] {
        let site = site("");
        site.drop_file("run.raw", [0; 128]);
        site.drop_file("run.raw.toml", manifest("[-1, 2]", data));
        let receipt = site.sweep_until("rejected").only_receipt();
        assert!(reason(&receipt).contains(words), "{data}: {receipt}");
        assert_eq!(site.names("out"), [""; 0]);
    }
}

/// Another description of one of the files, first in the order or not, by its name or its text.
#[test]
fn a_second_description_is_a_conflict() {
    let one = "dtype = '|u1'\nshape = [2]\n";
    for series in ["['frame_1.raw', 'frame_2.raw']", "'frame_*.raw'"] {
        for (name, text) in [
            ("frame_1.raw.toml", one.to_owned()),
            ("frame_2.raw.toml", one.to_owned()),
            ("about.toml", format!("{one}data = 'frame_1.raw'\n")),
            ("about.toml", format!("{one}data = 'frame_2.raw'\n")),
            ("about.toml", manifest("[-1, 2]", "['frame_2.raw', 'x.raw']")),
            ("about.toml", manifest("[-1, 2]", "'*_2.raw'")),
            ("zz.toml", manifest("[-1, 2]", "'*_1.raw'")),
        ] {
            let site = site("source = 'remove'");
            frames(&site, &[1, 2]);
            site.drop_file("x.raw", [7; 2]);
            site.drop_file("run.toml", manifest("[-1, 2]", series)).drop_file(name, &text);
            let outcome = site.sweep_until("rejected");
            for words in ["run.toml", name] {
                assert!(outcome.stdout.contains(words), "{series} {name}: {outcome}");
            }
            assert_eq!(site.names("out"), [""; 0], "{series} {name}: {outcome}");
            for frame in ["frame_1.raw", "frame_2.raw"] {
                assert!(site.has(&format!("in/{frame}")), "{series} {name}: {outcome}");
            }
            fs::remove_file(site.path("in").join(name)).unwrap();
            site.sweep_until("finalized");
            assert_eq!(site.read("out/run.npy"), array(&[1, 1, 2, 2]), "{series} {name}");
        }
    }
}

/// The scan does not probe the series, but still knows which files it has.
#[test]
fn a_second_description_of_a_settled_series_is_a_conflict() {
    let one = "dtype = '|u1'\nshape = [2]\n";
    for series in ["['frame_1.raw', 'frame_2.raw']", "'frame_*.raw'"] {
        for (name, text) in [
            ("frame_1.raw.toml", one.to_owned()),
            ("frame_2.raw.toml", one.to_owned()),
            ("about.toml", format!("{one}data = 'frame_2.raw'\n")),
            ("zz.toml", manifest("[-1, 2]", "'*_1.raw'")),
        ] {
            let site = site("source = 'keep'");
            frames(&site, &[1, 2]);
            site.drop_file("run.toml", manifest("[-1, 2]", series));
            site.sweep().expect_code(0);
            let outcome = site.drop_file(name, &text).sweep_until("rejected");
            for words in ["run.toml", name] {
                assert!(outcome.stdout.contains(words), "{series} {name}: {outcome}");
            }
            assert_eq!(site.names("out"), ["run.npy"], "{series} {name}: {outcome}");
            assert_eq!(site.read("out/run.npy"), array(&[1, 1, 2, 2]), "{series} {name}");
        }
    }
}

/// A scan of a series that is settled costs one look at the metadata of each file.
#[test]
fn a_settled_series_is_not_opened() {
    if !has_strace() {
        return;
    }
    let list = "['frame_1.raw', 'frame_2.raw', 'frame_3.raw']";
    for (data, settings) in [("'frame_*.raw'", ""), (list, "recursive = true"), (list, "")] {
        let site = site(settings);
        frames(&site, &[1, 2, 3]);
        site.drop_file("run.toml", manifest("[-1, 2]", data));
        site.sweep().expect_code(0);
        let npyd = site.command();
        let mut strace = Command::new("strace");
        strace.args(["--follow-forks", "--trace=%file", "--output"]).arg(site.path("strace.log"));
        strace.arg(npyd.get_program()).args(["sweep", "--json", "--config"]);
        let outcome = Outcome::of(strace.arg(site.path("npyd.toml"))).expect_code(0);
        assert_eq!(outcome.stdout, "", "{data}");
        let log = String::from_utf8(site.read("strace.log")).unwrap();
        let of_files: Vec<_> = log.lines().filter(|line| line.contains("frame_")).collect();
        assert!(of_files.iter().all(|line| line.contains("statx(")), "{data}: {of_files:#?}");
        assert_eq!(of_files.len(), 3, "{data}: {of_files:#?}");
        // One that changes is found nevertheless.
        site.drop_file("frame_2.raw", [9; 2]);
        site.sweep_until("remade");
        assert_eq!(site.read("out/run.npy"), array(&[1, 1, 9, 9, 3, 3]), "{data}");
    }
}

/// A template does not take a file that belongs to a series, whichever comes first in a scan.
#[test]
fn templates_leave_the_files_of_a_series() {
    let template = "[[drop.template]]\nmatch = '*.raw'\ndtype = '|u1'\nshape = [2]";
    let site = site(template);
    frames(&site, &[1, 2]);
    site.drop_file("zz.toml", manifest("[-1, 2]", "'frame_*.raw'"));
    site.sweep().expect_code(0);
    assert_eq!(site.names("out"), ["zz.npy"]);
}

/// Ended after some of them had gone: the others follow, and do not make an array of their own.
#[test]
fn those_that_were_left_behind_follow() {
    let list = "['frame_1.raw', 'frame_2.raw', 'frame_3.raw']";
    for (data, shape, gone) in [
        (list, "[-1, 2]", &[1][..]),
        (list, "[3, 2]", &[1, 2]),
        (list, "[-1, 2]", &[3]),
        (list, "[3, 2]", &[1, 2, 3]),
        ("'frame_*.raw'", "[-1, 2]", &[1]),
        ("'frame_*.raw'", "[-1, 2]", &[1, 2]),
        ("'frame_*.raw'", "[-1, 2]", &[1, 2, 3]),
        ("'frame_*.raw'", "[3, 2]", &[1, 2]),
    ] {
        for (disposition, loses) in [("remove", false), ("archive", true), ("remove", true)] {
            let site = site("source = 'keep'");
            frames(&site, &[1, 2, 3]);
            site.drop_file("run.toml", manifest(shape, data));
            site.sweep().expect_code(0);
            configure(&site, &format!("source = '{disposition}'"));
            for number in gone {
                let name = format!("frame_{number}.raw");
                fs::rename(site.path(format!("in/{name}")), site.path(format!("old/{name}")))
                    .unwrap();
            }
            if loses {
                site.lose_ledger();
            }
            let outcome = site.sweep().expect_code(0);
            assert_eq!(site.names("in"), [""; 0], "{data} {disposition} {gone:?}: {outcome}");
            assert_eq!(site.read("out/run.npy"), array(&[1, 1, 2, 2, 3, 3]), "{outcome}");
            let (old, out) = match disposition {
                "archive" => (4, &["run.npy"][..]),
                _ => (gone.len(), &["run.npy", "run.toml.done"][..]),
            };
            assert_eq!(site.names("old").len(), old, "{data} {disposition} {gone:?}");
            assert_eq!(site.names("out"), out, "{data} {disposition} {gone:?}");
        }
    }
}

/// Files that joined those that were left behind: the array that holds the others stays.
#[test]
fn an_array_of_files_that_are_gone_is_not_replaced() {
    for on_conflict in ["reject", "replace", "replace-any", "number"] {
        let site = site("source = 'keep'");
        frames(&site, &[1, 2, 3]);
        site.drop_file("run.toml", manifest("[-1, 2]", "'frame_*.raw'"));
        site.sweep().expect_code(0);
        configure(&site, &format!("source = 'remove'\non_conflict = '{on_conflict}'"));
        fs::remove_file(site.path("in/frame_1.raw")).unwrap();
        frames(&site, &[4]);
        let outcome = site.lose_ledger().sweep().expect_code(0);
        assert_eq!(site.read("out/run.npy"), array(&[1, 1, 2, 2, 3, 3]), "{outcome}");
        if on_conflict == "number" {
            assert_eq!(site.read("out/run-1.npy"), array(&[2, 2, 3, 3, 4, 4]), "{outcome}");
        } else {
            assert!(outcome.stdout.contains("files that are gone"), "{outcome}");
            assert_eq!(site.names("in").len(), 4, "{outcome}");
        }
    }
}

/// Whatever replaces it: the array that has the only copy of a file's data stays as a backup.
#[test]
fn an_array_that_is_replaced_keeps_the_data_of_files_that_are_gone() {
    type Replace = fn(&Site) -> Outcome;
    let finalize: Replace = |site| site.npyd(&["finalize", "--replace", "in/run.toml"]);
    let into_dir: Replace =
        |site| site.npyd(&["finalize", "--replace", "--output-dir", "in", "in/run.toml"]);
    let sweep: Replace = |site| site.lose_ledger().sweep();
    let redo: Replace = |site| {
        site.npyd(&["redo", "run.toml"]).expect_code(0);
        site.sweep()
    };
    let beside = |replace: Replace| (replace, "in", "");
    let by_sweep = |settings| (sweep, "out", settings);
    for (at, (replace, dir, settings)) in [
        beside(finalize),
        beside(into_dir),
        by_sweep("on_conflict = 'replace'"),
        by_sweep("on_conflict = 'replace-any'"),
        (redo, "out", "on_change = 'keep'"),
        (redo, "out", ""),
    ]
    .into_iter()
    .enumerate()
    {
        let site = site(settings);
        frames(&site, &[1, 2, 3]);
        // An open shape would have `npyd finalize` wait.
        site.drop_file("run.toml", manifest("[3, 2]", "'frame_*.raw'"));
        if dir == "in" {
            site.npyd(&["finalize", "in/run.toml"]).expect_code(0);
        } else {
            site.sweep().expect_code(0);
        }
        fs::remove_file(site.path("in/frame_1.raw")).unwrap();
        frames(&site, &[4]);
        let outcome = replace(&site).expect_code(0);
        let outcome = outcome.expect_words(&["`run.npy.~1~`"]);
        let read = |name: &str| site.read(&format!("{dir}/{name}"));
        assert_eq!(read("run.npy"), array(&[2, 2, 3, 3, 4, 4]), "{at}: {outcome}");
        assert_eq!(read("run.npy.~1~"), array(&[1, 1, 2, 2, 3, 3]), "{at}: {outcome}");
    }
}

/// Files that joined at an end leave nothing to keep.
#[test]
fn an_array_that_is_in_the_new_one_is_replaced() {
    let site = site("");
    for (number, data) in [(2, &[2, 2][..]), (3, &[2, 2, 3, 3]), (1, &[1, 1, 2, 2, 3, 3])] {
        frames(&site, &[number]);
        let shape = format!("[{}, 2]", data.len() / 2);
        site.drop_file("run.toml", manifest(&shape, "'frame_*.raw'"));
        site.npyd(&["finalize", "--replace", "in/run.toml"]).expect_code(0);
        assert_eq!(site.read("in/run.npy"), array(data));
        assert!(!site.has("in/run.npy.~1~"));
    }
}

/// What is left of a converted series is not taken for a shorter one: its bytes prove nothing.
#[test]
fn files_of_a_converted_series_wait() {
    for data in ["'frame_*.raw'", "['frame_1.raw', 'frame_2.raw', 'frame_3.raw']"] {
        let site = site("source = 'keep'");
        frames(&site, &[1, 2, 3]);
        site.drop_file("run.toml", manifest("[-1, 2]", data));
        site.sweep().expect_code(0);
        configure(&site, "source = 'remove'");
        mark_as_converted(&site.path("out/run.npy"));
        fs::remove_file(site.path("in/frame_1.raw")).unwrap();
        site.sweep().expect_code(0).expect_words(&["not all there yet"]);
        assert_eq!(site.names("in"), ["frame_2.raw", "frame_3.raw", "run.toml"], "{data}");
        assert_eq!(site.read("out/run.npy"), array(&[1, 1, 2, 2, 3, 3]), "{data}");
    }
}

/// What is in no array is not removed: it waits, with what describes it.
#[test]
fn what_is_in_no_array_stays() {
    let site = site("source = 'keep'");
    frames(&site, &[1, 2, 3]);
    let list = "['frame_1.raw', 'frame_2.raw', 'frame_3.raw']";
    site.drop_file("run.toml", manifest("[-1, 2]", list));
    site.sweep().expect_code(0);
    configure(&site, "source = 'remove'");
    fs::remove_file(site.path("in/frame_1.raw")).unwrap();
    site.drop_file("frame_2.raw", [7; 2]);
    site.sweep().expect_code(0).expect_words(&["not all there yet"]);
    assert!(site.has("in/frame_2.raw") && site.has("in/frame_3.raw"));
    assert_eq!(site.read("out/run.npy"), array(&[1, 1, 2, 2, 3, 3]));
}

/// One that belongs to a rejected series moves with the others, and comes back with them.
#[test]
fn a_rejected_series_comes_back() {
    let nrrd = "NRRD0004\ntype: uchar\ndimension: 1\nsizes: 3\nencoding: raw\n\
        data file: LIST\nframe_1.raw\nframe_2.raw\nframe_3.raw\n";
    for (name, text, source) in [
        ("run.toml", manifest("[2, 2]", "'frame_*.raw'"), "run.toml"),
        (
            "run.toml",
            manifest("[2, 2]", "['frame_1.raw', 'frame_2.raw', 'frame_3.raw']"),
            "run.toml",
        ),
        ("run.nhdr", nrrd.to_owned(), "frame_1.raw"),
    ] {
        let site = site("");
        fs::create_dir(site.path("bad")).unwrap();
        configure(&site, &format!("rejects = '{}'", site.path("bad").display()));
        frames(&site, &[1, 2, 3]);
        site.drop_file(name, text);
        // Another drop, which the glob matches.
        site.write("bad/frame_4.raw", "x").write("bad/frame_4.raw.rejected.txt", "x");
        site.sweep_until("rejected");
        assert_eq!(site.names("in"), [""; 0]);
        site.npyd(&["retry", site.path("in").join(source).to_str().unwrap()]).expect_code(0);
        assert_eq!(site.names("in"), ["frame_1.raw", "frame_2.raw", "frame_3.raw", name]);
        // The reason goes with it; that of the other drop stays.
        assert_eq!(site.names("bad"), ["frame_4.raw", "frame_4.raw.rejected.txt"]);
    }
}

/// For one file of a series as for its manifest.
#[test]
fn commands_know_a_series() {
    let site = site("");
    frames(&site, &[1, 2, 4]);
    site.drop_file("run.toml", manifest("[-1, 2]", "'frame_*.raw'"));
    for name in ["in/run.toml", "in/frame_2.raw"] {
        let path = site.path(name);
        let report = site.npyd(&["explain", "--json", path.to_str().unwrap()]).json();
        assert_eq!(report[0]["output"], json!(site.path("out/run.npy")), "{report:#?}");
        assert_eq!(report[0]["output_shape"], json!([3, 2]), "{report:#?}");
        assert_eq!(report[0]["size"], 6, "{report:#?}");
        assert!(report[0]["doubts"][0].as_str().unwrap().ends_with(": 3"), "{report:#?}");
    }
    let path = site.path("in/run.toml");
    site.npyd(&["finalize", path.to_str().unwrap()]).expect_code(0);
    assert_eq!(site.read("in/run.npy"), array(&[1, 1, 2, 2, 4, 4]));
}
