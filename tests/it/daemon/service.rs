//! The protocol with systemd, and how the daemon ends.

use rustix::process::Signal;

use crate::support::{Daemon, Site, wait_until};

#[test]
fn it_says_when_it_stops() {
    for signal in [Signal::TERM, Signal::INT] {
        let site = Site::new();
        let mut daemon = site.daemon();
        assert_eq!(daemon.notices("READY=1"), 1);
        assert!(daemon.end(signal).success(), "{signal:?}");
        wait_until("the notice", || daemon.log(), || daemon.notices("STOPPING=1") == 1);
    }
}

/// Whoever redirects its log finds it there, though a service above it has one in the journal.
#[test]
fn it_logs_to_where_it_is_sent() {
    let site = Site::new();
    let mut daemon = Daemon::start_with(&site, "npyd.toml", &[("JOURNAL_STREAM", "0:0")]);
    daemon.wait_for_log("ready: 1 drop directory");
}

/// While it works it keeps the watchdog content.
#[test]
fn it_feeds_the_watchdog() {
    let site = Site::new();
    let mut daemon = Daemon::start_with(&site, "npyd.toml", &[("WATCHDOG_USEC", "200000")]);
    daemon.wait_for_notice("WATCHDOG=1", 5);
    assert!(daemon.stop().success());
}

/// `systemctl status` shows a word of what it does.
#[test]
fn it_tells_its_status() {
    let site = Site::new();
    let mut daemon = site.daemon();
    site.scan("scan");
    daemon.wait_for_file("out/scan.npy");
    daemon.wait_for_notice("STATUS=", 1);
}
