//! Pending files whose writer went away before it marked them as ready.

use std::fs::{self, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown};

use serde_json::{Value, json};

use crate::support::{PendingFile, Receipts, Site, left_out, load, python};

/// Two and a half records of three `<i4`.
fn two_and_a_half_records() -> Vec<u8> {
    (0..7_i32).flat_map(i32::to_le_bytes).chain([1, 2]).collect()
}

/// Asserts that the one receipt of `x.npy` is a rejection that speaks of the writer.
#[track_caller]
fn assert_abandoned(receipts: &Vec<Value>) {
    let receipt = receipts.of_source("x.npy");
    assert_eq!(receipt["event"], "rejected");
    assert!(receipt["reason"].as_str().unwrap().contains("abandoned"), "{receipt}");
}

#[test]
fn an_abandoned_file_stays_where_it_is() {
    let site = Site::new();
    let pending = PendingFile::writing(&[-1, 3]).with(&two_and_a_half_records());
    site.drop_file("x.npy", &pending);
    assert_abandoned(&site.sweep_until("rejected").expect_code(1).json());
    assert_eq!(site.read("in/x.npy"), pending);
    assert_eq!(site.names("out"), [""; 0]);
}

#[test]
fn an_abandoned_file_is_set_aside_where_there_is_a_place() {
    let site = Site::new();
    site.configure(&format!("rejects = \"{}\"", site.path("bad").display()));
    fs::create_dir(site.path("bad")).unwrap();
    let pending = PendingFile::writing(&[2, 3]).with(&[7; 24]);
    site.drop_file("x.npy", &pending);
    assert_abandoned(&site.sweep_until("rejected").expect_code(1).json());
    assert_eq!(site.names("in"), [""; 0]);
    assert_eq!(site.read("bad/x.npy"), pending);
    assert_eq!(site.names("out"), [""; 0]);
}

/// A pending file, its content, and the expected array.
struct Case {
    name: &'static str,
    pending: PendingFile,
    data: Vec<u8>,
    shape: Value,
    /// How many bytes are the array's.
    taken: usize,
}

/// Returns `len` bytes without a zero byte.
fn filled(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 250) as u8 + 1).collect()
}

fn cases() -> Vec<Case> {
    let c = |shape: &[i64]| PendingFile::writing(shape);
    let f = |shape: &[i64]| PendingFile { fortran: true, ..PendingFile::writing(shape) };
    let structured = PendingFile { descr: "[('a', '<i2'), ('b', '|u1', (3,))]", ..c(&[2]) };
    let case = |name, pending, data, shape, taken| Case { name, pending, data, shape, taken };
    let zeros = |len, zeros| [filled(len), vec![0; zeros]].concat();
    let mut last_is_zero = filled(36);
    last_is_zero[35] = 0;
    vec![
        case("exact", c(&[2, 3]), filled(24), json!([2, 3]), 24),
        case("one byte more", c(&[2, 3]), filled(25), json!([2, 3]), 24),
        case("one byte less", c(&[2, 3]), filled(23), json!([1, 3]), 12),
        case("one record more", c(&[2, 3]), filled(36), json!([3, 3]), 36),
        case("ten where two are told", c(&[2, 3]), filled(125), json!([10, 3]), 120),
        case("none told", c(&[0, 3]), filled(29), json!([2, 3]), 24),
        case("too many told", c(&[10, 3]), filled(30), json!([2, 3]), 24),
        case("open", c(&[-1, 3]), filled(30), json!([2, 3]), 24),
        case("open and exact", c(&[-1, 3]), filled(24), json!([2, 3]), 24),
        case("flat", c(&[1]), filled(15), json!([3]), 12),
        case("fortran", f(&[3, 2]), filled(40), json!([3, 3]), 36),
        case("open fortran", f(&[3, -1]), filled(40), json!([3, 3]), 36),
        case("deep fortran", f(&[3, 2, 1]), filled(50), json!([3, 2, 2]), 48),
        case("structured", structured, filled(18), json!([3]), 15),
        case("a last byte that is zero", c(&[1, 3]), last_is_zero, json!([3, 3]), 36),
        // Nobody knows whether these were written, and they are not lost.
        case("zeros behind the count", c(&[1, 3]), zeros(36, 40), json!([3, 3]), 36),
        case("zeros from the count on", c(&[3, 3]), zeros(36, 40), json!([3, 3]), 36),
        case("zeros within the count", c(&[6, 3]), zeros(36, 40), json!([6, 3]), 72),
        case("zeros in an open shape", c(&[-1, 3]), zeros(36, 40), json!([6, 3]), 72),
    ]
}

