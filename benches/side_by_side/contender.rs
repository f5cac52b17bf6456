//! Those who make an array of a dump: npyd by each of its routes, and its peers.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Instant;

use serde_json::Value;

use crate::dump::{self, ROOM};
use crate::options::Size;
use crate::python::{Python, peer};
use crate::site::Site;
use crate::{Fallible, go_on};

/// One who makes an array of a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contender {
    /// npyd, with a drop of this kind.
    Npyd(Setup),
    /// Somebody else.
    Peer(Peer),
}

/// What decides about npyd's route, besides the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setup {
    /// Room for the header at the front of the data.
    Reserved,
    /// A pending header that is marked ready.
    Pending,
    /// Nothing but the defaults.
    Default,
    /// The source need not be kept.
    Remove,
    /// The header must suit every reader.
    AnyReader,
}

/// What people use instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A copy through `open_memmap`.
    OpenMemmap,
    /// `np.save` of a memmap.
    SaveMemmap,
    /// `np.save` of a copy in memory.
    SaveCopy,
    /// `cp`, and a sync of the file system.
    Cp,
    /// The same, told to move all bytes.
    CpBytes,
}

/// One measurement.
#[derive(Debug)]
pub(crate) struct Run {
    /// How long it took: npyd and `cp` the whole process, a script its work alone.
    pub(crate) seconds: f64,
    /// What npyd's receipt says: the route, and how long the work took.
    pub(crate) receipt: Option<(String, f64)>,
    /// A script's peak memory in KiB.
    pub(crate) peak_kib: Option<u64>,
}

impl Setup {
    pub(crate) const ALL: [Setup; 5] =
        [Setup::Reserved, Setup::Pending, Setup::Default, Setup::Remove, Setup::AnyReader];

    /// What the configuration says more than the defaults.
    pub(crate) fn settings(self) -> &'static str {
        match self {
            Setup::Reserved | Setup::Pending | Setup::Default => "",
            Setup::Remove => "source = \"remove\"",
            Setup::AnyReader => "readers = \"any\"",
        }
    }

    /// Drops a dump, written to the disk and in the page cache.
    pub(crate) fn drop_dump(self, site: &Site, size: Size) -> Fallible<()> {
        let frames = size.0 / dump::FRAME;
        let room = [0; ROOM];
        let (front, manifest) = match self {
            Setup::Pending => (dump::pending_front(frames), None),
            Setup::Reserved => (room.to_vec(), Some(format!("reserved = {ROOM}\n"))),
            _ => (Vec::new(), Some(String::new())),
        };
        if let Some(more) = manifest {
            dump::describe(&site.path("in/scan.raw.toml"), frames, &more)?;
        }
        dump::write(&self.source(site), &front, 0, frames)?.sync_all()?;
        Ok(site.sync()?)
    }

    fn source(self, site: &Site) -> PathBuf {
        site.path(if self == Setup::Pending { "in/scan.npy.pending" } else { "in/scan.raw" })
    }

    /// The command that makes the array: where no configuration is needed, without one.
    fn command(self, site: &Site) -> Fallible<Command> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_npyd"));
        command.env_remove("NPYD_CONFIG").env_remove("RUST_LOG");
        if self.settings().is_empty() {
            command.args(["finalize", "--json"]).arg(self.source(site));
            command.arg("-o").arg(site.path("out/scan.npy"));
        } else {
            command.args(["sweep", "--json", "--config"]).arg(site.configure(self.settings())?);
        }
        Ok(command)
    }
}

impl Contender {
    /// All that there are; on some file systems and at some sizes several are the same.
    pub(crate) fn all() -> Vec<Contender> {
        let peers = [Peer::OpenMemmap, Peer::SaveMemmap, Peer::SaveCopy, Peer::Cp, Peer::CpBytes];
        Setup::ALL.map(Contender::Npyd).into_iter().chain(peers.map(Contender::Peer)).collect()
    }

    /// Measures it once, on a dump that was just dropped; `verify` looks at what came of it.
    pub(crate) fn run(
        self,
        site: &Site,
        python: &Python,
        size: Size,
        verify: bool,
    ) -> Fallible<Run> {
        go_on()?;
        let setup = if let Contender::Npyd(setup) = self { setup } else { Setup::Default };
        setup.drop_dump(site, size)?;
        let mut command = match self {
            Contender::Npyd(setup) => setup.command(site)?,
            Contender::Peer(peer) => peer.command(site, python, size),
        };
        let started = Instant::now();
        let output = command.output()?;
        let seconds = started.elapsed().as_secs_f64();
        let run =
            self.account(&output, seconds).map_err(|error| format!("{command:?}: {error}"))?;
        if verify {
            self.verify(site, python, size)?;
        }
        site.clear_files()?;
        Ok(run)
    }

    fn account(self, output: &Output, seconds: f64) -> Fallible<Run> {
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!("{}: {told}{error}", output.status).into());
        }
        if let Contender::Peer(Peer::Cp | Peer::CpBytes) = self {
            return Ok(Run { seconds, receipt: None, peak_kib: None });
        }
        let told: Value =
            serde_json::from_str(&told).map_err(|error| format!("{told}: {error}"))?;
        let inner = told["seconds"].as_f64().ok_or("it does not say how long it took")?;
        Ok(match told["route"].as_str() {
            Some(route) => {
                Run { seconds, receipt: Some((route.to_owned(), inner)), peak_kib: None }
            }
            None => Run { seconds: inner, receipt: None, peak_kib: told["peak_kib"].as_u64() },
        })
    }

    fn verify(self, site: &Site, python: &Python, size: Size) -> Fallible<()> {
        let out = match self {
            Contender::Peer(Peer::Cp | Peer::CpBytes) => "out/scan.raw",
            _ => "out/scan.npy",
        };
        verify(site, python, size.0 / dump::FRAME, &[site.path(out)])
    }
}

impl Peer {
    /// What it is called in tables.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Peer::OpenMemmap => "`open_memmap`, `y[:] = x[:]`, flush, fsync",
            Peer::SaveMemmap => "`np.save` of a memmap, fsync",
            Peer::SaveCopy => "`np.save` of a copy, fsync",
            Peer::Cp => "`cp`, `sync -f`",
            Peer::CpBytes => "`cp --reflink=never`, `sync -f`",
        }
    }

    fn command(self, site: &Site, python: &Python, size: Size) -> Command {
        let script = match self {
            Peer::OpenMemmap => "open_memmap.py",
            Peer::SaveMemmap => "save_memmap.py",
            Peer::SaveCopy => "save_copy.py",
            Peer::Cp | Peer::CpBytes => {
                let mut command = Command::new(peer("cp"));
                command.arg(site.path("in/scan.raw")).arg(site.path("out/scan.raw"));
                command.args((self == Peer::CpBytes).then_some("--reflink=never"));
                return command;
            }
        };
        let mut command = python.script(script);
        command.arg(site.path("in/scan.raw")).arg(site.path("out/scan.npy"));
        command.args(dump::described(size.0 / dump::FRAME));
        command
    }
}

/// Has NumPy compare files with what was dropped; fails where one differs.
pub(crate) fn verify(site: &Site, python: &Python, frames: u64, files: &[PathBuf]) -> Fallible<()> {
    let frame = site.path("frame");
    if !frame.exists() {
        fs::write(&frame, dump::frame())?;
        File::open(&frame)?.sync_all()?;
    }
    let mut script = python.script("verify.py");
    crate::filesystem::run(script.arg(frame).arg(frames.to_string()).args(files))
}
