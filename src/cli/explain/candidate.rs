//! Explains a drop: a data file with its description, as npyd would process it now.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::array::note_missing_array;
use super::file_status::FileStatus;
use super::foresight::{foresee, instead};
use super::standing::Standing;
use super::{Query, last_receipt, merge, merge_notes, text};
use crate::cli::inspect::{Inspected, inspect};
use crate::config::{Disposition, DropDir};
use crate::decide::evidence::{Evidence, ProducerWord};
use crate::decide::name_list::NameList;
use crate::decide::plan::Plan;
use crate::decide::reason::Reason;
use crate::decide::route::Route;
use crate::decide::wait::Wait;
use crate::describe::{Correction, DeclaredBy, Dump, Rows};
use crate::events::source_fate::SourceFate;
use crate::finalize::{plan_candidate, rest_path, why_source_stays};
use crate::fs::{self, Dir, FileUse};
use crate::ledger::{Entry, Request};
use crate::model::{Writer, parent_of};
use crate::npy::Header;
use crate::probe::candidate::{Candidate, Complete, Decision};
use crate::probe::open_output_dir;

/// A decision about a drop: its facts with the verdict, the header of the array, and the evidence
/// that the drop is complete.
type Decided = (Value, Option<Header>, Option<Evidence>);

pub(super) fn explain_drop(query: &Query, mut candidate: Candidate) -> fs::Result<Value> {
    query.apply_declared(&mut candidate);
    let (mut report, decided) = explain_files(query, &candidate)?;
    if let Some((header, evidence)) = decided
        && query.outside.is_none()
    {
        foresee(query, &mut report, candidate, (header, evidence));
    }
    Ok(report)
}

/// Explains a drop without regard to what has the array's name. Returns the header of the array and
/// the evidence if npyd would make it now.
fn explain_files(
    query: &Query,
    candidate: &Candidate,
) -> fs::Result<(Value, Option<(Header, Evidence)>)> {
    let mut report = facts(query, candidate);
    let mut decided = None;
    let (verdict, header, evidence) = match query.standing(candidate) {
        Standing::Finished(entry, note) => {
            merge(&mut report, finished(query, candidate, &entry, note.as_deref())?);
            return Ok((report, None));
        }
        Standing::Rejected(why) => {
            let mut verdict = json!({"verdict": FileStatus::Rejected, "why": why});
            merge(&mut verdict, query.take_of_rejected(candidate)?);
            (verdict, None, None)
        }
        Standing::Working(why) => (json!({"verdict": FileStatus::Working, "why": why}), None, None),
        Standing::Locked(why, holder) => {
            let verdict = json!({
                "verdict": FileStatus::Waiting, "why": why.to_string(), "proof_in_seconds": null,
                "notes": [holder],
            });
            (verdict, None, None)
        }
        Standing::Failing(why) => {
            let (verdict, header, evidence) = query.decide(candidate)?;
            if FileStatus::is_one_of(&verdict, &[FileStatus::Waiting]) {
                (verdict, header, evidence)
            } else {
                (json!({"verdict": FileStatus::Failing, "why": why}), header, evidence)
            }
        }
        Standing::Open(note) => {
            let (mut verdict, header, evidence) = query.decide(candidate)?;
            merge_notes(&mut verdict, note);
            if let Some(why) = query.dir_fault(candidate)
                && !FileStatus::is_one_of(&verdict, &[FileStatus::Waiting, FileStatus::Rejected])
            {
                merge(&mut verdict, instead(FileStatus::Waiting, &why));
            }
            if FileStatus::is_one_of(&verdict, &[FileStatus::Ready]) {
                decided = header.clone().zip(evidence);
            }
            (verdict, header, evidence)
        }
    };
    let is_open = !FileStatus::is_one_of(&verdict, &[FileStatus::Rejected, FileStatus::Working]);
    merge(&mut report, verdict);
    if is_open {
        merge_writers(&mut report, candidate)?;
    }
    if let Ok(dump) = &candidate.dump
        && let Some(header) =
            header.or_else(|| dump.header(candidate.input.logical_size(dump).0).ok())
    {
        let rest = candidate.rest_len(dump, &header)?;
        let mut route = None;
        match explain_plan(&query.drop_dir, candidate, evidence, (dump, header)) {
            Ok((plan, planned)) => {
                merge(&mut report, plan);
                route = planned;
            }
            Err(error) => merge_notes(&mut report, [error.to_string()]),
        }
        if evidence.is_some() && rest > 0 {
            merge(&mut report, explain_rest(&query.drop_dir, candidate, dump, route, rest));
        }
    }
    Ok((report, decided))
}

