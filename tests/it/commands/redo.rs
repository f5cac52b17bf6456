//! `npyd redo`: arrays that are made again because a person asks for it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::process::Command;

use serde_json::Value;

use crate::support::{
    PendingFile, Receipts, SCAN_MANIFEST, Site, as_root, mark_as_converted, npy, reason,
    scan_bytes, scan_npy, sweep_halted,
};

/// Asks for it, sweeps, and returns the one receipt.
#[track_caller]
fn redone(site: &Site, args: &[&str]) -> Value {
    site.npyd(&[&["redo"], args].concat())
        .expect_code(0)
        .expect_words(&["in/scan.raw: will be made again by the next sweep"]);
    site.sweep().expect_code(0).only_receipt()
}

#[track_caller]
fn assert_at_rest(site: &Site) {
    let receipts = site.sweep().expect_code(0).json();
    assert!(receipts.is_empty(), "{receipts:#?}");
}

#[test]
fn a_deleted_array() {
    for name in ["scan.raw", "in/scan.raw", "scan.npy", "out/scan.npy"] {
        let site = Site::with_array("");
        fs::remove_file(site.path("out/scan.npy")).unwrap();
        assert_at_rest(&site);
        assert_eq!(redone(&site, &[name])["event"], "finalized", "{name}");
        assert_eq!(site.read("out/scan.npy"), scan_npy());
        assert_at_rest(&site);
        let events: Vec<_> = site.history().iter().map(|it| it["event"].clone()).collect();
        assert_eq!(events, ["finalized", "redo", "finalized"]);
    }
}

/// Equal bytes are found; others are replaced, and kept beside.
#[test]
fn an_array_that_is_there() {
    let site = Site::with_array("");
    let before = site.identity("out/scan.npy");
    let found = redone(&site, &["scan.raw"]);
    assert_eq!((&found["event"], &found["route"]), (&"found".into(), &"copy".into()));
    assert_eq!(site.identity("out/scan.npy"), before);
    let mut broken = scan_npy();
    *broken.last_mut().unwrap() = 7;
    site.write("out/scan.npy", &broken);
    assert_eq!(redone(&site, &["scan.raw"])["event"], "remade");
    assert_eq!(site.read("out/scan.npy"), scan_npy());
    assert_eq!(site.read("out/scan.npy.~1~"), broken);
    // Another program's copy: npyd does not know how its bytes got there.
    site.write("copy.npy", scan_npy());
    fs::rename(site.path("copy.npy"), site.path("out/scan.npy")).unwrap();
    let found = redone(&site, &["scan.raw"]);
    assert_eq!((&found["event"], &found["route"]), (&"found".into(), &Value::Null));
}

#[test]
fn described_wrongly() {
    let data = scan_bytes();
    for (args, descr, fortran, shape, keys) in [
        (&["--dtype", "<i4"][..], "'<i4'", false, &[2, 3][..], "dtype"),
        (&["--shape", "3,2"], "'<f4'", false, &[3, 2], "shape"),
        (&["--order", "F"], "'<f4'", true, &[2, 3], "order"),
        (&["--dtype", "<u2", "--shape", "(-1, 4)"], "'<u2'", false, &[3, 4], "dtype, shape"),
    ] {
        for on_change in ["remake", "keep"] {
            let site = Site::with_array(&format!("on_change = '{on_change}'"));
            let receipt = redone(&site, &[&["scan.raw"], args].concat());
            assert_eq!(receipt["event"], "remade", "{args:?}");
            let given = format!("npyd redo gave {keys}");
            assert!(reason(&receipt).contains(&given), "{receipt:#?}");
            assert_eq!(site.read("out/scan.npy"), npy(descr, fortran, shape, &data), "{args:?}");
            assert_eq!(site.names("out"), ["scan.npy"]);
            assert_at_rest(&site);
        }
    }
}

#[test]
fn an_offset_and_what_trails() {
    let site = Site::with_array("");
    let args = ["scan.raw", "--shape", "-1", "--offset", "4", "--trailing", "8"];
    let receipt = redone(&site, &args);
    assert!(reason(&receipt).contains("npyd redo gave shape, offset, trailing"), "{receipt:#?}");
    assert_eq!(site.read("out/scan.npy"), npy("'<f4'", false, &[3], &scan_bytes()[4..16]));
    // It does not hold all bytes of the old one.
    assert_eq!(site.read("out/scan.npy.~1~"), scan_npy());
}

/// What was declared holds for later looks, until the manifest changes.
#[test]
fn later_scans_agree() {
    let site = Site::with_array("");
    redone(&site, &["scan.raw", "--dtype", "<i4"]);
    site.drop_file("scan.raw", [1; 24]);
    site.settle("remade", 2);
    assert_eq!(site.read("out/scan.npy"), npy("'<i4'", false, &[2, 3], &[1; 24]));
    // Without keys, those that were given last hold.
    fs::remove_file(site.path("out/scan.npy")).unwrap();
    redone(&site, &["scan.raw"]);
    assert_eq!(site.read("out/scan.npy"), npy("'<i4'", false, &[2, 3], &[1; 24]));
    site.npyd(&["explain", "in/scan.raw"]).expect_words(&["'<i4'", "npyd redo gave dtype"]);
    site.drop_file("scan.raw.toml", "dtype = '<u4'\nshape = [2, 3]\n");
    site.settle("remade", 3);
    assert_eq!(site.read("out/scan.npy"), npy("'<u4'", false, &[2, 3], &[1; 24]));
    site.drop_file("scan.raw", [2; 24]);
    site.settle("remade", 4);
    assert_eq!(site.read("out/scan.npy"), npy("'<u4'", false, &[2, 3], &[2; 24]));
}

