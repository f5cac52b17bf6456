//! Checks requests before they are stored, as far as the user who makes them may see the files:
//! what can't succeed is an error at once. npyd checks each request again when it carries it out.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::cli::history::is_missing;
use crate::config::DropDir;
use crate::decide::evidence::Evidence;
use crate::decide::reason::Reason;
use crate::decide::reason_kind::ReasonKind;
use crate::decide::request_problem::RequestProblem;
use crate::decide::request_target::RequestTarget;
use crate::decide::source_identity::SourceIdentity;
use crate::describe::{Correction, LeadingBytes, Rows};
use crate::events::source_fate::SourceFate;
use crate::finalize::intent_log::IntentLog;
use crate::finalize::{
    ArrayJob, Interruption, Job, NpydUsers, check_array_job, check_name, complete_keys,
};
use crate::fs::{Dir, FileUse, fs_info};
use crate::ledger::{Entry, Ledger, Request};
use crate::model::{FileName, Writer};
use crate::probe::candidate::{Candidate, Complete, Decision};
use crate::probe::corrections::{probe_as_declared, probe_declared};
use crate::probe::{
    ListedDescriptions, ProbeResult, description_names, manifest_names, probe_standalone,
};

/// Maximum time from the probe of a drop to its receipt.
const JOB_MAX: Duration = Duration::from_hours(1);

/// Returns the source of the drop that a file belongs to, and the target of a request about it.
///
/// # Errors
/// Its rows can't be taken; the text says why.
pub(crate) fn check_take(
    (drop_dir, ledger): (&DropDir, &Ledger),
    path: PathBuf,
    rows: Rows,
) -> Result<(PathBuf, RequestTarget), String> {
    let known = known_target(ledger.latest(&path).ok().flatten().as_ref());
    let Ok(rel) = path.strip_prefix(&drop_dir.path) else { return Ok((path, known)) };
    let mut candidate = match probe_standalone(drop_dir, rel, &mut ListedDescriptions::default()) {
        Ok(ProbeResult::Candidate(candidate)) => *candidate,
        Ok(ProbeResult::Ignored(why) | ProbeResult::AwaitingData { why, .. }) => {
            return Err(why.to_string());
        }
        Ok(ProbeResult::Multiple { .. }) => {
            return Err(RequestProblem::SeveralArrays.to_string());
        }
        Ok(ProbeResult::Missing) => {
            let why = why_not_from_quarantine((drop_dir, ledger), rel, rows);
            return why.map_or(Ok((path, known)), Err);
        }
        Ok(ProbeResult::Residue(_)) | Err(_) => return Ok((path, known)),
    };
    let source = drop_dir.path.join(&candidate.input.rel);
    let target = candidate.target();
    let identity = candidate.snapshot().identity();
    if let Some(entry) = ledger.latest(&source).ok().flatten() {
        let is_as_rejected =
            entry.settles(&identity, drop_dir.settings_hash) && entry.is_rejected();
        if is_as_rejected && entry.reason_kind() == Some(ReasonKind::Digest) {
            return Err(wrong_digest(&entry));
        }
        if let Some(why) = entry.why_not_taken(&identity, drop_dir.settings_hash) {
            return Err(why.to_string());
        }
    }
    if let Some(declared) = declared(ledger, &source) {
        candidate.correct(&declared);
    }
    why_no_rows(drop_dir, &candidate, rows).map_or(Ok((source, target)), Err)
}

fn wrong_digest(rejected: &Entry) -> String {
    let why = rejected.reason();
    format!("{why}; remove the key `digest` if the data are right, or drop them again")
}

/// Returns a rejected drop as its files in the quarantine are now, and the quarantine as a drop
/// directory. Returns `None` if this user can't see them, or if the drop directory has a file whose
/// name is that of a description of the drop.
fn in_quarantine(drop_dir: &DropDir, entry: &Entry) -> Option<(DropDir, Candidate)> {
    let rel = entry.source.strip_prefix(&drop_dir.path).ok()?;
    let name = FileName::of_path(rel)?;
    let is_there = |name: &FileName| entry.source.with_file_name(name.as_str()).exists();
    if !entry.is_rejected() || description_names(&name).iter().any(is_there) {
        return None;
    }
    let mut quarantine = drop_dir.clone();
    quarantine.path = quarantine.rejects.take()?;
    match probe_standalone(&quarantine, rel, &mut ListedDescriptions::default()) {
        Ok(ProbeResult::Candidate(candidate)) => Some((quarantine, *candidate)),
        _ => None,
    }
}

