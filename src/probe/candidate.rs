//! A candidate: an open data file with a description, and the decision what to do with it now.

use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::config::{DropDir, OnChange, Salvage};
use crate::decide::abandoned::AbandonedData;
use crate::decide::ambiguity::Ambiguity;
use crate::decide::completeness::{self, Rules, Verdict};
use crate::decide::evidence::Evidence;
use crate::decide::file_snapshot::FileSnapshot;
use crate::decide::name_list::NameList;
use crate::decide::observation::Observation;
use crate::decide::reason::Reason;
use crate::decide::reason_kind::ReasonKind;
use crate::decide::request_problem::RequestProblem;
use crate::decide::request_target::RequestTarget;
use crate::decide::source_identity::{SourceIdentity, identity_of, without_ctime};
use crate::decide::wait::Wait;
use crate::describe::{DeclaredBy, Division, Dump, LeadingBytes, Rows, SizeFit};
use crate::fs;
use crate::model::{Writer, parent_of};
use crate::npy::{self, Header};
use crate::probe::RowCount;
use crate::probe::input::{DescriptionFile, Input, InputFile};

/// A drop whose files are open.
pub struct Candidate {
    /// The data files, and what describes them.
    pub input: Input,
    /// Sidecars that also describe it, but do not count because a manifest does.
    pub overridden: Vec<DescriptionFile>,
    /// Inodes of the conflicting description files. Removing one changes this drop's identity.
    pub conflicting_inodes: Vec<u64>,
    /// Whether it became an array before the conflict arose. Then it stays where it is.
    pub has_array: bool,
    /// The declared layout, or the reason why the drop has no usable layout.
    pub dump: Result<Dump, Reason>,
    /// The file whose count contradicts the size of the data.
    pub miscount: Option<RowCount>,
    /// The rows that a person takes, although the data do not fit their description.
    pub take: Option<Rows>,
}

/// What makes a candidate complete.
pub struct Complete {
    /// How the bytes of the source are laid out.
    pub header: Header,
    /// What proved that the data are complete.
    pub evidence: Evidence,
    /// A remark for the receipt.
    pub remark: Option<String>,
}

/// What to do with a candidate now.
pub enum Decision {
    /// Make the array.
    Finalize(Complete),
    /// Probe again later.
    Wait(Wait),
    /// It can't become an array as it is.
    Reject(Reason),
}

impl Candidate {
    /// Returns the snapshot of this probe.
    #[must_use]
    pub fn snapshot(&self) -> FileSnapshot {
        let description = self.input.description.as_ref();
        FileSnapshot {
            files: self.input.files.iter().map(|input| input.stat).collect(),
            sidecar: description.map(|sidecar| (sidecar.name.clone(), sidecar.stat)),
            rivals: self.rivals(),
        }
    }

    /// Returns what a request about this drop is made for.
    #[must_use]
    pub fn target(&self) -> RequestTarget {
        let snapshot = self.snapshot();
        RequestTarget {
            files: snapshot.target(),
            description: self.description_key(),
            drop: snapshot.identity().to_string(),
            array: String::new(),
        }
    }

    /// Returns why a request about an array can't be carried out by making the array of this drop
    /// again: that would be another one. `newest` is the newest array of the drop, and what the
    /// drop looked like.
    #[must_use]
    pub fn why_not_of_array(
        &self,
        drop_dir: &DropDir,
        target: &RequestTarget,
        newest: Option<(&Path, SourceIdentity)>,
    ) -> Option<RequestProblem> {
        let source = drop_dir.path.join(&self.input.rel);
        let parent = parent_of(&self.input.rel);
        let dir = drop_dir.output_path().join(parent);
        let named = Path::new(&target.array);
        let other = |now| {
            let (array, of) = (named.to_path_buf(), source.clone());
            Some(RequestProblem::OtherArray { array, of, now })
        };
        if let Some((array, _)) = &newest
            && !target.may_be_array(array)
        {
            return other(Some(array.to_path_buf()));
        }
        let Ok(dump) = &self.dump else { return None };
        let name = named.file_name().and_then(|it| it.to_str()).unwrap_or_default();
        let is_name = name == dump.output.as_str() || dump.output.number_of(name).is_some();
        let is_dir = named.parent().is_some_and(|it| it == Path::new(&*dir.to_string_lossy()));
        if !is_name || !is_dir {
            return other(Some(dir.join(&dump.output)));
        }
        // An array of changed data gets a number.
        let is_changed =
            newest.is_some_and(|(_, made)| !made.is_of_data_files(&self.snapshot().identity()));
        if drop_dir.on_change == OnChange::Number && is_changed { other(None) } else { None }
    }

