//! One look at one name of a drop directory: what it is taken for, and what is known of it now.
//!
//! Each look opens the directory anew and lets it go again: an open directory would pin its mount.
//! Files are opened beneath it, without following links; what is learned afterwards is learned
//! from the descriptor.

use std::path::{Path, PathBuf};

use crate::candidate::{Candidate, Sidecar};
use crate::config::Inbox;
use crate::disk::{self, DataFile, Dir, Stat};
use crate::npy::{self, Preamble};
use crate::recognize::{Dump, FileName, Manifest, from_header, manifest};
use crate::stamp::Identity;

/// Why a file that nobody described is left alone.
pub const UNDESCRIBED: &str =
    "it has no manifest, no pending header, and no template matches its name";

/// What one look has shown.
pub enum Outlook {
    /// There is no such file.
    Gone,
    /// It is none of npyd's business; the text says why.
    NotOurs(String),
    /// It describes data that aren't there yet.
    WithoutData {
        /// The manifest that waits.
        manifest: PathBuf,
        /// The data file's name, where the manifest names it.
        data: Option<PathBuf>,
        /// What it waits for.
        why: String,
    },
    /// It describes data that were finalized; only itself was left behind, in a crash.
    Leftover(Box<Leftover>),
    /// It is a dump, or part of one.
    Candidate(Box<Candidate>),
}

/// A manifest whose data are gone, for they were finalized.
pub struct Leftover {
    /// The manifest.
    pub sidecar: Sidecar,
    /// Whether the data file became the array itself, and was not removed or archived.
    pub became_the_array: bool,
}

/// Looks at the file at `rel`, a path below the drop directory. `claimed_by` names the manifest
/// known to describe it, where that can't be seen from the names.
pub fn look(inbox: &Inbox, rel: &Path, claimed_by: Option<&Path>) -> disk::Result<Outlook> {
    let name = match file_name(rel) {
        Ok(name) => name,
        Err(reason) => return Ok(Outlook::NotOurs(reason)),
    };
    if disk::is_own_name(name.as_str()) {
        return Ok(Outlook::NotOurs("npyd is writing it".to_owned()));
    }
    let place = Place::open(inbox, rel)?;
    if manifest::is_manifest_name(name.as_str())
        && let Some(outlook) = place.look_from_manifest(&name)?
    {
        return Ok(outlook);
    }
    place.look_at_data(&name, claimed_by.and_then(|rel| file_name(rel).ok()))
}

/// Looks at a data file of which somebody has said what it holds.
pub fn look_as(
    inbox: &Inbox,
    rel: &Path,
    declare: impl FnOnce(&FileName) -> Result<Dump, String>,
) -> disk::Result<Outlook> {
    match file_name(rel) {
        Ok(name) => Place::open(inbox, rel)?.candidate(&name, None, |_, _| Some(declare(&name))),
        Err(reason) => Ok(Outlook::NotOurs(reason)),
    }
}

fn file_name(rel: &Path) -> Result<FileName, String> {
    let name = rel.file_name().unwrap_or_default();
    match name.to_str() {
        Some(name) => FileName::try_from(name.to_owned()),
        None => Err(format!("{} is not UTF-8: rename the file", Path::new(name).display())),
    }
}

/// A directory at or below the drop directory, open for one look.
struct Place<'a> {
    inbox: &'a Inbox,
    dir: Dir,
    parent: PathBuf,
}

/// A sidecar and what it says.
struct Described {
    sidecar: Sidecar,
    manifest: Result<Manifest, String>,
}

impl Described {
    /// The data file that the manifest names.
    fn named_data(&self) -> Option<&FileName> {
        self.manifest.as_ref().ok()?.declared.data.as_ref()
    }
}

/// The data files that a manifest may describe by its own name.
fn data_names(manifest: &FileName) -> Vec<FileName> {
    let names = manifest::data_names(manifest.as_str()).into_iter();
    names.filter_map(|name| FileName::try_from(name).ok()).filter(|name| name != manifest).collect()
}

impl<'a> Place<'a> {
    /// The directory that holds the file at `rel`.
    fn open(inbox: &'a Inbox, rel: &Path) -> disk::Result<Self> {
        let parent = rel.parent().unwrap_or(Path::new(""));
        let dir = Dir::open_below(&inbox.path, parent)?;
        Ok(Place { inbox, dir, parent: parent.to_path_buf() })
    }

    fn rel(&self, name: &FileName) -> PathBuf {
        self.parent.join(name)
    }

    /// A regular file, open; everything else is as good as not there.
    fn open_regular(&self, name: &FileName) -> disk::Result<Option<(DataFile, Stat)>> {
        let Some(file) = self.dir.open_file(name.as_ref())? else { return Ok(None) };
        let stat = file.stat()?;
        Ok(stat.is_file().then_some((file, stat)))
    }

