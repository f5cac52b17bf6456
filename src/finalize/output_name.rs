//! Chooses the array's name, and decides what happens if it is taken.

use crate::config::{Disposition, OnChange, OnConflict};
use crate::decide::array_receipt::is_later;
use crate::decide::change::{Change, OpenFile};
use crate::decide::name_taker::NameTaker;
use crate::decide::origin::Origin;
use crate::decide::output_problem::OutputProblem;
use crate::decide::plan::Plan;
use crate::decide::reason::Reason;
use crate::decide::source_identity::SourceIdentity;
use crate::events::progress::Phase;
use crate::events::receipt_event::ReceiptEvent;
use crate::finalize::array_trust::{is_trusted, may_count_as_found};
use crate::finalize::locations::Locations;
use crate::finalize::marks::{mark_for, mark_of, read_origin, trusted_mark};
use crate::finalize::numbering::numbered_after;
use crate::finalize::remake::OldArray;
use crate::finalize::replaceable::{replaceable, replaceable_by};
use crate::finalize::source_checks::lost;
use crate::finalize::standing_array::StandingArray;
use crate::finalize::{Interruption, Job, LeadingBytes};
use crate::fs::{self, DataFile, TempFile};
use crate::model::{FileName, NAME_MAX, NUMBER_MAX, Stat};
use crate::probe::input::{Input, InputSegment};
use crate::probe::npy_file::data_of;
use crate::throttle::meter::Meter;

/// The name of an array, and what to do about it.
pub(crate) enum OutputName {
    /// The array already exists under this name.
    Found(FileName, StandingArray),
    /// The array gets this name.
    Free(FileName),
    /// The array replaces the array that was made of this drop before it changed.
    Remake(FileName, OldArray),
    /// The array replaces, as configured, an older array that was made of a file with this path, or
    /// a file that is not an array. That may contain the only copy of its data, so npyd compares it
    /// and backs it up as for a remake.
    Replace(FileName, OldArray),
    /// The drop changed, but its array stays unchanged.
    Stale(FileName),
}

/// An array that has the name.
pub(crate) enum NamedArray {
    /// It has the bytes of the source.
    Standing(StandingArray),
    /// The new array replaces it.
    Old(OldArray),
}

impl OutputName {
    /// Returns the name, the event of the receipt, and the array that has the name.
    pub(crate) fn into_event(self) -> (FileName, ReceiptEvent, Option<NamedArray>) {
        match self {
            OutputName::Found(name, array) => {
                (name, ReceiptEvent::Found, Some(NamedArray::Standing(array)))
            }
            OutputName::Stale(name) => (name, ReceiptEvent::Stale, None),
            OutputName::Free(name) => (name, ReceiptEvent::Finalized, None),
            OutputName::Remake(name, old) => {
                (name, ReceiptEvent::Remade, Some(NamedArray::Old(old)))
            }
            OutputName::Replace(name, old) => {
                (name, ReceiptEvent::Finalized, Some(NamedArray::Old(old)))
            }
        }
    }
}

/// Chooses the array's name as configured. `progress` limits the rate at which npyd compares an
/// existing array.
pub(crate) fn choose_name(
    job: &Job,
    at: &Locations,
    plan: &Plan,
    mut progress: Option<&mut Meter>,
) -> Result<OutputName, Interruption> {
    let first = &job.dump.output;
    if job.keeps_its_name(at) {
        return Ok(OutputName::Free(first.clone()));
    }
    if first.as_str().len() > NAME_MAX {
        return Err(Interruption::Rejected(Reason::Output(OutputProblem::NameTooLong)));
    }
    let mut name = first.clone();
    let mut is_numbered = job.drop_dir.on_conflict == OnConflict::Number;
    for number in 1..=NUMBER_MAX {
        let Some(there) = at.output.stat(name.as_ref())? else {
            let found = match number {
                1 => None,
                _ => find_numbered(job, at, number - 1, (plan, progress))?,
            };
            return Ok(match found {
                Some((name, array)) => OutputName::Found(name, array),
                None => OutputName::Free(name),
            });
        };
        if may_count_as_found(&there, job, at, &name)?
            && let Some(array) = array_of_source(job, at, &name, plan, progress.as_deref_mut())?
        {
            return Ok(OutputName::Found(name, array));
        }
        if let Some(old) = old_array(job, at, &name)? {
            match job.drop_dir.on_change {
                OnChange::Keep if job.redo => return Ok(OutputName::Remake(name, old)),
                OnChange::Remake => return Ok(OutputName::Remake(name, old)),
                // The drop did not change: a request corrects its array.
                OnChange::Number if job.redo && is_of_this_file(job, &old.file)? => {
                    return Ok(OutputName::Remake(name, old));
                }
                OnChange::Keep => return Ok(OutputName::Stale(name)),
                OnChange::Number => is_numbered = true,
            }
        }
        if !is_numbered && job.drop_dir.on_change == OnChange::Number {
            // The ledger, which is lost, knew what made the first array; or it knows a later one.
            let found = find_numbered(job, at, 0, (plan, progress.as_deref_mut()))?;
            if let Some((name, array)) = found {
                return Ok(OutputName::Found(name, array));
            }
            for other in numbered_after(at, first, 0)? {
                is_numbered |= old_array(job, at, &other)?.is_some();
            }
        }
        if !is_numbered {
            spare_old_files(job, at, &name)?;
            return conflict(job, at, name, &there);
        }
        name = first.numbered(number);
    }
    Err(Interruption::Rejected(Reason::Output(OutputProblem::NamesExhausted(first.clone()))))
}

