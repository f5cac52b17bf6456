//! Sources are removed only after a proof that no process writes to them, or after their
//! producer's mark. All but one of these tests run npyd as root without `CAP_LEASE` on files of
//! another user, as a service without that capability and root in many containers do.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::chown;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{
    Daemon, Mounted, Outcome, PendingFile, Producer, Receipts, Site, as_root, crc32c, has_strace,
    load, noise, python, scan_npy, sweep_with_fault, sweep_without_leases, without_leases,
};

/// Anybody but root.
const PRODUCER: u32 = 1000;

const OPEN_SHAPE: &str = "dtype = '<i4'\nshape = [-1, 3]\n";

/// Three records of twelve bytes.
const RECORDS: [[u8; 12]; 3] = [[1; 12], [2; 12], [3; 12]];

/// Makes the files in a directory those of another user.
fn give_away(site: &Site, dir: &str) {
    for name in site.names(dir) {
        chown(site.path(dir).join(name), Some(PRODUCER), Some(PRODUCER)).unwrap();
    }
}

/// A site that removes or archives its sources, with a mode that lets the producer in.
fn site(settings: &str) -> Site {
    let site = Site::new();
    fs::create_dir(site.path("archive")).unwrap();
    let archive = site.path("archive");
    site.configure(&settings.replace("ARCHIVE", &archive.display().to_string()));
    site
}

fn of_source(outcome: &Outcome, name: &str) -> Value {
    outcome.json().of_source(name).clone()
}

/// The third record comes through a descriptor that was open all the time.
#[test]
fn a_source_that_is_still_written_to_stays() {
    if !as_root() {
        return;
    }
    for settings in ["source = 'remove'", "source = 'archive'\narchive = 'ARCHIVE'"] {
        let site = site(settings);
        site.drop_file("scan.raw.toml", OPEN_SHAPE);
        let mut writer = File::create(site.path("in/scan.raw")).unwrap();
        writer.write_all(&RECORDS[..2].concat()).unwrap();
        give_away(&site, "in");
        let receipt = of_source(&sweep_without_leases(&site).expect_code(0), "scan.raw");
        assert_eq!(receipt["event"], "finalized", "{receipt}");
        assert_eq!(receipt["evidence"], "quiet", "{receipt}");
        assert_eq!(receipt["source_fate"], "unproven", "{receipt}");
        let reason = receipt["reason"].as_str().unwrap();
        for word in ["scan.raw", "CAP_LEASE", "digest", "remove_unproven"] {
            assert!(reason.contains(word), "{reason}");
        }
        assert!(site.read("out/scan.npy").ends_with(&RECORDS[1]));
        writer.write_all(&RECORDS[2]).unwrap();
        drop(writer);
        assert_eq!(site.read("in/scan.raw"), RECORDS.concat());
        assert_eq!(site.names("in"), ["scan.raw", "scan.raw.toml"]);
        assert_eq!(site.names("archive"), [""; 0]);
    }
}

/// The remade array contains the bytes that a process wrote after the first array was made. Without
/// a proof, the source stays after the remake as well.
#[test]
fn a_source_that_was_still_written_to_is_remade() {
    if !as_root() {
        return;
    }
    let site = site("source = 'remove'");
    site.drop_file("scan.raw.toml", OPEN_SHAPE);
    let mut writer = File::create(site.path("in/scan.raw")).unwrap();
    writer.write_all(&RECORDS[..2].concat()).unwrap();
    give_away(&site, "in");
    sweep_without_leases(&site).expect_code(0);
    writer.write_all(&RECORDS[2]).unwrap();
    drop(writer);
    let receipt = of_source(&sweep_without_leases(&site).expect_code(0), "scan.raw");
    let told = (&receipt["event"], &receipt["source_fate"]);
    assert_eq!(told, (&"remade".into(), &"unproven".into()));
    assert!(site.read("out/scan.npy").ends_with(&RECORDS.concat()));
    assert_eq!(site.names("out"), ["scan.npy"]);
    assert!(sweep_without_leases(&site).expect_code(0).json().is_empty());
    let receipt = of_source(&site.sweep().expect_code(0), "scan.raw");
    assert_eq!((&receipt["event"], &receipt["source_fate"]), (&"found".into(), &"removed".into()));
    assert!(site.read("out/scan.npy").ends_with(&RECORDS.concat()));
}

