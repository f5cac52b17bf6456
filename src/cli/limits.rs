//! Limits that npyd reaches with many drop directories or subdirectories, inotify instances and
//! watches, and open files, or with large arrays: the size of files.

use std::path::Path;

use rustix::process::{Resource, getrlimit};

use crate::cli::check::Report;
use crate::config::{Config, DropDir, Watch};
use crate::fs::{self, Dir, EntryKind};
use crate::service::tracker::DEPTH_MAX;
use crate::service::watch_thread::count_threads;

/// Descriptors of a watch thread: inotify, eventfd and the table of mounts.
const FILES_PER_THREAD: u64 = 3;

/// Descriptors of a worker that makes an array of a few files.
const FILES_PER_WORKER: u64 = 16;

/// Descriptors of the rest: the ledger, the log, and what the start has opened.
const FILES_OF_THE_REST: u64 = 32;

/// What the largest file of a small ledger needs, in bytes.
const LEDGER_LEN_MIN: u64 = 1 << 20;

/// A limit is almost reached if this share of it is needed, in percent.
const ALMOST: u64 = 80;

/// Checks the limits against what these drop directories need.
pub(super) fn check(config: &Config, report: &mut Report) {
    let by_inotify: Vec<&DropDir> = config.drop_dirs.iter().filter(|it| is_watched(it)).collect();
    let threads = count_threads(&config.drop_dirs);
    let instances = count_threads(by_inotify.iter().copied());
    let max = limit_of("max_user_watches", "max_inotify_watches");
    let needed_watches = count_dirs(&by_inotify, max.unwrap_or(u64::MAX));
    for (name, also, needed) in [
        ("max_user_watches", "max_inotify_watches", Some(needed_watches)),
        ("max_user_instances", "max_inotify_instances", Some(instances as u64)),
        ("max_queued_events", "", None),
    ] {
        let Some(limit) = limit_of(name, also) else { continue };
        let remedy = format!("raise fs.inotify.{name}, or npyd polls some drop directories");
        add(report, "inotify", (name, limit), needed, &remedy);
    }
    let files = FILES_OF_THE_REST
        + FILES_PER_THREAD * threads as u64
        + FILES_PER_WORKER * config.workers.get() as u64;
    if let Some(limit) = getrlimit(Resource::Nofile).maximum {
        let remedy = "raise LimitNOFILE= (ulimit -n)";
        add(report, "open files", ("the limit", limit), Some(files), remedy);
    }
    if let Some(limit) = getrlimit(Resource::Fsize).current {
        let remedy = "raise LimitFSIZE= (ulimit -f)";
        if limit < LEDGER_LEN_MIN {
            let needed = format!("but the ledger needs {LEDGER_LEN_MIN}: {remedy}");
            report.fail("file size", &format!("the limit = {limit} bytes, {needed}"));
        } else {
            let what = "no array and no ledger can be larger";
            report
                .add("file size", &format!("warning: the limit = {limit} bytes; {what}: {remedy}"));
        }
    }
}

/// Adds the line about a limit.
fn add(
    report: &mut Report,
    topic: &str,
    (name, limit): (&str, u64),
    needed: Option<u64>,
    remedy: &str,
) {
    let Some(needed) = needed else {
        return report.add(topic, &format!("{name} = {limit}"));
    };
    let line = format!("{name} = {limit}; npyd needs {needed}");
    if needed > limit {
        report.fail(topic, &format!("{name} = {limit}, but npyd needs {needed}: {remedy}"));
    } else if needed.saturating_mul(100) > limit.saturating_mul(ALMOST) {
        report.add(topic, &format!("warning: {line}: {remedy} as soon as it needs more"));
    } else {
        report.add(topic, &line);
    }
}

/// Returns a limit of inotify: that of the machine, or of this user namespace if that is lower.
fn limit_of(name: &str, also: &str) -> Option<u64> {
    let read = |path: String| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let machine = read(format!("/proc/sys/fs/inotify/{name}"))?;
    let namespace = read(format!("/proc/sys/user/{also}"));
    Some(namespace.map_or(machine, |limit| limit.min(machine)))
}

/// Returns whether npyd uses inotify for a drop directory.
fn is_watched(drop_dir: &DropDir) -> bool {
    match drop_dir.watch {
        Watch::Poll => false,
        Watch::Inotify => true,
        Watch::Auto => {
            let info = Dir::open(&drop_dir.path).and_then(|dir| fs::fs_info(&dir));
            !info.is_ok_and(|info| info.network)
        }
    }
}

/// Counts the directories that npyd watches, up to one more than `max`.
fn count_dirs(drop_dirs: &[&DropDir], max: u64) -> u64 {
    let mut count = 0;
    for drop_dir in drop_dirs {
        if let Ok(dir) = Dir::open(&drop_dir.path) {
            count_below(drop_dir, (&dir, Path::new("")), max, &mut count);
        }
    }
    count
}

fn count_below(drop_dir: &DropDir, (dir, rel): (&Dir, &Path), max: u64, count: &mut u64) {
    *count += 1;
    if !drop_dir.recursive || rel.components().count() >= DEPTH_MAX || *count > max {
        return;
    }
    // A directory that can't be listed has no watch.
    let entries = dir.entries().unwrap_or_default();
    for (name, _) in entries.into_iter().filter(|(_, kind)| *kind == EntryKind::Dir) {
        let rel = rel.join(&name);
        let is_left_alone = drop_dir.ignore.ignores_entry(&rel, true) || drop_dir.is_managed(&rel);
        if !is_left_alone && let Ok(dir) = dir.open_dir(Path::new(&name)) {
            count_below(drop_dir, (&dir, &rel), max, count);
        }
    }
}
