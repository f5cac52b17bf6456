//! `npyd explain`: shows how npyd classifies a file, what it made of the file or what the file
//! waits for and why, the route and the header. Read-only.

mod array;
mod candidate;
mod dir;
mod file_status;
mod foresight;
mod gone;
mod own_file;
mod rejects;
mod standing;
mod text;
mod undescribed;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use self::candidate::explain_drop;
use self::file_status::FileStatus;
use self::gone::explain_missing;
use self::own_file::explain_own_file;
use self::text::{json_text, print_text};
use self::undescribed::{
    is_of_unusable, remedy_of_mention, remedy_of_undescribed, undescribed_part,
};
use crate::cli::history::{reason_text, time_text};
use crate::cli::locate::{Outside, locate};
use crate::cli::request_check::why_array_waits;
use crate::cli::{ConfigArgs, Exit, FatalError, print, read_config};
use crate::config::{Config, DropDir};
use crate::decide::name_list::NameList;
use crate::decide::reason::Reason;
use crate::describe::Correction;
use crate::fs::{self, Dir};
use crate::ledger::{self, Entry, Ledger, Request};
use crate::probe::corrections::{probe_as_declared, probe_declared};
use crate::probe::{
    ListedDescriptions, ProbeResult, description_facts, mention_of, probe_standalone,
};
use crate::service::tracker::{after_rejected_parts, awaits_data};

#[derive(Args)]
pub(crate) struct Explain {
    /// The file to explain: a data file, a pending file, a description or an array, also one that
    /// is gone, and any file that npyd archived, rejected or saved. Of a directory, lists the files
    /// in it that npyd leaves alone, and its rejected drops, with the reason, one per line
    #[arg(value_name = "FILE|DIR")]
    file: PathBuf,
    #[command(flatten)]
    config: ConfigArgs,
    /// Print the result as one JSON object; of a directory, one for each file
    #[arg(long)]
    json: bool,
}

/// The file in question, and the drop directory that contains it.
struct Query {
    drop_dir: DropDir,
    rel: PathBuf,
    /// The configuration, if there is one.
    config: Option<Config>,
    ledger: Option<Ledger>,
    /// Whether there is a ledger that this user can't read.
    is_unread: bool,
    /// If the daemon does not process files of this directory: the reason.
    outside: Option<String>,
    /// Whether npyd itself puts files into the directory.
    is_managed: bool,
}

impl Explain {
    pub(crate) fn run(&self) -> Result<Exit, FatalError> {
        let path = std::path::absolute(&self.file)?;
        let name = path.file_name().ok_or("expected a file, or a directory other than /")?;
        if path.is_dir() {
            return self.query_dir(&path)?.explain_dir(self.json);
        }
        let mut query = self.query(path.parent().unwrap_or(Path::new("/")), Path::new(name))?;
        let unread = query.open_ledger();
        let mut report = query.explain()?;
        let no_daemon = query.no_daemon(&report);
        merge_notes(&mut report, unread.into_iter().chain(query.other_user()).chain(no_daemon));
        if !FileStatus::is_one_of(&report, &[FileStatus::Finished, FileStatus::Gone])
            && report.get("outside").is_none()
            && let Some(outside) = query.outside
        {
            merge(&mut report, json!({"outside": outside}));
        }
        if self.json {
            print(&report.to_string());
        } else {
            print_text(&path, &report);
        }
        Ok(Exit::from(!FileStatus::is_one_of(&report, &[FileStatus::Gone])))
    }

    /// Finds the drop directory that is this directory or contains it. Any other directory is
    /// explained as `npyd finalize -r` processes it.
    fn query_dir(&self, dir: &Path) -> Result<Query, FatalError> {
        let mut query = self.query(dir, Path::new(""))?;
        if query.outside.is_some() {
            query.drop_dir.include_below();
        }
        Ok(query)
    }

    /// Finds the drop directory that contains the file. A file outside all drop directories gets
    /// its own directory with default settings.
    fn query(&self, parent: &Path, name: &Path) -> Result<Query, FatalError> {
        let config = &self.config.config;
        let by_default = config == Path::new(crate::config::DEFAULT_PATH);
        let mut read = None;
        let (mut outside, mut is_managed) = ("there is no configuration".to_owned(), false);
        if !by_default || config.exists() {
            let config = read_config(config)?;
            match locate(&config, parent, name) {
                Ok((drop_dir, rel)) => {
                    return Ok(Query {
                        drop_dir: drop_dir.clone(),
                        rel,
                        config: Some(config),
                        ledger: None,
                        is_unread: false,
                        outside: None,
                        is_managed,
                    });
                }
                Err(Outside { why, is_managed: is }) => (outside, is_managed) = (why, is),
            }
            read = Some(config);
        }
        let outside = Some(format!("{outside}; only `npyd finalize` processes it"));
        let parent = parent.canonicalize().unwrap_or_else(|_| parent.to_path_buf());
        let (drop_dir, rel) = (DropDir::at(&parent), PathBuf::from(name));
        let is_unread = false;
        Ok(Query { drop_dir, rel, config: read, ledger: None, is_unread, outside, is_managed })
    }
}

