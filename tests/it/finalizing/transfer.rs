//! Moves to another file system, where rename can't work: the copy keeps times, owner, group,
//! permissions, ACL and attributes, and nobody can read it who could not read the source.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use rustix::fs::XattrFlags;
use tempfile::TempDir;

use crate::support::{
    Mounted, Outcome, Receipts, SCAN_MANIFEST, Site, as_root, has_strace, left_out, scan_bytes,
};

const ACL: &str = "system.posix_acl_access";
const DEFAULT_ACL: &str = "system.posix_acl_default";

/// The producer.
const UID: u32 = 1234;
const GID: u32 = 2345;

/// A site with an archive and a directory for refused drops on another file system.
fn elsewhere() -> Option<(Site, TempDir)> {
    let site = Site::new();
    let other = tempfile::tempdir_in("/dev/shm").ok();
    let device = |path: &Path| path.metadata().unwrap().dev();
    let Some(other) = other.filter(|it| device(it.path()) != device(&site.path("in"))) else {
        left_out("needs /dev/shm as a second file system");
        return None;
    };
    configure(&site, other.path());
    let probe = other.path().join("probe");
    File::create(&probe).unwrap();
    if rustix::fs::setxattr(&probe, "user.probe", b"1", XattrFlags::empty()).is_err() {
        left_out("/dev/shm has no attributes: that takes Linux 6.6");
        return None;
    }
    fs::remove_file(probe).unwrap();
    Some((site, other))
}

fn configure(site: &Site, other: &Path) {
    for name in ["archive", "bad"] {
        fs::create_dir_all(other.join(name)).unwrap();
    }
    let other = other.display();
    site.configure(&format!(
        "source = 'archive'\narchive = '{other}/archive'\nrejects = '{other}/bad'"
    ));
}

/// A time of the last access and one of the last change, to the nanosecond.
fn times() -> FileTimes {
    let time = |seconds| SystemTime::UNIX_EPOCH + Duration::new(seconds, 123_456_789);
    FileTimes::new().set_accessed(time(1_000_000_000)).set_modified(time(1_100_000_000))
}

/// Drops a scan, its two files with that mode, times and attributes of their own.
fn drop_scan(site: &Site, name: &str, mode: u32) -> Vec<u8> {
    let long = vec![b'x'; 3000];
    let manifest = format!("{name}.toml");
    site.drop_file(name, scan_bytes()).drop_file(&manifest, SCAN_MANIFEST);
    for name in [name, &manifest] {
        let path = site.path("in").join(name);
        let attributes =
            [("user.sample", &b"A17"[..]), ("user.long", &long), ("user.npyd.source", b"forged")];
        for (attribute, value) in attributes {
            rustix::fs::setxattr(&path, attribute, value, XattrFlags::empty()).unwrap();
        }
        File::options().write(true).open(&path).unwrap().set_times(times()).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    }
    long
}

fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 65536];
    let len = rustix::fs::getxattr(path, name, &mut value[..]).ok()?;
    Some(value[..len].to_vec())
}

#[track_caller]
fn assert_times(path: &Path) {
    let meta = path.metadata().unwrap();
    let times = (meta.atime(), meta.atime_nsec(), meta.mtime(), meta.mtime_nsec());
    // What npyd read before it copied may count as an access.
    let mtime = (1_100_000_000, 123_456_789);
    assert_eq!((times.2, times.3), mtime, "{}", path.display());
}

/// An archived source, its manifest, and a refused drop.
#[test]
fn times_mode_and_attributes_are_kept() {
    let Some((site, other)) = elsewhere() else { return };
    let long = drop_scan(&site, "scan.raw", 0o604);
    drop_scan(&site, "bad.raw", 0o640);
    let path = site.path("in/bad.raw.toml");
    let modified = path.metadata().unwrap().modified().unwrap();
    site.drop_file("bad.raw.toml", "dtype = '<f4'\nshape = [1]\n");
    File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
    // The kernel may note reading later than a day after.
    let accessed = site.path("in/scan.raw").metadata().unwrap().atime();
    let receipts = site.settle("rejected", 1);
    let receipt = receipts.of_source("scan.raw");
    assert_eq!((&receipt["event"], &receipt["reason"]), (&"finalized".into(), &().into()));
    for (name, mode) in [
        ("archive/scan.raw", 0o604),
        ("archive/scan.raw.toml", 0o604),
        ("bad/bad.raw", 0o640),
        ("bad/bad.raw.toml", 0o640),
    ] {
        let path = other.path().join(name);
        assert_times(&path);
        assert!(path.metadata().unwrap().atime() >= accessed, "{name}");
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, mode, "{name}");
        assert_eq!(attribute(&path, "user.sample").unwrap(), b"A17", "{name}");
        assert_eq!(attribute(&path, "user.long").unwrap(), long, "{name}");
        assert_eq!(attribute(&path, "user.npyd.source"), None, "{name}");
    }
    assert_eq!(fs::read(other.path().join("archive/scan.raw")).unwrap(), scan_bytes());
    assert_eq!(site.names("in"), [""; 0]);
}

