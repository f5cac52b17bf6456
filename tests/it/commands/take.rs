//! `npyd take`: recordings that were cut off, miscounted or never closed become arrays as they are.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

use serde_json::Value;

use crate::support::{
    Daemon, Outcome, PendingFile, Receipts, SCAN_MANIFEST, Site, as_root, npy, reason, scan_bytes,
    scan_npy,
};

/// Requests to take the file, sweeps, and returns the single receipt.
#[track_caller]
fn taken(site: &Site, args: &[&str]) -> Value {
    site.npyd(&[&["take"], args].concat())
        .expect_code(0)
        .expect_words(&["will be taken as it is by the next sweep"]);
    site.sweep().expect_code(0).only_receipt()
}

/// Requests it, and returns the reason why it is not taken, which is known at once.
#[track_caller]
fn refused(site: &Site, args: &[&str]) -> String {
    let told = site.npyd(&[&["take"], args].concat()).expect_code(1);
    let swept = site.sweep().json();
    assert!(swept.of_event("failed").is_empty(), "{swept:#?}");
    told.stdout
}

#[track_caller]
fn assert_at_rest(site: &Site) {
    let receipts = site.sweep().expect_code(0).json();
    assert!(receipts.iter().all(|receipt| receipt["event"] == "waiting"), "{receipts:#?}");
}

/// A site whose `scan.raw` was cut off in its second row, and a ledger.
fn cut_off(settings: &str) -> Site {
    let site = Site::with(settings);
    fs::create_dir(site.path("bad")).unwrap();
    site.scan("scan").drop_file("scan.raw", &scan_bytes()[..20]);
    site.sweep().expect_code(0).expect_words(&["20 of 24 bytes"]);
    site
}

fn first_row() -> Vec<u8> {
    npy("'<f4'", false, &[1, 3], &scan_bytes()[..12])
}

#[test]
fn explain_says_what_would_be_taken() {
    let site = cut_off("");
    let told = site.npyd(&["explain", "in/scan.raw"]);
    told.expect_words(&[
        "npyd take      1 row of 2 declared, and 8 bytes behind them",
        "if nothing more comes, `npyd take` makes an array of what is there",
    ]);
    site.drop_file("scan.raw", &scan_bytes()[..4]);
    site.npyd(&["explain", "in/scan.raw"]).expect_words(&["npyd take      no complete row"]);
    site.drop_file("scan.raw", scan_bytes());
    assert!(!site.npyd(&["explain", "in/scan.raw"]).stdout.contains("npyd take"));
}

/// Files that npyd rejects, and that `npyd take` takes: the reason says so.
#[test]
fn a_rejection_names_the_command() {
    let site = Site::new();
    site.scan("long").drop_file("long.raw", [1; 28]);
    site.drop_file("pending.npy.pending", PendingFile::writing(&[20]).with(&[1; 40]));
    for source in ["long.raw", "pending.npy.pending"] {
        let rejected = site.settle("rejected", 2);
        let why = reason(rejected.of_source(source)).to_owned();
        assert!(why.contains("`npyd take`"), "{why}");
        let path = format!("in/{source}");
        site.npyd(&["explain", &path]).expect_words(&["`npyd take`"]);
    }
    site.npyd(&["take", "in/pending.npy.pending"]).expect_code(0);
    let taken = site.sweep_until("finalized").json();
    let why = reason(taken.of_source("pending.npy.pending")).to_owned();
    assert!(why.contains("taken as it is: 10 of 20 declared records"), "{why}");
}

#[test]
fn a_recording_that_was_cut_off() {
    for name in ["in/scan.raw", "in/scan.raw.toml"] {
        let site = cut_off("");
        let receipt = taken(&site, &[name]);
        assert_eq!(
            (&receipt["event"], &receipt["evidence"]),
            (&"finalized".into(), &"taken".into())
        );
        assert_eq!(
            reason(&receipt),
            "taken as it is: 1 row of 2 declared, and 8 bytes behind them; those bytes stay in the \
             source"
        );
        assert_eq!(site.read("out/scan.npy"), first_row());
        assert_eq!(site.read("in/scan.raw"), scan_bytes()[..20]);
        assert_at_rest(&site);
        site.npyd(&["explain", "in/scan.raw"]).expect_words(&["taken as it is: 1 row", "(1, 3)"]);
        let events: Vec<_> = site.history().iter().map(|it| it["event"].clone()).collect();
        assert_eq!(events, ["take", "finalized"]);
        // Without the ledger it waits again, and the array stays.
        site.lose_ledger();
        assert_at_rest(&site);
        assert_eq!(site.read("out/scan.npy"), first_row());
    }
}

