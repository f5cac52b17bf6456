//! Missing data: why a description waits, and which files it waits for.

use std::path::{Path, PathBuf};

use crate::decide::name_list::NameList;
use crate::decide::reason::Reason;
use crate::fs;
use crate::model::parent_of;
use crate::probe::description::{Contents, DataFiles, Description};
use crate::probe::dir_view::DirView;

impl DirView<'_> {
    /// Returns why a description waits for its data.
    pub(crate) fn why_missing(
        &self,
        by: &Description,
        data_files: &DataFiles,
    ) -> fs::Result<Reason> {
        let why = self.what_is_missing(by, data_files)?;
        Ok(match &by.contents {
            Ok(Contents::Manifest(manifest)) if let Some(table) = manifest.data_table() => {
                Reason::DataKeyInTable { why: Box::new(why), table: table.to_owned() }
            }
            _ => why,
        })
    }

    fn what_is_missing(&self, by: &Description, data_files: &DataFiles) -> fs::Result<Reason> {
        if let Some(glob) = by.pattern() {
            let (glob, any_case) = (glob.as_str().to_owned(), glob.in_any_case());
            let others = self.matching(&by.rel, &any_case)?;
            let mut others: Vec<_> =
                others.iter().map(|name| by.rel.with_file_name(name.as_str())).collect();
            others.sort_unstable();
            return Ok(match &others[..] {
                [] => Reason::NoMatch(glob),
                others => Reason::NoMatchInThisCase { glob, similar: NameList::of(others) },
            });
        }
        if by.series().is_some() {
            let first = data_files.paths().get(..1).unwrap_or_default();
            return self.missing_data(first, &by.rel, true);
        }
        match &self.in_other_case(by, data_files)?[..] {
            [] => self.missing_data(data_files.paths(), &by.rel, by.is_manifest()),
            others => Ok(Reason::DataInOtherCase(NameList::of(others))),
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
        let beside = parent_of(by);
        let name = |path: &PathBuf| path.strip_prefix(beside).unwrap_or(path).to_path_buf();
        for path in paths {
            let stat = self.dir.stat(path)?;
            // A name among several may be that of a directory for something else.
            if paths.len() == 1 && stat.is_some_and(|stat| stat.is_dir()) {
                return Ok(Reason::DataIsDir(name(path)));
            }
            if stat.is_some_and(|stat| !stat.is_file() && !stat.is_dir()) {
                return Ok(Reason::DataNotRegular(name(path)));
            }
            if (stat.is_some() || paths.len() == 1)
                && let Some(ignored) = self.drop_dir.ignore.reason(path, false)
            {
                return Ok(Reason::DataIgnored(ignored.into_owned()));
            }
        }
        Ok(match paths {
            [path] => match &self.case_twins(path)?[..] {
                [] => Reason::NoDataFile(name(path)),
                twins => {
                    Reason::NoDataFileInThisCase { name: name(path), similar: NameList::of(twins) }
                }
            },
            [path, ..] if by_manifest => Reason::NoDataFileNamed { name: name(path) },
            _ => Reason::NoDataFileYet(NameList::of(paths)),
        })
    }
}