/// npyd finds a copy that an interrupted run made, and does not mistake another file with equal
/// bytes for the copy.
#[test]
fn a_copy_that_is_there_already() {
    let Some((site, other)) = elsewhere() else { return };
    for (name, time) in [("scan.raw", true), ("later.raw", false)] {
        drop_scan(&site, name, 0o644);
        let copy = other.path().join("archive").join(name);
        fs::copy(site.path("in").join(name), &copy).unwrap();
        if time {
            File::options().write(true).open(&copy).unwrap().set_times(times()).unwrap();
        }
    }
    site.settle("finalized", 2);
    let archive = site.names(other.path().join("archive").to_str().unwrap());
    let names = ["later.raw", "later.raw.1", "later.raw.toml.1", "scan.raw", "scan.raw.toml"];
    assert_eq!(archive, names);
}

/// An ACL as the kernel stores it: the owner may all, the user 1000 and the owning group read.
fn acl(others: u16) -> Vec<u8> {
    let entries = [(1, 7, !0), (2, 4, 1000), (4, 4, !0), (16, 5, !0), (32, others, !0_u32)];
    let entry = |(tag, perm, id): (u16, u16, u32)| {
        [&tag.to_le_bytes()[..], &perm.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    [&2_u32.to_le_bytes()[..], &entries.map(entry).concat()].concat()
}

/// Drops a scan of the producer's with an ACL, and another with a mode alone.
fn drop_of_producer(site: &Site) {
    for name in ["acl.raw", "mode.raw"] {
        drop_scan(site, name, 0o4640);
        for name in [name.to_owned(), format!("{name}.toml")] {
            let path = site.path("in").join(&name);
            std::os::unix::fs::chown(&path, Some(UID), Some(GID)).unwrap();
            if name.starts_with("acl") {
                rustix::fs::setxattr(&path, ACL, &acl(0), XattrFlags::empty()).unwrap();
            } else {
                fs::set_permissions(&path, PermissionsExt::from_mode(0o6640)).unwrap();
            }
        }
    }
}

/// Owner, group, mode and whether there is an ACL, of what was archived.
fn archived(other: &Path, name: &str) -> (u32, u32, u32, bool) {
    let path = other.join("archive").join(name);
    let meta = path.metadata().unwrap();
    assert_times(&path);
    (meta.uid(), meta.gid(), meta.mode() & 0o7777, attribute(&path, ACL).is_some())
}

/// Sweeps as root without one of its capabilities, until both are archived; their remarks.
fn sweep_without(site: &Site, capability: &str, more: &[&str]) -> Vec<String> {
    let npyd = site.command();
    let mut command = Command::new("setpriv");
    command.envs(npyd.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.arg(format!("--bounding-set=-{capability}")).arg(format!("--inh-caps=-{capability}"));
    command.args(more).arg(npyd.get_program()).args(["sweep", "--json", "--config"]);
    command.arg(site.path("npyd.toml"));
    Outcome::of(&mut command).expect_code(0);
    let history = site.history();
    let remark = |name| history.of_source(name)["reason"].as_str().unwrap_or_default().to_owned();
    vec![remark("acl.raw"), remark("mode.raw")]
}

#[test]
fn owner_and_acl_are_kept() {
    if !as_root() {
        return;
    }
    for capability in ["fowner", "sys_nice"] {
        let Some((site, other)) = elsewhere() else { return };
        // What the archive would give to all files that are made there.
        let archive = other.path().join("archive");
        rustix::fs::setxattr(&archive, DEFAULT_ACL, &acl(5), XattrFlags::empty()).unwrap();
        drop_of_producer(&site);
        assert_eq!(sweep_without(&site, capability, &[]), ["", ""]);
        for name in ["acl.raw", "acl.raw.toml"] {
            assert_eq!(archived(other.path(), name), (UID, GID, 0o750, true), "{name}");
            assert_eq!(attribute(&archive.join(name), ACL).unwrap(), acl(0));
        }
        for name in ["mode.raw", "mode.raw.toml"] {
            assert_eq!(archived(other.path(), name), (UID, GID, 0o640, false), "{name}");
        }
    }
}

/// Without the right to change owners, who could not read the source can't read the copy.
#[test]
fn where_the_owner_can_not_be_kept_rights_are_narrowed() {
    if !as_root() {
        return;
    }
    let Some((site, other)) = elsewhere() else { return };
    drop_of_producer(&site);
    let lost = "could not keep the source's owner (which takes CAP_CHOWN), group";
    for remark in sweep_without(&site, "chown", &[]) {
        assert!(remark.contains(lost), "{remark}");
    }
    assert_eq!(archived(other.path(), "acl.raw"), (0, 0, 0o750, true));
    let narrowed = attribute(&other.path().join("archive/acl.raw"), ACL).unwrap();
    let mut wanted = acl(0);
    wanted[4 + 2 * 8 + 2] = 0; // the owning group, which is npyd's
    assert_eq!(narrowed, wanted);
    assert_eq!(archived(other.path(), "mode.raw"), (0, 0, 0o600, false));

    // A group of npyd's own can be given to a file.
    let Some((site, other)) = elsewhere() else { return };
    drop_of_producer(&site);
    let group = format!("--groups=0,{GID}");
    for remark in sweep_without(&site, "chown", &[&group]) {
        assert!(remark.ends_with("owner (which takes CAP_CHOWN)"), "{remark}");
    }
    assert_eq!(archived(other.path(), "acl.raw"), (0, GID, 0o750, true));
    assert_eq!(attribute(&other.path().join("archive/acl.raw"), ACL).unwrap(), acl(0));
    assert_eq!(archived(other.path(), "mode.raw"), (0, GID, 0o640, false));
}

/// A file system without ACLs and attributes: the owner alone may read what had an ACL.
#[test]
fn where_no_acl_can_be_kept_the_owner_alone_may_read() {
    if !as_root() {
        return;
    }
    let site = Site::new();
    fs::create_dir(site.path("fs")).unwrap();
    let Some(mounted) = Mounted::with(&site, "fs", "mount", &["-t", "ramfs", "npyd"]) else {
        return;
    };
    configure(&site, mounted.at());
    drop_of_producer(&site);
    let [acl, mode]: [String; 2] = sweep_without(&site, "sys_nice", &[]).try_into().unwrap();
    assert!(acl.ends_with("could not keep the source's ACL, extended attributes"), "{acl}");
    assert!(mode.ends_with("could not keep the source's extended attributes"), "{mode}");
    assert_eq!(archived(mounted.at(), "acl.raw"), (UID, GID, 0o700, false));
    assert_eq!(archived(mounted.at(), "mode.raw"), (UID, GID, 0o640, false));
    drop(mounted);
}

/// The order of the calls: the file is npyd's alone while it is filled, its group comes before its
/// permissions, its owner comes last, and all of it before the sync.
#[test]
fn nobody_may_read_it_at_any_moment_who_could_not_read_the_source() {
    if !as_root() || !has_strace() {
        return;
    }
    let Some((site, _other)) = elsewhere() else { return };
    drop_scan(&site, "mode.raw", 0o640);
    std::os::unix::fs::chown(site.path("in/mode.raw"), Some(UID), Some(GID)).unwrap();
    let log: PathBuf = site.path("strace.log");
    let npyd = site.command();
    let mut command = Command::new("strace");
    command.envs(npyd.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
        .args(["--follow-forks", "--output"])
        .arg(&log)
        .arg("--trace=openat,pwrite64,fsetxattr,fchown,fchmod,utimensat,fsync,linkat");
    command.arg(npyd.get_program()).args(["sweep", "--config"]).arg(site.path("npyd.toml"));
    Outcome::of(&mut command).expect_code(0);
    let log = fs::read_to_string(log).unwrap();
    let calls = [
        "O_TMPFILE, 0600)",
        "pwrite64(",
        "fsetxattr(",
        &format!("fchown(-1, {GID})"),
        "0640)",
        "utimensat(",
        &format!("fchown({UID}, -1)"),
        "fsync(",
        "\"mode.raw\"",
    ];
    let plain = |line: &str| {
        let (call, rest) = line.split_once('(').unwrap_or((line, ""));
        let call = call.split_whitespace().last().unwrap_or_default();
        // Without the descriptor.
        let rest =
            if call == "fchown" { rest.split_once(", ").unwrap_or_default().1 } else { rest };
        format!("{call}({rest}")
    };
    let mut lines = log.lines().map(plain).skip_while(|line| !line.contains(calls[0]));
    for call in calls {
        let found = lines.any(|line| line.contains(call));
        assert!(found, "no `{call}` in its place in\n{log}");
    }
}
