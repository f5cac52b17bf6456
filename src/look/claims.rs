//! What describes one data file, and what is refused of it: several descriptions, or one that could
//! mean another file.

use std::path::{Path, PathBuf};

use super::Place;
use super::description::{Description, Meant, Says, may_be_described_by};
use crate::disk;

/// What claims a data file.
pub(super) struct Claim {
    pub(super) by: Description,
    /// Which of the arrays it describes.
    pub(super) array: usize,
    pub(super) meant: Meant,
}

/// Why it can't be told what a data file holds, and the inodes of the files between which it can't.
pub(super) struct Rivalry {
    pub(super) reason: String,
    pub(super) between: Vec<u64>,
}

impl Place<'_> {
    /// What claims a data file, and which of its arrays that is.
    pub(super) fn claims_on(
        &self,
        data: &Path,
        claimed_by: Option<&Path>,
    ) -> disk::Result<Vec<Claim>> {
        let mut paths = may_be_described_by(data);
        paths.extend(claimed_by.map(Path::to_path_buf).filter(|path| !paths.contains(path)));
        let mut claims = Vec::new();
        for path in paths {
            let Some(by) = self.read_description(&path)? else { continue };
            if by.would_mean(data) {
                let meant = Meant::FirstOf(vec![data.to_path_buf()]);
                claims.push(Claim { by, array: 0, meant });
                continue;
            }
            for (array, meant) in by.meant().into_iter().enumerate() {
                let first_only = matches!(by.says, Ok(Says::Arrays(..)));
                let claimed = match &meant {
                    Meant::FirstOf(paths) if first_only => {
                        self.present(paths)?.first().is_some_and(|first| first == data)
                    }
                    meant => meant.paths().iter().any(|path| path == data),
                };
                if claimed {
                    claims.push(Claim { by, array, meant });
                    break;
                }
            }
        }
        Ok(claims)
    }

    /// Another data file that the manifest of this one could mean just as well, and its inode.
    fn rival(&self, data: &Path, claim: &Claim) -> disk::Result<Option<(PathBuf, u64)>> {
        let Claim { by, meant, .. } = claim;
        // `scan.raw.toml` means `scan.raw`, whatever else is there.
        let is_sure = !by.is_manifest()
            || by.named_data().is_some()
            || meant.paths().first().is_some_and(|first| first == data);
        if is_sure {
            return Ok(None);
        }
        for other in meant.paths().iter().filter(|other| *other != data) {
            if let Some(stat) = self.stat_regular(other)? {
                return Ok(Some((other.clone(), stat.ino)));
            }
        }
        Ok(None)
    }

    /// Whether several files describe a data file, or one several.
    pub(super) fn rivalry(&self, data: &Path, claims: &[Claim]) -> disk::Result<Option<Rivalry>> {
        Ok(match claims {
            [one, other, ..] => Some(Rivalry {
                reason: format!(
                    "both `{}` and `{}` describe it: remove one of them",
                    one.by.sidecar.name, other.by.sidecar.name
                ),
                between: claims.iter().map(|claim| claim.by.sidecar.stat.ino).collect(),
            }),
            [only] => self.rival(data, only)?.map(|(other, ino)| Rivalry {
                reason: format!(
                    "`{}` could describe `{}` or `{}`: say which by its key `data`",
                    only.by.sidecar.name,
                    data.file_name().unwrap_or_default().display(),
                    other.file_name().unwrap_or_default().display()
                ),
                between: vec![ino],
            }),
            [] => None,
        })
    }
}