/// A source that goes later: its receipt has the route by which the array was made, not the one
/// that the source could take now.
#[test]
fn the_route_of_an_array_whose_source_goes_later() {
    if !as_root() {
        return;
    }
    for is_ledger_lost in [false, true] {
        let site = site("source = 'remove'\nmetadata = 'json'");
        site.drop_file("scan.raw.toml", "dtype = '<i4'\nshape = [3, 3]\nreserved = 128");
        site.drop_file("scan.raw", [&[0; 128][..], &RECORDS.concat()].concat());
        give_away(&site, "in");
        let made = of_source(&sweep_without_leases(&site).expect_code(0), "scan.raw");
        assert_ne!(made["route"], "in-place", "{made}");
        if is_ledger_lost {
            site.lose_ledger();
        }
        let found = of_source(&site.sweep().expect_code(0), "scan.raw");
        let told = (&found["event"], &found["source_fate"]);
        assert_eq!(told, (&"found".into(), &"removed".into()), "{found}");
        let expected = if is_ledger_lost { Value::Null } else { made["route"].clone() };
        assert_eq!(found["route"], expected, "{found}");
        let metadata: Value = serde_json::from_slice(&site.read("out/scan.npy.json")).unwrap();
        assert_eq!(metadata["receipt"]["route"], made["route"]);
        let explained = site.npyd(&["explain", "--json", "out/scan.npy"]).expect_code(0);
        assert_eq!(explained.json()[0]["route"], expected, "{explained}");
    }
}

/// A write to a mapped page that is already dirty changes no time. npyd syncs a source that may be
/// mapped before it reads the source, so that the next write changes a time.
#[test]
fn a_mapped_source_is_remade_whatever_page_is_written_to() {
    let (true, Some(python)) = (as_root(), python()) else { return };
    for kind in ["ext4", "xfs"] {
        let site = Site::new();
        let Some(_mounted) = Mounted::image(&site, "in", kind, 400, &[]) else { continue };
        site.drop_file("scan.raw.toml", "dtype = '<i4'\nshape = [4, 3]\n");
        let path = site.path("in/scan.raw");
        let arguments = [path.to_str().unwrap(), "4", "3", "0"];
        let mut producer = Producer::start(&python, "mapped.py", arguments);
        producer.say("frame 0 10");
        give_away(&site, "in");
        let receipt = of_source(&sweep_without_leases(&site).expect_code(0), "scan.raw");
        let told = (&receipt["event"], &receipt["evidence"]);
        assert_eq!(told, (&"finalized".into(), &"quiet".into()), "{receipt}");
        for frame in ["frame 1 11", "frame 2 12", "frame 3 13"] {
            producer.say(frame);
        }
        let outcome = sweep_without_leases(&site).expect_code(0);
        assert!(!outcome.json().is_empty(), "{kind}: the writes changed no time");
        let receipt = of_source(&outcome, "scan.raw");
        assert_eq!(receipt["event"], "remade", "{receipt}");
        let values = json!([[10, 10, 10], [11, 11, 11], [12, 12, 12], [13, 13, 13]]);
        assert_eq!(load(&python, site.path("out/scan.npy"))["values"], values, "{kind}");
    }
}

