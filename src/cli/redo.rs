//! `npyd redo`: stores requests to make arrays again; the daemon or the next sweep executes them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;

use crate::cli::dims::Dims;
use crate::cli::history::{is_array_named, is_named, time_text};
use crate::cli::request_check::check_redo;
use crate::cli::{ConfigArgs, Exit, FatalError, print};
use crate::config::{Config, DropDir};
use crate::decide::completeness::Evidence;
use crate::decide::request_kind::RequestKind;
use crate::describe::Correction;
use crate::ledger::{self, Entry, Ledger};
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
    /// Undo `npyd take` and the options of earlier `npyd redo`: the description alone counts again
    #[arg(long, conflicts_with_all = ["dtype", "shape", "order", "offset", "trailing", "in_place"])]
    as_described: bool,
}

impl Redo {
    pub(crate) fn run(&self) -> Result<Exit, FatalError> {
        let config = self.config.read()?;
        let correction = self.correction()?;
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
            for Named { entry, last_array, is_by_array } in found {
                let newest = last_array.as_ref().filter(|_| is_by_array);
                let checked = check_newest(newest, name).and_then(|()| {
                    let drop_dir = drop_dir_of(&entry, &config)?;
                    let dir = (drop_dir, &ledger);
                    check_redo(dir, &entry, last_array.as_ref(), &correction)
                });
                let (target, options) = match checked {
                    Ok(request) => request,
                    Err(why) => {
                        exit = Exit::Failure;
                        print(&format!("{}: not made again: {why}", entry.source.display()));
                        continue;
                    }
                };
                let (drop_dir, source) = (&entry.drop_dir, &entry.source);
                let replaced = replaced_request(&ledger, drop_dir, source)?;
                let request = (options.as_str(), &target);
                ledger.add_request(RequestKind::Redo, drop_dir, source, request)?;
                let made = last_array.as_ref().filter(|_| correction.as_described);
                let remark = made.and_then(after_take).unwrap_or_default();
                print(&format!("{}: will be made again{by}{remark}{replaced}", source.display()));
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
            as_described: self.as_described,
            ..Correction::default()
        })
    }
}

/// Returns the remark about an earlier request that a new one replaces, or an empty text: npyd
/// carries out only the last request about a drop.
fn replaced_request(ledger: &Ledger, drop_dir: &Path, source: &Path) -> Result<String, FatalError> {
    let requests = ledger.requests(drop_dir)?;
    let earlier = requests.iter().rfind(|it| it.source == source);
    Ok(earlier.map_or_else(String::new, |it| {
        let (kind, at) = (it.kind.as_str(), time_text(&it.at));
        let options = Correction::parse(&it.options).map(|it| it.to_string());
        let options = options.ok().filter(|it| !it.is_empty());
        let options = options.map_or_else(String::new, |options| format!(" ({options})"));
        format!("; this replaces `npyd {kind}`{options} of {at}, which npyd did not begin yet")
    }))
}

/// Returns what undoing `npyd take` leads to, if the array was taken.
fn after_take(made: &Entry) -> Option<String> {
    let evidence = Evidence::from_name(&made.receipt_field("evidence")?)?;
    let array = made.output.as_deref()?.display();
    evidence.is_partial().then(|| {
        format!(
            ", if its data fit the description; if they don't, the drop waits again, and its array \
             `{array}` stays"
        )
    })
}

/// A drop that a name refers to.
struct Named {
    /// The newest entry of the drop.
    entry: Entry,
    /// The newest entry of the drop with an array.
    last_array: Option<Entry>,
    /// Whether the name is that of an array, not of the data.
    is_by_array: bool,
}

/// Checks that a name of an array is that of the newest one of its source, `newest`: npyd makes no
/// other one again.
fn check_newest(newest: Option<&Entry>, name: &Path) -> Result<(), String> {
    match newest {
        Some(made) if !is_array_named(made, name) => Err(format!(
            "`{}` is the array of an earlier file of this name, or of before it changed; npyd makes \
             only the newest one again, `{}`",
            name.display(),
            made.output.as_deref().unwrap_or(&made.source).display()
        )),
        _ => Ok(()),
    }
}

/// Returns the drop directory of an entry. The error says why neither daemon nor sweep would
/// execute a request for this drop.
fn drop_dir_of<'a>(entry: &Entry, config: &'a Config) -> Result<&'a DropDir, &'static str> {
    if entry.is_lost() {
        return Err("the disk may have lost its data; drop the file again");
    }
    match config.drop_dirs.iter().find(|it| it.path == entry.drop_dir) {
        None => Err(
            "its drop directory is not in the configuration; add it, or use another configuration",
        ),
        Some(it) if it.rejects.is_some() && entry.is_rejected() => {
            Err("it was rejected; correct its description and run `npyd retry`")
        }
        Some(it) => Ok(it),
    }
}

/// Returns the drops that `name` refers to: like `npyd retry`, or by the name or path of its array.
fn named(ledger: &Ledger, name: &Path, config: &Config) -> Result<Vec<Named>, FatalError> {
    let mut sources: BTreeMap<PathBuf, (Option<Entry>, bool)> = BTreeMap::new();
    ledger.for_each(|entry| {
        let is_by_source = is_named(&entry, name, config);
        if is_by_source || is_array_named(&entry, name) || sources.contains_key(&entry.source) {
            let (last_array, is_by_array) =
                sources.entry(entry.source.clone()).or_insert((None, true));
            *is_by_array &= !is_by_source;
            if entry.has_array() {
                *last_array = Some(entry);
            }
        }
    })?;
    let mut found = Vec::new();
    for (source, (last_array, is_by_array)) in sources {
        let entry = ledger.latest(&source)?;
        found.extend(entry.map(|entry| Named { entry, last_array, is_by_array }));
    }
    Ok(found)
}
