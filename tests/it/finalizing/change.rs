//! Drops that change after their array was made.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileExt, chown};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    Mounted, Producer, Receipts, SCAN_MANIFEST, Site, as_root, is_long, load, npy, python,
    scan_bytes, scan_npy, sweep_halted, sweep_with_fault,
};

/// Sweeps, and returns the single receipt.
#[track_caller]
fn swept(site: &Site) -> Value {
    site.sweep().expect_code(0).only_receipt()
}

#[track_caller]
fn reason(receipt: &Value) -> &str {
    receipt["reason"].as_str().unwrap_or_else(|| panic!("no reason: {receipt}"))
}

/// The array of `<f4` in a shape of (2, 3).
fn array(data: &[u8]) -> Vec<u8> {
    npy("'<f4'", false, &[2, 3], data)
}

#[test]
fn rewritten() {
    let site = Site::with_array("");
    let old = site.inode("out/scan.npy");
    site.drop_file("scan.raw", [1; 24]);
    let receipt = swept(&site);
    assert_eq!(receipt["event"], "remade");
    assert_eq!(receipt["source_fate"], "kept");
    assert_eq!(reason(&receipt), "changed: bytes; the old array is kept as `scan.npy.~1~`");
    assert_eq!(site.read("out/scan.npy"), array(&[1; 24]));
    assert_eq!(site.read("out/scan.npy.~1~"), scan_npy());
    assert_eq!(site.inode("out/scan.npy.~1~"), old);

    site.drop_file("scan.raw", [2; 24]);
    assert!(reason(&swept(&site)).ends_with("`scan.npy.~2~`"));
    assert_eq!(site.names("out"), ["scan.npy", "scan.npy.~1~", "scan.npy.~2~"]);
    assert_eq!(site.read("out/scan.npy"), array(&[2; 24]));
    assert_eq!(site.read("out/scan.npy.~2~"), array(&[1; 24]));
    assert!(site.sweep().expect_code(0).json().is_empty());
    assert_eq!(site.history().of_event("remade").len(), 2);
}

/// What a person wrote to the array since npyd made it is nowhere else, also where it is zeros: an
/// item that was masked, or another array that was saved over it.
#[test]
fn zeros_that_somebody_wrote_to_the_array() {
    let site = Site::new();
    for name in ["masked", "saved"] {
        site.drop_file(&format!("{name}.raw"), [1; 4]);
        site.drop_file(&format!("{name}.raw.toml"), "dtype = '|u1'\nshape = [-1]\n");
    }
    site.settle("finalized", 2);
    std::thread::sleep(Duration::from_millis(50)); // the receipts have a resolution of 1 ms
    let masked = File::options().write(true).open(site.path("out/masked.npy")).unwrap();
    masked.write_all_at(&[0], 128 + 1).unwrap();
    let saved = npy("'<f8'", false, &[500], &[0; 4000]);
    fs::write(site.path("out/saved.npy"), &saved).unwrap(); // in the same file
    for name in ["masked", "saved"] {
        site.drop_file(&format!("{name}.raw"), [1; 6]);
    }
    site.settle("remade", 2);
    assert!(site.read("out/masked.npy.~1~").ends_with(&[1, 0, 1, 1]));
    assert_eq!(site.read("out/saved.npy.~1~"), saved);
    for name in ["masked", "saved"] {
        assert!(site.read(&format!("out/{name}.npy")).ends_with(&[1; 6]));
    }
}

/// The zeros of a file that is gone are data, also if another file has its name, and its inode
/// number.
#[test]
fn zeros_of_a_file_that_is_gone() {
    let site = Site::new();
    let manifest = "dtype = '|u1'\nshape = [-1]\n";
    let files = ["dark.raw", "mask.raw", "p_1.raw", "p_2.raw"];
    for name in &files[..2] {
        site.drop_file(&format!("{name}.toml"), manifest);
    }
    site.drop_file("s.toml", format!("{manifest}data = ['p_1.raw', 'p_2.raw']\n"));
    for (name, data) in files.iter().zip([[0; 4], [1, 0, 0, 1], [0; 4], [1; 4]]) {
        site.drop_file(name, data);
    }
    site.settle("finalized", 3);
    std::thread::sleep(Duration::from_millis(50)); // the receipts have a resolution of 1 ms
    for name in &files[..3] {
        fs::remove_file(site.path(format!("in/{name}"))).unwrap();
        site.drop_file(name, [1; 4]);
    }
    site.settle("remade", 3);
    let backup = |name: &str| site.read(&format!("out/{name}.npy.~1~"))[128..].to_vec();
    assert_eq!(backup("dark"), [0; 4]);
    assert_eq!(backup("mask"), [1, 0, 0, 1]);
    assert_eq!(backup("s"), [0, 0, 0, 0, 1, 1, 1, 1]);
}

