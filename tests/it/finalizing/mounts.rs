//! Drop directories on overlay file systems, in bind mounts, and on a file system that is unmounted
//! lazily while the daemon runs.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use crate::support::{
    Daemon, Mounted, Receipts, SCAN_MANIFEST, Site, as_root, noise, npy, scan_bytes, scan_npy,
    succeeds, wait_until,
};

/// As many records as there are.
const OPEN_SHAPE: &str = "dtype = '|u1'\nshape = [-1, 3]\n";

const ROOM: &str = "dtype = '|u1'\nshape = [3]\nreserved = 128\n";

const SOURCES: [&str; 2] = ["keep", "remove"];

/// The array of these bytes, three to a record.
fn records(bytes: &[u8]) -> Vec<u8> {
    npy("'|u1'", false, &[bytes.len() as u64 / 3, 3], bytes)
}

/// Puts the site's drop directory and its output into the directory `root`.
fn move_to(site: &Site, root: &str, settings: &str) {
    let config = site.configuration("state", settings);
    let path = |name: &str| format!("{}\"", site.path(name).display());
    let config = config.replace(&path("in"), &path(&format!("{root}/in")));
    site.write("npyd.toml", config.replace(&path("out"), &path(&format!("{root}/out"))));
}

/// Mounts the directories below `layers` at `merged`.
fn overlay(site: &Site) -> Option<Mounted> {
    let layer = |name: &str| site.path(format!("layers/{name}")).display().to_string();
    let layers = [("lowerdir", "lower"), ("upperdir", "upper"), ("workdir", "work")];
    let layers = layers.map(|(key, name)| format!("{key}={}", layer(name))).join(",");
    Mounted::with(site, "merged", "mount", &["-t", "overlay", "overlay", "-o", &layers])
}

/// Removed sources vanish from the overlay, and the layer below stays as it was. A writer that
/// opens a file of the layer below gets a copy in the upper one.
#[test]
fn an_overlay() {
    if !as_root() {
        return;
    }
    for source in SOURCES {
        let site = Site::new();
        fs::create_dir(site.path("layers")).unwrap();
        let Some(_layers) = Mounted::memory(&site, "layers") else { return };
        for dir in ["layers/upper", "layers/work", "layers/lower/in", "layers/lower/out", "merged"]
        {
            fs::create_dir_all(site.path(dir)).unwrap();
        }
        site.write("layers/lower/in/scan.raw", [1; 6]);
        site.write("layers/lower/in/scan.raw.toml", OPEN_SHAPE);
        site.write("layers/lower/in/held.raw", [2; 3]);
        site.write("layers/lower/in/held.raw.toml", OPEN_SHAPE);
        site.write("layers/lower/in/room.raw", [&[0; 128][..], &[3; 3]].concat());
        site.write("layers/lower/in/room.raw.toml", ROOM);
        let Some(_merged) = overlay(&site) else { return };
        move_to(&site, "merged", &format!("source = '{source}'"));

        let held = site.path("merged/in/held.raw");
        let mut writer = File::options().append(true).open(held).unwrap();
        let receipts = site.sweep_until("finalized").json();
        assert_eq!(receipts.of_source("room.raw")["route"], "in-place", "{receipts:#?}");
        assert_eq!(site.read("merged/out/scan.npy"), records(&[1; 6]));
        assert!(site.read("merged/out/room.npy").ends_with(&[3; 3]));
        assert!(!site.has("merged/out/held.npy"));
        writer.write_all(&[4; 3]).unwrap();
        drop(writer);
        site.sweep_until("finalized");
        assert_eq!(site.read("merged/out/held.npy"), records(&[2, 2, 2, 4, 4, 4]));
        let left = ["held.raw", "held.raw.toml", "scan.raw", "scan.raw.toml"];
        let left = if source == "keep" { &left[..] } else { &[] };
        assert_eq!(site.names("merged/in"), left);
        assert_eq!(site.names("layers/lower/in").len(), 6);
        assert_eq!(site.names("layers/lower/out"), [""; 0]);
    }
}

