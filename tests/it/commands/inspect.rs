//! `npyd inspect`: prints what a header says.

use serde_json::json;

use crate::support::{PendingFile, Site, npy, python, run_python, scan_npy};

#[test]
fn headers_in_every_state() {
    let site = Site::new();
    let data: Vec<u8> = (0..24).collect();
    site.write("final.npy", scan_npy());
    site.write("ready.npy", PendingFile::ready(&[2, 3]).with(&data));
    let open = PendingFile { version: 2, data_offset: 192, ..PendingFile::writing(&[-1, 3]) };
    site.write("writing.npy", open.with(&data));
    let expected = [
        json!({"state": "final", "version": 1, "descr": "'<f4'", "shape": [2, 3],
               "data_offset": 128, "file_len": 152}),
        json!({"state": "ready", "version": 1, "descr": "'<i4'", "shape": [2, 3],
               "data_offset": 128, "file_len": 152}),
        json!({"state": "writing", "version": 2, "descr": "'<i4'", "shape": [-1, 3],
               "data_offset": 192, "file_len": 216}),
    ];
    let files = ["final.npy", "ready.npy", "writing.npy"];
    for (file, expected) in files.into_iter().zip(expected) {
        let found = site.npyd(&["inspect", "--json", file]).json().swap_remove(0);
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(found[key], *value, "{key} of {file}: {found}");
        }
        assert_eq!(found["fortran_order"], false);
        assert_eq!(found["itemsize"], 4);
        assert!(file == "writing.npy" || found["data_len"] == 24, "{found}");
    }
    site.npyd(&["inspect", "final.npy"]).expect_code(0).expect_words(&["<f4", "(2, 3)", "final"]);
}

/// The exit code says whether `np.load` accepts the file. The test compares it with `np.load`
/// itself.
#[test]
fn the_exit_code_is_np_loads() {
    let Some(python) = python() else { return };
    let site = Site::new();
    let good = scan_npy();
    let text = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let header = String::from_utf8_lossy(&good[10..128]).replace(from, to);
        [&good[..10], header.as_bytes(), &good[128..]].concat()
    };
    let files = [
        ("good.npy", good.clone()),
        ("fortran.npy", npy("'<f4'", true, &[2, 3], &good[128..])),
        ("trailing.npy", [&good[..], b"more"].concat()),
        ("quotes.npy", text("'<f4'", "\"<f4\"")),
        ("object.npy", text("'<f4'", "'|O' ")),
        ("short.npy", good[..150].to_vec()),
        ("cut.npy", good[..40].to_vec()),
        ("empty.npy", Vec::new()),
        ("version.npy", [&good[..6], &[4, 0], &good[8..]].concat()),
        ("extra.npy", text("}         ", ",'x': 1}  ")),
        ("stale.npy", text("}         ", "}  (2, 3)}")),
        ("negative.npy", text("(2, 3)", "(2,-3)")),
        ("float.npy", text("(2, 3)", "(2.,3)")),
        ("pending.npy", PendingFile::ready(&[2, 3]).with(&[0; 24])),
    ];
    for (name, file) in files {
        site.write(name, file);
        let numpy = run_python(&python, "numpy/load.py", [site.path(name)]);
        let npyd = site.npyd(&["inspect", name]);
        assert!(npyd.code < 2, "{npyd}");
        assert_eq!(npyd.code == 0, numpy.code == 0, "{name}: npyd {npyd}\nnumpy {numpy}");
    }
}

#[test]
fn many_files_at_once() {
    let site = Site::new();
    site.write("a.npy", scan_npy()).write("bad.npy", "no array").write("b.npy", scan_npy());
    let outcome = site.npyd(&["inspect", "--json", "a.npy", "bad.npy", "missing.npy", "b.npy"]);
    let outcome = outcome.expect_code(1).expect_words(&["bad.npy", "missing.npy"]);
    let finals = outcome.json().into_iter().filter(|found| found["state"] == "final");
    assert_eq!(finals.count(), 2);
}
