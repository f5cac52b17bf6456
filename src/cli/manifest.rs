//! `npyd manifest`: converts the description of a data file to a manifest.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use crate::cli::{Exit, FatalError, print};
use crate::config::DropDir;
use crate::describe::{Dump, LeadingBytes, Metadata};
use crate::fs;
use crate::npy::Order;
use crate::probe::candidate::Candidate;
use crate::probe::input::Input;
use crate::probe::{
    ListedDescriptions, ProbeResult, is_manifest, probe_by_sidecar, probe_standalone,
};
use crate::text::os_message::os_message;

/// The comment before the first table.
const TABLES_COMMENT: &str = "
# Write further keys for npyd (order, offset, …) above this line: below it they have no effect.";

#[derive(Args)]
pub(crate) struct Manifest {
    /// A sidecar, or the data file that it describes
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Path of the manifest [default: standard output]
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
}

impl Manifest {
    pub(crate) fn run(&self) -> Result<Exit, FatalError> {
        let path = std::path::absolute(&self.file)?;
        let drop_dir = DropDir::at(path.parent().unwrap_or(Path::new("/")));
        let rel = PathBuf::from(path.file_name().ok_or("expected a file, not a directory")?);
        if is_manifest(&drop_dir, &rel)? {
            return Err(format!(
                "`{}` is a manifest already: give a sidecar, or the data file that it describes",
                self.file.display()
            )
            .into());
        }
        let by_sidecar = probe_by_sidecar(&drop_dir, &rel)?;
        let candidate = match by_sidecar.map_or_else(|| probe_data(&drop_dir, &rel), Ok)? {
            ProbeResult::Candidate(candidate) => candidate,
            ProbeResult::Missing => return Err(self.refused("there is no such file")),
            ProbeResult::Ignored(why) | ProbeResult::AwaitingData { why, .. } => {
                return Err(self.refused(why));
            }
            ProbeResult::Residue(_) => return Err(self.refused("its data were finalized already")),
            ProbeResult::Multiple { .. } => {
                return Err(self.refused(
                    "it describes several arrays, but a manifest describes one; give a data file",
                ));
            }
        };
        let dump = candidate.dump.as_ref().map_err(|why| self.refused(why))?;
        let text = text(&candidate, dump).map_err(|why| self.refused(why))?;
        match &self.output {
            None => print(text.trim_end()),
            Some(path) => {
                let failed = |error| format!("`{}`: {}", path.display(), os_message(&error));
                let new = OpenOptions::new().write(true).create_new(true).open(path);
                new.and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)?;
            }
        }
        Ok(Exit::Success)
    }
}

impl Manifest {
    /// Returns the error that no manifest is made of the file.
    fn refused(&self, why: impl fmt::Display) -> FatalError {
        format!("`{}`: {why}", self.file.display()).into()
    }
}

/// Probes a data file with the description that counts.
fn probe_data(drop_dir: &DropDir, rel: &Path) -> fs::Result<ProbeResult> {
    probe_standalone(drop_dir, rel, &mut ListedDescriptions::default())
}

/// Formats the manifest: npyd's keys first, then the sidecar's fields as the user's metadata.
fn text(candidate: &Candidate, dump: &Dump) -> Result<String, String> {
    let Input { files, name, .. } = &candidate.input;
    let data = match &files[..] {
        [only] => json!(only.name.as_str()),
        parts if parts.iter().all(|part| part.rel.parent() == Some(Path::new(""))) => {
            json!(parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>())
        }
        _ => {
            return Err(format!(
                "the data of `{name}` are in other directories, which a manifest can't name: move \
                 them beside it"
            ));
        }
    };
    if matches!(dump.front, LeadingBytes::Header(_)) {
        return Err("it has a header and needs no manifest".to_owned());
    }
    let dtype = dump.layout.dtype.to_string();
    let plain = dtype.strip_prefix('\'').and_then(|dtype| dtype.strip_suffix('\''));
    let shape = match dump.header(candidate.input.logical_size(dump).0) {
        Ok(header) => json!(header.shape()),
        Err(_) => json!(dump.layout.shape.dims()),
    };
    let mut keys = Metadata::new();
    keys.insert("dtype".to_owned(), json!(plain.unwrap_or(&dtype)));
    keys.insert("shape".to_owned(), shape);
    if dump.layout.order == Order::F {
        keys.insert("order".to_owned(), json!("F"));
    }
    for (key, bytes) in [("offset", dump.data_offset), ("trailing", dump.trailing)] {
        if bytes > 0 {
            keys.insert(key.to_owned(), json!(bytes));
        }
    }
    keys.insert("data".to_owned(), data);
    keys.insert("output".to_owned(), json!(dump.output.as_str()));
    if let Some(digest) = &dump.digest {
        keys.insert("digest".to_owned(), json!(digest.to_string()));
    }
    if !dump.facts.axes.is_empty() {
        keys.insert("axes".to_owned(), json!(dump.facts.axes));
    }
    for (key, table) in [("unapplied", &dump.facts.unapplied), ("fields", &dump.metadata)] {
        if !table.is_empty() {
            keys.insert(key.to_owned(), Value::Object(table.clone()));
        }
    }
    let mut keys = Value::Object(keys);
    drop_nulls(&mut keys);
    toml::to_string(&keys).map(with_comment).map_err(|error| error.to_string())
}

/// Adds a comment before the first table: TOML takes each key below it for one of that table.
fn with_comment(text: String) -> String {
    match text.lines().position(|line| line.starts_with('[')) {
        Some(at) => {
            let (keys, tables): (Vec<_>, Vec<_>) =
                text.split_inclusive('\n').enumerate().partition(|(number, _)| *number < at);
            let join = |lines: Vec<(usize, &str)>| lines.into_iter().map(|it| it.1).collect();
            let (keys, tables): (String, String) = (join(keys), join(tables));
            format!("{}\n{TABLES_COMMENT}\n{tables}", keys.trim_end())
        }
        None => text,
    }
}

/// Removes nulls, which TOML does not have. In an array an empty string takes the place of a null,
/// so that the other items keep their positions.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Array(items) => {
            for item in items {
                if item.is_null() {
                    *item = Value::from("");
                }
                drop_nulls(item);
            }
        }
        Value::Object(table) => {
            table.retain(|_, value| !value.is_null());
            table.values_mut().for_each(drop_nulls);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_in_arrays_become_empty_strings() {
        let mut value = json!({"bit_volts": [0.195, null, 1.0], "units": null});
        drop_nulls(&mut value);
        assert_eq!(value, json!({"bit_volts": [0.195, "", 1.0]}));
    }
}