/// All complete records along the growth axis become the array, whatever the header counts. What is
/// behind them is a file of its own, and the array's file is as long as its header says.
#[test]
fn whole_records_are_salvaged() {
    let Some(python) = python() else { return };
    let site = Site::with("salvage = \"whole-records\"");
    for Case { name, pending, data, .. } in cases() {
        site.drop_file(&format!("{name}.npy.part"), pending.with(&data));
    }
    let receipts = site.settle("finalized", cases().len());
    for Case { name, data, shape, taken, .. } in cases() {
        let receipt = receipts.of_source(&format!("{name}.npy.part"));
        let told = receipt["reason"].as_str().unwrap_or_default();
        assert_eq!(
            (&receipt["route"], &receipt["evidence"]),
            (&json!("in-place"), &json!("salvaged"))
        );
        let array = site.path(format!("out/{name}.npy"));
        assert_eq!(fs::metadata(&array).unwrap().len(), (128 + taken) as u64, "{name}");
        assert_eq!(fs::read(&array).unwrap()[128..], data[..taken], "{name}");
        let found = load(&python, &array);
        assert_eq!((&found["shape"], &found["offset"]), (&shape, &json!(128)), "{name}");
        let records = shape.as_array().unwrap();
        let records = if name.contains("fortran") { records.last() } else { records.first() };
        let records = records.unwrap();
        let is_told = told.contains(&format!("; {records} complete record"))
            || told.contains(&format!("; {records} of ")) && told.contains(" declared records (");
        assert!(is_told, "{told}");
        let rest = format!("out/{name}.npy.part.rest");
        if taken == data.len() {
            assert!(!site.has(&rest), "{name}");
            continue;
        }
        assert_eq!(site.read(&rest), data[taken..], "{name}");
        let words =
            [format!("{} bytes", data.len() - taken), site.path(&rest).display().to_string()];
        assert!(words.iter().all(|word| told.contains(word)), "{told}");
    }
    assert_eq!(site.names("in"), [""; 0]);
}

/// Rests go where rejected drops go, below the directory that mirrors their own.
#[test]
fn a_rest_goes_to_the_rejects() {
    let site = Site::new();
    let bad = site.path("bad");
    fs::create_dir(&bad).unwrap();
    fs::create_dir(site.path("in/a")).unwrap();
    let settings = "salvage = \"whole-records\"\nrecursive = true";
    site.configure(&format!("{settings}\nrejects = \"{}\"", bad.display()));
    site.drop_file("a/x.npy", PendingFile::writing(&[-1, 3]).with(&filled(25)));
    let receipts = site.sweep_until("finalized").json();
    assert_eq!(site.read("bad/a/x.npy.rest"), filled(25)[24..]);
    assert_eq!(
        (site.names("bad/a"), site.names("out/a")),
        (vec!["x.npy.rest".into()], vec!["x.npy".into()])
    );
    let reason = receipts[0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains(bad.join("a/x.npy.rest").to_str().unwrap()), "{reason}");
}

/// A rest replaces nothing, and one that is there already is not written again.
#[test]
fn a_rest_takes_a_free_name() {
    let drop = |rest: &[u8]| PendingFile::writing(&[1, 3]).with(&[&filled(12), rest].concat());
    let site = Site::with("salvage = \"whole-records\"");
    site.write("out/x.npy.part.rest", "another's");
    for (number, rest) in [&b"\x01"[..], b"\x02", b"\x01"].into_iter().enumerate() {
        site.drop_file("x.npy.part", drop(rest)).settle("finalized", number + 1);
        fs::remove_file(site.path("out/x.npy")).unwrap();
    }
    let names = ["x.npy.part.rest", "x.npy.part.rest.~1~", "x.npy.part.rest.~2~"];
    assert_eq!(site.names("out"), names);
    assert_eq!(
        names.map(|name| site.read(&format!("out/{name}"))),
        [&b"another's"[..], b"\x01", b"\x02"]
    );
}

/// Nobody may read a rest who could not read the file.
#[test]
fn a_rest_has_no_more_rights_than_its_source() {
    let site = Site::with("salvage = \"whole-records\"");
    site.drop_file("x.npy", PendingFile::writing(&[1, 3]).with(&filled(13)));
    fs::set_permissions(site.path("in/x.npy"), Permissions::from_mode(0o600)).unwrap();
    site.sweep_until("finalized");
    assert_eq!(site.path("out/x.npy.rest").metadata().unwrap().mode() & 0o7777, 0o600);
}

