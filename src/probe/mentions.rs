//! Descriptions beside a file that do not describe it, but were perhaps meant to. `npyd explain`
//! reports them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::config::DropDir;
use crate::decide::reason::Reason;
use crate::describe::text::text_of;
use crate::describe::{DataNames, DeclaredBy, manifest};
use crate::fs;
use crate::model::{FileName, Stat, parent_of};
use crate::probe::description::{Contents, Description};
use crate::probe::dir_view::DirView;
use crate::probe::named_files::names_in;
use crate::probe::{may_describe, rel_name};

/// How a description refers to a file that it does not describe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mention {
    /// Its text names the file, but it can't be used.
    Unusable(Box<Reason>),
    /// It names a file whose name differs in letter case alone.
    OtherCase(FileName),
    /// It has the name of the file before the suffix, names no data, and waits for data with
    /// another suffix.
    WaitsBySuffix,
}

/// What a file is that is named like a description.
#[derive(Debug)]
pub struct DescriptionFacts {
    /// Its kind.
    pub kind: DeclaredBy,
    /// Files that its name leads to, if its text names others that are not there.
    pub named_for: Vec<PathBuf>,
}

/// Returns the first description beside the file at `rel` that refers to it, and how. The caller
/// has found out that nothing describes the file.
///
/// # Errors
/// The directory can't be read.
pub fn mention_of(drop_dir: &DropDir, rel: &Path) -> fs::Result<Option<(FileName, Mention)>> {
    let view = DirView::open(drop_dir)?;
    let Ok(data) = rel_name(rel) else { return Ok(None) };
    for path in view.description_paths(parent_of(rel))? {
        if path == rel {
            continue;
        }
        // What can't be read refers to nothing.
        let Ok(Some(by)) = view.read_description(&path) else { continue };
        if let Some(mention) = view.mention(&by, &data)? {
            return Ok(Some((by.name, mention)));
        }
    }
    Ok(None)
}

/// Returns the files that the texts of unusable descriptions in the directory `parent` name: for
/// each, the first of these descriptions, and why it can't be used.
///
/// # Errors
/// The directory can't be read.
pub fn unusable_mentions(
    drop_dir: &DropDir,
    parent: &Path,
) -> fs::Result<BTreeMap<FileName, (FileName, Reason)>> {
    let view = DirView::open(drop_dir)?;
    let mut mentions = BTreeMap::new();
    for path in view.description_paths(parent)? {
        let Ok(Some(by)) = view.read_description(&path) else { continue };
        let Err(why) = &by.contents else { continue };
        if by.is_meant()? {
            for data in view.names_in_text(&by)? {
                mentions.entry(data).or_insert_with(|| (by.name.clone(), why.clone()));
            }
        }
    }
    Ok(mentions)
}

/// Returns what the file at `rel` is, if it is a description.
///
/// # Errors
/// It can't be read.
pub fn description_facts(drop_dir: &DropDir, rel: &Path) -> fs::Result<Option<DescriptionFacts>> {
    let view = DirView::open(drop_dir)?;
    let Some(by) = view.read_description(rel)? else { return Ok(None) };
    let mut named_for = Vec::new();
    if by.contents.is_ok() && by.series().is_none() && !view.has_data(&by)? {
        for name in by.names_implied() {
            let path = rel.with_file_name(name);
            if path != rel && view.dir.stat(&path)?.as_ref().is_some_and(Stat::is_file) {
                named_for.push(path);
            }
        }
    }
    Ok(Some(DescriptionFacts { kind: by.kind(), named_for }))
}

impl DirView<'_> {
    /// Returns the paths in the directory `parent` whose names are like those of descriptions, in
    /// order.
    fn description_paths(&self, parent: &Path) -> fs::Result<Vec<PathBuf>> {
        let entries = self.dir.clone().into_subdir(parent)?.entries()?;
        let names = entries.iter().filter_map(|(name, _)| name.to_str());
        let paths = names.filter(|name| may_describe(name)).map(|name| parent.join(name));
        let ignore = &self.drop_dir.ignore;
        let mut paths: Vec<_> = paths.filter(|path| ignore.reason(path, false).is_none()).collect();
        paths.sort_unstable();
        Ok(paths)
    }

    fn mention(&self, by: &Description, data: &FileName) -> fs::Result<Option<Mention>> {
        let contents = match &by.contents {
            Ok(contents) => contents,
            Err(why) => {
                let is_named = by.is_meant()? && self.names_in_text(by)?.contains(data);
                return Ok(is_named.then(|| Mention::Unusable(Box::new(why.clone()))));
            }
        };
        let Contents::Manifest(manifest) = contents else { return Ok(None) };
        let is_twin = |name: &&FileName| {
            *name != data && name.as_str().to_lowercase() == data.as_str().to_lowercase()
        };
        let twin = match &manifest.declared.data {
            Some(DataNames::List(names)) => names.iter().find(is_twin),
            // One that no file has names a file in other letter case, too.
            Some(DataNames::One(_) | DataNames::Matching(_)) => None,
            None => {
                let stem = by.name.as_str().rsplit_once('.').map_or("", |(stem, _)| stem);
                let suffix = data.as_str().strip_prefix(stem);
                let is_like = suffix.is_some_and(|it| it.starts_with('.'))
                    && !manifest::is_named_for(by.name.as_str(), data.as_str());
                return Ok((is_like && !self.has_data(by)?).then_some(Mention::WaitsBySuffix));
            }
        };
        Ok(twin.cloned().map(Mention::OtherCase))
    }

    /// Returns the names of data files in the text of a description.
    fn names_in_text(&self, by: &Description) -> fs::Result<Vec<FileName>> {
        let Some((file, _)) = self.open_regular(&by.rel)? else { return Ok(Vec::new()) };
        let text = file.read_at_most(0, manifest::SIZE_MAX as usize)?;
        Ok(names_in(&text_of(&text)))
    }

    /// Returns whether any data file of a description is there.
    fn has_data(&self, by: &Description) -> fs::Result<bool> {
        for one in &by.data_files() {
            if self.existing_data(by, one)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