/// Each case is one file: its manifest or sidecar, its content, and the rows that npyd takes.
#[test]
fn whatever_does_not_fit() {
    let bytes: Vec<u8> = (1..=30).collect();
    let glx = "nSavedChans=2\nimSampRate=30000\n";
    let envi = "ENVI\nsamples = 3\nlines = 4\nbands = 1\ndata type = 1\nbyte order = 0\n\
                interleave = bsq\nheader offset = 0\n";
    let open = "dtype = '|u1'\nshape = [-1, 4]\n";
    let fixed = "dtype = '|u1'\nshape = [2, 4]\n";
    let around = "dtype = '|u1'\nshape = [4, 4]\noffset = 2\ntrailing = 1\n";
    let digest = format!("{fixed}digest = 'crc32c:00000000'\n");
    for (at, (sidecar, text, len, rows, descr, shape, from, words)) in [
        ("x.bin.toml", open, 10, "all", "'|u1'", &[2_u64, 4][..], 0, "2 rows, and 2 bytes behind"),
        ("x.bin.toml", fixed, 10, "all", "'|u1'", &[2, 4], 0, "2 rows, and 2 bytes behind"),
        ("x.bin.toml", fixed, 13, "all", "'|u1'", &[3, 4], 0, "3 rows of 2 declared, and 1 byte"),
        ("x.bin.toml", fixed, 13, "common", "'|u1'", &[2, 4], 0, "2 rows, and 5 bytes behind"),
        ("x.bin.toml", around, 11, "all", "'|u1'", &[2, 4], 2, "2 rows of 4 declared"),
        ("x.bin.toml", &digest, 5, "all", "'|u1'", &[1, 4], 0, "its digest is not checked"),
        ("x.meta", glx, 10, "all", "'<i2'", &[2, 2], 0, "2 rows, and 2 bytes behind"),
        ("x.meta", &format!("{glx}fileSizeBytes=24\n"), 8, "all", "'<i2'", &[2, 2], 0, "of 6"),
        // A single image: its lines are the rows.
        ("x.bin.hdr", envi, 8, "all", "'|u1'", &[1, 2, 3], 0, "2 rows of 4 declared"),
    ]
    .into_iter()
    .enumerate()
    {
        let site = Site::new();
        site.drop_file(sidecar, text).drop_file("x.bin", &bytes[..len]);
        site.sweep();
        site.npyd(&["take", "in/x.bin", "--rows", rows]).expect_code(0);
        let told = site.sweep_until("finalized").expect_code(0);
        let receipt = told.only_receipt();
        assert!(reason(&receipt).contains(words), "{at}: {receipt:#?}");
        let len_taken = usize::try_from(receipt["bytes"].as_u64().unwrap()).unwrap();
        let array = npy(descr, false, shape, &bytes[from..from + len_taken]);
        assert_eq!(site.read("out/x.npy"), array, "{at}");
        assert_eq!(site.read("in/x.bin"), bytes[..len], "{at}");
        assert_at_rest(&site);
    }
}

/// What a recorder allocated ahead holds no rows.
#[test]
fn space_that_was_never_written() {
    const ROW: usize = 1 << 16;
    let site = Site::new();
    site.drop_file("x.raw.toml", format!("dtype = '|u1'\nshape = [4, {ROW}]\n"));
    site.drop_file("x.raw", vec![7; ROW * 3 / 2]);
    let file = OpenOptions::new().write(true).open(site.path("in/x.raw")).unwrap();
    file.set_len(16 * ROW as u64).unwrap();
    drop(file);
    site.sweep();
    site.npyd(&["take", "in/x.raw"]).expect_code(0);
    let receipt = site.sweep_until("finalized").only_receipt();
    assert!(reason(&receipt).contains("1 row of 4 declared, and 32768 bytes"), "{receipt:#?}");
    assert_eq!(site.read("out/x.npy"), npy("'|u1'", false, &[1, ROW as u64], &vec![7; ROW]));
}

