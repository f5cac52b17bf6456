//! The configuration: parses and checks one TOML file before anything runs.
//!
//! A check of a single value is part of its deserialization, so that the error shows the line.
//! [`Config::parse`] then checks values that depend on each other; such an error names the drop
//! directory.

mod drop_dir;
mod duration;
mod error;
pub mod ignore_rules;
pub mod in_force;
mod misplaced_key;
mod path_value;
mod put_aside;
mod route_wishes;
mod setting_values;
mod settings_hash;

use crate::model::Limit;

pub use drop_dir::DropDir;
pub use error::{ConfigError, ConfigProblem, Contradiction, TextPosition};
pub use ignore_rules::Ignored;
pub use route_wishes::RouteWishes;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::config::drop_dir::SourceDir;
use crate::config::misplaced_key::misplaced_key;
use crate::config::put_aside::dropped_again;
use crate::config::settings_hash::{settings_hash, table_hash};

use crate::config::ignore_rules::IgnoreRules;
use crate::text::serde_errors::humanize;
use crate::text::toml_values::value_remedy;

pub use setting_values::{
    Disposition, IoPriority, Mapped, MetadataOutput, OnChange, OnConflict, Readers, Salvage, Watch,
};

/// The default path of the configuration file.
pub const DEFAULT_PATH: &str = "/etc/npyd/npyd.toml";

/// The whole configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The directory that holds the ledger.
    #[serde(default = "default_state_dir", deserialize_with = "path_value::deserialize")]
    pub state_dir: PathBuf,
    /// How many drops npyd finalizes in parallel.
    #[serde(default = "default_workers")]
    pub workers: Workers,
    /// The I/O priority of npyd's own reads and writes.
    #[serde(default)]
    pub io_priority: IoPriority,
    /// Copies pause while the I/O pressure is above this limit.
    pub max_pressure: Option<Limit>,
    /// How long the ledger keeps receipts that are not the newest one of an existing file.
    #[serde(default = "default_history", deserialize_with = "duration::deserialize")]
    pub history: Duration,
    /// Maximum number of such receipts.
    #[serde(default = "default_history_rows")]
    pub history_rows: u64,
    /// The drop directories.
    #[serde(default, rename = "drop")]
    pub drop_dirs: Vec<DropDir>,
}

/// The number of drops that npyd finalizes in parallel: 1 to 64.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "u64")]
pub struct Workers(usize);

impl Workers {
    /// Returns the number.
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

/// A year as humantime counts it: 365.25 days.
fn default_history() -> Duration {
    Duration::from_hours(8766)
}

fn default_history_rows() -> u64 {
    1_000_000
}

/// Joins a path of the configuration to `base` and resolves each `..` at its beginning. Resolving
/// them as text is right because `base` contains no symlinks.
fn resolve_path(base: &Path, path: &Path) -> PathBuf {
    let (mut base, mut path) = (base, path);
    while let (Ok(rest), Some(parent)) = (path.strip_prefix(".."), base.parent()) {
        (base, path) = (parent, rest);
    }
    base.join(path)
}

/// Returns the tables of the drop directories, as the text spells them.
fn drop_tables(text: &str) -> Vec<toml::Value> {
    let table: toml::Table = toml::from_str(text).unwrap_or_default();
    table.get("drop").and_then(toml::Value::as_array).cloned().unwrap_or_default()
}

/// Returns the message about a table such as `[[drop.template]]` that comes before the first
/// `[[drop]]`; `None` if no such table does. TOML takes the `[[drop]]` that follows for a second
/// definition of `drop`.
fn early_subtable<'a>(lines: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut tables = lines.map(str::trim).filter_map(|line| line.split(']').next());
    let table = tables.find(|line| line.starts_with("[[drop") || line.starts_with("[drop."))?;
    let table = table.trim_start_matches('[');
    table.starts_with("drop.").then(|| {
        format!("[[{table}]] belongs to the [[drop]] before it, but there is none: put it below its [[drop]]")
    })
}

