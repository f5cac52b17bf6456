//! Data without a description: finds files beside the data that should describe them, but that npyd
//! can't use.

use std::path::{Path, PathBuf};

use crate::decide::description_remark::DescriptionRemark;
use crate::decide::name_list::NameList;
use crate::describe::formats::FORMATS;
use crate::describe::near_miss::NearMiss;
use crate::describe::{DataNames, Declared, Manifest, manifest};
use crate::fs;
use crate::model::FileName;
use crate::probe::description::{DataFiles, possible_sidecars};
use crate::probe::dir_view::DirView;
use crate::probe::input::DescriptionFile;
use crate::probe::rel_name;

/// Maximum number of bytes of a file that npyd examines for a near miss.
const EXAMINED_MAX: usize = 64 << 10;

impl DirView<'_> {
    /// Returns the name of a link, a pipe or a directory that is named like a description of the
    /// data. A directory counts only if it has the name of a manifest.
    pub(crate) fn irregular_description(&self, data: &Path) -> fs::Result<Option<FileName>> {
        for path in possible_sidecars(data) {
            let Some(stat) = self.dir.stat(&path)? else { continue };
            if !stat.is_file()
                && self.drop_dir.ignore.reason(&path, stat.is_dir()).is_none()
                && let Ok(name) = rel_name(&path)
                && (!stat.is_dir() || manifest::is_manifest_name(name.as_str()))
            {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// Returns the empty manifest of data that nothing describes: it was not synced before a power
    /// cut, or is not written yet. If no manifest is empty, returns a remark about a file that
    /// looks like a description of the data.
    pub(crate) fn unusable_description(
        &self,
        data: &Path,
    ) -> fs::Result<Result<DescriptionFile, Option<DescriptionRemark>>> {
        let own_names =
            data.file_name().and_then(|name| name.to_str()).map(manifest::manifest_names);
        let own_names = own_names.unwrap_or_default();
        let mut remark = self.near_miss(data)?.map(DescriptionRemark::DataNearMiss);
        let mut no_manifest = None;
        for path in possible_sidecars(data) {
            let Some(stat) = self.stat_regular(&path)? else { continue };
            let Ok(name) = rel_name(&path) else { continue };
            if stat.size == 0
                && own_names.contains(&name.to_string())
                && let Some((file, stat)) = self.open_regular(&path)?
            {
                return Ok(Ok(DescriptionFile { rel: path, name, file, stat, is_shared: false }));
            }
            if remark.is_none() {
                remark = match self.near_miss(&path)? {
                    Some(near) => Some(self.remark_of_sidecar(&path, name.clone(), near)?),
                    None if stat.size > manifest::SIZE_MAX
                        && manifest::is_manifest_name(name.as_str()) =>
                    {
                        let (name, size) = (name.clone(), stat.size);
                        Some(DescriptionRemark::TooLong { name, size })
                    }
                    None => None,
                };
            }
            if no_manifest.is_none() {
                no_manifest = self.of_no_use(&path, &name, data)?;
            }
        }
        Ok(Err(remark.or(no_manifest)))
    }

    /// Returns a remark about a file that is named like a manifest of the data, but is not one, or
    /// names other data.
    fn of_no_use(
        &self,
        path: &Path,
        name: &FileName,
        data: &Path,
    ) -> fs::Result<Option<DescriptionRemark>> {
        if !manifest::is_manifest_name(name.as_str()) {
            return Ok(None);
        }
        let Some((file, stat)) = self.open_regular(path)? else { return Ok(None) };
        if stat.size > manifest::SIZE_MAX {
            return Ok(None);
        }
        let text = file.read_at_most(0, manifest::SIZE_MAX as usize)?;
        Ok(match Manifest::parse(name, &text) {
            Ok(None) => Some(DescriptionRemark::NotManifest(name.clone())),
            Ok(Some(Manifest { declared: Declared { data: Some(other), .. }, .. }))
                if !named(&other).iter().any(|it| Some(it.as_os_str()) == data.file_name()) =>
            {
                let data = NameList::of(&named(&other));
                Some(DescriptionRemark::OtherData { name: name.clone(), data })
            }
            _ => None,
        })
    }

    /// Returns a remark about a file that looks like a sidecar of data that it does not describe:
    /// it can't be used, names other data, or lacks what makes it a sidecar.
    fn remark_of_sidecar(
        &self,
        path: &Path,
        name: FileName,
        near: NearMiss,
    ) -> fs::Result<DescriptionRemark> {
        let Some(by) = self.read_description(path)? else {
            return Ok(DescriptionRemark::NearMiss(name, near));
        };
        let data = by.data_files();
        let paths: Vec<_> = data.iter().flat_map(DataFiles::paths).cloned().collect();
        Ok(match by.contents {
            Err(why) => DescriptionRemark::Unusable { name, why: Box::new(why) },
            Ok(_) if paths.is_empty() => DescriptionRemark::NearMiss(name, near),
            Ok(_) => DescriptionRemark::SidecarOfOtherData { name, data: NameList::of(&paths) },
        })
    }

    /// Returns what a file lacks that looks like a sidecar.
    fn near_miss(&self, path: &Path) -> fs::Result<Option<NearMiss>> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let mut formats = FORMATS.iter().filter(|format| (format.is_named)(name)).peekable();
        if formats.peek().is_none() {
            return Ok(None);
        }
        let Some((file, _)) = self.open_regular(path)? else { return Ok(None) };
        let text = file.read_at_most(0, EXAMINED_MAX)?;
        Ok(formats.find_map(|format| format.near_miss(&text)))
    }
}

/// Returns what the key `data` of a manifest names.
fn named(data: &DataNames) -> Vec<PathBuf> {
    match data {
        DataNames::One(name) => vec![name.as_str().into()],
        DataNames::List(names) => names.iter().map(|name| name.as_str().into()).collect(),
        DataNames::Matching(glob) => vec![glob.as_str().into()],
    }
}
