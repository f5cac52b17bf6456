//! Cost against number: a daemon over more and more files, directories, drop directories or
//! receipts.

#![expect(clippy::cast_precision_loss, reason = "no number here is that large")]

mod subject;

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::arrivals::Arrivals;
use crate::chart::{Axis, Chart, Line, Panel};
use crate::daemon::Daemon;
use crate::options::Options;
use crate::site::Site;
use crate::spread::{Spread, ratio, seconds};
use crate::{Fallible, go_on, table};
use subject::Subject;

/// How often it is looked at while it is not yet at rest.
const INTERVAL: Duration = Duration::from_millis(500);

/// Time on a CPU or waiting for one, in each of two intervals in a row, below which the daemon is
/// at rest: 6 % of a core.
const AT_REST: Duration = Duration::from_millis(30);

/// How long it may take until it is at rest.
const PATIENCE: Duration = Duration::from_mins(10);

/// New drops whose cost and latency are measured.
const NEW_DROPS: u64 = 50;

/// What a number of something costs.
struct Cost {
    number: u64,
    /// From the start until the first scan is done and nothing is left to do.
    start: f64,
    /// CPU time in a second of rest.
    rest: f64,
    peak_mib: f64,
    /// CPU time for a new drop.
    drop: f64,
    latency: f64,
}

/// A figure of the costs, with its title in the tables and in the picture.
type Figure = (&'static str, &'static str, fn(&Cost) -> f64);

const FIGURES: [Figure; 5] = [
    ("CPU time of a start", "s of CPU", |it| it.start),
    ("CPU time in a second of rest", "ms of CPU", |it| it.rest * 1e3),
    ("peak memory", "MiB", |it| it.peak_mib),
    ("CPU time for a new drop", "ms of CPU", |it| it.drop * 1e3),
    ("latency of a new drop, median", "ms", |it| it.latency * 1e3),
];

/// Prints a table for each subject, and writes the picture of all.
pub(crate) fn measure(options: &Options, site: &Site) -> Fallible<()> {
    let picture = options.picture();
    let mut all = Vec::new();
    for subject in Subject::ALL {
        site.begin_anew()?;
        let mut costs = Vec::new();
        let mut done = 0;
        for number in subject.numbers(options.largest) {
            eprintln!("scale: {number} {}", subject.name());
            let config = subject.grow(site, done..number)?;
            done = number;
            costs.push(cost(options, site, subject, &config, number)?);
        }
        print(subject, &costs);
        all.push((subject, costs));
        fs::write(&picture, chart(&all).to_svg())?;
    }
    println!("The picture is in {}.", picture.display());
    Ok(())
}

fn cost(
    options: &Options,
    site: &Site,
    subject: Subject,
    config: &Path,
    number: u64,
) -> Fallible<Cost> {
    let scans = subject.scans(number);
    let level = if scans == 0 { "info" } else { "debug" };
    let mut starts = Vec::new();
    for _ in 1..options.rounds {
        let daemon = Daemon::start_logging(site, config, level)?;
        starts.push(cpu_until_rest(site, &daemon, scans)?.as_secs_f64());
    }
    let daemon = Daemon::start_logging(site, config, level)?;
    starts.push(cpu_until_rest(site, &daemon, scans)?.as_secs_f64());
    let seconds = u64::from(options.rest);
    let rest = cpu_while(&daemon, || wait(Duration::from_secs(seconds)))?;
    let mut latencies = Vec::new();
    let drops = cpu_while(&daemon, || {
        latencies = new_drops(site, subject, number)?;
        Ok(())
    })?;
    Ok(Cost {
        number,
        start: Spread::of(starts).map_or(0.0, |it| it.median()),
        rest: rest.as_secs_f64() / seconds as f64,
        peak_mib: daemon.memory_kib("VmHWM")? as f64 / 1024.0,
        drop: drops.as_secs_f64() / NEW_DROPS as f64,
        latency: Spread::of(latencies).map_or(0.0, |it| it.median()),
    })
}