/// A finished recording with fewer timestamps than samples. npyd takes the rows that both have
/// without a request.
#[test]
fn a_recording_that_was_miscounted() {
    let site = Site::with("recursive = true");
    let stream = "rec/continuous/A";
    fs::create_dir_all(site.path(format!("in/{stream}"))).unwrap();
    let structure = "{\"continuous\": [{\"folder_name\": \"A/\", \"num_channels\": 2}]}";
    site.drop_file("rec/structure.oebin", structure);
    let data: Vec<u8> = (0..16).collect();
    site.drop_file(&format!("{stream}/continuous.dat"), &data);
    site.drop_file(&format!("{stream}/sample_numbers.npy"), npy("'<i8'", false, &[3], &[0; 24]));
    let receipt = site.sweep_until("finalized").only_receipt();
    assert_eq!(receipt["evidence"], "common-rows");
    let output = receipt["output"].as_str().unwrap();
    assert_eq!(fs::read(output).unwrap(), npy("'<i2'", false, &[3, 2], &data[..12]));
    let file = format!("in/{stream}/continuous.dat");
    site.npyd(&["take", "--rows", "all", &file]).expect_code(0);
    let receipt = site.sweep_until("remade").only_receipt();
    assert!(reason(&receipt).contains("(4 are there, 3 are counted)"), "{receipt:#?}");
    assert_eq!(fs::read(output).unwrap(), npy("'<i2'", false, &[4, 2], &data));
}

/// The producer's own mark is missing or wrong.
#[test]
fn what_its_producer_did_not_mark() {
    let data = scan_bytes();
    for file in [
        PendingFile::writing(&[2, 3]).with(&data[..20]),
        PendingFile::writing(&[-1, 3]).with(&data[..20]),
        PendingFile::ready(&[2, 3]).with(&data[..20]),
    ] {
        for source in ["keep", "remove"] {
            let site = Site::with(&format!("source = '{source}'"));
            site.sweep().expect_code(0);
            site.drop_file("x.npy.pending", &file);
            site.npyd(&["take", "in/x.npy.pending"]).expect_code(0);
            let receipt = site.sweep_until("finalized").only_receipt();
            assert_eq!(receipt["evidence"], "salvaged", "{receipt:#?}");
            let told = reason(&receipt).replace("1 of 2 declared", "1 complete");
            assert!(told.contains("taken as it is: 1 complete records"), "{receipt:#?}");
            assert_eq!(site.read("out/x.npy"), npy("'<i4'", false, &[1, 3], &data[..12]));
            assert_eq!(site.read("out/x.npy.pending.rest"), data[12..20]);
            assert_at_rest(&site);
        }
    }
    let site = Site::with(
        "[[drop.template]]\nmatch = '*.u1'\ndtype = '|u1'\nshape = [-1, 4]\nreserved = 128\n\
         marker = 'DONE'\n",
    );
    let content = [&[0; 128][..], &[7; 9]].concat();
    site.drop_file("x.u1", &content).sweep().expect_code(0);
    let receipt = taken(&site, &["in/x.u1"]);
    assert!(reason(&receipt).contains("2 rows, and 1 byte behind them"), "{receipt:#?}");
    assert_eq!(site.read("out/x.npy"), npy("'|u1'", false, &[2, 4], &[7; 8]));
    assert_eq!(site.read("in/x.u1"), content);
}

/// The rows that its header declares, with `--rows common`: as of a raw file with a manifest.
#[test]
fn declared_rows_of_a_pending_file() {
    let data: Vec<u8> = (0..20).collect();
    let common = ["--rows", "common"];
    for (declared, flags, taken) in
        [(3, &common[..], 3), (3, &[], 5), (5, &common, 5), (7, &common, 5), (-1, &common, 5)]
    {
        let site = Site::with("source = 'remove'");
        site.sweep().expect_code(0);
        let file = PendingFile { descr: "'|u1'", ..PendingFile::writing(&[declared, 4]) };
        site.drop_file("x.npy.pending", file.with(&data));
        site.npyd(&[&["take", "in/x.npy.pending"], flags].concat()).expect_code(0);
        let receipt = site.sweep_until("finalized").only_receipt();
        let len = taken * 4;
        let array = npy("'|u1'", false, &[taken as u64, 4], &data[..len]);
        assert_eq!(site.read("out/x.npy"), array, "{declared} {flags:?}: {receipt:#?}");
        if len < data.len() {
            assert_eq!(site.read("out/x.npy.pending.rest"), data[len..]);
            assert!(reason(&receipt).contains("and 8 bytes behind them"), "{receipt:#?}");
        }
        assert_eq!(site.has("out/x.npy.pending.rest"), len < data.len());
    }
}

