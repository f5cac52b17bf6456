//! Matches descriptions to a data file, and detects conflicts: several descriptions for one data
//! file, or one description for several. npyd's own manifest counts more than an instrument's
//! sidecar, so that a person can correct what the instrument wrote.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::decide::ambiguity::Ambiguity;
use crate::decide::reason::Reason;
use crate::fs;

use crate::probe::DescriptionIndex;
use crate::probe::description::{Contents, DataFiles, Description};
use crate::probe::dir_view::DirView;
use crate::probe::letter_case::manifests_in_other_case;

/// A description that refers to a data file.
pub(crate) struct MatchedDescription {
    pub(crate) by: Description,
    /// Index of the array that the data file holds.
    pub(crate) array: usize,
    pub(crate) data_files: DataFiles,
}

/// A file that leads a probe to a data file.
pub(crate) enum DescribedBy<'a> {
    Path(&'a Path),
    /// The probe has read it, and uses what it read.
    Read(Box<Description>),
}

/// The descriptions of a data file, without those that only describe other files.
pub(crate) struct Descriptions {
    /// npyd's own manifests, if there are any, and otherwise the sidecars. More than one are in
    /// conflict.
    pub(crate) competing: Vec<MatchedDescription>,
    /// The sidecars that a manifest overrides.
    pub(crate) overridden: Vec<MatchedDescription>,
}

impl Descriptions {
    /// Decides which descriptions count. A manifest overrides a sidecar of several files only if it
    /// describes all of them: without one of its files the sidecar's array would not be complete.
    fn of(matches: Vec<MatchedDescription>) -> Self {
        let manifest = matches.iter().find(|matched| matched.by.is_manifest());
        let counts: Vec<bool> = matches.iter().map(|it| counts_beside(it, manifest)).collect();
        let (mut competing, mut overridden) = (Vec::new(), Vec::new());
        for (matched, counts) in matches.into_iter().zip(counts) {
            if counts { competing.push(matched) } else { overridden.push(matched) }
        }
        Descriptions { competing, overridden }
    }
}

/// Returns whether a description counts beside another one of the data file, which overrides it if
/// that is a manifest of all its files.
pub(crate) fn counts_beside(
    matched: &MatchedDescription,
    other: Option<&MatchedDescription>,
) -> bool {
    match other.filter(|other| other.by.is_manifest()) {
        Some(manifest) if !matched.by.is_manifest() => {
            let of = matched.data_files.parts();
            !of.is_empty() && of != manifest.data_files.parts()
        }
        _ => true,
    }
}

/// A conflict between descriptions of a data file.
pub(crate) struct Conflict {
    pub(crate) reason: Reason,
    /// Inodes of the files that are in conflict.
    pub(crate) inodes: Vec<u64>,
    /// Whether the data file became an array before the conflict arose.
    pub(crate) has_array: bool,
}

