//! `npyd finalize`: finalizes single files without a configuration.

use std::fs;

use serde_json::json;

use crate::support::{
    PendingFile, Producer, Receipts, SCAN_MANIFEST, Site, load, npy, python, scan_bytes, scan_npy,
};

/// `npyd finalize ARGS…` in a directory with `scan.raw` in it.
fn finalize(site: &Site, args: &[&str]) -> crate::support::Outcome {
    site.npyd(&[&["finalize"], args].concat())
}

#[test]
fn with_flags() {
    let data = scan_bytes();
    let cases: &[(&[&str], &str, Vec<u8>)] = &[
        (&["--dtype", "<f4", "--shape", "2,3"], "scan.npy", scan_npy()),
        (&["--dtype", "<f4", "--shape", "-1,3"], "scan.npy", scan_npy()),
        (
            &["--dtype", "<f4", "--shape", "2,3", "--order", "F", "-o", "other.npy"],
            "other.npy",
            npy("'<f4'", true, &[2, 3], &data),
        ),
        (
            &["--dtype", "<u2", "--shape", "10", "--offset", "4"],
            "scan.npy",
            npy("'<u2'", false, &[10], &data[4..]),
        ),
        (
            &["--dtype", "[('a','<f4'),('b','<f8')]", "--shape", "2"],
            "scan.npy",
            npy("[('a', '<f4'), ('b', '<f8')]", false, &[2], &data),
        ),
    ];
    for (flags, output, array) in cases {
        let site = Site::new();
        site.write("scan.raw", &data);
        finalize(&site, &[&["scan.raw"], *flags].concat()).expect_code(0);
        assert_eq!(&site.read(output), array, "{flags:?}");
        assert_eq!(site.read("scan.raw"), data, "{flags:?}: the source is kept");
    }
}

/// Another description of a file that has an array, and one that a manifest has already.
#[test]
fn described_again() {
    let site = Site::new();
    site.write("scan.raw", scan_bytes());
    let with = |dtype: &str, more: &[&str]| {
        finalize(&site, &[&["scan.raw", "--dtype", dtype, "--shape", "-1"], more].concat())
    };
    with("<u2", &[]).expect_code(0);
    let told = with("<i2", &[]).expect_code(1);
    assert!(!told.stdout.contains("not made from"), "{told}");
    told.expect_words(&["`scan.npy` was made of this file, by another description", "--replace"]);
    let told = with("<i2", &["--replace"]).expect_code(0);
    told.expect_words(&["it replaces `scan.npy`, an earlier array of this file"]);
    assert_eq!(site.read("scan.npy"), npy("'<i2'", false, &[12], &scan_bytes()));
    // Another file under its name.
    fs::remove_file(site.path("scan.raw")).unwrap();
    site.write("scan.raw", [9; 24]);
    with("<i2", &[]).expect_code(1).expect_words(&["is the array of an earlier file of this name"]);
    with("<i2", &["--replace"]).expect_code(0).expect_words(&["the array of an earlier file of"]);
    // The manifest does not count; it is mentioned if it says something else.
    for (manifest, is_other) in [
        ("dtype = '<u2'\nshape = [12]\n", true),
        ("dtype = '<i2'\nshape = [3, 4]\n", true),
        ("dtype = '<i2'\nshape = [12]\noffset = 0\n", false),
        ("dtype = '<i2'\nshape = [-1]\n", false),
    ] {
        site.write("scan.raw.toml", manifest);
        let told = finalize(&site, &["scan.raw", "--dtype", "<i2", "--shape", "12", "--replace"]);
        let words = "`scan.raw.toml` describes it otherwise";
        assert_eq!(told.expect_code(0).stdout.contains(words), is_other, "{manifest}");
    }
}

/// A file that is too short may have been described wrongly, too.
#[test]
fn too_short() {
    let site = Site::new();
    site.write("scan.raw", scan_bytes());
    for (shape, words) in [
        ("7", "24 of 28 bytes: if it is complete, correct --dtype, --shape, --offset"),
        ("-1,5", "4 of 20 bytes: if it is complete, correct --dtype, --shape, --offset"),
    ] {
        let told = finalize(&site, &["scan.raw", "--dtype", "<f4", "--shape", shape]);
        told.expect_code(1).expect_words(&[words]);
    }
}

