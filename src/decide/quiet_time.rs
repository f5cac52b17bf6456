//! The time for which a drop must be unchanged, as a message states it.

use std::fmt;
use std::time::Duration;

/// How long a drop must be unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietTime {
    /// The time, which doubles with each remake.
    pub quiet: Duration,
    /// How often the array was remade.
    pub remakes: u32,
    /// Whether it is longer because another file of a series may come.
    pub may_grow: bool,
}

impl fmt::Display for QuietTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quiet = humantime::format_duration(self.quiet);
        let times = match self.remakes {
            0 if self.may_grow => {
                return write!(f, "{quiet}, because another file may match its glob");
            }
            0 => return f.write_str("the quiet time"),
            1 => "once".to_owned(),
            remakes => format!("{remakes} times"),
        };
        write!(f, "{quiet}: it changed after its array was made, and was made again {times}")
    }
}
