//! Two daemons over one drop directory, each with a ledger of its own, two daemons with one ledger,
//! each with a drop directory of its own, and sweeps beside the daemon, with its ledger.

use std::collections::BTreeSet;
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use crate::support::{Daemon, PendingFile, Receipts, SCAN_MANIFEST, Site, scan_bytes, scan_npy};

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

/// Watches the listings of a directory: `getdents64(2)` counts as an access.
struct Listings(OwnedFd);

impl Listings {
    fn of(dir: &Path) -> Self {
        let instance = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        inotify::add_watch(&instance, dir, WatchFlags::ACCESS | WatchFlags::ONLYDIR).unwrap();
        Listings(instance)
    }

    /// Returns whether the directory was listed since the last call.
    fn seen(&self) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&self.0, &mut buffer);
        let mut is_seen = false;
        while events.next().is_ok() {
            is_seen = true;
        }
        is_seen
    }
}

/// Each receipt of one is a change of the ledger that the other has open.
#[test]
fn what_one_stores_makes_the_other_scan_nothing() {
    let site = Site::with("rescan = \"1h\"");
    let config = site.configuration("state", "rescan = \"1h\"");
    let config = config.replace("/in\"", "/in-2\"").replace("/out\"", "/out-2\"");
    site.write("second.toml", &config);
    for dir in ["in-2", "out-2"] {
        fs::create_dir(site.path(dir)).unwrap();
    }
    let mut one = Daemon::start(&site, "npyd.toml");
    site.scan("first");
    one.wait_for_receipts("finalized", 1);
    let listings = Listings::of(&site.path("in"));
    let mut two = Daemon::start(&site, "second.toml");
    let begin = Instant::now();
    let (mut count, mut listed) = (0, 0);
    // One looks for changes of the ledger once a second.
    while count < 10 || begin.elapsed() < Duration::from_secs(6) {
        site.write(&format!("in-2/{count}.raw"), scan_bytes());
        site.write(&format!("in-2/{count}.raw.toml"), SCAN_MANIFEST);
        two.wait_for_file(&format!("out-2/{count}.npy"));
        listed += usize::from(listings.seen());
        count += 1;
    }
    // Its first scan may be late.
    assert!(listed <= 2, "{listed} of {count}");

    // A request does concern it.
    site.npyd(&["redo", "first.raw", "--order", "F"]).expect_code(0);
    one.wait_for_receipts("remade", 1);
    assert!(one.stop().success() && two.stop().success());
}

/// They share the ledger and the drop directory: each drop is done once, and what the sweeps store
/// makes the daemon scan nothing.
#[test]
fn sweeps_beside_the_daemon() {
    const ROUNDS: usize = 8;
    const AT_ONCE: usize = 10;
    let site = Site::with("rescan = \"1h\"");
    let mut daemon = Daemon::start_with(&site, "npyd.toml", &[("NPYD_LOG", "debug")]);
    daemon.wait_for_log(" scanned ");
    for round in 0..ROUNDS {
        for drop in 0..AT_ONCE {
            site.scan(&format!("scan-{round}-{drop}"));
        }
        site.sweep().expect_code(0);
    }
    let all = ROUNDS * AT_ONCE;
    daemon.wait_for("all arrays", || site.names("out").len() >= all);
    site.sweep().expect_code(0);
    daemon.wait_for_receipts("finalized", all);
    let receipts = site.history();
    let finalized = receipts.of_event("finalized");
    let sources: BTreeSet<_> = finalized.iter().map(|it| it["source"].as_str()).collect();
    assert_eq!((finalized.len(), sources.len()), (all, all), "{receipts:#?}");
    assert_eq!(receipts.len(), all, "{:#?}", receipts.of_event("found"));
    assert_eq!(site.names("out").len(), all);
    // The daemon looks for changes of the ledger once a second.
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(daemon.log().matches(" scanned ").count(), 1, "{}", daemon.log());

    // A request concerns both, and one of them carries it out.
    site.npyd(&["redo", "scan-0-0.raw", "--order", "F"]).expect_code(0);
    site.sweep().expect_code(0);
    daemon.wait_for_receipts("remade", 1);
    site.sweep().expect_code(0);
    assert_eq!(site.history().of_event("remade").len(), 1);
    assert!(daemon.stop().success());
}