/// The first file that is written to a directory of the lower layer copies the directory up, which
/// gives it another time of creation. It is the same directory: npyd watches it all the time, and
/// its log has no line about it.
#[test]
fn directories_of_an_overlay_that_are_copied_up() {
    if !as_root() {
        return;
    }
    let site = Site::new();
    fs::create_dir(site.path("layers")).unwrap();
    let Some(_layers) = Mounted::memory(&site, "layers") else { return };
    for dir in ["layers/upper", "layers/work", "layers/lower/in", "layers/lower/out", "merged"] {
        fs::create_dir_all(site.path(dir)).unwrap();
    }
    let Some(_merged) = overlay(&site) else { return };
    move_to(&site, "merged", "rescan = '1h'");
    let born = |dir: &str| fs::metadata(site.path(dir)).unwrap().created().unwrap();
    let was_born = ["merged/in", "merged/out"].map(born);
    // So that the two times differ, whatever the granularity of the clock.
    wait_until("a later clock", String::new, || {
        site.write("layers/probe", "");
        let is_later = born("layers/probe") > was_born[1];
        fs::remove_file(site.path("layers/probe")).unwrap();
        is_later
    });
    let mut daemon = site.daemon();
    for number in 0..3 {
        site.write(&format!("merged/in/{number}.raw.toml"), OPEN_SHAPE);
        site.write(&format!("merged/in/{number}.raw"), [number; 6]);
        daemon.wait_for_receipts("finalized", usize::from(number) + 1);
        assert_eq!(site.read(&format!("merged/out/{number}.npy")), records(&[number; 6]));
        // The checks of the root are a second apart.
        std::thread::sleep(std::time::Duration::from_millis(1200));
    }
    assert!(was_born[0] < born("merged/in") && was_born[1] < born("merged/out"));
    let log = daemon.log();
    assert!(!log.contains("is a new directory"), "{log}");
    assert_eq!(log.matches("watching `").count(), 1, "{log}");
    assert!(daemon.stop().success());
}

/// Between two mounts of one file system the kernel neither renames nor links, although the device
/// is the same. Writers come through any mount, and are seen through all.
#[test]
fn bind_mounts_of_one_file_system() {
    if !as_root() {
        return;
    }
    for source in ["keep", "remove", "archive"] {
        let site = Site::new();
        fs::create_dir(site.path("fs")).unwrap();
        let Some(_fs) = Mounted::image(&site, "fs", "ext4", 128, &[]) else { return };
        let mut binds = Vec::new();
        for name in ["in", "out", "archive", "rejects"] {
            let below = site.path(format!("fs/{name}"));
            fs::create_dir(&below).unwrap();
            fs::create_dir_all(site.path(name)).unwrap();
            let args = ["--bind", below.to_str().unwrap()];
            let Some(bind) = Mounted::with(&site, name, "mount", &args) else { return };
            binds.push(bind);
        }
        let archive = if source == "archive" { "archive = 'archive'" } else { "" };
        site.configure(&format!("source = '{source}'\nrejects = 'rejects'\n{archive}"));
        let large = noise(17 << 20); // worth inserting room at its front
        site.write("fs/in/large.raw", &large)
            .drop_file("large.raw.toml", "dtype = '|u1'\nshape = [-1]");
        site.write("fs/in/scan.raw", [1; 6]).drop_file("scan.raw.toml", OPEN_SHAPE);
        site.drop_file("room.raw", [&[0; 128][..], &[3; 3]].concat())
            .drop_file("room.raw.toml", ROOM);
        site.drop_file("long.raw", [0; 25]).drop_file("long.raw.toml", SCAN_MANIFEST);
        site.drop_file("held.raw.toml", OPEN_SHAPE);
        let mut writer = File::create(site.path("fs/in/held.raw")).unwrap();
        writer.write_all(&[2; 3]).unwrap();

        let receipts = site.sweep_until("rejected").json();
        for (name, route) in [("large.raw", "insert-range"), ("room.raw", "in-place")] {
            let receipt = receipts.of_source(name);
            assert_eq!(receipt["route"], "copy", "{receipt}");
            let expected = route == "in-place" || source == "remove";
            let reason = receipt["reason"].as_str().unwrap_or_default();
            assert_eq!(reason.contains("another file system or mount"), expected, "{receipt}");
        }
        assert!(!site.has("out/held.npy"));
        writer.write_all(&[4; 3]).unwrap();
        drop(writer);
        site.sweep_until("finalized");
        assert_eq!(site.read("out/held.npy"), records(&[2, 2, 2, 4, 4, 4]));
        assert_eq!(site.read("out/scan.npy"), records(&[1; 6]));
        assert!(site.read("out/large.npy").ends_with(&large));
        assert!(site.read("out/room.npy").ends_with(&[3; 3]));
        assert_eq!(site.names("rejects"), ["long.raw", "long.raw.rejected.txt", "long.raw.toml"]);
        let sources = ["held.raw", "large.raw", "room.raw", "scan.raw"];
        let files = sources.map(|name| [name.to_owned(), format!("{name}.toml")]).concat();
        let left = |stay: &str| if source == stay { files.clone() } else { Vec::new() };
        assert_eq!((site.names("in"), site.names("archive")), (left("keep"), left("archive")));
        if source == "archive" {
            assert!(site.read("archive/large.raw") == large);
        }
        while binds.pop().is_some() {}
    }
}