/// An array that is found is compared with the source, which npyd syncs first as well.
#[test]
fn a_mapped_source_whose_array_was_found_is_watched() {
    let (true, Some(python)) = (as_root(), python()) else { return };
    let site = Site::new();
    let Some(_mounted) = Mounted::image(&site, "in", "ext4", 32, &[]) else { return };
    site.drop_file("scan.raw.toml", "dtype = '<i4'\nshape = [1, 3]\n");
    let path = site.path("in/scan.raw");
    let arguments = [path.to_str().unwrap(), "1", "3", "0"];
    let mut producer = Producer::start(&python, "mapped.py", arguments);
    producer.say("frame 0 1");
    let data = [1_u32; 3].map(u32::to_le_bytes).concat();
    site.write("out/scan.npy", crate::support::npy("'<i4'", false, &[1, 3], &data));
    give_away(&site, "in");
    let receipt = of_source(&sweep_without_leases(&site).expect_code(0), "scan.raw");
    let told = (&receipt["event"], &receipt["evidence"]);
    assert_eq!(told, (&"found".into(), &"quiet".into()), "{receipt}");
    producer.say("frame 0 2");
    let outcome = sweep_without_leases(&site);
    assert!(!outcome.json().is_empty(), "the write changed no time");
}

/// A failed sync of a source that may be mapped is a data loss. A file system without a sync, such
/// as squashfs, has nothing to lose.
#[test]
fn a_sync_of_a_mapped_source_that_fails() {
    if !as_root() || !has_strace() {
        return;
    }
    for (errno, code, event) in [("EIO", 1, "rejected"), ("EINVAL", 0, "finalized")] {
        let site = Site::new();
        site.scan("scan");
        give_away(&site, "in");
        let mut strace = Command::new("strace");
        strace.args(["--follow-forks", "--output"]).arg(site.path("strace.log"));
        strace.arg("--trace-path").arg(site.path("in/scan.raw")).arg("--trace=fdatasync");
        strace.arg(format!("--inject=fdatasync:error={errno}"));
        let sweep = without_leases(&site);
        strace.envs(sweep.get_envs().filter_map(|(name, value)| Some((name, value?))));
        strace.arg(sweep.get_program()).args(sweep.get_args()).args(["sweep", "--json"]);
        strace.arg("--config").arg(site.path("npyd.toml"));
        let outcome = Outcome::of(&mut strace).expect_code(code);
        let receipt = of_source(&outcome, "scan.raw");
        assert_eq!(receipt["event"], event, "{receipt}");
        assert_eq!(site.has("out/scan.npy"), code == 0, "{receipt}");
        if code == 1 {
            outcome.expect_words(&["may be lost", "drop the file again"]);
        }
    }
}

/// A site with an array whose source stays for want of a proof.
fn with_unproven_source() -> Site {
    let site = site("source = 'remove'");
    site.scan("scan");
    give_away(&site, "in");
    let receipt = of_source(&sweep_without_leases(&site).expect_code(0), "scan.raw");
    assert_eq!(receipt["source_fate"], "unproven", "{receipt}");
    site
}

/// Each scan tries again to prove that the source has no writer. A scan that may take leases
/// removes the source; earlier scans write no further receipt.
#[test]
fn a_source_goes_once_there_is_a_proof() {
    if !as_root() {
        return;
    }
    let site = with_unproven_source();
    let array = site.identity("out/scan.npy");
    assert!(sweep_without_leases(&site).expect_code(0).json().is_empty());
    assert_eq!(site.names("in"), ["scan.raw", "scan.raw.toml"]);
    let receipt = of_source(&site.sweep().expect_code(0), "scan.raw");
    assert_eq!((&receipt["event"], &receipt["source_fate"]), (&"found".into(), &"removed".into()));
    assert_eq!(site.names("in"), [""; 0]);
    assert_eq!(site.names("out"), ["scan.npy", "scan.raw.toml.done"]);
    assert_eq!(site.identity("out/scan.npy"), array);
}

