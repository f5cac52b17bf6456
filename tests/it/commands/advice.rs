//! What commands state and advise: it is true, also for users who see less than npyd, and it leads
//! somewhere.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};

use serde_json::Value;

use crate::support::{
    Daemon, Receipts, SCAN_MANIFEST, Site, as_root, npy, reason, scan_bytes, wait_until,
};

/// The user that npyd runs as, and a producer.
const NPYD: u32 = 61_000;
const PRODUCER: u32 = 61_001;

fn explain(site: &Site, file: &str) -> Value {
    site.npyd(&["explain", "--json", file]).only_receipt()
}

fn notes(told: &Value) -> String {
    told["notes"].to_string()
}

/// The array of an earlier file keeps its name: redo does not reach it while the new file is there,
/// and does once that is gone.
#[test]
fn the_array_of_an_earlier_file() {
    let site = Site::with("source = 'remove'\nremove_unproven = true");
    site.scan("scan").settle("finalized", 1);
    let data = [7; 24];
    site.drop_file("scan.raw", data).drop_file("scan.raw.toml", SCAN_MANIFEST);
    let history = site.settle("rejected", 1);
    let why = reason(history.of_event("rejected")[0]);
    for words in ["move it away", "another name", "set `output` in its manifest"] {
        assert!(why.contains(words), "{why}");
    }
    assert!(!why.contains("npyd redo"), "{why}");
    for name in ["scan.raw", "out/scan.npy"] {
        let told = site.npyd(&["redo", name, "--dtype", "<i4"]).expect_code(1);
        told.expect_words(&[
            "not made again: ",
            "move it away",
            "to correct `",
            "out of its directory",
        ]);
    }
    // As the last says.
    for name in ["scan.raw", "scan.raw.toml"] {
        fs::remove_file(site.path(format!("in/{name}"))).unwrap();
    }
    site.npyd(&["redo", "out/scan.npy", "--dtype", "<i4"]).expect_code(0);
    site.settle("remade", 1);
    assert_eq!(site.read("out/scan.npy"), npy("'<i4'", false, &[2, 3], &scan_bytes()));
    // As the first says.
    site.drop_file("scan.raw", data);
    site.drop_file("scan.raw.toml", format!("{SCAN_MANIFEST}output = 'other.npy'\n"));
    site.settle("finalized", 2);
    assert!(site.read("out/other.npy").ends_with(&data));
    // The array that is named, not the newest one of that source.
    site.npyd(&["redo", "out/scan.npy", "--dtype", "<u4"]).expect_code(0);
    site.settle("remade", 2);
    assert_eq!(site.read("out/scan.npy"), npy("'<u4'", false, &[2, 3], &scan_bytes()));
    assert!(site.read("out/other.npy").ends_with(&data));
}

/// An array stays as it is when its template is corrected; explain says so, and how to redo it.
#[test]
fn a_corrected_template() {
    let template = |dtype: &str| {
        format!("[[drop.template]]\nmatch = '*.u16'\ndtype = '{dtype}'\nshape = [-1, 2]\n")
    };
    let site = Site::with(&template("<u2"));
    site.drop_file("a.u16", [1; 8]).settle("finalized", 1);
    assert!(
        explain(&site, "in/a.u16")["notes"].is_null()
            || !notes(&explain(&site, "in/a.u16")).contains("template")
    );
    site.configure(&template("<i2"));
    assert!(site.sweep().expect_code(0).json().is_empty());
    for file in ["in/a.u16", "out/a.npy"] {
        let told = explain(&site, file);
        assert_eq!(told["verdict"], "finished", "{told:#}");
        assert_eq!(told["dtype"], "'<u2'", "{told:#}");
        let words = ["the template was another one", "dtype '<i2'", "`npyd redo a.u16` makes"];
        assert!(words.iter().all(|words| notes(&told).contains(words)), "{told:#}");
    }
    site.npyd(&["redo", "a.u16"]).expect_code(0);
    site.settle("remade", 1);
    assert_eq!(site.read("out/a.npy"), npy("'<i2'", false, &[2, 2], &[1; 8]));
    for file in ["in/a.u16", "out/a.npy"] {
        assert!(!notes(&explain(&site, file)).contains("template"), "{file}");
    }
}

