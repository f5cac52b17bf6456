//! Patterns over file names: globs with `*`, `?`, `[…]` and `{a,b}`, and regular expressions, whose
//! named groups replace placeholders. Only an explicit dot of a glob matches a leading dot.

use globset::{ErrorKind, Glob, GlobBuilder, GlobSet};
use regex::{Captures, Regex, RegexBuilder};

use crate::describe::DescribeError;

/// A pattern over file names.
#[derive(Debug, Clone)]
pub struct NamePattern(Syntax);

#[derive(Debug, Clone)]
enum Syntax {
    /// A glob, and a set of it alone, because the matcher of a single glob panics if the glob is
    /// too large.
    Glob(Glob, GlobSet),
    Regex(Regex),
}

impl NamePattern {
    /// Parses a pattern: a regular expression if it begins with `^`, and otherwise a glob.
    ///
    /// # Errors
    /// The text is neither.
    pub fn parse(text: &str) -> Result<Self, DescribeError> {
        if !text.starts_with('^') {
            return Self::glob(text);
        }
        Regex::new(text).map(|regex| NamePattern(Syntax::Regex(regex))).map_err(|error| {
            let message = error.to_string();
            let last = message.lines().last().unwrap_or_default();
            let why = match error {
                regex::Error::CompiledTooBig(_) => "it is too large",
                _ => last.trim_start_matches("error: "),
            };
            format!("`{text}` is not a regular expression: {why}").into()
        })
    }

    /// Parses a glob.
    ///
    /// # Errors
    /// The text is not a glob.
    pub fn glob(text: &str) -> Result<Self, DescribeError> {
        build_glob(text, false).map_err(|error| match error.kind() {
            ErrorKind::Regex(_) => format!("`{text}` is not a glob: it is too large").into(),
            why => format!("`{text}` is not a glob: {why}").into(),
        })
    }

    /// Returns the pattern that also matches names in other letter case; the pattern itself if that
    /// is too large.
    #[must_use]
    pub fn in_any_case(&self) -> Self {
        let in_any_case = match &self.0 {
            Syntax::Glob(glob, _) => build_glob(glob.glob(), true).ok(),
            Syntax::Regex(regex) => {
                let built = RegexBuilder::new(regex.as_str()).case_insensitive(true).build();
                built.ok().map(|regex| NamePattern(Syntax::Regex(regex)))
            }
        };
        in_any_case.unwrap_or_else(|| self.clone())
    }

    /// Returns the text of the pattern.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Syntax::Glob(glob, _) => glob.glob(),
            Syntax::Regex(regex) => regex.as_str(),
        }
    }

    /// Returns whether it matches a file name.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match &self.0 {
            Syntax::Glob(glob, set) => {
                let is_hidden = name.starts_with('.') && !glob.glob().starts_with('.');
                !is_hidden && set.is_match(name)
            }
            Syntax::Regex(regex) => regex.is_match(name),
        }
    }

    /// Returns whether it is a regular expression, which can have groups.
    #[must_use]
    pub fn is_regex(&self) -> bool {
        matches!(self.0, Syntax::Regex(_))
    }

    /// Returns whether it has a group of this name.
    #[must_use]
    pub fn has_group(&self, group: &str) -> bool {
        match &self.0 {
            Syntax::Glob(..) => false,
            Syntax::Regex(regex) => regex.capture_names().any(|it| it == Some(group)),
        }
    }

    /// Returns what its groups match in a file name; `None` if it has none, or does not match.
    pub(crate) fn captures<'n>(&self, name: &'n str) -> Option<Captures<'n>> {
        match &self.0 {
            Syntax::Glob(..) => None,
            Syntax::Regex(regex) => regex.captures(name),
        }
    }
}

fn build_glob(text: &str, ignores_case: bool) -> Result<NamePattern, globset::Error> {
    let glob =
        GlobBuilder::new(text).literal_separator(true).case_insensitive(ignores_case).build()?;
    let set = GlobSet::builder().add(glob.clone()).build()?;
    Ok(NamePattern(Syntax::Glob(glob, set)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_that_begins_with_a_caret_is_a_regular_expression() {
        for (text, is_regex, groups) in
            [("run_*.raw", false, false), ("^(?<run>.+)_(?<frame>\\d{6})[.]raw$", true, true)]
        {
            let pattern = NamePattern::parse(text).unwrap();
            assert_eq!((pattern.as_str(), pattern.is_regex()), (text, is_regex));
            assert!(pattern.matches("run_000001.raw") && !pattern.matches("RUN_000001.RAW"));
            assert!(pattern.in_any_case().matches("RUN_000001.RAW"), "{text}");
            assert_eq!(pattern.has_group("frame"), groups);
            let captures = pattern.captures("run_000001.raw");
            let frame = captures.as_ref().and_then(|it| it.name("frame"));
            assert_eq!(frame.map(|it| it.as_str()), groups.then_some("000001"));
        }
        for text in ["^(", "[", "^(a{1000}){1000}"] {
            assert!(NamePattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_an_explicit_dot_of_a_glob_matches_a_hidden_file() {
        for (text, matches) in [("*.raw", false), (".*.raw", true), ("^.*[.]raw$", true)] {
            assert_eq!(NamePattern::parse(text).unwrap().matches(".a.raw"), matches, "{text}");
        }
    }
}