impl Query {
    /// Opens the ledger. Returns a note if it can't be read: whether npyd has processed the file is
    /// unknown then.
    fn open_ledger(&mut self) -> Option<String> {
        match Ledger::open_to_read(&self.config.as_ref()?.state_dir) {
            Ok(ledger) => {
                self.ledger = ledger;
                None
            }
            Err(error) => {
                self.is_unread = true;
                Some(format!("what npyd has done is unknown here: {error}"))
            }
        }
    }

    /// Returns the user ID of the ledger's owner.
    fn ledger_owner(&self) -> Option<u32> {
        let stat = std::fs::metadata(&self.config.as_ref()?.state_dir).ok()?;
        Some(stat.uid())
    }

    /// Returns a note if no daemon would do what is left to do.
    fn no_daemon(&self, report: &Value) -> Option<String> {
        const OPEN: [FileStatus; 5] = [
            FileStatus::Ready,
            FileStatus::Waiting,
            FileStatus::Failing,
            FileStatus::Leftover,
            FileStatus::Unknown,
        ];
        let state_dir = &self.config.as_ref().filter(|_| self.outside.is_none())?.state_dir;
        let is_open = FileStatus::is_one_of(report, &OPEN);
        let daemons = fs::find_daemons(state_dir).filter(|_| is_open)?;
        daemons.is_empty().then(|| {
            format!(
                "no daemon uses the state directory `{}` now: start npyd, or run `npyd sweep`",
                state_dir.display()
            )
        })
    }

    /// Returns a note if this process does not run as the owner of the ledger: it may have fewer or
    /// other permissions than the daemon.
    fn other_user(&self) -> Option<String> {
        let owner = ledger::other_owner(&self.config.as_ref()?.state_dir)?;
        Some(format!(
            "seen with the rights of user `{}`; npyd's ledger belongs to user `{owner}`, whose \
             rights may differ",
            ledger::own_name()
        ))
    }

    fn path(&self) -> PathBuf {
        self.drop_dir.path.join(&self.rel)
    }

    /// Returns the configured drop directories.
    fn drop_dirs(&self) -> &[DropDir] {
        self.config.as_ref().map_or(&[], |config| &config.drop_dirs)
    }

    /// Returns the settings of the drop directory that a receipt is about.
    fn drop_dir_of(&self, entry: &Entry) -> Option<&DropDir> {
        self.config.as_ref()?.drop_dir(&entry.drop_dir)
    }

    /// Returns the newest receipt about a source.
    fn latest(&self, source: &Path) -> Option<Entry> {
        self.ledger.as_ref()?.latest(source).ok().flatten()
    }

    fn explain(&self) -> fs::Result<Value> {
        let mut source = self.path();
        let mut report = json!({"drop": text(&self.drop_dir.path), "source": text(&source)});
        if self.outside.is_some()
            && let Some(own) = explain_own_file(self, &self.path())?
        {
            merge(&mut report, own);
            return Ok(report);
        }
        let result =
            probe_standalone(&self.drop_dir, &self.rel, &mut ListedDescriptions::default());
        let result = self.described_by_redo(&self.rel, result);
        let more = match result {
            Ok(ProbeResult::Candidate(candidate)) => {
                source = self.drop_dir.path.join(&candidate.input.rel);
                explain_drop(self, *candidate)?
            }
            Ok(ProbeResult::Missing) => explain_missing(self),
            Ok(ProbeResult::Residue(residue)) if residue.rel != self.rel => explain_missing(self),
            Err(error) if error.is_missing() => explain_missing(self),
            Ok(result) => self.explain_other(result)?,
            Err(error) => return Err(error),
        };
        let is_left = [FileStatus::Finished, FileStatus::Ignored, FileStatus::Gone];
        if self.is_managed && !FileStatus::is_one_of(&more, &is_left) {
            merge(&mut report, foresight::instead(FileStatus::Ignored, dir::IN_OWN_DIR));
            return Ok(report);
        }
        merge(&mut report, more);
        merge(&mut report, self.pending_request(&source));
        if report.get("last").is_none()
            && let Some(entry) = self.latest(&source)
        {
            merge(&mut report, last_receipt(&entry));
        }
        Ok(report)
    }