#[test]
fn in_place() {
    let Some(python) = python() else { return };
    let site = Site::new();
    site.write("scan.raw", [vec![0; 128], scan_bytes()].concat());
    let inode = site.inode("scan.raw");
    let flags = ["scan.raw", "--dtype", "<f4", "--shape", "2,3", "--reserved", "128"];
    finalize(&site, &flags).expect_code(0);
    assert_eq!(site.inode("scan.npy"), inode);
    assert_eq!(load(&python, site.path("scan.npy"))["shape"], json!([2, 3]));
}

/// A person who types `--reserved` may mean the header of an instrument: only zeros are room.
#[test]
fn reserved_bytes_that_are_not_empty_are_not_overwritten() {
    let site = Site::new();
    let flags = ["scan.raw", "--dtype", "<f4", "--shape", "2,3", "--reserved", "128"];
    for at in [0, 7, 127] {
        let mut file = [vec![0; 128], scan_bytes()].concat();
        file[at] = 0x41;
        site.write("scan.raw", &file);
        let words = [format!("(byte {at} is 0x41)"), "--offset 128 makes a new file".to_owned()];
        for more in [&[][..], &["--dry-run"], &["-o", "x.npy"]] {
            let told = finalize(&site, &[&flags, more].concat()).expect_code(1);
            told.expect_words(&[&words[0], &words[1]]);
        }
        assert_eq!(site.read("scan.raw"), file);
        assert!(!site.has("scan.npy") && !site.has("x.npy"));
        let offset = ["scan.raw", "--dtype", "<f4", "--shape", "2,3", "--offset", "128"];
        finalize(&site, &offset).expect_code(0);
        assert_eq!(site.read("scan.npy"), scan_npy());
        assert_eq!(site.read("scan.raw"), file);
        fs::remove_file(site.path("scan.npy")).unwrap();
    }
    // What a run leaves that was interrupted while it wrote the header.
    let flags = ["scan.raw", "--dtype", "<f4", "--shape", "2,3", "--reserved", "1024"];
    site.write("scan.raw", [vec![0; 1024], scan_bytes()].concat());
    finalize(&site, &flags).expect_code(0);
    let array = site.read("scan.npy");
    fs::remove_file(site.path("scan.npy")).unwrap();
    for (from, to) in [(0, 8), (0, 512), (0, 1024), (0, 0)] {
        let mut torn = array.clone();
        torn[from..to].fill(0);
        site.write("scan.raw", &torn);
        finalize(&site, &flags).expect_code(0);
        assert_eq!(site.read("scan.npy"), array, "{from}..{to}");
        fs::remove_file(site.path("scan.npy")).unwrap();
    }
}

/// A manifest is its producer's word that the room is free, whatever is in it.
#[test]
fn reserved_bytes_of_a_manifest_are_free() {
    let site = Site::new();
    site.write("scan.raw", [vec![0x41; 128], scan_bytes()].concat());
    site.write("scan.raw.toml", format!("{SCAN_MANIFEST}reserved = 128\n"));
    finalize(&site, &["scan.raw"]).expect_code(0).expect_words(&["in-place"]);
    assert_eq!(site.read("scan.npy"), scan_npy());
}

/// NumPy counts bytes, other programs bits: where a text may mean either, a remark says which.
#[test]
fn ambiguous_dtypes_have_a_remark() {
    let site = Site::new();
    for (dtype, descr, remark) in [
        ("u8", "<u8", "`u8` is 8 bytes (uint64), as in NumPy: for bits write uint8, else `<u8`"),
        ("i8", "<i8", "`i8` is 8 bytes (int64), as in NumPy: for bits write int8"),
        ("<u8", "<u8", ""),
        ("u16", "<u2", ""),
        ("uint8", "|u1", ""),
    ] {
        site.write("scan.raw", scan_bytes());
        let itemsize: u64 = descr[2..].parse().unwrap();
        let array = npy(&format!("'{descr}'"), false, &[24 / itemsize], &scan_bytes());
        site.write("by.toml", format!("dtype = '{dtype}'\nshape = [-1]\ndata = 'scan.raw'\n"));
        for args in [&["scan.raw", "--dtype", dtype, "--shape=-1"][..], &["by.toml"]] {
            let told = finalize(&site, args).expect_code(0).expect_words(&[remark]);
            assert_eq!(told.stdout.contains("as in NumPy"), !remark.is_empty(), "{dtype}: {told}");
            assert_eq!(site.read("scan.npy"), array, "{dtype}");
            fs::remove_file(site.path("scan.npy")).unwrap();
        }
    }
}

