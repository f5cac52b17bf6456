//! A disk that promises more than it has, under what producers write: their writes are fine, and
//! what the kernel brings to the disk later is not. Such a file is no array, however often it is
//! asked for; it stays as it is.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::support::{Mounted, Receipts, Site, as_root, succeeds};

/// Bytes of a drop, of which a quarter fits.
const LEN: usize = 16 << 20;

/// A file system on a disk in memory.
struct ThinDisk<'a> {
    site: &'a Site,
    at: &'a str,
    kind: &'a str,
    image: String,
    memory: Mounted,
}

impl<'a> ThinDisk<'a> {
    /// Makes it for a directory of the site; `None` where that can't be done.
    fn new(site: &'a Site, at: &'a str, kind: &'a str, options: &[&str]) -> Option<Self> {
        fs::create_dir(site.path("thin")).unwrap();
        let memory =
            Mounted::with(site, "thin", "mount", &["-t", "tmpfs", "-o", "size=128m", "npyd"])?;
        let image = site.path("thin/image");
        File::create(&image).unwrap().set_len(320 << 20).unwrap();
        let image = image.to_str().unwrap().to_owned();
        succeeds(&format!("mkfs.{kind}"), &[options, &[&image]].concat()).then_some(Self {
            site,
            at,
            kind,
            image,
            memory,
        })
    }

    fn mount(&self) -> Option<Mounted> {
        let args = ["-t", self.kind, "-o", "loop", &self.image];
        Mounted::with(self.site, self.at, "mount", &args)
    }

    /// Takes all that the disk has, but for a quarter of the drop.
    fn fill(&self) {
        let filler = File::create(self.memory.at().join("filler")).unwrap();
        let free = rustix::fs::fstatvfs(&filler).unwrap();
        let taken = (free.f_bavail * free.f_frsize).saturating_sub(LEN as u64 / 4);
        filler.write_all_at(&vec![1; taken as usize], 0).unwrap();
    }

    fn make_room(&self) {
        fs::remove_file(self.memory.at().join("filler")).unwrap();
    }
}

fn noise() -> Vec<u8> {
    (0..LEN as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8 | 1).collect()
}

/// Has the kernel write a file to the disk as it does by itself, which tells nobody of a failure,
/// and let go of it.
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
    let Some(disk) = ThinDisk::new(&site, "in", "xfs", &["-q", "-f", "-K"]) else { return };
    let Some(mounted) = disk.mount() else { return };
    fs::create_dir(site.path("in/out")).unwrap();
    site.scan("before");
    site.sweep_until("finalized");
    rustix::fs::syncfs(File::open(mounted.at()).unwrap()).unwrap();
    disk.fill();
    let data = noise();
    site.drop_file("scan.raw", &data);
    site.drop_file("scan.raw.toml", format!("dtype = '|u1'\nshape = [{LEN}]\n"));
    refuses(&site, &data, "failed to sync");
    disk.make_room();
    site.sweep().expect_code(0);
    assert!(!site.has("in/out/scan.npy"));

    // Dropped anew, it is an array.
    fs::remove_file(site.path("in/scan.raw")).unwrap();
    site.drop_file("scan.raw", &data);
    site.sweep_until("finalized");
    mounted.unmount(); // what is read next was on the disk
    let Some(mounted) = disk.mount() else { return };
    let array = site.read("in/out/scan.npy");
    assert!(array[4096..] == data && array.starts_with(b"\x93NUMPY"));
    drop((mounted, disk));
}

#[test]
fn a_source_that_was_to_be_copied() {
    if !as_root() {
        return;
    }
    let site = Site::with("source = \"remove\"");
    let options = ["-q", "-F", "-E", "nodiscard,lazy_itable_init=0"];
    let Some(disk) = ThinDisk::new(&site, "in", "ext4", &options) else { return };
    let Some(mounted) = disk.mount() else { return };
    disk.fill();
    let data = noise();
    site.drop_file("scan.raw", &data);
    site.drop_file("scan.raw.toml", format!("dtype = '|u1'\nshape = [{LEN}]\n"));
    write_back_unheard(&site.path("in/scan.raw"));
    assert!(site.read("in/scan.raw") != data, "nothing was lost");
    refuses(&site, &data, "failed to write back");
    disk.make_room();
    site.sweep().expect_code(0);
    assert!(!site.has("out/scan.npy"));
    drop((mounted, disk));
}
