//! What describes one data file, and what is refused of it: several descriptions, or one that could
//! mean another file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::fs;
use crate::probe::candidate::Sidecar;
use crate::probe::description::{Contents, DataFiles, Description, possible_sidecars};
use crate::probe::{DescriptionIndex, DirView};

/// What claims a data file.
pub(crate) struct Claim {
    pub(crate) by: Description,
    /// Which of the arrays it describes.
    pub(crate) array: usize,
    pub(crate) data_files: DataFiles,
}

/// Why it can't be told what a data file holds, and the inodes of the files between which it can't.
pub(crate) struct Rivalry {
    pub(crate) reason: String,
    pub(crate) between: Vec<u64>,
    /// Whether an array was made of it before.
    pub(crate) has_array: bool,
}

impl DirView<'_> {
    /// All descriptions of a data file, and which of their arrays it is: those that its name leads
    /// to, those in the index, and `by`, in an order that does not depend on who is asked first.
    pub(crate) fn claims_on(
        &self,
        data: &Path,
        index: &DescriptionIndex,
        by: Option<&Path>,
    ) -> fs::Result<Vec<Claim>> {
        let mut paths = possible_sidecars(data);
        let named: BTreeSet<&Path> =
            index.describing(data).map(PathBuf::as_path).chain(by).collect();
        for path in named {
            if !paths.iter().any(|led_to| led_to == path) {
                paths.push(path.to_path_buf());
            }
        }
        let mut claims = Vec::new();
        for path in &paths {
            claims.extend(self.claim_by(path, data)?);
        }
        // A part of several is left to the look from their sidecar, or there would be as many looks
        // at all parts as there are parts. Unless something else describes it, too.
        if let Some(whole) = index.whole_of(data).filter(|whole| !paths.contains(whole))
            && !claims.is_empty()
        {
            claims.extend(self.claim_by(whole, data)?);
        }
        Ok(claims)
    }

    fn claim_by(&self, path: &Path, data: &Path) -> fs::Result<Option<Claim>> {
        let Some(by) = self.read_description(path)? else { return Ok(None) };
        if by.refers_to(data) {
            let data_files = DataFiles::FirstOf(vec![data.to_path_buf()]);
            return Ok(Some(Claim { by, array: 0, data_files }));
        }
        let first_only = matches!(by.contents, Ok(Contents::Arrays(..)));
        for (array, data_files) in by.data_files().into_iter().enumerate() {
            let claimed = match &data_files {
                DataFiles::FirstOf(paths) if first_only => {
                    self.present(paths)?.first().is_some_and(|first| first == data)
                }
                data_files => data_files.paths().iter().any(|path| path == data),
            };
            if claimed {
                return Ok(Some(Claim { by, array, data_files }));
            }
        }
        Ok(None)
    }

    /// Another data file that the manifest of this one could mean just as well, and its inode.
    fn rival(&self, data: &Path, claim: &Claim) -> fs::Result<Option<(PathBuf, u64)>> {
        let Claim { by, data_files, .. } = claim;
        // `scan.raw.toml` means `scan.raw`, whatever else is there.
        let is_sure = !by.is_manifest()
            || by.named_data().is_some()
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

    /// Whether several files describe a data file, or one several.
    pub(crate) fn rivalry(
        &self,
        data: &Path,
        claims: &[Claim],
        index: &DescriptionIndex,
    ) -> fs::Result<Option<Rivalry>> {
        let names = competing(claims).map(|claim| self.name_of(claim, data));
        let names: Vec<String> = names.collect();
        Ok(match (&names[..], claims) {
            ([_, _, ..], _) => {
                let made = self.made_before(data, claims)?;
                let has_array = made.is_some();
                let made =
                    made.map(|it| format!("; its array was made by `{it}` and stays as it is"));
                Some(Rivalry {
                    reason: describe_it(&names) + &made.unwrap_or_default(),
                    between: claims.iter().map(|claim| claim.by.sidecar.stat.ino).collect(),
                    has_array,
                })
            }
            (_, [only]) => match self.rival(data, only)? {
                None => self.rivalry_on_parts(data, only, index)?,
                Some((other, ino)) => Some(Rivalry {
                    reason: format!(
                        "`{}` could describe `{}` or `{}`: say which by its key `data`",
                        only.by.sidecar.name,
                        data.file_name().unwrap_or_default().display(),
                        other.file_name().unwrap_or_default().display()
                    ),
                    between: vec![ino],
                    has_array: false,
                }),
            },
            _ => None,
        })
    }

    /// Whether another file describes one of the parts that a sidecar describes together.
    fn rivalry_on_parts(
        &self,
        data: &Path,
        whole: &Claim,
        index: &DescriptionIndex,
    ) -> fs::Result<Option<Rivalry>> {
        let sidecar = &whole.by.sidecar;
        for part in whole.data_files.parts().iter().filter(|part| *part != data) {
            let others = self.claims_on(part, index, None)?;
            let mut others = others.iter().filter(|claim| claim.by.sidecar.rel != sidecar.rel);
            if let Some(other) = others.next() {
                return Ok(Some(Rivalry {
                    reason: format!(
                        "both `{}` and `{}` describe its part `{}`: remove one of them",
                        self.name_of(whole, part),
                        self.name_of(other, part),
                        part.file_name().unwrap_or_default().display()
                    ),
                    between: vec![sidecar.stat.ino, other.by.sidecar.stat.ino],
                    has_array: false,
                }));
            }
        }
        Ok(None)
    }

    /// A description's name, with its directory where that is not the data file's.
    fn name_of(&self, claim: &Claim, data: &Path) -> String {
        let Sidecar { rel, name, .. } = &claim.by.sidecar;
        if rel.parent() == data.parent() {
            return name.to_string();
        }
        self.drop_dir.path.join(rel).display().to_string()
    }

    /// The description by which the data file became an array before there were several.
    fn made_before(&self, data: &Path, claims: &[Claim]) -> fs::Result<Option<String>> {
        let Some(stat) = self.stat_regular(data)? else { return Ok(None) };
        for claim in claims {
            if let Some(finished) = self.finished(&claim.by, claim.array, &claim.data_files)?
                && finished.mark.is_of_data(&stat)
            {
                return Ok(Some(self.name_of(claim, data)));
            }
        }
        Ok(None)
    }
}

/// The descriptions of one data file that contradict each other. Where one kind of description
/// counts more than another, that is decided here, and in the order of [`DirView::claims_on`].
fn competing(claims: &[Claim]) -> impl Iterator<Item = &Claim> {
    claims.iter()
}

fn describe_it(names: &[String]) -> String {
    match names {
        [one, other] => format!("both `{one}` and `{other}` describe it: remove one of them"),
        [others @ .., last] => {
            format!("`{}` and `{last}` describe it: remove all but one", others.join("`, `"))
        }
        [] => String::new(),
    }
}