/// The next file of that name is described by its own manifest, or the template, alone.
#[test]
fn another_drop_of_that_name() {
    let template = "[[drop.template]]\nmatch = '*.raw'\ndtype = '<f4'\nshape = [2, 3]\n";
    let site = Site::with(template);
    site.drop_file("scan.raw", scan_bytes()).sweep().expect_code(0);
    redone(&site, &["scan.raw", "--dtype", "<i4"]);
    assert_eq!(site.read("out/scan.npy"), npy("'<i4'", false, &[2, 3], &scan_bytes()));
    site.drop_file("scan.raw", [1; 24]);
    site.settle("remade", 2);
    assert_eq!(site.read("out/scan.npy"), npy("'<i4'", false, &[2, 3], &[1; 24]));
    site.write("new", [2; 24]);
    fs::rename(site.path("new"), site.path("in/scan.raw")).unwrap();
    site.settle("remade", 3);
    assert_eq!(site.read("out/scan.npy"), npy("'<f4'", false, &[2, 3], &[2; 24]));
}

/// A pending file became the array itself.
#[test]
fn a_pending_file() {
    let site = Site::new();
    let pending = PendingFile::ready(&[2, 3]);
    site.drop_file("x.npy.pending", pending.with(&scan_bytes())).sweep().expect_code(0);
    assert!(!site.has("in/x.npy.pending"));
    site.npyd(&["redo", "x.npy.pending", "--shape", "3,2"]).expect_code(0);
    let receipts = site.sweep().expect_code(0).json();
    assert_eq!(receipts[0]["event"], "remade", "{receipts:#?}");
    assert_eq!(site.read("out/x.npy"), npy("'<i4'", false, &[3, 2], &scan_bytes()));
    assert_at_rest(&site);
}

/// Several files hold the data.
#[test]
fn data_in_parts() {
    let site = Site::new();
    let header = "NRRD0004\ntype: uchar\ndimension: 2\nsizes: 6 2\nencoding: raw\n\
                  data file: LIST\na.raw\nb.raw\n";
    site.drop_file("a.raw", [1; 6]).drop_file("b.raw", [2; 6]).drop_file("scan.nhdr", header);
    site.sweep().expect_code(0);
    let array = site.history()[0]["output"].as_str().unwrap().to_owned();
    site.npyd(&["redo", &array, "--dtype", "|i1", "--shape", "4,3"]).expect_code(0);
    let receipts = site.sweep().expect_code(0).json();
    assert_eq!(receipts[0]["event"], "remade", "{receipts:#?}");
    let data = [[1; 6], [2; 6]].concat();
    assert_eq!(fs::read(array).unwrap(), npy("'|i1'", false, &[4, 3], &data));
}

#[test]
fn keys_that_do_not_fit() {
    let site = Site::with_array("rejects = 'bad'");
    for (args, why) in [
        (&["--dtype", "<f8"][..], "24 of 48 bytes"),
        (&["--dtype", "<f2"], "24 bytes, not the declared 12: correct the keys; `--trailing 12`"),
        (&["--offset", "4"], "24 of 28 bytes: correct the keys"),
        (&["--shape", "-1,5"], "incomplete"),
        (&["--shape", "-1,6", "--order", "F"], "growth axis"),
    ] {
        let before = (site.identity("in/scan.raw"), site.identity("out/scan.npy"));
        site.npyd(&[&["redo", "scan.raw"], args].concat()).expect_code(1).expect_words(&[why]);
        assert_eq!((site.identity("in/scan.raw"), site.identity("out/scan.npy")), before);
        assert_at_rest(&site);
        assert_eq!(site.names("out"), ["scan.npy"]);
    }
    // npyd checks it again when it carries it out.
    site.npyd(&["redo", "scan.raw", "--shape", "-1,2"]).expect_code(0);
    site.drop_file("scan.raw", [7; 28]);
    let receipts = site.sweep().expect_code(1).json();
    assert!(reason(receipts.of_event("failed")[0]).contains("incomplete"), "{receipts:#?}");
    assert_eq!(site.read("out/scan.npy"), scan_npy());
    site.npyd(&["redo", "scan.raw", "--dtype", "<q9"]).expect_code(2);
    site.npyd(&["redo", "scan.raw", "--dtype", "<f4", "--shape", "2,-1"]).expect_code(2);
}

#[test]
fn unknown_names() {
    let site = Site::with_array("");
    let outcome = site.npyd(&["redo", "nothing.raw"]).expect_code(1);
    outcome.expect_words(&[
        "nothing.raw: no drop or array in the ledger has this name",
        "npyd history",
    ]);
    site.npyd(&["redo", "nothing.raw", "scan.raw"]).expect_code(1).expect_words(&["will be made"]);
    assert_eq!(site.sweep().expect_code(0).json().len(), 1);
    site.npyd(&["redo"]).expect_code(2);
}

/// The array holds the data, and is made again of itself.
#[test]
fn a_source_that_was_removed() {
    let site = Site::with_array("source = 'remove'\nremove_unproven = true");
    assert!(!site.has("in/scan.raw"));
    let receipt = redone(&site, &["scan.npy", "--dtype", "<i4", "--shape", "-1"]);
    assert_eq!(receipt["event"], "remade");
    for word in ["changed: dtype, shape", "npyd redo gave dtype, shape", "its source is gone"] {
        assert!(reason(&receipt).contains(word), "{receipt:#?}");
    }
    assert_eq!(site.read("out/scan.npy"), npy("'<i4'", false, &[6], &scan_bytes()));
    assert_eq!(site.names("out"), ["scan.npy", "scan.raw.toml.done"]);
    assert_at_rest(&site);
    // Another drop of that name is described by its own manifest.
    site.scan("scan").sweep().expect_code(1);
    assert_eq!(site.read("out/scan.npy"), npy("'<i4'", false, &[6], &scan_bytes()));
}

