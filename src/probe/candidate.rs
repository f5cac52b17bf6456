//! A candidate: an open data file with a description, and the decision what to do with it now.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::config::{DropDir, Salvage};
use crate::decide::completeness::{self, Evidence, Observation, Rules, Verdict, Wait, Writer};
use crate::decide::identity::{FileSnapshot, identity_of, without_ctime};
use crate::decide::reason::Reason;
use crate::describe::{Dump, LeadingBytes, Rows};
use crate::fs::{self, DataFile, Dir, Lease};
use crate::model::{FileName, Stat};
use crate::npy::{self, Header};
use crate::probe::RowCount;
use crate::probe::unproven::Unproven;

/// A data file and its description, both open.
pub struct Candidate {
    /// The data file's path below the drop directory.
    pub rel: PathBuf,
    /// The data file's name.
    pub name: FileName,
    /// The data file.
    pub file: DataFile,
    /// Its metadata when it was opened.
    pub stat: Stat,
    /// Offset of the first hole or unwritten extent when it was opened.
    pub written_end: u64,
    /// The other files of an array that is in several, in order.
    pub parts: Vec<Part>,
    /// The file that describes it.
    pub sidecar: Option<Sidecar>,
    /// Sidecars that also describe it, but do not count because a manifest does.
    pub overridden: Vec<Sidecar>,
    /// Inodes of the conflicting description files. Removing one changes this drop's identity.
    pub conflicting_inodes: Vec<u64>,
    /// Whether it became an array before the conflict arose. Then it stays where it is.
    pub has_array: bool,
    /// The declared layout, or the reason why there is none.
    pub dump: Result<Dump, Reason>,
    /// The file whose count contradicts the size of the data.
    pub miscount: Option<RowCount>,
    /// The rows that a person takes, although the data do not fit their description.
    pub take: Option<Rows>,
}

/// One of several files that together hold the data.
pub struct Part {
    /// Its path below the drop directory.
    pub rel: PathBuf,
    /// Its name.
    pub name: FileName,
    /// The file.
    pub file: DataFile,
    /// Its metadata when it was opened.
    pub stat: Stat,
    /// Offset of the first hole or unwritten extent when it was opened.
    pub written_end: u64,
}

/// A file that describes a data file.
pub struct Sidecar {
    /// Its path below the drop directory.
    pub rel: PathBuf,
    /// Its name.
    pub name: FileName,
    /// The file.
    pub file: DataFile,
    /// Its metadata when it was opened.
    pub stat: Stat,
    /// Whether it never moves along with this data file, because it describes other files as well
    /// or is in another directory.
    pub is_shared: bool,
}

/// What to do with a candidate now.
pub enum Decision {
    /// Make the array.
    Finalize {
        /// The array's header.
        header: Box<Header>,
        /// What proved that the data are complete.
        evidence: Evidence,
        /// A remark for the receipt.
        remark: Option<String>,
    },
    /// Probe again later.
    Wait(Wait),
    /// It can't become an array as it is.
    Reject(Reason),
}

impl Candidate {
    /// Returns the snapshot of this probe.
    #[must_use]
    pub fn snapshot(&self) -> FileSnapshot {
        FileSnapshot {
            data: self.stat,
            parts: self.parts.iter().map(|part| part.stat).collect(),
            sidecar: self.sidecar.as_ref().map(|sidecar| (sidecar.name.clone(), sidecar.stat)),
            rivals: self.rivals(),
        }
    }

    /// Returns what else makes this another drop: conflicting files, and a count that contradicts
    /// the data, which may be corrected.
    fn rivals(&self) -> Vec<u64> {
        let of_count = |count: &RowCount| [count.stat.ino, count.stat.mtime_ns.cast_unsigned()];
        let miscount = self.miscount.iter().flat_map(of_count);
        self.conflicting_inodes.iter().copied().chain(miscount).collect()
    }

    /// Returns the snapshot after npyd itself wrote to the data file.
    pub fn restat(&self) -> fs::Result<FileSnapshot> {
        Ok(FileSnapshot { data: self.file.stat()?, ..self.snapshot() })
    }

