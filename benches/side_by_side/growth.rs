//! How the time of the routes that move no data grows with the size of the dump.

use crate::options::Size;
use crate::race::Lane;
use crate::spread::ratio;
use crate::table;

/// From here on a dump is more than the routes' own work.
const SMALL: Size = Size(64 << 20);

/// Prints the ratio between the largest and the smallest measured dump that is not small.
pub(crate) fn print(of: &str, sizes: &[(Size, Vec<Lane>)]) {
    let large = sizes.iter().filter(|(size, _)| *size >= SMALL);
    let (Some((small, few)), Some((big, many))) =
        (large.clone().min_by_key(|it| it.0), large.max_by_key(|it| it.0))
    else {
        return;
    };
    if small == big {
        return;
    }
    let rows: Vec<_> = many
        .iter()
        .filter(|lane| lane.moves_nothing())
        .filter_map(|lane| row(few.iter().find(|it| it.contender == lane.contender)?, lane))
        .collect();
    if !rows.is_empty() {
        let title = format!("{big} against {small} on {of}");
        table::print(&title, &["route", "npyd", "by its receipt"], &rows);
    }
}

fn row(small: &Lane, big: &Lane) -> Option<Vec<String>> {
    let process = ratio(big.times()?.median(), small.times()?.median());
    Some(vec![big.title(), process, ratio(big.work()?.median(), small.work()?.median())])
}
