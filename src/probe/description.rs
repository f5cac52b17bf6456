//! Descriptions: manifests and instruments' sidecars, and the data files that they refer to.

use std::path::{Path, PathBuf};

use crate::decide::reason::Reason;
use crate::describe::data_path::{Data, FILES_MAX};
use crate::describe::described::Described;
use crate::describe::formats::FORMATS;
use crate::describe::series::DeclaredSeries;
use crate::describe::sidecar::{self, Format};
use crate::describe::text::text_of;
use crate::describe::{
    DataNames, Declared, DeclaredBy, DescribeError, Dump, Manifest, NamePattern, manifest,
};
use crate::fs::{self, EntryKind};
use crate::model::{FileName, is_array_backup, is_npy_name, is_reserved_name, parent_of};

use crate::probe::data_head::DataHead;
use crate::probe::dir_view::DirView;
use crate::probe::input::DescriptionFile;
use crate::probe::{RowCount, rel_name};

/// A file that describes data, and its parsed content.
pub(crate) struct Description {
    /// Its path below the drop directory, by which the index knows it.
    pub(crate) rel: PathBuf,
    /// The last component of that path.
    pub(crate) name: FileName,
    /// The file, if the description is a file.
    pub(crate) file: Option<DescriptionFile>,
    pub(crate) contents: Result<Contents, Reason>,
    /// Its format; `None` for a manifest.
    format: Option<&'static Format>,
}

/// The content of a description.
pub(crate) enum Contents {
    /// A manifest's keys.
    Manifest(Box<Manifest>),
    /// The arrays of an instrument's sidecar.
    Arrays(&'static Format, Vec<Described>),
}

/// The data files of one array, as paths below the drop directory.
#[derive(Clone)]
pub(crate) enum DataFiles {
    /// The first of these files that exists.
    FirstOf(Vec<PathBuf>),
    /// All of these files, as the parts of one array.
    Parts(Vec<PathBuf>),
}

impl DataFiles {
    pub(crate) fn paths(&self) -> &[PathBuf] {
        match self {
            DataFiles::FirstOf(paths) | DataFiles::Parts(paths) => paths,
        }
    }

    /// Returns the files if the array is in several.
    pub(crate) fn parts(&self) -> &[PathBuf] {
        match self {
            DataFiles::FirstOf(_) => &[],
            DataFiles::Parts(paths) => paths,
        }
    }
}

/// Returns whether a file of this name may describe data.
#[must_use]
pub fn may_describe(name: &str) -> bool {
    manifest::is_manifest_name(name) || FORMATS.iter().any(|format| (format.is_named)(name))
}

/// Returns whether a file of this name may describe data, and npyd itself does not create such
/// files.
pub(crate) fn may_describe_drop(name: &str) -> bool {
    may_describe(name) && !is_put_beside_arrays(name)
}

/// Returns whether npyd itself creates files with such names: metadata, manifests that are done,
/// and backups of arrays.
pub(crate) fn is_put_beside_arrays(name: &str) -> bool {
    let is_retired = name.rsplit_once(".done").is_some_and(|(sidecar, number)| {
        may_describe(sidecar) && number.chars().all(|c| c == '.' || c.is_ascii_digit())
    });
    is_retired || name.ends_with(".npy.json") || is_array_backup(name)
}

/// Returns the paths of the files that may describe this data file by name.
pub(crate) fn possible_sidecars(data: &Path) -> Vec<PathBuf> {
    let mut found = possible_manifests(data);
    for path in FORMATS.iter().flat_map(|format| (format.sidecars_of)(data)) {
        // All are spelled alike, and bytes are compared much faster than the parts of paths.
        let is = |other: &Path| other.as_os_str() == path.as_os_str();
        if !found.iter().any(|other| is(other)) && !is(data) {
            found.push(path);
        }
    }
    found
}

/// Returns the paths of the manifests that may describe this data file by name.
pub(crate) fn possible_manifests(data: &Path) -> Vec<PathBuf> {
    let name = data.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    manifest::manifest_names(name).into_iter().map(|name| data.with_file_name(name)).collect()
}

impl Description {
    fn of_file(
        file: DescriptionFile,
        contents: Result<Contents, Reason>,
        format: Option<&'static Format>,
    ) -> Self {
        let (rel, name) = (file.rel.clone(), file.name.clone());
        Description { rel, name, file: Some(file), contents, format }
    }

    /// Returns the inode of its file.
    pub(crate) fn ino(&self) -> Option<u64> {
        self.file.as_ref().map(|file| file.stat.ino)
    }