/// npyd is killed after the array has its name and before the ledger has the receipt. It must not
/// cut off the bytes a second time.
#[test]
fn carried_out_once() {
    let site = Site::with_array("source = 'remove'\nremove_unproven = true");
    site.npyd(&["redo", "scan.raw", "--shape", "-1", "--offset", "4"]).expect_code(0);
    let copy = |from: &str, to: &str| {
        let paths = [site.path(from), site.path(to)];
        assert!(Command::new("cp").arg("-rT").args(paths).status().unwrap().success());
    };
    copy("state", "before");
    site.sweep().expect_code(0);
    let array = site.read("out/scan.npy");
    assert_eq!(array, npy("'<f4'", false, &[5], &scan_bytes()[4..]));
    fs::remove_dir_all(site.path("state")).unwrap();
    copy("before", "state");
    let receipts = site.sweep().expect_code(0).json();
    assert_eq!(receipts[0]["event"], "found", "{receipts:#?}");
    assert_eq!(site.read("out/scan.npy"), array);
    assert_at_rest(&site);
}

/// Bytes that are not in the new array stay in a backup.
#[test]
fn a_part_of_an_array() {
    let site = Site::with_array("source = 'remove'\nremove_unproven = true");
    let args = ["scan.raw", "--shape", "-1", "--offset", "4", "--trailing", "8"];
    let receipt = redone(&site, &args);
    assert!(reason(&receipt).contains("`scan.npy.~1~`"), "{receipt:#?}");
    assert_eq!(site.read("out/scan.npy"), npy("'<f4'", false, &[3], &scan_bytes()[4..16]));
    assert_eq!(site.read("out/scan.npy.~1~"), scan_npy());
}

/// The array keeps the owner and the permissions of the producer's file.
#[test]
fn an_array_that_is_the_producers_file() {
    let site = Site::with("source = 'remove'");
    let text = site.configuration("state", "source = 'remove'");
    let beside = text.lines().filter(|line| !line.starts_with("output")).collect::<Vec<_>>();
    site.write("npyd.toml", beside.join("\n"));
    let manifest = format!("{SCAN_MANIFEST}reserved = 128\n");
    site.drop_file("scan.raw", [&[0; 128][..], &scan_bytes()].concat());
    let path = site.path("in/scan.raw");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    if rustix::process::geteuid().is_root() {
        chown(&path, Some(65534), Some(61_000)).unwrap();
    }
    site.drop_file("scan.raw.toml", manifest).sweep().expect_code(0);
    assert_eq!(site.history()[0]["source_fate"], "array", "{:#?}", site.history());
    let owner = |name: &str| {
        let meta = site.path(name).metadata().unwrap();
        (meta.uid(), meta.gid(), meta.mode())
    };
    let (before, inode) = (owner("in/scan.npy"), site.inode("in/scan.npy"));
    let receipt = redone(&site, &["scan.raw", "--order", "F"]);
    assert_eq!((&receipt["event"], &receipt["source_fate"]), (&"remade".into(), &"array".into()));
    assert_eq!(site.read("in/scan.npy"), npy("'<f4'", true, &[2, 3], &scan_bytes()));
    assert_eq!(owner("in/scan.npy"), before);
    assert_ne!(site.inode("in/scan.npy"), inode);
    assert_at_rest(&site);
}

/// It is corrected also if a later file of its source's name was rejected, and stays the array of
/// that source. The rejection promises nothing that the owner of the array prevents.
#[test]
fn an_array_of_another_owner() {
    if !as_root() {
        return;
    }
    let data = |byte| [&[0; 128][..], &[byte; 24]].concat();
    let produce = |site: &Site, byte, owner| {
        site.drop_file("scan.raw", data(byte));
        site.drop_file("scan.raw.toml", format!("{SCAN_MANIFEST}reserved = 128\n"));
        chown(site.path("in/scan.raw"), Some(owner), Some(owner)).unwrap();
    };
    for is_beside in [true, false] {
        let site = Site::new();
        let settings =
            format!("on_conflict = 'replace'\nrejects = '{}'", site.path("bad").display());
        let text = site.configuration("state", &settings);
        let output = |line: &&str| !is_beside || !line.starts_with("output");
        site.write("npyd.toml", text.lines().filter(output).collect::<Vec<_>>().join("\n"));
        fs::create_dir(site.path("bad")).unwrap();
        produce(&site, 1, 1234);
        site.sweep().expect_code(0);
        let array = if is_beside { "in/scan.npy" } else { "out/scan.npy" };
        assert_eq!(site.path(array).metadata().unwrap().uid(), 1234);
        let corrected = |dtype: &str, byte| npy(&format!("'{dtype}'"), false, &[2, 3], &[byte; 24]);
        if is_beside {
            produce(&site, 2, 2345);
            let receipts = site.sweep().expect_code(1).json();
            let why = reason(&receipts[0]);
            assert!(why.contains("belongs to another user, whose array npyd does not"), "{why}");
            assert!(!why.contains("\"replace\""), "{why}");
            let told = site.npyd(&["redo", "scan.raw", "--dtype", "<i4"]).expect_code(1);
            told.expect_words(&["it was rejected", "to correct that array, name it"]);
        }
        let receipt = redone(&site, &[array, "--dtype", "<i4"]);
        assert_eq!(receipt["event"], "remade", "{receipt:#}");
        assert!(site.read(array).ends_with(&corrected("<i4", 1)[10..]), "{is_beside}");
        if !is_beside {
            produce(&site, 2, 2345);
            let receipts = site.sweep().expect_code(0).json();
            assert_eq!(receipts[0]["event"], "finalized", "{receipts:#?}");
            let why = reason(&receipts[0]);
            assert!(why.contains("it replaces `scan.npy`, the array of an earlier file"), "{why}");
            assert!(site.read(array).ends_with(&corrected("<f4", 2)[10..]));
            assert!(site.has("out/scan.npy.~1~"));
        }
    }
}