    /// Returns the result of a probe; if nothing describes the data file at `rel`, that with the
    /// layout that `npyd redo` declared, or that a request gives which npyd has not carried out.
    fn described_by_redo(
        &self,
        rel: &Path,
        result: fs::Result<ProbeResult>,
    ) -> fs::Result<ProbeResult> {
        let Ok(ProbeResult::Ignored(Reason::Undescribed { .. })) = &result else { return result };
        let Some(ledger) = &self.ledger else { return result };
        let root = Dir::open(&self.drop_dir.path)?;
        let (place, source) = ((&self.drop_dir, &root), self.drop_dir.path.join(rel));
        let declared = ledger.declared(&source).ok().flatten();
        let declared = declared.and_then(|it| probe_as_declared(place, rel, &it).ok()?);
        let requested = || {
            let requests = ledger.requests(&self.drop_dir.path).ok()?;
            let request = requests.into_iter().rfind(|it| it.source == source)?;
            let keys = Correction::parse(&request.options).ok()?;
            let candidate = probe_declared(place, rel, &keys).ok()?.ok()?;
            request.why_not_about(&candidate.target()).is_none().then_some(candidate)
        };
        let candidate = declared.map(|(candidate, _)| candidate).or_else(requested);
        candidate.map_or(result, |candidate| Ok(ProbeResult::Candidate(Box::new(candidate))))
    }

    /// Explains a file that is neither a drop nor missing.
    fn explain_other(&self, result: ProbeResult) -> fs::Result<Value> {
        Ok(match result {
            ProbeResult::Ignored(why) => self.explain_ignored(&why)?,
            ProbeResult::AwaitingData { why, data, parts, path: manifest } => {
                let why = self.after_earlier_data(why, &data, &parts);
                self.explain_awaiting(&why, &manifest)
            }
            ProbeResult::Multiple { data, .. } => {
                let files: Vec<_> =
                    data.iter().map(|rel| text(&self.drop_dir.path.join(rel))).collect();
                json!({
                    "taken_for": self.kind_of(&self.rel), "verdict": FileStatus::SeveralArrays,
                    "why": format!(
                        "it describes several arrays; run `npyd explain` on a data file: {}",
                        files.join(", ")
                    )
                })
            }
            ProbeResult::Residue(residue)
                if let Some(ledger) = &self.ledger
                    && matches!(awaits_data(ledger, &self.drop_dir, &residue), Ok(true)) =>
            {
                let why = residue.why.to_string();
                json!({"taken_for": "manifest", "verdict": FileStatus::Waiting, "why": why})
            }
            ProbeResult::Residue(_) => json!({
                "taken_for": self.kind_of(&self.rel), "verdict": FileStatus::Leftover,
                "why": "its data were finalized; it will be moved next to the array"
            }),
            ProbeResult::Candidate(_) | ProbeResult::Missing => Value::Null,
        })
    }

    /// Explains a file that is not a drop.
    fn explain_ignored(&self, why: &Reason) -> fs::Result<Value> {
        if matches!(why, Reason::Private)
            && let Some(interrupted) = self.explain_interrupted(&self.path())
        {
            return Ok(interrupted);
        }
        if let Some(array) = array::explain_array(self)? {
            return Ok(array);
        }
        if let Some(own) = explain_own_file(self, &self.path())? {
            return Ok(own);
        }
        let mut report =
            json!({"taken_for": null, "verdict": FileStatus::Ignored, "why": why.to_string()});
        if let Reason::Undescribed { remark } = why
            && self.outside.is_none()
        {
            if let Some(note) = self.latest_with_part(&self.path()).and_then(undescribed_part) {
                merge_notes(&mut report, [note]);
                return Ok(report);
            }
            let note = match mention_of(&self.drop_dir, &self.rel)? {
                // The reason says so already if the name leads to that description.
                Some((by, mention)) if !is_of_unusable(remark.as_ref(), &by) => {
                    remedy_of_mention(&self.rel, &by, &mention)
                }
                _ => remedy_of_undescribed(&self.rel, remark.as_ref()),
            };
            let ignored = remark.is_none().then(|| self.ignored_manifest()).flatten();
            merge_notes(&mut report, self.earlier_array().into_iter().chain([note]).chain(ignored));
        }
        Ok(report)
    }