/// npyd is killed at any moment while it disposes of a source that stayed at first: before or after
/// the source is gone, and without a receipt about that. The next sweep does what is left.
#[test]
fn killed_while_the_source_goes() {
    if !as_root() || !has_strace() {
        return;
    }
    let kill = |call: &str, nth: usize| {
        let site = with_unproven_source();
        let fault = format!("{call}:signal=SIGKILL:when={nth}");
        let is_killed = sweep_with_fault(&site, None, &fault).unwrap().code != 0;
        let is_gone = !site.has("in/scan.raw");
        site.sweep().expect_code(0);
        site.sweep().expect_code(0);
        assert_eq!(site.names("in"), [""; 0], "{call} {nth}");
        assert_eq!(site.names("out"), ["scan.npy", "scan.raw.toml.done"], "{call} {nth}");
        assert_eq!(site.read("out/scan.npy"), scan_npy());
        (is_killed, is_gone)
    };
    let mut gone = 0;
    for call in ["renameat2", "fsync", "unlinkat"] {
        for nth in 1.. {
            let (is_killed, is_gone) = kill(call, nth);
            gone += usize::from(is_killed && is_gone);
            if !is_killed {
                break;
            }
        }
    }
    assert!(gone > 0, "no kill after the source was gone");
}

/// The description of data that somebody moves away waits for them.
#[test]
fn a_source_that_somebody_moves_away() {
    if !as_root() {
        return;
    }
    let site = with_unproven_source();
    fs::rename(site.path("in/scan.raw"), site.path("scan.raw")).unwrap();
    site.sweep().expect_code(0);
    assert_eq!(site.names("in"), ["scan.raw.toml"]);
    fs::rename(site.path("scan.raw"), site.path("in/scan.raw")).unwrap();
    site.sweep_until("found");
    assert_eq!(site.names("in"), [""; 0]);
}

/// A source that was kept as the settings said then is not removed by new ones.
#[test]
fn what_was_to_be_kept_stays() {
    let site = site("source = 'keep'");
    site.scan("scan").sweep().expect_code(0);
    site.configure("source = 'remove'");
    assert!(site.sweep().expect_code(0).json().is_empty());
    assert_eq!(site.names("in"), ["scan.raw", "scan.raw.toml"]);
}

/// The settings may ask for less than a proof.
#[test]
fn the_settings_may_let_it_go() {
    if !as_root() {
        return;
    }
    let site = with_unproven_source();
    assert_eq!(site.names("in"), ["scan.raw", "scan.raw.toml"]);
    site.configure("source = 'remove'\nremove_unproven = true");
    let receipt = of_source(&sweep_without_leases(&site).expect_code(0), "scan.raw");
    assert_eq!(receipt["source_fate"], "removed", "{receipt}");
    site.scan("other");
    give_away(&site, "in");
    let receipt = of_source(&sweep_without_leases(&site).expect_code(0), "other.raw");
    assert_eq!(receipt["source_fate"], "removed", "{receipt}");
    assert_eq!(site.names("in"), [""; 0]);
}

/// A drop needs no lease if a digest, a marker or a ready header shows that it is complete.
#[test]
fn the_producers_word_lets_it_go() {
    if !as_root() {
        return;
    }
    let template = "[[drop.template]]\nmatch = '*.u8'\ndtype = '|u1'\nshape = [-1]\n\
        reserved = 128\nmarker = 'DONE'";
    let site = site(&format!("source = 'remove'\n{template}"));
    let data = noise(24);
    let digest = crc32c(&data);
    site.drop_file("a.raw", &data).drop_file(
        "a.raw.toml",
        format!("dtype = '|u1'\nshape = [24]\ndigest = 'crc32c:{digest:08x}'\n"),
    );
    site.drop_file("b.u8", [&b"DONE"[..], &[0; 124], &data].concat());
    site.drop_file("c.npy.pending", PendingFile::ready(&[-1, 3]).with(&[7; 24]));
    give_away(&site, "in");
    let outcome = sweep_without_leases(&site).expect_code(0);
    assert_eq!(of_source(&outcome, "a.raw")["source_fate"], "removed", "{outcome}");
    assert_eq!(of_source(&outcome, "b.u8")["source_fate"], "array", "{outcome}");
    assert_eq!(of_source(&outcome, "c.npy.pending")["source_fate"], "array", "{outcome}");
    assert_eq!(site.names("in"), [""; 0]);
    assert_eq!(site.names("out"), ["a.npy", "a.raw.toml.done", "b.npy", "c.npy"]);
}

