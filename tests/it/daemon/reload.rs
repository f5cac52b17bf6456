//! SIGHUP: the daemon reads its configuration again.

use std::io::Write;
use std::process::Command;
use std::{fs, thread};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Daemon, Mounted, Site, as_root, reason, scan_npy, wait_until};

/// A second drop, which lies in `in-2` and `out-2`.
fn with_second_drop(site: &Site) -> String {
    for name in ["in-2", "out-2"] {
        fs::create_dir(site.path(name)).unwrap();
    }
    let (input, output) = (site.path("in-2"), site.path("out-2"));
    let drop = format!(
        "[[drop]]\npath = \"{}\"\noutput = \"{}\"\nquiet = \"200ms\"\n",
        input.display(),
        output.display()
    );
    site.configuration("state", &drop)
}

#[test]
fn a_drop_is_added() {
    let site = Site::new();
    let mut daemon = site.daemon();
    site.write("npyd.toml", with_second_drop(&site));
    daemon.reload();
    assert_eq!(daemon.notices("RELOADING=1"), 1);
    site.write("in-2/scan.raw", crate::support::scan_bytes());
    site.write("in-2/scan.raw.toml", crate::support::SCAN_MANIFEST);
    daemon.wait_for_file("out-2/scan.npy");
    assert_eq!(site.read("out-2/scan.npy"), scan_npy());
    site.scan("scan");
    daemon.wait_for_file("out/scan.npy");
}

/// A SIGHUP that comes while the daemon starts does not end it, and leads to a reload.
#[test]
fn a_signal_during_the_start() {
    let site = Site::new();
    let config = site.read("npyd.toml");
    let fifo = site.path("npyd.toml");
    fs::remove_file(&fifo).unwrap();
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let mut npyd = site.command().arg("run").arg("--config").arg(&fifo).spawn().unwrap();
    let mut start = fs::File::options().write(true).open(&fifo).unwrap(); // npyd has opened it
    kill_process(Pid::from_child(&npyd), Signal::HUP).unwrap();
    site.write("second.toml", with_second_drop(&site));
    fs::rename(site.path("second.toml"), &fifo).unwrap();
    start.write_all(&config).unwrap();
    drop(start);
    site.write("in-2/scan.raw", crate::support::scan_bytes());
    site.write("in-2/scan.raw.toml", crate::support::SCAN_MANIFEST);
    wait_until("the second drop", String::new, || {
        assert!(npyd.try_wait().unwrap().is_none(), "npyd ended");
        site.has("out-2/scan.npy")
    });
    kill_process(Pid::from_child(&npyd), Signal::TERM).unwrap();
    assert!(npyd.wait().unwrap().success());
}

/// What was finished before is not taken away, and the log says how to let it go.
#[test]
fn sources_that_were_finished_before() {
    let site = Site::with_array("");
    let mut daemon = site.daemon();
    site.configure("source = 'remove'");
    daemon.reload();
    daemon.wait_for_log("are removed from now on; those whose arrays are finished stay");
    site.scan("later");
    daemon.wait_for("the later source is removed", || !site.has("in/later.raw"));
    assert!(site.has("in/scan.raw"));
    let told = site.npyd(&["explain", "in/scan.raw"]).expect_code(0);
    told.expect_words(&["this one stays", "`npyd redo scan.raw` lets it go"]);
    site.npyd(&["redo", "scan.raw"]).expect_code(0);
    daemon.wait_for("the source is removed", || !site.has("in/scan.raw"));
    assert_eq!(site.read("out/scan.npy"), scan_npy());
    // Nothing to say where nothing is taken away, or it was before.
    let lines = |daemon: &Daemon<'_>| daemon.log().matches("from now on").count();
    for source in ["remove", "keep"] {
        site.configure(&format!("source = '{source}'\nrescan = '50s'"));
        daemon.reload();
        daemon.wait_for_log("configuration read again");
    }
    site.configure("");
    daemon.reload();
    assert_eq!(lines(&daemon), 1, "{}", daemon.log());
}

#[test]
fn a_drop_is_removed() {
    let site = Site::new();
    let both = with_second_drop(&site);
    site.write("npyd.toml", both);
    let mut daemon = site.daemon();
    site.configure("");
    daemon.reload();
    daemon.wait_for_log("in-2` is not in the configuration any more: its files stay as they are");
    site.write("in-2/scan.raw", crate::support::scan_bytes());
    site.write("in-2/scan.raw.toml", crate::support::SCAN_MANIFEST);
    site.scan("scan");
    daemon.wait_for_file("out/scan.npy");
    assert!(daemon.stop().success());
    assert_eq!(site.names("out-2"), [""; 0]);
}

