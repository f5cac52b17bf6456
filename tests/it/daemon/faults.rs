//! Temporary faults of the machine: when they are over, what they delayed is done.

use std::fs::{self, File};
use std::io::Write;
use std::process::{Child, Command, Stdio};

use crate::support::{
    Daemon, Mounted, Outcome, Receipts, SCAN_MANIFEST, Site, as_root, left_out, noise, npy,
    scan_bytes, scan_npy, wait_until,
};

/// A file system becomes read-only after a disk error, or when an administrator remounts it.
#[test]
fn a_file_system_turned_read_only() {
    if !as_root() {
        return;
    }
    let site = Site::with("source = \"remove\"");
    let Some(mounted) = Mounted::image(&site, "out", "ext4", 32, &[]) else { return };
    // It is busy for as long as npyd has a file there that it wrote to.
    let remount = |how: &str| {
        let mut mount = Command::new("mount");
        mount.args(["-o", how]).arg(mounted.at());
        let is_done = || mount.output().unwrap().status.success();
        wait_until(how, String::new, is_done);
    };
    let mut daemon = site.daemon();
    site.scan("before");
    daemon.wait_for_file("out/before.npy").wait_for_file("out/before.raw.toml.done");
    remount("remount,ro");
    site.scan("scan");
    daemon.wait_for_log("ead-only file system");
    assert_eq!(site.read("in/scan.raw"), scan_bytes());
    remount("remount,rw");
    daemon.wait_for_file("out/scan.npy");
    assert_eq!(site.read("out/scan.npy"), scan_npy());
    assert!(daemon.stop().success());
    assert!(site.history().of_event("rejected").is_empty());
}

/// The mount point remains, and what npyd wrote below it would vanish at the next mount.
#[test]
fn the_output_is_unmounted() {
    if !as_root() {
        return;
    }
    let site = Site::with("source = \"remove\"");
    let Some(mounted) = Mounted::image(&site, "out", "ext4", 32, &[]) else { return };
    let mut daemon = site.daemon();
    site.scan("before");
    daemon.wait_for_file("out/before.raw.toml.done");
    mounted.unmount();
    site.scan("scan");
    daemon.wait_for_log("mount that again, or restart npyd");
    assert_eq!(site.read("in/scan.raw"), scan_bytes());
    assert_eq!(site.names("out"), [""; 0]);
    let image = site.path("out.image");
    let options = ["-t", "ext4", "-o", "loop", image.to_str().unwrap()];
    let mounted = Mounted::with(&site, "out", "mount", &options).unwrap();
    daemon.wait_for_file("out/scan.npy");
    assert_eq!(site.read("out/scan.npy"), scan_npy());
    assert!(daemon.stop().success());
    assert!(site.history().of_event("rejected").is_empty());
    mounted.unmount();
}

/// A new directory on the file system of the old one is as good as that.
#[test]
fn the_output_is_another_directory() {
    let site = Site::with("source = \"remove\"");
    let mut daemon = site.daemon();
    fs::rename(site.path("out"), site.path("old")).unwrap();
    fs::create_dir(site.path("out")).unwrap();
    site.scan("scan");
    daemon.wait_for_file("out/scan.npy");
    daemon.wait_for_log("is a new directory");
    assert!(daemon.stop().success());
}

/// With far fewer descriptors than a burst has files.
#[test]
fn no_descriptors_left() {
    const DROPS: usize = 100;
    let site = Site::new();
    for number in 0..DROPS {
        site.drop_file(&format!("{number}.raw"), scan_bytes());
        site.drop_file(&format!("{number}.raw.toml"), SCAN_MANIFEST);
    }
    let npyd = site.command();
    let mut limited = Command::new("prlimit");
    limited.envs(npyd.get_envs().filter_map(|(name, value)| Some((name, value?))));
    limited.args(["--nofile=48:48", "--"]).arg(npyd.get_program());
    let mut daemon = Daemon::start_as(&site, "npyd.toml", limited);
    daemon.wait_for("an array of each drop", || {
        // Where no descriptor is left once the array has its name, the next try finds the array.
        let history = site.history();
        history.of_event("finalized").len() + history.of_event("found").len() == DROPS
    });
    for number in 0..DROPS {
        assert_eq!(site.read(&format!("out/{number}.npy")), scan_npy());
    }
    daemon.wait_for_log("oo many open files");
    assert!(daemon.stop().success());
    assert!(site.history().of_event("rejected").is_empty());
}