/// Slices or channels, one in each file, of which one is short.
#[test]
fn files_of_unequal_length() {
    let mhd =
        "NDims = 2\nDimSize = 12 2\nElementType = MET_UCHAR\nElementDataFile = s%d.u8 1 2 1\n";
    let site = Site::with("source = 'remove'\nremove_unproven = true");
    site.drop_file("scan.mhd", mhd).drop_file("s1.u8", [1; 12]).drop_file("s2.u8", [2; 7]);
    site.sweep().expect_code(0);
    let why = refused(&site, &["in/scan.mhd"]);
    assert!(why.contains("2 files have 7 to 12 rows") && why.contains("--rows common"), "{why}");
    assert_eq!(site.names("in"), ["s1.u8", "s2.u8", "scan.mhd"]);
    let receipt = taken(&site, &["in/s2.u8", "--rows", "common"]);
    assert!(
        reason(&receipt).contains("7 rows of each of its 2 files, which have 7 to 12, of 12"),
        "{receipt:#?}"
    );
    assert_eq!(site.read("out/scan.npy"), npy("'|u1'", false, &[2, 7], &[[1; 7], [2; 7]].concat()));
    assert_eq!(site.read("out/s1.u8.rest"), [1; 5]);
    assert_eq!(site.names("out"), ["s1.u8.rest", "scan.mhd.done", "scan.npy"]);
    assert_eq!(site.names("in"), [""; 0]);
    assert_at_rest(&site);
}

/// No byte is lost: what is not in the array is saved before the source goes.
#[test]
fn a_source_that_is_to_go() {
    for (setting, saved) in [("", "out/scan.raw.rest"), ("rejects = 'bad'", "bad/scan.raw.rest")] {
        let site = cut_off(&format!("source = 'remove'\nremove_unproven = true\n{setting}"));
        let receipt = taken(&site, &["in/scan.raw"]);
        assert!(
            reason(&receipt).contains("the 8 bytes behind the array were saved"),
            "{receipt:#?}"
        );
        assert_eq!(receipt["source_fate"], "removed");
        assert_eq!(site.names("in"), [""; 0]);
        assert_eq!(site.read("out/scan.npy"), first_row());
        assert_eq!(site.read(saved), scan_bytes()[12..20]);
        assert_at_rest(&site);
    }
    // Its file never becomes the array, although there is room for a header.
    let site = Site::with("source = 'remove'\nremove_unproven = true");
    let manifest = format!("{SCAN_MANIFEST}reserved = 128\n");
    let content = [&[0; 128][..], &scan_bytes()[..20]].concat();
    site.drop_file("scan.raw", &content).drop_file("scan.raw.toml", manifest).sweep();
    assert_ne!(taken(&site, &["in/scan.raw"])["route"], "in-place");
    assert_eq!(site.read("out/scan.npy"), first_row());
    assert_eq!(site.read("out/scan.raw.rest"), scan_bytes()[12..20]);
}

/// While a process has it open for writing, the request waits, and nothing is taken.
#[test]
fn a_file_that_somebody_writes_to() {
    for settings in ["", "source = 'remove'"] {
        let site = cut_off(settings);
        let mut writer = OpenOptions::new().append(true).open(site.path("in/scan.raw")).unwrap();
        site.npyd(&["take", "in/scan.raw"]).expect_code(0);
        for _ in 0..2 {
            let told = site.npyd(&["explain", "in/scan.raw"]);
            told.expect_words(&["waiting", "still being written"]);
            site.sweep().expect_code(0).expect_words(&["still being written"]);
            assert_eq!(site.names("out"), [""; 0]);
        }
        writer.write_all(&scan_bytes()[20..22]).unwrap();
        drop(writer);
        let receipt = site.sweep_until("finalized").only_receipt();
        assert!(reason(&receipt).contains("10 bytes behind"), "{receipt:#?}");
        assert_eq!(site.read("out/scan.npy"), first_row());
    }
}

