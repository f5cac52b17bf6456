//! `npyd formats`: lists the sidecar formats that npyd reads.

use crate::cli::{Exit, print};
use crate::describe::formats::FORMATS;

pub(crate) fn run() -> Exit {
    for format in FORMATS {
        print(format.name);
        for (label, text) in
            [("files", format.files), ("reads", format.reads), ("complete by", format.proof)]
        {
            print(&format!("  {label:<12} {text}"));
        }
    }
    Exit::Success
}
