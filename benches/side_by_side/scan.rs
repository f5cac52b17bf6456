//! A start over a directory full of finished drops, and rest after it.

use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, thread};

use crate::daemon::Daemon;
use crate::site::Site;
use crate::spread::{Spread, seconds};
use crate::{Bench, Fallible, go_on, table};

/// How long the daemon is watched at rest.
const REST: Duration = Duration::from_secs(10);

/// Prints how long starts take, and what rest costs.
pub(crate) fn measure(bench: &Bench, site: &Site) -> Fallible<()> {
    let count = bench.options.finished;
    let config = site.configure("")?;
    eprintln!("{}, scan: finishing {count} drops", site.kind.title());
    finish(site, 0..count, &config)?;
    let (mut starts, mut scans) = (Vec::new(), Vec::new());
    for _ in 0..bench.options.rounds {
        let daemon = Daemon::start(site, &config)?;
        starts.push(daemon.ready_after.as_secs_f64());
        scans.push(daemon.cpu()?.as_secs_f64());
    }
    let daemon = Daemon::start(site, &config)?;
    let (before, started) = (daemon.cpu()?, Instant::now());
    while started.elapsed() < REST {
        go_on()?;
        thread::sleep(Duration::from_millis(500));
    }
    let cpu = daemon.cpu()?.saturating_sub(before).as_secs_f64();
    let mebibytes = |key| Fallible::Ok(table::tenths(daemon.memory_kib(key)?, 1 << 10) + " MiB");
    let text = |times| Spread::of(times).map(|it| it.to_string()).unwrap_or_default();
    let rows = [
        ("start until ready", text(starts)),
        ("its CPU time", text(scans)),
        ("CPU time in 10 s of rest", seconds(cpu)),
        ("memory at rest", mebibytes("VmRSS")?),
        ("peak memory", mebibytes("VmHWM")?),
    ];
    drop(daemon);
    let rows = rows.map(|(what, how)| vec![what.to_owned(), how]);
    let title = format!("{count} finished drops in the directory, on {}", site.kind.title());
    table::print(&title, &["what", ""], &rows);
    Ok(site.clear()?)
}

/// Has a sweep finish small drops with these numbers, which stay beside those that are there.
pub(crate) fn finish(site: &Site, numbers: Range<u64>, config: &Path) -> Fallible<()> {
    let count = numbers.end;
    for number in numbers {
        if number % 1000 == 0 {
            go_on()?;
        }
        fs::write(site.path(format!("in/{number}.raw")), number.to_le_bytes())?;
        let manifest = "dtype = \"<u8\"\nshape = [1]\n";
        fs::write(site.path(format!("in/{number}.raw.toml")), manifest)?;
    }
    // How they come to be finished is not measured: more workers are done sooner.
    let busy = site.path("busy.toml");
    fs::write(&busy, format!("workers = 64\n{}", fs::read_to_string(config)?))?;
    let mut sweep = Command::new(env!("CARGO_BIN_EXE_npyd"));
    crate::filesystem::run(sweep.args(["sweep", "--json", "--config"]).arg(busy))?;
    let arrays = fs::read_dir(site.path("out"))?.count() as u64;
    if arrays == count { Ok(()) } else { Err(format!("{arrays} arrays of {count} drops").into()) }
}
