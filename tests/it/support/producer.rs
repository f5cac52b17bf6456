//! Producers: Python processes that write dumps as real ones do, step by step on command.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use super::python::script_command;

/// One of `tests/producers/*.py` at work. It carries out one command a line and answers `ok`, so
/// that a test knows how far it is without waiting. Dropping it kills it.
pub(crate) struct Producer {
    child: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Producer {
    /// Starts `producers/SCRIPT` and returns when it has made its file.
    pub(crate) fn start(
        python: &Path,
        script: &str,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Self {
        let mut child = script_command(python, &format!("producers/{script}"))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let commands = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut producer = Self { child, commands, answers };
        producer.expect("ok", "start");
        producer
    }

    /// Has one command carried out to its end.
    pub(crate) fn say(&mut self, command: &str) -> &mut Self {
        self.ask(command, "ok");
        self
    }

    /// Has one command carried out, and expects `answer`.
    pub(crate) fn ask(&mut self, command: &str, answer: &str) {
        writeln!(self.commands, "{command}").unwrap();
        self.expect(answer, command);
    }

    /// Ends it by SIGKILL, as the machine's own troubles do.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn expect(&mut self, answer: &str, command: &str) {
        let line = self.answers.next().unwrap_or_else(|| panic!("the producer died at {command}"));
        assert_eq!(line.unwrap(), answer, "the producer's answer to {command}");
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