/// As a sandbox makes it of a directory that `ReadWritePaths=` does not name. The array is made,
/// and the source goes once it can.
#[test]
fn a_read_only_bind_mount() {
    if !as_root() {
        return;
    }
    for source in SOURCES {
        let site = Site::with(&format!("source = '{source}'"));
        fs::create_dir(site.path("fs")).unwrap();
        let Some(below) = Mounted::memory(&site, "fs") else { return };
        let args = ["--bind", below.at().to_str().unwrap()];
        let Some(bind) = Mounted::with(&site, "in", "mount", &args) else { return };
        let remount = |options: &str| {
            let mut mount = Command::new("mount");
            mount.args(["-o", &format!("remount,bind,{options}")]).arg(bind.at());
            assert!(mount.status().unwrap().success());
        };
        remount("ro");
        site.write("fs/scan.raw", scan_bytes()).write("fs/scan.raw.toml", SCAN_MANIFEST);
        if source == "keep" {
            site.sweep().expect_code(0);
        } else {
            let words = ["in/scan.raw`: Read-only file system", "ReadWritePaths= and restart npyd"];
            site.sweep().expect_code(1).expect_words(&words);
        }
        assert_eq!(site.read("out/scan.npy"), scan_npy());
        assert_eq!(site.names("fs"), ["scan.raw", "scan.raw.toml"]);
        remount("rw");
        site.sweep().expect_code(0);
        assert_eq!(site.names("fs").is_empty(), source == "remove");
        assert_eq!(site.read("out/scan.npy"), scan_npy());
    }
}

/// The daemon lets go of the old file system, waits instead of writing below the mount point, and
/// takes the file system up again, with all that was written to it meanwhile.
#[test]
fn a_lazy_unmount() {
    if !as_root() {
        return;
    }
    for source in SOURCES {
        let site = Site::new();
        let Some(mounted) = Mounted::image(&site, "fs", "ext4", 16, &[]) else { return };
        fs::create_dir(site.path("fs/in")).unwrap();
        fs::create_dir(site.path("fs/out")).unwrap();
        move_to(&site, "fs", &format!("source = '{source}'\nrescan = '500ms'"));
        let mut daemon = site.daemon();
        let drop_in = |name: &str| {
            site.write(&format!("fs/in/{name}.raw"), [1; 6]);
            site.write(&format!("fs/in/{name}.raw.toml"), OPEN_SHAPE);
        };
        drop_in("before");
        let mut writer = File::create(site.path("fs/in/held.raw")).unwrap();
        site.write("fs/in/held.raw.toml", OPEN_SHAPE);
        writer.write_all(&[2; 3]).unwrap();
        daemon.wait_for_file("fs/out/before.npy");

        drop(mounted);
        daemon.wait_for_log("waiting for the drop directory");
        writer.write_all(&[4; 3]).unwrap();
        drop(writer);
        fs::create_dir(site.path("fs/in")).unwrap();
        fs::create_dir(site.path("fs/out")).unwrap();
        drop_in("below");
        daemon.wait_for_log("another file system was there");
        assert_eq!(site.names("fs/in"), ["below.raw", "below.raw.toml"]);
        assert_eq!(site.names("fs/out"), [""; 0]);

        mount_again(&site, &mut daemon, &drop_in, source);
    }
}