/// Returns whether several files describe a rejected drop, in the quarantine and in the drop
/// directory: one of two that are in conflict stays there.
fn has_several_descriptions(drop_dir: &DropDir, entry: &Entry) -> bool {
    let rel = entry.source.strip_prefix(&drop_dir.path).unwrap_or(&entry.source);
    let rejected = drop_dir.rejects.as_ref().map(|rejects| rejects.join(rel));
    let (Some(rejected), Some(name)) = (rejected, FileName::of_path(rel)) else { return false };
    let count = |names: Vec<FileName>| {
        let is_there = |name: &&FileName| {
            let is_in = |path: &Path| path.with_file_name(name.as_str()).exists();
            is_in(&entry.source) || is_in(&rejected)
        };
        names.iter().filter(is_there).count()
    };
    // A manifest overrides sidecars.
    match count(manifest_names(&name)) {
        0 => count(description_names(&name)) > 1,
        manifests => manifests > 1,
    }
}

/// Returns why the options of a request don't fit the data of a rejected drop in the quarantine.
fn why_no_fit_in_quarantine(
    (drop_dir, ledger): (&DropDir, &Ledger),
    entry: &Entry,
    correction: &Correction,
) -> Option<String> {
    if correction.in_place {
        return Some(RequestProblem::InPlaceWithSource.to_string());
    }
    let (_, candidate) = in_quarantine(drop_dir, entry)?;
    let correction = candidate.completed(correction.clone(), declared(ledger, &entry.source));
    candidate.check_fit(&correction, drop_dir.allow_trailing).err().map(|why| why.to_string())
}

/// Returns why a rejected drop in the quarantine can't be taken, as far as its files there tell:
/// they may have been corrected.
fn why_not_from_quarantine(
    (drop_dir, ledger): (&DropDir, &Ledger),
    rel: &Path,
    rows: Rows,
) -> Option<String> {
    let entry = ledger.latest(&drop_dir.path.join(rel)).ok().flatten()?;
    if entry.reason_kind() == Some(ReasonKind::Conflict)
        && has_several_descriptions(drop_dir, &entry)
    {
        return Some(entry.reason());
    }
    let (quarantine, mut candidate) = in_quarantine(drop_dir, &entry)?;
    let (now, sidecar) = (candidate.snapshot().identity(), candidate.input.description.as_ref());
    let is_as_rejected = |was: &SourceIdentity| {
        was.has_size_and_mtime_of(&now)
            && sidecar.is_none_or(|it| {
                was.of_file(&it.name).has_size_and_mtime_of(&now.of_file(&it.name))
            })
    };
    if entry.reason_kind() == Some(ReasonKind::Digest) {
        let has_digest = candidate.dump.as_ref().is_ok_and(|dump| dump.digest.is_some());
        let is_as_rejected = entry.identity().as_ref().is_some_and(is_as_rejected);
        return (has_digest && is_as_rejected).then(|| wrong_digest(&entry));
    }
    if let Some(declared) = declared(ledger, &entry.source) {
        candidate.correct(&declared);
    }
    // npyd takes a complete drop, too.
    let unchanged = candidate.age(SystemTime::now()).unwrap_or_default();
    match candidate.decide(&quarantine, unchanged, 0) {
        Ok(Decision::Finalize(complete)) if !complete.evidence.is_partial() => None,
        _ => why_no_rows(&quarantine, &candidate, rows),
    }
}

fn why_no_rows(drop_dir: &DropDir, candidate: &Candidate, rows: Rows) -> Option<String> {
    let dump = match &candidate.dump {
        Ok(dump) => dump,
        Err(reason) => return Some(reason.to_string()),
    };
    let unchanged = candidate.age(SystemTime::now()).unwrap_or_default();
    match candidate.decide(drop_dir, unchanged, 0).ok()? {
        Decision::Finalize(complete) if !complete.evidence.is_partial() => {
            return Some("it is complete: npyd makes its array without a request".to_owned());
        }
        _ => {}
    }
    // A writer may still add rows, and a pending header declares where its rows are.
    if candidate.input.writer().ok()? == Writer::Present
        || matches!(dump.front, LeadingBytes::Header(_))
    {
        return None;
    }
    candidate.taken(dump, rows).ok()?.err().map(|why| why.to_string())
}

