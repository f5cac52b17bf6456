//! Finds the drop or the array that a name given to `npyd redo` refers to. A name that leads to
//! several is an error, because the request would change an array that nobody named.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::cli::FatalError;
use crate::cli::history::{is_missing, is_named, possible_names, real_path};
use crate::cli::parts::is_part_named;
use crate::config::Config;
use crate::ledger::{Entry, Ledger};

/// Maximum number of arrays that a message lists.
const LISTED_MAX: usize = 4;

/// The drop that a name refers to.
pub(super) struct Named {
    /// Its newest entry, or the newest one of the array that was named, if that is an older one.
    pub(super) entry: Entry,
    /// The newest entry with an array: with the one that was named, if one was.
    pub(super) last_array: Option<Entry>,
    /// Whether an array was named, and not its source.
    pub(super) is_array: bool,
}

/// What a name refers to.
pub(super) enum NameMatch {
    Nothing,
    One(Box<Named>),
    /// Several; the text lists them.
    Several(String),
}

/// How an entry has a name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Match {
    /// By the name of its file or array alone, in any directory.
    Name,
    /// By the path.
    Path,
}

/// The entries that a name leads to.
#[derive(Default)]
struct Search {
    /// The sources that have the name.
    sources: BTreeMap<PathBuf, Match>,
    /// The newest entries of the arrays of all these sources.
    made: BTreeMap<PathBuf, Vec<Entry>>,
    /// The newest entries of the arrays that have the name.
    arrays: BTreeMap<PathBuf, (Match, Entry)>,
}

impl Search {
    fn of(ledger: &Ledger, name: &Path, config: &Config) -> Result<Self, FatalError> {
        let mut names = possible_names(name);
        loop {
            let mut search = Search::default();
            ledger.each_named(&names, |entry| search.see(entry, name, config))?;
            // A series that has the file as a part has another name; its arrays count, too.
            let found = search.sources.keys().filter_map(|source| source.file_name());
            let others: Vec<_> =
                found.map(OsStr::to_os_string).filter(|it| !names.contains(it)).collect();
            if others.is_empty() {
                return Ok(search);
            }
            names.extend(others);
        }
    }

    fn see(&mut self, entry: Entry, name: &Path, config: &Config) {
        let path = real_path(name);
        let by = |is_path: bool| if is_path { Match::Path } else { Match::Name };
        let is_part = is_part_named(&entry, name, &path);
        if is_named(&entry, name, config) {
            // A path in the quarantine is one as well.
            let is_path = entry.source == path || name.components().count() > 1;
            let known = self.sources.entry(entry.source.clone()).or_insert(Match::Name);
            *known = by(is_path).max(*known);
        }
        let Some(array) = entry.output.clone().filter(|_| entry.has_array()) else { return };
        if array == path || array.file_name() == Some(name.as_os_str()) {
            self.arrays.insert(array.clone(), (by(array == path), entry.clone()));
        }
        if is_part || self.sources.contains_key(&entry.source) {
            let made = self.made.entry(entry.source.clone()).or_default();
            made.retain(|it| it.output != entry.output);
            made.push(entry);
        }
    }
}

/// Returns what `name` refers to: like `npyd retry`, or by the name or path of its array. A path
/// counts more than a name alone.
pub(super) fn find(ledger: &Ledger, name: &Path, config: &Config) -> Result<NameMatch, FatalError> {
    let Search { sources, made, arrays } = Search::of(ledger, name, config)?;
    let mut found: Vec<(Match, Named)> = Vec::new();
    for (array, (by, last)) in arrays {
        let newest = ledger.latest_with_array(&last.source, |_| true)?;
        let is_newest = newest.is_some_and(|it| it.output.as_ref() == Some(&array));
        let latest = if is_newest { ledger.latest(&last.source)? } else { None };
        let entry = latest.unwrap_or_else(|| last.clone());
        found.push((by, Named { entry, last_array: Some(last), is_array: true }));
    }
    let real = real_path(name);
    for (source, by) in sources {
        let Some(entry) = ledger.latest(&source)? else { continue };
        let made = made.get(&source).map_or(&[][..], Vec::as_slice);
        let is_own = source == real || source.file_name() == Some(name.as_os_str());
        // The name is that of a part; the newest array may have been made without it.
        if !is_own
            && made.last().is_some_and(|last| last.parts().is_some())
            && !made.last().is_some_and(|last| is_named(last, name, config))
        {
            continue;
        }
        let left = if is_missing(&source) { arrays_left(ledger, made)? } else { Vec::new() };
        if left.len() > 1 {
            found.extend(left.into_iter().map(|last| {
                (by, Named { entry: last.clone(), last_array: Some(last), is_array: true })
            }));
        } else {
            let last_array = made.last().cloned();
            found.push((by, Named { entry, last_array, is_array: false }));
        }
    }
    let best = found.iter().map(|(by, _)| *by).max();
    let mut best: Vec<_> =
        found.into_iter().filter(|(by, _)| Some(*by) == best).map(|(_, it)| it).collect();
    // A file may be its own array, and an array may have the name of its source.
    let is_same = |one: &Named, other: &Named| {
        one.entry.source == other.entry.source && one.array() == other.array()
    };
    let mut index = 0;
    while index < best.len() {
        let is_again = best[..index].iter().any(|it| is_same(it, &best[index]));
        if is_again {
            best.remove(index);
        } else {
            index += 1;
        }
    }
    Ok(match best.len() {
        0 => NameMatch::Nothing,
        1 => best.pop().map_or(NameMatch::Nothing, |it| NameMatch::One(Box::new(it))),
        _ => NameMatch::Several(list(&best)),
    })
}

impl Named {
    /// Returns the path of the array, or of the source if there is no array.
    fn array(&self) -> &Path {
        let array = self.last_array.as_ref().and_then(|it| it.output.as_deref());
        array.unwrap_or(&self.entry.source)
    }
}

/// Returns the newest entries of the arrays that are still there and were not replaced by the array
/// of another source: some, if there are many.
fn arrays_left(ledger: &Ledger, made: &[Entry]) -> Result<Vec<Entry>, FatalError> {
    let mut left = Vec::new();
    for entry in made.iter().rev() {
        let Some(array) = entry.output.as_deref().filter(|it| !is_missing(it)) else { continue };
        let newest = ledger.latest_of_array(array)?;
        if newest.is_none_or(|it| it.source == entry.source) {
            left.push(entry.clone());
        }
        if left.len() > LISTED_MAX {
            break;
        }
    }
    Ok(left)
}

fn list(found: &[Named]) -> String {
    let text = |it: &Named| {
        let (path, source) = (it.array(), &it.entry.source);
        if path == source {
            format!("`{}`", path.display())
        } else {
            format!("`{}` (of `{}`)", path.display(), source.display())
        }
    };
    let mut listed: Vec<_> = found.iter().take(LISTED_MAX).map(text).collect();
    if found.len() > LISTED_MAX {
        listed.push("…".to_owned());
    }
    format!(
        "not made again: the name leads to several drops or arrays: {}; give the path of one",
        listed.join(", ")
    )
}