/// Where the size does not fit, the type may be the reason.
#[test]
fn a_size_that_does_not_fit_has_the_remark_on_the_dtype() {
    let site = Site::new();
    let remark = "`u8` is 8 bytes (uint64), as in NumPy: for bits write uint8, else `<u8`";
    site.write("scan.raw", [7; 40]);
    for (dtype, count) in [("u8", 1), ("<u8", 0)] {
        site.write("by.toml", format!("dtype = '{dtype}'\nshape = [-1, 6]\ndata = 'scan.raw'\n"));
        for args in [&["scan.raw", "--dtype", dtype, "--shape=-1,6"][..], &["by.toml"]] {
            let told = finalize(&site, args).expect_code(1).expect_words(&["incomplete"]);
            assert_eq!(told.stdout.matches(remark).count(), count, "{dtype}: {told}");
        }
    }

    let site = Site::with("[[drop.template]]\nmatch = '*.raw'\ndtype = 'u8'\nshape = [2, 6]\n");
    site.drop_file("a.raw", [7; 12]);
    let told = site.npyd(&["explain", "in/a.raw"]).expect_code(0);
    told.expect_words(&["it has 12 of 96 bytes", remark]);
}

/// A person may name an array as he likes, but a name without `.npy` is probably a mistake.
#[test]
fn outputs_that_are_not_named_npy_have_a_remark() {
    let site = Site::new();
    site.write("scan.raw", scan_bytes());
    for output in ["x.txt", "x", "x.npy.gz", "X.NPY", ".npy", "x.npy"] {
        let flags = ["scan.raw", "--dtype", "<f4", "--shape", "2,3", "-o", output];
        let told = finalize(&site, &flags).expect_code(0);
        let remark = format!("`{output}` does not end in .npy");
        assert_eq!(told.stdout.contains(&remark), output != "x.npy", "{told}");
        assert_eq!(site.read(output), scan_npy());
    }
    let flags = ["scan.raw", "--dtype", "<f4", "--shape", "2,3", "-o", "-"];
    let told = finalize(&site, &flags).expect_code(1);
    told.expect_words(&["-o - is not possible: npyd writes an array to a file"]);
    assert!(!site.has("-"));
}

/// Frames by hand: each file is an array, a manifest joins them.
#[test]
fn several_files() {
    let site = Site::new();
    for name in ["frame_1.raw", "frame_2.raw", "frame_10.raw"] {
        site.write(name, scan_bytes());
    }
    let frames = ["frame_1.raw", "frame_2.raw", "frame_10.raw", "--dtype", "<f4", "--shape", "2,3"];
    let told = finalize(&site, &[&frames[..], &["-o", "run.npy"]].concat()).expect_code(2);
    told.expect_words(&[
        "each FILE becomes an array of its own",
        "\"data\": [\"a.raw\", \"b.raw\"]",
    ]);
    finalize(&site, &frames).expect_code(0);
    assert_eq!(site.read("frame_10.npy"), scan_npy());
    site.write("run.toml", "dtype = \"<f4\"\nshape = [-1, 2, 3]\ndata = \"frame_*.raw\"\n");
    finalize(&site, &["run.toml"]).expect_code(0);
    assert_eq!(site.read("run.npy"), npy("'<f4'", false, &[3, 2, 3], &scan_bytes().repeat(3)));
}

/// What people write for `<u2`, and what is not that.
#[test]
fn dtypes_as_people_write_them() {
    let site = Site::new();
    site.write("scan.raw", scan_bytes());
    for (dtype, descr) in [
        ("u16", "<u2"),
        ("np.uint16", "<u2"),
        ("dtype('<u2')", "<u2"),
        ("'<u2'", "<u2"),
        ("uint16be", ">u2"),
        ("Mono16", "<u2"),
        ("U3", "<U3"),
        ("<class 'numpy.float64'>", "<f8"),
    ] {
        let flags = ["scan.raw", "--dtype", dtype, "--shape=-1", "-o", "x.npy"];
        finalize(&site, &flags).expect_code(0);
        let itemsize = if descr == "<U3" { 12 } else { descr[2..].parse().unwrap() };
        let array = npy(&format!("'{descr}'"), false, &[24 / itemsize], &scan_bytes());
        assert_eq!(site.read("x.npy"), array, "{dtype}");
        fs::remove_file(site.path("x.npy")).unwrap();
    }
}