/// Returns the target of a request to make the array of a drop again, and its options. `entry` is
/// the newest one of its source, `last_array` the newest one with an array, and `array` the path of
/// that array if it was named.
///
/// # Errors
/// The array can't be made again; the text says why.
pub(crate) fn check_redo(
    dir: (&DropDir, &Ledger),
    entry: &Entry,
    (last_array, array): (Option<&Entry>, Option<&Path>),
    correction: &Correction,
) -> Result<(RequestTarget, String), String> {
    let is_moved = dir.0.rejects.is_some() && entry.is_rejected() && is_missing(&entry.source);
    if last_array.is_none() && is_moved {
        let why = why_no_fit_in_quarantine(dir, entry, correction);
        let known = (known_target(Some(entry)), correction.to_json());
        return why.map_or(Ok(known), Err);
    }
    check_remake(dir, entry, (last_array, array), correction)
}

/// Checks a request about a drop that is not in the quarantine.
fn check_remake(
    (drop_dir, ledger): (&DropDir, &Ledger),
    entry: &Entry,
    (last_array, array): (Option<&Entry>, Option<&Path>),
    correction: &Correction,
) -> Result<(RequestTarget, String), String> {
    let known = (of_array(known_target(last_array.or(Some(entry))), array), correction.to_json());
    let is_gone = is_missing(&entry.source);
    let from_array = |made| why_not_from_array((drop_dir, ledger), made, correction);
    match last_array {
        None if is_gone => {
            return Err("no array was made of it, and its file is gone: drop it again".to_owned());
        }
        None if correction.keys().is_empty() => return Err(never_made(entry)),
        Some(made) if is_gone && let Some(manifest) = gone_manifest(made) => {
            let is_correction = !correction.keys().is_empty() && from_array(made).is_none();
            let why = || RequestProblem::ManifestGone(manifest).to_string();
            return if is_correction { Ok(known) } else { Err(why()) };
        }
        Some(made) if is_gone => return from_array(made).map_or(Ok(known), Err),
        _ => {}
    }
    let Ok(rel) = entry.source.strip_prefix(&drop_dir.path) else { return Ok(known) };
    let candidate = match probe_standalone(drop_dir, rel, &mut listed_for(drop_dir, last_array)) {
        Ok(ProbeResult::Candidate(candidate)) => *candidate,
        Ok(ProbeResult::Ignored(Reason::Undescribed { .. }))
            if let Some(made) = last_array.filter(|it| !ends_drop(it)) =>
        {
            return check_undescribed((drop_dir, ledger), (made, array), correction);
        }
        Ok(ProbeResult::Ignored(why) | ProbeResult::AwaitingData { why, .. }) => {
            // Another file has the name of a source that is gone.
            return match last_array.filter(|it| ends_drop(it)) {
                Some(made) => from_array(made).map_or(Ok(known), Err),
                None => Err(why.to_string()),
            };
        }
        _ => return Ok(known),
    };
    if drop_dir.path.join(&candidate.input.rel) != entry.source {
        return Ok(known);
    }
    let target = of_array(candidate.target(), array);
    let identity = candidate.snapshot().identity();
    let is_of = |entry: &Entry| entry.identity().is_some_and(|it| it.is_of_data_files(&identity));
    if let Some(made) = last_array.filter(|it| ends_drop(it) && !is_of(it))
        && entry.is_rejected()
        && entry.reason_kind() == Some(ReasonKind::Output)
    {
        return Err(name_taken(entry, made));
    }
    if let Some(made) = last_array.filter(|it| ends_drop(it) && !is_of(it) && !is_of(entry)) {
        let array = made.output.clone().unwrap_or_default();
        return Err(RequestProblem::NotMadeYet { array }.to_string());
    }
    check_array((drop_dir, ledger), &candidate, &target)?;
    if correction.in_place {
        return Err(RequestProblem::InPlaceWithSource.to_string());
    }
    let has_own_header =
        matches!(&candidate.dump, Ok(dump) if matches!(dump.front, LeadingBytes::Header(_)));
    let request = (target, correction.to_json());
    let mut correction = correction.clone();
    if !correction.as_described && (!correction.keys().is_empty() || !has_own_header) {
        correction = candidate.completed(correction, declared(ledger, &entry.source));
        let fits = candidate.check_fit(&correction, drop_dir.allow_trailing);
        fits.map_err(|why| why.to_string())?;
    }
    why_no_name((drop_dir, ledger), candidate, &correction).map_or(Ok(request), Err)
}

