//! Files and directories that `chattr +i` or `+a` protects, from root as well.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

use crate::support::{
    Mounted, Outcome, PendingFile, Receipts, SCAN_MANIFEST, Site, as_root, npy, scan_bytes,
    scan_npy, wait_until,
};

/// A site whose `in`, `out`, `archive` and `bad` are on a new ext4; `None` where it can't be made.
fn site(settings: &str) -> Option<(Site, Mounted)> {
    if !as_root() {
        return None;
    }
    let site = Site::new();
    let mounted = Mounted::image(&site, "fs", "ext4", 64, &[])?;
    for name in ["in", "out", "archive", "bad"] {
        fs::create_dir(mounted.at().join(name)).unwrap();
        let _ = fs::remove_dir(site.path(name));
        std::os::unix::fs::symlink(mounted.at().join(name), site.path(name)).unwrap();
    }
    let root = site.path("");
    site.configure(&settings.replace("ROOT", root.to_str().unwrap().trim_end_matches('/')));
    Some((site, mounted))
}

fn chmod(path: impl AsRef<std::path::Path>, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[track_caller]
fn chattr(site: &Site, change: &str, name: &str) {
    let status = Command::new("chattr")
        .arg(change)
        .arg(site.path(name).canonicalize().unwrap())
        .status()
        .unwrap();
    assert!(status.success(), "chattr {change} {name}");
}

/// Writes a drop for each route by which the data file itself would become the array, and a drop
/// for a copy. All become arrays of ones.
fn drop_for_each_route(site: &Site) -> [&'static str; 4] {
    let ones = |len: usize| vec![1; len];
    let digest = xxhash_rust::xxh3::xxh3_64(&ones(64 << 10));
    site.drop_file("pending.npy.pending", PendingFile::ready(&[4]).with(&ones(16)));
    site.drop_file("room.raw", [vec![0; 128], ones(16)].concat());
    site.drop_file("room.raw.toml", "dtype = '<i4'\nshape = [4]\nreserved = 128\n");
    site.drop_file("large.raw", ones(64 << 10));
    let manifest = format!("dtype = '<i4'\nshape = [16384]\ndigest = 'xxh3:{digest:016x}'\n");
    site.drop_file("large.raw.toml", manifest);
    site.drop_file("plain.raw", ones(16));
    site.drop_file("plain.raw.toml", "dtype = '<i4'\nshape = [4]\n");
    ["pending.npy.pending", "room.raw", "large.raw", "plain.raw"]
}

/// The data are copied, the source stays, and npyd says why, once. It goes when it may.
#[test]
fn a_source() {
    for (flag, says) in [("i", "immutable (chattr +i)"), ("a", "append-only (chattr +a)")] {
        for settings in [
            "source = 'remove'",
            "source = 'archive'\narchive = 'ROOT/archive'\nremove_unproven = true",
        ] {
            {
                let Some((site, _mounted)) = site(settings) else { return };
                let names = drop_for_each_route(&site);
                for name in names {
                    chattr(&site, &format!("+{flag}"), &format!("in/{name}"));
                }
                let receipts = site.sweep().expect_code(0).json();
                for name in names {
                    let receipt = receipts.of_source(name);
                    assert_eq!(receipt["event"], "finalized", "{receipt}");
                    assert_eq!(receipt["route"], "copy", "{receipt}");
                    assert_eq!(receipt["source_fate"], "unproven", "{receipt}");
                    let reason = receipt["reason"].as_str().unwrap();
                    let remedy = format!("chattr -{flag}");
                    assert!(reason.contains(says) && reason.contains(&remedy), "{reason}");
                    assert!(site.has(&format!("in/{name}")));
                }
                assert_eq!(site.read("out/plain.npy"), npy("'<i4'", false, &[4], &[1; 16]));
                assert_eq!(site.read("out/room.npy"), site.read("out/pending.npy"));
                for _ in 0..2 {
                    let again = site.sweep().expect_code(0);
                    assert!(again.stdout.is_empty() && again.stderr.is_empty(), "{again}");
                }
                let told = site.npyd(&["explain", "in/plain.raw"]).expect_code(0);
                told.expect_words(&[says]);

                for name in names {
                    chattr(&site, &format!("-{flag}"), &format!("in/{name}"));
                }
                site.settle("found", names.len());
                assert_eq!(site.names("in"), [""; 0]);
            }
        }
    }
}

/// A manifest that can't move keeps its data file, so that neither is left over.
#[test]
fn a_manifest() {
    let Some((site, _mounted)) = site("source = 'remove'") else { return };
    drop_for_each_route(&site);
    for name in ["room.raw.toml", "large.raw.toml", "plain.raw.toml"] {
        chattr(&site, "+i", &format!("in/{name}"));
    }
    let receipts = site.sweep().expect_code(0).json();
    for name in ["room.raw", "large.raw", "plain.raw"] {
        let receipt = receipts.of_source(name);
        assert_eq!((&receipt["event"], &receipt["route"]), (&"finalized".into(), &"copy".into()));
        assert!(receipt["reason"].as_str().unwrap().contains(".toml` is immutable"), "{receipt}");
    }
    assert_eq!(receipts.of_source("pending.npy.pending")["route"], "in-place");
    assert_eq!(site.names("in").len(), 6);
    let again = site.sweep().expect_code(0);
    assert!(again.stdout.is_empty() && again.stderr.is_empty(), "{again}");
}

/// A rejected drop stays where it is, and is not tried again.
#[test]
fn a_rejected_drop() {
    for flag in ["i", "a"] {
        let Some((site, _mounted)) = site("rejects = 'ROOT/bad'") else { return };
        site.drop_file("scan.raw", [0; 28]).drop_file("scan.raw.toml", SCAN_MANIFEST);
        chattr(&site, &format!("+{flag}"), "in/scan.raw");
        let outcome = site.sweep_until("rejected").expect_code(1);
        outcome.expect_words(&["28 bytes", "was not moved", &format!("chattr +{flag}")]);
        let again = site.sweep().expect_code(0);
        assert!(again.stdout.is_empty() && again.stderr.is_empty(), "{again}");
        assert_eq!((site.names("in").len(), site.names("bad")), (2, vec![]));
        chattr(&site, &format!("-{flag}"), "in/scan.raw");
        site.sweep_until("rejected");
        assert_eq!(site.names("in"), [""; 0]);
    }
}

/// A protected drop directory keeps its sources until it is not protected any more.
#[test]
fn a_drop_directory() {
    for flag in ["i", "a"] {
        let Some((site, _mounted)) = site("source = 'remove'") else { return };
        let names = drop_for_each_route(&site);
        chattr(&site, &format!("+{flag}"), "in");
        let receipts = site.sweep().expect_code(0).json();
        for name in names {
            let receipt = receipts.of_source(name);
            assert_eq!(receipt["source_fate"], "unproven", "{receipt}");
            let reason = receipt["reason"].as_str().unwrap();
            assert!(reason.contains(&format!("chattr -{flag}` on the directory")), "{reason}");
        }
        let again = site.sweep().expect_code(0);
        assert!(again.stdout.is_empty() && again.stderr.is_empty(), "{again}");
        chattr(&site, &format!("-{flag}"), "in");
        site.settle("found", names.len());
        assert_eq!(site.names("in"), [""; 0]);
    }
}

/// An output that can't get new names is named with its remedy; one that can only get them is fine.
#[test]
fn an_output() {
    let Some((site, _mounted)) = site("source = 'remove'") else { return };
    site.scan("scan");
    chattr(&site, "+i", "out");
    site.sweep().expect_code(1).expect_words(&["/out` is immutable (chattr +i)", "chattr -i"]);
    assert_eq!(site.names("in"), ["scan.raw", "scan.raw.toml"]);
    chattr(&site, "-i", "out");
    chattr(&site, "+a", "out");
    site.sweep().expect_code(0);
    assert_eq!(site.read("out/scan.npy"), scan_npy());
    assert_eq!(site.names("in"), [""; 0]);
    assert_eq!(site.names("out"), ["scan.npy", "scan.raw.toml.done"]);
    site.drop_file("other.raw", scan_bytes()).drop_file("other.toml", SCAN_MANIFEST);
    site.sweep().expect_code(0);
    chattr(&site, "-a", "out");
}

/// Another user's file in a directory where npyd may remove none: the array is made, the source
/// stays, and npyd says why, once. It goes when it may.
#[test]
fn a_directory_whose_rights_keep_the_source() {
    const NPYD: u32 = 65534;
    if !as_root() {
        return;
    }
    for (mode, why, remedy) in [
        (0o1777, "is sticky (chmod +t)", "`chmod -t`"),
        (0o755, "is one that npyd's user may not write to", "write permission"),
    ] {
        let site = Site::with("source = 'remove'");
        for name in ["state", "out"] {
            chown(site.path(name), Some(NPYD), Some(NPYD)).unwrap();
        }
        chmod(site.path(""), 0o755);
        site.drop_file("large.raw", vec![1; 64 << 10]);
        site.drop_file("large.toml", "dtype = '<i4'\nshape = [16384]\n");
        for name in ["in/large.raw", "in/large.toml"] {
            chown(site.path(name), Some(1000), Some(1000)).unwrap();
            chmod(site.path(name), 0o666);
        }
        let npyd = |args: &[&str]| {
            let of_site = site.command();
            let mut command = Command::new("setpriv");
            command.envs(of_site.get_envs().filter_map(|(name, value)| Some((name, value?))));
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
            command.args(["--inh-caps=+lease", "--ambient-caps=+lease"]);
            command.arg(of_site.get_program()).args(args).current_dir(site.path(""));
            Outcome::of(&mut command).expect_code(0)
        };
        chmod(site.path("in"), mode);
        let receipt = npyd(&["sweep", "--json"]).json().of_source("large.raw").clone();
        let told = (&receipt["event"], &receipt["source_fate"], &receipt["route"]);
        assert_eq!(told, (&"finalized".into(), &"unproven".into(), &"copy".into()), "{receipt}");
        let reason = receipt["reason"].as_str().unwrap().to_owned();
        let stays = format!("the source is not removed: the directory of `large.raw` {why}");
        assert!(reason.contains(&stays) && reason.contains(remedy), "{reason}");
        assert!(npyd(&["sweep", "--json"]).json().is_empty());
        npyd(&["explain", "in/large.raw"]).expect_words(&["finished", &stays, remedy]);
        if mode == 0o1777 {
            npyd(&["check"]).expect_words(&["of other users: copy; the source stays", why, remedy]);
        }
        let as_root = || site.npyd(&["check"]).expect_code(0).stdout;
        let whose = "make user `nobody` its owner";
        assert_eq!(as_root().contains(whose), mode == 0o1777, "{}", as_root());
        chmod(site.path("in"), 0o777);
        npyd(&["check"]);
        assert!(!as_root().contains("sticky"), "{}", as_root());
        let receipt = npyd(&["sweep", "--json"]).json().of_source("large.raw").clone();
        let told = (&receipt["event"], &receipt["source_fate"]);
        assert_eq!(told, (&"found".into(), &"removed".into()), "{receipt}");
    }
}

/// A rejected file that can't leave such a directory: the message names the directory.
#[test]
fn a_sticky_directory_and_a_rejected_file() {
    if !as_root() {
        return;
    }
    let site = Site::new();
    let rejects = site.path("bad");
    fs::create_dir(&rejects).unwrap();
    site.configure(&format!("rejects = '{}'", rejects.display()));
    for name in ["state", "out", "bad"] {
        chown(site.path(name), Some(65534), Some(65534)).unwrap();
    }
    chmod(site.path(""), 0o755);
    site.drop_file("long.raw", [1; 20]);
    site.drop_file("long.raw.toml", "dtype = '|u1'\nshape = [10]\n");
    for name in ["in/long.raw", "in/long.raw.toml"] {
        chown(site.path(name), Some(1000), Some(1000)).unwrap();
    }
    chmod(site.path("in"), 0o1777);
    let mut failed = String::new();
    wait_until("the move fails", String::new, || {
        failed = site.npyd_as((65534, 65534), &["sweep", "--json"]).stdout;
        failed.contains("sticky")
    });
    assert!(failed.contains("\"event\":\"failed\""), "{failed}");
    for words in ["/in` is sticky (chmod +t)", "`chmod -t` it"] {
        assert!(failed.contains(words), "{failed}");
    }
    site.npyd(&["check"]).expect_words(&["rejected files of other users stay, because `"]);
}
