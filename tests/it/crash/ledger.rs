//! The ledger after a power cut.

use std::fs;

use super::harness::volume::{Cut, Volume, format, with_own_mounts};
use crate::support::{Daemon, Site, as_root};

/// Number of drops, in several batches.
const DROPS: usize = 100;

/// Returns the sources of arrays that the log reports.
fn reported(log: &str) -> Vec<&str> {
    let finalized = log.lines().filter_map(|line| line.split_once("finalized "));
    finalized.filter_map(|(_, rest)| rest.split(' ').next()).collect()
}

/// Drops files into the daemon's directory, cuts the power of the ledger's disk once all are
/// reported, and compares the report with the ledger.
fn check(kind: &'static str) {
    if !as_root() {
        return;
    }
    with_own_mounts(|| {
        let site = Site::new();
        let image = site.path("image");
        if format(kind, &image).is_none() {
            return;
        }
        let Some(volume) = Volume::new(kind, image, site.path("volume")) else { return };
        site.write("npyd.toml", site.configuration("volume/state", ""));
        let mut daemon = Daemon::start(&site, "npyd.toml");
        volume.sync();
        for number in 0..DROPS {
            site.scan(&format!("scan-{number}"));
        }
        let log = site.path("npyd.toml.log");
        let read = || fs::read_to_string(&log).unwrap();
        daemon.wait_for("a report of each drop", || reported(&read()).len() == DROPS);
        volume.cut(Cut::KeepsNothing);
        let log = read();
        daemon.kill();
        volume.restart();
        let known: Vec<_> =
            site.history().iter().map(|it| it["source"].as_str().unwrap().to_owned()).collect();
        let missing: Vec<_> =
            reported(&log).into_iter().filter(|it| !known.contains(&(*it).to_owned())).collect();
        assert!(missing.is_empty(), "{} receipts are missing: {missing:?}", missing.len());
    });
}

#[test]
fn reported_receipts_on_ext4() {
    check("ext4");
}

#[test]
fn reported_receipts_on_xfs() {
    check("xfs");
}
