//! Rejected drops on their way to `rejects`: neither the data nor the manifest is lost, and if one
//! of them has moved, a text says why.

use std::collections::BTreeMap;
use std::fs::{self, File};

use super::errors::{calls, sweep_with, ways_of};
use super::harness::crash_case::{Broken, CrashCase, Violation, files_below};
use super::harness::crash_dirs::{Crash, CrashDirs, changes, distinct_points, on_crash_dirs};
use super::harness::npyd::Npyd;
use super::harness::scenario::{Disposition, Scenario};
use super::harness::volume::Cut;
use super::harness::{Tally, start};
use crate::support::Fault;

/// Routes to `rejects` on the same file system, and on another one.
const ROUTES: [&str; 2] = ["copy", "archive-elsewhere"];

/// A manifest that no data can satisfy.
const MANIFEST: &str = "dtype = '|u1'\nshape = [7]\ndigest = 'crc32c:00000000'\noffset = 3\n";

/// Makes a drop that npyd rejects and moves to the directory `archive`.
fn refused<'a>(dirs: &'a CrashDirs, scenario: &'a Scenario) -> CrashCase<'a> {
    let case = dirs.case(scenario);
    let manifest = case.root().join("in").join(format!("{}.toml", scenario.route.file));
    fs::write(&manifest, MANIFEST).unwrap();
    File::open(manifest).unwrap().sync_all().unwrap();
    let rejects = format!("rejects = '{}'\n", case.root().join("archive").display());
    let configuration = fs::read_to_string(case.config()).unwrap();
    fs::write(case.config(), configuration + &rejects).unwrap();
    case
}

/// Checks what must hold in every state.
fn examine(
    case: &CrashCase<'_>,
    scenario: &Scenario,
) -> Result<BTreeMap<String, Vec<u8>>, Violation> {
    let found = files_below(case.root());
    let is_at = |dir: &str, name: &str, content: &[u8]| {
        let is_it = |path: &String| path.starts_with(dir) && path.ends_with(name);
        found.iter().any(|(path, it)| is_it(path) && it == content)
    };
    let (data, manifest) =
        (scenario.route.file.to_owned(), format!("{}.toml", scenario.route.file));
    let is_explained =
        found.iter().any(|(path, text)| path.contains(".rejected.") && text.len() > 9);
    let lost = |what| Err(Violation::new(Broken::Lost, format!("{what}: {:?}", found.keys())));
    for (name, content) in
        [(data, &scenario.drops()[0].files[0].1[..]), (manifest, MANIFEST.as_bytes())]
    {
        match (is_at("in/", &name, content), is_at("archive/", &name, content)) {
            (false, false) => return lost(name),
            (false, true) if !is_explained => return lost("why it is there".to_owned()),
            _ => {}
        }
    }
    Ok(found)
}

/// Sweeps, and checks that all files have moved, each once. If the crash was between the moves of
/// two files, the data may still be in the drop directory.
fn finish(case: &CrashCase<'_>, scenario: &Scenario, between: bool) -> Result<(), Violation> {
    start(&mut case.sweep()).wait().unwrap();
    let found = examine(case, scenario)?;
    let files = || found.keys().filter(|path| !path.contains(".rejected."));
    let is_there = |path: &&String| between && *path == "in/scan.raw";
    let aside: Vec<_> = files().filter(|path| !is_there(path)).collect();
    let (data, manifest) = ("archive/scan.raw", "archive/scan.raw.toml");
    if aside == [data, manifest] || aside == [manifest] && files().any(|path| is_there(&path)) {
        return Ok(());
    }
    Err(Violation::new(Broken::Unfinished, format!("{:?}\n{}", found.keys(), case.printed())))
}

fn every_point(crash: Crash) {
    let tally = on_crash_dirs("ext4", Npyd::real(), |dirs| {
        let mut tally = Tally::default();
        for route in ROUTES {
            let scenario = Scenario::of(route, Disposition::Archive);
            let case = refused(dirs, &scenario);
            let changes = changes(&case);
            let points = distinct_points(&case, crash, &changes, 0..=changes.len());
            for &point in &points {
                let case = refused(dirs, &scenario);
                let (_, before) = dirs.crash(&case, crash, point);
                let between = before.as_ref().is_some_and(|it| it.call.starts_with("rename"))
                    || before.as_ref().is_some_and(|it| it.call == "unlinkat");
                let checked =
                    examine(&case, &scenario).and_then(|_| finish(&case, &scenario, between));
                let of = format!("{route}, {crash:?} before {before:?}");
                tally.violations.extend(checked.err().map(|it| it.of(&of)));
                tally.tried += 1;
            }
            tally.of += points.len();
        }
        tally
    });
    if let Some(tally) = tally {
        tally.report("crash points");
    }
}

