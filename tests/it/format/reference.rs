//! Compares the reference implementation, which the other tests use, with NumPy.

use crate::support::{PendingFile, Site, load, npy, python, run_python};

/// `npy` writes the bytes that `np.save` writes.
#[test]
fn npy_files_are_numpys() {
    let Some(python) = python() else { return };
    let site = Site::new();
    let cases: &[(&str, bool, &[u64])] = &[
        ("'<i4'", false, &[2, 3]),
        ("'<i4'", true, &[2, 3]),
        ("'<f8'", false, &[7]),
        ("'|u1'", false, &[]),
        ("[('a', '<i2'), ('b', '<f4', (3,))]", false, &[4]),
    ];
    for (descr, fortran, shape) in cases {
        let items: u64 = shape.iter().product();
        let data = vec![1; usize::try_from(items).unwrap() * 14];
        let data = &data[..data.len() / 14 * item_size(descr)];
        site.write("ours.npy", npy(descr, *fortran, shape, data));
        let (ours, numpys) = (site.path("ours.npy"), site.path("numpys.npy"));
        run_python(&python, "numpy/save_again.py", [&ours, &numpys]).expect_code(0);
        assert_eq!(site.read("ours.npy"), site.read("numpys.npy"), "{descr} {shape:?}");
    }
}

fn item_size(descr: &str) -> usize {
    match descr {
        "'|u1'" => 1,
        "'<i4'" => 4,
        "'<f8'" => 8,
        _ => 14,
    }
}

/// A pending file is a .npy file in all but its first eight bytes.
#[test]
fn pending_files_differ_from_npy_files_in_eight_bytes() {
    let Some(python) = python() else { return };
    let site = Site::new();
    for (version, data_offset) in [(1, 128), (2, 192), (3, 256)] {
        let pending = PendingFile { version, data_offset, ..PendingFile::ready(&[2, 2]) };
        let mut file = pending.with(&[0; 16]);
        file[..8].copy_from_slice(&[0x93, b'N', b'U', b'M', b'P', b'Y', version, 0]);
        site.write("final.npy", file);
        let found = load(&python, site.path("final.npy"));
        assert_eq!(found["shape"], serde_json::json!([2, 2]));
        assert_eq!(found["offset"], data_offset);
    }
}

/// A snapshot is the same wherever and whenever it is taken.
#[test]
fn snapshots_hold_nothing_of_the_run() {
    let site = Site::new();
    let file = site.path("in/scan.raw");
    let text = format!("2026-01-02T03:04:05.6Z {} took 1.25 s, pid=77, 24 bytes", file.display());
    site.settings().bind(|| {
        insta::assert_snapshot!(text, @"[WHEN] [SITE]/in/scan.raw took [TIME], pid=[PID], 24 bytes");
    });
}
