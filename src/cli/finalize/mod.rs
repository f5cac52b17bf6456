//! `npyd finalize`: finalizes the files given on the command line, without a configuration.

mod dry_run;
mod refused;
mod sum;
mod tree;

use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Instant, SystemTime};

use clap::Args;

use self::dry_run::Planned;
use self::refused::Refused;
use self::sum::Sum;
use crate::cli::dtype_arg::DtypeArg;
use crate::cli::shape_arg::ShapeArg;
use crate::cli::{Exit, FatalError, print};
use crate::config::{DropDir, OnConflict};
use crate::decide::argument_problem::ArgumentProblem;
use crate::decide::quiescence::Quiescence;
use crate::decide::reason::Reason;
use crate::decide::request_problem::RequestProblem;
use crate::describe::{Declared, DeclaredBy, Dump, Metadata, Reserved};
use crate::events::bus::Bus;
use crate::events::event::Event;
use crate::events::receipt::Receipt;
use crate::events::receipt_event::ReceiptEvent;
use crate::events::stored::Stored;
use crate::finalize::{Finalized, Job, finalize};
use crate::model::FileName;
use crate::npy::{Layout, Order};
use crate::probe::candidate::{Candidate, Decision};
use crate::probe::{ListedDescriptions, ProbeResult, probe_as, probe_standalone};
use crate::sinks::stdout::ReceiptFormat;
use crate::sinks::{self, Host};
use crate::throttle::meter::Meter;

/// The end of the help.
pub(crate) const QUIET_HELP: &str = "A drop whose size alone does not show that it is complete, for example one with -1 in its \
     shape, must be unchanged for 2 s, or 20 s for the files of a glob: npyd waits for that.";

#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(crate) struct Finalize {
    /// Raw data files (described by a manifest, a sidecar or the options below), pending files, or
    /// directories with -r. Each becomes an array of its own. To join several to one, write a
    /// manifest, for example run.toml: dtype = "<u2", shape = [-1, 512, 512], data = "frame_*.raw";
    /// and give that
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// NumPy dtype, for example '<f4' or "[('a','<i2'),('b','<f4',(3,))]". u16, i32 and f32 count
    /// bits; u8, i8 and f16 count bytes, as in NumPy: for 8 bits write uint8
    #[arg(long, requires = "shape")]
    dtype: Option<DtypeArg>,
    /// Length of each axis, the slowest first in C order, for example 100,512,512. The slowest may
    /// be -1: its length follows from the file size, as in --shape=-1,512,512
    #[arg(long, requires = "dtype", allow_hyphen_values = true)]
    shape: Option<ShapeArg>,
    /// Memory order: C (the last axis varies fastest) or F (the first axis does)
    #[arg(long, requires = "dtype", value_parser = Order::from_str, default_value_t)]
    order: Order,
    /// Number of bytes before the data
    #[arg(long, requires = "dtype", default_value_t, value_name = "BYTES")]
    offset: u64,
    /// Number of bytes after the data
    #[arg(long, requires = "dtype", default_value_t, value_name = "BYTES")]
    trailing: u64,
    /// Number of unused bytes at the front of the file, all zeros; the header is written there, in
    /// place
    #[arg(long, requires = "dtype", value_name = "BYTES")]
    reserved: Option<Reserved>,
    /// Path of the .npy file; needs exactly one FILE
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// Directory for the .npy files; with -r it gets the subdirectories of the given directories
    #[arg(long, value_name = "DIR", conflicts_with = "output")]
    output_dir: Option<PathBuf>,
    /// Finalize all drops in the given directories and below. Ignores hidden names and the private
    /// directories of other programs, as the daemon does, and files that nothing describes
    #[arg(short, long, conflicts_with_all = ["output", "dtype"])]
    recursive: bool,
    /// Replace a regular file that has the output's name, unless it is an array made of another
    /// file. An array whose bytes are not all in the new one, and a file that is not an array, stay
    /// as a backup, OUT.~1~
    #[arg(long)]
    replace: bool,
    /// Show what would be made: output, shape, dtype and route. Changes nothing
    #[arg(long)]
    dry_run: bool,
    /// Print receipts as JSON, one object per line
    #[arg(long)]
    json: bool,
}

/// What became of a drop.
enum Done {
    /// npyd made or found the array of the drop.
    Made(Box<Receipt>),
    /// In a dry run: what would be made.
    Planned(Box<Planned>),
}

/// The state of the command: its results so far.
struct Session {
    bus: Arc<Bus>,
    listed: ListedDescriptions,
    sum: Sum,
}

/// Returns a remark about the name of an array that does not end in `.npy`.
fn odd_name_remark(output: &FileName) -> Option<String> {
    let extension = Path::new(output.as_str()).extension();
    extension.is_none_or(|extension| extension != "npy").then(|| {
        format!("`{output}` does not end in .npy, so that npyd and others will not know the array")
    })
}