#[test]
fn bytes_around_the_data() {
    let site = Site::new();
    let data = scan_bytes();
    site.write("scan.raw", [&[9; 3][..], &data, &[8; 5]].concat());
    let flags = ["scan.raw", "--dtype", "<f4", "--shape", "2,3", "--offset", "3"];
    let more = |trailing: &str| finalize(&site, &[&flags[..], &["--trailing", trailing]].concat());
    more("4").expect_code(1).expect_words(&["correct --dtype, --shape, --offset or --trailing"]);
    more("6").expect_code(1).expect_words(&["32 of 33 bytes"]);
    more("5").expect_code(0);
    assert_eq!(site.read("scan.npy"), scan_npy());
    finalize(&site, &["scan.raw", "--trailing", "5"]).expect_code(2);
}

#[test]
fn into_a_directory() {
    let site = Site::new();
    site.scan("a").scan("b");
    finalize(&site, &["in/a.raw", "in/b.raw", "--output-dir", "out"]).expect_code(0);
    assert_eq!(site.names("out"), ["a.npy", "b.npy"]);
    finalize(&site, &["in/a.raw", "--output-dir", "in"]).expect_code(0);
    assert_eq!(site.read("in/a.npy"), scan_npy());
    let outcome = finalize(&site, &["in/a.raw", "--output-dir", "none"]).expect_code(1);
    outcome.expect_words(&["none`", "create it"]);
    finalize(&site, &["in/a.raw", "--output-dir", "out", "-o", "x.npy"]).expect_code(2);
}

/// Only what the file's own earlier array is, or no array, is replaced.
#[test]
fn a_name_that_is_taken() {
    let site = Site::new();
    site.scan("scan").scan("other");
    let into = |name: &str, more: &[&str]| {
        let output = format!("out/{name}");
        finalize(&site, &[&["in/scan.raw", "-o", &output], more].concat())
    };
    site.write("out/text.npy", "no array");
    into("text.npy", &[]).expect_code(1).expect_words(&["--replace", "-o, --output-dir"]);
    into("text.npy", &["--replace"]).expect_code(0).expect_words(&["it replaces `text.npy`"]);
    assert_eq!(site.read("out/text.npy.~1~"), b"no array");
    assert_eq!(site.read("out/text.npy"), scan_npy());
    finalize(&site, &["in/other.raw", "-o", "out/other.npy"]).expect_code(0);
    site.drop_file("scan.raw", [1; 24]);
    into("text.npy", &[]).expect_code(1);
    let planned = into("text.npy", &["--replace", "--dry-run"]).expect_code(0);
    planned.expect_words(&["an earlier file of this name", "stays as a backup"]);
    into("text.npy", &["--replace"]).expect_code(0).expect_words(&["kept as `text.npy.~2~`"]);
    assert_eq!(site.read("out/text.npy.~2~"), scan_npy());
    let outcome = into("other.npy", &["--replace"]).expect_code(1);
    outcome.expect_words(&["other.npy", "give another output"]);
    assert_eq!(site.read("out/other.npy"), scan_npy());
    fs::create_dir(site.path("out/dir.npy")).unwrap();
    into("dir.npy", &["--replace"]).expect_code(1);
}

/// A dry run shows what the receipt would say: an ambiguous dtype, missing numbers, the bytes that
/// are left out.
#[test]
fn a_dry_run_has_the_remarks() {
    let site = Site::new();
    for name in ["f_1.raw", "f_01.raw", "f_3.raw"] {
        site.drop_file(name, [0; 8]);
    }
    site.drop_file("f.toml", "dtype = 'u8'\nshape = [3]\ndata = 'f_*.raw'\n");
    let words =
        ["`u8` is 8 bytes (uint64)", "have one number", "between `f_01.raw` and `f_3.raw`: 2"];
    for more in [&["--dry-run"][..], &["--dry-run", "--json"], &["--json"]] {
        let told = finalize(&site, &[&["in/f.toml", "--output-dir", "out"], more].concat());
        told.expect_code(0).expect_words(&words);
    }
    site.drop_file("g.raw", [0; 8]);
    let options = ["in/g.raw", "--dtype", "u8", "--shape", "1", "--dry-run"];
    finalize(&site, &options).expect_code(0).expect_words(&words[..1]);
}

