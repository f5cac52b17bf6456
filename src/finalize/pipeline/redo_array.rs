//! Makes an array again from itself: its source is gone, but the array holds the data.
//!
//! The new array takes the old one's name like every remake: filled and synced → compared → backup
//! linked → directory synced → exchanged → directory synced.

use std::cell::RefCell;
use std::ops::Range;
use std::path::{Component, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crate::config::{DropDir, MetadataOutput};
use crate::decide::archived_source::ArchivedSource;
use crate::decide::array_receipt::{ArrayId, ArrayReceipt};
use crate::decide::change::{Change, OpenFile};
use crate::decide::origin::Origin;
use crate::decide::plan::Plan;
use crate::decide::reason::{Reason, Subject};
use crate::decide::request_problem::{ArrayProblem, InPlaceProblem, RequestProblem};
use crate::decide::route::Route;
use crate::decide::routes::SECTOR;
use crate::decide::source_identity::SourceIdentity;
use crate::describe::DescribeError;
use crate::describe::{
    Correction, DeclaredBy, Division, Dump, LeadingBytes, Metadata, SidecarFacts, SizeFit,
};
use crate::events::receipt::Receipt;
use crate::events::receipt_event::ReceiptEvent;
use crate::events::source_fate::SourceFate;
use crate::finalize::archive_search::find_archived;
use crate::finalize::array_proof::{find_renamed, why_not_array};
use crate::finalize::locations::Locations;
use crate::finalize::npyd_users::NpydUsers;
use crate::finalize::remake::{OldArray, Remake};
use crate::finalize::route_planning::constraints_of_dirs;
use crate::finalize::source_checks::{lost, sync_written};
use crate::finalize::transfer::carry_but_times;
use crate::finalize::{Interruption, metadata, routes};
use crate::fs::{self, DataFile, Dir, TempFile};
use crate::model::{FileName, Stat, Writer, parent_of};
use crate::npy::{Header, Layout, Order};
use crate::probe::npy_file::read_header;
use crate::probe::open_output_dir;
use crate::probe::{ORIGIN_ATTR, ROUTE_ATTR, SOURCE_ATTR};
use crate::throttle::meter::Meter;

/// The extended attribute that stores for which request an array was made again. A request that is
/// carried out once more after a crash then finds its work done.
const REDO_ATTR: &str = "user.npyd.redo";

/// An array whose header a request corrects.
pub struct ArrayJob {
    /// The drop directory's settings.
    pub drop_dir: Arc<DropDir>,
    /// Path of the data file that the array was made of.
    pub source: PathBuf,
    /// Path of the array, from the ledger.
    pub array: PathBuf,
    /// What proves that a file of that path is the array.
    pub receipt: ArrayReceipt,
    /// The keys that replace those of the array's header. `offset` and `trailing` count bytes of
    /// the array's data.
    pub correction: Correction,
    /// The fate of the source.
    pub source_fate: Option<SourceFate>,
    /// The directory that the source was archived in, if the receipt has it.
    pub archive: Option<PathBuf>,
    /// A text that identifies the request.
    pub request: String,
    /// Users as whom npyd may have written the metadata beside the array.
    pub users: NpydUsers,
}

/// The open old array.
struct Old {
    at: Locations,
    name: FileName,
    file: DataFile,
    stat: Stat,
    /// Offset of its data.
    data_at: u64,
    header: Header,
}

/// Makes the array again.
///
/// # Durability
///
/// On success the new array and its name are durable, or, in place, the new header is.
pub fn redo_array(job: &ArrayJob, progress: &mut Meter) -> Result<Receipt, Interruption> {
    let started = Instant::now();
    let old = open(job)?;
    let Some(_claim) = old.file.claim()? else {
        return Err(Interruption::Locked(Reason::Locked(Subject::Array)));
    };
    if old.file.attr(REDO_ATTR)?.as_deref() == Some(job.request.as_bytes()) {
        return Ok(receipt(job, &old, (ReceiptEvent::Found, None), &old.header, started));
    }
    let (dump, header) = describe(job, &old)?;
    if job.correction.in_place {
        let event = write_over(&old, &dump, &header, progress)?;
        let mut receipt = receipt(job, &old, (event, Some(Route::InPlace)), &header, started);
        receipt.add(job.correction.remarks());
        renew_metadata(job, &old, &mut receipt);
        return Ok(receipt);
    }
    let mut constraints = constraints_of_dirs(&job.drop_dir, &old.at.output, &old.at.output)?;
    let (plan, mut output) = loop {
        let plan = Plan::of_array(&dump, &header, old.stat.size, &constraints);
        let plan = plan.map_err(Interruption::Rejected)?;
        match routes::remake((&old.file, job.drop_dir.may_map()), &old.at.output, &plan, progress)?
        {
            Ok(output) => break (plan, output),
            Err(why) => constraints.exclude(plan.route, why),
        }
    };
    give_attributes(job, &old, output.file())?;
    let head_len = plan.head(&dump).len() as u64;
    let remake = name(&old, &mut output, (&header, head_len), progress)?;
    let mut receipt =
        receipt(job, &old, (ReceiptEvent::Remade, Some(plan.route)), &header, started);
    if output.file().attr(SOURCE_ATTR)?.is_none() {
        receipt.array_id = Some(ArrayId::of(&output.file().stat()?));
    }
    receipt.mapped = output.mapped();
    receipt.add([remake.changes()]);
    receipt.add(remake.backup_remark());
    receipt.add(job.correction.remarks());
    receipt.add([format!("made from the array itself, because {}", what_is_gone(job))]);
    renew_metadata(job, &old, &mut receipt);
    Ok(receipt)
}

/// Renews the metadata beside the array. The array is made, so a failure is only a remark.
fn renew_metadata(job: &ArrayJob, old: &Old, receipt: &mut Receipt) {
    if job.drop_dir.metadata != MetadataOutput::Json {
        return;
    }
    let is_user_of_npyd = |uid| job.users.contains(uid);
    match metadata::renew(&old.at.output, &old.name, receipt, is_user_of_npyd) {
        Ok(remark) => receipt.add(remark),
        Err(error) => receipt.add([format!("its metadata were not renewed: {error}")]),
    }
}

/// Checks whether npyd can make the array again, as far as it can tell before it reads the array.
///
/// # Errors
/// npyd can't make the array again; the interruption says why.
pub fn check_array_job(job: &ArrayJob) -> Result<(), Interruption> {
    let old = open(job)?;
    if old.file.claim()?.is_none() {
        return Err(Interruption::Locked(Reason::Locked(Subject::Array)));
    }
    let (dump, header) = describe(job, &old)?;
    if job.correction.in_place {
        plan_overwrite(&old, &dump, &header)?;
    }
    Ok(())
}

fn rejected(why: RequestProblem) -> Interruption {
    Interruption::Rejected(Reason::Request(why))
}

fn bad_keys(error: impl Into<DescribeError>) -> Interruption {
    rejected(RequestProblem::Keys(error.into()))
}

fn changed(name: &FileName) -> Interruption {
    Interruption::changed(Change::Array(name.clone()))
}

/// Returns the header of the array, if the file of its path is the array.
pub(super) fn header_of_array(job: &ArrayJob) -> Result<Header, Interruption> {
    open(job).map(|old| old.header)
}

fn open(job: &ArrayJob) -> Result<Old, Interruption> {
    let refused = |problem| {
        let archived = archived_source(job).map(Box::new);
        rejected(RequestProblem::Array { array: job.array.clone(), problem, archived })
    };
    let below = job.array.strip_prefix(job.drop_dir.output_path());
    let is_below =
        |it: &std::path::Path| it.components().all(|part| matches!(part, Component::Normal(_)));
    let (Some(below), Some(name)) = (below.ok().filter(|it| is_below(it)), job.array.file_name())
    else {
        return Err(refused(ArrayProblem::Elsewhere));
    };
    let name = FileName::try_from(name.to_string_lossy().into_owned())
        .map_err(|error| refused(ArrayProblem::BadName(error)))?;
    let gone = || refused(ArrayProblem::Gone);
    let dir = match open_output_dir(&job.drop_dir, parent_of(below)) {
        Err(error) if error.is_missing() => return Err(gone()),
        opened => opened?,
    };
    let Some(file) = dir.open_file(name.as_ref())? else {
        if dir.stat(name.as_ref())?.is_some() {
            return Err(refused(ArrayProblem::NotRegular));
        }
        let renamed = find_renamed(&dir, &job.receipt).map(ArrayProblem::Renamed);
        return Err(renamed.map_or_else(gone, refused));
    };
    let stat = file.stat()?;
    let header = if stat.is_file() { read_header(&file)? } else { None };
    let Some((header, data_at)) = header else {
        return Err(refused(ArrayProblem::NotNpy));
    };
    let is_of_this_request = file.attr(REDO_ATTR)?.as_deref() == Some(job.request.as_bytes());
    if !is_of_this_request && let Some(problem) = why_not_array(&file, &job.receipt)? {
        let has_other_len = stat.size != data_at + header.data_len();
        let is_cut = problem == ArrayProblem::Changed && has_other_len;
        return Err(refused(if is_cut { ArrayProblem::WrongLength } else { problem }));
    }
    if file.attr(ROUTE_ATTR)?.is_some() {
        return Err(refused(ArrayProblem::Converted));
    }
    if stat.size != data_at + header.data_len() {
        return Err(refused(ArrayProblem::WrongLength));
    }
    if file.writer()? == Writer::Present {
        return Err(Interruption::Locked(Reason::OpenForWriting(OpenFile::Array(name))));
    }
    let beside = job.drop_dir.output.is_none();
    let at = Locations { source: dir.clone(), output: dir, beside, lost: RefCell::default() };
    Ok(Old { at, name, file, stat, data_at, header })
}

/// Finds the source, if npyd archived it.
fn archived_source(job: &ArrayJob) -> Option<ArchivedSource> {
    let identity = job.receipt.identities.first()?;
    let is_archived = job.source_fate == Some(SourceFate::Archived);
    is_archived
        .then(|| find_archived(&job.drop_dir, (&job.source, identity), job.archive.as_deref()))
}

/// Returns the array's layout and header after the correction.
fn describe(job: &ArrayJob, old: &Old) -> Result<(Dump, Header), Interruption> {
    if job.correction.keys().is_empty() {
        let archived = archived_source(job).map(Box::new);
        return Err(rejected(RequestProblem::NoKeys { archived }));
    }
    let dims = old.header.shape().iter().map(|dim| i64::try_from(*dim));
    let dims = dims.collect::<Result<Vec<_>, _>>().map_err(|error| bad_keys(error.to_string()))?;
    let layout = Layout::new(old.header.dtype().clone(), &dims, old.header.order());
    let dump = Dump {
        kind: DeclaredBy::Options,
        layout: layout.map_err(bad_keys)?,
        division: Division::EqualShares,
        data_offset: 0,
        trailing: 0,
        front: LeadingBytes::Bare,
        marker: None,
        digest: None,
        output: old.name.clone(),
        metadata: Metadata::new(),
        warnings: Vec::new(),
        bits_or_bytes: None,
        facts: SidecarFacts::default(),
    };
    let mut dump = job.correction.apply(dump).map_err(bad_keys)?;
    let len = old.header.data_len();
    match dump.fit(len, false) {
        SizeFit::Whole { .. } => {}
        fit => {
            let open_shape = open_shape(&dump, len).filter(|_| job.correction.shape.is_none());
            return Err(rejected(RequestProblem::ArrayMisfit { fit, open_shape }));
        }
    }
    let header = dump.header(len).map_err(bad_keys)?;
    dump.data_offset += old.data_at;
    Ok((dump, header))
}

/// Returns the shape with its slowest axis open, if data of this length fit it.
fn open_shape(dump: &Dump, len: u64) -> Option<Vec<i64>> {
    let Layout { dtype, order, shape } = &dump.layout;
    let mut dims = shape.dims();
    let slowest = match order {
        Order::C => dims.first_mut(),
        Order::F => dims.last_mut(),
    };
    *slowest? = -1;
    let layout = Layout::new(dtype.clone(), &dims, *order).ok()?;
    let open = Dump { layout, ..dump.clone() };
    matches!(open.fit(len, false), SizeFit::Whole { .. }).then_some(dims)
}

/// The bytes at the beginning of an array, those that replace them, and where they differ.
struct Overwrite {
    there: Vec<u8>,
    bytes: Vec<u8>,
    differs: Range<usize>,
}

/// Returns what must be overwritten in place; `None` if nothing differs.
///
/// # Errors
/// The header can't be overwritten at once; the interruption says why.
fn plan_overwrite(
    old: &Old,
    dump: &Dump,
    header: &Header,
) -> Result<Option<Overwrite>, Interruption> {
    let Old { file, stat, data_at, .. } = old;
    let refused = |problem| rejected(RequestProblem::InPlace(problem));
    if stat.nlink > 1 {
        return Err(refused(InPlaceProblem::HardLinks));
    }
    if dump.data_offset != *data_at || header.data_len() != old.header.data_len() {
        return Err(refused(InPlaceProblem::OtherData));
    }
    let there = file.read_at_most(0, *data_at as usize)?;
    let major = there.get(6).copied().unwrap_or_default();
    let Ok(bytes) = header.bytes_padded_to_version(*data_at, major) else {
        return Err(refused(InPlaceProblem::LongerHeader));
    };
    let is_other = |at: &usize| there.get(*at) != bytes.get(*at);
    let Some(first) = (0..bytes.len()).find(is_other) else { return Ok(None) };
    let last = (first..bytes.len()).rfind(is_other).unwrap_or(first);
    if first / SECTOR != last / SECTOR {
        return Err(refused(InPlaceProblem::SeveralSectors));
    }
    Ok(Some(Overwrite { there, bytes, differs: first..last + 1 }))
}

/// Overwrites the header within one disk sector, so that a power cut leaves either the old or the
/// new one. Order: data synced → header written → synced, as on the in-place route.
fn write_over(
    old: &Old,
    dump: &Dump,
    header: &Header,
    progress: &Meter,
) -> Result<ReceiptEvent, Interruption> {
    let Old { file, stat, name, .. } = old;
    let Some(plan) = plan_overwrite(old, dump, header)? else { return Ok(ReceiptEvent::Found) };
    let Overwrite { there, bytes, differs } = plan;
    // F5: probe before npyd opens the file for writing.
    if file.writer()? != Writer::None {
        return Err(rejected(RequestProblem::InPlace(InPlaceProblem::Unproven)));
    }
    let writable = file.writable()?;
    sync_written(&writable, progress)?;
    if !file.stat()?.is_unchanged_since(stat) || !old.at.output.refers_to(name.as_ref(), file)? {
        return Err(changed(name));
    }
    let at = differs.start as u64;
    writable.write_all_at(&bytes[differs.clone()], at)?;
    if let Err(error) = writable.sync_data() {
        let _ = writable.write_all_at(&there[differs], at);
        return Err(lost(error));
    }
    Ok(ReceiptEvent::Remade)
}

/// Copies the attributes of the old array to the new one.
fn give_attributes(job: &ArrayJob, old: &Old, new: &DataFile) -> Result<(), Interruption> {
    new.set_attr(REDO_ATTR, job.request.as_bytes())?;
    let is_own = old.stat.uid == fs::own_uid();
    let (mark, origin) = (old.file.attr(SOURCE_ATTR)?, old.file.attr(ORIGIN_ATTR)?);
    let is_marked = |mark: &Vec<u8>| {
        job.receipt.is_marked(&SourceIdentity::parse(&String::from_utf8_lossy(mark)))
    };
    if let Some(mark) = mark.filter(|mark| is_own || is_marked(mark)) {
        new.set_attr(SOURCE_ATTR, &mark)?;
    }
    // Another user may have forged it, but the receipt has the path of the source.
    let of_receipt = || Some(Origin::of(&job.source, &FileName::of_path(&job.source)?));
    let origin = if is_own { origin } else { of_receipt().map(|it| it.to_string().into_bytes()) };
    if let Some(origin) = origin {
        new.set_attr(ORIGIN_ATTR, &origin)?;
    }
    Ok(carry_but_times(&old.file, new)?)
}

/// Gives the new array the old one's name, and the old one a backup name if the new one does not
/// hold all of its data. Syncs the file and the directory (F2).
fn name(
    old: &Old,
    output: &mut TempFile,
    (header, head_len): (&Header, u64),
    progress: &mut Meter,
) -> Result<Remake, Interruption> {
    let Old { at, name, stat, .. } = old;
    let gone = || changed(name);
    let again = at.output.open_file(name.as_ref())?.ok_or_else(gone)?;
    let mut remake =
        Remake::compare(OldArray::read(again)?, (output.file(), header, head_len), progress)?;
    output.sync().map_err(lost)?;
    if !old.file.stat()?.is_unchanged_since(stat)
        || !at.output.refers_to(name.as_ref(), &old.file)?
    {
        return Err(gone());
    }
    remake.back_up(at, name)?;
    if remake.has_backup() {
        at.output.sync()?;
    }
    remake.replace(output, name)?;
    at.output.sync()?;
    Ok(remake)
}

fn receipt(
    job: &ArrayJob,
    old: &Old,
    (event, route): (ReceiptEvent, Option<Route>),
    header: &Header,
    started: Instant,
) -> Receipt {
    Receipt {
        event,
        drop: job.drop_dir.path.clone(),
        source: job.source.clone(),
        parts: None,
        output: Some(old.at.output.path().join(&old.name)),
        route,
        mapped: None,
        bytes: header.data_len(),
        seconds: started.elapsed(),
        evidence: None,
        source_fate: fate_now(job),
        archive: job.archive.clone(),
        array_id: None,
        reason: None,
        reason_kind: None,
        dir: None,
        is_requested: true,
    }
}

/// Returns the fate of the source: if nobody disposed of it, something else removed it since.
fn fate_now(job: &ArrayJob) -> Option<SourceFate> {
    let stayed = matches!(job.source_fate, Some(SourceFate::Kept | SourceFate::Unproven));
    if is_of_series(job) {
        return job.source_fate; // only its manifest is known to be gone
    }
    let is_gone = || {
        let (Some(dir), Some(name)) = (job.source.parent(), FileName::of_path(&job.source)) else {
            return false;
        };
        let below = dir.strip_prefix(&job.drop_dir.path).ok();
        let dir = below.map(|below| Dir::open_below(&job.drop_dir.path, below));
        let there = dir.map(|dir| dir.and_then(|dir| dir.stat(name.as_ref())));
        match there {
            Some(Ok(there)) => there.is_none(),
            Some(Err(error)) => error.is_missing(),
            None => false,
        }
    };
    if stayed && is_gone() { Some(SourceFate::Gone) } else { job.source_fate }
}

/// Returns whether the source is a series, which has the path of its manifest.
fn is_of_series(job: &ArrayJob) -> bool {
    let manifest = job.receipt.identities.first().and_then(|it| it.sidecar.as_ref());
    let name = job.source.file_name().and_then(|name| name.to_str());
    manifest.is_some_and(|(manifest, _)| Some(manifest.as_str()) == name)
}

/// Says why the array is made from itself.
fn what_is_gone(job: &ArrayJob) -> &'static str {
    let is_disposed_of = job.source_fate.is_some_and(SourceFate::ends_drop);
    match is_of_series(job) {
        true if is_disposed_of => "its data files are gone",
        true => "its manifest is gone",
        false => "its source is gone",
    }
}
