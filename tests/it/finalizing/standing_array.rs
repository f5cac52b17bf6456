//! An array that is deleted, replaced or edited while npyd is about to dispose of its source: the
//! source stays, because it is the only copy.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;

use crate::support::{Site, is_long, scan_bytes, scan_npy, sweep_halted};

/// What a person does to an array.
type Act = fn(&Site);

const ACTS: [(&str, Act); 3] = [
    ("deleted", |site| fs::remove_file(site.path("out/scan.npy")).unwrap()),
    ("replaced", |site| {
        fs::rename(site.path("out/scan.npy"), site.path("out/moved.npy")).unwrap();
        site.write("out/scan.npy", "another file");
    }),
    ("edited", |site| {
        let array = OpenOptions::new().write(true).open(site.path("out/scan.npy")).unwrap();
        array.write_all_at(b"edited", scan_npy().len() as u64 - 6).unwrap();
    }),
];

/// Sweeps a drop whose source goes, and does something to its array after one of the calls on the
/// output, if both are there then. Returns whether there were so many calls, and whether a copy of
/// the data is left; `None` if one of both was not there.
fn survives(call: usize, act: Act, is_found: bool) -> (bool, Option<bool>) {
    let site = Site::new();
    site.scan("scan");
    if is_found {
        site.sweep().expect_code(0);
        fs::remove_dir_all(site.path("state")).unwrap();
    }
    site.configure("source = \"remove\"");
    let mut begun = false;
    let halted = sweep_halted(&site, &["out", "out/scan.npy"], call, |_| {
        begun = site.has("in/scan.raw") && site.has("out/scan.npy");
        if begun {
            act(&site);
        }
    });
    site.sweep();
    let is_there = |name: &str, bytes: Vec<u8>| site.has(name) && site.read(name) == bytes;
    let survives = is_there("in/scan.raw", scan_bytes()) || is_there("out/scan.npy", scan_npy());
    (halted, begun.then_some(survives))
}

fn after_each_call(is_found: bool) {
    let (mut call, mut lost, mut latest, mut begun) = (0, Vec::new(), None, 0);
    loop {
        let acts = if is_long() { &ACTS[..] } else { &ACTS[call % 3..=call % 3] };
        let mut is_end = false;
        for (what, act) in acts {
            let (halted, survives) = survives(call, *act, is_found);
            is_end |= !halted;
            if let Some(survives) = survives {
                begun += 1;
                latest = Some(call);
                if !survives {
                    lost.push((call, *what));
                }
            }
        }
        if is_end {
            break;
        }
        call += 1;
    }
    // After the last call on the array, which is the check itself, nothing more can be noticed.
    lost.retain(|(call, _)| Some(*call) != latest);
    assert!(lost.is_empty(), "its data are gone after these calls: {lost:?}");
    assert!(begun > 3, "only {begun} calls of {call} came while both were there");
}

#[test]
fn an_array_that_was_found() {
    after_each_call(true);
}

#[test]
fn an_array_that_is_new() {
    after_each_call(false);
}

/// The way that a comparison takes long.
#[test]
fn an_array_that_is_deleted_during_a_long_comparison() {
    const LEN: usize = 8 << 20;
    let site = Site::new();
    site.drop_file("x.raw", vec![7; LEN]);
    site.drop_file("x.raw.toml", format!("dtype = '|u1'\nshape = [{LEN}]\n"));
    site.sweep_until("finalized");
    fs::remove_dir_all(site.path("state")).unwrap();
    site.configure("source = \"remove\"\nmax_rate = \"8 MiB/s\"");
    let mut daemon = site.daemon();
    let (fds, array) = (format!("/proc/{}/fd", daemon.pid()), site.path("out/x.npy"));
    daemon.wait_for("the comparison to begin", || {
        let links = fs::read_dir(&fds).unwrap().flatten().map(|fd| fs::read_link(fd.path()));
        !site.has("in/x.raw") || links.flatten().any(|path| path == array)
    });
    fs::remove_file(&array).unwrap();
    daemon.wait_for("the source to go", || !site.has("in/x.raw"));
    assert!(site.read("out/x.npy").ends_with(&vec![7; LEN]), "the array lacks its data");
    assert!(daemon.stop().success());
}