/// Describes the files and their description.
fn facts(query: &Query, candidate: &Candidate) -> Value {
    let path = |rel: &Path| text(&query.drop_dir.path.join(rel));
    let unchanged = candidate.age(SystemTime::now()).unwrap_or_default();
    let files = &candidate.input.files;
    let mut report = json!({
        "source": path(&candidate.input.rel),
        "sidecar": candidate.input.description.as_ref().map(|sidecar| path(&sidecar.rel)),
        "size": files.iter().map(|input| input.stat.size).sum::<u64>(),
        "allocated": files.iter().map(|input| input.stat.blocks * 512).sum::<u64>(),
        "unchanged_seconds": unchanged.as_secs_f64(),
    });
    if let Some(only) = candidate.input.only_file()
        && only.rel != query.rel
    {
        merge(&mut report, json!({"data": path(&only.rel)}));
    }
    if candidate.input.only_file().is_none() {
        let parts: Vec<_> = files.iter().map(|input| &input.rel).collect();
        let at = parts.iter().position(|part| **part == query.rel);
        merge(
            &mut report,
            json!({
                "data": at.is_none().then(|| several_files(&parts)),
                "parts": parts.iter().map(|part| path(part)).collect::<Vec<_>>(),
                "part": at.map(|at| format!("{} of {}", at + 1, parts.len())),
            }),
        );
    }
    if let Ok(dump) = &candidate.dump {
        merge(&mut report, explain_dump(dump));
    }
    report
}

/// Names some files for people.
fn several_files(paths: &[&PathBuf]) -> String {
    let first: Vec<_> = paths.iter().take(4).map(|path| (*path).clone()).collect();
    format!("{} files: {}", paths.len(), NameList::of(&first))
}

/// Describes the array that was made of a drop.
fn finished(
    query: &Query,
    candidate: &Candidate,
    entry: &Entry,
    note: Option<&str>,
) -> fs::Result<Value> {
    let stays = if entry.is_unproven() {
        why_source_stays(&query.drop_dir, candidate, Evidence::Quiet)?
    } else {
        None
    };
    let mut report = json!({
        "verdict": FileStatus::Finished,
        "evidence": entry.receipt_field("evidence"),
        "why": "npyd made the array, and the drop has not changed since",
        "source_stays": stays,
        "source_fate": entry.receipt_field("source_fate"),
        "route": entry.receipt_field("route"),
        "output": entry.output.as_deref().map(text),
    });
    if let Some(note) = note {
        merge(&mut report, json!({"why": format!("npyd made the array; {note}")}));
    } else if entry.is_stale() {
        let name = entry.source.file_name().unwrap_or_default().display();
        let why = format!(
            "npyd made the array before the drop changed, and kept it, as on_change = \"keep\" \
             said then: `npyd redo {name}` makes it again"
        );
        merge(&mut report, json!({"why": why}));
    }
    note_missing_array(query, &mut report, entry);
    merge_notes(&mut report, note_kept_source(&query.drop_dir, entry));
    if let Some(Ok(array)) = entry.output.as_deref().map(inspect) {
        merge(&mut report, array.to_header());
        if let Some(note) = other_template(candidate, entry, &array).filter(|_| note.is_none()) {
            merge(&mut report, array.to_facts());
            merge_notes(&mut report, [note]);
        }
    }
    merge(&mut report, last_receipt(entry));
    if entry.is_unproven() {
        merge_writers(&mut report, candidate)?;
    }
    Ok(report)
}

