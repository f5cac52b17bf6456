//! The array's name: free, taken by somebody else, or taken by this very array.

use crate::config::{Disposition, OnChange, OnConflict};
use crate::decide::identity::SourceIdentity;
use crate::finalize::locations::Locations;
use crate::finalize::remake::OldArray;
use crate::finalize::source_checks::lost;
use crate::finalize::{Interruption, Job};
use crate::fs::{self, DataFile, TempFile, Writer};
use crate::model::{FileName, Stat};
use crate::npy::{HEADER_MAX, Header, Kind, MAGIC, Preamble, parse_header};
use crate::probe::SOURCE_ATTR;
use crate::probe::candidate::Candidate;

/// The most numbered names that are tried.
const NUMBER_MAX: u32 = 10_000;

/// Where an array goes.
pub(crate) enum OutputName {
    /// It is there already.
    Found(FileName),
    /// Under this name.
    Free(FileName),
    /// In the place of the array that was made of this drop before it changed.
    Remake(FileName, OldArray),
    /// Nowhere: that array stays as it is.
    Stale(FileName),
}

/// Chooses the array's name as the configuration says.
pub(crate) fn choose_name(
    job: &Job,
    at: &Locations,
    header: &Header,
) -> Result<OutputName, Interruption> {
    let first = &job.dump.output;
    if job.keeps_its_name(at) {
        return Ok(OutputName::Free(first.clone()));
    }
    if first.as_str().len() > 255 {
        return Err(Interruption::Rejected(
            "its output's name would be too long: give it one by the key `output`".into(),
        ));
    }
    let mut name = first.clone();
    let mut is_numbered = job.drop_dir.on_conflict == OnConflict::Number;
    for number in 1..NUMBER_MAX {
        let Some(there) = at.output.stat(name.as_ref())? else { return Ok(OutputName::Free(name)) };
        if is_trusted(&there, job) && is_array_of(job, at, &name, header)? {
            return Ok(OutputName::Found(name));
        }
        if let Some(old) = old_array(job, at, &name)? {
            match job.drop_dir.on_change {
                OnChange::Keep if job.redo => return Ok(OutputName::Remake(name, old)),
                OnChange::Remake => return Ok(OutputName::Remake(name, old)),
                OnChange::Keep => return Ok(OutputName::Stale(name)),
                OnChange::Number => is_numbered = true,
            }
        }
        if !is_numbered {
            return conflict(job, at, name, &there);
        }
        name = first.numbered(number);
    }
    Err(Interruption::Rejected(format!(
        "{NUMBER_MAX} files are named like `{first}` already: move them away"
    )))
}

/// Opens the array of that name if it was made of this drop before the drop changed: it is npyd's
/// own, and marked with a state of this drop that the ledger knows.
fn old_array(job: &Job, at: &Locations, name: &FileName) -> Result<Option<OldArray>, Interruption> {
    if job.earlier.is_empty() {
        return Ok(None);
    }
    let Some(file) = at.output.open_file(name.as_ref())? else { return Ok(None) };
    let is_source = file.stat()?.is_same_file(&job.candidate.stat);
    match trusted_mark(&file)? {
        Some(mark) if !is_source && job.earlier.contains(&mark) => OldArray::read(file).map(Some),
        _ => Ok(None),
    }
}

/// Decides about a name that another file has, which is not an array of this drop.
fn conflict(
    job: &Job,
    at: &Locations,
    name: FileName,
    there: &Stat,
) -> Result<OutputName, Interruption> {
    let may_replace = job.drop_dir.on_conflict == OnConflict::Replace;
    if may_replace && may_replace_file(job, at, &name, there)? {
        return Ok(OutputName::Free(name));
    }
    Err(Interruption::Rejected(if !may_replace {
        format!(
            "`{name}` is there already and is not made of this: move it away, name another output, or set on_conflict"
        )
    } else if there.is_dir() {
        format!("`{name}` is a directory: move it away")
    } else {
        format!(
            "`{name}` is there already, and is no array of npyd's or its owner's: move it away, or name another output"
        )
    }))
}

/// Gives a new file the name of its own source, which is gone then: it has to be the file that was
/// settled, with nothing written to it since.
pub(crate) fn replace_source(job: &Job, output: &mut TempFile) -> Result<FileName, Interruption> {
    let (candidate, first) = (&job.candidate, &job.dump.output);
    let source = (&candidate.file, &candidate.stat, job.writers());
    let others = (1..NUMBER_MAX).map(|number| first.numbered(number));
    let names = std::iter::once(first.clone()).chain(others);
    output
        .take_over_name(source, names)?
        .ok_or_else(|| Interruption::Retry("it changed while it was taken".to_owned()))
}

/// Whether an array is to take the place of what has its name now; asked right before it does, for
/// something else may have got that name since it was chosen.
pub(crate) fn replaces(job: &Job, at: &Locations, name: &FileName) -> Result<bool, Interruption> {
    if job.drop_dir.on_conflict != OnConflict::Replace {
        return Ok(false);
    }
    match at.output.stat(name.as_ref())? {
        Some(there) => may_replace_file(job, at, name, &there),
        None => Ok(false),
    }
}

