//! Many drops at once, written by Python while the daemon runs.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::support::{Receipts, Site, python, run_python, wait_until};

const MANIFEST_DROPS: usize = 10_000;
const PENDING_DROPS: usize = 1_000;

/// npyd finalizes each drop exactly once, and NumPy reads the data that the producer wrote.
#[test]
fn every_drop_is_finalized_exactly_once() {
    let Some(python) = python() else { return };
    let site = Site::new();
    let daemon = site.daemon();
    let counts = [MANIFEST_DROPS.to_string(), PENDING_DROPS.to_string()];
    let many = |what: &str, directory: &str| {
        let directory = site.path(directory).into_os_string().into_string().unwrap();
        let args = [what.to_owned(), directory, counts[0].clone(), counts[1].clone()];
        run_python(&python, "numpy/many.py", args)
    };
    many("write", "in").expect_code(0);
    let written = Instant::now();
    let mut found = 0;
    while found < MANIFEST_DROPS + PENDING_DROPS {
        wait_until(
            &format!("more arrays than {found}"),
            || daemon.log(),
            || {
                let before = std::mem::replace(&mut found, site.names("out").len());
                found > before
            },
        );
        // Listing a large directory is no rest for the machine.
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("all finalized {:?} after the last was written", written.elapsed());
    assert!(daemon.stop().success());

    let history = site.history();
    let finalized = history.of_event("finalized");
    let mut sources = BTreeMap::new();
    for receipt in &finalized {
        if let Some(first) = sources.insert(receipt["source"].as_str(), receipt) {
            panic!("finalized twice: {first:#}\nand {receipt:#}");
        }
    }
    let expected = |number: usize| match number.checked_sub(MANIFEST_DROPS) {
        None => site.path(format!("in/m{number}.raw")),
        Some(number) => site.path(format!("in/p{number}.npy")),
    };
    let expected: Vec<_> = (0..MANIFEST_DROPS + PENDING_DROPS).map(expected).collect();
    for path in &expected {
        sources.remove(&path.to_str());
    }
    assert!(sources.is_empty(), "nobody dropped these: {sources:#?}");
    assert_eq!(finalized.len(), expected.len());
    assert_eq!(history.len(), finalized.len());
    assert_eq!(site.names("out").len(), finalized.len());
    many("check", "out").expect_code(0);
}
