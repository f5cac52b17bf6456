//! `npyd explain`: shows how a file is classified, what it is waiting for and why, its route and
//! its header. Read-only.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::{Value, json};

use crate::cli::locate::locate;
use crate::cli::{ConfigArgs, Exit, FatalError, print, read_config};
use crate::config::{Disposition, DropDir};
use crate::decide::completeness::{Evidence, Wait};
use crate::decide::plan::Plan;
use crate::decide::route::Route;
use crate::describe::{Correction, Dump, LeadingBytes, Rows, Taken};
use crate::finalize::{constraints_between, rest_path, why_source_stays};
use crate::fs::{self, Dir};
use crate::ledger::Ledger;
use crate::npy::Header;
use crate::probe::candidate::{Candidate, Decision};
use crate::probe::{ListedDescriptions, ProbeResult, probe_standalone};

#[derive(Args)]
pub(crate) struct Explain {
    /// The file to explain: a data file, a pending file, or a description
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    config: ConfigArgs,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

/// The file in question, and the drop directory that contains it.
struct Query {
    drop_dir: DropDir,
    rel: PathBuf,
    /// The ledger's directory, if there is a configuration.
    state_dir: Option<PathBuf>,
    /// Why the daemon does not process files of this directory, if so.
    outside: Option<String>,
}

impl Explain {
    pub(crate) fn run(&self) -> Result<Exit, FatalError> {
        let path = std::path::absolute(&self.file)?;
        let Query { drop_dir, rel, state_dir, outside } = self.query(&path)?;
        let (source, mut report) = explain(&drop_dir, &rel, state_dir.as_deref())?;
        if let Some(outside) = outside {
            merge(&mut report, json!({"outside": outside}));
        }
        if let Some(ledger) = state_dir.and_then(|dir| last_receipt(&dir, &source)) {
            merge(&mut report, ledger);
        }
        if self.json {
            print(&report.to_string());
        } else {
            print_text(&path, &report);
        }
        Ok(Exit::Success)
    }

