//! The configuration: one TOML text, checked as a whole before anything runs.
//!
//! Checks of a single value stand inside its deserialization, so that the error points at the
//! line. What takes two values to judge is checked by [`Config::parse`] afterwards, and names the
//! drop it is about.

mod choice;
mod duration;
mod place;
mod settings_hash;

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use self::settings_hash::settings_hash;

use crate::ignore_rules::IgnoreRules;
use crate::message::plain;
use crate::pace::Rate;
use crate::pressure::Limit;
use crate::recognize::Template;
use crate::recognize::wording::in_plain_words;

pub use choice::{
    Disposition, IoPriority, KeepMetadata, OnChange, OnConflict, Readers, Salvage, Watch,
};

/// Where the daemon looks for its configuration when nobody says otherwise.
pub const DEFAULT_PATH: &str = "/etc/npyd/npyd.toml";

/// The whole configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The directory that holds the ledger.
    #[serde(default = "default_state_dir", deserialize_with = "place::deserialize")]
    pub state_dir: PathBuf,
    /// How many dumps are finalized at once.
    #[serde(default = "default_workers")]
    pub workers: Workers,
    /// How urgent npyd's own reads and writes are.
    #[serde(default)]
    pub io_priority: IoPriority,
    /// From which I/O pressure on bytes are moved no more, until it falls.
    pub max_pressure: Option<Limit>,
    /// The drop directories.
    #[serde(default, rename = "drop")]
    pub inboxes: Vec<Inbox>,
}

/// One drop directory and what is to happen to what lands in it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct Inbox {
    /// The directory that is watched.
    #[serde(deserialize_with = "place::deserialize")]
    pub path: PathBuf,
    /// Whether others drop files there; nobody does where a person names the files.
    #[serde(skip, default = "others_drop")]
    is_shared: bool,
    /// A hash of all its settings, which tells whether they changed; 0 without a configuration.
    #[serde(skip)]
    pub settings: u64,
    /// Where the `.npy` files go; beside the data if absent.
    #[serde(default, deserialize_with = "place::deserialize_some")]
    pub output: Option<PathBuf>,
    /// Whether directories below are watched as well.
    #[serde(default)]
    pub recursive: bool,
    /// Names that are never drops.
    #[serde(default)]
    pub ignore: IgnoreRules,
    /// What becomes of the raw file once its `.npy` is durable.
    #[serde(default)]
    pub source: Disposition,
    /// Where raw files go with `source = "archive"`.
    #[serde(default, deserialize_with = "place::deserialize_some")]
    pub archive: Option<PathBuf>,
    /// How long a dump must be unchanged where nothing stronger proves that it is complete.
    #[serde(default = "default_quiet", with = "duration")]
    pub quiet: Duration,
    /// How new files are noticed.
    #[serde(default)]
    pub watch: Watch,
    /// How often the directory is listed, whatever the events said.
    #[serde(default = "default_rescan", deserialize_with = "duration::deserialize_rescan")]
    pub rescan: Duration,
    /// Who must be able to read the headers.
    #[serde(default)]
    pub readers: Readers,
    /// What to do when the output's name is taken.
    #[serde(default)]
    pub on_conflict: OnConflict,
    /// Whether a raw file may go though nothing proves that nobody writes to it any more.
    #[serde(default)]
    pub remove_unproven: bool,
    /// What to do when a drop changes after its array was made.
    #[serde(default)]
    pub on_change: OnChange,
    /// Whether bytes beyond the declared end are tolerated.
    #[serde(default)]
    pub allow_trailing: bool,
    /// How fast bytes are moved at the most; as fast as it goes if absent.
    pub max_rate: Option<Rate>,
    /// What becomes of pending files whose writer died.
    #[serde(default)]
    pub salvage: Salvage,
    /// Where rejected drops go; left where they are if absent.
    #[serde(default, deserialize_with = "place::deserialize_some")]
    pub rejects: Option<PathBuf>,
    /// Whether metadata are written beside the array.
    #[serde(default)]
    pub metadata: KeepMetadata,
    /// Files recognized by name.
    #[serde(default, rename = "template")]
    pub templates: Vec<Template>,
}

/// The number of dumps finalized at once: 1 to 64.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "u64")]
pub struct Workers(usize);

