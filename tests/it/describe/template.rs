//! Drops that a template in the configuration describes.

use std::fs;

use crate::support::{Receipts, Site, load, npy, python, reason, scan_npy};

const FRAMES: &str = "
[[drop.template]]
match = \"*.u16\"
dtype = \"<u2\"
shape = [-1, 2, 3]
";

#[test]
fn frames_are_recognized_by_their_name() {
    let site = Site::with(FRAMES);
    let data: Vec<u8> = (0..36).collect();
    site.drop_file("frames.u16", &data).drop_file("frames.u32", &data);
    let receipts = site.sweep_until("finalized").json();
    assert_eq!(receipts.of_source("frames.u16")["evidence"], "no-writer");
    assert_eq!(site.names("out"), ["frames.npy"]);
    assert_eq!(site.read("out/frames.npy"), npy("'<u2'", false, &[3, 2, 3], &data));
}

/// An incomplete last record may still be on its way.
#[test]
fn an_incomplete_record_waits_for_its_rest() {
    let site = Site::with(FRAMES);
    let data: Vec<u8> = (0..24).collect();
    site.drop_file("frames.u16", &data[..20]);
    let receipts = site.sweep().expect_code(0).json();
    assert_eq!(receipts.of_source("frames.u16")["event"], "waiting");
    site.drop_file("frames.u16", &data);
    site.sweep_until("finalized");
    assert_eq!(site.read("out/frames.npy"), npy("'<u2'", false, &[2, 2, 3], &data));
}

#[test]
fn a_fixed_shape_is_complete_at_its_size() {
    let site = Site::with("[[drop.template]]\nmatch = \"*.dat\"\ndtype = \"|u1\"\nshape = [4]");
    site.drop_file("x.dat", [1, 2, 3, 4]);
    let receipts = site.sweep().expect_code(0).json();
    assert_eq!(receipts.of_source("x.dat")["evidence"], "size");
    assert_eq!(site.read("out/x.npy"), npy("'|u1'", false, &[4], &[1, 2, 3, 4]));
}

/// Without the marker the file waits, though nobody writes to it; with it, it is done at once.
#[test]
fn a_marker_in_the_reserved_bytes_says_that_it_is_done() {
    let Some(python) = python() else { return };
    let site = Site::with(&format!("{FRAMES}reserved = 128\nmarker = \"PENDING\""));
    let mut file = vec![0; 128 + 24];
    file[128..].copy_from_slice(&(0..24).collect::<Vec<u8>>());
    site.drop_file("frames.u16", &file);
    let inode = site.inode("in/frames.u16");
    let receipts = site.sweep().expect_code(0).json();
    assert_eq!(receipts.of_source("frames.u16")["event"], "waiting");
    assert_eq!(site.read("in/frames.u16"), file);

    file[..7].copy_from_slice(b"PENDING");
    site.drop_file("frames.u16", &file);
    let receipts = site.sweep().expect_code(0).json();
    let receipt = receipts.of_source("frames.u16");
    assert_eq!((&receipt["evidence"], &receipt["route"]), (&"marker".into(), &"in-place".into()));
    assert_eq!(site.inode("out/frames.npy"), inode);
    let array = load(&python, site.path("out/frames.npy"));
    assert_eq!(array["shape"], serde_json::json!([2, 2, 3]));
    assert_eq!(array["offset"], 128);
}

/// Ended after it had written the header over the marker and before it could rename the file, npyd
/// must not wait for that marker again.
#[test]
fn a_header_over_the_marker_is_as_good() {
    for (reserved, marker) in [(128, "PENDING"), (4096, "A MARKER OF 20 BYTES")] {
        let site = Site::with(&format!("{FRAMES}reserved = {reserved}\nmarker = \"{marker}\""));
        let mut file = vec![0; reserved + 24];
        file[..marker.len()].copy_from_slice(marker.as_bytes());
        site.drop_file("frames.u16", &file).sweep().expect_code(0);
        let done = site.read("out/frames.npy");
        let mut without_magic = done.clone();
        without_magic[..8].copy_from_slice(&[marker.as_bytes(), b" "].concat()[..8]);
        for interrupted in [done.clone(), without_magic].iter().take(1 + reserved / 4096) {
            fs::remove_file(site.path("out/frames.npy")).unwrap();
            site.lose_ledger().drop_file("frames.u16", interrupted).sweep().expect_code(0);
            assert_eq!(site.read("out/frames.npy"), done);
        }
    }
}