/// With a proof alone its source goes: another user's file, where npyd may take no lease on it.
#[test]
fn a_source_without_proof_stays() {
    if !as_root() {
        return;
    }
    let site = Site::with("source = 'remove'");
    for name in ["", "in", "out", "state"] {
        fs::set_permissions(site.path(name), Permissions::from_mode(0o777)).unwrap();
    }
    site.scan("scan").drop_file("scan.raw", &scan_bytes()[..20]);
    for name in ["in/scan.raw", "in/scan.raw.toml"] {
        chown(site.path(name), Some(61_001), Some(61_001)).unwrap();
    }
    let run = |args: &[&str]| site.npyd_as((61_002, 61_002), args);
    run(&["sweep"]).expect_code(0);
    run(&["take", "in/scan.raw"]).expect_code(0);
    let receipt = run(&["sweep", "--json"]).expect_code(0).only_receipt();
    assert_eq!(receipt["source_fate"], "unproven", "{receipt:#?}");
    assert_eq!(site.read("in/scan.raw"), scan_bytes()[..20]);
    assert_eq!(site.read("out/scan.npy"), first_row());
    // Once it may go, a later scan takes the file again, and finds the array.
    site.configure("source = 'remove'\nremove_unproven = true");
    let receipt = run(&["sweep", "--json"]).expect_code(0).only_receipt();
    assert_eq!((&receipt["event"], &receipt["source_fate"]), (&"found".into(), &"removed".into()));
    assert_eq!(site.read("out/scan.raw.rest"), scan_bytes()[12..20]);
}

/// What was taken is that content alone: more of it is judged by its description again.
#[test]
fn a_recording_that_goes_on() {
    let site = cut_off("");
    taken(&site, &["in/scan.raw"]);
    site.drop_file("scan.raw", &scan_bytes()[..22]);
    assert_at_rest(&site);
    assert_eq!(site.read("out/scan.npy"), first_row());
    site.drop_file("scan.raw", scan_bytes());
    site.settle("remade", 1);
    assert_eq!(site.read("out/scan.npy"), scan_npy());
    assert_eq!(site.names("out"), ["scan.npy"]);
}

/// Its attributes may change.
#[test]
fn later_scans_agree() {
    let site = cut_off("");
    taken(&site, &["in/scan.raw"]);
    fs::set_permissions(site.path("in/scan.raw"), Permissions::from_mode(0o600)).unwrap();
    site.sweep_until("found");
    assert_at_rest(&site);
    fs::remove_file(site.path("out/scan.npy")).unwrap();
    site.npyd(&["redo", "scan.raw"]).expect_code(0);
    assert_eq!(site.sweep().expect_code(0).only_receipt()["event"], "finalized");
    assert_eq!(site.read("out/scan.npy"), first_row());
}

#[test]
fn with_corrected_keys() {
    let array = npy("'<i4'", false, &[1, 3], &scan_bytes()[..12]);
    // Taken, then corrected.
    let site = cut_off("");
    taken(&site, &["in/scan.raw"]);
    site.npyd(&["redo", "scan.raw", "--dtype", "<i4"]).expect_code(0);
    assert_eq!(site.sweep().expect_code(0).only_receipt()["event"], "remade");
    assert_eq!(site.read("out/scan.npy"), array);
    assert_at_rest(&site);
    // Corrected, then cut off and taken.
    let site = Site::with_array("");
    site.npyd(&["redo", "scan.raw", "--dtype", "<i4"]).expect_code(0);
    site.sweep().expect_code(0);
    site.drop_file("scan.raw", &scan_bytes()[..20]);
    site.sweep().expect_code(0);
    site.npyd(&["take", "in/scan.raw"]).expect_code(0);
    site.sweep_until("remade");
    assert_eq!(site.read("out/scan.npy"), array);
    assert_eq!(site.read("out/scan.npy.~1~"), npy("'<i4'", false, &[2, 3], &scan_bytes()));
    // Both at once.
    let site = cut_off("");
    taken(&site, &["in/scan.raw"]);
    site.npyd(&["redo", "scan.raw", "--dtype", "<i4"]).expect_code(0);
    site.npyd(&["take", "in/scan.raw"]).expect_code(0);
    site.sweep_until("remade");
    assert_eq!(site.read("out/scan.npy"), array);
}