/// The mark of an array does not contain the options that it was made with. If the header is equal,
/// npyd compares the bytes that the options declare.
#[test]
fn other_options_that_give_an_equal_header() {
    let data: Vec<u8> = (1..=48).collect();
    let (front, end) = (["--offset", "8"], ["--trailing", "8"]);
    let (flat, fortran) = (&["--shape", "20"][..], &["--shape", "4,5", "--order", "F"][..]);
    for (shape, of_first, of_second) in
        [(flat, front, end), (flat, end, front), (fortran, front, end), (fortran, end, front)]
    {
        let site = Site::new();
        site.scan("scan").drop_file("scan.raw", &data);
        let run = |options: &[&str], more: &[&str]| {
            let common = ["in/scan.raw", "-o", "out/scan.npy", "--dtype", "<u2"];
            finalize(&site, &[&common, shape, options, more].concat())
        };
        let bytes = |options| if options == front { &data[8..] } else { &data[..40] };
        run(&of_first, &[]).expect_code(0);
        let made = site.identity("out/scan.npy");
        run(&of_first, &["--replace"]).expect_code(0).expect_words(&["found"]);
        for more in [&["--dry-run"][..], &[]] {
            run(&of_second, more).expect_code(1).expect_words(&["--replace"]);
        }
        let planned = run(&of_second, &["--replace", "--dry-run"]).expect_code(0);
        planned.expect_words(&["would finalize", "stays as a backup"]);
        assert_eq!(site.identity("out/scan.npy"), made, "{of_first:?}");
        run(&of_second, &["--replace"]).expect_code(0).expect_words(&["kept as `scan.npy.~1~`"]);
        assert!(site.read("out/scan.npy").ends_with(bytes(of_second)), "{of_second:?}");
        assert!(site.read("out/scan.npy.~1~").ends_with(bytes(of_first)), "{of_first:?}");
        run(&of_second, &[]).expect_code(0).expect_words(&["found"]);
        assert_eq!(site.names("out"), ["scan.npy", "scan.npy.~1~"]);
        assert_eq!(site.read("in/scan.raw"), data);
    }
}

/// The messages name options of this command, not keys of a configuration.
#[test]
fn remedies_are_options() {
    let site = Site::new();
    site.write("scan.raw", scan_bytes()).write("scan.npy", "taken");
    let shape = ["--dtype", "<f4", "--shape", "2,3"];
    site.write("long.raw", [0; 28]).write("x.npy", PendingFile::writing(&[1, 3]).with(&[7; 29]));
    for (file, flags) in [
        ("scan.raw", &shape[..]),
        ("scan.raw", &["--dtype", "<f4", "--shape", "2,3", "-o", "scan.raw"]),
        ("scan.raw", &["--dtype", "<f4", "--shape", "2,3", "--offset", "4", "--reserved", "64"]),
        ("long.raw", &shape[..]),
        ("x.npy", &[]),
    ] {
        let outcome = finalize(&site, &[&[file], flags].concat()).expect_code(1);
        for key in ["on_conflict", "`output`", "allow_trailing", "set salvage", "set another"] {
            assert!(!outcome.stdout.contains(key), "{outcome}");
        }
    }
}

