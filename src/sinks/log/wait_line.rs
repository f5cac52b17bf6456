//! A log line about drops that wait for long.

use std::fmt;
use std::path::PathBuf;

use crate::decide::reason::Reason;
use crate::events::drop_path::DropPath;
use crate::events::drop_state::WaitAge;
use crate::events::receipt_event::ReceiptEvent;
use crate::events::tally::Tally;
use crate::text::one_line::shown;

/// A line of the log.
#[derive(Debug)]
pub(crate) enum Line {
    /// Drops wait for reasons of one kind.
    Kind {
        /// One of them.
        path: DropPath,
        /// Its reason.
        reason: Reason,
        /// How many they are.
        drops: usize,
    },
    /// Drops have reached an age.
    Age {
        /// The drop directory.
        drop_dir: PathBuf,
        /// The age.
        age: WaitAge,
        /// The drops.
        drops: Tally,
    },
}

impl Line {
    /// Logs the line.
    pub(crate) fn log(&self) {
        match self {
            Line::Kind { path, reason, drops } => tracing::info!(
                event = ReceiptEvent::Waiting.as_str(),
                drop = %path.drop_dir.display(),
                source = %path.source.display(),
                reason = %reason,
                reason_kind = reason.kind().as_str(),
                drops,
                "{self}"
            ),
            Line::Age { drop_dir, drops, .. } => tracing::warn!(
                drop = %drop_dir.display(),
                kind = "lasting-wait",
                count = drops.count(),
                "{self}"
            ),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Line::Kind { path, reason, drops } => {
                let (dir, source) = (shown(&path.drop_dir), shown(&path.source));
                match drops {
                    1 => write!(f, "waiting for {source}: {reason}")?,
                    _ => write!(
                        f,
                        "waiting for {drops} drops in `{dir}` ({}), such as {source}: {reason}",
                        reason.kind()
                    )?,
                }
                if let Some(take) = reason.if_abandoned() {
                    write!(f, "; {take}")?;
                }
                if !reason.kind().is_held() {
                    return Ok(());
                }
                let users = "as root or as the producer's user";
                write!(f, "; `npyd explain {source}`, {users}, names the process")
            }
            Line::Age { drop_dir, age, drops } => {
                let age = match age {
                    WaitAge::Quiet => "the time `quiet`",
                    WaitAge::TenMinutes => "10 minutes",
                    WaitAge::Hour => "1 hour",
                    WaitAge::Day => "1 day",
                };
                write!(
                    f,
                    "`{}` has {} waiting for more than {age}: {drops}",
                    shown(drop_dir),
                    drops.counted("drop")
                )
            }
        }
    }
}