/// Returns the array of this drop that has a higher number than `after`, if there is one. Arrays
/// with lower numbers may be gone.
fn find_numbered(
    job: &Job,
    at: &Locations,
    after: u32,
    (plan, mut progress): (&Plan, Option<&mut Meter>),
) -> Result<Option<(FileName, StandingArray)>, Interruption> {
    for name in numbered_after(at, &job.dump.output, after)? {
        let Some(there) = at.output.stat(name.as_ref())? else { continue };
        if may_count_as_found(&there, job, at, &name)?
            && let Some(array) = array_of_source(job, at, &name, plan, progress.as_deref_mut())?
        {
            return Ok(Some((name, array)));
        }
    }
    Ok(None)
}

/// Opens the array of that name if it was made of this drop before the drop changed: npyd owns it,
/// and its mark is an earlier state of this drop according to the ledger.
fn old_array(job: &Job, at: &Locations, name: &FileName) -> Result<Option<OldArray>, Interruption> {
    if job.earlier.is_empty() {
        return Ok(None);
    }
    let Some(file) = at.output.open_file(name.as_ref())? else { return Ok(None) };
    let is_source = is_source(job, &file)?;
    match mark_for(job, &file)? {
        Some(mark) if !is_source && job.earlier.contains(&mark) => {
            let is_unfilled = may_be_unfilled(job, &file, &mark)?;
            if is_unfilled { OldArray::of_drop(file) } else { OldArray::read(file) }.map(Some)
        }
        _ => Ok(None),
    }
}

/// Returns whether zeros in an array may be items that its source had not got yet: the source is
/// the very file that the array was made of, and nobody has written to the array since its receipt.
/// The zeros of a file that is gone are data, and so is what somebody wrote to the array.
fn may_be_unfilled(job: &Job, array: &DataFile, mark: &SourceIdentity) -> fs::Result<bool> {
    let (Some(source), Some(at)) = (job.candidate.input.only_file(), job.made_at) else {
        return Ok(false); // the mark does not have the inodes of several files
    };
    // Another file may get the inode number of one that was deleted.
    let Stat { ino, born_ns, .. } = source.stat;
    let is_same_file = mark.ino() == ino && born_ns != 0 && !is_later(born_ns, at);
    // On a network file system, another machine's clock may have given a time.
    let has_own_clock = !array.file_system()?.network && !source.file.file_system()?.network;
    Ok(is_same_file && has_own_clock && !is_later(array.stat()?.mtime_ns, at))
}

/// Returns whether the array of this drop has the first name that the drop's array may have.
pub(crate) fn is_old_array(job: &Job, at: &Locations) -> Result<bool, Interruption> {
    old_array(job, at, &job.dump.output).map(|old| old.is_some())
}

/// Returns whether a file is one of the data files.
fn is_source(job: &Job, file: &DataFile) -> fs::Result<bool> {
    let stat = file.stat()?;
    Ok(job.candidate.input.files.iter().any(|input| stat.is_same_file(&input.stat)))
}

/// Fails if the array of that name was made with this very description and the ledger does not know
/// it: npyd was interrupted while it disposed of the files, and other files joined those that were
/// left. The array may be the only copy of those that are gone.
fn spare_old_files(job: &Job, at: &Locations, name: &FileName) -> Result<(), Interruption> {
    let Ok(Some(file)) = at.output.open_file(name.as_ref()) else { return Ok(()) };
    match trusted_mark(&file)? {
        Some(mark) if may_be_mixed(job, &file, &mark)? => {
            Err(Interruption::Locked(Reason::FilesGone(name.clone())))
        }
        _ => Ok(()),
    }
}