/// Another file is no trouble to those that a limit allows.
#[test]
fn a_file_beyond_the_limit() {
    let site = Site::new();
    site.scan("scan").drop_file("large.raw", noise(1 << 20));
    site.drop_file("large.raw.toml", "dtype = '|u1'\nshape = [1048576]\n");
    let outcome = site.sweep_within("--fsize=524288").expect_code(1);
    assert_eq!(outcome.json().of_source("large.raw")["event"], "failed");
    assert_eq!(outcome.json().of_source("scan.raw")["event"], "finalized");
    outcome.expect_words(&["File too large", "LimitFSIZE"]);
    site.sweep().expect_code(0);
    assert!(site.read("out/large.npy") == npy("'|u1'", false, &[1 << 20], &noise(1 << 20)));
}

/// A limit on the size of files that leaves no room for the ledger is named with its remedy, when
/// npyd starts and while it works.
#[test]
fn a_ledger_beyond_the_limit() {
    let words = ["the limit", "LimitFSIZE=", "ulimit -f"];
    for limit in [0, 1000, 5000, 40_000] {
        let site = Site::new();
        let told = site.sweep_within(&format!("--fsize={limit}")).expect_code(2);
        told.expect_words(&words).expect_words(&[&format!("{limit} bytes"), "ledger.sqlite"]);
        site.scan("scan").sweep_until("finalized");
    }
    let site = Site::with("rescan = \"1s\"");
    let npyd = site.command();
    let mut limited = Command::new("prlimit");
    limited.envs(npyd.get_envs().filter_map(|(name, value)| Some((name, value?))));
    limited.args(["--fsize=400000", "--"]).arg(npyd.get_program());
    let mut daemon = Daemon::start_as(&site, "npyd.toml", limited);
    let mut number = 0;
    while !daemon.log().contains("failed to use the ledger") {
        site.scan(&number.to_string());
        daemon.wait_for_file(&format!("out/{number}.npy"));
        number += 1;
        assert!(number < 2000, "{}", daemon.log());
    }
    daemon.wait_for_log("npyd may write files of 400000 bytes at most; raise the limit");
    daemon.wait_for_log("until then receipts are kept in memory");
    let log = daemon.log();
    assert!(!log.contains("disk I/O error"), "{log}");
}

/// `npyd check` reports a limit on the size of files.
#[test]
fn a_limit_that_check_reports() {
    let site = Site::new();
    for (limit, words) in
        [("1000", "but the ledger needs 1048576"), ("9000000", "no array and no ledger")]
    {
        let mut limited = Command::new("prlimit");
        limited.args([&format!("--fsize={limit}"), "--"]).arg(site.command().get_program());
        limited.args(["check", "--config"]).arg(site.path("npyd.toml"));
        Outcome::of(&mut limited).expect_words(&[
            &format!("the limit = {limit} bytes"),
            words,
            "LimitFSIZE=",
        ]);
    }
}

/// Sweeps with little of a resource, then with ever more until that is enough; in the end there is
/// the array, and before that its source. Returns how many sweeps had too little.
fn sweep_with_ever_more(limits: impl Iterator<Item = String>, check: fn(&Outcome)) -> usize {
    let site = Site::with("source = \"remove\"");
    site.scan("scan");
    for (too_little, limit) in limits.enumerate() {
        let outcome = site.sweep_within(&limit);
        if site.has("in/scan.raw") {
            assert!(!site.has("out/scan.npy") || site.read("out/scan.npy") == scan_npy());
            assert_eq!(site.read("in/scan.raw"), scan_bytes(), "{outcome}");
            check(&outcome);
            continue;
        }
        assert_eq!(site.read("out/scan.npy"), scan_npy(), "{outcome}");
        site.sweep().expect_code(0);
        assert_eq!(site.names("out"), ["scan.npy", "scan.raw.toml.done"]);
        assert_eq!(site.names("in"), [""; 0]);
        return too_little;
    }
    panic!("no limit was enough");
}

/// Each limit up to the one that is enough.
#[test]
fn too_few_descriptors_for_one_drop() {
    let too_few =
        sweep_with_ever_more((3..100).map(|it| format!("--nofile={it}:{it}")), |outcome| {
            // 127: not even its libraries could be opened.
            assert!(matches!(outcome.code, 0..=2 | 127), "{outcome}");
            assert!(!outcome.stderr.contains("panicked"), "{outcome}");
        });
    tell(&format!("{too_few} limits were too low"));
    assert!(too_few > 5);
}