/// Settings take effect for what comes after.
#[test]
fn a_setting_changes() {
    let site = Site::new();
    let mut daemon = site.daemon();
    site.scan("kept");
    daemon.wait_for_file("out/kept.npy");
    daemon.wait_for_receipts("finalized", 1);
    site.configure("source = \"remove\"");
    daemon.reload();
    site.scan("scan");
    daemon.wait_for_file("out/scan.raw.toml.done");
    daemon.wait_for("the source to go", || !site.has("in/scan.raw"));
}

/// A wrong configuration is said to be wrong, and the old one stays.
#[test]
fn a_wrong_configuration_changes_nothing() {
    let site = Site::new();
    let mut daemon = site.daemon();
    site.configure("colour = \"blue\"");
    daemon.reload();
    daemon.wait_for_log("colour");
    site.scan("scan");
    daemon.wait_for_file("out/scan.npy");
    fs::remove_file(site.path("npyd.toml")).unwrap();
    daemon.reload();
    // The daemon itself can be given no other file.
    daemon.wait_for_log("make it readable to npyd's user, and reload again");
    assert!(!daemon.log().contains("--config"), "{}", daemon.log());
    site.configure("source = \"remove\"");
    daemon.reload();
    site.scan("next");
    daemon.wait_for_file("out/next.raw.toml.done");
    assert!(daemon.stop().success());
}

/// A rate at which a file of [`LEN`] bytes takes longer than a reload.
const SLOW: &str = "max_rate = '8 MiB/s'";
const LEN: usize = 16 << 20;

/// Drops a file of [`LEN`] bytes, and waits until the daemon copies it to another file system.
fn begin_slow_copy(site: &Site, output: &Mounted, daemon: &mut Daemon<'_>) {
    site.drop_file("x.raw", vec![7; LEN]);
    site.drop_file("x.raw.toml", format!("dtype = '|u1'\nshape = [{LEN}]\n"));
    daemon.wait_for_copy(output.at());
}

/// What takes away asks the settings of that moment: a copy that began under `remove` leaves its
/// source once `keep` counts.
#[test]
fn a_source_is_kept_from_the_reload_on() {
    if !as_root() {
        return;
    }
    let site = Site::with(&format!("{SLOW}\nsource = \"remove\""));
    let Some(mounted) = Mounted::memory(&site, "out") else { return }; // it must be copied
    let mut daemon = site.daemon();
    begin_slow_copy(&site, &mounted, &mut daemon);
    site.configure(&format!("{SLOW}\nsource = \"keep\""));
    daemon.reload();
    assert!(!site.has("out/x.npy"), "the reload came too late");
    daemon.wait_for_file("out/x.npy");
    daemon.wait_for("a receipt", || !site.history().is_empty());
    assert_eq!(site.read("in/x.raw"), vec![7; LEN]);
    assert_eq!(site.history()[0]["source_fate"], "kept");
    assert!(daemon.stop().success());
}

/// The configuration leaves the drop directory out during a copy, and has it again later.
#[test]
fn a_drop_directory_that_is_left_out_during_a_copy() {
    if !as_root() {
        return;
    }
    let removing = format!("{SLOW}\nsource = \"remove\"");
    let site = Site::with(&removing);
    let Some(mounted) = Mounted::memory(&site, "out") else { return }; // it must be copied
    fs::create_dir(site.path("in2")).unwrap();
    let mut daemon = site.daemon();
    begin_slow_copy(&site, &mounted, &mut daemon);
    let config = site.configuration("state", &removing);
    site.write("npyd.toml", config.replace("/in\"", "/in2\""));
    daemon.reload();
    assert!(!site.has("out/x.npy"), "the reload came too late");
    daemon.wait_for("a receipt", || !site.history().is_empty());
    let receipt = site.history().remove(0);
    assert_eq!(receipt["source_fate"], "unproven", "{receipt:#}");
    assert!(reason(&receipt).contains("so the source was not removed"), "{receipt:#}");
    assert_eq!(site.read("in/x.raw"), vec![7; LEN]);
    site.configure("source = \"remove\"");
    daemon.reload();
    daemon.wait_for("the source to go", || site.names("in").is_empty());
    assert!(daemon.stop().success());
}

/// The settings of a drop directory before and after a reload in the middle of a copy, and the
/// events and fates of the source that follow.
struct Reload {
    before: &'static str,
    after: &'static str,
    output: &'static str,
    receipts: &'static [(&'static str, &'static str)],
}