/// Decides about a name that is taken by something other than an array of this drop.
fn conflict(
    job: &Job,
    at: &Locations,
    name: FileName,
    there: &Stat,
) -> Result<OutputName, Interruption> {
    let may_replace =
        matches!(job.drop_dir.on_conflict, OnConflict::Replace | OnConflict::ReplaceAny);
    if may_replace && let Some(replaceable) = replaceable(job, at, &name)? {
        return Ok(match replaceable.into_backed_up()? {
            Some(old) => OutputName::Replace(name, old),
            None => OutputName::Free(name),
        });
    }
    let origin = if there.is_file() { origin_of(at, &name)? } else { None };
    let is_own = origin == Some(Origin::of(&job.path(), &job.candidate.input.name));
    let by = if is_own && let Some(array) = at.output.open_file(name.as_ref())? {
        match maker_of_own_array(job, &array)? {
            NameTaker::OwnArray { is_of_this_file: false }
                if at.beside && !is_trusted(there, job) =>
            {
                NameTaker::OthersArray
            }
            by => by,
        }
    } else if let Some(what) = there.special_kind() {
        NameTaker::NotRegular(what)
    } else if !may_replace {
        NameTaker::AnyFile
    } else if replaceable_by(job, at, &name, true)?.is_some() {
        NameTaker::OtherArray(origin.map(|origin| origin.name.into()))
    } else {
        NameTaker::ForeignFile
    };
    Err(Interruption::Rejected(Reason::Taken { name, by }))
}

/// Says what an array is that has the path of this drop as its origin.
fn maker_of_own_array(job: &Job, array: &DataFile) -> Result<NameTaker, Interruption> {
    let is_of_this_file = match mark_of(array)? {
        Some(mark) => mark.is_of_data_files(&job.candidate.snapshot().identity()),
        None => false,
    };
    let owner = array.stat()?.uid;
    Ok(if is_of_this_file && owner != fs::own_uid() {
        NameTaker::ArrayByOtherUser(owner)
    } else {
        NameTaker::OwnArray { is_of_this_file }
    })
}

/// Gives a new file the name of its own source, and removes the source, which must not have changed
/// since the drop was complete.
pub(crate) fn replace_source(job: &Job, output: &mut TempFile) -> Result<FileName, Interruption> {
    let (input, first) = (job.only_file()?, &job.dump.output);
    let source = (&input.file, &input.stat, job.writers());
    let others = (1..=NUMBER_MAX).map(|number| first.numbered(number));
    let names = std::iter::once(first.clone()).chain(others);
    output
        .take_over_name(source, names)?
        .ok_or_else(|| Interruption::changed(Change::DuringReplacement))
}

/// Returns whether an array was made of the file that has the path of this drop now.
pub(crate) fn is_of_this_file(job: &Job, array: &DataFile) -> Result<bool, Interruption> {
    let source = job.candidate.snapshot().identity();
    Ok(mark_for(job, array)?.is_some_and(|mark| mark.is_of_data_files(&source)))
}

fn origin_of(at: &Locations, name: &FileName) -> Result<Option<Origin>, Interruption> {
    let file = match at.output.open_file(name.as_ref()) {
        Err(error) if error.is_denied() || error.is_leased() => return Ok(None),
        opened => opened?,
    };
    Ok(file.as_ref().map(read_origin).transpose()?.flatten())
}

