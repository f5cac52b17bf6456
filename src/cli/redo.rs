//! `npyd redo`: stores requests to make arrays again; the daemon or the next sweep executes them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;

use crate::cli::finalize::Dims;
use crate::cli::history::{is_array_named, is_named};
use crate::cli::{ConfigArgs, Exit, FatalError, print};
use crate::config::Config;
use crate::describe::Correction;
use crate::ledger::{self, Entry, Ledger, RequestKind};
use crate::npy::{Dtype, Layout, Order};

#[derive(Args)]
pub(crate) struct Redo {
    #[command(flatten)]
    config: ConfigArgs,
    /// Names or paths of data files, or of their arrays
    #[arg(required = true, value_name = "NAME")]
    names: Vec<PathBuf>,
    /// NumPy dtype; replaces that of the description
    #[arg(long, value_parser = Dtype::from_text)]
    dtype: Option<Dtype>,
    /// Length of each axis, for example 100,512,512; one may be -1 (computed from the file size)
    #[arg(long, allow_hyphen_values = true)]
    shape: Option<Dims>,
    /// Memory order: C (the last axis varies fastest) or F (the first axis does)
    #[arg(long, value_parser = Order::from_str)]
    order: Option<Order>,
    /// Number of bytes before the data
    #[arg(long, value_name = "BYTES")]
    offset: Option<u64>,
    /// Number of bytes after the data
    #[arg(long, value_name = "BYTES")]
    trailing: Option<u64>,
    /// If the source is gone, overwrite the array's header, if it fits in one disk sector
    #[arg(long)]
    in_place: bool,
}

impl Redo {
    pub(crate) fn run(&self) -> Result<Exit, FatalError> {
        let config = self.config.read()?;
        let correction = self.correction()?.to_json();
        let has_daemon = ledger::is_in_use(&config.state_dir);
        let ledger = Ledger::open_without_creating(&config.state_dir)?;
        let by = if has_daemon { "" } else { " by the next sweep" };
        let mut exit = Exit::Success;
        for name in &self.names {
            let found = named(&ledger, name, &config)?;
            if found.is_empty() {
                exit = Exit::Failure;
                print(&format!(
                    "{}: no drop or array in the ledger has this name; see `npyd history`, or \
                     `npyd explain` for a file that is waiting",
                    name.display()
                ));
            }
            for entry in found {
                if let Some(why) = refusal(&entry, &config) {
                    exit = Exit::Failure;
                    print(&format!("{}: not made again: {why}", entry.source.display()));
                    continue;
                }
                let (drop_dir, source) = (&entry.drop_dir, &entry.source);
                ledger.add_request(RequestKind::Redo, drop_dir, source, &correction)?;
                print(&format!("{}: will be made again{by}", entry.source.display()));
            }
        }
        Ok(exit)
    }

    /// Returns the keys given on the command line.
    ///
    /// # Errors
    /// If they contradict each other.
    fn correction(&self) -> Result<Correction, FatalError> {
        let shape = self.shape.as_ref().map(|Dims(dims)| dims.clone());
        if let (Some(dtype), Some(shape)) = (&self.dtype, &shape) {
            Layout::new(dtype.clone(), shape, self.order.unwrap_or_default())?;
        }
        Ok(Correction {
            dtype: self.dtype.clone(),
            shape,
            order: self.order,
            offset: self.offset,
            trailing: self.trailing,
            in_place: self.in_place,
            ..Correction::default()
        })
    }
}

/// Returns why neither daemon nor sweep would execute a request for this drop, if so.
fn refusal(entry: &Entry, config: &Config) -> Option<&'static str> {
    if entry.is_lost() {
        return Some("the disk may have lost its data; drop the file again");
    }
    let drop_dir = config.drop_dirs.iter().find(|it| it.path == entry.drop_dir);
    match drop_dir {
        None => Some(
            "its drop directory is not in the configuration; add it, or use another configuration",
        ),
        Some(it) if it.rejects.is_some() && entry.is_rejected() => {
            Some("it was rejected; correct its description and run `npyd retry`")
        }
        Some(_) => None,
    }
}

/// Returns the latest entry of each source that `name` refers to: like `npyd retry`, or by the name
/// or path of its array.
fn named(ledger: &Ledger, name: &Path, config: &Config) -> Result<Vec<Entry>, FatalError> {
    let mut sources = BTreeSet::new();
    ledger.for_each(|entry| {
        if is_array_named(&entry, name) || is_named(&entry, name, config) {
            sources.insert(entry.source);
        }
    })?;
    let mut found = Vec::new();
    for source in &sources {
        found.extend(ledger.latest(source)?);
    }
    Ok(found)
}