/// An array that gets another name leaves the one with the first name, and both are told apart.
#[test]
fn another_output() {
    let site = Site::with_array("");
    site.drop_file("scan.raw.toml", format!("{SCAN_MANIFEST}output = 'two.npy'\n"));
    let receipt = swept(&site);
    assert_eq!(receipt["event"], "finalized", "{receipt}");
    let first = site.path("out/scan.npy").display().to_string();
    let expected = format!("its earlier array `{first}` stays under that name");
    assert!(reason(&receipt).contains(&expected), "{receipt}");
    let two = site.path("out/two.npy").display().to_string();
    let told = site.npyd(&["explain", "out/scan.npy"]).expect_code(0);
    told.expect_words(&[&format!("its newest array is `{two}`")]);
    let told = site.npyd(&["explain", "out/two.npy"]).expect_code(0);
    assert!(!told.stdout.contains("newest array"), "{told}");
}

/// As GNU's tools do: behind the highest number that there is.
#[test]
fn backups_are_numbered_behind_the_last() {
    let site = Site::with_array("");
    for name in ["scan.npy.~3~", "scan.npy.~04~", "scan.npy.~x~", "other.npy.~7~", "scan.npy~"] {
        site.write(&format!("out/{name}"), "somebody's");
    }
    site.drop_file("scan.raw", [1; 24]);
    assert!(reason(&swept(&site)).ends_with("`scan.npy.~4~`"));
    assert_eq!(site.read("out/scan.npy.~4~"), scan_npy());
    assert_eq!(site.read("out/scan.npy.~3~"), b"somebody's");
}

/// Ended between the link and the rename.
#[test]
fn a_backup_that_is_linked_already() {
    let site = Site::with_array("");
    site.write("out/scan.npy.~1~", "somebody's");
    fs::hard_link(site.path("out/scan.npy"), site.path("out/scan.npy.~2~")).unwrap();
    site.drop_file("scan.raw", [1; 24]);
    assert!(reason(&swept(&site)).ends_with("`scan.npy.~2~`"));
    assert_eq!(site.names("out"), ["scan.npy", "scan.npy.~1~", "scan.npy.~2~"]);
    assert_eq!(site.read("out/scan.npy.~2~"), scan_npy());
}

/// `np.memmap` makes a file of zeros, which is not written yet.
#[test]
fn filled_after_a_pause() {
    let Some(python) = python() else { return };
    let site = Site::new();
    site.drop_file("scan.raw.toml", "dtype = '<i4'\nshape = [4, 3]\n");
    let path = site.path("in/scan.raw");
    let mut producer =
        Producer::start(&python, "mapped.py", [path.to_str().unwrap(), "4", "3", "0"]);
    producer.say("frame 1 11").say("close");
    assert_eq!(swept(&site)["event"], "finalized");
    producer.say("reopen");
    for frame in ["frame 0 10", "frame 2 12", "frame 3 13"] {
        producer.say(frame);
    }
    producer.say("close");
    let receipt = swept(&site);
    assert_eq!(receipt["event"], "remade");
    assert_eq!(reason(&receipt), "changed: bytes");
    assert_eq!(site.names("out"), ["scan.npy"]);
    let values = json!([[10, 10, 10], [11, 11, 11], [12, 12, 12], [13, 13, 13]]);
    assert_eq!(load(&python, site.path("out/scan.npy"))["values"], values);
}

#[test]
fn appended_by_a_slow_producer() {
    let Some(python) = python() else { return };
    let site = Site::new();
    site.drop_file("scan.raw.toml", "dtype = '<i4'\nshape = [-1, 3]\n");
    let path = site.path("in/scan.raw");
    let mut daemon = site.daemon();
    let mut producer = Producer::start(&python, "appended.py", [path.to_str().unwrap()]);
    producer.say("write 3 10").say("close");
    daemon.wait_for_receipts("finalized", 1);
    producer.say("reopen").say("write 6 11").say("close");
    daemon.wait_for_receipts("remade", 1);
    let history = site.history();
    assert_eq!(reason(history.of_event("remade")[0]), "changed: bytes, shape");
    assert_eq!(site.names("out"), ["scan.npy"]);
    let values = json!([[10, 10, 10], [11, 11, 11], [11, 11, 11]]);
    assert_eq!(load(&python, site.path("out/scan.npy"))["values"], values);
    daemon.wait_for_log("remade");
}