/// A description takes precedence over a template, even if only its text names the file, and even
/// if it must wait.
#[test]
fn descriptions_count_more() {
    let site = Site::with("[[drop.template]]\nmatch = '*.u8'\ndtype = '|u1'\nshape = [8]");
    let data: Vec<u8> = (0..16).collect();
    site.drop_file("z.toml", "dtype = '<u2'\nshape = [4]\ndata = 'a.u8'\n");
    let slices = "NDims = 2\nDimSize = 8 2\nElementType = MET_UCHAR\nElementDataFile = ";
    site.drop_file("scan.mhd", format!("{slices}s%d.u8 1 2 1\n"));
    for name in ["a.u8", "b.u8", "s2.u8"] {
        site.drop_file(name, &data[8..]);
    }
    site.sweep().expect_code(0);
    assert_eq!(site.names("out"), ["a.npy", "b.npy"]);
    assert_eq!(site.read("out/a.npy"), npy("'<u2'", false, &[4], &data[8..]));
    assert_eq!(site.read("out/b.npy"), npy("'|u1'", false, &[8], &data[8..]));
    site.drop_file("s1.u8", &data[..8]).sweep().expect_code(0);
    assert_eq!(site.names("out"), ["a.npy", "b.npy", "scan.npy"]);
    assert_eq!(site.read("out/scan.npy"), npy("'|u1'", false, &[2, 8], &data));
    site.sweep().expect_code(0);
    assert_eq!(site.names("out").len(), 3);
}

/// A template that fits the names of arrays, too, takes neither npyd's own nor another's: it would
/// refuse them, or write its header over theirs.
#[test]
fn what_npyd_puts_there_is_no_drop() {
    for (reserved, room) in [("", 0), ("reserved = 128", 128)] {
        let site = Site::new();
        let keys = "match = 'cam*'\ndtype = '<u2'\nshape = [-1]";
        let config = site.configuration("state", &format!("[[drop.template]]\n{keys}\n{reserved}"));
        let beside = config.lines().filter(|line| !line.starts_with("output"));
        site.write("npyd.toml", beside.collect::<Vec<_>>().join("\n"));
        let newer = b"\x93NUMPY\x04\x00 is yet to come";
        site.write("in/cam_mean.npy", npy("'<f8'", false, &[2], &[1; 16]));
        site.write("in/cam_newer.npy", newer);
        site.drop_file("cam.raw", [vec![0; room], (0..8).collect()].concat());
        site.settle("finalized", 1);
        for _ in 0..2 {
            std::thread::sleep(std::time::Duration::from_millis(250)); // longer than the quiet time
            site.sweep().expect_code(0);
        }
        assert_eq!(site.history().len(), 1);
        assert!(site.read("in/cam.npy").ends_with(&[0, 1, 2, 3, 4, 5, 6, 7]));
        assert_eq!(site.read("in/cam_mean.npy"), npy("'<f8'", false, &[2], &[1; 16]));
        assert_eq!(site.read("in/cam_newer.npy"), newer);
    }
}

/// The files that npyd puts beside the arrays of another drop directory are no data either.
#[test]
fn what_npyd_puts_elsewhere_is_no_drop() {
    let site = Site::with("[[drop.template]]\nmatch = '*'\ndtype = '|u1'\nshape = [-1]");
    let names = ["a.npy.json", "a.npy.~1~", "a.raw.toml.done", "a.raw.toml.done.2"];
    for name in names {
        site.drop_file(name, "anything");
    }
    site.drop_file("b.raw", "data").settle("finalized", 1);
    assert_eq!(site.names("out"), ["b.npy"]);
}

