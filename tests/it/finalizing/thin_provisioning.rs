//! Thin provisioning: a disk that promises more space than it has, so that writes succeed and
//! their writeback fails. A copy is made again when there is space; a file that its producer or
//! npyd wrote in place never becomes an array, and stays as it is.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};

use crate::support::{Mounted, Receipts, Site, as_root, noise, npy, succeeds};

/// Bytes of a drop, of which a quarter fits.
const LEN: usize = 16 << 20;

/// A file system on a disk that promises more than it has.
struct Thin<'a> {
    site: &'a Site,
    at: &'static str,
    kind: &'static str,
    mounted: Option<Mounted>,
    _memory: Mounted,
}

impl<'a> Thin<'a> {
    /// Mounts one on a directory of the site; `None` where this machine can't.
    fn new(site: &'a Site, at: &'static str, kind: &'static str) -> Option<Self> {
        let (mebibytes, options) = match kind {
            "xfs" => (320, &["-q", "-f", "-K"][..]),
            // An ext4 that zeroes its inode tables only once it is mounted does so by punching
            // holes into the image, which is room again.
            _ => (64, &["-q", "-F", "-b", "4096", "-E", "nodiscard,lazy_itable_init=0"][..]),
        };
        fs::create_dir(site.path("thin")).unwrap();
        let small = ["-t", "tmpfs", "-o", &format!("size={}m", mebibytes + 32), "npyd"];
        let memory = Mounted::with(site, "thin", "mount", &small)?;
        let image = site.path("thin/image");
        let file = File::create(&image).unwrap();
        file.set_len(mebibytes << 20).unwrap();
        if !succeeds(&format!("mkfs.{kind}"), &[options, &[image.to_str().unwrap()]].concat()) {
            return None;
        }
        // What it needs itself, its journal above all, is there; of all else there is nothing.
        fallocate(&file, FallocateFlags::empty(), 0, mebibytes << 20).unwrap();
        let mut thin = Self { site, at, kind, mounted: None, _memory: memory };
        thin.mount().then_some(())?;
        succeeds("fstrim", &[site.path(at).to_str().unwrap()]).then_some(thin)
    }

    fn mount(&mut self) -> bool {
        let image = self.site.path("thin/image");
        let options = ["-t", self.kind, "-o", "loop", image.to_str().unwrap()];
        self.mounted = Mounted::with(self.site, self.at, "mount", &options);
        self.mounted.is_some()
    }

    /// Leaves it room for so many bytes.
    fn fill(&self, room: u64) {
        let filler = File::create(self.site.path("thin/filler")).unwrap();
        let free = rustix::fs::fstatvfs(&filler).unwrap();
        let taken = (free.f_bavail * free.f_frsize).saturating_sub(room);
        fallocate(&filler, FallocateFlags::empty(), 0, taken).unwrap();
    }

    fn make_room(&self) {
        fs::remove_file(self.site.path("thin/filler")).unwrap();
    }

    /// What is read next was on the disk.
    fn mount_anew(&mut self) {
        self.mounted.take().unwrap().unmount();
        assert!(self.mount());
    }
}

/// The write is fine, and the sync fails. What was to be copied is copied when there is room.
#[test]
fn an_array_that_is_copied() {
    if !as_root() {
        return;
    }
    let site = Site::with("source = \"remove\"");
    let Some(mut thin) = Thin::new(&site, "out", "ext4") else { return };
    thin.fill(LEN as u64 / 4);
    let data = noise(LEN);
    site.drop_file("scan.raw", &data);
    site.drop_file("scan.raw.toml", format!("dtype = '|u1'\nshape = [{LEN}]\n"));
    let outcome = site.sweep().expect_code(1);
    assert_eq!(outcome.json().of_event("failed").len(), 1, "{outcome}");
    assert!(site.read("in/scan.raw") == data && !site.has("out/scan.npy"), "{outcome}");

    thin.make_room();
    thin.mount_anew();
    site.sweep_until("finalized");
    thin.mount_anew();
    assert!(site.read("out/scan.npy") == npy("'|u1'", false, &[LEN as u64], &data));
}

