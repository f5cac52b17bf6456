//! npyd's routes and their peers on dumps of several sizes, in turn.

use crate::contender::{Contender, Peer, Run, Setup};
use crate::options::Size;
use crate::site::Site;
use crate::spread::{Spread, ratio};
use crate::{Bench, Fallible, growth, table};

const PEERS: [Peer; 5] =
    [Peer::OpenMemmap, Peer::SaveMemmap, Peer::SaveCopy, Peer::Cp, Peer::CpBytes];

/// The route that moves all bytes.
const COPY: &str = "copy";

/// Large enough for every route to be taken.
const PROBE: Size = Size(64 << 20);

/// One contender's measurements at one size.
pub(crate) struct Lane {
    pub(crate) contender: Contender,
    /// npyd's route.
    pub(crate) route: Option<String>,
    runs: Vec<Run>,
}

impl Lane {
    /// Whole processes; for scripts, their work.
    pub(crate) fn times(&self) -> Option<Spread> {
        Spread::of(self.runs.iter().map(|run| run.seconds).collect())
    }

    /// npyd's work alone, by its receipts.
    pub(crate) fn work(&self) -> Option<Spread> {
        let seconds = |run: &Run| run.receipt.as_ref().map(|(_, seconds)| *seconds);
        Spread::of(self.runs.iter().filter_map(seconds).collect())
    }

    /// npyd's route with what is special about it.
    pub(crate) fn title(&self) -> String {
        let route = self.route.as_deref().unwrap_or_default();
        match self.contender {
            Contender::Npyd(Setup::Pending) => format!("{route}, pending"),
            _ => route.to_owned(),
        }
    }

    /// Whether npyd took a route that moves no data.
    pub(crate) fn moves_nothing(&self) -> bool {
        self.route.as_deref().is_some_and(|route| route != COPY)
    }

    fn peak_kib(&self) -> Option<u64> {
        self.runs.iter().filter_map(|run| run.peak_kib).max()
    }
}

/// Prints a table of all sizes on one file system.
pub(crate) fn measure(bench: &Bench, site: &Site) -> Fallible<()> {
    let mut rows = Vec::new();
    let mut measured = Vec::new();
    for &size in &bench.options.sizes {
        let copies = size <= bench.options.copy_up_to;
        if !site.has_room(if copies { 2 * size.0 } else { size.0 })? {
            println!("Left out for want of room: {size} on {}.\n", site.kind.title());
            continue;
        }
        let contenders = if copies { Contender::all() } else { moving_nothing(bench, site)? };
        let lanes = lanes(bench, site, size, contenders)?;
        rows.extend(rows_of(size, &lanes));
        measured.push((size, lanes));
    }
    let titles = PEERS.map(Peer::title);
    let head = [&["size", "", "npyd", "by its receipt"], &titles[..]].concat();
    table::print(&format!("Routes and peers on {}", site.kind.title()), &head, &rows);
    growth::print(&site.kind.title(), &measured);
    Ok(())
}

/// Those who make the array here without moving the data.
fn moving_nothing(bench: &Bench, site: &Site) -> Fallible<Vec<Contender>> {
    let mut found = Vec::new();
    for contender in Setup::ALL.map(Contender::Npyd) {
        let run = contender.run(site, &bench.python, PROBE, false)?;
        if run.receipt.is_some_and(|(route, _)| route != COPY) {
            found.push(contender);
        }
    }
    Ok(found)
}

/// Measures contenders in turn. The first round counts for nothing but to verify what each makes,
/// and to learn npyd's routes: who makes it the same way as another is left out.
fn lanes(
    bench: &Bench,
    site: &Site,
    size: Size,
    contenders: Vec<Contender>,
) -> Fallible<Vec<Lane>> {
    let Bench { options, python } = bench;
    let mut lanes: Vec<Lane> = Vec::new();
    for contender in contenders {
        let shares = lanes.iter().any(|lane| lane.route.as_deref() == Some("reflink"));
        if contender == Contender::Peer(Peer::CpBytes) && !shares {
            continue;
        }
        let route = contender.run(site, python, size, true)?.receipt.map(|(route, _)| route);
        let is_new = |route: &String| {
            let pending = contender == Contender::Npyd(Setup::Pending);
            options.wants_route(route)
                && (pending || lanes.iter().all(|lane| lane.route.as_ref() != Some(route)))
        };
        if route.as_ref().is_none_or(is_new) {
            lanes.push(Lane { contender, route, runs: Vec::new() });
        }
    }
    for round in 0..options.rounds as usize {
        eprintln!("{}, {size}: round {}", site.kind.title(), round + 1);
        let count = lanes.len();
        for turn in 0..count {
            let lane = &mut lanes[(round + turn) % count];
            lane.runs.push(lane.contender.run(site, python, size, false)?);
        }
    }
    Ok(lanes)
}

fn rows_of(size: Size, lanes: &[Lane]) -> Vec<Vec<String>> {
    let peer = |peer| lanes.iter().find(|lane| lane.contender == Contender::Peer(peer));
    let cells = |of: &dyn Fn(&Lane) -> Option<String>| -> Vec<String> {
        PEERS.iter().map(|it| peer(*it).and_then(of).unwrap_or_default()).collect()
    };
    let text = |spread: Option<Spread>| spread.map(|it| it.to_string()).unwrap_or_default();
    let row = |title: String, npyd: String, work: String, peers: Vec<String>| {
        [vec![size.to_string(), title, npyd, work], peers].concat()
    };
    let mut rows = Vec::new();
    for lane in lanes.iter().filter(|lane| lane.route.is_some()) {
        let own = lane.times().map_or(f64::NAN, |times| times.median());
        let ratios = cells(&|peer| peer.times().map(|times| ratio(times.median(), own)));
        rows.push(row(lane.title(), text(lane.times()), text(lane.work()), ratios));
    }
    if lanes.iter().all(|lane| lane.route.is_some()) {
        return rows; // no peers at this size
    }
    let times = cells(&|peer| peer.times().map(|times| times.to_string()));
    rows.push(row("their time".to_owned(), String::new(), String::new(), times));
    let peaks = cells(&|peer| peer.peak_kib().map(|kib| format!("{} MiB", kib >> 10)));
    rows.push(row("their peak memory".to_owned(), String::new(), String::new(), peaks));
    rows
}
