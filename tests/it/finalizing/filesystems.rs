//! The same drops on every file system that this machine has. Where a file system lacks a feature,
//! another route gives the same result.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::thread;
use std::time::{Duration, SystemTime};

use npyd::fs::DataFile;
use rustix::fs::FallocateFlags;

use crate::support::{
    Mounted, PendingFile, Receipts, SCAN_MANIFEST, Site, as_root, noise, scan_bytes, scan_npy,
};

/// Those whose files can share blocks.
const SHARING: &[&str] = &["xfs", "btrfs"];

/// A new file system of a kind, mounted in the site.
fn mount(site: &Site, kind: &str) -> Option<Mounted> {
    match kind {
        "tmpfs" | "fuse" => std::fs::create_dir(site.path("fs")).unwrap(),
        // Inodes of so many bytes have no room for fractions of a second.
        "ext2-128" => return Mounted::image(site, "fs", "ext2", 400, &["-I", "128"]),
        _ => return Mounted::image(site, "fs", kind, 400, &[]),
    }
    if kind == "tmpfs" {
        return Mounted::memory(site, "fs");
    }
    // Passes everything on to another directory, from outside the kernel.
    std::fs::create_dir(site.path("below")).unwrap();
    Mounted::with(site, "fs", "bindfs", &[site.path("below").to_str().unwrap()])
}

/// A site whose directories all lie on a file system of that kind.
fn with_all_on(kind: &str, settings: &str) -> Option<(Site, Mounted)> {
    let site = Site::new();
    let mounted = mount(&site, kind)?;
    Some((with_all_in(site, &mounted, settings), mounted))
}

fn with_all_in(site: Site, mounted: &Mounted, settings: &str) -> Site {
    for name in ["in", "out", "archive"] {
        std::fs::create_dir(mounted.at().join(name)).unwrap();
    }
    for name in ["in", "out"] {
        std::fs::remove_dir(site.path(name)).unwrap();
    }
    let root = mounted.at().display();
    site.write(
        "npyd.toml",
        format!(
            "state_dir = \"state\"\n[[drop]]\npath = \"{root}/in\"\noutput = \"{root}/out\"\n\
             quiet = \"200ms\"\n{settings}\n"
        ),
    );
    site
}

/// A copy, a header in place, a pending file and a replaced array; larger than one window.
fn drops_become_arrays(kind: &str) {
    // Other hosts may write to it: nothing proves there that nobody does.
    let is_remote = kind == "fuse";
    let archive = format!(
        "source = \"archive\"\non_conflict = \"replace\"\narchive = \"fs/archive\"\n\
         remove_unproven = {is_remote}"
    );
    let Some((site, mounted)) = with_all_on(kind, &archive) else { return };
    site.write("fs/in/scan.raw", scan_bytes()).write("fs/in/scan.raw.toml", SCAN_MANIFEST);
    site.write("fs/in/room.raw", [&[0; 128][..], &scan_bytes()].concat());
    site.write("fs/in/room.toml", format!("{SCAN_MANIFEST}reserved = 128\n"));
    site.write("fs/in/x.npy.pending", PendingFile::ready(&[-1, 3]).with(&[7; 24]));
    let large: Vec<u8> = (0..9_000_001_u32).map(|n| (n % 251) as u8).collect();
    site.write("fs/in/large.raw", &large).write("fs/in/large.toml", "dtype='|u1'\nshape=[-1]\n");
    site.write("fs/out/scan.npy", "something else");

    let mut daemon = site.daemon();
    for name in ["large", "room", "x"] {
        daemon.wait_for_file(&format!("fs/out/{name}.npy"));
    }
    daemon.wait_for_file("fs/archive/scan.raw.toml").wait_for_file("fs/archive/large.toml");
    assert!(daemon.stop().success());
    assert!(site.read("fs/out/scan.npy").ends_with(&scan_bytes()));
    site.npyd(&["inspect", "fs/out/scan.npy", "fs/out/large.npy"]).expect_code(0);
    let route = if SHARING.contains(&kind) { "reflink" } else { "copy" };
    let history = site.history();
    let in_place = if is_remote { "copy" } else { "in-place" };
    for (source, route) in [("scan.raw", route), ("large.raw", route), ("room.raw", in_place)] {
        assert_eq!(history.of_source(source)["route"], route, "{kind}: {source}");
    }
    assert!(site.read("fs/out/room.npy").ends_with(&scan_bytes()));
    assert!(site.read("fs/out/x.npy").starts_with(b"\x93NUMPY"));
    assert!(site.read("fs/out/large.npy").ends_with(&large), "{kind}");
    assert_eq!(site.read("fs/archive/scan.raw"), scan_bytes());
    let backup = "scan.npy.~1~";
    let mut out = vec!["large.npy", "room.npy", "room.toml.done", "scan.npy", backup, "x.npy"];
    out.retain(|name| !is_remote || *name != "room.toml.done");
    assert_eq!(site.names("fs/out"), out);
    assert_eq!(site.read(&format!("fs/out/{backup}")), b"something else");
    assert_eq!(site.names("fs/in"), [""; 0]);
    site.npyd(&["check"]).expect_code(0);
    drop(mounted);
}