impl Config {
    /// Parses and checks a configuration. Relative paths in it start at `base`, the directory of
    /// the file, which must contain no symlinks. Messages use `name` as the file's name.
    ///
    /// # Errors
    /// The text is not valid TOML, has an unknown key or an invalid value, or its values contradict
    /// each other.
    pub fn parse(text: &str, name: &Path, base: &Path) -> Result<Self, ConfigError> {
        let error_in_text = |at: Range<usize>, source: ConfigProblem| {
            let place = Box::new(TextPosition::new(name, text, &at));
            ConfigError::InText { place, source }
        };
        let mut config: Config = toml::from_str(text).map_err(|error| {
            let at = error.span().unwrap_or_default();
            let mut what =
                misplaced_key(error.message()).unwrap_or_else(|| humanize(error.message()));
            let table = text.get(at.clone()).unwrap_or_default();
            if table.starts_with('[') && error.message().ends_with("map, expected a sequence") {
                what = format!("{what}: write [{table}]");
            }
            let before = text.get(..at.start).unwrap_or_default();
            let number = before.matches('\n').count();
            let line = text.lines().nth(number);
            let remedy = || {
                early_subtable(text.lines().take(number + 1))
                    .or_else(|| line.and_then(value_remedy))
            };
            let words = remedy().unwrap_or(what);
            error_in_text(at, ConfigProblem::Toml { words, source: error })
        })?;
        let mut mistakes = Vec::new();
        for drop_dir in &config.drop_dirs {
            let ignore = drop_dir.ignore.check().err();
            let ignore = ignore.map(|(at, what)| error_in_text(at, ConfigProblem::Ignore(what)));
            let templates = drop_dir.templates.iter().filter_map(|it| it.check().err());
            let templates = templates.map(|(at, error)| error_in_text(at, error.into()));
            mistakes.extend(ignore.into_iter().chain(templates));
        }
        config.state_dir = resolve_path(base, &config.state_dir);
        let tables = drop_tables(text);
        for (at, drop_dir) in config.drop_dirs.iter_mut().enumerate() {
            drop_dir.resolve(base);
            drop_dir.settings_hash =
                tables.get(at).map_or(0, |table| settings_hash(&drop_dir.path, table));
            drop_dir.table_hash = tables.get(at).map_or(0, |it| table_hash(&drop_dir.path, it));
        }
        config.find_neighbors();
        mistakes.extend(config.contradictions(name));
        ConfigError::of_all(mistakes)?;
        Ok(config)
    }

    /// Returns the drop directory with this path, if there is one.
    #[must_use]
    pub fn drop_dir(&self, path: &Path) -> Option<&DropDir> {
        self.drop_dirs.iter().find(|drop_dir| drop_dir.path == path)
    }

    /// Notes in each drop directory which of the directories inside it others use, and which have
    /// sources.
    pub(crate) fn find_neighbors(&mut self) {
        let with_sources = |it: &DropDir| {
            let aside = [&it.archive, &it.rejects].map(|dir| dir.clone().map(|it| (it, true)));
            let own = (it.path.clone(), it.recursive);
            aside.into_iter().flatten().chain([own]).collect::<Vec<_>>()
        };
        let source_dirs = self.drop_dirs.iter().flat_map(with_sources);
        let source_dirs =
            Arc::new(source_dirs.map(|(path, has_below)| SourceDir { path, has_below }).collect());
        let used = |it: &DropDir| [Some(it.path.clone())].into_iter().chain(it.dirs()).flatten();
        let mut dirs: Vec<PathBuf> = self.drop_dirs.iter().flat_map(used).collect();
        dirs.sort_unstable(); // what is inside a directory follows it
        for drop_dir in &mut self.drop_dirs {
            let inside = &dirs[dirs.partition_point(|dir| *dir <= drop_dir.path)..];
            let inside = inside.iter().take_while(|dir| dir.starts_with(&drop_dir.path));
            drop_dir.neighbors = inside.cloned().collect();
            drop_dir.source_dirs = Arc::clone(&source_dirs);
        }
    }

    /// Checks the values that depend on each other.
    pub(crate) fn check_paths(&self, name: &Path) -> Result<(), ConfigError> {
        ConfigError::of_all(self.contradictions(name).collect())
    }

    fn contradictions(&self, name: &Path) -> impl Iterator<Item = ConfigError> {
        let in_file = |source| ConfigError::Contradiction { file: name.to_path_buf(), source };
        self.check().into_iter().map(in_file)
    }