/// The daemon knows of the request before the drop is back, so it does not reject it again.
#[test]
fn a_rejected_recording_under_a_daemon() {
    const COUNT: usize = 8;
    let site = Site::with("rejects = 'bad'");
    fs::create_dir(site.path("bad")).unwrap();
    let mut daemon = site.daemon();
    let data = [scan_bytes(), vec![9; 13]].concat();
    for at in 0..COUNT {
        site.scan(&format!("scan{at}")).drop_file(&format!("scan{at}.raw"), &data);
    }
    daemon.wait_for_receipts("rejected", COUNT);
    assert!(site.has("bad/scan0.raw.rejected.txt"));
    for at in 0..COUNT {
        site.npyd(&["take", &format!("bad/scan{at}.raw")]).expect_code(0);
    }
    daemon.wait_for_receipts("finalized", COUNT);
    assert_eq!(site.history().of_event("rejected").len(), COUNT);
    assert_eq!(site.names("bad"), [""; 0]);
    daemon.wait_for_log("accepted `npyd take`");
    daemon.stop();
}

/// The file was too long, and npyd moved it to the quarantine.
#[test]
fn a_rejected_recording() {
    for name in ["scan.raw", "in/scan.raw", "bad/scan.raw"] {
        let site = Site::with("rejects = 'bad'");
        fs::create_dir(site.path("bad")).unwrap();
        site.scan("scan").drop_file("scan.raw", [scan_bytes(), vec![9; 13]].concat());
        site.settle("rejected", 1);
        assert!(site.has("bad/scan.raw"));
        site.npyd(&["take", name]).expect_code(0);
        let told = site.sweep_until("finalized");
        assert!(reason(&told.json()[0]).contains("3 rows of 2 declared, and 1 byte"), "{told}");
        let data = [scan_bytes(), vec![9; 12]].concat();
        assert_eq!(site.read("out/scan.npy"), npy("'<f4'", false, &[3, 3], &data), "{name}");
        assert_eq!(site.names("bad"), [""; 0]);
        assert_at_rest(&site);
        fs::remove_file(site.path("in/scan.raw")).unwrap();
    }
    // Somebody removed it from there.
    let site = Site::with("rejects = 'bad'");
    fs::create_dir(site.path("bad")).unwrap();
    site.scan("scan").drop_file("scan.raw", [scan_bytes(), vec![9; 13]].concat());
    site.settle("rejected", 1);
    site.npyd(&["take", "scan.raw"]).expect_code(0);
    fs::remove_file(site.path("bad/scan.raw")).unwrap();
    fs::remove_file(site.path("bad/scan.raw.toml")).unwrap();
    site.sweep().expect_code(1).expect_words(&["not taken: its data file `scan.raw` is not in"]);
    site.npyd(&["take", "in/scan.raw"]).expect_code(1).expect_words(&["there is no such file"]);
    let retried = site.npyd(&["retry", "scan.raw"]).expect_code(1);
    retried.expect_words(&["its data file `scan.raw` is not in", "/bad`"]);
}

/// A refusal changes nothing, and names the reason.
#[test]
fn what_can_not_be_taken() {
    let vectorized = "NDims = 2\nDimSize = 3 2\nElementType = MET_FLOAT\nHeaderSize = -1\n\
                      ElementDataFile = scan.raw\n";
    for (name, text, data, words) in [
        ("scan.raw.toml", SCAN_MANIFEST, &scan_bytes()[..8], "no complete row"),
        ("scan.raw.toml", SCAN_MANIFEST, &[], "no complete row"),
        ("scan.mhd", vectorized, &scan_bytes()[..20], "at the end of the file"),
        ("scan.raw.toml", "dtype = '<f4'\n", &scan_bytes()[..20], "no `shape`"),
        ("other.toml", "", &scan_bytes()[..20], "no manifest"),
    ] {
        let site = Site::new();
        site.drop_file("scan.raw", data).drop_file(name, text);
        site.sweep();
        let why = refused(&site, &["in/scan.raw"]);
        assert!(why.contains(words) && why.contains("not taken: "), "{name}: {why}");
        assert_eq!(site.read("in/scan.raw"), data);
        assert_eq!(site.names("out"), [""; 0]);
    }
    let site = Site::new();
    site.npyd(&["take", "in/scan.raw"]).expect_code(2).expect_words(&["no ledger", "npyd sweep"]);
    site.sweep().expect_code(0);
    site.drop_file("lonely.raw.toml", SCAN_MANIFEST).write("elsewhere.raw", [1]);
    for (file, words) in [
        ("in/scan.raw", "there is no such file"),
        ("elsewhere.raw", "it is not in a drop directory"),
        ("nowhere.raw", "none at the top of a drop directory, has this name; give its path"),
    ] {
        site.npyd(&["take", file]).expect_code(1).expect_words(&[words]);
    }
    let why = refused(&site, &["in/lonely.raw.toml"]);
    assert!(why.contains("not there yet: `lonely.raw`"), "{why}");
    site.npyd(&["take", "in/lonely.raw.toml", "--rows", "some"]).expect_code(2);
}