/// What was published before a crash is known again where files carry no mark, too.
fn a_lost_ledger_does_no_harm(kind: &str) {
    let Some((site, mounted)) = with_all_on(kind, "on_conflict = \"number\"") else { return };
    site.write("fs/in/scan.raw", scan_bytes()).write("fs/in/scan.raw.toml", SCAN_MANIFEST);
    site.sweep_until("finalized");
    site.lose_ledger().sweep_until("found");
    assert_eq!(site.names("fs/out"), ["scan.npy"]);
    drop(mounted);
}

/// Sources stay where other hosts may write to them; their arrays are made.
#[test]
fn nothing_goes_where_leases_prove_nothing() {
    if !as_root() {
        return;
    }
    let Some((site, _mounted)) = with_all_on("fuse", "source = \"remove\"") else { return };
    site.write("fs/in/scan.raw", scan_bytes()).write("fs/in/scan.raw.toml", SCAN_MANIFEST);
    let receipts = site.sweep_until("finalized").json();
    let receipt = receipts.of_source("scan.raw");
    assert_eq!(receipt["source_fate"], "unproven", "{receipt}");
    assert!(receipt["reason"].as_str().unwrap().contains("other hosts"), "{receipt}");
    assert_eq!(site.names("fs/in"), ["scan.raw", "scan.raw.toml"]);
    assert!(site.sweep().expect_code(0).json().is_empty());
}

macro_rules! on {
    ($($kind:ident),*) => { $(
        #[test]
        fn $kind() {
            if as_root() {
                drops_become_arrays(stringify!($kind));
                a_lost_ledger_does_no_harm(stringify!($kind));
            }
        }
    )* };
}

// ext2 has no preallocation; fuse no unnamed files, and other hosts may write to it.
on!(ext2, ext4, xfs, btrfs, tmpfs, fuse);

/// What is shared stays as it was, whatever becomes of the source; what can't be shared is copied,
/// and the receipt tells why.
#[test]
fn sharing() {
    if !as_root() {
        return;
    }
    for kind in SHARING {
        let Some((site, mounted)) = with_all_on(kind, "") else { return };
        let data: Vec<u8> = (0..100_001_u32).map(|n| (n % 251) as u8).collect();
        let shape = "dtype = '|u1'\nshape = [100001]\n";
        let digest =
            "digest = 'sha256:0000000000000000000000000000000000000000000000000000000000000000'\n";
        let cases = [
            ("plain", 0, 0, "", "reflink"),
            ("aligned", 8192, 0, "offset = 8192\n", "reflink"),
            ("behind", 0, 3, "trailing = 3\n", "reflink"),
            ("odd", 3, 0, "offset = 3\n", "copy"),
        ];
        for (name, before, behind, keys, _) in cases {
            let content = [&vec![9; before], &data[..], &vec![9; behind]].concat();
            site.write(&format!("fs/in/{name}.raw"), content);
            site.write(&format!("fs/in/{name}.toml"), format!("{shape}{keys}"));
        }
        site.write("fs/in/wrong.raw", &data).write("fs/in/wrong.toml", format!("{shape}{digest}"));
        let receipts = site.sweep_until("rejected").json();
        assert_eq!(receipts.of_source("wrong.raw")["event"], "rejected");
        for (name, .., route) in cases {
            let receipt = receipts.of_source(&format!("{name}.raw")).clone();
            assert_eq!(receipt["route"], route, "{kind}: {receipt}");
            assert_eq!(route == "copy", receipt["reason"].is_string(), "{kind}: {receipt}");
            site.write(&format!("fs/in/{name}.raw"), vec![0; 200_000]);
            let array = site.read(&format!("fs/out/{name}.npy"));
            assert!(array.ends_with(&data), "{kind}: {name}");
            let head = if route == "copy" { 128 } else { 4096 };
            assert_eq!(array.len() - data.len(), head, "{kind}: {name}");
        }
        drop(mounted);

        let Some((site, mounted)) = with_all_on(kind, "readers = \"any\"") else { return };
        site.write("fs/in/scan.raw", scan_bytes()).write("fs/in/scan.raw.toml", SCAN_MANIFEST);
        let receipts = site.sweep_until("finalized").json();
        assert_eq!(receipts.of_source("scan.raw")["route"], "copy");
        assert_eq!(site.read("fs/out/scan.npy"), scan_npy());
        drop(mounted);
    }
}

