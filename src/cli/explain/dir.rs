//! Explains a directory: lists the files in it that npyd leaves alone, and its rejected drops, one
//! per line, with the reason.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::file_status::FileStatus;
use super::own_file::explain_own_file;
use super::{Query, text};
use crate::cli::tree::{TreeItem, walk};
use crate::cli::{Exit, FatalError, print};
use crate::config::DropDir;
use crate::decide::description_remark::DescriptionRemark;
use crate::decide::reason::Reason;
use crate::decide::reason_kind::ReasonKind;
use crate::fs::{self, Dir};
use crate::model::{FileName, parent_of};
use crate::probe::{
    ListedDescriptions, ProbeResult, SOURCE_ATTR, is_put_beside_arrays, may_describe_drop,
    probe_standalone, unusable_mentions,
};
use crate::text::one_line::one_line;

/// The line about a subdirectory that npyd does not look into.
const SUBDIRECTORY: (FileStatus, &str, &str) =
    (FileStatus::Ignored, "subdirectory", "it is a subdirectory, and `recursive` is not set");

/// Why npyd leaves a drop alone in a directory that it puts files into.
pub(super) const IN_OWN_DIR: &str =
    "npyd takes no drops from this directory, because it puts files there itself: move it out";

/// Lists the files while it finds them.
struct List<'a> {
    query: &'a Query,
    root: Dir,
    is_json: bool,
    listed: ListedDescriptions,
    mentions: Mentions,
    exit: Exit,
}

/// The files of one directory that unusable descriptions name.
#[derive(Default)]
struct Mentions {
    dir: Option<PathBuf>,
    by_name: BTreeMap<FileName, (FileName, Reason)>,
}

impl Query {
    /// Lists the files in the directory in question and below that npyd leaves alone, and the
    /// rejected drops that were there.
    pub(super) fn explain_dir(&mut self, is_json: bool) -> Result<Exit, FatalError> {
        if let Some(unread) = self.open_ledger() {
            tracing::warn!("{unread}");
        }
        if self.list_quarantine(is_json)? {
            return Ok(Exit::Success);
        }
        if let Some(why) = self.why_ignored() {
            let path: PathBuf = self.path().components().collect(); // without the last slash
            let kind = why.kind();
            print_line(&path, (FileStatus::Ignored, kind.as_str(), &why.to_string()), is_json);
            return Ok(Exit::Success);
        }
        if self.outside.is_some() && self.is_below_a_drop_dir() {
            let path: PathBuf = self.path().components().collect(); // without the last slash
            print_line(&path, SUBDIRECTORY, is_json);
            return Ok(Exit::Success);
        }
        let root = Dir::open(&self.drop_dir.path)?;
        let dir = Dir::open(&self.path())?;
        let listed = ListedDescriptions::default();
        let mentions = Mentions::default();
        let mut list = List { query: self, root, is_json, listed, mentions, exit: Exit::Success };
        walk(&self.drop_dir, &dir, &self.rel, &mut |rel, found| list.add(rel, found));
        let exit = list.exit;
        if self.is_managed {
            self.list_misplaced(&self.path(), is_json);
        }
        for own in self.drop_dir.managed_dirs() {
            if own.starts_with(self.path()) && own != self.drop_dir.path {
                self.list_misplaced(own, is_json);
            }
        }
        if self.outside.is_none() {
            self.list_moved(is_json)?;
        }
        Ok(exit)
    }
}

impl Query {
    /// Lists the drops in a directory that npyd itself puts its arrays into.
    fn list_misplaced(&self, own: &Path, is_json: bool) {
        let is_in = |dir: &Option<PathBuf>| dir.as_deref().is_some_and(|it| own.starts_with(it));
        let with_arrays = || self.drop_dirs().iter().filter(|it| is_in(&it.output));
        let has_sources = |dir: &Path| with_arrays().any(|it| it.may_have_sources(dir));
        let has_arrays = with_arrays().next().is_some() && !has_sources(own);
        let Some(dir) = Dir::open(own).ok().filter(|_| has_arrays) else { return };
        let mut place = DropDir::at(own);
        place.include_below();
        let mut listed = ListedDescriptions::default();
        walk(&place, &dir, Path::new(""), &mut |rel, found| {
            let name = rel.file_name().and_then(OsStr::to_str);
            let describes = name.is_some_and(may_describe_drop);
            if let (TreeItem::File, true) = (found, describes)
                && !has_sources(&own.join(parent_of(rel)))
                && let Ok(ProbeResult::Candidate(it)) = probe_standalone(&place, rel, &mut listed)
            {
                let kind = ReasonKind::Ignored.as_str();
                let path = own.join(&it.input.rel);
                print_line(&path, (FileStatus::Ignored, kind, IN_OWN_DIR), is_json);
            }
        });
    }

    /// Returns why a rule of a drop directory ignores this directory, if one does.
    fn why_ignored(&self) -> Option<Reason> {
        let path = self.path();
        let is_its = |it: &&DropDir| self.outside.is_some() || it.path == self.drop_dir.path;
        self.drop_dirs().iter().filter(is_its).find_map(|it| {
            let real = it.path.canonicalize().unwrap_or_else(|_| it.path.clone());
            let below = path.strip_prefix(real).ok().filter(|it| it.file_name().is_some())?;
            let is_own = it.managed_dirs().any(|own| *own != it.path && path.starts_with(own));
            let why = it.ignore.reason(below, true).filter(|_| !is_own)?;
            Some(Reason::Ignored(why.into_owned()))
        })
    }

