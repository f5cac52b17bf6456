//! `npyd history`: the list of receipts. `npyd history` and `npyd retry` as another user than the
//! daemon's.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use crate::support::{Receipts, SCAN_MANIFEST, Site, as_root, wait_until};

const NPYD: u32 = 61_000;

/// A site whose directories belong to the user npyd, and whose ledger its group may read.
fn site_of_npyd() -> Site {
    let site = Site::new();
    for name in ["", "in", "out", "state"] {
        chown(site.path(name), Some(NPYD), Some(NPYD)).unwrap();
        fs::set_permissions(site.path(name), Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(site.path("state"), Permissions::from_mode(0o750)).unwrap();
    site
}

/// The sources of the lines of `npyd history ARGS…`, in their order, the same as of its JSON.
#[track_caller]
fn listed(site: &Site, args: &[&str]) -> Vec<String> {
    let text = site.npyd(&[&["history"], args].concat()).expect_code(0).stdout;
    let json = site.npyd(&[&["history", "--json"], args].concat()).expect_code(0).json();
    let name = |it: &serde_json::Value| {
        let path = it["source"].as_str().unwrap();
        let words = format!("  {:<9}  {path}", it["event"].as_str().unwrap());
        assert!(text.contains(&words), "no `{words}` in {text}");
        path.rsplit('/').next().unwrap().to_owned()
    };
    assert_eq!(text.lines().count(), json.len(), "{text}");
    json.iter().map(name).collect()
}

#[test]
fn receipts_of_a_time_a_kind_or_a_file() {
    let site = Site::new();
    site.scan("a").sweep().expect_code(0);
    site.drop_file("bad.raw", [0; 28]).drop_file("bad.toml", SCAN_MANIFEST);
    site.sweep_until("rejected");
    site.scan("b").sweep().expect_code(0);
    assert_eq!(listed(&site, &[]), ["a.raw", "bad.raw", "b.raw"]);
    assert_eq!(listed(&site, &["--failed"]), ["bad.raw"]);
    let array = site.path("out/b.npy").display().to_string();
    for (file, expected) in [
        ("a.raw", &["a.raw"][..]),
        ("in/a.raw", &["a.raw"]),
        ("a.npy", &["a.raw"]),
        (&array, &["b.raw"]),
        ("bad.raw", &["bad.raw"]),
    ] {
        assert_eq!(listed(&site, &[file]), expected, "{file}");
    }
    for file in ["raw", "other/a.raw"] {
        site.npyd(&["history", file]).expect_code(1).expect_words(&["no drop or array"]);
    }
    assert_eq!(listed(&site, &["b.npy", "bad.raw"]), ["bad.raw", "b.raw"]);
    assert_eq!(listed(&site, &["b.npy", "--failed"]), [""; 0]);

    let at = |source: &str| site.history().of_source(source)["at"].as_str().unwrap().to_owned();
    assert_eq!(listed(&site, &["--since", &at("bad.raw")]), ["bad.raw", "b.raw"]);
    assert_eq!(listed(&site, &["--since", &at("b.raw"), "--failed"]), [""; 0]);
    assert_eq!(listed(&site, &["--until", &at("b.raw")]), ["a.raw", "bad.raw"]);
    let only = ["--since", &at("bad.raw"), "--until", &at("b.raw")];
    assert_eq!(listed(&site, &only), ["bad.raw"]);
    assert_eq!(listed(&site, &["--until", "1day"]).len(), 0);
    assert_eq!(listed(&site, &["--since", "1day"]).len(), 3);
    assert_eq!(listed(&site, &["--since", "2000-01-01 10:00"]).len(), 3);
    assert_eq!(listed(&site, &["--since", "2999-01-01"]).len(), 0);
    site.npyd(&["history", "--since", "yesterday"]).expect_code(2).expect_words(&["90min"]);
}

/// What programs and spreadsheets want.
#[test]
fn receipts_of_a_drop_directory_or_an_event_or_the_newest() {
    let site = Site::new();
    site.scan("a").sweep().expect_code(0);
    site.drop_file("bad.raw", [0; 28]).drop_file("bad.toml", SCAN_MANIFEST);
    site.sweep_until("rejected");
    site.scan("b").sweep().expect_code(0);
    site.npyd(&["redo", "a.raw"]).expect_code(0);
    site.sweep().expect_code(0);
    let all = ["a.raw", "bad.raw", "b.raw", "a.raw", "a.raw"];
    assert_eq!(listed(&site, &[]), all);
    assert_eq!(listed(&site, &["--limit", "2"]), all[3..]);
    assert_eq!(listed(&site, &["--limit", "99"]), all);
    assert_eq!(listed(&site, &["--limit", "0"]), [""; 0]);
    assert_eq!(listed(&site, &["--limit", "1", "b.npy"]), ["b.raw"]);
    assert_eq!(listed(&site, &["--limit", "1", "--failed"]), ["bad.raw"]);
    assert_eq!(listed(&site, &["--limit", "1", "--rejected"]), ["bad.raw"]);
    assert_eq!(listed(&site, &["--event", "finalized"]), ["a.raw", "b.raw"]);
    let two = ["--event", "rejected,redo"];
    assert_eq!(listed(&site, &two), ["bad.raw", "a.raw"]);
    assert_eq!(listed(&site, &["--event", "redo", "--event", "rejected"]), ["bad.raw", "a.raw"]);
    assert_eq!(listed(&site, &[&two[..], &["--limit", "1"]].concat()), ["a.raw"]);
    site.npyd(&["history", "--event", "lost"]).expect_code(2).expect_words(&["finalized"]);
    let dir = site.path("in").display().to_string();
    for dir in ["in", "in/", "out/../in", &dir] {
        assert_eq!(listed(&site, &["--drop", dir]), all, "{dir}");
    }
    let told = site.npyd(&["history", "--drop", "out"]).expect_code(1);
    told.expect_words(&["out: neither the configuration nor the ledger"]);

    let csv = site.npyd(&["history", "--csv", "--limit", "1"]).expect_code(0).stdout;
    let [names, last] = csv.lines().collect::<Vec<_>>()[..] else { panic!("{csv}") };
    assert!(names.starts_with("at,event,drop,source,output,route,bytes,"), "{csv}");
    let words = format!(",found,{dir},{dir}/a.raw,{},", site.path("out/a.npy").display());
    assert!(last.contains(&words), "{csv}");
    assert_eq!(names.matches(',').count(), last.matches(',').count(), "{csv}");
    site.npyd(&["history", "--csv", "--json"]).expect_code(2);
}

/// Times name their zone, requests are words, and a line break in a name does not break the line.
#[test]
fn lines_for_people() {
    let site = Site::with("recursive = true");
    fs::create_dir(site.path("in/line\nbreak")).unwrap();
    site.scan("a").scan("line\nbreak/b").drop_file("c.raw", [0; 20]);
    site.drop_file("c.toml", "dtype = '<f4'\nshape = [3, 2]\n").sweep().expect_code(0);
    let redo = ["redo", "a.raw", "--dtype", "<i4", "--shape", "3,-1", "--order", "F"];
    site.npyd(&redo).expect_code(0);
    site.npyd(&["redo", "b.raw"]).expect_code(0);
    site.npyd(&["take", "in/c.raw"]).expect_code(0);
    site.sweep().expect_code(0);
    let told = site.npyd(&["history"]).expect_code(0);
    let at = site.history()[0]["at"].as_str().unwrap()[..19].replace('T', " ");
    assert!(told.stdout.starts_with(&format!("{at} UTC  finalized  ")), "{told}");
    assert_eq!(told.stdout.lines().count(), site.history().len(), "{told}");
    told.expect_words(&[
        "in/a.raw: requested, dtype '<i4', shape [3, -1], order F\n",
        "in/line\\nbreak/b.raw: requested\n",
        "in/c.raw: requested, all rows\n",
    ]);
    let told = site.npyd(&["history", "--json", "a.raw"]).expect_code(0).json();
    assert!(told.of_event("redo")[0]["reason"].as_str().unwrap().starts_with("{\"dtype\""));
}

#[test]
fn roots_ledger_belongs_to_npyd() {
    if !as_root() {
        return;
    }
    let site = site_of_npyd();
    site.scan("scan").sweep().expect_code(0);
    for name in site.names("state") {
        let stat = fs::metadata(site.path("state").join(&name)).unwrap();
        assert_eq!((stat.uid(), stat.gid()), (NPYD, NPYD), "{name}");
    }
    site.npyd(&["retry", "--all"]).expect_code(0);
    site.npyd(&["check"]).expect_code(0);
    site.npyd_as((NPYD, NPYD), &["sweep"]).expect_code(0);
}

/// Nobody has the ledger open, and a member of the group may not create SQLite's other files.
#[test]
fn the_group_reads_while_the_daemon_is_stopped() {
    if !as_root() {
        return;
    }
    let site = site_of_npyd();
    site.scan("scan");
    site.npyd_as((NPYD, NPYD), &["sweep"]).expect_code(0);
    assert_eq!(site.names("state"), ["ledger.sqlite"]);
    let told = site.npyd_as((65_534, NPYD), &["history", "--json"]).expect_code(0).json();
    assert_eq!(told.of_event("finalized").len(), 1);
    for request in [&["retry", "--all"][..], &["redo", "scan.raw"], &["take", "in/scan.raw"]] {
        let told = site.npyd_as((65_534, NPYD), request).expect_code(2);
        told.expect_words(&[
            "while npyd is stopped",
            "start npyd, or run this command as that user",
        ]);
    }
    site.npyd_as((65_534, 65_534), &["history"]).expect_code(2);
    assert_eq!(site.names("state"), ["ledger.sqlite"]);
}

/// The message names the missing right, the user or the group that has it, and who can grant it. It
/// does not advise root's group, nor another ledger.
#[test]
fn a_user_without_rights_on_the_ledger() {
    if !as_root() {
        return;
    }
    let site = site_of_npyd();
    site.sweep().expect_code(0);
    let group = NPYD + 1;
    let (as_owner, join) = (format!("run this command as user `{NPYD}`"), "usermod -aG 61001 ");
    for (owner, gid, mode, words, other) in [
        (NPYD, group, 0o750, [as_owner.as_str(), join], "chmod"),
        (NPYD, group, 0o700, ["chmod 750 ", join], "sudo"),
        (NPYD, group, 0o755, ["may not read it", join], "sudo"),
        (NPYD, NPYD, 0o750, [&as_owner, "(usermod -aG 61000 nobody), and log in again"], "chmod"),
        (0, 0, 0o750, ["run this command as user `root`", "may not enter"], "usermod"),
        (0, 0, 0o755, ["if npyd is to run as this user", "(chown -R nobody: "], "usermod"),
        (
            65_534,
            65_534,
            0o750,
            ["may not read it; make it the owner", "chown -R nobody: "],
            "chmod",
        ),
    ] {
        chown(site.path("state"), Some(owner), Some(gid)).unwrap();
        // Root began the ledger in the directory of the last one.
        let (owner, gid) = if owner == 65_534 { (0, 0) } else { (owner, gid) };
        chown(site.path("state/ledger.sqlite"), Some(owner), Some(gid)).unwrap();
        fs::set_permissions(site.path("state"), Permissions::from_mode(mode)).unwrap();
        let ledger = site.path("state/ledger.sqlite");
        fs::set_permissions(ledger, Permissions::from_mode(0o640)).unwrap();
        for (command, code) in [(&["history"][..], 2), (&["retry", "--all"], 2), (&["check"], 1)] {
            let told = site.npyd_as((65_534, 65_534), command).expect_code(code);
            let told = told.expect_words(&words);
            assert!(!format!("{told}").contains(other), "{told}");
        }
        // A member need not join.
        let member = site.npyd_as((65_534, gid), &["check"]).expect_code(1);
        assert!(!format!("{member}").contains("usermod"), "{member}");
    }
}

/// A member of the group may write to the ledger, but not move npyd's files.
#[test]
fn a_retry_of_a_file_in_a_directory_of_npyd() {
    if !as_root() {
        return;
    }
    let site = site_of_npyd();
    site.configure(&format!("rejects = \"{}\"", site.path("rejects").display()));
    site.drop_file("bad.raw", [0; 28]).drop_file("bad.toml", SCAN_MANIFEST);
    fs::create_dir(site.path("rejects")).unwrap();
    for name in ["rejects", "in/bad.raw", "in/bad.toml"] {
        chown(site.path(name), Some(NPYD), Some(NPYD)).unwrap();
    }
    // Without a daemon, the group also creates SQLite's other files.
    fs::set_permissions(site.path("state"), Permissions::from_mode(0o2770)).unwrap();
    let reject = || {
        let told = site.npyd_as((NPYD, NPYD), &["sweep", "--json"]).json();
        !told.of_event("rejected").is_empty()
    };
    wait_until("the rejection", String::new, reject);
    let told = site.npyd_as((65_534, NPYD), &["retry", "bad.raw"]).expect_code(1);
    told.expect_words(&["not retried: user `", &format!("run `npyd retry` as user `{NPYD}`")]);
    assert!(site.has("rejects/bad.raw"));
    site.npyd_as((NPYD, NPYD), &["retry", "bad.raw"]).expect_code(0);
    assert!(site.has("in/bad.raw"));
}

/// The mark counts only on npyd's own files; the bytes count on all.
#[test]
fn an_npyd_of_another_user_knows_the_arrays() {
    if !as_root() {
        return;
    }
    let site = site_of_npyd();
    site.scan("scan").scan("changed");
    site.npyd_as((NPYD, NPYD), &["sweep"]).expect_code(0);
    site.lose_ledger();
    let other = 61_001;
    for name in ["in", "out", "state"] {
        chown(site.path(name), Some(other), None).unwrap();
    }
    let (scan, changed) = (site.identity("out/scan.npy"), site.identity("out/changed.npy"));
    site.drop_file("changed.raw", [7; 24]);
    let told = site.npyd_as((other, other), &["sweep", "--json"]).expect_code(1).json();
    assert_eq!(told.of_event("found").len(), 1, "{told:#?}");
    assert_eq!(told.of_event("rejected").len(), 1, "{told:#?}");
    assert_eq!((site.identity("out/scan.npy"), site.identity("out/changed.npy")), (scan, changed));
}

/// A path with links or `..` is that of the ledger; a name that the ledger lacks is an error.
#[test]
fn files_by_other_paths() {
    let site = Site::new();
    site.scan("scan").sweep().expect_code(0);
    std::os::unix::fs::symlink(site.path("in"), site.path("link")).unwrap();
    for name in ["link/scan.raw", "in/../out/scan.npy", "in/../in/scan.raw"] {
        let told = site.npyd(&["history", name]).expect_code(0);
        assert_eq!(told.stdout.lines().count(), 1, "{name}: {told}");
    }
    let told = site.npyd(&["history", "nosuch.raw"]).expect_code(1);
    told.expect_words(&["nosuch.raw: the ledger has no drop or array of this name"]);
}

/// An archived source is found by its path in the archive, also where that has a number: of two
/// drops of one name, the one whose file it is.
#[test]
fn archived_files() {
    let site = Site::new();
    fs::create_dir(site.path("archive")).unwrap();
    let archive = site.path("archive");
    let archive = archive.display();
    site.configure(&format!(
        "source = 'archive'\narchive = '{archive}'\nremove_unproven = true\non_conflict = 'number'"
    ));
    for (number, byte) in [1, 2].into_iter().zip([3, 4]) {
        site.scan("scan").drop_file("scan.raw", [byte; 24]);
        site.settle("finalized", number);
    }
    let files: Vec<_> =
        site.names("archive").into_iter().filter(|name| !name.contains(".toml")).collect();
    assert_eq!(files.len(), 2, "{files:?}");
    for (file, array) in files.iter().zip(["scan.npy", "scan-1.npy"]) {
        let told = site.npyd(&["history", &format!("archive/{file}")]).expect_code(0);
        assert_eq!(told.stdout.lines().count(), 1, "{told}");
        told.expect_words(&[array]);
    }
    site.npyd(&["history", "archive/other.raw"]).expect_code(1);
}

/// Whether the array that is there is that of the drop, only the ledger says.
#[test]
fn explain_without_a_right_to_the_ledger() {
    if !as_root() {
        return;
    }
    let site = site_of_npyd();
    site.scan("scan");
    site.npyd_as((NPYD, NPYD), &["sweep"]).expect_code(0);
    fs::set_permissions(site.path("state"), Permissions::from_mode(0o750)).unwrap();
    let told = site.npyd_as((65_534, 65_534), &["explain", "in/scan.raw"]).expect_code(0);
    assert!(!told.stdout.contains("verdict        rejected"), "{told}");
    told.expect_words(&["unknown"]);
}
