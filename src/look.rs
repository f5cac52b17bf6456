//! One look at one name of a drop directory: what it is taken for, and what is known of it now.
//!
//! Each look opens the directory anew and lets it go again: an open directory would pin its mount.
//! Files are opened beneath it, without following links; what is learned afterwards is learned
//! from the descriptor.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::config::{Inbox, Salvage};
use crate::disk::{self, DataFile, Dir, Stat};
use crate::npy::{self, Header, Preamble};
use crate::recognize::{Dump, FileName, Front, Kind, Manifest, from_header, manifest};
use crate::settle::{self, Evidence, Look, Rules, Verdict, Wait, Writer};
use crate::stamp::{Identity, Stamp, identity_of};

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
    /// It describes data that were finalized and removed; only itself was left behind, in a crash.
    Leftover(Box<Sidecar>),
    /// It is a dump, or part of one.
    Candidate(Box<Candidate>),
}

/// A data file and what describes it, both open.
pub struct Candidate {
    /// The data file's path below the drop directory.
    pub rel: PathBuf,
    /// The data file's name.
    pub name: FileName,
    /// The data file.
    pub file: DataFile,
    /// What it looked like when it was opened.
    pub stat: Stat,
    /// The file that describes it.
    pub sidecar: Option<Sidecar>,
    /// What it holds, or why that can't be told.
    pub dump: Result<Dump, String>,
}

/// A file that describes a data file.
pub struct Sidecar {
    /// Its path below the drop directory.
    pub rel: PathBuf,
    /// Its name.
    pub name: FileName,
    /// The file.
    pub file: DataFile,
    /// What it looked like when it was opened.
    pub stat: Stat,
}

/// What is to be done with a candidate now.
pub enum Decision {
    /// Make the array with this header.
    Finalize {
        /// The array's header.
        header: Box<Header>,
        /// What proved that the data are complete.
        evidence: Evidence,
        /// What people should know about it.
        remark: Option<String>,
    },
    /// Look again later.
    Wait(Wait),
    /// It can't become an array as it is.
    Reject(String),
}

impl Candidate {
    /// What it looked like at this look.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        Stamp {
            data: self.stat,
            sidecar: self.sidecar.as_ref().map(|sidecar| (sidecar.name.clone(), sidecar.stat)),
        }
    }

    /// What it looks like now, after npyd itself wrote to the data file.
    pub fn stamp_anew(&self) -> disk::Result<Stamp> {
        Ok(Stamp { data: self.file.stat()?, ..self.stamp() })
    }

    /// Who writes to the data file.
    #[must_use]
    pub fn writer(&self) -> Writer {
        writer(&self.file)
    }

    /// How long ago its files last changed by the file system's own word, if that can be said.
    #[must_use]
    pub fn age(&self, now: SystemTime) -> Option<Duration> {
        let stats = [Some(&self.stat), self.sidecar.as_ref().map(|sidecar| &sidecar.stat)];
        let latest =
            stats.into_iter().flatten().map(|stat| stat.mtime_ns.max(stat.ctime_ns)).max()?;
        let now = now.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_nanos();
        let age = i128::try_from(now).ok()? - i128::from(latest);
        u64::try_from(age).ok().map(Duration::from_nanos)
    }

    /// Decides what is to be done, given how long nothing has changed.
    pub fn decide(&self, inbox: &Inbox, unchanged: Duration) -> disk::Result<Decision> {
        let rules = Rules { quiet: inbox.quiet, allow_trailing: inbox.allow_trailing };
        let sidecar_writer = self.sidecar.as_ref().map(|sidecar| writer(&sidecar.file));
        let dump = match &self.dump {
            Ok(dump) => dump,
            Err(reason) => {
                return Ok(self.unreadable(reason, sidecar_writer, unchanged, rules.quiet));
            }
        };
        let marker_len = dump.marker.as_ref().map_or(0, Vec::len);
        let look = Look {
            size: self.stat.size,
            allocated: self.stat.blocks.saturating_mul(512),
            writer: self.writer(),
            sidecar_writer,
            first_bytes: self.file.read_at_most(0, marker_len)?,
            unchanged,
        };
        Ok(match settle::settle(dump, &look, &rules) {
            Verdict::Ready(evidence) => match dump.header(self.stat.size) {
                Ok(header) => {
                    Decision::Finalize { header: Box::new(header), evidence, remark: None }
                }
                Err(reason) => Decision::Reject(reason),
            },
            Verdict::Wait(wait) => Decision::Wait(wait),
            Verdict::Refused(reason) => Decision::Reject(reason),
            Verdict::Abandoned => self.abandoned(dump, inbox.salvage)?,
        })
    }

    /// A description that can't be read may just not be written to its end.
    fn unreadable(
        &self,
        reason: &str,
        sidecar: Option<Writer>,
        unchanged: Duration,
        quiet: Duration,
    ) -> Decision {
        let writer = sidecar.unwrap_or_else(|| writer(&self.file));
        if writer == Writer::Present {
            Decision::Wait(Wait::for_somebody(format!("it is still being written: {reason}")))
        } else if unchanged < quiet {
            Decision::Wait(Wait {
                why: reason.to_owned(),
                proof_in: Some(quiet.saturating_sub(unchanged)),
            })
        } else {
            Decision::Reject(reason.to_owned())
        }
    }

    /// The producer of a pending file died.
    fn abandoned(&self, dump: &Dump, salvage: Salvage) -> disk::Result<Decision> {
        let written = self.file.written_upto(dump.data_offset)?;
        let salvaged = dump.salvaged_header(written);
        let records = salvaged.as_ref().map_or(0, |header| match header.order() {
            npy::Order::C => header.shape().first().copied().unwrap_or(0),
            npy::Order::F => header.shape().last().copied().unwrap_or(0),
        });
        let found = format!(
            "it was abandoned: its producer is gone without marking it ready; {records} complete records ({written} of {} bytes) were written",
            self.stat.size
        );
        Ok(match (salvage, salvaged) {
            (Salvage::WholeRecords, Some(header)) => Decision::Finalize {
                header: Box::new(header),
                evidence: Evidence::Salvaged,
                remark: Some(found),
            },
            (Salvage::WholeRecords, None) => Decision::Reject(found),
            (Salvage::Quarantine, _) => Decision::Reject(format!(
                "{found}: set salvage = \"whole-records\" to keep them, or let the producer finish it"
            )),
        })
    }
}