/// It needs no request, and the command that makes its array again is named.
#[test]
fn a_complete_recording() {
    let site = Site::with_array("");
    let array = site.identity("out/scan.npy");
    for name in ["in/scan.raw", "in/scan.raw.toml"] {
        let why = refused(&site, &[name]);
        assert!(why.contains("it is finished") && why.contains("`npyd redo scan.raw`"), "{why}");
    }
    site.scan("next");
    let why = refused(&site, &["in/next.raw"]);
    assert!(why.contains("it is complete"), "{why}");
    assert_eq!(site.identity("out/scan.npy"), array);
    assert_at_rest(&site);
}

/// A request that was made before the file was complete declares nothing about it: it would let a
/// later `npyd redo` cut rows off.
#[test]
fn a_recording_that_was_completed_before_it_was_taken() {
    let site = cut_off("");
    site.npyd(&["take", "in/scan.raw"]).expect_code(0);
    site.drop_file("scan.raw", scan_bytes());
    let receipt = site.sweep_until("finalized").only_receipt();
    assert_eq!(receipt["evidence"], "size", "{receipt}");
    assert_eq!(site.read("out/scan.npy"), scan_npy());
    let told = site.npyd(&["redo", "scan.raw", "--shape", "5,3"]).expect_code(1);
    told.expect_words(&["24 of 60 bytes"]);
    // Another one, which npyd finished before it read the request.
    site.scan("other").drop_file("other.raw", &scan_bytes()[..20]);
    site.sweep();
    site.npyd(&["take", "in/other.raw"]).expect_code(0);
    site.drop_file("other.raw", scan_bytes());
    site.sweep_until("finalized");
    assert_at_rest(&site);
    assert_eq!(site.read("out/other.npy"), scan_npy());
}

/// A digest that does not match is no matter of rows, nor are two manifests: the command refuses
/// both at once, also if the drop is in the quarantine, until somebody corrects it there.
#[test]
fn what_is_no_matter_of_rows() {
    let digest = format!("{SCAN_MANIFEST}digest = 'crc32c:00000000'\n");
    for settings in ["", "rejects = 'bad'"] {
        let site = Site::with(settings);
        fs::create_dir_all(site.path("bad")).unwrap();
        site.scan("scan").drop_file("scan.raw.toml", &digest);
        site.scan("two").drop_file("two.toml", SCAN_MANIFEST).settle("rejected", 2);
        let why = refused(&site, &["in/scan.raw"]);
        assert!(why.contains("crc32c") && why.contains("remove the key `digest`"), "{why}");
        let why = refused(&site, &["in/two.raw"]);
        assert!(why.contains("`two.raw.toml`") && why.contains("`two.toml`"), "{why}");
        if settings.is_empty() {
            continue;
        }
        let of_two = ["in", "bad"].map(|dir| site.path(dir).join("two.toml"));
        assert_eq!(of_two.iter().filter(|path| fs::remove_file(path).is_ok()).count(), 1);
        site.write("bad/scan.raw.toml", SCAN_MANIFEST);
        site.npyd(&["take", "in/two.raw", "in/scan.raw"]).expect_code(0);
        site.settle("finalized", 2);
        assert_eq!((site.read("out/two.npy"), site.read("out/scan.npy")), (scan_npy(), scan_npy()));
    }
}

/// A series is not taken; what is said depends on what is wrong with it.
#[test]
fn a_series() {
    let site = Site::new();
    site.drop_file("a.raw", [1; 2]).drop_file("b.raw", [2; 3]);
    site.drop_file("run.toml", "dtype = '|u1'\nshape = [-1, 2]\ndata = ['a.raw', 'b.raw']\n");
    site.sweep().expect_code(0);
    for name in ["in/run.toml", "in/b.raw"] {
        let why = refused(&site, &[name]);
        let words = "complete `b.raw`, move it away, or leave it out of `data`";
        assert!(why.contains(words), "{why}");
    }
    site.drop_file("run.toml", "dtype = '|u1'\nshape = [9, 2]\ndata = '*.raw'\n");
    site.drop_file("b.raw", [2; 4]);
    for name in ["in/run.toml", "in/b.raw"] {
        let why = refused(&site, &[name]);
        assert!(why.contains("each of its files is whole, so correct `shape`"), "{why}");
    }
}

