//! npyd side by side with what people use instead, as Markdown tables on standard output.
//!
//! `cargo bench` measures everything; `cargo bench -- --help` tells how to measure less, more or
//! elsewhere. docs/performance.md says what is measured, and how.

#![expect(clippy::similar_names, reason = "sites and sizes are what this is about")]

mod arrivals;
mod bursts;
mod chart;
mod contender;
mod daemon;
mod dump;
mod filesystem;
mod growth;
mod latency;
mod machine;
mod memory;
mod options;
mod python;
mod race;
mod scale;
mod scan;
mod site;
mod spread;
mod table;

use std::error::Error;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use clap::Parser;

use options::{Options, Part};
use python::Python;
use site::Site;

/// What may go wrong here ends the program; it is told as it is.
type Fallible<T> = Result<T, Box<dyn Error>>;

/// Set by the signals that end the program.
static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// What all measurements stand on.
struct Bench {
    options: Options,
    python: Python,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if !options.bench {
        // `cargo test --all-targets` starts benchmarks, too, without this word.
        println!("measures only when started by `cargo bench`");
        return ExitCode::SUCCESS;
    }
    match catch_signals().and_then(|()| run(options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Fallible<()> {
    if is_root() && !options.own_mounts {
        return Err(with_own_mounts().into());
    }
    let work = tempfile::Builder::new().prefix("npyd-bench-").tempdir_in(options.dir())?;
    let python = if options.wants_peers() { Some(Python::make()?) } else { None };
    machine::describe(work.path(), python.as_ref())?;
    let kinds = options.file_systems();
    if options.wants_scale() {
        let dir = work.path().join("scale");
        fs::create_dir(&dir)?;
        scale::measure(&options, &Site::on(kinds[0], &dir)?)?;
    }
    let Some(python) = python else { return Ok(()) };
    let bench = Bench { options, python };
    let (mut first, mut seen) = (true, Vec::new());
    for kind in kinds {
        let site = Site::on(kind, work.path())?;
        bench.measure(&site, first, &mut seen)?;
        first = false;
    }
    Ok(())
}

impl Bench {
    /// All parts on one file system; `seen` are the routes whose memory is known already. What is
    /// not about the file system is measured on the first one alone.
    fn measure(&self, site: &Site, is_first: bool, seen: &mut Vec<String>) -> Fallible<()> {
        if self.options.wants_routes() {
            race::measure(self, site)?;
        }
        if self.options.wants(Part::Memory) {
            memory::measure(self, site, seen)?;
        }
        if is_first && self.options.wants(Part::Bursts) {
            bursts::measure(self, site)?;
        }
        if is_first && self.options.wants(Part::Latency) {
            latency::measure(self, site)?;
        }
        if is_first && self.options.wants(Part::Scan) {
            scan::measure(self, site)?;
        }
        Ok(())
    }
}

/// Starts this program once more with mounts of its own: whatever ends it, nothing stays mounted.
fn with_own_mounts() -> std::io::Error {
    let own = std::env::current_exe().unwrap_or_default();
    Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--"])
        .arg(own)
        .args(std::env::args_os().skip(1))
        .arg("--own-mounts")
        .exec()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn catch_signals() -> Fallible<()> {
    let flag = INTERRUPTED.get_or_init(Arc::default);
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(flag))?;
    }
    Ok(())
}

/// Fails once a signal has asked for the end, so that everything is cleaned up on the way out.
fn go_on() -> Fallible<()> {
    match INTERRUPTED.get() {
        Some(flag) if flag.load(Ordering::Relaxed) => Err("interrupted".into()),
        _ => Ok(()),
    }
}