    /// Returns whether the directory is below a drop directory that is not recursive, and npyd
    /// itself puts no files into it.
    fn is_below_a_drop_dir(&self) -> bool {
        let path = self.path();
        self.drop_dirs().iter().any(|it| {
            let real = it.path.canonicalize().unwrap_or_else(|_| it.path.clone());
            let mut own = it.managed_dirs().filter(|own| *own != it.path);
            !it.recursive && path.starts_with(real) && !own.any(|own| path.starts_with(own))
        })
    }
}

impl List<'_> {
    fn add(&mut self, rel: &Path, found: TreeItem) {
        match found {
            TreeItem::File => match self.reason(rel) {
                Ok(Some((verdict, kind, why))) => self.print(rel, verdict, &kind, &why),
                Ok(None) => {}
                Err(error) if error.is_missing() => {}
                Err(error) => self.fail(rel, &error),
            },
            TreeItem::Subdirectory => {
                let (verdict, kind, why) = SUBDIRECTORY;
                self.print(rel, verdict, kind, why);
            }
            TreeItem::Other => {
                let why = Reason::NotRegular;
                self.print(rel, FileStatus::Ignored, why.kind().as_str(), &why.to_string());
            }
            TreeItem::Unreadable(error) => self.fail(rel, &error),
        }
    }

    /// Returns why npyd leaves a file alone, if it does: verdict, kind of the reason, and text.
    fn reason(&mut self, rel: &Path) -> fs::Result<Option<(FileStatus, String, String)>> {
        if rel.file_name().and_then(OsStr::to_str).is_some_and(is_put_beside_arrays) {
            return Ok(None);
        }
        let probed = probe_standalone(&self.query.drop_dir, rel, &mut self.listed);
        let why = match self.query.described_by_redo(rel, probed)? {
            ProbeResult::Ignored(Reason::IsArray) if self.is_own_array(rel)? => return Ok(None),
            ProbeResult::Ignored(Reason::Undescribed { remark: None }) => self.undescribed(rel)?,
            ProbeResult::Ignored(why) => why,
            ProbeResult::Candidate(candidate) if candidate.input.rel == rel => {
                let rejection = self.query.rejection(&candidate);
                return Ok(rejection.map(|(why, kind)| (FileStatus::Rejected, kind, why)));
            }
            _ => return Ok(None),
        };
        if explain_own_file(self.query, &self.query.drop_dir.path.join(rel))?.is_some() {
            return Ok(None);
        }
        Ok(Some((FileStatus::Ignored, why.kind().as_str().to_owned(), why.to_string())))
    }

    /// Returns the reason for a file that nothing describes. Reads the descriptions of its
    /// directory once for all files there.
    fn undescribed(&mut self, rel: &Path) -> fs::Result<Reason> {
        let dir = parent_of(rel);
        if self.mentions.dir.as_deref() != Some(dir) {
            let by_name = unusable_mentions(&self.query.drop_dir, dir)?;
            self.mentions = Mentions { dir: Some(dir.to_path_buf()), by_name };
        }
        let name = rel.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let name = FileName::try_from(name.to_owned()).ok();
        let mention = name.and_then(|name| self.mentions.by_name.get(&name));
        let remark = mention.map(|(by, why)| DescriptionRemark::NamedByUnusable {
            name: by.clone(),
            why: Box::new(why.clone()),
        });
        Ok(Reason::Undescribed { remark })
    }

    /// Returns whether npyd made an array, according to the array's mark or the ledger.
    fn is_own_array(&self, rel: &Path) -> fs::Result<bool> {
        if self.query.latest_of_array(&self.query.drop_dir.path.join(rel)).is_some() {
            return Ok(true);
        }
        let Some(file) = self.root.open_file(rel)? else { return Ok(false) };
        Ok(file.attr(SOURCE_ATTR)?.is_some())
    }

    fn fail(&mut self, rel: &Path, error: &fs::FsError) {
        self.exit = Exit::Failure;
        self.print(rel, FileStatus::Ignored, ReasonKind::Io.as_str(), &error.to_string());
    }

    fn print(&self, rel: &Path, verdict: FileStatus, kind: &str, why: &str) {
        print_line(&self.query.drop_dir.path.join(rel), (verdict, kind, why), self.is_json);
    }
}

/// Prints the line about a file.
pub(super) fn print_line(
    path: &Path,
    (verdict, kind, why): (FileStatus, &str, &str),
    is_json: bool,
) {
    print(&if is_json {
        let kind = Some(kind).filter(|kind| !kind.is_empty());
        json!({"source": text(path), "verdict": verdict, "reason_kind": kind, "why": why})
            .to_string()
    } else {
        let verdict = match verdict {
            FileStatus::Ignored => String::new(),
            verdict => format!("{}: ", verdict.as_str()),
        };
        one_line(&format!("{}: {verdict}{why}", path.display()))
    });
}
