//! Refused drops on their way to where they are set aside: neither the data nor their manifest is
//! lost, and where one of them has moved, a text says why.

use std::collections::BTreeMap;
use std::fs::{self, File};

use super::crash_case::{Broken, Trial, Violation, files_below};
use super::crash_dirs::{Crash, Ground, changes, on_ground};
use super::errors::{calls, sweep_with, ways_of};
use super::npyd::Npyd;
use super::scenario::{Disposition, Scenario};
use super::tracee::{Fault, Tracee};
use super::volume::Cut;
use super::{Tally, start};

/// To the same file system, and to another.
const ROUTES: [&str; 2] = ["copy", "archive-elsewhere"];

/// A manifest that no data can satisfy.
const MANIFEST: &str = "dtype = '|u1'\nshape = [7]\ndigest = 'crc32c:00000000'\noffset = 3\n";

/// A drop that will be refused, and set aside in the directory `archive`.
fn refused<'a>(ground: &'a Ground, scenario: &'a Scenario) -> Trial<'a> {
    let trial = ground.trial(scenario);
    let manifest = trial.root().join("in").join(format!("{}.toml", scenario.route.file));
    fs::write(&manifest, MANIFEST).unwrap();
    File::open(manifest).unwrap().sync_all().unwrap();
    let rejects = format!("rejects = '{}'\n", trial.root().join("archive").display());
    let configuration = fs::read_to_string(trial.config()).unwrap();
    fs::write(trial.config(), configuration + &rejects).unwrap();
    trial
}

/// What must hold in every state.
fn examine(trial: &Trial<'_>, scenario: &Scenario) -> Result<BTreeMap<String, Vec<u8>>, Violation> {
    let found = files_below(trial.root());
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

/// Afterwards all is set aside, each file once; but the data may still be where they were dropped,
/// if the crash was between two of the moments in which a file goes.
fn finish(trial: &Trial<'_>, scenario: &Scenario, between: bool) -> Result<(), Violation> {
    start(&mut trial.sweep()).wait().unwrap();
    let found = examine(trial, scenario)?;
    let files = || found.keys().filter(|path| !path.contains(".rejected."));
    let is_there = |path: &&String| between && *path == "in/scan.raw";
    let aside: Vec<_> = files().filter(|path| !is_there(path)).collect();
    let (data, manifest) = ("archive/scan.raw", "archive/scan.raw.toml");
    if aside == [data, manifest] || aside == [manifest] && files().any(|path| is_there(&path)) {
        return Ok(());
    }
    Err(Violation::new(Broken::Unfinished, format!("{:?}\n{}", found.keys(), trial.printed())))
}

fn every_point(crash: Crash) {
    let tally = on_ground("ext4", Npyd::real(), |ground| {
        let mut tally = Tally::default();
        for route in ROUTES {
            let scenario = Scenario::of(route, Disposition::Archive);
            let points = changes(&refused(ground, &scenario)).len() + 1;
            for point in 0..points {
                let trial = refused(ground, &scenario);
                let before = ground.crash(&trial, crash, point);
                let between = before.as_ref().is_some_and(|it| it.call.starts_with("rename"))
                    || before.as_ref().is_some_and(|it| it.call == "unlinkat");
                let checked =
                    examine(&trial, &scenario).and_then(|_| finish(&trial, &scenario, between));
                let of = format!("{route}, {crash:?} before {before:?}");
                tally.violations.extend(checked.err().map(|it| it.of(&of)));
                tally.tried += 1;
            }
            tally.of += points;
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

/// Each call that fails leaves what a crash there would leave, and the next sweep goes on.
#[test]
fn failing() {
    let tally = on_ground("ext4", Npyd::real(), |ground| {
        let mut tally = Tally::default();
        for (number, route) in ROUTES.into_iter().enumerate() {
            let scenario = Scenario::of(route, Disposition::Archive);
            let (ways, of) = ways_of(&calls(&refused(ground, &scenario)), number, |_| 1);
            for (at, fault, lasting) in ways {
                let trial = refused(ground, &scenario);
                let met = match sweep_with(&trial, at, fault, lasting) {
                    Ok(Some(met)) => met,
                    Ok(None) => continue,
                    Err(violation) => {
                        tally.violations.push(violation);
                        continue;
                    }
                };
                let checked = met
                    .ended_well(&trial)
                    .and_then(|()| examine(&trial, &scenario))
                    .and_then(|_| finish(&trial, &scenario, true));
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

/// What happens to a retry.
#[derive(Debug, Clone, Copy)]
enum Happens {
    Kill,
    Error,
}

/// A retry to which something happens at change number `at`; `false`: there is no such change.
fn retry_until(trial: &Trial<'_>, happens: Happens, at: usize) -> bool {
    let mut tracee = Tracee::spawn(&mut trial.retry(), trial.roots());
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

/// Both files are where they were dropped, and only there.
fn is_back(trial: &Trial<'_>, scenario: &Scenario) -> Result<(), Violation> {
    let found = examine(trial, scenario)?;
    let files: Vec<_> = found.keys().filter(|path| !path.contains(".rejected.")).collect();
    if files == ["in/scan.raw", "in/scan.raw.toml"] {
        return Ok(());
    }
    Err(Violation::new(Broken::Unfinished, format!("{files:?}\n{}", trial.printed())))
}

/// A retry that was ended or met an error loses nothing, and another one brings the drop back.
fn retried(happens: Happens) {
    let tally = on_ground("ext4", Npyd::real(), |ground| {
        let mut tally = Tally::default();
        for route in ROUTES {
            let scenario = Scenario::of(route, Disposition::Archive);
            for at in 0.. {
                let trial = refused(ground, &scenario);
                start(&mut trial.sweep()).wait().unwrap();
                if !retry_until(&trial, happens, at) {
                    break;
                }
                let checked = examine(&trial, &scenario).and_then(|_| {
                    start(&mut trial.retry()).wait().unwrap();
                    is_back(&trial, &scenario)
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