/// The output is unmounted or renamed while an array is copied to it: the source stays, and the
/// array is made again once there is an output.
#[test]
fn an_output_that_goes_away_during_a_copy() {
    if !as_root() {
        return;
    }
    let data = noise(4 << 20);
    for (source, is_unmounted) in [("remove", true), ("remove", false), ("archive", true)] {
        let site = Site::new();
        fs::create_dir(site.path("fs")).unwrap();
        let Some(mounted) = Mounted::memory(&site, "fs") else { return };
        fs::create_dir(site.path("fs/out")).unwrap();
        fs::create_dir(site.path("archive")).unwrap();
        let archive = site.path("archive").display().to_string();
        let archive = if source == "archive" { &*format!("archive = '{archive}'") } else { "" };
        let settings = format!("source = '{source}'\nmax_rate = '4 MB/s'\nrescan = '200ms'");
        let settings = format!("{settings}\n{archive}");
        let config = site.configuration("state", &settings);
        site.write("npyd.toml", config.replace("/out\"", "/fs/out\""));
        let mut daemon = site.daemon();
        site.drop_file("scan.raw", &data);
        site.drop_file("scan.raw.toml", format!("dtype = '|u1'\nshape = [{}]", data.len()));
        daemon.wait_for_copy(&site.path("fs/out"));
        let words = "was unmounted, renamed or removed while npyd used it";
        if is_unmounted {
            drop(mounted);
            daemon.wait_for_log(words);
            assert!(site.read("in/scan.raw") == data, "{source}");
        } else {
            fs::rename(site.path("fs/out"), site.path("fs/away")).unwrap();
            fs::create_dir(site.path("fs/out")).unwrap();
            daemon.wait_for_log(words);
            daemon.wait_for_file("fs/out/scan.npy");
            let array = npy("'|u1'", false, &[data.len() as u64], &data);
            assert!(site.read("fs/out/scan.npy") == array);
            daemon.wait_for("the source to go", || !site.has("in/scan.raw"));
        }
    }
}

/// The drop directory and the output are on one file system, and another one takes its place: npyd
/// goes on with both.
#[test]
fn another_file_system_under_drops_and_arrays() {
    if !as_root() {
        return;
    }
    let site = Site::new();
    fs::create_dir(site.path("fs")).unwrap();
    let mount = || {
        let mounted = Mounted::memory(&site, "fs")?;
        fs::create_dir(site.path("fs/in")).unwrap();
        fs::create_dir(site.path("fs/out")).unwrap();
        Some(mounted)
    };
    let Some(first) = mount() else { return };
    move_to(&site, "fs", "rescan = '200ms'");
    let mut daemon = site.daemon();
    let drop_in = |name: &str| {
        site.write(&format!("fs/in/{name}.raw"), [1; 6]);
        site.write(&format!("fs/in/{name}.raw.toml"), OPEN_SHAPE);
    };
    drop_in("first");
    daemon.wait_for_file("fs/out/first.npy");
    daemon.wait_for_receipts("finalized", 1);
    first.unmount();
    daemon.wait_for_log("waiting for the drop directory");
    let Some(second) = mount() else { return };
    drop_in("second");
    daemon.wait_for_file("fs/out/second.npy");
    // The output alone is on a third one: its drops wait.
    let Some(third) = Mounted::memory(&site, "fs/out") else { return };
    drop_in("third");
    daemon.wait_for_log("another file system was there");
    third.unmount();
    daemon.wait_for_file("fs/out/third.npy");
    assert!(daemon.stop().success());
    drop(second);
}

