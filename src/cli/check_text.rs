//! Texts of `npyd check` about the daemon, also about rights that this user can't check for it.

use std::path::Path;

use crate::cli::unit;
use crate::ledger;

/// Says which daemons use the state directory.
pub(super) fn running(daemons: &[u32]) -> String {
    let pids = daemons.iter().map(|pid| format!("pid {pid}")).collect::<Vec<_>>().join(", ");
    match daemons {
        [] => "none uses this state directory now".to_owned(),
        [_] => format!("running ({pids})"),
        _ => format!("warning: several use this state directory ({pids}); all work on its drops"),
    }
}

/// Says that this user lacks a right that npyd's user may have.
pub(super) fn unknown_to_this_user(path: &Path, owner: &str) -> String {
    format!(
        "{}: can't tell: user `{}` has not the rights to try it, and whether npyd's user `{owner}` \
         has them is not seen here; run `npyd check` as that user",
        path.display(),
        ledger::own_name()
    )
}

/// Says that the files of the unit are not checked, because it starts npyd with configuration
/// `other`.
pub(super) fn of_other_config(other: &Path) -> String {
    let (name, other) = (unit::NAME, other.display());
    format!("{name} starts npyd with `{other}`: its files are not checked for this configuration")
}

/// Builds the warning about a directory that is another mount than the drop directory.
pub(super) fn separated(path: &Path, drop: &Path) -> String {
    format!(
        "warning: in the unit's sandbox, `{}` and `{}` are two mounts (ReadWritePaths=), so that \
         npyd must copy from one to the other: name one directory that has both",
        drop.display(),
        path.display()
    )
}

/// Says that this user may read a drop directory alone, while npyd's user may have the right to
/// write.
pub(super) fn unknown_if_writable(owner: &str) -> String {
    format!(
        "can't tell whether npyd's user `{owner}` may write to it, because user `{}` may not; run \
         `npyd check` as that user",
        ledger::own_name()
    )
}