/// Waits until the daemon has logged the end of so many scans and is at rest, and returns the CPU
/// time that it has taken until then.
fn cpu_until_rest(site: &Site, daemon: &Daemon, scans: usize) -> Fallible<Duration> {
    let started = Instant::now();
    while fs::read_to_string(site.path("log"))?.matches(" scanned ").count() < scans {
        wait(INTERVAL)?;
        if started.elapsed() > PATIENCE {
            return Err(format!("the scan does not end within {PATIENCE:?}").into());
        }
    }
    let mut before = daemon.busy()?;
    let mut quiet = 0;
    while quiet < 2 {
        wait(INTERVAL)?;
        let now = daemon.busy()?;
        quiet = if now.saturating_sub(before) < AT_REST { quiet + 1 } else { 0 };
        before = now;
        if started.elapsed() > PATIENCE {
            return Err(format!("the daemon is not at rest after {PATIENCE:?}").into());
        }
    }
    daemon.cpu()
}

fn cpu_while(daemon: &Daemon, act: impl FnOnce() -> Fallible<()>) -> Fallible<Duration> {
    let before = daemon.cpu()?;
    act()?;
    Ok(daemon.cpu()?.saturating_sub(before))
}

fn wait(time: Duration) -> Fallible<()> {
    go_on()?;
    thread::sleep(time);
    Ok(())
}

/// Returns the times from the last close of new drops, one at a time, to their arrays, and removes
/// them.
fn new_drops(site: &Site, subject: Subject, number: u64) -> Fallible<Vec<f64>> {
    let [input, output] = subject.new_drop_dirs().map(|dir| site.path(dir));
    let arrivals = Arrivals::in_dir(&output)?;
    let mut latencies = Vec::new();
    for index in 0..NEW_DROPS {
        let name = format!("new-{number}-{index}");
        fs::write(input.join(format!("{name}.raw.toml")), subject::MANIFEST)?;
        fs::write(input.join(format!("{name}.raw")), index.to_le_bytes())?;
        let closed = Instant::now();
        let (_, at) = arrivals.next()?;
        latencies.push(at.duration_since(closed).as_secs_f64());
    }
    for index in 0..NEW_DROPS {
        let name = format!("new-{number}-{index}");
        for path in [
            input.join(format!("{name}.raw")),
            input.join(format!("{name}.raw.toml")),
            output.join(format!("{name}.npy")),
        ] {
            fs::remove_file(path)?;
        }
    }
    Ok(latencies)
}

/// Prints the costs, and how they grow in the last step.
fn print(subject: Subject, costs: &[Cost]) {
    let head = [&["number"], &FIGURES.map(|it| it.0)[..]].concat();
    let mut rows: Vec<Vec<String>> = costs.iter().map(row).collect();
    if let [.., few, many] = costs {
        let title = ratio(many.number as f64, few.number as f64);
        let growth = FIGURES.map(|(_, _, value)| ratio(value(many), value(few)));
        rows.push([vec![format!("the last step, {title}")], growth.to_vec()].concat());
    }
    table::print(&format!("Cost against number: {}", subject.name()), &head, &rows);
}

fn row(cost: &Cost) -> Vec<String> {
    vec![
        cost.number.to_string(),
        seconds(cost.start),
        seconds(cost.rest),
        format!("{:.1} MiB", cost.peak_mib),
        seconds(cost.drop),
        seconds(cost.latency),
    ]
}

fn chart(all: &[(Subject, Vec<Cost>)]) -> Chart {
    let panel = |(title, unit, value): Figure| Panel {
        title,
        x: Axis { label: "number", is_log: true },
        y: Axis { label: unit, is_log: true },
        lines: all
            .iter()
            .map(|(subject, costs)| Line {
                name: subject.name(),
                points: costs.iter().map(|it| (it.number as f64, value(it))).collect(),
            })
            .collect(),
        has_guide: true,
    };
    Chart {
        title: "Cost against number; dotted: in proportion to it".to_owned(),
        columns: 3,
        panels: FIGURES.map(panel).into(),
        marks: Vec::new(),
    }
}