/// File systems that are ext4 by their number, and don't make room at the front of a file: that is
/// found out before the drop is touched, which would have to settle anew.
#[test]
fn room_that_ext4_would_make() {
    if !as_root() {
        return;
    }
    for (kind, options) in [("ext2", &[][..]), ("ext4", &["-O", "bigalloc", "-C", "65536"])] {
        let site = Site::new();
        let Some(mounted) = Mounted::image(&site, "fs", kind, 400, options) else { return };
        let site = with_all_in(site, &mounted, "source = \"remove\"");
        let data: Vec<u8> = (0..16_u32 << 20).map(|n| (n % 251) as u8).collect();
        site.write("fs/in/large.raw", &data).write("fs/in/large.toml", "dtype='|u1'\nshape=[-1]\n");
        let receipts = site.sweep_until("finalized").json();
        let receipt = receipts.of_source("large.raw");
        assert_eq!(receipt["route"], "copy", "{kind}: {receipt}");
        let reason = receipt["reason"].as_str().unwrap();
        assert!(reason.contains("not insert-range: the file system"), "{kind}: {reason}");
        assert!(site.read("fs/out/large.npy").ends_with(&data), "{kind}");
        assert_eq!(site.names("fs/in"), [""; 0]);
        let check = site.npyd(&["check"]).expect_code(0);
        assert!(check.stdout.contains("insert-range no"), "{kind}: {check}");
        drop(mounted);
    }
}

/// What was only allocated is not written, whatever its size says and whoever has read it; what was
/// written is, before it has reached the disk. With the producer gone, that decides.
#[test]
fn preallocated() {
    const LEN: usize = 300_000;
    if !as_root() {
        return;
    }
    for kind in ["ext4", "xfs", "btrfs", "tmpfs"] {
        let Some((site, mounted)) = with_all_on(kind, "") else { return };
        let config = String::from_utf8(site.read("npyd.toml")).unwrap();
        site.write("npyd.toml", config.replace("200ms", "1h"));
        let mut daemon = site.daemon();
        // The small ones are read as a whole, when their fronts are looked at.
        for (name, len, written) in [
            ("none", LEN, 0..0),
            ("small-none", 24, 0..0),
            ("front", LEN, 0..8192),
            ("end", LEN, 8192..LEN),
            ("all", LEN, 0..LEN),
            ("small-all", 24, 0..24),
        ] {
            let path = site.path(format!("fs/in/{name}.raw"));
            let file = File::options().write(true).create_new(true).open(path).unwrap();
            rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, len as u64).unwrap();
            file.write_all_at(&vec![7; written.len()], written.start as u64).unwrap();
            drop(file);
            let manifest = format!("dtype = '|u1'\nshape = [{len}]\n");
            site.write(&format!("fs/in/{name}.toml"), manifest);
        }
        // Whatever else is asked of a file before it is known what it holds.
        for name in ["nrrd", "later"] {
            let file = File::create_new(site.path(format!("fs/in/{name}.raw"))).unwrap();
            rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, 24).unwrap();
        }
        let header = "NRRD0004\ntype: uchar\ndimension: 1\nsizes: 24\nencoding: raw\n";
        site.write("fs/in/nrrd.nhdr", format!("{header}data file: nrrd.raw\n"));
        site.npyd(&["explain", "fs/in/later.raw"]).expect_code(0).expect_words(&["no manifest"]);
        site.write("fs/in/later.toml", "dtype = '|u1'\nshape = [24]\n");
        mapped(&site, "mapped", LEN);
        for name in ["all", "small-all", "mapped"] {
            daemon.wait_for_file(&format!("fs/out/{name}.npy"));
        }
        // A later look must not take for data what the first has read.
        for name in ["none", "small-none", "front", "end", "nrrd", "later"] {
            for _ in 0..2 {
                let told = site.npyd(&["explain", &format!("fs/in/{name}.raw")]).expect_code(0);
                assert!(told.stdout.contains("must be unchanged"), "{kind}: {name}: {told}");
            }
            assert!(!site.has(&format!("fs/out/{name}.npy")), "{kind}: {name}");
        }
        assert!(daemon.stop().success());
        drop(mounted);
    }
}