impl DirView<'_> {
    /// Returns all descriptions of a data file: those found by name, those in the index, and `by`.
    /// Their order does not depend on which file is probed first.
    pub(crate) fn descriptions_of(
        &self,
        data: &Path,
        index: &DescriptionIndex,
        by: Option<DescribedBy<'_>>,
    ) -> fs::Result<Descriptions> {
        let (by, mut read) = match by {
            None => (None, None),
            Some(DescribedBy::Path(path)) => (Some(path.to_path_buf()), None),
            Some(DescribedBy::Read(by)) => (Some(by.rel.clone()), Some(by)),
        };
        let mut match_path = |path: &Path| match read.take_if(|read| read.rel == path) {
            Some(by) => self.match_read(*by, data),
            None => self.match_description(path, data),
        };
        if let Some(by) = by.as_deref().filter(|_| self.counts_alone) {
            return Ok(Descriptions::of(match_path(by)?.into_iter().collect()));
        }
        let mut paths = self.as_listed(index.sidecars_to_look_for(data))?;
        let named: BTreeSet<&Path> =
            index.describing(data).chain(&by).map(PathBuf::as_path).collect();
        for path in named {
            if !paths.iter().any(|led_to| led_to == path) {
                paths.push(path.to_path_buf());
            }
        }
        let mut matches = Vec::new();
        for path in &paths {
            matches.extend(match_path(path)?);
        }
        // A manifest overrides sidecars, also one whose name has other letter case.
        if !matches.is_empty() && !matches.iter().any(|matched| matched.by.is_manifest()) {
            for path in manifests_in_other_case(data) {
                matches.extend(self.match_description(&path, data)?);
            }
        }
        // A part of several files is probed from its description, not once from each part, unless
        // something else describes the part as well.
        if !matches.is_empty() {
            for whole in index.wholes_of(data).filter(|whole| !paths.contains(whole)) {
                matches.extend(self.match_description(whole, data)?);
            }
        }
        Ok(Descriptions::of(matches))
    }

    pub(crate) fn match_description(
        &self,
        path: &Path,
        data: &Path,
    ) -> fs::Result<Option<MatchedDescription>> {
        match self.read_description(path)? {
            Some(by) => self.match_read(by, data),
            None => Ok(None),
        }
    }

    fn match_read(&self, by: Description, data: &Path) -> fs::Result<Option<MatchedDescription>> {
        if by.refers_to(data) {
            let data_files = DataFiles::FirstOf(vec![data.to_path_buf()]);
            return Ok(Some(MatchedDescription { by, array: 0, data_files }));
        }
        let first_only = matches!(by.contents, Ok(Contents::Arrays(..)));
        for (array, data_files) in by.data_files().into_iter().enumerate() {
            let is_match = match &data_files {
                DataFiles::FirstOf(paths) => {
                    !first_only && paths.iter().any(|path| path == data)
                        || self.existing_data(&by, &data_files)?.is_some_and(|it| it == data)
                }
                DataFiles::Parts(paths) => paths.iter().any(|path| path == data),
            };
            if is_match {
                return Ok(Some(MatchedDescription { by, array, data_files }));
            }
        }
        Ok(None)
    }

    /// Returns another data file that the manifest of this one could refer to just as well, and its
    /// inode.
    pub(crate) fn other_data_file(
        &self,
        data: &Path,
        matched: &MatchedDescription,
    ) -> fs::Result<Option<(PathBuf, u64)>> {
        let MatchedDescription { by, data_files, .. } = matched;
        // `scan.raw.toml` always refers to `scan.raw`.
        let is_sure = !by.is_manifest()
            || by.has_named_data()
            || data_files.paths().first().is_some_and(|first| first == data);
        if is_sure {
            return Ok(None);
        }
        for other in data_files.paths().iter().filter(|other| *other != data) {
            if let Some(stat) = self.stat_regular(other)? {
                return Ok(Some((other.clone(), stat.ino)));
            }
        }
        Ok(None)
    }

    /// Detects ambiguity: several descriptions for one data file, or one description for several.
    pub(crate) fn find_conflict(
        &self,
        data: &Path,
        Descriptions { competing, overridden }: &Descriptions,
        index: &DescriptionIndex,
    ) -> fs::Result<Option<Conflict>> {
        Ok(match &competing[..] {
            [_, _, ..] => {
                let descriptions =
                    competing.iter().map(|matched| self.name_of(matched, data)).collect();
                let is_part = competing.iter().any(|it| !it.data_files.parts().is_empty());
                let part = is_part.then(|| name_of_file(data));
                let array_of = self.made_before(data, competing.iter().chain(overridden))?;
                let has_array = array_of.is_some();
                let why = Ambiguity::SeveralDescriptions { descriptions, part, array_of };
                Some(Conflict {
                    reason: Reason::Conflict(why),
                    inodes: competing.iter().filter_map(|matched| matched.by.ino()).collect(),
                    has_array,
                })
            }
            [only] => match self.other_data_file(data, only)? {
                None => self.find_part_conflict(data, only, index)?,
                Some((other, ino)) => Some(Conflict {
                    reason: Reason::Conflict(Ambiguity::SeveralData {
                        description: only.by.name.clone(),
                        data: name_of_file(data),
                        other: name_of_file(&other),
                    }),
                    inodes: vec![ino],
                    has_array: false,
                }),
            },
            [] => None,
        })
    }

    /// Returns the remark that the manifest overrides these descriptions of the data file.
    pub(crate) fn overriding_remark(
        &self,
        manifest: &MatchedDescription,
        overridden: &[MatchedDescription],
        data: &Path,
    ) -> Option<String> {
        let names = overridden.iter().map(|it| self.name_of(it, data).display().to_string());
        let names: Vec<_> = names.collect();
        let verb = if names.len() == 1 { "describes" } else { "describe" };
        let counts = &manifest.by.name;
        (!names.is_empty()).then(|| {
            format!("`{}` also {verb} it; the manifest `{counts}` counts", names.join("`, `"))
        })
    }

    /// Detects another description of one of the parts that a description combines.
    fn find_part_conflict(
        &self,
        data: &Path,
        whole: &MatchedDescription,
        index: &DescriptionIndex,
    ) -> fs::Result<Option<Conflict>> {
        let rel = &whole.by.rel;
        if self.counts_alone {
            return Ok(None);
        }
        for part in whole.data_files.parts().iter().filter(|part| *part != data) {
            let Descriptions { mut competing, .. } = self.descriptions_of(part, index, None)?;
            if competing.is_empty() && index.wholes_of(part).any(|other| other != rel) {
                let mut wholes = Vec::new();
                for by in index.wholes_of(part) {
                    wholes.extend(self.match_description(by, part)?);
                }
                competing = Descriptions::of(wholes).competing;
            }
            let mut others = competing.iter().filter(|matched| matched.by.rel != *rel);
            if let Some(other) = others.next() {
                return Ok(Some(Conflict {
                    reason: Reason::Conflict(Ambiguity::SeveralDescriptions {
                        descriptions: vec![self.name_of(whole, part), self.name_of(other, part)],
                        part: Some(name_of_file(part)),
                        array_of: None,
                    }),
                    inodes: [whole, other].iter().filter_map(|it| it.by.ino()).collect(),
                    has_array: false,
                }));
            }
        }
        Ok(None)
    }

    /// Returns a description's name, with its directory if that is not the data file's.
    fn name_of(&self, matched: &MatchedDescription, data: &Path) -> PathBuf {
        let Description { rel, name, .. } = &matched.by;
        if rel.parent() == data.parent() {
            return PathBuf::from(name.as_str());
        }
        self.drop_dir.path.join(rel)
    }

    /// Returns the name of the description that npyd used when it made an array of the data file,
    /// before a second description appeared.
    fn made_before<'m>(
        &self,
        data: &Path,
        matches: impl Iterator<Item = &'m MatchedDescription>,
    ) -> fs::Result<Option<PathBuf>> {
        let Some(stat) = self.stat_regular(data)? else { return Ok(None) };
        for matched in matches {
            if let Some(finished) =
                self.array_of(&matched.by, matched.array, &matched.data_files)?
                && finished.mark.is_of_data(&stat)
            {
                return Ok(Some(self.name_of(matched, data)));
            }
        }
        Ok(None)
    }
}

fn name_of_file(path: &Path) -> PathBuf {
    PathBuf::from(path.file_name().unwrap_or_default())
}
