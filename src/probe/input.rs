//! The input of an array: a list of one or more data files, and the file that describes them.

use std::cmp::Ordering;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::describe::series::SeriesKey;
use crate::describe::{Division, Dump, SizeFit};
use crate::fs::{self, DataFile, Dir, Lease};
use crate::model::{FileName, Stat, Unprovable, Writer};
use crate::npy;
use crate::probe::unproven::Unproven;

/// The data files of an array and what describes them, all open.
pub struct Input {
    /// The drop's path below the drop directory: that of the series, or of the data file.
    pub rel: PathBuf,
    /// The last component of that path.
    pub name: FileName,
    /// What stands for the series, if the data are one.
    pub series: Option<SeriesKey>,
    /// The data files, in order.
    pub files: Vec<InputFile>,
    /// The file that describes them.
    pub description: Option<DescriptionFile>,
}

/// A data file, open.
pub struct InputFile {
    /// The path of the file below the drop directory.
    pub rel: PathBuf,
    /// The name of the file.
    pub name: FileName,
    /// The file.
    pub file: DataFile,
    /// The metadata of the file when npyd opened it.
    pub stat: Stat,
    /// Offset of the first hole or unwritten extent when it was opened.
    pub written_end: u64,
}

impl InputFile {
    /// Returns whether it begins with the `.npy` magic.
    pub(crate) fn is_npy(&self) -> fs::Result<bool> {
        // F6
        let is_written = self.written_end > 0 || self.stat.size == 0;
        Ok(is_written
            && self.file.read_head(&self.stat, npy::MAGIC.len())?.starts_with(&npy::MAGIC))
    }
}

/// A file that describes data.
pub struct DescriptionFile {
    /// The path of the file below the drop directory.
    pub rel: PathBuf,
    /// The name of the file.
    pub name: FileName,
    /// The file.
    pub file: DataFile,
    /// The metadata of the file when npyd opened it.
    pub stat: Stat,
    /// Whether it never moves along with the data files, because it describes others as well or is
    /// in another directory.
    pub is_shared: bool,
}

/// A range of a data file that is part of the array.
pub struct InputSegment<'a> {
    /// The data file.
    pub input: &'a InputFile,
    /// Offset of the range in the file.
    pub offset: u64,
    /// The length of the range, in bytes.
    pub len: u64,
}

impl InputSegment<'_> {
    /// Returns the end of the range in the file.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }
}

impl Input {
    /// Returns the data file if there is exactly one.
    #[must_use]
    pub fn only_file(&self) -> Option<&InputFile> {
        match &self.files[..] {
            [only] => Some(only),
            _ => None,
        }
    }