/// A copy keeps holes, and takes nothing for a hole that was written: not what is in memory only,
/// in blocks that were allocated ahead or by a mapping.
#[test]
fn holes() {
    if !as_root() {
        return;
    }
    for kind in ["ext2", "ext3", "ext4", "xfs", "btrfs", "tmpfs", "fuse"] {
        let Some((site, mounted)) = with_all_on(kind, "readers = \"any\"") else { return };
        for (name, is_synced) in [("dirty", false), ("synced", true)] {
            let file = with_holes(&site, kind, name);
            if is_synced {
                file.sync_all().unwrap();
            }
            site.write(&format!("fs/in/{name}.toml"), "dtype = '|u1'\nshape = [-1]\noffset = 3\n");
        }
        let receipts = site.settle("finalized", 2);
        for name in ["dirty", "synced"] {
            let receipt = receipts.of_source(&format!("{name}.raw"));
            assert_eq!(receipt["route"], "copy", "{kind}: {receipt}");
            let array = site.read(&format!("fs/out/{name}.npy"));
            let data = site.read(&format!("fs/in/{name}.raw"));
            assert!(array[128..] == data[3..], "{kind}: {name}");
            let blocks = |path: String| std::fs::metadata(site.path(path)).unwrap().blocks() / 2048;
            let array = blocks(format!("fs/out/{name}.npy"));
            let data = blocks(format!("fs/in/{name}.raw"));
            // Without the file system's word, holes are found window by window.
            let most = if kind == "fuse" { 40 } else { data + 2 };
            assert!(array <= most, "{kind}: {name}: {array} MiB made of {data} MiB");
        }
        drop(mounted);
    }
}

/// A file of 100 MiB with some 12 MiB of data, written in each way that there is.
fn with_holes(site: &Site, kind: &str, name: &str) -> File {
    const MIB: u64 = 1 << 20;
    let path = site.path(format!("fs/in/{name}.raw"));
    let file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
    file.set_len(100 * MIB + 3).unwrap();
    let bytes = noise(4 << 20);
    for (number, at) in (0..40).map(|number| (number, number * 777_777)) {
        file.write_all_at(&bytes[..100 << (number % 8)], at).unwrap();
    }
    // ext2 and ext3 allocate nothing ahead, and others' holes are not made through bindfs.
    if !["ext2", "ext3", "fuse"].contains(&kind) {
        let allocate = |mode, at, len| rustix::fs::fallocate(&file, mode, at, len).unwrap();
        allocate(FallocateFlags::empty(), 40 * MIB, 4 * MIB);
        file.write_all_at(&bytes[..MIB as usize], 41 * MIB + 5).unwrap();
        file.write_all_at(&bytes, 50 * MIB).unwrap();
        allocate(FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 51 * MIB, 2 * MIB);
        file.write_all_at(b"in the hole", 52 * MIB).unwrap();
    }
    // SAFETY: nobody else writes to the file, or cuts it.
    let mut mapping = unsafe { memmap2::MmapMut::map_mut(&file) }.unwrap();
    for at in [60 * MIB, 61 * MIB + 9, 70 * MIB, 99 * MIB] {
        mapping[at as usize..][..9999].copy_from_slice(&bytes[..9999]);
    }
    file
}

/// On a file system whose timestamps count whole seconds, npyd takes a file only once a later
/// change would get another timestamp. Before that, npyd could not detect the change.
#[test]
fn a_coarse_clock() {
    const LEN: usize = 3 << 20;
    if !as_root() {
        return;
    }
    let Some((site, mounted)) = with_all_on("ext2-128", "max_rate = \"2 MB/s\"") else { return };
    site.write("fs/in/scan.toml", format!("dtype = '|u1'\nshape = [{LEN}]\n"));
    let mut daemon = site.daemon();
    // Both within one second, by the clock and not only by what passes between them.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    thread::sleep(Duration::from_nanos(1_010_000_000 - u64::from(now.subsec_nanos())));
    site.write("fs/in/scan.raw", vec![1; LEN]);
    thread::sleep(Duration::from_millis(300));
    let told = site.npyd(&["explain", "fs/in/scan.raw"]).expect_code(0);
    site.write("fs/in/scan.raw", vec![2; LEN]);
    daemon.wait_for_file("fs/out/scan.npy");
    let mixed = site.read("fs/out/scan.npy")[128..] != vec![2; LEN];
    assert!(!mixed, "bytes of what was written over are in the array");
    told.expect_words(&["waiting", "its file system's clock is coarse"]);
    assert!(daemon.stop().success());
    drop(mounted);
}