#[test]
fn an_array_that_can_not_be_made_again() {
    let site = Site::with_array("source = 'remove'\nremove_unproven = true");
    let before = site.identity("out/scan.npy");
    for (args, why) in [
        (&[][..], "correct it with"),
        (&["--dtype", "<f8"], "24 bytes, but dtype and shape make 48"),
        (&["--shape", "2,2"], "24 bytes, but dtype and shape make 16"),
        (&["--shape", "-1,5"], "incomplete"),
    ] {
        site.npyd(&[&["redo", "scan.raw"], args].concat()).expect_code(1).expect_words(&[why]);
        assert_eq!(site.identity("out/scan.npy"), before);
        assert_at_rest(&site);
    }
    let args = ["redo", "scan.raw", "--order", "F"];
    let modified = fs::metadata(site.path("out/scan.npy")).unwrap().modified().unwrap();
    for (content, why) in [(&b"no array"[..], "not a .npy file"), (&[], "not a .npy file")] {
        site.npyd(&args).expect_code(0);
        site.write("out/scan.npy", content);
        site.npyd(&args).expect_code(1).expect_words(&[why]);
        let receipts = site.sweep().expect_code(1).json();
        assert!(reason(&receipts[0]).contains(why), "{receipts:#?}");
        assert_eq!(site.read("out/scan.npy"), content);
        site.write("out/scan.npy", scan_npy());
        let array = fs::File::options().write(true).open(site.path("out/scan.npy")).unwrap();
        array.set_modified(modified).unwrap(); // it is as it was
    }
    site.npyd(&args).expect_code(0);
    fs::remove_file(site.path("out/scan.npy")).unwrap();
    site.npyd(&args).expect_code(1).expect_words(&["drop the data again"]);
    let receipts = site.sweep().expect_code(1).json();
    assert!(reason(&receipts[0]).contains("drop the data again"), "{receipts:#?}");
}

/// An array whose source is gone, given items of another width: the way to a number of records that
/// follows from its size. Its description is named.
#[test]
fn items_of_another_width() {
    let site = Site::with("source = 'remove'");
    site.drop_file("scan.raw", [&[0; 128][..], &scan_bytes()].concat());
    site.drop_file("scan.raw.toml", "dtype = '<i2'\nshape = [-1, 3]\nreserved = 128\n");
    site.settle("finalized", 1);
    assert!(site.has("out/scan.raw.toml.done"));
    let told = site.npyd(&["redo", "scan.npy", "--dtype", "<i4"]).expect_code(1);
    told.expect_words(&["they have 24 bytes, but dtype and shape make 48", "`--shape=-1,3`"]);
    let told = site.npyd(&["redo", "scan.npy", "--dtype", "<i4", "--shape=7"]).expect_code(1);
    assert!(!told.stdout.contains("--shape="), "{told}");
    let told = site.npyd(&["redo", "scan.npy", "--as-described"]).expect_code(1);
    told.expect_words(&["out/scan.raw.toml.done` now: give the keys of that file"]);
    redone(&site, &["scan.npy", "--dtype", "<i4", "--shape=-1,3"]);
    assert_eq!(site.read("out/scan.npy"), npy("'<i4'", false, &[2, 3], &scan_bytes()));
}

/// There is nothing to make again of a drop that never had an array.
#[test]
fn a_drop_without_an_array() {
    let site = Site::new();
    site.scan("scan").drop_file("scan.raw", [0; 28]).settle("rejected", 1);
    let told = site.npyd(&["redo", "scan.raw"]).expect_code(1);
    told.expect_words(&["no array was made of it", "28 bytes, not the declared 24"]);
    // Keys that fit make one.
    site.npyd(&["redo", "scan.raw", "--trailing", "3"]).expect_code(1);
    site.npyd(&["redo", "scan.raw", "--trailing", "4"]).expect_code(0);
    site.sweep_until("finalized");
    assert_eq!(site.read("out/scan.npy"), npy("'<f4'", false, &[2, 3], &[0; 24]));
    // Its file was removed before it had one.
    site.scan("gone").drop_file("gone.raw", [0; 28]).settle("rejected", 2);
    fs::remove_file(site.path("in/gone.raw")).unwrap();
    let told = site.npyd(&["redo", "gone.raw", "--trailing", "4"]).expect_code(1);
    told.expect_words(&["no array was made of it", "its file is gone"]);
}

/// What helps depends on whether the file or the keys are wrong.
#[test]
fn a_file_that_was_cut_off_by_hand() {
    let site = Site::with_array("");
    for (len, words) in [(20, "20 of 24 bytes: `npyd take`"), (28, "`--trailing 4` leaves out")] {
        site.drop_file("scan.raw", vec![7; len]);
        site.npyd(&["redo", "scan.raw"]).expect_code(1).expect_words(&[words]);
    }
    site.npyd(&["redo", "scan.raw", "--trailing", "4"]).expect_code(0);
    site.sweep_until("remade");
    assert_eq!(site.read("out/scan.npy"), npy("'<f4'", false, &[2, 3], &[7; 24]));
}