    /// Returns the ranges of the files that hold an array with `data_len` bytes of data, in order.
    #[must_use]
    pub fn segments(&self, dump: &Dump, data_len: u64) -> Vec<InputSegment<'_>> {
        let (share, mut left) = (data_len / self.count(), data_len);
        let mut segments = Vec::with_capacity(self.files.len());
        for input in &self.files {
            let (offset, len) = match dump.division {
                Division::EqualShares => (dump.offset_in(input.stat.size, share), share),
                Division::FullFiles { .. } => {
                    (dump.data_offset, full_share(dump, input).unwrap_or(0).min(left))
                }
            };
            left = left.saturating_sub(len);
            segments.push(InputSegment { input, offset, len });
        }
        segments
    }

    /// Returns the first file of a series that is not complete by itself, and how its size fits.
    /// Each file must have data. If the shape is open, each file must have whole records, so that
    /// npyd does not complete a truncated record with bytes of the next file.
    #[must_use]
    pub fn unfit_file(&self, dump: &Dump, allow_trailing: bool) -> Option<(&InputFile, SizeFit)> {
        if dump.division == Division::EqualShares {
            return None;
        }
        let has_no_data = dump.layout.data_len() == Some(0);
        let record = if dump.layout.shape.is_open() { dump.layout.record_len() } else { 0 };
        let unfit = |input: &InputFile| match full_share(dump, input) {
            None => Some(dump.too_short(input.stat.size, dump.around(), None)),
            Some(0) if !has_no_data => Some(SizeFit::Empty),
            Some(share) if record > 0 && share % record > 0 => {
                Some(SizeFit::PartialRecord { bytes: share % record, of: record, data: share })
            }
            Some(_) => None,
        };
        let (last, others) = self.files.split_last()?;
        let found = others.iter().find_map(|input| Some((input, unfit(input)?)));
        found.or_else(|| {
            Some((last, unfit(last)?)).filter(|(_, fit)| {
                !(allow_trailing && matches!(fit, SizeFit::PartialRecord { .. }))
            })
        })
    }

    /// Returns the files of a series that begin behind the declared data.
    #[must_use]
    pub fn files_beyond(&self, dump: &Dump) -> Vec<PathBuf> {
        let (Some(data_len), Division::FullFiles { .. }) = (dump.layout.data_len(), dump.division)
        else {
            return Vec::new();
        };
        let segments = self.segments(dump, data_len).into_iter();
        let is_beyond = |it: &InputSegment<'_>| {
            it.len == 0 && full_share(dump, it.input).is_some_and(|len| len > 0)
        };
        segments.filter(is_beyond).map(|it| it.input.rel.clone()).collect()
    }

    fn count(&self) -> u64 {
        self.files.len().max(1) as u64
    }

    /// Returns whether the data files are unchanged since they were opened.
    pub fn is_unchanged(&self) -> fs::Result<bool> {
        for input in &self.files {
            if !input.file.stat()?.is_unchanged_since(&input.stat) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns whether a process writes to the data.
    pub fn writer(&self) -> fs::Result<Writer> {
        let rank = |writer: Writer| match writer {
            Writer::None => 0,
            Writer::Unknown(_) => 1,
            Writer::Present => 2,
        };
        let mut strongest = Writer::None;
        for input in &self.files {
            let next = input.file.writer()?;
            if rank(next) > rank(strongest) {
                strongest = next;
            }
        }
        Ok(strongest)
    }

    /// Returns the data files and the description.
    pub fn all_files(&self) -> impl Iterator<Item = (&FileName, &DataFile, &Stat)> {
        let files = self.files.iter().map(|input| (&input.name, &input.file, &input.stat));
        let description = self.description.iter().map(|it| (&it.name, &it.file, &it.stat));
        files.chain(description)
    }

    /// Returns the first of its files for which this process may not detect writers, but a process
    /// with `CAP_LEASE` may.
    pub fn unseen(&self) -> fs::Result<Option<&FileName>> {
        for (name, file, _) in self.all_files() {
            if file.writer()? == Writer::Unknown(Unprovable::NoRight) {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// Takes leases on all files. They prove that no process writes to any of them for as long as
    /// they are held. The inner error gives the reason for the first that is not granted.
    pub fn leases(&self) -> fs::Result<Result<Vec<Lease<'_, DataFile>>, Unproven>> {
        let mut leases = Vec::new();
        for (name, file, _) in self.all_files() {
            match file.lease()? {
                Some(lease) => leases.push(lease),
                None => return Ok(Err(Unproven::of(name, file)?)),
            }
        }
        Ok(Ok(leases))
    }

    /// Returns the largest number of hard links that one of the files has.
    #[must_use]
    pub fn links(&self) -> u64 {
        self.all_files().map(|(_, _, stat)| stat.nlink).fold(1, u64::max)
    }

    /// Returns the flag that keeps npyd from changing one of the files that it would move, whatever
    /// its permissions.
    #[must_use]
    pub fn protection(&self) -> Option<Unproven> {
        let description = self.description.iter().filter(|sidecar| !sidecar.is_shared);
        let files = self.files.iter().map(|input| (&input.name, &input.stat));
        let mut files = files.chain(description.map(|sidecar| (&sidecar.name, &sidecar.stat)));
        files.find_map(|(name, stat)| Some(Unproven::protected(name, stat.protection?)))
    }

    /// Returns the flag that keeps npyd from removing the files from their directory, which is
    /// `dir`.
    pub fn protection_in(&self, dir: &Dir) -> fs::Result<Option<Unproven>> {
        let of_dir = dir.stat_self()?.protection;
        let of_dir = of_dir.map(|flag| Unproven::in_protected_dir(&self.name, flag));
        Ok(self.protection().or(of_dir))
    }

    /// Returns why npyd may not remove the files from their directory, which is `dir`: a flag, or a
    /// missing right.
    pub fn unproven_in(&self, dir: &Dir) -> fs::Result<Option<Unproven>> {
        if let Some(flag) = self.protection_in(dir)? {
            return Ok(Some(flag));
        }
        for input in &self.files {
            if let Some(denial) = dir.unlink_denial(&input.file)? {
                return Ok(Some(Unproven::denied(&input.name, denial)));
            }
        }
        Ok(None)
    }

    /// Returns the size that a single data file with all the data would have, and how much of that
    /// is allocated. If all files have equal shares, the file whose size differs decides.
    #[must_use]
    pub fn logical_size(&self, dump: &Dump) -> (u64, u64) {
        let allocated = self.files.iter().map(|input| input.stat.blocks.saturating_mul(512)).sum();
        if let Division::FullFiles { .. } = dump.division {
            let shares = self.files.iter().map(|input| full_share(dump, input).unwrap_or(0));
            return (shares.fold(dump.around(), u64::saturating_add), allocated);
        }
        if let Some(only) = self.only_file() {
            return (only.stat.size, allocated);
        }
        let own = self.share(dump).saturating_add(dump.around());
        let odd = self.odd_file(dump).map_or(own, |(_, size)| size);
        let segments = odd.saturating_sub(dump.around()).saturating_mul(self.count());
        (dump.around().saturating_add(segments), allocated)
    }

    /// Returns the number of bytes of data in each file, if all have equal shares.
    fn share(&self, dump: &Dump) -> u64 {
        dump.layout.data_len().unwrap_or(0) / self.count()
    }

    /// Returns the file that decides how those with equal shares fit, and the size that it would
    /// have with the declared number of bytes before its data.
    fn odd_file(&self, dump: &Dump) -> Option<(&InputFile, u64)> {
        let needed = self.share(dump).saturating_add(dump.trailing);
        let own = needed.saturating_add(dump.data_offset);
        let sizes = || {
            self.files.iter().map(|input| match input.stat.size {
                // Bytes before data at the end of the file may have another length in each file.
                size if dump.facts.at_the_end => {
                    (input, own.saturating_sub(needed.saturating_sub(size)))
                }
                size => (input, size),
            })
        };
        let least = sizes().min_by_key(|(_, size)| *size)?;
        if least.1 < own { Some(least) } else { sizes().max_by_key(|(_, size)| *size) }
    }

    /// Returns the first of several files with equal shares that has too few or too many bytes, and
    /// how its size fits. Returns `None` if each has as many as it should.
    #[must_use]
    pub fn unfit_share(&self, dump: &Dump) -> Option<(&InputFile, SizeFit)> {
        if dump.division != Division::EqualShares || self.files.len() < 2 {
            return None;
        }
        let (input, size) = self.odd_file(dump)?;
        let of = self.share(dump).saturating_add(dump.around());
        let records = dump.layout.records().filter(|it| it % self.count() == 0);
        let unfit = match size.cmp(&of) {
            Ordering::Equal => return None,
            Ordering::Less => dump.too_short(size, of, records.map(|it| it / self.count())),
            Ordering::Greater => SizeFit::TooLong { size, of },
        };
        Some((input, unfit))
    }

    /// Returns whether every byte of the data files was written. Checks both the reported holes and
    /// the allocated blocks: unwritten extents are allocated, and some file systems do not report
    /// holes.
    pub(crate) fn is_fully_written(&self) -> bool {
        self.files.iter().all(|InputFile { stat, written_end, .. }| {
            *written_end >= stat.size && stat.blocks.saturating_mul(512) >= stat.size
        })
    }

    /// Returns the age of the newest mtime or ctime of all files and `another`, or `None` if it
    /// lies in the future.
    pub(crate) fn age(&self, now: SystemTime, another: Option<&Stat>) -> Option<Duration> {
        let stats = self.all_files().map(|(_, _, stat)| stat).chain(another);
        let latest = stats.map(|stat| stat.mtime_ns.max(stat.ctime_ns)).max()?;
        let now = now.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_nanos();
        let age = i128::try_from(now).ok()? - i128::from(latest);
        u64::try_from(age).ok().map(Duration::from_nanos)
    }

    /// Returns the coarsest timestamp granularity of all files.
    pub(crate) fn timestamp_granularity(&self) -> Duration {
        let files = self.all_files();
        files.map(|(_, file, stat)| file.timestamp_granularity(stat)).max().unwrap_or_default()
    }
}

/// Returns the number of data bytes in a file of a series; `None` if the file is too short.
fn full_share(dump: &Dump, input: &InputFile) -> Option<u64> {
    input.stat.size.checked_sub(dump.around())
}