    /// Returns a key that identifies the description: the file that describes the data, or the data
    /// file itself, if a template or the file's own header does.
    #[must_use]
    pub fn description_key(&self) -> String {
        match &self.sidecar {
            Some(sidecar) => {
                let identity = identity_of(&sidecar.stat);
                format!("{} {}", without_ctime(&identity).unwrap_or_default(), sidecar.name)
            }
            None => format!("{}:{}", self.stat.ino, self.stat.born_ns),
        }
    }

    /// Returns the data files, in order.
    #[must_use]
    pub fn files(&self) -> Vec<&DataFile> {
        [&self.file].into_iter().chain(self.parts.iter().map(|part| &part.file)).collect()
    }

    /// Returns the data files, in order, each with the offset of its share of the data.
    #[must_use]
    pub fn segments(&self, dump: &Dump, share: u64) -> Vec<(&DataFile, u64)> {
        let parts = self.parts.iter().map(|part| (&part.file, &part.stat));
        let files = [(&self.file, &self.stat)].into_iter().chain(parts);
        files.map(|(file, stat)| (file, dump.offset_in(stat.size, share))).collect()
    }

    /// Returns the largest number of hard links that one of its files has.
    #[must_use]
    pub fn links(&self) -> u64 {
        let parts = self.parts.iter().map(|part| &part.stat);
        let sidecar = self.sidecar.iter().map(|sidecar| &sidecar.stat);
        parts.chain(sidecar).map(|stat| stat.nlink).fold(self.stat.nlink, u64::max)
    }

    /// Returns the names of the data files, in order.
    pub fn names(&self) -> impl Iterator<Item = &FileName> {
        [&self.name].into_iter().chain(self.parts.iter().map(|part| &part.name))
    }

    /// Returns whether the data files are unchanged since they were opened.
    pub fn is_unchanged(&self) -> fs::Result<bool> {
        for part in &self.parts {
            if !part.file.stat()?.is_unchanged_since(&part.stat) {
                return Ok(false);
            }
        }
        Ok(self.file.stat()?.is_unchanged_since(&self.stat))
    }

    /// Returns whether a process writes to the data.
    pub fn writer(&self) -> fs::Result<Writer> {
        let rank = |writer: Writer| match writer {
            Writer::None => 0,
            Writer::Unknown => 1,
            Writer::Present => 2,
        };
        let mut strongest = writer(&self.file)?;
        for part in &self.parts {
            let next = writer(&part.file)?;
            if rank(next) > rank(strongest) {
                strongest = next;
            }
        }
        Ok(strongest)
    }