/// A dry run predicts the result of the real run, and changes nothing itself.
#[test]
fn dry_runs() {
    let site = Site::new();
    site.scan("a").scan("b").write("out/b.npy", scan_npy());
    site.drop_file("x.npy.pending", PendingFile::ready(&[-1, 3]).with(&[7; 24]));
    site.drop_file("short.raw", [0; 20]).drop_file("short.raw.toml", SCAN_MANIFEST);
    fs::create_dir(site.path("in/below")).unwrap();
    site.scan("below/c");
    let state = || {
        let files = ["in/a.raw", "in/b.raw", "in/x.npy.pending", "out/b.npy"];
        (site.names("in"), site.names("out"), files.map(|file| site.identity(file)))
    };
    let (before, args) = (state(), ["-r", "in", "--output-dir", "out"]);
    let told = finalize(&site, &[&args[..], &["--dry-run", "--json"]].concat()).expect_code(1);
    let planned = told.json();
    let lines = finalize(&site, &[&args[..], &["--dry-run"]].concat()).expect_code(1);
    lines.expect_words(&["would finalize", "would find", "'<f4', (2, 3), C", "4 planned"]);
    assert_eq!(state(), before);
    let made = finalize(&site, &[&args[..], &["--json"]].concat()).expect_code(1).json();
    assert_eq!(planned.len(), made.len(), "{planned:#?}\n{made:#?}");
    for plan in planned.iter().filter(|plan| plan["event"] == "planned") {
        let receipt = made.iter().find(|receipt| receipt["source"] == plan["source"]).unwrap();
        for (of_plan, of_receipt) in
            [("would", "event"), ("output", "output"), ("route", "route"), ("bytes", "bytes")]
        {
            assert_eq!(plan[of_plan], receipt[of_receipt], "{plan:#}\n{receipt:#}");
        }
    }
    assert_eq!(site.names("out"), ["a.npy", "b.npy", "below", "x.npy"]);
}

/// All that the daemon would take, and nothing else.
#[test]
fn a_directory_and_all_below() {
    let site = Site::new();
    for dir in ["in/below", "in/.hidden", "in/below/.git", "in/npy"] {
        fs::create_dir(site.path(dir)).unwrap();
    }
    for stem in ["a", "below/b", ".hidden/c", "below/.git/d", "npy/e"] {
        site.scan(stem);
    }
    site.drop_file("notes.txt", "x").drop_file("final.npy", scan_npy());
    site.drop_file("p1.raw", [1; 6]).drop_file("p2.raw", [2; 6]);
    let sidecar = "NRRD0004\ntype: uchar\ndimension: 2\nsizes: 6 2\nencoding: raw\n\
                   data file: LIST\np1.raw\np2.raw\n";
    site.drop_file("below/alone.toml", SCAN_MANIFEST).drop_file("parts.nhdr", sidecar);
    finalize(&site, &["in"]).expect_code(1).expect_words(&["add -r"]);
    let outcome = finalize(&site, &["-r", "in", "--output-dir", "in/npy"]).expect_code(1);
    outcome.expect_words(&["5 files: 3 finalized, 1 waiting, 1 that nothing describes"]);
    assert_eq!(site.names("in/npy"), ["a.npy", "below", "e.raw", "e.raw.toml", "parts.npy"]);
    assert_eq!(site.names("in/npy/below"), ["b.npy"]);
    assert!(site.has("in/a.raw") && site.has("in/below/b.raw"));
    // Without --output-dir the arrays are beside their data. Again, they are found.
    fs::remove_file(site.path("in/below/alone.toml")).unwrap();
    for event in ["4 finalized", "4 found"] {
        finalize(&site, &["-r", "in"]).expect_code(0).expect_words(&[event]);
    }
    assert!(site.has("in/below/b.npy") && site.has("in/npy/e.npy"));
    finalize(&site, &["-r", "in", "--dtype", "<f4", "--shape", "6"]).expect_code(2);
    finalize(&site, &["-r", "none"]).expect_code(1).expect_words(&["there is no such file"]);
}

/// One file needs no sum, and programs want none.
#[test]
fn the_sum_at_the_end() {
    let site = Site::new();
    site.scan("a").scan("b").drop_file("b.raw", [0; 20]);
    let sum = "2 files: 1 finalized, 1 waiting; 24 B of data";
    let outcome = finalize(&site, &["in/a.raw", "in/b.raw"]).expect_code(1).expect_words(&[sum]);
    assert!(outcome.stderr.contains(sum) && !outcome.stdout.contains(sum), "{outcome}");
    for args in [&["in/a.raw"][..], &["--json", "in/a.raw", "in/b.raw"]] {
        assert!(!finalize(&site, args).stderr.contains("files:"), "{args:?}");
    }
}

/// A person may write wherever a link leads, and by any name but those of npyd's own files.
#[test]
fn where_a_person_says() {
    let site = Site::new();
    std::os::unix::fs::symlink(site.path("out"), site.path("link")).unwrap();
    site.write("scan.raw", scan_bytes());
    let flags = ["scan.raw", "--dtype", "<f4", "--shape", "2,3", "-o"];
    for output in ["link/scan.npy", "link/scan.dat"] {
        finalize(&site, &[&flags[..], &[output]].concat()).expect_code(0);
    }
    finalize(&site, &[&flags[..], &["link/.npyd-a.npy"]].concat()).expect_code(1);
    assert_eq!(site.names("out"), ["scan.dat", "scan.npy"]);
}

