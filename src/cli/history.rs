//! `npyd history`: lists the ledger's receipts.

use std::collections::{HashMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::archived::{ArchivedAs, archived_as};
use crate::cli::parts::is_part_named;
use crate::cli::quarantined::is_numbered_as;
use crate::cli::rejected_now::is_rejected_now;
use crate::cli::since::Since;
use crate::cli::{ConfigArgs, Exit, FatalError, history_csv, print};
use crate::config::Config;
use crate::describe::Correction;
use crate::ledger::{Entry, HistoryFilter, Ledger};
use crate::model::FileName;
use crate::text::one_line::{one_line, shown};

#[derive(Args)]
#[command(after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
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
    /// List only receipts about this drop directory
    #[arg(long, value_name = "DIR")]
    drop: Option<PathBuf>,
    /// List only receipts with this event; write several with commas or with several --event
    #[arg(long, value_name = "EVENT", value_delimiter = ',', value_parser = EVENTS)]
    #[arg(conflicts_with_all = ["failed", "rejected"], hide_possible_values = true)]
    event: Vec<String>,
    /// List only the newest N receipts
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Print receipts as JSON, one object per line
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print receipts as CSV, with a line of names first
    #[arg(long)]
    csv: bool,
}

/// The events of receipts, as docs/log.md lists them.
const EVENTS: [&str; 8] =
    ["finalized", "remade", "found", "rejected", "failed", "redo", "take", "retried"];

const EXAMPLES: &str = "\
Times are in UTC. The newest receipt comes last. The events are finalized, remade, found, rejected,
failed, redo, take and retried.

Examples:
  npyd history --rejected               what is rejected now, and waits for `npyd retry`
  npyd history --failed --since 12h     what went wrong in the last twelve hours
  npyd history --since 2026-11-29       everything since that day began
  npyd history --limit 20               the last twenty receipts
  npyd history --drop /data/in --event finalized,remade --csv
                                        the arrays of a drop directory, for a spreadsheet
  npyd history scan.raw                 everything about scan.raw
  npyd history /data/npy/scan.npy       what this array was made of, and when";

impl History {
    pub(crate) fn run(&self) -> Result<Exit, FatalError> {
        let config = self.config.read()?;
        let drop_dir = self.drop.as_deref().map(real_path);
        let mut known = vec![false; self.files.len()];
        let mut is_known_dir = drop_dir.as_ref().is_none_or(|dir| config.drop_dir(dir).is_some());
        if self.csv {
            print(&history_csv::header());
        }
        if let Some(ledger) = Ledger::open_to_read(&config.state_dir)? {
            if let Some(dir) = &drop_dir {
                is_known_dir = is_known_dir || ledger.knows_drop_dir(dir)?;
            }
            let filter = HistoryFilter {
                since: self.since.as_ref().map(|Since(at)| at.clone()),
                until: self.until.as_ref().map(|Since(at)| at.clone()),
                drop_dir,
                events: self.events(),
            };
            let mut is_chosen = |entry: &Entry| {
                for (file, known) in self.files.iter().zip(&mut known) {
                    *known = *known || is_about(entry, file, &config);
                }
                self.selects(entry, &filter, &config)
            };
            self.print_chosen(&ledger, &filter, &config, &mut is_chosen)?;
        }
        if let Some(dir) = self.drop.as_ref().filter(|_| !is_known_dir) {
            eprintln!(
                "npyd: {}: neither the configuration nor the ledger has this drop directory",
                shown(dir)
            );
        }
        for (file, _) in self.files.iter().zip(&known).filter(|(_, known)| !**known) {
            let what = if self.rejected { "rejected drop" } else { "drop or array" };
            eprintln!("npyd: {}: the ledger has no {what} of this name", shown(file));
        }
        Ok(Exit::from(is_known_dir && known.into_iter().all(|known| known)))
    }

    /// Prints the receipts that the filter and `is_chosen` select. If files are given, `is_chosen`
    /// sees all receipts about them, so that it notes which of them the ledger knows.
    fn print_chosen(
        &self,
        ledger: &Ledger,
        filter: &HistoryFilter,
        config: &Config,
        is_chosen: &mut dyn FnMut(&Entry) -> bool,
    ) -> Result<(), FatalError> {
        let mut newest = VecDeque::new();
        let mut print = |entry: Entry| match self.limit {
            None => self.print_entry(&entry),
            Some(limit) => {
                newest.push_back(entry);
                if newest.len() > limit {
                    newest.pop_front();
                }
            }
        };
        if self.rejected {
            let mut listed = HashMap::new();
            ledger.each_rejected(|entry| {
                if is_rejected_now(&entry, config, &mut listed) && is_chosen(&entry) {
                    print(entry);
                }
            })?;
        } else if !self.files.is_empty() {
            let names: Vec<_> = self.files.iter().flat_map(|file| possible_names(file)).collect();
            ledger.each_named(&names, |entry| {
                if is_chosen(&entry) {
                    print(entry);
                }
            })?;
        } else if let Some(limit) = self.limit {
            ledger.newest_history(filter, limit, is_chosen, |entry| self.print_entry(&entry))?;
        } else {
            ledger.history(filter, |entry| {
                if is_chosen(&entry) {
                    self.print_entry(&entry);
                }
            })?;
        }
        for entry in &newest {
            self.print_entry(entry);
        }
        Ok(())
    }

    fn print_entry(&self, entry: &Entry) {
        print(&if self.json {
            entry.to_json()
        } else if self.csv {
            history_csv::line(entry)
        } else {
            line(entry)
        });
    }

    /// Returns the events that are listed; none if all are.
    fn events(&self) -> Vec<String> {
        if self.failed {
            ["rejected", "failed"].map(str::to_owned).to_vec()
        } else {
            self.event.clone()
        }
    }

    /// Returns whether the options select an entry.
    fn selects(&self, entry: &Entry, filter: &HistoryFilter, config: &Config) -> bool {
        let HistoryFilter { since, until, drop_dir, events } = filter;
        since.as_ref().is_none_or(|at| entry.at >= *at)
            && until.as_ref().is_none_or(|at| entry.at < *at)
            && drop_dir.as_ref().is_none_or(|dir| *dir == entry.drop_dir)
            && (events.is_empty() || events.contains(&entry.receipt_event()))
            && (self.files.is_empty()
                || self.files.iter().any(|file| is_about(entry, file, config)))
    }
}

/// Returns the names that the source or the array of an entry may have to which `name` refers. A
/// drop with several data files may have any.
pub(crate) fn possible_names(name: &Path) -> Vec<OsString> {
    let own = name.file_name().map(OsStr::to_os_string);
    let archived = FileName::of_path(name).and_then(|name| name.without_number().0);
    own.into_iter().chain(archived.map(|name| name.as_str().into())).collect()
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
pub(crate) fn real_path(name: &Path) -> PathBuf {
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
    let drop_dir = config.drop_dir(&entry.drop_dir);
    let rejects = drop_dir.and_then(|drop_dir| drop_dir.rejects.as_ref());
    let was = rejects.and_then(|rejects| path.strip_prefix(rejects).ok());
    let was = was.map(|below| entry.drop_dir.join(below));
    entry.source == path
        || entry.source.file_name() == Some(name.as_os_str())
        || rel == name
        || was.is_some_and(|was| entry.source == was || is_part_named(entry, &was, &was))
        || is_part_named(entry, name, &path)
        || is_numbered_as(entry, (name, &path), drop_dir)
}