/// Returns the file of that name if it was made of this source: by its mark, or else by comparing
/// every byte. An array that does not hold the bytes of its source is known by its mark alone; one
/// that has another mark is made again, if the ledger knows it.
fn array_of_source(
    job: &Job,
    at: &Locations,
    name: &FileName,
    plan: &Plan,
    progress: Option<&mut Meter>,
) -> Result<Option<StandingArray>, Interruption> {
    let Some(there) = at.output.open_file(name.as_ref())? else { return Ok(None) };
    let candidate = &job.candidate;
    if is_source(job, &there)? {
        return Ok(None);
    }
    let array = StandingArray::found(there)?;
    let there = array.file();
    let Some(data_at) = data_of(there, &plan.header)? else { return Ok(None) };
    let mark = mark_for(job, there)?;
    let may_be_mixed = match &mark {
        Some(mark) => may_be_mixed(job, there, mark)?,
        None => false,
    };
    let mut is_recheck = job.is_recheck;
    if let Some(mark) = mark {
        let source = candidate.snapshot().identity();
        // The mark does not prove that the array is unchanged since, and once the source is gone,
        // nothing else has its bytes. Nor does it contain the offset, unless a file declares that.
        let is_removed = job.drop_dir.source == Disposition::Remove;
        let is_compared = plan.holds_source_bytes && (is_removed || !is_described_by_file(job));
        if mark == source && !job.redo && !is_compared {
            return Ok(Some(array));
        }
        is_recheck |= mark.is_of_files(&source);
        // This may be another drop of that name with equal content: it gets a number of its own.
        let is_numbered = job.drop_dir.on_conflict == OnConflict::Number;
        let is_of_this_drop = mark.is_of_data_files(&source) || job.earlier.contains(&mark);
        if is_numbered && !may_be_mixed && !is_of_this_drop {
            return Ok(None);
        }
    }
    if !plan.holds_source_bytes {
        return if may_be_mixed {
            Err(Interruption::Locked(Reason::FilesGone(name.clone())))
        } else {
            Ok(None)
        };
    }
    let had_writer = array.has_writer()?;
    // Nobody waits for the result if only attributes changed.
    let _idle = is_recheck.then(fs::IdlePriority::begin);
    let (old, new) = compare(job, there, data_at, progress)?;
    match (old, new) {
        (Some(old), Some(_)) if may_be_mixed => {
            let (array, old) = (name.clone(), old.clone());
            Err(Interruption::Locked(Reason::Mixed { array, old }))
        }
        (_, None) => {
            make_durable(&array, had_writer, name)?;
            Ok(Some(array))
        }
        (_, Some(_)) => Ok(None),
    }
}

/// Returns whether a file declares the layout, so that the mark changes with it: a sidecar, or the
/// header of the data file. Options and templates are not part of the mark.
fn is_described_by_file(job: &Job) -> bool {
    job.candidate.input.description.is_some() || matches!(job.dump.front, LeadingBytes::Header(_))
}

/// Compares an array with the data files. Returns the first file whose bytes it has, and the first
/// one whose bytes it does not have.
fn compare<'a>(
    job: &'a Job,
    array: &DataFile,
    data_at: u64,
    mut progress: Option<&mut Meter>,
) -> Result<(Option<&'a FileName>, Option<&'a FileName>), Interruption> {
    let (mut at, mut equal, mut different) = (data_at, None, None);
    if let Some(progress) = &mut progress {
        progress.begin(Phase::Compare, job.data_len());
    }
    for InputSegment { input, offset, len } in job.segments() {
        let before = at - data_at;
        let mut goes_on =
            |done| progress.as_mut().is_none_or(|progress| progress.advance(before + done));
        let is_equal = array.compare_at(at, (&input.file, offset), len, &mut goes_on)?;
        let first = match is_equal {
            Some(true) => &mut equal,
            Some(false) => &mut different,
            None => return Err(Interruption::Cancelled),
        };
        first.get_or_insert(&input.name);
        at += len;
    }
    Ok((equal, different))
}

/// Syncs an equal array, which may be another program's copy. npyd's own are durable before they
/// have their name. Fails if a process could write to it during the comparison.
fn make_durable(
    array: &StandingArray,
    had_writer: bool,
    name: &FileName,
) -> Result<(), Interruption> {
    if had_writer || array.has_writer()? {
        return Err(Interruption::Locked(Reason::OpenForWriting(OpenFile::EqualArray(
            name.clone(),
        ))));
    }
    array.file().sync_all().map_err(lost)
}

/// Returns whether some data files may be left over from a crash after that array was made, while
/// others are new under the old names. The sidecar is still the file that described that array;
/// without a crash it would have moved with its data. Without a sidecar, the array is of the drop
/// that has this name.
fn may_be_mixed(job: &Job, array: &DataFile, mark: &SourceIdentity) -> fs::Result<bool> {
    let Input { files, description, name, .. } = &job.candidate.input;
    if job.drop_dir.source == Disposition::Keep || files.len() < 2 {
        return Ok(false);
    }
    match description {
        Some(sidecar) => Ok(mark.was_described_by(&sidecar.name, &sidecar.stat)),
        None => Ok(read_origin(array)? == Some(Origin::of(&job.path(), name))),
    }
}