/// What the files say themselves needs no flags, and there may be many.
#[test]
fn by_what_the_files_say() {
    let site = Site::new();
    site.write("scan.raw", scan_bytes()).write("scan.raw.toml", SCAN_MANIFEST);
    site.write("x.npy.pending", PendingFile::ready(&[2, 3]).with(&[7; 24]));
    finalize(&site, &["scan.raw", "x.npy.pending"]).expect_code(0);
    assert_eq!(site.read("scan.npy"), scan_npy());
    assert!(site.read("x.npy").starts_with(b"\x93NUMPY") && !site.has("x.npy.pending"));
}

#[test]
fn what_it_refuses() {
    let shape = ["--dtype", "<f4", "--shape", "2,3"];
    let site = Site::new();
    site.write("long.raw", [0; 28]).write("short.raw", [0; 20]).write("scan.raw", scan_bytes());
    site.write("taken.raw", scan_bytes()).write("taken.npy", "precious");
    site.write("x.npy", PendingFile::writing(&[2, 3]).with(&[7; 24]));
    let refused: &[(&str, &[&str], &str)] = &[
        ("long.raw", &shape, "28"),
        ("short.raw", &shape, "20"),
        ("scan.raw", &["--dtype", "<q9", "--shape", "2,3"], "<q9"),
        ("scan.raw", &["--dtype", "<f4"], "shape"),
        ("scan.raw", &[], "dtype"),
        ("taken.raw", &shape, "taken.npy"),
        ("missing.raw", &shape, "missing.raw"),
        ("x.npy", &[], "writ"),
    ];
    for (file, flags, word) in refused {
        let outcome = finalize(&site, &[&[*file], *flags].concat()).expect_words(&[word]);
        assert_ne!(outcome.code, 0, "{file} {flags:?}");
    }
    assert_eq!(site.read("taken.npy"), b"precious");
    let arrays = site.names(".").into_iter().filter(|name| name.ends_with("npy"));
    assert_eq!(arrays.collect::<Vec<_>>(), ["taken.npy", "x.npy"]);
}

#[test]
fn not_while_it_is_written() {
    let Some(python) = python() else { return };
    let site = Site::new();
    let path = site.path("scan.raw");
    let mut producer =
        Producer::start(&python, "mapped.py", [path.to_str().unwrap(), "2", "3", "0"]);
    let flags = ["scan.raw", "--dtype", "<i4", "--shape", "2,3"];
    let outcome = finalize(&site, &flags).expect_words(&["scan.raw", "writ"]);
    assert_ne!(outcome.code, 0);
    assert!(!site.has("scan.npy"));
    producer.say("close");
    finalize(&site, &flags).expect_code(0);
}

/// Every line is one object, whatever became of the file.
#[test]
fn receipts_of_what_is_no_array() {
    let site = Site::new();
    site.write("short.raw", scan_bytes()).write("short.raw.toml", "dtype = '<f4'\nshape = [7]\n");
    let told = finalize(&site, &["--json", "none.raw", "short.raw"]).expect_code(1).json();
    assert_eq!(told.of_source("none.raw")["event"], "rejected");
    assert_eq!(told.of_source("short.raw")["event"], "waiting");
    let flags = ["--dtype", "<f4", "--shape", "6", "-o", "out/"];
    let outcome = finalize(&site, &[&["short.raw"], &flags[..]].concat()).expect_code(1);
    outcome.expect_words(&["out/ is a directory"]);
}

/// The kind of the reason is that of the file, not of the command.
#[test]
fn the_kind_of_a_file_that_nothing_describes() {
    let site = Site::new();
    let receipt = site
        .drop_file("data.raw", [0; 24])
        .npyd(&["finalize", "--json", "in/data.raw"])
        .expect_code(1)
        .only_receipt();
    assert_eq!(receipt["reason_kind"], "undescribed");
    assert!(
        receipt["reason"].as_str().unwrap().ends_with("; describe it with --dtype and --shape")
    );
}
