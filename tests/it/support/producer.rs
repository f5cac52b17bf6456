//! Producers: Python processes that write dumps like real producers, one step per command.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use super::python::script_command;
use super::wait_until;

/// One of `tests/producers/*.py` at work. It carries out one command a line and answers `ok`, so
/// that a test knows how far it is without waiting. Dropping it kills it.
pub(crate) struct Producer {
    child: Child,
    commands: ChildStdin,
    answers: Receiver<String>,
    early: Option<String>,
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
        let answers = forward(child.stdout.take().unwrap());
        let producer = Self { child, commands, answers, early: None };
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

    /// Has one command begun, and goes on when it is done or `held` says that it can't be yet.
    /// Returns whether it is done.
    pub(crate) fn begin(&mut self, command: &str, held: impl FnMut() -> bool) -> bool {
        writeln!(self.commands, "{command}").unwrap();
        self.go_on(command, held)
    }

    /// Goes on when what was begun is done or `held` says that it can't be yet. Returns whether it
    /// is done.
    pub(crate) fn go_on(&mut self, command: &str, mut held: impl FnMut() -> bool) -> bool {
        wait_until(command, String::new, || {
            self.early = self.early.take().or_else(|| self.answers.try_recv().ok());
            self.early.is_some() || held()
        });
        self.early.is_some()
    }

    /// The answer to what was begun.
    pub(crate) fn hear(&mut self) -> String {
        self.early.take().unwrap_or_else(|| self.answer("what was begun"))
    }

    /// Ends it by SIGKILL, as the machine's own troubles do.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn expect(&self, answer: &str, command: &str) {
        assert_eq!(self.answer(command), answer, "the producer's answer to {command}");
    }

    fn answer(&self, command: &str) -> String {
        self.answers.recv().unwrap_or_else(|_| panic!("the producer died at {command}"))
    }
}

/// Collects its lines, so that one can be looked for without waiting.
fn forward(output: ChildStdout) -> Receiver<String> {
    let (to, from) = channel();
    thread::spawn(move || {
        BufReader::new(output).lines().try_for_each(|line| to.send(line.unwrap()))
    });
    from
}

impl Drop for Producer {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