/// A corrected manifest describes unchanged data. npyd keeps a backup only if the old array has
/// bytes that the new one lacks.
#[test]
fn a_manifest_is_corrected() {
    let data: Vec<u8> = (1..=48).collect();
    let cases = [
        ("dtype = '<f4'\nshape = [3, 4]", "dtype = '<i4'\nshape = [3, 4]", "dtype", false),
        ("dtype = '<f4'\nshape = [12]", "dtype = '<f8'\nshape = [6]", "dtype, shape", false),
        ("dtype = '<f4'\nshape = [3, 4]", "dtype = '<f4'\nshape = [2, 6]", "shape", false),
        (
            "dtype = '<f4'\nshape = [3, 4]",
            "dtype = '<f4'\nshape = [3, 4]\norder = 'F'",
            "order",
            false,
        ),
        (
            "dtype = '<f4'\nshape = [-1]\noffset = 8",
            "dtype = '<f4'\nshape = [-1]",
            "bytes, shape",
            false,
        ),
        (
            "dtype = '<f4'\nshape = [-1]",
            "dtype = '<f4'\nshape = [-1]\noffset = 8",
            "bytes, shape",
            true,
        ),
        (
            "dtype = '<f4'\nshape = [10]\noffset = 8",
            "dtype = '<f4'\nshape = [10]\ntrailing = 8",
            "bytes",
            true,
        ),
    ];
    for (before, after, changed, has_backup) in cases {
        let site = Site::new();
        site.drop_file("scan.raw", &data).drop_file("scan.raw.toml", before);
        site.sweep_until("finalized");
        site.drop_file("scan.raw.toml", after);
        let receipts = site.sweep_until("remade").json();
        let told = reason(receipts.of_source("scan.raw"));
        assert_eq!(told.split(';').next().unwrap(), format!("changed: {changed}"), "{after}");
        assert_eq!(site.has("out/scan.npy.~1~"), has_backup, "{after}: {told}");
        let skipped = if after.contains("offset") { 8 } else { 0 };
        let end = if after.contains("trailing") { 40 } else { 48 };
        assert!(site.read("out/scan.npy").ends_with(&data[skipped..end]), "{after}");
    }
}

/// Whoever preallocates for the longest recording cuts off what was not needed.
#[test]
fn cut_after_a_pause() {
    for (last, has_backup) in [(0, false), (9, true)] {
        let site = Site::new();
        site.drop_file("scan.raw.toml", "dtype = '|u1'\nshape = [-1]\n");
        site.drop_file("scan.raw", [&[1; 20][..], &[0; 20], &[last]].concat());
        site.sweep_until("finalized");
        site.drop_file("scan.raw", [1; 30]);
        assert_eq!(site.sweep_until("remade").json().len(), 1);
        assert!(site.read("out/scan.npy").ends_with(&[1; 30]));
        assert_eq!(site.has("out/scan.npy.~1~"), has_backup, "{last}");
    }
}

/// A source that was only touched, or has a new inode with the same bytes.
#[test]
fn touched_only() {
    for on_conflict in ["reject", "replace", "number"] {
        let site = Site::with_array(&format!("on_conflict = \"{on_conflict}\""));
        let old = site.identity("out/scan.npy");
        File::options()
            .write(true)
            .open(site.path("in/scan.raw"))
            .unwrap()
            .set_modified(std::time::SystemTime::now())
            .unwrap();
        assert_eq!(swept(&site)["event"], "found");
        fs::remove_file(site.path("in/scan.raw")).unwrap();
        site.drop_file("scan.raw", scan_bytes());
        assert_eq!(swept(&site)["event"], "found");
        assert_eq!(site.identity("out/scan.npy"), old, "{on_conflict}");
        assert_eq!(site.names("out"), ["scan.npy"]);
        // And it is remade still when it changes.
        site.drop_file("scan.raw", [1; 24]);
        assert_eq!(swept(&site)["event"], "remade");
    }
}

/// The same drop is the same path, whatever its inode.
#[test]
fn another_file_is_renamed_into_its_place() {
    let site = Site::with_array("");
    site.write("new", [1; 24]);
    fs::rename(site.path("new"), site.path("in/scan.raw")).unwrap();
    assert_eq!(swept(&site)["event"], "remade");
    assert_eq!(site.read("out/scan.npy"), array(&[1; 24]));
    assert_eq!(site.read("out/scan.npy.~1~"), scan_npy());
}

/// After its source was removed, a file of that name is another source, whatever came before.
#[test]
fn a_source_that_was_removed() {
    let site = Site::with_array("");
    site.configure("source = \"remove\"");
    site.drop_file("scan.raw", [1; 24]);
    assert_eq!(swept(&site)["event"], "remade");
    assert!(!site.has("in/scan.raw"));
    site.drop_file("scan.raw", [2; 24]).drop_file("scan.raw.toml", SCAN_MANIFEST);
    let receipts = site.sweep().expect_code(1).json();
    let receipt = receipts.of_source("scan.raw");
    assert_eq!(receipt["event"], "rejected");
    assert!(reason(receipt).contains("is the array of an earlier file of this name"), "{receipt}");
    assert_eq!(site.read("out/scan.npy"), array(&[1; 24]));
}

/// Without its ledger npyd does not know what its array was made of.
#[test]
fn a_lost_ledger() {
    let site = Site::with_array("");
    site.drop_file("scan.raw", [1; 24]);
    let receipts = site.lose_ledger().sweep().expect_code(1).json();
    assert_eq!(receipts.of_source("scan.raw")["event"], "rejected");
    assert_eq!(site.read("out/scan.npy"), scan_npy());
    assert_eq!(site.names("out"), ["scan.npy"]);
}

