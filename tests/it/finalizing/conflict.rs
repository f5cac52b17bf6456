//! Output names that are already taken.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::chown;
use std::process::Command;

use crate::support::{
    PendingFile, Receipts, SCAN_MANIFEST, Site, as_root, npy, reason, scan_bytes, scan_npy,
    sweep_halted,
};

#[test]
fn rejected() {
    let site = Site::with("on_conflict = \"reject\"\nsource = \"remove\"");
    site.write("out/scan.npy", "something else").scan("scan");
    let receipts = site.sweep().expect_code(1).json();
    let receipt = receipts.of_source("scan.raw");
    assert_eq!(receipt["event"], "rejected");
    assert!(receipt["reason"].as_str().unwrap().contains("scan.npy"), "{receipt}");
    assert_eq!(site.read("out/scan.npy"), b"something else");
    assert_eq!(site.names("in"), ["scan.raw", "scan.raw.toml"]);
    assert_eq!(site.names("out"), ["scan.npy"]);
}

/// A corrected description of data whose source is gone: what is said of it alone, and of a drop
/// with the data.
#[test]
fn the_array_of_an_earlier_file_of_this_name() {
    let site = Site::with_array("source = 'remove'\nremove_unproven = true");
    site.drop_file("scan.raw.toml", "dtype = '<i4'\nshape = [2, 3]\n");
    let remedy = "`npyd redo scan.npy` with --dtype or --shape corrects that array";
    site.sweep().expect_words(&["one of that name became", remedy]);
    site.npyd(&["explain", "in/scan.raw.toml"]).expect_words(&["waiting", remedy]);
    site.drop_file("scan.raw", [7; 24]);
    let receipts = site.sweep().expect_code(1).json();
    let reason = receipts.of_source("scan.raw")["reason"].as_str().unwrap().to_owned();
    for words in [
        "`scan.npy` is the array of an earlier file of this name: move it away, ",
        "`output` in its manifest",
        "on_conflict = \"replace\"",
        "\"number\"",
    ] {
        assert!(reason.contains(words), "{reason}");
    }
    assert_eq!(site.read("out/scan.npy"), scan_npy());
}

#[test]
fn replaced() {
    let site = Site::with("on_conflict = \"replace\"");
    site.write("out/scan.npy", "something else").scan("scan");
    let receipt = site.sweep().expect_code(0).only_receipt();
    let why = reason(&receipt);
    assert!(why.contains("it replaces `scan.npy`, a file that is not an array"), "{why}");
    assert!(why.contains("the file that was there is kept as `scan.npy.~1~`"), "{why}");
    assert_eq!(site.read("out/scan.npy"), scan_npy());
    assert_eq!(site.read("out/scan.npy.~1~"), b"something else");
    assert_eq!(site.names("out"), ["scan.npy", "scan.npy.~1~"]);
}

/// What is not an array stays as a backup, whatever replaces it, and each has its own number.
#[test]
fn what_is_not_an_array_stays_as_a_backup() {
    let site = Site::with("on_conflict = 'replace-any'");
    site.write("out/scan.npy", "first").scan("scan").sweep().expect_code(0);
    for (content, backup) in [("second", "out/mine.npy.~1~"), ("", "out/mine.npy.~2~")] {
        site.write("out/mine.npy", content);
        site.write("mine.raw", scan_bytes()).write("mine.raw.toml", SCAN_MANIFEST);
        let flags = ["finalize", "--replace", "mine.raw", "-o", "out/mine.npy"];
        site.npyd(&[&flags[..], &["--dry-run"]].concat())
            .expect_code(0)
            .expect_words(&["not an array, which stays as a backup"]);
        let name = backup.trim_start_matches("out/");
        site.npyd(&flags).expect_code(0).expect_words(&[&format!("is kept as `{name}`")]);
        assert_eq!(site.read(backup), content.as_bytes());
        assert_eq!(site.read("out/mine.npy"), scan_npy());
    }
    assert_eq!(site.read("out/scan.npy.~1~"), b"first");
}

