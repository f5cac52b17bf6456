//! Log lines about many drops: one line for each cause and drop directory, with a count.

use std::path::Path;
use std::time::Duration;

use humantime::format_duration;

use crate::decide::reason_kind::ReasonKind;
use crate::decide::work_error::WorkError;
use crate::events::event::Trial;
use crate::events::receipt::Receipt;
use crate::text::count::counted;
use crate::text::one_line::shown;

/// Logs that drops failed for one cause.
pub(crate) fn failures(receipt: &Receipt, drops: usize, is_again: bool) {
    let reason = receipt.reason.as_deref().unwrap_or_default();
    macro_rules! line {
        ($($text:tt)+) => {
            tracing::warn!(
                event = receipt.event.as_str(),
                drop = %receipt.drop.display(),
                source = %receipt.source.display(),
                reason,
                reason_kind = receipt.reason_kind.map(ReasonKind::as_str),
                drops,
                $($text)+
            )
        };
    }
    let (dir, source) = (shown(&receipt.drop), shown(&receipt.source));
    let failed = if is_again { "still failing" } else { "failed" };
    if drops == 1 {
        line!("{failed} {source}: {reason}");
    } else {
        line!("{failed} {drops} drops in `{dir}`, such as {source}: {reason}");
    }
}

/// Logs that npyd suspends drops because a directory that they need has a fault.
pub(crate) fn suspended(
    (drop_dir, dir): (&Path, &Path),
    error: &WorkError,
    drops: usize,
    (trial, lasted): (Trial, Option<Duration>),
) {
    let still = lasted.map_or_else(String::new, |lasted| {
        format!(" for {}", format_duration(Duration::from_secs(lasted.as_secs())))
    });
    tracing::warn!(
        event = "suspended",
        drop = %drop_dir.display(),
        dir = %dir.display(),
        reason = %error,
        drops,
        "suspended{still}: {} in `{}`: {error}; {}",
        counted(drops, "drop"),
        shown(drop_dir),
        trial_text(trial)
    );
}

fn trial_text(trial: Trial) -> String {
    match trial {
        Trial::In(left) => {
            let tenths = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).div_ceil(100);
            let left = Duration::from_millis(tenths.saturating_mul(100));
            format!("trying again with one drop in {}", format_duration(left))
        }
        Trial::Now => "trying again with one drop now".to_owned(),
        Trial::Succeeded => "one drop was tried again, and succeeded".to_owned(),
    }
}

/// Logs that the fault of a directory is over.
pub(crate) fn resumed((drop_dir, dir): (&Path, &Path), drops: usize, lasted: Duration) {
    let lasted = Duration::from_secs(lasted.as_secs().max(1));
    tracing::info!(
        event = "resumed",
        drop = %drop_dir.display(),
        dir = %dir.display(),
        drops,
        seconds = lasted.as_secs(),
        "going on with {} in `{}`: the fault of `{}` is over after {}",
        counted(drops, "drop"),
        shown(drop_dir),
        shown(dir),
        format_duration(lasted)
    );
}

/// Logs that finished drops are compared with their arrays.
pub(crate) fn rechecking(drop_dir: &Path, drops: usize) {
    tracing::info!(
        drop = %drop_dir.display(),
        drops,
        "only attributes (rights, ACL, links or name) of {} in `{}` changed: \
         npyd compares each with its array, at idle priority",
        counted(drops, "finished drop"),
        shown(drop_dir)
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_a_directory_is_tried_again() {
        let text = |milliseconds| trial_text(Trial::In(Duration::from_millis(milliseconds)));
        assert_eq!(text(60_000), "trying again with one drop in 1m");
        assert_eq!(text(1_901), "trying again with one drop in 2s");
        assert_eq!(text(1), "trying again with one drop in 100ms");
        assert_eq!(trial_text(Trial::Now), "trying again with one drop now");
    }
}
