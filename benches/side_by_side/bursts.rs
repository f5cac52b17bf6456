//! Many small drops at once: the daemon, and a script around Python's watchdog.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Instant;

use crate::arrivals::Arrivals;
use crate::contender::verify;
use crate::daemon::Daemon;
use crate::options::Size;
use crate::site::Site;
use crate::spread::{Spread, ratio};
use crate::{Bench, Fallible, dump, go_on, table};

/// Prints how long each takes from the first drop to the last array.
pub(crate) fn measure(bench: &Bench, site: &Site) -> Fallible<()> {
    let (mut npyd, mut script) = (Vec::new(), Vec::new());
    for round in 0..bench.options.rounds {
        eprintln!("{}, bursts: round {}", site.kind.title(), round + 1);
        let mut turns = [true, false];
        turns.rotate_left(round as usize % 2);
        for is_npyd in turns {
            if is_npyd {
                let _daemon = Daemon::start(site, &site.configure("")?)?;
                npyd.push(burst(bench, site)?);
            } else {
                let _watchdog = Watchdog::start(bench, site)?;
                script.push(burst(bench, site)?);
            }
            site.begin_anew()?;
        }
    }
    let (Some(npyd), Some(script)) = (Spread::of(npyd), Spread::of(script)) else { return Ok(()) };
    let count = bench.options.burst;
    let rate = |spread: &Spread| format!("{:.0}", f64::from(count) / spread.median());
    let rows = [
        vec!["npyd".into(), npyd.to_string(), rate(&npyd), ratio(script.median(), npyd.median())],
        vec!["watchdog".into(), script.to_string(), rate(&script), String::new()],
    ];
    let title = format!("{count} drops of {} on {}", Size(dump::FRAME), site.kind.title());
    table::print(&title, &["who", "first drop to last array", "arrays a second", "ratio"], &rows);
    Ok(())
}

/// Drops as fast as it goes, and returns how long it took until the last array was there. Then all
/// are verified.
fn burst(bench: &Bench, site: &Site) -> Fallible<f64> {
    site.sync()?;
    let arrivals = Arrivals::in_dir(&site.path("out"))?;
    let count = u64::from(bench.options.burst);
    let started = Instant::now();
    for number in 0..count {
        dump::describe(&site.path(format!("in/{number}.raw.toml")), 1, "")?;
        dump::write(&site.path(format!("in/{number}.raw")), &[], number, 1)?;
    }
    let mut last = started;
    let mut files: Vec<PathBuf> = Vec::new();
    for arrived in 0..count {
        let (name, at) =
            arrivals.next().map_err(|error| format!("{arrived} of {count} arrays: {error}"))?;
        files.push(site.path("out").join(name));
        last = at;
    }
    go_on()?;
    files.sort_unstable();
    files.dedup();
    if files.len() as u64 != count {
        return Err(format!("{} different arrays instead of {count}", files.len()).into());
    }
    verify(site, &bench.python, 1, &files)?;
    Ok(last.duration_since(started).as_secs_f64())
}

/// The script, as it watches.
struct Watchdog(Child);

impl Watchdog {
    fn start(bench: &Bench, site: &Site) -> Fallible<Self> {
        let mut script = bench.python.script("watchdog_script.py");
        script.arg(site.path("in")).arg(site.path("out"));
        let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut word = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut word)?;
        }
        let watchdog = Watchdog(child);
        if word.trim() == "ready" { Ok(watchdog) } else { Err("the script ended early".into()) }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // It ends with its input; if it hangs, what it has done is measured already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