/// Returns the note about an array that was made with another template than that of now, as far as
/// its header shows that.
pub(super) fn other_template(
    candidate: &Candidate,
    entry: &Entry,
    array: &Inspected,
) -> Option<String> {
    let dump = candidate.dump.as_ref().ok().filter(|dump| dump.kind == DeclaredBy::Template)?;
    let evidence = entry.receipt_field("evidence").and_then(|name| Evidence::from_name(&name));
    let made = array.header()?;
    let now = dump.header(candidate.input.logical_size(dump).0).ok()?;
    if evidence.is_some_and(Evidence::is_partial) || now.same_bytes(&made) {
        return None;
    }
    let name = entry.source.file_name().unwrap_or_default().display();
    Some(format!(
        "the template was another one when the array was made; now it says dtype {} and shape {}: \
         `npyd redo {name}` makes the array again",
        now.dtype(),
        dump.layout.shape
    ))
}

/// Returns the note about a source that stays because it was finished before the setting changed.
fn note_kept_source(drop_dir: &DropDir, entry: &Entry) -> Option<String> {
    let what = drop_dir.source.participle()?;
    let name = entry.source.file_name().unwrap_or_default().display();
    (entry.source_fate() == Some(SourceFate::Kept)).then(|| {
        format!(
            "sources are {what} now, but this one stays, because its array was finished before: \
             `npyd redo {name}` lets it go"
        )
    })
}

/// Returns what `npyd take` would take of a drop that does not fit its description.
fn explain_take(candidate: &Candidate, decision: &Decision) -> fs::Result<Value> {
    let (Decision::Wait(Wait { why, .. }) | Decision::Reject(why)) = decision else {
        return Ok(json!({}));
    };
    Ok(match &candidate.dump {
        Ok(dump) if why.lasts_while_unchanged() || matches!(why, Reason::Abandoned { .. }) => {
            let preview = candidate.preview_take(dump, Rows::All)?;
            json!({"take": preview.unwrap_or_else(|why| why.to_string())})
        }
        _ => json!({}),
    })
}

/// What this process can't see, but the daemon may: whether anything writes to another user's file.
fn unseen(candidate: &Candidate) -> fs::Result<Option<String>> {
    Ok(candidate.input.unseen()?.map(|name| {
        format!(
            "this process may not take leases on other users' files, so it can't see whether \
             somebody writes to `{name}`; the daemon may: run `npyd explain` as root, or as the \
             file's owner"
        )
    }))
}

/// Adds the processes that write to the files of the drop.
fn merge_writers(report: &mut Value, candidate: &Candidate) -> fs::Result<()> {
    let mut writers = Vec::new();
    let mut notes = Vec::new();
    for (name, file, _) in candidate.input.all_files() {
        let writer = file.writer()?;
        if writer == Writer::None {
            continue;
        }
        let holders = file.holders();
        let found = holders.found.iter().filter(|(_, how)| *how == FileUse::Writes);
        let known = writers.len();
        writers.extend(found.map(
            |(holder, _)| json!({"file": name.as_str(), "pid": holder.pid, "name": holder.name}),
        ));
        if writer == Writer::Present && writers.len() == known {
            notes.push(format!(
                "`{name}` is open for writing, but {}",
                if holders.is_complete {
                    "no process that can be seen here has it open: it may be in another container"
                } else {
                    "this user may not see by which process: run `npyd explain` as root, or as \
                     the user who writes"
                }
            ));
        }
    }
    if !writers.is_empty() {
        merge(report, json!({"writers": writers}));
    }
    merge_notes(report, notes);
    Ok(())
}