/// Whether a file may be replaced. Beside the data lie everybody's drops and arrays: there only an
/// array goes, and only npyd's own or one of who dropped the data.
fn may_replace_file(
    job: &Job,
    at: &Locations,
    name: &FileName,
    there: &Stat,
) -> Result<bool, Interruption> {
    if !at.beside {
        return Ok(!there.is_dir());
    }
    if !is_trusted(there, job) {
        return Ok(false);
    }
    let Some(file) = at.output.open_file(name.as_ref())? else { return Ok(false) };
    Ok(file.read_at_most(0, 6)?.starts_with(&MAGIC))
}

/// Whether a file may stand for this source's array. What a third user dropped and npyd finished in
/// place is that user's own still, to be written to as he likes.
fn is_trusted(there: &Stat, job: &Job) -> bool {
    there.is_file() && [fs::own_uid(), job.candidate.stat.uid].contains(&there.uid)
}

/// Whether the file under that name was made of this very source: by the mark npyd leaves on it,
/// or, where that says nothing, by every byte.
fn is_array_of(
    job: &Job,
    at: &Locations,
    name: &FileName,
    header: &Header,
) -> Result<bool, Interruption> {
    let Some(there) = at.output.open_file(name.as_ref())? else { return Ok(false) };
    let candidate = &job.candidate;
    if there.stat()?.is_same_file(&candidate.stat) {
        return Ok(false);
    }
    let Some(data_at) = data_of(&there, header)? else { return Ok(false) };
    let mark = trusted_mark(&there)?;
    let may_be_mixed = mark.as_ref().is_some_and(|mark| may_be_mixed(job, mark));
    if let Some(mark) = mark {
        let source = candidate.snapshot().identity();
        // The mark does not say that nobody wrote to the array since.
        if mark == source && !job.redo {
            return Ok(true);
        }
        // Another drop of the same name, with equal content perhaps: it gets a number of its own.
        let is_numbered = job.drop_dir.on_conflict == OnConflict::Number;
        let is_of_this_drop = mark.is_of_file(&source) || job.earlier.contains(&mark);
        if is_numbered && !may_be_mixed && !is_of_this_drop {
            return Ok(false);
        }
    }
    let share = header.data_len() / candidate.files().len() as u64;
    let (mut at, mut old, mut new) = (data_at, None, None);
    let segments = candidate.segments(&job.dump, share).into_iter();
    for ((file, offset), file_name) in segments.zip(candidate.names()) {
        let is_equal = there.is_equal_at(at, file, offset, share)?;
        (if is_equal { &mut old } else { &mut new }).get_or_insert(file_name);
        at += share;
    }
    match (old, new) {
        (Some(old), Some(_)) if may_be_mixed => Err(Interruption::Locked(format!(
            "`{old}` is in `{name}` already, and the rest of its data is not: drop it anew"
        ))),
        (_, None) => make_durable(&there, name).map(|()| true),
        (_, Some(_)) => Ok(false),
    }
}

/// An equal array may be somebody else's copy: what npyd itself made was durable before it had its
/// name.
fn make_durable(there: &DataFile, name: &FileName) -> Result<(), Interruption> {
    if there.writer() == Writer::Present {
        return Err(Interruption::Locked(format!(
            "`{name}`, which equals it, is open for writing"
        )));
    }
    there.sync_all().map_err(lost)
}

/// Whether some of the data may be what a crash left of the sources of that array, and others have
/// come under the same names since: what describes them is still the file that went into it, and
/// would have followed its data.
fn may_be_mixed(job: &Job, mark: &SourceIdentity) -> bool {
    let Candidate { parts, sidecar, .. } = &job.candidate;
    job.drop_dir.source != Disposition::Keep
        && !parts.is_empty()
        && sidecar.as_ref().is_some_and(|it| mark.was_described_by(&it.name, &it.stat))
}

/// Where the data begin in a file that is a whole `.npy` with this header, however it is padded.
fn data_of(there: &DataFile, header: &Header) -> Result<Option<u64>, Interruption> {
    let Some((facts, at)) = read_header(there)? else { return Ok(None) };
    let is_unbroken = there.stat()?.size == at + header.data_len();
    Ok((facts.same_bytes(header) && is_unbroken).then_some(at))
}

/// Reads the header of a `.npy` file, and where its data begin; `None` where it is not one.
pub(crate) fn read_header(file: &DataFile) -> Result<Option<(Header, u64)>, Interruption> {
    let Ok(Some(preamble)) = Preamble::read(&file.read_at_most(0, Preamble::LEN)?) else {
        return Ok(None);
    };
    if preamble.kind != Kind::Final {
        return Ok(None);
    }
    let at = preamble.data_offset;
    let head = file.read_at_most(0, at.min(HEADER_MAX) as usize)?;
    let layout = parse_header(&preamble, &head, file.stat()?.size);
    Ok(layout.ok().and_then(|layout| layout.header()).map(|header| (header, at)))
}

/// What npyd says a file was made of. Only its own word counts: another user's file could carry a
/// forged mark.
fn trusted_mark(file: &DataFile) -> Result<Option<SourceIdentity>, Interruption> {
    if file.stat()?.uid != fs::own_uid() {
        return Ok(None);
    }
    let mark = file.attr(SOURCE_ATTR)?;
    Ok(mark.map(|mark| SourceIdentity::parse(&String::from_utf8_lossy(&mark))))
}
