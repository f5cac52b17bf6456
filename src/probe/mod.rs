//! Probes one name in a drop directory: classifies it, and opens the files that belong to it.
//!
//! The drop directory is open for a few probes at most, because an open directory keeps its mount
//! busy. Files are opened below it without following links; from then on only their descriptors are
//! used.

mod array_attributes;
mod by_sidecar;
pub mod candidate;
mod conflicts;
pub mod corrections;
mod data_head;
mod description;
mod dir_view;
mod finished_array;
mod index;
pub mod input;
mod letter_case;
mod listed;
mod listed_endings;
mod measure;
mod mentions;
mod missing_data;
mod named_files;
pub(crate) mod npy_file;
mod output_dir;
mod redescribed;
mod residue;
mod row_count;
mod standalone;
mod template_match;
mod undescribed;
pub mod unproven;

use std::path::{Path, PathBuf};

use conflicts::{Conflict, DescribedBy, Descriptions, MatchedDescription};
use data_head::DataHead;
use description::{Contents, DataFiles, Description};
use dir_view::DirView;

use crate::config::DropDir;
use crate::decide::reason::Reason;
use crate::describe::{DescribeError, Dump, SizeFit, manifest};
use crate::fs::{self, Dir};
use crate::model::{FileName, FileNameError, is_npy_name, parent_of};
use crate::probe::candidate::Candidate;
use crate::probe::input::{Input, InputFile};

pub use array_attributes::{ORIGIN_ATTR, ROUTE_ATTR, SOURCE_ATTR};
pub use by_sidecar::{
    description_names, is_manifest, manifest_names, probe_by_sidecar, sidecars_by_name,
};
pub use description::may_describe;
pub(crate) use description::{is_put_beside_arrays, may_describe_drop};
pub use finished_array::{FinishedArray, RemainingPart};
pub use index::DescriptionIndex;
pub use listed::{
    BareFile, ReadDescription, bare_file, data_named_by, first_data_named_by, possible_descriptions,
};
pub use mentions::{Mention, description_facts, mention_of, unusable_mentions};
pub use output_dir::open_output_dir;
pub use residue::Residue;
pub use row_count::RowCount;
pub use standalone::{ListedDescriptions, probe_standalone};

/// The result of a probe.
pub enum ProbeResult {
    /// The file does not exist.
    Missing,
    /// The file is not a drop.
    Ignored(Reason),
    /// A description whose data files do not all exist yet.
    AwaitingData {
        /// The path that waits: the description, or data whose description is not usable.
        path: PathBuf,
        /// The paths that the data file may have, if it is a single one.
        data: Vec<PathBuf>,
        /// All data files, if the array has several.
        parts: Vec<PathBuf>,
        /// The reason for waiting.
        why: Reason,
    },
    /// A sidecar that describes several arrays.
    Multiple {
        /// The sidecar.
        sidecar: PathBuf,
        /// The data files that exist.
        data: Vec<PathBuf>,
    },
    /// A description of data that were finalized; a crash left only the description.
    Residue(Box<Residue>),
    /// A dump, or a part of one.
    Candidate(Box<Candidate>),
}

/// Probes the file at `rel`, a path below the drop directory, which is open as `root`. `index`
/// holds the descriptions that cannot be found by name.
pub fn probe(
    (drop_dir, root): (&DropDir, &Dir),
    rel: &Path,
    index: &DescriptionIndex,
) -> fs::Result<ProbeResult> {
    probe_with(&DirView::of(drop_dir, root.clone()), rel, (index, None))
}

/// Probes the file at `rel` like [`probe`], and accepts hard links to its files. The caller must
/// have known each file before it got its links, because a user who can create a link can put any
/// file under a drop's name.
pub fn probe_linked(
    (drop_dir, root): (&DropDir, &Dir),
    rel: &Path,
    index: &DescriptionIndex,
) -> fs::Result<ProbeResult> {
    let view = DirView { accepts_links: true, ..DirView::of(drop_dir, root.clone()) };
    probe_with(&view, rel, (index, None))
}