/// Somebody removed the source, which npyd had kept: the receipt says what is true now. A later
/// file of its name still continues the drop.
#[test]
fn a_kept_source_that_is_gone() {
    let site = Site::with_array("");
    fs::remove_file(site.path("in/scan.raw")).unwrap();
    site.npyd(&["redo", "scan.raw", "--dtype", "<i4"]).expect_code(0);
    let receipts = site.sweep().expect_code(0).json();
    let remade = receipts.of_event("remade");
    assert_eq!(remade[0]["source_fate"], "gone", "{receipts:#?}");
    let told = site.npyd(&["explain", "in/scan.raw"]).expect_code(0);
    told.expect_words(&["the source is gone: something else removed it"]);
    site.drop_file("scan.raw", [1; 24]);
    let history = site.settle("remade", 2);
    assert_eq!(history.last().unwrap()["source_fate"], "kept", "{history:#?}");
    assert!(site.read("out/scan.npy").ends_with(&[1; 24]) && site.has("out/scan.npy.~1~"));
}

/// What is gone of a series: its data, or only the manifest that combined them.
#[test]
fn an_array_of_a_series() {
    for (settings, gone, why, fate) in [
        ("source = 'remove'\nremove_unproven = true", None, "its data files are gone", "removed"),
        ("source = 'keep'", Some("in/both.toml"), "its manifest is gone", "kept"),
    ] {
        let site = Site::with(settings);
        for name in ["a.raw", "b.raw"] {
            site.drop_file(name, &scan_bytes()[..12]);
        }
        site.drop_file("both.toml", format!("{SCAN_MANIFEST}data = ['a.raw', 'b.raw']\n"));
        site.settle("finalized", 1);
        if let Some(gone) = gone {
            fs::remove_file(site.path(gone)).unwrap();
        }
        site.npyd(&["redo", "out/both.npy", "--dtype", "<i4"]).expect_code(0);
        let receipts = site.sweep().expect_code(0).json();
        let remade = receipts.of_event("remade");
        assert_eq!(remade[0]["source_fate"], fate, "{receipts:#?}");
        assert!(reason(remade[0]).contains(&format!("itself, because {why}")), "{receipts:#?}");
    }
}

/// A link has the name of the array, which is there under another one.
#[test]
fn an_array_behind_a_link() {
    for (source, code) in [("keep", 0), ("remove", 1)] {
        let site = Site::with_array(&format!("source = '{source}'\nremove_unproven = true"));
        fs::rename(site.path("out/scan.npy"), site.path("out/other.npy")).unwrap();
        symlink("other.npy", site.path("out/scan.npy")).unwrap();
        let words = ["out/scan.npy` is not a regular file, and npyd follows no link"];
        site.npyd(&["explain", "in/scan.raw"]).expect_code(code).expect_words(&words);
        let told = site.npyd(&["redo", "scan.raw", "--dtype", "<i4"]).expect_code(1);
        assert!(!told.stdout.contains("gone"), "{told}");
        if source == "remove" {
            told.expect_words(&words);
        }
    }
}

/// What was declared does not count any more.
#[test]
fn undone() {
    let site = Site::with_array("");
    redone(&site, &["scan.raw", "--dtype", "<i4"]);
    assert_eq!(redone(&site, &["scan.raw", "--as-described"])["event"], "remade");
    assert_eq!(site.read("out/scan.npy"), scan_npy());
    site.drop_file("scan.raw", [1; 24]);
    site.settle("remade", 3);
    assert_eq!(site.read("out/scan.npy"), npy("'<f4'", false, &[2, 3], &[1; 24]));
    assert_at_rest(&site);
}

/// A correction of the source's layout says nothing about data that are not the source's bytes.
#[test]
fn an_array_of_converted_data() {
    let site = Site::with_array("source = 'remove'\nremove_unproven = true");
    let args = ["redo", "scan.raw", "--order", "F"];
    site.npyd(&args).expect_code(0);
    mark_as_converted(&site.path("out/scan.npy"));
    let before = site.identity("out/scan.npy");
    site.npyd(&args).expect_code(1).expect_words(&["holds converted data"]);
    let receipts = site.sweep().expect_code(1).json();
    assert!(reason(&receipts[0]).contains("holds converted data"), "{receipts:#?}");
    assert_eq!(site.identity("out/scan.npy"), before);
}

/// One sector of the header is written over, and nothing else.
#[test]
fn in_place() {
    let site = Site::with_array("source = 'remove'\nremove_unproven = true");
    let inode = site.inode("out/scan.npy");
    let args = ["scan.raw", "--in-place", "--dtype", "<i4", "--shape", "-1"];
    let receipt = redone(&site, &args);
    assert_eq!((&receipt["event"], &receipt["route"]), (&"remade".into(), &"in-place".into()));
    assert!(reason(&receipt).contains("npyd redo gave dtype, shape"), "{receipt:#?}");
    assert_eq!(site.read("out/scan.npy"), npy("'<i4'", false, &[6], &scan_bytes()));
    assert_eq!(site.inode("out/scan.npy"), inode);
    assert_eq!(redone(&site, &args)["event"], "found");
}