/// No setting makes npyd replace what is not a regular file, however it was asked.
#[test]
fn what_is_not_a_regular_file_is_not_replaced() {
    let make = |site: &Site, name: &str, kind: &str| {
        let path = site.path(name);
        match kind {
            "a symbolic link" => std::os::unix::fs::symlink("elsewhere", path).unwrap(),
            "a socket" => drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
            "a directory" => std::fs::create_dir(path).unwrap(),
            "a pipe" => assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
            _ => assert!(
                Command::new("mknod").arg(path).args(["c", "1", "3"]).status().unwrap().success()
            ),
        }
    };
    let devices = if as_root() { &["a device"][..] } else { &[] };
    let kinds = [&["a symbolic link", "a socket", "a directory", "a pipe"][..], devices].concat();
    for kind in kinds {
        for policy in ["reject", "replace", "replace-any"] {
            let site = Site::with(&format!("on_conflict = '{policy}'"));
            make(&site, "out/scan.npy", kind);
            let before = site.identity("out/scan.npy");
            let receipt = site.scan("scan").sweep().expect_code(1).only_receipt();
            let words = format!("`scan.npy` is {kind}, and npyd replaces only regular files");
            assert!(reason(&receipt).contains(&words), "{policy}: {receipt}");
            let words = format!("{words}: move it away, or give another output (-o, --output-dir)");
            if kind != "a directory" {
                site.npyd(&["finalize", "--replace", "in/scan.raw", "-o", "out/scan.npy"])
                    .expect_code(1)
                    .expect_words(&[&words]);
            }
            assert_eq!(site.identity("out/scan.npy"), before);
            assert_eq!(site.names("out"), ["scan.npy"]);
        }
    }
}