/// Records after a hole do not belong to the array. They keep their offsets in the rest, where
/// holes stay holes. npyd does not save a range that was never written.
#[test]
fn holes_end_what_is_salvaged() {
    const BLOCK: u64 = 1 << 16;
    const END: u64 = 1 << 40;
    let head = PendingFile { data_offset: 4096, ..PendingFile::writing(&[-1, 1024]) }.with(&[]);
    for (at, rest_len) in [(2 * BLOCK, 2 * BLOCK), (END - BLOCK, END - BLOCK)] {
        let site = Site::with("salvage = \"whole-records\"");
        site.drop_file("x.npy", &head);
        let file = fs::File::options().write(true).open(site.path("in/x.npy")).unwrap();
        if file.set_len(END).is_err() {
            return left_out("the file system has no files of a tebibyte");
        }
        file.write_all_at(&filled(BLOCK as usize - 4096), 4096).unwrap();
        file.write_all_at(&filled(BLOCK as usize), at).unwrap();
        drop(file);
        site.sweep_until("finalized");
        let array = site.read("out/x.npy");
        assert_eq!(array[4096..], filled(BLOCK as usize - 4096));
        let rest = fs::File::open(site.path("out/x.npy.rest")).unwrap();
        let stat = rest.metadata().unwrap();
        assert_eq!(stat.len(), rest_len, "from the first hole to the last byte");
        assert!(stat.blocks() * 512 < 4 * BLOCK, "{} blocks", stat.blocks());
        let mut last = vec![0; BLOCK as usize];
        rest.read_exact_at(&mut last, at - BLOCK).unwrap();
        assert_eq!(last, filled(BLOCK as usize));
    }
    let site = Site::with("salvage = \"whole-records\"");
    site.drop_file("x.npy", [&head[..], &filled(BLOCK as usize - 4096)].concat());
    let file = fs::File::options().write(true).open(site.path("in/x.npy")).unwrap();
    file.set_len(4 * BLOCK).unwrap();
    drop(file);
    site.sweep_until("finalized");
    assert_eq!(site.names("out"), ["x.npy"], "nothing was written behind them");
    assert_eq!(site.read("out/x.npy").len() as u64, BLOCK);
}

/// The zeros between the last record and a hole are the rest of a block: nobody knows whether they
/// were written. They do not become records, and are not lost.
#[test]
fn zeros_before_a_hole() {
    let site = Site::with("salvage = \"whole-records\"");
    let data = [&filled(10 * 12 - 5)[..], &[0; 5]].concat(); // the last record ends in zeros
    site.drop_file("x.npy", PendingFile::writing(&[-1, 3]).with(&data));
    let file = fs::File::options().write(true).open(site.path("in/x.npy")).unwrap();
    file.set_len(1 << 20).unwrap();
    drop(file);
    site.sweep_until("finalized");
    assert_eq!(site.read("out/x.npy")[128..], data);
    assert!(site.read("out/x.npy.rest").iter().all(|byte| *byte == 0));
}

/// Where the file can't become the array, it stays as it was. If it goes, its rest is saved first.
#[test]
fn a_salvaged_file_may_be_copied() {
    let mut crossing = PendingFile { data_offset: 1024, ..PendingFile::writing(&[2, 3]) }.with(&[]);
    crossing[11..1023].rotate_right(480);
    let file = [&crossing[..], &filled(29)].concat();
    for (source, names) in [("keep", &["x.npy"][..]), ("remove", &["x.npy", "x.npy.part.rest"])] {
        let site = Site::with(&format!("salvage = \"whole-records\"\nsource = \"{source}\""));
        site.drop_file("x.npy.part", &file);
        let receipts = site.sweep_until("finalized").json();
        assert_eq!(receipts[0]["route"], "copy");
        assert_eq!(site.names("out"), names);
        assert_eq!(site.read("out/x.npy")[128..], filled(24));
        let told = receipts[0]["reason"].as_str().unwrap();
        if source == "keep" {
            assert_eq!(site.read("in/x.npy.part"), file);
            assert!(told.contains("stay in the source"), "{told}");
        } else {
            assert_eq!(site.names("in"), [""; 0]);
            assert_eq!(site.read("out/x.npy.part.rest"), filled(29)[24..]);
        }
    }
}

/// How far an interrupted salvage got.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Interrupted {
    BeforeTheCut,
    /// A crash may keep the zeros that a cut writes, and not the cut.
    InTheCut,
    BehindTheCut,
    BeforeTheName,
}

