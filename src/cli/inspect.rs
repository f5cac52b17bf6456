//! `npyd inspect`: shows the header of a file, and whether `np.load` accepts the file.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::cli::{Exit, print};
use crate::fs::DataFile;
use crate::npy::{self, Kind, Layout, PendingState, Preamble, parse_header};

#[derive(Args)]
pub(crate) struct Inspect {
    /// .npy or pending files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
}

/// A header and the length of its file.
pub(crate) struct Inspected {
    preamble: Preamble,
    layout: Layout,
    file_len: u64,
}

impl Inspect {
    pub(crate) fn run(&self) -> Exit {
        let mut exit = Exit::Success;
        for path in &self.files {
            match inspect(path) {
                Ok(inspected) => {
                    let reason = inspected.refusal();
                    print(&if self.json {
                        inspected.to_json(path, reason.as_deref())
                    } else {
                        inspected.to_text(path, reason.as_deref())
                    });
                    if reason.is_some() {
                        exit = Exit::Failure;
                    }
                }
                Err(reason) => {
                    exit = Exit::Failure;
                    if self.json {
                        print(
                            &json!({"file": path.to_string_lossy(), "reason": reason}).to_string(),
                        );
                    } else {
                        print(&format!("{}: {reason}", path.display()));
                    }
                }
            }
        }
        exit
    }
}

/// Reads the header of a file.
pub(crate) fn inspect(path: &Path) -> Result<Inspected, String> {
    let text = |error: crate::fs::FsError| error.to_string();
    let file = DataFile::open(path).map_err(text)?;
    let file_len = file.stat().map_err(text)?.size;
    let first = file.read_at_most(0, Preamble::LEN).map_err(text)?;
    let preamble = Preamble::read(&first)
        .map_err(|error| error.to_string())?
        .ok_or("it is neither a .npy nor a pending file: its first bytes are not their magic")?;
    let head_len = preamble.data_offset.min(file_len).min(npy::HEADER_MAX);
    let head = file.read_at_most(0, head_len as usize).map_err(text)?;
    let layout = parse_header(&preamble, &head, file_len).map_err(|error| error.to_string())?;
    Ok(Inspected { preamble, layout, file_len })
}

impl Inspected {
    /// Returns how many bytes follow the header.
    fn available_len(&self) -> u64 {
        self.file_len.saturating_sub(self.preamble.data_offset)
    }

    /// Returns why `np.load` would reject the file, if it would.
    fn refusal(&self) -> Option<String> {
        match (self.preamble.kind, self.layout.data_len()) {
            (Kind::Pending(_), _) => Some("np.load rejects it until it is finalized".to_owned()),
            (Kind::Final, Some(len)) if self.available_len() < len => Some(format!(
                "it is too short: its header declares {len} bytes of data, the file has {}",
                self.available_len()
            )),
            (Kind::Final, _) => None,
        }
    }

    fn state(&self) -> &'static str {
        match self.preamble.kind {
            Kind::Final => "final",
            Kind::Pending(PendingState::Ready) => "ready",
            Kind::Pending(PendingState::Writing) => "writing",
        }
    }

    /// Returns the array's size in bytes; with an open shape, the bytes of data in the file.
    fn data_len(&self) -> u64 {
        self.layout.data_len().unwrap_or_else(|| self.available_len())
    }

    /// Returns what the header declares, as `npyd explain` shows it.
    pub(crate) fn to_facts(&self) -> serde_json::Value {
        let Layout { dtype, order, shape } = &self.layout;
        json!({"dtype": dtype.to_string(), "shape": shape.dims(), "order": order.to_string()})
    }

    /// Returns the header of a finished array.
    pub(crate) fn header(&self) -> Option<npy::Header> {
        self.layout.header()
    }

    /// Returns the header of an array, as `npyd explain` shows it.
    pub(crate) fn to_header(&self) -> serde_json::Value {
        let Layout { dtype, order, shape } = &self.layout;
        let is_fortran = if *order == npy::Order::F { "True" } else { "False" };
        json!({
            "output_shape": shape.dims(),
            "header":
                format!("{{'descr': {dtype}, 'fortran_order': {is_fortran}, 'shape': {shape}, }}"),
        })
    }

    fn to_json(&self, path: &Path, reason: Option<&str>) -> String {
        let Layout { dtype, order, shape } = &self.layout;
        json!({
            "file": path.to_string_lossy(),
            "state": self.state(),
            "version": self.preamble.major,
            "descr": dtype.to_string(),
            "fortran_order": *order == npy::Order::F,
            "shape": shape.dims(),
            "itemsize": dtype.itemsize(),
            "data_offset": self.preamble.data_offset,
            "data_len": self.data_len(),
            "file_len": self.file_len,
            "reason": reason,
        })
        .to_string()
    }

    fn to_text(&self, path: &Path, reason: Option<&str>) -> String {
        let Layout { dtype, order, shape } = &self.layout;
        let text = format!(
            "{}: {}, version {}.0, {dtype}, shape {shape}, order {order}, {} bytes of data from byte {}, file size {}",
            path.display(),
            self.state(),
            self.preamble.major,
            self.data_len(),
            self.preamble.data_offset,
            self.file_len
        );
        reason.map_or(text.clone(), |reason| format!("{text}; {reason}"))
    }
}