    /// From the manifest to its data. `None`: it is not a manifest, but may be data itself.
    fn look_from_manifest(&self, name: &FileName) -> disk::Result<Option<Outlook>> {
        let Some(described) = self.read_manifest(name)? else { return Ok(None) };
        let data = described.named_data().cloned();
        let names = data.clone().map_or_else(|| data_names(name), |data| vec![data]);
        match (self.present(names)?.first(), &described.manifest) {
            (Some(data), _) => self.look_at_data(data, Some(name.clone())).map(Some),
            (None, Err(_)) => Ok(None),
            (None, Ok(manifest)) => {
                let output = manifest.declared.output.clone();
                let array = self.array_of(&described.sidecar, output, data.as_ref())?;
                if let Some(became_the_array) = array {
                    let leftover = Leftover { sidecar: described.sidecar, became_the_array };
                    return Ok(Some(Outlook::Leftover(Box::new(leftover))));
                }
                let why = match &data {
                    Some(data) => format!("its data file `{data}` is not there yet"),
                    None => "its data file is not there yet".to_owned(),
                };
                let data = data.map(|data| self.rel(&data));
                Ok(Some(Outlook::WithoutData { manifest: self.rel(name), data, why }))
            }
        }
    }

    /// Those of the names under which a regular file stands.
    fn present(&self, names: Vec<FileName>) -> disk::Result<Vec<FileName>> {
        let mut present = Vec::new();
        for name in names {
            if self.dir.stat(name.as_ref())?.is_some_and(|stat| stat.is_file()) {
                present.push(name);
            }
        }
        Ok(present)
    }

    /// Another data file that the manifest of this one could mean just as well.
    fn rival(&self, name: &FileName, described: &Described) -> disk::Result<Option<FileName>> {
        let names = data_names(&described.sidecar.name);
        // `scan.raw.toml` means `scan.raw`, whatever else is there.
        if described.named_data().is_some() || names.first() == Some(name) {
            return Ok(None);
        }
        Ok(self.present(names)?.into_iter().find(|other| other != name))
    }

    /// Reads a file that is named like a manifest; `None` where it isn't there or isn't one.
    fn read_manifest(&self, name: &FileName) -> disk::Result<Option<Described>> {
        let Some((file, stat)) = self.open_regular(name)? else { return Ok(None) };
        let manifest = if stat.nlink > 1 {
            Err(linked(stat.nlink))
        } else if stat.size > manifest::SIZE_MAX {
            return Ok(None);
        } else {
            let text = file.read_at_most(0, manifest::SIZE_MAX as usize)?;
            match Manifest::parse(name, &text) {
                Ok(None) => return Ok(None),
                Ok(Some(manifest)) => Ok(manifest),
                Err(reason) => Err(format!("the manifest `{name}` can't be used: {reason}")),
            }
        };
        let sidecar = Sidecar { rel: self.rel(name), name: name.clone(), file, stat };
        Ok(Some(Described { sidecar, manifest }))
    }

    /// The manifests that claim a data file.
    fn claims_on(
        &self,
        data: &FileName,
        claimed_by: Option<FileName>,
    ) -> disk::Result<Vec<Described>> {
        let mut names: Vec<FileName> = manifest::manifest_names(data.as_str())
            .into_iter()
            .filter_map(|name| FileName::try_from(name).ok())
            .collect();
        names.extend(
            claimed_by.filter(|name| !names.contains(name)).into_iter().collect::<Vec<_>>(),
        );
        let mut claims = Vec::new();
        for name in names {
            let Some(described) = self.read_manifest(&name)? else { continue };
            let meant = |m: &Manifest| m.declared.data.as_ref().is_none_or(|named| named == data);
            if described.manifest.as_ref().map_or(true, meant) {
                claims.push(described);
            }
        }
        Ok(claims)
    }

    fn look_at_data(&self, name: &FileName, claimed_by: Option<FileName>) -> disk::Result<Outlook> {
        let mut claims = self.claims_on(name, claimed_by)?;
        if let [one, other, ..] = &claims[..] {
            let reason = format!(
                "both `{}` and `{}` describe it: remove one of them",
                one.sidecar.name, other.sidecar.name
            );
            let first = claims.swap_remove(0);
            return self.candidate(name, Some(first), |_, _| Some(Err(reason)));
        }
        let described = claims.pop();
        if let Some(by) = &described
            && let Some(other) = self.rival(name, by)?
        {
            let by = &by.sidecar.name;
            let reason =
                format!("`{by}` could describe `{name}` or `{other}`: say which by its key `data`");
            return self.candidate(name, described, |_, _| Some(Err(reason)));
        }
        self.candidate(name, described, |manifest, own| match (manifest, own) {
            (Some(_), Ok(Some(_))) => {
                Some(Err("it has a pending header and a manifest: remove one of them".to_owned()))
            }
            (Some(Ok(manifest)), _) => Some(manifest.dump(name)),
            (Some(Err(reason)), _) | (None, Err(reason)) => Some(Err(reason)),
            (None, Ok(Some(dump))) => Some(Ok(dump)),
            (None, Ok(None)) => {
                let mut templates = self.inbox.templates.iter();
                templates
                    .find(|template| template.matches(name.as_str()))
                    .map(|found| found.dump(name))
            }
        })
    }