    /// Returns the data files of each array it describes. If it can't be parsed, they are derived
    /// from its name.
    pub(crate) fn data_files(&self) -> Vec<DataFiles> {
        let name = self.name.as_str();
        let beside = |names: Vec<String>| {
            let paths = names.into_iter().map(|name| self.rel.with_file_name(name));
            vec![DataFiles::FirstOf(paths.filter(|path| *path != self.rel).collect())]
        };
        match (&self.contents, self.format) {
            _ if let Some(series) = self.series() => {
                vec![DataFiles::Parts(self.paths_beside(series.files()))]
            }
            (Ok(Contents::Manifest(manifest)), _) => match &manifest.declared.data {
                Some(DataNames::One(data)) => beside(vec![data.to_string()]),
                _ => beside(manifest::data_names(name)),
            },
            (Ok(Contents::Arrays(_, arrays)), _) => {
                arrays.iter().map(|array| self.below(&array.data)).collect()
            }
            (Err(_), Some(format)) => beside((format.data_of)(name)),
            (Err(_), None) => beside(manifest::data_names(name)),
        }
    }

    /// Returns its kind.
    pub(crate) fn kind(&self) -> DeclaredBy {
        self.format.map_or(DeclaredBy::Manifest, |format| DeclaredBy::Sidecar(format.name))
    }

    /// Returns the names of the data that its own name leads to, whatever its text says.
    pub(crate) fn names_implied(&self) -> Vec<String> {
        match self.format {
            Some(format) => (format.data_of)(self.name.as_str()),
            None => manifest::data_names(self.name.as_str()),
        }
    }

    fn paths_beside(&self, names: &[FileName]) -> Vec<PathBuf> {
        names.iter().map(|name| self.rel.with_file_name(name.as_str())).collect()
    }

    fn below(&self, data: &Data) -> DataFiles {
        let parent = parent_of(&self.rel);
        let paths = data.paths().iter().map(|path| parent.join(path.as_path())).collect();
        match data {
            Data::FirstOf(_) => DataFiles::FirstOf(paths),
            Data::Parts(_) => DataFiles::Parts(paths),
        }
    }

    /// Returns whether this sidecar can't be parsed, but refers to the data file by its location.
    /// Where the names do not match either, no other result would report the error.
    pub(crate) fn refers_to(&self, data: &Path) -> bool {
        match (&self.contents, self.format) {
            (Err(_), Some(format)) => {
                (format.data_of)(self.name.as_str()).is_empty()
                    && (format.sidecars_of)(data).contains(&self.rel)
            }
            _ => false,
        }
    }

    /// Returns npyd's own keys, if the description has them.
    pub(crate) fn declared(&self) -> Option<&Declared> {
        match &self.contents {
            Ok(Contents::Manifest(manifest)) => Some(&manifest.declared),
            Ok(Contents::Arrays(..)) | Err(_) => None,
        }
    }

    /// Returns whether its key `data` names the data.
    pub(crate) fn has_named_data(&self) -> bool {
        self.declared().is_some_and(|declared| declared.data.is_some())
    }

    /// Returns the series that it describes, if it does.
    pub(crate) fn series(&self) -> Option<&DeclaredSeries> {
        match &self.contents {
            Ok(Contents::Manifest(manifest)) => manifest.series(),
            Ok(Contents::Arrays(..)) | Err(_) => None,
        }
    }

    /// Returns the pattern that the names of its data files match, if it has one.
    pub(crate) fn pattern(&self) -> Option<&NamePattern> {
        self.series().and_then(|series| series.pattern.as_ref())
    }

    /// Returns the output name that the description declares.
    pub(crate) fn named_output(&self) -> Option<&FileName> {
        match &self.contents {
            Ok(Contents::Arrays(_, arrays)) => match &arrays[..] {
                [array] => array.output.as_ref(),
                _ => None,
            },
            _ => self.declared().and_then(|declared| declared.output.as_ref()),
        }
    }

    pub(crate) fn is_manifest(&self) -> bool {
        self.format.is_none()
    }

    /// Returns whether a file that npyd can't parse was meant to describe data. Every recognized
    /// sidecar was; a JSON or TOML file may belong to another program.
    pub(crate) fn is_meant(&self) -> fs::Result<bool> {
        let Some(sidecar) = &self.file else { return Ok(true) };
        let text = sidecar.file.read_at_most(0, manifest::SIZE_MAX as usize)?;
        let text = text_of(&text);
        Ok(!self.is_manifest() || manifest::is_meant(&text))
    }
}

impl DirView<'_> {
    /// Returns the dump that a description declares for a data file: that of the array with the
    /// number `array` if it describes several. Stores in `count` what was counted for it.
    pub(crate) fn dump_by(
        &self,
        (contents, array): (Result<Contents, Reason>, usize),
        raw: &DataHead<'_>,
        count: &mut Option<RowCount>,
    ) -> fs::Result<Result<Dump, Reason>> {
        let dump = match contents {
            Ok(Contents::Manifest(manifest)) => manifest.dump(&raw.data.name),
            Ok(Contents::Arrays(format, mut arrays)) => {
                self.dump_of(arrays.swap_remove(array), format, raw, count)?
            }
            Err(reason) => return Ok(Err(reason)),
        };
        Ok(dump.map_err(Reason::Description))
    }

