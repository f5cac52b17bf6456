//! Times measured, and how they spread.

use std::fmt;

/// Times in seconds; at least one, sorted.
#[derive(Debug, Clone)]
pub(crate) struct Spread(Vec<f64>);

impl Spread {
    /// Of these; `None` where there are none.
    pub(crate) fn of(mut seconds: Vec<f64>) -> Option<Self> {
        seconds.sort_by(f64::total_cmp);
        (!seconds.is_empty()).then_some(Spread(seconds))
    }

    pub(crate) fn median(&self) -> f64 {
        let (low, high) = (self.0[(self.0.len() - 1) / 2], self.0[self.0.len() / 2]);
        f64::midpoint(low, high)
    }

    /// The time that so many of a hundred don't exceed.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0[rank - 1]
    }
}

/// The median, and the range around it.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (min, max) = (self.0[0], self.0[self.0.len() - 1]);
        let (unit, name) = unit(self.median());
        let digits = |seconds: f64| three(seconds / unit);
        write!(f, "{} {name}", digits(self.median()))?;
        if self.0.len() > 1 {
            write!(f, " ({}–{})", digits(min), digits(max))?;
        }
        Ok(())
    }
}

/// Seconds for people.
pub(crate) fn seconds(seconds: f64) -> String {
    let (unit, name) = unit(seconds);
    format!("{} {name}", three(seconds / unit))
}

/// How many times as long, for people.
pub(crate) fn ratio(long: f64, short: f64) -> String {
    format!("{} ×", three(long / short))
}

fn unit(seconds: f64) -> (f64, &'static str) {
    if seconds >= 1.0 { (1.0, "s") } else { (1e-3, "ms") }
}

/// Three digits, or all those before the point.
fn three(number: f64) -> String {
    let decimals = if number >= 100.0 { 0 } else { 1 + usize::from(number < 10.0) };
    format!("{number:.decimals$}")
}
