//! Log lines about files that npyd leaves alone: one for each drop directory and reason.

use crate::events::left_alone::{LeftAlone, LeftAloneKind};
use crate::text::one_line::shown;

/// Logs which files npyd leaves alone.
pub(crate) fn log(left_alone: &LeftAlone) {
    let LeftAlone { drop_dir, kind, files, .. } = left_alone;
    tracing::warn!(
        drop = %drop_dir.display(),
        kind = kind.as_str(),
        count = files.count(),
        "{}",
        text(left_alone)
    );
}

fn text(LeftAlone { drop_dir, dir, kind, files }: &LeftAlone) -> String {
    let dir = shown(dir);
    let them = if files.count() == 1 { "it" } else { "them" };
    match kind {
        LeftAloneKind::Undescribed => format!(
            "`{dir}` has {} that nothing describes: {files}; add a manifest or a template, or \
             list {them} in `ignore` (`npyd explain {dir}` lists {them})",
            files.counted("file")
        ),
        LeftAloneKind::BadName => format!(
            "`{dir}` has {} with a name that npyd does not take: {files}; rename {them}",
            files.counted("file")
        ),
        LeftAloneKind::Array => format!(
            "`{dir}` has {} that npyd did not make: {files}; npyd leaves {them} there",
            files.counted("finished .npy file")
        ),
        LeftAloneKind::Subdirectory => format!(
            "`{dir}` has {} with files that npyd does not see: {files}; set recursive = true, \
             or list {them} in `ignore`",
            files.counted("subdirectory")
        ),
        LeftAloneKind::Misplaced => format!(
            "`{dir}` has {}, but npyd puts arrays there and takes no drops from there: {files}; \
             move {them} to `{}` (`npyd explain {dir}` lists {them})",
            files.counted("drop"),
            shown(drop_dir)
        ),
    }
}
