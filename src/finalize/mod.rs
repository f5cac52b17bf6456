//! From a settled dump to its receipt: the array under its final name, whole and durable, and then,
//! only then, what becomes of the source.

mod at_once;
mod batch;
mod copy;
mod dispose;
mod in_place;
mod insert;
mod metadata;
mod quarantine;
mod reflink;
mod remake;
mod rest;
mod source;
mod target;
mod transfer;

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::candidate::Candidate;
use crate::config::{Disposition, Inbox};
use crate::digest::Hasher;
use crate::disk::{self, DataFile, Dir, DiskError, Writers, fs_info};
use crate::intent::Intents;
use crate::npy::Header;
use crate::plan::{Plan, Route, Terms};
use crate::progress::Progress;
use crate::recognize::{Dump, Front, Kind};
use crate::settle::Evidence;
use crate::stamp::Identity;

use dispose::not_proven;

pub use batch::{finalize, finalize_all};
pub use dispose::tidy_leftover;
pub use insert::undo_interrupted;
pub use quarantine::{Aside, bring_back, set_aside};
pub use remake::{Backups, count_backups};
pub use rest::rest_path;

/// A settled dump: complete, and on its way to an array.
pub struct Settled {
    /// The drop directory's settings.
    pub inbox: Arc<Inbox>,
    /// The open files.
    pub candidate: Candidate,
    /// What the data file holds.
    pub dump: Dump,
    /// The array's header.
    pub header: Header,
    /// What proved that it is complete.
    pub evidence: Evidence,
    /// What people should know about it.
    pub remark: Option<String>,
    /// Whether it has been unchanged for the quiet time.
    pub still: bool,
    /// What the drop looked like when its earlier arrays were made of it, as the ledger knows;
    /// empty where nothing is known of it.
    pub earlier: Vec<Identity>,
    /// Where it is noted down what would have to be undone after a crash.
    pub intents: Option<Arc<Intents>>,
}

/// Why there is no receipt of a finished array.
#[derive(Debug)]
pub enum Halt {
    /// It can't become an array as it is.
    Rejected(String),
    /// The same for good: the disk may have lost what was written to it.
    Lost(String),
    /// It must settle once more: it changed.
    Again(String),
    /// Another process has it.
    Busy(String),
    /// It is gone; another process was faster, or its producer took it away.
    Gone,
    /// npyd is ending.
    Stopped,
    /// A call failed; the fault may pass.
    Failed(DiskError),
}

impl From<DiskError> for Halt {
    fn from(error: DiskError) -> Self {
        Halt::Failed(error)
    }
}

/// The directories a dump's files are in and go to.
struct Site {
    source: Dir,
    output: Dir,
    /// Whether the two are one and the same.
    beside: bool,
    /// What an archived copy could not keep of its source.
    lost: RefCell<transfer::Lost>,
}

impl Settled {
    /// The data file's whole path.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.inbox.path.join(&self.candidate.rel)
    }

    fn parent(&self) -> &Path {
        self.candidate.rel.parent().unwrap_or(Path::new(""))
    }

    /// What is asked of its writers before it goes: a proof that there is none, or the producer's
    /// own word. The settings may ask for less.
    fn writers(&self) -> Writers {
        writers_after(self.evidence, &self.inbox)
    }

    /// What an output tells of what it was made of.
    fn mark(&self) -> String {
        self.candidate.stamp().identity().to_string()
    }

    /// Whether the array takes the data file's own place, as a pending `x.npy` does.
    fn keeps_its_name(&self, site: &Site) -> bool {
        site.beside && self.dump.output == self.candidate.name
    }
}

fn writers_after(evidence: Evidence, inbox: &Inbox) -> Writers {
    match evidence {
        Evidence::Ready => Writers::Trusted,
        Evidence::Marker | Evidence::Digest => Writers::NotSeen,
        _ => unproven_writers(inbox),
    }
}

/// Why a source that is to be removed or archived would stay, if it were taken now.
#[must_use]
pub fn why_source_stays(
    inbox: &Inbox,
    candidate: &Candidate,
    evidence: Evidence,
) -> Option<String> {
    let what = inbox.source.participle()?;
    match writers_after(evidence, inbox) {
        Writers::ProvedAbsent => candidate.leases().err().map(|why| not_proven(what, &why)),
        Writers::NotSeen | Writers::Trusted => None,
    }
}

