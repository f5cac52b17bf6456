//! Ignore rules: which names in a drop directory are never drops, in gitignore syntax.
//!
//! The last rule that matches a name decides. As in git, a name below an ignored directory is
//! ignored, because npyd does not enter that directory. A rule lifts a default only if it spells
//! how the name begins: `!.git` does, `!*/` does not. The rules do not apply to two kinds of names.
//! npyd never ignores the reserved names of its unfinished work, because crash recovery needs them.
//! It always ignores the files that it puts beside an array.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt;
use std::ops::Range;
use std::path::Path;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use serde::Deserialize;
use toml::Spanned;

use crate::model::is_reserved_name;
use crate::npy::sanitize::sanitize;

/// The default rules: hidden files and directories, and the directories that NAS systems, Windows
/// and ext4 create for themselves. The rules of the configuration come after these.
const DEFAULTS: [&str; 11] = [
    HIDDEN,
    "@eaDir/",
    "@Recycle/",
    "@Recently-Snapshot/",
    r"\#recycle/",
    r"\#snapshot/",
    "~snapshot/",
    "lost+found/",
    "$RECYCLE.BIN/",
    "$Recycle.Bin/",
    "System Volume Information/",
];

/// The default rule that is a pattern. The others are names of directories.
const HIDDEN: &str = ".*";

/// The rules of a drop directory.
#[derive(Clone, Deserialize)]
#[serde(from = "Vec<Spanned<String>>")]
pub struct IgnoreRules {
    configured: Vec<Spanned<String>>,
    /// `None` if no name is ignored.
    matchers: Option<Matchers>,
}

#[derive(Clone)]
struct Matchers {
    configured: Gitignore,
    /// The configured rules, without those that can't lift a default.
    lifting: Gitignore,
}

/// Why a name is ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored<'a> {
    /// The name of the file, or of the directory above it that is ignored.
    name: Cow<'a, OsStr>,
    is_dir: bool,
    by: By<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum By<'a> {
    /// npyd reserves such names for its own files.
    Own,
    Default(Cow<'a, str>),
    Configured(Cow<'a, str>),
}

impl IgnoreRules {
    /// Returns an empty list of rules, for files that a person names on the command line.
    #[must_use]
    pub fn none() -> Self {
        IgnoreRules { configured: Vec::new(), matchers: None }
    }

    /// Checks all rules. The error contains the place of the invalid rule in the configuration.
    pub(crate) fn check(&self) -> Result<(), (Range<usize>, String)> {
        for rule in &self.configured {
            check_rule(rule.get_ref()).map_err(|what| (rule.span(), what))?;
        }
        match self.configured.last() {
            Some(rule) => Matchers::of(&self.configured).map(drop).map_err(|e| (rule.span(), e)),
            None => Ok(()),
        }
    }

    /// Returns the default rules and the configured rules, each in their order.
    pub fn in_force(&self) -> (&'static [&'static str], impl Iterator<Item = &str>) {
        let defaults: &[&str] = if self.matchers.is_some() { &DEFAULTS } else { &[] };
        (defaults, self.configured.iter().map(|rule| rule.get_ref().as_str()))
    }

    /// Returns why the file or directory at this path below the drop directory is ignored, or
    /// `None` if it is not.
    #[must_use]
    pub fn reason<'a>(&'a self, rel: &'a Path, is_dir: bool) -> Option<Ignored<'a>> {
        let above: Vec<&Path> = rel.ancestors().skip(1).collect();
        let mut above = above.into_iter().rev().filter(|dir| !dir.as_os_str().is_empty());
        let of_dir = above.find_map(|dir| self.entry_reason(dir, true));
        of_dir.or_else(|| self.entry_reason(rel, is_dir))
    }

    /// Returns whether a directory entry is ignored. The directories above it must not be ignored.
    #[must_use]
    pub fn ignores_entry(&self, rel: &Path, is_dir: bool) -> bool {
        self.entry_reason(rel, is_dir).is_some()
    }

    /// Returns whether a path is ignored both as a file and as a directory.
    #[must_use]
    pub fn ignores_path(&self, rel: &Path) -> bool {
        self.reason(rel, false).is_some() && self.reason(rel, true).is_some()
    }

    fn entry_reason<'a>(&'a self, rel: &'a Path, is_dir: bool) -> Option<Ignored<'a>> {
        let matchers = self.matchers.as_ref()?;
        let name = rel.file_name().unwrap_or_default();
        let text = name.to_str().unwrap_or_default();
        if !is_dir && is_reserved_name(text) {
            return None;
        }
        if !is_dir && is_made_by_npyd(text) {
            return Some(Ignored { name: name.into(), is_dir, by: By::Own });
        }
        let by = matchers.rule_for(rel, is_dir)?;
        Some(Ignored { name: name.into(), is_dir, by })
    }
}