/// ext4 with `chattr +F`: a file is found under each spelling of its name, and inotify reports the
/// spelling that a program used. The drop is the one that the directory lists.
#[test]
fn a_directory_that_ignores_letter_case() {
    if !as_root() {
        return;
    }
    if !Path::new("/sys/fs/ext4/features/casefold").exists() {
        // Few kernels lack it, and no package adds it.
        eprintln!("left out: this kernel has no directories that ignore letter case");
        return;
    }
    let site = Site::with("rescan = '500ms'");
    let options = ["-O", "casefold", "-E", "encoding=utf8"];
    let Some(_mounted) = Mounted::image(&site, "fs", "ext4", 16, &options) else { return };
    for name in ["fs/in", "fs/out"] {
        fs::create_dir(site.path(name)).unwrap();
        if !succeeds("chattr", &["+F", site.path(name).to_str().unwrap()]) {
            return;
        }
    }
    move_to(&site, "fs", "rescan = '500ms'");
    let touch = |name: &str| {
        let file = File::options().append(true).create(true).open(site.path(name)).unwrap();
        file.set_modified(std::time::SystemTime::now()).unwrap();
    };
    let mut daemon = site.daemon();
    let write = |name: &str, data: &[u8]| fs::write(site.path(name), data).unwrap();
    write("fs/in/Scan.raw", &scan_bytes());
    write("fs/in/scan.raw.toml", SCAN_MANIFEST.as_bytes());
    write("fs/in/TWO.raw", &scan_bytes());
    touch("fs/in/two.raw");
    write("fs/in/two.toml", SCAN_MANIFEST.as_bytes());
    daemon.wait_for_file("fs/out/Scan.npy").wait_for_file("fs/out/TWO.npy");
    for name in ["fs/in/SCAN.RAW", "fs/in/scan.raw", "fs/in/tWO.raw", "fs/in/two.RAW"] {
        touch(name);
    }
    write("fs/in/two.RAW", &[1; 24]);
    daemon.wait_for_receipts("remade", 1);
    assert_eq!(site.read("fs/out/TWO.npy"), npy("'<f4'", false, &[2, 3], &[1; 24]));
    assert_eq!(site.read("fs/out/Scan.npy"), scan_npy());
    assert!(daemon.stop().success());
    assert_eq!(site.names("fs/out"), ["Scan.npy", "TWO.npy", "TWO.npy.~1~"]);
    for receipt in site.history() {
        let source = receipt["source"].as_str().unwrap();
        assert!(source.ends_with("/Scan.raw") || source.ends_with("/TWO.raw"), "{receipt}");
        assert_ne!(receipt["event"], "rejected", "{receipt}");
    }
}

/// A container may have one directory under two paths. Its files are not copies of themselves.
#[test]
fn an_archive_that_is_the_drop_directory() {
    if !as_root() {
        return;
    }
    let site = Site::with("source = 'archive'\narchive = 'old'");
    let at = site.path("in").display().to_string();
    fs::create_dir(site.path("old")).unwrap();
    let Some(_mounted) = Mounted::with(&site, "old", "mount", &["--bind", &at]) else { return };
    site.scan("scan");
    for _ in 0..2 {
        let told = site.sweep().expect_words(&["the drop directory itself, under another path"]);
        assert_eq!(site.names("in"), ["scan.raw", "scan.raw.toml"], "{told}");
        assert_eq!(site.read("in/scan.raw"), scan_bytes());
    }
    fs::create_dir(site.path("older")).unwrap();
    site.configure("source = 'archive'\narchive = 'older'");
    site.sweep().expect_code(0);
    assert_eq!(site.read("older/scan.raw"), scan_bytes());
    assert_eq!(site.read("out/scan.npy"), scan_npy());
}