    /// Returns the first of its files for which this process may not detect writers, but a process
    /// with `CAP_LEASE` may.
    pub fn unseen(&self) -> fs::Result<Option<&FileName>> {
        for (name, file) in self.all_files() {
            if file.writer()? == fs::Writer::Unknown(fs::Unprovable::NoRight) {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// Returns the data files and the sidecar.
    pub fn all_files(&self) -> impl Iterator<Item = (&FileName, &DataFile)> {
        let parts = self.parts.iter().map(|part| (&part.name, &part.file));
        let sidecar = self.sidecar.iter().map(|sidecar| (&sidecar.name, &sidecar.file));
        [(&self.name, &self.file)].into_iter().chain(parts).chain(sidecar)
    }

    /// Takes leases on all its files. They prove that no process writes to any of them for as long
    /// as they are held. The inner error gives the reason for the first that is not granted.
    pub fn leases(&self) -> fs::Result<Result<Vec<Lease<'_, DataFile>>, Unproven>> {
        let mut leases = Vec::new();
        for (name, file) in self.all_files() {
            match file.lease()? {
                Some(lease) => leases.push(lease),
                None => return Ok(Err(Unproven::of(name, file)?)),
            }
        }
        Ok(Ok(leases))
    }

    /// Returns the flag that keeps npyd from changing one of the files that it would move, whatever
    /// its permissions.
    #[must_use]
    pub fn protection(&self) -> Option<Unproven> {
        let sidecar = self.sidecar.iter().filter(|sidecar| !sidecar.is_shared);
        let parts = self.parts.iter().map(|part| (&part.name, &part.stat));
        let files = [(&self.name, &self.stat)].into_iter().chain(parts);
        let mut files = files.chain(sidecar.map(|sidecar| (&sidecar.name, &sidecar.stat)));
        files.find_map(|(name, stat)| Some(Unproven::protected(name, stat.protection?)))
    }

    /// Returns the flag that keeps npyd from removing the files from their directory, which is
    /// `dir`.
    pub fn protection_in(&self, dir: &Dir) -> fs::Result<Option<Unproven>> {
        let of_dir = dir.stat_self()?.protection;
        let of_dir = of_dir.map(|flag| Unproven::in_protected_dir(&self.name, flag));
        Ok(self.protection().or(of_dir))
    }

    /// Returns the size that one data file with all parts would have, and how much of that is
    /// allocated. All parts have equal shares, so the part whose size differs decides.
    pub(crate) fn logical_size(&self, dump: &Dump) -> (u64, u64) {
        let Stat { size, blocks, .. } = self.stat;
        if self.parts.is_empty() {
            return (size, blocks.saturating_mul(512));
        }
        let stats = || self.parts.iter().map(|part| &part.stat).chain([&self.stat]);
        let share = dump.layout.data_len().unwrap_or(0) / (1 + self.parts.len() as u64);
        let own = dump.data_offset.saturating_add(share).saturating_add(dump.trailing);
        let needed = share.saturating_add(dump.trailing);
        let sizes = || {
            stats().map(|stat| match stat.size {
                // Bytes before data at the end of the file may have another length in each part.
                size if dump.facts.at_the_end => own.saturating_sub(needed.saturating_sub(size)),
                size => size,
            })
        };
        let least = sizes().min().unwrap_or(size);
        let most = sizes().max().unwrap_or(size);
        let odd = if least < own { least } else { most };
        let around = dump.data_offset.saturating_add(dump.trailing);
        let segments = odd.saturating_sub(around).saturating_mul(1 + self.parts.len() as u64);
        let whole = around.saturating_add(segments);
        (whole, stats().map(|stat| stat.blocks.saturating_mul(512)).sum())
    }

    /// Returns whether every byte of the data files was written. Checks both the reported holes and
    /// the allocated blocks: unwritten extents are allocated, and some file systems do not report
    /// holes.
    fn is_fully_written(&self) -> bool {
        let parts = self.parts.iter().map(|part| (&part.stat, part.written_end));
        let mut files = parts.chain([(&self.stat, self.written_end)]);
        files.all(|(stat, written)| {
            written >= stat.size && stat.blocks.saturating_mul(512) >= stat.size
        })
    }

    /// Returns the age of the newest mtime or ctime of its files, or `None` if it lies in the
    /// future.
    #[must_use]
    pub fn age(&self, now: SystemTime) -> Option<Duration> {
        let parts = self.parts.iter().map(|part| &part.stat);
        let sidecar = self.sidecar.as_ref().map(|sidecar| &sidecar.stat);
        let miscount = self.miscount.as_ref().map(|count| &count.stat);
        let stats = parts.chain(sidecar).chain(miscount).chain([&self.stat]);
        let latest = stats.map(|stat| stat.mtime_ns.max(stat.ctime_ns)).max()?;
        let now = now.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_nanos();
        let age = i128::try_from(now).ok()? - i128::from(latest);
        u64::try_from(age).ok().map(Duration::from_nanos)
    }

    /// Returns the coarsest timestamp granularity of its files.
    fn timestamp_granularity(&self) -> Duration {
        let parts = self.parts.iter().map(|part| (&part.file, &part.stat));
        let sidecar = self.sidecar.as_ref().map(|sidecar| (&sidecar.file, &sidecar.stat));
        let files = parts.chain(sidecar).chain([(&self.file, &self.stat)]);
        files.map(|(file, stat)| file.timestamp_granularity(stat)).max().unwrap_or_default()
    }

    /// Decides what to do. `unchanged` is how long nothing has changed, `remakes` how often its
    /// array was made again.
    pub fn decide(
        &self,
        drop_dir: &DropDir,
        unchanged: Duration,
        remakes: u32,
    ) -> fs::Result<Decision> {
        let allow_trailing = drop_dir.allow_trailing;
        let quiet = completeness::quiet_after(drop_dir.quiet, remakes);
        let rules = Rules { quiet, allow_trailing, remakes };
        let sidecar_writer =
            self.sidecar.as_ref().map(|sidecar| writer(&sidecar.file)).transpose()?;
        let count_writer = self.miscount.as_ref().map(|count| writer(&count.file)).transpose()?;
        let timestamp_granularity = self.timestamp_granularity();
        let dump = match &self.dump {
            Ok(dump) => dump,
            Err(reason) => {
                let quiet = if self.is_description() || self.has_empty_sidecar() {
                    rules.quiet.saturating_mul(completeness::LONGER_QUIET)
                } else {
                    rules.quiet
                };
                let quiet = quiet.max(timestamp_granularity);
                return self.unreadable(reason, sidecar_writer, unchanged, quiet);
            }
        };
        let first_bytes = match &dump.marker {
            Some(marker) if self.has_our_header(dump, marker)? => marker.clone(),
            Some(marker) => self.file.read_at_most(0, marker.len())?,
            None => Vec::new(),
        };
        let (size, allocated) = self.logical_size(dump);
        let (solid, writer) = (self.is_fully_written(), self.writer()?);
        let look = Observation {
            size,
            allocated,
            solid,
            writer,
            sidecar_writer,
            count_writer,
            first_bytes,
            unchanged,
            timestamp_granularity,
        };
        let verdict = match self.take {
            None => completeness::assess(dump, &look, &rules),
            Some(_) => completeness::assess_taken(dump, &look, &rules),
        };
        Ok(match verdict {
            Verdict::Ready(Evidence::Taken) => {
                self.take_rows(dump, self.take.unwrap_or_default())?
            }
            Verdict::Ready(Evidence::CommonRows) => self.common_rows(dump)?,
            Verdict::Ready(evidence) => match dump.header(size) {
                Ok(header) => {
                    Decision::Finalize { header: Box::new(header), evidence, remark: None }
                }
                Err(reason) => Decision::Reject(Reason::Description(reason)),
            },
            Verdict::Wait(wait) => Decision::Wait(wait),
            Verdict::Refused(reason) => Decision::Reject(reason),
            Verdict::Abandoned => self.abandoned(dump, drop_dir.salvage)?,
        })
    }

    /// Returns whether this is a description that can't be used, and whose data are not known.
    fn is_description(&self) -> bool {
        self.sidecar.is_none() && crate::probe::may_describe(self.name.as_str())
    }

    /// Returns whether its description has no bytes yet: a process may be about to write them.
    fn has_empty_sidecar(&self) -> bool {
        self.sidecar.as_ref().is_some_and(|sidecar| sidecar.stat.size == 0)
    }

    /// Returns whether its description changed after it was opened.
    fn has_changed_sidecar(&self) -> fs::Result<bool> {
        let Some(sidecar) = &self.sidecar else { return Ok(false) };
        Ok(sidecar.file.stat()? != sidecar.stat)
    }

    /// Returns whether an interrupted npyd already wrote its header over the producer's marker.
    /// Then every byte of the region except the first eight is the header's; those are written
    /// last.
    fn has_our_header(&self, dump: &Dump, marker: &[u8]) -> fs::Result<bool> {
        let LeadingBytes::Reserved(room) = &dump.front else { return Ok(false) };
        let bytes = dump.header(self.stat.size).map(|header| header.bytes_padded_to(*room));
        let Ok(Ok(header)) = bytes else { return Ok(false) };
        let (magic, rest) = header.split_at(8);
        let front = self.file.read_at_most(0, header.len())?;
        Ok(front.get(8..) == Some(rest)
            && (front.starts_with(magic) || marker.starts_with(&front[..8])))
    }

    /// Decides about an unreadable description, which may still be being written.
    fn unreadable(
        &self,
        reason: &Reason,
        sidecar: Option<Writer>,
        unchanged: Duration,
        quiet: Duration,
    ) -> fs::Result<Decision> {
        let writer = match sidecar {
            Some(writer) => writer,
            None => writer(&self.file)?,
        };
        Ok(if writer == Writer::Present {
            let why = Reason::DescriptionUnfinished(Box::new(reason.clone()));
            Decision::Wait(Wait::on_external(why))
        } else if unchanged < quiet {
            Decision::Wait(Wait {
                why: reason.clone(),
                ready_in: Some(quiet.saturating_sub(unchanged)),
            })
        } else if self.has_changed_sidecar()? {
            // The text was read before its producer was done.
            Decision::Wait(Wait { why: reason.clone(), ready_in: Some(Duration::ZERO) })
        } else {
            Decision::Reject(reason.clone())
        })
    }

    /// Decides about a pending file whose producer died.
    fn abandoned(&self, dump: &Dump, salvage: Salvage) -> fs::Result<Decision> {
        let written = self.file.first_hole(dump.data_offset)?;
        let declared = dump.least_file_len().unwrap_or(u64::MAX);
        let nonzero = match dump.layout.records() {
            Some(_) if declared < written => self.file.nonzero_end(declared..written)?,
            _ => written,
        };
        let salvaged = dump.salvaged_header(written, nonzero);
        let rest = salvaged.as_ref().map_or(Ok(0), |header| self.rest_len(dump, header))?;
        let behind =
            if rest > 0 { format!(", and {rest} bytes behind them") } else { String::new() };
        let (salvage, what) = match self.take {
            Some(_) => (Salvage::WholeRecords, "taken as it is:"),
            None => (salvage, "it was abandoned: its producer ended without marking it ready;"),
        };
        let found =
            format!("{what} {}{behind}", count(dump, salvaged.as_ref(), written, self.stat.size));
        Ok(match (salvage, salvaged) {
            (Salvage::WholeRecords, Some(header)) => Decision::Finalize {
                header: Box::new(header),
                evidence: Evidence::Salvaged,
                remark: Some(found),
            },
            (Salvage::WholeRecords, None) => {
                Decision::Reject(Reason::Abandoned { found, keeps: None })
            }
            (Salvage::Quarantine, _) => Decision::Reject(Reason::Abandoned {
                found,
                keeps: Some(if rest > 0 {
                    "the records, and the rest as a file of its own"
                } else {
                    "them"
                }),
            }),
        })
    }

    /// Returns how many bytes were written behind an array with this header, and behind the bytes
    /// that are declared as trailing.
    pub fn rest_len(&self, dump: &Dump, header: &Header) -> fs::Result<u64> {
        let len = header.data_len();
        let end = dump.offset_in(self.stat.size, len).saturating_add(len + dump.trailing);
        Ok(self.file.written_end(end)? - end)
    }
}

/// Builds the message on how many complete records an abandoned file has.
fn count(dump: &Dump, salvaged: Option<&Header>, written: u64, size: u64) -> String {
    let records = salvaged.map_or(0, |header| match header.order() {
        npy::Order::C => header.shape().first().copied().unwrap_or(1),
        npy::Order::F => header.shape().last().copied().unwrap_or(1),
    });
    let more = match dump.layout.records() {
        Some(declared) if declared < records => {
            format!(" where its header says {declared}")
        }
        _ => String::new(),
    };
    format!("{records} complete records ({written} of {size} bytes) were written{more}")
}

fn writer(file: &DataFile) -> fs::Result<Writer> {
    Ok(match file.writer()? {
        fs::Writer::None => Writer::None,
        fs::Writer::Present => Writer::Present,
        fs::Writer::Unknown(_) => Writer::Unknown,
    })
}