/// Whether a daemon runs is said where work is left, and by check.
#[test]
fn whether_a_daemon_runs() {
    let site = Site::with("rescan = '1h'");
    site.scan("short").drop_file("short.raw", [1; 3]);
    let none = "no daemon uses the state directory";
    assert!(notes(&explain(&site, "in/short.raw")).contains(none));
    site.npyd(&["check"]).expect_words(&["daemon         none uses this state directory now"]);
    let daemon = site.daemon();
    let running = format!("daemon         running (pid {})", daemon.pid());
    assert!(!notes(&explain(&site, "in/short.raw")).contains(none));
    site.npyd(&["check"]).expect_words(&[&running]);
    site.write("second.toml", fs::read(site.path("npyd.toml")).unwrap());
    let mut second = Daemon::start(&site, "second.toml");
    let warning = format!("another npyd (pid {}) uses the state directory", daemon.pid());
    second.wait_for_log(&warning);
    assert!(!daemon.log().contains("another npyd"), "{}", daemon.log());
    let account = || site.npyd(&["check"]).to_string();
    wait_until("both daemons", account, || account().contains("several use this state directory"));
    assert!(daemon.stop().success());
    site.npyd(&["check"]).expect_words(&[&format!("running (pid {})", second.pid())]);
    // A directory that takes the path of the state directory is known, too.
    fs::rename(site.path("state"), site.path("state.old")).unwrap();
    fs::create_dir(site.path("state")).unwrap();
    wait_until("the lock of the new directory", account, || account().contains("running (pid"));
    assert!(second.stop().success());
    assert!(notes(&explain(&site, "in/short.raw")).contains(none));
    site.npyd(&["sweep"]).expect_code(0);
    let told = explain(&site, "out/none.npy");
    assert!(!notes(&told).contains(none), "{told:#}");
}

/// A change of settings that can't matter does not judge rejected drops again.
#[test]
fn rejected_drops_after_a_change_of_settings() {
    let site = Site::new();
    site.scan("long").drop_file("long.raw", [1; 28]).settle("rejected", 1);
    site.configure("rescan = '50s'\nmax_rate = '1GB/s'\nwatch = 'poll'\nundescribed_after = '1h'");
    assert!(site.sweep().expect_code(0).json().is_empty());
    let mut daemon = site.daemon();
    site.configure("rescan = '49s'");
    daemon.reload();
    site.scan("next");
    daemon.wait_for_file("out/next.npy");
    assert!(!daemon.log().contains("long.raw"), "{}", daemon.log());
    assert!(daemon.stop().success());
    // One that can matter does.
    site.configure("allow_trailing = true");
    site.settle("finalized", 2);
    assert!(site.has("out/long.npy"));
}

/// An archived source is not said to be kept.
#[test]
fn why_an_archived_source_gets_no_header() {
    let site = Site::new();
    fs::create_dir(site.path("raw")).unwrap();
    let archive = format!("source = 'archive'\narchive = '{}'", site.path("raw").display());
    for (settings, words) in [(archive.as_str(), "archived as it is"), ("", "the source is kept")] {
        site.configure(settings).scan("scan");
        let told = explain(&site, "in/scan.raw");
        assert!(told["passed_over"].to_string().contains(words), "{told:#}");
    }
}

/// An archive that npyd may not write to is named, and not the private name of the source.
#[test]
fn an_archive_without_rights() {
    let site = Site::new();
    fs::create_dir(site.path("raw")).unwrap();
    site.configure(&format!(
        "source = 'archive'\narchive = '{}'\nremove_unproven = true",
        site.path("raw").display()
    ));
    site.scan("scan");
    fs::set_permissions(site.path("raw"), Permissions::from_mode(0o555)).unwrap();
    let told = site.npyd_by_rights(&["sweep", "--json"]);
    fs::set_permissions(site.path("raw"), Permissions::from_mode(0o755)).unwrap();
    assert!(!told.to_string().contains(".npyd-taken"), "{told}");
    told.expect_words(&["raw/scan.raw`", "raw` is one that npyd's user may not write to"]);
    assert_eq!(site.read("in/scan.raw"), scan_bytes());
}

