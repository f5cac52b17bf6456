//! The examples of the README, run as they are written there.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{Daemon, Outcome, Site, python};

/// The fenced blocks of one language behind the heading `## Try it`, in order.
fn examples(language: &str) -> Vec<String> {
    let readme = include_str!("../../../README.md");
    let part =
        readme.split("## Try it").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let opening = format!("```{language}\n");
    let fences = part.split(&opening).skip(1);
    fences.map(|fence| fence.split("```").next().unwrap().to_owned()).collect()
}

/// Copies a directory of the repository to the site.
fn copy(site: &Site, name: &str) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let copied = Command::new("cp").arg("-R").arg(from).arg(site.path(name)).status().unwrap();
    assert!(copied.success());
}

#[test]
fn a_newcomers_first_minutes() {
    let Some(python) = python() else { return };
    let site = Site::new();
    copy(&site, "config");
    copy(&site, "examples");
    let npy = site.path("examples/quickstart/npy");
    for array in site.names("examples/quickstart/npy").iter().filter(|name| *name != ".gitkeep") {
        fs::remove_file(npy.join(array)).unwrap(); // of somebody's own try
    }
    let remade =
        Command::new(&python).arg(site.path("examples/quickstart/make.py")).status().unwrap();
    assert!(remade.success());

    let mut daemon = Daemon::start(&site, "config/quickstart.toml");
    for name in ["camera", "probe", "track", "detector", "scope"] {
        daemon.wait_for_file(&format!("examples/quickstart/npy/{name}.npy"));
    }
    let run = |program: &Path, code: &str| {
        let mut command = Command::new(program);
        Outcome::of(command.args(["-c", code]).current_dir(site.path(""))).expect_code(0)
    };
    let [drop, load] = &examples("python")[..] else { panic!("two examples in Python") };
    let [_, shell, ask] = &examples("sh")[..] else { panic!("three examples for the shell") };
    run(&python, drop);
    run(Path::new("sh"), shell);
    for name in ["mine", "noise"] {
        daemon.wait_for_file(&format!("examples/quickstart/npy/{name}.npy"));
    }
    for (told, promised) in run(&python, load)
        .stdout
        .lines()
        .zip(load.lines().filter_map(|line| line.split("# ").nth(1)))
    {
        assert_eq!(told, promised);
    }
    // A user's `target/release` is the directory of the tested binary.
    let built = Path::new(env!("CARGO_BIN_EXE_npyd")).parent().unwrap();
    let ask = ask.replace("$PWD/target/release", built.to_str().unwrap());
    let told = run(Path::new("sh"), &format!("set -e\n{ask}"));
    told.expect_words(&[
        "finalized  ",
        "verdict        finished",
        "(100, 64)",
        "quickstart.toml: ok",
    ]);
}

/// The drops in the repository are those that its script makes.
#[test]
fn the_drops_are_the_scripts() {
    let Some(python) = python() else { return };
    let site = Site::new();
    copy(&site, "examples");
    let kept = site.path("kept");
    fs::rename(site.path("examples/quickstart/in"), &kept).unwrap();
    assert!(
        Command::new(&python)
            .arg(site.path("examples/quickstart/make.py"))
            .status()
            .unwrap()
            .success()
    );
    for name in site.names("examples/quickstart/in") {
        // Drops that somebody has just tried are gone until they are restored.
        if site.has(&format!("kept/{name}")) {
            assert_eq!(
                site.read(&format!("kept/{name}")),
                site.read(&format!("examples/quickstart/in/{name}")),
                "{name}"
            );
        }
    }
}