impl Matchers {
    fn of(configured: &[Spanned<String>]) -> Result<Self, String> {
        let rules = || configured.iter().map(|rule| rule.get_ref().as_str());
        Ok(Matchers {
            configured: matcher(rules())?,
            lifting: matcher(rules().filter(|rule| can_lift(rule)))?,
        })
    }

    fn rule_for(&self, rel: &Path, is_dir: bool) -> Option<By<'_>> {
        if let Match::Ignore(rule) = self.configured.matched(rel, is_dir) {
            return Some(By::Configured(rule.original().into()));
        }
        let rule = default_rule_for(rel.file_name()?, is_dir)?;
        let is_lifted = self.lifting.matched(rel, is_dir).is_whitelist();
        (!is_lifted).then(|| By::Default(rule.into()))
    }
}

/// Returns the default rule that a name matches. To compile these rules as patterns would take a
/// noticeable part of each start of npyd.
fn default_rule_for(name: &OsStr, is_dir: bool) -> Option<&'static str> {
    let name = name.as_encoded_bytes();
    DEFAULTS.into_iter().find(|rule| match rule.strip_suffix('/') {
        Some(dir) => is_dir && dir.trim_start_matches('\\').as_bytes() == name,
        None => *rule == HIDDEN && name.starts_with(b"."),
    })
}

impl Default for IgnoreRules {
    fn default() -> Self {
        Self::from(Vec::new())
    }
}

impl From<Vec<Spanned<String>>> for IgnoreRules {
    /// Compiles the rules. Invalid rules ignore nothing; `check` then returns the error.
    fn from(configured: Vec<Spanned<String>>) -> Self {
        let matchers = Matchers::of(&configured).ok();
        IgnoreRules { configured, matchers }
    }
}

/// Shows only the configured rules.
impl fmt::Debug for IgnoreRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.in_force().1).finish()
    }
}

fn check_rule(text: &str) -> Result<(), String> {
    if text.starts_with('#') {
        return Err(format!(
            r"`{text}` is a comment in gitignore syntax: write '\{text}' for such a name"
        ));
    }
    if text.trim_start_matches('!').trim_matches(['/', ' ']).is_empty() {
        return Err(format!("`{text}` matches no name: remove it"));
    }
    if let Some(rest) = text.strip_prefix("./").or_else(|| text.strip_prefix("!./")) {
        return Err(format!(
            "`{text}` matches no name: write `/{rest}` for one in the drop directory itself"
        ));
    }
    matcher(std::iter::once(text)).map(drop)
}

fn matcher<'a>(rules: impl Iterator<Item = &'a str>) -> Result<Gitignore, String> {
    let mut builder = GitignoreBuilder::new("");
    builder.allow_unclosed_class(false);
    for rule in rules {
        builder.add_line(None, rule).map_err(|error| match error {
            ignore::Error::Glob { err, .. } => format!("`{rule}` is not a pattern: {err}"),
            error => format!("`{rule}` is not a pattern: {error}"),
        })?;
    }
    builder.build().map_err(|_| "patterns are too large: write fewer or shorter ones".to_owned())
}

/// Returns whether a rule belongs to those that may lift a default: a rule that spells how a name
/// begins, or a rule that ignores.
fn can_lift(rule: &str) -> bool {
    let Some(pattern) = rule.strip_prefix('!') else { return true };
    let last = pattern.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    !last.starts_with(['*', '?', '[', '{'])
}

