//! System calls that fail, and a process that is killed between two of them. strace injects the
//! faults.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use crate::support::{
    Outcome, PendingFile, Receipts, SCAN_MANIFEST, Site, crc32c, scan_bytes, scan_npy,
    sweep_with_fault,
};

/// Sweeps with a fault. Fails where there was no call to inject it into; `None` without strace.
fn sweep_with(site: &Site, file: Option<&str>, injection: &str) -> Option<Outcome> {
    let outcome = sweep_with_fault(site, file, injection)?;
    let trace = String::from_utf8(site.read("strace.log")).unwrap();
    assert!(trace.contains("(INJECTED)") || trace.contains("+++ killed"), "{trace}\n{outcome}");
    Some(outcome)
}

/// One mount does not always mean that files can be renamed: between two quota projects they can't.
#[test]
fn a_rename_that_the_kernel_refuses() {
    let site = Site::new();
    site.drop_file("pending.npy.pending", PendingFile::ready(&[2]).with(&[1; 8]));
    let Some(outcome) = sweep_with(&site, None, "renameat2:error=EXDEV:when=2") else { return };
    assert_eq!(outcome.code, 0, "{outcome}");
    let array = site.read("out/pending.npy");
    assert!(array.starts_with(b"\x93NUMPY\x01\0") && array.ends_with(&[1; 8]));
    assert_eq!((site.names("in"), site.names("out")), (vec![], vec!["pending.npy".to_owned()]));
}

const WITH_ROOM: &str = "dtype = '|u1'\nshape = [8]\nreserved = 128\n";

/// Has a call on a drop's file fail, each time for a pending file and one with room for its header.
/// Whatever is tried then, short of dropping it anew, it stays as it was and is refused.
fn is_lost_where(injection: &str) {
    let pending = PendingFile::ready(&[2]).with(&[1; 8]);
    for (name, content) in
        [("x.npy.pending", pending), ("x.raw", [[0; 128].as_slice(), &[1; 8]].concat())]
    {
        let site = Site::new();
        site.drop_file(name, &content);
        if name == "x.raw" {
            site.drop_file("x.toml", WITH_ROOM);
        }
        let file = format!("in/{name}");
        let Some(outcome) = sweep_with(&site, Some(&file), injection) else { return };
        assert_eq!(outcome.code, 1, "{outcome}");
        assert_eq!(outcome.json().of_event("rejected").len(), 1, "{outcome}");
        outcome.expect_words(&["may be lost", "drop the file again"]);
        stays_lost(&site, name, &content);

        let copy = site.read(&file);
        std::fs::remove_file(site.path(&file)).unwrap();
        site.drop_file(name, copy).sweep_until("finalized");
        assert!(site.read("out/x.npy").ends_with(&[1; 8]));
    }
}

fn stays_lost(site: &Site, name: &str, content: &[u8]) {
    let file = site.path("in").join(name);
    let look = |what: &str, event: &str| {
        let outcome = site.sweep();
        assert!(outcome.json().iter().all(|it| it["event"] == event), "{what}: {outcome}");
        assert!(std::fs::read(&file).unwrap() == content, "{what}");
        assert_eq!(site.names("out"), [""; 0], "{what}");
    };
    look("nothing", "");
    site.configure("allow_trailing = true");
    look("other settings", "rejected");
    std::fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
    look("other rights", "rejected");
    if site.has("in/x.toml") {
        site.drop_file("x.toml", [&site.read("in/x.toml")[..], b"# the same\n"].concat());
        look("another manifest", "rejected");
    }
    let words = ["not retried", "drop the file again"];
    site.npyd(&["retry", name]).expect_code(1).expect_words(&words);
    site.npyd(&["retry", "--all"]).expect_code(0).expect_words(&words);
    look("a retry", "");
    let elsewhere = site.path("in/y").with_extension(name.split_once('.').unwrap().1);
    std::fs::rename(&file, &elsewhere).unwrap();
    if site.has("in/x.toml") {
        std::fs::copy(site.path("in/x.toml"), site.path("in/y.toml")).unwrap();
    }
    let outcome = site.sweep();
    assert_eq!(outcome.json().of_event("rejected").len(), 1, "another name: {outcome}");
    assert_eq!(site.names("out"), [""; 0], "another name");
    std::fs::rename(&elsewhere, &file).unwrap();
    let _ = std::fs::remove_file(site.path("in/y.toml")); // where there is one
}

/// After a failed sync the next one may succeed although the data are lost: they get no header, not
/// even later.
#[test]
fn data_that_could_not_be_synced() {
    for call in ["sync_file_range", "fdatasync"] {
        is_lost_where(&format!("{call}:error=EIO:when=1"));
    }
}

/// An equal array that somebody else wrote counts as the source's array only once it is synced.
/// npyd removes the source only if the manifest that stays is synced as well.
#[test]
fn an_equal_array_or_a_manifest_that_could_not_be_synced() {
    for file in ["out/scan.npy", "in/scan.raw.toml"] {
        let site = Site::with("source = \"remove\"");
        site.write("out/scan.npy", scan_npy()).scan("scan");
        let Some(outcome) = sweep_with(&site, Some(file), "fsync:error=EIO:when=1") else { return };
        assert_eq!(outcome.code, 1, "{outcome}");
        outcome.expect_words(&[file, "may be lost"]);
        site.sweep();
        assert_eq!(site.read("in/scan.raw"), scan_bytes());
        assert_eq!(site.read("in/scan.raw.toml"), SCAN_MANIFEST.as_bytes());
    }
}

