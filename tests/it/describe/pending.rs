//! Drops with a pending header.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::json;

use crate::support::{PendingFile, Receipts, Site, left_out, load, npy, python};

/// Six `<i4`: 0 to 5.
fn six() -> Vec<u8> {
    (0..6_i32).flat_map(i32::to_le_bytes).collect()
}

/// Asserts that `file` is `pending` in all but the eight bytes that make it final.
#[track_caller]
fn assert_committed(file: &[u8], pending: &[u8]) {
    assert_eq!(file[..8], [0x93, b'N', b'U', b'M', b'P', b'Y', pending[6], 0]);
    assert_eq!(file[8..], pending[8..]);
}

#[test]
fn a_ready_file_becomes_final_in_eight_bytes() {
    let names = [
        ("a.npy", "a.npy"),
        ("b.npy.pending", "b.npy"),
        ("c.npy.part", "c.npy"),
        ("d.pending", "d.npy"),
    ];
    let site = Site::new();
    let pending = PendingFile::ready(&[2, 3]).with(&six());
    for (source, _) in names {
        site.drop_file(source, &pending);
    }
    let inodes = names.map(|(source, _)| site.inode(&format!("in/{source}")));
    let receipts = site.sweep().expect_code(0).json();
    assert_eq!(site.names("in"), [""; 0]);
    assert_eq!(site.names("out"), names.map(|(_, output)| output));
    for ((source, output), inode) in names.into_iter().zip(inodes) {
        assert_committed(&site.read(&format!("out/{output}")), &pending);
        assert_eq!(site.inode(&format!("out/{output}")), inode, "{source} was moved, not copied");
        let receipt = receipts.of_source(source);
        assert_eq!(receipt["event"], "finalized");
        assert_eq!(receipt["route"], "in-place");
        assert_eq!(receipt["evidence"], "ready");
    }
}

#[test]
fn every_header_version_and_order_is_finalized() {
    let Some(python) = python() else { return };
    let structured = "[('a', '<i2'), ('b', '<i2')]";
    let base = PendingFile::ready(&[2, 3]);
    let cases = [
        ("v2", PendingFile { version: 2, data_offset: 192, ..base.clone() }),
        ("v3", PendingFile { version: 3, data_offset: 4096, ..base.clone() }),
        ("fortran", PendingFile { fortran: true, ..base.clone() }),
        ("structured", PendingFile { descr: structured, ..base.clone() }),
        ("odd", PendingFile { data_offset: 101, ..base.clone() }),
    ];
    let site = Site::new();
    for (name, pending) in &cases {
        site.drop_file(&format!("{name}.npy"), pending.with(&six()));
    }
    site.sweep().expect_code(0);
    for (name, pending) in &cases {
        assert_committed(&site.read(&format!("out/{name}.npy")), &pending.with(&six()));
        let array = load(&python, site.path(format!("out/{name}.npy")));
        assert_eq!(array["shape"], json!([2, 3]), "{name}");
        assert_eq!(array["offset"], pending.data_offset, "{name}");
        assert_eq!(array["fortran_order"], pending.fortran, "{name}");
    }
}

/// If the shape is open, npyd rewrites the dict within the existing header.
#[test]
fn an_open_shape_is_filled_in() {
    let Some(python) = python() else { return };
    let site = Site::new();
    let cases = [
        ("c", PendingFile::ready(&[-1, 3]), json!([2, 3])),
        ("f", PendingFile { fortran: true, ..PendingFile::ready(&[2, -1]) }, json!([2, 3])),
        ("one", PendingFile::ready(&[-1]), json!([6])),
        (
            "v3",
            PendingFile { version: 3, data_offset: 256, ..PendingFile::ready(&[-1, 1]) },
            json!([6, 1]),
        ),
    ];
    for (name, pending, _) in &cases {
        site.drop_file(&format!("{name}.npy"), pending.with(&six()));
    }
    site.sweep().expect_code(0);
    for (name, pending, shape) in &cases {
        let array = load(&python, site.path(format!("out/{name}.npy")));
        assert_eq!(array["shape"], *shape, "{name}");
        assert_eq!(array["offset"], pending.data_offset, "{name}");
        let file = site.read(&format!("out/{name}.npy"));
        assert_eq!(file[pending.data_offset..], six(), "{name}");
    }
}

/// A file that is marked as being written never counts as complete, even if it is quiet. A file
/// with an open shape and no record yet waits as well.
#[test]
fn what_is_not_done_is_left_as_it_is() {
    let site = Site::new();
    let empty = PendingFile::ready(&[-1, 3]).with(&[]);
    site.drop_file("empty.npy", &empty);
    let short = PendingFile::ready(&[2, 3]).with(&six()[..20]);
    site.drop_file("short.npy", &short);
    let receipts = site.sweep().expect_code(0).json();
    assert_eq!(receipts.of_source("empty.npy")["event"], "waiting");
    assert_eq!(receipts.of_source("short.npy")["event"], "waiting");
    assert_eq!(site.names("out"), [""; 0]);
    assert_eq!(site.read("in/empty.npy"), empty);
    assert_eq!(site.read("in/short.npy"), short);
}