    /// Returns what else makes this another drop: conflicting files, and a count that contradicts
    /// the data, which may be corrected.
    fn rivals(&self) -> Vec<u64> {
        let of_count = |count: &RowCount| [count.stat.ino, count.stat.mtime_ns.cast_unsigned()];
        let miscount = self.miscount.iter().flat_map(of_count);
        self.conflicting_inodes.iter().copied().chain(miscount).collect()
    }

    /// Returns whether it is in conflict with another description of some of its data files. The
    /// other one may need them, so they stay where they are.
    #[must_use]
    pub fn has_shared_parts(&self) -> bool {
        let conflict = self.dump.as_ref().err();
        matches!(
            conflict,
            Some(Reason::Conflict(Ambiguity::SeveralDescriptions { part: Some(_), .. }))
        )
    }

    /// Returns the age of the newest mtime or ctime of its files, or `None` if it lies in the
    /// future.
    #[must_use]
    pub fn age(&self, now: SystemTime) -> Option<Duration> {
        let miscount = self.miscount.as_ref().map(|count| &count.stat);
        self.input.age(now, miscount)
    }

    /// Returns the snapshot after npyd itself wrote to the data.
    pub fn restat(&self) -> fs::Result<FileSnapshot> {
        let files = self.input.files.iter().map(|input| input.file.stat());
        Ok(FileSnapshot { files: files.collect::<fs::Result<_>>()?, ..self.snapshot() })
    }

    /// Returns a key that identifies the description: the file that describes the data, or, if a
    /// template or the file's own header does, the name of the series or the data file itself.
    #[must_use]
    pub fn description_key(&self) -> String {
        let Input { rel, files, description, series, .. } = &self.input;
        match (description, files.first()) {
            (Some(sidecar), _) => {
                let identity = identity_of(&sidecar.stat);
                format!("{} {}", without_ctime(&identity).unwrap_or_default(), sidecar.name)
            }
            (None, _) if series.is_some() => format!("series {}", rel.display()),
            (None, Some(input)) => format!("{}:{}", input.stat.ino, input.stat.born_ns),
            (None, None) => String::new(),
        }
    }

    /// Returns how long the drop must be unchanged, before remakes prolong it.
    #[must_use]
    pub fn quiet(&self, quiet: Duration) -> Duration {
        self.dump.as_ref().map_or(quiet, |dump| completeness::quiet_of(dump, quiet))
    }

