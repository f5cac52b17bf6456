//! A job: a complete drop, from which an array is to be made.

use crate::decide::identity::Origin;
use crate::finalize::locations::Locations;
use crate::finalize::writer_proof::writers_after;
use crate::finalize::{Arc, DropDir, Dump, Evidence, IntentLog, Path, PathBuf, SourceIdentity};
use crate::fs::{self, DataFile, OpenWriters};
use crate::npy::Header;
use crate::probe::candidate::Candidate;
use crate::probe::{ORIGIN_ATTR, SOURCE_ATTR};

/// A complete drop and all that is needed to make its array.
pub struct Job {
    /// The drop directory's settings.
    pub drop_dir: Arc<DropDir>,
    /// The open files.
    pub candidate: Candidate,
    /// The declared layout.
    pub dump: Dump,
    /// The array's header.
    pub header: Header,
    /// The evidence that the drop is complete.
    pub evidence: Evidence,
    /// A remark for the receipt.
    pub remark: Option<String>,
    /// Whether it has been unchanged for the quiet time.
    pub still: bool,
    /// The identities of the drop when its earlier arrays were made, according to the ledger; empty
    /// if none are known.
    pub earlier: Vec<SourceIdentity>,
    /// Whether a person asked npyd to make the array again.
    pub redo: bool,
    /// Whether its array was made, and only attributes of its files changed since: npyd compares
    /// both once, at idle priority.
    pub is_recheck: bool,
    /// The intent log, if there is a state directory.
    pub intents: Option<Arc<IntentLog>>,
}

impl Job {
    /// Returns the data file's full path.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.drop_dir.path.join(&self.candidate.rel)
    }

    pub(crate) fn parent(&self) -> &Path {
        self.candidate.rel.parent().unwrap_or(Path::new(""))
    }

    /// Returns the required evidence about writers before the source is disposed of: a proof that
    /// there is none, or the producer's declaration. The settings may require less.
    pub(crate) fn writers(&self) -> OpenWriters {
        writers_after(self.evidence, &self.drop_dir)
    }

    /// Returns the mark for the output: the identity of its source.
    pub(crate) fn mark(&self) -> String {
        self.candidate.snapshot().identity().to_string()
    }

    /// Marks a file as the array of this drop: by the identity and the path of its source.
    pub(crate) fn mark_array(&self, file: &DataFile) -> fs::Result<()> {
        file.set_attr(SOURCE_ATTR, self.mark().as_bytes())?;
        self.mark_origin(file)
    }

    /// Marks a file by the path of its source.
    pub(crate) fn mark_origin(&self, file: &DataFile) -> fs::Result<()> {
        let origin = Origin::of(&self.path(), &self.candidate.name);
        file.set_attr(ORIGIN_ATTR, origin.to_string().as_bytes())?;
        Ok(())
    }

    /// Returns whether the array gets the data file's own name, like a pending `x.npy`.
    pub(crate) fn keeps_its_name(&self, at: &Locations) -> bool {
        at.beside && self.dump.output == self.candidate.name
    }
}