/// Salvages a file of so many bytes of data, a rest of six among them, and puts it back as an
/// interruption leaves it. The ledger is lost.
fn interrupt(site: &Site, owner: u32, at: Interrupted) {
    site.drop_file("x.npy.part", PendingFile::writing(&[-1, 3]).with(&filled(30)));
    chown(site.path("in/x.npy.part"), Some(owner), Some(owner)).unwrap();
    site.sweep_until("finalized");
    fs::rename(site.path("out/x.npy"), site.path("in/x.npy.part")).unwrap();
    let file = fs::File::options().write(true).open(site.path("in/x.npy.part")).unwrap();
    if at != Interrupted::BeforeTheName {
        file.write_all_at(b"\x93NPEND\x01w", 0).unwrap();
    }
    match at {
        Interrupted::BeforeTheCut => file.write_all_at(&filled(30)[24..], 128 + 24).unwrap(),
        Interrupted::InTheCut => file.set_len(128 + 30).unwrap(),
        Interrupted::BehindTheCut | Interrupted::BeforeTheName => {}
    }
    site.lose_ledger();
}

/// The next run finishes what was interrupted, and saves the rest once, whoever owns the file.
#[test]
fn an_interrupted_salvage_is_finished() {
    use Interrupted::{BeforeTheCut, BeforeTheName, BehindTheCut, InTheCut};
    let own = rustix::process::geteuid();
    let owners = if own.is_root() { vec![0, 4711] } else { vec![own.as_raw()] };
    for at in [BeforeTheCut, InTheCut, BehindTheCut, BeforeTheName] {
        for owner in owners.iter().copied() {
            let site = Site::with("salvage = \"whole-records\"");
            interrupt(&site, owner, at);
            let receipts = site.sweep_until("finalized").json();
            assert_eq!(site.names("in"), [""; 0]);
            assert_eq!(site.names("out"), ["x.npy", "x.npy.part.rest"]);
            assert_eq!(site.read("out/x.npy")[128..], filled(24));
            assert_eq!(site.read("out/x.npy.part.rest"), filled(30)[24..]);
            let told = receipts[0]["reason"].as_str().unwrap_or_default();
            let is_told = told.contains(site.path("out/x.npy.part.rest").to_str().unwrap());
            assert_eq!(is_told, at != BeforeTheName, "{told}");
        }
    }
}

/// The producer continues to write after the cut. Its new bytes belong after the rest, so without
/// the rest they are not records of the array.
#[test]
fn a_salvaged_file_that_is_written_to_after_the_cut_is_refused() {
    let site = Site::with("salvage = \"whole-records\"");
    site.drop_file("x.npy.part", PendingFile::writing(&[-1, 3]).with(&filled(30)));
    site.sweep_until("finalized");
    fs::rename(site.path("out/x.npy"), site.path("in/x.npy.part")).unwrap();
    let path = site.path("in/x.npy.part");
    let write = |bytes: &[u8], at: usize| {
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.write_all_at(bytes, at as u64).unwrap();
    };
    write(b"\x93NPEND\x01w", 0);
    write(&filled(31), 128 + 24);
    write(&[9; 6], 128 + 24);
    let receipts = site.sweep_until("rejected").json();
    let rest = site.path("out/x.npy.part.rest");
    let told = receipts[0]["reason"].as_str().unwrap();
    assert!(told.contains(rest.to_str().unwrap()) && told.contains("byte 152"), "{told}");
    assert_eq!(
        (site.names("in"), site.names("out")),
        (vec!["x.npy.part".into()], vec!["x.npy.part.rest".into()])
    );

    let rest_bytes = fs::read(&rest).unwrap();
    write(&rest_bytes, 128 + 24);
    write(&filled(31), 128 + 24 + 6);
    site.sweep_until("finalized");
    let array = site.read("out/x.npy");
    assert_eq!(array[128..], [&filled(30)[..], &filled(30)].concat());
    assert_eq!(site.read("out/x.npy.part.rest.~1~"), filled(31)[30..]);
}

/// Its writer may come back: a file that says `r` later is finalized after all.
#[test]
fn an_abandoned_file_that_gets_ready_is_finalized() {
    let site = Site::new();
    site.drop_file("x.npy", PendingFile::writing(&[2, 3]).with(&[7; 24]));
    site.sweep_until("rejected");
    site.drop_file("x.npy", PendingFile::ready(&[2, 3]).with(&[7; 24]));
    site.sweep().expect_code(0);
    assert_eq!(site.names("out"), ["x.npy"]);
}
