//! `npyd history`: lists the ledger's receipts.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::archived::{ArchivedAs, archived_as};
use crate::cli::parts::is_part_named;
use crate::cli::since::Since;
use crate::cli::{ConfigArgs, Exit, FatalError, print};
use crate::config::Config;
use crate::describe::Correction;
use crate::finalize::{RejectedDrop, rejected_paths};
use crate::ledger::{Entry, Ledger};
use crate::model::FileName;
use crate::text::one_line::{one_line, shown};

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct History {
    /// Names or paths of data files or of their arrays, whose receipts are listed; without one, all
    /// receipts
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
    /// List only receipts since then: a duration before now (2h, 7days), or a date with or without
    /// a time, in UTC
    #[arg(long, value_name = "WHEN")]
    since: Option<Since>,
    /// List only receipts before then, written like --since
    #[arg(long, value_name = "WHEN")]
    until: Option<Since>,
    /// List the drops that are rejected now, which `npyd retry` tries again: the last receipt of
    /// each
    #[arg(long, conflicts_with = "failed")]
    rejected: bool,
    /// List only rejected and failed drops, and requests that failed
    #[arg(long)]
    failed: bool,
    /// Print receipts as JSON, one object per line
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Times are in UTC. The newest receipt comes last.

Examples:
  npyd history --rejected               what is rejected now, and waits for `npyd retry`
  npyd history --failed --since 12h     what went wrong in the last twelve hours
  npyd history --since 2026-11-29       everything since that day began
  npyd history scan.raw                 everything about scan.raw
  npyd history /data/npy/scan.npy       what this array was made of, and when";

impl History {
    pub(crate) fn run(&self) -> Result<Exit, FatalError> {
        let config = self.config.read()?;
        let mut known = vec![false; self.files.len()];
        if let Some(ledger) = Ledger::open_to_read(&config.state_dir)? {
            let mut see = |entry: Entry| {
                for (file, known) in self.files.iter().zip(&mut known) {
                    *known = *known || is_about(&entry, file, &config);
                }
                if self.selects(&entry, &config) {
                    print(&if self.json { entry.to_json() } else { line(&entry) });
                }
            };
            if self.rejected {
                let rejected = ledger.rejected()?.into_iter();
                rejected.filter(|entry| is_still_there(entry, &config)).for_each(&mut see);
            } else {
                ledger.for_each(see)?;
            }
        }
        for (file, _) in self.files.iter().zip(&known).filter(|(_, known)| !**known) {
            let what = if self.rejected { "rejected drop" } else { "drop or array" };
            eprintln!("npyd: {}: the ledger has no {what} of this name", shown(file));
        }
        Ok(Exit::from(known.into_iter().all(|known| known)))
    }

    /// Returns whether the options select an entry.
    fn selects(&self, entry: &Entry, config: &Config) -> bool {
        let is_chosen = |file: &PathBuf| is_about(entry, file, config);
        self.since.as_ref().is_none_or(|Since(at)| entry.at >= *at)
            && self.until.as_ref().is_none_or(|Since(at)| entry.at < *at)
            && (!self.failed || entry.is_bad_news())
            && (self.files.is_empty() || self.files.iter().any(is_chosen))
    }
}

/// Returns whether the file of a rejected drop is still there: in its place, or in `rejects`.
pub(crate) fn is_still_there(entry: &Entry, config: &Config) -> bool {
    if !is_missing(&entry.source) {
        return true;
    }
    let mut drop_dirs = config.drop_dirs.iter();
    let drop_dir = drop_dirs.find(|drop_dir| drop_dir.path == entry.drop_dir);
    let rejected = rejected_drop(entry);
    // What this user may not see may be there.
    drop_dir
        .is_some_and(|it| !matches!(rejected_paths(it, &rejected), Ok(paths) if paths.is_empty()))
}

/// Returns the rejected drop of an entry.
pub(crate) fn rejected_drop(entry: &Entry) -> RejectedDrop {
    RejectedDrop { source: entry.source.clone(), identity: entry.identity(), parts: entry.parts() }
}

/// Returns whether `name` refers to the drop of an entry, or to its array.
fn is_about(entry: &Entry, name: &Path, config: &Config) -> bool {
    is_named(entry, name, config)
        || is_array_named(entry, name)
        || is_archived_at(entry, &real_path(name), config)
}

/// Returns whether npyd archived the source of an entry under this path.
fn is_archived_at(entry: &Entry, path: &Path, config: &Config) -> bool {
    let (Some(dir), Some(file)) = (path.parent(), FileName::of_path(path)) else { return false };
    archived_as(entry, (dir, &file), &config.drop_dirs) == Some(ArchivedAs::Source)
}

/// Returns the absolute path of a file that may be gone, with the links and `..` of its directory
/// resolved, as the ledger has it.
fn real_path(name: &Path) -> PathBuf {
    let path = std::path::absolute(name).unwrap_or_default();
    match (path.parent().and_then(|parent| parent.canonicalize().ok()), path.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => path,
    }
}

/// Formats a ledger entry as one line of text.
fn line(entry: &Entry) -> String {
    let output = entry.output.as_ref().map(|output| format!(" → {}", output.display()));
    let reason = Some(reason_text(entry)).filter(|it| !it.is_empty()).map(|it| format!(": {it}"));
    one_line(&format!(
        "{}  {:<9}  {}{}{}",
        time_text(&entry.at),
        entry.receipt_event(),
        entry.source.display(),
        output.unwrap_or_default(),
        reason.unwrap_or_default()
    ))
}

/// Formats the time of an entry, which is UTC.
pub(crate) fn time_text(at: &str) -> String {
    let time = at.split('.').next().unwrap_or(at).trim_end_matches('Z');
    format!("{} UTC", time.replace('T', " "))
}

/// Returns the reason of an entry; that of a request is what it asked for.
pub(crate) fn reason_text(entry: &Entry) -> String {
    if !entry.is_request() {
        return entry.reason();
    }
    let options = Correction::parse(&entry.reason()).map(|options| options.to_string());
    match options {
        Ok(options) if !options.is_empty() => format!("requested, {options}"),
        _ => "requested".to_owned(),
    }
}

/// Returns whether `name` is the name or the path of the entry's array.
pub(crate) fn is_array_named(entry: &Entry, name: &Path) -> bool {
    let path = real_path(name);
    let is_named = |it: &PathBuf| *it == path || it.file_name() == Some(name.as_os_str());
    entry.output.as_ref().is_some_and(is_named)
}

/// Returns whether there is no such file. This user may not be allowed to see it; npyd is.
pub(crate) fn is_missing(path: &Path) -> bool {
    path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

/// Returns whether `name` refers to the entry: by the name or path of its file or of a part of it,
/// or by the path in the quarantine.
pub(crate) fn is_named(entry: &Entry, name: &Path, config: &Config) -> bool {
    let path = real_path(name);
    let rel = entry.source.strip_prefix(&entry.drop_dir).unwrap_or(&entry.source);
    let drop_dir = config.drop_dirs.iter().find(|drop_dir| drop_dir.path == entry.drop_dir);
    let rejects = drop_dir.and_then(|drop_dir| drop_dir.rejects.as_ref());
    let was = rejects.and_then(|rejects| path.strip_prefix(rejects).ok());
    let was = was.map(|below| entry.drop_dir.join(below));
    entry.source == path
        || entry.source.file_name() == Some(name.as_os_str())
        || rel == name
        || was.is_some_and(|was| entry.source == was || is_part_named(entry, &was, &was))
        || is_part_named(entry, name, &path)
}
