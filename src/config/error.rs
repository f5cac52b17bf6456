//! Errors of a configuration, and where they are in its text.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::describe::DescribeError;
use crate::npy::sanitize::sanitize;
use crate::text::os_message::os_message;
use crate::text::serde_errors::humanize;

/// Why a configuration is invalid. The text names the file and, if possible, the line.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// npyd can't read the file.
    #[error("failed to read the configuration `{}`: {}; {remedy}", path.display(), os_message(source))]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// A place in the text is wrong.
    #[error("{}", place.quote(&source.to_string()))]
    InText {
        /// The place.
        place: Box<TextPosition>,
        /// What is wrong.
        source: ConfigProblem,
    },
    /// Values contradict each other.
    #[error("in `{}`: {}", file.display(), sanitize(&source.to_string()))]
    Contradiction {
        /// The path of the file.
        file: PathBuf,
        /// What contradicts what.
        source: Contradiction,
    },
    /// Several of these, in the order of the text.
    #[error("{}", lines(.0))]
    Several(Vec<ConfigError>),
}

impl ConfigError {
    /// Returns one error with all mistakes, if there are any.
    pub(crate) fn of_all(mut mistakes: Vec<ConfigError>) -> Result<(), Self> {
        match mistakes.len() {
            0 => Ok(()),
            1 => Err(mistakes.remove(0)),
            _ => Err(ConfigError::Several(mistakes)),
        }
    }
}

fn lines(errors: &[ConfigError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// What is wrong at a place of a configuration.
#[derive(Debug, Error)]
pub enum ConfigProblem {
    /// The text is not TOML, or a value has the wrong type.
    #[error("{words}")]
    Toml {
        /// The error in the words of TOML, or what to write instead.
        words: String,
        /// The error.
        source: toml::de::Error,
    },
    /// A template describes no data.
    #[error(transparent)]
    Template(#[from] DescribeError),
    /// A rule of `ignore` is not a pattern. The text is that of the parser.
    #[error("{0}")]
    Ignore(String),
}

/// Values of a configuration that contradict each other.
#[derive(Debug, Error)]
pub enum Contradiction {
    /// There is no drop directory.
    #[error("no drop directory is configured: add a [[drop]] with its path")]
    NoDropDir,
    /// The values of one drop directory contradict each other.
    #[error("in the drop `{}`: {what}", path.display())]
    InDrop {
        /// The drop directory.
        path: PathBuf,
        /// What is wrong, with the remedy.
        what: String,
    },
    /// npyd would find its own files as drops.
    #[error("state_dir `{}` is inside a drop directory: choose another directory", .0.display())]
    StateDirInside(PathBuf),
    /// Two drop directories have one path.
    #[error("`{}` is configured twice: remove one [[drop]]", .0.display())]
    Twice(PathBuf),
    /// A drop directory is inside another one that is recursive.
    #[error(
        "the drop `{}` is inside the recursive drop `{}`: configure only one of them",
        inner.display(), outer.display()
    )]
    Nested {
        /// The inner drop directory.
        inner: PathBuf,
        /// The recursive one.
        outer: PathBuf,
    },
    /// Files that npyd puts aside would be drops again, of another drop directory or in a circle.
    #[error(transparent)]
    DroppedAgain(Box<DroppedAgain>),
}

/// A directory for archived or rejected files that another drop directory scans.
#[derive(Debug, Error)]
#[error(
    "{key} `{}` of the drop `{}` is {}: its files would be taken for new drops; {remedy}",
    dir.display(), path.display(), place(dir, seen_by)
)]
pub struct DroppedAgain {
    /// The key of the directory.
    pub(crate) key: &'static str,
    /// The directory.
    pub(crate) dir: PathBuf,
    /// The drop directory whose key this is.
    pub(crate) path: PathBuf,
    /// The drop directory that contains `dir`.
    pub(crate) seen_by: PathBuf,
    /// What to do.
    pub(crate) remedy: String,
}

fn place(dir: &Path, drop: &Path) -> String {
    if dir == drop {
        return "itself a drop directory".into();
    }
    format!("inside the recursive drop `{}`", drop.display())
}

/// A place in the text of a configuration.
#[derive(Debug)]
pub struct TextPosition {
    file: PathBuf,
    /// The number of the line, from 1.
    number: usize,
    line: String,
    column: usize,
    width: usize,
}

impl TextPosition {
    pub(crate) fn new(file: &Path, text: &str, at: &Range<usize>) -> Self {
        let before = &text[..at.start.min(text.len())];
        let (number, start) =
            (before.matches('\n').count() + 1, before.rfind('\n').map_or(0, |end| end + 1));
        // Control characters become blanks. Escaping them would move the caret to a wrong column.
        let line = text[start..].lines().next().unwrap_or_default().replace(char::is_control, " ");
        let len = line.chars().count();
        let column = before[start..].chars().count().min(len); // not behind a carriage return
        let width = (len - column).min(at.len()).max(1);
        TextPosition { file: file.to_path_buf(), number, line, column, width }
    }

    /// Formats a message that shows the line, with a caret below the place.
    fn quote(&self, what: &str) -> String {
        let TextPosition { file, number, line, column, width } = self;
        let margin = " ".repeat(number.to_string().len());
        format!(
            "in `{}`, line {number}: {}\n{margin} |\n{number} | {line}\n{margin} | {}{}",
            file.display(),
            sanitize(&humanize(what).replace('\n', ", ")),
            " ".repeat(*column),
            "^".repeat(*width)
        )
    }
}