/// Probes the file at `rel`; `by` is a further file that describes it.
fn probe_with(
    view: &DirView<'_>,
    rel: &Path,
    (index, by): (&DescriptionIndex, Option<&Path>),
) -> fs::Result<ProbeResult> {
    let name = match rel_name(rel) {
        Ok(name) => name,
        Err(error) => return Ok(ProbeResult::Ignored(Reason::BadName(error))),
    };
    if crate::model::is_reserved_name(name.as_str()) {
        return Ok(ProbeResult::Ignored(Reason::Private));
    }
    if let Some(reason) = view.drop_dir.ignore.reason(rel, false) {
        let is_there = view.dir.stat(rel)?.is_some();
        return Ok(if is_there {
            ProbeResult::Ignored(Reason::Ignored(reason.into_owned()))
        } else {
            ProbeResult::Missing
        });
    }
    if view.dir.listed_path(rel)?.is_some() {
        return Ok(ProbeResult::Missing); // it is probed under the name that is listed
    }
    if let Some(description) = view.read_description(rel)? {
        return view.probe_from_description(description, index, by);
    }
    if let Some(result) = view.probe_empty_manifest((rel, &name), index)? {
        return Ok(result);
    }
    view.probe_data(rel, index, by.map(DescribedBy::Path))
}

/// Probes a data file for which the caller declares the layout.
pub fn probe_as(
    drop_dir: &DropDir,
    rel: &Path,
    declare: impl FnOnce(&FileName) -> Result<Dump, DescribeError>,
) -> fs::Result<ProbeResult> {
    match rel_name(rel) {
        Ok(name) => DirView::open(drop_dir)?
            .candidate(rel, None, |_, _| Ok(Some(declare(&name).map_err(Reason::Description)))),
        Err(error) => Ok(ProbeResult::Ignored(Reason::BadName(error))),
    }
}

/// Returns the names of all data files of a description in the directory `dir`, if several hold one
/// array.
pub fn parts_of(
    drop_dir: &DropDir,
    dir: &Dir,
    description: &FileName,
) -> fs::Result<Vec<FileName>> {
    let view = DirView::of(drop_dir, dir.clone());
    let by = view.read_description(description.as_ref())?;
    let data_files = by.map(|by| by.data_files()).unwrap_or_default();
    let parts = data_files.iter().flat_map(DataFiles::parts);
    Ok(parts.filter_map(|path| rel_name(path).ok()).collect())
}

fn rel_name(rel: &Path) -> Result<FileName, FileNameError> {
    let name = rel.file_name().unwrap_or_default();
    match name.to_str() {
        Some(name) => FileName::try_from(name.to_owned()),
        None => Err(FileNameError::NotUtf8(name.to_owned())),
    }
}

