//! Full disks, in each way in which a disk can be full: the drop waits with a clear message until
//! there is space. Nothing is rejected, and other drops are not delayed.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::support::{Mounted, Receipts, Site, as_root, fill, npy, scan_npy, succeeds};

/// Size of a drop for which the disk has no room.
const LARGE: u64 = 32 << 20;

/// Drops a large file, and gives space when it waits with these words in the log.
fn large_drop_waits(site: &Site, words: &str, give_space: impl FnOnce()) {
    let data = vec![7; LARGE as usize];
    site.drop_file("large.raw", &data);
    site.drop_file("large.toml", format!("dtype = '|u1'\nshape = [{LARGE}]"));
    let mut daemon = site.daemon();
    daemon.wait_for_log(words);
    site.scan("small");
    daemon.wait_for_file("out/small.npy").wait_for_file("out/small.raw.toml.done");
    assert!(site.read("in/large.raw") == data && !site.has("out/large.npy"));
    give_space();
    daemon.wait_for_file("out/large.npy");
    assert!(site.read("out/large.npy") == npy("'|u1'", false, &[LARGE], &data));
    assert_eq!(site.read("out/small.npy"), scan_npy());
    assert!(daemon.stop().success());
    assert!(site.history().of_event("rejected").is_empty());
}

fn a_full_image(kind: &str) {
    if !as_root() {
        return;
    }
    let site = Site::with("source = \"remove\"");
    let Some(mounted) = Mounted::image(&site, "out", kind, 320, &[]) else { return };
    fill(mounted.at(), LARGE / 2);
    large_drop_waits(&site, "space", || {
        std::fs::remove_file(mounted.at().join("filler")).unwrap();
    });
}

/// Without a way to allocate blocks ahead.
#[test]
fn ext2() {
    a_full_image("ext2");
}

#[test]
fn ext4() {
    a_full_image("ext4");
}

#[test]
fn xfs() {
    a_full_image("xfs");
}

#[test]
fn btrfs() {
    a_full_image("btrfs");
}

#[test]
fn tmpfs() {
    if !as_root() {
        return;
    }
    let site = Site::with("source = \"remove\"");
    let small = ["-t", "tmpfs", "-o", "size=1m", "npyd"];
    let Some(mounted) = Mounted::with(&site, "out", "mount", &small) else { return };
    large_drop_waits(&site, "space", || {
        assert!(succeeds("mount", &["-o", "remount,size=64m", mounted.at().to_str().unwrap()]));
    });
}

/// A sparse dump takes the space of its data: it fits where its length would not. More data than
/// there is space for wait, before anything is written.
#[test]
fn sparse() {
    const LEN: u64 = 4 << 30;
    if !as_root() {
        return;
    }
    for kind in ["ext2", "ext4", "xfs", "btrfs"] {
        let site = Site::with("readers = \"any\"");
        let Some(mounted) = Mounted::image(&site, "out", kind, 320, &[]) else { return };
        fill(mounted.at(), LARGE / 2);
        for (name, data) in [("little", LARGE / 8), ("much", LARGE)] {
            let file = File::create(site.path(format!("in/{name}.raw"))).unwrap();
            file.set_len(LEN).unwrap();
            file.write_all_at(&vec![7; data as usize], LEN / 2).unwrap();
            site.drop_file(&format!("{name}.toml"), "dtype = '|u1'\nshape = [-1]");
        }
        let mut daemon = site.daemon();
        daemon.wait_for_file("out/little.npy").wait_for_log("space");
        assert!(!site.has("out/much.npy"), "{kind}");
        std::fs::remove_file(mounted.at().join("filler")).unwrap();
        daemon.wait_for_file("out/much.npy");
        for (name, data) in [("little", LARGE / 8), ("much", LARGE)] {
            let array = File::open(site.path(format!("out/{name}.npy"))).unwrap();
            assert_eq!(array.metadata().unwrap().len(), 128 + LEN, "{kind}: {name}");
            let mut bytes = vec![0; data as usize + 2];
            array.read_exact_at(&mut bytes, 128 + LEN / 2 - 1).unwrap();
            let end = bytes.len() - 1;
            assert!(bytes[0] == 0 && bytes[end] == 0, "{kind}: {name}");
            assert!(bytes[1..end].iter().all(|byte| *byte == 7), "{kind}: {name}");
        }
        assert!(daemon.stop().success());
        assert!(site.history().of_event("rejected").is_empty(), "{kind}");
    }
}

