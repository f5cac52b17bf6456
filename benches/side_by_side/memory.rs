//! The daemon's peak memory over a large dump, by each of its routes.

use crate::arrivals::Arrivals;
use crate::contender::{Contender, Setup};
use crate::daemon::Daemon;
use crate::options::Size;
use crate::site::Site;
use crate::{Bench, Fallible, table};

/// Large enough for every route to be taken.
const PROBE: Size = Size(64 << 20);

/// Prints the peak memory for every route that was not `seen` on another file system already.
pub(crate) fn measure(bench: &Bench, site: &Site, seen: &mut Vec<String>) -> Fallible<()> {
    let size = bench.options.large;
    let mut rows = Vec::new();
    for setup in Setup::ALL {
        let probe = Contender::Npyd(setup).run(site, &bench.python, PROBE, false)?;
        let mut route = probe.receipt.map(|(route, _)| route).unwrap_or_default();
        if setup == Setup::Pending {
            route.push_str(", pending");
        }
        if seen.contains(&route) {
            continue;
        }
        if !site.has_room(if route == "copy" { 2 * size.0 } else { size.0 })? {
            println!("Left out for want of room: {route} of {size} on {}.\n", site.kind.title());
            continue;
        }
        eprintln!("{}, memory: {route}", site.kind.title());
        setup.drop_dump(site, size)?;
        let arrivals = Arrivals::in_dir(&site.path("out"))?;
        let daemon = Daemon::start(site, &site.configure(setup.settings())?)?;
        arrivals.next()?;
        rows.push(vec![
            route.clone(),
            table::tenths(daemon.memory_kib("VmHWM")?, 1 << 10) + " MiB",
        ]);
        drop(daemon);
        site.clear()?;
        seen.push(route);
    }
    if !rows.is_empty() {
        let title = format!("The daemon's peak memory, {size}, on {}", site.kind.title());
        table::print(&title, &["route", "peak"], &rows);
    }
    Ok(())
}