/// Returns whether npyd reserves this name, for files beside arrays: backups, live views, rests.
fn is_made_by_npyd(name: &str) -> bool {
    let is_backup = || {
        let number = name.strip_suffix('~').and_then(|name| name.rsplit_once(".npy.~"));
        number.is_some_and(|(_, number)| {
            !number.is_empty() && number.bytes().all(|it| it.is_ascii_digit())
        })
    };
    [".live", ".rest"].iter().any(|end| name.ends_with(end)) || is_backup()
}

/// Returns the pattern of a hidden file and of those that may describe it: `.scan.raw`,
/// `.scan.raw.toml` and `.scan.hdr` are a drop.
fn names_of_drop(name: &str) -> String {
    let stem = name.strip_prefix('.').and_then(|rest| rest.split_once('.')).map(|it| it.0);
    stem.map_or_else(|| format!("{name}*"), |stem| format!(".{stem}.*"))
}

impl Ignored<'_> {
    /// Returns a value that does not borrow from the rules.
    #[must_use]
    pub fn into_owned(self) -> Ignored<'static> {
        let by = match self.by {
            By::Own => By::Own,
            By::Default(rule) => By::Default(rule.into_owned().into()),
            By::Configured(rule) => By::Configured(rule.into_owned().into()),
        };
        Ignored { name: self.name.into_owned().into(), is_dir: self.is_dir, by }
    }
}

