//! Whether a drop is still described as when it was probed: a description, or a file of a series,
//! may arrive while npyd makes the array.

use std::path::{Path, PathBuf};

use crate::config::DropDir;
use crate::describe::DeclaredBy;
use crate::fs;
use crate::probe::candidate::Candidate;
use crate::probe::conflicts::{MatchedDescription, counts_beside};
use crate::probe::description::possible_sidecars;
use crate::probe::dir_view::DirView;
use crate::probe::letter_case::{manifests_in_other_case, sidecars_in_other_case};

impl Candidate {
    /// Returns whether a probe would now choose another description, find a conflict, or find other
    /// data files. Looks only for descriptions to which the names of the data files lead, and lists
    /// the directory only for a glob, because each drop that is disposed of pays for it.
    ///
    /// # Errors
    /// A file can't be read.
    pub fn is_redescribed(&self, drop_dir: &DropDir) -> fs::Result<bool> {
        if self.dump.as_ref().is_ok_and(|dump| dump.kind == DeclaredBy::Options) {
            return Ok(false); // the command's options describe the file, whatever is beside it
        }
        // The probe decided about hard links.
        let view = DirView { accepts_links: true, ..DirView::open(drop_dir)? };
        let (files, description) = (&self.input.files, &self.input.description);
        // The drop of a series has the path of its description, which need not be a file.
        let described_by = match self.input.series {
            Some(_) => Some(&self.input.rel),
            None => description.as_ref().map(|sidecar| &sidecar.rel),
        };
        let own = match (described_by, files.first()) {
            (Some(by), Some(first)) => {
                let Some(own) = view.match_description(by, &first.rel)? else {
                    return Ok(true);
                };
                let parts = own.data_files.parts();
                let are_same = parts.is_empty() && files.len() == 1
                    || parts.iter().eq(files.iter().map(|input| &input.rel));
                if !are_same || view.other_data_file(&first.rel, &own)?.is_some() {
                    return Ok(true);
                }
                Some(own)
            }
            _ => None,
        };
        for input in files {
            if view.has_rival(&input.rel, own.as_ref())? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl DirView<'_> {
    /// Returns whether the data file's name leads to another description that counts.
    fn has_rival(&self, data: &Path, own: Option<&MatchedDescription>) -> fs::Result<bool> {
        let own_rel = own.map(|own| &own.by.rel);
        let mut paths = possible_sidecars(data);
        // A sidecar of the exact name excludes those in other letter case, but no manifest.
        let is_by_name = own_rel.is_some_and(|rel| paths.contains(rel));
        let in_other_case =
            if is_by_name { manifests_in_other_case } else { sidecars_in_other_case };
        paths.extend(in_other_case(data));
        let mut paths: Vec<PathBuf> = self.as_listed(paths)?;
        paths.retain(|path| Some(path) != own_rel);
        for path in &paths {
            if let Some(other) = self.match_description(path, data)?
                && counts_beside(&other, own)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