impl Query {
    /// Decides about the drop as the daemon would, as far as this process can see it.
    fn decide(&self, candidate: &Candidate) -> fs::Result<Decided> {
        let drop_dir = &self.drop_dir;
        let unchanged = candidate.age(SystemTime::now()).unwrap_or_default();
        let decision = candidate.decide(drop_dir, unchanged, self.remakes_of(candidate))?;
        let take = explain_take(candidate, &decision)?;
        let rests_on_writers = match &decision {
            Decision::Finalize(Complete { evidence, .. }) => {
                evidence.producer_word() != Some(ProducerWord::Mark)
            }
            Decision::Wait(_) | Decision::Reject(_) => true,
        };
        let unseen = if rests_on_writers { unseen(candidate)? } else { None };
        let mut verdict: Decided = match decision {
            Decision::Finalize(Complete { evidence, header, .. }) if let Some(unseen) = unseen => {
                let why = format!("{unseen}; if nobody does, it is ready");
                let verdict = json!({
                    "verdict": FileStatus::Unknown, "why": why, "evidence": null, "source_stays": null,
                });
                (verdict, Some(header), Some(evidence))
            }
            Decision::Finalize(Complete { header, evidence, remark }) => {
                let verdict = json!({
                    "verdict": FileStatus::Ready,
                    "evidence": evidence.to_string(),
                    "why": remark,
                    "source_stays": why_source_stays(drop_dir, candidate, evidence)?,
                });
                (verdict, Some(header), Some(evidence))
            }
            Decision::Wait(wait) => {
                let seconds = wait.ready_in.as_ref().map(Duration::as_secs_f64);
                let is_word = matches!(&candidate.dump, Ok(dump) if dump.digest.is_some());
                let stays = match seconds {
                    Some(_) if !is_word && unseen.is_none() => {
                        why_source_stays(drop_dir, candidate, Evidence::Quiet)?
                    }
                    _ => None,
                };
                let mut verdict = json!({
                    "verdict": FileStatus::Waiting,
                    "why": wait.why.to_string(),
                    "proof_in_seconds": seconds,
                    "source_stays": stays,
                });
                merge_notes(&mut verdict, unseen);
                merge_notes(&mut verdict, wait.why.if_abandoned().map(str::to_owned));
                (verdict, None, None)
            }
            Decision::Reject(reason) => {
                let mut verdict =
                    json!({"verdict": FileStatus::Rejected, "why": reason.to_string()});
                merge_notes(&mut verdict, unseen);
                (verdict, None, None)
            }
        };
        merge(&mut verdict.0, take);
        Ok(verdict)
    }

    /// Returns what `npyd take` would take of a rejected drop that does not fit its description.
    fn take_of_rejected(&self, candidate: &Candidate) -> fs::Result<Value> {
        let unchanged = candidate.age(SystemTime::now()).unwrap_or_default();
        let decision = candidate.decide(&self.drop_dir, unchanged, self.remakes_of(candidate))?;
        explain_take(candidate, &decision)
    }

    /// Applies what `npyd redo` and `npyd take` declared, as the daemon would, and a request to
    /// take the drop that the daemon has not accepted yet.
    pub(super) fn apply_declared(&self, candidate: &mut Candidate) {
        let Some(ledger) = &self.ledger else { return };
        let source = self.drop_dir.path.join(&candidate.input.rel);
        let declared = ledger.declared(&source).ok().flatten();
        if let Some(correction) = declared.and_then(|text| Correction::parse(&text).ok()) {
            candidate.correct(&correction);
        }
        let sidecar = candidate.input.description.as_ref();
        let sidecar = sidecar.map(|sidecar| self.drop_dir.path.join(&sidecar.rel));
        let is_about = |path: &Path| path == source || Some(path) == sidecar.as_deref();
        let requests = ledger.requests(&self.drop_dir.path).unwrap_or_default();
        let target = candidate.target();
        let is_meant = |it: &&Request| is_about(&it.source) && it.why_not_about(&target).is_none();
        for request in requests.iter().filter(is_meant) {
            let take = Correction::parse(&request.options).ok().and_then(|it| it.take);
            candidate.take = take.or(candidate.take);
        }
    }