impl DirView<'_> {
    /// Probes the data that a description refers to.
    fn probe_from_description(
        &self,
        by: Description,
        index: &DescriptionIndex,
        described_by: Option<&Path>,
    ) -> fs::Result<ProbeResult> {
        let sidecar = by.rel.clone();
        let data_files = by.data_files();
        let mut there = Vec::new();
        for one in &data_files {
            there.extend(self.existing_data(&by, one)?);
        }
        match (&data_files[..], &there[..]) {
            ([_], [data]) => self.probe_data(data, index, Some(DescribedBy::Read(Box::new(by)))),
            ([_], []) if by.contents.is_err() => {
                self.unreadable_without_data(&by, index, described_by)
            }
            ([only], []) => self.without_data(by, only),
            (_, []) => {
                let why = Reason::NoDataFiles;
                Ok(ProbeResult::AwaitingData {
                    path: sidecar,
                    data: Vec::new(),
                    parts: Vec::new(),
                    why,
                })
            }
            _ => Ok(ProbeResult::Multiple { sidecar, data: there }),
        }
    }

    fn without_data(&self, by: Description, data_files: &DataFiles) -> fs::Result<ProbeResult> {
        if let Some(finished) = self.finished(&by, 0, data_files)?
            && (finished.consumed_source || !self.has_untaken_data(data_files, &finished)?)
        {
            let why = self.why_missing(&by, data_files)?;
            let residue = Residue::of(by, finished, (data_files, why));
            return Ok(ProbeResult::Residue(Box::new(residue)));
        }
        let data = match data_files {
            DataFiles::FirstOf(paths) => paths.clone(),
            DataFiles::Parts(paths) if paths.len() == 1 => paths.clone(),
            DataFiles::Parts(_) => Vec::new(),
        };
        let why = self.why_missing(&by, data_files)?;
        let parts = data_files.parts().to_vec();
        Ok(ProbeResult::AwaitingData { path: by.rel, data, parts, why })
    }

    /// Probes a file that is named like a description, but can't be parsed: it may be data. If it
    /// is not, its text was to name the data, so only this result can report what is wrong with it:
    /// the description itself becomes the drop, and is rejected.
    fn unreadable_without_data(
        &self,
        by: &Description,
        index: &DescriptionIndex,
        described_by: Option<&Path>,
    ) -> fs::Result<ProbeResult> {
        let result = self.probe_data(&by.rel, index, described_by.map(DescribedBy::Path))?;
        match (result, &by.contents) {
            (ProbeResult::Ignored(_), Err(why)) if by.is_meant()? => {
                let why = why.clone();
                self.candidate(&by.rel, None, |_, _| Ok(Some(Err(why))))
            }
            (result, _) => Ok(result),
        }
    }

    fn probe_data(
        &self,
        data: &Path,
        index: &DescriptionIndex,
        by: Option<DescribedBy<'_>>,
    ) -> fs::Result<ProbeResult> {
        let descriptions = self.descriptions_of(data, index, by)?;
        let refused = self.find_conflict(data, &descriptions, index)?;
        let Descriptions { mut competing, overridden } = descriptions;
        // A conflict about one part of a series concerns all of it.
        let series = competing.iter().position(|it| refused.is_some() && it.by.series().is_some());
        let is_described = !competing.is_empty();
        let first = is_described.then(|| competing.swap_remove(series.unwrap_or(0)));
        if let Some(Conflict { reason, inodes, has_array }) = refused {
            let mut result = self.candidate(data, first, |_, _| Ok(Some(Err(reason))))?;
            if let ProbeResult::Candidate(candidate) = &mut result {
                candidate.conflicting_inodes = inodes;
                candidate.has_array = has_array;
            }
            return Ok(result);
        }
        let remark = first.as_ref().and_then(|it| self.overriding_remark(it, &overridden, data));
        let mut count = None;
        let mut result = self.candidate(data, first, |raw, contents| {
            let own = raw.own_header()?;
            Ok(match (contents, own) {
                (Some(_), Ok(Some(_))) => Some(Err(Reason::HeaderAndManifest)),
                (Some(description), _) => Some(self.dump_by(description, raw, &mut count)?),
                (None, Err(error)) => Some(Err(Reason::Description(error))),
                (None, Ok(Some(dump))) => Some(Ok(dump)),
                (None, Ok(None)) => {
                    self.dump_of_template(raw)?.map(|dump| dump.map_err(Reason::Description))
                }
            })
        })?;
        if let ProbeResult::Candidate(candidate) = &mut result {
            if let Ok(dump) = &mut candidate.dump {
                dump.warnings.extend(remark);
                let fit =
                    dump.fit(candidate.input.logical_size(dump).0, self.drop_dir.allow_trailing);
                let contradicts = matches!(fit, SizeFit::CountMismatch { .. });
                candidate.miscount = count.filter(|_| contradicts);
            }
            candidate.overridden = overridden.into_iter().filter_map(|it| it.by.file).collect();
        }
        if is_described { Ok(result) } else { self.without_description(data, result) }
    }

    /// Returns what follows for data without a description. `result`: without regard to files that
    /// are no description, but may have been meant as one.
    fn without_description(&self, data: &Path, result: ProbeResult) -> fs::Result<ProbeResult> {
        let is_undescribed = match result {
            ProbeResult::Candidate(_) => false,
            ProbeResult::Ignored(Reason::Undescribed { .. }) => true,
            _ => return Ok(result),
        };
        // Otherwise a template counted instead of what somebody put there.
        if let Some(name) = self.irregular_description(data)? {
            let (path, why) = (data.to_path_buf(), Reason::DescriptionNotRegular(name));
            let (data, parts) = (Vec::new(), Vec::new());
            return Ok(ProbeResult::AwaitingData { path, data, parts, why });
        }
        if !is_undescribed {
            return Ok(result);
        }
        match self.unusable_description(data)? {
            Ok(empty) => {
                let why = Reason::Description(DescribeError::EmptyManifest(empty.name.clone()));
                let mut result = self.candidate(data, None, |_, _| Ok(Some(Err(why))))?;
                if let ProbeResult::Candidate(candidate) = &mut result {
                    candidate.input.description = Some(empty);
                }
                Ok(result)
            }
            Err(remark) => Ok(ProbeResult::Ignored(Reason::Undescribed { remark })),
        }
    }

    /// Probes the data that an empty manifest stands beside, if they are rejected for its sake.
    fn probe_empty_manifest(
        &self,
        (rel, name): (&Path, &FileName),
        index: &DescriptionIndex,
    ) -> fs::Result<Option<ProbeResult>> {
        if !manifest::is_manifest_name(name.as_str())
            || self.stat_regular(rel)?.is_none_or(|stat| stat.size > 0)
        {
            return Ok(None);
        }
        for data in manifest::data_names(name.as_str()) {
            let data = rel.with_file_name(data);
            if self.stat_regular(&data)?.is_some()
                && let ProbeResult::Candidate(it) = self.probe_data(&data, index, None)?
                && it.input.description.as_ref().is_some_and(|empty| empty.rel == rel)
            {
                return Ok(Some(ProbeResult::Candidate(it)));
            }
        }
        Ok(None)
    }

    /// Opens a data file, or all of several, and calls `recognize` for its dump.
    fn candidate(
        &self,
        data: &Path,
        matched: Option<MatchedDescription>,
        recognize: impl FnOnce(
            &DataHead<'_>,
            Option<(Result<Contents, Reason>, usize)>,
        ) -> fs::Result<Option<Result<Dump, Reason>>>,
    ) -> fs::Result<ProbeResult> {
        let paths = match matched.as_ref().map(|matched| &matched.data_files) {
            Some(DataFiles::Parts(paths)) => paths.clone(),
            _ => vec![data.to_path_buf()],
        };
        let mut files = Vec::with_capacity(paths.len());
        for rel in paths {
            let Ok(name) = rel_name(&rel) else { return Ok(ProbeResult::Missing) };
            if crate::model::is_reserved_name(name.as_str()) {
                return Ok(ProbeResult::Ignored(Reason::PrivatePart(name)));
            }
            let Some(input) = self.open_input(&rel)? else {
                return self.without_part(matched, &rel, data);
            };
            files.push(input);
        }
        let Some(first) = files.first() else { return Ok(ProbeResult::Missing) };
        if let Some(series) = &matched
            && let Some(finished) = self.rest_of_series(series, first)?
        {
            let why = Reason::NoDataFiles;
            let residue = matched.map(|it| Residue::of(it.by, finished, (&it.data_files, why)));
            return Ok(residue.map_or(ProbeResult::Missing, |it| ProbeResult::Residue(it.into())));
        }
        let series = matched.as_ref().and_then(|matched| Some(matched.by.series()?.key.clone()));
        let (rel, name) = match &series {
            Some(key) => (key.path_in(parent_of(&first.rel)), key.name().clone()),
            None => (first.rel.clone(), first.name.clone()),
        };
        let (description, contents) = match matched {
            Some(MatchedDescription { by, array, .. }) => (by.file, Some((by.contents, array))),
            None => (None, None),
        };
        let sidecar_dir = description.as_ref().and_then(|sidecar| sidecar.rel.parent());
        let raw = DataHead { data: first, sidecar_dir };
        let links = files.iter().map(|input| input.stat.nlink).max().unwrap_or_default();
        let own_array = contents.as_ref().map_or(Ok(None), |_| own_array_among(&files))?;
        let has_array = own_array.is_some();
        let dump = match recognize(&raw, contents)? {
            None if first.is_npy()? => {
                return Ok(ProbeResult::Ignored(Reason::IsArray));
            }
            None => return Ok(ProbeResult::Ignored(Reason::Undescribed { remark: None })),
            Some(_) if !self.accepts_links && links > 1 => Err(Reason::HardLinks(links)),
            Some(_) if series.is_none() && has_array => {
                return Ok(ProbeResult::Ignored(Reason::IsArray));
            }
            Some(_) if let Some(array) = own_array => {
                Err(Reason::Description(DescribeError::OwnArray(array.clone())))
            }
            Some(recognized) => recognized.and_then(named_as_an_array),
        };
        Ok(ProbeResult::Candidate(Box::new(Candidate {
            input: Input { rel, name, series, files, description },
            overridden: Vec::new(),
            conflicting_inodes: Vec::new(),
            has_array,
            dump,
            miscount: None,
            take: None,
        })))
    }

    /// Returns the result if `missing`, one of the data files of `probed`, does not exist.
    fn without_part(
        &self,
        matched: Option<MatchedDescription>,
        missing: &Path,
        probed: &Path,
    ) -> fs::Result<ProbeResult> {
        if let Some(MatchedDescription { by, data_files, array }) = matched {
            // npyd may have been interrupted after it finished the array, while it disposed of the
            // data.
            if let Some(finished) = self.finished(&by, array, &data_files)? {
                let why = self.missing_data(&[missing.to_path_buf()], &by.rel, false)?;
                let residue = Residue::of(by, finished, (&data_files, why));
                return Ok(ProbeResult::Residue(Box::new(residue)));
            }
            if missing != probed {
                return Ok(ProbeResult::AwaitingData {
                    why: self.missing_data(&[missing.to_path_buf()], &by.rel, false)?,
                    path: by.rel,
                    data: vec![missing.to_path_buf()],
                    parts: data_files.parts().to_vec(),
                });
            }
        }
        Ok(match self.dir.stat(missing)? {
            Some(_) if self.dir.has_exact_name(missing)? => {
                ProbeResult::Ignored(Reason::NotRegular)
            }
            _ => ProbeResult::Missing,
        })
    }
}

/// Returns the first file that is an array of npyd's own. Such a file is not raw data, even if a
/// file beside it describes it as such. An array that npyd makes in place does not have its final
/// name before it is finished.
fn own_array_among(files: &[InputFile]) -> fs::Result<Option<&FileName>> {
    for input in files {
        if is_npy_name(input.name.as_str())
            && input.file.attr(SOURCE_ATTR)?.is_some()
            && input.is_npy()?
        {
            return Ok(Some(&input.name));
        }
    }
    Ok(None)
}

/// Checks the output name. Any other name would make the array a drop, a manifest, or an unfinished
/// file that recovery removes.
fn named_as_an_array(dump: Dump) -> Result<Dump, Reason> {
    let name = dump.output.as_str();
    if is_npy_name(name) && !crate::model::is_reserved_name(name) {
        return Ok(dump);
    }
    Err(Reason::BadOutput(dump.output))
}
