//! From the producer's last close to the published file, one drop at a time.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use crate::arrivals::Arrivals;
use crate::contender::verify;
use crate::daemon::Daemon;
use crate::options::Size;
use crate::site::Site;
use crate::spread::{Spread, seconds};
use crate::{Bench, Fallible, dump, table};

const SIZE: Size = Size(1 << 20);
const FRAMES: u64 = SIZE.0 / dump::FRAME;

/// Prints the median and the tail, with what the disk itself takes beside them.
pub(crate) fn measure(bench: &Bench, site: &Site) -> Fallible<()> {
    let config = site.configure("")?;
    let _daemon = Daemon::start(site, &config)?;
    let mut rows = Vec::new();
    for (room, more) in [(0, ""), (dump::ROOM, "reserved = 128\n")] {
        eprintln!("{}, latency: {room} bytes of room", site.kind.title());
        let arrivals = Arrivals::in_dir(&site.path("out"))?;
        let (mut drops, mut disk) = (Vec::new(), Vec::new());
        let mut files = Vec::new();
        for first in (0..bench.options.latencies).map(|number| number * FRAMES) {
            disk.push(sync_of_the_disk(site)?);
            drops.push(latency(site, &arrivals, first, room, more)?);
            files.push(site.path(format!("out/{first}.npy")));
        }
        verify(site, &bench.python, FRAMES, &files)?;
        let route = last_route(&config)?;
        rows.extend([row(&format!("npyd, {route}"), drops), row("the disk's own sync", disk)]);
        site.clear_files()?;
    }
    let title = format!("Last close to published file, {SIZE}, on {}", site.kind.title());
    table::print(&title, &["what", "drops", "p50", "p99", "longest"], &rows);
    Ok(site.clear()?)
}

fn row(name: &str, times: Vec<f64>) -> Vec<String> {
    let count = times.len().to_string();
    let Some(times) = Spread::of(times) else { return Vec::new() };
    let cells = [50, 99, 100].map(|percent| seconds(times.percentile(percent)));
    [vec![name.to_owned(), count], cells.to_vec()].concat()
}

/// The route of the newest receipt.
fn last_route(config: &Path) -> Fallible<String> {
    let mut history = Command::new(env!("CARGO_BIN_EXE_npyd"));
    let output = history.args(["history", "--json", "--config"]).arg(config).output()?;
    let text = String::from_utf8(output.stdout)?;
    let receipt: Value = serde_json::from_str(text.lines().last().unwrap_or_default())?;
    Ok(receipt["route"].as_str().unwrap_or_default().to_owned())
}

/// The manifest is there first; the data's close is the last thing their producer does.
fn latency(site: &Site, arrivals: &Arrivals, first: u64, room: usize, more: &str) -> Fallible<f64> {
    dump::describe(&site.path(format!("in/{first}.raw.toml")), FRAMES, more)?;
    let data = dump::write(&site.path(format!("in/{first}.raw")), &vec![0; room], first, FRAMES)?;
    let closed = Instant::now();
    drop(data);
    let (_, at) = arrivals.next()?;
    Ok(at.duration_since(closed).as_secs_f64())
}

/// What any program must do to publish so many bytes durably: write, sync, rename, sync.
fn sync_of_the_disk(site: &Site) -> Fallible<f64> {
    let dir = site.path("disk");
    fs::create_dir(&dir)?;
    let bytes = dump::frame().repeat(FRAMES as usize);
    let started = Instant::now();
    let mut file = File::create(dir.join("part"))?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(dir.join("part"), dir.join("whole"))?;
    File::open(&dir)?.sync_all()?;
    let seconds = started.elapsed().as_secs_f64();
    fs::remove_dir_all(&dir)?;
    Ok(seconds)
}