    /// Finds the drop directory that contains the file. A file outside all drop directories gets
    /// its own directory with default settings.
    fn query(&self, path: &Path) -> Result<Query, FatalError> {
        let name = path.file_name().ok_or("expected a file, not a directory")?;
        let parent = path.parent().unwrap_or(Path::new("/"));
        let config = &self.config.config;
        let by_default = config == Path::new(crate::config::DEFAULT_PATH);
        let mut state_dir = None;
        let mut outside = "there is no configuration".to_owned();
        if !by_default || config.exists() {
            let config = read_config(config)?;
            match locate(&config, parent, Path::new(name)) {
                Ok((drop_dir, rel)) => {
                    let (drop_dir, state_dir) = (drop_dir.clone(), Some(config.state_dir));
                    return Ok(Query { drop_dir, rel, state_dir, outside: None });
                }
                Err(why) => outside = why,
            }
            state_dir = Some(config.state_dir);
        }
        let outside = Some(format!("{outside}; only `npyd finalize` processes it"));
        Ok(Query { drop_dir: DropDir::at(parent), rel: PathBuf::from(name), state_dir, outside })
    }
}

/// Returns the latest receipt of the file, and a line of text about it.
fn last_receipt(state_dir: &Path, source: &Path) -> Option<Value> {
    let latest = Ledger::open_to_read(state_dir)
        .and_then(|ledger| ledger.map_or(Ok(None), |ledger| ledger.latest(source)));
    match latest {
        Ok(entry) => {
            let receipt: Value = serde_json::from_str(&entry?.to_json()).ok()?;
            let why =
                json_text(&receipt["reason"]).map(|why| format!(": {why}")).unwrap_or_default();
            let (event, at) = (json_text(&receipt["event"])?, json_text(&receipt["at"])?);
            Some(json!({"last": receipt, "ledger": format!("{event} at {at}{why}")}))
        }
        Err(error) => Some(json!({"ledger": error.to_string()})),
    }
}

/// Explains a file. Returns the path of its data file, if that was found, and the report.
fn explain(
    drop_dir: &DropDir,
    rel: &Path,
    state_dir: Option<&Path>,
) -> fs::Result<(PathBuf, Value)> {
    let mut source = drop_dir.path.join(rel);
    let mut report = json!({"drop": text(&drop_dir.path), "source": text(&source)});
    let more = match probe_standalone(drop_dir, rel, &mut ListedDescriptions::default())? {
        ProbeResult::Missing => {
            json!({"taken_for": null, "verdict": "gone", "why": "there is no such file"})
        }
        ProbeResult::Ignored(why) => {
            json!({"taken_for": null, "verdict": "ignored", "why": why.to_string()})
        }
        ProbeResult::AwaitingData { why, .. } => {
            json!({"taken_for": "manifest", "verdict": "waiting", "why": why.to_string()})
        }
        ProbeResult::Multiple { data, .. } => json!({
            "taken_for": "sidecar", "verdict": "several arrays",
            "why": format!(
                "it describes several arrays; run `npyd explain` on a data file: {}",
                data.iter().map(|rel| text(&drop_dir.path.join(rel))).collect::<Vec<_>>().join(", ")
            )
        }),
        ProbeResult::Residue(_) => json!({
            "taken_for": "manifest", "verdict": "leftover",
            "why": "its data were finalized; it will be moved next to the array"
        }),
        ProbeResult::Candidate(mut candidate) => {
            apply_declared(drop_dir, &mut candidate, state_dir);
            source = drop_dir.path.join(&candidate.rel);
            explain_candidate(drop_dir, &candidate, state_dir)?
        }
    };
    merge(&mut report, more);
    Ok((source, report))
}

fn explain_candidate(
    drop_dir: &DropDir,
    candidate: &Candidate,
    state_dir: Option<&Path>,
) -> fs::Result<Value> {
    let remakes = state_dir.map_or(0, |dir| remakes_of(dir, drop_dir, candidate));
    let unchanged = candidate.age(SystemTime::now()).unwrap_or_default();
    let stat = &candidate.stat;
    let mut report = json!({
        "source": text(&drop_dir.path.join(&candidate.rel)),
        "sidecar": candidate.sidecar.as_ref().map(|sidecar| text(&drop_dir.path.join(&sidecar.rel))),
        "size": stat.size,
        "allocated": stat.blocks * 512,
        "unchanged_seconds": unchanged.as_secs_f64(),
    });
    if let Ok(dump) = &candidate.dump {
        merge(&mut report, explain_dump(dump));
    }
    let mut proof = None;
    let decision = candidate.decide(drop_dir, unchanged, remakes)?;
    merge(&mut report, explain_take(candidate, &decision)?);
    let (verdict, header) = match decision {
        Decision::Finalize { header, evidence, remark } => {
            proof = Some(evidence);
            let verdict = json!({
                "verdict": "ready",
                "evidence": evidence.to_string(),
                "why": remark,
                "source_stays": why_source_stays(drop_dir, candidate, evidence)?,
            });
            (verdict, Some(*header))
        }
        Decision::Wait(wait) => {
            let seconds = wait.ready_in.as_ref().map(Duration::as_secs_f64);
            let is_word = matches!(&candidate.dump, Ok(dump) if dump.digest.is_some());
            let stays = match seconds {
                Some(_) if !is_word => why_source_stays(drop_dir, candidate, Evidence::Quiet)?,
                _ => None,
            };
            let verdict = json!({
                "verdict": "waiting",
                "why": wait.why.to_string(),
                "proof_in_seconds": seconds,
                "source_stays": stays,
            });
            (verdict, None)
        }
        Decision::Reject(reason) => {
            (json!({"verdict": "rejected", "why": reason.to_string()}), None)
        }
    };
    merge(&mut report, verdict);
    if let Ok(dump) = &candidate.dump
        && let Some(header) = header.or_else(|| dump.header(stat.size).ok())
    {
        let rest = candidate.rest_len(dump, &header)?;
        merge(&mut report, explain_plan(drop_dir, candidate, proof, (dump, header))?);
        if proof.is_some() && rest > 0 {
            let route = json_text(&report["route"]).unwrap_or_default();
            merge(&mut report, explain_rest(drop_dir, candidate, dump, &route, rest));
        }
    }
    Ok(report)
}

/// Returns what `npyd take` would take of a drop that does not fit its description.
fn explain_take(candidate: &Candidate, decision: &Decision) -> fs::Result<Value> {
    let (Decision::Wait(Wait { why, .. }) | Decision::Reject(why)) = decision else {
        return Ok(json!({}));
    };
    Ok(match &candidate.dump {
        Ok(dump)
            if why.lasts_while_unchanged() && !matches!(dump.front, LeadingBytes::Header(_)) =>
        {
            match candidate.taken(dump, Rows::All)? {
                Ok(Taken { remark, .. }) => json!({"take": remark}),
                Err(why) => json!({"take": why}),
            }
        }
        _ => json!({}),
    })
}

/// Applies what `npyd redo` and `npyd take` declared, as the daemon would, and a request to take
/// the drop that the daemon has not accepted yet.
fn apply_declared(drop_dir: &DropDir, candidate: &mut Candidate, state_dir: Option<&Path>) {
    let ledger = state_dir.and_then(|dir| Ledger::open_to_read(dir).ok().flatten());
    let Some(ledger) = ledger else { return };
    let source = drop_dir.path.join(&candidate.rel);
    let declared = ledger.declared(&source).ok().flatten();
    if let Some(correction) = declared.and_then(|text| Correction::parse(&text).ok()) {
        candidate.correct(&correction);
    }
    let sidecar = candidate.sidecar.as_ref().map(|sidecar| drop_dir.path.join(&sidecar.rel));
    let is_about = |path: &Path| path == source || Some(path) == sidecar.as_deref();
    let requests = ledger.requests(&drop_dir.path).unwrap_or_default();
    for request in requests.iter().filter(|request| is_about(&request.source)) {
        let take = Correction::parse(&request.options).ok().and_then(|requested| requested.take);
        candidate.take = take.or(candidate.take);
    }
}

/// Returns how often the array was remade, or 0 if the ledger cannot be read.
fn remakes_of(state_dir: &Path, drop_dir: &DropDir, candidate: &Candidate) -> u32 {
    let ledger = Ledger::open_to_read(state_dir).ok().flatten();
    let source = drop_dir.path.join(&candidate.rel);
    let earlier = ledger.and_then(|it| it.earlier_arrays(&source, candidate.stat.ino).ok());
    earlier.map_or(0, |earlier| earlier.remakes)
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
    route: &str,
    len: u64,
) -> Value {
    let takes_its_name = drop_dir.output.is_none() && dump.output == candidate.name;
    let is_saved = route == Route::InPlace.as_str() || drop_dir.source == Disposition::Remove;
    if !candidate.parts.is_empty() {
        json!({}) // each part has its own rest
    } else if is_saved || takes_its_name {
        json!({"rest": text(&rest_path(drop_dir, &candidate.rel, &candidate.name)), "rest_len": len})
    } else {
        json!({"rest_len": len})
    }
}

/// Plans the file as it is now: route, skipped routes, output and header.
fn explain_plan(
    drop_dir: &DropDir,
    candidate: &Candidate,
    evidence: Option<Evidence>,
    (dump, header): (&Dump, Header),
) -> fs::Result<Value> {
    let parent = candidate.rel.parent().unwrap_or(Path::new(""));
    let source = Dir::open_below(&drop_dir.path, parent)?;
    let output =
        drop_dir.output.as_ref().map_or_else(|| drop_dir.path.join(parent), |dir| dir.join(parent));
    let at = match &drop_dir.output {
        Some(dir) => Dir::open_trusted(dir, drop_dir.untrusted_root())?,
        None => source.try_clone()?,
    };
    let constraints = constraints_between(drop_dir, &source, &at, candidate, evidence)?;
    let size = match evidence {
        Some(Evidence::Salvaged | Evidence::Taken) => dump.end_of(&header),
        _ => candidate.stat.size,
    };
    let plan = Plan::new(dump, header, size, &constraints);
    let head = plan.head(dump);
    let skipped_routes = plan.skipped_routes.iter();
    let skipped_routes =
        skipped_routes.map(|passed| json!({"route": passed.route.as_str(), "why": passed.why}));
    Ok(json!({
        "route": plan.route().as_str(),
        "passed_over": skipped_routes.collect::<Vec<_>>(),
        "output": text(&output.join(&dump.output)),
        "output_shape": plan.header.shape(),
        "data_len": plan.header.data_len(),
        "header_len": head.len(),
        "header": String::from_utf8_lossy(head.get(10..).unwrap_or_default()).trim_end(),
    }))
}

/// Converts a path for JSON. Lossy, because JSON is UTF-8.
fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn merge(into: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}

fn print_text(path: &Path, report: &Value) {
    print(&path.display().to_string());
    let rows: [(&str, &[&str]); 17] = [
        ("kind", &["taken_for"]),
        ("described by", &["sidecar"]),
        ("verdict", &["verdict", "evidence"]),
        ("because", &["why"]),
        ("note", &["outside"]),
        ("npyd take", &["take"]),
        ("source", &["source_stays"]),
        ("ledger", &["ledger"]),
        ("size", &["size"]),
        ("allocated", &["allocated"]),
        ("dtype", &["dtype"]),
        ("shape", &["shape", "order"]),
        ("data offset", &["data_offset"]),
        ("route", &["route"]),
        ("output", &["output"]),
        ("rest", &["rest"]),
        ("header", &["header"]),
    ];
    for (label, keys) in rows {
        let values: Vec<String> = keys.iter().filter_map(|key| json_text(&report[*key])).collect();
        if !values.is_empty() {
            print(&format!("  {label:<14} {}", values.join(", ")));
        }
    }
    for warning in report["doubts"].as_array().into_iter().flatten() {
        print(&format!("  {:<14} {}", "warning", json_text(warning).unwrap_or_default()));
    }
    for passed in report["passed_over"].as_array().into_iter().flatten() {
        let (route, why) = (json_text(&passed["route"]), json_text(&passed["why"]));
        print(&format!(
            "  {:<14} {}",
            format!("not {}", route.unwrap_or_default()),
            why.unwrap_or_default()
        ));
    }
}

/// Formats a JSON value for people: strings without quotes, arrays as a NumPy shape.
fn json_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(dims) => {
            let dims: Vec<String> = dims.iter().map(ToString::to_string).collect();
            Some(format!("({}{})", dims.join(", "), if dims.len() == 1 { "," } else { "" }))
        }
        other => Some(other.to_string()),
    }
}