    /// Reads a file that is named like a description. Returns `None` if it does not exist or
    /// describes nothing.
    pub(crate) fn read_description(&self, rel: &Path) -> fs::Result<Option<Description>> {
        let Ok(name) = rel_name(rel) else { return Ok(None) };
        if !may_describe(name.as_str()) {
            return Ok(None);
        }
        let Some((file, stat)) = self.open_regular(rel)? else { return Ok(None) };
        let rel = rel.to_path_buf();
        let mut sidecar = DescriptionFile { rel, name, file, stat, is_shared: false };
        let mut unusable = None;
        if manifest::is_manifest_name(sidecar.name.as_str())
            && let Some(contents) = self.read_manifest(&sidecar)?
        {
            if contents.is_ok() {
                return Ok(Some(Description::of_file(sidecar, contents, None)));
            }
            unusable = Some(contents);
        }
        for format in FORMATS.iter().filter(|format| (format.is_named)(sidecar.name.as_str())) {
            if let Some(contents) = read_sidecar(&sidecar, format, self.accepts_links)? {
                sidecar.is_shared =
                    matches!(&contents, Ok(Contents::Arrays(_, arrays)) if are_elsewhere(arrays));
                return Ok(Some(Description::of_file(sidecar, contents, Some(format))));
            }
        }
        Ok(unusable.map(|contents| Description::of_file(sidecar, contents, None)))
    }

    /// Reads a manifest, and lists the files that its glob matches.
    fn read_manifest(
        &self,
        sidecar: &DescriptionFile,
    ) -> fs::Result<Option<Result<Contents, Reason>>> {
        let mut manifest = match parse_manifest(sidecar, self.accepts_links)? {
            Some(Ok(manifest)) => manifest,
            Some(Err(why)) => return Ok(Some(Err(why))),
            None => return Ok(None),
        };
        if let Some(glob) = manifest.series().and_then(|series| series.pattern.as_ref()) {
            let names = self.matching(&sidecar.rel, glob)?;
            if names.len() > FILES_MAX {
                let (glob, max) = (glob.as_str().to_owned(), FILES_MAX);
                let error = DescribeError::TooManyFiles { glob, max };
                let error = error.of_manifest(sidecar.name.clone());
                return Ok(Some(Err(Reason::Description(error))));
            }
            manifest.set_matching(names);
        }
        Ok(Some(Ok(Contents::Manifest(Box::new(manifest)))))
    }

    /// Returns the names beside a description that its pattern matches, without those of
    /// descriptions, arrays, and files that npyd creates or ignores.
    pub(crate) fn matching(&self, rel: &Path, pattern: &NamePattern) -> fs::Result<Vec<FileName>> {
        let parent = parent_of(rel);
        let entries = self.dir.clone().into_subdir(parent)?.entries()?;
        let names = entries.into_iter().filter(|(_, kind)| *kind != EntryKind::Dir);
        let names = names.filter_map(|(name, _)| FileName::try_from(name.into_string().ok()?).ok());
        let is_data = |name: &FileName| {
            let text = name.as_str();
            pattern.matches(text)
                && !may_describe(text)
                && !is_npy_name(text)
                && !is_put_beside_arrays(text)
                && !is_reserved_name(text)
                && self.drop_dir.ignore.reason(&parent.join(name), false).is_none()
        };
        Ok(names.filter(is_data).collect())
    }
}

/// Returns whether there are several arrays, or data in other directories.
fn are_elsewhere(arrays: &[Described]) -> bool {
    let mut paths = arrays.iter().flat_map(|array| array.data.paths());
    arrays.len() > 1 || paths.any(|path| path.as_path().components().count() > 1)
}

fn parse_manifest(
    sidecar: &DescriptionFile,
    accepts_links: bool,
) -> fs::Result<Option<Result<Manifest, Reason>>> {
    let DescriptionFile { name, file, stat, .. } = sidecar;
    if stat.nlink > 1 && !accepts_links {
        return Ok(Some(Err(Reason::HardLinks(stat.nlink))));
    }
    if stat.size > manifest::SIZE_MAX {
        return Ok(None);
    }
    let text = file.read_head(stat, manifest::SIZE_MAX as usize)?;
    Ok(match Manifest::parse(name, &text) {
        Ok(None) => None,
        Ok(Some(manifest)) => Some(Ok(manifest)),
        Err(error) => Some(Err(Reason::Description(error.of_manifest(name.clone())))),
    })
}

fn read_sidecar(
    sidecar: &DescriptionFile,
    format: &'static Format,
    accepts_links: bool,
) -> fs::Result<Option<Result<Contents, Reason>>> {
    let DescriptionFile { name, file, stat, .. } = sidecar;
    if stat.size > sidecar::SIZE_MAX {
        return Ok(None);
    }
    let text = file.read_head(stat, sidecar::SIZE_MAX as usize)?;
    Ok(match format.describe(name, &text) {
        Ok(None) => None,
        Ok(Some(_)) if stat.nlink > 1 && !accepts_links => Some(Err(Reason::HardLinks(stat.nlink))),
        Ok(Some(arrays)) => Some(Ok(Contents::Arrays(format, arrays))),
        Err(error) => {
            let (name, source) = (name.clone(), Box::new(error));
            let error = DescribeError::Sidecar { format: format.name, name, source };
            Some(Err(Reason::Description(error)))
        }
    })
}
