//! What a finished command left: its exit code and what it printed.

use std::process::{Command, Output};

use serde_json::Value;

/// A finished command.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The exit code; a signal's number plus 128 where one ended it.
    pub(crate) code: i32,
    /// All of its standard output.
    pub(crate) stdout: String,
    /// All of its standard error.
    pub(crate) stderr: String,
}

impl Outcome {
    /// Runs `command` to its end.
    pub(crate) fn of(command: &mut Command) -> Self {
        use std::os::unix::process::ExitStatusExt;
        let Output { status, stdout, stderr } =
            command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self {
            code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
            stdout: String::from_utf8(stdout).expect("standard output is UTF-8"),
            stderr: String::from_utf8(stderr).expect("standard error is UTF-8"),
        }
    }

    /// Fails unless the exit code is `code`.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self}");
        self
    }

    /// Fails unless every one of `words` stands in what was printed, on either stream.
    #[track_caller]
    pub(crate) fn expect_words(self, words: &[&str]) -> Self {
        for word in words {
            assert!(
                self.stdout.contains(word) || self.stderr.contains(word),
                "no `{word}` in\n{self}"
            );
        }
        self
    }

    /// The JSON objects of standard output, one a line.
    #[track_caller]
    pub(crate) fn json(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}\n{self}"));
        self.stdout.lines().map(parse).collect()
    }

    /// Returns the JSON object on standard output. Fails unless there is exactly one.
    #[track_caller]
    pub(crate) fn only_receipt(&self) -> Value {
        let mut receipts = self.json();
        assert_eq!(receipts.len(), 1, "{receipts:#?}");
        receipts.remove(0)
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "code {}\n--- stdout\n{}--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}

/// The reason of a receipt, or an empty text.
pub(crate) fn reason(receipt: &Value) -> &str {
    receipt["reason"].as_str().unwrap_or_default()
}

/// Questions to ask of receipts.
pub(crate) trait Receipts {
    /// The receipts whose `event` is `event`.
    fn of_event(&self, event: &str) -> Vec<&Value>;
    /// Returns the receipt of the source with the file name `name`. Fails unless there is exactly
    /// one.
    fn of_source(&self, name: &str) -> &Value;
}

impl Receipts for Vec<Value> {
    fn of_event(&self, event: &str) -> Vec<&Value> {
        self.iter().filter(|receipt| receipt["event"] == event).collect()
    }

    #[track_caller]
    fn of_source(&self, name: &str) -> &Value {
        let is_its = |receipt: &&Value| {
            receipt["source"].as_str().is_some_and(|source| {
                source.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
            })
        };
        let found: Vec<_> = self.iter().filter(is_its).collect();
        assert_eq!(found.len(), 1, "receipts of {name} in {self:#?}");
        found[0]
    }
}