/// With `remove`, an array of another source has the only copy of that source's data.
#[test]
fn an_array_of_another_source_is_not_replaced() {
    let site = Site::with("on_conflict = \"replace\"\nsource = \"remove\"\nremove_unproven = true");
    site.scan("scan").sweep().expect_code(0);
    site.drop_file("scan.bin", [7; 24]).drop_file("scan.bin.toml", SCAN_MANIFEST);
    let receipts = site.sweep().expect_code(1).json();
    let receipt = receipts.of_source("scan.bin");
    assert_eq!(receipt["event"], "rejected");
    let reason = receipt["reason"].as_str().unwrap();
    assert!(reason.contains("`scan.raw`") && reason.contains("replace-any"), "{reason}");
    assert_eq!(site.read("out/scan.npy"), scan_npy());
    assert_eq!(site.read("in/scan.bin"), [7; 24]);

    site.drop_file("scan.raw", [8; 24]).drop_file("scan.raw.toml", SCAN_MANIFEST);
    let receipts = site.sweep().expect_code(0).json();
    let reason = receipts.of_source("scan.raw")["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("an earlier file of this name"), "{reason}");
    assert!(site.read("out/scan.npy").ends_with(&[8; 24]));
    // The only copy of what that earlier file held.
    assert!(reason.contains("kept as `scan.npy.~1~`"), "{reason}");
    assert_eq!(site.read("out/scan.npy.~1~"), scan_npy());
}

/// A file that could become the array itself is copied then, because it must be compared first.
#[test]
fn the_array_of_an_earlier_file_stays_as_a_backup() {
    let site = Site::with("on_conflict = \"replace\"\nsource = \"remove\"\nremove_unproven = true");
    let pending = |byte: u8| PendingFile::ready(&[2, 3]).with(&[byte; 24]);
    let manifest = "dtype = '<f4'\nshape = [6]\nreserved = 128\n";
    for byte in [5, 6, 7] {
        site.drop_file("x.npy.pending", pending(byte));
        site.drop_file("y.raw", [vec![0; 128], vec![byte; 24]].concat());
        site.drop_file("y.raw.toml", manifest).settle("finalized", 2 * (byte as usize - 4));
    }
    for name in ["x.npy", "y.npy"] {
        for (suffix, byte) in [("", 7), (".~1~", 5), (".~2~", 6)] {
            let content = site.read(&format!("out/{name}{suffix}"));
            assert!(content.ends_with(&[byte; 24]), "{name}{suffix}");
        }
    }
    assert_eq!(site.names("in"), [""; 0]);
}

/// Zeros are data there: a dark frame, a mask or a count may be all zeros. Only in an array of the
/// very drop that is remade they were not written yet.
#[test]
fn the_zeros_of_an_earlier_file_stay_as_a_backup() {
    let site = Site::with("on_conflict = \"replace\"\nsource = \"remove\"\nremove_unproven = true");
    let manifest = "dtype = '|u1'\nshape = [-1]\n";
    let drop = |x: &[u8], y: &[u8], finalized| {
        site.drop_file("x.raw", x).drop_file("x.raw.toml", manifest);
        site.drop_file("y.raw", y).drop_file("y.raw.toml", manifest).settle("finalized", finalized);
    };
    let (masks, dark, counts) = ([1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 0, 5]);
    drop(&masks, &dark, 2);
    drop(&counts, &[0, 1], 4);
    assert!(site.read("out/x.npy.~1~").ends_with(&masks));
    assert!(site.read("out/y.npy.~1~").ends_with(&dark));
    // What the new array contains needs no backup.
    drop(&[&counts[..], &[0]].concat(), &[0, 1, 2], 6);
    assert_eq!(site.names("out").iter().filter(|name| name.contains('~')).count(), 2);
}

/// So it is for a source that became the array itself, and for two sources that come together.
#[test]
fn an_array_of_another_kind_is_not_replaced() {
    let site = Site::with("on_conflict = \"replace\"\nsource = \"remove\"\nremove_unproven = true");
    site.drop_file("x.npy.pending", PendingFile::ready(&[2, 3]).with(&[5; 24]));
    site.sweep().expect_code(0);
    let array = site.read("out/x.npy");
    site.drop_file("x.raw", [7; 24]).drop_file("x.raw.toml", SCAN_MANIFEST);
    for name in ["y.raw", "y.bin"] {
        site.drop_file(name, [name.len() as u8; 24]);
        site.drop_file(&format!("{name}.toml"), SCAN_MANIFEST);
    }
    let receipts = site.sweep().expect_code(1).json();
    assert_eq!(receipts.of_source("x.raw")["event"], "rejected");
    assert_eq!(receipts.of_event("finalized").len(), 1);
    assert_eq!(site.read("out/x.npy"), array);
    assert!(site.has("in/x.raw"));
    assert_eq!(["in/y.raw", "in/y.bin"].iter().filter(|it| site.has(it)).count(), 1);
}

#[test]
fn any_array_is_replaced_by_an_option_of_its_own() {
    let site = Site::with_array("on_conflict = \"replace-any\"");
    site.drop_file("scan.bin", [7; 24]).drop_file("scan.bin.toml", SCAN_MANIFEST);
    let receipts = site.sweep().expect_code(0).json();
    let reason = receipts.of_source("scan.bin")["reason"].as_str().unwrap().to_owned();
    assert!(
        reason.contains("replaces `scan.npy`, the array of another source, `scan.raw`"),
        "{reason}"
    );
    assert!(site.read("out/scan.npy").ends_with(&[7; 24]));
}

/// What is written to an array that has no name any more would be lost.
#[test]
fn an_array_that_somebody_writes_to_stays_as_a_backup() {
    let site = Site::with("on_change = \"remake\"");
    let open = "dtype = '|u1'\nshape = [-1, 2]\n";
    site.drop_file("x.raw", [1; 2]).drop_file("x.raw.toml", open).settle("finalized", 1);
    let mut writer = File::options().append(true).open(site.path("out/x.npy")).unwrap();
    site.drop_file("x.raw", [1; 4]).settle("remade", 1);
    writer.write_all(b"more").unwrap();
    assert!(site.read("out/x.npy.~1~").ends_with(b"more"));
    drop(writer);
    site.drop_file("x.raw", [1; 6]).settle("remade", 2);
    assert_eq!(site.names("out"), ["x.npy", "x.npy.~1~"]);
}

#[test]
fn two_drop_directories_with_one_output() {
    let site = Site::with("on_conflict = \"replace\"\nsource = \"remove\"\nremove_unproven = true");
    let config = site.configuration("state", "on_conflict = \"replace\"");
    let (_, table) = config.split_once("[[drop]]").unwrap();
    let second = table.replace("/in\"", "/in2\"");
    let first = String::from_utf8(site.read("npyd.toml")).unwrap();
    site.write("npyd.toml", format!("{first}\n[[drop]]{second}"));
    std::fs::create_dir(site.path("in2")).unwrap();
    site.npyd(&["check"]).expect_code(0).expect_words(&["warning", "on_conflict"]);
    site.scan("scan").sweep().expect_code(0);
    site.write("in2/scan.raw", [7; 24]).write("in2/scan.raw.toml", SCAN_MANIFEST);
    site.sweep().expect_code(1);
    assert_eq!(site.read("out/scan.npy"), scan_npy());
    assert_eq!(site.read("in2/scan.raw"), [7; 24]);
}

#[test]
fn numbered() {
    let site = Site::with("on_conflict = \"number\"");
    site.write("out/scan.npy", "one").write("out/scan-1.npy", "another").scan("scan");
    let receipts = site.sweep().expect_code(0).json();
    let output = receipts.of_source("scan.raw")["output"].as_str().unwrap().to_owned();
    assert!(output.ends_with("scan-2.npy"), "{output}");
    assert_eq!(site.names("out"), ["scan-1.npy", "scan-2.npy", "scan.npy"]);
    assert_eq!(site.read("out/scan-2.npy"), scan_npy());
    assert_eq!(site.read("out/scan.npy"), b"one");
}

/// Two drops of one sweep may want the same name.
#[test]
fn two_drops_with_one_output() {
    let site = Site::new();
    site.scan("a").drop_file("a.raw.toml", "dtype = '<f4'\nshape = [2, 3]\noutput = 'x.npy'");
    site.scan("b").drop_file("b.raw.toml", "dtype = '<f4'\nshape = [3, 2]\noutput = 'x.npy'");
    let receipts = site.sweep().expect_code(1).json();
    assert_eq!(receipts.of_event("finalized").len(), 1);
    assert_eq!(receipts.of_event("rejected").len(), 1);
    assert_eq!(site.names("out"), ["x.npy"]);
}

/// A site whose arrays lie beside their data, and replace others.
fn replacing_beside(on_conflict: &str) -> Site {
    let site = Site::new();
    let config = site.configuration("state", &format!("on_conflict = \"{on_conflict}\""));
    let output = format!("output = \"{}\"\n", site.path("out").display());
    site.write("npyd.toml", config.replace(&output, ""));
    site
}

/// With the output beside the data, npyd as root replaces only arrays of root or of the user who
/// dropped the data. No manifest makes npyd replace another user's drop or array.
#[test]
fn replaced_beside_the_data() {
    const DROPPER: Option<u32> = Some(1234);
    const ANOTHER: Option<u32> = Some(5678);
    if !as_root() {
        return;
    }
    let site = replacing_beside("replace-any");
    let file = |name: &str, content: &[u8], uid| {
        site.drop_file(name, content);
        chown(site.path("in").join(name), uid, uid).unwrap();
    };
    let pending = PendingFile::writing(&[2, 3]).with(&[7; 20]);
    file("drop.npy", &pending, ANOTHER);
    file("array.npy", &scan_npy(), ANOTHER);
    file("own-drop.npy", &pending, DROPPER);
    file("raw.npy", b"a template's", Some(0));
    let kept = ["drop", "array", "own-drop", "raw"];
    file("own-array.npy", &scan_npy(), DROPPER);
    file("array-of-npyd.npy", &scan_npy(), Some(0));
    let gone = ["own-array", "array-of-npyd"];
    let before = kept.map(|name| site.identity(&format!("in/{name}.npy")));
    for name in kept.into_iter().chain(gone) {
        file(&format!("{name}-new.raw"), &[1; 24], DROPPER);
        let text = format!("dtype = '|u1'\nshape = [24]\noutput = '{name}.npy'\n");
        file(&format!("{name}-new.raw.toml"), text.as_bytes(), DROPPER);
    }
    let receipts = site.settle("rejected", kept.len() + 2); // and two whose writers are gone
    for name in kept {
        let receipt = receipts.of_source(&format!("{name}-new.raw"));
        assert_eq!(receipt["event"], "rejected", "{name}");
        let reason = receipt["reason"].as_str().unwrap();
        assert!(reason.contains("belongs to someone else"), "{name}: {reason}");
    }
    assert_eq!(kept.map(|name| site.identity(&format!("in/{name}.npy"))), before);
    for name in gone {
        assert!(site.read(&format!("in/{name}.npy")).ends_with(&[1; 24]), "{name}");
    }
}

/// Beside its data an array replaces an array, and nobody's drop, whenever that came.
#[test]
fn a_drop_that_gets_the_name_meanwhile() {
    for manifest in [SCAN_MANIFEST, "dtype = '<f4'\nshape = [6]\nreserved = 128\n"] {
        let data =
            [vec![0; if manifest == SCAN_MANIFEST { 0 } else { 128 }], scan_bytes()].concat();
        let drop = PendingFile::writing(&[2, 3]).with(&[7; 20]);
        let mut calls = 0;
        loop {
            let site = replacing_beside("replace").with_short_quiet_time();
            site.drop_file("scan.raw", &data).drop_file("scan.raw.toml", manifest);
            let mut came = false;
            let halted = sweep_halted(&site, &["in", "in/scan.raw"], calls, |_| {
                let path = site.path("in/scan.npy");
                if let Ok(mut file) = File::options().write(true).create_new(true).open(path) {
                    file.write_all(&drop).unwrap();
                    came = true;
                }
            });
            if came {
                assert_eq!(site.read("in/scan.npy"), drop, "it came after call {calls}");
                let is_left =
                    site.has("in/scan.raw") && site.read("in/scan.raw").ends_with(&scan_bytes());
                assert!(is_left, "after call {calls}");
            }
            if !halted {
                break;
            }
            calls += 1;
        }
        println!("a drop after each of {calls} calls");
        assert!(calls > 10, "only {calls} calls were seen");
    }
}

/// The file that is there may be replaced; an array that takes the name meanwhile may not, however
/// the new array is made.
#[test]
fn an_array_that_gets_the_name_meanwhile() {
    let theirs = npy("'|u1'", false, &[5], &[7; 5]);
    for manifest in [SCAN_MANIFEST, "dtype = '<f4'\nshape = [6]\nreserved = 128\n"] {
        let data =
            [vec![0; if manifest == SCAN_MANIFEST { 0 } else { 128 }], scan_bytes()].concat();
        let mut calls = 0;
        loop {
            let site = Site::with("on_conflict = 'replace'").with_short_quiet_time();
            site.write("out/scan.npy", "something else").write("theirs.npy", &theirs);
            site.drop_file("scan.raw", &data).drop_file("scan.raw.toml", manifest);
            let halted = sweep_halted(&site, &["out"], calls, |_| {
                std::fs::rename(site.path("theirs.npy"), site.path("out/scan.npy")).unwrap();
            });
            if !halted {
                break;
            }
            assert_eq!(site.read("out/scan.npy"), theirs, "it came after call {calls}");
            for name in site.names("out").iter().filter(|name| *name != "scan.npy") {
                assert_eq!(name, "scan.npy.~1~", "it came after call {calls}");
                assert_eq!(site.read("out/scan.npy.~1~"), b"something else");
            }
            calls += 1;
        }
        println!("an array after each of {calls} calls");
        assert!(calls > 5, "only {calls} calls were seen");
    }
}

/// A new file replaces the old one, because only a new file can be exchanged with that.
#[test]
fn a_pending_file_whose_name_is_taken() {
    let pending = PendingFile::ready(&[2, 3]).with(&[7; 24]);
    for (policy, code, names) in [
        ("reject", 1, &["x.npy"][..]),
        ("replace", 0, &["x.npy", "x.npy.~1~"]),
        ("number", 0, &["x-1.npy", "x.npy"]),
    ] {
        let site = Site::with(&format!("on_conflict = \"{policy}\""));
        site.write("out/x.npy", "something else").drop_file("x.npy.pending", &pending);
        site.sweep().expect_code(code);
        assert_eq!(site.names("out"), names, "{policy}");
        let untouched = site.has("in/x.npy.pending") && site.read("in/x.npy.pending") == pending;
        assert_eq!(untouched, policy != "number", "{policy}");
        assert_eq!(site.read("out/x.npy") == b"something else", policy != "replace", "{policy}");
    }
}