/// Returns the descriptions to read for the data of an array: a directory may have a million, and
/// npyd had regard to the older ones when it made the array. The job of that array, and the commit
/// of its receipt, took less than the time [`JOB_MAX`], or npyd finds out when it carries the
/// request out.
fn listed_for(drop_dir: &DropDir, made: Option<&Entry>) -> ListedDescriptions {
    let fs = || Dir::open(&drop_dir.path).and_then(|dir| fs_info(&dir));
    let began = made
        .filter(|it| it.key().is_some_and(|key| key.settings_hash == drop_dir.settings_hash))
        .filter(|_| fs().is_ok_and(|info| !info.network)) // its clock may be another one
        .and_then(|it| Some((it.time()?.checked_sub(JOB_MAX)?, it.sidecar())));
    let began = began.and_then(|(at, known)| {
        let since = at.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_nanos();
        Some((i64::try_from(since).ok()?, known))
    });
    began.map_or_else(ListedDescriptions::default, |(since, known)| {
        ListedDescriptions::changed_since(since, known)
    })
}

/// Checks a request about data that nothing describes any more.
fn check_undescribed(
    (drop_dir, ledger): (&DropDir, &Ledger),
    (made, array): (&Entry, Option<&Path>),
    correction: &Correction,
) -> Result<(RequestTarget, String), String> {
    let request = (of_array(known_target(Some(made)), array), correction.to_json());
    let (Some(job), Ok(rel), Ok(root)) = (
        array_job((drop_dir, ledger), made, correction),
        made.source.strip_prefix(&drop_dir.path),
        Dir::open(&drop_dir.path),
    ) else {
        return Ok(request);
    };
    let Ok(Some(stat)) = root.stat(rel) else { return Ok(request) };
    let before = ledger.declared(&made.source).ok().flatten();
    let before = before.and_then(|it| probe_as_declared((drop_dir, &root), rel, &it).ok()?);
    let before = before.map(|(_, keys)| keys);
    let keys = complete_keys(&job, before, &stat).map_err(|why| why.to_string())?;
    let Ok(found) = probe_declared((drop_dir, &root), rel, &keys) else { return Ok(request) };
    let candidate = found.map_err(|why| why.to_string())?;
    candidate.check_fit(&keys, false).map_err(|why| why.to_string())?;
    let request = (of_array(candidate.target(), array), keys.to_json());
    check_array((drop_dir, ledger), &candidate, &request.0)?;
    why_no_name((drop_dir, ledger), candidate, &keys).map_or(Ok(request), Err)
}

/// Returns the target with the array, if one was named.
fn of_array(target: RequestTarget, array: Option<&Path>) -> RequestTarget {
    match array {
        Some(array) => target.with_array(array),
        None => target,
    }
}

/// Checks that the array that was named is the one that npyd makes of a drop.
fn check_array(
    (drop_dir, ledger): (&DropDir, &Ledger),
    candidate: &Candidate,
    target: &RequestTarget,
) -> Result<(), String> {
    if target.array.is_empty() {
        return Ok(());
    }
    let source = drop_dir.path.join(&candidate.input.rel);
    let newest = ledger.latest_with_array(&source, |_| true).ok().flatten();
    let made = newest.as_ref().and_then(|it| Some((it.output.as_deref()?, it.identity()?)));
    let why = candidate.why_not_of_array(drop_dir, target, made);
    why.map_or(Ok(()), |why| Err(why.to_string()))
}

/// Returns why the array can't have its name: something else has it.
fn why_no_name(
    (drop_dir, ledger): (&DropDir, &Ledger),
    mut candidate: Candidate,
    correction: &Correction,
) -> Option<String> {
    candidate.correct(correction);
    let source = drop_dir.path.join(&candidate.input.rel);
    let dump = candidate.dump.clone().ok()?;
    let header = dump.header(candidate.input.logical_size(&dump).0).ok()?;
    let complete = Complete { header, evidence: Evidence::Size, remark: None };
    let ino = candidate.snapshot().ino();
    let job = Job::new(&Arc::new(drop_dir.clone()), candidate, complete, Duration::ZERO).ok()?;
    let earlier = ledger.earlier_arrays(&source, ino).ok()?.identities;
    let intents = Some(Arc::new(IntentLog::of(ledger.state_dir())));
    match check_name(&Job { earlier, redo: true, intents, ..job }) {
        Err(Interruption::Rejected(why)) => Some(why.to_string()),
        _ => None, // it can, or this user may not see that
    }
}

