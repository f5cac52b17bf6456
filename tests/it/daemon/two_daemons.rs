//! Two daemons over one drop directory, each with a ledger of its own.

use std::collections::BTreeSet;
use std::fs;

use crate::support::{Daemon, PendingFile, Receipts, Site, scan_npy};

const DROPS: usize = 150;

/// Both ledgers together hold one receipt of each file.
fn each_file_is_done_once(settings: &str) {
    let site = Site::new();
    fs::create_dir(site.path("state-2")).unwrap();
    for (config, state) in [("npyd.toml", "state"), ("second.toml", "state-2")] {
        site.write(config, site.configuration(state, settings));
    }
    let mut one = Daemon::start(&site, "npyd.toml");
    let two = Daemon::start(&site, "second.toml");
    let pending = PendingFile::ready(&[2, 3]).with(&[7; 24]);
    for index in 0..DROPS {
        site.scan(&format!("scan-{index:03}"));
        site.drop_file(&format!("array-{index:03}.npy.pending"), &pending);
    }
    one.wait_for("all arrays", || {
        site.names("out").iter().filter(|name| !name.contains(".toml.")).count() >= 2 * DROPS
    });
    assert!(one.stop().success() && two.stop().success());

    // Whoever thinks that something is left to do, does it now.
    let receipts = ["npyd.toml", "second.toml"].map(|config| {
        let config = site.path(config).into_os_string().into_string().unwrap();
        site.npyd(&["sweep", "--config", &config]).expect_code(0);
        site.npyd(&["history", "--json", "--config", &config]).expect_code(0).json()
    });
    let receipts = receipts.concat();
    let finalized = receipts.of_event("finalized");
    let sources: BTreeSet<_> = finalized.iter().map(|it| it["source"].as_str()).collect();
    let tally = (finalized.len(), sources.len());
    assert_eq!(tally, (2 * DROPS, 2 * DROPS), "{settings}: {:#?}", receipts.of_event("found"));
    assert_eq!(receipts.of_event("rejected"), [&serde_json::Value::Null; 0]);
    assert_eq!(receipts.of_event("failed"), [&serde_json::Value::Null; 0]);

    let removed = settings.contains("remove");
    let mut expected: Vec<_> = (0..DROPS)
        .flat_map(|index| {
            let manifest = removed.then(|| format!("scan-{index:03}.raw.toml.done"));
            [format!("array-{index:03}.npy"), format!("scan-{index:03}.npy")]
                .into_iter()
                .chain(manifest)
        })
        .collect();
    expected.sort();
    assert_eq!(site.names("out"), expected);
    for index in 0..DROPS {
        assert_eq!(site.read(&format!("out/scan-{index:03}.npy")), scan_npy());
        assert!(site.read(&format!("out/array-{index:03}.npy")).ends_with(&[7; 24]));
    }
}

#[test]
fn with_sources_kept() {
    each_file_is_done_once("source = \"keep\"");
}

#[test]
fn with_sources_removed() {
    each_file_is_done_once("source = \"remove\"");
}

/// Where a second array could get another name, it must not.
#[test]
fn with_numbered_outputs() {
    each_file_is_done_once("source = \"keep\"\non_conflict = \"number\"");
}