/// Without its ledger npyd knows all names that its numbering can have given, also behind a gap.
#[test]
fn a_lost_ledger_and_numbered_arrays() {
    let site = Site::with_array("on_change = \"number\"");
    for bytes in [[1; 24], [2; 24]] {
        site.drop_file("scan.raw", bytes);
        assert_eq!(swept(&site)["event"], "finalized");
    }
    let find = |site: &Site, name: &str| {
        let there = site.names("out");
        let receipt = swept(site.lose_ledger());
        assert_eq!(receipt["event"], "found", "{receipt}");
        assert!(receipt["output"].as_str().unwrap().ends_with(name), "{receipt}");
        assert_eq!(site.names("out"), there);
    };
    find(&site, "scan-2.npy");
    fs::remove_file(site.path("out/scan-1.npy")).unwrap();
    find(&site, "scan-2.npy");
    // Known again by that array, the drop goes on with the numbers.
    site.drop_file("scan.raw", [3; 24]);
    assert_eq!(swept(&site)["event"], "finalized");
    assert_eq!(site.read("out/scan-1.npy"), array(&[3; 24]));
    // An array of that name that another source has is a conflict still.
    site.write("out/new.npy", "somebody's").scan("new").sweep().expect_code(1);
    assert!(!site.has("out/new-1.npy"));

    let site = Site::with("on_conflict = \"number\"");
    site.write("out/scan.npy", "somebody's").write("out/scan-1.npy", "somebody's").scan("scan");
    assert_eq!(swept(&site)["event"], "finalized");
    fs::remove_file(site.path("out/scan-1.npy")).unwrap();
    find(&site, "scan-2.npy");
}

/// The mark of an array does not contain its template. Without its ledger npyd compares the bytes
/// that the template declares now.
#[test]
fn a_template_is_corrected_after_the_ledger_was_lost() {
    let data: Vec<u8> = (1..=48).collect();
    let made = |settings: &str, keys: &str| {
        let template = "[[drop.template]]\nmatch = '*.u8'\ndtype = '|u1'\nshape = [40]\noffset = 8";
        let site = Site::with(template);
        site.drop_file("scan.u8", &data);
        assert_eq!(swept(&site)["event"], "finalized");
        fs::create_dir(site.path("archive")).unwrap();
        let settings = settings.replace("ARCHIVE", site.path("archive").to_str().unwrap());
        site.configure(&format!("{settings}\n{}", template.replace("offset = 8", keys)));
        site.lose_ledger();
        site
    };
    let (keep, remove) = ("source = 'keep'", "source = 'remove'");
    for (settings, fate) in [
        (keep, "kept"),
        (remove, "removed"),
        ("source = 'archive'\narchive = 'ARCHIVE'", "archived"),
    ] {
        let site = made(settings, "trailing = 8");
        let old = site.identity("out/scan.npy");
        let receipt = site.sweep().expect_code(1).only_receipt();
        assert_eq!(receipt["event"], "rejected", "{receipt}");
        assert_eq!(site.read("in/scan.u8"), data, "{settings}");
        assert_eq!(site.identity("out/scan.npy"), old, "{settings}");
        assert_eq!(site.names("out"), ["scan.npy"]);

        let receipt = swept(&made(settings, "offset = 8"));
        let told = (&receipt["event"], &receipt["source_fate"]);
        assert_eq!(told, (&json!("found"), &json!(fate)), "{receipt}");
    }
    for (on_conflict, name) in [("replace", "scan.npy"), ("number", "scan-1.npy")] {
        let site = made(&format!("on_conflict = '{on_conflict}'"), "trailing = 8");
        assert_eq!(swept(&site)["event"], "finalized");
        assert!(site.read(&format!("out/{name}")).ends_with(&data[..40]), "{on_conflict}");
        let old = if on_conflict == "replace" { "scan.npy.~1~" } else { "scan.npy" };
        assert!(site.read(&format!("out/{old}")).ends_with(&data[8..]), "{on_conflict}");
    }
}

/// A mark counts only on a file of npyd's own user.
#[test]
fn an_array_of_another_user() {
    if !as_root() {
        return;
    }
    let site = Site::with_array("");
    chown(site.path("out/scan.npy"), Some(1234), None).unwrap();
    site.drop_file("scan.raw", [1; 24]);
    let receipts = site.sweep().expect_code(1).json();
    assert_eq!(receipts.of_source("scan.raw")["event"], "rejected");
    assert_eq!(site.read("out/scan.npy"), scan_npy());
}