/// On `quiet` alone nothing is written into a file that somebody may still be writing to.
#[test]
fn a_file_that_may_be_written_to_does_not_become_the_array() {
    if !as_root() {
        return;
    }
    for source in ["keep", "remove"] {
        let site = site(&format!("source = '{source}'"));
        let room = [&[0; 128][..], &RECORDS.concat()].concat();
        site.drop_file("room.raw", &room);
        site.drop_file("room.raw.toml", format!("{OPEN_SHAPE}reserved = 128\n"));
        let large = noise(17 << 20);
        site.drop_file("large.raw", &large);
        site.drop_file("large.raw.toml", "dtype = '|u1'\nshape = [-1]\n");
        site.drop_file("part.npy.part", crate::support::npy("'|u1'", false, &[3], b"abc"));
        give_away(&site, "in");
        let before = ["room.raw", "large.raw", "part.npy.part"]
            .map(|name| (name, site.identity(&format!("in/{name}"))));
        let outcome = sweep_without_leases(&site).expect_code(0);
        for (name, identity) in before {
            let receipt = of_source(&outcome, name);
            assert_eq!(receipt["evidence"], "quiet", "{receipt}");
            assert!(["copy", "reflink"].contains(&receipt["route"].as_str().unwrap()), "{receipt}");
            assert_eq!(site.identity(&format!("in/{name}")), identity, "{name}");
        }
        assert_eq!(site.read("in/room.raw"), room);
        assert!(site.read("out/room.npy").ends_with(&RECORDS.concat()));
        assert!(site.read("out/large.npy").ends_with(&large));
        let reason = of_source(&outcome, "room.raw")["reason"].clone();
        assert!(reason.as_str().unwrap().contains("not in-place"), "{reason}");
    }
}

/// One file without a proof keeps all that belong to it.
#[test]
fn several_files_go_together_or_not_at_all() {
    if !as_root() {
        return;
    }
    let header = "NRRD0004\ntype: uchar\ndimension: 2\nsizes: 6 2\nencoding: raw\n\
        data file: LIST\na.raw\nb.raw\n";
    let list = "dtype = '|u1'\nshape = [2, 6]\ndata = ['a.raw', 'b.raw']\n";
    let glob = "dtype = '|u1'\nshape = [-1, 6]\ndata = '?.raw'\n";
    for (name, text, source) in [
        ("scan.nhdr", header, "a.raw"),
        ("scan.toml", list, "scan.toml"),
        ("scan.toml", glob, "scan.toml"),
    ] {
        for anothers in ["a.raw", "b.raw", name] {
            let site = site("source = 'remove'");
            site.drop_file("a.raw", [1; 6]).drop_file("b.raw", [2; 6]).drop_file(name, text);
            chown(site.path("in").join(anothers), Some(PRODUCER), None).unwrap();
            let receipt = of_source(&sweep_without_leases(&site).expect_code(0), source);
            assert_eq!(receipt["source_fate"], "unproven", "{receipt}");
            assert!(receipt["reason"].as_str().unwrap().contains(anothers), "{receipt}");
            assert_eq!(site.names("in"), ["a.raw", "b.raw", name]);
            let receipt = of_source(&site.sweep().expect_code(0), source);
            assert_eq!(receipt["source_fate"], "removed", "{receipt}");
            assert_eq!(site.names("in"), [""; 0]);
        }
    }
}

