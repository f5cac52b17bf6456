//! `npyd take`: stores requests to take files as they are; the daemon or the next sweep executes
//! them.

use std::path::{Component, Path, PathBuf};

use clap::Args;

use crate::cli::history::{is_missing, is_named};
use crate::cli::locate::locate;
use crate::cli::quarantined::rejected_with_file;
use crate::cli::rejected_now::rejected_drop;
use crate::cli::request_check::check_take;
use crate::cli::{ConfigArgs, Exit, FatalError, print};
use crate::config::{Config, DropDir};
use crate::decide::request_kind::RequestKind;
use crate::describe::{Correction, Rows};
use crate::finalize::rejected_paths;
use crate::ledger::{self, Ledger};

#[derive(Args)]
pub(crate) struct Take {
    #[command(flatten)]
    config: ConfigArgs,
    /// Data files that are waiting or were rejected because their size, their number of rows or a
    /// mark does not fit; or the files that describe them: their paths, or their names in the drop
    /// directories
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Rows to take: all complete ones, or those that every data file has and every declared or
    /// counted number includes
    #[arg(long, default_value_t, value_name = "all|common")]
    rows: Rows,
}

impl Take {
    pub(crate) fn run(&self) -> Result<Exit, FatalError> {
        let config = self.config.read()?;
        let has_daemon = ledger::is_in_use(&config.state_dir);
        if Ledger::open_to_read(&config.state_dir)?.is_none() {
            let dir = config.state_dir.display();
            return Err(format!(
                "there is no ledger in `{dir}` yet: start npyd, or run `npyd sweep`, first"
            )
            .into());
        }
        let ledger = Ledger::open_without_creating(&config.state_dir)?;
        let take = Correction { take: Some(self.rows), ..Correction::default() }.to_json();
        let by = if has_daemon { "" } else { " by the next sweep" };
        let mut exit = Exit::Success;
        for file in &self.files {
            let checked = source(file, &config, &ledger)?.and_then(|(drop_dir, path)| {
                let (path, target) = check_take((drop_dir, &ledger), path, self.rows)?;
                Ok((drop_dir, path, target))
            });
            match checked {
                Ok((drop_dir, path, target)) => {
                    let request = (take.as_str(), &target);
                    ledger.add_request(RequestKind::Take, &drop_dir.path, &path, request)?;
                    print(&format!("{}: will be taken as it is{by}", path.display()));
                }
                Err(why) => {
                    exit = Exit::Failure;
                    print(&format!("{}: not taken: {why}", file.display()));
                }
            }
        }
        Ok(exit)
    }
}

/// Returns the drop directories that have a file of this name, or of this path below them.
fn named_in_drop_dirs<'a>(file: &Path, config: &'a Config) -> Vec<&'a DropDir> {
    let is_plain = file.components().all(|part| matches!(part, Component::Normal(_)));
    let is_deep = file.components().count() > 1;
    let has_it = |it: &&DropDir| (it.recursive || !is_deep) && !is_missing(&it.path.join(file));
    config.drop_dirs.iter().filter(|it| is_plain && has_it(it)).collect()
}

/// Returns the drop directory and the path of a file to take. For a rejected drop, the path is that
/// which it had before: npyd restores it before it takes it. The inner error is the reason why no
/// such file was found.
fn source<'a>(
    file: &Path,
    config: &'a Config,
    ledger: &Ledger,
) -> Result<Result<(&'a DropDir, PathBuf), String>, FatalError> {
    let path = std::path::absolute(file)?;
    let name = path.file_name().ok_or("expected a file, not a directory")?;
    let located = locate(config, path.parent().unwrap_or(Path::new("/")), Path::new(name));
    if let Ok((drop_dir, rel)) = &located {
        let path = drop_dir.path.join(rel);
        if !is_missing(&path) {
            return Ok(Ok((drop_dir, path)));
        }
    }
    match named_in_drop_dirs(file, config)[..] {
        [] => {}
        [drop_dir] => return Ok(Ok((drop_dir, drop_dir.path.join(file)))),
        _ => return Ok(Err("several drop directories have this file: give its path".to_owned())),
    }
    let mut rejected = ledger.rejected()?;
    match rejected_with_file(file, &rejected, config) {
        Some(Ok(entry)) => rejected = vec![entry.clone()],
        Some(Err(why)) => return Ok(Err(why)),
        None => rejected.retain(|entry| is_named(entry, file, config)),
    }
    for entry in rejected {
        let drop_dir = config.drop_dir(&entry.drop_dir);
        let Some(drop_dir) = drop_dir else { continue };
        if entry.is_lost() {
            return Ok(Err(entry.reason()));
        }
        let is_in_quarantine = || {
            let paths = rejected_paths(drop_dir, &rejected_drop(&entry));
            paths.is_ok_and(|paths| !paths.is_empty())
        };
        if !is_missing(&entry.source) || is_in_quarantine() {
            return Ok(Ok((drop_dir, entry.source)));
        }
    }
    Ok(Err(match located {
        Err(outside) if !is_missing(&path) => outside.why,
        // A name alone says nothing of the directories below a drop directory.
        Err(_) if file.components().count() == 1 => "no file here, and none at the top of a drop \
                                                     directory, has this name; give its path"
            .to_owned(),
        _ => "there is no such file".to_owned(),
    }))
}