    /// Returns why a manifest beside the file would be ignored, if it would.
    fn ignored_manifest(&self) -> Option<String> {
        let name = self.rel.file_name()?.to_str()?;
        let manifest = self.rel.with_file_name(format!("{name}.toml"));
        Some(self.drop_dir.ignore.reason(&manifest, false)?.to_string())
    }

    /// Explains a description that waits for data, or one of its data files.
    fn explain_awaiting(&self, why: &Reason, manifest: &Path) -> Value {
        let facts = description_facts(&self.drop_dir, manifest).ok().flatten();
        let kind = facts.as_ref().map(|facts| facts.kind.to_string());
        if manifest != self.rel {
            let by = manifest.display();
            return json!({
                "taken_for": null, "verdict": FileStatus::Waiting,
                "why": format!("`{by}`, which describes it, waits: {why}"),
                "sidecar": text(&self.drop_dir.path.join(manifest)),
            });
        }
        let mut report =
            json!({"taken_for": kind, "verdict": FileStatus::Waiting, "why": why.to_string()});
        let named_for = facts.map(|facts| facts.named_for).unwrap_or_default();
        if !named_for.is_empty() {
            let name = manifest.file_name().unwrap_or_default().display();
            let note = format!(
                "beside it there is {}: if that is its data, correct the name in `{name}`",
                NameList::of(&named_for)
            );
            merge_notes(&mut report, [note]);
        }
        report
    }

    /// Returns what kind of description a file is.
    fn kind_of(&self, rel: &Path) -> Option<String> {
        let facts = description_facts(&self.drop_dir, rel).ok().flatten();
        facts.map(|facts| facts.kind.to_string())
    }

    /// Describes a request about the file that npyd has not carried out yet.
    fn pending_request(&self, source: &Path) -> Value {
        let Some(ledger) = &self.ledger else { return json!({}) };
        // Of an array, the drop that it was made of.
        let made = self.latest_of_array(&self.path());
        let made = made.as_ref().and_then(|it| Some((self.drop_dir_of(it)?, it.source.as_path())));
        let (drop_dir, source) = made.unwrap_or((&self.drop_dir, source));
        let requests = ledger.requests(&drop_dir.path).unwrap_or_default();
        let is_named = |it: &Request| made.is_none() || it.target.may_be_array(&self.path());
        let is_about =
            |it: &Request| (it.source == source || it.source == self.path()) && is_named(it);
        let Some(request) = requests.into_iter().rfind(is_about) else {
            return json!({});
        };
        let waits = why_array_waits((drop_dir, ledger), &request);
        let waits = waits.map_or_else(String::new, |why| format!(", it waits: {why}"));
        let words = Correction::parse(&request.options).map(|it| it.to_string());
        let words = words.ok().filter(|words| !words.is_empty());
        let words = words.map_or_else(String::new, |words| format!(" ({words})"));
        let (kind, at) = (request.kind.as_str(), request.at);
        json!({"request": format!("`npyd {kind}`{words} at {at}: not carried out yet{waits}")})
    }

    /// Returns the reason for waiting for a data file, as the daemon gives it.
    fn after_earlier_data(&self, why: Reason, data: &[PathBuf], parts: &[PathBuf]) -> Reason {
        let mut earlier =
            data.iter().filter_map(|data| self.latest(&self.drop_dir.path.join(data)));
        match earlier.find(Entry::is_settled) {
            Some(entry) => entry.add_earlier_data(why, self.drop_dir.rejects.is_some()),
            None => match &self.ledger {
                Some(ledger) => after_rejected_parts(ledger, &self.drop_dir, why, (data, parts)),
                None => why,
            },
        }
    }
}

/// Returns a receipt, and a line of text about it.
fn last_receipt(entry: &Entry) -> Value {
    let receipt: Value = serde_json::from_str(&entry.to_json()).unwrap_or_default();
    let why = Some(reason_text(entry)).filter(|it| !it.is_empty()).map(|why| format!(": {why}"));
    let event = json_text(&receipt["event"]).unwrap_or_default();
    let line = format!("{event} at {}{}", time_text(&entry.at), why.unwrap_or_default());
    json!({"last": receipt, "ledger": line})
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

/// Adds notes to those that the explanation has.
fn merge_notes(report: &mut Value, notes: impl IntoIterator<Item = String>) {
    let mut all = report["notes"].as_array().cloned().unwrap_or_default();
    all.extend(notes.into_iter().map(Value::String));
    if !all.is_empty() {
        merge(report, json!({"notes": all}));
    }
}