impl Workers {
    /// The number.
    #[must_use]
    pub fn get(self) -> usize {
        self.0
    }
}

impl TryFrom<u64> for Workers {
    type Error = String;

    fn try_from(count: u64) -> Result<Self, String> {
        match usize::try_from(count) {
            Ok(count @ 1..=64) => Ok(Workers(count)),
            _ => Err(format!("workers must be 1 to 64, not {count}")),
        }
    }
}

fn default_state_dir() -> PathBuf {
    PathBuf::from("/var/lib/npyd")
}

fn default_workers() -> Workers {
    Workers(2)
}

fn others_drop() -> bool {
    true
}

fn default_quiet() -> Duration {
    Duration::from_secs(2)
}

fn default_rescan() -> Duration {
    Duration::from_mins(1)
}

/// Why a configuration was not taken; the text names file and line.
#[derive(Debug)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

impl Inbox {
    /// A drop at `path` with every setting at its default: what `finalize` and `explain` use for a
    /// file that no configuration covers.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Inbox {
            path: path.to_path_buf(),
            is_shared: false,
            settings: 0,
            output: None,
            recursive: false,
            ignore: IgnoreRules::none(),
            source: Disposition::Keep,
            archive: None,
            quiet: default_quiet(),
            watch: Watch::Auto,
            rescan: default_rescan(),
            readers: Readers::Numpy,
            on_conflict: OnConflict::Reject,
            remove_unproven: false,
            on_change: OnChange::Remake,
            allow_trailing: false,
            max_rate: None,
            salvage: Salvage::Quarantine,
            rejects: None,
            metadata: KeepMetadata::None,
            templates: Vec::new(),
        }
    }

    /// The directories npyd itself writes to; they are never taken for part of the drop, though
    /// they may lie inside it.
    pub fn own_dirs(&self) -> impl Iterator<Item = &Path> {
        [&self.output, &self.archive, &self.rejects].into_iter().flatten().map(PathBuf::as_path)
    }

    /// The directory, where others drop files into it.
    #[must_use]
    pub fn shared(&self) -> Option<&Path> {
        self.is_shared.then_some(self.path.as_path())
    }

    /// Whether files of that directory are drops.
    fn covers(&self, dir: &Path) -> bool {
        dir == self.path || self.recursive && dir.starts_with(&self.path)
    }

    fn check(&self) -> Result<(), String> {
        match (self.source, &self.archive) {
            (Disposition::Archive, None) => {
                return Err("source = \"archive\" needs archive = \"DIR\"".into());
            }
            (Disposition::Keep | Disposition::Remove, Some(_)) => {
                return Err("archive is set, but source is not \"archive\"".into());
            }
            _ => {}
        }
        if let Some(dir) =
            [&self.archive, &self.rejects].into_iter().flatten().find(|dir| **dir == self.path)
        {
            return Err(format!(
                "`{}` is the drop directory itself: choose another for archive and rejects",
                dir.display()
            ));
        }
        Ok(())
    }

    fn resolve(&mut self, base: &Path) {
        self.path = from_base(base, &self.path);
        for dir in [&mut self.output, &mut self.archive, &mut self.rejects].into_iter().flatten() {
            *dir = from_base(base, dir);
        }
        if self.output.as_deref() == Some(self.path.as_path()) {
            self.output = None; // beside the data, said in other words
        }
    }
}

/// A path of the configuration, without the `..` at its beginning: `base` has no links in it.
fn from_base(base: &Path, path: &Path) -> PathBuf {
    let (mut base, mut path) = (base, path);
    while let (Ok(rest), Some(parent)) = (path.strip_prefix(".."), base.parent()) {
        (base, path) = (parent, rest);
    }
    base.join(path)
}

/// The tables of the drop directories, as the text spells them.
fn drop_tables(text: &str) -> Vec<toml::Value> {
    let table: toml::Table = toml::from_str(text).unwrap_or_default();
    table.get("drop").and_then(toml::Value::as_array).cloned().unwrap_or_default()
}

