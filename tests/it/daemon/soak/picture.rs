//! What the soak measured over time, as a picture.

#![expect(clippy::cast_precision_loss, reason = "pixels need no more")]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::sample::Sample;
use crate::support::chart::{Axis, Chart, Line, Panel};

/// Points of a line; each is the highest, or the median, of the samples in its interval.
const POINTS: usize = 240;

/// Writes `target/soak.svg`.
pub(super) fn write(samples: &[Sample], marks: &[(Instant, &'static str)], started: Instant) {
    let minutes = |at: Instant| (at - started).as_secs_f64() / 60.0;
    let spans: Vec<&[Sample]> = samples.chunks(samples.len().div_ceil(POINTS)).collect();
    let panel = |title, unit, value: &dyn Fn(&[Sample]) -> Option<f64>| {
        let point = |span: &&[Sample]| Some((minutes(span[0].at), value(span)?));
        Panel {
            title,
            x: Axis { label: "time (min)", is_log: false },
            y: Axis { label: unit, is_log: false },
            lines: vec![Line { name: title, points: spans.iter().filter_map(point).collect() }],
            has_guide: false,
        }
    };
    let highest = |value: fn(&Sample) -> f64| {
        move |span: &[Sample]| span.iter().map(value).max_by(f64::total_cmp)
    };
    let latencies = |span: &[Sample]| {
        let mut sorted: Vec<_> = span.iter().filter_map(|it| it.latency).map(millis).collect();
        sorted.sort_by(f64::total_cmp);
        sorted
    };
    let panels = vec![
        panel("memory", "MiB", &highest(|it| it.memory_kib as f64 / 1024.0)),
        panel("descriptors", "number", &highest(|it| it.descriptors as f64)),
        panel("threads", "number", &highest(|it| it.threads as f64)),
        panel(
            "write-ahead log of the ledger",
            "MiB",
            &highest(|it| it.wal_bytes as f64 / f64::from(1 << 20)),
        ),
        panel("latency of a drop among others, median", "ms", &|span| {
            let sorted = latencies(span);
            sorted.get(sorted.len() / 2).copied()
        }),
        panel("latency of a drop among others, longest", "ms", &|span| {
            latencies(span).last().copied()
        }),
    ];
    let length = samples.last().map_or(0.0, |last| minutes(last.at));
    let chart = Chart {
        title: format!("A soak of {length:.0} minutes"),
        columns: 3,
        panels,
        marks: marks.iter().map(|&(at, word)| (minutes(at), word)).collect(),
    };
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("soak.svg");
    fs::write(&path, chart.to_svg()).unwrap();
    println!("{}", path.display());
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