#[test]
fn killed() {
    every_point(Crash::Kill);
}

#[test]
fn cut() {
    every_point(Crash::Power(Cut::KeepsNothing));
}

#[test]
fn cut_with_its_journal_written() {
    every_point(Crash::Power(Cut::KeepsMetadata));
}

/// A failing call leaves what a crash there would leave, and the next sweep continues.
#[test]
fn failing() {
    let tally = on_crash_dirs("ext4", Npyd::real(), |dirs| {
        let mut tally = Tally::default();
        for (number, route) in ROUTES.into_iter().enumerate() {
            let scenario = Scenario::of(route, Disposition::Archive);
            let (ways, of) = ways_of(&calls(&refused(dirs, &scenario)), number, |_| 1);
            for (place, fault, lasting) in ways {
                let case = refused(dirs, &scenario);
                let met = match sweep_with(&case, &place, fault, lasting) {
                    Ok(Some(met)) => met,
                    Ok(None) => continue,
                    Err(violation) => {
                        tally.violations.push(violation);
                        continue;
                    }
                };
                let checked = met
                    .ended_well(&case)
                    .and_then(|()| examine(&case, &scenario))
                    .and_then(|_| finish(&case, &scenario, true));
                let of = format!("{route}, {fault:?} {lasting:?} at {}", met.first);
                tally.violations.extend(checked.err().map(|it| it.of(&of)));
                tally.tried += 1;
            }
            tally.of += of;
        }
        tally
    });
    if let Some(tally) = tally {
        tally.report("errors");
    }
}

/// The event during a retry.
#[derive(Debug, Clone, Copy)]
enum Happens {
    Kill,
    Error,
}

/// Retries with an event at change number `at`. Returns `false` if there is no such change.
fn retry_until(case: &CrashCase<'_>, happens: Happens, at: usize) -> bool {
    let mut tracee = case.traced_retry();
    for _ in 0..at {
        tracee.next_change();
    }
    if tracee.next_change().is_none() {
        return false;
    }
    match happens {
        Happens::Kill => tracee.kill(),
        Happens::Error => {
            tracee.inject(Fault::Error(libc::EIO));
            while tracee.next_change().is_some() {}
        }
    }
    true
}

/// Checks that both files are in the drop directory, and only there.
fn is_back(case: &CrashCase<'_>, scenario: &Scenario) -> Result<(), Violation> {
    let found = examine(case, scenario)?;
    let files: Vec<_> = found.keys().filter(|path| !path.contains(".rejected.")).collect();
    if files == ["in/scan.raw", "in/scan.raw.toml"] {
        return Ok(());
    }
    Err(Violation::new(Broken::Unfinished, format!("{files:?}\n{}", case.printed())))
}

/// A retry that is killed or fails loses nothing, and another retry restores the drop.
fn retried(happens: Happens) {
    let tally = on_crash_dirs("ext4", Npyd::real(), |dirs| {
        let mut tally = Tally::default();
        for route in ROUTES {
            let scenario = Scenario::of(route, Disposition::Archive);
            for at in 0.. {
                let case = refused(dirs, &scenario);
                start(&mut case.sweep()).wait().unwrap();
                if !retry_until(&case, happens, at) {
                    break;
                }
                let checked = examine(&case, &scenario).and_then(|_| {
                    start(&mut case.retry()).wait().unwrap();
                    is_back(&case, &scenario)
                });
                let of = format!("{route}, {happens:?} at change {at}");
                tally.violations.extend(checked.err().map(|it| it.of(&of)));
                tally.tried += 1;
            }
        }
        Tally { of: tally.tried, ..tally }
    });
    if let Some(tally) = tally {
        tally.report("changes of a retry");
    }
}

#[test]
fn killed_on_the_way_back() {
    retried(Happens::Kill);
}

#[test]
fn failing_on_the_way_back() {
    retried(Happens::Error);
}