/// A user may link one manifest to each dump. The template must not apply to such a dump.
#[test]
fn a_description_that_is_no_regular_file_is_not_passed_over() {
    let site = Site::with(FRAMES);
    site.write("common.toml", "dtype = '<f4'\nshape = [-1]\n");
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, site.path(name)).unwrap();
    link("../common.toml", "in/a.u16.toml");
    link("nowhere", "in/b.hdr");
    fs::create_dir(site.path("in/c.u16.json")).unwrap();
    fs::create_dir(site.path("in/d.hdr")).unwrap(); // only one that is named like a manifest counts
    for name in ["a.u16", "b.u16", "c.u16", "d.u16", "e.raw"] {
        site.drop_file(name, [1; 24]);
    }
    link("../common.toml", "in/e.raw.toml");
    let receipts = site.sweep().expect_code(0).json();
    for (name, by) in [("a.u16", "a.u16.toml"), ("b.u16", "b.hdr"), ("c.u16", "c.u16.json")] {
        let receipt = receipts.of_source(name);
        assert_eq!(receipt["event"], "waiting", "{receipt}");
        assert!(reason(receipt).starts_with(&format!("`{by}`, which is named like")), "{receipt}");
    }
    let path = site.path("in/e.raw");
    site.npyd(&["explain", path.to_str().unwrap()])
        .expect_words(&["e.raw.toml`, which is named like its description, is not a regular file"]);
    assert_eq!(site.names("out"), ["d.npy"]);
    fs::remove_file(site.path("in/a.u16.toml")).unwrap();
    fs::copy(site.path("common.toml"), site.path("in/a.u16.toml")).unwrap();
    site.sweep_until("finalized");
    assert_eq!(site.read("out/a.npy"), npy("'<f4'", false, &[6], &[1; 24]));
}

/// With a reserved region and a separate output directory, `x.npy` may be an array that npyd has
/// not moved yet. npyd finishes such an array, and does not overwrite an array of another source.
#[test]
fn arrays_that_are_yet_to_be_moved() {
    let keys = "match = '*'\ndtype = '<u2'\nshape = [-1]\nreserved = 128";
    let site = Site::with(&format!("[[drop.template]]\n{keys}"));
    let another = npy("'<f8'", false, &[2], &[1; 16]);
    site.drop_file("another.npy", &another);
    site.drop_file("cam.npy", [vec![0; 128], (0..8).collect()].concat());
    site.settle("finalized", 1);
    let array = site.read("out/cam.npy");
    let history = site.settle("rejected", 1);
    let reason = history.of_source("another.npy")["reason"].as_str().unwrap();
    assert!(reason.contains("another header"), "{reason}");
    assert_eq!(site.read("in/another.npy"), another);

    fs::rename(site.path("out/cam.npy"), site.path("in/cam.npy")).unwrap();
    site.lose_ledger().settle("finalized", 1);
    assert_eq!(site.read("out/cam.npy"), array);
}

/// Nor does it take what npyd keeps beside an array, which would come to another array each time.
#[test]
fn what_is_kept_beside_an_array_is_no_drop() {
    let site = Site::new();
    let keys = "match = 'cam*'\ndtype = '|u1'\nshape = [-1]";
    let settings = "source = \"remove\"\nmetadata = \"json\"";
    let config = site.configuration("state", &format!("{settings}\n[[drop.template]]\n{keys}"));
    let beside = config.lines().filter(|line| !line.starts_with("output"));
    site.write("npyd.toml", beside.collect::<Vec<_>>().join("\n"));
    site.drop_file("cam.raw.toml", "dtype = '<u2'\nshape = [4]\n").drop_file("cam.raw", [1; 8]);
    site.settle("finalized", 1);
    for _ in 0..2 {
        std::thread::sleep(std::time::Duration::from_millis(250)); // longer than the quiet time
        site.sweep().expect_code(0);
    }
    assert_eq!(site.names("in"), ["cam.npy", "cam.npy.json", "cam.raw.toml.done"]);
}

/// An array under a raw file's name would bring its header along as data.
#[test]
fn arrays_are_no_raw_data() {
    let site = Site::with(FRAMES);
    site.drop_file("frames.u16", npy("'<u2'", false, &[2, 2, 4], &[1; 32]));
    let history = site.settle("rejected", 1);
    let reason = history.of_source("frames.u16")["reason"].as_str().unwrap();
    assert!(reason.contains(".npy file already"), "{reason}");
    assert_eq!(site.names("out"), [""; 0]);
}