#[test]
fn refused_in_place() {
    let fields: Vec<_> = (0..80).map(|field| format!("('x{field:02}', '|u1')")).collect();
    let dtype = |last: &str| format!("[{}, ('{last}', '|u1')]", fields.join(", "));
    let of_two_sectors = dtype("y").replace("x00", "z00");
    let manifest = format!("dtype = \"{}\"\nshape = [2]\n", dtype("x"));
    let long =
        "[('a', '<u4'), ('b', '<u4'), ('c', '<u4'), ('d', '<u4'), ('e', '<u4'), ('f', '<u4')]";
    let scan = || Site::with_array("source = 'remove'\nremove_unproven = true");
    let structured = || {
        let site = Site::with("source = 'remove'\nremove_unproven = true");
        site.drop_file("scan.raw", [1; 162]).drop_file("scan.raw.toml", &manifest);
        site.sweep().expect_code(0);
        site
    };
    let linked = || {
        let site = scan();
        fs::hard_link(site.path("out/scan.npy"), site.path("out/other.npy")).unwrap();
        site
    };
    let kept = || Site::with_array("");
    for (site, args, why) in [
        (scan(), &["--dtype", long, "--shape", "1"][..], "longer than the old one"),
        (scan(), &["--shape", "5", "--offset", "4"], "begin or end elsewhere"),
        (structured(), &["--dtype", &of_two_sectors], "more than one sector"),
        (linked(), &["--order", "F"], "another name"),
        (kept(), &["--order", "F"], "whose source is gone"),
    ] {
        let before = site.identity("out/scan.npy");
        let told = site.npyd(&[&["redo", "scan.raw", "--in-place"], args].concat());
        told.expect_code(1).expect_words(&[why]);
        assert_at_rest(&site);
        assert_eq!(site.identity("out/scan.npy"), before);
    }
    // What changes after the request is refused when npyd carries it out.
    let site = scan();
    site.npyd(&["redo", "scan.raw", "--in-place", "--order", "F"]).expect_code(0);
    fs::hard_link(site.path("out/scan.npy"), site.path("out/other.npy")).unwrap();
    let receipts = site.sweep().expect_code(1).json();
    assert!(reason(&receipts[0]).contains("another name"), "{receipts:#?}");
    // In the last sector alone.
    let site = structured();
    let receipt = redone(&site, &["scan.raw", "--in-place", "--dtype", &dtype("y")]);
    assert_eq!(receipt["route"], "in-place");
}

#[test]
fn written_to_in_place() {
    let site = Site::with_array("source = 'remove'\nremove_unproven = true");
    let writer = fs::File::options().append(true).open(site.path("out/scan.npy")).unwrap();
    let before = site.identity("out/scan.npy");
    site.npyd(&["redo", "scan.raw", "--in-place", "--order", "F"]).expect_code(0);
    site.sweep();
    assert_eq!(site.identity("out/scan.npy"), before);
    drop(writer);
    // The request stays.
    site.sweep().expect_code(0);
    assert_eq!(site.read("out/scan.npy"), npy("'<f4'", true, &[2, 3], &scan_bytes()));
}

/// A manifest that names its data is found again, though its drop is settled.
#[test]
fn described_by_another_name() {
    let site = Site::new();
    site.drop_file("scan.raw", scan_bytes());
    site.drop_file("about.toml", format!("{SCAN_MANIFEST}data = 'scan.raw'\n"));
    site.sweep().expect_code(0);
    let receipt = redone(&site, &["scan.raw", "--dtype", "<i4"]);
    assert_eq!(receipt["event"], "remade");
    assert_eq!(site.read("out/scan.npy"), npy("'<i4'", false, &[2, 3], &scan_bytes()));
    assert_at_rest(&site);
}

#[test]
fn under_a_daemon() {
    let site = Site::new();
    site.scan("scan");
    let mut daemon = site.daemon();
    daemon.wait_for_receipts("finalized", 1);
    let outcome = site.npyd(&["redo", "scan.raw", "--dtype", "<i4"]).expect_code(0);
    assert!(outcome.stdout.ends_with("will be made again\n"), "{outcome}");
    daemon.wait_for_receipts("remade", 1);
    assert_eq!(site.read("out/scan.npy"), npy("'<i4'", false, &[2, 3], &scan_bytes()));
    daemon.wait_for_log("accepted `npyd redo` of");
    // Its result is in the log, although nothing changed.
    site.npyd(&["redo", "scan.raw"]).expect_code(0);
    daemon.wait_for_log("found ");
    daemon.stop();
    let mut daemon = site.daemon();
    site.scan("other");
    daemon.wait_for_file("out/other.npy");
    daemon.stop();
    assert_eq!(site.history().of_event("remade").len(), 1);
}