/// A signal during a sync is not a failure of the sync.
#[test]
fn a_sync_that_is_interrupted() {
    for (call, file) in [("fdatasync", "in/x.npy.pending"), ("fsync", "out")] {
        let site = Site::new();
        site.drop_file("x.npy.pending", PendingFile::ready(&[2]).with(&[1; 8]));
        let injection = format!("{call}:error=EINTR:when=1..3");
        let Some(outcome) = sweep_with(&site, Some(file), &injection) else { return };
        assert_eq!(outcome.code, 0, "{outcome}");
        assert!(site.read("out/x.npy").ends_with(&[1; 8]));
    }
}

/// Some file systems have no way to make a name durable, and say that the call is invalid.
#[test]
fn directories_that_can_not_be_synced() {
    let site = Site::with("source = \"remove\"");
    site.scan("scan");
    let Some(outcome) = sweep_with(&site, Some("out"), "fsync:error=EINVAL") else { return };
    assert_eq!(outcome.code, 0, "{outcome}");
    assert_eq!(site.read("out/scan.npy"), scan_npy());
    assert_eq!(site.names("in"), [""; 0]);
}

/// One that fails otherwise keeps the source, and is told once in a pass that is the only one.
#[test]
fn a_directory_whose_sync_fails() {
    let site = Site::with("source = \"remove\"");
    site.scan("scan");
    let Some(outcome) = sweep_with(&site, Some("out"), "fsync:error=EIO") else { return };
    assert_eq!(outcome.code, 1, "{outcome}");
    let receipts = outcome.json();
    assert_eq!(receipts.len(), 1, "{outcome}");
    let reason = receipts.of_event("failed")[0]["reason"].as_str().unwrap();
    let out = site.path("out");
    assert!(reason.contains(&format!("sync the directory `{}`", out.display())), "{reason}");
    assert!(!reason.contains("trying again"), "{reason}");
    assert!(site.has("in/scan.raw") && site.has("in/scan.raw.toml"));
    site.sweep_until("found");
    assert_eq!(site.read("out/scan.npy"), scan_npy());
    assert_eq!(site.names("in"), [""; 0]);
}

/// The ledger may be on the very same disk.
#[test]
fn nothing_that_could_be_synced() {
    let site = Site::new();
    site.sweep().expect_code(0); // begins the ledger
    let pending = PendingFile::ready(&[2]).with(&[1; 8]);
    site.drop_file("x.npy.pending", &pending);
    let Some(outcome) = sweep_with(&site, None, "fsync,fdatasync:error=EIO") else { return };
    assert_eq!(outcome.json().of_event("rejected").len(), 1, "{outcome}");
    outcome.expect_words(&["failed to use the ledger"]);
    let outcome = site.sweep();
    assert_eq!(site.names("out"), [""; 0], "{outcome}");
    assert_eq!(site.read("in/x.npy.pending"), pending);
}

/// Nor is a header believed that was written where one was lost. It is taken out again, so that
/// nobody takes the file for an array.
#[test]
fn a_header_that_could_not_be_synced() {
    is_lost_where("fdatasync:error=EIO:when=2");
}

/// A mark that could not be synced is a data loss as well.
#[test]
fn a_mark_that_could_not_be_synced() {
    let site = Site::new();
    let raw = [[0; 128].as_slice(), &[1; 8]].concat();
    let manifest = format!("{WITH_ROOM}digest = 'crc32c:{:08x}'\n", crc32c(&raw));
    site.drop_file("x.raw", &raw).drop_file("x.toml", manifest);
    let Some(outcome) = sweep_with(&site, Some("in/x.raw"), "fsync:error=EIO") else { return };
    assert_eq!(outcome.json().of_event("rejected").len(), 1, "{outcome}");
    stays_lost(&site, "x.raw", &raw);
}

/// The digest is that of the file as it was before npyd wrote the header into it.
#[test]
fn killed_between_the_header_and_the_name() {
    const MANIFEST: &str = "dtype = '<f4'\nshape = [2, 3]\nreserved = 128\n";
    let raw = [vec![0; 128], scan_bytes()].concat();
    for digest in ["", "digest = 'crc32c:DIGEST'\n"] {
        let site = Site::new();
        let manifest =
            MANIFEST.to_owned() + &digest.replace("DIGEST", &format!("{:08x}", crc32c(&raw)));
        site.drop_file("scan.raw", &raw).drop_file("scan.raw.toml", manifest);
        // The first call gives the file its private name, the second one that of the array.
        let Some(outcome) = sweep_with(&site, None, "renameat2:signal=SIGKILL:when=2") else {
            return;
        };
        assert_eq!(outcome.code, 128 + 9, "{outcome}");
        assert_eq!(site.names("out"), [""; 0]);
        assert_eq!(site.read("in/.npyd-taken-scan.raw"), scan_npy());
        site.sweep_until("finalized");
        assert_eq!(site.read("out/scan.npy"), scan_npy());
        assert_eq!(site.names("in"), [""; 0]);
    }
}

/// As on NFS, where a lock takes the right to write: then it is another open file that has it.
#[test]
fn a_lock_that_takes_the_right_to_write() {
    let site = Site::new();
    std::fs::create_dir(site.path("old")).unwrap();
    let old = site.path("old");
    site.configure(&format!("source = \"archive\"\narchive = \"{}\"", old.display())).scan("scan");
    let Some(outcome) = sweep_with(&site, Some("in/scan.raw"), "flock:error=EBADF:when=1") else {
        return;
    };
    assert_eq!(outcome.code, 0, "{outcome}");
    assert_eq!(site.names("in"), [""; 0]);
    assert_eq!(site.names("old"), ["scan.raw", "scan.raw.toml"]);
    assert_eq!(site.read("old/scan.raw.toml"), SCAN_MANIFEST.as_bytes());
}