impl Reload {
    /// Copies a series of two files, and reloads meanwhile. Returns `false` if the copy ended
    /// before the reload.
    fn carry_out(&self, rate: &str) -> bool {
        const LEN: usize = 1 << 20;
        let site = Site::new();
        fs::create_dir(site.path("old")).unwrap();
        fs::create_dir(site.path("out2")).unwrap();
        let configure = |settings: &str, output: &str| {
            let text = site.configuration("state", &format!("max_rate = '{rate}'\n{settings}"));
            let text = text.replace("/out\"", &format!("/{output}\""));
            site.write("npyd.toml", text.replace("\"200ms\"", "\"20ms\""));
        };
        configure(self.before, "out");
        let mut daemon = site.daemon();
        site.drop_file("a.raw", vec![1; LEN]).drop_file("b.raw", vec![2; LEN]);
        let manifest = "dtype = '|u1'\nshape = [-1]\ndata = ['a.raw', 'b.raw']\n";
        site.drop_file("run.toml", manifest);
        let (fds, out) = (format!("/proc/{}/fd", daemon.pid()), site.path("out/#"));
        let out = out.to_str().unwrap().to_owned();
        let is_copying = || {
            let links = fs::read_dir(&fds).unwrap().flatten().map(|fd| fs::read_link(fd.path()));
            links.flatten().any(|path| path.to_string_lossy().starts_with(&out))
        };
        daemon.wait_for("the copy to begin", || is_copying() || site.has("out/run.npy"));
        configure(self.after, self.output);
        daemon.reload();
        if site.has("out/run.npy") {
            return false;
        }
        daemon.wait_for("the receipts", || site.history().len() >= self.receipts.len());
        daemon.wait_for("the source to go, or a later file", || {
            let is_kept = self.receipts.len() == 1;
            !site.has("in/run.toml") || is_kept
        });
        site.scan("later");
        daemon.wait_for_file(&format!("{}/later.npy", self.output));
        let log = daemon.log();
        assert!(daemon.stop().success());
        let history = site.history();
        let of_run = history.iter().filter(|it| it["source"].as_str().unwrap().ends_with("toml"));
        let receipts: Vec<_> = of_run
            .map(|it| (it["event"].as_str().unwrap(), it["source_fate"].as_str().unwrap()))
            .collect();
        assert_eq!(receipts, self.receipts, "{log}");
        assert_eq!(history[0]["output"], site.path("out/run.npy").to_str().unwrap());
        assert!(!log.contains("locked"), "{log}");
        assert!(!log.contains("only attributes"), "{log}");
        assert!(site.read("out/run.npy").ends_with(&vec![2; LEN]));
        true
    }
}

/// A copy that ends after a reload has its receipt, with the fate of the source; what the new
/// settings do with that source has another. npyd is not another process to itself.
#[test]
fn a_copy_that_a_reload_overtakes_has_its_receipt() {
    const KEPT: (&str, &str) = ("finalized", "kept");
    const LATER: (&str, &str) = ("finalized", "unproven");
    let (remove, keep) = ("source = 'remove'", "source = 'keep'");
    let archive = "source = 'archive'\narchive = 'old'";
    let reloads = [
        Reload { before: remove, after: keep, output: "out", receipts: &[KEPT] },
        Reload { before: keep, after: remove, output: "out", receipts: &[KEPT] },
        Reload {
            before: remove,
            after: archive,
            output: "out",
            receipts: &[LATER, ("found", "archived")],
        },
        Reload {
            before: remove,
            after: remove,
            output: "out2",
            receipts: &[LATER, ("finalized", "removed")],
        },
        Reload { before: remove, after: keep, output: "out2", receipts: &[KEPT] },
    ];
    thread::scope(|scope| {
        for reload in &reloads {
            scope.spawn(|| {
                let rates = ["512 KiB/s", "100 KiB/s"];
                let is_done = rates.iter().any(|rate| reload.carry_out(rate));
                assert!(is_done, "the reload came too late");
            });
        }
    });
}

/// A setting that counts from the next start is named once, and no other with it.
#[test]
fn a_setting_that_needs_a_restart() {
    let site = Site::new();
    let mut daemon = site.daemon();
    let config = String::from_utf8(site.read("npyd.toml")).unwrap();
    site.write("npyd.toml", format!("workers = 7\n{config}"));
    daemon.reload();
    daemon.wait_for_log("restart npyd to apply what changed in workers\n");
    daemon.stop();
}

/// A setting that is again as it was at the start needs no restart.
#[test]
fn a_setting_that_was_changed_back() {
    let site = Site::new();
    let mut daemon = site.daemon();
    let config = String::from_utf8(site.read("npyd.toml")).unwrap();
    let mut reload = |text: &str, reports: usize| {
        let count = |daemon: &Daemon<'_>, what: &str| daemon.log().matches(what).count();
        let read = count(&daemon, "configuration read again");
        site.write("npyd.toml", format!("{text}{config}"));
        daemon.reload();
        wait_until(
            "the reload",
            || daemon.log(),
            || count(&daemon, "configuration read again") > read,
        );
        assert_eq!(count(&daemon, "restart npyd to apply"), reports, "{}", daemon.log());
    };
    reload("workers = 7\n", 1);
    reload("workers = 7\n", 1);
    reload("", 1);
    reload("workers = 6\n", 2);
    daemon.stop();
}