    /// Returns which settings that take effect only when the process starts differ in `other`.
    pub(crate) fn restart_only_changes(&self, other: &Config) -> Vec<&'static str> {
        let settings = [
            ("state_dir", self.state_dir != other.state_dir),
            ("workers", self.workers.get() != other.workers.get()),
            ("io_priority", self.io_priority != other.io_priority),
            ("max_pressure", self.max_pressure != other.max_pressure),
        ];
        settings.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect()
    }

    fn check(&self) -> Vec<Contradiction> {
        let mut found = Vec::new();
        if self.drop_dirs.is_empty() {
            found.push(Contradiction::NoDropDir);
        }
        let related = self.related_before();
        for (drop_dir, related) in self.drop_dirs.iter().zip(related) {
            let path = || drop_dir.path.clone();
            let in_drop = |what| Contradiction::InDrop { path: path(), what };
            found.extend(drop_dir.check().into_iter().map(in_drop));
            // Also where no drops are: the producer may own it, and so all that is below it.
            if self.state_dir.starts_with(&drop_dir.path) {
                found.push(Contradiction::StateDirInside(self.state_dir.clone()));
            }
            for other in related {
                if other.path == drop_dir.path {
                    found.push(Contradiction::Twice(path()));
                    continue;
                }
                let (outer, inner) = if drop_dir.path.starts_with(&other.path) {
                    (other, drop_dir)
                } else {
                    (drop_dir, other)
                };
                if outer.recursive {
                    let (inner, outer) = (inner.path.clone(), outer.path.clone());
                    found.push(Contradiction::Nested { inner, outer });
                }
            }
        }
        found.extend(dropped_again(&self.drop_dirs));
        found
    }

    /// Returns for each drop directory those before it of which one contains the other. There may
    /// be a thousand drop directories, so that not all pairs of them are compared.
    fn related_before(&self) -> Vec<Vec<&DropDir>> {
        let mut sorted: Vec<usize> = (0..self.drop_dirs.len()).collect();
        let path = |at: usize| self.drop_dirs[at].path.as_path();
        sorted.sort_by_key(|at| path(*at)); // what is inside a directory follows it
        let mut related = vec![Vec::new(); sorted.len()];
        let mut outer: Vec<usize> = Vec::new();
        for at in sorted {
            outer.retain(|outer| path(at).starts_with(path(*outer)));
            for other in &outer {
                related[at.max(*other)].push(at.min(*other));
            }
            outer.push(at);
        }
        let in_order = |mut related: Vec<usize>| {
            related.sort_unstable();
            related.into_iter().map(|at| &self.drop_dirs[at]).collect()
        };
        related.into_iter().map(in_order).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of an error contains that of its source once, and the source is the typed error.
    #[test]
    fn an_error_has_its_source() {
        use std::error::Error as _;
        let parse = |text: &str| {
            Config::parse(text, Path::new("npyd.toml"), Path::new("/etc")).unwrap_err()
        };
        let template = "[[drop]]\npath = '/in'\n[[drop.template]]\nmatch = '*.raw'\n\
                        dtype = '<f4'\nshape = [4]\nmarker = 'x'\n";
        let error = parse(template);
        let problem = error.source().and_then(|it| it.downcast_ref::<ConfigProblem>());
        let Some(ConfigProblem::Template(of)) = problem else { panic!("{error:?}") };
        assert_eq!(error.to_string().matches(&of.to_string()).count(), 1, "{error}");
        let error = parse("workers = 'two'\n");
        let problem = error.source().and_then(|it| it.downcast_ref::<ConfigProblem>());
        assert!(
            problem
                .and_then(|it| it.source())
                .and_then(|it| it.downcast_ref::<toml::de::Error>())
                .is_some()
        );
        let error = parse("");
        let source = error.source().and_then(|it| it.downcast_ref::<Contradiction>());
        assert!(matches!(source, Some(Contradiction::NoDropDir)), "{error:?}");
    }

    /// Whatever their order is, and whatever lies between them.
    #[test]
    fn drop_directories_that_contain_each_other() {
        let contradictions = |drops: &[(&str, bool)]| {
            let table = |(path, recursive): &(&str, bool)| {
                format!("[[drop]]\npath = '{path}'\nrecursive = {recursive}\n")
            };
            let text: String = drops.iter().map(table).collect();
            let parsed = Config::parse(&text, Path::new("npyd.toml"), Path::new("/etc"));
            match parsed {
                Ok(_) => Vec::new(),
                Err(ConfigError::Several(errors)) => {
                    errors.iter().map(ToString::to_string).collect()
                }
                Err(error) => vec![error.to_string()],
            }
        };
        let count = |drops: &[(&str, bool)]| contradictions(drops).len();
        assert_eq!(count(&[("/a", false), ("/a/b", true), ("/ab", true), ("/c", true)]), 0);
        assert_eq!(count(&[("/a", true), ("/a-b", true), ("/a b", true), ("/b", true)]), 0);
        assert_eq!(count(&[("/a/b", false), ("/b", false), ("/a", true)]), 1);
        assert_eq!(count(&[("/a", true), ("/a-b", false), ("/a/b", false), ("/a/b/c", false)]), 2);
        assert_eq!(count(&[("/a", false), ("/b", false), ("/a", false), ("/a", false)]), 3);
        let found = contradictions(&[("/x/y", true), ("/x", true), ("/x/y", false)]);
        let is_twice: Vec<_> = found.iter().map(|it| it.contains("twice")).collect();
        assert_eq!(is_twice, [false, true, false], "{found:?}");
    }

    #[test]
    fn neighbors_are_what_others_use_inside() {
        let text = "[[drop]]\npath = '/a'\n[[drop]]\npath = '/a/b'\noutput = '/a-b'\n\
                    [[drop]]\npath = '/c'\noutput = '/a/c/out'\n";
        let config = Config::parse(text, Path::new("npyd.toml"), Path::new("/etc")).unwrap();
        let neighbors = |at: usize| &*config.drop_dirs[at].neighbors;
        assert_eq!(neighbors(0), [PathBuf::from("/a/b"), PathBuf::from("/a/c/out")]);
        assert!(neighbors(1).is_empty() && neighbors(2).is_empty());
    }

    #[test]
    fn the_caret_stays_below_its_line() {
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