impl Finalize {
    pub(crate) fn run(&self) -> Result<Exit, FatalError> {
        if self.output.is_some() && self.files.len() > 1 {
            return Err("-o names one output, but each FILE becomes an array of its own: leave -o \
                        out, or join the files with a manifest such as \
                        {\"dtype\": \"<u2\", \"shape\": [-1, 512], \"data\": [\"a.raw\", \"b.raw\"]}"
                .into());
        }
        let bus = Arc::new(sinks::start(Host::Command(ReceiptFormat::new(self.json)))?);
        bus.observe_facts();
        let mut session =
            Session { bus, listed: ListedDescriptions::default(), sum: Sum::default() };
        for file in &self.files {
            if self.recursive && file.is_dir() {
                self.finalize_tree(file, &mut session);
            } else {
                self.finalize_file(file, &mut session);
            }
        }
        session.bus.stop(None);
        if !self.json
            && let Some(sum) = session.sum.to_text()
        {
            // If standard error is closed, nobody wants to read it.
            let _ = writeln!(stderr(), "{sum}");
        }
        Ok(Exit::from(session.sum.refused() == 0))
    }

    fn finalize_file(&self, file: &Path, session: &mut Session) {
        let results = match self.drop_dir(file) {
            Ok((drop_dir, rel, name)) => {
                self.finalize_described(&drop_dir, &rel, name.as_ref(), session)
            }
            Err(problem) => vec![Err(Reason::Argument(problem).into())],
        };
        for result in results {
            self.report(file, result, session);
        }
    }

    /// Reports what became of a file, or in a dry run what would.
    fn report(&self, file: &Path, result: Result<Done, Refused>, session: &mut Session) {
        let receipt = match result {
            Ok(Done::Made(receipt)) => receipt,
            Ok(Done::Planned(planned)) => {
                session.sum.add_planned(&planned);
                session.bus.flush(None); // what was reported before comes first
                return print(&if self.json { planned.to_json() } else { planned.to_text() });
            }
            Err(refused) => Box::new(refused.to_receipt(file, self.dtype.is_some())),
        };
        session.sum.add(&receipt);
        session.bus.publish(Event::Receipt { receipt, stored: Stored::NotMeant });
    }

    /// Returns the file's directory as a drop directory with the settings of this command, the
    /// file's name, and the name of its output if `-o` gives one.
    fn drop_dir(
        &self,
        file: &Path,
    ) -> Result<(Arc<DropDir>, PathBuf, Option<FileName>), ArgumentProblem> {
        let path = absolute(file)?;
        if file.is_dir() {
            return Err(ArgumentProblem::Directory);
        }
        let mut drop_dir = self.drop_dir_at(path.parent().unwrap_or(Path::new("/")))?;
        let mut name = None;
        if let Some(output) = &self.output {
            if output.is_dir() {
                return Err(ArgumentProblem::OutputDirectory(output.clone()));
            }
            let output = absolute(output)?;
            let dir = output.parent().unwrap_or(Path::new("/"));
            drop_dir.output = (dir != drop_dir.path).then(|| dir.to_path_buf());
            let last = output.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if last == "-" {
                return Err(ArgumentProblem::StandardOutput);
            }
            let last = FileName::try_from(last)?;
            if crate::model::is_reserved_name(last.as_str()) {
                return Err(ArgumentProblem::ReservedName(last));
            }
            name = Some(last);
        }
        let rel = PathBuf::from(path.file_name().ok_or(ArgumentProblem::NoFileName)?);
        Ok((Arc::new(drop_dir), rel, name))
    }

    /// Returns a directory as a drop directory with the settings of this command.
    fn drop_dir_at(&self, path: &Path) -> Result<DropDir, ArgumentProblem> {
        let mut drop_dir = DropDir::at(path);
        if self.replace {
            drop_dir.on_conflict = OnConflict::Replace;
        }
        if let Some(dir) = &self.output_dir {
            let dir = absolute(dir)?;
            drop_dir.output = (dir != path).then_some(dir);
        }
        Ok(drop_dir)
    }

    /// Finalizes all data files that the given file describes, or the given file itself.
    fn finalize_described(
        &self,
        drop_dir: &Arc<DropDir>,
        rel: &Path,
        name: Option<&FileName>,
        session: &mut Session,
    ) -> Vec<Result<Done, Refused>> {
        if self.dtype.is_none()
            && name.is_none()
            && let Ok(ProbeResult::Multiple { data, .. }) =
                probe_standalone(drop_dir, rel, &mut session.listed)
        {
            return data
                .iter()
                .map(|rel| self.finalize_one(drop_dir, rel, None, session))
                .collect();
        }
        vec![self.finalize_one(drop_dir, rel, name, session)]
    }