    /// Decides what to do. `unchanged` is how long nothing has changed, `remakes` how often its
    /// array was made again.
    pub fn decide(
        &self,
        drop_dir: &DropDir,
        unchanged: Duration,
        remakes: u32,
    ) -> fs::Result<Decision> {
        let allow_trailing = self.allows_trailing(drop_dir);
        let quiet = completeness::quiet_after(self.quiet(drop_dir.quiet), remakes);
        let rules = Rules { quiet, allow_trailing, remakes };
        let sidecar_writer =
            self.input.description.as_ref().map(|it| it.file.writer()).transpose()?;
        let count_writer = self.miscount.as_ref().map(|count| count.file.writer()).transpose()?;
        let timestamp_granularity = self.input.timestamp_granularity();
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
            Some(marker) => self.front(marker.len())?,
            None => Vec::new(),
        };
        let (size, allocated) = self.input.logical_size(dump);
        let (solid, writer) = (self.input.is_fully_written(), self.input.writer()?);
        let unfit = self.input.unfit_file(dump, allow_trailing);
        let observation = Observation {
            size,
            unfit: unfit.map(|(input, fit)| (input.name.clone(), fit)),
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
            None => completeness::assess(dump, &observation, &rules),
            Some(_) => completeness::assess_taken(dump, &observation, &rules),
        };
        Ok(match verdict {
            Verdict::Ready(Evidence::Taken) => {
                self.take_rows(dump, self.take.unwrap_or_default())?
            }
            Verdict::Ready(Evidence::CommonRows) => self.common_rows(dump)?,
            Verdict::Ready(evidence) => match dump.header(size) {
                Ok(header) => {
                    let remark = self.remark_on_excess(dump, &header);
                    Decision::Finalize(Complete { header, evidence, remark })
                }
                Err(reason) => Decision::Reject(Reason::Description(reason)),
            },
            Verdict::Wait(wait) => {
                Decision::Wait(Wait { why: self.naming_all(dump, wait.why), ..wait })
            }
            Verdict::Refused(reason) => Decision::Reject(self.naming_all(dump, reason)),
            Verdict::Abandoned => self.abandoned(dump, drop_dir.salvage, self.take)?,
        })
    }

    /// Returns whether bytes behind the data are tolerated. Whole files behind the data of a series
    /// never are.
    fn allows_trailing(&self, drop_dir: &DropDir) -> bool {
        let has_files_beyond =
            || self.dump.as_ref().is_ok_and(|dump| !self.input.files_beyond(dump).is_empty());
        drop_dir.allow_trailing && !has_files_beyond()
    }

    /// Returns the remark on bytes behind the data that are tolerated.
    fn remark_on_excess(&self, dump: &Dump, header: &Header) -> Option<String> {
        let segments = self.input.segments(dump, header.data_len());
        let behind = |end: u64, size: u64| size.saturating_sub(end.saturating_add(dump.trailing));
        let excess = segments.iter().map(|it| behind(it.end(), it.input.stat.size)).sum::<u64>();
        let bytes = if excess == 1 { "byte" } else { "bytes" };
        (excess > 0).then(|| format!("without the {excess} {bytes} behind its data"))
    }

    /// Adds the files that matter to a reason about the size: the sidecar that declares it, with
    /// its keys, or the files of a series behind the declared data.
    pub(super) fn naming_files(&self, dump: &Dump, reason: Reason) -> Reason {
        match (reason, dump.kind, &self.input.description) {
            (Reason::Size(SizeFit::TooLong { size, of }), ..)
                if dump.division != Division::EqualShares =>
            {
                let (data, of) = (size.saturating_sub(dump.around()), of - dump.around());
                let beyond = self.input.files_beyond(dump);
                let beyond = (!beyond.is_empty()).then(|| NameList::of(&beyond));
                Reason::SeriesTooLong { data, of, beyond }
            }
            (
                Reason::Size(SizeFit::TooLong { size, of })
                | Reason::SizeOfComplete(SizeFit::TooLong { size, of }),
                DeclaredBy::Pending,
                _,
            ) => Reason::LongerThanHeader { size, of },
            (Reason::Size(fit) | Reason::SizeOfComplete(fit), DeclaredBy::Pending, _) => {
                Reason::SizeByHeader(fit)
            }
            (Reason::Size(fit), DeclaredBy::Sidecar(_), Some(sidecar)) => {
                let (sidecar, keys) = (sidecar.name.clone(), dump.facts.size_keys);
                let unfit = self.input.unfit_share(dump);
                let (part, fit) =
                    unfit.map_or((None, fit), |(it, fit)| (Some(it.name.clone()), fit));
                Reason::SizeBySidecar { fit, sidecar, keys, part }
            }
            (reason, ..) => reason,
        }
    }

    /// Adds the files that matter to a reason about the size, and the dtype if its text may count
    /// bits or bytes.
    fn naming_all(&self, dump: &Dump, why: Reason) -> Reason {
        let why = self.naming_files(dump, why);
        match dump.bits_or_bytes {
            Some(dtype) if why.kind() == ReasonKind::Size => {
                Reason::SizeByDtype { why: Box::new(why), dtype }
            }
            _ => why,
        }
    }

    /// Returns whether this is a description that can't be used, and whose data are not known.
    fn is_description(&self) -> bool {
        self.input.description.is_none() && crate::probe::may_describe(self.input.name.as_str())
    }

    /// Returns the first bytes of the data file. Returns no bytes for several data files, because
    /// npyd could not distinguish such bytes from data.
    fn front(&self, len: usize) -> fs::Result<Vec<u8>> {
        let only = self.input.only_file();
        only.map_or(Ok(Vec::new()), |input| input.file.read_at_most(0, len))
    }

    /// Returns whether its description has no bytes yet: a process may be about to write them.
    fn has_empty_sidecar(&self) -> bool {
        self.input.description.as_ref().is_some_and(|sidecar| sidecar.stat.size == 0)
    }

    /// Returns whether its description changed after it was opened.
    fn has_changed_sidecar(&self) -> fs::Result<bool> {
        let Some(sidecar) = &self.input.description else { return Ok(false) };
        Ok(sidecar.file.stat()? != sidecar.stat)
    }

    /// Returns whether an interrupted npyd already wrote its header over the producer's marker.
    /// Then every byte of the region except the first eight is the header's; those are written
    /// last.
    fn has_our_header(&self, dump: &Dump, marker: &[u8]) -> fs::Result<bool> {
        let LeadingBytes::Reserved(room) = &dump.front else { return Ok(false) };
        let (size, _) = self.input.logical_size(dump);
        let bytes = dump.header(size).map(|header| header.bytes_padded_to(*room));
        let Ok(Ok(header)) = bytes else { return Ok(false) };
        let (magic, rest) = header.split_at(8);
        let front = self.front(header.len())?;
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
            None => self.input.writer()?,
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
    fn abandoned(&self, dump: &Dump, salvage: Salvage, take: Option<Rows>) -> fs::Result<Decision> {
        let Some(InputFile { file, stat, .. }) = self.input.only_file() else {
            return Ok(Decision::Reject(Reason::HeaderAndManifest)); // it has no header of its own
        };
        let written = file.first_hole(dump.data_offset)?;
        let declared = dump.least_file_len().unwrap_or(u64::MAX);
        let nonzero = match dump.layout.records() {
            Some(_) if declared < written => file.nonzero_end(declared..written)?,
            // A hole begins with a block: the zeros before it may not have been written either.
            None if written < stat.size => file.nonzero_end(dump.data_offset..written)?,
            _ => written,
        };
        let salvaged = dump.salvaged_header(written, nonzero, take.unwrap_or_default());
        let rest = match &salvaged {
            Some(header) => self.rest_len(dump, header)?,
            None => written.saturating_sub(dump.data_offset),
        };
        let is_taken = take.is_some();
        let salvage = if is_taken { Salvage::WholeRecords } else { salvage };
        let records = salvaged.as_ref().map_or(0, records);
        let declared = dump.layout.records().filter(|declared| *declared != records);
        let record_len = dump.layout.record_len();
        let found = AbandonedData { is_taken, records, declared, record_len, rest };
        Ok(match (salvage, salvaged) {
            (Salvage::WholeRecords, Some(header)) => Decision::Finalize(Complete {
                header,
                evidence: Evidence::Salvaged,
                remark: Some(found.to_string()),
            }),
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

    /// Returns what `npyd take` would take, or why it could take nothing.
    ///
    /// # Errors
    /// A file can't be read.
    pub fn preview_take(&self, dump: &Dump, rows: Rows) -> fs::Result<Result<String, Reason>> {
        if !matches!(dump.front, LeadingBytes::Header(_)) {
            let taken = self.taken(dump, rows)?;
            return Ok(taken.map(|taken| taken.remark).map_err(Reason::Request));
        }
        Ok(match self.abandoned(dump, Salvage::WholeRecords, Some(rows))? {
            Decision::Finalize(Complete { remark, .. }) => Ok(remark.unwrap_or_default()),
            Decision::Wait(Wait { why, .. }) | Decision::Reject(why) => Err(why),
        })
    }

    /// Returns how many bytes were written behind an array with this header, and behind the bytes
    /// that are declared as trailing.
    pub fn rest_len(&self, dump: &Dump, header: &Header) -> fs::Result<u64> {
        let mut rest = 0;
        for segment in self.input.segments(dump, header.data_len()) {
            let end = segment.end().saturating_add(dump.trailing);
            rest += segment.input.file.written_end(end)? - end;
        }
        Ok(rest)
    }
}

/// Returns the number of complete records in an array.
fn records(header: &Header) -> u64 {
    match header.order() {
        npy::Order::C => header.shape().first().copied().unwrap_or(1),
        npy::Order::F => header.shape().last().copied().unwrap_or(1),
    }
}