/// By its bare name in its directory, and from elsewhere by its path.
#[test]
fn named_from_within_its_directory() {
    let site = cut_off("");
    let mut command = site.command();
    command.current_dir(site.path("in")).args(["take", "scan.raw"]);
    Outcome::of(&mut command).expect_code(0).expect_words(&["in/scan.raw: will be taken"]);
    assert_eq!(site.sweep().expect_code(0).only_receipt()["event"], "finalized");
}

/// `npyd explain` shows a request that npyd has not carried out yet, and `npyd redo` undoes it.
#[test]
fn undone() {
    let site = cut_off("");
    let mut writer = OpenOptions::new().append(true).open(site.path("in/scan.raw")).unwrap();
    site.npyd(&["take", "in/scan.raw"]).expect_code(0);
    site.npyd(&["explain", "in/scan.raw"]).expect_words(&["request", "npyd take", "not carried"]);
    writer.write_all(&[0]).unwrap();
    drop(writer);
    site.sweep_until("finalized");
    assert!(!site.npyd(&["explain", "in/scan.raw"]).stdout.contains("request"));
    let told = site.npyd(&["redo", "scan.raw", "--as-described"]).expect_code(0);
    let array = site.path("out/scan.npy");
    told.expect_words(&["the drop waits again, and its array `", array.to_str().unwrap()]);
    assert_at_rest(&site);
    site.npyd(&["explain", "in/scan.raw"]).expect_words(&["waiting", "21 of 24 bytes"]);
    // Its array stays until the drop is complete.
    assert_eq!(site.read("out/scan.npy"), first_row());
    site.drop_file("scan.raw", scan_bytes());
    site.sweep_until("remade");
    assert_eq!(site.read("out/scan.npy"), scan_npy());
    site.npyd(&["redo", "scan.raw", "--as-described", "--dtype", "<i4"]).expect_code(2);
}

/// npyd was killed after it accepted the request and before it made the array.
#[test]
fn an_accepted_request_is_carried_out() {
    let site = cut_off("");
    site.npyd(&["take", "in/scan.raw"]).expect_code(0);
    fs::remove_dir(site.path("out")).unwrap();
    site.write("out", "in the way");
    site.sweep().expect_code(1);
    assert_eq!(site.history()[0]["event"], "take");
    fs::remove_file(site.path("out")).unwrap();
    fs::create_dir(site.path("out")).unwrap();
    site.sweep_until("finalized");
    assert_eq!(site.read("out/scan.npy"), first_row());
}

#[test]
fn the_daemon_takes_it() {
    let site = Site::new();
    let mut daemon = site.daemon();
    site.scan("scan").drop_file("scan.raw", &scan_bytes()[..20]);
    let told = site.npyd(&["take", "in/scan.raw"]).expect_code(0);
    assert!(told.stdout.ends_with("will be taken as it is\n"), "{told}");
    daemon.wait_for_receipts("finalized", 1);
    assert_eq!(site.read("out/scan.npy"), first_row());
    daemon.stop();
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
        fs::set_permissions(site.path(name), Permissions::from_mode(mode)).unwrap();
    };
    rights("", 0o755);
    rights("state", 0o750);
    chown(site.path("state"), None, Some(npyd_group)).unwrap();
    rights("in", 0o700);
    rights("out", 0o700);
    site.scan("scan").drop_file("scan.raw", &scan_bytes()[..20]);
    site.scan("other");
    let mut run = Command::new("setpriv");
    let npyd = site.command();
    run.envs(npyd.get_envs().filter_map(|(name, value)| Some((name, value?))));
    run.args(["--regid", &npyd_group.to_string(), "--clear-groups"]).arg(npyd.get_program());
    let mut daemon = Daemon::start_as(&site, "npyd.toml", run);
    daemon.wait_for_file("out/other.npy");
    let ask = |group: u32| -> Outcome { site.npyd_as((65_534, group), &["take", "in/scan.raw"]) };
    ask(65_534).expect_code(2);
    ask(npyd_group).expect_code(0);
    daemon.wait_for_file("out/scan.npy");
    assert_eq!(site.read("out/scan.npy"), first_row());
}