/// Nobody waits where each change gets a time of its own, as it does from Linux 6.13 on.
#[test]
fn grains_of_clocks() {
    if !as_root() {
        return;
    }
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let numbers = release.splitn(3, '.').map(|number| number.parse().unwrap_or(0));
    let is_new = numbers.take(2).collect::<Vec<u32>>() >= vec![6, 13];
    for (kind, milliseconds) in
        [("ext2-128", 2020), ("ext3", 20), ("ext4", 0), ("xfs", 0), ("btrfs", 0), ("tmpfs", 0)]
    {
        let Some((site, mounted)) = with_all_on(kind, "") else { return };
        site.write("fs/in/scan.raw", scan_bytes());
        let file = DataFile::open(&site.path("fs/in/scan.raw")).unwrap();
        let before = file.stat().unwrap();
        let grain = file.timestamp_granularity(&before);
        let milliseconds = if is_new { milliseconds } else { milliseconds.max(20) };
        assert_eq!(grain, Duration::from_millis(milliseconds), "{kind}");
        if grain.is_zero() {
            for _ in 0..100 {
                let before = file.stat().unwrap();
                site.write("fs/in/scan.raw", scan_bytes());
                assert!(!file.stat().unwrap().is_unchanged_since(&before), "{kind}");
            }
        }
        drop((file, mounted));
    }
}

/// A drop that is filled through a mapping of a preallocated file.
fn mapped(site: &Site, name: &str, len: usize) {
    let path = site.path(format!("fs/in/{name}.raw"));
    let file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
    rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, len as u64).unwrap();
    // SAFETY: nobody else writes to the file, or cuts it.
    let mut mapping = unsafe { memmap2::MmapMut::map_mut(&file) }.unwrap();
    mapping.fill(7);
    drop((mapping, file));
    site.write(&format!("fs/in/{name}.toml"), format!("dtype = '|u1'\nshape = [{len}]\n"));
}

/// A file system that others may write to unseen is polled without being asked.
#[test]
fn a_network_file_system_is_polled() {
    if !as_root() {
        return;
    }
    let Some((site, mounted)) = with_all_on("fuse", "rescan = \"1h\"") else { return };
    let mut daemon = site.daemon();
    daemon.wait_for_log("polling");
    // Written below, where no event comes from.
    site.write("below/in/scan.raw", scan_bytes()).write("below/in/scan.raw.toml", SCAN_MANIFEST);
    daemon.wait_for_file("fs/out/scan.npy");
    assert!(daemon.stop().success());
    drop(mounted);
}

/// Another mount of the same file system: files can't be renamed to there, though all numbers but
/// the mount's are the same.
#[test]
fn a_bind_mount() {
    if !as_root() {
        return;
    }
    let site = Site::with("source = \"remove\"");
    let from = site.path("state");
    let bind = ["--bind", from.to_str().unwrap()];
    let Some(bound) = Mounted::with(&site, "out", "mount", &bind) else { return };
    site.drop_file("x.npy", PendingFile::ready(&[2]).with(&[1; 8])).scan("scan");
    site.sweep().expect_code(0);
    assert!(site.read("out/x.npy").ends_with(&[1; 8]));
    assert_eq!(site.read("out/scan.npy"), scan_npy());
    assert_eq!(site.names("in"), [""; 0]);
    drop(bound);
}

/// Array and archive on another file system than the drop.
#[test]
fn across_file_systems() {
    if !as_root() {
        return;
    }
    let site = Site::new();
    let Some(mounted) = mount(&site, "tmpfs") else { return };
    std::fs::create_dir(site.path("fs/archive")).unwrap();
    let root = site.path("");
    let root = root.display();
    site.write(
        "npyd.toml",
        format!(
            "state_dir = \"state\"\n[[drop]]\npath = \"{root}in\"\noutput = \"{root}fs\"\n\
             quiet = \"200ms\"\nsource = \"archive\"\narchive = \"{root}fs/archive\"\n"
        ),
    );
    site.scan("scan");
    site.drop_file("x.npy", PendingFile::ready(&[2, 3]).with(&[7; 24]));
    let receipts = site.sweep().expect_code(0).json();
    assert!(receipts.iter().all(|receipt| receipt["route"] == "copy"), "{receipts:?}");
    assert_eq!(site.names("in"), [""; 0]);
    assert_eq!(site.names("fs/archive"), ["scan.raw", "scan.raw.toml", "x.npy"]);
    assert_eq!(site.read("fs/scan.npy"), scan_npy());
    assert!(site.read("fs/x.npy").starts_with(b"\x93NUMPY"));
    drop(mounted);
}
