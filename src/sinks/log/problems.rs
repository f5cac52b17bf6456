//! Log lines about problems.

use crate::events::problem::Problem;
use crate::text::missing_features::{NO_PSI, OWN_LEASES};

/// Returns the line about a problem.
pub(crate) fn text(problem: &Problem) -> String {
    match problem {
        Problem::Ledger { error } | Problem::Dir { error } => error.clone(),
        Problem::UnwritableDir { drop_dir, is_of_sources, error } => {
            let what = if *is_of_sources { "their sources will stay" } else { "they will wait" };
            format!("drops in `{}`: {what}: {error}", drop_dir.display())
        }
        Problem::TooDeep { path, max } => {
            format!("ignored `{}`: it lies deeper than {max} directories", path.display())
        }
        Problem::ManyDescriptions { drop_dir, max } => format!(
            "more than {max} descriptions in `{}` name their data in their text and wait; files \
             without a description of their own wait, too, because npyd can't know all that \
             describes them: move descriptions away whose data will not come",
            drop_dir.display()
        ),
        Problem::InsertStays { path, why } => format!(
            "`{}` is left as it is: npyd was interrupted while it inserted a header, and {}",
            path.display(),
            why.to_text(path)
        ),
        Problem::NoThreads { error } => {
            format!("some drop directories are not processed: {error}")
        }
        Problem::OwnLeasesOnly => format!("npyd may take {OWN_LEASES}"),
        Problem::OtherDaemons { state_dir, pids } => format!(
            "another npyd ({}) uses the state directory `{}`, too: both work on its drops; stop \
             one of them, unless that is what you want",
            pids.iter().map(|pid| format!("pid {pid}")).collect::<Vec<_>>().join(", "),
            state_dir.display()
        ),
        Problem::NotIdle { error } => format!("io_priority = \"idle\" was refused: {error}"),
        Problem::NoPressure => format!("max_pressure has no effect: {NO_PSI}"),
        Problem::LedgerHangs => {
            "npyd ends while the ledger still does not respond; the receipts since then may be \
             lost, the arrays are durable"
                .to_owned()
        }
    }
}