/// Returns the path of the drop if that is its manifest, as for a series, and the data files stay.
fn gone_manifest(made: &Entry) -> Option<PathBuf> {
    let name = made.source.file_name()?.to_str()?;
    let is_manifest = made.sidecar().as_deref() == Some(name);
    (is_manifest && !ends_drop(made)).then(|| made.source.clone())
}

fn ends_drop(entry: &Entry) -> bool {
    entry.source_fate().is_some_and(SourceFate::ends_drop)
}

/// Returns the target of a request about files that can't be seen, as far as the ledger knows them.
fn known_target(entry: Option<&Entry>) -> RequestTarget {
    let identity = entry.and_then(Entry::identity);
    let drop = identity.map(|it| it.to_string()).unwrap_or_default();
    RequestTarget { drop, ..RequestTarget::default() }
}

/// Returns why nothing is made again of a new file whose array can't get its name, and how to
/// correct the array of the earlier file.
fn name_taken(entry: &Entry, made: &Entry) -> String {
    let rejected = never_made(entry);
    match made.output.as_ref().filter(|array| !is_missing(array)) {
        Some(array) => format!(
            "{rejected}; to correct `{}` itself, first move `{}` out of its directory",
            array.display(),
            entry.source.display()
        ),
        None => rejected,
    }
}

/// Returns why the drop has no array that npyd could make again.
fn never_made(entry: &Entry) -> String {
    if entry.is_rejected() {
        let reason = entry.reason();
        return format!("no array was made of it, because it was rejected: {reason}");
    }
    match entry.reason() {
        reason if entry.is_failure() => {
            format!("no array was made of it yet; npyd tries again by itself: {reason}")
        }
        _ => "no array was made of it yet; see `npyd explain`".to_owned(),
    }
}

fn why_not_from_array(
    (drop_dir, ledger): (&DropDir, &Ledger),
    made: &Entry,
    of: &Correction,
) -> Option<String> {
    if of.as_described {
        if let Some(done) = done_description(made) {
            return Some(RequestProblem::DescriptionDone(done).to_string());
        }
        return Some("its source is gone, and its description with it".to_owned());
    }
    match check_array_job(&array_job((drop_dir, ledger), made, of)?) {
        Err(Interruption::Rejected(reason)) => Some(reason.to_string()),
        _ => None, // it can, or this user may not see that
    }
}

/// Returns the job for the array of an entry; `None` if the ledger can't be read.
fn array_job(
    (drop_dir, ledger): (&DropDir, &Ledger),
    made: &Entry,
    of: &Correction,
) -> Option<ArrayJob> {
    Some(ArrayJob {
        drop_dir: Arc::new(drop_dir.clone()),
        source: made.source.clone(),
        array: made.output.clone()?,
        receipt: ledger.array_receipt(made).ok()?,
        correction: of.clone(),
        source_fate: made.source_fate(),
        archive: made.archive(),
        request: String::new(),
        users: NpydUsers::of(None), // this job is only checked
    })
}

/// Returns why a request about an array whose source is gone waits, with the process that it waits
/// for if this user may see it.
pub(crate) fn why_array_waits(
    (drop_dir, ledger): (&DropDir, &Ledger),
    request: &Request,
) -> Option<String> {
    let is_it = |array: &Path| request.target.may_be_array(array);
    let made = ledger.latest_with_array(&request.source, is_it).ok().flatten()?;
    if !ends_drop(&made) && !is_missing(&made.source) {
        return None;
    }
    let job = array_job((drop_dir, ledger), &made, &Correction::parse(&request.options).ok()?)?;
    let Err(Interruption::Locked(why)) = check_array_job(&job) else { return None };
    let dir = Dir::open(job.array.parent()?).ok()?;
    let file = dir.open_file(job.array.file_name()?.as_ref()).ok()??;
    let writers = file.holders().found.into_iter().filter(|(_, how)| *how == FileUse::Writes);
    let holder = file.lock_holder().into_iter().chain(writers.map(|(holder, _)| holder)).next();
    let by = holder.map_or_else(String::new, |it| format!(": {} (pid {})", it.name, it.pid));
    Some(format!("{why}{by}"))
}

/// Returns the description that npyd moved beside the array when the source had become it.
fn done_description(made: &Entry) -> Option<PathBuf> {
    let done = made.output.as_ref()?.with_file_name(format!("{}.done", made.sidecar()?));
    done.symlink_metadata().is_ok().then_some(done)
}

fn declared(ledger: &Ledger, source: &Path) -> Option<Correction> {
    Correction::parse(&ledger.declared(source).ok().flatten()?).ok()
}