/// A site that belongs to npyd's user; a producer may drop files, and read the arrays.
fn site_of_npyd(settings: &str) -> Site {
    let site = Site::with(settings);
    for (name, mode) in [("", 0o755), ("in", 0o777), ("out", 0o755), ("state", 0o750)] {
        chown(site.path(name), Some(NPYD), Some(NPYD)).unwrap();
        fs::set_permissions(site.path(name), Permissions::from_mode(mode)).unwrap();
    }
    site
}

/// Drops a scan as the producer.
fn produce(site: &Site, name: &str) {
    site.scan(name);
    for suffix in ["raw", "raw.toml"] {
        let path = site.path(format!("in/{name}.{suffix}"));
        chown(&path, Some(PRODUCER), Some(PRODUCER)).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    }
}

/// A producer who may not read the ledger is told what the array's mark or bytes show.
#[test]
fn a_producer_without_the_ledger() {
    if !as_root() {
        return;
    }
    for settings in ["source = 'remove'", "source = 'keep'"] {
        let site = site_of_npyd(settings);
        produce(&site, "scan");
        let swept = |site: &Site| {
            site.npyd_as((NPYD, NPYD), &["sweep"]);
            site.has("out/scan.npy")
        };
        wait_until("the array", String::new, || swept(&site));
        assert!(site.has("in/scan.raw"), "without CAP_LEASE it stays");
        fs::set_permissions(site.path("out/scan.npy"), Permissions::from_mode(0o644)).unwrap();
        let told = site.npyd_as((PRODUCER, PRODUCER), &["explain", "--json", "in/scan.raw"]);
        let told = told.expect_code(0).only_receipt();
        assert_eq!(told["verdict"], "finished", "{settings}: {told:#}");
        let why = told["why"].as_str().unwrap();
        assert!(why.contains("the ledger, which says more, can't be read here"), "{why}");
        assert!(!told.to_string().contains("earlier file"), "{told:#}");
        let told = site.npyd_as((PRODUCER, PRODUCER), &["explain", "--json", "out/scan.npy"]);
        let told = told.expect_code(0).only_receipt();
        let why = told["why"].as_str().unwrap();
        assert!(why.contains("`scan.raw`, as its mark says; the ledger, which"), "{why}");
    }
}

/// Root's npyd does not trust the array of npyd's user; it does not take it for an earlier file's.
#[test]
fn a_sweep_of_root_without_the_ledger() {
    if !as_root() {
        return;
    }
    let site = site_of_npyd("source = 'remove'");
    produce(&site, "scan");
    wait_until("the array", String::new, || {
        site.npyd_as((NPYD, NPYD), &["sweep"]);
        site.has("out/scan.npy")
    });
    for name in site.names("state") {
        let path = site.path(format!("state/{name}"));
        if path.is_file() {
            fs::remove_file(path).unwrap();
        }
    }
    let receipts = site.sweep().json();
    let why = reason(receipts.of_source("scan.raw"));
    assert!(why.contains("by npyd as another user (uid 61000)"), "{why}");
    assert!(!why.contains("earlier file"), "{why}");
    assert!(site.has("in/scan.raw"));
    // The remedy that the message names leads to the array.
    assert!(why.contains("make npyd's own user its owner (`chown`) and run `npyd retry`"), "{why}");
    chown(site.path("out/scan.npy"), Some(0), Some(0)).unwrap();
    site.npyd(&["retry", "scan.raw"]).expect_code(0);
    assert_eq!(site.sweep().expect_code(0).json()[0]["event"], "found");
}