/// The output is elsewhere, so that only the drop directory itself shows that its file system is
/// gone. Drops below the mount point wait for the file system that is mounted over them, or for a
/// restart. In a sandbox of systemd the mount point is a bind mount of itself.
#[test]
fn a_drop_directory_whose_file_system_is_unmounted() {
    if !as_root() {
        return;
    }
    for is_bind in [false, true] {
        let site = Site::with("rescan = '100ms'");
        let bind = || {
            let at = site.path("in").display().to_string();
            Mounted::with(&site, "in", "mount", &["--bind", &at])
        };
        let bind = if is_bind { Some(bind()) } else { None };
        let drop_in = |name: &str| {
            site.drop_file(&format!("{name}.raw"), [1; 6]);
            site.drop_file(&format!("{name}.raw.toml"), OPEN_SHAPE);
        };
        let mut daemon = site.daemon();
        // A file system that comes late is taken up.
        drop_in("early");
        daemon.wait_for_file("out/early.npy");
        let Some(mounted) = Mounted::image(&site, "in", "ext4", 16, &[]) else { return };
        drop_in("mounted");
        daemon.wait_for_file("out/mounted.npy");

        mounted.unmount();
        daemon.wait_for_log("another file system was there");
        drop_in("below");
        let image = site.path("in.image");
        let options = ["-t", "ext4", "-o", "loop", image.to_str().unwrap()];
        let Some(mounted) = Mounted::with(&site, "in", "mount", &options) else { return };
        drop_in("again");
        daemon.wait_for_file("out/again.npy");
        assert!(!site.has("out/below.npy"), "{}", daemon.log());
        assert_eq!(daemon.log().matches("another file system").count(), 1, "{}", daemon.log());
        mounted.unmount();
        assert!(daemon.stop().success());

        let mut daemon = site.daemon();
        daemon.wait_for_file("out/below.npy");
        drop((daemon, bind));
    }
}

/// All drops that need the output wait for its own file system, the log says so once, and `explain`
/// of each.
#[test]
fn another_file_system_in_place_of_the_output() {
    if !as_root() {
        return;
    }
    let site = Site::with("rescan = '500ms'\nsource = 'remove'");
    let Some(_own) = Mounted::image(&site, "out", "ext4", 16, &[]) else { return };
    let mut daemon = site.daemon();
    site.scan("before");
    daemon.wait_for_file("out/before.npy");
    daemon.wait_for("its files to go", || site.names("in").is_empty());
    let Some(other) = Mounted::memory(&site, "out") else { return };
    site.scan("first");
    daemon.wait_for_log("suspended: ");
    daemon.wait_for_receipts("failed", 1);
    site.scan("second");
    // The second is failing once it was tried.
    for (name, verdicts) in [("first", &["failing"][..]), ("second", &["waiting", "failing"])] {
        let path = site.path(format!("in/{name}.raw"));
        let explain = || site.npyd(&["explain", "--json", path.to_str().unwrap()]).json().remove(0);
        daemon.wait_for("its reason", || {
            let report = explain();
            let why = report["why"].as_str().unwrap_or_default();
            let verdict = report["verdict"].as_str().unwrap_or_default();
            verdicts.contains(&verdict) && why.contains("another file system was there")
        });
    }
    assert_eq!(site.names("out"), [""; 0]);
    assert_eq!(site.history().of_event("failed")[0]["dir"], site.path("out").to_str().unwrap());

    other.unmount();
    daemon.wait_for_file("out/first.npy").wait_for_file("out/second.npy");
    daemon.wait_for_log("going on with ");
    let log = daemon.log();
    for text in ["suspended: ", "another file system was there", "going on with "] {
        assert_eq!(log.matches(text).count(), 1, "{text}\n{log}");
    }
    assert!(daemon.stop().success());
}

/// Mounts the image again, and waits for the arrays of what came before and after.
fn mount_again(site: &Site, daemon: &mut Daemon, drop_in: &impl Fn(&str), source: &str) {
    let image = site.path("fs.image");
    let options = ["-t", "ext4", "-o", "loop", image.to_str().unwrap()];
    let Some(mounted) = Mounted::with(site, "fs", "mount", &options) else { return };
    drop_in("after");
    daemon.wait_for_file("fs/out/after.npy").wait_for_file("fs/out/held.npy");
    assert_eq!(site.read("fs/out/held.npy"), records(&[2, 2, 2, 4, 4, 4]));
    let stems = ["after", "before", "held"];
    let suffixes = if source == "keep" { &["npy"][..] } else { &["npy", "raw.toml.done"] };
    let outputs = stems.map(|stem| suffixes.iter().map(move |end| format!("{stem}.{end}")));
    let outputs: Vec<_> = outputs.into_iter().flatten().collect();
    daemon.wait_for("all outputs", || site.names("fs/out") == outputs);
    let left = if source == "keep" { 6 } else { 0 };
    daemon.wait_for("the sources", || site.names("fs/in").len() == left);
    drop(mounted);
}