fn writer(file: &DataFile) -> Writer {
    match file.writer() {
        disk::Writer::None => Writer::None,
        disk::Writer::Present => Writer::Present,
        disk::Writer::Unknown(_) => Writer::Unknown,
    }
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
        let data = described.manifest.as_ref().ok().and_then(|m| m.declared.data.clone());
        let names = match &data {
            Some(data) => vec![data.clone()],
            None => manifest::data_names(name.as_str())
                .into_iter()
                .filter_map(|data| FileName::try_from(data).ok())
                .collect(),
        };
        let mut present = Vec::new();
        for data in names {
            if data != *name && self.dir.stat(data.as_ref())?.is_some_and(|stat| stat.is_file()) {
                present.push(data);
            }
        }
        match (&present[..], &described.manifest) {
            ([data], _) => self.look_at_data(data, Some(name.clone())).map(Some),
            ([data, other, ..], _) => {
                let reason = format!(
                    "`{name}` could describe `{data}` or `{other}`: say which by its key `data`"
                );
                self.candidate(data, Some(described), |_, _| Some(Err(reason))).map(Some)
            }
            ([], Err(_)) => Ok(None),
            ([], Ok(manifest)) => {
                let output = manifest.declared.output.clone();
                if self.is_leftover(&described.sidecar, output, data.as_ref())? {
                    return Ok(Some(Outlook::Leftover(Box::new(described.sidecar))));
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
        self.candidate(name, claims.pop(), |manifest, own| match (manifest, own) {
            (Some(_), Ok(Some(_))) => {
                Some(Err("it has a pending header and a manifest: remove one of them".to_owned()))
            }
            (Some(Ok(manifest)), _) => {
                let Manifest { declared, metadata } = manifest.clone();
                Some(declared.dump(Kind::Manifest, name, metadata))
            }
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
        let Some(file) = self.dir.open_file(name.as_ref())? else { return Ok(Outlook::Gone) };
        let stat = file.stat()?;
        if !stat.is_file() {
            return Ok(Outlook::NotOurs("it is not a regular file".to_owned()));
        }
        let (sidecar, manifest) = match described {
            Some(Described { sidecar, manifest }) => (Some(sidecar), Some(manifest)),
            None => (None, None),
        };
        let dump = match recognize(manifest, own_header(name, &file, &stat)?) {
            None => {
                return Ok(Outlook::NotOurs(
                    "it has no manifest, no pending header, and no template matches its name"
                        .to_owned(),
                ));
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

    /// Whether a manifest without data was left behind when npyd ended between removing the data
    /// and moving their manifest: then the output tells its identity.
    fn is_leftover(
        &self,
        sidecar: &Sidecar,
        output: Option<FileName>,
        data: Option<&FileName>,
    ) -> disk::Result<bool> {
        let names: Vec<FileName> = match (output, data) {
            (Some(output), _) => vec![output],
            (None, Some(data)) => vec![data.as_npy()],
            (None, None) => manifest::data_names(sidecar.name.as_str())
                .into_iter()
                .filter_map(|data| FileName::try_from(data).ok())
                .map(|data| data.as_npy())
                .collect(),
        };
        let dir = match &self.inbox.output {
            None => None,
            Some(output) => match Dir::open(&output.join(&self.parent)) {
                Ok(dir) => Some(dir),
                Err(error) if error.is_missing() => return Ok(false),
                Err(error) => return Err(error),
            },
        };
        let dir = dir.as_ref().unwrap_or(&self.dir);
        let own = Some((sidecar.name.to_string(), identity_of(&sidecar.stat)));
        for name in names {
            if let Some(output) = dir.open_file(name.as_ref())?
                && [disk::own_uid(), sidecar.stat.uid].contains(&output.stat()?.uid)
                && let Some(source) = output.attr(SOURCE_ATTR)?
                && Identity::parse(&String::from_utf8_lossy(&source)).sidecar == own
            {
                return Ok(true);
            }
        }
        Ok(false)
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

/// What stands in front of the data, in words.
#[must_use]
pub fn front_in_words(front: &Front) -> String {
    match front {
        Front::Bare => "nothing".to_owned(),
        Front::Reserved(bytes) => format!("{bytes} reserved bytes"),
        Front::Header(own) => format!("a header of {} bytes", own.preamble.data_offset),
    }
}