/// A member of the group of the state directory asks; the daemon does it with its own rights.
#[test]
fn a_member_of_the_group_asks() {
    if !as_root() {
        return;
    }
    let site = Site::new();
    let npyd_group = 61_000;
    let rights = |name: &str, mode| {
        fs::set_permissions(site.path(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    rights("", 0o755);
    rights("state", 0o750);
    chown(site.path("state"), None, Some(npyd_group)).unwrap();
    rights("in", 0o700);
    rights("out", 0o700);
    site.scan("scan");
    let mut run = Command::new("setpriv");
    let npyd = site.command();
    run.envs(npyd.get_envs().filter_map(|(name, value)| Some((name, value?))));
    run.args(["--regid", &npyd_group.to_string(), "--clear-groups"]).arg(npyd.get_program());
    let mut daemon = crate::support::Daemon::start_as(&site, "npyd.toml", run);
    daemon.wait_for_receipts("finalized", 1);
    site.npyd_as((65534, 65534), &["redo", "scan.raw"]).expect_code(2);
    site.npyd_as((65534, npyd_group), &["redo", "scan.raw", "--dtype", "<i4"]).expect_code(0);
    daemon.wait_for_receipts("remade", 1);
    assert_eq!(site.read("out/scan.npy"), npy("'<i4'", false, &[2, 3], &scan_bytes()));
}

/// Elsewhere the ledger is as private as the umask makes it.
#[test]
fn rights_of_the_ledger() {
    for (dir, ledger) in [(0o755, 0o644), (0o700, 0o644), (0o750, 0o664), (0o770, 0o664)] {
        let site = Site::new();
        let state = site.path("state");
        fs::set_permissions(&state, fs::Permissions::from_mode(dir)).unwrap();
        site.sweep().expect_code(0);
        let mode = fs::metadata(state.join("ledger.sqlite")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, ledger, "{dir:o}");
    }
}

/// What is said of the array beside it is that of the last request; the rest of it stays.
#[test]
fn metadata_beside_the_array() {
    for source in ["remove", "keep"] {
        let site = Site::with(&format!("source = '{source}'\nmetadata = 'json'"));
        site.scan("scan").drop_file("scan.raw.toml", format!("{SCAN_MANIFEST}note = 'kept'\n"));
        site.sweep().expect_code(0);
        let metadata =
            || -> Value { serde_json::from_slice(&site.read("out/scan.npy.json")).unwrap() };
        assert_eq!(metadata()["receipt"]["event"], "finalized");
        redone(&site, &["scan.raw", "--dtype", "<i4"]);
        let told = metadata();
        assert_eq!(told["receipt"]["event"], "remade", "{source}: {told:#}");
        assert!(told["receipt"]["reason"].as_str().unwrap().contains("dtype"), "{told:#}");
        assert_eq!((&told["fields"]["note"], &told["array"]), (&"kept".into(), &"scan.npy".into()));
        if source == "keep" {
            continue;
        }
        let why = site.npyd(&["redo", "scan.raw", "--dtype", "<i2"]).expect_code(1);
        why.expect_words(&["dtype and shape make 12: `--shape=-1,3` has the open"]);
        // Another program's file stays.
        site.write("theirs.json", "{}");
        fs::rename(site.path("theirs.json"), site.path("out/scan.npy.json")).unwrap();
        redone(&site, &["scan.raw", "--dtype", "<u4"]);
        assert_eq!(site.read("out/scan.npy.json"), b"{}");
    }
}

/// npyd carries out only the last request about a drop, so the next one says what it replaces.
#[test]
fn a_request_that_replaces_another() {
    let site = Site::with_array("");
    let redo = |args: &[&str]| site.npyd(&[&["redo", "scan.raw"], args].concat()).expect_code(0);
    let first = redo(&["--dtype", "<i4"]);
    assert!(!first.stdout.contains("replaces"), "{first}");
    redo(&["--shape", "3,2"]).expect_words(&[
        "will be made again by the next sweep; this replaces `npyd redo` (dtype '<i4') of ",
        ", which npyd did not begin yet",
    ]);
    assert!(reason(&site.sweep().expect_code(0).only_receipt()).contains("gave shape"));
    let next = redo(&["--dtype", "<i4"]);
    assert!(!next.stdout.contains("replaces"), "{next}");
}

/// The rows are taken by the corrected description: npyd carries out both requests as one.
#[test]
fn a_correction_of_a_request_to_take() {
    let site = Site::new();
    site.drop_file("scan.raw", [7; 28]).drop_file("scan.raw.toml", SCAN_MANIFEST);
    site.sweep_until("rejected");
    site.npyd(&["take", "in/scan.raw"]).expect_code(0);
    let redo = site.npyd(&["redo", "scan.raw", "--dtype", "<i4", "--shape=-1"]).expect_code(0);
    redo.expect_words(&["this changes the description for `npyd take` (all rows) of "]);
    let redo = site.npyd(&["redo", "scan.raw", "--dtype", "<u4", "--shape=-1"]).expect_code(0);
    redo.expect_words(&["this replaces `npyd redo`"]);
}

/// An array that the ledger does not know, for example because that was deleted.
#[test]
fn an_array_without_a_receipt() {
    let site = Site::with("source = 'archive'\narchive = 'old'");
    fs::create_dir(site.path("old")).unwrap();
    site.scan("scan").sweep().expect_code(0);
    let gone = site.npyd(&["redo", "scan.npy"]).expect_code(1);
    let archived =
        format!("npyd archived it as `{}`; its array", site.path("old/scan.raw").display());
    gone.expect_words(&[&archived]);
    site.lose_ledger();
    let array = site.path("out/scan.npy");
    let told = site.npyd(&["redo", array.to_str().unwrap()]).expect_code(1);
    told.expect_words(&["the ledger has no receipt of this array", "move it away"]);
    let told = site.npyd(&["redo", "other.npy"]).expect_code(1);
    told.expect_words(&["no drop or array in the ledger has this name"]);
}

/// `u8` may be meant as 8 bits.
#[test]
fn a_dtype_that_may_count_bits() {
    let site = Site::with_array("");
    let told = site.npyd(&["redo", "scan.raw", "--dtype", "u8", "--shape", "3"]).expect_code(0);
    told.expect_words(&["will be made again", "`u8` is 8 bytes (uint64), as in NumPy"]);
    let receipt = site.sweep().expect_code(0).only_receipt();
    assert!(reason(&receipt).contains("`u8` is 8 bytes (uint64), as in NumPy"), "{receipt}");
    let told = site.npyd(&["redo", "scan.raw", "--dtype", "<u8", "--shape", "1,3"]).expect_code(0);
    assert!(told.stderr.is_empty(), "{told}");
    let receipt = site.sweep().expect_code(0).only_receipt();
    assert!(!reason(&receipt).contains("`u8`"), "{receipt}");
    // The array is made from itself, or again from data without a description.
    for settings in ["source = 'remove'\nremove_unproven = true", "source = 'keep'"] {
        let site = Site::with(settings);
        site.scan("scan").sweep_until("finalized");
        if site.has("in/scan.raw") {
            fs::remove_file(site.path("in/scan.raw.toml")).unwrap();
        }
        site.npyd(&["redo", "scan.npy", "--dtype", "u8", "--shape", "3"]).expect_code(0);
        let receipt = site.sweep().expect_code(0).only_receipt();
        assert!(reason(&receipt).contains("`u8` is 8 bytes (uint64)"), "{receipt}");
    }
}

/// Notes that a user put into the metadata stay, and so does a symlink of their name.
#[test]
fn edited_metadata_stay() {
    for source in ["remove", "keep"] {
        let site = Site::with(&format!("source = '{source}'\nmetadata = 'json'"));
        for name in ["edited", "linked", "own"] {
            site.scan(name).drop_file(&format!("{name}.raw.toml"), SCAN_MANIFEST);
        }
        site.settle("finalized", 3);
        let mut notes = site.read("out/edited.npy.json");
        notes.push(b' ');
        fs::write(site.path("out/edited.npy.json"), &notes).unwrap(); // keeps its attributes
        let own = site.read("out/linked.npy.json");
        fs::rename(site.path("out/linked.npy.json"), site.path("theirs.json")).unwrap();
        symlink(site.path("theirs.json"), site.path("out/linked.npy.json")).unwrap();
        for (name, said) in [
            ("edited", Some("`edited.npy.json` was edited and stays")),
            ("linked", (source == "keep").then_some("`linked.npy.json` already exists")),
            ("own", None),
        ] {
            site.npyd(&["redo", &format!("{name}.raw"), "--dtype", "<i4"]).expect_code(0);
            let receipt = site.sweep().expect_code(0).only_receipt();
            let reason = reason(&receipt);
            match said {
                Some(said) => assert!(reason.contains(said), "{source}: {reason}"),
                None => assert!(!reason.contains(".json"), "{source}: {reason}"),
            }
        }
        assert_eq!(site.read("out/edited.npy.json"), notes, "{source}");
        // A later file of that name: the remedy needs the source.
        site.configure(&format!("source = '{source}'\nmetadata = 'json'\non_conflict = 'replace'"));
        site.drop_file("edited.raw", [1; 24]).drop_file("edited.raw.toml", SCAN_MANIFEST);
        let event = if source == "keep" { "remade" } else { "finalized" };
        let receipts = site.settle(event, 4);
        let said = reason(receipts.last().unwrap());
        let elsewhere = said.contains("they are in `edited.raw.toml`");
        assert_eq!(
            (elsewhere, said.contains("npyd redo")),
            (source != "keep", source == "keep"),
            "{receipts:#?}"
        );
        assert!(site.path("out/linked.npy.json").is_symlink(), "{source}");
        assert_eq!(site.read("theirs.json"), own, "{source}");
        let told: Value = serde_json::from_slice(&site.read("out/own.npy.json")).unwrap();
        assert_eq!(told["receipt"]["event"], "remade", "{source}");
    }
}

/// A user adds a note at any moment while npyd replaces the metadata: the note stays.
#[test]
fn metadata_that_are_edited_meanwhile() {
    const METADATA: &str = "out/scan.npy.json";
    let mut moments = 0;
    loop {
        let site = Site::with_array("metadata = 'json'").with_short_quiet_time();
        site.npyd(&["redo", "scan.raw", "--dtype", "<i4"]).expect_code(0);
        let was_there = sweep_halted(&site, &[METADATA, "out"], moments, |_| {
            let mut file = fs::File::options().append(true).open(site.path(METADATA)).unwrap();
            file.write_all(b"note").unwrap();
        });
        if !was_there {
            break;
        }
        let names = site.names("out");
        let has_note = |name: &String| {
            name.contains(".json") && site.read(&format!("out/{name}")).ends_with(b"note")
        };
        assert!(names.iter().any(has_note), "{moments}: {names:?}");
        assert!(site.names("out").iter().all(|name| !name.starts_with('.')), "{names:?}");
        moments += 1;
    }
    assert!(moments > 5, "{moments}");
}

/// A request that is read again while npyd carries it out is carried out once.
#[test]
fn read_again_during_the_work() {
    let site = Site::with("source = 'remove'");
    let manifest = |items: usize| format!("dtype = '<i4'\nshape = [{items}]\n");
    site.drop_file("big.raw", vec![7; 3 << 20]).drop_file("big.raw.toml", manifest(3 << 18));
    site.drop_file("small.raw", [1; 8]).drop_file("small.raw.toml", manifest(2));
    site.settle("finalized", 2);
    site.configure("source = 'remove'\nmax_rate = '1 MiB/s'");
    let mut daemon = site.daemon();
    site.npyd(&["redo", "big.npy", "--dtype", "<u4"]).expect_code(0);
    let mut requests = 0;
    daemon.wait_for("the large array is made again", || {
        let dtype = if requests % 2 == 0 { "<u4" } else { "<i4" };
        site.npyd(&["redo", "small.npy", "--dtype", dtype]).expect_code(0);
        requests += 1;
        site.history().iter().any(|it| it["event"] == "remade" && it["bytes"] == 3 << 20)
    });
    // This request is read after any that is left over from before.
    site.drop_file("last.raw", [1; 8]).drop_file("last.raw.toml", manifest(2));
    // The array has its name before the ledger has its receipt.
    daemon.wait_for("the receipt of the last drop", || {
        let is_last = |it: &Value| it["source"].as_str().unwrap().ends_with("/last.raw");
        site.history().iter().any(is_last)
    });
    site.npyd(&["redo", "last.npy", "--dtype", "<u4"]).expect_code(0);
    daemon.wait_for("the last array is made again", || {
        site.history().iter().any(|it| {
            it["event"] == "remade" && it["source"].as_str().unwrap().ends_with("/last.raw")
        })
    });
    daemon.stop();
    let big: Vec<_> = site.history().into_iter().filter(|it| it["bytes"] == 3 << 20).collect();
    assert_eq!(big.len(), 2, "{big:#?}");
}