/// What a `.npy` file under a pending name, or a ready one, holds behind its array.
const SURPLUS: [usize; 4] = [0, 1, 8, 20];

/// A file with an array of four of the six items, and so many bytes of the rest of them.
fn four_and(surplus: usize, is_final: bool) -> (&'static str, Vec<u8>) {
    let data = &six()[..16 + surplus.min(8)];
    let data = [data, &vec![9; surplus.saturating_sub(8)]].concat();
    if is_final {
        ("x.npy.part", npy("'<i4'", false, &[2, 2], &data))
    } else {
        ("x.npy", PendingFile::ready(&[2, 2]).with(&data))
    }
}

/// A file is committed, or gets its final name, only if it is as long as its header says. Salvage
/// does not change that: its producer did not leave it half written.
#[test]
fn a_longer_file_is_refused() {
    for settings in ["", "salvage = \"whole-records\""] {
        for (surplus, is_final) in SURPLUS.into_iter().flat_map(|it| [(it, false), (it, true)]) {
            let site = Site::with(settings);
            let (name, file) = four_and(surplus, is_final);
            site.drop_file(name, &file);
            if surplus == 0 {
                site.sweep_until("finalized");
                assert_eq!(site.read("out/x.npy")[128..], file[128..]);
                continue;
            }
            let rejected = site.sweep_until("rejected").expect_code(1).json();
            let reason = rejected.of_source(name)["reason"].as_str().unwrap().to_owned();
            assert!(reason.contains("allow_trailing"), "{reason}");
            assert_eq!(site.read(&format!("in/{name}")), file);
            assert_eq!(site.names("out"), [""; 0]);
        }
    }
}

/// Where trailing bytes are allowed, the array is copied without them, and the source keeps them.
#[test]
fn a_longer_file_is_copied_where_that_is_allowed() {
    let Some(python) = python() else { return };
    for (surplus, is_final) in SURPLUS.into_iter().flat_map(|it| [(it, false), (it, true)]) {
        let site = Site::with("allow_trailing = true");
        let (name, file) = four_and(surplus, is_final);
        site.drop_file(name, &file);
        let receipts = site.sweep_until("finalized").json();
        let route = if surplus == 0 { "in-place" } else { "copy" };
        assert_eq!(receipts.of_source(name)["route"], route, "{surplus}");
        assert_eq!(site.read("out/x.npy").len(), 128 + 16, "{surplus}");
        assert_eq!(load(&python, site.path("out/x.npy"))["values"], json!([[0, 1], [2, 3]]));
        assert_eq!(site.has(&format!("in/{name}")), surplus > 0);
        assert_eq!(site.names("out"), ["x.npy"]);
        if surplus > 0 {
            assert_eq!(site.read(&format!("in/{name}")), file);
        }
    }
}

/// Bytes that are in no array outlive their source, whatever takes it away.
#[test]
fn what_is_behind_the_array_is_saved_before_its_source_goes() {
    for (surplus, is_final) in [(5, false), (5, true), (20, false), (20, true)] {
        let (name, file) = four_and(surplus, is_final);
        let rest = &file[128 + 16..];

        let site = Site::with("allow_trailing = true\nsource = \"remove\"");
        site.drop_file(name, &file).sweep_until("finalized");
        assert_eq!(site.names("in"), [""; 0]);
        assert_eq!(site.read(&format!("out/{name}.rest")), rest);
        assert_eq!(site.read("out/x.npy").len(), 128 + 16);

        let site = Site::new();
        fs::create_dir(site.path("old")).unwrap();
        let old = site.path("old");
        let archive = format!("source = \"archive\"\narchive = \"{}\"", old.display());
        site.configure(&format!("allow_trailing = true\n{archive}"));
        site.drop_file(name, &file).sweep_until("finalized");
        assert_eq!(site.read(&format!("old/{name}")), file, "it is archived whole");
        assert_eq!(site.names("out"), ["x.npy"]);

        let site = Site::new();
        let config = String::from_utf8(site.read("npyd.toml")).unwrap();
        let config: Vec<_> = config.lines().filter(|line| !line.starts_with("output")).collect();
        site.write("npyd.toml", format!("{}\nallow_trailing = true\n", config.join("\n")));
        site.drop_file(name, &file).sweep_until("finalized");
        if is_final {
            assert_eq!(site.names("in"), ["x.npy", "x.npy.part"]);
            assert_eq!(site.read("in/x.npy.part"), file);
        } else {
            assert_eq!(site.names("in"), ["x.npy", "x.npy.rest"], "it took its source's name");
            assert_eq!(site.read("in/x.npy.rest"), rest);
        }
        assert_eq!(site.read("in/x.npy").len(), 128 + 16);
    }
}

