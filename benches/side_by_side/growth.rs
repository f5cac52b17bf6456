//! Routes that move no data, on a small and on a large dump: their time must not grow with it.

use crate::contender::{Contender, Setup};
use crate::options::Size;
use crate::race::{self, Lane};
use crate::site::Site;
use crate::spread::ratio;
use crate::{Bench, Fallible, table};

const SMALL: Size = Size(64 << 20);

/// Prints the times at both sizes, for every such route of the file system.
pub(crate) fn measure(bench: &Bench, site: &Site) -> Fallible<()> {
    let large = bench.options.large;
    // A reflink of unwritten memory and a copy within memory are no matter of this.
    let mut setups = Vec::new();
    for setup in Setup::ALL {
        let run = Contender::Npyd(setup).run(site, &bench.python, SMALL, false)?;
        let route = run.receipt.map(|(route, _)| route).unwrap_or_default();
        if route != "copy"
            && !setups.iter().any(|(_, known)| setup != Setup::Pending && *known == route)
        {
            setups.push((setup, route));
        }
    }
    let title = format!("From {SMALL} to {large} on {}", site.kind.title());
    if !site.has_room(large.0)? {
        println!("Left out for want of room: {title}.\n");
        return Ok(());
    }
    let contenders = || setups.iter().map(|(setup, _)| Contender::Npyd(*setup)).collect();
    let small = race::lanes(bench, site, SMALL, contenders())?;
    let big = race::lanes(bench, site, large, contenders())?;
    let rows: Vec<_> = small.iter().zip(&big).filter_map(|(small, big)| row(small, big)).collect();
    let (small, big) = (format!("npyd, {SMALL}"), format!("npyd, {large}"));
    let (small_work, big_work) = (format!("by its receipt, {SMALL}"), format!("{large}"));
    let head = ["route", &small, &big, "ratio", &small_work, &big_work, "ratio"];
    table::print(&title, &head, &rows);
    Ok(())
}

fn row(small: &Lane, big: &Lane) -> Option<Vec<String>> {
    let (times, works) = ((small.times()?, big.times()?), (small.work()?, big.work()?));
    Some(vec![
        big.title(),
        times.0.to_string(),
        times.1.to_string(),
        ratio(times.1.median(), times.0.median()),
        works.0.to_string(),
        works.1.to_string(),
        ratio(works.1.median(), works.0.median()),
    ])
}