/// What this user may not try, npyd's user may: check does not advise a repair.
#[test]
fn check_by_another_user() {
    if !as_root() {
        return;
    }
    let site = site_of_npyd("source = 'keep'");
    site.npyd_as((NPYD, NPYD), &["sweep"]).expect_code(0);
    // A member of the group may read the ledger.
    let told = site.npyd_as((PRODUCER, NPYD), &["check"]);
    told.expect_words(&["can't tell: user `61001`", "npyd's user `61000`"]);
    let told = site.npyd_as((PRODUCER, NPYD), &["check", "--json"]).only_receipt();
    let out = site.path("out").display().to_string();
    let checks = told["checks"].as_array().unwrap();
    let of_output: Vec<_> = checks.iter().filter(|it| it["topic"] == "output").collect();
    assert_eq!(of_output.len(), 1, "{told:#}");
    assert!(of_output[0]["text"].as_str().unwrap().starts_with(&out), "{told:#}");
    assert_eq!(of_output[0]["ok"], true, "{told:#}");
    assert!(!told.to_string().contains("give the user that npyd runs as"), "{told:#}");
    // Somebody who may not write to the drop directory can't say whether npyd may.
    fs::set_permissions(site.path("in"), Permissions::from_mode(0o755)).unwrap();
    let told = site.npyd_as((PRODUCER + 1, NPYD), &["check"]).stdout;
    let words =
        "can't tell whether npyd's user `61000` may write to it, because user `61002` may not";
    assert!(told.contains(words), "{told}");
    for false_words in ["read-only", "has no permission to rename"] {
        assert!(!told.contains(false_words), "{told}");
    }
    // To npyd's user it is a fault.
    chown(site.path("out"), Some(0), Some(0)).unwrap();
    let told = site.npyd_as((NPYD, NPYD), &["check"]).expect_code(1);
    assert!(!told.to_string().contains("can't tell"), "{told}");
}

/// A message about a missing permission names the directory that is in the way, also if that is far
/// above the drop directory.
#[test]
fn a_closed_directory_above() {
    if !as_root() {
        return;
    }
    let site = site_of_npyd("source = 'keep'");
    let (closed, state) = (site.path("closed"), site.path("state"));
    fs::create_dir_all(closed.join("a/in")).unwrap();
    fs::create_dir(closed.join("state")).unwrap();
    chown(closed.join("state"), Some(NPYD), Some(NPYD)).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
    let config = site.configuration("state", "").replace("/in\"", "/closed/a/in\"");
    site.write("npyd.toml", &config);
    let way =
        format!("`{}` is in the way: let the user that npyd runs as enter it", closed.display());
    for (command, code) in [("check", 1), ("sweep", 2)] {
        site.npyd_as((NPYD, NPYD), &[command]).expect_code(code).expect_words(&[&way]);
    }
    // The state directory, too, and a place where none can be.
    let state_dir = |path: &str| {
        let config = config.replace(&format!("\"{}\"", state.display()), &format!("\"{path}\""));
        site.write("npyd.toml", config);
    };
    state_dir(&closed.join("state").display().to_string());
    let told = site.npyd_as((NPYD, NPYD), &["run"]).expect_code(2);
    told.expect_words(&["or if that is this user, let it enter (setfacl -m u:61000:x"]);
    state_dir("/proc/npyd");
    site.npyd(&["run"]).expect_code(2).expect_words(&["`/proc/npyd`", "set another state_dir"]);
}

/// A drop whose data file can't be opened has one receipt, not another one under the name of its
/// manifest, and a sweep prints it once.
#[test]
fn a_data_file_that_can_not_be_opened() {
    let site = Site::new();
    site.scan("scan").scan("other");
    let permit = |mode| {
        fs::set_permissions(site.path("in/scan.raw"), Permissions::from_mode(mode)).unwrap();
    };
    permit(0);
    let swept = site.npyd_by_rights(&["sweep"]);
    let again = site.npyd_by_rights(&["sweep"]);
    permit(0o644);
    for swept in [swept, again] {
        let swept = swept.expect_code(1);
        assert_eq!(swept.to_string().matches("Permission denied").count(), 1, "{swept}");
    }
    let history = site.history();
    let failed = history.of_event("failed");
    let is_of_data = |it: &&Value| it["source"].as_str().unwrap().ends_with("scan.raw");
    assert!(!failed.is_empty() && failed.iter().all(is_of_data), "{history:#?}");
    site.npyd_by_rights(&["sweep"]).expect_code(0);
    assert_eq!(site.names("out"), ["other.npy", "scan.npy"]);
}

