//! Large dumps: a copy that is ended in the middle, and constant memory.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;

use rustix::process::Signal;

use crate::support::{Site, left_out, noise, npy_header};

/// 4 GiB of `<u8`.
const SIZE: u64 = 4 << 30;
const MANIFEST: &str = "dtype = '<u8'\nshape = [-1, 1024]\n";
/// The memory a copy may take at its peak.
const PEAK_KIB: u64 = 32 << 10;

/// A size whose copy at [`SLOW_RATE`] takes several seconds.
const SLOW_SIZE: u64 = 64 << 20;
const SLOW_RATE: &str = "max_rate = \"8 MB/s\"";
/// Settings under which the data are copied on every file system.
const COPIED: &str = "source = \"remove\"\nreaders = \"any\"";

/// The header of an array of so many bytes.
fn header(size: u64) -> Vec<u8> {
    npy_header("'<u8'", false, &[size / 8 / 1024, 1024])
}

/// Whether the site's file system has room for `bytes` and some to spare.
fn has_room(site: &Site, bytes: u64) -> bool {
    let stat = rustix::fs::statvfs(site.path("out")).unwrap();
    let room = stat.f_bavail * stat.f_frsize > bytes + (2 << 30);
    if !room {
        left_out(&format!("needs {} GiB of free disk space", (bytes >> 30) + 2));
    }
    room
}

/// The process's descriptors of files without a name below the site's `out`.
fn unnamed_outputs(site: &Site, pid: u32) -> usize {
    let out = site.path("out").into_os_string().into_string().unwrap();
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return 0 };
    let targets = descriptors.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    let is_unnamed = |target: &str| target.starts_with(&out) && target.ends_with("(deleted)");
    targets.filter(|target| target.to_str().is_some_and(is_unnamed)).count()
}

/// A copy is interrupted by SIGTERM, by the signal of a service manager's watchdog, and by SIGKILL:
/// the source is complete, and no array and no part of one exists. After a restart npyd finishes
/// the array.
#[test]
fn ended_in_the_middle_of_a_copy() {
    let site = Site::with(&format!("{COPIED}\n{SLOW_RATE}"));
    // Holes would be skipped at once.
    let data = noise(SLOW_SIZE as usize);
    site.drop_file("scan.raw", &data).drop_file("scan.raw.toml", MANIFEST);
    let before = site.identity("in/scan.raw");

    for signal in [Signal::TERM, Signal::ABORT, Signal::KILL] {
        let mut daemon = site.daemon();
        let pid = daemon.pid();
        daemon.wait_for("a copy", || {
            assert!(!site.has("out/scan.npy"), "the copy ended before it could be interrupted");
            unnamed_outputs(&site, pid) > 0
        });
        let ended = daemon.end(signal);
        let expected = (signal != Signal::TERM).then_some(signal.as_raw());
        assert_eq!((ended.signal(), ended.success()), (expected, expected.is_none()));
        assert_eq!(site.names("out"), [""; 0], "{signal:?}");
        assert_eq!(site.names("in"), ["scan.raw", "scan.raw.toml"], "{signal:?}");
        assert_eq!(site.identity("in/scan.raw"), before, "{signal:?}");
    }

    site.configure(COPIED);
    let mut daemon = site.daemon();
    daemon.wait_for_file("out/scan.npy");
    daemon.wait_for("the source to go", || site.names("in").is_empty());
    assert!(daemon.stop().success());
    let array = site.read("out/scan.npy");
    let header = header(SLOW_SIZE);
    assert!(array.starts_with(&header));
    assert!(array[header.len()..] == data, "other data");
}

/// The memory of a copy has nothing to do with the size of what is copied.
#[test]
fn copied_in_constant_memory() {
    let site = Site::new();
    if !has_room(&site, 2 * SIZE) {
        return;
    }
    // Each MiB begins with its own number, so that no two are alike.
    let mut block = vec![0x5a; 1 << 20];
    let mut source = File::create(site.path("in/scan.raw")).unwrap();
    for number in 0..SIZE >> 20 {
        block[..8].copy_from_slice(&number.to_le_bytes());
        source.write_all(&block).unwrap();
    }
    drop(source);
    site.drop_file("scan.raw.toml", MANIFEST);
    let mut daemon = site.daemon();
    daemon.wait_for_file("out/scan.npy");
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    println!("peak memory of the daemon: {peak} KiB");
    assert!(peak < PEAK_KIB, "{peak} KiB");
    assert!(daemon.stop().success());

    let mut array = File::open(site.path("out/scan.npy")).unwrap();
    let mut header = header(SIZE);
    let expected = header.clone();
    array.read_exact(&mut header).unwrap();
    assert_eq!(header, expected);
    let mut found = vec![0; 1 << 20];
    for number in 0..SIZE >> 20 {
        block[..8].copy_from_slice(&number.to_le_bytes());
        array.read_exact(&mut found).unwrap();
        assert!(found == block, "MiB {number}");
    }
    assert_eq!(array.read(&mut found).unwrap(), 0);
}