/// An error with the line it is about.
fn point_at(name: &Path, text: &str, at: Range<usize>, what: &str) -> String {
    let before = &text[..at.start.min(text.len())];
    let (number, start) =
        (before.matches('\n').count() + 1, before.rfind('\n').map_or(0, |end| end + 1));
    // Whatever steers a terminal would move the caret, too: a blank in its place does not.
    let line = text[start..].lines().next().unwrap_or_default().replace(char::is_control, " ");
    let len = line.chars().count();
    let column = before[start..].chars().count().min(len); // not behind a carriage return
    let width = (len - column).min(at.len()).max(1);
    let margin = " ".repeat(number.to_string().len());
    format!(
        "in `{}`, line {number}: {}\n{margin} |\n{number} | {line}\n{margin} | {}{}",
        name.display(),
        plain(&in_plain_words(what).replace('\n', ", ")),
        " ".repeat(column),
        "^".repeat(width)
    )
}

impl Config {
    /// Reads a configuration's text. Relative paths in it are taken from `base`, the directory of
    /// the file, free of links; `name` is the file's name for messages.
    pub fn parse(text: &str, name: &Path, base: &Path) -> Result<Self, ConfigError> {
        let pointed = |at, what: &str| ConfigError(point_at(name, text, at, what));
        let mut config: Config = toml::from_str(text).map_err(|error| {
            let at = error.span().unwrap_or_default();
            let mut what = in_plain_words(error.message());
            let table = text.get(at.clone()).unwrap_or_default();
            if table.starts_with('[') && error.message().ends_with("map, expected a sequence") {
                what = format!("{what}: write [{table}]");
            }
            pointed(at, &what)
        })?;
        for inbox in &config.inboxes {
            inbox.ignore.check().map_err(|(at, what)| pointed(at, &what))?;
        }
        for template in config.inboxes.iter().flat_map(|inbox| &inbox.templates) {
            template.check().map_err(|(at, what)| pointed(at, &what))?;
        }
        config.state_dir = from_base(base, &config.state_dir);
        let tables = drop_tables(text);
        for (at, inbox) in config.inboxes.iter_mut().enumerate() {
            inbox.resolve(base);
            inbox.settings = tables.get(at).map_or(0, |table| settings_hash(&inbox.path, table));
        }
        config
            .check()
            .map_err(|what| ConfigError(format!("in `{}`: {}", name.display(), plain(&what))))?;
        Ok(config)
    }

    /// What is settled once, when the process starts.
    pub(crate) fn of_the_process(&self) -> (&Path, usize, IoPriority, Option<Limit>) {
        (&self.state_dir, self.workers.get(), self.io_priority, self.max_pressure)
    }

    fn check(&self) -> Result<(), String> {
        if self.inboxes.is_empty() {
            return Err("no drop directory is configured: add a [[drop]] with its path".into());
        }
        for (at, inbox) in self.inboxes.iter().enumerate() {
            let name = inbox.path.display();
            inbox.check().map_err(|what| format!("in the drop `{name}`: {what}"))?;
            if inbox.covers(&self.state_dir) {
                return Err(format!(
                    "state_dir is `{}`, where files are dropped: choose another",
                    self.state_dir.display()
                ));
            }
            for other in &self.inboxes[..at] {
                if other.path == inbox.path {
                    return Err(format!("`{name}` is configured as a drop twice"));
                }
                let (outer, inner) = if inbox.path.starts_with(&other.path) {
                    (other, inbox)
                } else {
                    (inbox, other)
                };
                if outer.recursive && inner.path.starts_with(&outer.path) {
                    return Err(format!(
                        "the drop `{}` lies inside the recursive drop `{}`: each file must have one owner",
                        inner.path.display(),
                        outer.path.display()
                    ));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stays_beneath_its_line() {
        for (text, shown) in [
            ("\"\r\n", "1 | \""),
            ("workers\t=", "1 | workers ="),
            ("état\u{1b} = 1\n", "1 | état  = 1"),
        ] {
            let error = Config::parse(text, Path::new("npyd.toml"), Path::new("/etc")).unwrap_err();
            let error = error.to_string();
            let [.., line, caret] = error.lines().collect::<Vec<_>>()[..] else {
                panic!("{error}")
            };
            assert_eq!(line, shown);
            assert!(caret.chars().count() <= shown.chars().count() + 1, "{error}");
        }
    }
}