    /// Returns how often the array was remade, or 0 if the ledger cannot be read.
    fn remakes_of(&self, candidate: &Candidate) -> u32 {
        let source = self.drop_dir.path.join(&candidate.input.rel);
        let ledger = self.ledger.as_ref();
        let earlier =
            ledger.and_then(|it| it.earlier_arrays(&source, candidate.snapshot().ino()).ok());
        earlier.map_or(0, |earlier| earlier.remakes)
    }
}

fn explain_dump(dump: &Dump) -> Value {
    json!({
        "taken_for": dump.kind.to_string(),
        "dtype": dump.layout.dtype.to_string(),
        "shape": dump.layout.shape.dims(),
        "order": dump.layout.order.to_string(),
        "data_offset": dump.data_offset,
        "trailing": dump.trailing,
        "front": dump.front.to_string(),
        "digest": dump.digest.as_ref().map(ToString::to_string),
        "metadata": dump.metadata,
        "doubts": dump.warnings,
    })
}

/// Returns the length of the rest (the bytes behind the array), and the path it would be saved to.
/// There is no path if the source is kept: the rest stays in it.
fn explain_rest(
    drop_dir: &DropDir,
    candidate: &Candidate,
    dump: &Dump,
    route: Option<Route>,
    len: u64,
) -> Value {
    let Some(only) = candidate.input.only_file() else {
        return json!({}); // each file has its own rest
    };
    let takes_its_name = drop_dir.output.is_none() && dump.output == only.name;
    let is_saved = route == Some(Route::InPlace) || drop_dir.source == Disposition::Remove;
    if is_saved || takes_its_name {
        json!({"rest": text(&rest_path(drop_dir, &only.rel, &only.name)), "rest_len": len})
    } else {
        json!({"rest_len": len})
    }
}

/// Plans the file as it is now, without regard to what has the array's name.
fn explain_plan(
    drop_dir: &DropDir,
    candidate: &Candidate,
    evidence: Option<Evidence>,
    (dump, header): (&Dump, Header),
) -> fs::Result<(Value, Option<Route>)> {
    let parent = parent_of(&candidate.input.rel);
    let source = Dir::open_below(&drop_dir.path, parent)?;
    let output =
        drop_dir.output.as_ref().map_or_else(|| drop_dir.path.join(parent), |dir| dir.join(parent));
    let at = match &drop_dir.output {
        Some(_) => open_output_dir(drop_dir, Path::new(""))?,
        None => source.clone(),
    };
    let dirs = (&source, &at);
    Ok(match plan_candidate(drop_dir, dirs, candidate, (dump, &header), evidence)? {
        Ok(plan) => (plan_report(&plan, dump, &output.join(&dump.output)), Some(plan.route)),
        Err(why) => (json!({"notes": [why.to_string()]}), None),
    })
}

/// Describes a plan: route, skipped routes, output and header.
pub(super) fn plan_report(plan: &Plan, dump: &Dump, output: &Path) -> Value {
    let head = plan.head(dump);
    let skipped_routes = plan.skipped_routes.iter();
    let skipped_routes = skipped_routes
        .map(|passed| json!({"route": passed.route.as_str(), "why": passed.why.to_string()}));
    json!({
        "route": plan.route.as_str(),
        "passed_over": skipped_routes.collect::<Vec<_>>(),
        "output": text(output),
        "output_shape": plan.header.shape(),
        "data_len": plan.header.data_len(),
        "header_len": head.len(),
        "header": String::from_utf8_lossy(head.get(10..).unwrap_or_default()).trim_end(),
    })
}
