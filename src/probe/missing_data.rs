//! Missing data: why a description waits, and which files it waits for.

use std::path::{Path, PathBuf};

use crate::decide::reason::Reason;
use crate::fs;
use crate::probe::DirView;
use crate::probe::description::{DataFiles, Description};

impl DirView<'_> {
    /// Returns why a description waits for its data.
    pub(crate) fn why_missing(
        &self,
        by: &Description,
        data_files: &DataFiles,
    ) -> fs::Result<Reason> {
        if let Some(glob) = by.glob() {
            let (glob, any_case) = (glob.as_str().to_owned(), glob.in_any_case());
            let others = self.matching(&by.rel, &any_case)?;
            let mut others: Vec<_> =
                others.iter().map(|name| by.rel.with_file_name(name.as_str())).collect();
            others.sort_unstable();
            return Ok(match &others[..] {
                [] => Reason::NoMatch(glob),
                others => Reason::NoMatchInThisCase { glob, similar: listed(others) },
            });
        }
        if by.series().is_some() {
            let first = data_files.paths().get(..1).unwrap_or_default();
            return self.missing_data(first, &by.rel, true);
        }
        match &self.in_other_case(by, data_files)?[..] {
            [] => self.missing_data(data_files.paths(), &by.rel, by.is_manifest()),
            others => Ok(Reason::DataInOtherCase(listed(others))),
        }
    }

    /// Returns why the drop waits when no candidate data file exists. Names the files as the
    /// description at `by` would.
    pub(crate) fn missing_data(
        &self,
        paths: &[PathBuf],
        by: &Path,
        by_manifest: bool,
    ) -> fs::Result<Reason> {
        let beside = by.parent().unwrap_or(Path::new(""));
        let name = |path: &PathBuf| path.strip_prefix(beside).unwrap_or(path).display().to_string();
        for path in paths {
            let stat = self.dir.stat(path)?;
            if stat.is_some_and(|stat| !stat.is_file() && !stat.is_dir()) {
                return Ok(Reason::DataNotRegular(name(path)));
            }
            if (stat.is_some() || paths.len() == 1)
                && let Some(ignored) = self.drop_dir.ignore.reason(path, false)
            {
                return Ok(Reason::DataIgnored(ignored.to_string()));
            }
        }
        Ok(match paths {
            [path] => match &self.case_twins(path)?[..] {
                [] => Reason::NoDataFile(name(path)),
                twins => Reason::NoDataFileInThisCase { name: name(path), similar: listed(twins) },
            },
            [path, ..] if by_manifest => Reason::NoDataFileNamed { name: name(path) },
            _ => Reason::NoDataFileYet(listed(paths)),
        })
    }
}

/// Returns the names of the first files, as a message lists them.
fn listed(paths: &[PathBuf]) -> String {
    const NAMES: usize = 3;
    let name = |path: &PathBuf| format!("`{}`", path.file_name().unwrap_or_default().display());
    let names: Vec<_> = paths.iter().take(NAMES).map(name).collect();
    let more = if paths.len() > NAMES { ", …" } else { "" };
    format!("{}{more}", names.join(", "))
}