/// What has the array's name by now is not npyd's array of this drop.
#[test]
fn another_array_of_that_name() {
    let site = Site::with_array("");
    site.scan("other").sweep().expect_code(0);
    fs::rename(site.path("out/other.npy"), site.path("out/scan.npy")).unwrap();
    site.drop_file("scan.raw", [1; 24]);
    let receipts = site.sweep().expect_code(1).json();
    assert_eq!(receipts.of_source("scan.raw")["event"], "rejected");
    assert_eq!(site.read("out/scan.npy"), scan_npy());
}

/// The receipt is about the array that stays.
#[test]
fn a_longer_drop_whose_array_is_kept() {
    let site = Site::with("on_change = \"keep\"");
    let manifest = "dtype = '<f4'\nshape = [-1, 3]\n";
    site.scan("scan").drop_file("scan.raw.toml", manifest);
    site.settle("finalized", 1);
    site.drop_file("scan.raw", [1; 96]);
    let receipt = &site.settle("found", 1)[1];
    assert_eq!((&receipt["event"], &receipt["bytes"]), (&"found".into(), &24.into()));
}

/// The array stays, which is reported once; and the source stays, whose bytes are in no array.
#[test]
fn the_old_array_is_kept() {
    let site = Site::with_array("");
    site.configure("on_change = \"keep\"\nsource = \"remove\"\nmetadata = \"json\"");
    let old = site.identity("out/scan.npy");
    for bytes in [[1; 24], [2; 24]] {
        site.drop_file("scan.raw", bytes);
        let receipt = swept(&site);
        assert_eq!(receipt["event"], "found");
        assert_eq!(receipt["source_fate"], "kept");
        assert_eq!(receipt["reason_kind"], "changed");
        assert!(reason(&receipt).contains("the array stays as it is"), "{receipt}");
        let told = site.npyd(&["explain", "in/scan.raw"]).expect_code(0);
        let words = "made the array before the drop changed, and kept it";
        told.expect_words(&[words, "`npyd redo scan.raw` makes it again"]);
        let told = site.npyd(&["explain", "out/scan.npy"]).expect_code(0);
        told.expect_words(&["still there, but changed since: this array has the data of before"]);
        assert!(site.sweep().expect_code(0).json().is_empty(), "it is reported once");
        assert_eq!(site.identity("out/scan.npy"), old);
        assert_eq!(site.names("in"), ["scan.raw", "scan.raw.toml"]);
        assert_eq!(site.names("out"), ["scan.npy"]);
    }
    let mut daemon = site.daemon();
    site.drop_file("scan.raw", [3; 24]);
    daemon.wait_for_log("WARN found");
    daemon.stop();

    // Other settings count from its next change on.
    site.configure("source = \"keep\"");
    assert!(site.sweep().expect_code(0).json().is_empty());
    site.drop_file("scan.raw", [4; 24]);
    assert_eq!(swept(&site)["event"], "remade");
}

#[test]
fn the_new_array_gets_a_number() {
    let site = Site::with_array("on_change = \"number\"");
    site.write("out/scan-2.npy", "somebody's");
    for (bytes, name) in [([1; 24], "scan-1.npy"), ([2; 24], "scan-3.npy")] {
        site.drop_file("scan.raw", bytes);
        let receipt = swept(&site);
        assert_eq!(receipt["event"], "finalized");
        assert!(receipt["output"].as_str().unwrap().ends_with(name), "{receipt}");
        assert_eq!(site.read(&format!("out/{name}")), array(&bytes));
    }
    assert_eq!(site.read("out/scan.npy"), scan_npy());
    assert_eq!(site.names("out"), ["scan-1.npy", "scan-2.npy", "scan-3.npy", "scan.npy"]);
    // Numbers for this drop alone: another source's array is a conflict.
    site.write("out/new.npy", "somebody's").scan("new");
    let receipts = site.sweep().expect_code(1).json();
    assert_eq!(receipts.of_source("new.raw")["event"], "rejected");
}

/// An array that had to take another name keeps it.
#[test]
fn a_numbered_array_is_remade() {
    let site = Site::with("on_conflict = \"number\"");
    site.write("out/scan.npy", "somebody's").scan("scan").sweep().expect_code(0);
    site.drop_file("scan.raw", [1; 24]);
    assert_eq!(swept(&site)["event"], "remade");
    assert_eq!(site.names("out"), ["scan-1.npy", "scan-1.npy.~1~", "scan.npy"]);
    assert_eq!(site.read("out/scan-1.npy"), array(&[1; 24]));
    assert_eq!(site.read("out/scan.npy"), b"somebody's");
}