/// Reserved room: the bytes that are declared as trailing, or allowed, are not the array's.
#[test]
fn trailing_bytes_keep_reserved_room_from_being_used() {
    for (manifest, settings) in [("trailing = 3", ""), ("", "allow_trailing = true")] {
        let site = Site::with(settings);
        site.drop_file("x.raw", [&[0; 128][..], &six(), &[7; 3]].concat());
        let shape = "dtype = '<i4'\nshape = [2, 3]\nreserved = 128\n";
        site.drop_file("x.raw.toml", format!("{shape}{manifest}"));
        let receipts = site.sweep_until("finalized").json();
        let receipt = receipts.of_source("x.raw");
        assert_eq!(receipt["route"], "copy");
        assert!(receipt["reason"].as_str().unwrap().contains("3 bytes"), "{receipt}");
        assert_eq!(site.read("out/x.npy"), npy("'<i4'", false, &[2, 3], &six()));
    }
}

/// A final header whose data are not all there yet waits for them.
#[test]
fn a_shorter_final_file_waits() {
    let site = Site::new();
    let whole = npy("'<i4'", false, &[2, 3], &six());
    site.drop_file("x.npy.part", &whole[..whole.len() - 1]);
    assert_eq!(site.sweep().json().of_source("x.npy.part")["event"], "waiting");
    site.drop_file("x.npy.part", &whole).sweep_until("finalized");
    assert_eq!(site.read("out/x.npy"), whole);
}

#[test]
fn headers_that_no_npy_file_could_have_are_rejected() {
    let good = PendingFile::ready(&[2, 3]).with(&six());
    let edited = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut file = good.clone();
        edit(&mut file);
        file
    };
    let cases = [
        ("object", PendingFile { descr: "'|O'", ..PendingFile::ready(&[2, 3]) }.with(&six())),
        ("two-open", PendingFile::ready(&[-1, -1]).with(&six())),
        ("not-the-growth-axis", PendingFile::ready(&[2, -1]).with(&six())),
        ("negative", PendingFile::ready(&[-2, 3]).with(&six())),
        ("huge", PendingFile::ready(&[i64::MAX, i64::MAX]).with(&six())),
        ("version", edited(&|file| file[6] = 4)),
        ("mark", edited(&|file| file[7] = b'x')),
        ("length", edited(&|file| file[8..10].fill(0xff))),
        ("text", edited(&|file| file[10] = b'[')),
    ];
    for (name, file) in cases {
        let site = Site::new();
        site.drop_file("bad.npy", &file);
        let receipts = site.sweep_until("rejected").expect_code(1).json();
        let reason = receipts.of_source("bad.npy")["reason"].as_str().unwrap().to_owned();
        assert!(!reason.is_empty(), "{name}");
        assert_eq!(site.read("in/bad.npy"), file, "{name} is left as it was");
        assert_eq!(site.names("out"), [""; 0], "{name}");
    }
}

/// A finished array in the drop directory is nothing to do.
#[test]
fn finished_arrays_are_left_alone() {
    let site = Site::new();
    site.drop_file("done.npy", crate::support::scan_npy()).scan("good");
    let before = site.identity("in/done.npy");
    assert_eq!(site.sweep().expect_code(0).json().of_event("finalized").len(), 1);
    assert_eq!(site.identity("in/done.npy"), before);
}

/// Where the output lies on another file system a rename can't do it; a copy does.
#[test]
fn a_pending_file_crosses_file_systems() {
    let site = Site::new();
    let other = tempfile::tempdir_in("/dev/shm");
    let Some(other) = other.ok().filter(|it| device(it.path()) != device(&site.path("in"))) else {
        return left_out("needs /dev/shm as a second file system");
    };
    let config = String::from_utf8(site.read("npyd.toml")).unwrap();
    let (out, elsewhere) = (site.path("out"), other.path());
    let config = config.replace(out.to_str().unwrap(), elsewhere.to_str().unwrap());
    let pending = PendingFile::ready(&[2, 3]).with(&six());
    site.write("npyd.toml", config).drop_file("x.npy", &pending);
    site.sweep().expect_code(0);
    let names: Vec<_> = fs::read_dir(elsewhere).unwrap().map(|it| it.unwrap().path()).collect();
    assert_eq!(names, [elsewhere.join("x.npy")]);
    assert!(fs::read(&names[0]).unwrap().ends_with(&six()));
}

fn device(path: &Path) -> u64 {
    path.metadata().unwrap().dev()
}

/// Whatever spelling the producer chose, and however npyd understood it: NumPy's own is published.
#[test]
fn a_header_spelled_in_another_way_is_written_anew() {
    let site = Site::new();
    let right = PendingFile::ready(&[2, 3]).with(&six());
    let mut odd = right.clone();
    let text = "{\"shape\":(0x2,+3,),'descr':\"int32\",'fortran_order':False}#";
    odd[10..10 + text.len()].copy_from_slice(text.as_bytes());
    odd[10 + text.len()..127].fill(b' ');
    site.drop_file("x.npy", odd);
    site.sweep().expect_code(0);
    assert_committed(&site.read("out/x.npy"), &right);
}
