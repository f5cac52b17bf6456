//! What the soak measures after each turn.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::Site;

/// What the daemon occupies at one time.
#[derive(Clone, Copy)]
pub(super) struct Sample {
    pub(super) at: Instant,
    pub(super) memory_kib: u64,
    pub(super) descriptors: usize,
    pub(super) threads: usize,
    pub(super) wal_bytes: u64,
    /// From the close of a file to its array; `None` in turns in which the daemon was restarted.
    pub(super) latency: Option<Duration>,
}

impl Sample {
    pub(super) fn take(site: &Site, pid: u32, latency: Option<Duration>) -> Self {
        let count = |name| fs::read_dir(format!("/proc/{pid}/{name}")).unwrap().count();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        Sample {
            at: Instant::now(),
            memory_kib: memory.trim().trim_end_matches(" kB").parse().unwrap(),
            descriptors: count("fd"),
            threads: count("task"),
            wal_bytes: fs::metadata(site.path("state/ledger.sqlite-wal")).map_or(0, |it| it.len()),
            latency,
        }
    }

    /// Returns the highest of each figure.
    pub(super) fn highest(samples: &[Self]) -> Self {
        let mut highest = samples[0];
        for it in samples {
            highest.memory_kib = highest.memory_kib.max(it.memory_kib);
            highest.descriptors = highest.descriptors.max(it.descriptors);
            highest.threads = highest.threads.max(it.threads);
            highest.wal_bytes = highest.wal_bytes.max(it.wal_bytes);
            highest.latency = highest.latency.max(it.latency);
        }
        highest
    }
}

impl std::fmt::Debug for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Sample { memory_kib, descriptors, threads, wal_bytes, latency, .. } = self;
        write!(
            f,
            "{memory_kib} KiB of memory, {descriptors} descriptors, {threads} threads, \
             {wal_bytes} bytes of WAL, latency {latency:?}"
        )
    }
}