/// Who has the old array open goes on reading it.
#[test]
fn a_reader_of_the_old_array() {
    let site = Site::with_array("");
    let mut reader = File::open(site.path("out/scan.npy")).unwrap();
    // SAFETY: nobody writes to it or cuts it: that is what is tested.
    let map = unsafe { memmap2::Mmap::map(&reader) }.unwrap();
    // With room for the old data, which go then.
    site.drop_file("scan.raw.toml", "dtype = '<f4'\nshape = [9]\n");
    site.drop_file("scan.raw", [&scan_bytes()[..], &[1; 12]].concat());
    assert_eq!(swept(&site)["event"], "remade");
    assert_eq!(site.names("out"), ["scan.npy"]);
    let mut read = Vec::new();
    reader.read_to_end(&mut read).unwrap();
    assert_eq!(read, scan_npy());
    assert_eq!(&map[..], scan_npy());
}

#[test]
fn its_metadata_are_replaced() {
    let site = Site::with_array("metadata = \"json\"");
    site.drop_file("scan.raw", [1; 24]);
    assert_eq!(swept(&site)["event"], "remade");
    let told: Value = serde_json::from_slice(&site.read("out/scan.npy.json")).unwrap();
    assert_eq!(told["receipt"]["event"], "remade");
    assert_eq!(site.names("out"), ["scan.npy", "scan.npy.json", "scan.npy.~1~"]);
}

/// Beside its data, backups are nobody's drops; and where there is room for the header, the drop
/// stays as it is, for it may change again.
#[test]
fn beside_its_data() {
    let site = Site::new();
    let config = site
        .configuration("state", "[[drop.template]]\nmatch = \"*~\"\ndtype = \"|u1\"\nshape = [-1]");
    let output = format!("output = \"{}\"\n", site.path("out").display());
    site.write("npyd.toml", config.replace(&output, ""));
    site.scan("scan").sweep().expect_code(0);
    site.drop_file("scan.raw", [&[0; 128], &[1; 24][..]].concat());
    site.drop_file("scan.raw.toml", format!("{SCAN_MANIFEST}reserved = 128\n"));
    let receipt = swept(&site);
    assert_eq!((&receipt["event"], &receipt["route"]), (&json!("remade"), &json!("copy")));
    assert!(reason(&receipt).contains("not in-place: the array is made again"), "{receipt}");
    assert_eq!(site.names("in"), ["scan.npy", "scan.npy.~1~", "scan.raw", "scan.raw.toml"]);
    assert_eq!(site.read("in/scan.npy"), array(&[1; 24]));
    assert!(site.sweep().expect_code(0).json().is_empty());
}

/// `npyd check` counts them.
#[test]
fn backups_are_counted() {
    let site = Site::with_array("recursive = true");
    let check = || site.npyd(&["check"]).expect_code(0).stdout;
    assert!(!check().contains("backups"));
    fs::create_dir(site.path("out/sub")).unwrap();
    site.write("out/sub/y.npy.~12~", [0; 1000]).write("out/sub/y.raw.~1~", [0; 1000]);
    site.drop_file("scan.raw", [1; 24]);
    assert_eq!(swept(&site)["event"], "remade");
    let told = check();
    let line = "  backups      2 × NAME.npy.~N~, 1.12 KiB: earlier arrays of drops that changed\n";
    assert!(told.contains(line), "{told}");
    site.configure("");
    assert!(check().contains("1 × NAME.npy.~N~, 152 B:"), "not recursive");
}

/// Small ones are remade together.
#[test]
fn several_at_once() {
    let site = Site::new();
    let stems: Vec<_> = (0..20).map(|number| format!("scan-{number:02}")).collect();
    for stem in &stems {
        site.scan(stem);
    }
    site.sweep().expect_code(0);
    for (number, stem) in stems.iter().enumerate() {
        let mut bytes = [1; 24];
        bytes[0] = number as u8;
        site.drop_file(&format!("{stem}.raw"), bytes);
    }
    site.scan("new");
    let receipts = site.sweep().expect_code(0).json();
    assert_eq!(receipts.of_event("remade").len(), stems.len());
    assert_eq!(receipts.of_event("finalized").len(), 1);
    for (number, stem) in stems.iter().enumerate() {
        assert_eq!(site.read(&format!("out/{stem}.npy"))[128], number as u8);
        assert_eq!(site.read(&format!("out/{stem}.npy.~1~")), scan_npy());
    }
}

/// After each remake a drop must be unchanged for twice as long, also after a restart.
#[test]
fn the_quiet_time_doubles() {
    let site = Site::with_array("");
    let mut daemon = site.daemon();
    for (number, least) in [(1_u8, 0), (2, 400), (3, 800)] {
        let begun = Instant::now();
        site.drop_file("scan.raw", [number; 24]);
        daemon.wait_for_receipts("remade", number.into());
        // A file's time is that of the kernel's last tick, which may be 10 ms ago.
        let took = begun.elapsed() + Duration::from_millis(10);
        assert!(took >= Duration::from_millis(least), "remake {number} after {took:?}");
        daemon.stop();
        daemon = site.daemon();
    }
    daemon.stop();
    site.drop_file("scan.raw", [4; 24]);
    let told = site.npyd(&["explain", "in/scan.raw"]).expect_code(0);
    told.expect_words(&["must be unchanged for 1s 600ms", "was made again 3 times"]);
    // What was only touched does not count.
    swept(&site);
    site.drop_file("scan.raw", [4; 24]);
    assert_eq!(swept(&site)["event"], "found");
    let told = site.npyd(&["explain", "in/scan.raw"]).expect_code(0);
    assert!(!told.stdout.contains("5 times"), "{told}");
}