impl fmt::Display for Ignored<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = sanitize(&self.name.to_string_lossy());
        match &self.by {
            By::Own => write!(
                f,
                "`{name}` is ignored: such names are reserved for npyd (.rest, .live, .npy.~1~)"
            ),
            By::Default(rule) if self.is_dir => write!(
                f,
                "`{name}` is ignored by the default rule `{rule}`: add \"!{name}\" to `ignore` to \
                 include it"
            ),
            By::Default(rule) => write!(
                f,
                "`{name}` is ignored by the default rule `{rule}`: add \"!{}\" to `ignore` to \
                 include it and its description",
                names_of_drop(&name)
            ),
            By::Configured(rule) => {
                write!(f, "`{name}` is ignored by the rule `{}` of `ignore`", sanitize(rule))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(configured: &[&str]) -> IgnoreRules {
        let configured = configured.iter().map(|rule| Spanned::new(0..0, (*rule).to_owned()));
        let rules = IgnoreRules::from(configured.collect::<Vec<_>>());
        rules.check().unwrap();
        rules
    }

    /// Checks each path, with whether it is ignored. A slash at the end marks a directory.
    #[track_caller]
    fn check(rules: &IgnoreRules, cases: &[(&str, bool)]) {
        for (path, is_ignored) in cases {
            let (rel, is_dir) = (Path::new(path.trim_end_matches('/')), path.ends_with('/'));
            assert_eq!(rules.reason(rel, is_dir).is_some(), *is_ignored, "{path}");
        }
    }

    #[test]
    fn private_files_of_other_programs_are_ignored() {
        let rules = IgnoreRules::default();
        for name in [
            ".rsync-partial",
            ".~tmp~",
            ".stversions",
            ".Trash-1000",
            ".snapshot",
            ".AppleDouble",
            ".git",
            "@eaDir",
            "#recycle",
            "lost+found",
            "$RECYCLE.BIN",
            "System Volume Information",
        ] {
            let below = format!("{name}/a/x.raw");
            check(&rules, &[(&format!("{name}/"), true), (&below, true)]);
            check(&rules, &[(&format!("a/{name}/"), true), (&format!("a/{below}"), true)]);
        }
        check(
            &rules,
            &[
                ("._name.raw", true),
                (".x.raw.Ab3dE9", true),
                (".nfs0000", true),
                ("a/.x.raw", true),
                ("snapshot/", false),
                ("snapshot/x.raw", false),
                ("git/", false),
                ("recycle/", false),
                ("lost+found.raw", false),
                ("lost/", false),
                ("x.git/", false),
                ("@eaDir2/", false),
                ("System Volume/", false),
                ("x.raw", false),
                ("_name.raw", false),
            ],
        );
    }

    #[test]
    fn default_rules_follow_gitignore() {
        let compiled = matcher(DEFAULTS.into_iter()).unwrap();
        let names = DEFAULTS.map(|rule| rule.trim_end_matches('/').trim_start_matches('\\'));
        let others =
            [".", ".x", "x.y", "..", "#", "recycle", "~", "$", "System", "\\#recycle", "@eadir"];
        for name in names.into_iter().chain(others) {
            for name in [name.to_owned(), format!("{name}x"), format!("x{name}")] {
                for is_dir in [false, true] {
                    let expected = match compiled.matched(&name, is_dir) {
                        Match::Ignore(rule) => Some(rule.original()),
                        _ => None,
                    };
                    assert_eq!(default_rule_for(name.as_ref(), is_dir), expected, "{name}");
                }
            }
        }
    }

    #[test]
    fn rules_follow_gitignore() {
        check(
            &rules(&["*.tmp", "!keep.tmp", "/top", "old/", "**/cache/*.raw", "!.acquired"]),
            &[
                ("x.tmp", true),
                ("a/x.tmp", true),
                ("keep.tmp", false),
                ("a/keep.tmp", false),
                ("top", true),
                ("a/top", false),
                ("old", false),
                ("old/", true),
                ("a/old/x.raw", true),
                ("old/keep.tmp", true), // its directory is not entered
                ("a/cache/x.raw", true),
                ("cache/x.raw", true),
                ("cache/x.bin", false),
                (".acquired/", false),
                (".acquired/x.raw", false),
                (".acquired/.x.raw", true),
                (".other/", true),
            ],
        );
        check(&rules(&["!.*"]), &[(".x.raw", false), (".git/x.raw", false), ("@eaDir/", true)]);
        check(&rules(&["!lost+found", "!.x", ".x"]), &[("lost+found/", false), (".x", true)]);
        let only_raw = rules(&["*", "!.acquired/", "!*/", "!*.raw"]);
        check(&only_raw, &[("a/x.raw", false), ("a/x.bin", true), (".x.raw", true)]);
        check(&only_raw, &[(".git/", true), ("@eaDir/", true), (".acquired/x.raw", false)]);
        check(&rules(&[r"\#a", r"\!b", "[0-9]?"]), &[("#a", true), ("!b", true), ("7z", true)]);
    }

    #[test]
    fn rules_do_not_apply_to_files_of_npyd() {
        let all = rules(&["*", "!*.rest", "!*.live", "!*~"]);
        for rules in [all, IgnoreRules::default()] {
            check(&rules, &[(".npyd-taken-x.raw", false), (".npyd-1-2-3.tmp", false)]);
            for name in ["x.npy.~1~", "x.npy.~120~", "x.npy.live", "x.live", "x.raw.rest"] {
                check(&rules, &[(name, true)]);
            }
        }
        let others =
            ["x.npy.~~", "x.npy.~a~", "x.raw.~1~", "live", "rest", "x.live.raw", "x.rest/"];
        check(&IgnoreRules::default(), &others.map(|name| (name, false)));
        check(&IgnoreRules::none(), &[("x.rest", false), (".x.raw", false)]);
    }

    /// npyd does not know yet whether a new name is a file or a directory.
    #[test]
    fn a_path_is_ignored_only_as_file_and_directory() {
        let rules = rules(&["*", "!*/", "!x.raw"]);
        for (path, is_ignored) in [("new", false), (".git", true), ("x.raw", false)] {
            assert_eq!(rules.ignores_path(Path::new(path)), is_ignored, "{path}");
        }
        assert!(rules.ignores_path(Path::new("a/.git/x.raw")));
    }

    #[test]
    fn rules_that_match_nothing_are_rejected() {
        for text in ["", " ", "!", "/", "!/", "#work", "./x", "!./x", "[a", "{a", "x\\"] {
            assert!(check_rule(text).is_err(), "{text}");
        }
        let too_large = format!("{}{}{}", "{".repeat(250), "a,".repeat(3000), "}".repeat(250));
        assert!(check_rule(&too_large).is_err());
    }

    #[test]
    fn debug_output_is_the_configured_rules() {
        assert_eq!(format!("{:?}", rules(&["*.tmp"])), "[\"*.tmp\"]");
    }
}
