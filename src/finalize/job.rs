//! A job: a complete drop on its way to an array.

use crate::finalize::locations::Locations;
use crate::finalize::writer_proof::writers_after;
use crate::finalize::{Arc, DropDir, Dump, Evidence, IntentLog, Path, PathBuf, SourceIdentity};
use crate::fs::OpenWriters;
use crate::npy::Header;
use crate::probe::candidate::Candidate;

/// A settled dump: complete, and on its way to an array.
pub struct Job {
    /// The drop directory's settings.
    pub drop_dir: Arc<DropDir>,
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
    pub earlier: Vec<SourceIdentity>,
    /// Whether a person asked for the array to be made again.
    pub redo: bool,
    /// Where it is noted down what would have to be undone after a crash.
    pub intents: Option<Arc<IntentLog>>,
}

impl Job {
    /// The data file's whole path.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.drop_dir.path.join(&self.candidate.rel)
    }

    pub(crate) fn parent(&self) -> &Path {
        self.candidate.rel.parent().unwrap_or(Path::new(""))
    }

    /// What is asked of its writers before it goes: a proof that there is none, or the producer's
    /// own word. The settings may ask for less.
    pub(crate) fn writers(&self) -> OpenWriters {
        writers_after(self.evidence, &self.drop_dir)
    }

    /// What an output tells of what it was made of.
    pub(crate) fn mark(&self) -> String {
        self.candidate.snapshot().identity().to_string()
    }

    /// Whether the array takes the data file's own place, as a pending `x.npy` does.
    pub(crate) fn keeps_its_name(&self, at: &Locations) -> bool {
        at.beside && self.dump.output == self.candidate.name
    }
}