/// What is asked of writers where the producer has said nothing.
fn unproven_writers(inbox: &Inbox) -> Writers {
    if inbox.remove_unproven { Writers::NotSeen } else { Writers::ProvedAbsent }
}

/// Opens a directory below one that npyd writes to, where the drop directory's tree is mirrored.
fn mirrored(inbox: &Inbox, base: &Path, below: &Path) -> Result<Dir, DiskError> {
    let dir = Dir::open_own(base, inbox.shared())?;
    if below.as_os_str().is_empty() { Ok(dir) } else { dir.make_dirs(below) }
}

/// The copy works the digest out as it goes; the other routes read no data otherwise.
fn verify_ahead(settled: &Settled, plan: &Plan, progress: &mut Progress) -> Result<(), Halt> {
    let Some(digest) = settled.dump.digest.as_ref().filter(|_| plan.route() != Route::Copy) else {
        return Ok(());
    };
    let Candidate { file, stat, .. } = &settled.candidate;
    let (mut hasher, mut from) = (digest.hasher(), 0);
    if plan.route() == Route::InPlace {
        let head = plan.head(&settled.dump);
        let there = file.read_at_most(0, head.len())?;
        if in_place::was_verified(settled, &there, &head)? {
            return Ok(());
        }
        if let Some(fill) = in_place::filled_with(&there, &head) {
            hasher.update(&vec![fill; head.len()]);
            from = head.len() as u64;
        }
    }
    hash(file, from..stat.size, &mut hasher, progress)?;
    verify(settled, hasher)
}

fn open_site(settled: &Settled) -> Result<Site, Halt> {
    let parent = settled.parent();
    let source = match Dir::open_below(&settled.inbox.path, parent) {
        // It was renamed with all that is in it, or unmounted.
        Err(error) if error.is_missing() => return Err(Halt::Gone),
        opened => opened?,
    };
    let beside = settled.inbox.output.is_none();
    let output = match &settled.inbox.output {
        Some(output) => mirrored(&settled.inbox, output, parent)?,
        None => source.again()?,
    };
    Ok(Site { source, output, beside, lost: RefCell::default() })
}

/// Under the claim: is the name still this file, and the file still what was settled?
fn check_unchanged(settled: &Settled, site: &Site) -> Result<(), Halt> {
    let candidate = &settled.candidate;
    let Some(named) = site.source.stat(candidate.name.as_ref())? else { return Err(Halt::Gone) };
    if !named.is_same_file(&candidate.stat) {
        return Err(Halt::Again("it was replaced by another file".to_owned()));
    }
    check_sidecar(settled, site)?;
    let now = candidate.file.stat()?;
    if settled.evidence == Evidence::Ready {
        // The producer's word stands, whatever its mapping still does to the times. Another npyd
        // may have finished it, though.
        let first = candidate.file.read_at_most(0, 8)?;
        let unchanged =
            matches!(&settled.dump.front, Front::Header(own) if own.bytes.starts_with(&first));
        return if unchanged && now.size >= candidate.stat.size {
            Ok(())
        } else {
            Err(Halt::Again("its header changed".to_owned()))
        };
    }
    if candidate.is_unchanged()? { Ok(()) } else { Err(Halt::Again("it changed".to_owned())) }
}

/// What describes the data must still be what was read.
fn check_sidecar(settled: &Settled, site: &Site) -> Result<(), Halt> {
    let Some(sidecar) = &settled.candidate.sidecar else { return Ok(()) };
    let beside = sidecar.rel.parent() == settled.candidate.rel.parent();
    let now = if beside {
        site.source.stat(sidecar.name.as_ref())?
    } else {
        Dir::open(&settled.inbox.path)?.stat(&sidecar.rel)?
    };
    match now {
        Some(now) if now.is_unchanged_since(&sidecar.stat) => Ok(()),
        _ => Err(Halt::Again(format!("`{}` changed", sidecar.name))),
    }
}