/// Otherwise a producer that appends and closes its file for an hour fills the disk with arrays.
#[test]
fn the_quiet_time_doubles_with_numbered_arrays() {
    let site = Site::with_array("on_change = \"number\"");
    for number in 1..=2 {
        site.drop_file("scan.raw", [number; 24]);
        let receipt = site.sweep_until("finalized").json().remove(0);
        let array = site.path(format!("out/scan-{number}.npy"));
        assert_eq!(receipt["output"], array.to_str().unwrap());
    }
    site.drop_file("scan.raw", [3; 24]);
    let told = site.npyd(&["explain", "in/scan.raw"]).expect_code(0);
    told.expect_words(&["must be unchanged for 800ms", "was made again 2 times"]);
}

/// A sweep does not wait for an hour: the next one finds what has been unchanged meanwhile.
#[test]
fn a_sweep_leaves_what_must_be_unchanged_for_long() {
    let site = Site::with_array("");
    site.drop_file("scan.raw", [1; 24]);
    assert_eq!(swept(&site)["event"], "remade");
    let config = String::from_utf8(site.read("npyd.toml")).unwrap();
    site.write("npyd.toml", config.replace("200ms", "10min"));
    site.drop_file("scan.raw", [2; 24]);
    // A sweep that waited would not end before the test's patience does.
    let receipt = swept(&site);
    assert_eq!(receipt["event"], "waiting");
    assert!(reason(&receipt).contains("must be unchanged for 20m:"), "{receipt}");
    // The quiet time after one remake, again: 400 ms.
    site.configure("");
    assert_eq!(swept(&site)["event"], "remade");
}

/// The producer's own word needs no quiet time.
#[test]
fn a_digest_needs_no_quiet_time() {
    let site = Site::new();
    site.configure("quiet = \"1h\"");
    let config = String::from_utf8(site.read("npyd.toml")).unwrap();
    site.write("npyd.toml", config.replace("quiet = \"200ms\"\n", ""));
    for (number, event) in [(1, "finalized"), (2, "remade"), (3, "remade")] {
        let bytes = [number; 24];
        let digest = crate::support::crc32c(&bytes);
        site.drop_file("scan.raw", bytes);
        let manifest = format!("{SCAN_MANIFEST}digest = 'crc32c:{digest:08x}'\n");
        site.drop_file("scan.raw.toml", manifest);
        assert_eq!(swept(&site)["event"], event);
    }
}

/// A backup's name that would be too long is shortened.
#[test]
fn names_at_the_limit() {
    for (len, stem_len) in [(248, 244), (249, 244), (255, 244)] {
        let site = Site::new();
        let stem = "é".repeat((len - 4) / 2) + if len % 2 == 1 { "e" } else { "" };
        let output = format!("{stem}.npy");
        assert_eq!(output.len(), len);
        site.scan("scan").drop_file("scan.raw.toml", format!("{SCAN_MANIFEST}output = '{output}'"));
        site.sweep().expect_code(0);
        for number in [1, 2] {
            site.drop_file("scan.raw", [number; 24]);
            assert_eq!(swept(&site)["event"], "remade", "{len}");
            assert_eq!(site.read(&format!("out/{output}")), array(&[number; 24]));
        }
        let short: String = stem.chars().take(stem_len / 2).collect();
        let backups = [1, 2].map(|number| format!("{short}.npy.~{number}~"));
        let mut names = [&backups[..], &[output]].concat();
        names.sort();
        assert_eq!(site.names("out"), names);
        assert_eq!(site.read(&format!("out/{}", backups[0])), scan_npy());
    }
}

/// Where blocks are shared, too.
#[test]
fn on_xfs() {
    if !as_root() {
        return;
    }
    let site = Site::new();
    let Some(mounted) = Mounted::image(&site, "fs", "xfs", 400, &[]) else { return };
    for name in ["in", "out"] {
        fs::create_dir(mounted.at().join(name)).unwrap();
    }
    let root = mounted.at().display();
    let config = site.configuration("state", "");
    let here = site.path("").display().to_string();
    let here = here.trim_end_matches('/');
    let config = config
        .replace(&format!("path = \"{here}/in\""), &format!("path = \"{root}/in\""))
        .replace(&format!("output = \"{here}/out\""), &format!("output = \"{root}/out\""));
    site.write("npyd.toml", config);
    let old: Vec<u8> = (0..50_000_u32).map(|n| (n % 251) as u8).collect();
    site.write("fs/in/x.raw", &old).write("fs/in/x.toml", "dtype='|u1'\nshape=[-1]\n");
    site.sweep_until("finalized");
    let new = [&old[..], b"more"].concat();
    site.write("fs/in/x.raw", &new);
    let receipt = site.sweep_until("remade").json().remove(0);
    assert_eq!((&receipt["route"], reason(&receipt)), (&json!("reflink"), "changed: bytes, shape"));
    site.write("fs/in/x.raw", vec![7; 50_000]);
    let receipt = site.sweep_until("remade").json().remove(0);
    assert_eq!(receipt["route"], "reflink");
    assert_eq!(site.names("fs/out"), ["x.npy", "x.npy.~1~"]);
    assert!(site.read("fs/out/x.npy").ends_with(&vec![7; 50_000]));
    assert!(site.read("fs/out/x.npy.~1~").ends_with(&new));
}