/// What the name says of shape and type is in the array.
#[test]
fn a_name_that_says_it_all() {
    let site = Site::with(
        r#"
[[drop.template]]
match = '^(?<name>.+)_(?<w>\d+)x(?<h>\d+)_(?<dtype>u16|f32)(?<skip>\+\d+)?\.raw$'
dtype = "{dtype}"
shape = [-1, "{h}", "{w}"]
output = "{name}.npy"
"#,
    );
    let data: Vec<u8> = (0..48).collect();
    site.drop_file("a_3x2_u16.raw", &data).drop_file("b_c_2x2_f32.raw", &data);
    site.drop_file("d_2x2_f64.raw", &data).drop_file("e_0x2_u16.raw", &data);
    site.drop_file("f_99999999999999999999x2_u16.raw", &data);
    let history = site.settle("rejected", 2);
    assert_eq!(site.names("out"), ["a.npy", "b_c.npy"]);
    assert_eq!(site.read("out/a.npy"), npy("'<u2'", false, &[4, 2, 3], &data));
    assert_eq!(site.read("out/b_c.npy"), npy("'<f4'", false, &[3, 2, 2], &data));
    let reason = history.of_source("f_99999999999999999999x2_u16.raw")["reason"].clone();
    assert!(reason.as_str().unwrap().contains("whole number of items"), "{reason}");
    assert!(!site.has("out/d_2x2_f64.npy"));
}

/// A template for all names means what lands there, not what npyd puts beside it.
#[test]
fn arrays_are_no_drops() {
    let site = Site::new();
    fs::create_dir(site.path("bad")).unwrap();
    let template = "[[drop.template]]\nmatch = '*'\ndtype = '|u1'\nshape = [-1]\n";
    site.write(
        "npyd.toml",
        format!(
            "state_dir = 'state'\n[[drop]]\npath = 'in'\nquiet = '200ms'\nsource = 'remove'\n\
             rejects = 'bad'\nmetadata = 'json'\n{template}"
        ),
    );
    site.drop_file("frame", [7; 24]).scan("scan");
    site.settle("finalized", 2);
    for _ in 0..2 {
        site.sweep().expect_code(0);
    }
    let kept = ["frame.npy", "frame.npy.json", "scan.npy", "scan.npy.json", "scan.raw.toml.done"];
    assert_eq!(site.names("in"), kept);
    assert_eq!(site.read("in/frame.npy"), npy("'|u1'", false, &[24], &[7; 24]));
    assert_eq!(site.read("in/scan.npy"), scan_npy());
    assert_eq!(site.names("bad"), [""; 0]);
}

/// A running daemon may reload such a configuration, so npyd must reject it without a crash.
#[test]
fn patterns_that_are_too_large_are_refused() {
    let nested = format!("match = \"{}{}{}\"", "{".repeat(250), "a,".repeat(3000), "}".repeat(250));
    for line in [nested.as_str(), "match = '^(a{1000}){1000}$'"] {
        let site = Site::with(&format!("[[drop.template]]\n{line}\ndtype = '<u2'\nshape = [1]"));
        site.npyd(&["check"]).expect_code(2).expect_words(&["npyd.toml", "line", "too large"]);
    }
}

#[test]
fn placeholders_need_their_groups() {
    for (keys, at, words) in [
        (
            "match = '*.raw'\ndtype = '<u2'\nshape = ['{h}']",
            "match = '*.raw'",
            "begin `match` with ^",
        ),
        ("match = '^x$'\ndtype = '<u2'\nshape = ['{h}']", "match = '^x$'", "no group (?<h>"),
        ("match = '^(x$'\ndtype = '<u2'\nshape = [1]", "match = '^(x$'", "unclosed group"),
        ("match = '^x$'\ndtype = '<u2'\nshape = ['h']", "shape = ['h']", "with a placeholder"),
        (
            "match = '*'\ndtype = '<u2'\nshape = [1]\noutput = 'x'",
            "output = 'x'",
            "the same for all",
        ),
    ] {
        let site = Site::with(&format!("[[drop.template]]\n{keys}"));
        site.npyd(&["check"]).expect_code(2).expect_words(&[at, words]);
    }
}