/// What its producer or npyd itself wrote there in place is lost: whatever is tried, it becomes an
/// array only once it is dropped anew.
#[test]
fn a_file_in_place() {
    const LEN: usize = 4 << 20;
    const ROOM: usize = 4096;
    if !as_root() {
        return;
    }
    for lost in ["data", "header"] {
        let site = Site::new();
        let beside = |more: &str| {
            let text = site.configuration("state", more);
            let output = format!("output = \"{}\"\n", site.path("out").display());
            site.write("npyd.toml", text.replace(&output, ""));
        };
        beside("");
        let Some(mut thin) = Thin::new(&site, "in", "ext4") else { return };
        let data = noise(LEN);
        let drop_it = || {
            let file = File::create(site.path("in/scan.raw")).unwrap();
            file.write_all_at(&data, ROOM as u64).unwrap(); // before it is a hole
            file
        };
        if lost == "data" {
            thin.fill(LEN as u64 / 4);
            drop_it();
        } else {
            drop_it().sync_all().unwrap();
            thin.fill(0);
        }
        let manifest = format!("dtype = '|u1'\nshape = [{LEN}]\nreserved = {ROOM}\n");
        site.drop_file("scan.raw.toml", &manifest);
        let outcome = site.sweep_until("rejected").expect_words(&["may be lost"]);
        let reason = outcome.json().of_source("scan.raw")["reason"].to_string();
        assert!(reason.contains("failed to sync"), "{lost}: {reason}");

        thin.make_room();
        beside("allow_trailing = true");
        site.sweep();
        fs::set_permissions(site.path("in/scan.raw"), PermissionsExt::from_mode(0o640)).unwrap();
        site.sweep();
        site.npyd(&["retry", "--all"]).expect_words(&["not retried"]);
        site.sweep();
        thin.mount_anew();
        site.sweep();
        assert!(site.history().of_event("finalized").is_empty(), "{lost}: {:?}", site.history());
        assert!(!site.has("in/scan.npy"), "{lost}");

        fs::remove_file(site.path("in/scan.raw")).unwrap();
        drop_it();
        site.sweep_until("finalized");
        thin.mount_anew();
        let array = site.read("in/scan.npy");
        assert!(array.starts_with(b"\x93NUMPY") && array[ROOM..] == data, "{lost}");
    }
}

/// Makes the kernel write a file to the disk and drop its pages, as by background writeback, which
/// reports a failure to no process.
fn write_back_unheard(path: &Path) {
    let file = File::open(path).unwrap();
    let _ = rustix::fs::syncfs(&file); // tells of the file system's errors, and leaves the file's
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
}

/// The first sweep meets the failure, the second would find that all is well.
fn refuses(site: &Site, data: &[u8], words: &str) {
    let outcome = site.sweep().expect_code(1);
    let receipts = outcome.json();
    let rejected = receipts.of_event("rejected");
    assert_eq!(rejected.len(), 1, "{outcome}");
    assert!(rejected[0]["reason"].as_str().unwrap().contains(words), "{outcome}");
    assert!(!site.has("in/out/scan.npy") && !site.has("out/scan.npy"), "{outcome}");
    assert_eq!(fs::metadata(site.path("in/scan.raw")).unwrap().len(), data.len() as u64);
}

#[test]
fn a_source_that_was_to_be_shared() {
    if !as_root() {
        return;
    }
    let site = Site::new();
    let settings = site.configuration("state", "source = \"remove\"");
    site.write("npyd.toml", settings.replace("/out\"", "/in/out\""));
    let Some(mut thin) = Thin::new(&site, "in", "xfs") else { return };
    fs::create_dir(site.path("in/out")).unwrap();
    site.scan("before");
    site.sweep_until("finalized");
    rustix::fs::syncfs(File::open(site.path("in")).unwrap()).unwrap();
    thin.fill(LEN as u64 / 4);
    let data = noise(LEN);
    site.drop_file("scan.raw", &data);
    site.drop_file("scan.raw.toml", format!("dtype = '|u1'\nshape = [{LEN}]\n"));
    refuses(&site, &data, "failed to sync");
    thin.make_room();
    site.sweep().expect_code(0);
    assert!(!site.has("in/out/scan.npy"));

    // The manifest was written to the full volume, too: both are dropped again.
    for name in ["scan.raw", "scan.raw.toml"] {
        fs::remove_file(site.path("in").join(name)).unwrap();
    }
    site.drop_file("scan.raw", &data);
    site.drop_file("scan.raw.toml", format!("dtype = '|u1'\nshape = [{LEN}]\n"));
    site.sweep_until("finalized");
    thin.mount_anew();
    let array = site.read("in/out/scan.npy");
    assert!(array[4096..] == data && array.starts_with(b"\x93NUMPY"));
}

#[test]
fn a_source_that_was_to_be_copied() {
    if !as_root() {
        return;
    }
    let site = Site::with("source = \"remove\"");
    let Some(thin) = Thin::new(&site, "in", "ext4") else { return };
    thin.fill(LEN as u64 / 4);
    let data = noise(LEN);
    site.drop_file("scan.raw", &data);
    site.drop_file("scan.raw.toml", format!("dtype = '|u1'\nshape = [{LEN}]\n"));
    write_back_unheard(&site.path("in/scan.raw"));
    assert!(site.read("in/scan.raw") != data, "nothing was lost");
    refuses(&site, &data, "failed to write back");
    thin.make_room();
    site.sweep().expect_code(0);
    assert!(!site.has("out/scan.npy"));
}
