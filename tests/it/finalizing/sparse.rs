//! Sparse dumps: a hole is neither read nor written, and is a hole in the array. Other file
//! systems are in `filesystems::holes` and `disk_full::sparse`.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};

use crate::support::{Receipts, Site, left_out};

const LEN: u64 = 5 << 30;

/// The places of the data.
const PLACES: [u64; 2] = [1 << 30, LEN - 4096];

/// Drops a file with 8 KiB of data, if the file system here reports holes.
fn dropped(settings: &str) -> Option<Site> {
    let site = Site::with(settings);
    let file = File::create(site.path("in/large.raw")).unwrap();
    let magic = rustix::fs::fstatfs(&file).unwrap().f_type;
    if ![0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994].contains(&magic) {
        left_out("needs ext4, xfs, btrfs or tmpfs in the directory for temporary files");
        return None;
    }
    file.set_len(LEN).unwrap();
    for place in PLACES {
        file.write_all_at(&[7; 4096], place).unwrap();
    }
    site.drop_file("large.toml", format!("dtype = '|u1'\nshape = [{LEN}]\n"));
    Some(site)
}

fn assert_is_sparse(site: &Site, name: &str, head: u64) {
    let file = File::open(site.path(name)).unwrap();
    let meta = file.metadata().unwrap();
    assert_eq!(meta.len(), head + LEN, "{name}");
    assert!(meta.blocks() * 512 < 1 << 20, "{name}: {} blocks", meta.blocks());
    for place in PLACES {
        let mut bytes = [1; 8192];
        let read = file.read_at(&mut bytes, head + place - 4096).unwrap();
        assert!(read == 8192 && bytes[..4096] == [0; 4096] && bytes[4096..] == [7; 4096], "{name}");
    }
}

/// Holes don't count for the highest rate: at that, 5 GiB would take 43 minutes.
#[test]
fn five_gibibytes_of_holes_are_copied_at_once() {
    let Some(site) = dropped("readers = 'any'\nmax_rate = '2 MB/s'") else { return };
    let receipts = site.sweep_until("finalized").json();
    assert_eq!(receipts.of_source("large.raw")["route"], "copy");
    assert_is_sparse(&site, "out/large.npy", 128);
}

/// A digest counts them.
#[test]
fn the_digest_of_holes_is_that_of_zeros() {
    const LEN: u64 = 40 << 20;
    for (name, digest) in [
        ("right", format!("crc32c:{:08x}", crate::support::crc32c(&content(LEN)))),
        ("wrong", "crc32c:12345678".to_owned()),
    ] {
        let site = Site::with("readers = 'any'");
        let file = File::create(site.path("in/scan.raw")).unwrap();
        file.set_len(LEN).unwrap();
        file.write_all_at(&[7; 9], 5 << 20).unwrap();
        drop(file);
        let manifest = format!("dtype = '|u1'\nshape = [{LEN}]\ndigest = '{digest}'\n");
        site.drop_file("scan.toml", manifest);
        let event = if name == "right" { "finalized" } else { "rejected" };
        site.sweep_until(event);
        assert_eq!(site.has("out/scan.npy"), name == "right");
    }
}

fn content(len: u64) -> Vec<u8> {
    let mut bytes = vec![0; len as usize];
    bytes[5 << 20..][..9].fill(7);
    bytes
}

/// An archive on another file system keeps them, too.
#[test]
fn holes_of_a_source_that_is_archived_elsewhere() {
    let Ok(other) = tempfile::tempdir_in("/dev/shm") else {
        return left_out("needs /dev/shm as a second file system");
    };
    let archive = other.path().join("archive");
    fs::create_dir(&archive).unwrap();
    let settings = format!("source = 'archive'\narchive = '{}'", archive.display());
    let Some(site) = dropped(&settings) else { return };
    if fs::metadata(&archive).unwrap().dev() == fs::metadata(site.path("in")).unwrap().dev() {
        return left_out("needs /dev/shm as a second file system");
    }
    site.sweep_until("finalized");
    assert!(!site.has("in/large.raw"));
    assert_is_sparse(&site, archive.join("large.raw").to_str().unwrap(), 0);
}
