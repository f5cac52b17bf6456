//! Copies through a mapping of the array: where npyd makes them, what the receipt says, and an
//! array that is truncated while it is filled.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Mounted, Receipts, Site, as_root, noise, npy};

/// A size from which on npyd maps the output.
const LEN: usize = 4 << 20;
const RECORDS: &str = "dtype = '|u1'\nshape = [-1]\n";
/// Settings under which the data are copied on every file system.
const COPIED: &str = "readers = 'any'";

/// Drops data with further keys in the manifest, sweeps, checks the array, and returns what the
/// receipt says of the mapping.
fn mapped(site: &Site, name: &str, data: &[u8], keys: &str) -> Value {
    let (raw, manifest) = (format!("{name}.raw"), format!("{name}.raw.toml"));
    site.drop_file(&raw, data).drop_file(&manifest, format!("{RECORDS}{keys}"));
    let receipt = site.sweep().only_receipt();
    assert_eq!(receipt["route"], "copy", "{receipt}");
    let array = site.read(format!("out/{name}.npy").as_str());
    assert!(array == npy("'|u1'", false, &[data.len() as u64], data), "{name}: other bytes");
    let stored = site.history().into_iter().find(|it| it["source"] == receipt["source"]);
    assert_eq!(stored.map(|it| it["mapped"].clone()), Some(receipt["mapped"].clone()));
    receipt["mapped"].clone()
}

#[test]
fn the_receipt_says_whether_the_array_was_mapped() {
    if !as_root() {
        return;
    }
    let data = noise(LEN + 5);
    for (kind, is_mapped) in [("ext4", true), ("xfs", true), ("btrfs", false), ("ext2", false)] {
        let site = Site::with(COPIED);
        let Some(_mounted) = Mounted::image(&site, "out", kind, 320, &[]) else { return };
        assert_eq!(mapped(&site, "large", &data, ""), json!(is_mapped), "{kind}");
        assert_eq!(mapped(&site, "small", &data[..LEN / 2], ""), json!(false), "{kind}");
        site.configure(&format!("{COPIED}\nmapped = 'never'"));
        assert_eq!(mapped(&site, "never", &data, ""), json!(false), "{kind}");
    }
}

/// A digest is computed from the bytes that are written, and holes are left out: both go through a
/// buffer.
#[test]
fn through_a_buffer() {
    let site = Site::with(COPIED);
    let data = noise(LEN);
    let digest = format!("digest = 'xxh3:{:016x}'", xxhash_rust::xxh3::xxh3_64(&data));
    assert_eq!(mapped(&site, "digest", &data, &digest), json!(false));
    let site = Site::with(COPIED);
    let sparse = File::create(site.path("in/sparse.raw")).unwrap();
    sparse.write_all_at(&data[..8192], LEN as u64).unwrap();
    drop(sparse);
    let shape = LEN + 8192;
    site.drop_file("sparse.raw.toml", format!("dtype = '|u1'\nshape = [{shape}]"));
    let receipts = site.sweep_until("finalized").json();
    let receipt = receipts.of_source("sparse.raw");
    assert_eq!((&receipt["route"], &receipt["mapped"]), (&json!("copy"), &json!(false)));
}

/// Returns a path that leads to the unnamed output of a process.
fn output_of(pid: u32, dir: &Path) -> Option<PathBuf> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten().map(|it| it.path());
    links.into_iter().find(|link| {
        fs::read_link(link)
            .is_ok_and(|to| to.starts_with(dir) && to.to_string_lossy().ends_with("(deleted)"))
    })
}

/// Who runs as the same user can open the output through `/proc`. npyd survives it, says what
/// happened, and makes the array again.
#[test]
fn an_output_that_another_process_truncates() {
    for len in [0, LEN as u64 + 1] {
        let site = Site::with(&format!("{COPIED}\nmax_rate = '4 MB/s'"));
        let data = noise(4 * LEN);
        site.drop_file("scan.raw", &data).drop_file("scan.raw.toml", RECORDS);
        let mut daemon = site.daemon();
        daemon.wait_for_copy(&site.path("out"));
        let output = output_of(daemon.pid(), &site.path("out")).unwrap();
        daemon.wait_for("the blocks of the output", || {
            fs::metadata(&output).is_ok_and(|file| file.len() > 4 * LEN as u64)
        });
        File::options().write(true).open(output).unwrap().set_len(len).unwrap();
        daemon.wait_for_log("changed its size");
        site.configure(COPIED);
        daemon.reload();
        daemon.wait_for_file("out/scan.npy");
        assert!(site.read("out/scan.npy") == npy("'|u1'", false, &[4 * LEN as u64], &data));
        assert!(daemon.stop().success());
    }
}