    /// Opens a data file and has it recognized from its manifest and its own header.
    fn candidate(
        &self,
        name: &FileName,
        described: Option<Described>,
        recognize: impl FnOnce(
            Option<Result<Manifest, String>>,
            Result<Option<Dump>, String>,
        ) -> Option<Result<Dump, String>>,
    ) -> disk::Result<Outlook> {
        let Some((file, stat)) = self.open_regular(name)? else {
            return Ok(match self.dir.stat(name.as_ref())? {
                Some(_) => Outlook::NotOurs("it is not a regular file".to_owned()),
                None => Outlook::Gone,
            });
        };
        let (sidecar, manifest) = match described {
            Some(Described { sidecar, manifest }) => (Some(sidecar), Some(manifest)),
            None => (None, None),
        };
        let dump = match recognize(manifest, own_header(name, &file, &stat)?) {
            None if file.read_at_most(0, 8)?.starts_with(b"\x93NUMPY") => {
                return Ok(Outlook::NotOurs("it is a .npy file already".to_owned()));
            }
            None => {
                return Ok(Outlook::NotOurs(UNDESCRIBED.to_owned()));
            }
            Some(_) if stat.nlink > 1 => Err(linked(stat.nlink)),
            Some(recognized) => recognized,
        };
        let rel = self.rel(name);
        Ok(Outlook::Candidate(Box::new(Candidate {
            rel,
            name: name.clone(),
            file,
            stat,
            sidecar,
            dump,
        })))
    }

    /// Whether a manifest without data was left behind when npyd ended between dealing with the
    /// data and moving their manifest: then the output tells its identity. If so, whether the data
    /// became that output themselves.
    fn array_of(
        &self,
        sidecar: &Sidecar,
        output: Option<FileName>,
        data: Option<&FileName>,
    ) -> disk::Result<Option<bool>> {
        let names: Vec<FileName> = match (output, data) {
            (Some(output), _) => vec![output],
            (None, Some(data)) => vec![data.as_npy()],
            (None, None) => data_names(&sidecar.name).iter().map(FileName::as_npy).collect(),
        };
        let dir = match &self.inbox.output {
            None => None,
            Some(output) => match Dir::open(&output.join(&self.parent)) {
                Ok(dir) => Some(dir),
                Err(error) if error.is_missing() => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        let dir = dir.as_ref().unwrap_or(&self.dir);
        for name in names {
            let Some(output) = dir.open_file(name.as_ref())? else { continue };
            let stat = output.stat()?;
            if [disk::own_uid(), sidecar.stat.uid].contains(&stat.uid)
                && let Some(source) = output.attr(SOURCE_ATTR)?
                && let source = Identity::parse(&String::from_utf8_lossy(&source))
                && source.was_described_by(&sidecar.name, &sidecar.stat)
            {
                return Ok(Some(source.is_of_inode(stat.ino)));
            }
        }
        Ok(None)
    }
}

/// The attribute of an output that tells what it was made of: an [`Identity`].
pub const SOURCE_ATTR: &str = "user.npyd.source";

fn linked(names: u64) -> String {
    format!(
        "it has {names} names (hard links); npyd takes a file that has one: copy it instead, or remove the others"
    )
}

/// The dump that a file's own pending header declares, if it has one.
fn own_header(
    name: &FileName,
    file: &DataFile,
    stat: &Stat,
) -> disk::Result<Result<Option<Dump>, String>> {
    let preamble = match Preamble::read(&file.read_at_most(0, Preamble::LEN)?) {
        Ok(Some(preamble)) => preamble,
        Ok(None) => return Ok(Ok(None)),
        Err(error) => return Ok(Err(error.to_string())),
    };
    if preamble.kind == npy::Kind::Final && name.without_pending_suffix().is_none() {
        return Ok(Ok(None)); // nothing is left to do
    }
    let head_len = preamble.data_offset.min(stat.size).min(npy::HEADER_CAP);
    let head = file.read_at_most(0, head_len as usize)?;
    Ok(from_header(name, preamble, head, stat.size))
}
