//! The text of `--help` and `--version`.

use crate::support::{Outcome, Site};

#[test]
fn help() {
    let site = Site::new();
    let commands =
        ["", "run", "sweep", "finalize", "explain", "inspect", "check", "history", "retry", "redo"];
    let mut told = String::new();
    for command in commands {
        let args: Vec<_> = [command, "--help"].into_iter().filter(|it| !it.is_empty()).collect();
        let mut npyd = site.command();
        // Else the width would be that of whoever runs the tests.
        let outcome = Outcome::of(npyd.args(&args).env("COLUMNS", "100")).expect_code(0);
        told.extend(["$ npyd ", &args.join(" "), "\n", &outcome.stdout, "\n"]);
    }
    insta::assert_snapshot!(told);
}

#[test]
fn version() {
    let version = Site::new().npyd(&["--version"]).expect_code(0).stdout;
    assert_eq!(version, concat!("npyd ", env!("CARGO_PKG_VERSION"), "\n"));
}