fn terms(settled: &Settled, site: &Site) -> Result<Terms, Halt> {
    let Settled { inbox, candidate, evidence, .. } = settled;
    let terms = terms_between(inbox, &site.source, &site.output, candidate, Some(*evidence))?;
    Ok(Terms { has_intents: settled.intents.is_some(), ..terms })
}

/// What limits the choice of a route for a candidate from one directory to another. What may still
/// be written to, for all that is known, does not become the array itself.
pub fn terms_between(
    inbox: &Inbox,
    source: &Dir,
    output: &Dir,
    candidate: &Candidate,
    evidence: Option<Evidence>,
) -> disk::Result<Terms> {
    let mut terms = terms_of_dirs(inbox, source, output)?;
    terms.files = candidate.files().len();
    let why = if evidence == Some(Evidence::Quiet) {
        Some("nothing proves that nobody writes to the file any more")
    } else {
        lacks_right(inbox, source, candidate)?
    };
    if let Some(why) = why {
        let taking = [Route::InPlace, Route::InsertRange];
        terms.ruled_out.extend(taking.map(|route| (route, why.to_owned())));
    }
    Ok(terms)
}

/// Why this user can't make the data file itself the array, if it lacks the right to that.
fn lacks_right(
    inbox: &Inbox,
    source: &Dir,
    candidate: &Candidate,
) -> disk::Result<Option<&'static str>> {
    let has_its_name = |dump: &Dump| inbox.output.is_none() && dump.output == candidate.name;
    let keeps_its_name = candidate.dump.as_ref().is_ok_and(has_its_name);
    Ok(if !candidate.file.may_be_written() {
        Some("the user that npyd runs as may not write to the file")
    } else if !keeps_its_name && !source.may_lose(&candidate.stat)? {
        Some("the user that npyd runs as may not rename the file")
    } else {
        None
    })
}

/// What the directories alone say of that, for data in one file.
pub fn terms_of_dirs(inbox: &Inbox, source: &Dir, output: &Dir) -> disk::Result<Terms> {
    Ok(Terms {
        readers: inbox.readers,
        same_file_system: output.is_on_mount_of(source)?,
        file_system: fs_info(output)?,
        files: 1,
        keeps_source: inbox.source != Disposition::Remove,
        has_intents: true,
        ruled_out: Vec::new(),
    })
}

fn plan(settled: &Settled, site: &Site, terms: &Terms) -> Result<Plan, Halt> {
    let file_len = match settled.evidence {
        Evidence::Salvaged => settled.dump.end_of(&settled.header),
        _ => settled.candidate.stat.size,
    };
    let plan = Plan::new(&settled.dump, settled.header.clone(), file_len, terms);
    let copied_raw = plan.route() != Route::InPlace && settled.dump.kind != Kind::Pending;
    if copied_raw && settled.keeps_its_name(site) {
        return Err(Halt::Rejected(format!(
            "the array would take the name of its own data, `{}`: give it another by the key `output`",
            settled.candidate.name
        )));
    }
    Ok(plan)
}

/// Feeds a range of a file to a hasher.
fn hash(
    file: &DataFile,
    range: std::ops::Range<u64>,
    hasher: &mut Hasher,
    progress: &mut Progress,
) -> Result<(), Halt> {
    const PIECE: u64 = 1 << 20;
    progress.expect(range.end - range.start);
    let mut at = range.start;
    let mut buffer = vec![0; PIECE as usize];
    while at < range.end {
        let piece = &mut buffer[..(range.end - at).min(PIECE) as usize];
        match file.read_exact_at(piece, at) {
            Err(error) if error.io().kind() == io::ErrorKind::UnexpectedEof => {
                return Err(Halt::Again("it was truncated while it was read".to_owned()));
            }
            read => read?,
        }
        hasher.update(piece);
        at += piece.len() as u64;
        if !progress.advance(at - range.start) {
            return Err(Halt::Stopped);
        }
    }
    Ok(())
}

/// A digest that does not fit yet may fit when the producer is done.
fn verify(settled: &Settled, hasher: Hasher) -> Result<(), Halt> {
    let Some(digest) = &settled.dump.digest else { return Ok(()) };
    digest
        .verify(hasher)
        .map_err(|reason| if settled.still { Halt::Rejected(reason) } else { Halt::Again(reason) })
}