/// Whatever the lack of memory ends: it is an end like another.
#[test]
fn too_little_memory() {
    let limits = (1..200).map(|it| format!("--as={}", it << 20));
    let too_little = sweep_with_ever_more(limits, |outcome| {
        assert!(![0, 124].contains(&outcome.code), "it succeeded, or hung: {outcome}");
    });
    tell(&format!("{too_little} limits were too low"));
    assert!(too_little > 5);
}

/// Says something past the test harness.
fn tell(what: &str) {
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    std::io::stderr().write_all(format!("{name}: {what}\n").as_bytes()).unwrap();
}

/// A disk with a sector that can't be read; QEMU's storage daemon stands in for it.
struct Scratched(Child);

impl Scratched {
    /// Puts one before an image, at a path; `None` where this machine can't.
    fn new(site: &Site, image: &str, at: &str, sector: u64) -> Option<Self> {
        File::create(site.path(at)).unwrap();
        let disk = serde_json::json!({
            "driver": "blkdebug",
            "node-name": "scratched",
            "image": {"driver": "file", "filename": site.path(image)},
            "inject-error": [
                {"event": "none", "iotype": "read", "errno": libc::EIO, "sector": sector},
            ],
        });
        let export = format!(
            "type=fuse,id=disk,node-name=scratched,mountpoint={},writable=on",
            site.path(at).display()
        );
        let daemon = Command::new("qemu-storage-daemon")
            .args(["--blockdev", &disk.to_string(), "--export", &export])
            .stdin(Stdio::null())
            .spawn();
        let mut daemon = match daemon {
            Ok(daemon) => Self(daemon),
            Err(error) => {
                left_out(&format!("qemu-storage-daemon: {error}"));
                return None;
            }
        };
        let (len, mut ended) = (fs::metadata(site.path(image)).unwrap().len(), None);
        wait_until("the scratched disk", String::new, || {
            ended = daemon.0.try_wait().unwrap();
            ended.is_some() || fs::metadata(site.path(at)).is_ok_and(|disk| disk.len() == len)
        });
        if let Some(status) = ended {
            left_out(&format!("qemu-storage-daemon: {status}; it needs FUSE"));
            return None;
        }
        Some(daemon)
    }
}

impl Drop for Scratched {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A sector amid the data can't be read, until the disk is another.
#[test]
fn a_scratched_disk() {
    const LEN: usize = 8 << 20;
    if !as_root() {
        return;
    }
    let site = Site::with("source = \"remove\"");
    let data = noise(LEN);
    let Some(mounted) = Mounted::image(&site, "in", "ext4", 64, &[]) else { return };
    site.drop_file("scan.raw", &data);
    site.drop_file("scan.raw.toml", format!("dtype = '|u1'\nshape = [{LEN}]\n"));
    mounted.unmount();
    let image = site.read("in.image");
    let piece = &data[LEN / 2..][..512];
    let sector = image.chunks(512).position(|sector| sector == piece).unwrap();
    let Some(scratched) = Scratched::new(&site, "in.image", "disk", sector as u64) else { return };
    let disk = site.path("disk");
    let options = ["-t", "ext4", "-o", "loop", disk.to_str().unwrap()];
    let Some(mounted) = Mounted::with(&site, "in", "mount", &options) else { return };
    for _ in 0..2 {
        let outcome = site.sweep().expect_code(1);
        assert_eq!(outcome.json().of_event("failed").len(), 1, "{outcome}");
        outcome.expect_words(&["in/scan.raw`", "Input/output error", "the kernel log"]);
        assert!(site.names("out").is_empty() && site.has("in/scan.raw"));
    }
    mounted.unmount();
    drop(scratched);
    let image = site.path("in.image");
    let options = ["-t", "ext4", "-o", "loop", image.to_str().unwrap()];
    let Some(_mounted) = Mounted::with(&site, "in", "mount", &options) else { return };
    site.sweep_until("finalized");
    assert!(site.read("out/scan.npy") == npy("'|u1'", false, &[LEN as u64], &data));
    assert!(!site.has("in/scan.raw"));
}
