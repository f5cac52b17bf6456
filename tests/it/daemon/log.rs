//! The fields of log lines, for programs.

use std::fs;
use std::io::Write;

use serde_json::Value;

use crate::support::{Daemon, Outcome, SCAN_MANIFEST, Site, scan_bytes};

/// The names of all fields that `docs/log.md` lists.
fn documented() -> Vec<&'static str> {
    let rows = include_str!("../../../docs/log.md").lines();
    rows.filter_map(|row| row.strip_prefix("| `")?.split('`').next()).collect()
}

/// The lines of the log with a field `event`, and those whose text starts with `start`.
fn lines(log: &str, start: &str) -> Vec<Value> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let is_it = |line: &Value| {
        let text = line["message"].as_str().unwrap_or_default();
        line.get("event").is_some() && text.starts_with(start)
    };
    lines.filter(is_it).collect()
}

/// Fails unless the line has these fields and no others.
#[track_caller]
fn expect_fields(line: &Value, fields: &[&str]) {
    let given = ["timestamp", "level", "message"];
    let mut found: Vec<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
    found.retain(|field| !given.contains(field));
    found.sort_unstable();
    let mut expected = fields.to_vec();
    expected.sort_unstable();
    assert_eq!(found, expected, "{line}");
    let undocumented: Vec<_> = found.iter().filter(|it| !documented().contains(it)).collect();
    assert!(undocumented.is_empty(), "docs/log.md does not list {undocumented:?}");
}

/// A start that fails is a line for programs, too.
#[test]
fn the_reason_of_a_failed_start() {
    let site = Site::new();
    site.write("npyd.toml", "[[drop]]\npath = 3\n");
    let mut command = site.command();
    let outcome = Outcome::of(command.args(["run", "--log", "json"])).expect_code(78);
    let line: Value = serde_json::from_str(&outcome.stderr).unwrap();
    assert_eq!(line["level"], "ERROR");
    assert!(line["message"].as_str().unwrap().contains("line 2"), "{line}");
    let mut command = site.command();
    let outcome = Outcome::of(command.args(["run"])).expect_code(78);
    assert!(outcome.stderr.starts_with("npyd: in `"), "{outcome}");
}

#[test]
fn lines_have_the_documented_fields() {
    const WITHOUT_ARRAY: [&str; 5] = ["event", "drop", "source", "reason", "reason_kind"];
    let site = Site::new();
    let mut command = site.command();
    command.args(["--log", "json"]);
    let mut daemon = Daemon::start_as(&site, "npyd.toml", command);
    site.scan("scan").drop_file("long.raw", [0; 25]).drop_file("long.raw.toml", SCAN_MANIFEST);
    site.drop_file("short.raw", [0; 23]).drop_file("short.raw.toml", SCAN_MANIFEST);
    for text in ["finalized ", "rejected ", "waiting for "] {
        daemon.wait_for_log(&format!("\"{text}"));
    }
    fs::rename(site.path("out"), site.path("arrays")).unwrap();
    site.write("out", "no directory").scan("next");
    daemon.wait_for_log("\"suspended: ");
    let log = daemon.log();

    let finalized = &lines(&log, "finalized ")[0];
    let of_array = ["output", "route", "bytes", "seconds", "evidence", "source_fate"];
    expect_fields(finalized, &[&["event", "drop", "source"][..], &of_array].concat());
    assert_eq!(finalized["event"], "finalized");
    assert_eq!(finalized["bytes"], 24);
    assert_eq!(finalized["output"], site.path("out/scan.npy").to_str().unwrap());
    let rejected = &lines(&log, "rejected ")[0];
    expect_fields(rejected, &[&WITHOUT_ARRAY[..], &["bytes", "seconds"]].concat());
    assert_eq!((&rejected["reason_kind"], &rejected["level"]), (&"size".into(), &"WARN".into()));
    let waiting = &lines(&log, "waiting for ")[0];
    expect_fields(waiting, &[&WITHOUT_ARRAY[..], &["drops"]].concat());
    assert_eq!(waiting["source"], site.path("in/short.raw").to_str().unwrap());
    let suspended = &lines(&log, "suspended: ")[0];
    expect_fields(suspended, &["event", "drop", "dir", "reason", "drops"]);
    assert_eq!(suspended["event"], "suspended");
    assert_eq!(suspended["drop"], site.path("in").to_str().unwrap());
    assert_eq!(suspended["dir"], site.path("out").to_str().unwrap());
    assert_eq!((&suspended["drops"], &suspended["level"]), (&1.into(), &"WARN".into()));
    assert!(daemon.stop().success());
}

/// The daemon can't see which process writes; `npyd explain` can.
#[test]
fn a_wait_for_a_writer_says_how_to_find_it() {
    let site = Site::new();
    let mut daemon = site.daemon();
    let mut producer = fs::File::create(site.path("in/scan.raw")).unwrap();
    producer.write_all(&scan_bytes()).unwrap();
    site.drop_file("scan.raw.toml", SCAN_MANIFEST);
    let source = site.path("in/scan.raw").display().to_string();
    daemon.wait_for_log(&format!(
        "; `npyd explain {source}`, as root or as the producer's user, names the process"
    ));
    let writer = format!("(pid {}) has `scan.raw` open for writing", std::process::id());
    site.npyd(&["explain", &source]).expect_code(0).expect_words(&["waiting", &writer]);
    drop(producer);
    daemon.wait_for_file("out/scan.npy");
    // A wait for time or bytes has no holder.
    site.drop_file("short.raw", [0; 23]).drop_file("short.raw.toml", SCAN_MANIFEST);
    daemon.wait_for_log("short.raw: it has 23");
    assert_eq!(daemon.log().matches("names the process").count(), 1, "{}", daemon.log());
}

/// Each try of a worker finds the lock.
#[test]
fn a_drop_that_is_locked_is_reported() {
    let site = Site::new();
    site.scan("scan");
    let file = fs::File::open(site.path("in/scan.raw")).unwrap();
    file.lock().unwrap();
    let mut daemon = site.daemon();
    daemon.wait_for_log(&format!("waiting for {}: ", site.path("in/scan.raw").display()));
    drop(file);
    daemon.wait_for_file("out/scan.npy");
    assert!(daemon.stop().success());
}

/// The name of a directory can't forge a line of the log or of standard output, although it
/// contains a line break.
#[test]
fn names_with_line_breaks_stay_on_one_line() {
    let site = Site::new();
    site.configure("recursive = true");
    let dir = "in/day\nfinalized forged";
    fs::create_dir(site.path(dir)).unwrap();
    for name in ["a", "b"] {
        site.write(&format!("{dir}/{name}.raw"), scan_bytes());
        site.write(&format!("{dir}/{name}.raw.toml"), SCAN_MANIFEST);
    }
    site.write(&format!("{dir}/b.raw"), [0; 25]);
    site.write(&format!("{dir}/c.raw.toml"), SCAN_MANIFEST);
    let swept = site.npyd(&["sweep"]).expect_code(1);
    let forged = |text: &str| text.lines().any(|line| line.starts_with("finalized forged"));
    assert!(!forged(&swept.stdout) && !forged(&swept.stderr), "{swept}");
    swept.expect_words(&[r"finalized", r"rejected", r"day\nfinalized forged/a.raw"]);
}