/// On a file system without hard links, npyd renames the old array to the backup's name.
#[test]
fn without_hard_links() {
    let site = Site::with_array("");
    site.drop_file("scan.raw", [1; 24]);
    let Some(outcome) = sweep_with_fault(&site, None, "linkat:error=EPERM:when=1") else { return };
    let receipts = outcome.expect_code(0).json();
    assert_eq!(receipts.of_source("scan.raw")["event"], "remade");
    assert_eq!(site.read("out/scan.npy"), array(&[1; 24]));
    assert_eq!(site.read("out/scan.npy.~1~"), scan_npy());
    assert_eq!(site.names("out"), ["scan.npy", "scan.npy.~1~"]);
}

/// Something happens after each call of a remake; in the short form, after one in `stride`.
fn after_each_call(stride: usize, happens: impl Fn(&Site), check: impl Fn(&Site, usize)) {
    let mut calls = 0;
    loop {
        let site = Site::new().with_short_quiet_time();
        site.scan("scan").sweep().expect_code(0);
        site.drop_file("scan.raw", [1; 24]).write("new", "another");
        let halted =
            sweep_halted(&site, &["in/scan.raw", "out", "out/scan.npy"], calls, |_| happens(&site));
        if !halted {
            break;
        }
        check(&site, calls);
        calls += if is_long() { 1 } else { stride };
    }
    println!("after each of {calls} calls");
    assert!(calls > 10, "only {calls} calls were seen");
}

/// Another file gets the array's name: it is never replaced, and the old array is not lost.
#[test]
fn another_file_gets_the_name_meanwhile() {
    let happens = |site: &Site| {
        let old = site.path("out/scan.npy");
        fs::rename(&old, site.path("aside")).unwrap();
        fs::rename(site.path("new"), old).unwrap();
    };
    after_each_call(1, happens, |site, call| {
        assert_eq!(site.read("out/scan.npy"), b"another", "after call {call}");
        let aside = site.read("aside");
        assert!(aside == scan_npy() || aside == array(&[1; 24]), "after call {call}");
    });
}

/// The drop changes once more: no mixture, and nothing lost.
#[test]
fn it_changes_meanwhile() {
    let happens = |site: &Site| {
        let file = File::options().write(true).open(site.path("in/scan.raw")).unwrap();
        file.write_all_at(&[2; 24], 0).unwrap();
    };
    after_each_call(3, happens, |site, call| {
        site.sweep_until_array(&array(&[2; 24]), call);
        let backups = site.names("out").into_iter().filter(|name| name.ends_with('~'));
        let backups: Vec<_> = backups.map(|name| site.read(&format!("out/{name}"))).collect();
        assert!(backups.contains(&scan_npy()), "after call {call}");
        let made = [scan_npy(), array(&[1; 24])];
        assert!(backups.iter().all(|it| made.contains(it)), "after call {call}");
    });
}

impl Site {
    fn sweep_until_array(&self, expected: &[u8], call: usize) {
        for _ in 0..10 {
            if self.read("out/scan.npy") == expected {
                return;
            }
            self.sweep();
        }
        panic!("after call {call}: {:?}", self.history());
    }
}

/// A run that is stopped amid the comparison leaves all as it was.
#[test]
fn the_old_array_is_compared_at_the_rate_that_is_set() {
    const LEN: usize = 8 << 20;
    let site = Site::with("max_rate = \"4 MB/s\"");
    site.drop_file("x.raw.toml", "dtype = '|u1'\nshape = [-1]\n").drop_file("x.raw", [1; 100]);
    site.sweep_until("finalized");
    site.configure("");
    site.drop_file("x.raw", vec![1; LEN]);
    site.sweep_until("remade");
    site.configure("max_rate = \"16 MB/s\"");
    site.drop_file("x.raw", vec![1; LEN + 1]);
    let begun = Instant::now();
    site.sweep_until("remade");
    // Copied, and compared: 16 MiB in all.
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(700), "{took:?}");
    assert_eq!(site.names("out"), ["x.npy"]);
    assert!(Path::new(&site.path("out/x.npy")).exists());
}
