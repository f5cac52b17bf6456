//! `npyd redo`: stores requests to make arrays again; the daemon or the next sweep executes them.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;

use crate::cli::dtype_arg::DtypeArg;
use crate::cli::history::{is_missing, time_text};
use crate::cli::redo_name::{NameMatch, Named, find};
use crate::cli::request_check::check_redo;
use crate::cli::shape_arg::ShapeArg;
use crate::cli::{ConfigArgs, Exit, FatalError, print};
use crate::config::{Config, DropDir};
use crate::decide::evidence::Evidence;
use crate::decide::request_kind::RequestKind;
use crate::decide::request_target::RequestTarget;
use crate::describe::Correction;
use crate::events::source_fate::SourceFate;
use crate::ledger::{self, Entry, Ledger, Request};
use crate::npy::{Layout, Order};

/// Why a drop in the quarantine is not made again, unless the options correct its description.
const IS_REJECTED: &str = "it was rejected; correct its description and run `npyd retry`";

#[derive(Args)]
pub(crate) struct Redo {
    #[command(flatten)]
    config: ConfigArgs,
    /// Names or paths of data files, or of their arrays
    #[arg(required = true, value_name = "NAME")]
    names: Vec<PathBuf>,
    /// NumPy dtype; replaces that of the description
    #[arg(long, value_parser = DtypeArg::from_str)]
    dtype: Option<DtypeArg>,
    /// Length of each axis, for example 100,512,512; one may be -1 (computed from the file size)
    #[arg(long, allow_hyphen_values = true)]
    shape: Option<ShapeArg>,
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
        if let Some(remark) = self.dtype.as_ref().and_then(|it| it.remark.as_ref()) {
            eprintln!("npyd: {remark}");
        }
        let has_daemon = ledger::is_in_use(&config.state_dir);
        let ledger = Ledger::open_without_creating(&config.state_dir)?;
        let by = if has_daemon { "" } else { " by the next sweep" };
        let mut exit = Exit::Success;
        for name in &self.names {
            let Named { entry, last_array, is_array } = match find(&ledger, name, &config)? {
                NameMatch::One(named) => *named,
                NameMatch::Nothing => {
                    exit = Exit::Failure;
                    print(&format!("{}: {}", name.display(), why_unknown(name)));
                    continue;
                }
                NameMatch::Several(list) => {
                    exit = Exit::Failure;
                    print(&format!("{}: {list}", name.display()));
                    continue;
                }
            };
            let array = last_array.as_ref().and_then(|it| it.output.as_deref());
            let array = array.filter(|_| is_array);
            let has_keys = last_array.is_none() && !correction.keys().is_empty();
            let about = (&entry, last_array.as_ref(), is_array);
            let checked = drop_dir_of(about, has_keys, &config).and_then(|drop_dir| {
                let dir = (drop_dir, &ledger);
                check_redo(dir, &entry, (last_array.as_ref(), array), &correction)
            });
            let (target, options) = match checked {
                Ok(request) => request,
                Err(why) => {
                    exit = Exit::Failure;
                    let named = array.unwrap_or(&entry.source).display();
                    print(&format!("{named}: not made again: {why}"));
                    continue;
                }
            };
            let (drop_dir, source) = (&entry.drop_dir, &entry.source);
            let about = (&target, &correction);
            let earlier = remark_on_earlier(&ledger, (drop_dir, source), about)?;
            ledger.add_request(RequestKind::Redo, drop_dir, source, (&options, &target))?;
            let made = last_array.as_ref().filter(|_| correction.as_described);
            let remark = made.and_then(after_take).unwrap_or_default();
            print(&format!("{}: will be made again{by}{remark}{earlier}", source.display()));
        }
        Ok(exit)
    }

    /// Returns the keys given on the command line.
    ///
    /// # Errors
    /// If they contradict each other.
    fn correction(&self) -> Result<Correction, FatalError> {
        let shape = self.shape.as_ref().map(|ShapeArg(dims)| dims.clone());
        let dtype = self.dtype.as_ref().map(|it| it.dtype.clone());
        if let (Some(dtype), Some(shape)) = (&dtype, &shape) {
            Layout::new(dtype.clone(), shape, self.order.unwrap_or_default())?;
        }
        Ok(Correction {
            dtype,
            dtype_remark: self.dtype.as_ref().and_then(|it| it.remark.map(|it| it.to_string())),
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

/// Returns why nothing can be made again of a name that the ledger does not have.
fn why_unknown(name: &Path) -> &'static str {
    let is_array = name.extension().is_some_and(|it| it == "npy") && !is_missing(name);
    if is_array {
        "the ledger has no receipt of this array: to have it made again, move it away, and its \
         data and their description back into the drop directory"
    } else {
        "no drop or array in the ledger has this name; see `npyd history`, or `npyd explain` for \
         a file that is waiting"
    }
}

/// Returns the remark about an earlier request that a new one replaces or completes, or an empty
/// text: npyd carries out the requests about a drop, or about one array, as one.
fn remark_on_earlier(
    ledger: &Ledger,
    (drop_dir, source): (&Path, &Path),
    (target, later): (&RequestTarget, &Correction),
) -> Result<String, FatalError> {
    let requests = ledger.requests(drop_dir)?;
    let is_same = |it: &&Request| it.source == source && it.target.array == target.array;
    let Some(earlier) = requests.iter().rfind(is_same) else { return Ok(String::new()) };
    let (kind, at) = (earlier.kind.as_str(), time_text(&earlier.at));
    let options = Correction::parse(&earlier.options).unwrap_or_default();
    let counts = earlier.kind == RequestKind::Take && !later.as_described;
    let effect = if counts { "this changes the description for" } else { "this replaces" };
    let options = options.to_string();
    let options = if options.is_empty() { options } else { format!(" ({options})") };
    Ok(format!("; {effect} `npyd {kind}`{options} of {at}, which npyd did not begin yet"))
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

/// Returns the drop directory of an entry. The error says why neither daemon nor sweep would
/// execute a request for this drop, or for the newest array of its source.
fn drop_dir_of<'a>(
    (entry, last_array, is_array): (&Entry, Option<&Entry>, bool),
    has_keys: bool,
    config: &'a Config,
) -> Result<&'a DropDir, String> {
    if entry.is_lost() {
        return Err("the disk may have lost its data; drop the file again".to_owned());
    }
    let drop_dir = config.drop_dir(&entry.drop_dir).ok_or(
        "its drop directory is not in the configuration; add it, or use another configuration",
    )?;
    // The options correct the description of a rejected drop that has no array.
    if drop_dir.rejects.is_none() || !entry.is_rejected() || has_keys {
        return Ok(drop_dir);
    }
    // The array of an earlier file, which became it or is gone.
    let earlier = last_array.filter(|it| it.source_fate().is_some_and(SourceFate::ends_drop));
    let earlier = earlier.and_then(|it| it.output.as_ref()).filter(|array| !is_missing(array));
    match earlier {
        Some(_) if is_array && is_missing(&entry.source) => Ok(drop_dir),
        Some(array) => Err(format!(
            "it was rejected; correct its description and run `npyd retry`; `{}` was made of an \
             earlier file of its name: to correct that array, name it",
            array.display()
        )),
        None => Err(IS_REJECTED.to_owned()),
    }
}