    fn finalize_one(
        &self,
        drop_dir: &Arc<DropDir>,
        rel: &Path,
        name: Option<&FileName>,
        session: &mut Session,
    ) -> Result<Done, Refused> {
        let job = self.wait_until_complete(drop_dir, rel, name, &mut session.listed)?;
        if self.dry_run {
            return Ok(Done::Planned(Box::new(Planned::of(&job)?)));
        }
        let stop = Arc::new(AtomicBool::new(false));
        let mut progress = Meter::new(job.drop_path(), job.path(), &session.bus, &stop, None);
        let Finalized { receipt, interruption } = finalize(&job, &mut progress)?;
        match interruption {
            Some(interruption) => Err(interruption.into()),
            None => Ok(Done::Made(Box::new(receipt))),
        }
    }

    /// Probes the file until it is complete. Sleeps while time alone can prove that, fails if not.
    fn wait_until_complete(
        &self,
        drop_dir: &Arc<DropDir>,
        rel: &Path,
        output: Option<&FileName>,
        listed: &mut ListedDescriptions,
    ) -> Result<Job, Refused> {
        let mut quiescence = None;
        loop {
            let candidate = self.candidate(drop_dir, rel, listed)?;
            let now = Instant::now();
            let (snapshot, age) = (candidate.snapshot(), candidate.age(SystemTime::now()));
            let unchanged = quiescence
                .get_or_insert_with(|| Quiescence::new(snapshot.clone(), now, age))
                .observe(snapshot, now, age);
            match candidate.decide(drop_dir, unchanged, 0)? {
                Decision::Finalize(complete) => {
                    let overridden = self.overridden(drop_dir, &candidate, listed);
                    let mut job = Job::new(drop_dir, candidate, complete, unchanged)?;
                    job.dump.warnings.extend(overridden);
                    if let Some(output) = output {
                        job.dump.warnings.extend(odd_name_remark(output));
                        job.dump.output = output.clone();
                    }
                    return Ok(job);
                }
                Decision::Wait(wait) => {
                    let Some(ready_in) = wait.ready_in else {
                        let reason = Reason::Incomplete(Box::new(wait.why));
                        return Err(Refused { event: ReceiptEvent::Waiting, reason });
                    };
                    thread::sleep(ready_in);
                }
                Decision::Reject(reason) => return Err(reason.into()),
            }
        }
    }

    /// Returns a remark about a file that describes the data otherwise than the options do.
    fn overridden(
        &self,
        drop_dir: &DropDir,
        candidate: &Candidate,
        listed: &mut ListedDescriptions,
    ) -> Option<String> {
        let dump = candidate.dump.as_ref().ok().filter(|_| self.dtype.is_some())?;
        let probed = probe_standalone(drop_dir, &candidate.input.rel, listed);
        let Ok(ProbeResult::Candidate(by_file)) = probed else { return None };
        let (sidecar, described) = (by_file.input.description?, by_file.dump.ok()?);
        let layout = |dump: &Dump| {
            let Layout { dtype, order, .. } = &dump.layout;
            (dtype.clone(), *order, dump.data_offset, dump.trailing)
        };
        let lengths = dump.layout.data_len().zip(described.layout.data_len());
        let is_other = layout(dump) != layout(&described)
            || lengths.is_some() && dump.layout.shape.dims() != described.layout.shape.dims();
        is_other.then(|| {
            format!("`{}` describes it otherwise, and does not count beside --dtype", sidecar.name)
        })
    }

    fn candidate(
        &self,
        drop_dir: &DropDir,
        rel: &Path,
        listed: &mut ListedDescriptions,
    ) -> Result<Candidate, Refused> {
        let result = match (&self.dtype, &self.shape) {
            (Some(DtypeArg { dtype, remark }), Some(ShapeArg(shape))) => {
                let declared = Declared {
                    dtype: dtype.clone(),
                    shape: shape.clone(),
                    order: self.order,
                    offset: self.offset,
                    trailing: self.trailing,
                    reserved: self.reserved,
                    data: None,
                    output: None,
                    digest: None,
                };
                probe_as(drop_dir, rel, |name| {
                    let dump = declared.dump(DeclaredBy::Options, name, Metadata::new())?;
                    let warnings = remark.iter().map(ToString::to_string).collect();
                    Ok(Dump { warnings, bits_or_bytes: *remark, ..dump })
                })
            }
            _ => probe_standalone(drop_dir, rel, listed),
        };
        Err(Refused::from(match result? {
            ProbeResult::Candidate(candidate) => return Ok(*candidate),
            ProbeResult::Missing => Reason::Request(RequestProblem::NoSuchFile),
            ProbeResult::Ignored(why) | ProbeResult::AwaitingData { why, .. } => why,
            ProbeResult::Residue(_) => Reason::Residue,
            ProbeResult::Multiple { .. } => Reason::SeveralArrays,
        }))
    }
}

fn absolute(path: &Path) -> Result<PathBuf, ArgumentProblem> {
    std::path::absolute(path).map_err(|error| ArgumentProblem::NoAbsolutePath(error.to_string()))
}