/// Without `CAP_LEASE`, check announces a warning of the daemon only if there is one.
#[test]
fn a_warning_at_the_start() {
    if !as_root() {
        return;
    }
    let site = Site::new();
    let others = (65_534, 65_534);
    for name in ["", "in", "out", "state"] {
        chown(site.path(name), Some(others.0), Some(others.1)).unwrap();
        fs::set_permissions(site.path(name), Permissions::from_mode(0o755)).unwrap();
    }
    for (settings, warns) in [("source = 'keep'", false), ("source = 'remove'", true)] {
        site.configure(settings);
        let check = site.npyd_as(others, &["check"]).stdout;
        assert_eq!(check.contains("it warns at its start if not"), warns, "{check}");
        let daemon = Daemon::start_as(&site, "npyd.toml", site.command_as(others));
        let log = daemon.log();
        assert!(daemon.stop().success());
        assert_eq!(log.contains("no CAP_LEASE"), warns, "{log}");
    }
}

/// Errors name the file; a plain name is enough; the log has what docs/log.md says.
#[test]
fn names_in_commands() {
    let site = Site::with("source = 'remove'\nremove_unproven = true");
    site.npyd(&["manifest", "nosuch.raw"]).expect_code(2).expect_words(&["`nosuch.raw`: there is"]);
    site.scan("scan").settle("finalized", 1);
    site.scan("cut").drop_file("cut.raw", [1; 20]);
    site.npyd(&["take", "nosuch.raw"]).expect_code(1);
    site.npyd(&["take", "cut.raw"]).expect_code(0).expect_words(&["in/cut.raw: will be taken"]);
    site.settle("finalized", 2);
    site.npyd(&["redo", "scan.raw", "--dtype", "<i4"]).expect_code(0);
    let told = site.npyd(&["sweep"]).expect_code(0);
    told.expect_words(&["remade"]);
    site.npyd(&["redo", "scan.raw", "--dtype", "<f4"]).expect_code(0);
    let mut daemon = site.daemon();
    daemon.wait_for_log("remade");
    let log = daemon.log();
    let accepted = log.find("npyd redo").unwrap_or(usize::MAX);
    assert!(accepted < log.find("remade").unwrap(), "{log}");
}

/// `docs/json.md` has every field that these commands print.
#[test]
fn the_json_of_commands_is_described() {
    const DOCS: &str = include_str!("../../../docs/json.md");
    let site = Site::with("rejects = 'bad'");
    fs::create_dir(site.path("bad")).unwrap();
    site.scan("done").sweep_until("finalized");
    site.scan("short").drop_file("short.raw", [1; 20]).drop_file("alone.raw", "data");
    site.drop_file("room.raw.toml", format!("{SCAN_MANIFEST}reserved = 128\nmine = 1\n"));
    site.drop_file("room.raw", [vec![0; 128], scan_bytes()].concat());
    let mut objects = Vec::new();
    for name in ["done.raw", "short.raw", "alone.raw", "room.raw", "gone.raw", "short.raw.toml"] {
        objects.extend(site.npyd(&["explain", "--json", &format!("in/{name}")]).json());
    }
    for args in
        [&["explain", "--json", "in"][..], &["inspect", "--json", "out/done.npy", "in/alone.raw"]]
    {
        objects.extend(site.npyd(args).json());
    }
    let check = site.npyd(&["check", "--json"]).only_receipt();
    let checks = check["checks"].as_array().unwrap();
    assert!(checks.iter().all(|line| line["topic"] != ""), "{check:#}");
    objects.extend(checks.iter().cloned());
    for object in &objects {
        for field in object.as_object().unwrap().keys() {
            assert!(DOCS.contains(&format!("`{field}`")), "{field}: {object:#}");
        }
        if let Some(verdict) = object["verdict"].as_str() {
            assert!(DOCS.contains(&format!("`{verdict}`")), "{verdict}");
        }
    }
}