/// The quota of a subvolume, which holds for root, too.
#[test]
fn a_quota() {
    if !as_root() {
        return;
    }
    let site = Site::with("source = \"remove\"");
    let Some(mounted) = Mounted::image(&site, "out", "btrfs", 320, &[]) else { return };
    let out = mounted.at().to_str().unwrap();
    let limit = |limit: &str| succeeds("btrfs", &["qgroup", "limit", limit, out]);
    if !succeeds("btrfs", &["quota", "enable", out]) || !limit("16M") {
        return;
    }
    large_drop_waits(&site, "quota", || assert!(limit("none")));
}

/// Space enough, but no file can be made.
#[test]
fn no_inodes() {
    if !as_root() {
        return;
    }
    let site = Site::with("source = \"remove\"");
    let Some(mounted) = Mounted::image(&site, "out", "ext4", 16, &["-N", "32"]) else { return };
    let fillers = (0..).map(|number| mounted.at().join(format!("filler-{number}")));
    let fillers: Vec<_> = fillers.take_while(|filler| File::create(filler).is_ok()).collect();
    assert!(!fillers.is_empty());
    site.scan("scan");
    let mut daemon = site.daemon();
    daemon.wait_for_log("inodes");
    assert!(!site.has("out/scan.npy") && site.has("in/scan.raw"));
    for filler in fillers {
        std::fs::remove_file(filler).unwrap();
    }
    daemon.wait_for_file("out/scan.npy");
    assert_eq!(site.read("out/scan.npy"), scan_npy());
    assert!(daemon.stop().success());
}

/// A write to blocks that another file shares allocates new blocks, so an in-place header can fail
/// on a full disk. The file then stays unchanged.
fn shared_blocks(kind: &str) {
    if !as_root() {
        return;
    }
    let site = Site::new();
    let Some(mounted) = Mounted::image(&site, "fs", kind, 320, &[]) else { return };
    for name in ["in", "out"] {
        std::fs::remove_dir(site.path(name)).unwrap();
        std::fs::create_dir(mounted.at().join(name)).unwrap();
        std::os::unix::fs::symlink(mounted.at().join(name), site.path(name)).unwrap();
    }
    let data = vec![5; 4 << 20];
    let raw = [&[0; 4096][..], &data].concat();
    site.write("fs/original", &raw);
    let (from, to) = (site.path("fs/original"), site.path("in/scan.raw"));
    let copy = ["--reflink=always", from.to_str().unwrap(), to.to_str().unwrap()];
    assert!(succeeds("cp", &copy));
    site.write("in/scan.raw.toml", "dtype = '|u1'\nshape = [-1]\nreserved = 4096");
    let crumbs = File::create(mounted.at().join("crumbs")).unwrap();
    fill(mounted.at(), 0);
    let mut blocks = 0..; // that are left, to the last
    while crumbs.write_all_at(&[1; 4096], blocks.next().unwrap_or(0) * 4096).is_ok() {}
    let mut daemon = site.daemon();
    daemon.wait_for_log("space");
    // Each time that npyd tries again, the file has a private name for a moment.
    daemon.wait_for("the data unchanged", || {
        std::fs::read(site.path("in/scan.raw")).is_ok_and(|data| data == raw)
    });
    std::fs::remove_file(mounted.at().join("filler")).unwrap();
    daemon.wait_for_file("out/scan.npy");
    assert!(site.read("out/scan.npy").ends_with(&data));
    assert!(site.read("fs/original") == raw);
    assert!(daemon.stop().success());
}

#[test]
fn shared_blocks_on_xfs() {
    shared_blocks("xfs");
}

#[test]
fn shared_blocks_on_btrfs() {
    shared_blocks("btrfs");
}