/// To rename a refused drop takes nothing from its writer; to copy and remove it would.
#[test]
fn a_refused_drop_leaves_its_file_system_only_on_a_proof() {
    if !as_root() {
        return;
    }
    let site = Site::new();
    for name in ["near", "far"] {
        fs::create_dir(site.path(name)).unwrap();
    }
    let Some(_mounted) = Mounted::memory(&site, "far") else { return };
    for (rejects, stays) in [("near", false), ("far", true)] {
        site.configure(&format!("rejects = '{}'", site.path(rejects).display()));
        site.drop_file("long.raw", [0; 28]);
        site.drop_file("long.raw.toml", "dtype = '<f4'\nshape = [2, 3]\n");
        give_away(&site, "in");
        let receipt = of_source(&sweep_without_leases(&site).expect_code(1), "long.raw");
        assert_eq!(receipt["event"], "rejected", "{receipt}");
        assert_eq!(site.has("in/long.raw"), stays, "{receipt}");
        assert_eq!(site.has(&format!("{rejects}/long.raw")), !stays, "{receipt}");
        let says_why = receipt["reason"].as_str().unwrap().contains("it was not moved");
        assert_eq!(says_why, stays, "{receipt}");
    }
}

/// What is missing is said before it matters.
#[test]
fn the_missing_right_is_told_of() {
    if !as_root() {
        return;
    }
    let site = site("source = 'remove'");
    let check = |mut command: Command| {
        Outcome::of(command.args(["check", "--config"]).arg(site.path("npyd.toml"))).stdout
    };
    let (without, with) = (check(without_leases(&site)), check(site.command()));
    assert!(without.contains("only on files of its own user (no CAP_LEASE)"), "{without}");
    assert!(with.contains("leases on files of every user"), "{with}");

    site.scan("scan");
    give_away(&site, "in");
    let explain = || {
        let mut explain = without_leases(&site);
        explain.args(["explain", "--config"]).arg(site.path("npyd.toml"));
        Outcome::of(explain.arg(site.path("in/scan.raw"))).stdout
    };
    let explained = explain();
    assert!(explained.contains("may not take leases on other users' files"), "{explained}");

    let mut daemon = Daemon::start_as(&site, "npyd.toml", without_leases(&site));
    daemon.wait_for_file("out/scan.npy").wait_for_receipts("finalized", 1);
    let log = daemon.log();
    let warns = |line: &str| line.contains("WARN") && line.contains("no CAP_LEASE");
    assert!(log.lines().any(warns), "{log}");
    assert!(site.has("in/scan.raw"));
    let explained = explain();
    assert!(explained.contains("the source is not removed"), "{explained}");
}

/// Root without any capability, as in many containers, is a user like any other: a proof is to be
/// had about its own files alone.
#[test]
fn root_without_capabilities() {
    if !as_root() {
        return;
    }
    let site = site("source = 'remove'");
    site.scan("theirs");
    give_away(&site, "in");
    site.scan("own");
    let npyd = site.command();
    let mut command = Command::new("setpriv");
    command.envs(npyd.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.args(["--bounding-set=-all", "--inh-caps=-all"]).arg(npyd.get_program());
    command.args(["sweep", "--json", "--config"]).arg(site.path("npyd.toml"));
    let receipts = Outcome::of(&mut command).expect_code(0).json();
    for (name, fate) in [("own.raw", "removed"), ("theirs.raw", "unproven")] {
        let receipt = receipts.of_source(name);
        assert_eq!(receipt["event"], "finalized", "{receipts:#?}");
        assert_eq!(receipt["source_fate"], fate, "{receipts:#?}");
    }
    assert_eq!(site.names("in"), ["theirs.raw", "theirs.raw.toml"]);
    for name in ["own", "theirs"] {
        assert_eq!(site.read(&format!("out/{name}.npy")), scan_npy());
    }
}
